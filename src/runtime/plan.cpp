#include "runtime/plan.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "compile/pack.h"

#include "support/check.h"

namespace pit::runtime {
namespace {

using fuse::Group;
using fuse::GroupKind;

constexpr std::int64_t kAlignment = 64;
std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Arena offsets by liveness: a free list kept in address order; best fit.
class ArenaLayout {
 public:
  std::int64_t take(std::int64_t bytes) {
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->size >= bytes && (best == free_.end() || it->size < best->size)) best = it;
    if (best == free_.end()) {
      // Grow the block at the end if there is one.
      if (!free_.empty() && free_.back().at + free_.back().size == end_) {
        const std::int64_t at = free_.back().at;
        free_.pop_back();
        end_ = at + bytes;
        return at;
      }
      end_ += bytes;
      return end_ - bytes;
    }
    const std::int64_t at = best->at;
    best->at += bytes;
    best->size -= bytes;
    if (best->size == 0) free_.erase(best);
    return at;
  }
  void give(std::int64_t at, std::int64_t bytes) {
    auto it = std::lower_bound(free_.begin(), free_.end(), at, [](const Block& b, std::int64_t a) { return b.at < a; });
    it = free_.insert(it, {at, bytes});
    if (it + 1 != free_.end() && it->at + it->size == (it + 1)->at) {
      it->size += (it + 1)->size;
      free_.erase(it + 1);
    }
    if (it != free_.begin() && (it - 1)->at + (it - 1)->size == it->at) {
      (it - 1)->size += it->size;
      free_.erase(it);
    }
  }
  std::int64_t end() const { return end_; }

 private:
  struct Block {
    std::int64_t at, size;
  };
  std::vector<Block> free_;
  std::int64_t end_ = 0;
};

class PlanMaker {
 public:
  PlanMaker(const Program& p, Plan& plan) : p_(p), plan_(plan) {}

  void make() {
    plan_.dims = p_.graph.dims.evaluate(plan_.symbols);
    plan_.rows.resize(p_.steps.size());
    plan_.nests.resize(p_.steps.size());
    plan_.contractions.resize(p_.steps.size());
    plan_phase(p_.phases[0]);
    lay_out();
  }

  void extend(const compile::Phase& phase) {
    p_.graph.dims.evaluate(phase.dims, plan_.symbols, plan_.dims);
    plan_phase(phase);
    for (const ValueId v : phase.values) plan_.storage[v].bytes = bytes_of(v);
  }

 private:
  std::int64_t at(Dim d) const { return plan_.dims[d.id]; }

  void plan_phase(const compile::Phase& phase) {
    check_shapes(phase);
    for (const int i : phase.steps) {
      const Group& group = p_.group(p_.steps[i]);
      if (group.kind == GroupKind::rows) plan_rows(p_.steps[i], group, plan_.rows[i] = {});
      if (group.kind == GroupKind::nest) plan_nests(p_.steps[i], group, plan_.nests[i] = {});
      if (group.kind != GroupKind::contraction) continue;
      plan_contraction(group, plan_.contractions[i] = {});
      check_kernels(p_.steps[i], plan_.contractions[i].n);
    }
    // Positions in lists of live rows are 32-bit.
    if (plan_.iota > std::numeric_limits<std::int32_t>::max())
      throw InputError(fmt::format("the inputs are too large: a step would have {} rows, at most 2^31 - 1 are possible",
                                   plan_.iota));
    check_bounds(p_, plan_, phase);
  }

  void check_shapes(const compile::Phase& phase) {
    for (const ValueId id : phase.values) {
      const graph::Value& v = p_.graph.values[id];
      for (std::size_t d = 0; d < v.dims.size(); ++d) {
        const std::int64_t e = at(v.dims[d]);
        if (e == graph::DimTable::kUnknown)
          throw InputError(
              fmt::format(
                  "the shapes of the inputs do not fit each other: dimension {} of '{}' ({}) cannot be computed", d,
                  v.name, p_.graph.dims.print(v.dims[d])),
              {}, v.name);
        if (e < 0)
          throw InputError(fmt::format("dimension {} of '{}' ({}) would be {}; the inputs are too small for this model",
                                       d, v.name, p_.graph.dims.print(v.dims[d]), e),
                           {}, v.name);
      }
    }
    for (const int i : phase.checks) {
      const graph::Check& c = p_.graph.checks[i];
      const std::int64_t a = at(c.a), b = at(c.b);
      if (a != b)
        throw InputError(
            fmt::format("{}: the shapes of the inputs do not fit the model: {} is {}, but must equal {}, which is {}",
                        c.who, p_.graph.dims.print(c.a), a, p_.graph.dims.print(c.b), b),
            c.who);
    }
    for (const ValueId v : phase.values) check_size(p_.graph.values[v]);
  }

