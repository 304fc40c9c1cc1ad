// A random product of the contraction engine and what must come of it: parts of items (rows, steps of k, panels,
// columns of B), live micro-tiles, strides, epilogues. Whatever is not there holds NaN, and what must not be written is
// compared too.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "codegen/codegen.h"
#include "contract/engine.h"
#include "lower/guarded.h"

namespace pit::contract::test {

using Random = std::mt19937;

/// Elements of f32 and f64 as numbers.
double read(DType type, const char* at);
void write(DType type, char* at, double value);

/// Where the elements of a matrix lie.
struct Layout {
  RowOffsets rows;
  std::int64_t step = 1, low = 0, size = 0, element = 4;  ///< step between columns; elements; bytes of one

  /// What the strides may be, besides whole rows one after the other.
  struct Freedom {
    bool table = false;  ///< rows anywhere
    bool steps = false;  ///< columns apart from each other, or columns after columns
    bool zeros = false;  ///< elements that coincide
  };
  Layout() = default;
  Layout(Random& random, std::int64_t row_count, std::int64_t columns, Freedom freedom, std::int64_t element_bytes);
};

inline bool of_rows(lower::EpilogueAccess a) {
  return a == lower::EpilogueAccess::per_m || a == lower::EpilogueAccess::per_mn;
}
inline bool of_columns(lower::EpilogueAccess a) {
  return a == lower::EpilogueAccess::per_n || a == lower::EpilogueAccess::per_mn;
}

/// A matrix that ends where an unreadable page begins, filled with NaN.
class Matrix {
 public:
  explicit Matrix(const Layout& layout);
  char* at(std::int64_t row, std::int64_t column) {
    return first() + (layout_->rows[row] + column * layout_->step) * layout_->element;
  }
  template <class T>
  T& at(std::int64_t row, std::int64_t column) {
    return *reinterpret_cast<T*>(at(row, column));
  }
  char* first() { return reinterpret_cast<char*>(memory_.data()) - layout_->low * layout_->element; }
  /// NaN everywhere again.
  void forget() { std::memset(memory_.data(), 0xff, memory_.size()); }
  char* memory() { return reinterpret_cast<char*>(memory_.data()); }
  std::vector<unsigned char> bytes() { return {memory_.begin(), memory_.end()}; }

 private:
  const Layout* layout_;
  lower::test::Guarded memory_;
};

/// An epilogue, its tiles, and its value at one place.
class EpilogueTiles {
 public:
  /// Number `kind` of 1..kKinds of them, tiles of few heights each.
  static constexpr int kKinds = 6, kKindsOfIntegers = 4;  ///< the last ones round
  EpilogueTiles(int kind, const CpuTarget& target, DType type);
  /// On the sum at `c`.
  void apply(char* c, const std::vector<char*>& operands) const;
  const TileTable& table() const { return table_; }
  const lower::Epilogue& epilogue() const { return epilogue_; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  lower::Epilogue epilogue_;
  std::shared_ptr<const codegen::Code> code_;
  TileTable table_;
  codegen::KernelFn one_ = nullptr;
};

/// The engine of one algebra on one CPU, and the epilogues, made when first asked for.
struct Machine {
  static const Machine& of(const std::string& cpu, const lower::Algebra& algebra);
  CpuTarget target;
  std::shared_ptr<const Engine> engine;
  lower::TileShape shape;
  DType type() const { return engine->algebra().types.c; }
  const EpilogueTiles& epilogue(int kind) const;
};

class Case {
 public:
  /// `parts`: items of which parts are absent, by the rules that take such; else whole ones with live micro-tiles, by
  /// every rule.
  Case(unsigned seed, const Machine& machine, bool parts);
  /// By every rule that is listed, blocked as it is and otherwise.
  void check();
  /// How often each rule ran.
  static std::map<std::pair<DType, RuleKind>, int>& rules_seen();

 private:
  /// Matrices of one position of the batch, and its lists.
  struct Batch {
    std::unique_ptr<Matrix> a, b, c;
    std::vector<std::unique_ptr<Matrix>> operands;
    std::vector<char*> first;  ///< of the operands
    std::vector<std::int32_t> k_list;
    std::vector<std::uint8_t> n_live;
    std::vector<unsigned char> want;  ///< all bytes of C
  };
  bool one_in(unsigned n) { return random_() % n == 0; }
  std::int64_t pick(std::initializer_list<std::int64_t> of) { return of.begin()[random_() % of.size()]; }
  double value() {
    const double most = type() == DType::i32 ? 1e5 : 2;
    return std::uniform_real_distribution<double>(-most, most)(random_);
  }
  DType type() const { return machine_.type(); }
  std::int64_t element() const { return static_cast<std::int64_t>(size_of(type())); }
  std::vector<std::int32_t> some_of(std::int64_t extent);

  void choose_extents();
  void choose_epilogue();
  void choose_layouts();
  void make_batch();
  void add_parts(std::int64_t batch);
  void add_rows(Item item, std::vector<std::int32_t> rows);
  void add_whole(std::int64_t batch);
  std::shared_ptr<detect::LiveMap> random_map(std::int64_t rows, std::int64_t columns);
  void fill();
  void fill_a(const Item& item);
  void fill_b(Batch& batch, const Item& item);
  void fill_operands(const Item& item);
  void expect();
  /// As elements of type T are summed.
  std::int32_t wrapped_sum(const Item& item, std::int64_t i, std::int64_t column);
  template <class T>
  T chain(const Item& item, std::int64_t i, std::int64_t column);
  Batch& batch_of(const Item& item) { return batches_[static_cast<std::size_t>(item.c_number)]; }
  std::int64_t first_column(const Item& item) const { return item.first_panel * panels_.width(); }
  std::int64_t end_column(const Item& item) const {
    return item.last_panel < 0 ? p_.n : std::min(p_.n, item.last_panel * panels_.width());
  }
  std::span<const std::int32_t> steps_of(const Item& item) const {
    if (!item.k_list) return all_k_;
    return {item.k_list, static_cast<std::size_t>(item.k_count)};
  }
  Schedule vary(Schedule s);
  void run(const Schedule& s);
  void compare(const std::string& what);
  std::string text() const;

  unsigned seed_;
  Random random_;
  const Machine& machine_;
  bool parts_, sums_, packs_ = false;
  std::int64_t universe_ = 0, batch_count_ = 1;  ///< rows that there are to choose from
  Panels panels_;
  Layout a_, b_, c_;
  std::vector<Layout> operand_;
  const EpilogueTiles* tiles_ = nullptr;
  Epilogue epilogue_;
  Problem p_;
  std::deque<Batch> batches_;
  std::deque<std::vector<std::int32_t>> row_lists_;
  std::vector<std::int32_t> all_k_, no_k_;
  std::shared_ptr<detect::LiveMap> live_a_, live_b_, live_c_;
  std::shared_ptr<PackedB> packed_;
  ThreadPool pool_;
  Poison poison_;
};

}  // namespace pit::contract::test
