// Two sentences of different length through a sentence encoder:  minimal MODEL.onnx
//
// The same code as for any other runtime: nothing in it speaks about sparsity. PIT finds out from the graph that the
// padding of the second sentence is never read, and does not compute it.
#include <cstdint>
#include <cstdio>
#include <pit/pit.h>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 2) return std::fprintf(stderr, "usage: minimal MODEL.onnx\n"), 2;
  const pit::Model model = pit::Model::load(argv[1]);

  std::vector<std::int64_t> ids = {5, 9, 14, 3, 7, 2,  //
                                   8, 4, 1,  1, 1, 1};
  std::vector<std::int64_t> mask = {1, 1, 1, 1, 1, 1,  //
                                    1, 1, 0, 0, 0, 0};
  std::vector<std::int64_t> types(12, 0);
  const pit::TensorMap outputs = model.run({{"input_ids", {ids.data(), pit::DType::i64, {2, 6}, {}}},
                                            {"attention_mask", {mask.data(), pit::DType::i64, {2, 6}, {}}},
                                            {"token_type_ids", {types.data(), pit::DType::i64, {2, 6}, {}}}});

  const pit::Tensor& embedding = outputs.at("sentence_embedding");
  const float* first = embedding.as<float>();
  const float* second = first + embedding.shape()[1];
  double similarity = 0;
  for (std::int64_t i = 0; i < embedding.shape()[1]; ++i) similarity += static_cast<double>(first[i]) * second[i];
  std::printf("%s, similarity %.4f\n", pit::to_string(embedding.shape()).c_str(), similarity);
} catch (const pit::Error& e) {
  return std::fprintf(stderr, "%s\n", e.what()), 1;
}
