"""What only the data tell: rows that a mask keeps and packs together, experts that a router chooses. All are written as exporters write them."""

import numpy as np

from .moves import Moves


class Routed(Moves):
    def packed(self, x):
        """Positions of an axis that a mask keeps, side by side; then as they are, summed up, or back where they were."""
        a = self.axis(x)
        m = self.mask([self.extents(x)[a]])
        if self.chance(0.3):
            y, i = self.op("Compress", x, m, axis=a), None
        else:
            found = self.op("NonZero", m)
            i = self.op("Squeeze", found, self.ints(0)) if self.chance(0.5) else self.op("Reshape", found, self.ints(-1))
            y = self.op("Gather", x, i, axis=a)
        if not self.filled(y):
            y = self.attempt(self.linear, y, self.extents(x)[-1][0]) if a != self.rank(x) - 1 and self.chance(0.5) else self.unary(y)
            self.require(y)
        form = self.pick(["packed", "sum", "back", "back", "added"])
        if form == "packed" or self.filled(y):
            return y
        if form == "sum" or i is None or self.extents(y)[:a] != self.extents(x)[:a] or self.extents(y)[a + 1:] != self.extents(x)[a + 1:]:
            return self.tamed(self.op("ReduceSum", y, self.ints(a), keepdims=int(self.chance(0.5))))
        if a == 0 and self.chance(0.6):
            at, scatter, more = self.unsqueeze(i, 1), "ScatterND", {}
        else:
            at = self.op("Reshape", i, self.ints(*(-1 if k == a else 1 for k in range(self.rank(x)))))
            at, scatter, more = self.op("Expand", at, self.full_shape(y)), "ScatterElements", dict(axis=a)
        base = self.zeros_like(x) if form == "back" and self.chance(0.7) else x
        return self.op(scatter, base, at, y, **({} if form == "back" else dict(reduction="add")), **more)

    def scored(self, tokens, count):
        """A router's probabilities: no token for whom another order of sums could choose others."""
        logits = self.linear(tokens, count, False)
        for v in self.values[logits]:
            self.require((np.diff(np.sort(v, axis=-1), axis=-1) > 1e-3).all())
        return self.op("Softmax", logits, axis=-1)

    def mixture(self, x):
        """Each row goes to the best `top` of some experts, whose answers are added up by the router's weights."""
        self.require(self.rank(x) >= 2 and self.static(self.extents(x)[-1]) and not self.filled(x))
        d = int(self.extents(x)[-1][0])
        self.require(0 < d <= 64)
        tokens = x if self.rank(x) == 2 else self.op("Reshape", x, self.ints(-1, d))
        count, top = int(self.pick([2, 3, 4])), int(self.pick([1, 1, 2]))
        p = self.scored(tokens, count)
        weights, chosen = self.op("TopK", p, self.ints(top), outputs=2, axis=-1)
        total = self.zeros_like(tokens)
        for e in range(count):
            total = self.expert(tokens, weights, chosen, e, total, d)
        return total if tokens == x else self.op("Reshape", total, self.full_shape(x))

    def expert(self, tokens, weights, chosen, e, total, d):
        where = self.op("NonZero", self.op("Equal", chosen, self.constant(np.int64(e))))
        if self.chance(0.5):
            at = self.transpose(where, 1, 0)
            row = self.op("Gather", at, self.constant(np.int64(0)), axis=1)
            gate = self.unsqueeze(self.op("GatherND", weights, at), 1)
        else:
            row = self.op("Gather", where, self.constant(np.int64(0)), axis=0)
            slot = self.op("Gather", where, self.constant(np.int64(1)), axis=0)
            gate = self.op("GatherND", weights, self.op("Concat", self.unsqueeze(row, 1), self.unsqueeze(slot, 1), axis=1))
            gate = self.unsqueeze(gate, 1)
        hidden = self.linear(self.op("Gather", tokens, row, axis=0), int(self.pick([4, 8, 24])))
        y = self.op("Mul", self.linear(self.op("Relu", hidden) if self.chance(0.7) else self.unary(hidden), d), gate)
        return self.tamed_scatter(total, row, y)

    def tamed_scatter(self, total, row, y):
        if self.chance(0.7):
            return self.op("ScatterND", total, self.unsqueeze(row, 1), y, reduction="add")
        at = self.op("Expand", self.unsqueeze(row, 1), self.full_shape(y))
        return self.op("ScatterElements", total, at, y, axis=0, reduction="add")

    # -- the dense forms: every expert for every row

    def gated(self, x):
        """Each expert of each row, weighed by gates of which most are zero."""
        self.require(self.rank(x) >= 2 and self.static(self.extents(x)[-1]) and not self.filled(x) and self.dtype != "float16")
        d = int(self.extents(x)[-1][0])
        self.require(0 < d <= 64)
        count = int(self.pick([2, 3, 4]))
        gates = self.gates(self.scored(x, count), count)
        how = self.pick(["added", "added", "summed", "stacked"])
        if how == "stacked" and self.rank(x) == 2:
            return self.stacked_experts(x, gates, count, d)
        outputs = [self.op("Mul", self.one_expert(x, d), self.gate_of(gates, e)) for e in range(count)]
        if how == "summed":
            return self.op("Sum", *outputs)
        total = self.one_expert(x, d) if self.chance(0.3) else outputs.pop(0)  # an expert that all share
        for y in outputs:
            total = self.op("Add", total, y) if self.chance(0.7) else self.op("Add", y, total)
        return total

    def one_expert(self, x, d):
        hidden = self.linear(x, int(self.pick([4, 8, 24])))
        hidden = self.op("Relu", hidden) if self.chance(0.6) else self.unary(hidden)
        return self.linear(hidden, d)

    def gate_of(self, gates, e):
        last = self.rank(gates) - 1
        if self.chance(0.5):
            return self.op("Gather", gates, self.ints(e), axis=last)
        return self.op("Slice", gates, self.ints(e), self.ints(e + 1), self.ints(last))

    def stacked_experts(self, x, gates, count, d):
        """[t,d] as [1,t,d] against [experts,d,n], then added up by the gates as [experts,t,1], or as a product of a row and a matrix."""
        y = self.op("Relu", self.op("MatMul", self.unsqueeze(x, 0), self.weight(count, d, 8, scale=d**-0.5)))
        if self.chance(0.3):  # gates on what goes in
            y = self.op("MatMul", self.op("Mul", y, self.unsqueeze(self.transpose(gates, 1, 0), 2)), self.weight(count, 8, d, scale=0.3))
            return self.op("ReduceSum", y, self.ints(0), keepdims=0)
        y = self.op("MatMul", y, self.weight(count, 8, d, scale=0.3))
        if self.chance(0.5):
            return self.op("ReduceSum", self.op("Mul", y, self.unsqueeze(self.transpose(gates, 1, 0), 2)), self.ints(0), keepdims=0)
        return self.op("Squeeze", self.op("MatMul", self.unsqueeze(gates, 1), self.transpose(y, 1, 0, 2)), self.ints(1))

    def gates(self, p, count):
        """Of probabilities of all experts, those of a few; zeros for the others."""
        rank = self.rank(p)
        form = self.pick(["hot", "equal", "scattered", "masked", "sigmoid", "kth", "floor"])
        if form == "floor":
            for v in self.values[p]:
                self.require((np.abs(v - 1 / count) > 1e-3).all())
            return self.chosen_by(self.op("Greater", p, self.number(1 / count)), p)
        best, chosen = self.op("TopK", p, self.ints(int(self.pick([1, 1, 2]))), outputs=2, axis=-1)
        if form == "kth":
            return self.chosen_by(self.op("GreaterOrEqual", p, self.op("ReduceMin", best, self.ints(-1))), p)
        if form == "scattered":
            return self.op("ScatterElements", self.zeros_like(p), chosen, best, axis=rank - 1)
        if form in ("masked", "sigmoid"):
            low = self.op("Expand", self.number(float("-inf")), self.full_shape(p))
            masked = self.op("ScatterElements", low, chosen, best, axis=rank - 1)
            return self.op("Softmax", masked, axis=-1) if form == "masked" else self.op("Sigmoid", masked)
        if form == "hot":
            hot = self.op("OneHot", chosen, self.constant(np.int64(count)), self.constant([0, 1], self.dtype), axis=-1)
        else:
            each = self.op("Equal", self.unsqueeze(chosen, rank), self.constant(np.arange(count, dtype=np.int64)))
            hot = self.op("Cast", each, to=self.onnx_type)
        return self.op("ReduceSum", self.op("Mul", hot, self.unsqueeze(best, rank)), self.ints(rank - 1), keepdims=0)

    def chosen_by(self, condition, p):
        if self.chance(0.5):
            return self.op("Where", condition, p, self.number(0))
        return self.op("Mul", p, self.op("Cast", condition, to=self.onnx_type))

    def dropped(self, x):
        """Tokens that the model itself finds not worth going on with are zeros from here on, or no keys."""
        self.require(self.rank(x) >= 2 and self.static(self.extents(x)[-1]) and self.extents(x)[-1][0] > 1 and not self.filled(x) and self.dtype != "float16")
        score = self.op("Sigmoid", self.linear(x, 1))
        for v in self.values[score]:
            self.require((np.abs(v - 0.5) > 1e-3).all())
        keep = self.op("Greater", score, self.number(0.5))
        if self.chance(0.5):
            return self.op("Where", keep, x, self.number(0))
        return self.op("Mul", x, self.op("Cast", keep, to=self.onnx_type))
