"""How a case of one operator is written down, and the one-node models that it stands for.

    case("MatMul", f("b", "m", 5), f(5, "n"), at=[dict(b=2, m=3, n=4), ...])

An operand's extents are numbers or names; a name is bound to each of its values in turn. Integers may be bounded by a name as well
(indices). `const(...)` is an operand that the model itself contains. Every case is tried in several *variants*, see VARIANTS.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import onnx
from onnx import helper, numpy_helper

import pit

#: Extents that names take where a case says nothing: one, odd, nothing at all, and around the widths of vectors.
EXTENTS = [3, 1, 17, 0, 33, 16, 2, 47, 15, 31, 49]

#: Values on which floating-point operators differ most easily.
EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-40, -1e-40, 3e38, -3e38, 0.5, -0.5, 1.5, 2.5, -2.5, 88.0, -88.0,
                  104.0, 1e-3, -7.0, 1e6, 8388609.0, 2.0**-126], np.float32)  # fmt: skip


def standard_operators():
    """What PIT supports of the standard's own domain. Operators of other domains have tests of their own (test_experts.py)."""
    return {entry["op"] for entry in json.loads(pit._pit.op_table(True)) if "." not in entry["op"]}


@dataclass
class Arg:
    """An operand: how to make it. `value` is fixed; otherwise drawn from [lo, hi) (integers, floats), or booleans."""

    dims: tuple = ()
    dtype: str = "float32"
    lo: Any = -2.0
    hi: Any = 2.0
    edges: bool = False
    value: Optional[np.ndarray] = None
    const: bool = False

    def names(self):
        return [d for d in self.dims if isinstance(d, str)]

    def make(self, binding, rng):
        if self.value is not None:
            return self.value
        shape = [evaluated(d, binding) for d in self.dims]
        dtype = np.dtype(self.dtype)
        if self.edges:
            return rng.choice(EDGES, shape).astype(dtype)
        if dtype == np.bool_:
            return rng.random(shape) < 0.6
        lo, hi = evaluated(self.lo, binding), evaluated(self.hi, binding)
        if dtype.kind in "iu":
            return rng.integers(lo, max(hi, lo + 1), shape).astype(dtype)
        return rng.uniform(lo, hi, shape).astype(dtype)


def evaluated(x, binding):
    """A number, or the value of a formula over the names of extents."""
    return eval(x, {"min": min, "max": max}, dict(binding)) if isinstance(x, str) else x


def f(*dims, lo=-2.0, hi=2.0, dtype="float32"):
    return Arg(dims, dtype, lo, hi)


def i(*dims, lo=-5, hi=6, dtype="int64"):
    return Arg(dims, dtype, lo, hi)


def mask(*dims):
    return Arg(dims, "bool")


def edges(*dims, dtype="float32"):
    return Arg(dims, dtype, edges=True)


def given(value, dtype=None):
    """An input of the model with these values whatever the extents."""
    value = np.asarray(value, dtype)
    return Arg(value.shape, str(value.dtype), value=value)


def const(value, dtype=None):
    """An operand inside the model: values, or an operand with numbers for extents."""
    if isinstance(value, Arg):
        return Arg(value.dims, value.dtype, value.lo, value.hi, value.edges, value.value, True)
    arg = given(value, dtype)
    arg.const = True
    return arg


def ints(*values):
    return const(list(values), np.int64)


@dataclass
class Case:
    op: str
    args: list
    attrs: dict
    opsets: tuple
    outputs: int
    at: list                    #: bindings of the extents' names
    exact: bool                 #: no rounding: results are equal, signs of zeros too
    each: bool                  #: relative to each element, not to the largest
    tolerance: float
    refused: str                #: variants that PIT may refuse with an UnsupportedError ("all", or names of variants)
    reference: bool             #: ONNX Runtime's answer is wrong or missing: take onnx's own
    number: int = 0
    skip: tuple = field(default=())

    @property
    def id(self):
        return f"{self.op}-{self.number}"

    def seed(self):
        return zlib.crc32(self.id.encode())

    def __str__(self):
        def show(a):
            if a is None:
                return "-"
            if a.const and a.value is not None and a.value.size <= 8:
                return f"const {a.dtype} {a.value.tolist()}"
            return f"{'const ' if a.const else ''}{a.dtype}[{', '.join(map(str, a.dims))}]"

        attrs = ", ".join(f"{k}={v!r}" for k, v in self.attrs.items() if not isinstance(v, onnx.TensorProto))
        return f"{self.op}({', '.join(map(show, self.args))}{'; ' + attrs if attrs else ''})"


