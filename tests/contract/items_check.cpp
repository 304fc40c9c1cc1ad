// The values of a random product, the plain loops, and every rule against them.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "contract/items_case.h"

namespace pit::contract::test {

using lower::EpilogueAccess;

double read(DType type, const char* at) {
  double wide = 0;
  float narrow = 0;
  if (type == DType::f64) return std::memcpy(&wide, at, sizeof wide), wide;
  std::int32_t whole = 0;
  if (type == DType::i32) return std::memcpy(&whole, at, sizeof whole), static_cast<double>(whole);
  return std::memcpy(&narrow, at, sizeof narrow), static_cast<double>(narrow);
}

void write(DType type, char* at, double value) {
  const auto narrow = static_cast<float>(value);
  const auto whole = static_cast<std::int32_t>(value);
  if (type == DType::f64) std::memcpy(at, &value, sizeof value);
  else if (type == DType::i32) std::memcpy(at, &whole, sizeof whole);
  else std::memcpy(at, &narrow, sizeof narrow);
}

// Only what is there gets a value; the rest stays NaN.
void Case::fill() {
  for (const Item& item : p_.items) fill_a(item);
  for (const Item& item : p_.items) fill_b(batch_of(item), item);
  for (const Item& item : p_.items) fill_operands(item);
  if (!packs_) return;
  std::vector<const char*> b;
  for (Batch& batch : batches_) b.push_back(batch.b->first());
  packed_ = machine_.engine->pack(b, p_.k, panels_, p_.b_k, p_.b_n, live_b_, pool_);
}

void Case::fill_a(const Item& item) {
  Batch& batch = batch_of(item);
  const double absent = machine_.engine->algebra().absent();
  for (std::int64_t i = 0; i < p_.rows_of(item); ++i)
    for (const std::int32_t k : steps_of(item)) {
      const std::int64_t group = live_a_ ? item.a_number * live_a_->row_groups() + i / live_a_->g_rows : 0;
      const bool live = !live_a_ || live_a_->test(group, k / live_a_->g_columns);
      write(type(), batch.a->at(Problem::row_of(item, i), k), live ? value() : absent);
    }
}

// Packed before, for whatever steps of k there will be, B has all of its elements. (Its number is C's; items without a
// step of k have none.)
void Case::fill_b(Batch& batch, const Item& item) {
  const double absent = machine_.engine->algebra().absent();
  const std::span<const std::int32_t> steps = packs_ ? all_k_ : steps_of(item);
  if (item.b == nullptr && !packs_) return;
  for (const std::int32_t k : steps)
    for (std::int64_t n = 0; n < p_.n; ++n) {
      if (item.n_live && !item.n_live[n]) continue;
      const std::int64_t group = live_b_ ? item.c_number * live_b_->row_groups() + k / live_b_->g_rows : 0;
      const bool live = !live_b_ || live_b_->test(group, n / live_b_->g_columns);
      write(type(), batch.b->at(k, n), live ? value() : absent);
    }
}

void Case::fill_operands(const Item& item) {
  Batch& batch = batch_of(item);
  for (std::size_t o = 0; o < operand_.size(); ++o) {
    const EpilogueAccess access = epilogue_.operands[o].access;
    const bool per_row = of_rows(access), per_column = of_columns(access);
    for (std::int64_t i = 0; i < (per_row ? p_.rows_of(item) : 1); ++i)
      for (std::int64_t n = per_column ? first_column(item) : 0; n < (per_column ? end_column(item) : 1); ++n) {
        const std::int64_t row = per_row ? Problem::row_of(item, i) : 0;
        if (operand_[o].element == 1) batch.operands[o]->at<std::uint8_t>(row, n) = random_() % 2;
        else write(type(), batch.operands[o]->at(row, n), value());
      }
  }
}

template <class T>
T Case::chain(const Item& item, std::int64_t i, std::int64_t column) {
  const lower::Algebra& algebra = machine_.engine->algebra();
  auto sum = static_cast<T>(algebra.identity());
  if (item.n_live && !item.n_live[column]) return sum;
  Batch& batch = batch_of(item);
  double exponentials = 0;
  T most = sum;
  for (int pass = 0; pass < 2; ++pass)
    for (const std::int32_t k : steps_of(item)) {
      const T x = batch.a->at<T>(Problem::row_of(item, i), k), y = batch.b->at<T>(k, column);
      if (sums_) sum = pass == 0 ? std::fma(x, y, sum) : sum;
      else if (algebra.combiner == expr::Combiner::min) sum = std::min(sum, x + y);
      else if (pass == 0) most = std::max(most, x + y);
      else if (std::isfinite(most)) exponentials += std::exp(static_cast<double>(x) + y - most);
    }
  if (algebra.combiner == expr::Combiner::max) return most;
  if (algebra.splits_k()) return sum;
  return std::isfinite(most) ? static_cast<T>(most + std::log(exponentials)) : most;
}

// Of integers: exact, modulo 2^32.
std::int32_t Case::wrapped_sum(const Item& item, std::int64_t i, std::int64_t column) {
  std::uint32_t sum = 0;
  if (item.n_live && !item.n_live[column]) return 0;
  Batch& batch = batch_of(item);
  for (const std::int32_t k : steps_of(item))
    sum += static_cast<std::uint32_t>(batch.a->at<std::int32_t>(Problem::row_of(item, i), k)) *
           static_cast<std::uint32_t>(batch.b->at<std::int32_t>(k, column));
  return static_cast<std::int32_t>(sum);
}

void Case::expect() {
  for (Batch& b : batches_) b.c->forget();
  for (const Item& item : p_.items) {
    Batch& batch = batch_of(item);
    std::vector<char*> operands(operand_.size());
    for (std::int64_t i = 0; i < p_.rows_of(item); ++i)
      for (std::int64_t n = first_column(item); n < end_column(item); ++n) {
        const std::int64_t row = Problem::row_of(item, i);
        const std::int64_t group = live_c_ ? item.c_number * live_c_->row_groups() + i / live_c_->g_rows : 0;
        char* c = batch.c->at(row, n);
        if (live_c_ && !live_c_->test(group, n / live_c_->g_columns)) {
          write(type(), c, machine_.engine->algebra().identity());
          continue;
        }
        if (type() == DType::i32) write(type(), c, wrapped_sum(item, i, n));
        else write(type(), c, type() == DType::f64 ? chain<double>(item, i, n) : chain<float>(item, i, n));
        for (std::size_t o = 0; o < operands.size(); ++o) {
          const EpilogueAccess access = epilogue_.operands[o].access;
          operands[o] = batch.operands[o]->at(of_rows(access) ? row : 0, of_columns(access) ? n : 0);
        }
        if (tiles_) tiles_->apply(c, operands);
      }
  }
  for (Batch& b : batches_) b.want = b.c->bytes();
}

void Case::check() {
  SCOPED_TRACE(text());
  const Live live{live_a_.get(), live_b_.get(), live_c_.get()};
  std::vector<Schedule> schedules = machine_.engine->schedules(p_, live, packed_.get(), pool_.size());
  schedules.push_back(machine_.engine->dense_schedule(p_, packed_.get(), pool_.size()));
  for (const Schedule& s : schedules) {
    run(s);
    for (int i = 0; i < 2; ++i) run(vary(s));
  }
}

// Blocks are as small as they may be, so that small products have several; what a rule needs as it is stays.
Schedule Case::vary(Schedule s) {
  Blocking& b = s.blocks;
  const bool splits = machine_.engine->algebra().splits_k() && p_.sums_fit_c(machine_.engine->algebra());
  const std::int64_t step = std::max<std::int64_t>({1, s.rule.g_rows, live_a_ ? live_a_->g_rows : 1});
  if (splits) b.k = pick({1, 5, 64, 200, 1000});
  b.rows = step * pick({1, 2, 5});
  switch (s.rule.kind) {
    case RuleKind::dense:
      b.rows = machine_.shape.rows * pick({1, 2, 5});
      b.packs_all = !splits || one_in(2);
      b.panels = p_.sums_fit_c(machine_.engine->algebra()) ? static_cast<int>(pick({1, 2, 3, 4})) : 1;
      b.prefetches = splits && one_in(3);
      b.packs_b = !packs_ && one_in(2);
      break;
    case RuleKind::k:
      b.k_near = pick({16, 64, 1000});
      if (b.streams_c || one_in(3)) b.streams_c = true, b.k = p_.k + 1;
      b.panels = static_cast<int>(pick({1, 2, 4, 7}));
      b.sparse_panels = one_in(2);
      break;
    case RuleKind::element:
    case RuleKind::b_k: b.k = splits ? pick({64, 128, 1024}) : (p_.k + 63) / 64 * 64; break;
    case RuleKind::bt_k:
      b.panels = static_cast<int>(pick({1, 2, 3, 4}));
      b.columns = machine_.shape.lanes * machine_.shape.vectors * pick({1, 2, 5});
      break;
    case RuleKind::c_m: b.rows = machine_.shape.rows * pick({1, 2, 5}); break;
    case RuleKind::stream: b.columns = 16 * pick({1, 3, 40}), b.rows = s.rule.tile_rows; break;
    default: break;
  }
  return s;
}

std::map<std::pair<DType, RuleKind>, int>& Case::rules_seen() {
  static std::map<std::pair<DType, RuleKind>, int> seen;
  return seen;
}

void Case::run(const Schedule& s) {
  if (testing::Test::HasFailure()) return;
  ++rules_seen()[{type(), s.rule.kind}];
  for (Batch& b : batches_) b.c->forget();
  machine_.engine->run(p_, {live_a_.get(), live_b_.get(), live_c_.get()}, packed_.get(), s, pool_, poison_);
  compare(s.rule.name() + ", " + s.blocks.name());
}

void Case::compare(const std::string& what) {
  const bool rounds = machine_.engine->algebra().combiner == expr::Combiner::logsumexp;
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    const std::vector<unsigned char> got = batches_[i].c->bytes(), &want = batches_[i].want;
    const auto size = static_cast<std::size_t>(element());
    const double tolerance = type() == DType::f64 ? 1e-14 : 2e-5;
    for (std::size_t at = 0; at < got.size(); at += size) {
      if (std::memcmp(got.data() + at, want.data() + at, size) == 0) continue;
      const double x = read(type(), reinterpret_cast<const char*>(got.data() + at)),
                   y = read(type(), reinterpret_cast<const char*>(want.data() + at));
      if (rounds && (x == y || std::abs(x - y) <= tolerance * (1 + std::abs(y)))) continue;
      for (std::int64_t row = 0; row < universe_; ++row)
        for (std::int64_t n = 0; n < p_.n; ++n)
          if (batches_[i].c->at(row, n) == batches_[i].c->memory() + at)
            FAIL() << what << ": matrix " << i << " row " << row << " column " << n << ": " << x << ", not " << y;
      FAIL() << what << ": matrix " << i << " was written between its rows, at " << at / size;
    }
  }
}

std::string Case::text() const {
  std::string text = fmt::format("PIT_TEST_SEED={}: {} {} m={} n={} k={}, {} items, {} thread(s), {}{}{}", seed_,
                                 machine_.target.name, name_of(type()), p_.m, p_.n, p_.k, p_.items.size(), pool_.size(),
                                 packs_ ? "B packed before, " : "", tiles_ ? tiles_->text() : "no epilogue",
                                 p_.sums_fit_c(machine_.engine->algebra()) ? "" : ", sums do not fit C");
  text += fmt::format("; a_k={} b_k={} b_n={}", p_.a_k, p_.b_k, p_.b_n);
  for (const Item& i : p_.items)
    text += fmt::format("\n  matrix {}: rows {}{} panels {}..{} k {}{}", i.c_number, p_.rows_of(i),
                        i.row_list ? " of a list" : "", i.first_panel, i.last_panel,
                        i.k_list ? std::to_string(i.k_count) : "all", i.n_live ? ", some columns" : "");
  return text;
}

}  // namespace pit::contract::test
