#include "frontend/onnx/importer.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "graph/opset/builder.h"
#include "pit/error.h"
#include "support/cancel.h"
#include "support/files.h"

namespace pit::frontend {

using graph::ValueId;
using pit_onnx::AttributeProto;

namespace {

constexpr ValueId kAbsent = -2;  // a function's optional operand that the call leaves out

std::string describe(const pit_onnx::NodeProto& n) {
  if (!n.name().empty()) return fmt::format("{} '{}'", n.op_type(), n.name());
  return n.output_size() > 0 ? fmt::format("{} of '{}'", n.op_type(), n.output(0)) : n.op_type();
}

std::string domain_of(const std::string& d) { return d == "ai.onnx" ? std::string() : d; }

std::map<std::string, int> opsets_of(const google::protobuf::RepeatedPtrField<pit_onnx::OperatorSetIdProto>& list) {
  std::map<std::string, int> r;
  for (const auto& o : list) {
    const std::string d = domain_of(o.domain());
    const int version = static_cast<int>(std::clamp<std::int64_t>(o.version(), 0, 1 << 20));
    r[d] = std::max(r[d], version);
  }
  return r;
}

}  // namespace

ValueId Importer::Scope::find(const std::string& name) const {
  for (const Scope* s = this; s != nullptr; s = s->parent) {
    if (const auto it = s->values.find(name); it != s->values.end()) return it->second;
  }
  return -1;
}

Importer::Importer(pit_onnx::ModelProto& model, std::vector<std::string> folders, std::vector<std::string_view> weights,
                   std::shared_ptr<void> owner, const CompileLimits& limits, int threads)
    : model_(model),
      tensors_(std::move(folders), threads),
      weights_(std::move(weights)),
      owner_(std::move(owner)),
      limits_(limits) {
  for (const auto& v : model_.graph().value_info()) declared_.emplace(v.name(), &v);
  for (const auto& v : model_.graph().output()) declared_[v.name()] = &v;
  for (auto& f : *model_.mutable_functions()) functions_[domain_of(f.domain()) + ":" + f.name()] = &f;
}

// The declared types of intermediate values may say that two input symbols are the same extent where no operator proves
// it (an exporter that knows the batch of two inputs to be equal names it once). Then the import starts again with one
// symbol.
graph::Graph Importer::run() {
  for (int attempt = 0;; ++attempt) {
    Aliases found;
    graph::Graph g = import_once({}, &found);
    if (found.empty() || attempt == 8) return g;
    for (auto& [from, to] : aliases_) {
      if (const auto it = found.find(to); it != found.end()) to = it->second;
    }
    aliases_.insert(found.begin(), found.end());
  }
}

graph::Graph Importer::run_split(const std::set<std::string>& split) {
  std::vector<const FileMap*> files = {FileMap::of(owner_)};
  for (const auto& [proto, t] : read_) files.push_back(FileMap::of(t.owner()));
  for (const FileMap* file : files)
    if (file && file->changed())
      throw InputError(
          fmt::format("'{}' was written to since it was compiled, and inputs in which one name stands for two "
                      "extents need it again: compile the model anew",
                      file->path()));
  Aliases found;
  return import_once(split, &found);
}

// Everything of the initializers has been read. What lies in the model's file is read from there again if it must be;
// of a model in memory only what was read stays.
void Importer::drop_data() {
  if (FileMap::of(owner_)) {
    for (int i = 0; i < static_cast<int>(weights_.size()); ++i)
      if (!weights_[static_cast<std::size_t>(i)].empty()) read_.erase(&model_.graph().initializer(i));
    return;
  }
  for (auto& t : *model_.mutable_graph()->mutable_initializer()) {
    t.clear_raw_data();
    t.clear_float_data();
    t.clear_int32_data();
    t.clear_int64_data();
    t.clear_double_data();
    t.clear_uint64_data();
  }
  weights_.assign(weights_.size(), {});
  owner_.reset();
}

graph::Graph Importer::import_once(const std::set<std::string>& split, Aliases* found) {
  graph::Graph g;
  g_ = &g;
  split_ = &split;
  found_ = found;
  g.name = model_.graph().name();
  g.limits = limits_;
  depth_ = inserted_ = 0;
  Scope top;
  top.opsets = opsets_of(model_.opset_import());
  if (top.opsets.empty()) throw ModelError("the model does not say which opset it uses");
  if (const auto it = top.opsets.find(""); it != top.opsets.end() && it->second > graph::newest_opset()) {
    throw UnsupportedError(
        fmt::format("the model uses opset {}; the newest one supported is {}", it->second, graph::newest_opset()));
  }
  add_initializers(*model_.mutable_graph(), &top);
  // An input with an initializer of its name is that constant (files before IR version 4 list all of them as inputs).
  const std::unordered_map<std::string, ValueId> constants = top.values;
  for (const auto& v : model_.graph().input()) {
    if (constants.count(v.name()) == 0) add_input(v, &top);
  }
  add_nodes(*model_.mutable_graph()->mutable_node(), &top);
  if (model_.graph().output_size() == 0) throw ModelError("the model has no outputs");
  for (const auto& o : model_.graph().output()) {
    const ValueId v = top.find(o.name());
    if (v < 0) throw ModelError(fmt::format("output '{}' is produced by no operator", o.name()), {}, o.name());
    g.outputs.push_back(v);
    g.output_names.push_back(o.name());
  }
  // Names made for inlined functions and branches may meet the model's own.
  std::unordered_map<std::string, int> taken;
  for (graph::Value& v : g.values) {
    const int n = taken[v.name]++;
    if (n > 0 && v.input < 0) v.name += fmt::format("#{}", n);
  }
  g_ = nullptr;
  return g;
}

void Importer::add_initializers(pit_onnx::GraphProto& graph, Scope* scope) {
  if (graph.sparse_initializer_size() > 0) {
    throw UnsupportedError(fmt::format("sparse initializer '{}': sparse tensors are not supported",
                                       graph.sparse_initializer(0).values().name()));
  }
  const bool cut = &graph == model_.mutable_graph() && static_cast<int>(weights_.size()) == graph.initializer_size();
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const auto& t = graph.initializer(i);
    if (t.name().empty()) throw ModelError("an initializer has no name");
    auto it = read_.find(&t);
    if (it == read_.end())
      it = read_.emplace(&t, tensors_.read(t, cut ? weights_[static_cast<std::size_t>(i)] : std::string_view(), owner_))
               .first;
    const ValueId constant = g_->add_constant(scope->prefix + t.name(), it->second);
    if (const auto what = graph::beyond_limits(*g_, g_->values[static_cast<std::size_t>(constant)].dims))
      throw ModelError(fmt::format("initializer '{}' has {}", t.name(), *what), {}, t.name());
    if (!scope->values.emplace(t.name(), constant).second) {
      throw ModelError(fmt::format("two initializers are called '{}'", t.name()), {}, t.name());
    }
  }
}

