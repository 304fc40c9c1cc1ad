#include "contract/items_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <tuple>

namespace pit::contract::test {

using lower::EpilogueAccess;

Layout::Layout(Random& random, std::int64_t row_count, std::int64_t columns, Freedom freedom,
               std::int64_t element_bytes)
    : element(element_bytes) {
  auto one_in = [&](unsigned n) { return random() % n == 0; };
  const auto gap = static_cast<std::int64_t>(random() % 4);
  if (freedom.steps && one_in(4)) {
    rows.stride = 1, step = row_count + gap;
  } else {
    step = freedom.steps && one_in(5) ? 2 : 1;
    rows.stride = columns * step + gap + 1;
  }
  if (freedom.steps && one_in(4)) step = -step;
  if (one_in(4)) rows.stride = -rows.stride;
  if (freedom.zeros && one_in(8)) rows.stride = 0;
  if (freedom.zeros && freedom.steps && one_in(12)) step = 0;
  if (freedom.table && one_in(3)) {
    for (std::int64_t i = 0; i < row_count; ++i) rows.table.push_back(i * rows.stride);
    std::shuffle(rows.table.begin(), rows.table.end(), random);
  }
  if (row_count == 0 || columns == 0) return;
  const std::int64_t last_row = (row_count - 1) * rows.stride, last_column = (columns - 1) * step;
  low = std::min<std::int64_t>(0, last_row) + std::min<std::int64_t>(0, last_column);
  size = std::max<std::int64_t>(0, last_row) + std::max<std::int64_t>(0, last_column) - low + 1;
}

Matrix::Matrix(const Layout& layout)
    : layout_(&layout), memory_(static_cast<std::size_t>(layout.size * layout.element)) {
  forget();
}

EpilogueTiles::EpilogueTiles(int kind, const CpuTarget& target, DType type) {
  using A = EpilogueAccess;
  struct Kind {
    const char* text;
    std::vector<A> operands;
    std::vector<DType> dtypes;
    std::vector<int> heights;  ///< of tiles, besides the largest
  };
  const Kind kinds[kKinds] = {
      {"Y[m,n] = acc[m,n] + B[n]", {A::per_n}, {type}, {1, 4}},
      {"Y[m,n] = acc[m,n] * S[] + 1", {A::scalar}, {type}, {2}},
      {"t[m,n] = acc[m,n] + B[n]; Y[m,n] = max(R[m,n] + t[m,n], -1) * D[m]",
       {A::per_n, A::per_mn, A::per_m},
       {type, type, type},
       {1, 2, 4, 6}},
      {"t[m,n] = acc[m,n] + S[]; Y[m,n] = select(K[m,n], t[m,n], 2) * D[m]",
       {A::scalar, A::per_mn, A::per_m},
       {type, DType::b8, type},
       {}},
      {"t[m,n] = acc[m,n] + B[n]; Y[m,n] = R[m,n] + t[m,n] * 0.5 * (1 + erf(t[m,n] * 0.7))",
       {A::per_n, A::per_mn},
       {type, type},
       {1, 4}},
      {"t[m,n] = tanh(acc[m,n]) * D[m]; Y[m,n] = exp(t[m,n])", {A::per_m}, {type}, {}},
  };
  const Kind& k = kinds[kind - 1];
  text_ = k.text;
  epilogue_.program = expr::parse(k.text);
  epilogue_.operands = k.operands, epilogue_.dtypes = k.dtypes, epilogue_.types = lower::ElementTypes::all(type),
  epilogue_.result = type;
  const lower::Algebra sums{.types = lower::ElementTypes::all(type)};
  const lower::TileShape shape = lower::tile_shape(target, sums);
  std::vector<int> heights = k.heights;
  heights.push_back(shape.rows);
  std::vector<codegen::Kernel> kernels;
  std::map<std::pair<int, int>, std::string> names;
  const auto add = [&](int rows, int vectors) {
    lower::TileSpec spec;
    spec.rows = rows, spec.vectors = vectors, spec.algebra = sums, spec.target = target;
    spec.epilogue = epilogue_, spec.epilogue_key = k.text;
    codegen::Kernel kernel = lower::lower_tile(spec);
    if (names.emplace(std::pair(rows, vectors), kernel.name).second) kernels.push_back(std::move(kernel));
  };
  add(1, 1);
  for (const int rows : heights)
    for (int vectors = 1; rows <= shape.rows && vectors <= shape.vectors; ++vectors) add(rows, vectors);
  codegen::Options options;
  options.target = target;
  options.threads = 2;
  code_ = codegen::compile(kernels, options);
  one_ = code_->function(names.at({1, 1}));
  for (const auto& [key, name] : names)
    if (std::find(heights.begin(), heights.end(), key.first) != heights.end())
      table_.function[key.first][key.second][0] = code_->function(name);
}

void EpilogueTiles::apply(char* sum, const std::vector<char*>& operands) const {
  void *c = sum, *rows[8], *pointers[11] = {&c, &c, &c};
  for (std::size_t o = 0; o < operands.size(); ++o) {
    rows[o] = operands[o];
    pointers[3 + o] = of_rows(epilogue_.operands[o]) ? static_cast<void*>(&rows[o]) : rows[o];
  }
  const lower::TileInts ints{.k = 0, .columns = 1, .first = 0};
  one_(pointers, &ints.k);
}

const Machine& Machine::of(const std::string& cpu, const lower::Algebra& algebra) {
  static std::map<std::string, Machine> made;
  const auto [it, fresh] = made.try_emplace(cpu + algebra.name());
  if (fresh) {
    it->second.target = cpu_target(cpu);
    it->second.engine = Engine::create(algebra, it->second.target, {}, 2);
    it->second.shape = lower::tile_shape(it->second.target, algebra);
  }
  return it->second;
}

const EpilogueTiles& Machine::epilogue(int kind) const {
  static std::map<std::tuple<std::string, int, DType>, std::unique_ptr<EpilogueTiles>> made;
  std::unique_ptr<EpilogueTiles>& tiles = made[{target.name, kind, type()}];
  if (!tiles) tiles = std::make_unique<EpilogueTiles>(kind, target, type());
  return *tiles;
}

Case::Case(unsigned seed, const Machine& machine, bool parts)
    : seed_(seed),
      random_(seed),
      machine_(machine),
      parts_(parts),
      sums_(machine.engine->algebra().is_sum_of_products()),
      pool_(1 + static_cast<int>(random_() % 2)),
      poison_(static_cast<Poison>(random_() % 3)) {
  choose_extents();
  if (sums_) choose_epilogue();
  packs_ = one_in(2);
  panels_ = parts_ && one_in(2) ? Panels{p_.n, machine.shape.lanes, machine.shape.vectors}
                                : machine.engine->panels(p_.n, p_.k, nullptr);
  if (!packs_ && parts_) panels_ = {p_.n, machine.shape.lanes, machine.shape.vectors};
  if (parts_ && packs_ && panels_.uniform && one_in(2)) live_b_ = random_map(p_.k, p_.n);
  if (!parts_) {
    if (!one_in(4)) live_a_ = random_map(p_.m, p_.k);
    if (one_in(2)) live_b_ = random_map(p_.k, p_.n);
    if (one_in(4)) live_c_ = random_map(p_.m, p_.n);
  }
  choose_layouts();
  for (std::int64_t b = 0; b < batch_count_; ++b) {
    make_batch();
    parts_ ? add_parts(b) : add_whole(b);
  }
  fill();
  expect();
}

std::vector<std::int32_t> Case::some_of(std::int64_t extent) {
  std::vector<std::int32_t> list;
  const auto kind = random_() % 6;
  if (extent == 0 || kind == 0) return list;
  if (kind == 1) return {static_cast<std::int32_t>(random_() % static_cast<unsigned>(extent))};
  if (kind == 2) {  // a run
    const auto from = static_cast<std::int32_t>(random_() % static_cast<unsigned>(extent));
    for (std::int32_t i = from; i < extent; ++i) list.push_back(i);
    return list;
  }
  bool live = one_in(2);  // runs of a length, or everything
  const unsigned change = kind == 3 ? 2 : kind == 4 ? 100 : 1U << 31;
  for (std::int32_t i = 0; i < extent; ++i) {
    if (one_in(change)) live = !live;
    if (live || kind == 5) list.push_back(i);
  }
  return list;
}

void Case::choose_extents() {
  const std::int64_t width = machine_.shape.lanes * machine_.shape.vectors;
  p_.n = one_in(12) ? 0 : pick({1, 5, width - 1, width, width + 1, 2 * width, 2 * width + 7, 5 * width, 6 * width + 3});
  p_.k = one_in(12) ? 0 : pick({1, 2, 7, 63, 64, 65, 130, 257, 600});
  p_.m = one_in(12) ? 0 : pick({1, 2, 3, 7, 8, 9, 17, 33, 70});
  batch_count_ = 1 + static_cast<std::int64_t>(random_() % 3);
  // What the plain loops take, at most.
  while (p_.m * p_.n * p_.k * batch_count_ > 1'500'000) p_.m = (p_.m + 1) / 2;
  if (p_.m == 1 && one_in(8)) p_.k = 1500;
  universe_ = p_.m + static_cast<std::int64_t>(random_() % 6);
  all_k_.resize(static_cast<std::size_t>(p_.k));
  std::iota(all_k_.begin(), all_k_.end(), 0);
}

void Case::choose_epilogue() {
  const int kind = static_cast<int>(random_() % (EpilogueTiles::kKinds + 2));
  if (kind == 0 || kind > (type() == DType::i32 ? EpilogueTiles::kKindsOfIntegers : EpilogueTiles::kKinds)) return;
  tiles_ = &machine_.epilogue(kind);
  epilogue_.tiles = &tiles_->table();
  // Stands for results that sums cannot wait in; tiles store sums whatever it says.
  epilogue_.result = type();
  if (parts_ && one_in(4))
    epilogue_.result = type() == DType::f64 ? DType::i64 : type() == DType::f32 ? DType::i32 : DType::f32;
  p_.epilogue = &epilogue_;
}

namespace {

RowOffsets in_bytes(RowOffsets elements, std::int64_t element) {
  elements.stride *= element;
  for (std::int64_t& offset : elements.table) offset *= element;
  return elements;
}

}  // namespace

void Case::choose_layouts() {
  a_ = Layout(random_, universe_, p_.k, {.table = true, .steps = true, .zeros = !live_a_}, element());
  b_ = Layout(random_, p_.k, p_.n, {.steps = true, .zeros = !live_b_}, element());
  c_ = Layout(random_, universe_, p_.n, {.table = true}, element());
  p_.a_rows = in_bytes(a_.rows, element()), p_.a_k = a_.step;
  p_.b_k = b_.rows.stride, p_.b_n = b_.step;
  p_.c_rows = c_.rows;
  if (!p_.epilogue) return;
  const lower::Epilogue& e = tiles_->epilogue();
  for (std::size_t o = 0; o < e.operands.size(); ++o) {
    const EpilogueAccess access = e.operands[o];
    const bool per_row = of_rows(access), per_column = of_columns(access);
    const auto element = static_cast<std::int64_t>(size_of(e.dtypes[o]));
    Layout& layout = operand_.emplace_back(random_, per_row ? universe_ : 1, per_column ? p_.n : 1,
                                           Layout::Freedom{.table = per_row, .zeros = per_row}, element);
    epilogue_.operands.push_back({.access = access, .element = element, .rows = in_bytes(layout.rows, element)});
  }
}

void Case::make_batch() {
  Batch& b = batches_.emplace_back();
  b.a = std::make_unique<Matrix>(a_), b.b = std::make_unique<Matrix>(b_), b.c = std::make_unique<Matrix>(c_);
  for (const Layout& layout : operand_) {
    b.operands.push_back(std::make_unique<Matrix>(layout));
    b.first.push_back(b.operands.back()->first());
  }
}

std::shared_ptr<detect::LiveMap> Case::random_map(std::int64_t rows, std::int64_t columns) {
  const std::int64_t g_rows = pick({1, 1, 2, 4, 8, 32, 100}), g_columns = pick({1, 1, 2, 16, 48, 100}),
                     row_groups = (rows + g_rows - 1) / g_rows, column_groups = (columns + g_columns - 1) / g_columns;
  std::vector<std::uint8_t> tiles;
  std::vector<std::int64_t> offsets;
  const auto percent = static_cast<unsigned>(pick({0, 5, 50, 95, 100}));
  for (std::int64_t b = 0; b < batch_count_; ++b) {
    offsets.push_back(b * row_groups * column_groups);
    for (std::int64_t i = 0; i < row_groups * column_groups; ++i) tiles.push_back(random_() % 100 < percent);
  }
  return std::make_shared<detect::LiveMap>(
      detect::from_bytes(tiles.data(), offsets, column_groups, 1, rows, columns, g_rows, g_columns, pool_));
}

void Case::add_whole(std::int64_t batch) {
  Batch& b = batches_.back();
  Item item{.a = b.a->first(), .c = b.c->first(), .operands = b.first.data()};
  item.b = packs_ ? nullptr : b.b->first();
  item.a_number = item.b_number = item.c_number = batch;
  if (one_in(3)) {
    std::vector<std::int32_t>& rows = row_lists_.emplace_back(static_cast<std::size_t>(universe_));
    std::iota(rows.begin(), rows.end(), 0);
    while (std::ssize(rows) > p_.m) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(random_() % rows.size()));
    rows.reserve(rows.size() + 1);  // an empty list is not null
    item.row_list = rows.data();
  }
  p_.items.push_back(item);
}

