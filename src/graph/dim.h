// Symbolic dimensions: integers known when a plan is made (input shapes are concrete then), formulas at compile time.
//
// A Dim is an interned handle into a DimTable: equal formulas (after simplification to a canonical polynomial form over
// symbols and opaque terms) have equal handles, so `a == b` proves equality; inequality of handles proves nothing
// unless both are constant. Symbols are non-negative (they are extents of inputs). Integer semantics are ONNX's: `div`
// truncates, `floordiv` and `mod` floor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pit::graph {

struct Dim {
  std::int32_t id = -1;
  bool operator==(const Dim&) const = default;
};

class DimTable {
 public:
  DimTable();
  ~DimTable();
  DimTable(DimTable&&) noexcept;
  DimTable& operator=(DimTable&&) noexcept;

  Dim constant(std::int64_t v);
  Dim symbol(const std::string& name);  ///< one Dim per name
  Dim fresh(const std::string& hint);   ///< a new symbol, unknown until run time (data-dependent shapes)
  Dim add(Dim a, Dim b);
  Dim sub(Dim a, Dim b);
  Dim mul(Dim a, Dim b);
  Dim div(Dim a, Dim b);
  Dim floordiv(Dim a, Dim b);
  Dim ceildiv(Dim a, Dim b);
  Dim mod(Dim a, Dim b);
  Dim max(Dim a, Dim b);
  Dim min(Dim a, Dim b);
  Dim broadcast(Dim a, Dim b);  ///< numpy's rule: the other if one is 1; evaluation fails if neither fits
  Dim select_eq(Dim a, Dim b, Dim then, Dim otherwise);
  Dim select_lt(Dim a, Dim b, Dim then, Dim otherwise);

  std::optional<std::int64_t> constant_value(Dim d) const;
  bool is_constant(Dim d, std::int64_t v) const;
  /// Proven facts, from non-negative symbols: d >= v for every binding.
  bool at_least(Dim d, std::int64_t v) const;
  /// Whether `d`, broadcast to `to`, may turn out to be 1 where `to` is not.
  bool may_stretch(Dim d, Dim to) const;
  std::string print(Dim d) const;  ///< "b*s", "s - 1"

  int count() const;  ///< of all Dims: their ids are 0 .. count() - 1
  int symbol_count() const;
  int symbol_index(Dim d) const;  ///< -1 if not a plain symbol
  const std::string& symbol_name(int index) const;
  std::vector<int> symbols_of(Dim d) const;  ///< indices of all symbols that the formula is over

  /// Values of *all* Dims (index: Dim::id) for the given symbol values (index: symbol_index; -1 = unbound).
  /// Entries that depend on an unbound symbol, or whose broadcast does not fit, are std::nullopt's encoding `unknown`.
  /// Linear in the number of Dims: this is the whole shape inference of a plan.
  static constexpr std::int64_t kUnknown = INT64_MIN;
  std::vector<std::int64_t> evaluate(const std::vector<std::int64_t>& symbols) const;
  /// Again for some of them, in ascending order of ids, where more symbols are known by now. `values`: of all.
  void evaluate(const std::vector<Dim>& some, const std::vector<std::int64_t>& symbols,
                std::vector<std::int64_t>& values) const;

 private:
  struct Impl;
  Impl* impl_;
};

}  // namespace pit::graph