void Importer::add_input(const pit_onnx::ValueInfoProto& v, Scope* scope) {
  const std::string& name = v.name();
  if (name.empty()) throw ModelError("an input has no name");
  if (scope->values.count(name) != 0) throw ModelError(fmt::format("two inputs are called '{}'", name), {}, name);
  if (!v.type().has_tensor_type()) throw UnsupportedError(fmt::format("input '{}' is not a tensor", name), {}, name);
  const auto& type = v.type().tensor_type();
  const auto dtype = graph::dtype_of_onnx(type.elem_type());
  if (!dtype || type.elem_type() == pit_onnx::TensorProto::BFLOAT16) {
    throw UnsupportedError(
        fmt::format("input '{}': element type {} is not supported", name, graph::onnx_type_name(type.elem_type())), {},
        name);
  }
  if (!type.has_shape()) throw UnsupportedError(fmt::format("input '{}' has no declared rank", name), {}, name);
  graph::Value x;
  x.name = name;
  x.dtype = *dtype;
  x.input = static_cast<int>(g_->inputs.size());
  for (int i = 0; i < type.shape().dim_size(); ++i) {
    const auto& d = type.shape().dim(i);
    if (d.has_dim_value() && d.dim_value() >= 0) {  // some exporters write a free dimension as -1
      x.dims.push_back(g_->dims.constant(d.dim_value()));
    } else if (!d.dim_param().empty()) {
      const auto it = aliases_.find(d.dim_param());
      const std::string& symbol = it == aliases_.end() ? d.dim_param() : it->second;
      x.dims.push_back(split_->count(symbol) == 0 ? g_->dims.symbol(symbol)
                                                  : g_->dims.fresh(fmt::format("{}.{}", name, i)));
    } else {
      x.dims.push_back(g_->dims.fresh(fmt::format("{}.{}", name, i)));
    }
  }
  if (const auto what = graph::beyond_limits(*g_, x.dims))
    throw ModelError(fmt::format("input '{}' has {}", name, *what), {}, name);
  const ValueId id = g_->add_value(std::move(x));
  scope->values.emplace(name, id);
  g_->inputs.push_back(id);
  g_->input_names.push_back(name);
}

