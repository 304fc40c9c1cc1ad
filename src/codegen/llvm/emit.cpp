#include "codegen/llvm/emit.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <set>
#include <unordered_map>

#include "codegen/llvm/values.h"
#include "codegen/ops.h"
#include "support/check.h"

namespace pit::codegen::llvm_backend {
namespace {

using LV = llvm::Value*;

/// The vars that a block assigns, nested blocks included.
void collect_assigned(const std::vector<Stmt>& body, std::set<int>* out) {
  for (const Stmt& s : body) {
    if (s.kind == StmtKind::assign) out->insert(s.name);
    collect_assigned(s.body, out);
    collect_assigned(s.otherwise, out);
  }
}

/// Which pointer argument an address comes from; loaded pointers count to the argument that the table came from, as the
/// specification says "that argument's accesses". kUnknown: no statement about aliasing.
constexpr int kUnknown = -1;

class Emitter {
 public:
  Emitter(const Kernel& k, llvm::Module& module, const Features& features)
      : k_(k),
        features_(features),
        context_(module.getContext()),
        layout_(module.getDataLayout()),
        ir_(context_, llvm::TargetFolder(layout_)),
        names_(k.names.size(), nullptr),
        roots_(k.names.size(), kUnknown) {
    create_function(module, features.vector_bits);
    create_alias_scopes();
    load_arguments();
    block(k.body);
    ir_.CreateRetVoid();
  }

 private:
  // --- the function and its arguments ---

  void create_function(llvm::Module& module, int vector_bits) {
    auto* pointer = llvm::PointerType::getUnqual(context_);
    auto* type = llvm::FunctionType::get(ir_.getVoidTy(), {pointer, pointer}, false);
    function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, k_.name, module);
    const std::string bits = std::to_string(vector_bits);
    function_->addFnAttr("prefer-vector-width", bits);
    function_->addFnAttr("min-legal-vector-width", bits);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    function_->addFnAttr(llvm::Attribute::NoRecurse);
    function_->addFnAttr(llvm::Attribute::WillReturn);
    for (unsigned i : {0u, 1u}) {
      function_->addParamAttr(i, llvm::Attribute::NoAlias);
      function_->addParamAttr(i, llvm::Attribute::ReadOnly);
      function_->addParamAttr(i, llvm::Attribute::NoUndef);
    }
    ir_.SetInsertPoint(llvm::BasicBlock::Create(context_, "entry", function_));
  }

  /// One alias scope per noalias argument; an access declares its own scope and all that it cannot touch.
  void create_alias_scopes() {
    llvm::MDBuilder md(context_);
    llvm::MDNode* domain = nullptr;
    for (const ArgInfo& a : k_.ptrs) {
      if (a.noalias && domain == nullptr) domain = md.createAnonymousAliasScopeDomain();
      scopes_.push_back(a.noalias ? md.createAnonymousAliasScope(domain) : nullptr);
    }
    for (std::size_t root = 0; root < scopes_.size(); ++root) {
      llvm::SmallVector<llvm::Metadata*, 8> others;
      for (std::size_t i = 0; i < scopes_.size(); ++i) {
        if (i != root && scopes_[i] != nullptr) others.push_back(scopes_[i]);
      }
      no_alias_.push_back(others.empty() ? nullptr : llvm::MDNode::get(context_, others));
    }
  }

