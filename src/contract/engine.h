// The contraction engine: C[m,n] combine= product(A[m,k], B[k,n]), computed on live micro-tiles only.
//
// A call names its problem (extents, strides, a batch of operands) and what is live; the engine costs the rules that
// apply, and runs one. Every rule is the same few loops around the generated tile (lower/tile.h): what differs is the
// list of rows and steps of k that the packing walks (SRead) and where the tile stores (SWrite).
//
//   rule     micro-tiles          per              gathered                        tile
//   dense    all                  block of rows    -                               MR x NR
//   k        A, g_rows x any      group of rows    live k of the group             rows of a group x NR
//   m        A, any x g_columns   k-block          rows that are live in it        MR x NR, compact C
//   element  A, few rows x few k  row              live k of the row, by k-blocks  1 x panels, B in L1
//   B.k      B, any x g_columns   panel of B       live k of the panel             MR x NR, A by index
//   Bt.k     B, any x g_columns   strip of columns live k of the strip               columns of a strip x NR (rows of A)
//   both     A and B              group and panel  k that are live in both         MR x NR, both by index
//   C.m      C                    panel of B       demanded rows                   MR x NR, A read in place
//   C.n      C, all rows high     -                columns that are demanded       as k or dense
//   stream   A, few rows x any    group of rows    live rows of B in memory        no panels
//
// Blocks: contract/blocking.h. Costs: contract/cost (prices: tune). Whatever the rule, an element of C is one chain
// over ascending k.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "contract/kernels.h"
#include "contract/pack.h"
#include "detect/live_map.h"
#include "lower/tile.h"
#include "pit/poison.h"
#include "support/cpu.h"
#include "support/threads.h"

namespace pit::contract {

/// One matrix product of a batch: its operands' first elements, the numbers of their matrices in the live maps, and
/// what of it is there. An item with a part that is absent is for the dense rule alone, and for B.k's but for columns.
/// Steps of k and columns can be absent from sums of products only, and from all items of a matrix of B alike, but for those that take no k at all.
struct Item {
  const char* a = nullptr;
  const char* b = nullptr;  ///< null where B was packed before, or where no step of k is there
  char* c = nullptr;        ///< of the algebra's type, or what the epilogue makes of it
  std::int64_t a_number = 0, b_number = 0, c_number = 0;
  const std::int32_t* row_list = nullptr;         ///< row i is the problem's row row_list[i]; null: row i
  std::int64_t rows = -1;                         ///< -1: m
  std::int64_t first_panel = 0, last_panel = -1;  ///< panels of B; -1: all
  /// The steps of k that are there, ascending; null: all. What an epilogue makes of no step is still written.
  const std::int32_t* k_list = nullptr;
  std::int64_t k_count = 0;
  /// Per column of a B that comes with the call: absent ones (0) count as zeros; null: all are there.
  const std::uint8_t* n_live = nullptr;
  char* const* operands = nullptr;  ///< the epilogue's, first elements
};

/// How far rows lie behind the first one: at a stride, or each somewhere.
struct RowOffsets {
  std::int64_t stride = 0;
  std::vector<std::int64_t> table;  ///< empty: by the stride
  std::int64_t operator[](std::int64_t row) const {
    return table.empty() ? row * stride : table[static_cast<std::size_t>(row)];
  }
};

/// What becomes of each sum (lower/tile.h) before it is stored.
struct Epilogue {
  struct Operand {
    lower::EpilogueAccess access;
    std::int64_t element = 0;  ///< bytes
    RowOffsets rows;           ///< per_m, per_mn: bytes, from the item's operand
  };
  const TileTable* tiles = nullptr;  ///< the generated tiles that apply it
  std::vector<Operand> operands;
  DType result = DType::f32;  ///< of C: sums wait in it where it is the algebra's type of C
};

/// Extents and strides in elements (of the algebra's types; sizes: `Kernels::sizes`), rows of A in bytes, the same for the whole batch. C's columns are consecutive; any stride may be 0 or
/// negative.
struct Problem {
  std::int64_t m = 0, n = 0, k = 0;  ///< m: of an item's rows; where items have as many as they like, of the longest
  std::int64_t a_k = 1;              ///< stride of A along k
  std::int64_t b_k = 0, b_n = 1;     ///< strides of B
  RowOffsets a_rows, c_rows;
  std::vector<Item> items;
  const Epilogue* epilogue = nullptr;  ///< null: sums are stored