  // Beyond the memory of any machine; below it, sums of bytes stay far from 63 bits.
  void check_size(const graph::Value& v) const {
    constexpr std::int64_t most = std::int64_t{1} << 44;
    std::int64_t elements = 1;
    bool absurd = false;
    for (Dim d : v.dims) {
      absurd = absurd || at(d) > most || elements > most / std::max<std::int64_t>(at(d), 1);
      if (!absurd) elements *= std::max<std::int64_t>(at(d), 1);
    }
    if (absurd)  // also beside an extent of 0: strides are products, too
      throw InputError(
          fmt::format("'{}' would be {}: no machine has that much memory", v.name, to_string(plan_.shape_of(v))), {},
          v.name);
  }

  // -- row steps
  // ---------------------------------------------------------------------------------------------------------

  void plan_rows(const Step& step, const Group& group, RowPlan& r) {
    const std::size_t operands = group.operands.size();
    std::vector<std::int64_t> size(operands), inner_stride(operands, 0);
    for (std::size_t i = 0; i < operands; ++i) {
      size[i] = static_cast<std::int64_t>(size_of(group.operands[i].access.dtype));
      r.base.push_back(at(group.operands[i].base) * size[i]);
      if (group.inner >= 0) inner_stride[i] = at(group.operands[i].strides[group.inner]) * size[i];
    }
    r.inner = group.inner >= 0 ? at(group.extents[group.inner]) : 1;
    r.mid = group.mid >= 0 ? at(group.extents[group.mid]) : 1;
    auto stride = [&](std::size_t i, int axis) { return at(group.operands[i].strides[axis]) * size[i]; };

    std::vector<int> outer = group.outer;
    const auto& forms = group.control ? std::vector<sparsity::AxisForm>{} : p_.analysis->masks.forms(group.live_rows);
    auto masked = [&](int axis) { return !forms.empty() && forms[axis].form != sparsity::Form::uniform; };
    // Outer axes into inner, where nothing distinguishes them.
    while (step.rows.element_wise && group.inner >= 0 && outer.size() > 1) {
      const int a = outer.back();
      bool merges = !masked(a) && !step.rows.value_axis[a] && step.rows.lookups.empty();
      for (std::size_t i = 0; i < operands && merges; ++i) {
        const bool unit = group.operands[i].access.inner == lower::InnerAccess::unit;
        if (group.operands[i].access.inner == lower::InnerAccess::strided) merges = false;
        if (stride(i, a) != (unit ? r.inner * size[i] : 0)) merges = false;
      }
      if (!merges) break;
      r.inner *= at(group.extents[a]);
      outer.pop_back();
    }
    // The longest suffix of outer axes that is one row axis for every operand.
    std::vector<std::int64_t> row_stride(operands, 0);
    int taken = 0;
    for (auto it = outer.rbegin(); it != outer.rend(); ++it, ++taken) {
      const int a = *it;
      const std::int64_t extent = at(group.extents[a]);
      bool merges = taken == 0 || (!step.rows.value_axis[a] && !step.rows.value_axis[r.row_axes.front()]);
      for (std::size_t i = 0; i < operands && merges && taken > 0; ++i)
        if (stride(i, a) != row_stride[i] * r.rows && extent != 1) merges = false;
      if (!merges) break;
      if (taken == 0)
        for (std::size_t i = 0; i < operands; ++i) row_stride[i] = stride(i, a);
      else if (r.rows == 1)
        for (std::size_t i = 0; i < operands; ++i) row_stride[i] = stride(i, a);
      r.row_axes.insert(r.row_axes.begin(), a);
      r.rows *= extent;
    }
    outer.resize(outer.size() - taken);
    for (int a : outer) {
      r.driver_axes.push_back(a);
      r.driver_extents.push_back(at(group.extents[a]));
      r.driver_count *= r.driver_extents.back();
      r.driver_strides.emplace_back();
      for (std::size_t i = 0; i < operands; ++i) r.driver_strides.back().push_back(stride(i, a));
    }
    fill_ints(step, group, r, row_stride, inner_stride, stride);
    r.scratch_bytes = step.rows.abi.scratch_rows * ((r.inner + 63) / 64 * 64) * 8;
    // Readers share the steps of mid out between the rows.
    const std::int64_t steps = group.readers ? r.mid / std::max<std::int64_t>(1, r.rows * r.driver_count) + 1 : r.mid;
    const std::int64_t work =
        std::max<std::int64_t>(1, r.inner * steps) * static_cast<std::int64_t>(group.program.statements.size());
    r.task_rows = std::max<std::int64_t>(1, 65536 / work);
    plan_.scratch_bytes = std::max(plan_.scratch_bytes, r.scratch_bytes);
    plan_.iota = std::max({plan_.iota, r.rows, r.mid});
  }

