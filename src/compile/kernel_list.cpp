#include "compile/kernel_list.h"

#include <fmt/format.h>
#include <map>
#include <tuple>

#include "fuse/group.h"
#include "fuse/nest.h"
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
      if (p_.group(s).kind == GroupKind::nest) nests(s);
      if (p_.group(s).kind == GroupKind::contraction) tiles(s);
    }
    for (const auto& [types, of] : p_.engines) engine(types, *of.engine);
    return std::move(list_);
  }

 private:
  /// The entry of this name; lowers what is not known by it yet.
  template <class Lower>
  KernelUse& entry(const std::string& name, Lower&& lower) {
    const auto [known, fresh] = at_.try_emplace(name, list_.size());
    if (fresh) list_.push_back({lower(), {}, {}});
    return list_[known->second];
  }

  void engine(const lower::ElementTypes& types, const contract::Engine& engine) {
    const std::vector<codegen::Kernel> packs = engine.kernels({});
    std::map<contract::RuleKind, std::vector<codegen::Kernel>> of_rule;  // packs among them
    for (const Step& s : p_.steps) {
      if (p_.group(s).kind != GroupKind::contraction || p_.group(s).epilogue.types != types) continue;
      used_by_engine(packs, s.group);
      for (const contract::RuleKind rule : engine_rules(p_, s)) {
        const auto [known, fresh] = of_rule.try_emplace(rule);
        if (fresh) known->second = engine.kernels({rule});
        used_by_engine(known->second, s.group);
      }
    }
  }

  void used_by_engine(const std::vector<codegen::Kernel>& kernels, int group) {
    for (const codegen::Kernel& k : kernels) {
      std::vector<int>& groups = entry(k.name, [&] { return k; }).engine;
      if (groups.empty() || groups.back() != group) groups.push_back(group);
    }
  }

  void rows(const Step& s) {
    const lower::RowSpec spec = fuse::row_spec(p_.group(s), p_.target);
    entry(lower::kernel_name(spec), [&] { return lower::lower_rows(spec).kernel; }).groups.push_back(s.group);
  }

  void nests(const Step& s) {
    for (const fuse::Nest& nest : p_.group(s).nests) {
      const lower::NestSpec spec = fuse::nest_spec(p_.group(s), nest, p_.target);
      entry(lower::kernel_name(spec), [&] { return lower::lower_nest(spec).kernel; }).groups.push_back(s.group);
    }
  }

  void tiles(const Step& s) {
    const Group& group = p_.group(s);
    const std::string key = epilogue_key(group.epilogue);
    if (s.contraction.tiles == nullptr) return;
    for (int height = 1; height <= contract::kMaxTileRows; ++height)
      for (int vectors = 1; vectors <= contract::kMaxTileVectors; ++vectors) {
        if (s.contraction.tiles->of(height, vectors, 1) == nullptr) continue;
        const auto [name, fresh] = tile_names_.try_emplace({key, height, vectors});
        if (fresh) {
          codegen::Kernel k = lower::lower_tile(tile_spec(group.epilogue, key, height, vectors, p_.target));
          name->second = k.name;
          entry(name->second, [&] { return std::move(k); });
        }
        list_[at_.at(name->second)].groups.push_back(s.group);
      }
  }

  const Program& p_;
  std::vector<KernelUse> list_;
  std::map<std::string, std::size_t> at_;  ///< into list_
  std::map<std::tuple<std::string, std::size_t, std::size_t>, std::string> tile_names_;
};

}  // namespace

std::string epilogue_key(const lower::Epilogue& e) {
  std::string text = e.types == lower::ElementTypes{} ? "" : e.types.name();
  if (e.program.statements.empty()) return "none" + text;
  text += expr::print(e.program);
  for (auto a : e.operands) text += fmt::format("|{}", static_cast<int>(a));
  for (auto d : e.dtypes) text += fmt::format("|{}", name_of(d));
  for (const auto& t : e.program.tensors) text += t.dtype ? name_of(*t.dtype) : "?";
  for (int a : e.absorbing) text += fmt::format("|{}", a);
  return content_hash(text);
}

lower::TileSpec tile_spec(const lower::Epilogue& epilogue, const std::string& key, int rows, int vectors,
                          const CpuTarget& target) {
  return {.rows = rows,
          .vectors = vectors,
          .algebra = {.types = epilogue.types},
          .epilogue = epilogue,
          .epilogue_key = key,
          .target = target};
}

std::vector<contract::RuleKind> engine_rules(const Program& p, const Step& s) {
  using contract::RuleKind;
  std::vector<RuleKind> rules;
  const ContractionStep& c = s.contraction;
  if (p.group(s).kind == fuse::GroupKind::contraction && s.attention < 0 && !s.absorbed)
    rules.push_back(RuleKind::dense);
  if (c.scans_a) rules.insert(rules.end(), {RuleKind::k, RuleKind::element, RuleKind::stream});
  if (c.pruned) rules.insert(rules.end(), {c.scans_a ? RuleKind::both : RuleKind::b_k, RuleKind::bt_k});
  return rules;
}

std::vector<KernelUse> kernels_of(const Program& p) { return KernelList(p).run(); }

}  // namespace pit::compile
