#include "frontend/onnx/tensors.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>

#include "graph/numeric.h"
#include "graph/opset/builder.h"
#include "pit/error.h"
#include "support/files.h"
#include "support/memory.h"

namespace pit::frontend {
namespace {

using pit_onnx::TensorProto;

[[noreturn]] void fail(const std::string& tensor, const std::string& message) {
  throw ModelError(fmt::format("tensor '{}': {}", tensor, message), {}, tensor);
}

// Its elements' bytes can be counted.
Shape shape_of(const TensorProto& t) {
  constexpr std::int64_t most = INT64_MAX / 16;
  Shape s(t.dims().begin(), t.dims().end());
  try {
    if (element_count(s) > most) fail(t.name(), fmt::format("shape {} has more than {} elements", to_string(s), most));
  } catch (const InputError& e) {
    fail(t.name(), e.what());
  }
  return s;
}

bool is_bfloat16(const TensorProto& t) { return t.data_type() == TensorProto::BFLOAT16; }

// bfloat16 is the upper half of a float.
Tensor widen(const Shape& shape, const char* bytes) {
  Tensor r(DType::f32, shape);
  for (std::int64_t i = 0; i < r.size(); ++i) {
    std::uint16_t h;
    std::memcpy(&h, bytes + 2 * i, 2);
    r.as<float>()[i] = std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
  }
  return r;
}

void normalise_bools(Tensor& t) {
  if (t.dtype() != DType::b8) return;
  for (std::int64_t i = 0; i < t.size(); ++i) t.as<std::uint8_t>()[i] = t.as<std::uint8_t>()[i] != 0;
}

// How many numbers there are in the typed field of its type.
int field_size(const TensorProto& t) {
  switch (t.data_type()) {
    case TensorProto::FLOAT: return t.float_data_size();
    case TensorProto::DOUBLE: return t.double_data_size();
    case TensorProto::INT64: return t.int64_data_size();
    default: return t.int32_data_size();
  }
}

// The typed fields: one number per element, 16-bit floats as their bits.
Tensor from_fields(const TensorProto& t, DType dtype, const Shape& shape) {
  if (const std::int64_t want = element_count(shape); field_size(t) != want)  // before there is memory for it
    fail(t.name(),
         fmt::format("shape {} needs {} elements, but the file has {}", to_string(shape), want, field_size(t)));
  Tensor r(dtype, shape);
  switch (t.data_type()) {
    case TensorProto::FLOAT: std::copy(t.float_data().begin(), t.float_data().end(), r.as<float>()); break;
    case TensorProto::DOUBLE: std::copy(t.double_data().begin(), t.double_data().end(), r.as<double>()); break;
    case TensorProto::INT64: std::copy(t.int64_data().begin(), t.int64_data().end(), r.as<std::int64_t>()); break;
    default:
      for (int i = 0; i < t.int32_data_size(); ++i) {
        const std::int32_t v = t.int32_data(i);
        if (dtype == DType::f16) r.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(v);
        else if (is_bfloat16(t)) r.as<float>()[i] = std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16);
        else graph::write_int(r, i, v);
      }
  }
  return r;
}

std::uint64_t parse_number(const std::string& tensor, const std::string& key, const std::string& text) {
  std::uint64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size())
    fail(tensor, fmt::format("external data: '{}' is '{}', not a number", key, text));
  return v;
}

}  // namespace

std::shared_ptr<FileMap> TensorReader::open(const std::string& tensor, const std::string& location) {
  if (const auto it = files_.find(location); it != files_.end()) return it->second;
  namespace fs = std::filesystem;
  if (folders_.empty())
    fail(tensor, fmt::format("external data '{}' cannot be found: the model was not read from a file", location));
  if (has_nul(location))
    fail(tensor,
         fmt::format("external data '{}': its location has a NUL byte", location.substr(0, location.find('\0'))));
  const fs::path relative(location);
  bool leaves = relative.empty() || relative.is_absolute();
  for (const fs::path& part : relative) leaves = leaves || part == "..";
  std::error_code error;
  fs::path path;
  for (const std::string& folder : folders_) {
    path = fs::path(folder) / relative;
    if (leaves || fs::exists(path, error)) break;
  }
  if (!leaves && fs::exists(path, error)) leaves = !is_inside(path.string());
  if (leaves)
    fail(tensor, fmt::format("external data '{}' leaves the model's folder; it must lie beside the model", location));
  if (!fs::is_regular_file(path, error))
    fail(tensor, fmt::format("external data file '{}' does not exist beside the model", location));
  return files_.emplace(location, std::make_shared<FileMap>(path.string(), /*lasting=*/true)).first->second;
}

