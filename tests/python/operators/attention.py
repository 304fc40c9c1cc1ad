"""Attention in every written form, over padded tokens."""

import numpy as np

from .masks import FILLS, Masks


class Attention(Masks):
    def attend(self, x, memory=None):
        """[b, s, d] from [b, s, d] and perhaps [b, t, d'] of a memory."""
        y = memory or x
        if self.chance(0.12):
            return self.by_operator(x, y)
        form = self.pick(["heads", "heads", "heads", "plain", "plain", "keys first", "additive", "distance", "elementwise", "grouped"])
        return {"heads": self.by_heads, "grouped": self.by_groups, "plain": self.by_products, "keys first": self.by_products}.get(
            form, self.by_pairs)(x, y, form)  # fmt: skip

    # -- operands

    def project(self, x, n, mask_axes=True):
        p = self.linear(x, n)
        if mask_axes and self.chance(0.25):  # rows of padding are zero
            p = self.zeroed(p, self.mask_on(p, [0, 1]))
        return p

    def projections(self, x, y, n):
        if x == y and self.chance(0.25):
            fused = self.linear(x, 3 * n)
            if self.chance(0.6):
                return self.op("Split", fused, self.ints(n, n, n), outputs=3, axis=2)
            return [self.op("Slice", fused, self.ints(k * n), self.ints((k + 1) * n), self.ints(2)) for k in range(3)]
        if self.chance(0.1):
            x = self.zeroed(x, self.mask_on(x, [0, 1]))
        q, k, v = self.project(x, n), self.project(y, n), self.project(y, n)
        if self.chance(0.15):
            k, v = self.with_zero_key(k), self.with_zero_key(v)
        return q, k, v

    def with_zero_key(self, x):
        """One more key, of zeros or learned, behind or in front."""
        n = int(self.extents(x)[-1][0])
        row = self.constant(np.zeros((1, 1, n)), self.dtype) if self.chance(0.7) else self.weight(1, 1, n)
        shape = self.op("Concat", self.shape_of(x, 0), self.ints(1, n), axis=0)
        rows = self.op("Expand", row, shape)
        if self.dtype == "float32" and self.chance(0.3):
            rows = self.op("ConstantOfShape", shape)
        return self.op("Concat", *([x, rows] if self.chance(0.6) else [rows, x]), axis=1)

    def scale(self, x, d):
        if self.chance(0.5):
            return self.op("Mul", x, self.number(d**-0.5))
        return self.op("Div", x, self.number(d**0.5))

    # -- masks on scores [..., q, k]

    def masked_scores(self, s, batch, q, k):
        """Masked once, twice or not at all: by keys, queries, pairs; `batch`, `q` and `k` are the axes of s."""
        kinds = self.pick([["keys"], ["keys"], ["keys"], ["pairs"], ["keys", "pairs"], ["both"], ["queries", "keys"], ["keys", "keys"], ["queries"], []])
        low = self.fill_value()
        for kind in kinds:
            low = low if self.chance(0.7) else self.fill_value()
            s = self.masked_fill(s, self.score_mask(s, kind, batch, q, k), low)
            s = self.attempt(self.adjusted, s) if self.chance(0.1) else s
            self.require(s)
        return s

    def adjusted(self, s):
        """A filled tensor scaled, moved, or kept from below."""
        form = self.pick(["scale", "scale", "move", "keep"])
        if form == "scale":
            return self.op("Mul", s, self.number(self.pick([0.125, 0.5, 2.0]))) if self.chance(0.5) else self.op("Div", s, self.number(2.0))
        if form == "move":
            return self.op("Add", s, self.number(float(self.rng.uniform(-2, 2))))
        return self.op("Max", s, self.number(FILLS[self.dtype][-2]))

    def score_mask(self, s, kind, batch, q, k):
        extents = self.extents(s)
        if kind == "keys":
            return self.spread(self.mask((extents[batch], extents[k])), s, [batch, k]) if batch < k else self.mask_on(s, [k])
        if kind == "queries":
            return self.mask_on(s, [batch, q])
        pairs = self.produce((extents[q], extents[k])) if self.chance(0.3) else self.by_positions((extents[q], extents[k]))
        if q > k:
            pairs = self.swap(pairs)
        pairs = self.spread(pairs, s, sorted([q, k]))
        if kind == "pairs":
            return pairs
        keys = self.spread(self.mask((extents[batch], extents[k])), s, [batch, k])
        return self.op("And", pairs, keys) if self.chance(0.6) else self.op("And", keys, pairs)

    def bias(self, s, q, k):
        """A finite bias by position: [q, k] from a table or by distance."""
        rows, columns = self.unsqueeze(self.range_like(self.extents(s)[q]), 1), self.unsqueeze(self.range_like(self.extents(s)[k]), 0)
        distance = self.op("Sub", columns, rows)
        if self.chance(0.5):
            at = self.op("Add", self.op("Clip", distance, self.constant(np.int64(-2)), self.constant(np.int64(2))), self.constant(np.int64(2)))
            b = self.op("Gather", self.weight(5), at, axis=0)
        else:
            b = self.op("Mul", self.op("Cast", distance, to=self.onnx_type), self.number(-0.125))
        b = b if q < k else self.swap(b)
        return self.op("Add", s, self.spread(b, s, sorted([q, k])))

    def weights_of(self, s, axis):
        """A softmax along an axis, as an operator or written out, with what is done to it afterwards."""
        form = self.pick(["operator"] * 6 + ["wider", "stable", "bare", "log", "sigmoid"])
        if form == "wider" and self.dtype != "float64":
            wide = self.op("Cast", s, to=11 if self.dtype == "float32" else 1)
            p = self.op("Cast", self.op("Softmax", wide, axis=axis), to=self.onnx_type)
        elif form in ("operator", "wider"):
            p = self.op("Softmax", s, axis=axis)
        elif form == "log":
            p = self.op("Exp", self.op("LogSoftmax", s, axis=axis))
        else:
            if form == "stable":
                self.require(not self.has_nan(s))
                s = self.op("Sub", s, self.op("ReduceMax", s, self.ints(axis), keepdims=1))
            e = self.op("Sigmoid" if form == "sigmoid" else "Exp", s)
            total = self.op("ReduceSum", e, self.ints(axis), keepdims=1)
            p = self.op("Div", e, self.op("Add", total, self.number(1e-3)) if form != "stable" else total)
        if self.has_nan(p) and self.chance(0.6) or self.chance(0.05):
            p = self.op("Where", self.op("IsNaN", p), self.number(0), p)
        return p

    # -- forms

    def by_products(self, x, y, form):
        """Three axes: q k^T, or k q^T with a softmax over the rows."""
        d = self.pick([4, 8])
        q, k, v = self.projections(x, y, d)
        q = self.scale(q, d) if self.chance(0.3) else q
        if form == "keys first":
            s = self.op("MatMul", k, self.swap(q)) if self.chance(0.6) else self.op("Einsum", q, k, equation="bqd,bkd->bkq")
            s = self.scale(s, d)
            if self.chance(0.3):
                p = self.weights_of(self.masked_scores(self.transpose(s, 0, 2, 1), 0, 1, 2), 2)
                return self.op("MatMul", p, v)
            p = self.weights_of(self.masked_scores(s, 0, 2, 1), 1)
            if self.chance(0.4):
                return self.op("Einsum", p, v, equation="bkq,bkd->bqd")
            if self.chance(0.5):
                return self.op("MatMul", self.swap(p), v)
            return self.swap(self.op("MatMul", self.swap(v), p))
        s = self.op("MatMul", q, self.swap(k)) if self.chance(0.7) else self.op("Einsum", q, k, equation="bqd,bkd->bqk")
        s = self.scale(s, d) if self.chance(0.7) else s
        s = self.bias(s, 1, 2) if self.chance(0.15) else s
        p = self.weights_of(self.masked_scores(s, 0, 1, 2), 2)
        p = self.after(p, 0, 1, 2)
        return self.op("MatMul", p, v) if self.chance(0.7) else self.op("Einsum", p, v, equation="bqk,bkd->bqd")

    def after(self, p, batch, q, k):
        """Masks on the weights themselves, with or without making them sum to one again."""
        if self.has_nan(p) or not self.chance(0.15):
            return p
        p = self.zeroed(p, self.score_mask(p, self.pick(["keys", "queries", "pairs"]), batch, q, k))
        if self.chance(0.5):
            p = self.op("Div", p, self.op("Add", self.op("ReduceSum", p, self.ints(k), keepdims=1), self.number(1e-2)))
        return p

    def heads(self, x, heads, d, order):
        """[b, s, heads d] as [b, heads, ...]."""
        split = self.reshape(x, [(0,), (1,), heads, d])
        return self.transpose(split, 0, 2, *order)

    def joined_heads(self, o, heads, d):
        o = self.transpose(o, 0, 2, 1, 3)
        return self.reshape(o, [(0,), (1,), heads * d])

    def by_heads(self, x, y, form):
        heads, d = self.pick([1, 2, 4]), self.pick([4, 4, 8])
        q, k, v = self.projections(x, y, heads * d)
        q, v = self.heads(q, heads, d, (1, 3)), self.heads(v, heads, d, (1, 3))
        q = self.scale(q, d) if self.chance(0.3) else q
        if self.chance(0.6):
            s = self.op("MatMul", q, self.heads(k, heads, d, (3, 1)))
        else:
            s = self.op("MatMul", q, self.swap(self.heads(k, heads, d, (1, 3))))
        s = self.scale(s, d)
        s = self.bias(s, 2, 3) if self.chance(0.15) else s
        if self.chance(0.1):  # another order of the axes, and back
            p = self.weights_of(self.masked_scores(self.swap(s), 0, 3, 2), 2)
            return self.finished(self.op("MatMul", self.swap(p), v), heads, d)
        p = self.weights_of(self.masked_scores(s, 0, 2, 3), 3)
        return self.finished(self.op("MatMul", self.after(p, 0, 2, 3), v), heads, d)

    def finished(self, o, heads, d):
        o = self.joined_heads(o, heads, d)
        return self.linear(o, heads * d) if self.chance(0.5) else o

    def by_groups(self, x, y, form):
        """Fewer heads for keys and values than for queries."""
        groups, each, d = self.pick([1, 2]), 2, 4
        heads = groups * each
        q = self.heads(self.project(x, heads * d), heads, d, (1, 3))
        k, v = (self.heads(self.project(y, groups * d), groups, d, (1, 3)) for _ in range(2))
        if groups > 1 or self.chance(0.5):
            k, v = self.repeated(k, each), self.repeated(v, each)
        s = self.scale(self.op("MatMul", q, self.swap(k)), d)
        p = self.weights_of(self.masked_scores(s, 0, 2, 3), 3)
        return self.finished(self.op("MatMul", p, v), heads, d)

    def repeated(self, x, each):
        """[b, g, t, d] as [b, g each, t, d]."""
        y = self.op("Expand", self.unsqueeze(x, 2), self.ints(1, 1, each, 1, 1))
        return self.reshape(y, [(0,), int(self.extents(x)[1][0]) * each, (3,), (4,)])

    def by_pairs(self, x, y, form):
        """Scores of each pair by something else than a product: additive, by distance, or a product written out."""
        d = 4
        q, k, v = self.projections(x, y, d)
        first = self.chance(0.3)  # keys before queries
        q4, k4 = (self.unsqueeze(q, 1), self.unsqueeze(k, 2)) if first else (self.unsqueeze(q, 2), self.unsqueeze(k, 1))
        if form == "additive":
            t = self.op("Tanh", self.op("Add", q4, k4))
            if self.chance(0.5):
                s = self.op("Squeeze", self.op("MatMul", t, self.weight(d, 1)), self.ints(3))
            else:
                s = self.total(self.op("Mul", t, self.weight(d)))
        elif form == "distance":
            e = self.op("Sub", q4, k4)
            s = self.op("Neg", self.total(self.op("Mul", e, e)))
        else:
            s = self.total(self.op("Mul", q4, k4))
        s = self.op("Mul", s, self.number(0.5))
        if first:
            p = self.weights_of(self.masked_scores(s, 0, 2, 1), 1)
            return self.op("MatMul", self.swap(p), v) if self.chance(0.5) else self.op("Einsum", p, v, equation="bkq,bkd->bqd")
        p = self.weights_of(self.masked_scores(s, 0, 1, 2), 2)
        if self.chance(0.3):
            return self.op("ReduceSum", self.op("Mul", self.unsqueeze(p, 3), self.unsqueeze(v, 1)), self.ints(2), keepdims=0)
        return self.op("MatMul", p, v)

    def total(self, x):
        return self.op("ReduceSum", x, self.ints(3), keepdims=0)

    def by_operator(self, x, y):
        """The Attention operator of opset 23."""
        heads, d = self.pick([1, 2]), 4
        q, k, v = self.project(x, heads * d), self.project(y, heads * d), self.project(y, heads * d)
        four = self.chance(0.5)
        if four:
            q, k, v = (self.heads(z, heads, d, (1, 3)) for z in (q, k, v))
        inputs, attrs = [q, k, v], dict(is_causal=int(self.chance(0.4)))
        if not four:
            attrs.update(q_num_heads=heads, kv_num_heads=heads)
        if self.chance(0.7):
            b, s, t = self.extents(x)[0], self.extents(x)[1], self.extents(y)[1]
            m = self.unsqueeze(self.mask((b, t)), 1, 2) if self.chance(0.6) else self.unsqueeze(self.by_positions((s, t)), 0, 1)
            shape = self.op("Concat", self.shape_of(x, 0), self.ints(1), self.shape_of(x, 1), self.shape_of(y, 1), axis=0)
            m = self.op("Expand", m, shape)
            # ONNX Runtime gives 0 for a query that causality or an additive mask leaves no key, where the operator is defined otherwise.
            near = [np.tri(*v.shape[-2:], dtype=bool) | (not attrs["is_causal"]) for v in self.values[m]]
            self.require(all((v & n).any(-1).all() for v, n in zip(self.values[m], near)))
            low = self.pick([-1e4] if self.dtype == "float16" else [-1e4, -1e9, float(np.finfo(np.float32).min)])
            inputs.append(m if self.chance(0.5) else self.additive_where(m, low))
        o = self.op("Attention", *inputs, **attrs)
        return self.joined_heads(o, heads, d) if four else o
