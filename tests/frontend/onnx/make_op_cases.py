#!/usr/bin/env python3
"""Writes cases/FAMILY.zip: one-operator models with inputs and the answers of ONNX Runtime.

    python make_op_cases.py

Per case NAME/: static.onnx (extents fixed), free.onnx (every extent of every input is a symbol of its own), in0.npy, ...,
out0.npy, ... Where ONNX Runtime does not have the operator, onnx's reference evaluator answers.
"""
import io
import os
import sys
import zipfile

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

rng = np.random.RandomState(7)
CASES = []
NAMES = {}


class Const:
    """An operand that the model itself contains."""

    def __init__(self, value, dtype=None):
        self.value = np.asarray(value, dtype)


def case(op, inputs, opset=17, outputs=1, **attrs):
    k = NAMES[op] = NAMES.get(op, -1) + 1
    CASES.append((f"{op}_{k}", op, inputs, opset, outputs, attrs))


def f(*shape, lo=-2.0, hi=2.0):
    return rng.uniform(lo, hi, shape).astype(np.float32)


def i(*shape, lo=-5, hi=6, dtype=np.int64):
    return rng.randint(lo, hi, shape).astype(dtype)


def mask(*shape):
    return rng.rand(*shape) < 0.6


def I(*values):
    return Const(values, np.int64)


def elementwise():
    for op in "Add Sub Mul Div".split():
        case(op, [f(2, 3), f(2, 3)])
        case(op, [f(2, 1, 3), f(4, 1)])
        case(op, [i(2, 3), i(3, lo=1)])
        case(op, [f(2, 3), Const(np.float32(0.5))])
    case("Mul", [f(3), Const(np.float32(-3.4028235e38))])
    case("Mul", [i(2, 3, dtype=np.int32), i(2, 3, dtype=np.int32)])
    case("Mod", [i(4, 3), Const([3, -2, 5], np.int64)])
    case("Mod", [f(4, 3), f(3, lo=0.5)], fmod=1)
    case("Mod", [i(4, 3), Const([3, -2, 5], np.int64)], fmod=1)
    case("Pow", [f(2, 3, lo=0.1), f(3)])
    case("Pow", [f(2, 3), Const(np.float32(2.0))])
    case("Pow", [f(2, 3), Const(np.float32(3.0))])
    case("Pow", [f(2, 3), Const(3, np.int64)])
    case("Pow", [i(2, 3), Const(2, np.int64)])
    for op in "Max Min Sum Mean".split():
        case(op, [f(2, 3), f(1, 3), f(2, 1)])
        case(op, [f(2, 3)])
    case("Max", [i(2, 3), i(3)])
    case("Max", [np.array([1, np.nan, 3], np.float32), np.array([np.nan, 2, 1], np.float32)])
    for op in "Equal Less Greater LessOrEqual GreaterOrEqual".split():
        case(op, [i(2, 3, hi=0), i(3, hi=0)])
        case(op, [f(2, 3), f(2, 1)])
    case("Equal", [mask(2, 3), mask(3)])
    for op in "And Or Xor".split():
        case(op, [mask(2, 3), mask(1, 3)])
    case("And", [mask(2, 3), Const(True)])
    case("Not", [mask(2, 3)])
    case("Where", [mask(2, 3), f(3), f(2, 1)])
    case("Where", [mask(2, 3), Const(np.float32(0)), Const(np.float32(-np.inf))])
    case("Where", [mask(2, 3), i(3), Const(1, np.int64)])
    case("Where", [Const([True]), f(2, 3), f(2, 3)])
    case("Where", [Const(False), f(2, 3), f(3)])
    for op in "Add Sub Mul Div".split():  # neutral elements, and such as stretch the other operand
        case(op, [f(2, 3), Const(np.float32(1 if op in "MulDiv" else 0))])
        case(op, [i(3), Const([[0], [0]] if op in "AddSub" else [[1], [1]], np.int64)])


