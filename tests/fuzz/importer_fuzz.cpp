// Bytes -> the ONNX front end, and what it reads -> passes, analysis, fusion.
//
// Mutations of bytes seldom keep the lengths inside of a protobuf message right, so most mutations here change the
// parsed model: names, operators, attributes, extents, types, data.
#include <random>
#include <string>

#include "fuzz/fuzz.h"
#include "fuzz/stages.h"
#include "onnx-ml.pb.h"

#include "frontend/onnx/onnx.h"
#include "graph/opset.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using namespace pit;

constexpr std::size_t kMaxName = 64;

class Mutator {
 public:
  Mutator(pit_onnx::ModelProto& m, unsigned seed) : m_(m), g_(*m.mutable_graph()), rng_(seed) {}

  void mutate() {
    switch (pick(10)) {
      case 0: initializer(); break;
      case 1: input(); break;
      case 2: declared(); break;
      case 3: structure(); break;
      case 4: m_.mutable_opset_import(0)->set_version(7 + pick(22)); break;
      default:
        if (g_.node_size() > 0) node(one(g_.mutable_node()));
    }
  }

 private:
  int pick(int n) { return static_cast<int>(rng_() % static_cast<unsigned>(n)); }

  template <class T>
  T* one(google::protobuf::RepeatedPtrField<T>* list) {
    return list->Mutable(pick(list->size()));
  }

  std::int64_t integer(std::int64_t old) {
    static constexpr std::int64_t kOdd[] = {
        0, 1, 2, -1, -2, 1 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, std::int64_t{1} << 40};
    const int what = pick(16);
    if (what < 11) return kOdd[what];
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(old) + static_cast<std::uint64_t>(what) - 13u);
  }

  void bytes(std::string* s, std::size_t max_size) {
    std::string room = *s;
    room.resize(std::max(room.size(), max_size));
    const std::size_t size =
        LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(room.data()), std::min(s->size(), max_size), max_size);
    *s = room.substr(0, size);
  }

  // A value that the model has.
  std::string name() {
    const int what = pick(8);
    if (what == 0) return {};
    if (what < 3 && g_.input_size() > 0) return one(g_.mutable_input())->name();
    if (what < 4 && g_.initializer_size() > 0) return one(g_.mutable_initializer())->name();
    if (g_.node_size() == 0) return {};
    const pit_onnx::NodeProto& n = *one(g_.mutable_node());
    return n.output_size() > 0 ? n.output(0) : std::string();
  }

  static const std::vector<graph::OpEntry>& operators() {
    static const std::vector<graph::OpEntry> all = graph::op_entries();
    return all;
  }

  void node(pit_onnx::NodeProto* n) {
    switch (pick(7)) {
      case 0:
        n->set_op_type(operators()[static_cast<std::size_t>(pick(static_cast<int>(operators().size())))].op);
        break;
      case 1:
        if (n->input_size() > 0) *n->mutable_input(pick(n->input_size())) = name();
        break;
      case 2: n->add_input(name()); break;
      case 3:
        if (n->input_size() > 0) n->mutable_input()->RemoveLast();
        break;
      case 4:
        if (n->output_size() > 0) n->add_output(n->output(0) + "_" + std::to_string(pick(100)));
        break;
      default:
        if (n->attribute_size() > 0) attribute(one(n->mutable_attribute()));
    }
  }

  void attribute(pit_onnx::AttributeProto* a) {
    switch (pick(6)) {
      case 0: a->set_i(integer(a->i())); break;
      case 1: a->add_ints(integer(0)); break;
      case 2:
        if (a->ints_size() > 0) a->set_ints(pick(a->ints_size()), integer(a->ints(0)));
        break;
      case 3: a->set_f(static_cast<float>(integer(0)) / 3); break;
      case 4: bytes(a->mutable_s(), kMaxName); break;
      default:
        if (a->has_t()) tensor(a->mutable_t());
    }
  }

  void tensor(pit_onnx::TensorProto* t) {
    switch (pick(5)) {
      case 0: t->set_data_type(pick(24)); break;
      case 1:
        if (t->dims_size() > 0) t->set_dims(pick(t->dims_size()), integer(t->dims(0)));
        break;
      case 2: t->add_dims(1 + pick(2)); break;
      case 3:
        if (t->int64_data_size() > 0) t->set_int64_data(pick(t->int64_data_size()), integer(t->int64_data(0)));
        break;
      default: bytes(t->mutable_raw_data(), std::max<std::size_t>(t->raw_data().size(), 16));
    }
  }

  void initializer() {
    if (g_.initializer_size() > 0) tensor(one(g_.mutable_initializer()));
  }

  void input() {
    if (g_.input_size() == 0) return;
    auto* type = one(g_.mutable_input())->mutable_type()->mutable_tensor_type();
    if (pick(4) == 0) type->set_elem_type(pick(24));
    auto* dims = type->mutable_shape()->mutable_dim();
    if (dims->empty() || pick(8) == 0) dims->Add();
    auto* dim = one(dims);
    if (pick(2) == 0) {
      dim->set_dim_value(integer(dim->dim_value()));
    } else {
      dim->set_dim_param(std::string(1, static_cast<char>('a' + pick(4))));
    }
  }

  void declared() {
    auto* v = pick(2) == 0 && g_.value_info_size() > 0 ? one(g_.mutable_value_info()) : g_.add_value_info();
    if (v->name().empty()) v->set_name(name());
    auto* type = v->mutable_type()->mutable_tensor_type();
    type->set_elem_type(pick(16));
    type->mutable_shape()->add_dim()->set_dim_param(std::string(1, static_cast<char>('a' + pick(4))));
  }

  void structure() {
    if (g_.node_size() == 0) return;
    switch (pick(4)) {
      case 0: g_.mutable_node()->RemoveLast(); break;
      case 1: g_.mutable_node()->SwapElements(pick(g_.node_size()), pick(g_.node_size())); break;
      case 2: *g_.add_node() = pit_onnx::NodeProto(*one(g_.mutable_node())); break;
      default: g_.add_output()->set_name(name());
    }
  }

  pit_onnx::ModelProto& m_;
  pit_onnx::GraphProto& g_;
  std::mt19937 rng_;
};

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  pit_onnx::ModelProto model;
  if (seed % 8 == 0 || !model.ParseFromArray(data, static_cast<int>(size)) || !model.has_graph() ||
      model.opset_import_size() == 0)
    return LLVMFuzzerMutate(data, size, max_size);
  Mutator mutator(model, seed);
  for (unsigned i = 0; i <= seed / 8 % 3; ++i) mutator.mutate();
  const std::string out = model.SerializeAsString();
  if (out.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(out.begin(), out.end(), data);
  return out.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  graph::Graph g;
  const auto import = [&] {
    try {
      g = frontend::OnnxModel::from_bytes(data, size, {}, fuzz::kLimits).graph();
    } catch (const InputError& e) {  // there is no caller to blame
      fuzz::require(false, std::string("an InputError about a file: ") + e.what());
    }
  };
  if (!fuzz::answers(import)) return 0;
  fuzz::answers([&] { fuzz::compile(g); });
  return 0;
}
