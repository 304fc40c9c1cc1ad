// Bytes that begin with "kernel " are text: what parses prints, and parses again to the same bytes. Others -> a kernel of
// every operation, by the generator of the differential tests, which draws from the bytes. It verifies and runs, the
// same each time, and goes through its text and back. Then one node or statement of it is damaged: the verifier refuses
// that or not; what it accepts goes through its text too. Now and then the code generator gets it, which must take it.
#include <cstring>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.h"

#include "codegen/codegen.h"
#include "codegen/encode.h"
#include "codegen/parse.h"
#include "codegen/random_kernel.h"
#include "codegen/share.h"

namespace {

using namespace pit::codegen;
using pit::codegen::testing::RandomKernel;
using pit::codegen::testing::RandomKernelMaker;
using pit::fuzz::Bytes;
using pit::fuzz::require;

std::vector<char> run(const Kernel& k, std::int64_t n, std::int64_t m) {
  std::vector<char> in(RandomKernel::kInputBytes), out(RandomKernel::kOutputBytes, 0x55);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<char>(i * 37 + i / 64 * 11);
  void* ptrs[] = {in.data(), out.data()};
  const std::int64_t ints[] = {n, m};
  interpret(k, ptrs, ints);
  return out;
}

// -- damage

void damage(ValueNode* v, Bytes& bytes) {
  switch (bytes.pick(7)) {
    case 0: v->op = static_cast<Op>(bytes.pick(static_cast<int>(Op::gather) + 1)); break;
    case 1: v->type.scalar = static_cast<Scalar>(bytes.pick(static_cast<int>(Scalar::ptr) + 1)); break;
    case 2: v->type.lanes = static_cast<int>(bytes.byte()) - 8; break;
    case 3: v->integer = static_cast<std::int64_t>(bytes.word()); break;
    case 4: v->lanes_map.push_back(static_cast<int>(bytes.byte()) - 8); break;
    case 5:
      if (!v->args.empty()) v->args.pop_back();
      break;
    default:
      if (!v->args.empty()) v->args[static_cast<std::size_t>(bytes.byte()) % v->args.size()] = nullptr;
  }
}

// A copy of the tree in which one node, found by a walk that the bytes choose, is damaged.
Value damaged(const Value& v, Bytes& bytes) {
  if (!v) return v;
  auto copy = std::make_shared<ValueNode>(*v);
  if (copy->args.empty() || bytes.one_in(3)) {
    damage(copy.get(), bytes);
  } else {
    Value& arg = copy->args[static_cast<std::size_t>(bytes.byte()) % copy->args.size()];
    arg = damaged(arg, bytes);
  }
  return copy;
}

void damage(Stmt* s, Bytes& bytes) {
  switch (bytes.pick(4)) {
    case 0: s->kind = static_cast<StmtKind>(bytes.pick(static_cast<int>(StmtKind::prefetch) + 1)); break;
    case 1: s->name = static_cast<int>(bytes.byte()) - 2; break;
    default: {
      Value* const values[] = {&s->value, &s->pointer, &s->bytes, &s->mask, &s->begin, &s->end, &s->step};
      Value& v = *values[bytes.pick(7)];
      v = damaged(v, bytes);
    }
  }
}

void damage(std::vector<Stmt>* block, Bytes& bytes) {
  if (block->empty()) return;
  const std::size_t at = static_cast<std::size_t>(bytes.byte()) % block->size();
  Stmt& s = (*block)[at];
  const int what = bytes.pick(8);
  if (what == 0) {
    block->erase(block->begin() + static_cast<std::ptrdiff_t>(at));
  } else if (what == 1) {
    std::swap(s, block->back());
  } else if (what < 5 && !s.body.empty()) {
    damage(&s.body, bytes);
  } else {
    damage(&s, bytes);
  }
}

// Code is generated, not run: where it would read and write is nobody's promise any more.
void generate(const Kernel& k) {
  Options options;
  options.target = pit::cpu_target("haswell");
  compile({k}, options);
}

void round_trip(const Kernel& k) {
  const std::string text = print(k);
  const Kernel again = parse(text);
  require(print(again) == text, "another text from the text:\n" + text + print(again));
  require(encode(again) == encode(shared(k)), "another kernel from the text:\n" + text);
}

void take_text(std::string_view text) {
  Kernel k;
  if (pit::fuzz::answers([&] { k = parse(text); })) round_trip(k);
}

void take_choices(Bytes bytes) {
  Bytes hurt = bytes;  // the same bytes: what is damaged changes with the kernel
  const std::int64_t n = bytes.pick(8), m = static_cast<std::int64_t>(bytes.word());
  const bool to_code = bytes.one_in(32);
  const int wounds = bytes.pick(4);
  const RandomKernel made = RandomKernelMaker("fuzz", [&] { return bytes.byte(); }).make();
  round_trip(made.kernel);
  require(run(made.kernel, n, m) == run(made.kernel, n, m), "a second run differs: " + print(made.kernel));

  Kernel k = made.kernel;
  for (int i = 0; i < wounds; ++i) damage(&k.body, hurt);
  if (verify(k)) return;
  round_trip(k);
  if (to_code) generate(k);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("kernel ")) take_text(text);
  else take_choices(Bytes(data, size));
  return 0;
}
