"""Cases: contractions, reductions, normalisations, attention."""

import numpy as np

from .spec import case, const, edges, f, given, i, ints, mask

#: M, N, K round the sizes of tiles and vectors.
SIZES = [(3, 5, 4), (1, 1, 1), (17, 49, 33), (0, 3, 2), (8, 16, 64), (2, 3, 0), (47, 15, 31), (1, 48, 16), (9, 47, 1), (13, 0, 7), (33, 97, 65)]
MNK = [dict(b=2 + k % 2, m=m, n=n, k=d) for k, (m, n, d) in enumerate(SIZES)]

MATMULS = [(("m", "k"), ("k", "n")), (("b", "m", "k"), ("k", "n")), (("b", "m", "k"), ("b", "k", "n")), (("b", 1, "m", "k"), (3, "k", "n")),
           ((1, "m", "k"), ("b", "k", "n")), (("k",), ("k", "n")), (("m", "k"), ("k",)), (("k",), ("k",)), (("b", "m", "k"), ("k",)),
           (("k",), ("b", "k", "n")), (("b", 2, "m", "k"), ("b", 1, "k", "n")), (("m", 33), (33, 50)), (("b", "m", 16), (16, 48)),
           (("b", "m", 7), (7, 1)), (("m", "k"), ("b", "k", "n"))]  # fmt: skip
for k, (a, b) in enumerate(MATMULS):
    case("MatMul", f(*a), f(*b), opset=(11, 13, 17, 23)[k % 4], at=MNK)
for n in (1, 15, 16, 17, 31, 33, 47, 48, 49, 97, 130):
    case("MatMul", f("b", "m", 20), const(f(20, n)), at=MNK)
case("MatMul", f("m", 5), const(f(2, 5, 3)), at=MNK)
case("MatMul", const(f(4, 6)), f("b", 6, "n"), at=MNK)
case("MatMul", f("m", 5), const(f(5)), at=MNK)
case("MatMul", i("m", "k"), i("k", "n"), at=MNK)
case("MatMul", i("m", "k", dtype="int32"), i("b", "k", "n", dtype="int32"), at=MNK)
case("MatMul", f("m", "k", dtype="float64"), f("k", "n", dtype="float64"), at=MNK, tolerance=1e-12)
case("MatMul", given([[np.inf, 1], [np.nan, 2], [0, 1]], np.float32), given([[0, 1], [2, -np.inf]], np.float32))
case("MatMul", f("m", "k", dtype="float16"), f("k", "n", dtype="float16"), at=MNK, refused="all")

C = [(), (1,), ("n",), (1, "n"), ("m", 1), ("m", "n"), (1, 1)]
for k, c in enumerate(C):
    case("Gemm", f("m", "k"), f("k", "n"), f(*c), at=MNK, opset=(11, 13)[k % 2], alpha=(1.0, 0.7)[k % 2], beta=(1.0, 0.25, 0.0)[k % 3])
for ta in (0, 1):
    for tb in (0, 1):
        case("Gemm", f(*(("k", "m") if ta else ("m", "k"))), f(*(("n", "k") if tb else ("k", "n"))), f("n"), at=MNK, transA=ta, transB=tb)
        case("Gemm", f(*((12, "m") if ta else ("m", 12))), const(f(*((50, 12) if tb else (12, 50)))), const(f(50)), at=MNK, transA=ta, transB=tb, alpha=0.5)
case("Gemm", f("m", "k"), f("k", "n"), at=MNK)
case("Gemm", f("m", "k"), f("k", "n"), at=MNK, alpha=-0.3)

# ONNX Runtime divides by zero where a contracted extent is 0.
SOME = [s for s in MNK if all(s.values())]
EINSUM = {"ij,jk->ik": ("mk", "kn"), "bij,bkj->bik": ("bmk", "bnk"), "ij->ji": ("mn",), "ij->": ("mn",), "i,j->ij": ("m", "n"),
          "ij,jk": ("mk", "kn"), "bhqd,bhkd->bhqk": ("bbmk", "bbnk"), "ab,bc,cd->ad": ("mk", "kn", "nb"), "ij,ij->i": ("mn", "mn"),
          "bij,j->bi": ("bmn", "n"), "ji,kj->ki": ("km", "nk"), "ij->i": ("mn",), "ij,kl->ijkl": ("bm", "bn"), "bnd,bmd->bnm": ("bmk", "bnk"),
          "i,i->": ("k", "k"), "bij->jb": ("bmn",), "bshd,bthd->bhst": ("bmbk", "bnbk")}  # fmt: skip
for equation, operands in EINSUM.items():
    case("Einsum", *[f(*o) for o in operands], at=SOME, equation=equation, opset=12)
