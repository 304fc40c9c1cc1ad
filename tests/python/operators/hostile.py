"""Hostile models of one operator: what single.py draws, with one to three things made as wrong as a file can say them.

    python -m operators.hostile --models 100000           many, in this order; what was found stands at the end
    python -m operators.hostile --seed 1234 --models 1    this one, printed
    python -m operators.hostile --op TopK --models 500    of one operator

(from tests/python). Attributes, ranks, extents, types, lengths of lists and numbers of operands lie at and beyond their bounds. Whatever
the model, PIT answers within seconds and without much memory: with a typed error that is no InternalError, or with what ONNX Runtime or
onnx's reference evaluator says. Models run in a child process with little memory, so that a crash or a hang names its seed.
"""

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import helper

from . import judging, single
from .drawing import schema_at

MORE_MEMORY = 1 << 30   #: bytes of address space beside what the process has before the first model
TOO_MUCH = 400 << 20    #: bytes that a model may take more than its results have
TOO_LONG = 8.0          #: seconds
SMALL = 1 << 22         #: elements of a result that is still compared

INTS = [-1, 0, 1, 2, 3, -2, 5, 31, 64, 65, 1000, 4097, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 40) + 1, 1 << 53, 1 << 61, 1 << 62, (1 << 62) + 1,
        (1 << 63) - 1, -(1 << 63), -(1 << 31), -(1 << 32), -(1 << 62)]  # fmt: skip
FLOATS = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e30, -1e30, 1e-45, 3.4e38, 2.5, 1e9, -7.5]
STRINGS = ["", "add", "constant", "x" * 5000, "NOTSET", "SAME_UPPER", "...", "ij,jk->ik", "i...->...i", "\x00", "a,b", "->", "aa->a"]
EXTENTS = [0, 1, 2, 3, 4, 5, 8, 17, 64, 1000]
DTYPES = ["f4", "f8", "f2", "i8", "i4", "i1", "u1", "?"]
Attribute = onnx.defs.OpSchema.AttrType


# -- drawing ---------------------------------------------------------------------------------------------------------------------------


