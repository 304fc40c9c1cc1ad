// Mask programs against brute force: random formulas over small shapes, every operation, every element.
#include "sparsity/mask.h"

#include <functional>
#include <gtest/gtest.h>
#include <random>

#include "sparsity/mask_impl.h"

namespace pit::sparsity {
namespace {

/// A mask spelt out, and its formula.
struct Dense {
  MaskId id;
  std::vector<Dim> dims;
  std::vector<std::int64_t> shape;
  std::vector<bool> bits;
};

std::int64_t count(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (auto x : shape) n *= x;
  return n;
}

void each(const std::vector<std::int64_t>& shape,
          const std::function<void(std::int64_t, const std::vector<std::int64_t>&)>& f) {
  std::vector<std::int64_t> at(shape.size(), 0);
  for (std::int64_t i = 0; i < count(shape); ++i) {
    f(i, at);
    for (std::size_t a = shape.size(); a-- > 0;) {
      if (++at[a] < shape[a]) break;
      at[a] = 0;
    }
  }
}

std::int64_t offset(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& at) {
  std::int64_t o = 0;
  for (std::size_t a = 0; a < shape.size(); ++a) o = o * shape[a] + at[a];
  return o;
}

class World {
 public:
  explicit World(unsigned seed) : random(seed) {
    b = g.dims.symbol("b");
    s = g.dims.symbol("s");
    one = g.dims.constant(1), three = g.dims.constant(3), four = g.dims.constant(4), twelve = g.dims.constant(12);
    bs = g.dims.mul(b, s);
    std::vector<std::int64_t> symbols{pick(1, 3), pick(0, 9) == 0 ? 0 : pick(1, 5)};
    for (const auto& d : std::vector<std::vector<Dim>>{
             {b, s}, {b, one, s}, {s, s}, {three, four}, {b, s, three}, {twelve}, {bs}, {s}, {b, one}}) {
      add_input(d, DType::b8);
      if (pick(0, 2) == 0) add_input(d, DType::f32);
    }
    for (const auto& d : std::vector<std::vector<Dim>>{{b, s}, {s}, {b, s, three}})
      indices.push_back(add_input(d, DType::i64));
    // A constant, whose leaves are evaluated at once.
    Tensor c(DType::b8, {3, 4});
    for (int i = 0; i < 12; ++i) c.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(random() & 1);
    leaf_values.push_back(g.add_constant("c", c));
    dims = g.dims.evaluate(symbols);
    tensors.resize(g.values.size());
    for (std::size_t v = 0; v < g.values.size(); ++v) fill(v);
    program = std::make_unique<MaskProgram>(&g);
  }

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  }
  std::int64_t extent(Dim d) const { return d.id < 0 ? 1 : dims[static_cast<std::size_t>(d.id)]; }
  std::vector<std::int64_t> shape(const std::vector<Dim>& d) const {
    std::vector<std::int64_t> r;
    for (Dim x : d) r.push_back(extent(x));
    return r;
  }

  ValueId add_input(const std::vector<Dim>& d, DType t) {
    graph::Value v;
    v.name = "v" + std::to_string(g.values.size());
    v.dtype = t;
    v.dims = d;
    const ValueId id = g.add_value(v);
    if (t != DType::i64) leaf_values.push_back(id);
    return id;
  }

  void fill(std::size_t v) {
    if (g.values[v].is_constant()) {
      tensors[v] = g.values[v].constant;
      return;
    }
    Tensor t(g.values[v].dtype, shape(g.values[v].dims));
    const bool all_same = pick(0, 6) == 0;
    for (std::int64_t i = 0; i < t.size(); ++i) {
      const std::int64_t x = all_same ? 1 : pick(0, 2) != 0;
      if (t.dtype() == DType::b8) t.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(x);
      if (t.dtype() == DType::f32) t.as<float>()[i] = x ? 0.5F : -3.4e38F;
      if (t.dtype() == DType::i64) t.as<std::int64_t>()[i] = pick(-3, 2);
    }
    tensors[v] = t;
  }

  Dense constant(const std::vector<Dim>& d, bool value) {
    return {value ? program->everything(d) : program->nothing(d), d, shape(d),
            std::vector<bool>(static_cast<std::size_t>(count(shape(d))), value)};
  }

  Dense leaf() {
    const ValueId v = leaf_values[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(leaf_values.size()) - 1))];
    const Tensor& t = tensors[static_cast<std::size_t>(v)];
    const bool is_float = t.dtype() == DType::f32;
    Dense r{program->leaf(v, is_float ? Predicate::not_masked : Predicate::nonzero),
            g.values[static_cast<std::size_t>(v)].dims,
            t.shape(),
            {}};
    for (std::int64_t i = 0; i < t.size(); ++i)
      r.bits.push_back(is_float ? t.as<float>()[i] > -1e4F : t.as<std::uint8_t>()[i] != 0);
    return r;
  }

  graph::Graph g;
  Dim b, s, one, three, four, twelve, bs;
  std::vector<ValueId> leaf_values, indices;
  std::vector<std::int64_t> dims;
  std::vector<Tensor> tensors;
  std::unique_ptr<MaskProgram> program;
  std::mt19937 random;
};

