#include "runtime/run.h"

#include <algorithm>
#include <cstring>

#include "graph/reference.h"
#include "runtime/attention.h"
#include "runtime/contraction.h"
#include "runtime/nest.h"
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

Plan& Arena::copy_of(const Plan& plan) {
  if (!copy_ || copied_ != plan.symbols) {
    copy_ = std::make_unique<Plan>(plan);
    copied_ = plan.symbols;
  } else {  // what is planned of later phases is planned again
    copy_->symbols = plan.symbols;
    copy_->dims = plan.dims;
    copy_->scratch_bytes = plan.scratch_bytes;
    copy_->iota = plan.iota;
  }
  return *copy_;
}

void Run::bind(const std::vector<const void*>& inputs, const Targets& targets) {
  targets_ = &targets;
  const graph::Graph& g = p_.graph;
  if (p_.finds_extents()) plan_ = own_ = &arena_.copy_of(*plan_);
  bind_workspace();
  address_.assign(g.values.size(), nullptr);
  outputs_.resize(g.outputs.size());
  for (std::size_t o = 0; o < g.outputs.size(); ++o)
    if (plan().has_shape(g.values[g.outputs[o]])) outputs_[o] = make_output(o);
  for (ValueId v = 0; v < static_cast<ValueId>(g.values.size()); ++v) {
    const Storage& s = plan().storage[v];
    switch (s.where) {
      case Storage::none:
      case Storage::late: break;
      case Storage::arena: address_[v] = arena_.data() + s.offset; break;
      case Storage::constant: address_[v] = static_cast<char*>(const_cast<void*>(g.values[v].constant.data())); break;
      case Storage::input: address_[v] = static_cast<char*>(const_cast<void*>(inputs[s.offset])); break;
      case Storage::output:
        if (outputs_[s.offset].defined()) address_[v] = static_cast<char*>(outputs_[s.offset].data());
        break;
    }
  }
}

void Run::bind_workspace() {
  arena_.reserve(plan().arena_bytes, plan().scratch_bytes, pool_.size());
  const std::size_t before = iota_.size();
  iota_.resize(std::max(before, static_cast<std::size_t>(plan().iota) + 16));
  for (std::size_t i = before; i < iota_.size(); ++i) iota_[i] = static_cast<std::int32_t>(i);
}

Tensor Run::make_output(std::size_t o) const {
  const graph::Value& v = p_.graph.values[p_.graph.outputs[o]];
  void* memory = targets_->memory_of(o);
  return memory ? Tensor(v.dtype, plan().shape_of(v), memory, unowned()) : Tensor(v.dtype, plan().shape_of(v));
}

void Run::fill_elements(const compile::Phase& phase) {
  for (ValueId v : phase.element_values) {
    if (!address_[v]) continue;
    const Tensor t = graph::materialise(p_.graph, p_.graph.values[v], plan().dims);
    std::memcpy(address_[v], t.data(), t.bytes());
  }
}

// -- what a run finds
// ---------------------------------------------------------------------------------------------------------------

void Run::give_birth(std::size_t i) {
  if (plan().born.empty()) return;
  for (const ValueId v : plan().born[i]) {
    const Storage& s = plan().storage[v];
    if (address_[v] || !plan().has_shape(p_.graph.values[v])) continue;  // a routine is about to tell its shape
    if (s.where == Storage::output)
      address_[v] = static_cast<char*>((outputs_[s.offset] = make_output(static_cast<std::size_t>(s.offset))).data());
    else address_[v] = (late_[v] = arena_.buffers.take(s.bytes)).data();
  }
}

void Run::give_birth_to_results(std::size_t i, const std::vector<Tensor>& results, const std::vector<Tensor>& inputs) {
  if (plan().born.empty()) return;
  const std::vector<ValueId>& values = p_.graph.nodes[p_.group(p_.steps[i]).nodes[0]].outputs;
  for (std::size_t o = 0; o < results.size(); ++o) adopt(values[o], results[o], inputs);
  give_birth(i);
}

