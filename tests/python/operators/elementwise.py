"""Cases: element-wise operators."""

import numpy as np
from onnx import TensorProto as T

from .spec import EDGES, case, const, edges, f, given, i, mask

LATEST = 23
ARITHMETIC = (11, 13, 14, LATEST)

#: In every direction: equal, one stretched, both stretched, lower ranks, scalars.
BROADCASTS = [(("b", "n"), ("b", "n")), (("b", "n"), ("n",)), (("n",), ("b", "n")), (("b", 1), (1, "n")), ((1, "n"), ("b", 1)),
              (("b", "n"), ()), ((), ("n",)), (("b", 1, "n"), ("m", 1)), (("b", "m", 1, 3), ("b", 1, "n", 3)), ((5,), ("n", 5)), ((), ())]  # fmt: skip

for op in ("Add", "Sub", "Mul", "Div"):
    exact = op != "Div"
    for k, (a, b) in enumerate(BROADCASTS):
        low = dict(lo=0.5) if op == "Div" else {}
        case(op, f(*a), f(*b, **low), opset=ARITHMETIC if k == 0 else ARITHMETIC[k % 4], exact=exact, each=True)
    # As constants, numbers below -1e30 would absorb what they are added to (a mask's way to say "not this one"), NaN as well.
    case(op, edges("n", 24), edges("n", 24), exact=exact, each=True, skip=("weights",))
    for dtype in ("int64", "int32"):
        case(op, i("b", "n", lo=-9, hi=10, dtype=dtype), i("n", lo=1, hi=6, dtype=dtype))
        case(op, i("n", lo=-9, hi=10, dtype=dtype), i("b", "n", lo=-6, hi=0, dtype=dtype))
    case(op, f("b", "n", dtype="float64"), f("n", lo=0.5, dtype="float64"), each=True, tolerance=1e-12)
    case(op, f("b", "n", dtype="float16"), f("n", lo=0.5, dtype="float16"), refused="all")
case("Add", given([2**62, -(2**62), 2**63 - 1], np.int64), given([2**62, -(2**62), 1], np.int64))
case("Mul", given([2**31 - 1, 46341, -3], np.int32), given([2, 46341, 7], np.int32))
case("Add", f("n"), const(np.float32(-3.4028235e38)), exact=True)
case("Add", i("n", dtype="uint8", lo=0, hi=200), i("n", dtype="uint8", lo=0, hi=200), opset=14)
case("Sub", i("n", dtype="int8", lo=-100, hi=100), i(1, dtype="int8", lo=-100, hi=100), opset=14)

for op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
    opsets = (12, 16, 19) if op.endswith("OrEqual") else (11, 13, 19)
    for k, (a, b) in enumerate(BROADCASTS[:6]):
        case(op, i(*a, lo=0, hi=3), i(*b, lo=0, hi=3), opset=opsets[k % 3])
    case(op, i("b", "n", lo=0, hi=3, dtype="int32"), i("n", lo=0, hi=3, dtype="int32"), opset=opsets)
    case(op, edges("n", 24), edges("n", 24), opset=opsets)
    case(op, f("b", "n", dtype="float64"), f("n", dtype="float64"), opset=opsets[-1])
case("Equal", mask("b", "n"), mask("n"), opset=13)
for op in ("And", "Or", "Xor"):
    for a, b in BROADCASTS[:6]:
        case(op, mask(*a), mask(*b))
    case(op, mask("b", "n"), const(True))
case("Not", mask("b", "n"))
case("Not", mask())

for op in ("Max", "Min", "Sum", "Mean"):
    case(op, f("b", "n"), f(1, "n"), f("b", 1), opset=(11, 13), each=True, tolerance=1e-6)
    case(op, f("b", "n"), f("n"), f(), opset=8 + (op in ("Sum", "Mean")) * 5, each=True, tolerance=1e-6)
    case(op, edges("n", 24), edges("n", 24), each=True, tolerance=1e-6, skip=("weights",))
    case(op, f("n"), exact=True)
    case(op, f("n"), f("n"), f("n"), f("n"), f("n"), each=True, tolerance=1e-6)