/// Reads `m` at the position that `f` computes; -1: false.
Dense mapped(MaskId id, std::vector<Dim> dims, std::vector<std::int64_t> shape, const Dense& m,
             const std::function<bool(const std::vector<std::int64_t>&, std::vector<std::int64_t>&)>& f) {
  Dense r{id, std::move(dims), std::move(shape), {}};
  r.bits.resize(static_cast<std::size_t>(count(r.shape)));
  each(r.shape, [&](std::int64_t i, const std::vector<std::int64_t>& at) {
    std::vector<std::int64_t> from;
    r.bits[static_cast<std::size_t>(i)] = f(at, from) && m.bits[static_cast<std::size_t>(offset(m.shape, from))];
  });
  return r;
}

Dense any_dense(World& w, const Dense& m, const std::vector<int>& axes) {
  Dense r{w.program->any(m.id, axes), m.dims, m.shape, m.bits};
  each(m.shape, [&](std::int64_t i, const std::vector<std::int64_t>& at) {
    bool any = false;
    each(m.shape, [&](std::int64_t j, const std::vector<std::int64_t>& other) {
      bool same = true;
      for (std::size_t a = 0; a < at.size(); ++a) {
        if (std::find(axes.begin(), axes.end(), static_cast<int>(a)) == axes.end()) same = same && at[a] == other[a];
      }
      any = any || (same && m.bits[static_cast<std::size_t>(j)]);
    });
    r.bits[static_cast<std::size_t>(i)] = any;
  });
  return r;
}