def activations():
    for op in "Neg Abs Sign".split():
        case(op, [f(2, 3)])
        case(op, [i(2, 3)])
    for op in ("Sqrt Reciprocal Exp Log Erf Tanh Sigmoid Sin Cos Tan Sinh Cosh Asinh Floor Ceil Relu Softplus Softsign "
               "HardSigmoid LeakyRelu Elu Selu ThresholdedRelu").split():
        lo = 0.1 if op in ("Sqrt", "Log", "Reciprocal") else -3.0
        case(op, [f(2, 5, lo=lo, hi=3)])
    case("Acosh", [f(4, lo=1.1, hi=3)])
    case("Atanh", [f(4, lo=-0.9, hi=0.9)])
    case("Round", [np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.3], np.float32)])
    case("HardSwish", [f(2, 5, lo=-4, hi=4)])
    case("Mish", [f(2, 5)], opset=18)
    case("Celu", [f(2, 5)], alpha=1.3)
    case("Elu", [f(2, 5)], alpha=0.7)
    case("LeakyRelu", [f(2, 5)], alpha=0.2)
    case("HardSigmoid", [f(2, 5)], alpha=0.3, beta=0.4)
    case("Selu", [f(2, 5)], alpha=1.5, gamma=2.0)
    case("Shrink", [f(2, 5)], lambd=0.8, bias=0.1)
    case("PRelu", [f(2, 3, 4), f(3, 1)])
    case("Gelu", [f(2, 5)], opset=20)
    case("Gelu", [f(2, 5)], opset=20, approximate="tanh")
    case("Swish", [f(2, 5)], opset=24, alpha=1.2)
    case("SwiGLU", [f(2, 5), f(2, 5)], opset=28)
    for a in ({}, {"detect_negative": 0}, {"detect_positive": 0}):
        case("IsInf", [np.array([1, np.inf, -np.inf, np.nan], np.float32)], **a)
    case("IsNaN", [np.array([1, np.inf, np.nan], np.float32)])
    case("Clip", [f(2, 5), Const(np.float32(-1)), Const(np.float32(0.5))])
    case("Clip", [f(2, 5), None, Const(np.float32(0.5))])
    case("Clip", [f(2, 5), Const(np.float32(0.0))])
    case("Clip", [i(2, 5), Const(-1, np.int64), Const(3, np.int64)])
    case("Clip", [f(2, 5)])
    for to in (T.FLOAT, T.DOUBLE, T.INT64, T.INT32, T.BOOL, T.FLOAT16):
        case("Cast", [f(2, 3)], to=to)
        case("Cast", [i(2, 3)], to=to)
        case("Cast", [mask(2, 3)], to=to)
    case("Cast", [i(2, 3, dtype=np.int32)], to=T.INT8)
    case("Cast", [f(2, 3, lo=0, hi=200)], to=T.UINT8)
    case("CastLike", [f(2, 3), i(1)])
    case("Identity", [f(2, 3)])
    case("Dropout", [f(2, 3)])


def reductions():
    for op in "ReduceSum ReduceProd ReduceMax ReduceMin ReduceMean ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp".split():
        axes_as_input = op == "ReduceSum"
        for axes, keep in (([1], 1), ([0, 2], 0), ([-1], 1), (None, 0), (None, 1)):
            x = f(2, 3, 4)
            if axes is None:
                case(op, [x], keepdims=keep)
            elif axes_as_input:
                case(op, [x, I(*axes)], keepdims=keep)
            else:
                case(op, [x], axes=axes, keepdims=keep)
        case(op, [f(2, 3, 4), I(1, 2)], opset=18, keepdims=0)
    case("ReduceLogSum", [f(2, 3, lo=0.1)], axes=[1])
    case("ReduceSum", [f(2, 3)], opset=18, noop_with_empty_axes=1)
    case("ReduceL2", [f(2, 3)], opset=18, noop_with_empty_axes=1)
    case("ReduceMax", [i(2, 3), I(1)], opset=18)
    case("ReduceMax", [mask(2, 3), I(1)], opset=20)
    case("ReduceSum", [i(2, 3), I(0)])
    case("ReduceMean", [f(2, 0, 3)], axes=[2])


