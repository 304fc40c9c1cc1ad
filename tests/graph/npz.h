// Reads NumPy's .npz archives (zip of .npy, stored or deflated) for tests that compare with stored answers.
#pragma once

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <zlib.h>

#include "pit/tensor.h"
#include "support/files.h"

namespace pit::testing {

inline std::uint32_t little(const std::string& s, std::size_t at, int bytes) {
  std::uint32_t v = 0;
  for (int i = 0; i < bytes; ++i)
    v |= static_cast<std::uint32_t>(static_cast<unsigned char>(s.at(at + static_cast<std::size_t>(i)))) << (8 * i);
  return v;
}

inline std::string inflate_raw(const char* data, std::size_t size, std::size_t result_size) {
  std::string out(result_size, '\0');
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw std::runtime_error("inflateInit2");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data));
  z.avail_in = static_cast<uInt>(size);
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int rc = inflate(&z, Z_FINISH);
  inflateEnd(&z);
  if (rc != Z_STREAM_END) throw std::runtime_error("a deflated entry is corrupt");
  return out;
}

inline Tensor parse_npy(const std::string& s) {
  const std::size_t header_at = static_cast<unsigned char>(s.at(6)) >= 2 ? 12 : 10;
  const std::size_t header_size = little(s, 8, header_at == 12 ? 4 : 2);
  const std::string header = s.substr(header_at, header_size);
  const std::size_t descr = header.find("'descr': '") + 10;
  const std::string type = header.substr(descr, header.find('\'', descr) - descr);
  static const std::map<std::string, DType> types = {{"<f4", DType::f32}, {"<f8", DType::f64}, {"<f2", DType::f16},
                                                     {"<i8", DType::i64}, {"<i4", DType::i32}, {"|i1", DType::i8},
                                                     {"|u1", DType::u8},  {"|b1", DType::b8}};
  if (header.find("'fortran_order': True") != std::string::npos) throw std::runtime_error("column-major .npy");
  Shape shape;
  const std::size_t open = header.find('(');
  for (std::size_t at = open + 1; header[at] != ')';) {
    if (header[at] >= '0' && header[at] <= '9') {
      std::size_t used = 0;
      shape.push_back(std::stoll(header.substr(at), &used));
      at += used;
    } else {
      ++at;
    }
  }
  Tensor t(types.at(type), shape);
  std::memcpy(t.data(), s.data() + header_at + header_size, t.bytes());
  return t;
}

/// Name -> contents.
inline std::map<std::string, std::string> read_zip(const std::string& path) {
  const std::string s = read_file(path);
  std::map<std::string, std::string> r;
  const std::size_t end = s.rfind("PK\5\6");
  if (end == std::string::npos) throw std::runtime_error(path + " is no zip archive");
  std::size_t at = little(s, end + 16, 4);
  for (std::uint32_t n = little(s, end + 10, 2); n > 0; --n) {
    const std::uint32_t method = little(s, at + 10, 2), packed = little(s, at + 20, 4), size = little(s, at + 24, 4);
    const std::uint32_t name_size = little(s, at + 28, 2), extra = little(s, at + 30, 2),
                        comment = little(s, at + 32, 2);
    const std::size_t local = little(s, at + 42, 4);
    const std::size_t data = local + 30 + little(s, local + 26, 2) + little(s, local + 28, 2);
    r.emplace(s.substr(at + 46, name_size),
              method == 0 ? s.substr(data, size) : inflate_raw(s.data() + data, packed, size));
    at += 46 + name_size + extra + comment;
  }
  return r;
}

/// Name without ".npy" -> array.
inline std::map<std::string, Tensor> read_npz(const std::string& path) {
  std::map<std::string, Tensor> r;
  for (const auto& [name, contents] : read_zip(path)) {
    r.emplace(name.ends_with(".npy") ? name.substr(0, name.size() - 4) : name, parse_npy(contents));
  }
  return r;
}

}  // namespace pit::testing