Dense step(World& w, std::vector<Dense>& pool) {
  MaskProgram& p = *w.program;
  const Dense& m = pool[static_cast<std::size_t>(w.pick(0, static_cast<std::int64_t>(pool.size()) - 1))];
  const auto rank = static_cast<std::int64_t>(m.shape.size());
  auto some_axes = [&] {
    std::vector<int> axes;
    for (int a = 0; a < rank; ++a)
      if (w.pick(0, 1)) axes.push_back(a);
    return axes;
  };
  switch (w.pick(0, 10)) {
    case 0:
    case 1: {  // and, or with another one of the same dims (or a fresh leaf brought there)
      for (int tries = 0; tries < 20; ++tries) {
        const Dense& o = pool[static_cast<std::size_t>(w.pick(0, static_cast<std::int64_t>(pool.size()) - 1))];
        if (!(o.dims == m.dims)) continue;
        const bool conjunction = w.pick(0, 1);
        Dense r{conjunction ? p.and_(m.id, o.id) : p.or_(m.id, o.id), m.dims, m.shape, m.bits};
        for (std::size_t i = 0; i < r.bits.size(); ++i)
          r.bits[i] = conjunction ? m.bits[i] && o.bits[i] : m.bits[i] || o.bits[i];
        return r;
      }
      return w.leaf();
    }
    case 2: {
      Dense r{p.not_(m.id), m.dims, m.shape, m.bits};
      r.bits.flip();
      return r;
    }
    case 3: return any_dense(w, m, some_axes());
    case 4: {  // permute, with a new axis now and then
      std::vector<int> order;
      for (int a = 0; a < rank; ++a) order.push_back(a);
      std::shuffle(order.begin(), order.end(), w.random);
      if (rank < 4 && w.pick(0, 1)) order.insert(order.begin() + w.pick(0, rank), -1);
      std::vector<Dim> d;
      for (int o : order) d.push_back(o < 0 ? (w.pick(0, 1) ? w.s : w.three) : m.dims[static_cast<std::size_t>(o)]);
      return mapped(p.permute(m.id, order, d), d, w.shape(d), m, [&](const auto& at, auto& from) {
        from.assign(m.shape.size(), 0);
        for (std::size_t i = 0; i < order.size(); ++i)
          if (order[i] >= 0) from[static_cast<std::size_t>(order[i])] = at[i];
        return true;
      });
    }
    case 5: {  // merge (b,s) or (3,4)
      for (int a = 0; a + 1 < rank; ++a) {
        const Dim x = m.dims[static_cast<std::size_t>(a)], y = m.dims[static_cast<std::size_t>(a) + 1];
        const Dim merged = x == w.b && y == w.s ? w.bs : x == w.three && y == w.four ? w.twelve : Dim{};
        if (merged.id < 0) continue;
        std::vector<Dim> d = m.dims;
        d.erase(d.begin() + a);
        d[static_cast<std::size_t>(a)] = merged;
        const auto n = w.extent(y);
        return mapped(p.merge(m.id, a, 2, merged), d, w.shape(d), m, [&](const auto& at, auto& from) {
          from = at;
          from[static_cast<std::size_t>(a)] = at[static_cast<std::size_t>(a)] / n;
          from.insert(from.begin() + a + 1, at[static_cast<std::size_t>(a)] % n);
          return true;
        });
      }
      return w.leaf();
    }
    case 6: {  // split
      for (int a = 0; a < rank; ++a) {
        const Dim x = m.dims[static_cast<std::size_t>(a)];
        if (rank > 3 || !(x == w.bs || x == w.twelve)) continue;
        const std::vector<Dim> parts = x == w.bs ? std::vector<Dim>{w.b, w.s} : std::vector<Dim>{w.three, w.four};
        std::vector<Dim> d = m.dims;
        d.erase(d.begin() + a);
        d.insert(d.begin() + a, parts.begin(), parts.end());
        return mapped(p.split(m.id, a, parts), d, w.shape(d), m, [&](const auto& at, auto& from) {
          from = at;
          from.erase(from.begin() + a);
          from[static_cast<std::size_t>(a)] =
              at[static_cast<std::size_t>(a)] * w.extent(parts[1]) + at[static_cast<std::size_t>(a) + 1];
          return true;
        });
      }
      return w.leaf();
    }
    case 7: {  // window
      if (rank == 0) return w.leaf();
      const auto a = static_cast<std::size_t>(w.pick(0, rank - 1));
      const Dim n = w.pick(0, 1) ? w.three : w.s;
      const std::int64_t start = w.pick(-1, 3), stride = w.pick(0, 2) == 0 ? w.pick(-2, 2) : 1;
      if (stride == 0) return w.leaf();
      std::vector<Dim> d = m.dims;
      d[a] = n;
      bool inside = true;
      for (std::int64_t i = 0; i < w.extent(n); ++i)
        inside = inside && start + i * stride >= 0 && start + i * stride < m.shape[a];
      if (!inside) return w.leaf();
      return mapped(p.window(m.id, static_cast<int>(a), Position::at(start), stride, n), d, w.shape(d), m,
                    [&](const auto& at, auto& from) {
                      from = at;
                      from[a] = start + at[a] * stride;
                      return from[a] >= 0 && from[a] < m.shape[a];
                    });
    }
    case 8: {  // place
      if (rank == 0) return w.leaf();
      const auto a = static_cast<std::size_t>(w.pick(0, rank - 1));
      const std::int64_t start = w.pick(0, 3), stride = p.is_uniform(m.id, static_cast<int>(a)) ? 1 : w.pick(1, 2);
      const Dim n = w.twelve;
      std::vector<Dim> d = m.dims;
      d[a] = n;
      if (start + (m.shape[a] - 1) * stride >= 12) return w.leaf();
      return mapped(p.place(m.id, static_cast<int>(a), Position::at(start), stride, n), d, w.shape(d), m,
                    [&](const auto& at, auto& from) {
                      from = at;
                      from[a] = (at[a] - start) / stride;
                      return at[a] >= start && (at[a] - start) % stride == 0 && from[a] < m.shape[a];
                    });
    }
    case 9: {  // take: the last axis of extent 3 looked up by an index over other axes
      if (rank < 2 || !(m.dims.back() == w.three)) return w.leaf();
      std::vector<Dim> d(m.dims.begin(), m.dims.end() - 1);
      for (ValueId v : w.indices) {
        const auto& k = w.g.values[static_cast<std::size_t>(v)].dims;
        Lookup l;
        l.value = v;
        for (Dim x : k) {
          const auto it = std::find(d.begin(), d.end(), x);
          if (it == d.end()) break;
          l.axes.push_back(static_cast<int>(it - d.begin()));
          l.at.push_back(0);
        }
        if (l.axes.size() != k.size()) continue;
        const Tensor& t = w.tensors[static_cast<std::size_t>(v)];
        return mapped(p.take(m.id, l, d), d, w.shape(d), m, [&](const auto& at, auto& from) {
          std::vector<std::int64_t> i;
          for (int a : l.axes) i.push_back(at[static_cast<std::size_t>(a)]);
          const std::int64_t x = t.as<std::int64_t>()[offset(t.shape(), i)];
          from = at;
          from.push_back(x < 0 ? x + 3 : x);
          return true;
        });
      }
      return w.leaf();
    }
    default: {  // put
      if (rank > 3) return w.leaf();
      for (ValueId v : w.indices) {
        const auto& k = w.g.values[static_cast<std::size_t>(v)].dims;
        Lookup l;
        l.value = v;
        for (Dim x : k) {
          const auto it = std::find(m.dims.begin(), m.dims.end(), x);
          if (it == m.dims.end()) break;
          l.axes.push_back(static_cast<int>(it - m.dims.begin()));
          l.at.push_back(0);
        }
        if (l.axes.size() != k.size()) continue;
        const std::vector<int> reduced = some_axes();
        Dense r{p.put(m.id, l, reduced, w.three), m.dims, m.shape, {}};
        r.dims.push_back(w.three);
        r.shape.push_back(3);
        r.bits.assign(static_cast<std::size_t>(count(r.shape)), false);
        const Tensor& t = w.tensors[static_cast<std::size_t>(v)];
        each(m.shape, [&](std::int64_t j, const std::vector<std::int64_t>& from) {
          if (!m.bits[static_cast<std::size_t>(j)]) return;
          std::vector<std::int64_t> i;
          for (int a : l.axes) i.push_back(from[static_cast<std::size_t>(a)]);
          std::int64_t x = t.as<std::int64_t>()[offset(t.shape(), i)];
          x = x < 0 ? x + 3 : x;
          each(r.shape, [&](std::int64_t o, const std::vector<std::int64_t>& at) {
            bool same = at.back() == x;
            for (std::size_t a = 0; a < from.size(); ++a) {
              if (std::find(reduced.begin(), reduced.end(), static_cast<int>(a)) == reduced.end())
                same = same && at[a] == from[a];
            }
            if (same) r.bits[static_cast<std::size_t>(o)] = true;
          });
        });
        return r;
      }
      return w.leaf();
    }
  }
}