def contractions():
    for a, b in (((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)), ((3,), (3, 4)),
                 ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((2, 0), (0, 3))):
        case("MatMul", [f(*a), f(*b)])
    case("MatMul", [f(5, 2, 3), Const(f(3, 4))])
    case("Gemm", [f(2, 3), f(3, 4)])
    case("Gemm", [f(2, 3), f(3, 4), f(4)])
    case("Gemm", [f(3, 2), f(4, 3), f(2, 1)], transA=1, transB=1, alpha=0.5, beta=2.0)
    case("Gemm", [f(2, 3), f(3, 4), f(2, 4)], alpha=0.7)
    case("Gemm", [f(2, 3), f(3, 4), Const(np.float32(1.5))], beta=0.25)
    for eq, shapes in (("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bkj->bik", [(2, 3, 4), (2, 5, 4)]), ("...ij,...jk->...ik", [(2, 2, 3), (2, 3, 4)]),
                       ("ij->ji", [(2, 3)]), ("ii->i", [(3, 3)]), ("ij->", [(2, 3)]), ("i,j->ij", [(2,), (3,)]), ("ij,jk", [(2, 3), (3, 2)]),
                       ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]), ("ab,bc,cd->ad", [(2, 3), (3, 2), (2, 4)])):
        case("Einsum", [f(*s) for s in shapes], equation=eq)


def normalisations():
    for opset, axis in ((17, -1), (17, 1), (17, 0), (11, 1), (11, 2), (12, 0)):
        case("Softmax", [f(2, 3, 4)], opset=opset, axis=axis)
        case("LogSoftmax", [f(2, 3, 4)], opset=opset, axis=axis)
        case("Hardmax", [f(2, 3, 4)], opset=opset, axis=axis)
    case("Softmax", [np.array([[1, -np.inf], [-np.inf, -np.inf]], np.float32)])
    case("LayerNormalization", [f(2, 3, 4), f(4), f(4)])
    case("LayerNormalization", [f(2, 3, 4), Const(f(3, 4))], axis=1, epsilon=1e-3)
    case("LayerNormalization", [f(2, 3, 4), f(4), f(4)], outputs=3)
    case("RMSNormalization", [f(2, 3, 4), f(4)], opset=23)
    case("BatchNormalization", [f(2, 3, 4), Const(f(3)), Const(f(3)), Const(f(3)), Const(f(3, lo=0.5))], epsilon=1e-3)
    case("BatchNormalization", [f(2, 3), f(3), f(3), f(3), f(3, lo=0.5)])
    case("InstanceNormalization", [f(2, 3, 4, 2), f(3), f(3)])
    case("GroupNormalization", [f(2, 4, 3), Const(f(4)), Const(f(4))], opset=21, num_groups=2)
    case("LpNormalization", [f(2, 3)], p=1, axis=0)
    case("LpNormalization", [f(2, 3)])
    case("MeanVarianceNormalization", [f(2, 3, 2, 2)])