  LV load_argument(unsigned array, std::size_t index, llvm::Type* type) {
    LV address = ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), function_->getArg(array), 8 * index);
    llvm::LoadInst* load = ir_.CreateAlignedLoad(type, address, llvm::Align(8));
    load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(context_, {}));
    return load;
  }

  void load_arguments() {
    for (std::size_t i = 0; i < k_.ptrs.size(); ++i)
      ptrs_.push_back(load_argument(0, i, llvm::PointerType::getUnqual(context_)));
    for (std::size_t i = 0; i < k_.ints.size(); ++i) ints_.push_back(load_argument(1, i, ir_.getInt64Ty()));
  }

  // --- addresses ---

  int root_of(const Value& v) const {
    switch (v->op) {
      case Op::ptr_arg: return static_cast<int>(v->integer);
      case Op::offset:
      case Op::load: return root_of(v->args[0]);
      case Op::name: return roots_[static_cast<std::size_t>(v->integer)];
      case Op::select: {
        const int a = root_of(v->args[1]);
        return a == root_of(v->args[2]) ? a : kUnknown;
      }
      default: return kUnknown;
    }
  }

  LV with_alias_info(LV access, int root) {
    auto* i = llvm::dyn_cast<llvm::Instruction>(access);
    if (i == nullptr || root == kUnknown) return access;
    const auto r = static_cast<std::size_t>(root);
    if (scopes_[r] != nullptr)
      i->setMetadata(llvm::LLVMContext::MD_alias_scope, llvm::MDNode::get(context_, scopes_[r]));
    if (no_alias_[r] != nullptr) i->setMetadata(llvm::LLVMContext::MD_noalias, no_alias_[r]);
    return access;
  }

  LV address(const Value& pointer, const Value& bytes) {
    LV base = value(pointer);
    LV at = value(bytes);
    if (bytes->type.scalar == Scalar::i32) at = ir_.CreateSExt(at, type_of(context_, {Scalar::i64, bytes->type.lanes}));
    return ir_.CreateGEP(ir_.getInt8Ty(), base, at);
  }

  /// The vector intrinsics take no scalars: a masked access of one lane is one of a vector of one.
  LV as_vector(LV v) {
    if (v->getType()->isVectorTy()) return v;
    return ir_.CreateInsertElement(llvm::PoisonValue::get(llvm::FixedVectorType::get(v->getType(), 1)), v,
                                   std::uint64_t{0});
  }
  LV as_scalar(LV v) { return ir_.CreateExtractElement(v, std::uint64_t{0}); }

  LV read(const ValueNode& v) {
    llvm::Type* type = memory_type_of(context_, v.type);
    const llvm::Align align(static_cast<std::uint64_t>(bytes_of(v.type.scalar)));
    const int root = root_of(v.args[0]);
    LV at = address(v.args[0], v.args[1]);
    LV mask = v.args.size() > 2 ? value(v.args[2]) : nullptr;
    const bool scalar = v.type.lanes == 1;
    LV loaded = nullptr;
    if (mask == nullptr && (scalar || v.op == Op::load)) {
      loaded = with_alias_info(ir_.CreateAlignedLoad(type, at, align), root);
    } else {
      llvm::Type* vector = scalar ? llvm::FixedVectorType::get(type, 1) : type;
      if (mask != nullptr) mask = as_vector(mask);
      LV zero = llvm::Constant::getNullValue(vector);
      loaded = v.op == Op::load ? ir_.CreateMaskedLoad(vector, at, align, mask, zero)
                                : ir_.CreateMaskedGather(vector, as_vector(at), align, mask, zero);
      loaded = with_alias_info(loaded, root);
      if (scalar) loaded = as_scalar(loaded);
    }
    return from_memory(ir_, v.type, loaded);
  }

  void write(const Stmt& s) {
    const Type t = s.value->type;
    const llvm::Align align(static_cast<std::uint64_t>(bytes_of(t.scalar)));
    const int root = root_of(s.pointer);
    LV v = to_memory(ir_, t, value(s.value));
    LV mask = s.mask ? value(s.mask) : nullptr;
    LV at = address(s.pointer, s.bytes);
    if (mask == nullptr && (t.lanes == 1 || s.kind == StmtKind::store)) {
      with_alias_info(ir_.CreateAlignedStore(v, at, align), root);
    } else if (s.kind == StmtKind::store) {
      with_alias_info(ir_.CreateMaskedStore(as_vector(v), at, align, as_vector(mask)), root);
    } else {
      with_alias_info(ir_.CreateMaskedScatter(as_vector(v), as_vector(at), align, mask ? as_vector(mask) : nullptr),
                      root);
    }
  }

  // --- values ---

  LV value(const Value& v) {
    switch (v->op) {
      case Op::ptr_arg: return ptrs_[static_cast<std::size_t>(v->integer)];
      case Op::int_arg: return ints_[static_cast<std::size_t>(v->integer)];
      case Op::name: return names_[static_cast<std::size_t>(v->integer)];
      case Op::constant: return constant(context_, *v);
      default: break;
    }
    const bool shared = v.use_count() > 1;
    if (shared) {
      if (auto found = done_.find(v.get()); found != done_.end()) return found->second;
    }
    LV result = node(*v);
    if (shared) done_.emplace(v.get(), result);
    return result;
  }

  LV node(const ValueNode& v) {
    if (v.op == Op::load || v.op == Op::gather) return read(v);
    if (v.op == Op::offset) return address(v.args[0], v.args[1]);
    if (v.op == Op::iota) return iota(context_, v.type);
    llvm::SmallVector<LV, 3> x;
    for (const Value& a : v.args) x.push_back(value(a));
    const Type from = v.args[0]->type;
    if (is_unary(v.op)) return unary(ir_, v.op, from, x[0]);
    if (is_binary(v.op) || is_compare(v.op)) return binary(ir_, v.op, from, x[0], x[1]);
    if (is_reduce(v.op)) return reduce(ir_, v.op, from, x[0]);
    switch (v.op) {
      case Op::fma: return fma(ir_, x[0], x[1], x[2]);
      case Op::dot: return dot(ir_, features_, v.type.lanes, x[0], x[1], x[2]);
      case Op::select: return ir_.CreateSelect(x[0], x[1], x[2]);
      case Op::convert: return convert(ir_, from, v.type, x[0]);
      case Op::bitcast: return ir_.CreateBitCast(x[0], type_of(context_, v.type));
      case Op::splat: return ir_.CreateVectorSplat(static_cast<unsigned>(v.type.lanes), x[0]);
      case Op::extract:
        return from.lanes == 1 ? x[0] : ir_.CreateExtractElement(x[0], static_cast<std::uint64_t>(v.integer));
      case Op::shuffle: return shuffle(v, x[0], x[1]);
      case Op::lane_mask: return lane_mask(ir_, v.type.lanes, x[0]);
      default: PIT_UNREACHABLE("no LLVM emission for {}", name_of(v.op));
    }
  }

  LV shuffle(const ValueNode& v, LV a, LV b) {
    if (v.args[0]->type.lanes == 1) {  // of scalars: build from the two as vectors of one
      a = as_vector(a);
      b = as_vector(b);
    }
    LV result = ir_.CreateShuffleVector(a, b, v.lanes_map);
    return v.type.lanes == 1 ? as_scalar(result) : result;
  }

  // --- statements ---

  void bind(int name, const Value& v) { names_[static_cast<std::size_t>(name)] = value(v); }

  void block(const std::vector<Stmt>& body) {
    for (const Stmt& s : body) {
      done_.clear();
      switch (s.kind) {
        case StmtKind::let:
          if (s.value->type.scalar == Scalar::ptr) roots_[static_cast<std::size_t>(s.name)] = root_of(s.value);
          bind(s.name, s.value);
          break;
        case StmtKind::var:
        case StmtKind::assign: bind(s.name, s.value); break;
        case StmtKind::store:
        case StmtKind::scatter: write(s); break;
        case StmtKind::prefetch:
          ir_.CreateIntrinsic(llvm::Intrinsic::prefetch, {llvm::PointerType::getUnqual(context_)},
                              {address(s.pointer, s.bytes), ir_.getInt32(0), ir_.getInt32(3), ir_.getInt32(1)});
          break;
        case StmtKind::loop: loop(s); break;
        case StmtKind::branch: branch(s); break;
      }
    }
  }

  /// The assigned vars that live on after the block; those declared inside have no value yet.
  std::vector<std::size_t> carried(const std::vector<Stmt>& body, const std::vector<Stmt>& otherwise = {}) {
    std::set<int> assigned;
    collect_assigned(body, &assigned);
    collect_assigned(otherwise, &assigned);
    std::vector<std::size_t> out;
    for (int name : assigned) {
      if (names_[static_cast<std::size_t>(name)] != nullptr) out.push_back(static_cast<std::size_t>(name));
    }
    return out;
  }

  llvm::BasicBlock* new_block(const char* name) { return llvm::BasicBlock::Create(context_, name, function_); }

  LV new_phi(llvm::BasicBlock* from_a, LV a, llvm::BasicBlock* from_b, LV b) {
    llvm::PHINode* phi = ir_.CreatePHI(a->getType(), 2);
    phi->addIncoming(a, from_a);
    if (b != nullptr) phi->addIncoming(b, from_b);
    return phi;
  }

  /// Rotated: `if (begin < end) do { body; i += step } while (i < end)`, the form that LLVM's loop passes want.
  void loop(const Stmt& s) {
    LV begin = value(s.begin), end = value(s.end), step = value(s.step);
    const std::vector<std::size_t> vars = carried(s.body);
    std::vector<LV> before;
    for (std::size_t v : vars) before.push_back(names_[v]);

    llvm::BasicBlock* guard = ir_.GetInsertBlock();
    llvm::BasicBlock* body = new_block("loop");
    llvm::BasicBlock* exit = llvm::BasicBlock::Create(context_, "exit");
    ir_.CreateCondBr(ir_.CreateICmpSLT(begin, end), body, exit);

    ir_.SetInsertPoint(body);
    auto* i = llvm::cast<llvm::PHINode>(new_phi(guard, begin, nullptr, nullptr));
    names_[static_cast<std::size_t>(s.name)] = i;
    std::vector<llvm::PHINode*> phis;
    for (std::size_t n = 0; n < vars.size(); ++n) {
      phis.push_back(llvm::cast<llvm::PHINode>(new_phi(guard, before[n], nullptr, nullptr)));
      names_[vars[n]] = phis.back();
    }
    block(s.body);
    llvm::BasicBlock* latch = ir_.GetInsertBlock();
    LV next = ir_.CreateNSWAdd(i, step);
    i->addIncoming(next, latch);
    for (std::size_t n = 0; n < vars.size(); ++n) phis[n]->addIncoming(names_[vars[n]], latch);
    ir_.CreateCondBr(ir_.CreateICmpSLT(next, end), body, exit);

    exit->insertInto(function_);
    ir_.SetInsertPoint(exit);
    for (std::size_t n = 0; n < vars.size(); ++n) names_[vars[n]] = new_phi(guard, before[n], latch, names_[vars[n]]);
  }

  void branch(const Stmt& s) {
    LV condition = value(s.value);
    const std::vector<std::size_t> vars = carried(s.body, s.otherwise);
    std::vector<LV> before, after_then;
    for (std::size_t v : vars) before.push_back(names_[v]);

    llvm::BasicBlock* origin = ir_.GetInsertBlock();
    llvm::BasicBlock* then = new_block("then");
    llvm::BasicBlock* otherwise = s.otherwise.empty() ? nullptr : llvm::BasicBlock::Create(context_, "else");
    llvm::BasicBlock* join = llvm::BasicBlock::Create(context_, "join");
    ir_.CreateCondBr(condition, then, otherwise != nullptr ? otherwise : join);

    ir_.SetInsertPoint(then);
    block(s.body);
    llvm::BasicBlock* then_end = ir_.GetInsertBlock();
    ir_.CreateBr(join);
    for (std::size_t n = 0; n < vars.size(); ++n) {
      after_then.push_back(names_[vars[n]]);
      names_[vars[n]] = before[n];
    }
    llvm::BasicBlock* other_end = origin;
    if (otherwise != nullptr) {
      otherwise->insertInto(function_);
      ir_.SetInsertPoint(otherwise);
      block(s.otherwise);
      other_end = ir_.GetInsertBlock();
      ir_.CreateBr(join);
    }
    join->insertInto(function_);
    ir_.SetInsertPoint(join);
    for (std::size_t n = 0; n < vars.size(); ++n) {
      names_[vars[n]] = new_phi(then_end, after_then[n], other_end, names_[vars[n]]);
    }
  }

  const Kernel& k_;
  const Features& features_;
  llvm::LLVMContext& context_;
  const llvm::DataLayout& layout_;
  IR ir_;
  llvm::Function* function_ = nullptr;
  std::vector<LV> ptrs_, ints_, names_;
  std::vector<int> roots_;  // of names that are pointers
  std::vector<llvm::MDNode*> scopes_, no_alias_;
  std::unordered_map<const ValueNode*, LV> done_;  // shared nodes of the running statement
};

}  // namespace

void emit(const Kernel& kernel, llvm::Module& module, const Features& features) {
  Emitter emitter(kernel, module, features);
}

}  // namespace pit::codegen::llvm_backend