// What is proved to be nothing is nothing, here as everywhere.
TEST(Proofs, OfRandomFormulasHold) {
  int proved = 0, true_here = 0;
  for (unsigned seed = 1; seed <= 600; ++seed) {
    World w(seed);
    MaskProgram& p = *w.program;
    std::vector<Dense> pool;
    for (int i = 0; i < 6; ++i) pool.push_back(w.leaf());
    for (int i = 0; i < 24; ++i) pool.push_back(step(w, pool));
    for (const Dense& x : pool)
      for (const Dense& y : pool) {
        if (!(x.dims == y.dims) || x.id == y.id) continue;
        bool violated = false;
        for (std::size_t i = 0; i < x.bits.size(); ++i) violated = violated || (x.bits[i] && !y.bits[i]);
        true_here += !violated;
        if (!p.follows(x.id, y.id)) continue;
        ++proved;
        ASSERT_FALSE(violated) << "seed " << seed << ": " << p.print(x.id) << " does not imply " << p.print(y.id);
      }
  }
  EXPECT_GT(proved, 200) << "of " << true_here;
}

// What read contracts are made of is proved.
TEST(Proofs, OfWhatFollowsByForm) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    World w(seed);
    MaskProgram& p = *w.program;
    const auto of = [&](const std::vector<Dim>& d) {
      return *std::find_if(w.leaf_values.begin(), w.leaf_values.end(),
                           [&](ValueId v) { return w.g.values[static_cast<std::size_t>(v)].dims == d; });
    };
    const MaskId f = p.leaf(of({w.b, w.s}), Predicate::nonzero),
                 h = p.permute(p.leaf(of({w.b, w.one}), Predicate::nonzero), {0, -1}, {w.b, w.s});
    const auto implies = [&](MaskId a, MaskId b) { return p.follows(a, b); };
    const std::vector<int> s{1};
    EXPECT_TRUE(implies(f, p.or_(f, h)));
    EXPECT_TRUE(implies(p.and_(f, h), f));
    EXPECT_TRUE(implies(f, p.any(f, s)));
    EXPECT_TRUE(implies(p.any(p.and_(f, h), s), p.any(f, s)));
    EXPECT_TRUE(implies(p.all(f, s), f));
    EXPECT_TRUE(implies(p.and_(f, p.not_(p.any(f, s))), h));
    EXPECT_FALSE(implies(p.any(f, s), f));
    EXPECT_FALSE(implies(p.or_(f, h), f));
  }
}

TEST(MaskProgram, RandomFormulasEqualBruteForce) {
  for (unsigned seed = 1; seed <= 1500; ++seed) {
    World w(seed);
    std::vector<Dense> pool;
    for (int i = 0; i < 8; ++i) pool.push_back(w.leaf());
    pool.push_back(w.constant({w.b, w.s}, true));
    for (int i = 0; i < 40; ++i) {
      Dense d = step(w, pool);
      if (count(d.shape) <= 600) pool.push_back(std::move(d));
    }
    std::vector<MaskId> roots;
    for (const Dense& d : pool) roots.push_back(d.id);
    const auto masks = w.program->evaluate(
        roots, w.dims, [&](ValueId v) -> const Tensor& { return w.tensors[static_cast<std::size_t>(v)]; });
    for (const Dense& d : pool) {
      const MaskArray& m = *masks[static_cast<std::size_t>(d.id.id)];
      ASSERT_EQ(m.extents, d.shape) << "seed " << seed << ": " << w.program->print(d.id);
      std::int64_t live = 0, wrong = 0;
      each(d.shape, [&](std::int64_t i, const std::vector<std::int64_t>& at) {
        const bool expected = d.bits[static_cast<std::size_t>(i)];
        live += expected;
        wrong += m.at(at.data()) != expected;
      });
      ASSERT_EQ(wrong, 0) << "seed " << seed << ": " << w.program->print(d.id);
      const auto total = count(d.shape);
      ASSERT_NEAR(m.fraction(), total == 0 ? 1 : static_cast<double>(live) / static_cast<double>(total), 1e-12)
          << "seed " << seed;
      ASSERT_TRUE(!m.all || live == total) << "seed " << seed;
      ASSERT_TRUE(!m.none || live == 0) << "seed " << seed;
    }
  }
}

