// Building a program: analysis, fusion, lowering, code generation, packing of constant weights.
#include <algorithm>
#include <map>
#include <set>
#include <sys/mman.h>
#include <tuple>

#include "compile/kernel_list.h"
#include "compile/pack.h"
#include "compile/phases.h"
#include "compile/program.h"

#include "fuse/group.h"
#include "fuse/nest.h"
#include "graph/reference.h"
#include "sparsity/facts.h"
#include "sparsity/flops.h"
#include "sparsity/value_zeros.h"
#include "support/cancel.h"
#include "support/check.h"
#include "support/files.h"
#include "support/memory.h"
#include "support/stages.h"
#include "support/threads.h"

namespace pit::compile {

using codegen::Kernel;
using fuse::Group;
using fuse::GroupKind;

std::vector<int> panel_widths(const Panels& panels, bool gathered) {
  std::vector<int> widths;
  if (panels.count() == 0) return widths;
  const int first = panels.vectors_of(0), last = panels.vectors_of(panels.count() - 1);
  for (int v = gathered ? 1 : std::min(first, last); v <= std::max(first, last); ++v)
    if (gathered || v == first || v == last) widths.push_back(v);
  return widths;
}

std::size_t Program::packed_bytes() const {
  std::size_t bytes = 0;
  for (const Step& s : steps)
    if (s.contraction.weights) bytes += static_cast<std::size_t>(s.contraction.weights->bytes());
  return bytes;
}

namespace {

// Collects kernels by name, so that equal ones are generated once, and remembers who wants which.
class KernelSet {
 public:
  void want(const std::string& name, codegen::KernelFn* where) { wanted_.push_back({name, where}); }
  void add(Kernel k, codegen::KernelFn* where) {
    want(k.name, where);
    if (names_.insert(k.name).second) kernels_.push_back(std::move(k));
  }
  const std::vector<Kernel>& kernels() const { return kernels_; }
  void resolve(const codegen::Code& code) const {
    for (const auto& [name, where] : wanted_) *where = code.function(name);
  }

 private:
  std::vector<Kernel> kernels_;
  std::set<std::string> names_;
  std::vector<std::pair<std::string, codegen::KernelFn*>> wanted_;
};

class ProgramBuilder {
 public:
  ProgramBuilder(graph::Graph g, const ProgramOptions& o) : options_(o), p_(std::make_shared<Program>()) {
    p_->graph = std::move(g);
    p_->target = o.target;
    p_->demands = o.outputs;
  }

  /// The passes, in order; behind each, the dump that shows what it has made (dump.h).
  std::shared_ptr<const Program> build() {
    analyse();   // masks
    fuse();      // groups
    verify();    // groups, too: claims
    schedule();  // schedules
    lower();     // kernels
    generate();  // asm
    pack();
    return p_;
  }

 private:
  void analyse() {
    Stages::begin("analyse", 0.15);
    p_->analysis = std::make_unique<sparsity::Analysis>(
        sparsity::analyze(p_->graph, options_.outputs, {.enabled = options_.sparse}));
  }

  void fuse() {
    Stages::begin("fuse", 0.2);
    p_->fusion = fuse::fuse(p_->graph, *p_->analysis, p_->target);
    p_->analysis->forward = nullptr;
  }

  // Runs look at what the formulas alone do not prove; with poison, at everything that they can.
  void verify() {
    auto& masks = p_->analysis->masks;
    for (const fuse::Obligation& o : p_->fusion.obligations) {
      const std::vector<ValueId> leaves = masks.leaves({o.violated});
      const bool known = std::all_of(leaves.begin(), leaves.end(), [&](ValueId v) {
        return p_->fusion.layouts[v].root >= 0 && (p_->analysis->control[v] != 0 || p_->analysis->late[v] != 0);
      });
      if (o.proved && !(options_.verify && known)) continue;
      wanted_masks_.push_back(o.violated);
      p_->claims.push_back(o);
    }
  }

