// The oracle: statement by statement, element by element, in the order of the axes. Where this and anything else
// differ, the other is wrong.
#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <string>

#include "expr/evaluator.h"
#include "expr/expr.h"
#include "expr/scalar.h"
#include "expr/shapes.h"
#include "pit/error.h"
#include "support/cancel.h"

namespace pit::expr {
namespace {

using Permutations = std::map<AxisId, std::vector<std::int64_t>>;

// Calls body() for every point of the axes' space; `at` holds the values.
template <class Body>
void for_each_point(const std::vector<AxisId>& axes, std::size_t depth, const std::vector<std::int64_t>& extents,
                    const Permutations& order, std::vector<std::int64_t>* at, const Body& body) {
  if (depth == axes.size()) {
    body();
    return;
  }
  const auto a = static_cast<std::size_t>(axes[depth]);
  const auto permutation = order.find(axes[depth]);
  const bool permuted = permutation != order.end() && !permutation->second.empty();
  for (std::int64_t i = 0; i < extents[a]; ++i) {
    if ((i & 1023) == 0) poll_cancel();
    (*at)[a] = permuted ? permutation->second[static_cast<std::size_t>(i)] : i;
    for_each_point(axes, depth + 1, extents, order, at, body);
  }
}

class Interpreter {
 public:
  Interpreter(const Program& p, const Bindings& b) : p_(p), b_(b) {}

  std::vector<Tensor> run() {
    bind_types();
    bind_shapes();
    for (const auto& [axis, order] : b_.permutation) check_permutation(axis, order);
    marks_.resize(p_.tensors.size());
    for (std::size_t s = 0; s < p_.statements.size(); ++s) statement(static_cast<int>(s));
    std::vector<Tensor> outputs;
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (p_.tensors[t].role == Role::output) outputs.push_back(tensors_[t]);
    }
    return outputs;
  }

 private:
  // Positions of the tensors with this role.
  std::vector<std::size_t> with_role(Role role) const {
    std::vector<std::size_t> found;
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (p_.tensors[t].role == role) found.push_back(t);
    }
    return found;
  }

  [[noreturn]] void refuse(std::size_t t, const std::string& what) const {
    throw InputError(fmt::format("{} {} in `{}`", p_.tensors[t].name, what, print(p_)), {}, p_.tensors[t].name);
  }

  void bind_type(std::size_t t, DType dtype) {
    std::optional<DType>& declared = p_.tensors[t].dtype;
    if (declared && *declared != dtype)
      refuse(t, fmt::format("has type {} instead of {}", name_of(dtype), name_of(*declared)));
    declared = dtype;
  }