  std::int64_t rows_of(const Item& item) const { return item.rows < 0 ? m : item.rows; }
  static std::int64_t row_of(const Item& item, std::int64_t i) { return item.row_list ? item.row_list[i] : i; }
  /// Of each matrix of B, by its number, an item that has it; null where none takes a step of k of it.
  std::vector<const Item*> items_of_b() const;
  /// Whether every rule can compute it, not only the dense one.
  bool is_whole(const lower::Algebra& algebra) const;
  /// Whether partial sums can wait in C.
  bool sums_fit_c(const lower::Algebra& algebra) const {
    return epilogue == nullptr || epilogue->result == algebra.types.c;
  }
};

/// Which micro-tiles are live; null: all. A's maps are over [m, k], B's over [k, n], C's over [m, n].
struct Live {
  const detect::LiveMap* a = nullptr;
  const detect::LiveMap* b = nullptr;
  const detect::LiveMap* c = nullptr;
};

enum class RuleKind : std::uint8_t { dense, k, m, element, b_k, bt_k, both, c_m, c_n, stream };

/// Whether the rule reads B in panels. (Others read it as it lies, or keep what they need of a packed one.)
inline bool walks_panels(RuleKind rule) { return rule != RuleKind::stream && rule != RuleKind::bt_k; }

struct Rule {
  RuleKind kind = RuleKind::dense;
  std::int64_t g_rows = 0, g_columns = 0;  ///< micro-tile of the gathered operand as the rule covers it
  int tile_rows = 0, tile_columns = 0;
  std::string name() const;  ///< "k 32x1 @ 4x24"
  bool operator==(const Rule&) const = default;
};

/// Micro-tiles that are single elements, of one row or two: rows (almost) alone can walk steps of k of their own.
inline bool are_elements(std::int64_t g_rows, std::int64_t g_columns) { return g_rows <= 2 && g_columns == 1; }

/// How a rule's loops cut a call: decided once (contract/blocking.h), then priced and executed from here. (C.n: its
/// narrower product decides anew.)
struct Blocking {
  std::int64_t rows =
      0;               ///< of A per task (MC), whole tiles or groups: their packed A stays in its share of the caches
  std::int64_t k = 0;  ///< steps that are walked before C is visited again (KC); all of k where it cannot be split
  /// of these, how many rows of a panel of B stay in L1 while the tiles of a macro-tile share them
  std::int64_t k_near = 0;
  std::int64_t columns = 0;    ///< stream, Bt.k: of C at a time
  int panels = 1;              ///< side by side in a macro-tile
  bool packs_all = true;       ///< all of k of a task's A is packed at once, and panels are walked from end to end
  bool prefetches = false;     ///< tiles fetch B ahead (Family::prefetching)
  bool streams_c = false;      ///< results are put together to long pieces of rows, which leave past the caches
  bool streams_dead = false;   ///< what nobody wants of C is filled past the caches
  bool sparse_panels = false;  ///< a task reads few rows of a panel
  bool packs_b = false;        ///< each task packs the panels that it reads, rather than the call all of them before
  std::string name() const;    ///< "384 rows, 512 of k, 2 panels"
  bool operator==(const Blocking&) const = default;
};

/// One way to compute a call.
struct Schedule {
  Rule rule;
  Blocking blocks;
  double seconds = 0;     ///< expected, detection not included
  double correction = 1;  ///< of it, by what earlier calls took (contract/learned.h)
  /// Seconds by the cost model alone.
  double predicted() const { return seconds / correction; }
};

/// Cheapest first; equal ones stay in order.
void sort_by_price(std::vector<Schedule>& schedules);

/// B in panels [panel][k][width], for each of its matrices, and what is known of it. Immutable but for the second
/// layout.
class PackedB;

class Engine {
 public:
  /// Generates (or loads from the cache) the kernels. `cache_dir` and `threads` as in codegen. Throws UnsupportedError
  /// for an algebra without a tile.
  static std::shared_ptr<const Engine> create(const lower::Algebra& algebra, const CpuTarget& target,
                                              const std::string& cache_dir, int threads = 1);
  virtual ~Engine() = default;

  /// The panels of a B of n columns and k rows that every rule can use: uniform ones, as narrow as what `live` (B's map,
  /// of all its matrices; null: all) leaves of each makes it worth.
  virtual Panels panels(std::int64_t n, std::int64_t k, const detect::LiveMap* live) const = 0;

  /// Packs all matrices of B, of k rows: `b[i]` is the first element of number i. Panels that are not uniform serve the
  /// dense rule alone. `live` (may be null; kept) is B's map.
  virtual std::shared_ptr<PackedB> pack(const std::vector<const char*>& b, std::int64_t k, const Panels& panels,
                                        std::int64_t k_stride, std::int64_t n_stride,
                                        std::shared_ptr<const detect::LiveMap> live, const ThreadPool& pool) const = 0;

  /// The ways that apply, priced, cheapest first; a dense one is always among them. `packed`: B was packed before.
  virtual std::vector<Schedule> schedules(const Problem& p, const Live& live, const PackedB* packed,
                                          int threads) const = 0;
  /// The same for one rule, whether or not it would be listed.
  virtual Schedule schedule(const Problem& p, const Live& live, const PackedB* packed, const Rule& rule,
                            int threads) const = 0;

  /// The dense rule's, without a price: for who has no choice.
  virtual Schedule dense_schedule(const Problem& p, const PackedB* packed, int threads) const = 0;

  /// Whether A is worth a scan: false where a sample of its values says that even without its zeros nothing would be
  /// gained.
  virtual bool worth_detecting(const Problem& p, const detect::Values& a, std::int64_t g_rows, std::int64_t g_columns,
                               bool packed, int threads) const = 0;

  /// Generates what these rules need now, which else happens when a rule is first used.
  virtual void generate(const std::vector<RuleKind>& rules) const = 0;
  /// Makes what outlives a first run of this way: code, a second layout of a packed B, lists. So that who measures a run
  /// measures what the next ones will take, too.
  virtual void prepare(const Problem& p, const Live& live, PackedB* packed, const Schedule& schedule) const = 0;
  /// The IR of what `generate` makes for these rules, for reading.
  virtual std::vector<codegen::Kernel> kernels(const std::vector<RuleKind>& rules) const = 0;
  /// The packing kernels, for callers that pack on their own.
  virtual const PackSet& packs() const = 0;

  /// Computes all items. Elements of C outside of live.c become the identity, whatever the epilogue. Rules that cannot
  /// apply the epilogue as they store leave it to a pass of its own. `poison`: what scratch holds before use.
  virtual void run(const Problem& p, const Live& live, PackedB* packed, const Schedule& schedule,
                   const ThreadPool& pool, Poison poison) const = 0;

  virtual const lower::Algebra& algebra() const = 0;
};

/// Facts about a packed B.
std::int64_t bytes_of(const PackedB& b);
const detect::LiveMap* live_of(const PackedB& b);

}  // namespace pit::contract
