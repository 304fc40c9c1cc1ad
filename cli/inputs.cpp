#include "inputs.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fmt/format.h>
#include <utility>

#include "npy.h"

#include "pit/error.h"

namespace pit::cli {
namespace {

bool has_word(std::string name, const char* word) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find(word) != std::string::npos;
}

/// The element at position `s` of a row of `length` real tokens.
std::int64_t element(const std::string& name, std::int64_t s, std::int64_t length) {
  if (has_word(name, "position")) return s;
  if (s >= length || has_word(name, "type") || has_word(name, "segment")) return 0;
  if (has_word(name, "mask")) return 1;
  return 1 + s % 7;  // small ids: in every vocabulary
}

template <class T>
void fill(Tensor& tensor, const std::string& name, const std::vector<std::int64_t>& lengths) {
  T* out = tensor.as<T>();
  for (const std::int64_t length : lengths) {
    for (std::int64_t s = 0; s < tensor.shape()[1]; ++s) *out++ = static_cast<T>(element(name, s, length));
  }
}

Tensor make_input(const TensorInfo& info, const std::vector<std::int64_t>& lengths) {
  const Shape shape = {static_cast<std::int64_t>(lengths.size()), *std::max_element(lengths.begin(), lengths.end())};
  bool fits = info.shape.size() == 2;
  for (std::size_t axis = 0; fits && axis < 2; ++axis) fits = info.shape[axis] == -1 || info.shape[axis] == shape[axis];
  const bool integer = info.dtype == DType::i64 || info.dtype == DType::i32;
  const bool mask = info.dtype == DType::b8 || (info.dtype == DType::f32 && has_word(info.name, "mask"));
  if (!fits || !(integer || mask)) {
    throw InputError(
        fmt::format(
            "--lengths cannot make the input '{}', {} {}: it makes token ids and masks of shape {}; give it with "
            "--input {}=FILE.npy",
            info.name, name_of(info.dtype), to_string(info.shape), to_string(shape), info.name),
        {}, info.name);
  }
  Tensor tensor(info.dtype, shape);
  switch (info.dtype) {
    case DType::i64: fill<std::int64_t>(tensor, info.name, lengths); break;
    case DType::i32: fill<std::int32_t>(tensor, info.name, lengths); break;
    case DType::f32: fill<float>(tensor, info.name, lengths); break;
    default: fill<std::uint8_t>(tensor, info.name, lengths); break;
  }
  return tensor;
}

}  // namespace

std::pair<std::string, std::string> split_assignment(const std::string& text, const std::string& option) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    throw UsageError(fmt::format("{} {}: NAME=VALUE is what is wanted", option, text));
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

std::int64_t whole_number(const std::string& text, const std::string& option) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || last != end) throw UsageError(fmt::format("{}: '{}' is no whole number", option, text));
  return value;
}

TensorMap gather_inputs(const std::vector<TensorInfo>& declared, const std::vector<std::string>& files,
                        const std::vector<std::int64_t>& lengths) {
  TensorMap inputs;
  for (const std::string& file : files) {
    const auto [name, path] = split_assignment(file, "--input");
    if (!inputs.emplace(name, read_npy(path, name)).second) throw UsageError("--input names '" + name + "' twice");
  }
  if (lengths.empty()) return inputs;
  for (const std::int64_t length : lengths) {
    if (length < 0) throw UsageError(fmt::format("--lengths: {} is no length", length));
  }
  for (const TensorInfo& info : declared) {
    if (!inputs.contains(info.name)) inputs.emplace(info.name, make_input(info, lengths));
  }
  return inputs;
}

std::map<std::string, TensorView> views_of(const TensorMap& tensors) {
  std::map<std::string, TensorView> views;
  for (const auto& [name, tensor] : tensors) views.emplace(name, tensor.view());
  return views;
}

}  // namespace pit::cli
