// Bytes -> a kernel of every operation, by the generator of the differential tests, which draws from the bytes. It
// verifies, prints and runs, the same each time. Then one node or statement of it is damaged: the verifier refuses that
// or not, and what it accepts is printed and, now and then, handed to the code generator, which must take it.
#include <cstring>
#include <vector>

#include "fuzz/fuzz.h"

#include "codegen/codegen.h"
#include "codegen/random_kernel.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const std::int64_t n = bytes.pick(8), m = static_cast<std::int64_t>(bytes.word());
  const bool to_code = bytes.one_in(32);
  const int wounds = bytes.pick(4);
  Bytes hurt(data, size);  // the same bytes: what is damaged changes with the kernel
  const RandomKernel made = RandomKernelMaker("fuzz", [&] { return bytes.byte(); }).make();
  require(!print(made.kernel).empty(), "a kernel prints as nothing");
  require(run(made.kernel, n, m) == run(made.kernel, n, m), "a second run differs: " + print(made.kernel));

  Kernel k = made.kernel;
  for (int i = 0; i < wounds; ++i) damage(&k.body, hurt);
  if (verify(k)) return 0;
  require(!print(k).empty(), "a damaged kernel prints as nothing");
  if (to_code) generate(k);
  return 0;
}
