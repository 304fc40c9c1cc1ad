#include "contract/cost.h"

namespace pit::contract {

CostModel::CostModel(const Kernels& kernels, const CacheSizes& caches, const std::string&) : kernels_(kernels), caches_(caches) {}

double CostModel::predict(const Problem& p, const Live& live, bool, const Rule& rule, int) const {
  const double flops = 2.0 * static_cast<double>(p.m * p.n * p.k);
  return flops / 8e10 * (rule.kind == RuleKind::dense ? 1 : live.a ? live.a->fraction() : 1);
}

bool CostModel::worth_detecting(const Problem&, std::int64_t, std::int64_t, double, bool, int) const { return true; }

}  // namespace pit::contract
