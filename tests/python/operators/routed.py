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

    def mixture(self, x):
        """Each row goes to the best `top` of some experts, whose answers are added up by the router's weights."""
        self.require(self.rank(x) >= 2 and self.static(self.extents(x)[-1]) and not self.filled(x))
        d = int(self.extents(x)[-1][0])
        self.require(0 < d <= 64)
        tokens = x if self.rank(x) == 2 else self.op("Reshape", x, self.ints(-1, d))
        count, top = int(self.pick([2, 3, 4])), int(self.pick([1, 1, 2]))
        logits = self.linear(tokens, count, False)
        # no token for whom another order of sums could choose others
        for v in self.values[logits]:
            self.require((np.diff(np.sort(v, axis=-1), axis=-1) > 1e-3).all())
        p = self.op("Softmax", logits, axis=-1)
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
