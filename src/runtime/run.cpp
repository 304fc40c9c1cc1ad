#include "runtime/run.h"

#include <algorithm>
#include <cstring>

#include "graph/reference.h"
#include "runtime/attention.h"
#include "runtime/contraction.h"
#include "runtime/rows.h"
#include "support/cancel.h"
#include "support/check.h"
#include "tensor/poison.h"
#include "tensor/strided.h"

namespace pit::runtime {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

std::shared_ptr<void> unowned() {
  static const std::shared_ptr<void> token = std::make_shared<char>();
  return token;
}

// Where a mask keeps the byte for a position of one of its axes: one for all, one per segment, or one per position.
std::int64_t stored_position(const sparsity::MaskArray& m, std::size_t axis, std::int64_t at) {
  const std::vector<std::int64_t>& boundaries = m.boundaries[axis];
  if (m.shape[axis] == 1) return 0;
  return boundaries.empty() ? at : std::upper_bound(boundaries.begin(), boundaries.end(), at) - boundaries.begin();
}

}  // namespace

void Arena::reserve(std::int64_t arena_bytes, std::int64_t scratch_bytes, int workers) {
  if (arena_bytes > arena_bytes_) {
    arena_ = nullptr;
    arena_ = long_lived_memory(static_cast<std::size_t>(arena_bytes));
    arena_bytes_ = arena_bytes;
  }
  if (scratch_bytes > scratch_bytes_ || static_cast<int>(scratch_.size()) < workers) {
    scratch_bytes_ = std::max(scratch_bytes, scratch_bytes_);
    scratch_.clear();
    for (int i = 0; i < workers; ++i)
      scratch_.push_back(long_lived_memory(static_cast<std::size_t>(scratch_bytes_) + 64));
  }
}

std::int64_t Arena::bytes() const { return arena_bytes_ + scratch_bytes_ * static_cast<std::int64_t>(scratch_.size()); }

void Run::bind(const std::vector<const void*>& inputs, const Targets& targets) {
  targets_ = &targets;
  const graph::Graph& g = p_.graph;
  arena_.reserve(plan_.arena_bytes, plan_.scratch_bytes, pool_.size());
  address_.assign(g.values.size(), nullptr);
  outputs_.resize(g.outputs.size());
  for (std::size_t o = 0; o < g.outputs.size(); ++o) {
    const graph::Value& v = g.values[g.outputs[o]];
    void* memory = targets.memory_of(o);
    outputs_[o] = memory ? Tensor(v.dtype, plan_.shape_of(v), memory, unowned()) : Tensor(v.dtype, plan_.shape_of(v));
  }
  for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v) {
    const Storage& s = plan_.storage[v];
    switch (s.where) {
      case Storage::none: break;
      case Storage::arena: address_[v] = arena_.data() + s.offset; break;
      case Storage::constant: address_[v] = static_cast<char*>(const_cast<void*>(g.values[v].constant.data())); break;
      case Storage::input: address_[v] = static_cast<char*>(const_cast<void*>(inputs[s.offset])); break;
      case Storage::output: address_[v] = static_cast<char*>(outputs_[s.offset].data()); break;
    }
  }
  iota_.resize(static_cast<std::size_t>(plan_.iota) + 16);
  for (std::size_t i = 0; i < iota_.size(); ++i) iota_[i] = static_cast<std::int32_t>(i);
}

void Run::fill_elements() {
  for (ValueId v : p_.element_values) {
    if (!address_[v]) continue;
    const Tensor t = graph::materialise(p_.graph, p_.graph.values[v], plan_.dims);
    std::memcpy(address_[v], t.data(), t.bytes());
  }
}

