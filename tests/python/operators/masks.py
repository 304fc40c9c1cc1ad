"""Masks as exporters write them: where they come from, how they are combined, and how they are put on a tensor."""

import numpy as np

from .eager import Builder

FILLS = {"float32": [-1e4, -1e5, -1e9, -1e30, float(np.finfo(np.float32).min), float(np.finfo(np.float32).min), -np.inf],
         "float64": [-1e4, -1e9, -1e30, float(np.finfo(np.float32).min), -np.inf],
         "float16": [-1e4, -3e4, -65504.0, -np.inf]}  # fmt: skip

ONNX_TYPE = {"float32": 1, "float64": 11, "float16": 10, "int64": 7, "int32": 6, "bool": 9, "uint8": 2, "int8": 3}


class Masks(Builder):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.known = {}  #: extents -> masks (bool, true where live) of these axes
        self.given = {}  #: inputs that are masks -> extents
        self.style = self.pick(["mixed", "mixed", "right", "all dead sometimes", "all live sometimes"])

    @property
    def onnx_type(self):
        return ONNX_TYPE[self.dtype]

    # -- values

    def pattern(self, n):
        row = np.zeros(n, bool)
        if n == 0:
            return row
        kinds = ["right", "right", "left", "holes", "full", "one", "middle"]
        if self.style == "all dead sometimes":
            kinds += ["empty"] * 4
        if self.style == "all live sometimes":
            kinds += ["full"] * 6
        kind = "right" if self.style == "right" else self.pick(kinds)
        k = int(self.rng.integers(1, n + 1))
        if kind == "right":
            row[:k] = True
        elif kind == "left":
            row[n - k:] = True
        elif kind == "holes":
            row[:] = self.rng.random(n) < 0.5
            row[k - 1] = True
        elif kind == "full":
            row[:] = True
        elif kind == "one":
            row[k - 1] = True
        elif kind == "middle":
            row[k // 2:k] = True
        return row

    def patterns(self, shape, _=None):
        out = np.zeros(shape, bool)
        for at in np.ndindex(*shape[:-1]):
            out[at] = self.pattern(shape[-1])
        return out

    # -- producers: bool, true where live

    def mask(self, extents):
        """A mask over axes of these extents: one that is known already, or a new one."""
        extents = tuple(extents)
        known = [m for m in self.known.get(extents, []) if self.exists(m)]
        if known and self.chance(0.7):
            return self.pick(known)
        m = self.produce(extents)
        if len(extents) > 1 and self.chance(0.15):
            m = self.op(self.pick(["And", "And", "Or"]), m, self.produce(extents))
        self.known.setdefault(extents, []).append(m)
        return m

    def produce(self, extents):
        forms = ["given", "given", "lengths"]
        if len(extents) >= 2:
            forms += ["positions", "and", "opaque", "triangle"]
        if len(extents) == 1 or self.chance(0.3):
            forms += ["constant", "steps"]
        if len(extents) >= 1:
            forms += ["counted", "values", "narrowed"]
        for _ in range(6):
            m = self.attempt(getattr(self, "by_" + self.pick(forms)), extents)
            if m:
                return m
        return self.by_given(extents)

    def dims_of(self, extents):
        """Names or numbers to declare an input with."""
        symbols = {v: n for n, v in self.symbols().items()}
        self.require(all(e in symbols or len(set(e)) == 1 for e in extents))
        return [symbols.get(e, int(e[0])) for e in extents]

    def by_given(self, extents):
        dtype = self.pick(["int64", "int64", "int32", "bool", "bool", self.dtype])
        x = self.input(self.dims_of(extents), self.patterns, dtype)
        self.given[x] = tuple(extents)
        return self.live(x)

    def by_narrowed(self, extents):
        """Numbers of which some are zero only after a cast that narrows: 256 as a byte, a fraction as an integer, a small number as a half."""
        dtype, to, odd = self.pick([("int64", "uint8", [256, 512, 1]), ("int64", "int8", [256, -1, 3]), ("int32", "uint8", [256, 255]),
                                    ("float32", "int32", [0.4, -0.6, 1.5]), ("float32", "float16", [1e-9, 1.0]), ("float64", "float32", [1e-60, -1.0])])  # fmt: skip
        odd = np.array(odd)
        x = self.input(self.dims_of(extents), lambda shape, _: np.where(self.patterns(shape), odd[self.rng.integers(0, len(odd), shape)], 0), dtype)
        return self.live(self.op("Cast", x, to=ONNX_TYPE[to]))

    def live(self, x):
        """bool from whatever says it with zeros."""
        dtype = self.type(x)
        if dtype == "bool":
            return x if self.chance(0.6) else self.op("Not", self.op("Not", x))
        if self.chance(0.4):
            return self.op("Cast", x, to=9)
        if self.chance(0.5):
            return self.op("Greater", x, self.constant(0.5 if dtype.startswith("float") else 0, dtype))
        return self.op("Not", self.op("Equal", x, self.constant(0, dtype)))

    def range_like(self, extents, dtype="int64"):
        """0, 1, ... along an axis whose extents these are."""
        for x in self.made():
            own = self.extents(x)
            if extents in own:
                n = self.count_of(x, own.index(extents))
                return self.op("Range", self.constant(np.int64(0)), n, self.constant(np.int64(1)))
        self.require(len(set(extents)) == 1)
        return self.constant(np.arange(extents[0], dtype=np.int64))

    def by_lengths(self, extents):
        lead, n = extents[:-1], extents[-1]
        dims, symbols = self.dims_of(lead), {v: k for k, v in self.symbols().items()}
        top = (lambda b: b[symbols[n]]) if n in symbols else (lambda b: int(n[0]))
        self.require(n in symbols or len(set(n)) == 1)
        low = 0 if self.style == "all dead sometimes" else 1
        dtype = self.pick(["int64", "int64", "int32"])
        lengths = self.input(dims, lambda shape, b: self.rng.integers(low, max(top(b), low) + 1, shape), dtype)
        r = self.range_like(n)
        if dtype == "int32":
            r = self.op("Cast", r, to=6)
        lengths = self.unsqueeze(lengths, len(lead))
        form = self.pick(["Less", "Greater", "GreaterOrEqual", "left"])
        if form == "Less":
            return self.op("Less", r, lengths)
        if form == "Greater":
            return self.op("Greater", lengths, r)
        if form == "GreaterOrEqual":
            return self.op("Not", self.op("GreaterOrEqual", r, lengths))
        last = self.op("Sub", self.op("Cast", self.op("Squeeze", self.op("Size", r)), to=ONNX_TYPE[dtype]), lengths) if n else None
        return self.op("GreaterOrEqual", r, last)

    def by_positions(self, extents):
        """Pairs of the last two axes by their distance: causal, windows, blocks."""
        q, k = self.range_like(extents[-2]), self.range_like(extents[-1])
        q, k = self.unsqueeze(q, 1), self.unsqueeze(k, 0)
        kind = self.pick(["causal", "causal", "strict", "window", "both", "block", "ahead"])
        if kind == "block":
            size = self.constant(np.int64(self.pick([2, 3, 4])))
            return self.op("Equal", self.op("Div", q, size), self.op("Div", k, size))
        if kind == "strict":
            return self.op("Less", k, q)
        if kind == "ahead":
            return self.op("GreaterOrEqual", k, q)
        near = self.op("LessOrEqual", self.op("Abs", self.op("Sub", q, k)), self.constant(np.int64(self.pick([0, 1, 3]))))
        before = self.op("LessOrEqual", k, q)
        return near if kind == "window" else before if kind == "causal" else self.op("And", before, near)

    def by_triangle(self, extents):
        """Causal as a lower triangle of ones."""
        self.require(len(extents) == 2)
        n, k = self.range_like(extents[0]), self.range_like(extents[1])
        shape = self.op("Concat", self.shape_of(n, 0), self.shape_of(k, 0), axis=0)
        one = self.constant(1, self.pick(["int64", "float32", "bool"]))
        ones = self.op("Expand", one, shape)
        return self.live(self.op("Trilu", ones, upper=int(self.chance(0.2))))

    def by_values(self, extents):
        """What only computed values tell: it is known behind their step."""
        x = self.op("Mul", self.input(self.dims_of(extents), self.noise), self.number(1.25))
        self.require(all((np.abs(v - 0.2) > 1e-3).all() for v in self.values[x]))
        return self.op("Greater", x, self.number(0.2))

    def by_and(self, extents):
        """Of masks of some of the axes."""
        cut = int(self.rng.integers(1, len(extents)))
        if len(extents) == 3 and self.chance(0.5):  # [b,k] and [q,k]
            a, b = self.unsqueeze(self.mask((extents[0], extents[2])), 1), self.unsqueeze(self.produce(extents[1:]), 0)
        elif len(extents) == 3 and self.chance(0.5):  # [b,q] and [b,k]
            a, b = self.unsqueeze(self.mask(extents[:2]), 2), self.unsqueeze(self.mask((extents[0], extents[2])), 1)
        else:
            a, b = self.mask(extents[:cut]), self.mask(extents[cut:])
            a, b = self.unsqueeze(a, *range(cut, len(extents))), self.unsqueeze(b, *range(cut))
        how = self.pick(["And", "And", "Mul", "Or"])
        if how == "Mul":
            return self.op("Cast", self.op("Mul", self.op("Cast", a, to=7), self.op("Cast", b, to=7)), to=9)
        return self.op(how, a, b)

    def by_constant(self, extents):
        self.require(all(len(set(e)) == 1 for e in extents))
        return self.constant(self.patterns([e[0] for e in extents]))

    def by_steps(self, extents):
        """By position alone: the first so many, or each second one."""
        self.require(len(extents) == 1)
        r = self.range_like(extents[0])
        if self.chance(0.5):
            return self.op("Less", r, self.constant(np.int64(self.pick([1, 2, 4]))))
        return self.op("Equal", self.op("Mod", r, self.constant(np.int64(2))), self.constant(np.int64(0)))

    def by_counted(self, extents):
        """The first n that are marked, by a running count; or what lies behind the first mark."""
        m = self.op("Cast", self.by_given(extents), to=self.pick([7, 6]))
        running = self.op("CumSum", m, self.constant(np.int64(len(extents) - 1)))
        if self.chance(0.5):
            return self.op("Greater", running, self.constant(0, self.type(running)))
        m = self.op("Mul", m, self.op("Cast", self.op("LessOrEqual", running, self.constant(3, self.type(running))), to=ONNX_TYPE[self.type(m)]))
        return self.op("Cast", m, to=9)

    def by_opaque(self, extents):
        """Read out of the matrix of a mask by computed positions, as newer exporters do."""
        self.require(len(extents) == 2)
        m = self.by_given(extents)
        rows, columns = self.unsqueeze(self.range_like(extents[0]), 1), self.unsqueeze(self.range_like(extents[1]), 0)
        shape = self.full_shape(m)
        at = [self.unsqueeze(self.op("Expand", i, shape), 2) for i in (rows, columns)]
        return self.op("GatherND", m, self.op("Concat", *at, axis=2))

    # -- forms

    def as_number(self, m, dtype=None):
        """0 and 1 in the model's type, directly or by way of others."""
        dtype = dtype or self.dtype
        for between in self.pick([[], [], [], ["int64"], ["int32", "int64"], ["uint8"], ["int32", "bool"]]):
            m = self.op("Cast", m, to=ONNX_TYPE[between])
        if self.type(m) == "bool" and self.chance(0.2):
            return self.op("Where", m, self.constant(1, dtype), self.constant(0, dtype))
        return self.op("Cast", m, to=ONNX_TYPE[dtype])

    def spread(self, m, x, axes):
        """The mask with x's rank: its axes are `axes` of x, in order."""
        others = [a for a in range(self.rank(x)) if a not in axes]
        m = self.unsqueeze(m, *others)
        if others and self.chance(0.15):
            if self.chance(0.5):
                return self.op("Expand", m, self.full_shape(x))
                return self.op("And", m, self.op("Expand", self.constant(True), self.full_shape(x)))
        return m

    def mask_on(self, x, axes):
        return self.spread(self.mask([self.extents(x)[a] for a in axes]), x, axes)

    def zeroed(self, x, m):
        """x where m, 0 elsewhere; m of x's rank."""
        form = self.pick(["mul", "mul", "mul", "where", "where", "not", "zeros", "div"])
        if form == "mul":
            f = self.as_number(m)
            return self.op("Mul", x, f) if self.chance(0.6) else self.op("Mul", f, x)
        if form == "where":
            return self.op("Where", m, x, self.number(0))
        if form == "not":
            return self.op("Where", self.op("Not", m), self.number(0), x)
        if form == "div":
            return self.op("Div", self.op("Mul", x, self.as_number(m)), self.number(2.0))
        return self.op("Where", m, x, self.op("Mul", x, self.number(0)) if self.chance(0.5) else self.zeros_like(x))

    def zeros_like(self, x):
        return self.op("Expand", self.number(0), self.full_shape(x))

    def fill_value(self):
        if self.chance(0.06):  # so little below the rest that it counts
            return self.pick([-5.0, -20.0])
        return self.pick(FILLS[self.dtype])

    def masked_fill(self, x, m, low=None):
        """x where m, far below everything elsewhere."""
        low = self.fill_value() if low is None else low
        if self.chance(0.12):  # and one from outside, with rows of its own that are dead
            x = self.attempt(self.plus_given, x, low) or x
        form = self.pick(["where", "where", "not", "add where", "arithmetic", "arithmetic", "sub", "tensor", "blend", "min", "given", "log"])
        if form in ("arithmetic", "sub", "blend", "min") and not np.isfinite(low):
            form = "where"
        if form == "log" and self.dtype != "float16":
            return self.plus(x, self.op("Log", self.as_number(m)))
        if form in ("where", "log"):
            return self.op("Where", m, x, self.number(low))
        if form == "not":
            return self.op("Where", self.op("Not", m), self.number(low), x)
        if form == "add where":
            return self.plus(x, self.additive_where(m, low))
        if form == "arithmetic":
            return self.plus(x, self.op("Mul", self.inverse(m), self.number(low)))
        if form == "sub":
            return self.op("Sub", x, self.op("Mul", self.inverse(m), self.number(-low)))
        if form == "tensor":
            lows = self.op("Expand", self.number(low), self.full_shape(x))
            return self.op("Where", m, x, lows)
        if form == "blend":
            return self.op("Add", self.op("Mul", x, self.as_number(m)), self.op("Mul", self.inverse(m), self.number(low)))
        if form == "min":
            return self.op("Min", x, self.op("Where", m, self.number(60000.0), self.number(low)))
        return self.attempt(self.plus_given, x, low) or self.op("Where", m, x, self.number(low))

    def plus(self, x, addend):
        return self.op("Add", x, addend) if self.chance(0.75) else self.op("Add", addend, x)

    def inverse(self, m):
        if self.chance(0.6):
            return self.op("Sub", self.number(1), self.as_number(m))
        return self.as_number(self.op("Not", m))

    def additive_where(self, m, low):
        if self.chance(0.5):
            return self.op("Where", m, self.number(0), self.number(low))
        return self.op("Where", self.op("Not", m), self.number(low), self.number(0))

    def plus_given(self, x, low):
        """The caller passes 0 and `low` themselves, over all axes or with some of extent 1."""
        dims = self.dims_of(self.extents(x))
        dims = [1 if k not in (0, len(dims) - 1) and self.chance(0.5) else d for k, d in enumerate(dims)]
        return self.plus(x, self.input(dims, lambda shape, _: np.where(self.patterns(shape), 0.0, low)))

