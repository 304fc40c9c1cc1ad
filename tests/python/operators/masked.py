"""Random masked graphs: padding, causal and window masks as exporters write them, mixed with whatever else works on tokens."""

import numpy as np

from .generate import Generator
from .net import Node

LOWEST = np.float32(np.finfo(np.float32).min)


class MaskedGenerator(Generator):
    def __init__(self, seed):
        super().__init__(seed)
        self.empty = self.chance(0.5)
        for b in self.net.bindings:
            b["s"] = int(self.pick([1, 2, 5, 8, 13, 16, 17, 24, 33, 40, 60, 110]))
        self.mask = self.input(("b", "s"), "int64", self.rows)
        self.lenient = False
        self.hidden = self.pick([8, 16, 24, 32, 40])
        if self.chance(0.5):
            ids = self.input(("b", "s"), "int64")
            x = self.add("Gather", [self.weight(6, self.hidden), ids], ("b", "s", self.hidden), axis=0)
        else:
            x = self.input(("b", "s", self.hidden))
        self.tokens = [x]
        self.floats = []

    def rows(self, shape, binding):
        out = np.zeros(shape, np.int64)
        n = shape[1]
        for row in out:
            kind = self.pick(["right", "right", "left", "holes", "full", "one", "empty" if self.empty else "right"])
            k = int(self.rng.integers(1, n + 1))
            if kind == "right":
                row[:k] = 1
            elif kind == "left":
                row[n - k:] = 1
            elif kind == "holes":
                row[:] = self.rng.random(n) < 0.5
                row[k - 1] = 1
            elif kind == "full":
                row[:] = 1
            elif kind == "one":
                row[k - 1] = 1
        return out

    # -- forms of the mask

    def boolean(self):
        if self.chance(0.5):
            return self.add("Cast", [self.mask], ("b", "s"), "bool", to=9)
        return self.add("Greater", [self.mask, self.constant(np.int64(0))], ("b", "s"), "bool")

    def as_float(self, axis=None):
        m = self.add("Cast", [self.mask], ("b", "s"), to=1)
        return self.add("Unsqueeze", [m, self.ints(2)], ("b", "s", 1)) if axis else m

    def pairs(self):
        """bool [1,1,s,s]: keys at or before the query, or near it."""
        n = self.add("Gather", [self.add("Shape", [self.mask], [2], "int64"), self.constant(np.int64(1))], [], "int64", axis=0)
        r = self.add("Range", [self.constant(np.int64(0)), n, self.constant(np.int64(1))], ("s",), "int64")
        q, k = self.add("Unsqueeze", [r, self.ints(1)], ("s", 1), "int64"), self.add("Unsqueeze", [r, self.ints(0)], (1, "s"), "int64")
        near = self.add("LessOrEqual", [k, q], ("s", "s"), "bool")
        if self.chance(0.4):
            d = self.add("Abs", [self.add("Sub", [q, k], ("s", "s"), "int64")], ("s", "s"), "int64")
            window = self.add("LessOrEqual", [d, self.constant(np.int64(self.pick([1, 3])))], ("s", "s"), "bool")
            near = window if self.chance(0.5) else self.add("And", [near, window], ("s", "s"), "bool")
        return self.add("Unsqueeze", [near, self.ints(0, 1)], (1, 1, "s", "s"), "bool")

    def additive(self):
        """[b,1,1,s] or [b,1,s,s]: 0 where attended, far below 0 where not."""
        low = self.pick([-np.inf, LOWEST, LOWEST, np.float32(-1e4), np.float32(-1e9)])
        dims = ("b", 1, 1, "s")
        form = self.pick(["where", "arithmetic", "bool and"])
        if form == "arithmetic" and np.isfinite(low):
            m = self.add("Unsqueeze", [self.as_float(), self.ints(1, 2)], dims)
            m = self.add("Mul", [self.add("Sub", [self.constant(np.float32(1)), m], dims), self.constant(np.float32(low))], dims)
            if self.chance(0.3):  # another mask on top
                p = self.add("Where", [self.pairs(), self.constant(np.float32(0)), self.constant(np.float32(low))], (1, 1, "s", "s"))
                both = self.add("Add", [m, p], ("b", 1, "s", "s"))
                return self.add("Max", [both, self.constant(np.float32(low))], ("b", 1, "s", "s")), ("b", 1, "s", "s"), low
            return m, dims, low
        m = self.add("Unsqueeze", [self.boolean(), self.ints(1, 2)], dims, "bool")
        if form == "bool and" and self.chance(0.7):
            dims = ("b", 1, "s", "s")
            m = self.add("And", [self.pairs(), m], dims, "bool")
        if self.chance(0.4):
            m = self.add("Not", [m], dims, "bool")
            return self.add("Where", [m, self.constant(np.float32(low)), self.constant(np.float32(0))], dims), dims, low
        return self.add("Where", [m, self.constant(np.float32(0)), self.constant(np.float32(low))], dims), dims, low

    # -- moves on tokens [b,s,h]

    def attention(self, x):
        h = self.dims(x)[-1]
        heads = self.pick([k for k in (1, 2, 4) if h % k == 0])
        d = h // heads

        def head(y, keys):
            shape = self.add("Reshape", [y, self.ints(0, 0, heads, d)], ("b", "s", heads, d))
            if keys:
                return self.add("Transpose", [shape], ("b", heads, d, "s"), perm=[0, 2, 3, 1])
            return self.add("Transpose", [shape], ("b", heads, "s", d), perm=[0, 2, 1, 3])

        def project():
            y = self.add("MatMul", [x, self.weight(h, h, scale=h**-0.5)], ("b", "s", h))
            return self.add("Add", [y, self.weight(h)], ("b", "s", h))

        if self.chance(0.3):  # one projection for all three
            qkv = self.add("MatMul", [x, self.weight(h, 3 * h, scale=h**-0.5)], ("b", "s", 3 * h))
            qkv = self.add("Add", [qkv, self.weight(3 * h)], ("b", "s", 3 * h))
            parts = [self.name() for _ in range(3)]
            self.net.nodes.append(Node("Split", [qkv, self.ints(h, h, h)], parts, dict(axis=2)))
            for p in parts:
                self.net.types[p] = ("float32", ("b", "s", h))
            q, k, v = parts
        else:
            q, k, v = project(), project(), project()
        q, k, v = head(q, False), head(k, True), head(v, False)
        dims = ("b", heads, "s", "s")
        s = self.add("MatMul", [q, k], dims)
        s = self.add(*self.pick([("Mul", [s, self.constant(np.float32(d**-0.5))]), ("Div", [s, self.constant(np.float32(d**0.5))])]), dims)
        if self.chance(0.2):  # a finite bias is no mask
            s = self.add("Add", [s, self.weight(heads, 1, 1)], dims)
        m, mask_dims, low = self.additive()
        if self.chance(0.2) and np.isfinite(low):
            c = self.add("Equal", [m, self.constant(np.float32(0))], mask_dims, "bool")
            s = self.add("Where", [c, s, self.constant(np.float32(low))], dims)
        else:
            s = self.add("Add", [s, m] if self.chance(0.8) else [m, s], dims)
        p = self.add("Softmax", [s], dims, axis=-1)
        if not np.isfinite(low):
            if self.chance(0.5):
                p = self.add("Where", [self.add("IsNaN", [p], dims, "bool"), self.constant(np.float32(0)), p], dims)
            else:
                self.lenient = True
        o = self.add("MatMul", [p, v], ("b", heads, "s", d))
        o = self.add("Transpose", [o], ("b", "s", heads, d), perm=[0, 2, 1, 3])
        o = self.add("Reshape", [o, self.ints(0, 0, h)], ("b", "s", h))
        if self.chance(0.7):
            o = self.add("Add", [self.add("MatMul", [o, self.weight(h, h, scale=h**-0.5)], ("b", "s", h)), self.weight(h)], ("b", "s", h))
        return o

    def residual(self, x):
        same = [y for y in self.tokens if self.dims(y) == self.dims(x) and y != x]
        return self.add(self.pick(["Add", "Add", "Mul", "Sub", "Max"]), [x, self.pick(same)], self.dims(x)) if same else None

    def feed_forward(self, x):
        h, n = self.dims(x)[-1], self.pick([8, 16, 48, 64])
        y = self.add("Add", [self.add("MatMul", [x, self.weight(h, n, scale=h**-0.5)], ("b", "s", n)), self.weight(n)], ("b", "s", n))
        y = self.unary(y)
        y = self.add("MatMul", [y, self.weight(n, h, scale=n**-0.5)], ("b", "s", h))
        return self.add("Add", [y, self.weight(h)], ("b", "s", h)) if self.chance(0.8) else y

    def masked(self, x):
        if self.chance(0.5):
            return self.add("Mul", [x, self.as_float(True)], self.dims(x))
        c = self.add("Unsqueeze", [self.boolean(), self.ints(2)], ("b", "s", 1), "bool")
        return self.add("Where", [c, x, self.constant(np.float32(0))], self.dims(x))

    def anyhow(self, x):
        """Zeros anywhere: at single elements, or along an axis that is not the last one of what is masked."""
        h = self.dims(x)[-1]
        kind = self.pick(["elements", "columns", "turned", "turned back", "weights", "parts"])
        if kind in ("elements", "columns"):
            m = self.input(("b", "s", h) if kind == "elements" else (h,), "bool")
            m = self.add("Cast", [m], self.dims(m), to=1)
            return self.add("Mul", [x, m] if self.chance(0.5) else [m, x], ("b", "s", h))
        if kind == "parts":
            y = self.add("Concat", [self.unary(x), self.unary(x)], ("b", "s", 2 * h), axis=2)
            parts = [self.as_float(True), self.add("Sub", [self.constant(np.float32(1)), self.as_float(True)], ("b", "s", 1))]
            parts = [self.add("Mul", [p, self.weight(h)], ("b", "s", h)) for p in parts]
            y = self.add("Mul", [y, self.add("Concat", parts, ("b", "s", 2 * h), axis=2)], ("b", "s", 2 * h))
            return self.linear(y)
        m = self.add("Unsqueeze", [self.as_float(), self.ints(1)], ("b", 1, "s"))
        if kind == "weights":
            w = self.add(self.pick(["ReduceMax", "ReduceMean"]), [x, self.ints(2)], ("b", "s"), keepdims=0)
            w = self.add("Mul", [self.add("Unsqueeze", [w, self.ints(1)], ("b", 1, "s")), m], ("b", 1, "s"))
            return self.add("Mul", [x, self.add("Tanh", [self.add("MatMul", [w, x], ("b", 1, h))], ("b", 1, h))], ("b", "s", h))
        y = self.add("Transpose", [x], ("b", h, "s"), perm=[0, 2, 1])
        y = self.add("Mul", [y, m], ("b", h, "s"))
        if self.chance(0.5):
            y = self.add("Add", [y, self.constant(np.float32(0.1))], ("b", h, "s")) if self.chance(0.5) else self.add("Tanh", [y], ("b", h, "s"))
        if kind == "turned back":
            return self.add("Transpose", [y], ("b", "s", h), perm=[0, 2, 1])
        w = self.add("Softmax", [y], ("b", h, "s"), axis=-1) if self.chance(0.5) else y
        w = self.add("ReduceSum", [w, self.ints(2)], ("b", h, 1), keepdims=1)
        w = self.add("Tanh", [self.add("Transpose", [w], ("b", 1, h), perm=[0, 2, 1])], ("b", 1, h))
        return self.add("Mul", [x, w], ("b", "s", h))

    def merged(self, x):
        """Rows as one axis, as exporters flatten them, a step there, and back."""
        h = self.dims(x)[-1]
        y = self.add("Reshape", [x, self.ints(-1, h)], ("(b)*(s)", h))
        y = self.linear(y) if self.chance(0.6) else self.unary(y)
        shape = self.add("Concat", [self.add("Shape", [self.mask], [2], "int64"), self.ints(-1)], [3], "int64", axis=0)
        return self.add("Reshape", [y, shape], ("b", "s", self.dims(y)[-1]))

    def neighbours(self, x):
        """Reads the token before or behind."""
        h = self.dims(x)[-1]
        if self.chance(0.5):
            y = self.add("Slice", [x, self.ints(0), self.ints(-1), self.ints(1)], ("b", "s-1", h))
            y = self.add("Pad", [y, self.ints(0, 1, 0, 0, 0, 0)], ("b", "s", h))
        else:
            y = self.add("Slice", [x, self.ints(-1), self.ints(-(2**62)), self.ints(1), self.ints(-1)], ("b", "s", h))
        return self.add("Add", [x, y], ("b", "s", h))

    TOKEN_MOVES = [("attention", 6), ("feed_forward", 3), ("layer_norm", 4), ("residual", 4), ("masked", 3), ("unary", 2), ("linear", 2), ("merged", 1),
                   ("neighbours", 1), ("along", 1), ("anyhow", 2)]  # fmt: skip

    def along(self, x):
        """Something over the tokens that stays a matrix of tokens."""
        dims = self.dims(x)
        kind = self.pick(["cumsum", "softmax", "centre"])
        if kind == "cumsum":
            return self.add("Tanh", [self.add("CumSum", [x, self.constant(np.int64(1))], dims)], dims)
        if kind == "softmax":
            return self.add("Softmax", [x], dims, axis=1)
        mean = self.add("ReduceMean", [x, self.ints(1)], ("b", 1, dims[-1]), keepdims=1)
        return self.add("Sub", [x, self.add("Mul", [mean, self.constant(np.float32(0.5))], ("b", 1, dims[-1]))], dims)

    # -- what is read in the end: [b,h]

    def pool(self, x):
        h = self.dims(x)[-1]
        kind = self.pick(["mean", "mean", "first", "slice", "max", "matmul", "last", "all"])
        if kind == "mean":
            total = self.add("ReduceSum", [self.add("Mul", [x, self.as_float(True)], ("b", "s", h)), self.ints(1)], ("b", h), keepdims=0)
            count = self.add("ReduceSum", [self.as_float(), self.ints(1)], ("b", 1), keepdims=1)
            count = self.add("Clip", [count, self.constant(np.float32(1e-9 if not self.empty else 1.0))], ("b", 1))
            return self.add("Div", [total, count], ("b", h))
        if kind == "first":
            return self.add("Gather", [x, self.constant(np.int64(0))], ("b", h), axis=1)
        if kind == "slice":
            y = self.add("Slice", [x, self.ints(0), self.ints(1), self.ints(1)], ("b", 1, h))
            return self.add("Squeeze", [y, self.ints(1)], ("b", h))
        if kind == "max":
            c = self.add("Unsqueeze", [self.boolean(), self.ints(2)], ("b", "s", 1), "bool")
            y = self.add("Where", [c, x, self.constant(np.float32(-1e9))], ("b", "s", h))
            return self.add("Max", [self.add("ReduceMax", [y, self.ints(1)], ("b", h), keepdims=0), self.constant(np.float32(-50))], ("b", h))
        if kind == "matmul":
            w = self.add("Unsqueeze", [self.as_float(), self.ints(1)], ("b", 1, "s"))
            return self.add("Squeeze", [self.add("MatMul", [w, x], ("b", 1, h)), self.ints(1)], ("b", h))
        if kind == "last":
            n = self.add("Sub", [self.add("ReduceSum", [self.mask, self.ints(1)], ("b", 1), "int64", keepdims=1), self.ints(1)], ("b", 1), "int64")
            n = self.add("Max", [n, self.constant(np.int64(0))], ("b", 1), "int64")
            return self.add("GatherND", [x, n], ("b", h), batch_dims=1)
        return self.add("ReduceMean", [x, self.ints(1)], ("b", h), keepdims=0)

    def build(self):
        for _ in range(int(self.rng.integers(2, 9))):
            x = self.tokens[-1 - int(min(self.rng.geometric(0.7) - 1, len(self.tokens) - 1))]
            total = sum(w for _, w in self.TOKEN_MOVES)
            r = self.rng.integers(total)
            for name, w in self.TOKEN_MOVES:
                r -= w
                if r < 0:
                    break
            y = getattr(self, name)(x)
            if y is not None and len(self.dims(y)) == 3:
                self.tokens.append(y)
        self.floats = [self.pool(self.tokens[-1])]
        if self.chance(0.4):
            self.floats.append(self.pool(self.pick(self.tokens)))
        for _ in range(int(self.rng.integers(0, 4))):
            self.step()
        net = self.finish(int(self.rng.integers(1, 3)))
        if self.chance(0.15) and self.tokens[-1] in self.made():
            net.outputs = list(dict.fromkeys(net.outputs + [self.tokens[-1]]))
        return net.pruned()


def masked_net(seed):
    """The graph, and how to check it: what masks of -inf leave of a row without keys is NaN."""
    g = MaskedGenerator(seed)
    net = g.build()
    # ONNX Runtime's maxima drop NaN or keep it as it falls out.
    if g.lenient and any(n.op in ("ReduceMax", "ReduceMin", "ArgMax", "Clip") for n in net.nodes):
        return masked_net(seed + 1_000_000)
    return net, dict(lenient=g.lenient)