case("Einsum", f("m", "m"), at=SOME, equation="ii->i", skip=("free",))
case("Einsum", f("m", "m"), at=SOME, equation="ii", skip=("free",))
case("Einsum", f("b", "m", "k"), f("b", "k", "n"), at=SOME, equation="...ij,...jk->...ik")
case("Einsum", f("b", 2, "m", "k"), f("k", "n"), at=SOME, equation="...ij,jk->...ik")
case("Einsum", f("b", "m"), at=SOME, equation="...j->...")
case("Einsum", f("m", "k"), f("k", "n"), at=SOME, equation=" i j , j k -> k i ")
case("Einsum", i("m", "k"), i("k", "n"), at=SOME, equation="ij,jk->ik")
case("Einsum", f("b", "m", 8), const(f(8, 20)), at=SOME, equation="bij,jk->bik")

REDUCTIONS = "ReduceSum ReduceProd ReduceMax ReduceMin ReduceMean ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp".split()
for op in REDUCTIONS:
    lo = 0.1 if op == "ReduceLogSum" else -2.0
    # What an empty reduction yields where there is no neutral element is not defined before opset 20.
    zero = op in ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    near = dict(each=True, tolerance=1e-4) if op == "ReduceProd" else {}
    for k, (axes, keep) in enumerate((([1], 1), ([0, 2], 0), ([-1], 1), (None, 0), (None, 1), ([2], 0), ([0], 0), ([0, 1, 2], 1), ([-2], 1))):
        x = f("b", "m", "n", lo=lo)
        old, attrs = (11, 13)[k % 2], {} if axes is None else {"axes": axes}
        if op == "ReduceSum":
            case(op, x, *([] if axes is None else [ints(*axes)]), opset=(13, 18)[k % 2], keepdims=keep, zero=zero)
            old = 11
        case(op, x, opset=old, keepdims=keep, zero=zero, **attrs, **near)
        if op != "ReduceSum":
            case(op, x, *([] if axes is None else [ints(*axes)]), opset=(18, 20)[k % 2 if op in ("ReduceMax", "ReduceMin") else 0], keepdims=keep, zero=zero, **near)
    case(op, f("b", "n", lo=lo), opset=18, noop_with_empty_axes=1, zero=zero)
    case(op, f("b", "n", lo=lo), ints(), opset=18, noop_with_empty_axes=1, zero=zero)
    case(op, f("b", "n", lo=lo), ints(), opset=18, zero=zero)
    case(op, f(3, 300, lo=0.9 if op == "ReduceProd" else lo, hi=1.1), opset=13 if op != "ReduceSum" else 11, axes=[1])
    case(op, f(300, "n", lo=0.9 if op == "ReduceProd" else lo, hi=1.1), opset=13 if op != "ReduceSum" else 11, axes=[0], zero=zero)
    case(op, f(lo=lo), opset=18, keepdims=0)
    if op not in ("ReduceLogSum", "ReduceLogSumExp", "ReduceL2"):
        for dtype in ("int32", "int64"):
            case(op, i("b", "n", lo=-3, hi=4, dtype=dtype), ints(1), opset=18, zero=zero)
    case(op, f("b", "n", lo=lo, dtype="float64"), ints(0), opset=18, zero=zero, tolerance=1e-6, refused="all")
for op in ("ReduceMax", "ReduceMin"):
    case(op, mask("b", "n"), ints(1), opset=20, zero=False)
    # NaN wins, as in Max and Min; in ONNX Runtime it depends on where it stands.
    case(op, edges("n", 24), ints(0), opset=18, zero=False, reference=True)
    case(op, given([[np.nan, 1], [2, np.nan], [np.inf, -np.inf]], np.float32), ints(1), opset=18, reference=True)
    case(op, i("b", "n", dtype="int8"), ints(1), opset=18, zero=False)
for op in ("ReduceSum", "ReduceMean", "ReduceLogSumExp", "ReduceL2"):
    case(op, given([[np.nan, 1], [2, np.inf], [np.inf, -np.inf], [-np.inf, -np.inf], [-np.inf, 1]], np.float32), ints(1), opset=18)

for opset, axis in ((13, -1), (13, 1), (13, 0), (11, 1), (11, 2), (11, 0), (17, 2), (11, -1)):
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        case(op, f("b", "m", "n", lo=-9, hi=9), opset=opset, axis=axis, zero=op != "Hardmax")
for op in ("Softmax", "LogSoftmax"):
    for n in (1, 15, 16, 17, 31, 33, 47, 49, 300):
        case(op, f("b", n, lo=-20, hi=20), axis=-1)
    case(op, f("b", "n"), opset=(11, 13))
    case(op, f("n"), opset=13)
    case(op, given([[1, -np.inf, 3], [-np.inf] * 3, [np.inf, 1, 2], [np.nan, 1, 2], [-3e38, -3e38, -3e38], [3e38, 0, -3e38]], np.float32))
    case(op, f("b", "n", dtype="float64"), tolerance=1e-7)
