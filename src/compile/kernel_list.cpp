#include "compile/kernel_list.h"

#include <fmt/format.h>
#include <map>

#include "fuse/group.h"
#include "support/files.h"

namespace pit::compile {
namespace {

using fuse::Group;
using fuse::GroupKind;

class KernelList {
 public:
  explicit KernelList(const Program& p) : p_(p) {}

  std::vector<KernelUse> run() {
    for (const Step& s : p_.steps) {
      if (p_.group(s).kind == GroupKind::rows) rows(s);
      if (p_.group(s).kind == GroupKind::contraction) tiles(s);
    }
    return std::move(list_);
  }

 private:
  /// Lowers what is not known by this name yet.
  template <class Lower>
  void use(const std::string& name, int group, Lower&& lower) {
    const auto [known, fresh] = at_.try_emplace(name, list_.size());
    if (fresh) list_.push_back({lower(), {}});
    list_[known->second].groups.push_back(group);
  }

  void rows(const Step& s) {
    const lower::RowSpec spec = fuse::row_spec(p_.group(s), p_.target);
    use(lower::kernel_name(spec), s.group, [&] { return lower::lower_rows(spec).kernel; });
  }

  void tiles(const Step& s) {
    const Group& group = p_.group(s);
    const std::string key = epilogue_key(group.epilogue);
    if (s.contraction.tiles == nullptr) return;
    for (int height = 1; height <= contract::kMaxTileRows; ++height)
      for (int vectors = 1; vectors <= contract::kMaxTileVectors; ++vectors)
        if (s.contraction.tiles->of(height, vectors, 1) != nullptr)
          use(fmt::format("{} {}x{}", key, height, vectors), s.group,
              [&] { return lower::lower_tile(tile_spec(group.epilogue, key, height, vectors, p_.target)); });
  }

  const Program& p_;
  std::vector<KernelUse> list_;
  std::map<std::string, std::size_t> at_;  ///< into list_
};

}  // namespace

std::string epilogue_key(const lower::Epilogue& e) {
  if (e.program.statements.empty()) return "none";
  std::string text = expr::print(e.program);
  for (auto a : e.operands) text += fmt::format("|{}", static_cast<int>(a));
  for (auto d : e.dtypes) text += fmt::format("|{}", name_of(d));
  for (const auto& t : e.program.tensors) text += t.dtype ? name_of(*t.dtype) : "?";
  for (int a : e.absorbing) text += fmt::format("|{}", a);
  return content_hash(text);
}

lower::TileSpec tile_spec(const lower::Epilogue& epilogue, const std::string& key, int rows, int vectors,
                          const CpuTarget& target) {
  return {.rows = rows, .vectors = vectors, .epilogue = epilogue, .epilogue_key = key, .target = target};
}

std::vector<KernelUse> kernels_of(const Program& p) { return KernelList(p).run(); }

}  // namespace pit::compile