// A mask without some of its leaves is at least as large, whatever their elements are, and does not read them.
TEST(MaskProgram, WidenedMasksHoldForAnyElements) {
  int smaller = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    World w(seed);
    MaskProgram& p = *w.program;
    std::vector<Dense> pool;
    for (int i = 0; i < 8; ++i) pool.push_back(w.leaf());
    for (int i = 0; i < 40; ++i) {
      Dense d = step(w, pool);
      if (count(d.shape) <= 600) pool.push_back(std::move(d));
    }
    std::vector<char> unknown(w.g.values.size(), 0);
    for (std::size_t v = 0; v < unknown.size(); ++v)
      unknown[v] = !w.g.values[v].is_constant() && w.g.values[v].dtype != DType::i64 && w.pick(0, 2) == 0;
    WideMasks memo;
    std::vector<MaskId> roots, wide;
    for (const Dense& d : pool) roots.push_back(d.id), wide.push_back(p.widened(d.id, unknown, memo));
    for (ValueId v : p.leaves(wide)) ASSERT_FALSE(unknown[static_cast<std::size_t>(v)]) << "seed " << seed;
    roots.insert(roots.end(), wide.begin(), wide.end());
    for (int round = 0; round < 3; ++round) {
      const auto masks =
          p.evaluate(roots, w.dims, [&](ValueId v) -> const Tensor& { return w.tensors[static_cast<std::size_t>(v)]; });
      for (std::size_t i = 0; i < pool.size(); ++i) {
        const MaskArray &m = *masks[static_cast<std::size_t>(pool[i].id.id)],
                        &larger = *masks[static_cast<std::size_t>(wide[i].id)];
        ASSERT_EQ(m.extents, larger.extents) << "seed " << seed;
        each(pool[i].shape, [&](std::int64_t, const std::vector<std::int64_t>& at) {
          EXPECT_TRUE(!m.at(at.data()) || larger.at(at.data())) << "seed " << seed << ": " << p.print(pool[i].id);
        });
        smaller += !larger.all && !(wide[i] == pool[i].id);
        ASSERT_FALSE(testing::Test::HasFailure());
      }
      for (std::size_t v = 0; v < unknown.size(); ++v) {
        if (!unknown[v]) continue;
        Tensor& t = w.tensors[v];
        for (std::int64_t i = 0; i < t.size(); ++i)
          if (t.dtype() == DType::f32) t.as<float>()[i] = static_cast<float>(w.pick(-1, 1)) * 2e4F;
          else t.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(w.pick(0, 1));
      }
    }
  }
  EXPECT_GT(smaller, 1000);  // what is known stays
}

Dense both(World& w, const Dense& x, const Dense& y, bool conjunction) {
  Dense r{conjunction ? w.program->and_(x.id, y.id) : w.program->or_(x.id, y.id), x.dims, x.shape, x.bits};
  for (std::size_t i = 0; i < r.bits.size(); ++i)
    r.bits[i] = conjunction ? x.bits[i] && y.bits[i] : x.bits[i] || y.bits[i];
  return r;
}

Dense negated(World& w, Dense x) {
  x.id = w.program->not_(x.id);
  x.bits.flip();
  return x;
}

/// Axis i of the result is x's axis order[i], or a new one.
Dense permuted(World& w, const Dense& x, const std::vector<int>& order, const std::vector<Dim>& dims) {
  return mapped(w.program->permute(x.id, order, dims), dims, w.shape(dims), x, [&](const auto& at, auto& from) {
    from.assign(x.shape.size(), 0);
    for (std::size_t i = 0; i < order.size(); ++i)
      if (order[i] >= 0) from[static_cast<std::size_t>(order[i])] = at[i];
    return true;
  });
}

/// [b,s] <-> [b*s]: the same bits.
Dense merged(World& w, Dense x) {
  x = {w.program->merge(x.id, 0, 2, w.bs), {w.bs}, {x.shape[0] * x.shape[1]}, x.bits};
  return x;
}

// Formulas of many more literals than a held one has, deeply nested: windows over what was demanded before, also in
// merged axes.
TEST(MaskProgram, LongFormulasEqualBruteForce) {
  for (unsigned seed = 1; seed <= 120; ++seed) {
    World w(seed);
    std::vector<Dense> rows, windows;
    while (rows.size() < 6 || windows.size() < 3) {
      const Dense d = w.leaf();
      if (d.dims == std::vector<Dim>{w.b, w.s}) rows.push_back(d);
      if (d.dims == std::vector<Dim>{w.s, w.s}) windows.push_back(d);
    }
    rows.push_back(any_dense(w, rows[0], {1})), rows.push_back(any_dense(w, rows[1], {0}));
    const std::vector<Dim> space{w.b, w.s, w.s};
    auto some = [&](const std::vector<Dense>& from) {
      const Dense& d = from[static_cast<std::size_t>(w.pick(0, static_cast<std::int64_t>(from.size()) - 1))];
      return w.pick(0, 2) ? d : negated(w, d);
    };
    std::vector<Dense> levels{rows[2]};
    for (int level = 0; level < 40; ++level) {
      const Dense& d = levels.back();
      const Dense reached = any_dense(
          w, both(w, permuted(w, d, {0, 1, -1}, space), permuted(w, some(windows), {-1, 0, 1}, space), true), {1});
      std::vector<Dim> row{w.b, w.s};
      Dense next = mapped(w.program->permute(reached.id, {0, 2}, row), row, w.shape(row), reached,
                          [&](const auto& at, auto& from) {
                            from = {at[0], 0, at[1]};
                            return w.extent(w.s) > 0;
                          });
      next = both(w, next, some(rows), true);
      switch (w.pick(0, 5)) {
        case 0: next = both(w, both(w, d, some(rows), true), next, false); break;
        case 1: next = negated(w, both(w, d, next, false)); break;
        case 2: {
          const Dense flat = both(w, merged(w, d), merged(w, both(w, next, some(rows), false)), w.pick(0, 1));
          next = {w.program->split(flat.id, 0, row), row, w.shape(row), flat.bits};
          break;
        }
        case 3: next = both(w, both(w, d, next, false), any_dense(w, d, {0}), true); break;
        default: next = both(w, d, next, false);
      }
      levels.push_back(std::move(next));
    }
    std::vector<MaskId> roots;
    for (const Dense& d : levels) roots.push_back(d.id);
    const auto masks = w.program->evaluate(
        roots, w.dims, [&](ValueId v) -> const Tensor& { return w.tensors[static_cast<std::size_t>(v)]; });
    for (std::size_t level = 0; level < levels.size(); ++level) {
      const MaskArray& m = *masks[static_cast<std::size_t>(levels[level].id.id)];
      std::int64_t wrong = 0;
      each(levels[level].shape, [&](std::int64_t i, const std::vector<std::int64_t>& at) {
        wrong += m.at(at.data()) != levels[level].bits[static_cast<std::size_t>(i)];
      });
      ASSERT_EQ(wrong, 0) << "seed " << seed << ", level " << level << ": " << w.program->print(levels[level].id);
    }
    EXPECT_LT(w.program->size(), 40 * 200) << "seed " << seed;
  }
}