// Backwards from the outputs that are wanted. Control steps feed masks, too.
std::vector<char> Run::needed_steps() const {
  std::vector<char> steps(p_.steps.size(), targets_->wanted.empty()), values(p_.graph.values.size(), 0);
  if (targets_->wanted.empty()) return steps;
  auto need = [&](ValueId v) {
    values[v] = 1;
    if (const ValueId root = p_.fusion.layouts[v].root; root >= 0) values[root] = 1;
  };
  for (std::size_t o = 0; o < outputs_.size(); ++o)
    if (wants(o)) need(p_.graph.outputs[o]);
  for (std::size_t o = 0; o < p_.demands.size(); ++o)
    if (wants(o) && p_.demands[o].mask >= 0) need(p_.demands[o].mask);
  for (std::size_t i = p_.steps.size(); i-- > 0;) {
    const fuse::Group& group = p_.group(p_.steps[i]);
    steps[i] = group.control || std::any_of(group.writes.begin(), group.writes.end(), [&](ValueId v) {
                 const ValueId root = p_.fusion.layouts[v].root;
                 return values[v] != 0 || (root >= 0 && values[root] != 0);
               });
    if (steps[i]) std::for_each(group.reads.begin(), group.reads.end(), need);
  }
  return steps;
}

std::vector<Tensor> Run::execute(const std::vector<const void*>& inputs, RunProfile* profile, const Targets& targets) {
  const Clock::time_point start = Clock::now();
  bind(inputs, targets);
  const std::vector<char> needed = needed_steps();
  poison_memory();
  fill_elements();
  if (profile) profile->steps.assign(p_.steps.size(), {});
  bool masks_known = false;
  for (std::size_t i = 0; i < p_.steps.size(); ++i) {
    if (!p_.group(p_.steps[i]).control && !masks_known) {
      const Clock::time_point t = Clock::now();
      evaluate_masks();
      masks_known = true;
      if (profile) profile->mask_seconds = seconds_since(t);
    }
    const Clock::time_point t = Clock::now();
    record_ = {};
    poll_cancel();
    if (needed[i]) run_step(i);
    record_.seconds = seconds_since(t);
    if (profile) profile->steps[i] = std::move(record_);
  }
  copy_plain_outputs();
  zero_undemanded();
  for (std::size_t o = 0; o < outputs_.size(); ++o)
    if (!wants(o)) outputs_[o] = Tensor();
  if (profile) profile->total_seconds = seconds_since(start);
  return std::move(outputs_);
}

const std::vector<sparsity::MaskPtr>& Run::masks_only(const std::vector<const void*>& inputs) {
  static const Targets all;
  bind(inputs, all);
  poison_memory();
  fill_elements();
  for (std::size_t i = 0; i < p_.steps.size(); ++i)
    if (p_.group(p_.steps[i]).control) run_step(i);
  evaluate_masks();
  return masks_;
}

void Run::run_step(std::size_t i) {
  const Step& step = p_.steps[i];
  const fuse::Group& group = p_.group(step);
  if (step.absorbed || group.kind == fuse::GroupKind::view) return;
  poison(group);
  if (step.attention >= 0) return AttentionRunner(*this, p_.fusion.attentions[step.attention])();
  switch (group.kind) {
    case fuse::GroupKind::rows: return RowRunner(*this, step, plan_.rows[i])();
    case fuse::GroupKind::contraction: return ContractionRunner(*this, step, plan_.contractions[i])();
    case fuse::GroupKind::reference: return run_reference(step);
    default: PIT_UNREACHABLE("a step of no kind");
  }
}

// What nobody writes at all, and what the run before left.
void Run::poison_memory() {
  if (poison_ == Poison::none) return;
  fill_poison(arena_.data(), DType::f32, plan_.arena_bytes / 4, poison_);
  for (Tensor& t : outputs_) fill_poison(t.data(), t.dtype(), t.size(), poison_);
}