bool Importer::knows(const pit_onnx::NodeProto& n) const {
  const std::string domain = domain_of(n.domain());
  if (functions_.count(domain + ":" + n.op_type()) != 0) return true;
  if (n.op_type().find('.') != std::string::npos) return false;  // a domain and a name would pass for one
  if (domain.empty() && (n.op_type() == "If" || n.op_type() == "Loop" || n.op_type() == "Scan")) return true;
  return graph::has_operator(domain.empty() ? n.op_type() : domain + "." + n.op_type());
}

// Whoever has to rewrite a model should hear of all that is missing at once: also in branches, and in functions, called
// or not.
void Importer::refuse_operators(const std::string& who) const {
  std::set<std::string> unknown;
  std::vector<std::pair<const Nodes*, int>> open{{&model_.graph().node(), 0}};
  for (const auto& [name, f] : functions_) open.emplace_back(&f->node(), 0);
  while (!open.empty()) {
    const auto [nodes, depth] = open.back();
    open.pop_back();
    for (const auto& n : *nodes) {
      const std::string domain = domain_of(n.domain());
      if (!knows(n)) unknown.insert(domain.empty() ? n.op_type() : domain + "." + n.op_type());
      if (depth >= limits_.nesting) continue;
      for (const auto& a : n.attribute())
        if (a.has_g()) open.emplace_back(&a.g().node(), depth + 1);
    }
  }
  throw UnsupportedError(
      unknown.size() == 1
          ? fmt::format("{}: the operator {} is not supported; 'pit ops' lists those that are", who, *unknown.begin())
          : fmt::format("{}: {} operators of the model are not supported: {}; 'pit ops' lists those that are", who,
                        unknown.size(), fmt::join(unknown, ", ")),
      who);
}

// Files should be sorted; those that are not are sorted here. What remains lies on a cycle or behind a missing value.
std::vector<int> Importer::topological(const Nodes& nodes, const Scope& scope) const {
  std::unordered_map<std::string, int> producer;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string& o : nodes[i].output()) {
      if (!o.empty()) producer.emplace(o, i);
    }
  }
  std::vector<int> waits(static_cast<std::size_t>(nodes.size()), 0);
  std::vector<std::vector<int>> users(waits.size());
  std::deque<int> ready;
  std::vector<int> order;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string& in : nodes[i].input()) {
      const auto it = producer.find(in);
      if (in.empty() || it == producer.end() || scope.find(in) >= 0) continue;
      ++waits[static_cast<std::size_t>(i)];
      users[static_cast<std::size_t>(it->second)].push_back(i);
    }
    if (waits[static_cast<std::size_t>(i)] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    const int i = ready.front();
    ready.pop_front();
    order.push_back(i);
    for (const int u : users[static_cast<std::size_t>(i)]) {
      if (--waits[static_cast<std::size_t>(u)] == 0) ready.push_back(u);
    }
  }
  if (order.size() != waits.size()) {
    const auto at = std::find_if(waits.begin(), waits.end(), [](int w) { return w > 0; });
    const std::string who = describe(nodes[static_cast<int>(at - waits.begin())]);
    throw ModelError(fmt::format("{}: the operators form a cycle", who), who);
  }
  return order;
}

