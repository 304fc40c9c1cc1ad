// Selections by value: TopK, NonZero.
#include <bit>
#include <limits>

#include "graph/numeric.h"
#include "graph/routine.h"
#include "support/buffer.h"

namespace pit::graph {
namespace {

// A value as an integer in the same order: NaN is the largest, and -0 equals +0.
template <class I, class F>
I key_of_float(F v) {
  const I bits = std::bit_cast<I>(v + F{0});
  const I key = bits ^ ((bits >> (8 * sizeof(I) - 1)) & std::numeric_limits<I>::max());
  return v != v ? std::numeric_limits<I>::max() : key;
}

struct Half {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t byte;
};

inline std::int32_t key_of(float v) { return key_of_float<std::int32_t>(v); }
inline std::int64_t key_of(double v) { return key_of_float<std::int64_t>(v); }
inline std::int32_t key_of(Half v) { return key_of(half_to_float(v.bits)); }
inline std::int32_t key_of(Bool v) { return v.byte != 0; }
inline std::int64_t key_of(std::int64_t v) { return v; }
inline std::int32_t key_of(std::int32_t v) { return v; }
inline std::int32_t key_of(std::int8_t v) { return v; }
inline std::int32_t key_of(std::uint8_t v) { return v; }

// The first k of a line in descending order of keys; equal keys keep the order of their positions.
template <class Key>
class FirstOfLine {
 public:
  FirstOfLine(std::int64_t size, std::int64_t k)
      : keys(static_cast<std::size_t>(size)), size_(size), k_(k), lanes_((2 * k + kVector - 1) / kVector * kVector) {
    if (lanes_ * 4 > size || lanes_ > kMostLanes) lanes_ = 0;
    items_.resize(static_cast<std::size_t>(size));
  }

  /// Looks at `keys`, then position(0) to position(k - 1) hold.
  void find() {
    const std::int64_t n = lanes_ > 0 ? candidates() : all();
    if (n <= kRanked) return rank(n);
    if (k_ < n) std::nth_element(items_.begin(), items_.begin() + (k_ - 1), items_.begin() + n, std::greater<>());
    std::sort(items_.begin(), items_.begin() + k_, std::greater<>());
  }
  std::int64_t position(std::int64_t i) const {
    return kLow - static_cast<std::int64_t>(items_[static_cast<std::size_t>(i)] & kLow);
  }

  Buffer<Key> keys;

 private:
  // A key and, below it, its position, counted down: no two are equal.
  using Item = std::conditional_t<sizeof(Key) == 4, std::int64_t, __int128>;
  static constexpr std::int64_t kLow = 0xffffffff, kVector = 16, kRanked = 64, kMostLanes = 512;

  Item item(std::int64_t p) const { return static_cast<Item>(keys[static_cast<std::size_t>(p)]) << 32 | (kLow - p); }

  std::int64_t all() {
    for (std::int64_t p = 0; p < size_; ++p) items_[static_cast<std::size_t>(p)] = item(p);
    return size_;
  }

  // A few items: each counts those before it, which no branch has to foresee.
  void rank(std::int64_t n) {
    Item few[kRanked];
    std::copy_n(items_.begin(), n, few);
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t before = 0;
      for (std::int64_t j = 0; j < n; ++j) before += few[j] > few[i] ? 1 : 0;
      items_[static_cast<std::size_t>(before)] = few[i];
    }
  }

  // The items that may be among the first: those of keys no less than the k-th largest of the lanes' maxima, which k
  // keys reach. Lane l has the positions l, l + lanes, ...; with twice as many lanes as places few more reach it.
  std::int64_t candidates() {
    Key lane[kMostLanes];
    const Key* const key = keys.data();
    const std::int64_t lanes = lanes_;
    std::copy_n(key, lanes, lane);
    std::int64_t at = lanes;
    for (; at + lanes <= size_; at += lanes)
      for (std::int64_t l = 0; l < lanes; l += kVector)
        for (std::int64_t v = 0; v < kVector; ++v) lane[l + v] = std::max(lane[l + v], key[at + l + v]);
    for (std::int64_t l = 0; at + l < size_; ++l) lane[l] = std::max(lane[l], key[at + l]);
    const Key bound = k_th_largest(lane);
    std::int64_t n = 0;
    for (std::int64_t l = 0; l < lanes; ++l) {
      if (lane[l] < bound) continue;
      for (std::int64_t p = l; p < size_; p += lanes) {
        items_[static_cast<std::size_t>(n)] = item(p);
        n += key[p] >= bound ? 1 : 0;
      }
    }
    return n;
  }

  Key k_th_largest(const Key* lane) const {
    if (lanes_ > kRanked) {
      Key sorted[kMostLanes];
      std::copy_n(lane, lanes_, sorted);
      std::nth_element(sorted, sorted + (k_ - 1), sorted + lanes_, std::greater<>());
      return sorted[k_ - 1];
    }
    for (std::int64_t i = 0;; ++i) {
      Key above = 0, as_large = 0;
      for (std::int64_t j = 0; j < lanes_; ++j)
        above += lane[j] > lane[i] ? 1 : 0, as_large += lane[j] >= lane[i] ? 1 : 0;
      if (above < k_ && as_large >= k_) return lane[i];
    }
  }