// Lists of one position of the batch are the same for all of its items; panels and rows are not.
void Case::add_parts(std::int64_t batch) {
  Batch& b = batches_.back();
  Item item{.a = b.a->first(), .c = b.c->first(), .operands = b.first.data()};
  item.b = packs_ ? nullptr : b.b->first();
  item.b_number = item.c_number = batch;
  if (sums_ && one_in(2)) {
    b.k_list = some_of(p_.k);
    item.k_count = std::ssize(b.k_list);
    b.k_list.reserve(b.k_list.size() + 1);
    item.k_list = b.k_list.data();
  }
  if (sums_ && !packs_ && one_in(2)) {
    b.n_live.assign(static_cast<std::size_t>(p_.n) + 1, 0);
    for (const std::int32_t n : some_of(p_.n)) b.n_live[static_cast<std::size_t>(n)] = 1;
    item.n_live = b.n_live.data();
  }
  std::int64_t first = 0;
  while (first < panels_.count()) {
    const std::int64_t last =
        one_in(2) ? panels_.count()
                  : first + 1 + static_cast<std::int64_t>(random_() % static_cast<unsigned>(panels_.count() - first));
    if (first > 0 || last < panels_.count()) item.first_panel = first, item.last_panel = last;
    first = last;
    if (one_in(5)) continue;  // nobody's
    if (one_in(5)) {
      p_.items.push_back(item);
      continue;
    }
    std::vector<std::int32_t> rows = some_of(universe_), without_k;
    if (one_in(3))
      for (std::int32_t r = 0; r < universe_; ++r)
        if (!std::binary_search(rows.begin(), rows.end(), r) && one_in(2)) without_k.push_back(r);
    add_rows(item, std::move(rows));
    Item other = item;
    no_k_.reserve(1);
    other.b = nullptr, other.b_number = 0, other.k_list = no_k_.data(), other.k_count = 0;
    if (!without_k.empty()) add_rows(other, std::move(without_k));
  }
}

void Case::add_rows(Item item, std::vector<std::int32_t> rows) {
  item.rows = std::ssize(rows);
  p_.m = std::max(p_.m, item.rows);
  rows.reserve(rows.size() + 1);
  item.row_list = row_lists_.emplace_back(std::move(rows)).data();
  p_.items.push_back(item);
}

}  // namespace pit::contract::test