TEST(MaskProgram, LayersReachAFixpoint) {
  World w(3);
  MaskProgram& p = *w.program;
  const MaskId key = p.leaf(w.leaf_values[0], Predicate::nonzero), real = p.leaf(w.leaf_values[1], Predicate::nonzero);
  ASSERT_EQ(p.forms(key).size(), 2U);
  MaskId demand = p.forms(real).size() == 2 ? real : p.not_(key), before;
  for (int layer = 0; layer < 4; ++layer) {
    before = demand;
    demand = p.or_(demand, p.and_(p.any(demand, {1}), key));
  }
  EXPECT_EQ(demand, before);
}

TEST(MaskProgram, EqualFormulasOverOtherAxesAreOne) {
  World w(5);
  MaskProgram& p = *w.program;
  const MaskId m = p.leaf(w.leaf_values[0], Predicate::nonzero);  // [b,s]
  const std::vector<Dim> wide{w.b, w.three, w.s}, narrow{w.s, w.b};
  const MaskId there = p.any(p.permute(m, {0, -1, 1}, wide), {0}), back = p.any(p.permute(m, {1, 0}, narrow), {1});
  EXPECT_EQ(p.permute(there, {2, 0}, narrow), p.permute(back, {0, 1}, narrow));
  // A merge and a split that undo each other leave no trace, also around "and".
  const MaskId merged =
      p.and_(p.merge(p.permute(m, {0, 1}, {w.b, w.s}), 0, 2, w.bs), p.not_(p.merge(p.not_(m), 0, 2, w.bs)));
  EXPECT_EQ(p.split(merged, 0, {w.b, w.s}), m);
}

TEST(MaskProgram, SegmentsMeltTogether) {
  World w(7);
  MaskProgram& p = *w.program;
  const MaskId m = p.permute(p.leaf(w.leaf_values[0], Predicate::nonzero), {0, 1, -1}, {w.b, w.s, w.three});
  const MaskId q = p.place(m, 2, Position::at(0), 1, w.twelve), k = p.place(m, 2, Position::at(3), 1, w.twelve);
  EXPECT_EQ(p.forms(q)[2].form, Form::segments);
  const MaskId both = p.or_(q, k);
  EXPECT_EQ(p.forms(both)[2].boundaries, std::vector<Position>{Position::at(6)});
  const Dim six = w.g.dims.constant(6);
  MaskId rest = p.permute(m, {0, 1, 2}, {w.b, w.s, six});
  rest = p.place(rest, 2, Position::at(6), 1, w.twelve);
  EXPECT_EQ(p.or_(both, rest), p.permute(m, {0, 1, -1}, {w.b, w.s, w.twelve}));
  EXPECT_EQ(p.window(both, 2, Position::at(1), 1, w.three), m);
}

TEST(MaskProgram, EqualArraysAreOneObject) {
  World w(11);
  MaskProgram& p = *w.program;
  const MaskId a = p.leaf(w.leaf_values[0], Predicate::nonzero), b = p.not_(p.not_(a)),
               c = p.and_(a, p.or_(a, p.not_(a)));
  EXPECT_EQ(a, b);
  EXPECT_EQ(a, c);
  const MaskId spread = p.permute(a, {1, 0}, {w.s, w.b}),
               again = p.permute(p.any(p.permute(a, {0, 1, -1}, {w.b, w.s, w.three}), {2}), {1, 0}, {w.s, w.b});
  const auto masks = p.evaluate({spread, again}, w.dims,
                                [&](ValueId v) -> const Tensor& { return w.tensors[static_cast<std::size_t>(v)]; });
  EXPECT_EQ(masks[static_cast<std::size_t>(spread.id)], masks[static_cast<std::size_t>(again.id)]);
}