  std::int64_t size_, k_, lanes_;
  Buffer<Item> items_;
};

template <class Key, class T>
void keys_of_line(const T* from, std::int64_t stride, Buffer<Key>& keys, Key flip) {
  const auto n = static_cast<std::int64_t>(keys.size());
  Key* const to = keys.data();
  if (stride == 1)
    for (std::int64_t p = 0; p < n; ++p) to[p] = key_of(from[p]) ^ flip;
  else
    for (std::int64_t p = 0; p < n; ++p) to[p] = key_of(from[p * stride]) ^ flip;
}

template <class T>
std::vector<Tensor> top_k_of(const Call& c) {
  using Key = decltype(key_of(T{}));
  const Tensor& x = c.in[0];
  const std::int64_t axis = c.number("axis"), k = read_int(c.in[1], 0);
  const bool largest = c.number("largest") != 0;
  const Around a(x.shape(), axis);
  if (k < 0 || k > a.size) c.fail(fmt::format("k is {}, but the axis has {} elements", k, a.size));
  if (a.size > std::numeric_limits<std::int32_t>::max())
    c.fail(fmt::format("the axis has {} elements, at most 2^31 - 1 are possible", a.size));
  Shape s = x.shape();
  s[static_cast<std::size_t>(axis)] = k;
  Tensor values = c.result(0, s), indices = Tensor(DType::i64, s);
  if (c.dtypes.size() > 1) indices = c.result(1, s);
  const std::int64_t lines = a.size == 0 || k == 0 ? 0 : a.outer * a.inner;
  in_pieces(c.pool, lines, (1 << 14) / std::max<std::int64_t>(a.size, 1),
            [&](std::int64_t begin, std::int64_t end, int) {
              FirstOfLine<Key> first(a.size, k);
              for (std::int64_t line = begin; line < end; ++line) {
                const std::int64_t o = line / a.inner, i = line % a.inner;
                const T* const from = x.as<T>() + o * a.size * a.inner + i;
                keys_of_line<Key>(from, a.inner, first.keys, largest ? Key{0} : static_cast<Key>(~Key{0}));
                first.find();
                for (std::int64_t j = 0; j < k; ++j) {
                  const std::int64_t to = (o * k + j) * a.inner + i, p = first.position(j);
                  values.as<T>()[to] = from[p * a.inner];
                  indices.as<std::int64_t>()[to] = p;
                }
              }
            });
  return {values, indices};
}

// Where the elements of a tensor that are not zero lie, in order.
template <class T>
std::vector<Tensor> non_zero_of(const Call& c) {
  const Tensor& x = c.in[0];
  const T* const data = x.as<T>();
  const auto set = [](T v) {
    if constexpr (std::is_same_v<T, Half>) return (v.bits & 0x7fffu) != 0;
    else return v != T{0};
  };
  constexpr std::int64_t kPiece = 1 << 14;
  const std::int64_t pieces = (x.size() + kPiece - 1) / kPiece;
  std::vector<std::int64_t> begin(static_cast<std::size_t>(pieces) + 1, 0);
  c.pool.parallel_for(pieces, [&](std::int64_t p, int) {
    std::int64_t n = 0;
    for (std::int64_t i = p * kPiece; i < std::min((p + 1) * kPiece, x.size()); ++i) n += set(data[i]) ? 1 : 0;
    begin[static_cast<std::size_t>(p) + 1] = n;
  });
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  const Shape& s = x.shape();
  const std::vector<std::int64_t> stride = row_major(s);
  const std::int64_t n = begin.back();
  Tensor y = c.result(0, {static_cast<std::int64_t>(s.size()), n});
  c.pool.parallel_for(pieces, [&](std::int64_t p, int) {
    const std::int64_t at = begin[static_cast<std::size_t>(p)], count = begin[static_cast<std::size_t>(p) + 1] - at;
    if (count == 0) return;
    std::int32_t found[kPiece];
    const T* const first = data + p * kPiece;
    std::int64_t k = 0;
    for (std::int32_t i = 0; k < count; ++i) {
      found[k] = i;
      k += set(first[i]) ? 1 : 0;
    }
    for (k = 0; k < count; ++k) {
      std::int64_t rest = p * kPiece + found[k];
      for (std::size_t d = 0; d < s.size(); ++d) {
        const std::int64_t i = rest / stride[d];
        y.as<std::int64_t>()[static_cast<std::int64_t>(d) * n + at + k] = i;
        rest -= i * stride[d];
      }
    }
  });
  return {y};
}

}  // namespace

std::vector<Tensor> top_k(const Call& c) {
  switch (c.in[0].dtype()) {
    case DType::f32: return top_k_of<float>(c);
    case DType::f64: return top_k_of<double>(c);
    case DType::f16: return top_k_of<Half>(c);
    case DType::i64: return top_k_of<std::int64_t>(c);
    case DType::i32: return top_k_of<std::int32_t>(c);
    case DType::i8: return top_k_of<std::int8_t>(c);
    case DType::u8: return top_k_of<std::uint8_t>(c);
    case DType::b8: return top_k_of<Bool>(c);
  }
  PIT_UNREACHABLE("elements of no type");
}

std::vector<Tensor> non_zero(const Call& c) {
  switch (c.in[0].dtype()) {
    case DType::f32: return non_zero_of<float>(c);
    case DType::f64: return non_zero_of<double>(c);
    case DType::f16: return non_zero_of<Half>(c);
    case DType::i64: return non_zero_of<std::int64_t>(c);
    case DType::i32: return non_zero_of<std::int32_t>(c);
    default: return non_zero_of<std::uint8_t>(c);
  }
}

}  // namespace pit::graph
