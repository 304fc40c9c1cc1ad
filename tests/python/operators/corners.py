"""The operators' generators: each draws operands and attributes of its operators, on their corners too."""

import numpy as np
from onnx import helper, numpy_helper

from .drawing import EXTENTS, floats, of

# -- element by element ----------------------------------------------------------------------------------------------------------------


@of("Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Relu", "Identity", "Not", "IsNaN", exact=True)
@of("Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Tanh", "Sigmoid", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Asin", "Acos", "Atan", "Softplus",
    "Softsign", "Mish", "HardSwish")  # fmt: skip
def unary(g):
    angle = g.single.op in ("Sin", "Cos", "Tan")
    if g.single.op == "Tan":
        g.set(tolerance=2e-3)  # beside a pole the angle's last digits tell
    g.x(g.shape(), g.schema.inputs[0].type_str, whole=not angle)


@of("Celu", "Elu", "HardSigmoid", "LeakyRelu", "Selu", "Shrink", "Swish", "ThresholdedRelu", "Gelu", "IsInf")
def activation(g):
    for name, numbers in dict(alpha=(0.1, 1.0, 1.5, -0.5), beta=(0.0, 0.4, 2.0), gamma=(1.0, 2.5), lambd=(0.0, 0.5, 1.5), bias=(0.0, 0.3, -1.0)).items():
        g.attr(name, numbers)
    g.attr("approximate", ("none", "tanh"))
    g.flag("detect_negative")
    g.flag("detect_positive")
    # ONNX Runtime shrinks integers in floating point.
    g.x(g.shape(), g.schema.inputs[0].type_str, style="plain" if g.single.op == "Shrink" and not floats(g.type()) else None)


