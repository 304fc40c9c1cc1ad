// From a template to a node: packs spelt out, text parsed, scalar constants made literals, extents and operands bound.
#include <algorithm>
#include <cctype>
#include <fmt/format.h>

#include "graph/numeric.h"
#include "graph/opset/builder.h"
#include "pit/error.h"
#include "support/check.h"

namespace pit::graph {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Emits a list of indices; an empty list takes one neighbouring comma with it.
void emit_list(std::string* out, const std::string& list, std::string_view rest, std::size_t* at) {
  if (!list.empty()) {
    *out += list;
    return;
  }
  std::size_t next = *at;
  while (next < rest.size() && rest[next] == ' ') ++next;
  const std::size_t last = out->find_last_not_of(' ');
  const char before = last == std::string::npos ? '[' : (*out)[last];
  if (next < rest.size() && rest[next] == ',' && before != ',') {
    *at = next + 1;
  } else if (before == ',') {
    out->resize(last);
  }
}

}  // namespace

std::string expand_packs(std::string_view text,
                         const std::function<std::string(const std::string&, const std::string&)>& pack) {
  std::string out;
  std::vector<std::string> tensors;  // open accesses, innermost last
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool word = is_word(c) && (i == 0 || (text[i - 1] != '$' && text[i - 1] != '.'));
    if (!word || std::isdigit(static_cast<unsigned char>(c)) != 0) {
      if (c == ']' && !tensors.empty()) tensors.pop_back();
      if (c == '[') tensors.emplace_back();
      out += c;
      ++i;
      if (c == '$' || std::isdigit(static_cast<unsigned char>(c)) != 0) {  // a parameter's or number's own letters
        while (i < text.size() && (is_word(text[i]) || (c != '$' && text[i] == '.' && text.substr(i, 3) != "...")))
          out += text[i++];
      }
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && is_word(text[end])) ++end;
    const std::string name(text.substr(i, end - i));
    i = end;
    if (text.substr(i, 3) == "...") {
      i += 3;
      emit_list(&out, pack(tensors.empty() ? std::string() : tensors.back(), name), text, &i);
    } else {
      out += name;
      if (i < text.size() && text[i] == '[') {
        out += '[';
        ++i;
        tensors.push_back(name);
      }
    }
  }
  return out;
}

std::string example_of(std::string_view text) {
  return expand_packs(text, [](const std::string&, const std::string& name) {
    return name == "i" ? std::string("i0,i1") : name + "0";
  });
}

Instance& Instance::pack(std::string name, std::string indices) {
  packs_.emplace_back(std::move(name), std::move(indices));
  return *this;
}

Instance& Instance::input(std::string tensor, ValueId v) {
  inputs_.emplace_back(std::move(tensor), v);
  return *this;
}

Instance& Instance::literal(std::string tensor, expr::Expr e) {
  literals_.emplace_back(std::move(tensor), std::move(e));
  return *this;
}

Instance& Instance::operand(std::string tensor, ValueId v) {
  if (auto e = b_.literal(v)) return literal(std::move(tensor), *e);
  return input(std::move(tensor), v);
}

Instance& Instance::stretched_operand(std::string tensor, ValueId v, const std::vector<Dim>& out,
                                      const std::string& pack_name, const std::string& prefix) {
  if (auto e = b_.literal(v)) {
    pack(tensor + "." + pack_name, "");
    return literal(std::move(tensor), *e);
  }
  std::vector<int> maybe;
  pack(tensor + "." + pack_name, stretched(b_, b_.dims(v), out, prefix, &maybe));
  for (const int d : maybe) maybe_.emplace_back(tensor, d);
  return input(std::move(tensor), v);
}

Instance& Instance::output(std::string tensor, DType dtype, std::vector<Dim> dims, int position) {
  outputs_.push_back(
      {std::move(tensor), dtype, std::move(dims), position < 0 ? static_cast<int>(outputs_.size()) : position});
  return *this;
}

Instance& Instance::extent(std::string axis, Dim d) {
  extents_.emplace_back(std::move(axis), d);
  return *this;
}

Instance& Instance::param(std::string name, Dim d) {
  params_.emplace_back(std::move(name), d);
  return *this;
}

Instance& Instance::param(std::string name, double d) {
  params_.emplace_back(std::move(name), d);
  return *this;
}

Instance& Instance::count(const std::string& tensor, Dim n, DType dtype) {
  if (const auto v = b_.table().constant_value(n)) {
    const bool exact = is_float(dtype);
    return literal(tensor, exact ? expr::literal(static_cast<double>(*v)) : expr::int_literal(*v));
  }
  const std::string access = tensor + "[]", text = fmt::format("cast_{}(${})", name_of(dtype), tensor);
  for (std::size_t at = text_.find(access); at != std::string::npos; at = text_.find(access, at + text.size())) {
    text_.replace(at, access.size(), text);
  }
  return param(tensor, n);
}

Instance& Instance::maybe(std::string tensor, int dim) {
  maybe_.emplace_back(std::move(tensor), dim);
  return *this;
}