for op in ("Max", "Min"):
    for dtype in ("int64", "int32", "float64"):
        case(op, i("b", "n", dtype=dtype), i("n", dtype=dtype), opset=13)
    case(op, edges("n", 24), const(np.float32(0.0)), each=True)

case("Mod", i("b", "n"), const([3, -2, 5, -7], np.int64), at=[dict(b=3, n=4), dict(b=1, n=4), dict(b=0, n=4)], opset=(11, 13))
case("Mod", i("b", 4, dtype="int32"), const([3, -2, 5, -7], np.int32), fmod=1)
case("Mod", f("b", "n", lo=-9, hi=9), f("n", lo=0.5, hi=3), fmod=1, each=True)
case("Mod", f("b", "n", lo=-9, hi=9), f("n", lo=-3, hi=-0.5), fmod=1, each=True)

for opset in (12, 13, 15):
    case("Pow", f("b", "n", lo=0.1), f("n"), opset=opset, each=True)
for exponent in (2.0, 3.0, 0.5, -1.0, 0.0, 1.0, -0.5, 4.0, 2.5):
    case("Pow", f("b", "n", lo=0.05, hi=3), const(np.float32(exponent)), each=True)
for exponent in (2.0, 3.0, -1.0, 0.0, 0.5):
    case("Pow", edges("n", 24), const(np.float32(exponent)), each=True)
case("Pow", edges("n", 24), edges("n", 24), each=True)
case("Pow", f("b", "n", lo=-3, hi=3), i("n", lo=-2, hi=5), each=True)
case("Pow", i("b", "n"), const(2, np.int64))
case("Pow", i("b", "n", lo=-3, hi=4), i("n", lo=0, hi=5))
case("Pow", i("b", "n", lo=-3, hi=4, dtype="int32"), const(np.float32(3)))
case("Pow", f("n", lo=0.1, dtype="float64"), const(1.5, np.float64), each=True, tolerance=1e-12)

WHERE = [(("b", "n"), ("b", "n"), ("b", "n")), (("b", 1), ("n",), ()), ((), ("b", "n"), ("n",)), (("n",), ("b", 1), ("b", "n")),
         (("b", 1, "n"), ("m", 1), (1, 1, "n"))]  # fmt: skip
for k, (c, a, b) in enumerate(WHERE):
    case("Where", mask(*c), f(*a), f(*b), opset=(9, 16)[k % 2], exact=True)
    case("Where", mask(*c), i(*a), i(*b), opset=16)
# ONNX Runtime loses the signs of zeros.
case("Where", mask("b", "n"), edges("n"), const(np.float32(-np.inf)), exact=True, reference=True)
case("Where", mask("b", "n"), mask("n"), mask("b", 1))
case("Where", mask("b", "n"), const(np.float32(0)), const(np.float32(np.finfo(np.float32).min)), exact=True)
case("Where", mask("b", "n"), i("n", dtype="int32"), i("n", dtype="int32"))
case("Where", mask("b", "n"), f("n", dtype="float64"), f("n", dtype="float64"), exact=True)
case("Where", mask("n"), i("n", dtype="uint8", lo=0), i("n", dtype="uint8", lo=0))

#: Domains of the functions of one variable; with edges too.
DOMAIN = {"Sqrt": (0.0, 9.0), "Log": (0.01, 30.0), "Reciprocal": (0.1, 4.0), "Acosh": (1.01, 9.0), "Atanh": (-0.9, 0.9), "Asin": (-1, 1), "Acos": (-1, 1), "Atan": (-9, 9), "Exp": (-20, 20),
          "Tan": (-1.3, 1.3), "Sinh": (-9, 9), "Cosh": (-9, 9), "Asinh": (-9, 9), "Erf": (-5, 5), "Tanh": (-8, 8), "Sigmoid": (-20, 20)}  # fmt: skip
