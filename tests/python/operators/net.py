"""Small graphs as data: built by the generators, compared with ONNX Runtime, taken apart when they fail."""

import copy
import functools
import re
import time
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

import pit

from .oracle import LARGE, NEEDS_ELEMENTS, OPSET, difference, run_operator, session
from .spec import evaluated

FLOOR = 1e-5  #: what is left of sums of numbers round 1 that cancel
HALF_FLOOR = 2e-2  #: the same where some were rounded to f16
FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@dataclass
class Node:
    op: str
    inputs: list
    outputs: list
    attrs: dict = field(default_factory=dict)


@dataclass
class Net:
    """`types`: name -> (dtype, extents: numbers or formulas over the names in the bindings). `feeds`: per binding the inputs' values.
    `declared`: output -> the input that says where it is wanted."""

    nodes: list = field(default_factory=list)
    types: dict = field(default_factory=dict)
    inputs: list = field(default_factory=list)
    constants: dict = field(default_factory=dict)
    outputs: list = field(default_factory=list)
    declared: dict = field(default_factory=dict)
    bindings: list = field(default_factory=list)
    feeds: list = field(default_factory=list)

    def proto(self, outputs=None):
        def info(name):
            dtype, dims = self.types[name]
            symbols = [d if isinstance(d, int) else d if d.isidentifier() else None for d in dims]
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), symbols)

        nodes = [helper.make_node(n.op, n.inputs, n.outputs, name=n.outputs[0], **n.attrs) for n in self.nodes]
        constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()]
        outs = [onnx.ValueInfoProto(name=o) for o in (outputs or self.outputs)]
        graph = helper.make_graph(nodes, "net", [info(i) for i in self.inputs], outs, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)

    def shape(self, name, binding):
        return [evaluated(d, binding) for d in self.types[name][1]]

    def pruned(self):
        """Without what no output needs."""
        self.declared = {o: m for o, m in self.declared.items() if o in self.outputs}
        needed, nodes = set(self.outputs) | set(self.declared.values()), []
        for n in reversed(self.nodes):
            if needed & set(n.outputs):
                nodes.insert(0, n)
                needed |= set(n.inputs)
        self.nodes = nodes
        self.inputs = [i for i in self.inputs if i in needed]
        self.constants = {k: v for k, v in self.constants.items() if k in needed}
        self.feeds = [{k: v for k, v in f.items() if k in self.inputs} for f in self.feeds]
        return self

    def __str__(self):
        def constant(v):
            v = np.asarray(v)
            return f"{v.dtype}{list(v.shape)}" + (f" {v.tolist()}" if v.size <= 8 else "")

        lines = [f"  input    {i}: {self.types[i][0]}{list(self.types[i][1])}" for i in self.inputs]
        lines += [f"  constant {k}: {constant(v)}" for k, v in self.constants.items()]
        lines += [f"  {', '.join(n.outputs)} = {n.op}({', '.join(n.inputs)}{'; ' if n.attrs else ''}"
                  + ", ".join(f"{k}={v!r}" for k, v in n.attrs.items()) + ")" for n in self.nodes]  # fmt: skip
        wanted = [f"  wanted   {o} where {m}" for o, m in self.declared.items()]
        return "\n".join(lines + [f"  outputs  {', '.join(self.outputs)}", *wanted, f"  at       {self.bindings}"])

    def has_halves(self):
        return any(dtype == "float16" for dtype, _ in self.types.values())

    def one_by_one(self, feeds):
        """The outputs where every operator rounds what it gives. ONNX Runtime keeps f32 between some that work on f16, and either is right."""
        values = {**self.constants, **feeds}
        for n in self.nodes:
            results = run_operator(n.op, [np.asarray(values[i]) if i else None for i in n.inputs], len(n.outputs), n.attrs)
            values.update(zip(n.outputs, results))
        return [values[o] for o in self.outputs]

    def unrounded(self, feeds):
        """The outputs where what is f16 is f32 until the end: what is left of scores beside a large fill is a matter of where they are rounded."""
        wide = copy.copy(self)
        wide.types = {k: ("float32" if dtype == "float16" else dtype, dims) for k, (dtype, dims) in self.types.items()}
        wide.constants = {k: widened(v) for k, v in self.constants.items()}
        wide.nodes = [Node(n.op, n.inputs, n.outputs, {k: FLOAT if v == FLOAT16 and n.op == "Cast" else v for k, v in n.attrs.items()}) for n in self.nodes]
        with np.errstate(over="ignore"):
            results = session(wide.proto()).run(None, {k: widened(v) for k, v in feeds.items()})
            return [v.astype(self.types[o][0]) for o, v in zip(self.outputs, results)]

    def wanted(self):
        """What to pass as `outputs` to pit.compile."""
        return {o: self.declared.get(o) for o in self.outputs} if self.declared else None