class Hostile:
    """Changes to a drawn model."""

    def __init__(self, model, rng):
        self.model, self.rng, self.done = model, rng, []
        self.schema = schema_at(model.op, model.opset)

    def choose(self, items):
        return items[int(self.rng.integers(len(items)))]

    def maybe(self, p):
        return self.rng.random() < p

    def operand(self):
        return int(self.rng.integers(len(self.model.operands))) if self.model.operands else None

    # attributes
    def value(self, type):
        n = self.choose([0, 1, 2, 3, 4, 5, 8, 70]) if self.maybe(0.9) else 2000
        return {
            Attribute.INT: lambda: self.choose(INTS),
            Attribute.FLOAT: lambda: float(np.float32(self.choose(FLOATS))),
            Attribute.STRING: lambda: self.choose(STRINGS),
            Attribute.INTS: lambda: [self.choose(INTS if self.maybe(0.5) else INTS[:8]) for _ in range(n)],
            Attribute.FLOATS: lambda: [float(np.float32(self.choose(FLOATS))) for _ in range(n)],
            Attribute.STRINGS: lambda: [self.choose(STRINGS) for _ in range(n)],
            Attribute.TENSOR: lambda: onnx.numpy_helper.from_array(self.array(), "t"),
        }.get(type, lambda: self.choose(INTS))()

    def attribute(self):
        if not self.schema.attributes:
            return self.unknown_attribute()
        name = self.choose(sorted(self.schema.attributes))
        self.model.attrs[name] = self.value(self.schema.attributes[name].type)

    def list_of_attribute(self):
        """One number of a list that was right."""
        lists = [k for k, v in sorted(self.model.attrs.items()) if isinstance(v, list) and v]
        if not lists:
            return self.attribute()
        name = self.choose(lists)
        v = list(self.model.attrs[name])
        how = self.choose(["set", "drop", "add", "twice"])
        if how == "set":
            v[int(self.rng.integers(len(v)))] = self.choose(INTS)
        elif how == "drop":
            v.pop()
        elif how == "add":
            v.append(v[-1])
        else:
            v += v
        self.model.attrs[name] = v

    def attribute_of_another_type(self):
        if self.schema.attributes:
            self.model.attrs[self.choose(sorted(self.schema.attributes))] = self.value(self.choose(sorted(Attribute.__members__.values(), key=int)[:12]))

    def no_attribute(self):
        if self.model.attrs:
            del self.model.attrs[self.choose(sorted(self.model.attrs))]

    def unknown_attribute(self):
        self.model.attrs[self.choose(["axis", "axes", "alpha", "mode", "blocksize", "nothing"])] = self.choose([1, 1.5, "x", [1, 2]])

    # operands
    def shape(self, most=1 << 12):
        s = [self.choose(EXTENTS) for _ in range(self.choose([0, 0, 1, 1, 2, 3, 4, 5, 6, 9]))]
        if self.maybe(0.02):
            s = [1] * self.choose([20, 33, 64])
        while np.prod([max(1.0, d) for d in s]) > most:
            s[int(np.argmax(s))] = self.choose([0, 1, 2])
        return s

    def array(self, shape=None, dtype=None):
        shape, dtype = self.shape() if shape is None else shape, np.dtype(dtype or self.choose(DTYPES))
        if dtype == bool:
            return self.rng.random(shape) < 0.5
        if dtype.kind == "f":
            pool = FLOATS if self.maybe(0.4) else [0.5, 1.0, 2.0, -1.0, 0.25]
            with np.errstate(all="ignore"):
                return np.asarray(self.rng.choice(np.array(pool), shape)).astype(dtype)
        pool = [i for i in (INTS if self.maybe(0.5) else INTS[:8]) if np.iinfo(dtype).min <= i <= np.iinfo(dtype).max]
        return np.asarray(self.rng.choice(np.array(pool, dtype), shape))

    def other_operand(self):
        if (k := self.operand()) is not None:
            old = self.model.operands[k]
            self.model.operands[k] = self.array(None, None if self.maybe(0.3) or old is None else old.dtype)

    def other_type(self):
        if (k := self.operand()) is not None and (old := self.model.operands[k]) is not None:
            with np.errstate(all="ignore"):
                self.model.operands[k] = old.astype(self.choose(DTYPES))

    def other_rank(self):
        k = self.operand()
        if k is None or (old := self.model.operands[k]) is None:
            return
        how = self.choose(["front", "back", "flat", "first", "scalar"])
        new = {"front": lambda: old[None], "back": lambda: old[..., None], "flat": lambda: old.reshape(-1), "first": lambda: old[0] if old.ndim and len(old) else old,
               "scalar": lambda: old.reshape(-1)[0] if old.size else old}[how]()  # fmt: skip
        self.model.operands[k] = np.asarray(new)

    def other_extent(self):
        k = self.operand()
        if k is None or (old := self.model.operands[k]) is None or not old.ndim:
            return
        axis, n = int(self.rng.integers(old.ndim)), self.choose([0, 0, 1, 2, 3, 5])
        self.model.operands[k] = np.take(old, np.arange(n) % old.shape[axis], axis) if old.shape[axis] else old

    def other_numbers(self):
        """Integers that say where or how many."""
        whole = [k for k, v in enumerate(self.model.operands) if v is not None and v.dtype.kind == "i" and v.size]
        if not whole:
            return self.other_operand()
        k = self.choose(whole)
        new = np.array(self.model.operands[k])
        at = int(self.rng.integers(new.size))
        with np.errstate(all="ignore"):
            new.reshape(-1)[at] = np.array(self.choose(INTS), np.int64).astype(new.dtype)
        self.model.operands[k] = new

    def no_operand(self):
        if (k := self.operand()) is not None:
            self.model.operands[k], self.model.constant[k] = None, False

    def fewer_operands(self):
        if self.model.operands:
            self.model.operands.pop(), self.model.constant.pop()

    def more_operands(self):
        for _ in range(self.choose([1, 1, 2, 30])):
            self.model.operands.append(self.array())
            self.model.constant.append(self.maybe(0.3))

    def constants(self):
        p = self.choose([0.0, 1.0, 0.5])
        self.model.constant = [v is not None and self.maybe(p) for v in self.model.operands]

    def more_outputs(self):
        self.model.outputs = self.choose([1, 2, 3, 4, 5, 20])

    def other_dims(self):
        self.model.dims = self.choose(["static", "named", "free"])

    def other_opset(self):
        span = single.opsets(self.model.op)
        self.model.opset = int(self.choose(self.choose(span)))

    CHANGES = [attribute] * 6 + [list_of_attribute] * 3 + [attribute_of_another_type, no_attribute, unknown_attribute] + [other_operand] * 4 + [
        other_rank] * 4 + [other_extent] * 3 + [other_numbers] * 5 + [other_type, no_operand, fewer_operands, more_operands, constants, constants, more_outputs,
        other_dims, other_opset]  # fmt: skip