  template <class StrideOf>
  void fill_ints(const Step& step, const Group& group, RowPlan& r, const std::vector<std::int64_t>& row_stride,
                 const std::vector<std::int64_t>& inner_stride, StrideOf&& stride) {
    using lower::Slot;
    for (const Slot& s : step.rows.abi.ints) {
      std::int64_t v = 0;
      switch (s.kind) {
        case Slot::row_count: break;
        case Slot::inner_extent: v = r.inner; break;
        case Slot::mid_count: v = r.mid; break;
        case Slot::row_stride: v = row_stride[s.a]; break;
        case Slot::mid_stride: v = group.mid >= 0 ? stride(s.a, group.mid) : 0; break;
        case Slot::inner_stride: v = inner_stride[s.a]; break;
        case Slot::lookup_extent: v = at(group.operands[s.a].lookup_extent[s.b]); break;
        case Slot::lookup_stride:
          v = at(group.operands[s.a].lookup_stride[s.b]) *
              static_cast<std::int64_t>(size_of(group.operands[s.a].access.dtype));
          break;
        case Slot::param: v = param(group, s); break;
        case Slot::extent: v = at(group.extents[s.a]); break;
        case Slot::coordinate_base: break;
        case Slot::coordinate_step:
          v = std::find(r.row_axes.begin(), r.row_axes.end(), s.a) != r.row_axes.end() ? 1 : 0;
          break;
      }
      r.ints.push_back(v);
    }
  }

  std::int64_t param(const Group& group, const lower::Slot& s) const {
    const auto& param = group.params[s.a];
    const Dim* d = std::get_if<Dim>(&param);
    if (s.as_double) return std::bit_cast<std::int64_t>(d ? static_cast<double>(at(*d)) : std::get<double>(param));
    return d ? at(*d) : static_cast<std::int64_t>(std::get<double>(param));
  }

  // -- nests
  // ---------------------------------------------------------------------------------------------------------------

  void plan_nests(const Step& step, const Group& group, NestPlan& plan) {
    for (std::size_t n = 0; n < group.nests.size(); ++n) {
      const fuse::Nest& nest = group.nests[n];
      NestPlan::Part& part = plan.parts.emplace_back();
      std::int64_t points = 1;
      for (std::size_t a = 0; a < group.extents.size(); ++a) {
        if (!has_axis(group.program.statements[nest.statement], static_cast<int>(a))) continue;
        if (fuse::contains(nest.outer, static_cast<int>(a))) part.rows *= at(group.extents[a]);
        else points *= std::max<std::int64_t>(1, at(group.extents[a]));
      }
      for (const lower::Slot& s : step.nest.parts[n].abi.ints) part.ints.push_back(nest_int(group, nest, s));
      part.task_rows = std::max<std::int64_t>(1, 16384 / points);
      plan_.iota = std::max(plan_.iota, part.rows);
    }
    for (const fuse::Operand& o : group.operands) {
      if (o.value >= 0 || !o.access.written) continue;
      std::int64_t elements = 1;
      for (const Dim d : o.lookup_extent) elements *= at(d);
      plan.temporaries.push_back({o.access.tensor, o.access.dtype, elements});
    }
  }