  // What runs together, and where zeros are that only values tell; rules are chosen in each run.
  void schedule() {
    Stages::begin("schedule", 0.24);
    const auto& groups = p_->fusion.groups;
    for (const Group& g : groups)
      if (g.kind == GroupKind::contraction && !p_->engines.contains(g.epilogue.types)) make_engine(g.epilogue.types);
    if (options_.sparse) zeros_by_value_ = sparsity::zeros_by_value(p_->graph);
    find_element_values();
    p_->steps.resize(groups.size());
    mark_attention();
  }

  void make_engine(const lower::ElementTypes& types) {
    const lower::Algebra algebra{.types = types};
    p_->engines[types] = {.engine = contract::Engine::create(algebra, p_->target, options_.cache_dir, options_.threads),
                          .packs = {},
                          .tile = lower::tile_shape(p_->target, algebra)};
  }

  void lower() {
    Stages::begin("lower", 0.25);
    make_steps();
    p_->mask_leaves = p_->analysis->masks.leaves(mask_roots());
    for (ValueId v : p_->mask_leaves)
      PIT_CHECK(p_->fusion.layouts[v].root >= 0, "masks look at '{}', which is not stored", p_->graph.values[v].name);
    for (ValueId v : p_->mask_leaves)
      if (const auto it = p_->fusion.defined.find(v); it != p_->fusion.defined.end())
        wanted_masks_.push_back(it->second);
    p_->phases = find_phases(*p_, wanted_masks_);
  }

  void pack() {
    Stages::begin("pack", 0.85);
    pack_weights();
    own_constants();
    Stages::note(fmt::format("{:.1f} MB of packed weights", static_cast<double>(p_->packed_bytes()) / 1e6));
  }

  // Everything that a run evaluates, and what explain counts FLOPs by: the values that these read outlive the control
  // steps.
  std::vector<sparsity::MaskId> mask_roots() const {
    std::vector<sparsity::MaskId> roots = wanted_masks_;
    for (const Group& group : p_->fusion.groups)
      for (sparsity::MaskId m : {group.live_rows, group.live_k, group.zero_rows})
        if (m.id >= 0) roots.push_back(m);
    for (sparsity::MaskId m : sparsity::flops_roots(p_->graph, *p_->analysis)) roots.push_back(m);
    return roots;
  }

  void find_element_values() {
    for (ValueId v = 0; v < static_cast<ValueId>(p_->graph.values.size()); ++v) {
      const graph::Value& value = p_->graph.values[v];
      if (value.has_elements && !value.is_constant() && value.input < 0) p_->element_values.push_back(v);
    }
  }

  void make_steps() {
    for (std::size_t i = 0; i < p_->steps.size(); ++i) {
      Step& s = p_->steps[i];
      s.group = static_cast<int>(i);
      const Group& group = p_->fusion.groups[i];
      poll_cancel();
      if (group.kind == GroupKind::rows) make_rows(s, group);
      if (group.kind == GroupKind::nest) make_nests(s, group);
      if (group.kind == GroupKind::contraction) make_contraction(s, group);
    }
  }

  // `m`, over the group's axes, as a mask over `axes` only, in that order.
  sparsity::MaskId over(const Group& group, sparsity::MaskId m, const std::vector<int>& axes) {
    auto& masks = p_->analysis->masks;
    std::vector<int> dropped;
    for (int a = 0; a < static_cast<int>(group.extents.size()); ++a)
      if (std::find(axes.begin(), axes.end(), a) == axes.end()) dropped.push_back(a);
    std::vector<Dim> extents;
    for (int a : axes) extents.push_back(group.extents[a]);
    m = masks.permute(masks.any(m, dropped), axes, extents);
    wanted_masks_.push_back(m);
    return m;
  }

