#include "codegen/encode.h"

#include <bit>
#include <unordered_map>

namespace pit::codegen {
namespace {

// Every list stands behind its length, so that no two kernels meet in the same bytes.
class Encoder {
 public:
  void kernel(const Kernel& k) {
    text(k.name);
    for (const auto* args : {&k.ptrs, &k.ints}) {
      word(args->size());
      for (const ArgInfo& a : *args) text(a.name), word(a.noalias);
    }
    word(k.names.size());
    for (const auto& [name, t] : k.names) text(name), type(t);
    block(k.body);
  }
  std::string take() { return std::move(bytes_); }

 private:
  void word(std::uint64_t x) { bytes_.append(reinterpret_cast<const char*>(&x), sizeof x); }
  void integer(std::int64_t x) { word(static_cast<std::uint64_t>(x)); }
  void text(const std::string& s) {
    word(s.size());
    bytes_ += s;
  }
  void type(Type t) { word(static_cast<std::uint64_t>(t.scalar) << 32 | static_cast<std::uint32_t>(t.lanes)); }

  // A node that several others use stands where it is met first; then only its number.
  void value(const Value& v) {
    if (!v) return integer(-1);
    const auto [at, fresh] = numbers_.try_emplace(v.get(), static_cast<std::int64_t>(numbers_.size()));
    if (!fresh) return integer(at->second);
    integer(-2);
    word(static_cast<std::uint64_t>(v->op));
    type(v->type);
    word(std::bit_cast<std::uint64_t>(v->number));
    integer(v->integer);
    word(v->lanes_map.size());
    for (int lane : v->lanes_map) integer(lane);
    word(v->args.size());
    for (const Value& a : v->args) value(a);
  }

  void block(const std::vector<Stmt>& stmts) {
    word(stmts.size());
    for (const Stmt& s : stmts) {
      word(static_cast<std::uint64_t>(s.kind));
      integer(s.name);
      for (const Value* v : {&s.value, &s.pointer, &s.bytes, &s.mask, &s.begin, &s.end, &s.step}) value(*v);
      block(s.body);
      block(s.otherwise);
    }
  }

  std::string bytes_;
  std::unordered_map<const ValueNode*, std::int64_t> numbers_;
};

}  // namespace

std::string encode(const Kernel& k) {
  Encoder encoder;
  encoder.kernel(k);
  return encoder.take();
}

}  // namespace pit::codegen
