// Contraction: compiling, and one call from views to the engine.
#include "pit/contraction.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <optional>

#include "api/contraction_impl.h"
#include "api/entry.h"
#include "support/cancel.h"
#include "support/check.h"
#include "tensor/poison.h"

namespace pit {
namespace {

void want_detectable(DType element, const std::string& who, const char* operand) {
  if (element == DType::i32)
    throw InputError(fmt::format("'{}' is i32; zeros are detected in f32 and f64: give a live set", operand), who,
                     operand);
}

using Clock = std::chrono::steady_clock;
using contract::Extents;
using contract::Matrices;
using MapPtr = std::shared_ptr<const detect::LiveMap>;

constexpr const char* kNoMemory = "there is not enough memory for this contraction";

double seconds_since(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

std::string axis_name(const Contraction::Impl& c, int axis) { return c.program.axes[static_cast<std::size_t>(axis)]; }

std::string axes_text(const Contraction::Impl& c, const std::vector<int>& dims) {
  std::string text;
  for (const int axis : dims) text += (text.empty() ? "" : ", ") + axis_name(c, axis);
  return "[" + text + "]";
}

/// Checks an operand by itself, and against the extents that others have given (-1: none yet).
void bind(const Contraction::Impl& c, const TensorView& view, const std::vector<int>& dims, const char* name,
          Extents& extents) {
  auto refuse = [&](const std::string& what) {
    throw InputError(fmt::format("'{}' {}", name, what), c.expression, name);
  };
  if (view.dtype != c.dtype) refuse(fmt::format("is {}; give {}", name_of(view.dtype), name_of(c.dtype)));
  if (view.shape.size() != dims.size())
    refuse(fmt::format("has the shape {}; give {}", to_string(view.shape), axes_text(c, dims)));
  if (!view.strides.empty() && view.strides.size() != view.shape.size())
    refuse(fmt::format("has {} extents, but {} strides", view.shape.size(), view.strides.size()));
  if (!view.data && element_count(view.shape) > 0) refuse("has no data");
  for (std::size_t d = 0; d < dims.size(); ++d) {
    std::int64_t& extent = extents[static_cast<std::size_t>(dims[d])];
    if (view.shape[d] < 0) refuse(fmt::format("has the shape {}", to_string(view.shape)));
    if (extent >= 0 && extent != view.shape[d])
      refuse(fmt::format("has the shape {} for {}: axis {} is {} elsewhere", to_string(view.shape), axes_text(c, dims),
                         axis_name(c, dims[d]), extent));
    extent = view.shape[d];
  }
}

std::string first_word(const std::string& rule) { return rule.substr(0, rule.find(' ')); }

/// First and last byte of a view that has elements.
std::pair<const char*, const char*> span_of(const TensorView& view) {
  const std::vector<std::int64_t> strides = contract::strides_of(view);
  std::int64_t low = 0, high = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) (strides[d] < 0 ? low : high) += strides[d] * (view.shape[d] - 1);
  const char* data = static_cast<const char*>(view.data);
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  return {data + low * size, data + (high + 1) * size};
}

bool may_overlap(const TensorView& x, const TensorView& y) {
  if (element_count(x.shape) == 0 || element_count(y.shape) == 0) return false;
  const auto [x0, x1] = span_of(x);
  const auto [y0, y1] = span_of(y);
  return std::less<>()(x0, y1) && std::less<>()(y0, x1);
}

Shape shape_over(const std::vector<int>& dims, const Extents& extents) {
  Shape shape;
  for (const int axis : dims) shape.push_back(extents[static_cast<std::size_t>(axis)]);
  return shape;
}

/// One call, in the engine's order of operands. Names in errors are the caller's.
class Call {
 public:
  Call(const Contraction::Impl& c, const TensorView& a, const TensorView* b, const PreparedOperand::Impl* prepared,
       const CallOptions& options)
      : c_(c),
        options_(options),
        view_a_(a),
        view_b_(b),
        prepared_(prepared),
        extents_(static_cast<std::size_t>(c.form.axis_count), -1) {
    bind(c, a, c.dims_of_a(), "a", extents_);
    if (b) {
      bind(c, *b, c.dims_of_b(), "b", extents_);
    } else {
      if (prepared->expression != c.expression || !(prepared->target == c.target))
        throw InputError(fmt::format("'b' was prepared for {}{}", prepared->expression,
                                     prepared->target == c.target ? "" : " on another target CPU"),
                         c.expression, "b");
      static char somewhere;
      bind(c, {&somewhere, prepared->dtype, prepared->shape, {}}, c.dims_of_b(), "b", extents_);
    }
  }

