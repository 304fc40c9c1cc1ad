// Symbolic layouts: what is a view, what is not, and in what order values are stored.
#include "fuse/layout.h"

#include <gtest/gtest.h>

namespace pit::fuse {
namespace {

struct Movement {
  graph::Graph g;
  graph::Dim b, s;
  Movement() : b(g.dims.symbol("b")), s(g.dims.symbol("s")) {}
  graph::Dim c(std::int64_t v) { return g.dims.constant(v); }

  graph::ValueId input(std::vector<graph::Dim> dims) {
    graph::Value v;
    v.name = "x" + std::to_string(g.values.size());
    v.dims = std::move(dims);
    v.input = static_cast<int>(g.inputs.size());
    const graph::ValueId id = g.add_value(v);
    g.inputs.push_back(id);
    return id;
  }
  graph::ValueId node(const char* text, graph::ValueId in, std::vector<graph::Dim> dims,
                      std::vector<graph::Dim> extents) {
    graph::Value v;
    v.name = "y" + std::to_string(g.values.size());
    v.dims = std::move(dims);
    const graph::ValueId out = g.add_value(v);
    graph::Node n;
    n.program = expr::parse(text);
    n.inputs = {in};
    n.outputs = {out};
    n.extents = std::move(extents);
    g.add_node(n);
    return out;
  }
  std::vector<Layout> layouts() { return assign_layouts(g, {}, &views); }
  std::vector<char> views;
};

TEST(Layout, SplitTransposeAndMergeOfAContiguousValueAreViews) {
  Movement m;
  const auto x = m.input({m.b, m.s, m.c(384)});
  const auto split = m.node("Y[i,j,k,l] = X[i,j,k:l]", x, {m.b, m.s, m.c(12), m.c(32)}, {m.b, m.s, m.c(12), m.c(32)});
  const auto heads =
      m.node("Y[i,k,j,l] = X[i,j,k,l]", split, {m.b, m.c(12), m.s, m.c(32)}, {m.b, m.c(12), m.s, m.c(32)});
  const auto l = m.layouts();
  EXPECT_EQ(l[split].root, x);
  EXPECT_EQ(l[heads].root, x);
  EXPECT_EQ(m.g.dims.print(l[heads].strides[1]), "32");
  EXPECT_EQ(m.g.dims.print(l[heads].strides[2]), "384");
}

TEST(Layout, MergingAxesThatAreNotAdjacentInMemoryIsNoView) {
  Movement m;
  const auto x = m.input({m.b, m.s, m.c(8)});
  const auto swapped = m.node("Y[j,i,k] = X[i,j,k]", x, {m.s, m.b, m.c(8)}, {m.s, m.b, m.c(8)});
  const auto merged = m.node("Y[j:i,k] = X[j,i,k]", swapped, {m.g.dims.mul(m.b, m.s), m.c(8)}, {m.s, m.b, m.c(8)});
  const auto end =
      m.node("Y[i,k] = X[i,k]", merged, {m.g.dims.mul(m.b, m.s), m.c(8)}, {m.g.dims.mul(m.b, m.s), m.c(8)});
  m.g.outputs = {end};
  const auto l = m.layouts();
  EXPECT_EQ(l[swapped].root, x);
  EXPECT_EQ(l[merged].root, merged);
}

TEST(Layout, AValueThatIsOnlyPermutedIsStoredPermuted) {
  Movement m;
  const auto x = m.input({m.b, m.c(12), m.s, m.c(32)});
  const auto computed =
      m.node("Y[b,h,s,d] = X[b,h,s,d] * 2", x, {m.b, m.c(12), m.s, m.c(32)}, {m.b, m.c(12), m.s, m.c(32)});
  const auto permuted =
      m.node("Y[b,s,h,d] = X[b,h,s,d]", computed, {m.b, m.s, m.c(12), m.c(32)}, {m.b, m.s, m.c(12), m.c(32)});
  const auto merged = m.node("Y[b,s,h:d] = X[b,s,h,d]", permuted, {m.b, m.s, m.c(384)}, {m.b, m.s, m.c(12), m.c(32)});
  const auto end = m.node("Y[b,s,h] = X[b,s,h] + 1", merged, {m.b, m.s, m.c(384)}, {m.b, m.s, m.c(384)});
  m.g.outputs = {end};
  const auto l = m.layouts();
  EXPECT_EQ(l[permuted].root, computed);
  EXPECT_EQ(l[merged].root, computed);
  EXPECT_TRUE(is_contiguous(m.g.dims, l[merged], m.g.values[merged].dims));
}

TEST(Layout, AnOutputIsNeverAView) {
  Movement m;
  const auto x = m.input({m.b, m.s});
  const auto y = m.node("Y[j,i] = X[i,j]", x, {m.s, m.b}, {m.s, m.b});
  m.g.outputs = {y};
  EXPECT_EQ(m.layouts()[y].root, y);
}

}  // namespace
}  // namespace pit::fuse
