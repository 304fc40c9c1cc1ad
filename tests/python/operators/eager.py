"""Graphs that are computed while they are built: each operator runs at once, for every binding, so that moves may look at values.

An operator that does not fit raises Rejected and leaves no trace. Values stay moderate; what masks fill with stays apart ("filled"), for only
some operators do something sensible with it.
"""

import functools

import numpy as np

from .net import Net, Node
from .oracle import LARGE, NEEDS_ELEMENTS, run_operator

LIMIT = 60000  #: elements of a tensor
MODERATE = 40.0  #: no other value is larger

#: What multiplies or adds up: what masks fill with would leave nothing of the rest.
SUMS = {"MatMul", "Gemm", "Einsum", "Conv", "ReduceSum", "ReduceMean", "CumSum", "AveragePool", "GlobalAveragePool", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization"}  # fmt: skip
#: What multiplies: there NaN meets zeros, and PIT may leave the product out.
PRODUCTS = {"Mul", "MatMul", "Gemm", "Einsum", "Conv", "Attention", "Div", "And"}
#: Where ONNX Runtime keeps or drops NaN as it falls out.
NAN_BLIND = {"ReduceMax", "ReduceMin", "Max", "Min", "Clip", "ArgMax", "ArgMin", "TopK", "MaxPool", "GlobalMaxPool", "Hardmax", "Relu", "LeakyRelu",
             "LayerNormalization", "ScatterElements", "ScatterND", "ReduceLogSumExp"}  # fmt: skip


class Rejected(Exception):
    pass


class Builder:
    def __init__(self, seed, bindings, dtype="float32", optional=(), fixed=()):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        self.net = Net(bindings=bindings, feeds=[{} for _ in bindings])
        self.optional = set(optional)  #: bindings of extreme extents, given up where an operator refuses them
        self.fixed = set(fixed)  #: names of extents that the model knows
        self.values = {}  #: name -> per binding an array
        self.declared_dims = {}  #: of inputs
        self.count = 0
        self.lenient = False

    # -- dice

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return self.rng.random() < p

    def require(self, condition):
        if not condition:
            raise Rejected

    # -- what tensors are

    def rank(self, x):
        return self.values[x][0].ndim

    def type(self, x):
        return str(self.values[x][0].dtype)

    def extents(self, x):
        """Per axis its extent in every binding."""
        return tuple(zip(*(a.shape for a in self.values[x]))) if self.rank(x) else ()

    def static(self, extent):
        return len(set(extent)) == 1 and extent not in self.symbols().values()

    def symbols(self):
        return {n: tuple(b[n] for b in self.net.bindings) for n in self.net.bindings[0] if n not in self.fixed}

    def largest(self, x):
        sizes = [np.abs(v[np.isfinite(v)]).max(initial=0) for v in self.values[x]]
        return max(float(s) for s in sizes)

    def filled(self, x):
        return any(bool((~(np.abs(v) < LARGE)).any()) for v in self.values[x])

    def far(self, x):
        return any(bool((np.abs(v) >= LARGE).any()) for v in self.values[x] if v.dtype.kind == "f")

    def has_nan(self, x):
        return any(v.dtype.kind == "f" and bool(np.isnan(v).any()) for v in self.values[x])

    def made(self):
        """Inputs and results, oldest first."""
        return self.net.inputs + [o for n in self.net.nodes for o in n.outputs]

    def exists(self, x):
        return x in self.net.constants or x in self.made()

    # -- making them

    def name(self, prefix="v"):
        self.count += 1
        return f"{prefix}{self.count}"

    def input(self, dims, make, dtype=None):
        """dims: extents or names of extents; make(shape, binding) gives the values."""
        name = self.name("x")
        self.net.inputs.append(name)
        dims = [self.net.bindings[0][d] if d in self.fixed else d for d in dims]
        self.declared_dims[name] = tuple(dims)
        arrays = []
        for b in self.net.bindings:
            shape = [b[d] if isinstance(d, str) else d for d in dims]
            arrays.append(np.asarray(make(shape, b), dtype or self.dtype).reshape(shape))
        self.values[name] = arrays
        return name

    def noise(self, shape, _=None):
        return self.rng.uniform(-1.5, 1.5, shape)

    def constant(self, value, dtype=None):
        value = np.asarray(value, dtype)
        name = self.name("c")
        self.net.constants[name] = value
        self.values[name] = [value] * len(self.net.bindings)
        return name

    def number(self, value):
        return self.constant(value, self.dtype)

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def weight(self, *shape, scale=None):
        return self.constant(self.rng.uniform(-1, 1, shape) * (scale or 1.0), self.dtype)

    def op(self, op, *inputs, outputs=1, **attrs):
        """The output's name, or a tuple of several."""
        nan_before = any(self.has_nan(i) for i in inputs if i)
        self.require(not (nan_before and op in NAN_BLIND))
        self.require(not (op in ("MaxPool", "GlobalMaxPool") and any(np.isinf(v).any() for v in self.values[inputs[0]])))  # begins with a finite number
        self.require(op not in SUMS or not any(self.far(i) for i in inputs))
        results, lost = [], []
        for k in range(len(self.net.bindings)):
            given = [self.values[i][k] if i else None for i in inputs]
            try:
                self.require(op not in NEEDS_ELEMENTS or all(v.size for v in given if v is not None))
                results.append(run_operator(op, given, outputs, attrs))
                self.require(op not in NEEDS_ELEMENTS or all(v.size for v in results[-1]))
            except Exception:
                self.require(k in self.optional)
                results[k:] = [None]
                lost.append(k)
        if lost:
            self.drop(lost)
            results = [r for r in results if r is not None]
        arrays = [[np.asarray(r[o]) for r in results] for o in range(outputs)]
        self.admit(op, inputs, arrays, nan_before)
        names = [self.name() for _ in range(outputs)]
        self.net.nodes.append(Node(op, list(inputs), names, attrs))
        self.values.update(zip(names, arrays))
        return names[0] if outputs == 1 else tuple(names)

    def admit(self, op, inputs, arrays, nan_before):
        floats = [v for result in arrays for v in result if v.dtype.kind == "f"]
        self.require(all(len({v.ndim for v in result}) == 1 and max(v.size for v in result) <= LIMIT for result in arrays))
        fed_fill = any(self.filled(i) for i in inputs if i and self.values[i][0].dtype.kind == "f")
        for v in floats:
            size = np.abs(v[np.isfinite(v) & (np.abs(v) < LARGE)]).max(initial=0)
            self.require(size <= 4 * MODERATE and (fed_fill or not (~(np.abs(v) < LARGE)).any()))
        if fed_fill and op in PRODUCTS and any(not np.isfinite(v).all() for i in inputs if i for v in self.values[i] if v.dtype.kind == "f"):
            self.lenient = True

    def drop(self, lost):
        """Without these bindings from now on."""
        kept = [k for k in range(len(self.net.bindings)) if k not in lost]
        self.net.bindings = [self.net.bindings[k] for k in kept]
        self.net.feeds = [self.net.feeds[k] for k in kept]
        self.values = {n: [v[k] for k in kept] for n, v in self.values.items()}
        self.optional = {i for i, k in enumerate(kept) if k in self.optional}

    def tamed(self, x):
        """The same, brought back to moderate values where it has grown."""
        return self.op("Mul", x, self.number(0.25)) if self.largest(x) > MODERATE and not self.filled(x) else x

    def attempt(self, move, *args):
        """What the move gives, or None where it does not fit; then the graph is as before."""
        nodes, lenient = len(self.net.nodes), self.lenient
        try:
            return move(*args)
        except Rejected:
            del self.net.nodes[nodes:]
            self.lenient = lenient
            return None

    def alike(self, view, x, y):
        """The same random view of both."""
        state = self.rng.bit_generator.state
        a = view(x)
        self.rng.bit_generator.state = state
        return a, view(y)

    # -- shapes

    def shape_of(self, x, axis):
        """The extent of an axis as int64 [1], as exporters write it."""
        if self.chance(0.5):
            return self.op("Shape", x, start=axis, end=axis + 1)
        shape = self.op("Shape", x)
        if self.chance(0.5):
            return self.op("Slice", shape, self.ints(axis), self.ints(axis + 1), self.ints(0))
        return self.op("Unsqueeze", self.op("Gather", shape, self.constant(np.int64(axis)), axis=0), self.ints(0))

    def count_of(self, x, axis):
        return self.op("Squeeze", self.shape_of(x, axis))

    def reshape(self, x, groups):
        """groups: per new axis a number, or the tuple of old axes whose product it is."""
        def extent(group):
            if isinstance(group, int):
                return group
            extents = {int(np.prod([v.shape[a] for a in group])) for v in self.values[x]}
            return extents.pop() if len(extents) == 1 and all(self.static(self.extents(x)[a]) for a in group) else None

        known = [extent(g) for g in groups]
        zeros = all(v.size for v in self.values[x])
        target = [k if k is not None else 0 if g == (i,) and zeros and self.chance(0.5) else -1 for i, (g, k) in enumerate(zip(groups, known))]
        if target.count(-1) <= 1 and zeros and self.chance(0.7):
            return self.op("Reshape", x, self.ints(*target))
        parts = []
        for g, k in zip(groups, known):
            if k is not None:
                parts.append(self.ints(k))
            else:
                parts.append(functools.reduce(lambda p, q: self.op("Mul", p, q), [self.shape_of(x, a) for a in g]))
        y = self.op("Reshape", x, self.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0])
        self.only_shapes(y, [[g if isinstance(g, int) else int(np.prod([v.shape[a] for a in g])) for g in groups] for v in self.values[x]])
        return y

    def only_shapes(self, y, shapes):
        """Gives up bindings in which a target shape's 0 was read as "like the input"."""
        self.only(k for k, (v, shape) in enumerate(zip(self.values[y], shapes)) if list(v.shape) == shape)

    def only(self, fitting):
        """Gives up the other bindings."""
        lost = set(range(len(self.net.bindings))) - set(fitting)
        self.require(lost <= self.optional)
        if lost:
            self.drop(lost)

    def transpose(self, x, *perm):
        return self.op("Transpose", x, perm=list(perm))

    def swap(self, x):
        perm = list(range(self.rank(x)))
        perm[-2], perm[-1] = perm[-1], perm[-2]
        return self.transpose(x, *perm)

    def unsqueeze(self, x, *axes):
        return self.op("Unsqueeze", x, self.ints(*axes)) if axes else x

    def full_shape(self, x):
        return self.op("Shape", x)

    # -- the end

    def finish(self, outputs, declared=None):
        net = self.net
        net.outputs = list(dict.fromkeys(outputs))
        net.declared = {o: m for o, m in (declared or {}).items() if o in net.outputs}
        for name in net.inputs:
            net.types[name] = (self.type(name), self.declared_dims[name])
        for k in range(len(net.bindings)):
            net.feeds[k] = {n: self.values[n][k] for n in net.inputs}
        symbols = {v: n for n, v in self.symbols().items()}
        for node in net.nodes:
            for o in node.outputs:
                net.types[o] = (self.type(o), tuple(self.named(e, symbols) for e in self.extents(o)))
        for name, value in net.constants.items():
            net.types[name] = (str(value.dtype), tuple(value.shape))
        return net.pruned()

    def named(self, extent, symbols):
        if extent in symbols:
            return symbols[extent]
        if len(set(extent)) == 1:
            return int(extent[0])
        symbols[extent] = name = f"n{len(symbols)}"
        for b, n in zip(self.net.bindings, extent):
            b[name] = int(n)
        return name