// A dimension that may turn out to be 1 collects what any position of the axis wants.
TEST(MaskProgram, FitToAnExtentThatMayBeOne) {
  for (const std::int64_t extent : {1, 3}) {
    graph::Graph g;
    const Dim n = g.dims.symbol("n"), maybe = g.dims.symbol("maybe"), two = g.dims.constant(2);
    graph::Value v;
    v.name = "v";
    v.dtype = DType::b8;
    v.dims = {two, n};
    g.add_value(v);
    MaskProgram p(&g);
    const MaskId m = p.fit(p.leaf(0, Predicate::nonzero), 1, maybe);
    Tensor t(DType::b8, {2, 3});
    const std::uint8_t x[] = {0, 1, 0, 0, 0, 0};
    std::copy(x, x + 6, t.as<std::uint8_t>());
    const auto masks = p.evaluate({m}, g.dims.evaluate({3, extent}), [&](ValueId) -> const Tensor& { return t; });
    const MaskArray& r = *masks[static_cast<std::size_t>(m.id)];
    EXPECT_EQ(r.extents, (std::vector<std::int64_t>{2, extent}));
    for (std::int64_t i = 0; i < 2; ++i) {
      for (std::int64_t j = 0; j < extent; ++j) {
        const std::int64_t at[] = {i, j};
        EXPECT_EQ(r.at(at), i == 0 && (extent == 1 || j == 1));
      }
    }
  }
}

// Contractions of a size at which bits are used: any over r, or over r and k, of X[s,r,k,l], Y[s,b,r] and, in half of
// the trials, Z[b,k], in every order of axes.
TEST(MaskProgram, LargeContractionsEqualBruteForce) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 16; ++trial) {
    const std::vector<std::int64_t> size{trial % 3 ? 1 : 3, trial % 5 ? 5 : 2, 60 + trial, 9, 67};  // s b r k l
    graph::Graph g;
    std::vector<Dim> dim;
    for (auto n : size) dim.push_back(g.dims.constant(n));
    std::vector<std::vector<int>> axes_of{{0, 2, 3, 4}, {0, 1, 2}};
    if (trial % 2) axes_of.push_back({1, 3});
    const bool over_k = trial % 4 > 1;
    std::vector<std::vector<int>> stored;
    std::vector<Tensor> tensors;
    for (auto axes : axes_of) {
      std::shuffle(axes.begin(), axes.end(), random);
      graph::Value v;
      v.name = "v" + std::to_string(stored.size());
      v.dtype = DType::b8;
      Shape shape;
      for (int a : axes)
        v.dims.push_back(dim[static_cast<std::size_t>(a)]), shape.push_back(size[static_cast<std::size_t>(a)]);
      g.add_value(v);
      Tensor t(DType::b8, shape);
      const int rare = trial % 4 == 0 ? 2 : 40;  // dense rows fill up at once, rare ones leave holes
      for (std::int64_t i = 0; i < t.size(); ++i) t.as<std::uint8_t>()[i] = random() % static_cast<unsigned>(rare) == 0;
      tensors.push_back(t);
      stored.push_back(axes);
    }
    MaskProgram p(&g);
    std::vector<int> space{0, 1, 2, 3, 4};
    std::shuffle(space.begin(), space.end(), random);
    std::vector<Dim> e;
    for (int a : space) e.push_back(dim[static_cast<std::size_t>(a)]);
    auto there = [&](std::size_t v) {
      const MaskId leaf = p.leaf(static_cast<ValueId>(v), Predicate::nonzero);
      std::vector<int> order;
      for (int a : space) {
        const auto it = std::find(stored[v].begin(), stored[v].end(), a);
        const int from = it == stored[v].end() ? -1 : static_cast<int>(it - stored[v].begin());
        order.push_back(from >= 0 && p.is_uniform(leaf, from) ? -1 : from);
      }
      return p.permute(leaf, order, e);
    };
    auto place = [&](int a) { return static_cast<int>(std::find(space.begin(), space.end(), a) - space.begin()); };
    MaskId all = p.and_(there(0), there(1));
    if (stored.size() > 2) all = p.and_(all, there(2));
    const MaskId m = p.any(all, over_k ? std::vector<int>{place(2), place(3)} : std::vector<int>{place(2)});
    const auto masks = p.evaluate({m}, g.dims.evaluate({}),
                                  [&](ValueId v) -> const Tensor& { return tensors[static_cast<std::size_t>(v)]; });
    auto bit = [&](std::size_t v, const std::vector<std::int64_t>& at) {
      std::vector<std::int64_t> own;
      for (int a : stored[v]) own.push_back(at[static_cast<std::size_t>(a)]);
      return tensors[v].as<std::uint8_t>()[offset(tensors[v].shape(), own)] != 0;
    };
    std::int64_t wrong = 0;
    each({size[0], size[1], size[3], size[4]}, [&](std::int64_t, const std::vector<std::int64_t>& free) {
      std::vector<std::int64_t> at{free[0], free[1], 0, free[2], free[3]}, in_space;
      bool expected = false;
      for (at[3] = over_k ? 0 : free[2]; at[3] < (over_k ? size[3] : free[2] + 1) && !expected; ++at[3]) {
        for (at[2] = 0; at[2] < size[2] && !expected; ++at[2])
          expected = bit(0, at) && bit(1, at) && (stored.size() < 3 || bit(2, at));
      }
      at[2] = 0, at[3] = free[2];
      for (int a : space) in_space.push_back(at[static_cast<std::size_t>(a)]);
      wrong += masks[static_cast<std::size_t>(m.id)]->at(in_space.data()) != expected;
    });
    ASSERT_EQ(wrong, 0) << "trial " << trial;
  }
}

