// Bad models give typed errors that name what is wrong; nothing else happens.
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <unistd.h>

#include "onnx-ml.pb.h"

#include "frontend/onnx/onnx.h"
#include "graph/close.h"
#include "graph/reference.h"
#include "pit/error.h"

namespace pit {
namespace {

namespace fs = std::filesystem;

struct Model {
  pit_onnx::ModelProto m;

  Model() {
    m.set_ir_version(8);
    m.add_opset_import()->set_version(17);
    m.mutable_graph()->set_name("test");
    input("x");
  }
  void input(const std::string& name, int type = pit_onnx::TensorProto::FLOAT) {
    auto* v = m.mutable_graph()->add_input();
    v->set_name(name);
    auto* t = v->mutable_type()->mutable_tensor_type();
    t->set_elem_type(type);
    t->mutable_shape()->add_dim()->set_dim_param("s");
  }
  pit_onnx::NodeProto* node(const std::string& op, std::vector<std::string> in, const std::string& out) {
    auto* n = m.mutable_graph()->add_node();
    n->set_op_type(op);
    n->set_name(op + "_of_" + out);
    for (auto& i : in) n->add_input(i);
    n->add_output(out);
    return n;
  }
  void output(const std::string& name) { m.mutable_graph()->add_output()->set_name(name); }
  pit_onnx::TensorProto* weight(const std::string& name, std::int64_t size) {
    auto* t = m.mutable_graph()->add_initializer();
    t->set_name(name);
    t->set_data_type(pit_onnx::TensorProto::FLOAT);
    t->add_dims(size);
    return t;
  }
  graph::Graph read(const std::string& folder = {}) const {
    const std::string s = m.SerializeAsString();
    graph::Graph g = frontend::read_onnx_bytes(s.data(), s.size(), folder);
    graph::run_passes(g);
    return g;
  }
};

template <class E>
std::string message(const std::function<void()>& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another error: " << e.what();
    return {};
  }
  ADD_FAILURE() << "no error";
  return {};
}

#define EXPECT_SAYS(E, part, call)                                     \
  do {                                                                 \
    const std::string said = message<E>([&] { call; });                \
    EXPECT_NE(said.find(part), std::string::npos) << "said: " << said; \
  } while (false)

TEST(BadModels, StructureOfTheGraph) {
  {
    Model m;
    m.node("Exp", {"nowhere"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "operand 'nowhere'", m.read());
  }
  {
    Model m;
    m.node("Add", {"x", "z"}, "y");
    m.node("Exp", {"y"}, "z");
    m.output("z");
    EXPECT_SAYS(ModelError, "cycle", m.read());
  }
  {
    Model m;
    m.node("Exp", {"x"}, "y");
    m.node("Neg", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "'y' is produced by another operator", m.read());
  }
  {
    Model m;
    m.input("x");
    m.node("Exp", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "two inputs are called 'x'", m.read());
  }
  {
    Model m;
    m.node("Exp", {"x"}, "y");
    m.output("missing");
    EXPECT_SAYS(ModelError, "output 'missing'", m.read());
  }
}

// An input that only a Shape reads: no result is too large.
TEST(BadModels, InputsAndInitializersBeyondTheLimits) {
  Model m;
  m.node("Shape", {"x"}, "y");
  m.output("y");
  Model constant = m;
  auto* shape = m.m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape->mutable_dim(0)->set_dim_value(std::int64_t{1} << 62);
  shape->add_dim()->set_dim_value(1 << 20);
  EXPECT_SAYS(ModelError, "input 'x' has 2^63 or more elements, more than the limit 'elements'", m.read());
  pit_onnx::TensorProto* w = constant.weight("w", 0);
  for (int d = 0; d < 70; ++d) w->add_dims(1);
  EXPECT_SAYS(ModelError, "initializer 'w' has rank 71, more than the limit 'rank' of 64", constant.read());
}

TEST(BadModels, NodesOutOfOrderAreSorted) {
  Model m;
  m.node("Exp", {"z"}, "y");
  m.node("Neg", {"x"}, "z");
  m.output("y");
  EXPECT_EQ(m.read().nodes.size(), 2u);
}

TEST(BadModels, OperatorsAndVersions) {
  {
    Model m;
    m.node("Frobnicate", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(UnsupportedError, "Frobnicate_of_y", m.read());
  }
  {
    Model m;
    m.node("Gelu", {"x"}, "y")->set_domain("com.example");
    m.output("y");
    EXPECT_SAYS(UnsupportedError, "com.example.Gelu", m.read());
  }
  {
    Model m;
    m.m.mutable_opset_import(0)->set_version(999);
    m.node("Exp", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(UnsupportedError, "opset 999", m.read());
  }
  {
    Model m;
    m.m.clear_opset_import();
    m.node("Exp", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "opset", m.read());
  }
  {
    Model m;
    m.node("Loop", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(UnsupportedError, "loops are not supported", m.read());
  }
  {
    Model m;
    m.input("t", pit_onnx::TensorProto::STRING);
    m.node("Exp", {"x"}, "y");
    m.output("y");
    EXPECT_SAYS(UnsupportedError, "element type string", m.read());
  }
}

TEST(BadModels, ConstantsThatDoNotFit) {
  const auto ints = [](Model& m, const std::string& name, std::vector<std::int64_t> v, bool scalar = false) {
    auto* t = m.m.mutable_graph()->add_initializer();
    t->set_name(name);
    t->set_data_type(pit_onnx::TensorProto::INT64);
    if (!scalar) t->add_dims(static_cast<std::int64_t>(v.size()));
    for (const std::int64_t i : v) t->add_int64_data(i);
  };
  {
    Model m;
    ints(m, "table", {1, 2, 3});
    ints(m, "index", {2, 7});
    m.node("Gather", {"table", "index"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "Gather_of_y", m.read());
  }
  {
    Model m;
    ints(m, "shape", {std::int64_t{1} << 40, std::int64_t{1} << 40});
    m.node("ConstantOfShape", {"shape"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "ConstantOfShape_of_y", m.read());
  }
  {
    Model m;
    ints(m, "shape", {-3});
    m.node("ConstantOfShape", {"shape"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "-3", m.read());
  }
  {
    Model m;
    ints(m, "k", {9}, true);
    auto* t = m.weight("w", 4);
    for (int i = 0; i < 4; ++i) t->add_float_data(1);
    ints(m, "k1", {9});
    m.node("TopK", {"w", "k1"}, "y")->add_output("z");
    m.output("y");
    EXPECT_SAYS(ModelError, "k is 9", m.read());
  }
}

TEST(BadModels, Tensors) {
  {
    Model m;
    m.weight("w", 4)->set_raw_data("123");
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "tensor 'w': shape [4] needs 16 bytes", m.read());
  }
  {
    Model m;
    m.weight("w", std::int64_t{1} << 62)->add_dims(1 << 30);
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "'w'", m.read());
  }
  {  // 2^64 bytes, of which none is there
    Model m;
    auto* t = m.weight("w", std::int64_t{1} << 61);
    t->set_data_type(pit_onnx::TensorProto::DOUBLE);
    t->set_raw_data("");
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "tensor 'w': shape [2305843009213693952] has more than", m.read());
  }
  {  // elements of its own field, which are refused before there is memory for them
    Model m;
    m.weight("w", std::int64_t{1} << 45)->add_float_data(1);
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "needs 35184372088832 elements, but the file has 1", m.read());
  }
  {
    Model m;
    m.weight("w", -3)->set_raw_data("123");
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    EXPECT_SAYS(ModelError, "negative", m.read());
  }
}

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    path = fs::temp_directory_path() / ("pit-onnx-" + std::to_string(getpid()));
    fs::create_directories(path / "model" / "sub");
    for (const char* f : {"outside.bin", "model/weights.bin", "model/sub/more.bin"}) {
      std::ofstream out(path / f, std::ios::binary);
      const std::vector<float> v(16, 2.0f);
      out.write(reinterpret_cast<const char*>(v.data()), 64);
    }
    fs::create_symlink(path / "outside.bin", path / "model" / "link.bin");
  }
  void TearDown() override { fs::remove_all(path); }

  static Model external(const std::string& location, const std::string& offset = "", const std::string& length = "") {
    Model m;
    auto* t = m.weight("w", 4);
    t->set_data_location(pit_onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      auto* e = t->add_external_data();
      e->set_key(key);
      e->set_value(value);
    };
    entry("location", location);
    entry("offset", offset);
    entry("length", length);
    m.node("Add", {"x", "w"}, "y");
    m.output("y");
    return m;
  }
  std::string folder() const { return (path / "model").string(); }
  fs::path path;
};

TEST_F(Folder, ExternalDataInsideIsRead) {
  for (const char* offset : {"", "16", "3"}) {
    Tensor x(DType::f32, {4});
    for (int i = 0; i < 4; ++i) x.as<float>()[i] = 1;
    const Tensor y =
        graph::run_reference(external("weights.bin", offset, "16").read(folder()), std::vector<Tensor>{x})[0];
    if (std::string(offset) != "3") {
      EXPECT_EQ(y.as<float>()[3], 3.0f);
    }
  }
  EXPECT_NO_THROW(external("sub/more.bin").read(folder()));
}

TEST_F(Folder, ExternalDataOutsideIsRefused) {
  EXPECT_SAYS(ModelError, "leaves the model's folder", external("../outside.bin").read(folder()));
  EXPECT_SAYS(ModelError, "leaves the model's folder", external((path / "outside.bin").string()).read(folder()));
  EXPECT_SAYS(ModelError, "leaves the model's folder", external("link.bin").read(folder()));
  EXPECT_SAYS(ModelError, "leaves the model's folder", external("sub/../../outside.bin").read(folder()));
  EXPECT_SAYS(ModelError, "'gone.bin' does not exist", external("gone.bin").read(folder()));
  EXPECT_SAYS(ModelError, "64 bytes", external("weights.bin", "60").read(folder()));
  EXPECT_SAYS(ModelError, "64 bytes", external("weights.bin", "18446744073709551615").read(folder()));
  EXPECT_SAYS(ModelError, "length", external("weights.bin", "", "12").read(folder()));
  EXPECT_SAYS(ModelError, "not a number", external("weights.bin", "-4").read(folder()));
  EXPECT_SAYS(ModelError, "not read from a file", external("weights.bin").read());
}

TEST(BadModels, ControlFlow) {
  const auto with_condition = [](bool constant) {
    Model m;
    if (constant) {
      auto* t = m.m.mutable_graph()->add_initializer();
      t->set_name("c");
      t->set_data_type(pit_onnx::TensorProto::BOOL);
      t->set_raw_data(std::string(1, '\1'));
    } else {
      m.input("c", pit_onnx::TensorProto::BOOL);
    }
    auto* n = m.node("If", {"c"}, "y");
    for (const char* branch : {"then_branch", "else_branch"}) {
      auto* a = n->add_attribute();
      a->set_name(branch);
      a->set_type(pit_onnx::AttributeProto::GRAPH);
      auto* inner = a->mutable_g()->add_node();
      inner->set_op_type(std::string(branch) == "then_branch" ? "Neg" : "Exp");
      inner->add_input("x");
      inner->add_output("r");
      a->mutable_g()->add_output()->set_name("r");
    }
    m.output("y");
    return m;
  };
  const graph::Graph g = with_condition(true).read();
  ASSERT_EQ(g.nodes.size(), 1u);
  EXPECT_EQ(g.nodes[0].op, "Neg");
  EXPECT_SAYS(UnsupportedError, "condition 'c' is not known", with_condition(false).read());
}

TEST(BadModels, FunctionsAreInlined) {
  Model m;
  auto* f = m.m.add_functions();
  f->set_name("Scaled");
  f->set_domain("mine");
  f->add_input("a");
  f->add_input("unused");
  f->add_output("r");
  f->add_attribute("factor");
  f->add_opset_import()->set_version(17);
  auto* c = f->add_node();
  c->set_op_type("Constant");
  c->add_output("k");
  auto* ref = c->add_attribute();
  ref->set_name("value_float");
  ref->set_ref_attr_name("factor");
  ref->set_type(pit_onnx::AttributeProto::FLOAT);
  auto* mul = f->add_node();
  mul->set_op_type("Mul");
  mul->add_input("a");
  mul->add_input("k");
  mul->add_output("r");
  m.m.add_opset_import()->set_domain("mine");
  for (const auto& [in, out] : {std::pair{"x", "t"}, std::pair{"t", "y"}}) {
    auto* n = m.node("Scaled", {in}, out);
    n->set_domain("mine");
    auto* a = n->add_attribute();
    a->set_name("factor");
    a->set_type(pit_onnx::AttributeProto::FLOAT);
    a->set_f(3);
  }
  m.output("y");
  Tensor x(DType::f32, {1});
  x.as<float>()[0] = 2;
  EXPECT_EQ(graph::run_reference(m.read(), std::vector<Tensor>{x})[0].as<float>()[0], 18.0f);
}

TEST(BadModels, TruncatedAndRandomFilesNeverCrash) {
  std::ifstream in(PIT_SOURCE_DIR "/tests/fixtures/bert-script.onnx", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  std::mt19937 rng(11);
  int errors = 0;
  const auto attempt = [&](const std::string& s) {
    try {
      graph::Graph g = frontend::read_onnx_bytes(s.data(), s.size());
      graph::run_passes(g);
    } catch (const InternalError& e) {
      ADD_FAILURE() << e.what();
    } catch (const Error&) {
      ++errors;
    } catch (const std::bad_alloc&) {
      ADD_FAILURE() << "an absurd allocation";
    }
  };
  for (std::size_t n = 0; n < good.size(); n += 1 + good.size() / 60) attempt(good.substr(0, n));
  EXPECT_GT(errors, 50);
  for (int k = 0; k < 300; ++k) {
    std::string s = good;
    for (int flips = 1 + static_cast<int>(rng() % 20); flips > 0; --flips)
      s[rng() % s.size()] = static_cast<char>(rng());
    attempt(s);
  }
  attempt("");
  attempt(std::string(1000, '\xff'));
  EXPECT_THROW(frontend::read_onnx_file("/nonexistent/model.onnx"), ModelError);
}

}  // namespace
}  // namespace pit
