// Small ONNX models, built in memory: what the tests of promises compile.
#pragma once

#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "onnx-ml.pb.h"

namespace pit::test {

class OnnxModel {
 public:
  using Type = pit_onnx::TensorProto::DataType;
  using Dims = std::vector<std::variant<int, const char*>>;  ///< a name: free
  static constexpr Type f32 = pit_onnx::TensorProto::FLOAT, f64 = pit_onnx::TensorProto::DOUBLE,
                        i64 = pit_onnx::TensorProto::INT64, b8 = pit_onnx::TensorProto::BOOL;

  explicit OnnxModel(int opset = 17) {
    model_.set_ir_version(8);
    model_.add_opset_import()->set_version(opset);
    model_.mutable_graph()->set_name("test");
  }

  OnnxModel& input(const std::string& name, Type type, const Dims& dims) {
    return declare(model_.mutable_graph()->add_input(), name, type, dims);
  }
  OnnxModel& output(const std::string& name, Type type, const Dims& dims) {
    return declare(model_.mutable_graph()->add_output(), name, type, dims);
  }

  template <class T>
  static constexpr Type type_of = std::is_same_v<T, float>    ? f32
                                  : std::is_same_v<T, double> ? f64
                                                              : i64;
  template <class T>
  OnnxModel& constant(const std::string& name, const std::vector<std::int64_t>& dims, const std::vector<T>& values) {
    pit_onnx::TensorProto* t = model_.mutable_graph()->add_initializer();
    t->set_name(name);
    t->set_data_type(type_of<T>);
    for (const std::int64_t d : dims) t->add_dims(d);
    t->set_raw_data(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
    return *this;
  }

  struct Attribute {
    std::string name;
    std::variant<std::int64_t, double, std::vector<std::int64_t>> value;
  };
  OnnxModel& node(const std::string& op, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs, const std::vector<Attribute>& attributes = {}) {
    pit_onnx::NodeProto* n = model_.mutable_graph()->add_node();
    n->set_op_type(op);
    n->set_name(op + "_" + outputs[0]);
    for (const auto& i : inputs) n->add_input(i);
    for (const auto& o : outputs) n->add_output(o);
    for (const Attribute& a : attributes) {
      pit_onnx::AttributeProto* p = n->add_attribute();
      p->set_name(a.name);
      if (const auto* i = std::get_if<std::int64_t>(&a.value)) p->set_type(pit_onnx::AttributeProto::INT), p->set_i(*i);
      if (const auto* f = std::get_if<double>(&a.value))
        p->set_type(pit_onnx::AttributeProto::FLOAT), p->set_f(static_cast<float>(*f));
      if (const auto* l = std::get_if<std::vector<std::int64_t>>(&a.value)) {
        p->set_type(pit_onnx::AttributeProto::INTS);
        for (const std::int64_t i : *l) p->add_ints(i);
      }
    }
    return *this;
  }

  std::string bytes() const { return model_.SerializeAsString(); }

 private:
  OnnxModel& declare(pit_onnx::ValueInfoProto* v, const std::string& name, Type type, const Dims& dims) {
    v->set_name(name);
    auto* t = v->mutable_type()->mutable_tensor_type();
    t->set_elem_type(type);
    auto* shape = t->mutable_shape();
    for (const auto& d : dims) {
      if (const int* i = std::get_if<int>(&d)) shape->add_dim()->set_dim_value(*i);
      else shape->add_dim()->set_dim_param(std::get<const char*>(d));
    }
    return *this;
  }

  pit_onnx::ModelProto model_;
};

}  // namespace pit::test