  Shape result_shape() const { return shape_over(c_.form.c, extents_); }
  DType result_dtype() const { return c_.dtype; }

  void run(const TensorView& out) {
    check_result(out);
    const contract::Form& form = c_.form;
    first_ = c_.found.swapped ? second_operand() : operand(view_a_, true);
    second_ = c_.found.swapped ? operand(view_a_, false) : second_operand();
    const bool stage = may_overlap(out, view_a_) || (view_b_ && may_overlap(out, *view_b_));
    const contract::Result result = contract::result_of(out, form, extents_, c_.element(), stage);
    problem_ = contract::make_problem(form, extents_, first_, second_, result);
    const double prepared = seconds_since(begin_);

    const Clock::time_point detecting = Clock::now();
    find_live(result);
    const double detect_seconds = seconds_since(detecting);

    const Clock::time_point choosing = Clock::now();
    const contract::Live live{first_live_.get(), second_live_.get(), result_live_.get()};
    contract::PackedB* packed = prepared_ ? prepared_->packed.get() : nullptr;
    std::vector<contract::Schedule> schedules = c_.engine->schedules(problem_, live, packed, c_.pool->size());
    const bool learns = c_.prices && options_.rule.empty() && schedules.size() > 1;
    contract::Choice choice;
    if (learns)
      choice = contract::choose_and_prepare(*c_.prices, *c_.engine, problem_, live, packed, c_.pool->size(), schedules);
    const contract::Schedule& chosen = choose(schedules);
    const double choose_seconds = seconds_since(choosing);

    const Clock::time_point computing = Clock::now();
    poison(result);
    mask_operands(chosen.rule, result);
    const contract::RunTimer timer(c_.pool->size());
    c_.engine->run(problem_, live, packed, chosen, *c_.pool, c_.poison);
    if (learns) c_.prices->observe(choice, timer.seconds());
    contract::unstage(result, out, form, extents_, *c_.pool);
    const double compute_seconds = prepared + seconds_since(computing);
    const double total_seconds = seconds_since(begin_);
    if (options_.report)
      *options_.report =
          report(schedules, chosen, live, detect_seconds, choose_seconds, compute_seconds, total_seconds);
    c_.give_map(std::move(scanned_a_));
    c_.give_map(std::move(scanned_b_));
  }

 private:
  [[noreturn]] void refuse(const char* tensor, const std::string& what) const {
    throw InputError(what, c_.expression, tensor);
  }

  void check_result(const TensorView& out) {
    const Shape shape = result_shape();
    if (out.dtype != c_.dtype) refuse("c", fmt::format("'c' is {}; give {}", name_of(out.dtype), name_of(c_.dtype)));
    if (out.shape != shape)
      refuse("c", fmt::format("'c' has the shape {}; the result has {}", to_string(out.shape), to_string(shape)));
    if (!out.strides.empty() && out.strides.size() != shape.size())
      refuse("c", fmt::format("'c' has {} extents, but {} strides", shape.size(), out.strides.size()));
    if (!out.data && element_count(shape) > 0) refuse("c", "'c' has no data");
    for (std::size_t d = 0; d < out.strides.size(); ++d)
      if (out.strides[d] == 0 && shape[d] > 1)
        refuse("c", fmt::format("'c' has one element for all positions of axis {}", axis_name(c_, c_.form.c[d])));
  }

  Matrices operand(const TensorView& view, bool is_first) const {
    const contract::Form& f = c_.form;
    return is_first ? contract::matrices_of(view, f.a, f.a_batch, f.m, f.k, extents_, c_.element(), *c_.pool)
                    : contract::matrices_of(view, f.b, f.b_batch, f.k, f.n, extents_, c_.element(), *c_.pool);
  }

  Matrices second_operand() const { return prepared_ ? prepared_->matrices : operand(*view_b_, c_.found.swapped); }

  // -- live sets
  // ----------------------------------------------------------------------------------------------------------

  /// From the caller's matrices to the engine's: exchanged operands are transposed.
  MapPtr known(const Zeros& zeros, const Matrices& m, const char* name) const {
    const bool t = c_.found.swapped;
    return api::fit_live_set(zeros.live, static_cast<std::int64_t>(m.offsets.size()), t ? m.columns : m.rows,
                             t ? m.rows : m.columns, t, *c_.pool, c_.expression, name);
  }

