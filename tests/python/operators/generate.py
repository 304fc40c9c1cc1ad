"""Random small graphs: operators chained with extents that are known only at run time."""

import numpy as np

from .net import Net, Node
from .spec import evaluated

WIDTHS = [1, 2, 3, 4, 6, 8, 15, 16, 17, 32, 33, 48]
EXTENTS = [1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33]
LIMIT = 30000  #: elements of a tensor


class Generator:
    def __init__(self, seed, bindings=3):
        self.rng = np.random.default_rng(seed)
        self.net = Net()
        self.count = 0
        self.net.bindings = [self.binding(k) for k in range(bindings)]
        self.net.feeds = [{} for _ in self.net.bindings]
        self.floats = []  #: tensors to go on with

    def binding(self, k):
        if k == 1 and self.rng.random() < 0.5:
            return dict(b=1, s=1, t=1)
        return {n: int(self.pick(EXTENTS if n != "b" else [1, 2, 3, 4])) for n in "bst"}

    # -- bookkeeping

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return self.rng.random() < p

    def name(self, prefix="v"):
        self.count += 1
        return f"{prefix}{self.count}"

    def dims(self, x):
        return self.net.types[x][1]

    def dtype(self, x):
        return self.net.types[x][0]

    def size(self, dims):
        return max(int(np.prod([evaluated(d, b) for d in dims])) for b in self.net.bindings)

    def input(self, dims, dtype="float32", make=None):
        name = self.name("x")
        self.net.inputs.append(name)
        self.net.types[name] = (dtype, tuple(dims))
        for binding, feeds in zip(self.net.bindings, self.net.feeds):
            shape = [evaluated(d, binding) for d in dims]
            feeds[name] = np.asarray(self.values(shape, dtype) if make is None else make(shape, binding), dtype)
        return name

    def values(self, shape, dtype="float32"):
        if dtype == "bool":
            return self.rng.random(shape) < 0.6
        if dtype.startswith("int"):
            return self.rng.integers(0, 6, shape).astype(dtype)
        return self.rng.uniform(-1.5, 1.5, shape).astype(dtype)

    def constant(self, value):
        value = np.asarray(value)
        name = self.name("c")
        self.net.constants[name] = value
        self.net.types[name] = (str(value.dtype), tuple(value.shape))
        return name

    def weight(self, *shape, scale=None):
        w = self.rng.uniform(-1, 1, shape) * (scale or 1.0)
        return self.constant(w.astype(np.float32))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def add(self, op, inputs, dims, dtype="float32", **attrs):
        out = self.name()
        self.net.nodes.append(Node(op, list(inputs), [out], attrs))
        self.net.types[out] = (dtype, tuple(dims))
        return out

    # -- moves: each takes a tensor to another one, or gives None where it does not fit

    def unary(self, x):
        op = self.pick(["Relu", "Tanh", "Sigmoid", "Erf", "Gelu", "Abs", "Neg", "Sin", "Softplus", "LeakyRelu", "Elu", "HardSwish", "Clip", "Exp",
                        "Sqrt", "Identity", "Softsign"])  # fmt: skip
        if op == "Clip":
            return self.add(op, [x, self.constant(np.float32(-0.7)), self.constant(np.float32(0.9))], self.dims(x))
        if op == "Exp":
            x = self.add("Tanh", [x], self.dims(x))
        if op == "Sqrt":
            x = self.add("Abs", [x], self.dims(x))
        return self.add(op, [x], self.dims(x))

    def partner(self, x):
        """Something that x may be combined with element by element, and the extents of the result."""
        dims = self.dims(x)
        same = [y for y in self.floats if self.dims(y) == dims and y != x]
        if same and self.chance(0.5):
            return self.pick(same), dims
        compatible = [y for y in self.floats if self.broadcast(dims, self.dims(y)) is not None]
        if compatible and self.chance(0.4):
            y = self.pick(compatible)
            return y, self.broadcast(dims, self.dims(y))
        kind = self.pick(["scalar", "last", "input", "stretched", "run time"])
        if kind == "last" and dims and isinstance(dims[-1], int):
            return self.weight(dims[-1]), dims
        if kind == "input":
            return self.input(dims[int(self.rng.integers(len(dims) + 1)):]), dims
        if kind == "stretched":
            return self.input([1 if self.chance(0.5) else d for d in dims]), dims
        if kind == "run time" and dims:
            # An extent of its own that happens to be 1, or to be the other's.
            own = []
            for d in dims:
                symbol = self.name("r")
                for b in self.net.bindings:
                    b[symbol] = 1 if self.chance(0.5) else evaluated(d, b)
                own.append(symbol)
            return self.input(own), dims
        return self.constant(np.float32(self.rng.uniform(-2, 2))), dims

    def broadcast(self, a, b):
        n = max(len(a), len(b))
        a, b, out = (1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), []
        for p, q in zip(a, b):
            if p != q and p != 1 and q != 1:
                return None
            out.append(q if p == 1 else p)
        return tuple(out) if self.size(out) <= LIMIT else None

    def binary(self, x):
        y, dims = self.partner(x)
        op = self.pick(["Add", "Add", "Sub", "Mul", "Mul", "Max", "Min", "Div"])
        if op == "Div":
            y = self.add("Add", [self.add("Abs", [y], self.dims(y)), self.constant(np.float32(0.5))], self.dims(y))
        return self.add(op, [x, y] if self.chance(0.7) else [y, x], dims) if op != "Div" else self.add(op, [x, y], dims)

    def where(self, x):
        y, dims = self.partner(x)
        if self.chance(0.5):
            c = self.add("Greater", [x, self.constant(np.float32(0.1))], self.dims(x), "bool")
        else:
            c = self.input([1 if self.chance(0.3) else d for d in self.dims(x)], "bool")
        return self.add("Where", [c, x, y], dims)

    def linear(self, x):
        dims = self.dims(x)
        if len(dims) < 2 or not isinstance(dims[-1], int):
            return None
        n = self.pick(WIDTHS)
        y = self.add("MatMul", [x, self.weight(dims[-1], n, scale=dims[-1] ** -0.5)], dims[:-1] + (n,))
        if self.chance(0.6):
            bias = self.weight(n)
            y = self.add("Add", [y, bias] if self.chance(0.5) else [bias, y], dims[:-1] + (n,))
        return y

    def gemm(self, x):
        dims = self.dims(x)
        if len(dims) != 2 or not isinstance(dims[-1], int):
            return None
        n, trans = self.pick(WIDTHS), self.chance(0.5)
        w = self.weight(*((n, dims[1]) if trans else (dims[1], n)), scale=dims[1] ** -0.5)
        return self.add("Gemm", [x, w] + ([self.weight(n)] if self.chance(0.7) else []), (dims[0], n), transB=int(trans), alpha=self.pick([1.0, 0.5]))

    def pairwise(self, x):
        """x x^T, or x y^T with another tensor of the same rows, perhaps softmax, perhaps times a tensor again."""
        dims = self.dims(x)
        if len(dims) < 2:
            return None
        others = [y for y in self.floats if len(self.dims(y)) == len(dims) and self.dims(y)[:-2] == dims[:-2] and self.dims(y)[-1] == dims[-1]]
        y = self.pick(others) if others else x
        rows, columns = dims[-2], self.dims(y)[-2]
        if self.size(dims[:-1] + (columns,)) > LIMIT:
            return None
        perm = list(range(len(dims)))
        perm[-2:] = perm[:-3:-1]
        t = self.add("Transpose", [y], self.dims(y)[:-2] + (dims[-1], columns), perm=perm)
        s = self.add("MatMul", [x, t], dims[:-1] + (columns,))
        s = self.add("Mul", [s, self.constant(np.float32(0.3))], dims[:-1] + (columns,))
        if self.chance(0.6):
            s = self.add("Softmax", [s], dims[:-1] + (columns,), axis=-1)
            if self.chance(0.7):
                return self.add("MatMul", [s, y], dims[:-2] + (rows, self.dims(y)[-1]))
        return s

    def reduce(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        axes = sorted(self.rng.choice(len(dims), int(self.rng.integers(1, min(2, len(dims)) + 1)), replace=False).tolist())
        keep = int(self.chance(0.5))
        out = [1 if k in axes else d for k, d in enumerate(dims) if keep or k not in axes]
        op = self.pick(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"])
        y = self.add(op, [x, self.ints(*axes)], out, keepdims=keep)
        return self.add("Tanh", [y], out) if op in ("ReduceSum", "ReduceL2") else y

    def softmax(self, x):
        dims = self.dims(x)
        return self.add(self.pick(["Softmax", "Softmax", "LogSoftmax"]), [x], dims, axis=int(self.rng.integers(-1, len(dims)))) if dims else None

    def layer_norm(self, x):
        dims = self.dims(x)
        if not dims or not isinstance(dims[-1], int) or dims[-1] < 2:
            return None
        n = dims[-1]
        if self.chance(0.6):
            return self.add("LayerNormalization", [x, self.weight(n), self.weight(n)], dims, epsilon=1e-3)
        kept = dims[:-1] + (1,)
        mean = self.add("ReduceMean", [x, self.ints(-1)], kept)
        d = self.add("Sub", [x, mean], dims)
        sq = self.add("Pow", [d, self.constant(np.float32(2))], dims)
        var = self.add("Add", [self.add("ReduceMean", [sq, self.ints(-1)], kept), self.constant(np.float32(1e-3))], kept)
        y = self.add("Div", [d, self.add("Sqrt", [var], kept)], dims)
        return self.add("Add", [self.add("Mul", [y, self.weight(n)], dims), self.weight(n)], dims)

    def transpose(self, x):
        dims = self.dims(x)
        perm = self.rng.permutation(len(dims)).tolist()
        return self.add("Transpose", [x], [dims[p] for p in perm], perm=perm) if len(dims) >= 2 else None

    def split_last(self, x):
        dims = self.dims(x)
        if not dims or not isinstance(dims[-1], int) or len(dims) > 3:
            return None
        factors = [k for k in range(2, dims[-1] + 1) if dims[-1] % k == 0]
        if not factors:
            return None
        k = self.pick(factors)
        return self.reshape(x, dims[:-1] + (dims[-1] // k, k))

    def merge(self, x):
        dims = self.dims(x)
        if len(dims) < 2:
            return None
        at = int(self.rng.integers(len(dims) - 1))
        p, q = dims[at], dims[at + 1]
        both = p * q if isinstance(p, int) and isinstance(q, int) else f"({p})*({q})"
        return self.reshape(x, dims[:at] + (both,) + dims[at + 2:])

    def reshape(self, x, dims):
        """By constants where one -1 (and zeros) will do, else by a chain of Shape, Gather, Concat as exporters write it."""
        known = sum(isinstance(d, int) for d in dims)
        if known >= len(dims) - 1 and self.chance(0.7):
            return self.add("Reshape", [x, self.ints(*[d if isinstance(d, int) else -1 for d in dims])], dims)
        own = self.dims(x)
        shape = self.add("Shape", [x], [len(own)], "int64")
        parts, missing = [], False
        for d in dims:
            if isinstance(d, int):
                parts.append(self.ints(d))
            elif d in own:
                if self.chance(0.5):
                    e = self.add("Gather", [shape, self.constant(np.int64(own.index(d)))], [], "int64", axis=0)
                    parts.append(self.add("Unsqueeze", [e, self.ints(0)], [1], "int64"))
                else:
                    k = own.index(d)
                    parts.append(self.add("Slice", [shape, self.ints(k), self.ints(k + 1), self.ints(0)], [1], "int64"))
            elif not missing:
                missing = True
                parts.append(self.ints(-1))
            else:
                return None
        target = self.add("Concat", parts, [len(dims)], "int64", axis=0)
        return self.add("Reshape", [x, target], dims)

    def slice(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        axis = int(self.rng.integers(len(dims)))
        d = dims[axis]
        kind = self.pick(["first", "last", "rest", "reverse", "strided", "gather"])
        if kind == "gather":
            at = self.pick([0, -1])
            return self.add("Gather", [x, self.constant(np.int64(at))], dims[:axis] + dims[axis + 1:], axis=axis)
        start, end, step, out = {"first": (0, 1, 1, 1), "last": (-1, 2**62, 1, 1), "rest": (1, 2**62, 1, self.formula(d, "{}-1")),
                                 "reverse": (-1, -(2**62), -1, d), "strided": (0, 2**62, 2, self.formula(d, "({}+1)//2"))}[kind]  # fmt: skip
        if min(evaluated(out, b) for b in self.net.bindings) < 1:
            return None
        return self.add("Slice", [x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step)], dims[:axis] + (out,) + dims[axis + 1:])

    @staticmethod
    def formula(d, text):
        return eval(text.format(d)) if isinstance(d, int) else text.format(f"({d})")

    def concat(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        axis = int(self.rng.integers(len(dims)))
        others = [y for y in self.floats if len(self.dims(y)) == len(dims) and all(k == axis or p == q for k, (p, q) in enumerate(zip(dims, self.dims(y))))]
        y = self.pick(others) if others else x
        p, q = dims[axis], self.dims(y)[axis]
        both = p + q if isinstance(p, int) and isinstance(q, int) else f"({p})+({q})"
        return self.add("Concat", [x, y], dims[:axis] + (both,) + dims[axis + 1:], axis=axis)

    def unsqueeze(self, x):
        dims = self.dims(x)
        axis = int(self.rng.integers(len(dims) + 1))
        return self.add("Unsqueeze", [x, self.ints(axis)], dims[:axis] + (1,) + dims[axis:]) if len(dims) < 4 else None

    def squeeze(self, x):
        dims = self.dims(x)
        ones = [k for k, d in enumerate(dims) if d == 1]
        if not ones:
            return None
        axis = self.pick(ones)
        return self.add("Squeeze", [x, self.ints(axis)], dims[:axis] + dims[axis + 1:])

    def split(self, x):
        dims = self.dims(x)
        if not dims or not isinstance(dims[-1], int) or dims[-1] < 2:
            return None
        k = int(self.rng.integers(1, dims[-1]))
        outs = [self.name(), self.name()]
        self.net.nodes.append(Node("Split", [x, self.ints(k, dims[-1] - k)], outs, dict(axis=-1)))
        for o, n in zip(outs, (k, dims[-1] - k)):
            self.net.types[o] = ("float32", dims[:-1] + (n,))
        self.floats.append(outs[1])
        return outs[0]

    def pad(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        amounts = self.rng.integers(0, 3, 2 * len(dims)).tolist()
        out = [self.formula(d, "{}+" + str(amounts[k] + amounts[k + len(dims)])) for k, d in enumerate(dims)]
        return self.add("Pad", [x, self.ints(*amounts)], out)

    def embed(self, _):
        ids = self.input(("b", "s") if self.chance(0.7) else ("t",), "int64")
        n = self.pick(WIDTHS)
        return self.add("Gather", [self.weight(6, n), ids], self.dims(ids) + (n,), axis=0)

    def cast(self, x):
        to, dims = self.pick(["bool", "int", "greater"]), self.dims(x)
        if to == "bool":
            c = self.add("Less", [x, self.constant(np.float32(0.2))], dims, "bool")
            c = self.add("Not", [c], dims, "bool") if self.chance(0.5) else c
        elif to == "int":
            c = self.add("Cast", [self.add("Mul", [x, self.constant(np.float32(3))], dims)], dims, "int64", to=7)
            c = self.add("Mul", [c, self.ints(2)], dims or [1], "int64")
        else:
            y, dims = self.partner(x)
            c = self.add("Greater", [x, y], dims, "bool")
        return self.add("Cast", [c], self.dims(c), to=1)

    def tile(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        reps = [int(self.pick([1, 1, 2])) for _ in dims]
        return self.add("Tile", [x, self.ints(*reps)], [d if r == 1 else self.formula(d, f"{{}}*{r}") for d, r in zip(dims, reps)])

    def expand(self, x):
        dims = self.dims(x)
        ones = [k for k, d in enumerate(dims) if d == 1]
        if not ones:
            return None
        k, n = self.pick(ones), int(self.pick([2, 3, 5]))
        return self.add("Expand", [x, self.ints(*[n if j == k else 1 for j in range(len(dims))])], dims[:k] + (n,) + dims[k + 1:])

    def cumsum(self, x):
        dims = self.dims(x)
        if not dims:
            return None
        y = self.add("CumSum", [x, self.constant(np.int64(self.rng.integers(len(dims))))], dims)
        return self.add("Tanh", [y], dims)

    MOVES = [("unary", 6), ("binary", 8), ("where", 2), ("linear", 5), ("gemm", 2), ("pairwise", 3), ("reduce", 3), ("softmax", 2),
             ("layer_norm", 3), ("transpose", 3), ("split_last", 2), ("merge", 2), ("slice", 3), ("concat", 2), ("unsqueeze", 1), ("squeeze", 1),
             ("split", 1), ("pad", 1), ("embed", 1), ("cast", 1), ("tile", 1), ("expand", 1), ("cumsum", 1)]  # fmt: skip

    def step(self, moves=None):
        """One more move; what is made late is more likely to be gone on with."""
        moves = moves or self.MOVES
        total = sum(w for _, w in moves)
        for _ in range(20):
            at, r = 0, self.rng.integers(total)
            for name, w in moves:
                r -= w
                if r < 0:
                    at = name
                    break
            x = self.floats[-1 - int(min(self.rng.geometric(0.45) - 1, len(self.floats) - 1))]
            saved = len(self.net.nodes)
            y = getattr(self, at)(x)
            if y is None:
                del self.net.nodes[saved:]
                continue
            if self.size(self.dims(y)) > LIMIT or len(self.dims(y)) > 5:
                del self.net.nodes[saved:]
                self.floats = [f for f in self.floats if f in self.made()]
                continue
            self.floats.append(y)
            return y
        return None

    def made(self):
        return set(self.net.inputs) | {o for n in self.net.nodes for o in n.outputs}

    def finish(self, outputs):
        made = [o for n in self.net.nodes for o in n.outputs]
        used = {i for n in self.net.nodes for i in n.inputs}
        ends = [f for f in self.floats if f in made and f not in used] or made[-1:]
        chosen = ends[-outputs:] if outputs > 1 else ends[-1:]
        if outputs > 2 and made:
            chosen.append(self.pick([f for f in self.floats if f in made] or made))
        self.net.outputs = list(dict.fromkeys(chosen))
        return self.net.pruned()


def random_net(seed, steps=None):
    """A graph of element-wise operators, contractions, reductions and movements."""
    g = Generator(seed)
    for dims in (("b", "s", g.pick(WIDTHS)), ("b", "s", "t"), ("s", g.pick(WIDTHS)), ("b", 2, "s", 8), (g.pick(WIDTHS),), ("t", "b")):
        if g.chance(0.45) or dims[0] == "b" and not g.floats:
            g.floats.append(g.input(dims))
    for _ in range(steps or int(g.rng.integers(2, 14))):
        g.step()
    return g.finish(int(g.rng.integers(1, 4)))