UNARY = ("Abs Neg Sign Floor Ceil Round Sqrt Reciprocal Exp Log Erf Tanh Sigmoid Sin Cos Tan Sinh Cosh Asinh Acosh Atanh Asin Acos Atan Relu Softplus "
         "Softsign HardSigmoid LeakyRelu Elu Selu ThresholdedRelu HardSwish Celu Mish Gelu Swish Shrink").split()  # fmt: skip
SINCE = {"HardSwish": 14, "Mish": 18, "Gelu": 20, "Swish": 24, "Celu": 12, "Round": 11}
for op in UNARY:
    lo, hi = DOMAIN.get(op, (-4.0, 4.0))
    opset = SINCE.get(op, 13)
    opsets = (opset, LATEST) if opset < LATEST else (opset,)
    exact = op in ("Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt")
    case(op, f("b", "n", lo=lo, hi=hi), opset=opsets, exact=exact, each=True, tolerance=2e-5)
    # The period of an angle of 3e38 is not resolved: sines and cosines are some value of the function there.
    case(op, given(EDGES[np.abs(EDGES) < 1e7], np.float32) if op in ("Sin", "Cos", "Tan") else edges("n", 24), opset=opset, exact=exact, each=True, tolerance=2e-5)
    if op == "Celu":
        continue  # of f32 alone
    case(op, f("n", lo=lo, hi=hi, dtype="float64"), opset=opset, exact=exact, each=True, tolerance=1e-6, refused="all")
    case(op, f("n", lo=lo, hi=hi, dtype="float16"), opset=opset, each=True, tolerance=1e-2, refused="all")
for op in ("Abs", "Neg", "Sign"):
    for dtype in ("int64", "int32", "int8"):
        case(op, i("b", "n", dtype=dtype))
case("Relu", i("n", dtype="int32"), opset=14)
case("Round", given([0.5, 1.5, 2.5, -0.5, -1.5, 0.3, 4.5, -2.5, 1e9], np.float32), exact=True)
case("Celu", f("b", "n"), alpha=1.3, each=True)
case("Elu", f("b", "n"), alpha=0.7, each=True)
case("LeakyRelu", f("b", "n"), alpha=0.2, opset=(11, 16), each=True)
case("HardSigmoid", f("b", "n"), alpha=0.3, beta=0.4, each=True)
case("Selu", f("b", "n"), alpha=1.5, gamma=2.0, each=True)
case("ThresholdedRelu", f("b", "n"), alpha=0.6, exact=True)
case("Shrink", f("b", "n"), lambd=0.8, bias=0.1, each=True)
case("Gelu", f("b", "n", lo=-4, hi=4), opset=20, approximate="tanh", each=True)
case("Gelu", edges("n", 24), opset=20, approximate="tanh", each=True)
case("Gelu", f("b", "n", lo=-9, hi=9), opset=20, approximate="none", each=True, tolerance=1e-3)
case("Swish", f("b", "n"), opset=24, alpha=1.2, each=True)
case("SwiGLU", f("b", "n"), f("b", "n"), opset=28, each=True)
for slope in (("n",), (1,), (), ("b", 1, 1), ("m", 1), ("b", "m", "n")):
    case("PRelu", f("b", "m", "n"), f(*slope), opset=16, exact=True)

