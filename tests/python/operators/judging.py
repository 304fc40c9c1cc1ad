"""Asks PIT and ONNX Runtime, and where they disagree the reference evaluator of onnx, or a few lines here where that is wrong."""

import warnings

import numpy as np

from .drawing import floats

#: What a model comes to. `wrong` and `crash` are failures; the others are counted.
OUTCOMES = ("equal", "both refuse", "PIT refuses", "PIT alone takes", "ONNX Runtime deviates", "undefined", "wrong", "crash")


def absorbs(single):
    """Whether a zero or a number that says "not this one", as masks do, meets infinity or NaN and absorbs it: see the README's limits."""
    sums = ("Add", "Sub", "Sum", "Mean", "Conv", "ConvTranspose", "Gemm")
    products = ("Mul", "MatMul", "Einsum")
    if single.op not in sums and (single.op not in products or single.options["sparsity"] == "off"):
        return False
    return any(v is not None and floats(v.dtype) and not (np.abs(v) < 1e4).all() for v in single.operands)


def difference(single, got, want):
    from .oracle import difference as differs

    for k, w in enumerate(want):
        g = np.asarray(got[f"y{k}"])
        if single.op == "MaxPool" and w.dtype.kind == "f":  # of nothing but padding: ONNX Runtime has the least finite number
            w = np.where(w == np.finfo(w.dtype).min, np.array(-np.inf, w.dtype), w)
        if absorbs(single) and w.dtype.kind == "f" and g.shape == w.shape:
            g = np.where(np.isnan(w) | (np.abs(w.astype(np.float64)) >= 1e30), w, g)
        if single.exact and w.dtype.kind == "f":  # bit for bit, but for which zero it is
            if g.shape == w.shape and g.dtype == w.dtype and ((g == w) | (np.isnan(g) & np.isnan(w))).all():
                continue
        if single.op == "QuantizeLinear" and g.shape == w.shape and g.dtype == w.dtype and (np.abs(g.astype(int) - w.astype(int)) <= 1).all():
            continue  # halves between two steps fall to either
        wrong = differs(g, w, single.tolerance, exact=False, floor=1e-6)
        if wrong:
            return f"y{k} {wrong}"
    return None


def local_response(x, size=1, alpha=1e-4, beta=0.75, bias=1.0):
    before, channels = (size - 1) // 2, x.shape[1]
    squares = [(x[:, max(0, c - before) : min(channels, c - before + size)] ** 2).sum(1) for c in range(channels)]
    return x / (bias + alpha / size * np.stack(squares, 1)) ** beta


def as_matrix(x, opset, axis=None):
    """An operand and the axis along which it is normalised: before opset 13 it counts as a matrix, cut in front of the axis."""
    if opset >= 13:
        return x, -1 if axis is None else axis
    rows = int(np.prod(x.shape[: 1 if axis is None else axis % x.ndim]))
    return x.reshape(rows, x.size // rows if rows else 0), -1


def softmax_of(x, opset, axis=None, log=False):
    flat, along = as_matrix(x, opset, axis)
    if not x.size:
        return x
    shifted = flat - flat.max(along, keepdims=True)
    total = np.exp(shifted).sum(along, keepdims=True)
    return (shifted - np.log(total) if log else np.exp(shifted) / total).reshape(x.shape)


def hardmax(x, opset, axis=None):
    flat, along = as_matrix(x, opset, axis)
    y = np.zeros_like(flat)
    if y.size:
        np.put_along_axis(y, np.expand_dims(flat.argmax(along), along), 1, along)
    return y.reshape(x.shape)


def scattered(single):
    """ScatterElements, one update after the other; NaN goes through maxima and minima."""
    x, indices, updates = single.operands
    y, axis = x.copy(), single.attrs.get("axis", 0)
    meets = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}.get(single.attrs.get("reduction"), lambda _, new: new)
    for place in np.ndindex(*indices.shape):
        at = list(place)
        at[axis] = indices[place]
        y[tuple(at)] = meets(y[tuple(at)], updates[place])
    return y


#: Instead of onnx's reference evaluator, where that is wrong: LRN leaves channels out, the pool reduces too few dimensions, what is
#: normalised along an axis has the meaning of opset 13 in all of them, and a minimum forgets NaN.
OWN = {
    "LRN": lambda s: local_response(s.operands[0], **s.attrs),
    "GlobalMaxPool": lambda s: s.operands[0].max(tuple(range(2, s.operands[0].ndim)), keepdims=True),
    "Hardmax": lambda s: hardmax(s.operands[0], s.opset, **s.attrs),
    "Softmax": lambda s: softmax_of(s.operands[0], s.opset, **s.attrs),
    "LogSoftmax": lambda s: softmax_of(s.operands[0], s.opset, **s.attrs, log=True),
    "ScatterElements": scattered,
}


def reference(single, proto):
    from onnx.reference import ReferenceEvaluator

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if single.op in OWN:
                return [OWN[single.op](single).astype(single.operands[0].dtype)]
            return [np.asarray(y) for y in ReferenceEvaluator(proto).run(None, single.feeds())]
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def ask_pit(single, proto):
    import pit

    try:
        return pit.compile(proto, cache_dir="none", **single.options)(single.feeds())
    except pit.InternalError:
        raise
    except pit.PitError as e:
        return f"{type(e).__name__}: {e}"


def ask_runtime(single, proto):
    from .oracle import session

    try:
        return session(proto).run(None, single.feeds())
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def judge(single):
    """(outcome, why)."""
    import pit

    proto = single.proto()
    try:
        got = ask_pit(single, proto)
    except pit.InternalError as e:
        return "wrong", f"InternalError: {e}"
    if single.undefined:
        return "undefined", single.undefined
    dies = single.op == "Einsum" and any(v.size == 0 for v in single.operands)  # ONNX Runtime does, and all of the process with it
    want = "NOT_IMPLEMENTED" if dies else ask_runtime(single, proto)
    missing = isinstance(want, str) and any(t in want for t in ("NOT_IMPLEMENTED", "NotImplemented", "is not a registered", "Could not find", "opset"))
    if missing:
        want = reference(single, proto)
    if isinstance(got, str):
        return ("both refuse", "") if isinstance(want, str) else ("PIT refuses", got)
    if isinstance(want, str):
        return "PIT alone takes", want
    wrong = difference(single, got, want)
    if not wrong:
        return "equal", ""
    if not missing:
        other = reference(single, proto)
        if not isinstance(other, str) and not difference(single, got, other):
            return "ONNX Runtime deviates", wrong
    return "wrong", wrong
