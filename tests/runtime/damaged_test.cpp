// Damaged models under the sanitizers: an error of ours or a model that runs, never a crash. By default some damaged
// bytes of a fixture; PIT_CORPUS=<folder> takes every file in there instead (what tests/python/test_errors.py makes, a
// fuzzer's finds).
#include <fstream>
#include <sstream>

#include "runtime/arrays.h"

namespace pit::test {
namespace {

std::string contents(const std::string& path) {
  std::ostringstream s;
  s << std::ifstream(path, std::ios::binary).rdbuf();
  return s.str();
}

/// Inputs of some shape that a model of the fixtures' kind might take: [3,11] tokens.
std::map<std::string, Tensor> inputs_of(const Model& m) {
  std::map<std::string, Tensor> inputs;
  for (const TensorInfo& i : m.inputs()) {
    Shape shape;
    for (std::size_t d = 0; d < i.shape.size(); ++d) shape.push_back(i.shape[d] >= 0 ? i.shape[d] : d == 0 ? 3 : 11);
    Tensor t(i.dtype, shape);
    std::fill_n(static_cast<char*>(t.data()), t.bytes(), 0);
    for (std::int64_t e = 0; e < t.size(); ++e) {
      if (i.dtype == DType::i64) t.as<std::int64_t>()[e] = i.name == "attention_mask" ? e % 5 != 0 : e % 2;
      if (i.dtype == DType::f32) t.as<float>()[e] = static_cast<float>(e % 9) - 4;
    }
    inputs[i.name] = t;
  }
  return inputs;
}

enum class Outcome { ran, refused };
Outcome attempt(const std::string& bytes) {
  try {
    const Model m = compile(bytes);
    std::map<std::string, Tensor> inputs = inputs_of(m);
    std::map<std::string, TensorView> views;
    for (const auto& [name, t] : inputs) views[name] = t.view();
    m.run(views);
    return Outcome::ran;
  } catch (const InternalError& e) {
    ADD_FAILURE() << e.what();
  } catch (const Error&) {
  }
  return Outcome::refused;
}

TEST(DamagedModels, AreRefusedOrRun) {
  int ran = 0, refused = 0;
  const auto count = [&](Outcome o) { ++(o == Outcome::ran ? ran : refused); };
  if (const char* folder = std::getenv("PIT_CORPUS")) {
    for (const auto& f : std::filesystem::directory_iterator(folder)) {
      SCOPED_TRACE(f.path().string());
      count(attempt(contents(f.path().string())));
    }
  } else {
    std::mt19937 r(1);
    const std::string whole = contents(std::string(PIT_SOURCE_DIR) + "/tests/fixtures/bert-dynamo-eager.onnx");
    for (int i = 0; i < 150; ++i) {
      std::string damaged = whole;
      for (unsigned n = 1 + r() % 3; n > 0; --n) damaged[r() % damaged.size()] ^= static_cast<char>(1 << r() % 8);
      if (i % 10 == 0) damaged.resize(r() % damaged.size());
      SCOPED_TRACE(i);
      count(attempt(damaged));
    }
    EXPECT_GT(ran, 0);
    EXPECT_GT(refused, 0);
  }
  std::printf("[ figures  ] %d ran, %d refused\n", ran, refused);
}

}  // namespace
}  // namespace pit::test