// Symbolic links must not lead out of the model's folders either.
bool TensorReader::is_inside(const std::string& path) const {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  for (const std::string& folder : folders_) {
    const fs::path inside = error ? fs::path() : fs::canonical(folder, error);
    const fs::path back = error ? fs::path("..") : target.lexically_relative(inside);
    if (!back.empty() && *back.begin() != "..") return true;
  }
  return false;
}

Tensor TensorReader::read_external(const TensorProto& t, DType dtype, const Shape& shape) {
  std::string location;
  std::uint64_t offset = 0, length = 0;
  bool has_length = false;
  for (const auto& e : t.external_data()) {
    if (e.key() == "location") location = e.value();
    if (e.key() == "offset") offset = parse_number(t.name(), e.key(), e.value());
    if (e.key() == "length") length = parse_number(t.name(), e.key(), e.value()), has_length = true;
  }
  const std::shared_ptr<FileMap> file = open(t.name(), location);
  const std::uint64_t element = is_bfloat16(t) ? 2 : size_of(dtype);
  const std::uint64_t bytes = static_cast<std::uint64_t>(element_count(shape)) * element;
  if (has_length && length != bytes)
    fail(t.name(),
         fmt::format("shape {} needs {} bytes, but external data has length {}", to_string(shape), bytes, length));
  if (offset > file->size() || bytes > file->size() - offset) {
    fail(t.name(), fmt::format("external data file '{}' has {} bytes; {} at offset {} are asked for", location,
                               file->size(), bytes, offset));
  }
  const char* data = file->data() + offset;
  if (is_bfloat16(t)) return widen(shape, data);
  // In place where the file's layout allows aligned access. (Never written: constants are read-only.)
  if (dtype != DType::b8 && reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) == 0 && bytes > 0) {
    return Tensor(dtype, shape, const_cast<char*>(data), file);
  }
  return copy_of(dtype, shape, {data, bytes}, file);
}

// Most large ones are weights, given back once they are packed.
Tensor TensorReader::copy_of(DType dtype, const Shape& shape, std::string_view raw,
                             const std::shared_ptr<void>& owner) {
  const FileMap* const file = FileMap::of(owner);
  const bool mapped = file != nullptr && file->holds(raw.data(), raw.size());
  const std::shared_ptr<void> memory =
      mapped ? file->copy(raw.data(), raw.size(), pool_) : long_lived_copy(raw.data(), raw.size(), pool_);
  if (mapped) file->forget(raw.data(), raw.size());  // looking at what lies beside it has mapped it, too
  Tensor r(dtype, shape, memory.get(), memory);
  normalise_bools(r);
  return r;
}

Tensor TensorReader::read(const TensorProto& t, std::string_view raw, const std::shared_ptr<void>& owner) {
  const std::optional<DType> dtype = graph::dtype_of_onnx(t.data_type());
  if (!dtype) {
    throw UnsupportedError(
        fmt::format("tensor '{}': element type {} is not supported", t.name(), graph::onnx_type_name(t.data_type())),
        {}, t.name());
  }
  const Shape shape = shape_of(t);
  if (t.data_location() == TensorProto::EXTERNAL) return read_external(t, *dtype, shape);
  const bool cut_out = !raw.empty();
  if (!cut_out && !t.has_raw_data()) return from_fields(t, *dtype, shape);
  if (!cut_out) raw = t.raw_data();
  const std::uint64_t bytes = static_cast<std::uint64_t>(element_count(shape)) * (is_bfloat16(t) ? 2 : size_of(*dtype));
  if (raw.size() != bytes)
    fail(t.name(), fmt::format("shape {} needs {} bytes, but the file has {}", to_string(shape), bytes, raw.size()));
  if (is_bfloat16(t)) return widen(shape, raw.data());
  const bool aligned = reinterpret_cast<std::uintptr_t>(raw.data()) % size_of(*dtype) == 0;
  if (cut_out && owner != nullptr && aligned && *dtype != DType::b8) {
    return Tensor(*dtype, shape, const_cast<char*>(raw.data()), owner);  // constants are never written
  }
  return copy_of(*dtype, shape, raw, owner);
}

}  // namespace pit::frontend
