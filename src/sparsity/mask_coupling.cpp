#include "sparsity/mask_impl.h"

namespace pit::sparsity {

MaskId MaskProgram::coupling(MaskId m, int a, int b) {
  const MaskNode& n = impl_->node(m.id);
  if (n.op == MaskOp::constant) return m;
  if (impl_->uniform(m.id, a) || impl_->uniform(m.id, b)) return {impl_->constant(true, impl_->extents(m.id))};
  if (n.op == MaskOp::permute) {
    const int arg = coupling({n.args[0]}, n.axes[static_cast<std::size_t>(a)], n.axes[static_cast<std::size_t>(b)]).id;
    if (arg == n.args[0]) return m;
    return {impl_->permute(arg, n.axes, impl_->extents(m.id))};
  }
  if (n.op == MaskOp::hold) {
    const MaskId c = coupling({n.args[0]}, a, b);
    return c.id == n.args[0] ? m : c;
  }
  if (n.op != MaskOp::logical_and) return m;
  std::vector<int> kept;
  for (int arg : n.args) {
    const MaskId c = coupling({arg}, a, b);
    if (!impl_->is_constant(c.id, true)) kept.push_back(c.id);
  }
  if (kept.empty()) return {impl_->constant(true, impl_->extents(m.id))};
  return {impl_->combine(true, kept)};
}

}  // namespace pit::sparsity