  /// Null where a sample says that looking does not pay.
  MapPtr detected(const Zeros& zeros, const Matrices& m, bool is_first, const char* name,
                  detect::LiveMap& memory) const {
    const bool t = c_.found.swapped;
    want_detectable(c_.element(), c_.expression, name);
    const Granularity g =
        api::checked(zeros.granularity, t ? m.columns : m.rows, t ? m.rows : m.columns, c_.expression, name);
    if (first_word(options_.rule) == "dense") return nullptr;
    const std::int64_t g_rows = t ? g.columns : g.rows, g_columns = t ? g.rows : g.columns;
    const detect::Values values = m.values();
    const double absent = c_.algebra.absent();
    const bool choice = is_first && options_.rule.empty();
    if (choice &&
        !c_.engine->worth_detecting(problem_, values, g_rows, g_columns, prepared_ != nullptr, c_.pool->size()))
      return nullptr;
    memory = detect::scan(values, g_rows, g_columns, absent, *c_.pool, c_.take_map(), detect::scan_isa(c_.target));
    return {MapPtr(), &memory};
  }

  void find_live(const contract::Result& result) {
    const bool t = c_.found.swapped;
    MapPtr& live_a = t ? second_live_ : first_live_;
    MapPtr& live_b = t ? first_live_ : second_live_;
    const Matrices& a = t ? second_ : first_;
    const Matrices& b = t ? first_ : second_;
    if (options_.a.kind == Zeros::known) live_a = known(options_.a, a, "a");
    if (options_.a.kind == Zeros::detected) live_a = detected(options_.a, a, !t, "a", scanned_a_);
    if (prepared_) {
      if (options_.b.kind != Zeros::none) refuse("b", "the zeros of a prepared operand are found when it is prepared");
      live_b = prepared_->live;
    }
    if (options_.b.kind == Zeros::known) live_b = known(options_.b, b, "b");
    if (options_.b.kind == Zeros::detected) live_b = detected(options_.b, b, t, "b", scanned_b_);
    if (options_.c.kind == Zeros::detected)
      refuse("c", "what is wanted of the result cannot be detected: give a live set");
    if (options_.c.kind == Zeros::known) {
      Matrices c;
      c.offsets = result.items;
      c.rows = first_.rows, c.columns = second_.columns;
      result_live_ = known(options_.c, c, "c");
    }
  }

  // -- choosing and reporting
  // ---------------------------------------------------------------------------------------------

  const contract::Schedule& choose(const std::vector<contract::Schedule>& schedules) const {
    PIT_CHECK(!schedules.empty(), "no rule applies to {}", c_.expression);
    if (options_.rule.empty()) return schedules.front();
    std::vector<std::string> names;
    for (const contract::Schedule& s : schedules) {
      names.push_back(s.rule.name());
      if (options_.rule == names.back() || options_.rule == first_word(names.back())) return s;
    }
    refuse("", fmt::format("the rule '{}' does not apply to this call; these do: '{}'", options_.rule,
                           fmt::join(names, "', '")));
  }

  /// What is known to be absent is not read, but a rule may walk more than the live set: whole tiles, unions of
  /// micro-tiles, everything. (What was detected is absent in memory, too, and needs no care.)
  void mask_operands(const contract::Rule& rule, const contract::Result& result) {
    using contract::RuleKind;
    const bool t = c_.found.swapped;
    const bool first_known = (t ? options_.b : options_.a).kind == Zeros::known,
               second_known = (t ? options_.a : options_.b).kind == Zeros::known;
    const bool walks_k = rule.kind == RuleKind::k || rule.kind == RuleKind::m || rule.kind == RuleKind::element ||
                         rule.kind == RuleKind::both;
    // Strips in one micro-tile have its steps of k and no others.
    const bool strips = rule.kind == RuleKind::bt_k && second_live_->g_columns % rule.g_columns == 0;
    const double absent = c_.algebra.absent();
    const bool first =
        first_known && !(walks_k && rule.g_rows == first_live_->g_rows && rule.g_columns == first_live_->g_columns);
    if (first) first_ = contract::masked(first_, *first_live_, absent, *c_.pool);
    const bool second = second_known && !strips;  // packing walks all of it
    if (second) second_ = contract::masked(second_, *second_live_, absent, *c_.pool);
    if (first || second) problem_ = contract::make_problem(c_.form, extents_, first_, second_, result);
  }