void Importer::add_nodes(Nodes& nodes, Scope* scope) {
  std::unordered_map<std::string, int> defined;
  bool sorted = true;
  for (int i = 0; i < nodes.size(); ++i) {
    for (const std::string& o : nodes[i].output()) {
      if (!o.empty() && !defined.emplace(o, i).second) {
        throw ModelError(fmt::format("{}: '{}' is produced by another operator already", describe(nodes[i]), o),
                         describe(nodes[i]), o);
      }
    }
  }
  for (int i = 0; i < nodes.size() && sorted; ++i) {
    for (const std::string& in : nodes[i].input()) {
      if (const auto it = defined.find(in); it != defined.end() && it->second >= i) sorted = false;
    }
  }
  if (sorted) {
    for (auto& n : nodes) add_node(n, scope);
  } else {
    for (const int i : topological(nodes, *scope)) add_node(nodes[i], scope);
  }
}

std::vector<ValueId> Importer::inputs_of(const pit_onnx::NodeProto& n, const Scope& scope) const {
  std::vector<ValueId> r;
  for (const std::string& name : n.input()) {
    const ValueId v = name.empty() ? kAbsent : scope.find(name);
    if (v == -1) {
      throw ModelError(fmt::format("{}: operand '{}' is no input, no initializer and no result of another operator",
                                   describe(n), name),
                       describe(n), name);
    }
    r.push_back(v == kAbsent ? -1 : v);
  }
  return r;
}

graph::Attribute Importer::attribute(AttributeProto& a, const std::string& who) {
  switch (a.type()) {
    case AttributeProto::FLOAT: return static_cast<double>(a.f());
    case AttributeProto::INT: return static_cast<std::int64_t>(a.i());
    case AttributeProto::STRING: return a.s();
    case AttributeProto::TENSOR: {
      auto it = read_.find(&a.t());
      if (it == read_.end()) it = read_.emplace(&a.t(), tensors_.read(a.t())).first;
      return it->second;
    }
    case AttributeProto::FLOATS: return std::vector<double>(a.floats().begin(), a.floats().end());
    case AttributeProto::INTS: return std::vector<std::int64_t>(a.ints().begin(), a.ints().end());
    case AttributeProto::STRINGS: return std::vector<std::string>(a.strings().begin(), a.strings().end());
    default: throw UnsupportedError(fmt::format("{}: the type of attribute '{}' is not supported", who, a.name()), who);
  }
}

graph::Attributes Importer::attributes_of(pit_onnx::NodeProto& n, const Scope& scope) {
  graph::Attributes r;
  for (auto& a : *n.mutable_attribute()) {
    if (!a.ref_attr_name().empty()) {
      if (scope.attributes == nullptr)
        throw ModelError(
            fmt::format("{}: attribute '{}' refers to a function's, outside of one", describe(n), a.name()),
            describe(n));
      const auto it = scope.attributes->find(a.ref_attr_name());
      if (it != scope.attributes->end()) r[a.name()] = it->second;
    } else {
      r[a.name()] = attribute(a, describe(n));
    }
  }
  return r;
}

void Importer::define(const std::string& name, ValueId v, const pit_onnx::NodeProto& n, Scope* scope) {
  if (!scope->values.emplace(name, v).second) {
    throw ModelError(fmt::format("{}: the name '{}' is taken", describe(n), name), describe(n), name);
  }
}