Instance& Instance::rename(std::vector<std::pair<std::string, std::string>> axes) {
  for (auto& [name, list] : packs_) {
    for (const auto& [from, to] : axes) {
      if (const std::size_t at = list.find(from); at != std::string::npos) list.replace(at, from.size(), to);
    }
  }
  return *this;
}

Instance& Instance::set_text(std::string text) {
  text_ = std::move(text);
  return *this;
}

ValueId Instance::bound(const std::string& tensor) const {
  for (const auto& [name, v] : inputs_) {
    if (name == tensor) return v;
  }
  PIT_UNREACHABLE("{}: template tensor '{}' is not bound: {}", b_.who(), tensor, text_);
}

const Instance::Out& Instance::out(const std::string& tensor) const {
  for (const Out& o : outputs_) {
    if (o.tensor == tensor) return o;
  }
  PIT_UNREACHABLE("{}: template output '{}' is not bound: {}", b_.who(), tensor, text_);
}

// Templates are sound (table.cpp parses each); a number that attributes or constants put into one may be too large.
expr::Program Instance::parsed(const std::string& text, const std::vector<std::string>& outputs) const {
  try {
    return expr::parse(text, outputs);
  } catch (const InputError& e) {
    b_.unsupported(fmt::format("a number does not fit the formula that it stands in: {}", e.what()));
  }
}

// Literals are put in after parsing: text would have to spell infinities, and negative numbers would become calls of
// neg.
expr::Program Instance::instantiate() const {
  const std::string text = expand_packs(text_, [&](const std::string& tensor, const std::string& name) {
    const std::string* general = nullptr;
    for (const auto& [key, list] : packs_) {
      if (key.size() == tensor.size() + 1 + name.size() && key.starts_with(tensor) && key[tensor.size()] == '.' &&
          key.ends_with(name)) {
        return list;
      }
      if (key == name) general = &list;
    }
    PIT_CHECK(general != nullptr, "{}: pack '{}' of '{}' is not bound", b_.who(), name, text_);
    return *general;
  });
  std::vector<std::string> names;
  for (const Out& o : outputs_) names.push_back(o.tensor);
  expr::Program p = parsed(text, names);
  if (literals_.empty()) return p;

  std::vector<expr::Expr> value(p.tensors.size());
  std::vector<int> renumbered(p.tensors.size());
  std::vector<expr::TensorDecl> kept;
  for (std::size_t t = 0; t < p.tensors.size(); ++t) {
    renumbered[t] = static_cast<int>(kept.size());
    for (const auto& [name, e] : literals_) {
      if (name == p.tensors[t].name) value[t] = e;
    }
    if (!value[t]) kept.push_back(p.tensors[t]);
  }
  const auto replace = [&](const expr::Expr& e) -> expr::Expr {
    if (e->kind != expr::Kind::access) return e;
    const auto t = static_cast<std::size_t>(e->id);
    if (value[t]) return value[t];
    if (renumbered[t] == e->id) return e;
    auto copy = std::make_shared<expr::Node>(*e);
    copy->id = renumbered[t];
    return copy;
  };
  for (expr::Statement& s : p.statements) {
    s.out = renumbered[static_cast<std::size_t>(s.out)];
    s.value = expr::transform(s.value, replace);
    for (expr::Expr& e : s.out_index) e = expr::transform(e, replace);
  }
  p.tensors = std::move(kept);
  return p;
}

// An axis has the extent of the dimensions in which it stands bare: outputs know best (they are broadcast results),
// then constant extents, then any.
void Instance::bind_extents(Node* n) const {
  const expr::Program& p = n->program;
  n->extents.assign(p.axes.size(), Dim{});
  for (const auto& [name, d] : extents_) {
    if (const int a = p.axis_named(name); a >= 0) n->extents[static_cast<std::size_t>(a)] = d;
  }
  std::vector<Dim> seen(p.axes.size());
  const auto offer = [&](const std::vector<expr::Expr>& index, const std::vector<Dim>& dims, std::vector<Dim>* to) {
    for (std::size_t i = 0; i < dims.size() && i < index.size(); ++i) {
      const auto a = expr::bare_axis(index[i]);
      if (!a) continue;
      Dim& d = (*to)[static_cast<std::size_t>(*a)];
      if (d.id < 0 || (!b_.table().constant_value(d) && b_.table().constant_value(dims[i]))) d = dims[i];
    }
  };
  std::vector<Dim> from_outputs(p.axes.size());
  for (const expr::Statement& s : p.statements) {
    const expr::TensorDecl& t = p.tensors[static_cast<std::size_t>(s.out)];
    if (t.role == expr::Role::output) offer(s.out_index, out(t.name).dims, &from_outputs);
    const auto visit = [&](const expr::Expr& e) {
      const expr::TensorDecl& in = p.tensors[static_cast<std::size_t>(e->id)];
      if (in.role == expr::Role::input) offer(e->args, b_.dims(bound(in.name)), &seen);
    };
    expr::for_each_access(s.value, visit);
    for (const expr::Expr& e : s.out_index) expr::for_each_access(e, visit);
  }
  for (std::size_t a = 0; a < p.axes.size(); ++a) {
    if (n->extents[a].id >= 0) continue;
    n->extents[a] = from_outputs[a].id >= 0 ? from_outputs[a] : seen[a];
    PIT_CHECK(n->extents[a].id >= 0, "{}: no extent for axis '{}' of '{}'", b_.who(), p.axes[a], expr::print(p));
  }
}

