#include "codegen/share.h"

#include <bit>
#include <unordered_map>
#include <utility>

namespace pit::codegen {
namespace {

std::uint64_t bits_of(double v) { return std::bit_cast<std::uint64_t>(v); }  // +0 and -0 are two values

class Rewriter {
 public:
  void block(std::vector<Stmt>* body) {
    for (Stmt& s : *body) {
      for (Value* v : {&s.value, &s.pointer, &s.bytes, &s.mask, &s.begin, &s.end, &s.step}) *v = value(*v);
      block(&s.body);
      block(&s.otherwise);
    }
  }

 private:
  Value value(const Value& v) {
    if (!v) return v;
    if (const auto known = done_.find(v.get()); known != done_.end()) return known->second;
    ValueNode node = *v;
    for (Value& a : node.args) a = value(a);
    return done_[v.get()] = sharer_.make(std::move(node));
  }

  Sharer sharer_;
  std::unordered_map<const ValueNode*, Value> done_;
};

}  // namespace

std::size_t Sharer::Hash::operator()(const Value& v) const {
  std::uint64_t h = static_cast<std::uint64_t>(v->op);
  const auto mix = [&h](std::uint64_t x) { h = (std::rotl(h, 29) ^ x) * 0x9e3779b97f4a7c15u; };
  mix(static_cast<std::uint64_t>(v->type.scalar) << 32 | static_cast<std::uint32_t>(v->type.lanes));
  mix(bits_of(v->number));
  mix(static_cast<std::uint64_t>(v->integer));
  for (const int lane : v->lanes_map) mix(static_cast<std::uint64_t>(lane));
  for (const Value& a : v->args) mix(reinterpret_cast<std::uintptr_t>(a.get()));
  return h ^ (h >> 32);
}

bool Sharer::Equal::operator()(const Value& a, const Value& b) const {
  return a->op == b->op && a->type == b->type && bits_of(a->number) == bits_of(b->number) && a->integer == b->integer &&
         a->lanes_map == b->lanes_map && a->args == b->args;
}

Value Sharer::make(ValueNode node) { return *nodes_.insert(std::make_shared<const ValueNode>(std::move(node))).first; }

Kernel shared(const Kernel& k) {
  Kernel result = k;
  Rewriter().block(&result.body);
  return result;
}

}  // namespace pit::codegen