  void make_rows(Step& s, const Group& group) {
    const lower::RowSpec spec = fuse::row_spec(group, p_->target);
    const auto [known, fresh] = row_kernels_.try_emplace(lower::kernel_name(spec));
    if (fresh) {  // layers share their kernels: each is lowered once
      known->second = lower::lower_rows(spec);
      kernels_.add(std::move(known->second.kernel), &s.rows.fn);
      known->second.kernel = {};
    } else {
      kernels_.want(known->first, &s.rows.fn);
    }
    s.rows.abi = known->second;
    s.rows.element_wise = group.mid < 0;
    for (const expr::Statement& st : group.program.statements)
      if (!expr::reduced_axes(st).empty()) s.rows.element_wise = false;
    s.rows.value_axis.assign(group.program.axes.size(), 0);
    for (const lower::Slot& slot : s.rows.abi.ints) {
      if (slot.kind == lower::Slot::coordinate_base) s.rows.value_axis[slot.a] = 1;
      if (slot.kind == lower::Slot::extent) s.rows.value_axis[slot.a] = 1;
    }
    for (const expr::Statement& st : group.program.statements) note_inner_values(s, group, st.value, false);
    find_lookups(s, group);
    if (group.control) return;
    s.rows.live = over(group, group.live_rows, group.outer);
    s.rows.zero = over(group, group.zero_rows, group.outer);
    if (group.mid < 0) return;
    std::vector<int> with_mid = group.outer;
    with_mid.push_back(group.mid);
    s.rows.live_k = over(group, group.live_k, with_mid);
  }

  void make_nests(Step& s, const Group& group) {
    s.nest.parts.resize(group.nests.size());
    for (std::size_t n = 0; n < group.nests.size(); ++n) {
      NestStep::Part& part = s.nest.parts[n];
      const lower::NestSpec spec = fuse::nest_spec(group, group.nests[n], p_->target);
      const auto [known, fresh] = nest_kernels_.try_emplace(lower::kernel_name(spec));
      if (fresh) {
        known->second = lower::lower_nest(spec);
        kernels_.add(std::move(known->second.kernel), &part.fn);
        known->second.kernel = {};
      } else {
        kernels_.want(known->first, &part.fn);
      }
      part.abi = known->second;
    }
    if (group.control || !group.has_rows()) return;
    s.nest.live = over(group, group.live_rows, group.outer);
    s.nest.zero = over(group, group.zero_rows, group.outer);
  }

  // An inner axis used as a value (an iota) must not absorb outer axes.
  void note_inner_values(Step& s, const Group& group, const expr::Expr& e, bool in_index) {
    if (!e) return;
    if ((e->kind == expr::Kind::axis || e->kind == expr::Kind::extent) && !in_index) {
      s.rows.value_axis[e->id] = 1;
      if (e->id == group.inner) s.rows.element_wise = false;
    }
    for (const expr::Expr& a : e->args) note_inner_values(s, group, a, in_index || e->kind == expr::Kind::access);
  }

  void find_lookups(Step& s, const Group& group) {
    for (std::size_t t = 0; t < group.operands.size(); ++t) {
      const auto& index = group.operands[t].access.index;
      for (std::size_t d = 0; d < index.size(); ++d) {
        if (index[d]->kind != expr::Kind::access) continue;
        for (std::size_t i = 0; i < group.operands.size(); ++i) {
          const lower::Operand& o = group.operands[i].access;
          if (o.tensor != index[d]->id || o.written) continue;
          if (std::equal(o.index.begin(), o.index.end(), index[d]->args.begin(), index[d]->args.end(),
                         [](const expr::Expr& x, const expr::Expr& y) { return expr::equal(x, y); }))
            s.rows.lookups.push_back({static_cast<int>(t), static_cast<int>(d), static_cast<int>(i)});
        }
      }
    }
  }

  void make_contraction(Step& s, const Group& group) {
    ContractionStep& c = s.contraction;
    if (group.static_b) c.panels = panels_of_weights(group, c), c.matrix_steps = matrix_steps(*p_, group);
    if (!group.epilogue.program.statements.empty() || takes_part_in_attention(s)) c.tiles = tiles_of(c, group);
    if (group.control) return;
    std::vector<int> rows = group.axes.batch, k = rows, n = rows;
    rows.insert(rows.end(), group.axes.m.begin(), group.axes.m.end());
    k.push_back(group.axes.k);
    n.push_back(group.axes.n);
    std::vector<int> mk = rows;
    mk.push_back(group.axes.k);
    c.live = over(group, group.live_rows, rows);
    c.zero = over(group, group.zero_rows, rows);
    c.reached_rows = over(group, group.live_k, rows);
    c.live_k = over(group, group.live_k, k);
    c.live_n = over(group, group.live_k, n);
    if (group.live_columns.id >= 0) {
      std::vector<int> mn = rows;
      mn.push_back(group.axes.n);
      c.columns = over(group, group.live_columns, mn);
    }
    // Which panels of columns a tile of rows needs is only a question where rows and columns are coupled (causal masks,
    // windows).
    sparsity::MaskId coupled = group.live_k;
    for (int m : group.axes.m) coupled = p_->analysis->masks.coupling(coupled, m, group.axes.k);
    c.live_mk = over(group, coupled, mk);
  }