case("Hardmax", given([[1, 3, 3], [2, 2, 2], [-np.inf] * 3], np.float32))

case("LayerNormalization", f("b", "m", "n"), f("n"), f("n"), zero=False)
case("LayerNormalization", f("b", "m", "n"), f("n"), zero=False)
for n in (1, 2, 15, 16, 17, 33, 47, 49, 384):
    case("LayerNormalization", f("b", "m", n), const(f(n)), const(f(n)))
case("LayerNormalization", f("b", "m", 5), f("m", 5), axis=1, epsilon=1e-3, zero=False)
case("LayerNormalization", f("b", "m", 5), f("b", "m", 5), f("b", "m", 5), axis=0, zero=False)
case("LayerNormalization", f("b", "m", 7), f(7), f(7), outputs=3, zero=False)
case("LayerNormalization", f("b", "m", 7), f(7), f(7), axis=-1, stash_type=1)
case("LayerNormalization", f("b", "m", 7), f(7), axis=-2, zero=False)
case("LayerNormalization", f("b", 7, lo=100, hi=101), f(7), f(7))
case("RMSNormalization", f("b", "m", 7), f(7), opset=23)
case("RMSNormalization", f("b", "m", 33), const(f(33)), opset=23, epsilon=1e-6)
case("RMSNormalization", f("b", "m", 7), f("m", 7), opset=23, axis=1, zero=False)
case("BatchNormalization", f("b", 3, "n"), const(f(3)), const(f(3)), const(f(3)), const(f(3, lo=0.5)), epsilon=1e-3, opset=(9, 14, 15))
case("BatchNormalization", f("b", 5), f(5), f(5), f(5), f(5, lo=0.5))
case("BatchNormalization", f("b", 4, "m", "n"), f(4), f(4), f(4), f(4, lo=0.5))
case("InstanceNormalization", f("b", 3, "m", "n"), f(3), f(3), zero=False)
case("InstanceNormalization", f("b", 3, 17), const(f(3)), const(f(3)), epsilon=1e-3, zero=False)
for groups, channels, opset in ((1, 3, 19), (3, 3, 19), (1, 1, 21), (1, 3, 21), (3, 3, 21)):  # as many scales as a name says
    case("GroupNormalization", f(2, channels, 3, 6), f("n"), f("n"), at=[dict(n=groups if opset < 21 else channels)], opset=opset,
         num_groups=groups, refused="free")  # fmt: skip
case("GroupNormalization", f("b", 4, "n"), const(f(4)), const(f(4)), opset=21, num_groups=2, zero=False, refused="free")
case("GroupNormalization", f("b", 6, "n", 2), f(6), f(6), opset=21, num_groups=3, epsilon=1e-3, zero=False, refused="free")
case("GroupNormalization", f("b", 4, "n"), f(2), f(2), opset=18, num_groups=2, zero=False, refused="free")
for p in (1, 2):
    for axis in (0, -1, 1):
        case("LpNormalization", f("b", "m", "n"), p=p, axis=axis, zero=False)
case("LpNormalization", given([[0, 0], [3, 4]], np.float32))
case("MeanVarianceNormalization", f("b", 3, "m", "n"), zero=False)
case("MeanVarianceNormalization", f("b", 3, "n"), axes=[0, 2], zero=False)
case("LRN", f("b", 5, "m", 3), size=3, alpha=0.5, beta=0.6, bias=1.2)