  static bool has_axis(const expr::Statement& s, int axis) {
    const std::vector<expr::AxisId> free = expr::free_axes(s), reduced = expr::reduced_axes(s);
    return fuse::contains(free, axis) || fuse::contains(reduced, axis);
  }

  std::int64_t nest_int(const Group& group, const fuse::Nest& nest, const lower::Slot& s) const {
    using lower::Slot;
    if (s.kind == Slot::row_count) return 0;
    if (s.kind == Slot::extent) return at(group.extents[s.a]);
    if (s.kind == Slot::param) return param(group, s);
    const fuse::Operand& o = group.operands[nest.operands[s.a]];
    const auto size = static_cast<std::int64_t>(size_of(o.access.dtype));
    switch (s.kind) {
      case Slot::inner_stride: return at(o.strides[nest.vector]) * size;
      case Slot::lookup_extent: return at(o.lookup_extent[s.b]);
      case Slot::lookup_stride: return at(o.lookup_stride[s.b]) * size;
      default: PIT_UNREACHABLE("an integer of kind {} of a nest", static_cast<int>(s.kind));
    }
  }

  // -- contractions
  // ------------------------------------------------------------------------------------------------------

  void plan_contraction(const Group& group, ContractionPlan& c) {
    const fuse::ContractionAxes& axes = group.axes;
    c.n = at(group.extents[axes.n]);
    c.k = at(group.extents[axes.k]);
    for (int a : axes.batch) {
      c.batch_extents.push_back(at(group.extents[a]));
      c.batch *= c.batch_extents.back();
    }
    for (int a : axes.m) {
      c.m_extents.push_back(at(group.extents[a]));
      c.m *= c.m_extents.back();
    }
    for (const fuse::Operand& o : group.operands) {
      const std::int64_t size = static_cast<std::int64_t>(size_of(o.access.dtype));
      ContractionPlan::Strides s{at(o.base) * size, at(o.strides[axes.n]) * size, at(o.strides[axes.k]) * size, {}, {}};
      for (int a : axes.batch) s.batch.push_back(at(o.strides[a]) * size);
      for (int a : axes.m) s.m.push_back(at(o.strides[a]) * size);
      c.operands.push_back(std::move(s));
    }
    merge_rows(c);
    plan_.iota = std::max({plan_.iota, c.m, c.k, c.n});
  }