  // Layers share their epilogues: each tile is lowered once. Few heights: what is compiled is most of the build's time.
  std::shared_ptr<const contract::TileTable> tiles_of(const ContractionStep& step, const Group& group) {
    const std::string key = epilogue_key(group.epilogue);
    auto& table = tiles_[key];
    if (!table) table = std::make_shared<contract::TileTable>();
    const int most = p_->engine_of(group).tile.rows;
    for (const int rows : {1, 2, 4, 6, 8, most})
      for (const int vectors : widths(step, group)) {
        codegen::KernelFn* const where = &table->function[rows][vectors][0];
        if (rows > most || !wanted_tiles_.insert(where).second) continue;
        kernels_.add(lower::lower_tile(tile_spec(group.epilogue, key, rows, vectors, p_->target)), where);
      }
    return table;
  }

  bool takes_part_in_attention(const Step& s) const { return s.absorbed || s.attention >= 0; }

  // Uniform panels serve every rule, but where columns are few, a last one that is as wide as the others is much to
  // compute for nothing. Decides, too, whether the step looks at values.
  Panels panels_of_weights(const Group& group, ContractionStep& c) {
    constexpr double wasted = 1.04;
    const detect::Values b = weight_values(*p_, group);
    c.scans_a = holds_value_zeros(group);
    c.pruned = is_pruned(group);
    if (options_.learn && (c.scans_a || c.pruned)) c.prices = std::make_shared<contract::LearnedPrices>();
    const EngineOfType& of = p_->engine_of(group);
    if (c.pruned)
      c.live_b = std::make_shared<const detect::LiveMap>(detect::scan(
          b, 1, finest(group, b.columns), 0, ThreadPool(options_.threads), {}, detect::scan_isa(p_->target)));
    const Panels tight{b.columns, of.tile.lanes, of.tile.vectors},
        uniform = of.engine->panels(b.columns, b.rows, c.live_b.get());
    const bool many = static_cast<double>(uniform.elements(1)) <= wasted * static_cast<double>(tight.elements(1));
    return c.scans_a || c.pruned || many ? uniform : tight;
  }

  // Columns of the narrowest panel, which zeros are looked for in.
  std::int64_t finest(const Group& group, std::int64_t columns) const {
    return std::min<std::int64_t>(columns, p_->engine_of(group).tile.lanes);
  }

  bool engine_takes(const Group& group) const {
    const DType type = group.epilogue.types.c;
    return options_.sparse && !group.control && type != DType::i32 && group.operands[2].access.dtype == type &&
           p_->graph.values[p_->fusion.layouts[group.operands[1].value].root].constant.dtype() == type;
  }

  // Leaving out what is zero is exact only where nothing infinite stands against it.
  bool holds_value_zeros(const Group& group) const {
    return engine_takes(group) && zeros_by_value_[group.operands[0].value] &&
           is_finite(p_->graph.values[p_->fusion.layouts[group.operands[1].value].root].constant);
  }

  // A sample of the rows first: most weights have no zeros at all.
  bool is_pruned(const Group& group) const {
    constexpr std::int64_t samples = 32;
    constexpr double worthwhile = 0.7;
    if (!engine_takes(group)) return false;
    const detect::Values values = weight_values(*p_, group);
    const auto isa = detect::scan_isa(p_->target);
    return values.rows > 0 && values.columns > 0 &&
           detect::sample_fraction(values, 1, finest(group, values.columns), 0, samples, isa) < worthwhile;
  }

