"""What random masked graphs consist of: sources, masks on any axes, views, readers of all kinds, layers on tokens.

A move gives a tensor made of another one, or raises Rejected where it does not fit.
"""

import numpy as np

from .attention import Attention
from .eager import MODERATE
from .masks import FILLS


class Moves(Attention):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.marked = {}  #: tensor -> axes along which it is masked
        self.plain, self.fills = [], []  #: tensors to go on with: of moderate values, and masked with something far below

    # -- what there is to go on with

    def keep(self, y):
        """Among what to go on with, tamed."""
        if y is None or self.values[y][0].dtype.kind != "f":
            return y
        if self.type(y) != self.dtype:
            return y
        if self.filled(y):
            self.fills.append(y)
            return y
        if self.largest(y) > MODERATE:
            y = self.op("Mul", y, self.number(MODERATE / 4 / self.largest(y)))
        self.plain.append(y)
        return y

    def recent(self, pool):
        pool = [x for x in pool if self.exists(x)]
        self.require(pool)
        return pool[-1 - int(min(self.rng.geometric(0.6) - 1, len(pool) - 1))]

    # -- sources

    def width(self):
        return int(self.pick([1, 2, 3, 4, 4, 8, 8, 8, 12, 16, 16, 17, 32, 33]))

    def computed(self, x):
        """Often a product with weights of it, so that there is something to leave out."""
        last = self.extents(x)[-1] if self.rank(x) else ()
        if last and self.static(last) and last[0] > 0 and self.chance(0.85):
            return self.linear(x)
        return x

    def linear(self, x, n=None, bias=None):
        self.require(self.rank(x))
        last = self.extents(x)[-1]
        self.require(self.static(last) and last[0] > 0)
        k, n = last[0], n or self.width()
        w = self.weight(k, n, scale=k**-0.5 * 1.5)
        bias = self.chance(0.5) if bias is None else bias
        if self.rank(x) == 2 and self.chance(0.3):
            return self.op("Gemm", x, w, self.weight(n)) if bias else self.op("Gemm", x, w)
        if self.chance(0.1):
            y = self.op("Einsum", x, w, equation="...k,kn->...n")
        else:
            y = self.op("MatMul", x, w)
        if bias:
            w = self.weight(n)
            y = self.op("Add", y, w) if self.chance(0.5) else self.op("Add", w, y)
        return y

    def stacked(self, x, summed=False):
        """Against a stack of weights (experts, heads), some of them pruned: a matrix for each place of x's axis before the rows, or of a new one."""
        rank = self.rank(x)
        self.require(rank >= 2)
        extents = self.extents(x)
        self.require(self.static(extents[-1]) and extents[-1][0] > 0)
        own = rank >= 3 and not summed and self.static(extents[-3]) and extents[-3][0] > 0
        e, k, n = extents[-3][0] if own else self.pick([1, 2, 3, 5]), extents[-1][0], self.width()
        w = self.rng.uniform(-1, 1, (e, k, n)) * k**-0.5 * 1.5
        if self.chance(0.4):
            w *= self.rng.random(self.pick([(e, 1, 1), (e, k, 1), (e, k, n)])) < self.pick([0.1, 0.5])
        y = self.op("MatMul", x if own or rank == 2 else self.unsqueeze(x, rank - 2), self.constant(w, self.dtype))
        if self.chance(0.5):
            y = self.op("Add", y, self.weight(e, 1, n))
        if summed or not own and self.chance(0.5):
            y = self.op("ReduceSum", self.op("Mul", y, self.weight(e, 1, 1)), self.ints(self.rank(y) - 3), keepdims=0)
        return y

    def experts(self, x):
        return self.stacked(x, summed=True)

    def tokens(self, time="s", width=None):
        """[b, time, width]: given, or embedded."""
        n = width or self.pick([4, 8, 8, 12, 16, 16, 32])
        if self.chance(0.25):
            ids = self.input(("b", time), lambda shape, _: self.rng.integers(0, 6, shape), "int64")
            x = self.op("Gather", self.weight(6, n), ids, axis=0)
        else:
            x = self.input(("b", time, n), self.noise)
        if self.chance(0.15):  # positions count real tokens only
            m = self.op("Cast", self.mask(self.extents(x)[:2]), to=7)
            at = self.op("Mul", self.op("CumSum", m, self.constant(np.int64(1))), m)
            x = self.op("Add", x, self.op("Gather", self.weight(140, n), at, axis=0))
        return x

    def anything(self):
        dims = self.pick([("b", "s"), ("b", "s", self.width()), ("b", "s", "t"), ("s", self.width()), ("b", 2, "s", 4), ("b", "s", 2, 4), ("b", 2, "s", "t"),
                          ("b", self.width(), "s"), ("b", 2, "s", 3, 4), ("b", 6, self.width()), ("b", 10), ("s", "t", "b")])  # fmt: skip
        return self.input(dims, self.noise)

    # -- masks

    def axes(self, x, most=3):
        """Some axes; often the leading ones, as rows of padding are."""
        rank = self.rank(x)
        self.require(rank > 0)
        if rank >= 2 and most > 2 and self.chance(0.5):
            return list(range(int(self.pick([k for k in (1, 2, 2, 2, 3) if k < rank] or [1]))))
        n = int(self.rng.integers(1, min(rank, most) + 1))
        return sorted(self.rng.choice(rank, n, replace=False).tolist())

    def mask_rows(self, x):
        """Zeros or a fill on a mask over some of its axes."""
        axes = self.axes(x)
        m = self.mask_on(x, axes)
        y = self.zeroed(x, m) if self.chance(0.4) else self.masked_fill(x, m)
        self.marked[y] = axes
        return y

    def axis(self, x):
        """One to go along, rather one that is masked."""
        self.require(self.rank(x))
        return int(self.pick(self.marked[x])) if x in self.marked and self.chance(0.7) else int(self.rng.integers(self.rank(x)))

    def one_or_other(self, x):
        """Of two tensors, one where a mask says so."""
        same = [y for y in self.plain if y != x and self.exists(y) and self.extents(y) == self.extents(x)]
        y = self.pick(same) if same and self.chance(0.7) else self.computed_like(x)
        m = self.mask_on(x, self.axes(x))
        return self.op("Where", m, x, y) if self.chance(0.5) else self.op("Where", m, y, x)

    def computed_like(self, x):
        return self.op("Tanh", self.op("Mul", x, self.number(-1.5)))

    def view_of_both(self, x):
        """A view of x and the same one of its mask, which is put on there."""
        m = self.op("Expand", self.mask_on(x, self.axes(x)), self.full_shape(x))
        x, m = self.alike(self.view, self.zeroed(x, m) if self.chance(0.3) else x, m)
        self.known.setdefault(self.extents(m), []).append(m)
        return self.zeroed(x, m) if self.chance(0.5) else self.masked_fill(x, m)

    def lowest(self, x):
        """A minimum of what is live: masked with something far above."""
        axes = self.axes(x)
        y = self.op("Where", self.mask_on(x, axes), x, self.number(self.pick([-f for f in FILLS[self.dtype]])))
        form = self.pick(["min", "min", "softmin", "arg"])
        if form == "softmin":
            return self.weights_of(self.op("Neg", y), self.pick(axes))
        if form == "arg":
            self.require(self.distinct(y, axes[-1]) and self.dtype != "float16")
            i = self.op("ArgMin", y, axis=axes[-1], keepdims=1)
            return self.op("GatherElements", x, i, axis=axes[-1])
        y = self.op("ReduceMin", y, self.ints(self.pick(axes)), keepdims=int(self.chance(0.5)))
        return self.op("Min", y, self.number(20.0))

    # -- views

    def view(self, x):
        return getattr(self, self.pick(["transposed", "transposed", "merged", "split_axis", "sliced", "cut", "joined", "expanded", "gathered", "gathered",
                                        "tiled", "padded", "squeezed", "flattened", "swapped_parts"]))(x)  # fmt: skip

    def transposed(self, x):
        self.require(self.rank(x) >= 2)
        perm = self.rng.permutation(self.rank(x)).tolist()
        self.require(perm != sorted(perm))
        return self.transpose(x, *perm)

    def merged(self, x):
        rank = self.rank(x)
        self.require(rank >= 2)
        at = int(self.rng.integers(rank - 1))
        return self.reshape(x, [(a,) for a in range(at)] + [(at, at + 1)] + [(a,) for a in range(at + 2, rank)])

    def split_axis(self, x):
        rank = self.rank(x)
        options = [a for a, e in enumerate(self.extents(x)) if self.static(e) and e[0] > 1 and any(e[0] % k == 0 for k in range(2, e[0]))]
        self.require(options and rank < 5)
        a = self.pick(options)
        n = self.extents(x)[a][0]
        k = self.pick([k for k in range(2, n) if n % k == 0])
        return self.reshape(x, [(i,) for i in range(a)] + [n // k, k] + [(i,) for i in range(a + 1, rank)])

    def sliced(self, x):
        rank = self.rank(x)
        self.require(rank)
        a = int(self.rng.integers(rank))
        end = 2**62
        start, stop, step = self.pick([(0, 1, 1), (-1, end, 1), (1, end, 1), (0, -1, 1), (-1, -end, -1), (0, end, 2), (1, end, 2), (-1, -end, -2)])
        return self.op("Slice", x, self.ints(start), self.ints(stop), self.ints(a), self.ints(step))

    def cut(self, x):
        """One part of a Split."""
        options = [a for a, e in enumerate(self.extents(x)) if self.static(e) and e[0] >= 2]
        self.require(options)
        a = self.pick(options)
        n = self.extents(x)[a][0]
        k = int(self.rng.integers(1, n))
        parts = self.op("Split", x, self.ints(k, n - k), outputs=2, axis=a)
        other = int(self.rng.integers(2))
        self.keep(parts[1 - other])
        return parts[other]

    def joined(self, x):
        """With itself, another tensor, or constants, along any axis."""
        rank = self.rank(x)
        self.require(rank)
        a = int(self.rng.integers(rank))
        others = [y for y in self.plain + self.fills if self.exists(y) and self.rank(y) == rank and y != x
                  and all(k == a or p == q for k, (p, q) in enumerate(zip(self.extents(x), self.extents(y))))]  # fmt: skip
        parts = [x, self.pick(others) if others and self.chance(0.7) else self.unary(x)]
        return self.op("Concat", *(parts if self.chance(0.5) else parts[::-1]), axis=a)

    def expanded(self, x):
        rank = self.rank(x)
        self.require(rank < 5)
        a = int(self.rng.integers(rank + 1))
        y = self.unsqueeze(x, a)
        return self.op("Expand", y, self.ints(*[2 if k == a else 1 for k in range(rank + 1)]))

    def gathered(self, x):
        rank = self.rank(x)
        self.require(rank)
        a = int(self.rng.integers(rank))
        kind = self.pick(["one", "some", "given", "computed", "elements"])
        least = min(self.extents(x)[a])
        self.require(least > 0 or kind == "computed")
        if kind == "one":
            return self.op("Gather", x, self.constant(np.int64(self.pick([0, -1]))), axis=a)
        if kind == "some":
            return self.op("Gather", x, self.ints(*self.rng.integers(0, least, int(self.rng.integers(1, 4)))), axis=a)
        if kind == "given":
            i = self.input((self.pick(["b", 3]),), lambda shape, _: self.rng.integers(0, least, shape), "int64")
            return self.op("Gather", x, i, axis=a)
        if kind == "computed":
            last = self.op("Sub", self.count_of(x, a), self.constant(np.int64(1)))
            i = self.op("Sub", last, self.range_like(self.extents(x)[a])) if self.chance(0.7) else last
            return self.op("Gather", x, i, axis=a)
        i = self.input(self.dims_of(self.extents(x)), lambda shape, _: self.rng.integers(0, least, shape), "int64")
        return self.op("GatherElements", x, i, axis=a)

    def tiled(self, x):
        self.require(self.rank(x))
        return self.op("Tile", x, self.ints(*[int(self.pick([1, 1, 2])) for _ in range(self.rank(x))]))

    def padded(self, x):
        self.require(self.rank(x))
        amounts = self.rng.integers(0, 2, 2 * self.rank(x)).tolist()
        if self.chance(0.3) and min(map(min, self.extents(x))) > 2:
            return self.op("Pad", x, self.ints(*amounts), mode=self.pick(["edge", "reflect"]))
        return self.op("Pad", x, self.ints(*amounts)) if self.chance(0.7) else self.op("Pad", x, self.ints(*amounts), self.number(0.5))

    def squeezed(self, x):
        ones = [a for a, e in enumerate(self.extents(x)) if set(e) == {1} and self.static(e)]
        if ones:
            return self.op("Squeeze", x, self.ints(self.pick(ones)))
        self.require(self.rank(x) < 5)
        return self.unsqueeze(x, int(self.rng.integers(self.rank(x) + 1)))

    def flattened(self, x):
        self.require(self.rank(x) >= 2)
        return self.op("Flatten", x, axis=int(self.rng.integers(1, self.rank(x))))

    def swapped_parts(self, x):
        """The last part first, as rotary positions do."""
        options = [a for a, e in enumerate(self.extents(x)) if self.static(e) and e[0] >= 2]
        self.require(options)
        a = self.pick(options)
        n = self.extents(x)[a][0]
        p, q = self.op("Split", x, self.ints(n // 2, n - n // 2), outputs=2, axis=a)
        return self.op("Concat", self.op("Neg", q) if not self.filled(x) and self.chance(0.5) else q, p, axis=a)

    # -- element by element

    def unary(self, x):
        op = self.pick(["Relu", "Tanh", "Sigmoid", "Erf", "Gelu", "Abs", "Neg", "Sin", "Cos", "Softplus", "LeakyRelu", "Elu", "Exp", "Identity", "add",
                        "square"])  # fmt: skip
        if self.filled(x):
            op = self.pick(["Exp", "Sigmoid", "Relu", "Tanh", "Max", "Clip", "Softplus", "Identity", "Erf"])
            if op == "Max":
                return self.op("Max", x, self.number(-5.0))
            if op == "Clip":
                return self.op("Clip", x, self.number(-3.0), self.number(3.0))
        if op == "add":
            return self.op("Add", x, self.number(float(self.rng.uniform(-1, 1))))
        if op == "square":
            return self.op("Mul", x, x)
        if op == "Exp" and not self.filled(x):
            x = self.op("Tanh", x)
        return self.op(op, x)

    def gate(self, x):
        g = self.attempt(self.linear, x, int(self.extents(x)[-1][0]) if self.rank(x) and self.static(self.extents(x)[-1]) else 1)
        g = g or x
        return self.op("Mul", x, self.op(self.pick(["Sigmoid", "Tanh", "Relu"]), g))

    def residual(self, x):
        own = self.extents(x)
        others = [y for y in self.plain if y != x and self.exists(y)]
        same = [y for y in others if self.extents(y) == own[len(own) - self.rank(y):]]
        self.require(same)
        return self.op(self.pick(["Add", "Add", "Mul", "Sub", "Max", "Min"]), x, self.pick(same))

    # -- along axes

    def reduced(self, x):
        rank = self.rank(x)
        self.require(rank)
        axes, keep = [self.axis(x)] if self.chance(0.5) else self.axes(x, 2), int(self.chance(0.5))
        if self.filled(x):
            op = self.pick(["ReduceMax", "ReduceMax", "ReduceLogSumExp"])
            y = self.op(op, x, self.ints(*axes), keepdims=keep)
            return self.op("Max", y, self.number(-30.0)) if self.filled(y) and self.chance(0.8) and not self.has_nan(y) else y
        op = self.pick(["ReduceSum", "ReduceMean", "ReduceMean", "ReduceMax", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceSumSquare",
                        "ReduceLogSumExp", "ReduceProd"])  # fmt: skip
        self.require(op != "ReduceProd" or self.largest(x) < 2)
        return self.tamed(self.op(op, x, self.ints(*axes), keepdims=keep))

    def softmax(self, x):
        self.require(self.rank(x))
        op = self.pick(["Softmax", "Softmax", "Softmax", "LogSoftmax"])
        self.require(op == "Softmax" or not self.has_nan(x))  # of f64, ONNX Runtime finds NaN by where it stands
        return self.op(op, x, axis=self.axis(x) if self.chance(0.8) else -1)

    def distinct(self, x, a):
        """Whether along an axis no two values are nearly but not quite the same."""
        for v in self.values[x]:
            s = np.sort(v.astype(np.float64), axis=a)
            with np.errstate(all="ignore"):
                gap = np.diff(s, axis=a)
            if bool(((gap > 0) & (gap < 1e-3)).any()):
                return False
        return True

    def chosen(self, x):
        """What depends on which element is the largest."""
        a = self.axis(x)
        self.require(self.distinct(x, a) and self.dtype != "float16")
        op = self.pick(["ArgMax", "ArgMin", "Hardmax", "TopK", "TopK indices"])
        if op in ("ArgMax", "ArgMin"):
            i = self.op(op, x, axis=a, keepdims=1, select_last_index=int(self.chance(0.2)))
            if self.chance(0.5):
                return self.op("GatherElements", x, i, axis=a)
            return self.op("Tanh", self.op("Cast", i, to=self.onnx_type))
        if op == "Hardmax":
            return self.op("Hardmax", x, axis=a)
        k = self.ints(min(2, max(1, min(self.extents(x)[a]))))
        v, i = self.op("TopK", x, k, outputs=2, axis=a, largest=int(self.chance(0.7)), sorted=1)
        if op == "TopK":
            return v
        return self.op("Tanh", self.op("Cast", i, to=self.onnx_type))

    def normed(self, x):
        self.require(self.rank(x) >= 2 and not self.filled(x))
        last = self.extents(x)[-1]
        kind = self.pick(["layer", "layer", "by hand", "rms", "rms by hand", "instance", "group", "over time", "lp", "mvn"])
        if kind == "instance":
            self.require(self.static(self.extents(x)[1]) and self.rank(x) >= 3)
            c = self.extents(x)[1][0]
            return self.op("InstanceNormalization", x, self.weight(c), self.weight(c), epsilon=1e-2)
        if kind == "group":
            c = self.extents(x)[1]
            self.require(self.static(c) and self.rank(x) >= 3 and c[0] % 2 == 0)
            return self.op("GroupNormalization", x, self.weight(c[0]), self.weight(c[0]), epsilon=1e-2, num_groups=2)
        if kind == "lp":
            return self.op("Div", x, self.op("Max", self.op("ReduceL2", x, self.ints(self.pick([0, 1, -1])), keepdims=1), self.number(0.1)))
        if kind == "mvn":
            return self.centred(x, self.pick([0, 1, -1]))
        if kind == "over time":
            return self.centred(x, 1)
        self.require(self.static(last))
        n = last[0]
        if kind == "layer":
            return self.op("LayerNormalization", x, self.weight(n), self.weight(n), epsilon=1e-3)
        if kind == "rms" and self.dtype == "float32":
            return self.op("RMSNormalization", x, self.weight(n), epsilon=1e-3)
        if kind == "by hand":
            return self.op("Add", self.op("Mul", self.centred(x, -1), self.weight(n)), self.weight(n))
        mean = self.op("ReduceMean", self.op("Mul", x, x), self.ints(-1), keepdims=1)
        return self.op("Mul", self.op("Div", x, self.op("Sqrt", self.op("Add", mean, self.number(1e-3)))), self.weight(n))

    def centred(self, x, axis):
        d = self.op("Sub", x, self.op("ReduceMean", x, self.ints(axis), keepdims=1))
        variance = self.op("ReduceMean", self.op("Mul", d, d) if self.chance(0.5) else self.op("Pow", d, self.number(2)), self.ints(axis), keepdims=1)
        return self.op("Div", d, self.op("Sqrt", self.op("Add", variance, self.number(1e-2))))

    def summed_up(self, x):
        self.require(self.rank(x) and not self.filled(x))
        y = self.op("CumSum", x, self.constant(np.int64(self.axis(x))), exclusive=int(self.chance(0.3)), reverse=int(self.chance(0.3)))
        return self.tamed(y) if self.chance(0.5) else self.op("Tanh", y)

    def windowed(self, x):
        """Convolutions and poolings over what comes behind the second axis."""
        rank = self.rank(x)
        self.require(3 <= rank <= 4)
        spatial = rank - 2
        if self.filled(x) or self.chance(0.4):
            averages = [] if self.filled(x) else ["AveragePool", "AveragePool", "GlobalAveragePool"]
            kind = self.pick(["MaxPool", "GlobalMaxPool", *averages])
            if kind.startswith("Global"):
                return self.op(kind, x)
            k = self.pick([2, 3])
            pads = [int(self.chance(0.5))] * 2 * spatial
            self.windows_fit(x, k - 2 * pads[0])
            extra = dict(count_include_pad=int(self.chance(0.5))) if kind == "AveragePool" else {}
            return self.op(kind, x, kernel_shape=[k] * spatial, strides=[self.pick([1, 1, 2])] * spatial, pads=pads, **extra)
        channels = self.extents(x)[1]
        self.require(self.static(channels))
        c = channels[0]
        group = self.pick([1, 1, c])
        out = c if group == c and c > 1 else self.pick([2, 4, 8])
        k = self.pick([1, 2, 3])
        w = self.weight(out, c // group, *[k] * spatial, scale=(c // group * k**spatial) ** -0.5 * 1.5)
        inputs = [x, w, self.weight(out)] if self.chance(0.5) else [x, w]
        pads, dilation = [self.pick([0, 1])] * 2 * spatial, self.pick([1, 1, 2])
        self.windows_fit(x, (k - 1) * dilation + 1 - 2 * pads[0])
        return self.op("Conv", *inputs, kernel_shape=[k] * spatial, pads=pads, strides=[self.pick([1, 1, 2])] * spatial, dilations=[dilation] * spatial,
                       group=group)  # fmt: skip

    def windows_fit(self, x, least):
        """Where nothing fits, ONNX Runtime rounds the number of windows up."""
        self.only(k for k, v in enumerate(self.values[x]) if min(v.shape[2:]) >= least)

    def scattered(self, x):
        rank = self.rank(x)
        self.require(rank)
        a = int(self.rng.integers(rank))
        n = min(self.extents(x)[a])
        self.require(n >= 2)
        if self.chance(0.6):
            m = int(self.rng.integers(1, n + 1))
            at = self.rng.permutation(n)[:m]
            first = self.op("Slice", x, self.ints(0), self.ints(m), self.ints(a))
            shape = [m if k == a else 1 for k in range(rank)]
            i = self.op("Expand", self.constant(at.reshape(shape).astype(np.int64)), self.full_shape(first))
            updates = self.op("Neg", first) if not self.filled(first) else first
            reduction = self.pick(["none", "none", "add"]) if not self.filled(x) else "none"
            return self.op("ScatterElements", x, i, updates, axis=a, reduction=reduction)
        m = int(self.rng.integers(1, n + 1))
        n = min(self.extents(x)[0])
        self.require(n >= 1)
        reduction = self.pick(["none", "add"]) if not self.filled(x) else "none"
        at = self.rng.permutation(n)[:m]
        if reduction == "add":  # may meet
            at = np.concatenate([at, at[: m // 2] - n])
        updates = self.unary(self.op("Gather", x, self.ints(*at), axis=0))
        return self.op("ScatterND", x, self.constant(at[:, None].astype(np.int64)), updates, reduction=reduction)

    def product(self, x):
        """With another tensor, or with itself, as matrices; the second operand is computed too."""
        rank = self.rank(x)
        self.require(rank >= 2 and not self.filled(x))
        others = [y for y in self.plain if self.exists(y) and self.rank(y) == rank and self.extents(y)[:-2] == self.extents(x)[:-2]]
        y = self.pick(others)
        ex, ey = self.extents(x), self.extents(y)
        forms = []
        if ex[-1] == ey[-1]:
            forms.append(lambda: self.op("MatMul", x, self.swap(y)))
            if rank == 2:
                forms.append(lambda: self.op("Gemm", x, y, transB=1))
            if rank == 3:
                forms.append(lambda: self.op("Einsum", x, y, equation=self.pick(["bmk,bnk->bmn", "bmk,bnk->bnm", "bmk,bnk->mn"])))
        if ex[-2] == ey[-2]:
            forms.append(lambda: self.op("MatMul", self.swap(x), y))
            if rank == 3:
                forms.append(lambda: self.op("Einsum", x, y, equation=self.pick(["bkm,bkn->bmn", "bkm,bkn->bnm"])))
        if ex[-1] == ey[-2]:
            forms.append(lambda: self.op("MatMul", x, y))
        self.require(forms)
        return self.tamed(self.op("Mul", self.pick(forms)(), self.number(0.5)))

    def cast_through(self, x):
        """By way of integers or truths."""
        self.require(not self.filled(x))
        if self.chance(0.5):
            self.require(all((np.abs(v - 0.1) > 1e-3).all() for v in self.values[x]))
            c = self.op("Greater", x, self.number(0.1))
        else:
            c = self.op("Cast", self.rounded(x, 2), to=7)
            c = self.op("Mul", c, self.ints(3))
        return self.op("Cast", c, to=self.onnx_type)

    def integers(self, x):
        """Counted or chosen in integers, masked or not."""
        self.require(not self.filled(x) and self.rank(x))
        i = self.op("Cast", self.rounded(x, 3), to=self.pick([6, 7]))
        if self.chance(0.7):
            m = self.mask_on(x, self.axes(x))
            if self.chance(0.5):
                i = self.op("Mul", i, self.op("Cast", m, to=6 if self.type(i) == "int32" else 7))
            else:
                i = self.op("Where", m, i, self.constant(self.pick([0, -1, -1000, 7]), self.type(i)))
        op = self.pick(["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "CumSum", "none"])
        if op == "CumSum":
            i = self.op("CumSum", i, self.constant(np.int64(self.rng.integers(self.rank(x)))))
        elif op != "none":
            i = self.op(op, i, self.ints(*self.axes(x, 2)), keepdims=int(self.chance(0.5)))
        return self.op("Tanh", self.op("Mul", self.op("Cast", i, to=self.onnx_type), self.number(0.125)))

    def rounded(self, x, factor):
        """None of the values so near to a half that another order of sums could round it the other way."""
        y = self.op("Mul", x, self.number(factor))
        self.require(all((np.abs(np.abs(v - np.round(v)) - 0.5) > 1e-3).all() for v in self.values[y]))
        return self.op("Round", y)

    # -- layers on tokens [b, time, d]

    def feed_forward(self, x):
        d = int(self.extents(x)[-1][0])
        if self.chance(0.25):
            g, u = self.linear(x, 8), self.linear(x, 8)
            return self.linear(self.op("Mul", self.op("Mul", g, self.op("Sigmoid", g)), u), d)
        return self.linear(self.unary(self.linear(x, self.pick([8, 16]))), d)

    def time_convolution(self, x):
        y = self.windowed(self.transpose(x, 0, 2, 1))
        return self.transpose(y, 0, 2, 1) if self.rank(y) == 3 else y

    def shifted(self, x):
        """The token before or behind, or the other way round."""
        form = self.pick(["pad", "reverse", "concat"])
        if form == "reverse":
            y = self.op("Slice", x, self.ints(-1), self.ints(-(2**62)), self.ints(1), self.ints(-1))
        else:
            y = self.op("Slice", x, self.ints(0), self.ints(-1), self.ints(1))
            first = self.op("Slice", x, self.ints(0), self.ints(1), self.ints(1))
            y = self.op("Pad", y, self.ints(0, 1, 0, 0, 0, 0)) if form == "pad" else self.op("Concat", first, y, axis=1)
        return self.op("Add", x, y)

    def masked_tokens(self, x):
        return self.zeroed(x, self.mask_on(x, [0, 1]))

    def pooled(self, x):
        """[b, d] or so of [b, time, d], reading real tokens only."""
        kind = self.pick(["mean", "mean", "sum", "max", "max", "attentive", "attentive", "first", "last", "logsumexp", "matmul", "all", "top"])
        if kind == "all":
            return self.op("ReduceMean", x, self.ints(1), keepdims=0)
        if kind == "first":
            return self.op("Gather", x, self.constant(np.int64(0)), axis=1)
        m = self.mask(self.extents(x)[:2])
        rows = self.unsqueeze(m, 2)
        if kind == "mean":
            f = self.as_number(rows)
            total = self.op("ReduceSum", self.op("Mul", x, f), self.ints(1), keepdims=0)
            count = self.op("ReduceSum", f, self.ints(1), keepdims=0)
            count = self.op("Max", count, self.number(1)) if self.chance(0.5) else self.op("Clip", count, self.number(0.5))
            return self.op("Div", total, count)
        if kind == "sum":
            return self.tamed(self.op("ReduceSum", self.zeroed(x, rows), self.ints(1), keepdims=0))
        if kind == "max":
            y = self.masked_fill(x, rows)
            y = self.op("ReduceMax", y, self.ints(1), keepdims=0) if self.chance(0.6) else self.op("GlobalMaxPool", self.transpose(y, 0, 2, 1))
            return self.op("Max", y, self.number(-20)) if self.filled(y) else y
        if kind == "logsumexp":
            return self.op("ReduceLogSumExp", self.masked_fill(x, rows), self.ints(1), keepdims=0)
        if kind == "matmul":
            w = self.unsqueeze(self.as_number(m), 1)
            return self.tamed(self.op("MatMul", w, x))
        if kind == "top":
            y = self.masked_fill(x, rows)
            self.require(min(self.extents(y)[1]) >= 1)
            return self.unary(self.op("TopK", y, self.ints(1), outputs=2, axis=1, sorted=1)[0])
        if kind == "last" and self.chance(0.4):  # of the largest mark, as the end of a text is found
            at = self.op("ArgMax", self.op("Mul", self.op("Cast", m, to=7), self.range_like(self.extents(x)[1])), axis=1, keepdims=1)
            return self.op("GatherND", x, at, batch_dims=1)
        if kind == "last":
            n = self.op("Sub", self.op("ReduceSum", self.op("Cast", m, to=7), self.ints(1), keepdims=1), self.ints(1))
            n = self.op("Max", n, self.ints(0))
            return self.op("GatherND", x, n, batch_dims=1)
        return self.attentive(x, rows)

    def attentive(self, x, rows):
        """Scores per token (and head), softmax over time, a weighted sum."""
        hidden = self.op("Tanh", self.linear(x, 8)) if self.chance(0.5) else x
        scores = self.linear(hidden, self.pick([1, 1, 3]))
        w = self.weights_of(self.masked_fill(scores, rows), 1)
        if self.extents(w)[-1] == (1,) * len(self.net.bindings) and self.chance(0.5):
            return self.op("ReduceSum", self.op("Mul", x, w), self.ints(1), keepdims=0)
        return self.op("MatMul", self.transpose(w, 0, 2, 1), x)
