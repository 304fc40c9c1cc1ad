// Internal: the backward analysis of one node.
//
// Who asks says which iterations of a statement are evaluated: an ideal reader those that can change a demanded result
// (push_demand), the kernels of a schedule those that they run (fuse/reads.cpp). What these iterations read is then the
// same question.
#pragma once

#include <vector>

#include "sparsity/analysis.h"
#include "sparsity/facts.h"

namespace pit::sparsity {

/// Statements are visited from the last to the first.
class NodeDemand {
 public:
  /// `demand`: per value of the graph; `finish` adds what the node reads. `numbers`, if given, gets what must hold some
  /// finite number, whichever: the other factor of a zero.
  NodeDemand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand,
             std::vector<MaskId>* numbers = nullptr);

  /// Goes on to statement `s`: what is demanded of its result (of the elements `among`, over the dimensions of the
  /// tensor, if given), over the program's axes (uniform along those that the statement reduces).
  MaskId enter(const expr::Statement& s, const MaskId* among = nullptr);
  /// What the iterations `evaluated` of the statement's value read. `absorbing` (see StatementFacts): the other side is
  /// not read where it absorbs. Indices of look-ups are read in the iterations `visited`.
  void read(const expr::Statement& s, MaskId evaluated, MaskId visited, int absorbing);
  /// What the iterations `evaluated` read through one access.
  void read(const expr::Expr& access, MaskId evaluated);
  void finish();

 private:
  void expression(const expr::Expr& e, MaskId d);
  void product(const expr::Expr& a, const expr::Expr& b, MaskId d);
  void number(const expr::Expr& e, MaskId d);
  void index(const expr::Expr& e);
  MaskId absorbed(const expr::Statement& s, int absorbing);

  MaskProgram p_;
  ProgramFacts& facts_;
  const IndexContext& c_;
  std::vector<MaskId>& demand_;
  std::vector<MaskId>* all_numbers_;
  std::vector<MaskId> tensors_, numbers_;  ///< per tensor of the program
  MaskId visited_;
};

/// Pushes the demand on a node's outputs (`demand`, per value of the graph) to its inputs, adding to `demand` there,
/// and fills in the facts about its statements: for an ideal reader, which skips every term that cannot matter.
void push_demand(ProgramFacts& facts, const IndexContext& c, std::vector<MaskId>& demand, NodeFacts& out);

/// An index map alone: the result may be the operand's own storage.
bool may_be_view(const expr::Statement& s);

/// m max= X; e = exp(X - m); z += e; Y = e / z.
bool is_softmax(const expr::Program& p);

}  // namespace pit::sparsity
