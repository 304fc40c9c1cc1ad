"""Cases: layouts, indexing, generators, windows."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper

from .spec import case, const, edges, f, given, i, ints, mask

BMN = [dict(b=2, m=3, n=4), dict(b=1, m=1, n=1), dict(b=3, m=17, n=16), dict(b=2, m=0, n=3), dict(b=0, m=4, n=5), dict(b=4, m=33, n=15),
       dict(b=1, m=5, n=49), dict(b=7, m=2, n=31)]  # fmt: skip
X = f("b", "m", "n")
move = dict(at=BMN, exact=True)

for perm in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
    case("Transpose", X, perm=perm, **move)
case("Transpose", X, **move)
case("Transpose", i("b", "n"), perm=[1, 0], **move)
case("Transpose", mask("b", 1, "n", 2), perm=[3, 1, 2, 0], **move)
case("Transpose", f("b", "n", dtype="float64"), perm=[1, 0], **move)
case("Transpose", f(), **move)
case("Transpose", f("n"), **move)

for k, shape in enumerate(([-1], [0, -1], [-1, 1, 4], [0, 0, 2, 2], [1, -1, 1, 4], [-1, 4], [0, 0, 4], [0, -1, 2], [0, 0, -1])):
    case("Reshape", f("b", "m", 4), ints(*shape), opset=(7, 13, 14, 19, 21, 23)[k % 6], at=BMN, exact=True)
for shape in ([6, 4], [2, 12], [2, 3, 2, 2], [24, 1], [4, 6], [1, 24], [3, 8]):
    case("Reshape", f(2, 3, 4), ints(*shape), exact=True)
case("Reshape", f(0, 3), ints(0, 5), allowzero=1, exact=True)
case("Reshape", i("b", 6), ints(-1, 3), **move)
case("Reshape", mask("b", 6), ints(3, -1), **move)
case("Reshape", f(1), ints(), exact=True)
case("Reshape", f(), ints(1, 1), exact=True)
for axis in (0, 1, 2, 3, -1, -2):
    case("Flatten", X, axis=axis, opset=(11, 13)[axis % 2], **move)
case("Squeeze", f(1, 3, 1), exact=True, refused="free")
for axes in ([0], [2], [-1], [0, 2]):
    case("Squeeze", f(1, "n", 1), ints(*axes), opset=(13, 21), **move)
    case("Squeeze", f(1, "n", 1), opset=11, axes=axes, **move)
for axes in ([0], [1], [-1], [0, 2], [1, -1], [3, 0]):
    case("Unsqueeze", f("b", "n"), ints(*axes), opset=(13, 21), **move)
    case("Unsqueeze", f("b", "n"), opset=11, axes=axes, **move)
case("Unsqueeze", i(), ints(0), exact=True)
for shape in ([3, 1], [2, 1, 4], [1], [3, 5], [1, 1, 1, 7]):
    case("Expand", f(3, 1), ints(*shape), exact=True)
case("Expand", f("b", 1, "n"), ints(1, 5, 1), opset=(8, 13), **move)
case("Expand", mask("b", 1), ints(1, 4), **move)
case("Expand", i("b", 1), ints(2, 1, 4), **move)
case("Expand", f(), ints(2, 3), exact=True)
case("Expand", f(3, 1), given([2, 3, 4], np.int64), exact=True, refused="free")

case("Concat", f("b", "m"), f("b", "n"), f("b", 4), axis=1, opset=(11, 13), **move)
case("Concat", f("b", "n"), f("m", "n"), axis=-2, **move)
case("Concat", i("b"), i("m"), i(0), i(3), axis=0, **move)
case("Concat", f("b", "n", 1), f("b", "n", 2), f("b", "n", 1), axis=-1, **move)
case("Concat", f("b", 2, "n"), const(f(1, 2, 4)), axis=0, at=[dict(b=2, n=4), dict(b=0, n=4), dict(b=1, n=4)], exact=True)
case("Concat", f("b", "n"), axis=0, **move)
case("Concat", mask("b", "n"), mask("b", "n"), axis=0, **move)
case("Concat", f("n", dtype="float64"), f("m", dtype="float64"), axis=0, **move)

FAR = 2**63 - 1
SLICES = [([1], [3], [1], None), ([0, 1], [2, 100], [0, 2], None), ([-1], [-100], [2], [-1]), ([0], [-1], [1], [2]), ([3], [1], [2], None),
          ([-2], [FAR], [2], None), ([0], [1], [1], None), ([0], [1], [0], None), ([-1], [FAR], [1], None), ([1], [FAR], [-1], [3]),
          ([-1, -1], [-FAR, -FAR - 1], [0, 2], [-1, -2]), ([5], [9], [1], None), ([0], [-1], [-2], None), ([-3], [-1], [2], None),
          ([100], [0], [1], [-1]), ([0, 0, 0], [1, 1, 1], [0, 1, 2], None), ([2], [-1], [2], None)]  # fmt: skip
for k, (starts, ends, axes, steps) in enumerate(SLICES):
    case("Slice", X, ints(*starts), ints(*ends), ints(*axes), *([] if steps is None else [ints(*steps)]), opset=(10, 11, 13)[k % 3], **move)
case("Slice", X, ints(0, 1), ints(1, 2), **move)
case("Slice", f("n"), ints(0), ints(1), None, ints(1), **move)
case("Slice", i("n"), const([1], np.int32), const([3], np.int32), const([0], np.int32), **move)
case("Slice", mask("b", "n"), ints(1), ints(9), ints(1), **move)
case("Slice", X, given([1], np.int64), given([3], np.int64), ints(1), **move)
case("Slice", X, given([-1], np.int64), given([-4], np.int64), ints(2), ints(-1), **move)
case("Slice", X, opset=9, starts=[0, 1], ends=[1, 3], axes=[0, 2], **move)
case("Slice", X, opset=9, starts=[1], ends=[FAR], **move)

case("Split", f("b", 6), outputs=3, axis=1, opset=(11, 13), **move)
case("Split", f("b", 6), ints(1, 2, 3), outputs=3, axis=1, opset=13, **move)
case("Split", f("b", 6, "n"), ints(1, 0, 5), outputs=3, axis=-2, **move)
case("Split", f("b", 6), opset=11, outputs=2, axis=1, split=[2, 4], **move)
case("Split", f("b", 7), opset=18, outputs=3, axis=1, num_outputs=3, **move)
case("Split", f("b", "n"), opset=18, outputs=2, axis=1, num_outputs=2, at=[dict(b=2, n=6), dict(b=1, n=7), dict(b=3, n=16), dict(b=2, n=33)], exact=True)
case("Split", i("n"), outputs=2, at=[dict(n=4), dict(n=32)], exact=True)
case("Tile", f("b", "n"), ints(2, 1), opset=(11, 13), **move)
case("Tile", f("b", 1, "n"), ints(1, 4, 2), **move)
case("Tile", i("n"), ints(3), **move)
case("Tile", f("b", "n"), ints(1, 1), **move)
case("Tile", f("b", "n"), ints(0, 2), **move)
case("Tile", f("b", "n"), given([2, 3], np.int64), refused="all", **move)
case("Pad", X, opset=10, pads=[0, 1, 2, 1, 0, 3], value=0.5, **move)
case("Pad", X, opset=10, pads=[0, 1, 2, 1, 0, 3], mode="edge", at=[r for r in BMN if all(r.values())], exact=True)
case("Pad", f("b", "n"), ints(0, 1, 2, 0), opset=(11, 13, 19, 21), **move)
case("Pad", f("b", "n"), ints(0, 1, 2, 0), const(np.float32(1.5)), **move)
case("Pad", f("b", "n"), ints(0, 3, 1, 1), f(), **move)
case("Pad", f("b", 4), ints(0, -1, 0, -2), **move)
case("Pad", f("b", "n"), ints(0, 0, 0, 0), **move)
case("Pad", f("b", "n"), ints(1, 2), None, ints(1), opset=18, **move)
case("Pad", f("b", "n"), ints(1, 2), const(np.float32(-1)), ints(-2), opset=18, **move)
case("Pad", i("b", "n"), ints(0, 1, 2, 0), const(7, np.int64), **move)
case("Pad", mask("b", "n"), ints(0, 1, 2, 0), opset=13, **move)
for mode in ("reflect", "edge"):
    case("Pad", f("b", "n"), ints(1, 2, 2, 1), mode=mode, at=[dict(b=4, n=4), dict(b=3, n=17), dict(b=5, n=33)], exact=True)
    case("Pad", f("b", 3, "n"), ints(0, 0, 2, 0, 0, 2), mode=mode, at=[dict(b=1, n=4), dict(b=3, n=17)], exact=True)
case("Pad", f("b", "n"), ints(1, 2, 2, 1), opset=19, mode="wrap", at=[dict(b=4, n=4), dict(b=3, n=17)], exact=True)
for mode in ("DCR", "CRD"):
    case("DepthToSpace", f("b", 8, "m", "n"), blocksize=2, mode=mode, opset=(11, 13), **move)
case("DepthToSpace", f("b", 18, "m", "n"), blocksize=3, **move)
for mode in ("DCR", "CRD"):
    case("SpaceToDepth", f("b", 3, 4, 6), blocksize=2, mode=mode, opset=28, **move)
    case("SpaceToDepth", f("b", 2, 6, 9), blocksize=3, mode=mode, opset=28, **move)
    case("DepthToSpace", f("b", 12, "m", "n"), blocksize=2, mode=mode, opset=28, **move)
case("SpaceToDepth", f("b", 2, 4, 6), blocksize=2, **move)
case("SpaceToDepth", f("b", 2, "m", "n"), blocksize=2, at=[dict(b=1, m=2, n=4), dict(b=2, m=6, n=2), dict(b=1, m=8, n=34)], exact=True)
for upper in (0, 1):
    for k in (None, 0, 1, -1, 5, -7):
        case("Trilu", X, *([] if k is None else [const(k, np.int64)]), upper=upper, **move)
    case("Trilu", i("m", "n"), upper=upper, **move)
    case("Trilu", mask("m", "n"), upper=upper, **move)
    case("Trilu", edges("m", "n"), const(1, np.int64), upper=upper, **move)

ROWS = [dict(b=2, m=5, n=4), dict(b=1, m=1, n=1), dict(b=3, m=17, n=16), dict(b=0, m=4, n=5), dict(b=4, m=33, n=15), dict(b=1, m=9, n=49)]
take = dict(at=ROWS, exact=True)
nd = dict(at=ROWS, exact=True, refused="free")  # how many indices make a position must be known when the model is compiled
case("Gather", f("m", "n"), i("b", 3, lo="-m", hi="m"), opset=(11, 13), **take)
case("Gather", f("m", "n"), i("b", lo=0, hi="n", dtype="int32"), axis=1, **take)
case("Gather", f("b", "m", "n"), i("b", 2, lo=0, hi="m"), axis=1, at=ROWS[:3] + ROWS[4:], exact=True)
case("Gather", f("b", "m", "n"), const(-1, np.int64), axis=1, **take)
case("Gather", f("b", "m", "n"), const(0, np.int64), axis=1, **take)
case("Gather", f("m", "n"), i(lo="-m", hi="m"), **take)
case("Gather", f(5, "n"), ints(2), **take)
case("Gather", f(5, "n"), ints(1, 2, 3), **take)
case("Gather", f(5, "n"), const([[3, 0], [-5, 4]], np.int64), **take)
case("Gather", const(f(30, 16)), i("b", "m", lo=0, hi=30), **take)
case("Gather", i("m"), i("b", 2, lo=0, hi="m"), **take)
case("Gather", mask("m", "n"), i("b", lo=0, hi="m"), **take)
case("Gather", f("m", "n", dtype="float64"), i("b", lo=0, hi="m"), **take)
case("GatherND", f(2, 3, "n"), i("b", 2, lo=0, hi=2), **nd)
case("GatherND", f(2, 3, "n"), i("b", 2, lo=-2, hi=2), **nd)
case("GatherND", f("b", 3, "n"), i("b", 2, 1, lo=0, hi=3), batch_dims=1, **nd)
case("GatherND", mask(3, 4), i("b", "m", 2, lo=0, hi=3), **nd)
case("GatherND", i("m", "n"), i("b", 1, lo=0, hi="m"), **nd)
case("GatherElements", f("b", "m"), i("b", 2, lo="-m", hi="m"), axis=1, **take)
case("GatherElements", f("m", "n"), i("b", "n", lo=0, hi="m"), **take)
case("GatherElements", f(3, 4), i(2, 3, lo=0, hi=3), exact=True)
case("GatherElements", i(3, 4), i(3, 4, lo=0, hi=4, dtype="int32"), axis=-1, exact=True)
case("GatherElements", f("b", "m", "n"), i("b", "m", "n", lo=0, hi="m"), axis=1, **take)
case("OneHot", i("b", "m", lo=-4, hi=6), const(4, np.int64), const([0.5, 2.0], np.float32), **take)
case("OneHot", i("b", "m", lo=0, hi=4), const(4, np.int64), const([0, 1], np.int64), axis=0, **take)
case("OneHot", i("b", "m", lo=0, hi=7), const([7], np.int64), const([0, 1], np.float32), axis=1, **take)
for exclusive in (0, 1):
    for reverse in (0, 1):
        case("CumSum", f("b", "n"), const(1, np.int64), exclusive=exclusive, reverse=reverse, opset=(11, 14), at=ROWS)
case("CumSum", i("b", "n"), const(0, np.int64), at=ROWS)
case("CumSum", i("b", "n", dtype="int32"), const(-1, np.int32), at=ROWS)
case("CumSum", f("b", "m", "n"), const(-2, np.int64), at=ROWS)
for exclusive in (0, 1):
    for reverse in (0, 1):
        case("CumProd", f("b", "n"), const(1, np.int64), exclusive=exclusive, reverse=reverse, opset=26, at=ROWS)
case("CumProd", i("b", "n", lo=-2, hi=3), const(0, np.int64), opset=26, at=ROWS)
for op in ("ArgMax", "ArgMin"):
    full = dict(at=[r for r in ROWS if r["b"]])
    for k, (axis, keep) in enumerate(((1, 1), (0, 0), (-1, 0), (2, 1))):
        case(op, X, axis=axis, keepdims=keep, opset=(11, 12, 13)[k % 3], **full)
        case(op, i("b", "m", "n", lo=0, hi=2, dtype="int32"), axis=axis, keepdims=keep, select_last_index=k % 2, opset=(12, 13)[k % 2], **full)
    case(op, X, **full)
    case(op, given([[np.nan, 1, 2], [1, np.nan, 3], [np.inf, np.inf, 1]], np.float32), axis=1, reference=True)
for largest in (0, 1):
    case("TopK", f("b", 5), ints(2), outputs=2, largest=largest, opset=(11, 24), **take)
    case("TopK", f("b", 9, "n"), ints(3), outputs=2, axis=1, largest=largest, **take)
    case("TopK", i("b", 7, lo=0, hi=3), ints(4), outputs=2, largest=largest, **take)
case("TopK", f(4, 5), ints(0), outputs=2, exact=True)

#: Neighbours that no double tells apart, in every order.
NEAR = 2**53 + np.array([[0, 1, 3, 2], [7, 5, 6, 4]])
for near in (given(NEAR), given(-NEAR), given(NEAR + 2**61), given(np.array([[2**63 - 1, -(2**63), 2**63 - 2, 1 - 2**63]]))):
    for op in ("ArgMax", "ArgMin"):
        case(op, near, axis=1, opset=13, exact=True)
    for largest in (0, 1):
        case("TopK", near, ints(3), outputs=2, largest=largest, opset=(11, 24), exact=True)
    for op in ("ReduceMax", "ReduceMin"):
        case(op, near, axes=[1], opset=13, exact=True)
    for op in ("Max", "Min", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Sub"):
        case(op, near, given(np.asarray(near.value)[:, ::-1].copy()), opset=16, exact=True)
    case("Clip", near, const(near.value.min() + 1), const(near.value.max() - 1), opset=13, exact=True)
    case("Where", mask(*near.value.shape), near, given(near.value + 1), opset=16, exact=True)
    case("Cast", near, to=T.BOOL, exact=True)
    known = const(near.value)  # small integers that are known are computed while the model is read
    for op in ("ReduceMax", "ReduceMin", "ReduceSum"):
        # (ONNX Runtime adds integers in floating point.)
        case(op, known, *([ints(1)] if op == "ReduceSum" else []), **({} if op == "ReduceSum" else dict(axes=[1])), opset=13, exact=True,
             reference=op == "ReduceSum", skip=("inputs",))  # fmt: skip
    for op in ("Max", "Min", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Add", "Sub", "Mul"):
        case(op, known, const(near.value[:, ::-1].copy()), opset=16, exact=True)
    case("Mod", known, const(np.int64(7)), exact=True)
    case("Mod", known, const(np.int64(-7)), exact=True)
#: NaN is found before every number, as NumPy has it; ONNX Runtime goes by where it stands.
NANS = edges("b", 7)
for op in ("ArgMax", "ArgMin"):
    for last in (0, 1):
        case(op, NANS, axis=1, select_last_index=last, opset=13, reference=True, exact=True, zero=False)
case("Hardmax", NANS, axis=1, opset=13, reference=True, zero=False)
for largest in (0, 1):
    case("TopK", NANS, ints(4), outputs=2, largest=largest, exact=True)
case("TopK", f("b", 20), given([3], np.int64), outputs=2, **take)
case("NonZero", i("b", "m", lo=0, hi=2), opset=(9, 13), **take)
case("NonZero", mask("n"), **take)
case("NonZero", edges("n", 24), **take)
case("NonZero", f("b", "m", "n"), **take)
case("Compress", f("m", "n"), given([True, False, True]), axis=0, at=[dict(m=3, n=4), dict(m=5, n=17)], exact=True)
case("Compress", f("b", 3), mask(3), axis=1, **take)
case("Compress", f(3, 4), mask(7), exact=True)
case("ScatterND", f("m", "n"), const([[0], [1], [0]], np.int64), f(3, "n"), at=[dict(m=3, n=4), dict(m=7, n=17)], exact=True)
case("ScatterND", f("m", "n"), i("b", 1, lo=0, hi=1), f("b", "n"), at=[dict(b=1, m=3, n=4), dict(b=0, m=5, n=17)], exact=True)
case("ScatterND", f(4, 3), const([[0, 1], [0, 1], [3, 2]], np.int64), f(3), opset=16, reduction="add")
case("ScatterND", f(4, 3), const([[0, 1], [0, 1], [3, 2]], np.int64), f(3), opset=16, reduction="mul")
case("ScatterND", f(4, 3), const([[0, 1], [0, 1], [3, 2]], np.int64), f(3), opset=18, reduction="max")
case("ScatterND", f(4, 3), const([[0, 1], [0, 1], [3, 2]], np.int64), f(3), opset=18, reduction="min")
for op, opsets in (("ScatterElements", (11, 13, 16)), ("Scatter", (9,))):
    case(op, f(3, 4), const([[1, 0, 2, 1]], np.int64), f(1, 4), opset=opsets, exact=True)
    case(op, f(3, 4), const([[1, -2, 3, 0]] * 2, np.int64), f(2, 4), opset=opsets, axis=1, exact=True)
for reduction in ("add", "mul", "max", "min"):
    case("ScatterElements", f(3, 4), const([[1, 0, 1, 1]], np.int64), f(1, 4), opset=18, axis=1, reduction=reduction)
case("ScatterElements", f("b", 4), i("b", 1, lo=0, hi=4), f("b", 1), opset=18, axis=1, **take)
for reduction in ("add", "mul", "max", "min"):  # integers wrap around and are compared as integers
    reduce = dict(opset=18, reduction=reduction, exact=True, reference=True)
    case("ScatterElements", given([2**62, 2**53, -(2**63)]), const([0, 1, 2, 0], np.int64), given([2**62, 2**53 + 1, 2, 2**61]), **reduce)
    case("ScatterElements", given([100, -100], np.int8), const([0, 1], np.int64), given([100, -100], np.int8), **reduce)
case("ReverseSequence", f(4, 3, "n"), const([1, 4, 2], np.int64), batch_axis=1, time_axis=0, **take)
case("ReverseSequence", f("b", "m"), i("b", lo=1, hi="m+1"), batch_axis=0, time_axis=1, at=[r for r in ROWS if r["b"]], exact=True)

for attrs in ({}, {"start": 1}, {"end": -1}, {"start": -2, "end": 3}, {"start": 5}, {"start": 2, "end": 1}):
    case("Shape", X, opset=15, **attrs, **move)
case("Shape", X, opset=(11, 13, 19, 21, 23), **move)
case("Shape", f(), **move)
case("Size", X, opset=(11, 13, 19), **move)
case("Size", mask("n"), **move)
case("Range", const(2, np.int64), const(9, np.int64), const(3, np.int64))
case("Range", const(5, np.int64), const(0, np.int64), const(-2, np.int64))
case("Range", const(5, np.int64), const(5, np.int64), const(1, np.int64))
case("Range", const(0.5, np.float32), const(2.0, np.float32), const(0.5, np.float32))
for start, limit, step in ((2**53 + 1, 2**53 + 6, 1), (2**62 + 1, 2**62 + 9, 3), (-(2**63), -(2**63) + 5, 2), (2**63 - 1, 2**63 - 5, -2)):
    case("Range", const(start, np.int64), const(limit, np.int64), const(step, np.int64), exact=True)
    case("Range", given(start, np.int64), given(limit, np.int64), given(step, np.int64), exact=True)
case("Range", given(1, np.int64), given(6, np.int64), given(2, np.int64))
case("Range", given(1, np.int32), given(6, np.int32), given(2, np.int32))
case("Range", given(1, np.float32), given(3.2, np.float32), given(0.5, np.float32))
case("Range", given(6, np.int64), given(1, np.int64), given(1, np.int64))
#: The value is an element, whatever dimensions it is given in; no literal holds all integers.
FILL = helper.make_tensor("value", T.INT64, [1], [2**62 + 1])
for fill in (const(np.array([], np.int64)), const([2, 3], np.int64), given([2, 0, 3], np.int64)):
    case("ConstantOfShape", fill, value=FILL, exact=True, refused="free")
case("ConstantOfShape", ints(2, 3), opset=(9, 20))
case("ConstantOfShape", ints())
case("ConstantOfShape", ints(2, 0))
case("ConstantOfShape", ints(2, 3), value=helper.make_tensor("v", T.INT64, [1], [7]))
case("ConstantOfShape", ints(2, 3), value=helper.make_tensor("v", T.BOOL, [1], [True]))
case("ConstantOfShape", given([2, 3], np.int64), value=helper.make_tensor("v", T.FLOAT, [1], [7]), refused="free")
case("EyeLike", f("m", "n"), k=1, **move)
case("EyeLike", f("m", "n"), k=-2, opset=22, **move)
case("EyeLike", i("n", "n"), dtype=T.FLOAT, skip=("free",), **move)
case("Constant", value=helper.make_tensor("v", T.FLOAT, [2, 2], [1, 2, 3, 4]), opset=(11, 13, 21))
case("Constant", value_float=2.5, opset=12)
case("Constant", value_floats=[2.5, 1.0], opset=12)
case("Constant", value_int=3, opset=12)
case("Constant", value_ints=[3, 4], opset=13)

IMAGES = [dict(b=2, m=5, n=6), dict(b=1, m=9, n=7), dict(b=1, m=17, n=16), dict(b=0, m=5, n=6), dict(b=3, m=8, n=33)]
image = dict(at=IMAGES)
case("Conv", f("b", 3, "m", "n"), const(f(4, 3, 3, 3)), opset=(11, 22), **image)
case("Conv", f("b", 3, "m", "n"), const(f(4, 3, 3, 3)), const(f(4)), pads=[1, 0, 1, 2], strides=[2, 1], dilations=[1, 2], **image)
case("Conv", f("b", 3, "m", "n"), f(4, 3, 2, 2), f(4), refused="free", **image)
case("Conv", f("b", 3, "m", "n"), const(f(20, 3, 1, 1)), const(f(20)), **image)
case("Conv", f("b", 3, 8, 12), const(f(17, 3, 2, 3)), strides=[2, 3], **image)
case("Conv", f("b", 3, 8, 12), const(f(17, 3, 4, 4)), const(f(17)), strides=[4, 4], kernel_shape=[4, 4], **image)
case("Conv", f("b", 4, "n"), const(f(6, 2, 3)), group=2, **image)
case("Conv", f("b", 4, "n"), const(f(4, 1, 3)), const(f(4)), group=4, pads=[1, 1], **image)
case("Conv", f("b", 2, 4, "m", "n"), const(f(3, 2, 2, 3, 3)), **image)
case("Conv", f("b", 3, "m", "n"), const(f(4, 3, 3, 3)), pads=[1, 1, 1, 1], **image)
for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    case("Conv", f("b", 3, "m", "n"), const(f(4, 3, 3, 3)), auto_pad=pad, strides=[2, 2], **image)
for attrs in ({}, dict(strides=[2, 2]), dict(strides=[2, 1], pads=[1, 0, 1, 1]), dict(dilations=[2, 2])):
    case("ConvTranspose", f("b", 4, "m", "n"), f(4, 3, 2, 3), f(6), group=2, refused="free",
         at=[dict(b=2, m=3, n=4), dict(b=1, m=5, n=2)], **attrs)  # fmt: skip
#: What no window reaches is the bias, whatever stands in the weight.
case("ConvTranspose", f(2, 3, 5), given(np.array([np.inf, 1, -np.inf, 2, np.nan, 3] * 2, np.float32).reshape(3, 2, 2)), strides=[3], refused="free")
case("ConvTranspose", f("b", 3, "n"), const(f(3, 2, 3)), strides=[2], pads=[1, 0], **image)
case("ConvTranspose", f("b", 3, "m", "n"), const(f(3, 2, 2, 3)), const(f(2)), strides=[2, 1], output_padding=[1, 0], **image)
case("ConvTranspose", f("b", 4, "n"), const(f(4, 2, 3)), group=2, dilations=[2], refused="all", **image)
for pool in ("MaxPool", "AveragePool", "LpPool"):
    exact = pool == "MaxPool"
    case(pool, f("b", 2, "m", "n"), kernel_shape=[2, 3], exact=exact, opset=(11, 18), **image)
    case(pool, f("b", 2, "m", "n"), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], exact=exact, **image)
    case(pool, f("b", 2, "n"), kernel_shape=[2], auto_pad="SAME_UPPER", strides=[2], exact=exact, **image)
    case(pool, f("b", 2, "n"), kernel_shape=[3], auto_pad="SAME_LOWER", exact=exact, **image)
for pool in ("MaxPool", "AveragePool"):
    case(pool, f("b", 2, "m", "n"), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=19 if pool == "AveragePool" else 12, **image)
    case(pool, f("b", 2, "m", "n"), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, opset=19 if pool == "AveragePool" else 12, **image)
case("MaxPool", f("b", 2, "n"), kernel_shape=[2], dilations=[2], exact=True, **image)
case("MaxPool", f("b", 2, "m", "n"), kernel_shape=[2, 2], outputs=2, strides=[2, 2], refused="all", **image)
case("AveragePool", f("b", 2, "m", "n"), kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1, **image)
case("AveragePool", f("b", 2, "n"), kernel_shape=[2], dilations=[2], opset=19, **image)
case("LpPool", f("b", 2, "n"), kernel_shape=[2], p=1, **image)
case("LpPool", f("b", 2, "n"), kernel_shape=[2], p=3, **image)
for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
    case(op, f("b", 3, "m", "n"), **image)
    case(op, f("b", 3, "n"), **image)
case("GlobalLpPool", f("b", 3, "m", "n"), p=1, **image)