QK = [dict(b=2, q=3, k=5), dict(b=1, q=1, k=1), dict(b=2, q=17, k=33), dict(b=3, q=1, k=16), dict(b=1, q=33, k=7), dict(b=2, q=40, k=70)]
# Heads and their size must be known when the model is compiled.
heads = dict(opset=(23, 24), at=QK, refused="free")
case("Attention", f("b", 4, "q", 6), f("b", 4, "k", 6), f("b", 4, "k", 8), **heads)
case("Attention", f("b", 4, "q", 6), f("b", 4, "k", 6), f("b", 4, "k", 8), f("q", "k"), scale=0.3, **heads)
case("Attention", f("b", 4, "q", 6), f("b", 4, "k", 6), f("b", 4, "k", 8), f("b", 1, 1, "k"), reference=True, **heads)
case("Attention", f("b", 4, "q", 6), f("b", 2, "k", 6), f("b", 2, "k", 8), mask("b", 1, "q", "k"), **heads)
case("Attention", f("b", 4, "q", 6), f("b", 1, "k", 6), f("b", 1, "k", 6), mask("q", "k"), is_causal=1, **heads)
case("Attention", f("b", "q", 24), f("b", "k", 12), f("b", "k", 16), q_num_heads=4, kv_num_heads=2, is_causal=1, **heads)
case("Attention", f("b", "q", 24), f("b", "k", 24), f("b", "k", 24), q_num_heads=4, kv_num_heads=4, **heads)
case("Attention", f("b", 4, "q", 6), f("b", 4, "q", 6), f("b", 4, "q", 8), None, f("b", 4, "k", 6), f("b", 4, "k", 8), outputs=3, is_causal=1, **heads)
case("Attention", f("b", 4, "q", 6), f("b", 4, "k", 6), f("b", 4, "k", 8), softcap=2.0, **heads)
for mode in (0, 1, 2, 3):
    case("Attention", f("b", 2, "q", 6), f("b", 2, "k", 6), f("b", 2, "k", 6), f("q", "k"), None, None, outputs=4, qk_matmul_output_mode=mode, opset=(23, 24), at=QK, refused="all")
case("Attention", f("b", 2, "q", 6), f("b", 2, "k", 6), f("b", 2, "k", 6), f("q", "k"), softmax_precision=1, **heads)
ids = i("b", "s", lo=0, hi=7)
rotary = dict(opset=23, refused="free", at=[dict(b=2, s=5), dict(b=1, s=1), dict(b=3, s=17)])
for inter in (0, 1):
    case("RotaryEmbedding", f("b", 4, "s", 6), f(7, 3), f(7, 3), ids, interleaved=inter, **rotary)
    case("RotaryEmbedding", f("b", "s", 24), const(f(7, 3)), const(f(7, 3)), ids, num_heads=4, interleaved=inter, **rotary)
    case("RotaryEmbedding", f("b", 4, "s", 8), f("b", "s", 2), f("b", "s", 2), rotary_embedding_dim=4, interleaved=inter, **rotary)
    case("RotaryEmbedding", f("b", "s", 16), f("b", "s", 4), f("b", "s", 4), num_heads=2, interleaved=inter, **rotary)
case("QuantizeLinear", f("b", "n", lo=-9, hi=9), const(np.float32(0.1)), const(3, np.uint8), opset=(10, 13, 19, 21))
case("QuantizeLinear", f("b", 4), const(f(4, lo=0.01, hi=0.1)), const([1, 2, -3, 0], np.int8), opset=(13, 19))
case("QuantizeLinear", f(3, "n"), const(f(3, lo=0.01, hi=0.1)), const([1, 2, 3], np.uint8), axis=0, opset=13)
case("QuantizeLinear", f("b", "n", lo=0), f(lo=0.01, hi=0.1), opset=13)
case("QuantizeLinear", given([0.25, 0.75, -0.25, 1.25, 1000, -1000], np.float32), const(np.float32(0.5)), const(0, np.int8))
case("DequantizeLinear", i("b", "n", lo=-100, hi=100, dtype="int8"), const(np.float32(0.1)), const(3, np.int8), opset=(10, 13, 19, 21))
case("DequantizeLinear", i(3, "n", lo=0, hi=100, dtype="uint8"), const(f(3, lo=0.01, hi=0.1)), axis=0, opset=13)
case("DequantizeLinear", i("b", 5, lo=-1000, hi=1000, dtype="int32"), f(lo=0.01, hi=0.1), opset=13)
case("DynamicQuantizeLinear", f("b", "n", lo=-3, hi=5), opset=11, outputs=3, zero=False)
case("DynamicQuantizeLinear", f("n", lo=1, hi=5), opset=11, outputs=3, zero=False)
case("DynamicQuantizeLinear", given([0.0, 0.0], np.float32), opset=11, outputs=3)
u8, i8 = dict(dtype="uint8", lo=0, hi=256), dict(dtype="int8", lo=-128, hi=128)
# Unsigned times signed bytes: on CPUs without VNNI ONNX Runtime adds pairs of products in 16 bits, which saturate.
case("MatMulInteger", i("m", "k", **u8), i("k", "n", **i8), opset=10, at=SOME, reference=True)
case("MatMulInteger", i("b", "m", "k", **u8), const(i(20, 33, **u8)), opset=10, at=[dict(s, k=20) for s in SOME])
case("MatMulInteger", i("m", "k", **u8), i("k", "n", **u8), const(12, np.uint8), const(100, np.uint8), opset=10, at=SOME)
case("MatMulInteger", i("m", 6, **u8), const(i(6, 5, **i8)), const(12, np.uint8), const([0, 1, -5, 3, 7], np.int8), opset=10, at=SOME, reference=True)