def draw(seed, op=None):
    """The model that this seed stands for."""
    model = single.draw(seed, op)
    rng = np.random.default_rng([104729, seed])
    hostile = Hostile(model, rng)
    for _ in range(int(rng.integers(1, 4))):
        change = Hostile.CHANGES[int(rng.integers(len(Hostile.CHANGES)))]
        try:
            change(hostile)
            hostile.done.append(change.__name__)
        except (ValueError, OverflowError, IndexError):  # numpy has bounds, too
            pass
    model.options = dict(sparsity="auto" if rng.random() < 0.6 else "off", threads=1)
    return model, ", ".join(hostile.done)


def proto_of(model):
    """The model as a file; onnx's helper does not know what type an empty list has."""
    empty = {k: v for k, v in model.attrs.items() if isinstance(v, list) and not v}
    attrs, model.attrs = model.attrs, {k: v for k, v in model.attrs.items() if k not in empty}
    proto, model.attrs = model.proto(), attrs
    for name in empty:
        types = onnx.AttributeProto.AttributeType
        known = schema_at(model.op, model.opset).attributes.get(name)
        proto.graph.node[0].attribute.add(name=name, type=types.FLOATS if known and known.type == Attribute.FLOATS else types.INTS)
    return proto


# -- judging ---------------------------------------------------------------------------------------------------------------------------

#: What a model comes to. `FAILURES` are; the others are counted.
FAILURES = ("wrong", "internal", "untyped", "memory", "hang", "crash")
OUTCOMES = ("equal", "both refuse", "PIT refuses", "PIT alone takes", "ONNX Runtime deviates", "undefined", "large", "ONNX Runtime dies", *FAILURES)


def peak(reset=False):
    if reset:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def undefined(model):
    """Whether nobody says what the result is, or implementations differ."""
    values = [v for v in model.operands if v is not None]
    whole = any(v.dtype.kind in "iu" for v in values)
    large = any(v.dtype.kind == "f" and v.size and not (np.abs(v) < 1e4).all() for v in values)
    return any([
        whole and model.op in ("Div", "Mod", "Pow", "Range"),            # divided by zero
        whole and model.op in ("Shrink", "ReduceMean", "Mean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"),  # in floating point by some
        whole and model.op == "Gemm" and any(v % 1 for k, v in model.attrs.items() if k in ("alpha", "beta") and isinstance(v, float)),
        model.op in ("Cast", "CastLike", "QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear", "OneHot"),  # what does not fit
        large and model.op in ("Sin", "Cos", "Tan"),
        large and model.op in ("CumProd", "ReduceProd", "CumSum"),       # in which order a product overflows
        large and model.op == "MeanVarianceNormalization",               # squares that overflow
        any(isinstance(v, float) and not abs(v) < 1e20 for v in model.attrs.values()),  # alpha * (e^x - 1), or alpha * e^x - alpha
        model.op == "Dropout" and model.outputs > 1 and model.opset < 12,  # the mask was not set in inference
        model.op == "ReduceLogSumExp" and bool(model.attrs.get("noop_with_empty_axes")),  # log(exp(x)) is x, or is computed
    ])  # fmt: skip


