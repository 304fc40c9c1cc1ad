#include "fuse/order.h"

#include <queue>

#include "support/check.h"

namespace pit::fuse {
namespace {

using Neighbours = std::vector<std::set<int>>;

// Per group: those that it waits for.
Neighbours groups_before(const std::vector<Group>& groups, const std::vector<std::vector<ValueId>>& sources) {
  std::map<ValueId, std::vector<int>> writers;
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (ValueId v : groups[i].writes) writers[v].push_back(static_cast<int>(i));
  Neighbours before(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (NodeId node : groups[i].nodes)
      for (ValueId v : sources[node])
        for (int w : writers[v])
          if (w != static_cast<int>(i)) before[i].insert(w);
  return before;
}

// Per group: the first of the awaited nodes, in the model's order, for which it must run; without any, behind them.
std::vector<int> ranks(const std::vector<Group>& groups, const Neighbours& before, const std::set<NodeId>& awaited) {
  std::vector<int> rank(groups.size(), static_cast<int>(awaited.size())), open;
  int next = 0;
  for (NodeId n : awaited) {
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (contains(groups[i].nodes, n)) open.push_back(static_cast<int>(i));
    while (!open.empty()) {
      const int i = open.back();
      open.pop_back();
      if (rank[i] <= next) continue;
      rank[i] = next;
      open.insert(open.end(), before[i].begin(), before[i].end());
    }
    ++next;
  }
  return rank;
}

[[noreturn]] void refuse_circle(const graph::Graph& g, const std::vector<Group>& groups,
                                const std::vector<std::size_t>& waiting) {
  std::string names;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (waiting[i] == 0) continue;
    names += "\n ";
    for (NodeId node : groups[i].nodes) names += " " + g.describe(node);
  }
  PIT_UNREACHABLE("groups depend on each other in a circle, or wait for it:{}", names);
}

}  // namespace

void order_groups(const graph::Graph& g, const std::vector<std::vector<ValueId>>& sources,
                  const std::set<NodeId>& awaited, Fusion& f) {
  const Neighbours before = groups_before(f.groups, sources);
  std::vector<std::vector<int>> after(before.size());
  std::vector<std::size_t> waiting;
  for (std::size_t i = 0; i < before.size(); ++i) {
    waiting.push_back(before[i].size());
    for (int b : before[i]) after[b].push_back(static_cast<int>(i));
  }
  const std::vector<int> rank = ranks(f.groups, before, awaited);
  const auto key = [&](int i) { return std::make_tuple(!f.groups[i].control, rank[i], f.groups[i].nodes.back(), i); };
  const auto later = [&](int a, int b) { return key(a) > key(b); };
  std::priority_queue<int, std::vector<int>, decltype(later)> ready(later);
  for (std::size_t i = 0; i < waiting.size(); ++i)
    if (waiting[i] == 0) ready.push(static_cast<int>(i));
  std::vector<int> order;
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    for (int j : after[i])
      if (--waiting[j] == 0) ready.push(j);
    order.push_back(i);
  }
  if (order.size() != f.groups.size()) refuse_circle(g, f.groups, waiting);
  std::vector<Group> ordered;
  for (int i : order) ordered.push_back(std::move(f.groups[i]));
  f.groups = std::move(ordered);
  for (std::size_t i = 0; i < f.groups.size(); ++i)
    for (NodeId node : f.groups[i].nodes) f.group_of[node] = static_cast<int>(i);
}

}  // namespace pit::fuse