def widened(v):
    v = np.asarray(v)
    return v.astype(np.float32) if v.dtype == np.float16 else v


#: What each net is compiled with.
CONFIGS = [dict(sparsity="auto", threads=2, poison=True), dict(sparsity="off", threads=1, poison=True),
           dict(sparsity="auto", threads=1, cpu="haswell")]  # fmt: skip


class Failure(Exception):
    pass


class Refused(Exception):
    """PIT says that it does not know something."""


def check(net, tolerance=2e-4, lenient=False, configs=CONFIGS):
    """The last model compiled; Failure where PIT and ONNX Runtime disagree. `lenient`: where ONNX Runtime says NaN, PIT may have skipped it."""
    proto, floor = net.proto(), HALF_FLOOR if net.has_halves() else FLOOR
    reference = session(proto)
    wants = [undemanded(net, f, reference.run(None, f)) for f in net.feeds]
    slacks = [None] * len(wants)

    @functools.cache
    def other_wants(k):
        """As right: where f16 is rounded after each operator, and where it is not before the end."""
        return [undemanded(net, net.feeds[k], results(net.feeds[k])) for results in (net.one_by_one, net.unrounded)]

    for config in configs:
        try:
            model = pit.compile(proto, outputs=net.wanted(), **config)
        except pit.UnsupportedError as e:
            raise Refused(f"{config}: {e}") from None
        except pit.PitError as e:
            if "does not fit the output" in str(e):  # an extent of 1 that PIT cannot know to be 1
                raise Refused(f"{config}: {e}") from None
            raise Failure(f"{config}: {type(e).__name__}: {e}") from None
        order = [*range(len(wants)), 0] if len(wants) > 1 else [0]  # the first once more: what others left in memory
        for k in order:
            binding, feeds, want = net.bindings[k], net.feeds[k], wants[k]
            try:
                got = model(feeds)
            except pit.PitError as e:
                raise Failure(f"{config} at {binding}: {type(e).__name__}: {e}") from None
            for o, (name, w) in enumerate(zip(net.outputs, want)):
                g = got[name]
                if lenient and w.dtype.kind == "f" and g.shape == w.shape:
                    g = np.where(np.isnan(w), w, g)
                wrong = difference(g, w, tolerance, floor=floor)
                if not wrong or net.has_halves() and any(not difference(g, other[o], tolerance, floor=floor) for other in other_wants(k)):
                    continue
                slacks[k] = slacks[k] or sensitivity(reference, feeds, reference.run(None, feeds))
                wrong = difference(g, w, tolerance, slack=slacks[k][o], floor=floor) if w.dtype.kind == "f" else wrong
                if wrong and not (w.dtype.kind != "f" and slacks[k][o].any()):
                    raise Failure(f"{config} at {binding}: {name} {wrong}")
    return model


def undemanded(net, feeds, results):
    """What declared outputs are to hold: zero where their masks are."""
    results = list(results)
    for k, name in enumerate(net.outputs):
        if name in net.declared:
            mask = feeds[net.declared[name]] != 0
            results[k] = np.where(mask.reshape(mask.shape + (1,) * (results[k].ndim - mask.ndim)), results[k], 0).astype(results[k].dtype)
    return results


def sensitivity(session, feeds, want):
    """How far results move when the inputs move by rounding errors: what ill-conditioned graphs do is nobody's fault. Masks' fills stay."""
    rng = np.random.default_rng(1)
    moved = [np.zeros(w.shape, np.float64) for w in want]

    def near(v):
        if v.dtype.kind != "f":
            return v
        return np.where((np.abs(v) < LARGE) | (v != np.round(v)), v * (1 + rng.uniform(-3e-7, 3e-7, v.shape)), v).astype(v.dtype)

    for _ in range(4):
        with np.errstate(all="ignore"):
            for m, a, b in zip(moved, session.run(None, {k: near(v) for k, v in feeds.items()}), want):
                delta = np.where(np.abs(b) < LARGE, np.abs(a.astype(np.float64) - b.astype(np.float64)), 0)
                np.maximum(m, np.nan_to_num(delta, nan=0, posinf=0), out=m)
    return [30 * m + 30 * (m.max() if m.size else 0) * (m > 0) for m in moved]


def fails(net, **options):
    try:
        check(net, **options)
    except Failure as e:
        return str(e)
    except Exception:
        return None  # not a valid graph any more, or refused
    return None