CASES: list[Case] = []


def case(op, *args, opset=17, outputs=1, at=None, exact=False, each=False, tolerance=2e-4, refused="", reference=False, skip=(),
         zero=True, **attrs):  # fmt: skip
    """Adds a case. `opset` may be several; `zero=False`: no extent that is named is 0; `skip`: variants that make no sense."""
    opsets = opset if isinstance(opset, tuple) else (opset,)
    args = [None if a is None else a for a in args]
    names = sorted({n for a in args if a is not None for n in a.names()})
    if at is None:
        at = default_bindings(names, zero)
    number = sum(c.op == op for c in CASES)
    CASES.append(Case(op, args, attrs, opsets, outputs, at, exact, each, tolerance, refused, reference, number, tuple(skip)))


def default_bindings(names, zero=True):
    if not names:
        return [{}]
    extents = [e for e in EXTENTS if e or zero]
    return [{n: extents[(k + 4 * j) % len(extents)] for j, n in enumerate(names)} for k in range(len(extents))]


#: named: extents as the case names them. free: every extent of every input a symbol of its own, so that broadcasting is found out
#: at run time. static: every extent a number. weights: so too, and all operands but the first are constants of the model.
#: inputs: the constants of the model become inputs (which PIT may refuse where an extent would depend on data).
VARIANTS = ("named", "free", "static", "weights", "inputs")


def variants_of(case):
    names = any(a.names() for a in case.args if a is not None)
    consts = any(a.const for a in case.args if a is not None)
    moved = [a for a in case.args[1:] if a is not None and not a.const]
    usable = {"named": names, "free": any(a.dims and not a.const for a in case.args if a is not None), "static": True,
              "weights": bool(moved) and not case.args[0] is None and not case.args[0].const, "inputs": consts}  # fmt: skip
    return [v for v in VARIANTS if usable[v] and v not in case.skip]


def bindings_of(case, variant, full):
    """The shapes that one model of this variant is run at."""
    if variant in ("static", "weights"):
        return case.at[:1]
    return case.at if full else case.at[:6] if variant == "named" else case.at[:5]


class OneNode:
    """The model of a case in one variant, and its inputs."""

    def __init__(self, case, variant, opset):
        self.case, self.variant, self.opset = case, variant, opset
        static = variant in ("static", "weights")
        rng = np.random.default_rng(case.seed())
        first = {n: v for n, v in case.at[0].items()}
        self.names, self.inputs, infos, initializers = [], {}, [], []
        for k, arg in enumerate(case.args):
            if arg is None:
                self.names.append("")
                continue
            name = f"x{k}"
            self.names.append(name)
            if (arg.const and variant != "inputs") or (variant == "weights" and k > 0):
                initializers.append(numpy_helper.from_array(np.asarray(arg.make(first, rng)), name))
                continue
            dims = [evaluated(d, first) if static else f"{name}_{j}" if variant == "free" else symbol(d) for j, d in enumerate(arg.dims)]
            infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(arg.dtype)), dims))
            self.inputs[name] = arg
        self.outputs = [f"y{k}" for k in range(case.outputs)]
        node = helper.make_node(case.op, self.names, self.outputs, name="it", **case.attrs)
        graph = helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=o) for o in self.outputs], initializers)
        self.proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)

    def feeds(self, binding):
        rng = np.random.default_rng([self.case.seed(), *binding.values()])
        return {name: np.asarray(arg.make(binding, rng)) for name, arg in self.inputs.items()}


def symbol(dim):
    """A formula is no name of a dimension."""
    return dim if isinstance(dim, int) else dim if dim.isidentifier() else "d_" + "".join(c if c.isalnum() else "_" for c in dim)