  void bind_types() {
    const auto inputs = with_role(Role::input), outputs = with_role(Role::output);
    if (b_.inputs.size() != inputs.size()) {
      throw InputError(fmt::format("`{}` has {} inputs, {} are given", print(p_), inputs.size(), b_.inputs.size()));
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) bind_type(inputs[i], b_.inputs[i].dtype());
    if (!b_.output_dtypes.empty() && b_.output_dtypes.size() != outputs.size()) {
      throw InputError(fmt::format("`{}` has {} outputs, types of {} are given", print(p_), outputs.size(),
                                   b_.output_dtypes.size()));
    }
    for (std::size_t i = 0; i < b_.output_dtypes.size(); ++i) bind_type(outputs[i], b_.output_dtypes[i]);
    if (b_.params.size() != p_.params.size()) {
      throw InputError(
          fmt::format("`{}` has {} parameters, {} are given", print(p_), p_.params.size(), b_.params.size()));
    }
    auto violation = verify(p_);  // first: `check` relies on what it checks
    if (!violation) violation = check(p_);
    if (violation) throw InputError(*violation);
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (!p_.tensors[t].dtype) refuse(t, "has a type that does not follow from its value; write a cast or give it");
    }
  }

  void bind_shapes() {
    const auto inputs = with_role(Role::input), outputs = with_role(Role::output);
    if (!b_.output_shapes.empty() && b_.output_shapes.size() != outputs.size()) {
      throw InputError(fmt::format("`{}` has {} outputs, shapes of {} are given", print(p_), outputs.size(),
                                   b_.output_shapes.size()));
    }
    std::vector<Shape> shapes(p_.tensors.size());
    std::vector<bool> known(p_.tensors.size(), false);
    const auto give = [&](std::size_t t, const Shape& shape) {
      shapes[t] = shape;
      known[t] = true;
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) give(inputs[i], b_.inputs[i].shape());
    for (std::size_t i = 0; i < b_.output_shapes.size(); ++i) give(outputs[i], b_.output_shapes[i]);
    const Shapes inferred = infer_shapes(p_, shapes, known, b_.extents, b_.params);
    extents_ = inferred.extents;
    tensors_.resize(p_.tensors.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) tensors_[inputs[i]] = b_.inputs[i];
    for (std::size_t t = 0; t < p_.tensors.size(); ++t) {
      if (p_.tensors[t].role != Role::input) {
        tensors_[t] = Tensor(*p_.tensors[t].dtype, inferred.tensors[t]);
        fill_undefined(t);
      }
      storage_.push_back({tensors_[t].data(), tensors_[t].dtype(), tensors_[t].shape()});
    }
    at_.assign(p_.axes.size(), 0);
  }

  void fill_undefined(std::size_t t) {
    const Storage s{tensors_[t].data(), tensors_[t].dtype(), tensors_[t].shape()};
    for (std::int64_t i = 0; i < tensors_[t].size(); ++i) {
      if (is_floating(s.dtype)) {
        store_float(s, i, std::numeric_limits<double>::quiet_NaN());
      } else {
        store_int(s, i, int_identity(Combiner::max, s.dtype));
      }
    }
  }

  void check_permutation(AxisId axis, std::vector<std::int64_t> order) const {
    std::sort(order.begin(), order.end());
    bool ok = axis >= 0 && static_cast<std::size_t>(axis) < extents_.size() &&
              (order.empty() || order.size() == static_cast<std::size_t>(extents_[static_cast<std::size_t>(axis)]));
    for (std::size_t i = 0; ok && i < order.size(); ++i) ok = order[i] == static_cast<std::int64_t>(i);
    if (!ok) throw InputError(fmt::format("the order given for axis {} is no permutation of its values", axis));
  }

  // Notes that statement `number` covers an element; elements of earlier statements, and elements assigned before by
  // this one, may not be covered again.
  void mark(int number, std::int64_t offset) {
    const Statement& s = p_.statements[static_cast<std::size_t>(number)];
    const auto t = static_cast<std::size_t>(s.out);
    std::vector<int>& marks = marks_[t];
    if (marks.empty()) marks.assign(static_cast<std::size_t>(tensors_[t].size()), -1);
    int& m = marks[static_cast<std::size_t>(offset)];
    if (m >= 0 && (m != number || s.combiner == Combiner::assign))
      refuse(t, fmt::format("is written twice at element {}", offset));
    m = number;
  }

  static void store_identity(Combiner c, const Storage& out, std::int64_t offset) {
    if (is_floating(out.dtype)) store_float(out, offset, float_identity(c));
    else store_int(out, offset, int_identity(c, out.dtype));
  }

  void cover_whole(int number, const Storage& out) {
    for (std::int64_t o = 0; o < element_count(out.shape); ++o) {
      mark(number, o);
      store_identity(p_.statements[static_cast<std::size_t>(number)].combiner, out, o);
    }
  }

  void statement(int number) {
    const Statement& s = p_.statements[static_cast<std::size_t>(number)];
    const Compiler compiler(p_, storage_, extents_, b_.params);
    // f16 is accumulated in f32: the sums live beside the tensor until the statement is done.
    Storage out = storage_[static_cast<std::size_t>(s.out)];
    std::vector<float> wide;
    const bool widened = out.dtype == DType::f16 && s.combiner != Combiner::assign;
    if (widened) {
      wide.resize(static_cast<std::size_t>(element_count(out.shape)));
      out.data = wide.data();
      out.dtype = DType::f32;
    }
    const Evaluator value = compiler.value(s.value, out.dtype);
    const OffsetFn offset = compiler.offset(s.out, s.out_index, s.out_index.size(), true);
    const std::vector<AxisId> outer = free_axes(s), inner = reduced_axes(s);
    const bool floating = is_floating(out.dtype);

    const auto set_identity = [&] {
      const std::int64_t o = offset(at_.data());
      mark(number, o);
      if (s.combiner != Combiner::assign) store_identity(s.combiner, out, o);
    };
    const auto fold = [&] {
      const std::int64_t o = offset(at_.data());
      if (floating) {
        double acc = load_float(out, o);
        for_each_point(inner, 0, extents_, b_.permutation, &at_,
                       [&] { acc = round_to(out.dtype, combine_float(s.combiner, acc, value.f(at_.data()))); });
        store_float(out, o, acc);
      } else {
        std::int64_t acc = load_int(out, o);
        for_each_point(inner, 0, extents_, b_.permutation, &at_,
                       [&] { acc = wrap(out.dtype, combine_int(s.combiner, acc, value.i(at_.data()))); });
        store_int(out, o, acc);
      }
    };
    if (scatters(s)) cover_whole(number, out);
    else for_each_point(outer, 0, extents_, b_.permutation, &at_, set_identity);
    for_each_point(outer, 0, extents_, b_.permutation, &at_, fold);
    if (!widened) return;
    const Storage& narrow = storage_[static_cast<std::size_t>(s.out)];
    const std::vector<int>& marks = marks_[static_cast<std::size_t>(s.out)];
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (!marks.empty() && marks[i] == number) store_float(narrow, static_cast<std::int64_t>(i), wide[i]);
    }
  }

  Program p_;
  const Bindings& b_;
  std::vector<std::int64_t> extents_;
  std::vector<Tensor> tensors_;
  std::vector<Storage> storage_;
  std::vector<std::vector<int>> marks_;  // per tensor and element: the statement that wrote it
  std::vector<std::int64_t> at_;         // the point
};

}  // namespace

std::vector<Tensor> interpret(const Program& p, const Bindings& b) { return Interpreter(p, b).run(); }

}  // namespace pit::expr
