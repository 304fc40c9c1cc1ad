// Nodes that write through lookups, restated over the places that are written.
#pragma once

#include <optional>

#include "fuse/fuse.h"

namespace pit::fuse {

/// Whether a statement of the node writes through a lookup (see expr::scatters).
bool scatters(const graph::Node& n);

struct Restated {
  graph::Node node;  ///< with another program, over the same axes
  Readers readers;   ///< over the axes of the node
};

/// S[I[k,0],I[k,1],p] += U[k,p]; Y[t,u,p] = X[t,u,p] + S[t,u,p], say, with S[t,u,p] += U[k,p] for its first statement.
/// Nothing if no statement writes through a lookup, or they do so in another form: lookups in one input tensor, by one
/// bare axis and the number of the dimension, first among the indices; read later by bare axes, the same everywhere.
std::optional<Restated> restate(const graph::Node& n);

}  // namespace pit::fuse
