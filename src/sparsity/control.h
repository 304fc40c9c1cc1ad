// Internal: which values are known before the model proper runs (static classification).
#pragma once

#include <optional>
#include <vector>

#include "graph/graph.h"

namespace pit::sparsity {

struct Known {
  /// per value: depends on integer/boolean inputs, shapes and constants only, without weight contractions and table
  /// lookups
  std::vector<char> known;
  /// its elements may be looked at by masks: integers, booleans, and floats that are made like masks; cheap
  std::vector<char> leaf;
  /// known and small (no model dimension in it), all the way up: computed in full before anything else
  std::vector<char> control;
  /// its facts follow exactly from those of its operands (index maps, casts, logic, selections)
  std::vector<char> seen_through;
  /// no element is larger in size, by types and constants alone; infinite: nothing is known (NaN neither)
  std::vector<double> bound;
  /// a constant that is only multiplied and summed up, or looked up in: its elements do not matter
  std::vector<char> weight;
};

Known classify(const graph::Graph& g);

/// Whether what is non-zero before a cast surely is so after it: false where it narrows (256 as u8, 0.5 as an integer).
/// `from`: nothing known.
bool cast_keeps_truth(std::optional<DType> from, DType to);

/// Contractions with weights and lookups in tables: the model proper begins here.
bool is_model_work(const graph::Graph& g, const graph::Node& n);

/// Comparisons, logic, tests of floats: the result is a truth, never NaN.
bool gives_truth(expr::Fn f);

/// Marks `v` and everything non-constant that it is computed from, the extents of that included (`extent_inputs`: see
/// graph/finders.h).
void mark_ancestors(const graph::Graph& g, const std::vector<std::vector<graph::ValueId>>& extent_inputs,
                    graph::ValueId v, std::vector<char>& marked);

}  // namespace pit::sparsity