  static bool is_finite(const Tensor& t) {
    return t.dtype() == DType::f64 ? are_finite<double>(t) : are_finite<float>(t);
  }
  template <class T>
  static bool are_finite(const Tensor& t) {
    const T* x = t.as<T>();
    std::uint32_t odd = 0;  // x * 0 is NaN for infinities and NaN; without an exit, so that it vectorises
    for (std::int64_t i = 0; i < t.size(); ++i) odd |= static_cast<std::uint32_t>(x[i] * 0 != 0);
    return odd == 0;
  }

  // With a constant number of columns only the widths that occur are generated.
  std::vector<int> widths(const ContractionStep& step, const Group& group) const {
    constexpr std::int64_t unknown = 1 << 20;
    const auto n = p_->graph.dims.constant_value(group.extents[group.axes.n]);
    if (group.static_b) return panel_widths(step.panels, false);
    const lower::TileShape& tile = p_->engine_of(group).tile;
    return panel_widths({n.value_or(unknown), tile.lanes, tile.vectors}, step.gathers_columns || !n);
  }

  std::string label_of(const Group& group) const {
    std::string label;
    for (graph::NodeId n : group.nodes) label += (label.empty() ? "" : "+") + p_->graph.nodes[n].op;
    return label;
  }

  void mark_attention() {
    const auto& groups = p_->fusion.groups;
    for (std::size_t i = 0; i < groups.size(); ++i) p_->steps[i].label = label_of(groups[i]);
    for (std::size_t i = 0; i < p_->fusion.attentions.size(); ++i) {
      const fuse::Fusion::Attention& a = p_->fusion.attentions[i];
      p_->steps[a.scores].absorbed = p_->steps[a.softmax].absorbed = true;
      p_->steps[a.scores].contraction.gathers_columns = true;
      p_->steps[a.output].attention = static_cast<int>(i);
      p_->steps[a.output].label =
          p_->steps[a.scores].label + "+" + p_->steps[a.softmax].label + "+" + p_->steps[a.output].label;
    }
  }

  void generate() {
    Stages::begin("generate", 0.3);
    // Nothing is generated while the model runs.
    std::map<lower::ElementTypes, std::vector<contract::RuleKind>> rules;
    for (const auto& [type, of] : p_->engines) rules[type];
    for (const Step& s : p_->steps)
      for (const contract::RuleKind rule : engine_rules(*p_, s)) rules[p_->group(s).epilogue.types].push_back(rule);
    ThreadPool(options_.threads).parallel_for(1 + std::ssize(rules), [&](std::int64_t job, int) {
      if (job > 0) {
        const auto& [type, wanted] = *std::next(rules.begin(), job - 1);
        return p_->engines.at(type).engine->generate(wanted);
      }
      p_->code = codegen::compile(kernels_.kernels(),
                                  {.target = p_->target, .cache_dir = options_.cache_dir, .threads = options_.threads});
    });
    kernels_.resolve(*p_->code);
    p_->code_report = fmt::format("{} kernels for {}, {:.0f} ms{}", kernels_.kernels().size(), p_->target.name,
                                  p_->code->seconds * 1e3, p_->code->from_cache ? " (from the cache)" : "");
    Stages::note(p_->code_report);
    for (auto& [type, of] : p_->engines) of.packs = of.engine->packs();
  }

  ValueId root_of(ValueId v) const {
    const ValueId root = p_->fusion.layouts[v].root;
    return root >= 0 ? root : v;
  }
  Tensor& constant_behind(ValueId v) { return p_->graph.values[root_of(v)].constant; }

  // What is packed is not held a second time: in a file it stays behind, unread, and on the heap it goes as soon as
  // nobody else wants it.
  void pack_weights() {
    const MemoryReuse reuse;
    const ThreadPool pool(options_.threads);
    std::map<const void*, int> readers;
    for (ValueId v : read_by_runs())
      if (const Tensor& t = constant_behind(v); t.defined()) ++readers[t.data()];
    for (const Step& s : p_->steps)
      if (packs_weights(s)) ++readers[packed_constant(s).data()];
    for (Step& s : p_->steps) {
      if (!packs_weights(s)) continue;
      compile::pack_weights(*p_, p_->group(s), pool, s.contraction);
      Tensor& t = packed_constant(s);
      if (const FileMap* file = FileMap::of(t.owner())) file->forget(t.data(), t.bytes());  // for now: it comes back
      else if (--readers[t.data()] == 0) let_go(root_of(p_->group(s).operands[1].value));
      Stages::advance(static_cast<double>(&s - p_->steps.data() + 1) / static_cast<double>(p_->steps.size()), 1);
    }
  }

