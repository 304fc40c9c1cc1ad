// Recognising contractions by the structure of their statement, and classifying their axes.
#pragma once

#include "fuse/fuse.h"

namespace pit::fuse {

/// `C[..] += A[..] * B[..]` with bare (or stretched: literal 0) indices: the two factors and the axes by their part in
/// it.
struct Contraction {
  expr::Expr a, b;  ///< accesses; swapped so that the output's last axis is B's
  ContractionAxes axes;
};

/// The contraction in statement `s` of `p`, or why it is none.
std::optional<Contraction> contraction_in(const expr::Program& p, const expr::Statement& s, std::string* why = nullptr);

/// Of what types its elements are, where tiles have them.
std::optional<lower::ElementTypes> contraction_types(const expr::Program& p, const expr::Statement& s);

}  // namespace pit::fuse