void Importer::add_node(pit_onnx::NodeProto& n, Scope* scope) {
  poll_cancel();
  const std::string domain = domain_of(n.domain());
  if (const auto f = functions_.find(domain + ":" + n.op_type());
      f != functions_.end() && !(domain.empty() && graph::has_operator(n.op_type()))) {
    return add_function(n, *f->second, scope);
  }
  const std::string who = describe(n);
  if (!knows(n)) refuse_operators(who);
  // Operators of other domains carry its name, and have no versions.
  const std::string name = domain.empty() ? n.op_type() : domain + "." + n.op_type();
  if (n.op_type() == "If") return add_if(n, scope);
  if (n.op_type() == "Loop" || n.op_type() == "Scan") {
    throw UnsupportedError(fmt::format("{}: loops are not supported; export the model without control flow", who), who);
  }
  const auto opset = scope->opsets.find("");
  if (opset == scope->opsets.end() && domain.empty())
    throw ModelError(fmt::format("{}: no version of the standard opset is imported", who), who);
  graph::OpCall call;
  call.op = name;
  call.name = scope->prefix + n.name();
  call.opset = domain.empty() ? opset->second : graph::newest_opset();
  call.inputs = inputs_of(n, *scope);
  for (const std::string& o : n.output()) call.output_names.push_back(o.empty() ? o : scope->prefix + o);
  call.attributes = attributes_of(n, *scope);
  const std::vector<ValueId> results = graph::add_operator(*g_, call);
  for (int i = 0; i < n.output_size(); ++i) {
    if (n.output(i).empty()) continue;
    define(n.output(i), results[static_cast<std::size_t>(i)], n, scope);
    if (scope->parent == nullptr && scope->prefix.empty())
      compare_with_declared(n.output(i), results[static_cast<std::size_t>(i)]);
  }
}

void Importer::compare_with_declared(const std::string& name, ValueId v) {
  const auto it = declared_.find(name);
  if (it == declared_.end() || !it->second->type().has_tensor_type() || !it->second->type().tensor_type().has_shape())
    return;
  const auto& shape = it->second->type().tensor_type().shape();
  const std::vector<graph::Dim>& dims = g_->values[static_cast<std::size_t>(v)].dims;
  if (shape.dim_size() != static_cast<int>(dims.size())) return;
  const int inputs = static_cast<int>(g_->inputs.size());
  const auto symbol_of_input = [&](const std::string& s) {  // its position, or -1
    for (int i = 0; i < inputs; ++i) {
      for (const graph::Dim d : g_->values[static_cast<std::size_t>(g_->inputs[static_cast<std::size_t>(i)])].dims) {
        const int k = g_->dims.symbol_index(d);
        if (k >= 0 && g_->dims.symbol_name(k) == s) return k;
      }
    }
    return -1;
  };
  for (int i = 0; i < shape.dim_size(); ++i) {
    const int have = g_->dims.symbol_index(dims[static_cast<std::size_t>(i)]);
    if (have < 0 || shape.dim(i).dim_param().empty()) continue;
    std::string said = shape.dim(i).dim_param();
    if (const auto alias = aliases_.find(said); alias != aliases_.end()) said = alias->second;
    const std::string& has = g_->dims.symbol_name(have);
    if (said == has) continue;
    const int a = symbol_of_input(said), b = symbol_of_input(has);
    if (a < 0 || b < 0) continue;
    found_->emplace(a < b ? has : said, a < b ? said : has);
  }
}

// Before a function's or a branch's operators are added: files may nest them, and call them, without end. Names in
// there begin with where they are, but not at any length.
void Importer::enter(const std::string& who, const std::string& name, int operators, const Scope& outer, Scope* body) {
  constexpr std::size_t longest = 200;
  if (++depth_ > limits_.nesting)
    throw ModelError(fmt::format("{}: functions or branches are nested {} deep, more than the limit 'nesting' of {}",
                                 who, depth_, limits_.nesting),
                     who);
  inserted_ += operators + 1;
  if (inserted_ > limits_.operators)
    throw ModelError(fmt::format("{}: functions and branches add more operators than the limit 'operators' of {}", who,
                                 limits_.operators),
                     who);
  body->prefix = outer.prefix + name + "/";
  if (body->prefix.size() > longest)
    body->prefix = fmt::format("{}...{}/", body->prefix.substr(0, longest / 2), inserted_);
}