void Instance::check_operands(const Node& n) const {
  const expr::Program& p = n.program;
  const auto visit = [&](const expr::Expr& e) {
    const expr::TensorDecl& in = p.tensors[static_cast<std::size_t>(e->id)];
    if (in.role != expr::Role::input) return;
    const ValueId v = bound(in.name);
    const std::vector<Dim>& dims = b_.dims(v);
    const std::size_t indices = e->args.size() - (e->has_default ? 1 : 0);
    // Where what an operator asks for depends on other operands (constraints.cpp states the rest), its expression is
    // the last to know.
    if (indices != dims.size())
      b_.fail(fmt::format("{} has rank {}, not {}, as the other operands ask for", in.name, dims.size(), indices), v);
    for (std::size_t i = 0; i < indices; ++i) {
      const auto a = expr::bare_axis(e->args[i]);
      if (!a) continue;
      const auto have = b_.table().constant_value(dims[i]);
      const auto want = b_.table().constant_value(n.extents[static_cast<std::size_t>(*a)]);
      if (have && want && *have != *want) {
        b_.fail(fmt::format("dimension {} of '{}' is {}, but the other operands ask for {}", i, b_.value(v).name, *have,
                            *want),
                v);
      }
      const bool undecided =
          std::find(maybe_.begin(), maybe_.end(), std::pair(in.name, static_cast<int>(i))) != maybe_.end();
      if (!undecided) b_.require_equal(dims[i], n.extents[static_cast<std::size_t>(*a)], v);
    }
  };
  for (const expr::Statement& s : p.statements) expr::for_each_access(s.value, visit);
}

// A dimension that must be 1 (check_operands has recorded it) is read at 0. An axis that is known to have one position
// would otherwise run along a dimension of any number of them, and analyses would take it for both.
void Instance::read_ones_at_zero(Node* n) const {
  expr::Program& p = n->program;
  const auto fix = [&](const expr::Expr& e) -> expr::Expr {
    if (e->kind != expr::Kind::access || p.tensors[static_cast<std::size_t>(e->id)].role != expr::Role::input) return e;
    const std::vector<Dim> dims = b_.dims(bound(p.tensors[static_cast<std::size_t>(e->id)].name));
    std::shared_ptr<expr::Node> copy;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      const auto a = expr::bare_axis(e->args[i]);
      if (!a || b_.table().constant_value(dims[i]) ||
          !b_.table().is_constant(n->extents[static_cast<std::size_t>(*a)], 1))
        continue;
      if (!copy) copy = std::make_shared<expr::Node>(*e);
      copy->args[i] = expr::int_literal(0);
    }
    return copy ? copy : e;
  };
  for (expr::Statement& s : p.statements) s.value = expr::transform(s.value, fix);
}

std::vector<ValueId> Instance::build() {
  Node n;
  n.op = b_.call.op;
  n.name = b_.call.name;
  n.program = instantiate();
  std::vector<DType> dtypes;
  std::vector<std::vector<Dim>> dims;
  std::vector<int> order;
  for (const expr::TensorDecl& t : n.program.tensors) {
    if (t.role == expr::Role::input) {
      for (const auto& [tensor, dim] : maybe_) {
        if (tensor == t.name) n.maybe_broadcast.emplace_back(static_cast<int>(n.inputs.size()), dim);
      }
      n.inputs.push_back(bound(t.name));
    } else if (t.role == expr::Role::output) {
      const Out& o = out(t.name);
      order.push_back(static_cast<int>(&o - outputs_.data()));
      dtypes.push_back(o.dtype);
      dims.push_back(o.dims);
    }
  }
  for (const std::string& name : n.program.params) {
    const auto it = std::find_if(params_.begin(), params_.end(), [&](const auto& q) { return q.first == name; });
    PIT_CHECK(it != params_.end(), "{}: parameter '{}' of '{}' is not bound", b_.who(), name, text_);
    n.params.push_back(it->second);
  }
  bind_extents(&n);
  check_operands(n);
  read_ones_at_zero(&n);

  std::vector<ValueId> results(outputs_.size(), -1);
  auto tensors = b_.try_fold(n, dtypes, dims);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Out& o = outputs_[static_cast<std::size_t>(order[i])];
    ValueId& r = results[static_cast<std::size_t>(order[i])];
    if (tensors) {
      r = b_.add_tensor((*tensors)[i], o.position);
      continue;
    }
    Value v;
    v.name = b_.output_name(o.position);
    v.dtype = o.dtype;
    v.dims = o.dims;
    r = b_.g.add_value(std::move(v));
    n.outputs.push_back(r);
  }
  if (!tensors) b_.g.add_node(std::move(n));
  return results;
}

}  // namespace pit::graph