void Run::bury(std::size_t i) {
  if (plan().dead.empty()) return;
  for (const ValueId v : plan().dead[i]) {
    address_[v] = nullptr;
    late_.erase(v);
    adopted_.erase(v);
  }
}

bool Run::adopt(ValueId v, const Tensor& t, const std::vector<Tensor>& inputs) {
  const Storage& s = plan().storage[v];
  if (address_[v] || s.where != Storage::late || p_.fusion.layouts[v].root != v) return false;
  const auto* data = static_cast<const char*>(t.data());
  for (const Tensor& in : inputs) {  // a reshaped operand is the operand's memory
    const auto* begin = static_cast<const char*>(in.data());
    if (data >= begin && data < begin + in.bytes()) return false;
  }
  const fuse::Layout& l = p_.fusion.layouts[v];
  std::int64_t step = 1;
  for (std::size_t d = t.shape().size(); d-- > 0; step *= t.shape()[d])
    if (t.shape()[d] != 1 && plan()[l.strides[d]] != step) return false;
  adopted_[v] = t;
  address_[v] = static_cast<char*>(adopted_[v].data());
  return true;
}

const compile::Phase* Run::phase_behind(std::size_t i) const {
  if (phase_ + 1 == p_.phases.size() || p_.phases[phase_ + 1].after != static_cast<int>(i)) return nullptr;
  return &p_.phases[phase_ + 1];
}

void Run::find_extents(std::size_t i, const std::vector<Tensor>& results) {
  const compile::Phase* phase = phase_behind(i);
  if (!phase || phase->finders.empty()) return;
  for (const graph::Finder& f : phase->finders) own_->symbols[f.symbol] = results[f.output].shape()[f.dim];
  extend_plan(p_, *own_, *phase);
  bind_workspace();
  fill_elements(*phase);
}

