// Masks without what is not known yet.
#include "sparsity/mask_impl.h"
#include "support/check.h"

namespace pit::sparsity {
namespace {

// What is not known counts as whatever makes the result larger (smaller, below a negation).
class Widener {
 public:
  Widener(MaskProgram::Impl& p, const std::vector<char>& unknown, WideMasks& memo)
      : p_(p), unknown_(unknown), memo_(memo) {}

  int bound(int m, bool upper) {
    if (!reads_unknown(m)) return m;
    if (const auto known = memo_.find({m, upper}); known != memo_.end()) return known->second;
    const int result = resized(make(m, upper), p_.extents(m));
    memo_[{m, upper}] = result;
    return result;
  }

 private:
  bool reads_unknown(int m) const {
    for (const ValueId v : p_.read_set(p_.node(m).reads))
      if (unknown_[static_cast<std::size_t>(v)]) return true;
    return false;
  }

  int make(int m, bool upper) {
    const MaskNode& n = p_.node(m);  // nodes stay where they are
    const std::vector<Dim> extents = p_.extents(m);
    const auto is_unknown = [&](ValueId v) { return v >= 0 && unknown_[static_cast<std::size_t>(v)]; };
    if (is_unknown(n.source) || is_unknown(n.lookup.value)) return p_.constant(upper, extents);
    if (n.op == MaskOp::logical_not) return p_.negate(bound(n.args[0], !upper));
    std::vector<int> args;
    args.reserve(n.args.size());
    for (const int a : n.args) args.push_back(bound(a, upper));
    const int last = static_cast<int>(extents.size()) - 1;
    switch (n.op) {
      case MaskOp::logical_and: return p_.combine(true, args);
      case MaskOp::logical_or: return p_.combine(false, args);
      case MaskOp::any: return p_.any(p_.combine(true, args), n.axes);
      case MaskOp::permute: return p_.permute(args[0], n.axes, extents);
      case MaskOp::merge: return p_.merge(args[0], last, n.count, extents.back());
      case MaskOp::split: return p_.split(args[0], p_.rank(args[0]) - 1, {extents.end() - n.count, extents.end()});
      case MaskOp::window: return p_.window(args[0], last, n.positions[0], n.step, extents.back());
      case MaskOp::place: return p_.place(args[0], last, n.positions[0], n.step, extents.back(), upper);
      case MaskOp::segments: return p_.segments(n.axis, n.positions, args);
      case MaskOp::take: return p_.take(args[0], n.lookup, extents);
      case MaskOp::put: return p_.put(args[0], n.lookup, n.axes, extents.back());
      case MaskOp::fit: return p_.fit(args[0], last, extents.back());
      case MaskOp::hold: return args[0];
      default: PIT_UNREACHABLE("mask operation {} reads no value", static_cast<int>(n.op));
    }
  }

  // Axes along which a mask is uniform broadcast: they may have lost their extents.
  int resized(int m, const std::vector<Dim>& extents) {
    if (p_.extents(m) == extents) return m;
    std::vector<int> order;
    for (int a = 0; a < static_cast<int>(extents.size()); ++a) order.push_back(p_.uniform(m, a) ? -1 : a);
    return p_.permute(m, order, extents);
  }

  MaskProgram::Impl& p_;
  const std::vector<char>& unknown_;
  WideMasks& memo_;
};

}  // namespace

MaskId MaskProgram::widened(MaskId m, const std::vector<char>& unknown, WideMasks& memo) {
  return {Widener(*impl_, unknown, memo).bound(m.id, true)};
}

}  // namespace pit::sparsity
