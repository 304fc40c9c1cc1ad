#include "frontend/onnx/wire.h"

#include <cstdint>

namespace pit::frontend {
namespace {

// Field numbers of onnx.proto.
constexpr std::uint64_t kModelGraph = 7, kGraphInitializer = 5, kTensorRawData = 9;
constexpr std::size_t kBig = 4096;

struct Field {
  std::uint64_t number = 0;
  int type = 0;
  std::string_view whole;    // with tag
  std::string_view payload;  // of a length-delimited field
};

// Reads one field off the front of `in`.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  bool done() const { return in_.empty() || failed_; }
  bool failed() const { return failed_; }

  Field next() {
    Field f;
    const std::string_view start = in_;
    const std::uint64_t tag = varint();
    f.number = tag >> 3;
    f.type = static_cast<int>(tag & 7);
    if (f.type == 0) {
      varint();
    } else if (f.type == 1) {
      skip(8);
    } else if (f.type == 5) {
      skip(4);
    } else if (f.type == 2) {
      const std::uint64_t n = varint();
      f.payload = in_.substr(0, n);
      skip(n);
    } else {
      failed_ = true;
    }
    if (!failed_) f.whole = start.substr(0, start.size() - in_.size());
    return f;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return v;
    }
    failed_ = true;
    return 0;
  }
  void skip(std::uint64_t n) {
    if (n > in_.size()) failed_ = true;
    else in_.remove_prefix(static_cast<std::size_t>(n));
  }

  std::string_view in_;
  bool failed_ = false;
};

void put_varint(std::string* out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

void put_message(std::string* out, std::uint64_t number, std::string_view payload) {
  put_varint(out, number << 3 | 2);
  put_varint(out, payload.size());
  out->append(payload);
}

bool cut_tensor(std::string_view tensor, std::string* out, std::string_view* raw) {
  Reader r(tensor);
  while (!r.done()) {
    const Field f = r.next();
    if (r.failed()) return false;
    if (f.number == kTensorRawData && f.type == 2 && f.payload.size() >= kBig) {
      if (!raw->empty()) return false;  // twice: let protobuf decide
      *raw = f.payload;
    } else {
      out->append(f.whole);
    }
  }
  return !r.failed();
}

bool cut_graph(std::string_view graph, std::string* out, std::vector<std::string_view>* weights) {
  Reader r(graph);
  while (!r.done()) {
    const Field f = r.next();
    if (r.failed()) return false;
    if (f.number != kGraphInitializer || f.type != 2) {
      out->append(f.whole);
      continue;
    }
    std::string tensor;
    std::string_view raw;
    if (!cut_tensor(f.payload, &tensor, &raw)) return false;
    weights->push_back(raw);
    put_message(out, kGraphInitializer, tensor);
  }
  return !r.failed();
}

}  // namespace

std::optional<Skeleton> cut_weights(std::string_view model) {
  Skeleton s;
  bool seen = false;
  Reader r(model);
  while (!r.done()) {
    const Field f = r.next();
    if (r.failed()) return std::nullopt;
    if (f.number != kModelGraph || f.type != 2) {
      s.bytes.append(f.whole);
      continue;
    }
    if (seen) return std::nullopt;  // a second graph would be merged into the first
    seen = true;
    std::string graph;
    if (!cut_graph(f.payload, &graph, &s.weights)) return std::nullopt;
    put_message(&s.bytes, kModelGraph, graph);
  }
  if (r.failed()) return std::nullopt;
  return s;
}

}  // namespace pit::frontend