#: The base's type is the result's, and no digit of the exponent is lost.
case("Pow", f("n", lo=0.1, dtype="float16"), given([1e-38, 2.5, 70000.0, -3.25], np.float32), at=[dict(n=4), dict(n=1)], each=True, tolerance=1e-2)
case("Pow", given([-1.0, 1.0, 2.0], np.float32), given([2**24 + 1, 2**53 + 1, 3]), each=True)
case("Pow", given([-1.0, 1.0], np.float32), const(2**24 + 1), each=True)
case("Pow", f("n", lo=0.1), f("n", dtype="float64"), each=True)
case("Pow", f("n", lo=0.1, dtype="float64"), f("n"), each=True)
for bias, lambd in ((0.3, 1.5), (-2.0, 0.5), (1.0, 2.0)):
    case("Shrink", i("b", "n"), bias=bias, lambd=lambd, opset=9)
    case("Shrink", i("n", dtype="int8"), bias=bias, lambd=lambd, opset=9)
for attrs in ({}, {"min": -1.0}, {"max": 2.5}):
    case("Clip", edges("n", 24), opset=7, exact=True, **attrs)
for attrs in ({}, {"detect_negative": 0}, {"detect_positive": 0}, {"detect_negative": 0, "detect_positive": 0}):
    case("IsInf", edges("n", 24), opset=(10, 20), **attrs)
case("IsNaN", edges("n", 24), opset=(9, 13, 20))
case("IsNaN", edges("n", 24, dtype="float64"))

low, high = const(np.float32(-1)), const(np.float32(0.5))
for bounds in ((low, high), (None, high), (low,), (), (f(), None), (f(lo=-1, hi=0), f(lo=0, hi=1))):
    case("Clip", f("b", "n"), *bounds, opset=(11, 13), exact=True)
case("Clip", edges("n", 24), low, high, exact=True)
case("Clip", i("b", "n"), const(-1, np.int64), const(3, np.int64), opset=12)
case("Clip", i("b", "n", dtype="int32"), const(-1, np.int32), None, opset=12)
case("Clip", f("b", "n"), const(np.float32(1)), const(np.float32(-1)), exact=True)
case("Clip", f("b", "n"), opset=7, min=-0.5, max=0.7, exact=True)

TYPES = {"float32": T.FLOAT, "float64": T.DOUBLE, "int64": T.INT64, "int32": T.INT32, "bool": T.BOOL, "float16": T.FLOAT16,
         "int8": T.INT8, "uint8": T.UINT8}  # fmt: skip
for source in TYPES:
    for target in TYPES:
        arg = mask("b", "n") if source == "bool" else i("b", "n", lo=0, hi=9, dtype=source) if source == "uint8" else i("b", "n", dtype=source)
        if source.startswith("float"):
            # Conversions of what does not fit are undefined; from below zero to unsigned too.
            arg = f("b", "n", lo=0 if target == "uint8" else -9.0, hi=9.0, dtype=source)
        if source != "uint8" and target == "uint8" and source.startswith("int"):
            arg.lo = 0
        case("Cast", arg, opset=(13, 19) if source == "float32" else 13, to=TYPES[target], exact=target != "float16", tolerance=1e-3)
        if source in ("float32", "int64"):
            case("CastLike", arg, mask(1) if target == "bool" else i(1, dtype=target, lo=0), opset=15, exact=target != "float16")
case("Cast", edges("n", 24), to=T.BOOL)
case("Cast", edges("n", 24), to=T.DOUBLE, exact=True)
case("Cast", given([0.99, -0.99, 2.5, -2.5, 16777217.0, -3e9], np.float32), to=T.INT64)
case("Cast", given([2**40 + 3, -5, 2**62], np.int64), to=T.FLOAT, exact=True)
case("Cast", given([2**32 + 3, -5, 2**31], np.int64), to=T.INT32)

case("Identity", f("b", "n"), opset=(11, 13, 16, LATEST), exact=True)
case("Identity", i("b", "n"))
case("Identity", mask())
case("Dropout", f("b", "n"), opset=(11, 12, 13), exact=True)
case("Dropout", f("b", "n"), const(np.float32(0.3)), opset=13, exact=True)
case("Dropout", f("b", "n"), const(np.float32(0.3)), const(False), opset=13, outputs=2, exact=True)