  bool packs_weights(const Step& s) const {
    const Group& group = p_->group(s);
    return group.kind == GroupKind::contraction && group.static_b;
  }
  Tensor& packed_constant(const Step& s) { return constant_behind(p_->group(s).operands[1].value); }

  // Reports that analyse the graph again find zeros, of which they would say the same.
  void let_go(ValueId v) const {
    constexpr std::size_t large = std::size_t{1} << 20;
    Tensor& t = p_->graph.values[v].constant;
    if (t.bytes() >= large && (p_->analysis->weight[v] != 0 || sparsity::reads_like_zeros(t)))
      t = zeros_without_memory(t.dtype(), t.shape());
  }

  // What runs read beside the packed weights.
  std::set<ValueId> read_by_runs() const {
    std::set<ValueId> used(p_->mask_leaves.begin(), p_->mask_leaves.end());
    for (const Step& s : p_->steps) {
      const Group& group = p_->group(s);
      if (group.kind == GroupKind::reference) used.insert(group.reads.begin(), group.reads.end());
      for (std::size_t o = 0; o < group.operands.size(); ++o) {
        const bool packed = group.kind == GroupKind::contraction && group.static_b && o == 1;
        if (!packed && group.operands[o].value >= 0) used.insert(group.operands[o].value);
      }
    }
    used.insert(p_->graph.outputs.begin(), p_->graph.outputs.end());
    return used;
  }

  // Constants that runs read leave the model's file, which may be written anew while the model lives. Large ones in
  // weight files stay there: they are the kernel's to keep in memory, and for all processes at once; runs look whether
  // the file has changed.
  void own_constants() {
    constexpr std::size_t large = std::size_t{1} << 20;
    const ThreadPool pool(options_.threads);
    for (ValueId v : read_by_runs()) {
      Tensor& t = constant_behind(v);
      const FileMap* const file = t.defined() ? FileMap::of(t.owner()) : nullptr;
      if (file == nullptr) continue;
      if (!file->lasting() || t.bytes() < large) {
        const std::shared_ptr<void> copy = file->copy(t.data(), t.bytes(), pool);
        t = Tensor(t.dtype(), t.shape(), copy.get(), copy);
      } else if (std::find(p_->files.begin(), p_->files.end(), t.owner()) == p_->files.end()) {
        p_->files.push_back(t.owner());
      }
    }
  }

  // Pages that nobody touches do not exist; reports that analyse the graph again may touch them.
  static Tensor zeros_without_memory(DType dtype, const Shape& shape) {
    const std::size_t bytes = static_cast<std::size_t>(element_count(shape)) * size_of(dtype);
    void* map = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) throw std::bad_alloc();
    return Tensor(dtype, shape, map, std::shared_ptr<void>(map, [bytes](void* p) { munmap(p, bytes); }));
  }

  ProgramOptions options_;
  std::shared_ptr<Program> p_;
  KernelSet kernels_;
  std::map<std::string, std::shared_ptr<contract::TileTable>> tiles_;  ///< by content of the epilogue
  std::set<const codegen::KernelFn*> wanted_tiles_;
  std::map<std::string, lower::RowKernel> row_kernels_;  ///< by name; the kernels themselves are in kernels_
  std::map<std::string, lower::NestKernel> nest_kernels_;
  std::vector<sparsity::MaskId> wanted_masks_;
  std::vector<char> zeros_by_value_;  ///< per value; empty: sparsity is off
};

}  // namespace

std::shared_ptr<const Program> build_program(graph::Graph g, const ProgramOptions& options) {
  return ProgramBuilder(std::move(g), options).build();
}

}  // namespace pit::compile
