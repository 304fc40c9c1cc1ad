"""What models of one operator are drawn with: the model (`Single`), the dice (`Draw`), and the table of the operators' generators."""

import functools
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.defs
from onnx import helper, numpy_helper

OLDEST, NEWEST = 7, 28
TYPES = {f"tensor({name})": np.dtype(t) for name, t in dict(float="f4", double="f8", float16="f2", int64="i8", int32="i4", int8="i1", uint8="u1", bool="?").items()}
EXTENTS = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17]


# -- drawing ---------------------------------------------------------------------------------------------------------------------------


@dataclass
class Single:
    """One operator, its operands and what is compared."""

    op: str
    opset: int
    seed: int
    operands: list = field(default_factory=list)     #: arrays; None where left out
    constant: list = field(default_factory=list)     #: which of them the model contains
    dims: str = "static"                             #: extents of inputs: numbers, equal ones share a name, or all free
    attrs: dict = field(default_factory=dict)
    outputs: int = 1
    exact: bool = False
    tolerance: float = 2e-5
    undefined: str = ""                              #: why nobody knows the answer; PIT must live through it all the same
    options: dict = field(default_factory=dict)

    def proto(self):
        names, infos, constants = [], [], []
        for k, v in enumerate(self.operands):
            names.append("" if v is None else f"x{k}")
            if v is None:
                continue
            if self.constant[k]:
                constants.append(numpy_helper.from_array(v, names[-1]))
                continue
            dims = [d if self.dims == "static" else f"n{d}" if self.dims == "named" else f"x{k}_{j}" for j, d in enumerate(v.shape)]
            infos.append(helper.make_tensor_value_info(names[-1], helper.np_dtype_to_tensor_dtype(v.dtype), dims))
        outputs = [f"y{k}" for k in range(self.outputs)]
        node = helper.make_node(self.op, names, outputs, name="it", **self.attrs)
        graph = helper.make_graph([node], "single", infos, [onnx.ValueInfoProto(name=o) for o in outputs], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8 if self.opset < 19 else 10)

    def feeds(self):
        return {f"x{k}": v for k, v in enumerate(self.operands) if v is not None and not self.constant[k]}

    def __str__(self):
        def show(v, constant):
            if v is None:
                return "-"
            values = f" {v.tolist()}" if v.size <= 12 else ""
            return f"{'const ' if constant else ''}{v.dtype}{list(v.shape)}{values}"

        attrs = "".join(f"; {k}={v!r}" for k, v in self.attrs.items() if not isinstance(v, onnx.TensorProto))
        return f"{self.op}-{self.opset}({', '.join(map(show, self.operands, self.constant))}{attrs}) {self.dims} {self.options}"


@functools.cache
def versions(op):
    return sorted((s for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.name == op), key=lambda s: s.since_version)


def schema_at(op, opset):
    return next((s for s in reversed(versions(op)) if s.since_version <= opset), None)


def floats(dtype):
    return dtype.kind == "f"


class Draw:
    """What the operators' generators below draw from."""

    def __init__(self, op, opset, rng, seed):
        self.rng, self.single, self.schema = rng, Single(op, opset, seed), schema_at(op, opset)
        self.opset, self._types = opset, {}
        #: plain numbers, few that are often equal, or the edges of the type
        self.style = self.choose(["plain"] * 5 + ["ties"] * 2 + ["edges"] * 3)
        self.odd = rng.random() < 0.08  #: something about this model may be out of bounds

    # drawing
    def choose(self, items):
        return items[int(self.rng.integers(len(items)))]

    def maybe(self, p=0.5):
        return self.rng.random() < p

    def number(self, lo, hi):
        return int(self.rng.integers(lo, hi + 1))

    def shape(self, least=0, most=4, extents=EXTENTS, limit=1200):
        s = [self.choose(extents) if not self.maybe(0.04) else 0 for _ in range(self.number(least, most))]
        while np.prod(s) > limit:
            s[int(np.argmax(s))] = self.number(1, 3)
        return s

    def axis(self, rank):
        """Counted from either end; seldom beyond them."""
        return self.number(-rank, rank - 1) if rank and not self.odd else self.choose([rank, -rank - 1, 0, 5])

    def axes(self, rank, least=0):
        count = self.number(min(least, rank), rank)
        return [int(a) - rank * self.maybe(0.4) for a in self.rng.permutation(rank)[:count]]

    def broadcast(self, shape):
        """A shape that stretches to this one."""
        cut = self.number(0, len(shape)) if self.maybe(0.4) else 0
        return [1 if self.maybe(0.3) else d for d in shape[cut:]]

    def type(self, name="T", among=None):
        if name not in self._types:
            allowed = next((c.allowed_type_strs for c in self.schema.type_constraints if c.type_param_str == name), [name])
            usable = [TYPES[t] for t in allowed if t in TYPES and (among is None or TYPES[t].kind in among)]
            favoured = [t for t in usable if t == np.float32] * 3
            self._types[name] = self.choose(usable + favoured) if usable else np.dtype("f4")
        return self._types[name]

    def values(self, shape, dtype, lo=-4.0, hi=4.0, style=None, whole=True, nan=True):
        """`whole`: with numbers so large that sums of them overflow. `nan`: also NaN."""
        dtype, style, n = np.dtype(dtype), style or self.style, tuple(shape)
        if dtype == bool:
            return np.asarray(self.rng.random(n) < self.choose([0.2, 0.5, 0.8]))
        if style == "edges" and dtype.kind == "f":
            pool = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 1e-3]
            info = np.finfo(dtype)
            large = [info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal, info.max / 2, 88.0, -104.0, 1e4] if whole else []
            return self.rng.choice(np.array([v for v in pool + large if nan or v == v], dtype), n)
        if style == "edges":
            info = np.iinfo(dtype)
            pool = [0, 1, 2, 3, info.max, info.max - 1, info.min, info.min + 1, info.max // 2, 100]
            pool += [2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1, 2**31, 2**32, 2**32 + 1] if info.max > 2**60 else []
            return self.rng.choice(np.array(pool, dtype), n)
        if style == "ties":
            return self.rng.integers(0 if dtype.kind == "u" else -1, 3, n).astype(dtype)
        if dtype.kind == "f":
            return np.asarray(self.rng.uniform(lo, hi, n)).astype(dtype)
        return self.rng.integers(max(int(lo), 0) if dtype.kind == "u" else int(lo), int(hi) + 6, n).astype(dtype)

    # operands
    def add(self, value, constant=None):
        """An operand; `constant`: with what probability the model contains it."""
        self.single.operands.append(None if value is None else np.asarray(value))
        self.single.constant.append(value is not None and self.maybe(0.2 if constant is None else constant))
        return value

    def x(self, shape, name="T", constant=None, **how):
        return self.add(self.values(shape, self.type(name), **how), constant)

    def ints(self, values, dtype=np.int64, constant=0.85):
        return self.add(np.array(values, dtype), constant)

    def attr(self, name, values, p=0.7):
        """An attribute, if the operator has it in this opset."""
        if name in self.schema.attributes and self.maybe(p):
            self.single.attrs[name] = self.choose(list(values))
        return self.single.attrs.get(name)

    def flag(self, name, p=0.6):
        return self.attr(name, (0, 1), p)

    def set(self, **fields):
        for name, v in fields.items():
            setattr(self.single, name, v)

    def since(self, opset):
        return self.opset >= opset


GENERATORS = {}


def of(*ops, **how):
    """Registers a generator for these operators; `how`: what is true of all of them."""

    def register(f):
        for op in ops:
            GENERATORS[op] = (f, how)
        return f

    return register