def said(message):
    """What an error says, but for names and numbers; nothing where the answer is wrong."""
    error = re.search(r"\b(\w+Error: .*)", message)
    return re.sub(r"'[^']*'|\(.*|[^\w ]|\d+", "", error.group(1)) if error else ""


def kind(message):
    """What must stay as it is while a graph shrinks, so that one failure does not turn into another one."""
    text = message.split("PIT ")[0]
    return said(text).split(" ")[0], "not np.float32(nan)" in text, "not np.float32(inf)" in text or "not np.float32(-inf)" in text


def shrink(net, seconds=60, **options):
    """The smallest graph found that still fails, and how."""
    message, until = fails(net, **options), time.monotonic() + seconds

    def accept(candidate):
        nonlocal net, message
        if time.monotonic() > until:
            return False
        try:
            candidate = candidate.pruned()
        except Exception:
            return False
        why = fails(candidate, **options)
        if why is None or kind(why) != kind(message):
            return False
        net, message = candidate, why
        return True

    for k in range(len(net.bindings)):
        one = copy.copy(net)
        one.bindings, one.feeds = [net.bindings[k]], [net.feeds[k]]
        if len(net.bindings) > 1 and accept(one):
            break
    for o in list(net.declared):
        one = copy.copy(net)
        one.declared = {k: v for k, v in net.declared.items() if k != o}
        accept(one)
    for output in list(net.outputs):
        one = copy.copy(net)
        one.outputs = [output]
        if len(net.outputs) > 1 and accept(one):
            break
    changed = True
    while changed and time.monotonic() < until:
        changed = False
        for n in reversed(list(net.nodes)):
            if n not in net.nodes:
                continue
            if any(accept(c) for c in simpler(net, n)):
                changed = True
        for extent in extents(net):
            for less in (lambda n: n // 2, lambda n: n - 1):
                while accept(shorter(net, extent, less)):
                    changed = True
    for name in [*net.inputs, *net.constants]:
        accept(rounded(net, name))
    return net, message


def extents(net):
    """Names and numbers of extents of what is given."""
    return sorted({d for i in [*net.inputs, *net.constants] for d in net.types[i][1] if isinstance(d, str) or d > 1}, key=str)


def shorter(net, extent, less):
    """With fewer elements along all axes of this name or number, in the only binding that is left; no graph where there are several."""
    c = copy.deepcopy(net)
    n = c.bindings[0].get(extent, 0) if isinstance(extent, str) else extent
    empty = n == 1 and any(node.op in NEEDS_ELEMENTS for node in net.nodes)
    if len(c.bindings) != 1 or n < 1 or empty or extent not in extents(net):
        c.outputs = []
        return c
    for values in [c.constants, c.feeds[0]]:
        for i in [i for i in values if extent in c.types[i][1]]:
            values[i] = values[i][tuple(slice(0, less(n)) if d == extent else slice(None) for d in c.types[i][1])]
    if isinstance(extent, str):
        c.bindings[0][extent] = less(n)
    else:
        c.types = {k: (dtype, tuple(less(n) if d == extent and isinstance(d, int) else d for d in dims)) for k, (dtype, dims) in c.types.items()}
    return c


def rounded(net, name):
    """With values of an input or constant that read easily."""
    c = copy.deepcopy(net)
    for values in [*c.feeds, c.constants]:
        if name in values and values[name].dtype.kind == "f":
            v = values[name]
            values[name] = np.where(np.abs(v) < LARGE, np.round(v.astype(np.float64), 1), v).astype(v.dtype)
    return c


def simpler(net, node):
    """Graphs without `node`: its outputs replaced by an operand, or by inputs with their values, or the graph ends in it."""
    for operand in node.inputs:
        if operand and net.types.get(operand) == net.types[node.outputs[0]] and len(node.outputs) == 1:
            c = copy.deepcopy(net)
            c.nodes.remove(node)
            for other in c.nodes:
                other.inputs = [operand if i == node.outputs[0] else i for i in other.inputs]
            c.outputs = list(dict.fromkeys(operand if o == node.outputs[0] else o for o in c.outputs))
            if not set(c.outputs) & (set(c.inputs) | set(c.constants)):
                yield c
    if set(node.outputs) & set(net.outputs) and len(node.inputs) >= 1:
        for operand in node.inputs:  # end before it
            if operand in net.types and operand not in net.inputs and operand not in net.constants:
                c = copy.deepcopy(net)
                c.outputs = [operand]
                yield c
        return
    c = copy.deepcopy(net)
    c.nodes.remove(node)
    try:
        values = [dict(zip(node.outputs, session(net.proto(node.outputs)).run(None, f))) for f in net.feeds]
    except Exception:
        return
    c.inputs += node.outputs
    for f, v in zip(c.feeds, values):
        f.update(v)
    yield c