// Masks that are stored in the same bytes, cut at other places of the axis, are not the same operand.
TEST(MaskProgram, SegmentsOfTheSameBytesButOtherBoundariesAreTwo) {
  graph::Graph g;
  const Dim n = g.dims.symbol("n"), two = g.dims.constant(2);
  const Dim start[] = {g.dims.symbol("s0"), g.dims.symbol("s1"), g.dims.symbol("s2"), g.dims.symbol("s3")};
  graph::Value v;
  v.name = "v";
  v.dtype = DType::b8;
  v.dims = {n};
  g.add_value(v);
  MaskProgram p(&g);
  // Two positions from each of two places on, and whether `v` has any of them.
  const MaskId x = p.leaf(0, Predicate::nonzero);
  auto met = [&](Dim a, Dim b) {
    const MaskId pair = p.everything({two});
    const MaskId both = p.or_(p.place(pair, 0, Position::of(a), 1, n), p.place(pair, 0, Position::of(b), 1, n));
    return p.any(p.and_(both, x), {0});
  };
  const MaskId first = met(start[0], start[1]), second = met(start[2], start[3]);
  Tensor t(DType::b8, {12});
  std::fill_n(t.as<std::uint8_t>(), 12, 0);
  t.as<std::uint8_t>()[3] = t.as<std::uint8_t>()[9] = 1;
  const auto masks =
      p.evaluate({first, second}, g.dims.evaluate({12, 1, 5, 2, 7}), [&](ValueId) -> const Tensor& { return t; });
  EXPECT_TRUE(masks[static_cast<std::size_t>(first.id)]->none);
  EXPECT_TRUE(masks[static_cast<std::size_t>(second.id)]->all);
}

TEST(MaskProgram, EvaluatesOnlyWhatIsWanted) {
  World w(13);
  MaskProgram& p = *w.program;
  const MaskId a = p.leaf(w.leaf_values[0], Predicate::nonzero), b = p.leaf(w.leaf_values[3], Predicate::nonzero);
  const auto masks =
      p.evaluate({a}, w.dims, [&](ValueId v) -> const Tensor& { return w.tensors[static_cast<std::size_t>(v)]; });
  EXPECT_TRUE(masks[static_cast<std::size_t>(a.id)]);
  EXPECT_FALSE(masks[static_cast<std::size_t>(b.id)]);
  EXPECT_EQ(p.leaves({a}), std::vector<ValueId>{w.leaf_values[0]});
}

TEST(Predicates, OfEveryType) {
  Tensor f(DType::f32, {6});
  const float x[] = {0, -0.0F, 1, -1e4F, -3.4e38F, NAN};
  std::copy(x, x + 6, f.as<float>());
  auto bits = [&](Predicate p) {
    const MaskView v = predicate_view(f, p);
    std::string s;
    for (int i = 0; i < 6; ++i)
      s += v.constant                                                     ? (v.value ? '1' : '0')
           : (*v.data)[static_cast<std::size_t>(v.shape[0] == 1 ? 0 : i)] ? '1'
                                                                          : '0';
    return s;
  };
  EXPECT_EQ(bits(Predicate::nonzero), "001111");
  EXPECT_EQ(bits(Predicate::not_masked), "111001");
  EXPECT_EQ(bits(Predicate::moderate), "111000");
  EXPECT_EQ(bits(Predicate::absorbing), "000010");
  EXPECT_EQ(bits(Predicate::minus_infinity), "000000");
  EXPECT_EQ(bits(Predicate::positive), "001000");
  EXPECT_EQ(bits(Predicate::nan), "000001");
  EXPECT_EQ(bits(Predicate::small_subtrahend), "111111");
  Tensor h(DType::f16, {6});
  const std::uint16_t y[] = {0, 0x8000, 0x3c00, 0xf0e2, 0xfc00, 0x7e00};  // 0 -0 1 -1e4 -inf NaN
  std::copy(y, y + 6, h.as<std::uint16_t>());
  f = h;
  EXPECT_EQ(bits(Predicate::nonzero), "001111");
  EXPECT_EQ(bits(Predicate::not_masked), "111001");
  EXPECT_EQ(bits(Predicate::moderate), "111000");
  EXPECT_EQ(bits(Predicate::absorbing), "000010");
  EXPECT_EQ(bits(Predicate::minus_infinity), "000010");
  EXPECT_EQ(bits(Predicate::positive), "001000");
  EXPECT_EQ(bits(Predicate::nan), "000001");
}

}  // namespace
}  // namespace pit::sparsity