def layouts():
    case("Transpose", [f(2, 3, 4)])
    case("Transpose", [f(2, 3, 4)], perm=[1, 0, 2])
    case("Transpose", [f(2, 3)], perm=[0, 1])
    x = f(2, 3, 4)
    for shape in ([6, 4], [2, 12], [-1], [0, -1], [2, 3, 2, 2], [1, 2, 1, 12], [4, 6], [24, 1], [0, 0, 4], [2, -1, 4]):
        case("Reshape", [x, I(*shape)])
    case("Reshape", [f(0, 3), I(0, 5)], allowzero=1)
    case("Reshape", [i(2, 3), I(3, 2)])
    for axis in (0, 1, 2, 3, -1):
        case("Flatten", [x], axis=axis)
    case("Squeeze", [f(1, 3, 1)])
    case("Squeeze", [f(1, 3, 1), I(0)])
    case("Squeeze", [f(1, 3, 1)], opset=11, axes=[-1])
    case("Unsqueeze", [f(3, 2), I(0, 2)])
    case("Unsqueeze", [f(3, 2), I(-1)])
    case("Unsqueeze", [f(3, 2)], opset=11, axes=[1])
    case("Expand", [f(3, 1), I(2, 1, 4)])
    case("Expand", [f(3, 1), I(3, 1)])
    case("Concat", [f(2, 3), f(2, 1), f(2, 4)], axis=1)
    case("Concat", [f(2, 3), f(1, 3)], axis=-2)
    case("Concat", [i(2), i(0), i(3)], axis=0)
    for s, e, a, st in (([1], [3], [1], None), ([0, 1], [2, 100], [0, 2], None), ([-1], [-100], [2], [-1]), ([0], [-1], [1], [2]),
                        ([3], [1], [2], None), ([-2], [2 ** 63 - 1], [2], None), ([0], [1], [1], None)):
        case("Slice", [f(2, 3, 4), I(*s), I(*e), I(*a)] + ([I(*st)] if st else []))
    case("Slice", [f(2, 3), I(0, 1), I(1, 2)])
    case("Split", [f(2, 6)], outputs=3, axis=1)
    case("Split", [f(2, 6), I(1, 2, 3)], outputs=3, axis=1)
    case("Split", [f(2, 6)], opset=11, outputs=2, axis=1, split=[2, 4])
    case("Split", [f(2, 7)], opset=18, outputs=3, axis=1, num_outputs=3)
    case("Tile", [f(2, 3), I(2, 1)])
    case("Tile", [f(2, 1, 3), I(1, 4, 2)])
    case("Pad", [f(2, 3), I(0, 1, 2, 0)])
    case("Pad", [f(2, 3), I(0, 1, 2, 0), Const(np.float32(1.5))])
    case("Pad", [f(2, 4), I(0, -1, 0, -2)])
    case("Pad", [f(2, 4), I(1, 2), None, I(1)], opset=18)
    for mode in ("reflect", "edge"):
        case("Pad", [f(3, 4), I(1, 2, 2, 1)], mode=mode)
    case("Pad", [f(3, 4), I(1, 2, 2, 1)], opset=19, mode="wrap")
    for mode in ("DCR", "CRD"):
        case("DepthToSpace", [f(1, 8, 2, 3)], blocksize=2, mode=mode)
    case("SpaceToDepth", [f(1, 2, 4, 6)], blocksize=2)
    for upper in (0, 1):
        case("Trilu", [f(2, 3, 4)], upper=upper)
        case("Trilu", [f(3, 4), Const(1, np.int64)], upper=upper)
    case("Trilu", [i(3, 3)], upper=0)
    case("Trilu", [mask(3, 3)], upper=1)


def indexing():
    case("Gather", [f(5, 3), i(2, 2, lo=-5, hi=5)])
    case("Gather", [f(5, 3), i(2, lo=0, hi=3, dtype=np.int32)], axis=1)
    case("Gather", [f(5, 3), Const(-1, np.int64)], axis=1)
    case("Gather", [f(5, 3), I(2)])
    case("Gather", [f(5, 3), I(1, 2, 3)])
    case("Gather", [f(5, 3), I(3, 0)])
    case("GatherND", [f(2, 3, 4), i(5, 2, lo=0, hi=2)])
    case("GatherND", [f(2, 3, 4), i(2, 2, 1, lo=0, hi=3)], batch_dims=1)
    case("GatherND", [mask(3, 4), i(2, 2, 2, lo=0, hi=3)])
    case("GatherElements", [f(3, 4), i(3, 2, lo=-4, hi=4)], axis=1)
    case("GatherElements", [f(3, 4), i(2, 4, lo=0, hi=3)])
    case("GatherElements", [f(3, 4), i(2, 3, lo=0, hi=3)])
    case("OneHot", [i(2, 3, lo=-4, hi=6), Const(4, np.int64), Const([0.5, 2.0], np.float32)])
    case("OneHot", [i(2, 3, lo=0, hi=4), Const(4, np.int64), Const([0, 1], np.int64)], axis=0)
    for e in (0, 1):
        for r in (0, 1):
            case("CumSum", [f(2, 5), Const(1, np.int64)], exclusive=e, reverse=r)
    case("CumSum", [i(3, 2), Const(0, np.int64)])
    case("CumProd", [f(2, 5), Const(1, np.int64)], opset=26)
    case("CumProd", [f(2, 5), Const(1, np.int64)], opset=26, exclusive=1, reverse=1)
    for op in ("ArgMax", "ArgMin"):
        case(op, [f(2, 3, 4)], axis=1)
        case(op, [i(2, 5, lo=0, hi=2)], axis=-1, keepdims=0, select_last_index=1)
    case("TopK", [f(3, 5), I(2)], outputs=2)
    case("TopK", [f(3, 5), I(3)], outputs=2, axis=0, largest=0)
    case("NonZero", [i(3, 4, lo=0, hi=2)])
    case("NonZero", [mask(5)])
    case("Compress", [f(3, 4), mask(3)], axis=0)
    case("Compress", [f(3, 4), mask(7)])
    case("ScatterND", [f(4, 3), i(2, 1, lo=0, hi=4), f(2, 3)])
    case("ScatterND", [f(4, 3), Const([[0, 1], [0, 1]], np.int64), f(2)], opset=18, reduction="add")
    case("ScatterElements", [f(3, 4), Const([[1, 0, 2, 1]], np.int64), f(1, 4)])
    case("ScatterElements", [f(3, 4), Const([[1, 0, 1, 1]], np.int64), f(1, 4)], opset=18, axis=1, reduction="max")
    case("ReverseSequence", [f(4, 3), Const([1, 4, 2], np.int64)], batch_axis=1, time_axis=0)