@of("Add", "Sub", "Mul", "And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "PRelu", exact=True)
@of("Div", "Pow")
def binary(g):
    out = g.shape()
    shapes = [out, g.broadcast(out)] if g.single.op == "PRelu" else [g.broadcast(out), g.broadcast(out)]
    names = [g.schema.inputs[0].type_str, g.schema.inputs[1].type_str]
    if g.single.op == "Pow":
        return power(g, shapes, names)
    # A slope times a zero counts for some as negative, for others not: no infinite slopes.
    a, b = (g.x(s, n, style="plain" if k and g.single.op == "PRelu" else None) for k, (s, n) in enumerate(zip(shapes, names)))
    if g.single.op == "Div":
        divided(g, a, b)


def divided(g, a, b):
    if b.dtype.kind in "iu" and ((b == 0).any() or (b.dtype.kind == "i" and ((a == np.iinfo(a.dtype).min).any() and (b == -1).any()))):
        g.set(undefined="integers divided by zero, or with a quotient that is too large")


def power(g, shapes, names):
    x = g.type(names[0], among="fi")
    y = g.type(names[1], among="fi") if names[0] != names[1] else x
    whole = x.kind == "i" or y.kind == "i"
    g.add(g.values(shapes[0], x, -3, 3, "plain" if whole else None), None)
    exponent = g.values(shapes[1], y, 0 if x.kind == "i" else -3, 3, "plain" if whole else None)
    g.add(exponent % 5 if y.kind == "i" and x.kind == "i" else exponent)
    if x.kind == "i" and y.kind == "f":
        g.single.operands[1] = np.abs(np.round(exponent)).astype(y)
    g.set(tolerance=1e-4)


@of("Mod", exact=True)
def modulo(g):
    out = g.shape()
    a, b = g.x(g.broadcast(out)), g.x(g.broadcast(out))
    g.single.attrs["fmod"] = 1 if floats(a.dtype) else g.number(0, 1)
    divided(g, a, b)


@of("Max", "Min", exact=True)
@of("Sum", "Mean")
def variadic(g):
    out, name = g.shape(), g.schema.inputs[0].type_str
    for _ in range(g.number(1, 4)):
        g.x(g.broadcast(out), name, whole=g.single.op in ("Max", "Min"))


@of("Where", exact=True)
def where(g):
    out = g.shape()
    g.add(g.values(g.broadcast(out), bool))
    g.x(g.broadcast(out))
    g.x(g.broadcast(out))


@of("Clip", exact=True)
def clip(g):
    x = g.x(g.shape())
    if not g.since(11):
        g.attr("min", (-1.0, 0.5, -np.inf))
        g.attr("max", (1.0, 0.25, np.inf))
        return
    for _ in range(2):
        g.add(g.values([], x.dtype) if g.maybe(0.75) else None, 0.7)


@of("Cast", "CastLike", exact=True)
def cast(g):
    from_, to = g.type("T1"), g.type("T2", among="fiub")
    x = g.values(g.shape(), from_, -100, 100)
    if floats(from_) and to.kind in "iu":  # what does not fit is nobody's
        with np.errstate(all="ignore"):
            info = np.iinfo(to)
            x = np.where(np.isfinite(x) & (np.trunc(x) >= info.min) & (np.abs(x) < min(info.max, 2**62)), x, 1).astype(from_)
    g.add(x)
    if g.single.op == "CastLike":
        g.add(g.values([2], to))
    else:
        g.single.attrs["to"] = helper.np_dtype_to_tensor_dtype(to)
    g.attr("saturate", (0, 1), 0.2)


@of("Dropout", exact=True)
def dropout(g):
    g.x(g.shape())
    g.attr("seed", (1, 7), 0.3)
    if g.since(12) and g.maybe():
        g.add(np.array(0.5, g.type("T1")), 0.9)
        if g.maybe():
            g.add(np.array(False), 0.9)
    g.set(outputs=g.number(1, 2) if g.since(12) else 1)  # before, nobody says what a mask is that masks nothing


@of("SwiGLU")
def swiglu(g):
    s = g.shape(1)
    g.x(s, whole=False), g.x(s, whole=False)
    g.attr("alpha", (1.0, 0.5))


# -- reductions and orders -------------------------------------------------------------------------------------------------------------


@of("ReduceMax", "ReduceMin", exact=True)
@of("ReduceSum", "ReduceProd", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def reduction(g):
    s = g.shape()
    # ONNX Runtime divides sums of integers, and squares them, in floating point; the reference evaluator adds them so.
    # Both take roots, powers and logarithms of integers in floating point, which have no room for the edges.
    near = g.single.op in ("ReduceMean", "ReduceSumSquare", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp") and not floats(g.type())
    g.x(s, whole=g.single.op in ("ReduceMax", "ReduceMin"), style="plain" if near else None)
    axes = [g.axis(len(s))] if g.odd else g.axes(len(s))
    g.flag("keepdims")
    if "axes" in g.schema.attributes:
        if axes:
            g.single.attrs["axes"] = axes
    elif g.maybe(0.8):
        g.ints(axes)
    g.flag("noop_with_empty_axes", 0.3)
    g.set(tolerance=1e-4)


@of("ArgMax", "ArgMin", exact=True)
def arg(g):
    s = g.shape(1)
    g.x(s)
    if g.maybe(0.9):
        g.single.attrs["axis"] = g.axis(len(s))
    g.flag("keepdims")
    g.flag("select_last_index")


@of("TopK", exact=True)
def top_k(g):
    s = g.shape(1)
    axis = -1
    g.x(s)
    if g.maybe(0.8):
        axis = g.single.attrs["axis"] = g.axis(len(s))
    size = s[axis] if -len(s) <= axis < len(s) else 1
    if not g.since(10):
        g.single.attrs["k"] = g.number(1, max(1, size))
    else:
        g.ints([g.number(0, size) if not g.odd else size + 1], constant=0.6)
    g.flag("largest")
    g.set(outputs=2)


@of("Hardmax", "Softmax", "LogSoftmax")
def softmax(g):
    s = g.shape(1)
    g.x(s, whole=g.single.op == "Hardmax", nan=g.single.op != "Hardmax")  # ONNX Runtime finds NaN by where it stands
    if g.maybe(0.8):
        g.single.attrs["axis"] = g.axis(len(s))


@of("CumSum", "CumProd")
def cumulative(g):
    s = g.shape(1)
    g.x(s, whole=False, style="plain" if g.single.op == "CumProd" else None)
    g.ints(g.axis(len(s)), g.type("T2"))
    g.flag("exclusive")
    g.flag("reverse")
    g.set(tolerance=1e-4)


# -- products --------------------------------------------------------------------------------------------------------------------------


@of("MatMul", "MatMulInteger")
def matmul(g):
    m, k, n = (g.choose(EXTENTS) if not g.maybe(0.04) else 0 for _ in range(3))
    batch = g.shape(0, 2, [1, 2, 3])
    a, b = [*g.broadcast(batch), m, k], [*g.broadcast(batch), k, n]
    if g.single.op == "MatMul":
        a, b = ([k] if g.maybe(0.1) else a), ([k] if g.maybe(0.1) else b)
    g.x(a, g.schema.inputs[0].type_str, whole=False)
    g.x(b, g.schema.inputs[1].type_str, whole=False)
    if g.single.op == "MatMulInteger" and g.maybe(0.7):
        g.add(g.values([], g.type("T1")) if g.maybe(0.8) else None)
        if g.maybe():
            g.add(g.values([], g.type("T2")))
    g.set(tolerance=1e-4)


@of("Gemm")
def gemm(g):
    m, k, n = (g.choose(EXTENTS) for _ in range(3))
    ta, tb = g.flag("transA"), g.flag("transB")
    how = dict(whole=False, style=None if floats(g.type()) else "plain")  # ONNX Runtime multiplies integers in floating point
    g.x([k, m] if ta else [m, k], **how)
    g.x([n, k] if tb else [k, n], **how)
    if not g.since(11) or g.maybe(0.7):
        g.x(g.broadcast([m, n]), **how)
    if floats(g.type()):
        g.attr("alpha", (1.0, 0.5, -2.0, 0.0), 0.4)
        g.attr("beta", (1.0, 0.25, 0.0), 0.4)
    g.set(tolerance=1e-4)


@of("Einsum")
def einsum(g):
    equation = g.choose(["ij,jk->ik", "bij,bjk->bik", "ij->ji", "ij->i", "ij->", "i,j->ij", "ij,jk", "ii->i", "ii", "...ij,...jk->...ik", "...i->...",
                         "bhqd,bhkd->bhqk", "Ab,bA->A", "ij,ij->ij", "i,i->", "abc,cd,de->abe", "ij,kl->ijkl", "b...,b...->b...", "zY,Yx"])  # fmt: skip
    extent = {c: g.choose([1, 2, 3, 4, 5]) for c in equation}
    dots = g.shape(0, 2, [1, 2, 3])
    for term in equation.split("->")[0].split(","):
        s = []
        for c in term.replace("...", "."):
            s += dots if c == "." else [extent[c]]
        g.x(s, whole=False, style="plain" if equation.count(",") > 1 else None)  # in pairs or at once: infinities tell
    g.single.attrs["equation"] = equation
    g.set(tolerance=1e-4)


# -- normalisations --------------------------------------------------------------------------------------------------------------------


def image(g, least=3, most=5, channels=(1, 2, 3, 4, 6)):
    return [g.number(1, 2), g.choose(list(channels)), *[g.number(1, 7) for _ in range(g.number(least, most) - 2)]]


@of("BatchNormalization", "InstanceNormalization")
def channel_norm(g):
    s = image(g, 2 if g.single.op[0] == "B" and g.since(9) else 3, 4)
    g.x(s, style="plain")
    name = [i.type_str for i in g.schema.inputs]
    for k in range(1, 5 if g.single.op[0] == "B" else 3):
        g.x([s[1]], name[k], style="plain", lo=0.2 if k == 4 else -2.0, constant=0.5)
    g.attr("epsilon", (1e-5, 1e-2), 0.5)
    g.set(tolerance=1e-3)


@of("GroupNormalization")
def group_norm(g):
    groups = g.choose([1, 2, 3])
    s = image(g, 3, 4, [groups, 2 * groups, 3 * groups])
    g.single.attrs["num_groups"] = groups
    g.x(s, style="plain")
    for _ in range(2):
        g.x([groups if g.opset < 21 else s[1]], style="plain", constant=0.5)
    g.attr("epsilon", (1e-5, 1e-2), 0.5)
    g.set(tolerance=1e-3)


@of("LayerNormalization", "RMSNormalization")
def layer_norm(g):
    s = g.shape(1)
    axis = g.axis(len(s)) if g.maybe(0.8) else -1
    if axis != -1 or g.maybe():
        g.single.attrs["axis"] = axis
    tail = s[axis:] if axis < 0 or axis < len(s) else s
    g.x(s, style="plain")
    names = [i.type_str for i in g.schema.inputs]
    g.x(tail, names[1], style="plain", constant=0.5)
    if g.single.op[0] == "L" and g.maybe(0.6):
        g.x(tail, names[2], style="plain", constant=0.5)
    g.attr("epsilon", (1e-5, 1e-2), 0.5)
    g.set(tolerance=1e-3, outputs=g.choose([1, 1, 1, 3]) if g.single.op[0] == "L" else 1)


@of("LpNormalization")
def lp_norm(g):
    s = g.shape(1)
    g.x(s, style="plain")
    g.attr("axis", [g.axis(len(s))])
    g.attr("p", (1, 2))
    g.set(tolerance=1e-3)


@of("MeanVarianceNormalization")
def mean_variance(g):
    g.x(image(g, 4, 4), style="plain")
    axes = g.attr("axes", ([0, 2, 3], [2, 3], [1], [0, 1, 2, 3]), 0.5) or [0, 2, 3]
    g.set(tolerance=1e-2)
    x = g.single.operands[0]
    if x.dtype == np.float16 and (x.astype(np.float32).var(tuple(axes)) < 1e-6).any():
        g.set(undefined="no variance: ONNX Runtime's epsilon of 1e-9 is a zero in half precision")


@of("LRN")
def response(g):
    g.x(image(g, 3, 4), style="plain")
    g.single.attrs["size"] = g.choose([1, 2, 3, 5])
    g.attr("alpha", (1e-4, 0.5))
    g.attr("beta", (0.75, 0.5))
    g.attr("bias", (1.0, 2.0))
    g.set(tolerance=1e-4)


# -- layouts ---------------------------------------------------------------------------------------------------------------------------


@of("Transpose", exact=True)
def transpose(g):
    s = g.shape()
    g.x(s)
    if g.maybe(0.8):
        perm = [int(p) for p in g.rng.permutation(len(s))] if not g.odd else [0] * len(s)
        g.single.attrs.update(dict(perm=perm) if perm else {})


@of("Reshape", exact=True)
def reshape(g):
    s = g.shape()
    g.x(s)
    target = [int(d) for d in np.array(s)[g.rng.permutation(len(s))]] if s else [1] * g.number(0, 2)
    if len(target) > 1 and g.maybe(0.4):
        target[:2] = [target[0] * target[1]]
    if target and g.maybe(0.4) and 0 not in target:
        target[g.number(0, len(target) - 1)] = -1
    if g.maybe(0.3):
        target.insert(g.number(0, len(target)), 1)
    for k in range(min(len(target), len(s))):
        if target[k] == s[k] and g.maybe(0.3):
            target[k] = 0
    g.flag("allowzero", 0.2)
    g.ints(target if not g.odd else [*target, 2])


@of("Flatten", exact=True)
def flatten(g):
    s = g.shape()
    g.x(s)
    if g.maybe(0.8):
        g.single.attrs["axis"] = g.choose([g.axis(len(s)), len(s)])


@of("Squeeze", "Unsqueeze", exact=True)
def squeeze(g):
    s = g.shape(1, 4, [1, 1, 2, 3]) if g.single.op == "Squeeze" else g.shape(0, 3)
    ones = [k - len(s) * g.maybe(0.4) for k, d in enumerate(s) if d == 1 and g.maybe(0.8)]
    if g.single.op == "Unsqueeze":
        count = g.number(1, 2)
        ones = g.axes(len(s) + count, count)[:count]
    if g.odd:
        ones = [g.axis(len(s) + 2)]
    g.x(s)
    if g.since(13):
        if ones or g.single.op == "Unsqueeze":
            g.ints(ones)
    elif ones or g.single.op == "Unsqueeze":
        g.single.attrs["axes"] = ones


@of("Expand", exact=True)
def expand(g):
    s = g.shape()
    g.x(g.broadcast(s))
    g.ints(g.broadcast(s) if g.maybe(0.4) else s)


@of("Concat", exact=True)
def concat(g):
    s = g.shape(1)
    axis = g.single.attrs["axis"] = g.axis(len(s))
    for _ in range(g.number(1, 4)):
        part = list(s)
        if -len(s) <= axis < len(s):
            part[axis] = g.number(0, 5)
        g.x(part)


@of("Slice", exact=True)
def slices(g):
    s = g.shape(1)
    axes = g.axes(len(s), 1)
    far = 2**63 - 1
    pick = lambda n: g.choose([*range(-n - 2, n + 3), far, -far])  # noqa: E731
    starts, ends = [pick(s[a]) for a in axes], [pick(s[a]) for a in axes]
    g.x(s)
    if not g.since(10):
        g.single.attrs.update(starts=starts, ends=ends, axes=axes)
        return
    dynamic = 0.6
    g.ints(starts, constant=dynamic), g.ints(ends, constant=dynamic), g.ints(axes)
    if g.maybe(0.7):
        g.ints([g.choose([1, 2, 3, -1, -2, far, -far]) if not g.odd else 0 for _ in axes])


@of("Split", exact=True)
def split(g):
    s = g.shape(1)
    axis = g.axis(len(s)) if g.maybe(0.8) else 0
    if axis or g.maybe():
        g.single.attrs["axis"] = axis
    size = s[axis] if -len(s) <= axis < len(s) else 1
    parts = [g.number(0, 3) for _ in range(g.number(1, 3))]
    equal = g.maybe(0.5)
    if not equal and -len(s) <= axis < len(s):
        s[axis] = sum(parts) + g.odd
    count = len(parts) if not equal else next((k for k in (3, 2, 1) if size % k == 0), 1) if not g.since(18) else g.number(1, 3)
    g.x(s)
    g.set(outputs=count)
    if not equal:
        if g.since(13):
            g.ints(parts)
        else:
            g.single.attrs["split"] = parts
    elif g.since(18):
        g.single.attrs["num_outputs"] = count


@of("Tile", exact=True)
def tile(g):
    s = g.shape(limit=200)
    g.x(s)
    g.ints([g.choose([0, 1, 1, 2, 3]) for _ in s])


@of("Pad", exact=True)
def pad(g):
    s = g.shape(1)
    mode = g.attr("mode", ["constant", "constant", "reflect", "edge", *(["wrap"] if g.since(19) else [])])
    axes = g.axes(len(s), 1) if g.since(18) and g.maybe(0.3) else list(range(len(s)))
    most = [max(0, s[a] - 1) if mode == "reflect" else 3 for a in axes]
    pads = [g.number(-1 if g.maybe(0.2) and mode in (None, "constant") else 0, min(3, m)) for m in most * 2]
    x = g.x(s)
    if not g.since(11):
        g.single.attrs["pads"] = pads
        g.attr("value", (0.0, 1.5), 0.4)
        return
    g.ints(pads)
    value, named = g.maybe(0.5), axes != list(range(len(s)))
    if value or named:
        g.add(g.values([], x.dtype) if value else None, 0.5)
    if named:
        g.ints(axes)


@of("DepthToSpace", "SpaceToDepth", exact=True)
def blocks(g):
    b = g.single.attrs["blocksize"] = g.number(1, 3)
    g.attr("mode", ("DCR", "CRD"))
    n, c, h, w = (g.number(0 if g.maybe(0.03) else 1, 3) for _ in range(4))
    g.x([n, c * b * b, h, w] if g.single.op[0] == "D" else [n, c, h * b, w * b])


@of("Trilu", exact=True)
def trilu(g):
    g.x(g.shape(2))
    g.flag("upper")
    if g.maybe():
        g.ints(g.number(-6, 6))


# -- indices ---------------------------------------------------------------------------------------------------------------------------


def indices(g, shape, size, dtype):
    if size == 0:
        shape = [0 if k == 0 else d for k, d in enumerate(shape)] or [0]
    i = g.rng.integers(-size, max(size, 1), tuple(shape)) if size else np.zeros(shape)
    return (i + (size if g.odd else 0)).astype(dtype)


@of("Gather", "GatherElements", exact=True)
def gather(g):
    s = g.shape(1)
    axis = g.axis(len(s)) if g.maybe(0.8) else 0
    if axis or g.maybe():
        g.single.attrs["axis"] = axis
    size = s[axis] if -len(s) <= axis < len(s) else 1
    g.x(s)
    if g.single.op == "Gather":
        k = g.shape(0, 2, [1, 2, 3, 5])
    else:
        k = [g.number(0, d) if g.maybe(0.3) else d for d in s]
        if -len(s) <= axis < len(s):
            k[axis] = g.number(0, 5)
    g.add(indices(g, k, size, g.type("Tind")), 0.4)


@of("GatherND", exact=True)
def gather_nd(g):
    s = g.shape(1, 4, [1, 2, 3, 4])
    batch = g.attr("batch_dims", range(len(s)), 0.5) or 0
    depth = g.number(1, len(s) - batch)
    k = [*s[:batch], *g.shape(0, 2, [1, 2, 3])]
    columns = [indices(g, k, d, np.int64) if d else np.zeros(k, np.int64) for d in s[batch : batch + depth]]
    g.x(s)
    g.add(np.stack([np.broadcast_to(c, columns[0].shape) for c in columns], -1) if all(c.shape == columns[0].shape for c in columns) else np.zeros([*k, depth], np.int64), 0.4)


def scatters(g):
    """How the updates meet what is there. Halves: whether sums overflow on the way is up to the implementation."""
    reduction = g.attr("reduction", ("none", "add", "mul", *(("max", "min") if g.since(18) else ())))
    if reduction in ("add", "mul") and g.type() == np.float16:
        g.style = "plain"
    return reduction


@of("ScatterElements", "Scatter", exact=True)
def scatter_elements(g):
    s = g.shape(1, 4, [1, 2, 3, 4])
    axis = g.axis(len(s)) if g.maybe(0.8) else 0
    if axis or g.maybe():
        g.single.attrs["axis"] = axis
    inside = -len(s) <= axis < len(s)
    k = [g.number(1, d) if d and g.maybe(0.3) else d for d in s]
    reduction = scatters(g)
    size = s[axis] if inside else 1
    x = g.x(s)
    i = indices(g, k, size, g.type("Tind"))
    if reduction in (None, "none") and inside and size:  # which of several updates stays is nobody's
        order = np.argsort(g.rng.random(s), axis)
        i = order[tuple(slice(0, d) for d in k)].astype(i.dtype)
    g.add(i, 0.4)
    g.add(g.values(i.shape, x.dtype))
    g.set(exact=reduction in (None, "none", "max", "min") or not floats(x.dtype))


@of("ScatterND", exact=True)
def scatter_nd(g):
    s = g.shape(1, 3, [1, 2, 3, 4])
    depth = g.number(1, len(s))
    reduction = scatters(g)
    places = [d for d in np.ndindex(*s[:depth])]
    g.rng.shuffle(places)
    places = places[: g.number(0, len(places))]
    if places and reduction not in (None, "none"):
        places += places[: g.number(0, 2)]
    i = np.array(places, np.int64).reshape(len(places), depth)
    i = i - np.array(s[:depth]) * (g.rng.random(i.shape) < 0.3) + (np.array(s[:depth]) * 2 if g.odd else 0)
    x = g.x(s)
    g.add(i.astype(np.int64), 0.4)
    g.add(g.values([len(places), *s[depth:]], x.dtype))
    g.set(exact=reduction in (None, "none", "max", "min") or not floats(x.dtype))


@of("OneHot", exact=True)
def one_hot(g):
    depth = g.number(1, 6)
    s = g.shape(0, 3)
    g.add(g.rng.integers(-depth - 1, depth + 2, tuple(s)).astype(g.type("T1", among="if")), 0.3)
    depths = g.type("T2", among="if")
    g.add(np.array(depth if g.maybe() or g.opset < 11 else [depth], depths), 0.9)
    g.add(g.values([2], g.type("T3"), style="plain" if floats(g.type("T3")) else None))  # the reference evaluator multiplies by 0 and 1
    g.attr("axis", [g.axis(len(s) + 1)])


@of("NonZero", exact=True)
def non_zero(g):
    g.x(g.shape())


@of("Compress", exact=True)
def compress(g):
    s = g.shape(1)
    axis = g.attr("axis", [g.axis(len(s))])
    size = int(np.prod(s)) if axis is None else s[axis] if -len(s) <= axis < len(s) else 1
    g.x(s)
    g.add(g.values([g.number(0, size + g.odd)], bool), 0.3)


@of("ReverseSequence", exact=True)
def reverse_sequence(g):
    s = g.shape(2, 4, [1, 2, 3, 4, 5])
    batch = g.number(0, 1)
    if batch == 0 or g.maybe():
        g.single.attrs.update(batch_axis=batch, time_axis=1 - batch)
    g.x(s)
    g.add(g.rng.integers(min(1, s[1 - batch]), s[1 - batch] + 1 + g.odd, s[batch]).astype(np.int64), 0.3)


# -- generators ------------------------------------------------------------------------------------------------------------------------


@of("Constant", exact=True)
def constant(g):
    kind = g.choose(["value", *(["value_int", "value_ints", "value_float", "value_floats"] if g.since(12) else [])])
    value = {"value_int": 2**62 + 1, "value_ints": [1, -(2**53) - 1], "value_float": 0.1, "value_floats": [0.5, -0.0, 3e38]}.get(kind)
    g.single.attrs[kind] = numpy_helper.from_array(g.values(g.shape(), g.type())) if value is None else value


@of("Shape", "Size", exact=True)
def extents(g):
    g.x(g.shape())
    g.attr("start", range(-5, 6), 0.5)
    g.attr("end", range(-5, 6), 0.5)


@of("Range", exact=True)
def ranges(g):
    t = g.type()
    start, step = g.number(-5, 5), g.choose([1, 2, 3, -1, -2, -3])
    limit = start + step * g.number(-1, 9) + g.number(-1, 1)
    scale = g.choose([1, 0.5, 0.1, 0.3]) if floats(t) else 1
    base = g.choose([0, 2**53, -(2**62), 2**62 + 1]) if t == np.int64 and g.maybe(0.3) else 0
    for v in (start * scale + base, limit * scale + base, step * scale):
        g.add(np.array(v, t), 0.5)


@of("ConstantOfShape", exact=True)
def constant_of_shape(g):
    g.ints(g.shape(), constant=0.6)
    if g.maybe(0.7):
        g.single.attrs["value"] = numpy_helper.from_array(g.values([1], g.type("T2")))


@of("EyeLike", exact=True)
def eye_like(g):
    g.x([g.number(0, 6), g.number(1, 6)], "T1")
    g.attr("k", range(-5, 6))
    if g.maybe():
        g.single.attrs["dtype"] = helper.np_dtype_to_tensor_dtype(g.type("T2"))


# -- windows ---------------------------------------------------------------------------------------------------------------------------


def window(g, s, kernel):
    n = len(kernel)
    g.attr("strides", [[g.number(1, 3) for _ in range(n)]])
    g.attr("dilations", [[g.number(1, 2) for _ in range(n)]], 0.4)
    if g.maybe(0.6):
        g.single.attrs["pads"] = [g.number(0, k - 1) for k in kernel * 2]
    elif g.maybe(0.4):
        auto = g.single.attrs["auto_pad"] = g.choose(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, g.single.attrs.get("dilations", [1] * n))]
        if auto.startswith("SAME") and g.single.op != "Conv" and any(r > k for r, k in zip(reach, kernel)):
            g.set(undefined="padding to the same size with dilations: ONNX Runtime leaves them out of the size")
        if auto.startswith("SAME") and any(t > r for t, r in zip(g.single.attrs.get("strides", [1] * n), reach)):
            g.set(undefined="padding to the same size where windows leave gaps: every implementation cuts off something else")


@of("Conv", "ConvTranspose")
def conv(g):
    group = g.choose([1, 1, 1, 2, 3])
    s = image(g, 3, 4)
    s[1] = group * g.number(1, 3)
    features = group * g.number(1, 4)
    kernel = [g.number(1, 3) for _ in s[2:]]
    if g.single.op == "Conv":
        weight = [features, s[1] // group, *kernel]
    else:
        weight = [s[1], features // group, *kernel]
        g.attr("output_padding", [[g.number(0, 1) for _ in kernel]], 0.2)
    g.x(s, whole=False)
    g.x(weight, constant=0.6, whole=False)
    if g.maybe():
        g.x([features], constant=0.6, whole=False)
    if group > 1 or g.maybe(0.3):
        g.single.attrs["group"] = group
    if g.maybe(0.3):
        g.single.attrs["kernel_shape"] = kernel
    window(g, s, kernel)
    g.set(tolerance=1e-4)
    if g.single.op == "ConvTranspose" and g.type() == np.float64 and group > 1 and len(g.single.operands) > 2:
        g.set(undefined="ONNX Runtime has no such kernel, and the reference evaluator forgets the bias of all groups but one")


@of("MaxPool", exact=True)
@of("AveragePool", "LpPool")
def pool(g):
    s = image(g, 3, 4)
    kernel = g.single.attrs["kernel_shape"] = [g.number(1, 3) for _ in s[2:]]
    # ONNX Runtime finds NaN by where it stands and begins with the least finite number; the reference evaluator leaves NaN out.
    x = g.x(s, whole=False, nan=False)
    if g.single.op == "MaxPool":
        g.single.operands[0] = np.where(x == -np.inf, np.array(-9, x.dtype), x) if floats(x.dtype) else x
    window(g, s, kernel)
    if g.single.op == "MaxPool" and x.dtype == np.float64 and not g.since(8):
        g.set(undefined="ONNX Runtime has no such kernel, and the reference evaluator forgets padding")
    g.flag("ceil_mode", 0.4)
    if g.single.op in ("LpPool", "AveragePool") and x.dtype != np.float32 and {"ceil_mode", "dilations", "auto_pad"} & set(g.single.attrs):
        g.set(undefined="ONNX Runtime has no such kernel, and the reference evaluator is wrong where windows do not fit or have holes")
    g.flag("count_include_pad", 0.4)
    g.flag("storage_order", 0.1)
    g.attr("p", (1, 2, 3))
    if g.single.op == "LpPool":
        g.set(tolerance=1e-3)


@of("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(g):
    g.x(image(g, 3, 5), whole=False, nan=g.single.op != "GlobalMaxPool")
    g.attr("p", (1, 2, 3))
    g.set(tolerance=1e-3)


# -- composed --------------------------------------------------------------------------------------------------------------------------


@of("Attention")
def attention(g):
    heads, group, b, q, k, d, e = (g.number(1, 3) for _ in range(7))
    q, k, d = q + g.number(0, 6), k + g.number(0, 6), 2 * d
    flat = g.maybe(0.4)
    if flat:
        shapes = [[b, q, heads * group * d], [b, k, heads * d], [b, k, heads * e]]
        g.single.attrs.update(q_num_heads=heads * group, kv_num_heads=heads)
    else:
        shapes = [[b, heads * group, q, d], [b, heads, k, d], [b, heads, k, e]]
    g.x(shapes[0], "T1", style="plain"), g.x(shapes[1], "T1", style="plain"), g.x(shapes[2], "T2", style="plain")
    if g.maybe():
        mask = g.broadcast([b, heads * group, q, k]) if g.maybe(0.3) else [q, k]
        mask = [q, k] if len(mask) < 2 else mask
        g.add(g.values([*mask[:-1], k], bool) if g.maybe(0.6) else g.values([*mask[:-1], k], g.type("T1"), style="plain"))
    g.flag("is_causal", 0.4)
    g.attr("scale", (0.25, 1.0), 0.4)
    g.attr("softcap", (0.0, 2.0), 0.3)
    g.set(tolerance=1e-3)


@of("RotaryEmbedding")
def rotary(g):
    b, heads, s, d = g.number(1, 2), g.number(1, 3), g.number(1, 5), 2 * g.number(1, 4)
    rotated = g.attr("rotary_embedding_dim", [2 * g.number(1, d // 2)], 0.3) or d
    flat = g.maybe(0.4) or rotated != d
    if flat:
        g.single.attrs["num_heads"] = heads
    g.x([b, s, heads * d] if flat else [b, heads, s, d], style="plain")
    ids = g.maybe()
    for _ in range(2):
        g.x([s + 3, rotated // 2] if ids else [b, s, rotated // 2], style="plain")
    if ids:
        g.add(g.rng.integers(0, s + 3, (b, s)))
    g.flag("interleaved")


@of("QuantizeLinear", "DequantizeLinear")
def quantize(g):
    s, names = g.shape(1), [i.type_str for i in g.schema.inputs]
    per_axis = g.since(13) and g.maybe(0.4)
    axis = (g.attr("axis", [g.axis(len(s))]) if per_axis else None) or (1 if per_axis and len(s) > 1 else 0)
    if per_axis and "axis" not in g.single.attrs:
        g.single.attrs["axis"] = axis
    extent = [s[axis]] if per_axis and -len(s) <= axis < len(s) else []
    quantised = g.type(g.schema.outputs[0].type_str if g.single.op[0] == "Q" else names[0], among="iu")
    if g.single.op[0] == "Q":
        g.x(s, names[0], lo=-30, hi=30, style=None if g.style != "edges" else "plain")
    else:
        g.add(g.values(s, quantised))
    g.add(np.exp2(g.rng.integers(-4, 3, tuple(extent))).astype(g.type(names[1], among="f")), 0.6)
    if quantised != np.uint8 or g.maybe(0.7):
        g.add(g.values(extent, quantised, 0, 20, "plain") if quantised.itemsize == 1 else np.zeros(extent, quantised), 0.6)
    g.set(tolerance=1e-6, exact=False)


@of("DynamicQuantizeLinear")
def dynamic_quantize(g):
    g.x(g.shape(), style="plain" if g.style == "edges" else None)
    g.set(outputs=3)