void Run::enter_phase_behind(std::size_t i) {
  const compile::Phase* phase = phase_behind(i);
  if (!phase) return;
  ++phase_;
  if (masks_) evaluate_masks(*phase);
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
  for (const compile::Phase& phase : p_.phases)
    if (phase.after >= 0) steps[phase.after] = 1;
  for (std::size_t i = p_.steps.size(); i-- > 0;) {
    const fuse::Group& group = p_.group(p_.steps[i]);
    steps[i] = steps[i] || group.control || std::any_of(group.writes.begin(), group.writes.end(), [&](ValueId v) {
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
  fill_elements(p_.phases[0]);
  if (profile) profile->steps.assign(p_.steps.size(), {});
  run_steps(p_.steps.size(), needed, profile);
  copy_plain_outputs();
  zero_undemanded();
  for (std::size_t o = 0; o < outputs_.size(); ++o)
    if (!wants(o)) outputs_[o] = Tensor();
  if (profile) profile->total_seconds = seconds_since(start);
  return std::move(outputs_);
}

void Run::run_steps(std::size_t end, const std::vector<char>& needed, RunProfile* profile) {
  for (std::size_t i = 0; i < end; ++i) {
    if (!p_.group(p_.steps[i]).control && !masks_) {
      const Clock::time_point t = Clock::now();
      evaluate_first_masks();
      if (profile) profile->mask_seconds = seconds_since(t);
    }
    const Clock::time_point t = Clock::now();
    record_ = {};
    poll_cancel();
    if (needed[i]) {
      give_birth(i);
      run_step(i);
    }
    enter_phase_behind(i);
    bury(i);
    record_.seconds = seconds_since(t);
    if (profile) profile->steps[i] = std::move(record_);
  }
}

const std::vector<sparsity::MaskPtr>& Run::masks_only(const std::vector<const void*>& inputs) {
  static const Targets all;
  bind(inputs, all);
  poison_memory();
  fill_elements(p_.phases[0]);
  auto end = static_cast<std::size_t>(p_.phases.back().after + 1);
  while (end < p_.steps.size() && p_.group(p_.steps[end]).control) ++end;
  run_steps(end, std::vector<char>(p_.steps.size(), 1), nullptr);
  if (!masks_) evaluate_first_masks();
  return masks_->results();
}

void Run::run_step(std::size_t i) {
  const Step& step = p_.steps[i];
  const fuse::Group& group = p_.group(step);
  if (step.absorbed || group.kind == fuse::GroupKind::view) return;
  poison(group);
  if (step.attention >= 0) return AttentionRunner(*this, p_.fusion.attentions[step.attention])();
  switch (group.kind) {
    case fuse::GroupKind::rows: return RowRunner(*this, step, plan().rows[i])();
    case fuse::GroupKind::nest: return NestRunner(*this, step, plan().nests[i])();
    case fuse::GroupKind::contraction: return ContractionRunner(*this, step, plan().contractions[i])();
    case fuse::GroupKind::reference: return run_reference(i);
    default: PIT_UNREACHABLE("a step of no kind");
  }
}

// What nobody writes at all, and what the run before left.
void Run::poison_memory() {
  if (poison_ == Poison::none) return;
  fill_poison(arena_.data(), DType::f32, plan().arena_bytes / 4, poison_);
  for (Tensor& t : outputs_)
    if (t.defined()) fill_poison(t.data(), t.dtype(), t.size(), poison_);
}

// The memory of a value served another one before; so did the workers' scratch (packed operands, attention's scores).
void Run::poison(const fuse::Group& group) {
  if (poison_ == Poison::none) return;
  for (int worker = 0; worker < pool_.size(); ++worker)
    fill_poison(arena_.scratch(worker), DType::f32, plan().scratch_bytes / 4, poison_);
  for (ValueId v : group.writes) {
    const ValueId root = p_.fusion.layouts[v].root;
    if (root < 0 || !address_[root] || p_.graph.values[v].has_elements) continue;
    const Storage::Where where = plan().storage[root].where;
    if (where != Storage::arena && where != Storage::output && where != Storage::late) continue;
    // Several groups may write one after the other to the same place (parts of a concatenation, sums onto each other):
    // only the first may poison it.
    const auto writes_here = [&](const fuse::Group& other) {
      return other.kind != fuse::GroupKind::view &&
             std::any_of(other.writes.begin(), other.writes.end(),
                         [&](ValueId w) { return p_.fusion.layouts[w].root == root; });
    };
    if (&*std::find_if(p_.fusion.groups.begin(), p_.fusion.groups.end(), writes_here) != &group) continue;
    const graph::Value& value = p_.graph.values[root];
    fill_poison(address_[root], value.dtype, element_count(plan().shape_of(value)), poison_);
  }
}

std::optional<Tensor> Run::in_place(ValueId v) const {
  const graph::Value& value = p_.graph.values[v];
  const fuse::Layout& l = p_.fusion.layouts[v];
  const Shape shape = plan().shape_of(value);
  PIT_CHECK(l.root >= 0 && address_[l.root], "'{}' has no storage", value.name);
  std::int64_t step = 1;
  for (std::size_t d = shape.size(); d-- > 0; step *= shape[d])
    if (shape[d] != 1 && plan()[l.strides[d]] != step) return std::nullopt;
  char* base = address_[l.root] + plan()[l.offset] * static_cast<std::int64_t>(size_of(value.dtype));
  return Tensor(value.dtype, shape, base, unowned());
}

Tensor Run::contiguous(ValueId v) const {
  if (std::optional<Tensor> t = in_place(v)) return std::move(*t);
  const graph::Value& value = p_.graph.values[v];
  const fuse::Layout& l = p_.fusion.layouts[v];
  const Shape shape = plan().shape_of(value);
  const std::size_t size = size_of(value.dtype);
  std::vector<std::int64_t> strides;
  for (Dim d : l.strides) strides.push_back(plan()[d]);
  Tensor t(value.dtype, shape);
  copy_strided(shape, size, address_[l.root] + plan()[l.offset] * static_cast<std::int64_t>(size), strides, t.data(),
               {});
  return t;
}

void Run::run_reference(std::size_t i) {
  const graph::NodeId node = p_.group(p_.steps[i]).nodes[0];
  const graph::Node& n = p_.graph.nodes[node];
  std::vector<Tensor> inputs, targets(n.outputs.size());
  for (ValueId v : n.inputs) inputs.push_back(contiguous(v));
  for (std::size_t o = 0; o < targets.size(); ++o)
    if (address_[n.outputs[o]]) targets[o] = in_place(n.outputs[o]).value_or(Tensor());
  const std::vector<Tensor> out = graph::run_node(p_.graph, n, inputs, plan().dims, pool_, targets);
  find_extents(i, out);
  give_birth_to_results(i, out, inputs);
  for (std::size_t o = 0; o < out.size(); ++o) {
    const ValueId v = n.outputs[o];
    const Shape shape = plan().shape_of(p_.graph.values[v]);
    PIT_CHECK(out[o].shape() == shape, "{} gave {} instead of {}", p_.graph.describe(node), to_string(out[o].shape()),
              to_string(shape));
    if (!address_[v] || address_[v] == out[o].data()) continue;
    // The value may be stored in another order of dimensions.
    std::vector<std::int64_t> strides;
    for (Dim d : p_.fusion.layouts[v].strides) strides.push_back(plan()[d]);
    copy_strided(shape, size_of(out[o].dtype()), out[o].data(), {}, address_[v], strides);
  }
}

void Run::evaluate_first_masks() {
  masks_.emplace(p_.analysis->masks, [this](ValueId v) -> const Tensor& {
    const auto [it, fresh] = leaves_.try_emplace(v);
    if (fresh) it->second = leaf(v);
    return it->second;
  });
  for (std::size_t i = 0; i <= phase_; ++i) evaluate_masks(p_.phases[i]);
}

// Of a late leaf, what nobody demands was not computed: it becomes zero, so that time does not depend on what memory held.
// Poison stays, and shows that it does not matter.
Tensor Run::leaf(ValueId v) const {
  const auto defined = p_.fusion.defined.find(v);
  const sparsity::MaskArray* m = defined == p_.fusion.defined.end() ? nullptr : mask(defined->second);
  if (m && !m->all && poison_ == Poison::none) {
    const graph::Value& value = p_.graph.values[v];
    const fuse::Layout& l = p_.fusion.layouts[v];
    const Shape shape = plan().shape_of(value);
    const auto size = static_cast<std::int64_t>(size_of(value.dtype));
    std::vector<std::int64_t> at(shape.size(), 0);
    for (std::int64_t i = 0, count = element_count(shape); i < count; ++i, next_position(at, shape)) {
      if (m->at(at.data())) continue;
      std::int64_t element = plan()[l.offset];
      for (std::size_t d = 0; d < at.size(); ++d) element += at[d] * plan()[l.strides[d]];
      std::memset(address_[l.root] + element * size, 0, static_cast<std::size_t>(size));
    }
  }
  return contiguous(v);
}

void Run::evaluate_masks(const compile::Phase& phase) {
  masks_->advance(phase.masks, plan().dims);
  check_claims(phase);
}

// A hole in the analysis is loud: no answer is better than a wrong one.
void Run::check_claims(const compile::Phase& phase) const {
  for (const int claim : phase.claims) {
    const fuse::Obligation& o = p_.claims[claim];
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
    const Storage& s = plan().storage[v];
    if (s.where == Storage::output && static_cast<std::size_t>(s.offset) == o) continue;
    if (!outputs_[o].defined()) outputs_[o] = make_output(o);
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