// The memory of a value served another one before; so did the workers' scratch (packed operands, attention's scores).
void Run::poison(const fuse::Group& group) {
  if (poison_ == Poison::none) return;
  for (int worker = 0; worker < pool_.size(); ++worker)
    fill_poison(arena_.scratch(worker), DType::f32, plan_.scratch_bytes / 4, poison_);
  for (ValueId v : group.writes) {
    if (plan_.storage[v].where != Storage::arena && plan_.storage[v].where != Storage::output) continue;
    if (p_.graph.values[v].has_elements) continue;
    // Several groups may write parts of one value (concatenation): only the first may poison it.
    const fuse::Group* owner = nullptr;
    for (const fuse::Group& other : p_.fusion.groups)
      if (!owner && std::find(other.writes.begin(), other.writes.end(), v) != other.writes.end()) owner = &other;
    if (owner != &group) continue;
    const graph::Value& value = p_.graph.values[v];
    fill_poison(address_[v], value.dtype, element_count(plan_.shape_of(value)), poison_);
  }
}

Tensor Run::contiguous(ValueId v) const {
  const graph::Value& value = p_.graph.values[v];
  const fuse::Layout& l = p_.fusion.layouts[v];
  const Shape shape = plan_.shape_of(value);
  const std::size_t size = size_of(value.dtype);
  PIT_CHECK(l.root >= 0 && address_[l.root], "'{}' has no storage", value.name);
  std::vector<std::int64_t> strides;
  bool row_major = true;
  for (Dim d : l.strides) strides.push_back(plan_[d]);
  std::int64_t step = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != step) row_major = false;
    step *= shape[d];
  }
  char* base = address_[l.root] + plan_[l.offset] * static_cast<std::int64_t>(size);
  if (row_major) return Tensor(value.dtype, shape, base, unowned());
  Tensor t(value.dtype, shape);
  copy_strided(shape, size, base, strides, t.data(), {});
  return t;
}

void Run::run_reference(const Step& s) {
  const graph::Node& n = p_.graph.nodes[p_.group(s).nodes[0]];
  std::vector<Tensor> inputs;
  for (ValueId v : n.inputs) inputs.push_back(contiguous(v));
  const std::vector<Tensor> out = graph::run_node(p_.graph, n, inputs, plan_.dims);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const ValueId v = n.outputs[i];
    const fuse::Layout& l = p_.fusion.layouts[v];
    if (!address_[v]) continue;
    // The value may be stored in another order of dimensions.
    const Shape shape = plan_.shape_of(p_.graph.values[v]);
    PIT_CHECK(out[i].shape() == shape, "{} gave {} instead of {}", p_.graph.describe(p_.group(s).nodes[0]),
              to_string(out[i].shape()), to_string(shape));
    std::vector<std::int64_t> strides;
    for (Dim d : l.strides) strides.push_back(plan_[d]);
    copy_strided(shape, size_of(out[i].dtype()), out[i].data(), {}, address_[v], strides);
  }
}

void Run::evaluate_masks() {
  std::map<ValueId, Tensor> leaves;
  for (ValueId v : p_.mask_leaves) leaves.emplace(v, contiguous(v));
  masks_ = p_.analysis->masks.evaluate(plan_.dims, [&](ValueId v) -> const Tensor& {
    auto it = leaves.find(v);
    if (it == leaves.end()) it = leaves.emplace(v, contiguous(v)).first;
    return it->second;
  });
  check_claims();
}

// A hole in the analysis is loud: no answer is better than a wrong one.
void Run::check_claims() const {
  for (const fuse::Obligation& o : p_.claims) {
    const sparsity::MaskArray* violated = mask(o.violated);
    PIT_CHECK(!violated || violated->none, "step {}, '{}': it does not hold that {}: not where {}",
              p_.steps[o.group].label, p_.graph.values[o.value].name, o.text, p_.analysis->masks.print(o.violated));
  }
}