def generators():
    case("Shape", [f(2, 3, 4)])
    case("Shape", [f(2, 3, 4)], start=-2, end=3)
    case("Size", [f(2, 3, 4)])
    case("Range", [Const(2, np.int64), Const(9, np.int64), Const(3, np.int64)])
    case("Range", [Const(5, np.int64), Const(0, np.int64), Const(-2, np.int64)])
    case("Range", [Const(0.5, np.float32), Const(2.0, np.float32), Const(0.5, np.float32)])
    case("Range", [np.array(1, np.int64), np.array(6, np.int64), np.array(2, np.int64)])
    case("Range", [np.array(1, np.float32), np.array(3.2, np.float32), np.array(0.5, np.float32)])
    case("ConstantOfShape", [I(2, 3)])
    case("ConstantOfShape", [I(2, 3)], value=helper.make_tensor("v", T.INT64, [1], [7]))
    case("ConstantOfShape", [np.array([2, 3], np.int64)], value=helper.make_tensor("v", T.FLOAT, [1], [7]))
    case("EyeLike", [f(3, 4)], k=1)
    case("EyeLike", [i(3, 3)], dtype=T.FLOAT)
    case("Expand", [f(3, 1), np.array([2, 3, 4], np.int64)])
    case("Reshape", [f(3, 4), np.array([2, -1], np.int64)])
    case("Slice", [f(5, 4), np.array([1], np.int64), np.array([4], np.int64), I(0)])