void Importer::add_function(pit_onnx::NodeProto& n, pit_onnx::FunctionProto& f, Scope* scope) {
  const std::string who = describe(n);
  if (n.input_size() > f.input_size() || n.output_size() > f.output_size()) {
    throw ModelError(
        fmt::format("{}: function '{}' has {} inputs and {} outputs", who, f.name(), f.input_size(), f.output_size()),
        who);
  }
  graph::Attributes attributes;
  for (auto& a : *f.mutable_attribute_proto()) attributes[a.name()] = attribute(a, who);
  for (auto& [name, a] : attributes_of(n, *scope)) {
    const bool declared = attributes.count(name) != 0 ||
                          std::find(f.attribute().begin(), f.attribute().end(), name) != f.attribute().end();
    if (!declared) throw ModelError(fmt::format("{}: function '{}' has no attribute '{}'", who, f.name(), name), who);
    attributes[name] = a;
  }
  const std::vector<ValueId> in = inputs_of(n, *scope);
  Scope body;
  body.opsets = opsets_of(f.opset_import());
  if (body.opsets.empty()) body.opsets = scope->opsets;
  enter(who, !n.name().empty() ? n.name() : n.output_size() > 0 ? n.output(0) : f.name(), f.node_size(), *scope, &body);
  body.attributes = &attributes;
  for (int i = 0; i < f.input_size(); ++i) {
    // An absent optional operand stays absent inside.
    const bool given = i < n.input_size() && in[static_cast<std::size_t>(i)] >= 0;
    body.values.emplace(f.input(i), given ? in[static_cast<std::size_t>(i)] : kAbsent);
  }
  add_nodes(*f.mutable_node(), &body);
  for (int i = 0; i < n.output_size(); ++i) {
    if (n.output(i).empty()) continue;
    const ValueId v = body.find(f.output(i));
    if (v < 0)
      throw ModelError(fmt::format("{}: function '{}' does not compute its output '{}'", who, f.name(), f.output(i)),
                       who);
    define(n.output(i), v, n, scope);
  }
  --depth_;
}

void Importer::add_if(pit_onnx::NodeProto& n, Scope* scope) {
  const std::string who = describe(n);
  const std::vector<ValueId> in = inputs_of(n, *scope);
  if (in.size() != 1 || in[0] < 0)
    throw ModelError(fmt::format("{}: there must be one operand, the condition", who), who);
  const graph::Value& condition = g_->values[static_cast<std::size_t>(in[0])];
  if (!condition.is_constant() || condition.constant.size() != 1 || condition.dtype != DType::b8) {
    throw UnsupportedError(
        fmt::format(
            "{}: the condition '{}' is not known when the model is compiled; only branches that are can be taken", who,
            condition.name),
        who, condition.name);
  }
  const bool taken = condition.constant.as<std::uint8_t>()[0] != 0;
  for (const auto& a : n.attribute()) {
    if (a.name() != "then_branch" && a.name() != "else_branch")
      throw UnsupportedError(fmt::format("{}: attribute '{}' is not supported", who, a.name()), who);
  }
  for (auto& a : *n.mutable_attribute()) {
    if (a.name() != (taken ? "then_branch" : "else_branch")) continue;
    pit_onnx::GraphProto& branch = *a.mutable_g();
    Scope body;
    body.parent = scope;
    body.opsets = scope->opsets;
    body.attributes = scope->attributes;
    enter(who,
          !n.name().empty()     ? n.name()
          : n.output_size() > 0 ? n.output(0)
                                : "If",
          branch.node_size(), *scope, &body);
    add_initializers(branch, &body);
    add_nodes(*branch.mutable_node(), &body);
    if (branch.output_size() < n.output_size())
      throw ModelError(fmt::format("{}: the branch has {} outputs", who, branch.output_size()), who);
    for (int i = 0; i < n.output_size(); ++i) {
      const ValueId v = body.find(branch.output(i).name());
      if (v < 0)
        throw ModelError(fmt::format("{}: the branch does not compute its output '{}'", who, branch.output(i).name()),
                         who);
      define(n.output(i), v, n, scope);
    }
    --depth_;
    return;
  }
  throw ModelError(fmt::format("{}: the branch is missing", who), who);
}

}  // namespace pit::frontend