def ask(model, proto):
    """(answer or None, outcome, why) of PIT."""
    import pit

    before, start = peak(reset=True), time.monotonic()
    results, stage = None, "compile"
    try:
        compiled = pit.compile(proto, cache_dir="none", **model.options)
        stage = "run"
        results = compiled(model.feeds())
    except pit.InternalError as e:
        return None, "internal", f"{stage}: {e}"
    except pit.PitError as e:
        outcome, why = "refuses", f"{stage}: {type(e).__name__}: {e}"
        if stage == "compile" and "not enough memory" in str(e):
            return None, "memory", why
    except Exception as e:
        return None, "untyped", f"{stage}: {type(e).__name__}: {e}"
    else:
        outcome, why = "", ""
    size = sum(v.nbytes for v in results.values()) if results else 0
    if time.monotonic() - start > TOO_LONG + size / (1 << 27):
        return None, "hang", f"{time.monotonic() - start:.1f} s; {why}"
    if peak() - before > TOO_MUCH + 3 * size and "not enough memory" not in why:
        return None, "memory", f"{(peak() - before) >> 20} MB; {why}"
    return results, outcome, why


def judge(model, proto, results, outcome, why):
    """What ONNX Runtime says to PIT's answer or refusal."""
    if results is not None and sum(v.size for v in results.values()) > SMALL:
        return "large", ""
    want = judging.ask_runtime(model, proto)
    if isinstance(want, str) and any(t in want for t in ("NOT_IMPLEMENTED", "NotImplemented", "is not a registered", "Could not find", "opset")):
        want = judging.reference(model, proto)
    if outcome == "refuses":
        return ("both refuse", why) if isinstance(want, str) else ("PIT refuses", why)
    if isinstance(want, str):
        return "PIT alone takes", want
    if undefined(model):
        return "undefined", ""
    found = judging.difference(model, results, want)
    if not found:
        return "equal", ""
    other = judging.reference(model, proto)
    if not isinstance(other, str) and not judging.difference(model, results, other):
        return "ONNX Runtime deviates", found
    return "wrong", found


# -- running ---------------------------------------------------------------------------------------------------------------------------


def child(first, count, op):
    """Judges models; a line before each, one when PIT has answered, and one after it."""
    import pit
    from .oracle import session

    relu = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", 1, [2])],
                                               [helper.make_tensor_value_info("y", 1, [2])]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)  # fmt: skip
    pit.compile(relu, threads=1, cache_dir="none")(x=np.ones(2, np.float32))
    session(relu)
    with open("/proc/self/statm") as f:
        used = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for seed in range(first, first + count):
        print(json.dumps({"begin": seed}), flush=True)
        model, changes = draw(seed, op)
        text = f"{str(model)[:600]} ({changes})"
        try:
            proto = proto_of(model)
        except Exception as e:  # onnx will not write it
            print(json.dumps({"seed": seed, "op": model.op, "outcome": "both refuse", "why": f"{e}"[:200], "model": text}), flush=True)
            continue
        results, outcome, why = ask(model, proto)
        found = {"seed": seed, "op": model.op, "outcome": outcome, "why": why[:500], "model": text}
        if outcome not in FAILURES:
            print(json.dumps({"answered": seed}), flush=True)
            found["outcome"], found["why"] = (str(x)[:500] for x in judge(model, proto, results, outcome, why))
        print(json.dumps(found), flush=True)


def run(first, count, op=None, patience=15):
    """The outcomes of these models, each as `child` prints it. A child that dies or is silent for too long is started anew behind it."""
    end = first + count
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    while first < end:
        command = [sys.executable, "-m", "operators.hostile", "--child", "--seed", str(first), "--models", str(min(end - first, 2000))]
        begun, answered = None, False
        with subprocess.Popen([*command, *(["--op", op] if op else [])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as process:
            start = time.monotonic()
            for found in map(json.loads, single.lines(process, patience)):
                if "begin" in found:
                    begun, answered, start = found["begin"], False, time.monotonic()
                elif "answered" in found:
                    answered = True
                else:
                    yield found
                    first, begun = found["seed"] + 1, None
        if begun is not None:
            model, changes = draw(begun, op)
            outcome = "ONNX Runtime dies" if answered else "hang" if time.monotonic() - start >= patience else "crash"
            yield {"seed": begun, "op": model.op, "outcome": outcome, "why": f"the process ended with {process.returncode}", "model": f"{str(model)[:600]} ({changes})"}
            first = begun + 1
        elif process.returncode != 0 and first < end:
            raise RuntimeError(f"the child {' '.join(command)} ended with {process.returncode}")


def summary(found):
    return single.summary(found, OUTCOMES, FAILURES)


if __name__ == "__main__":
    sys.exit(single.command_line(__doc__, child, run, OUTCOMES, FAILURES))