def windows():
    w = Const(f(4, 3, 3, 3))
    case("Conv", [f(2, 3, 5, 6), w])
    case("Conv", [f(2, 3, 5, 6), w, Const(f(4))], pads=[1, 0, 1, 2], strides=[2, 1], dilations=[1, 2])
    case("Conv", [f(2, 3, 5, 6), Const(f(4, 3, 1, 1)), Const(f(4))])
    case("Conv", [f(2, 3, 4, 6), Const(f(4, 3, 2, 3))], strides=[2, 3])
    case("Conv", [f(2, 3, 5, 6), Const(f(4, 3, 1, 1))], strides=[2, 2], pads=[1, 0, 0, 1])
    case("MaxPool", [f(1, 2, 5)], kernel_shape=[1], strides=[2])
    case("Conv", [f(2, 4, 5), Const(f(6, 2, 3))], group=2)
    case("Conv", [f(2, 4, 5), Const(f(4, 1, 3)), Const(f(4))], group=4, pads=[1, 1])
    for p in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        case("Conv", [f(1, 3, 5, 6), w], auto_pad=p, strides=[2, 2])
    case("ConvTranspose", [f(1, 3, 4), Const(f(3, 2, 3))], strides=[2], pads=[1, 0])
    case("ConvTranspose", [f(1, 3, 3, 2), Const(f(3, 2, 2, 3)), Const(f(2))], strides=[2, 1], output_padding=[1, 0])
    for pool in ("MaxPool", "AveragePool"):
        case(pool, [f(1, 2, 5, 6)], kernel_shape=[2, 3])
        case(pool, [f(1, 2, 5, 6)], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
        case(pool, [f(1, 2, 6, 6)], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        case(pool, [f(1, 2, 5)], kernel_shape=[2], auto_pad="SAME_UPPER", strides=[2])
    case("MaxPool", [f(1, 2, 7)], kernel_shape=[2], dilations=[2])
    case("AveragePool", [f(1, 2, 5, 6)], kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1)
    case("LpPool", [f(1, 2, 5)], kernel_shape=[2], p=2)
    for op in "GlobalAveragePool GlobalMaxPool GlobalLpPool".split():
        case(op, [f(2, 3, 4, 5)])
    case("LRN", [f(1, 5, 3, 3)], size=3, alpha=0.5, beta=0.6, bias=1.2)


def composites():
    q, k, v = f(2, 4, 3, 6), f(2, 4, 5, 6), f(2, 4, 5, 8)
    case("Attention", [q, k, v], opset=23)
    case("Attention", [q, k, v, f(3, 5)], opset=23, scale=0.3)
    case("Attention", [q, f(2, 2, 5, 6), f(2, 2, 5, 8), mask(2, 1, 3, 5) | np.eye(3, 5, dtype=bool)], opset=23)
    case("Attention", [f(2, 3, 24), f(2, 3, 12), f(2, 3, 16)], opset=23, q_num_heads=4, kv_num_heads=2, is_causal=1)
    case("Attention", [q, f(2, 4, 3, 6), f(2, 4, 3, 8), None, f(2, 4, 2, 6), f(2, 4, 2, 8)], opset=23, outputs=3, is_causal=1)
    case("Attention", [q, k, v], opset=23, softcap=2.0)
    cos, sin = f(7, 3), f(7, 3)
    ids = i(2, 5, lo=0, hi=7)
    case("RotaryEmbedding", [f(2, 4, 5, 6), cos, sin, ids], opset=23)
    case("RotaryEmbedding", [f(2, 4, 5, 6), cos, sin, ids], opset=23, interleaved=1)
    case("RotaryEmbedding", [f(2, 5, 24), cos, sin, ids], opset=23, num_heads=4)
    case("RotaryEmbedding", [f(2, 4, 5, 8), f(2, 5, 2), f(2, 5, 2)], opset=23, rotary_embedding_dim=4)
    case("QuantizeLinear", [f(3, 4, lo=-9, hi=9), Const(np.float32(0.1)), Const(3, np.uint8)])
    case("QuantizeLinear", [f(3, 4), Const(f(4, lo=0.01, hi=0.1)), Const([1, 2, -3, 0], np.int8)])
    u = lambda *shape: i(*shape, lo=0, hi=200, dtype=np.uint8)
    case("MatMulInteger", [u(2, 3), u(3, 4)])
    case("MatMulInteger", [u(2, 3), i(3, 4, lo=-90, hi=90, dtype=np.int8), Const(12, np.uint8), Const(-3, np.int8)])
    case("DynamicQuantizeLinear", [f(3, 4)], outputs=3)
    case("DequantizeLinear", [i(3, 4, lo=-100, hi=100, dtype=np.int8), Const(np.float32(0.1)), Const(3, np.int8)])
    case("DequantizeLinear", [i(3, 4, lo=0, hi=100, dtype=np.uint8), Const(f(3, lo=0.01, hi=0.1))], axis=0)


def sampling():
    C = lambda *v: Const(v, np.float32)  # noqa: E731
    for op in ("Atan", "Asin", "Acos"):
        case(op, [f(3, 5, lo=-1.0, hi=1.0)])
    case("Atan", [f(4, 9, lo=-9.0, hi=9.0)])
    case("Resize", [f(1, 2, 5, 4), None, None, I(1, 2, 8, 3)], opset=18, mode="linear")
    case("Resize", [f(1, 2, 5, 4), None, C(1, 1, 2, 3)], opset=13, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("Resize", [f(1, 2, 5, 4), None, C(1, 1, 2, 3)], opset=13, mode="cubic", coordinate_transformation_mode="align_corners")
    case("Upsample", [f(1, 2, 3, 4), C(1, 1, 2, 2)], opset=9, mode="linear")
    for mode in ("linear", "nearest"):
        case("GridSample", [f(2, 3, 5, 4), f(2, 3, 6, 2, lo=-1.3, hi=1.3)], opset=20, mode=mode)
    case("GridSample", [f(2, 3, 5, 4), f(2, 3, 6, 2, lo=-1.3, hi=1.3)], opset=20, padding_mode="border", align_corners=1)
    case("AffineGrid", [f(2, 2, 3), I(2, 1, 4, 5)], opset=20)
    case("CenterCropPad", [f(5, 4, 3), I(3, 7)], opset=18, axes=[0, 1])
    case("Col2Im", [f(2, 8, 6), I(3, 4), I(2, 2)], opset=18)
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        case(op, [f(4, 5), i(4, lo=0, hi=5)], opset=13)
        case(op, [f(4, 5, 2), i(4, 2, lo=0, hi=5), f(5, lo=0.1)], opset=13, reduction="sum", ignore_index=2)


def build(name, op, inputs, opset, outputs, attrs, free):
    names, graph_inputs, inits = [], [], []
    for n, x in enumerate(inputs):
        if x is None:
            names.append("")
            continue
        names.append(f"x{n}")
        if isinstance(x, Const):
            inits.append(numpy_helper.from_array(x.value, f"x{n}"))
            continue
        shape = [f"x{n}_{d}" if free else s for d, s in enumerate(x.shape)]
        graph_inputs.append(helper.make_tensor_value_info(f"x{n}", helper.np_dtype_to_tensor_dtype(x.dtype), shape))
    outs = [f"y{k}" for k in range(outputs)]
    node = helper.make_node(op, names, outs, name=name, **attrs)
    graph = helper.make_graph([node], name, graph_inputs, [onnx.ValueInfoProto(name=o) for o in outs], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 10)
    return model


def answer(model, feeds):
    try:
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, feeds), "ort"
    except Exception as e:
        from onnx.reference import ReferenceEvaluator
        return ReferenceEvaluator(model).run(None, feeds), str(e).splitlines()[0][:100]


def write(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        def put(name, data):
            z.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)

        def put_array(name, x):
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(x, order="C"))
            put(name, buffer.getvalue())

        for name, op, inputs, opset, outputs, attrs in CASES:
            feeds = {f"x{n}": x for n, x in enumerate(inputs) if x is not None and not isinstance(x, Const)}
            models = [build(name, op, inputs, opset, outputs, attrs, free) for free in (False, True)]
            try:
                result, who = answer(models[0], feeds)
            except Exception as e:
                print(f"no answer for {name}: {e}", file=sys.stderr)
                continue
            if who != "ort":
                print(f"{name}: answered by the reference evaluator ({who})", file=sys.stderr)
            for kind, model in zip(("static", "free"), models):
                put(f"{name}/{kind}.onnx", model.SerializeToString())
            for n, x in feeds.items():
                put_array(f"{name}/in{n[1:]}.npy", x)
            for k, y in enumerate(result):
                put_array(f"{name}/out{k}.npy", y)


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases")
    os.makedirs(folder, exist_ok=True)
    for family in (elementwise, activations, reductions, contractions, normalisations, layouts, indexing, generators, windows, composites, sampling):
        CASES.clear()
        rng.seed(7)
        family()
        write(os.path.join(folder, family.__name__ + ".zip"))
        print(f"{family.__name__}: {len(CASES)} cases")


if __name__ == "__main__":
    main()