  CallReport report(const std::vector<contract::Schedule>& schedules, const contract::Schedule& chosen,
                    const contract::Live& live, double detect_seconds, double choose_seconds, double compute_seconds,
                    double total_seconds) const {
    CallReport r;
    r.rule = chosen.rule.name();
    for (const contract::Schedule& s : schedules) r.candidates.push_back({s.rule.name(), s.seconds, s.correction});
    r.live_fraction = contract::live_share(problem_, live);
    r.detect_seconds = detect_seconds;
    r.choose_seconds = choose_seconds;
    r.compute_seconds = compute_seconds;
    r.total_seconds = total_seconds;
    return r;
  }

  void poison(const contract::Result& result) const {
    if (c_.poison == Poison::none) return;
    for (const std::int64_t item : result.items)
      for (const std::int64_t row : result.rows)
        fill_poison(result.data + (item + row) * result.element(), result.type, problem_.n, c_.poison);
  }

  const Clock::time_point begin_ = Clock::now();
  const Contraction::Impl& c_;
  const CallOptions& options_;
  const TensorView& view_a_;
  const TensorView* view_b_;
  const PreparedOperand::Impl* prepared_;
  Extents extents_;
  Matrices first_, second_;
  contract::Problem problem_;
  MapPtr first_live_, second_live_, result_live_;
  detect::LiveMap scanned_a_, scanned_b_;
};

std::shared_ptr<const Contraction::Impl> build(const std::string& text, const ContractionOptions& options) {
  auto c = std::make_shared<Contraction::Impl>();
  c->program = api::contraction_program(text);
  c->expression = expr::print(c->program);
  const expr::Statement& s = c->program.statements[0];
  std::string why;
  const auto found = rules::contraction_in(c->program, s, &why);
  auto refuse = [&](const std::string& reason) {
    throw InputError(fmt::format("\"{}\" is no contraction: {}", text, reason), text);
  };
  if (!found) refuse(why);
  c->found = *found;
  if (found->widened) refuse("its factors are cast; cast the operands before the call");
  if (found->a->id == found->b->id) refuse("both factors are the same tensor; give the second one a name of its own");
  for (const auto* indices : {&found->a->args, &found->b->args, &s.out_index})
    if (!std::all_of(indices->begin(), indices->end(),
                     [](const expr::Expr& i) { return expr::bare_axis(i).has_value(); }))
      refuse("an index is a number; pass a slice of the operand instead");
  c->form = contract::Form(c->program, s, *found);
  c->algebra = {found->combiner, found->product};
  if (const auto reason = lower::refuse_algebra(c->algebra))
    throw UnsupportedError(fmt::format("{}: {}", c->expression, *reason), c->expression);
  c->dtype = found->combiner == expr::Combiner::logical_or ? DType::b8 : c->element();
  c->pool = std::make_shared<ThreadPool>(api::thread_count(options.threads));
  c->poison = options.poison != Poison::none ? options.poison : api::environment_poison();
  if (api::learns(options.learn)) c->prices = std::make_unique<contract::LearnedPrices>();
  c->target = cpu_target(options.cpu);
  c->cache_dir = api::cache_directory(options.cache_dir);
  c->engine = contract::Engine::create(c->algebra, c->target, c->cache_dir, c->pool->size());
  return c;
}

}  // namespace

detect::LiveMap Contraction::Impl::take_map() const {
  const std::lock_guard lock(mutex_);
  if (maps_.empty()) return {};
  detect::LiveMap map = std::move(maps_.back());
  maps_.pop_back();
  return map;
}

const Contraction::Impl& Contraction::Impl::on(DType operand) const {
  lower::Algebra wanted = algebra;
  wanted.types = lower::ElementTypes::all(operand);
  if (operand == dtype || dtype != element() || lower::refuse_algebra(wanted)) return *this;
  {
    const std::lock_guard lock(mutex_);
    if (const auto other = others_.find(operand); other != others_.end()) return *other->second;
  }
  auto made = std::make_shared<Impl>();
  made->expression = expression, made->program = program, made->found = found, made->form = form;
  made->algebra = wanted, made->dtype = operand;
  made->target = target, made->cache_dir = cache_dir, made->pool = pool, made->poison = poison;
  if (prices) made->prices = std::make_unique<contract::LearnedPrices>();
  made->engine = contract::Engine::create(wanted, target, cache_dir, pool->size());
  const std::lock_guard lock(mutex_);
  return *others_.try_emplace(operand, std::move(made)).first->second;  // another thread's may have come first
}

void Contraction::Impl::give_map(detect::LiveMap map) const {
  constexpr std::size_t kept = 4;
  const std::lock_guard lock(mutex_);
  if (!map.bits.empty() && maps_.size() < kept) maps_.push_back(std::move(map));
}

// -- the public classes
// -----------------------------------------------------------------------------------------------------

Contraction Contraction::compile(const std::string& expression, const ContractionOptions& options) {
  return api::typed<InputError>(kNoMemory, [&] { return Contraction(build(expression, options)); });
}

const std::string& Contraction::expression() const { return impl_->expression; }
std::string Contraction::explain(bool json) const { return api::explain_contraction(*impl_, json); }

PreparedOperand Contraction::prepare(const TensorView& b, const Zeros& zeros) const {
  return api::typed<InputError>(kNoMemory, [&] {
    const Impl& c = impl_->on(b.dtype);
    const contract::Form& f = c.form;
    const bool t = c.found.swapped;
    Extents extents(static_cast<std::size_t>(f.axis_count), -1);
    bind(c, b, c.dims_of_b(), "b", extents);
    if (zeros.kind == Zeros::known)
      throw InputError("zeros of an operand that is prepared are none or detected", c.expression, "b");
    auto p = std::make_shared<PreparedOperand::Impl>();
    p->expression = c.expression;
    p->target = c.target;
    p->dtype = b.dtype;
    p->shape = b.shape;
    p->matrices = t ? contract::matrices_of(b, f.a, f.a_batch, f.m, f.k, extents, c.element(), *c.pool, true)
                    : contract::matrices_of(b, f.b, f.b_batch, f.k, f.n, extents, c.element(), *c.pool);
    Matrices& m = p->matrices;
    if (zeros.kind == Zeros::detected) {
      want_detectable(c.element(), c.expression, "b");
      const Granularity g =
          api::checked(zeros.granularity, t ? m.columns : m.rows, t ? m.rows : m.columns, c.expression, "b");
      p->live = std::make_shared<const detect::LiveMap>(detect::scan(m.values(), t ? g.columns : g.rows,
                                                                     t ? g.rows : g.columns, c.algebra.absent(),
                                                                     *c.pool, {}, detect::scan_isa(c.target)));
    }
    if (!t) {
      std::vector<const char*> matrices;
      for (std::size_t i = 0; i < m.offsets.size(); ++i) matrices.push_back(m.matrix(static_cast<std::int64_t>(i)));
      p->packed = c.engine->pack(matrices, m.rows, c.engine->panels(m.columns, m.rows, p->live.get()), m.row_stride,
                                 m.column_stride, p->live, *c.pool);
      m.data = nullptr;
      m.copy.reset();
    }
    return PreparedOperand(std::move(p));
  });
}

void Contraction::run_into(const TensorView& c, const TensorView& a, const TensorView& b,
                           const CallOptions& options) const {
  const CancelScope scope(options.cancel);
  api::typed<InputError>(kNoMemory, [&] { Call(impl_->on(a.dtype), a, &b, nullptr, options).run(c); });
}

void Contraction::run_into(const TensorView& c, const TensorView& a, const PreparedOperand& b,
                           const CallOptions& options) const {
  const CancelScope scope(options.cancel);
  api::typed<InputError>(kNoMemory, [&] { Call(impl_->on(a.dtype), a, nullptr, &b.impl(), options).run(c); });
}

Tensor Contraction::run(const TensorView& a, const TensorView& b, const CallOptions& options) const {
  const CancelScope scope(options.cancel);
  return api::typed<InputError>(kNoMemory, [&] {
    Call call(impl_->on(a.dtype), a, &b, nullptr, options);
    Tensor out(call.result_dtype(), call.result_shape());
    call.run(out.view());
    return out;
  });
}

Tensor Contraction::run(const TensorView& a, const PreparedOperand& b, const CallOptions& options) const {
  const CancelScope scope(options.cancel);
  return api::typed<InputError>(kNoMemory, [&] {
    Call call(impl_->on(a.dtype), a, nullptr, &b.impl(), options);
    Tensor out(call.result_dtype(), call.result_shape());
    call.run(out.view());
    return out;
  });
}

const Shape& PreparedOperand::shape() const { return impl_->shape; }

std::size_t PreparedOperand::bytes() const {
  const contract::Matrices& m = impl_->matrices;
  const std::int64_t elements = static_cast<std::int64_t>(m.offsets.size()) * m.rows * m.columns;
  const std::int64_t values = impl_->packed ? contract::bytes_of(*impl_->packed) : elements * m.element();
  return static_cast<std::size_t>(values) + (impl_->live ? impl_->live->bits.size() * sizeof(std::uint64_t) : 0);
}

double PreparedOperand::live_fraction() const { return impl_->live ? impl_->live->fraction() : 1; }

}  // namespace pit
