#include "codegen/codegen.h"

#include <chrono>
#include <map>
#include <unordered_map>

#include "codegen/cache.h"
#include "codegen/llvm/backend.h"
#include "pit/version.h"
#include "support/check.h"
#include "support/files.h"
#include "support/log.h"

namespace pit::codegen {
namespace {

class MachineCode final : public Code {
 public:
  MachineCode(std::unique_ptr<llvm_backend::Loaded> loaded, const std::vector<std::string>& names) : loaded_(std::move(loaded)) {
    for (std::size_t i = 0; i < names.size(); ++i) functions_.emplace(names[i], loaded_->functions()[i]);
  }

  KernelFn function(const std::string& kernel_name) const override {
    const auto found = functions_.find(kernel_name);
    PIT_CHECK(found != functions_.end(), "no compiled kernel is named {}", kernel_name);
    return found->second;
  }

 private:
  std::unique_ptr<llvm_backend::Loaded> loaded_;
  std::unordered_map<std::string, KernelFn> functions_;
};

/// Verified and each once, in a fixed order: the order in which a model asks for its kernels does not matter.
struct KernelSet {
  std::vector<Kernel> kernels;
  std::vector<std::string> names;
  std::string text;
};

KernelSet normalize(const std::vector<Kernel>& kernels) {
  std::map<std::string, std::pair<const Kernel*, std::string>> unique;
  for (const Kernel& k : kernels) {
    if (const auto problem = verify(k)) PIT_UNREACHABLE("kernel {}: {}", k.name, *problem);
    std::string text = print(k);
    const auto [at, fresh] = unique.try_emplace(k.name, &k, text);
    PIT_CHECK(fresh || at->second.second == text, "two different kernels are named {}", k.name);
  }
  KernelSet set;
  for (auto& [name, entry] : unique) {
    set.kernels.push_back(*entry.first);
    set.names.push_back(name);
    set.text += entry.second;
  }
  return set;
}

std::string cache_key(const KernelSet& set, const CpuTarget& target) {
  const std::string cpu = target.name.empty() || target.name == "native" ? host_cpu_name() : target.name;
  return content_hash(fmt::format("pit {} {}\ncpu {} [{}] {}\n{}", PIT_VERSION, llvm_backend::identity(), cpu,
                                  target.features, target.vector_bytes, set.text));
}

std::unique_ptr<llvm_backend::Loaded> load_cached(const std::string& dir, const std::string& key, const KernelSet& set) {
  if (dir.empty()) return nullptr;
  const std::optional<std::string> object = cache_load(dir, key);
  if (!object) return nullptr;
  try {
    return llvm_backend::load(*object, set.names);
  } catch (const InternalError& e) {
    warn("cached code in {} does not load, compiling again: {}", cache_path(dir, key), e.what());
    return nullptr;
  }
}

}  // namespace

std::shared_ptr<const Code> compile(const std::vector<Kernel>& kernels, const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const KernelSet set = normalize(kernels);
  const std::string key = cache_key(set, options.target);
  std::unique_ptr<llvm_backend::Loaded> loaded = load_cached(options.cache_dir, key, set);
  const bool from_cache = loaded != nullptr;
  if (!from_cache) {
    const std::string object = llvm_backend::generate(set.kernels, options.target, llvm_backend::Output::object);
    loaded = llvm_backend::load(object, set.names);
    if (!options.cache_dir.empty()) cache_store(options.cache_dir, key, object);
  }
  auto code = std::make_shared<MachineCode>(std::move(loaded), set.names);
  code->from_cache = from_cache;
  code->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.dump_assembly) {
    code->assembly = llvm_backend::generate(set.kernels, options.target, llvm_backend::Output::assembly);
  }
  return code;
}

std::string assembly(const std::vector<Kernel>& kernels, const CpuTarget& target) {
  return llvm_backend::generate(normalize(kernels).kernels, target, llvm_backend::Output::assembly);
}

std::string host_cpu_name() { return llvm_backend::host_cpu_name(); }

}  // namespace pit::codegen