  // Neighbouring axes of rows that lie alike in every operand are one axis: rows are found without a division.
  static void merge_rows(ContractionPlan& c) {
    for (std::size_t i = c.m_extents.size(); i-- > 1;) {
      const bool merges = std::all_of(c.operands.begin(), c.operands.end(), [&](const ContractionPlan::Strides& s) {
        return s.m[i - 1] == s.m[i] * c.m_extents[i];
      });
      if (!merges) continue;
      c.m_extents[i - 1] *= c.m_extents[i];
      c.m_extents.erase(c.m_extents.begin() + static_cast<std::ptrdiff_t>(i));
      for (ContractionPlan::Strides& s : c.operands) {
        s.m[i - 1] = s.m[i];
        s.m.erase(s.m.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

  // A plan may name only kernels that the program holds.
  void check_kernels(const Step& step, std::int64_t columns) const {
    if (step.contraction.tiles == nullptr) return;  // the engine's own: all widths
    const Group& group = p_.group(step);
    const lower::TileShape& tile = p_.engine_of(group).tile;
    const Panels panels = group.static_b ? step.contraction.panels : Panels{columns, tile.lanes, tile.vectors};
    for (int vectors : panel_widths(panels, step.contraction.gathers_columns))
      PIT_CHECK(step.contraction.tiles->has(vectors), "{}: no tile of {} vectors was generated for {} columns",
                step.label, vectors, columns);
  }

  // -- storage
  // -----------------------------------------------------------------------------------------------------------

  void lay_out() {
    const graph::Graph& g = p_.graph;
    plan_.storage.resize(g.values.size());
    const int steps = static_cast<int>(p_.steps.size());
    std::vector<int> first(g.values.size(), -1), last(g.values.size(), -1);
    auto root = [&](ValueId v) { return p_.fusion.layouts[v].root; };
    auto runs_at = [&](int s) {  // absorbed steps run with the attention that absorbs them
      if (!p_.steps[s].absorbed) return s;
      for (const auto& a : p_.fusion.attentions)
        if (a.scores == s || a.softmax == s) return a.output;
      return s;
    };
    for (int s = 0; s < steps; ++s) {
      const Group& group = p_.group(p_.steps[s]);
      if (group.kind == GroupKind::view) continue;
      const int when = runs_at(s);
      for (ValueId v : group.writes) {
        const ValueId r = root(v);
        if (r < 0 || (p_.steps[s].absorbed && when != s)) continue;
        first[r] = first[r] < 0 ? when : std::min(first[r], when);
        last[r] = std::max(last[r], when);
      }
      for (ValueId v : group.reads)
        if (root(v) >= 0) last[root(v)] = std::max(last[root(v)], when);
    }
    for (ValueId v : p_.mask_leaves)
      if (root(v) >= 0) last[root(v)] = std::max(last[root(v)], p_.phases.size() > 1 ? steps : last_control());
    for (ValueId v : p_.element_values) {
      first[v] = 0;
      last[v] = steps;
    }
    place(first, last, steps);
  }

  int last_control() const {
    int last = 0;
    for (std::size_t s = 0; s < p_.steps.size(); ++s)
      if (p_.group(p_.steps[s]).control) last = static_cast<int>(s) + 1;
    return last;
  }

  std::int64_t bytes_of(ValueId v) const {
    const graph::Value& value = p_.graph.values[v];
    return aligned(element_count(plan_.shape_of(value)) * static_cast<std::int64_t>(size_of(value.dtype)) + 1);
  }

  void place(const std::vector<int>& first, const std::vector<int>& last, int steps) {
    const graph::Graph& g = p_.graph;
    std::vector<std::vector<ValueId>> begin(steps + 1), end(steps + 2);
    if (p_.finds_extents()) plan_.born.resize(steps), plan_.dead.resize(steps);
    for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v) {
      const graph::Value& value = g.values[v];
      Storage& s = plan_.storage[v];
      if (p_.fusion.layouts[v].root != v) continue;
      const bool late = !plan_.has_shape(value);
      if (!late) s.bytes = bytes_of(v);
      if (value.is_constant()) {
        s.where = Storage::constant;
        continue;
      }
      if (value.input >= 0) {
        s.where = Storage::input;
        s.offset = value.input;
        continue;
      }
      const auto out = std::find(g.outputs.begin(), g.outputs.end(), v);
      if (out != g.outputs.end() && first[v] >= 0 && !value.has_elements) {
        s.where = Storage::output;
        s.offset = out - g.outputs.begin();
        if (late) plan_.born[first[v]].push_back(v);
        continue;
      }
      if (first[v] < 0) continue;
      if (late) {
        s.where = Storage::late;
        plan_.born[first[v]].push_back(v);
        if (std::max(first[v], last[v]) < steps) plan_.dead[std::max(first[v], last[v])].push_back(v);
        continue;
      }
      s.where = Storage::arena;
      begin[first[v]].push_back(v);
      end[std::max(first[v], last[v]) + 1].push_back(v);
    }
    ArenaLayout arena;
    for (int s = 0; s <= steps; ++s) {
      for (ValueId v : end[s]) arena.give(plan_.storage[v].offset, plan_.storage[v].bytes);
      for (ValueId v : begin[s]) plan_.storage[v].offset = arena.take(plan_.storage[v].bytes);
    }
    plan_.arena_bytes = arena.end();
  }

  const Program& p_;
  Plan& plan_;
};

}  // namespace

Shape Plan::shape_of(const graph::Value& v) const {
  Shape s;
  for (Dim d : v.dims) s.push_back(dims[d.id]);
  return s;
}

std::shared_ptr<const Plan> make_plan(const Program& p, std::vector<std::int64_t> symbols) {
  auto plan = std::make_shared<Plan>();
  plan->symbols = std::move(symbols);
  PlanMaker(p, *plan).make();
  return plan;
}

void extend_plan(const Program& p, Plan& plan, const compile::Phase& phase) { PlanMaker(p, plan).extend(phase); }

bool Plan::has_shape(const graph::Value& v) const {
  return std::none_of(v.dims.begin(), v.dims.end(), [&](Dim d) { return dims[d.id] == graph::DimTable::kUnknown; });
}

}  // namespace pit::runtime