LiveList Run::list(sparsity::MaskId m, int outer_axes, std::int64_t outer, std::int64_t extent, bool control) {
  LiveList l;
  l.iota = iota_.data();
  l.extent = extent;
  l.outer = outer;
  const sparsity::MaskArray* array = control ? nullptr : mask(m);
  PIT_CHECK(control || array, "a live mask was not evaluated");
  if (!array || array->all || outer * extent == 0) return l;
  auto [it, fresh] = lists_.try_emplace(ListKey{array, outer_axes, outer, extent});
  if (fresh) {
    std::vector<int> outer_list, rest;
    int rank = 0;
    std::int64_t span = 1;
    for (; rank < static_cast<int>(array->extents.size()); ++rank) {
      if (rank < outer_axes) outer_list.push_back(rank);
      else if (span < extent || array->extents[rank] == 1) rest.push_back(rank), span *= array->extents[rank];
      else break;  // axes merged into the kernel's inner axis: uniform
    }
    it->second = std::make_shared<detect::IndexSet>(detect::project(*array, outer_list, rest));
    PIT_CHECK(it->second->outer == outer && it->second->extent == extent, "live lists of {} x {} instead of {} x {}",
              it->second->outer, it->second->extent, outer, extent);
  }
  l.set = it->second;
  return l;
}

LiveList Run::rows_of_segments(const sparsity::MaskArray& m, std::int64_t first, std::int64_t last,
                               const ContractionPlan& c, std::int64_t segments) {
  LiveList l;
  l.iota = iota_.data();
  l.extent = c.m;
  l.outer = c.batch;
  auto [it, fresh] =
      segment_lists_.try_emplace({ListKey{&m, static_cast<int>(c.batch_extents.size()), c.batch, c.m}, first, last});
  if (fresh) {
    const std::vector<std::int64_t> extents(m.extents.begin(), m.extents.end() - 1);
    std::vector<std::uint8_t> live(static_cast<std::size_t>(c.batch * c.m), 0);
    std::vector<std::int64_t> at(extents.size(), 0);
    for (std::uint8_t& byte : live) {
      std::int64_t stored = 0;
      for (std::size_t d = 0; d < extents.size(); ++d) stored = stored * m.shape[d] + stored_position(m, d, at[d]);
      for (std::int64_t p = first; p <= last; ++p) byte |= m.bits[static_cast<std::size_t>(stored * segments + p)];
      next_position(at, extents);
    }
    it->second = std::make_shared<detect::IndexSet>(detect::from_bytes(live.data(), c.batch, c.m));
  }
  if (!it->second->all) l.set = it->second;
  return l;
}

void Run::copy_plain_outputs() {
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    if (!wants(o)) continue;
    const ValueId v = p_.graph.outputs[o];
    const Storage& s = plan_.storage[v];
    if (s.where == Storage::output && static_cast<std::size_t>(s.offset) == o) continue;
    if (s.where == Storage::output) {  // the same value asked for twice
      std::memcpy(outputs_[o].data(), outputs_[s.offset].data(), outputs_[o].bytes());
      continue;
    }
    const Tensor t = contiguous(v);
    std::memcpy(outputs_[o].data(), t.data(), t.bytes());
  }
}

// Declared outputs: what nobody asked for comes back as zero.
void Run::zero_undemanded() {
  for (std::size_t o = 0; o < p_.demands.size() && o < outputs_.size(); ++o) {
    if (p_.demands[o].mask < 0 || !wants(o)) continue;
    const Tensor mask = contiguous(p_.demands[o].mask);
    const std::size_t size = size_of(mask.dtype());
    if (mask.size() == 0) continue;
    const std::size_t block = outputs_[o].bytes() / static_cast<std::size_t>(mask.size());
    static const char zero[8] = {};
    for (std::int64_t i = 0; i < mask.size(); ++i)
      if (std::memcmp(static_cast<const char*>(mask.data()) + static_cast<std::size_t>(i) * size, zero, size) == 0)
        std::memset(static_cast<char*>(outputs_[o].data()) + static_cast<std::size_t>(i) * block, 0, block);
  }
}

}  // namespace pit::runtime
