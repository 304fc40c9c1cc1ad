#include "npy.h"

#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "pit/error.h"

namespace pit::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

constexpr std::pair<DType, const char*> kDescriptions[] = {
    {DType::f32, "<f4"}, {DType::f64, "<f8"}, {DType::f16, "<f2"}, {DType::i64, "<i8"},
    {DType::i32, "<i4"}, {DType::i8, "|i1"},  {DType::u8, "|u1"},  {DType::b8, "|b1"},
};

struct Header {
  std::string type;
  bool fortran = false;
  Shape shape;
};

/// Walks the header, a Python dict literal with exactly the keys descr, fortran_order and shape, in any order.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  std::optional<Header> parse() {
    Header header;
    int seen = 0;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      std::string key;
      if (!text(key) || !take(':')) return std::nullopt;
      if (key == "descr" && text(header.type)) {
        seen |= 1;
      } else if (key == "fortran_order" && boolean(header.fortran)) {
        seen |= 2;
      } else if (key == "shape" && shape(header.shape)) {
        seen |= 4;
      } else {
        return std::nullopt;
      }
      take(',');
    }
    space();
    if (seen != 7 || !rest_.empty()) return std::nullopt;
    return header;
  }

 private:
  void space() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front()))) rest_.remove_prefix(1);
  }
  bool take(char c) {
    space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view w) {
    space();
    if (rest_.substr(0, w.size()) != w) return false;
    rest_.remove_prefix(w.size());
    return true;
  }
  bool text(std::string& out) {
    space();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return false;
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return false;
    out = std::string(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return true;
  }
  bool boolean(bool& out) {
    if (word("True")) return out = true, true;
    if (word("False")) return out = false, true;
    return false;
  }
  bool shape(Shape& out) {
    if (!take('(')) return false;
    while (!take(')')) {
      space();
      std::int64_t extent = 0;
      std::size_t digits = 0;
      for (; digits < rest_.size() && digits < 18 && std::isdigit(static_cast<unsigned char>(rest_[digits]));
           ++digits) {
        extent = extent * 10 + (rest_[digits] - '0');
      }
      if (digits == 0 || out.size() >= 64) return false;
      rest_.remove_prefix(digits);
      out.push_back(extent);
      if (!take(',') && (rest_.empty() || rest_.front() != ')')) return false;
    }
    return true;
  }

  std::string_view rest_;
};

[[noreturn]] void refuse(const std::string& path, const std::string& tensor, const std::string& what) {
  throw InputError(fmt::format("'{}': {}", path, what), {}, tensor);
}

std::string read_whole(const std::string& path, const std::string& tensor) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, tensor, fmt::format("cannot be opened: {}", std::generic_category().message(errno)));
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) refuse(path, tensor, "cannot be read");
  return bytes;
}

/// Splits the file into its header and its data.
std::pair<Header, std::string_view> split(const std::string& bytes, const std::string& path,
                                          const std::string& tensor) {
  if (bytes.size() < 10 || std::string_view(bytes).substr(0, 6) != kMagic) refuse(path, tensor, "is not a .npy file");
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3)
    refuse(path, tensor, fmt::format(".npy version {} is not known; 1 to 3 are", version));
  const std::size_t width = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + width) refuse(path, tensor, "is truncated");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, width);
  if (length > bytes.size() - 8 - width) refuse(path, tensor, "is truncated");
  const std::string_view all = bytes;
  std::optional<Header> header = HeaderParser(all.substr(8 + width, length)).parse();
  if (!header) refuse(path, tensor, "has a header that is none of NumPy's for a plain array");
  return {std::move(*header), all.substr(8 + width + length)};
}

std::optional<DType> dtype_of(const std::string& description) {
  for (const auto& [type, text] : kDescriptions) {
    // For single bytes the mark of the byte order is arbitrary.
    if (description == text || (size_of(type) == 1 && description.size() == 3 && description.substr(1) == text + 1))
      return type;
  }
  return std::nullopt;
}

/// Column-major to row-major.
void transpose(const char* from, Tensor& to) {
  const Shape& shape = to.shape();
  const std::size_t size = size_of(to.dtype());
  Shape index(shape.size(), 0);
  char* out = to.as<char>();
  for (std::int64_t i = 0; i < to.size(); ++i, out += size) {
    std::int64_t offset = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) offset = offset * shape[axis] + index[axis];
    std::memcpy(out, from + static_cast<std::size_t>(offset) * size, size);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

}  // namespace

Tensor read_npy(const std::string& path, const std::string& tensor) {
  const std::string bytes = read_whole(path, tensor);
  const auto [header, data] = split(bytes, path, tensor);
  const std::optional<DType> dtype = dtype_of(header.type);
  if (!dtype) {
    refuse(path, tensor,
           fmt::format("holds elements of type '{}'; PIT reads <f4, <f8, <f2, <i8, <i4, i1, u1 and b1 "
                       "(save array.astype(...) in little-endian order)",
                       header.type));
  }
  const auto needed = static_cast<std::uint64_t>(element_count(header.shape));
  if (needed > data.size() || needed * size_of(*dtype) != data.size()) {
    refuse(path, tensor,
           fmt::format("holds {} bytes of data where its shape {} needs another number: truncated?", data.size(),
                       to_string(header.shape)));
  }
  Tensor out(*dtype, header.shape);
  if (header.fortran && header.shape.size() > 1) {
    transpose(data.data(), out);
  } else if (!data.empty()) {
    std::memcpy(out.data(), data.data(), data.size());
  }
  return out;
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const char* description = nullptr;
  for (const auto& [type, text] : kDescriptions) {
    if (type == tensor.dtype()) description = text;
  }
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", description,
                                   fmt::join(tensor.shape(), ", "), tensor.shape().size() == 1 ? "," : "");
  // The data begins at a multiple of 64; the header ends with a newline.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header.push_back('\n');
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  {
    std::ofstream file(temporary, std::ios::binary);
    const auto length = static_cast<std::uint16_t>(header.size());
    file << kMagic << '\x01' << '\0' << static_cast<char>(length & 0xff) << static_cast<char>(length >> 8) << header;
    file.write(static_cast<const char*>(tensor.data()), static_cast<std::streamsize>(tensor.bytes()));
    file.close();
    if (!file) {
      std::remove(temporary.c_str());
      refuse(path, {}, fmt::format("cannot be written: {}", std::generic_category().message(errno)));
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(temporary.c_str());
    refuse(path, {}, fmt::format("cannot be written: {}", std::generic_category().message(error)));
  }
}

}  // namespace pit::cli
