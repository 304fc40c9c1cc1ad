"""Half precision is storage: every operator computes in f32 and rounds its result once; nothing overflows on the way."""

import pathlib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

import pit

f64 = np.float64
SIZES = (1, 7, 64, 1000, 4096)


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def model_of(nodes, feeds, constants=(), opset=21, outputs=("y",), kinds=None):
    inputs = [h.make_tensor_value_info(k, h.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()]
    results = [h.make_tensor_value_info(o, (kinds or {}).get(o, T.FLOAT16), None) for o in outputs]
    graph = h.make_graph(nodes, "g", inputs, results, list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=10).SerializeToString()


def run(nodes, feeds, constants=(), **options):
    return pit.compile(model_of(nodes, feeds, constants, **options))(**feeds)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normal(x, eps=1e-5, centred=True, axes=-1):
    d = x - x.mean(axes, keepdims=True) if centred else x
    return d / np.sqrt((d**2).mean(axes, keepdims=True) + eps)


def lrn(x):  # over three neighbouring channels
    padded = np.pad(x**2, ((0, 0), (1, 1), (0, 0)))
    return x / (1 + 1e-4 / 3 * (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:])) ** 0.75


# name: (attributes, what it means in double, range of its operand so that the result is finite: beyond 65504 on the way)
REDUCTIONS = {
    "ReduceSum": (lambda x: x.sum(-1, keepdims=True), lambda n: (20 / n, 60000 / n)),
    "ReduceMean": (lambda x: x.mean(-1, keepdims=True), lambda n: (500, 60000)),
    "ReduceL1": (lambda x: abs(x).sum(-1, keepdims=True), lambda n: (-60000 / n, 60000 / n)),
    "ReduceL2": (lambda x: np.sqrt((x**2).sum(-1, keepdims=True)), lambda n: (300, 900)),
    "ReduceSumSquare": (lambda x: (x**2).sum(-1, keepdims=True), lambda n: (0, (60000 / n) ** 0.5)),
    "ReduceLogSum": (lambda x: np.log(x.sum(-1, keepdims=True)), lambda n: (300, 60000)),
    "ReduceLogSumExp": (lambda x: np.log(np.exp(x).sum(-1, keepdims=True)), lambda n: (10, 20)),
    "ReduceMax": (lambda x: x.max(-1, keepdims=True), lambda n: (-60000, 60000)),
}


def check(got, want, ulps=0.51, what=""):
    """Rounded once: half an ulp, and what f32 missed."""
    assert got.dtype == np.float16 and got.shape == want.shape, (got.dtype, got.shape, want.shape)
    with np.errstate(over="ignore"):
        spacing = np.spacing(np.abs(want).astype(np.float16)).astype(f64)
    off = (np.abs(got.astype(f64) - want) - 2e-7) / spacing  # differences of terms around 1 keep f32's absolute error
    assert np.isfinite(got).all() and off.max(initial=0) <= ulps, (what, off.max(), got.ravel()[off.argmax()], want.ravel()[off.argmax()])


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions(op, n):
    meaning, limits = REDUCTIONS[op]
    lo, hi = limits(n)
    x = np.random.default_rng(n).uniform(lo, hi, (3, n)).astype(np.float16)
    axes = [constant("axes", [-1])] if op == "ReduceSum" else []
    node = h.make_node(op, ["x", "axes"] if axes else ["x"], ["y"], **({} if axes else {"axes": [-1]}))
    check(run([node], {"x": x}, axes, opset=17)["y"], meaning(x.astype(f64)), what=op)
    if op != "ReduceMax":  # along the first axis as well: other kernels
        node = h.make_node(op, ["x", "axes"] if axes else ["x"], ["y"], **({} if axes else {"axes": [0]}))
        axes = [constant("axes", [0])] if axes else []
        flipped = np.ascontiguousarray(x.T)
        check(run([node], {"x": flipped}, axes, opset=17)["y"], meaning(x.astype(f64)).T, what=op + " along 0")


@pytest.mark.parametrize("n", SIZES)
def test_normalisations(n):
    rng = np.random.default_rng(n)
    x = (300 * rng.standard_normal((3, n)) + 50).astype(np.float16)
    image, exact = x.reshape(1, 3, n), x.astype(f64)
    ones = lambda k: [constant("w", np.ones(k, np.float16)), constant("b", np.zeros(k, np.float16))]  # noqa: E731
    two = ["x", "w", "b"]
    check(run([h.make_node("Softmax", ["x"], ["y"])], {"x": x})["y"], softmax(exact), 0.6)
    largest = exact - exact.max(-1, keepdims=True)
    check(run([h.make_node("LogSoftmax", ["x"], ["y"])], {"x": x})["y"], largest - np.log(np.exp(largest).sum(-1, keepdims=True)))
    check(run([h.make_node("LayerNormalization", two[:2], ["y"])], {"x": x}, ones(n)[:1])["y"], normal(exact), 0.6)
    check(run([h.make_node("RMSNormalization", two[:2], ["y"])], {"x": x}, ones(n)[:1], opset=23)["y"], normal(exact, 1e-5, False), 0.6)
    check(run([h.make_node("InstanceNormalization", two, ["y"])], {"x": image}, ones(3))["y"], normal(exact).reshape(image.shape), 0.6)
    every = normal(exact.reshape(1, -1)).reshape(image.shape)
    check(run([h.make_node("GroupNormalization", two, ["y"], num_groups=1)], {"x": image}, ones(3))["y"], every, 0.6)
    if n > 1:  # where one element is left, its deviation is 0
        mvn = h.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[2])
        check(run([mvn], {"x": image}, opset=13)["y"], normal(exact, 0).reshape(image.shape), 0.6)
    lp = h.make_node("LpNormalization", ["x"], ["y"])
    check(run([lp], {"x": x}, opset=17)["y"], exact / np.sqrt((exact**2).sum(-1, keepdims=True)), 0.6)


@pytest.mark.parametrize("n", (7, 64, 1000))
def test_windows_and_scans(n):
    rng = np.random.default_rng(n)
    x = rng.uniform(20000, 60000, (2, 3, n)).astype(np.float16)
    means = np.stack([x[..., i : i + 5].astype(f64).mean(-1) for i in range(n - 4)], -1)
    check(run([h.make_node("AveragePool", ["x"], ["y"], kernel_shape=[5])], {"x": x}, opset=17)["y"], means)
    x = rng.uniform(100, 2000, (2, 3, n)).astype(np.float16)
    exact = x.astype(f64)
    roots = np.stack([np.sqrt((exact[..., i : i + 5] ** 2).sum(-1)) for i in range(n - 4)], -1)
    check(run([h.make_node("LpPool", ["x"], ["y"], kernel_shape=[5])], {"x": x}, opset=17)["y"], roots)
    check(run([h.make_node("GlobalAveragePool", ["x"], ["y"])], {"x": x}, opset=17)["y"], exact.mean(-1, keepdims=True))
    scaled = (x * np.float16(0.1)).astype(np.float16)
    check(run([h.make_node("GlobalLpPool", ["x"], ["y"])], {"x": scaled}, opset=17)["y"], np.sqrt((scaled.astype(f64) ** 2).sum(-1, keepdims=True)))
    check(run([h.make_node("LRN", ["x"], ["y"], size=3)], {"x": x}, opset=17)["y"], lrn(exact))
    small = (x / np.float16(2 * n)).astype(np.float16)
    sums = run([h.make_node("CumSum", ["x", "axis"], ["y"])], {"x": small}, [constant("axis", np.int64(-1))], opset=17)["y"]
    check(sums, small.astype(f64).cumsum(-1))


def test_products():
    rng = np.random.default_rng(0)
    a = (50 * rng.standard_normal((33, 300))).astype(np.float16)
    w = (50 * rng.standard_normal((300, 65))).astype(np.float16)
    tiny = {"alpha": 1e-3, "beta": 1e-7}  # 0 in half precision
    exact = a.astype(f64) @ w.astype(f64)
    want = 1e-3 * exact + 1e-7 * 60000
    for constants, feeds in (([constant("w", w)], {"x": a}), ([], {"x": a, "w": w})):
        got = run([h.make_node("Gemm", ["x", "w", "c"], ["y"], **tiny)], feeds, [*constants, constant("c", np.float16(60000))])["y"]
        assert np.abs(got - want).max() < 2e-3 * np.abs(want).max()
    nodes = [h.make_node("MatMul", ["x", "w"], ["p"]), h.make_node("Mul", ["p", "s"], ["y"])]
    got = run(nodes, {"x": a, "w": w}, [constant("s", np.float16(0.01))])["y"]
    assert np.abs(got - exact * f64(np.float16(0.01))).max() < 1e-3 * np.abs(exact).max() * 0.01


@pytest.mark.parametrize("eps", (1e-5, 1e-12))
def test_attributes_are_not_rounded(eps):
    """An epsilon of 1e-12 is 0 in half precision, and 0/0 what a row of equal numbers would be."""
    x = np.full((2, 48), 3.0, np.float16)
    for op, opset in (("LayerNormalization", 17), ("RMSNormalization", 23)):
        y = run([h.make_node(op, ["x", "w"], ["y"], epsilon=eps)], {"x": 0 * x}, [constant("w", np.ones(48, np.float16))], opset=opset)["y"]
        assert not y.any(), op
    y = run([h.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[1])], {"x": x}, opset=13)["y"]
    assert not y.any()
    alpha = run([h.make_node("LeakyRelu", ["x"], ["y"], alpha=1e-7)], {"x": np.full(3, -60000, np.float16)})["y"]
    check(alpha, np.full(3, -60000 * f64(np.float32(1e-7))))


def test_a_mean_of_constants_is_folded_in_f32():
    big = np.full((2, 4096), 60000, np.float16)
    nodes = [h.make_node("ReduceMean", ["c"], ["m"], axes=[1], keepdims=0), h.make_node("Sub", ["x", "m"], ["y"])]
    assert (run(nodes, {"x": np.full(2, 60000, np.float16)}, [constant("c", big)], opset=17)["y"] == 0).all()


def test_statistics_have_the_stash_type():
    x = (1000 + np.arange(64)).astype(np.float16).reshape(2, 32)
    nodes = [h.make_node("LayerNormalization", ["x", "w"], ["y", "m", "r"])]
    kinds = {"m": T.FLOAT, "r": T.FLOAT}
    got = run(nodes, {"x": x}, [constant("w", np.ones(32, np.float16))], outputs=("y", "m", "r"), kinds=kinds)
    assert got["y"].dtype == np.float16 and got["m"].dtype == got["r"].dtype == np.float32
    assert (got["m"][:, 0] == x.astype(f64).mean(1)).all()


def test_values_between_operators_stay_in_f32():
    """65504 is exceeded between the operators, as ONNX Runtime has it, but a Cast of the model rounds."""
    x = np.array([300, -400, 3, 0.1], np.float16)
    nodes = [h.make_node("Mul", ["x", "x"], ["q"]), h.make_node("Sqrt", ["q"], ["y"])]
    feeds = {"x": x}
    model = model_of(nodes, feeds, outputs=("y", "q"))
    got = pit.compile(model)(**feeds)
    assert (got["y"] == abs(x)).all()
    assert np.isinf(got["q"][:2]).all() and got["q"].dtype == np.float16  # what leaves the model is rounded
    session = onnxruntime.InferenceSession(model_of(nodes, feeds), providers=["CPUExecutionProvider"])
    assert (session.run(None, feeds)[0] == got["y"]).all()
    rounds = [h.make_node("Mul", ["x", "x"], ["q"]), h.make_node("Cast", ["q"], ["w"], to=T.FLOAT),
              h.make_node("Cast", ["w"], ["n"], to=T.FLOAT16), h.make_node("Sqrt", ["n"], ["y"])]  # fmt: skip
    assert np.isinf(run(rounds, feeds)["y"][:2]).all()
    to_integer = [h.make_node("Mul", ["x", "x"], ["q"]), h.make_node("Cast", ["q"], ["y"], to=T.INT32)]
    with np.errstate(over="ignore"):
        assert run(to_integer, {"x": np.array([45.03, 0.5], np.float16)}, kinds={"y": T.INT32})["y"][0] == int(np.float16(45.03) ** 2)


ALL_BITS = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("node", [h.make_node("Transpose", ["x"], ["y"]), h.make_node("Flatten", ["x"], ["y"], axis=0),
                                  h.make_node("Concat", ["x", "x"], ["y"], axis=0), h.make_node("Tile", ["x", "k"], ["y"]),
                                  h.make_node("Gather", ["x", "k"], ["y"]), h.make_node("Split", ["x"], ["y", "z"], num_outputs=2),
                                  h.make_node("Expand", ["x", "e"], ["y"]), h.make_node("Identity", ["x"], ["y"])],
                         ids=lambda n: n.op_type)  # fmt: skip
def test_movement_keeps_every_bit(node):
    x = ALL_BITS.reshape(256, 256)
    constants = {"k": np.array([2, 1], np.int64), "e": np.array([2, 256, 256], np.int64)}
    want = {"Transpose": x.T, "Flatten": x.reshape(1, -1), "Concat": np.concatenate([x, x]), "Tile": np.tile(x, (2, 1)),
            "Gather": x[[2, 1]], "Split": x[:128], "Expand": np.broadcast_to(x, (2, 256, 256)), "Identity": x}  # fmt: skip
    used = [constant(k, v) for k, v in constants.items() if k in node.input]
    got = run([node], {"x": x}, used)["y"]
    assert (got.view(np.uint16) == np.ascontiguousarray(want[node.op_type]).view(np.uint16)).all()


def test_tables_and_caches():
    """A table of embeddings is read in half precision and added in f32; a cache is appended to and read."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((1000, 96)).astype(np.float16)
    ids = np.array([[3, 999, 0], [7, 7, 1]])
    nodes = [h.make_node("Gather", ["table", "ids"], ["e"]), h.make_node("Add", ["e", "e"], ["y"])]
    assert (run(nodes, {"ids": ids}, [constant("table", table)])["y"] == 2 * table[ids]).all()
    past, x = rng.standard_normal((2, 5, 8)).astype(np.float16), rng.standard_normal((2, 1, 8)).astype(np.float16)
    nodes = [h.make_node("Mul", ["x", "x"], ["k"]), h.make_node("Concat", ["past", "k"], ["present"], axis=1),
             h.make_node("ReduceSum", ["present", "axis"], ["y"], keepdims=0)]  # fmt: skip
    got = run(nodes, {"past": past, "x": x}, [constant("axis", np.array([1], np.int64))], outputs=("present", "y"))
    assert (got["present"] == np.concatenate([past, x * x], 1)).all()
    check(got["y"], np.concatenate([past.astype(f64), x.astype(f64) ** 2], 1).sum(1), 0.6)


@pytest.mark.parametrize("op", ("Add", "MatMul", "Where", "Max", "Concat"))
def test_types_must_still_agree(op):
    x, w = np.ones((4, 4), np.float16), np.ones((4, 4), np.float32)
    operands = ["c", "x", "w"] if op == "Where" else ["x", "w"]
    node = h.make_node(op, operands, ["y"], name="mixed", **({"axis": 0} if op == "Concat" else {}))
    for order in (operands, operands[:-2] + operands[:-3:-1]):
        node.input[:] = order
        with pytest.raises(pit.ModelError) as e:
            run([node], {"x": x, "w": w, **({"c": np.ones((4, 4), bool)} if op == "Where" else {})})
        assert "mixed" in str(e.value) and e.value.tensor in ("x", "w")


draw = np.random.default_rng(1)
X = draw.standard_normal((2, 3, 8)).astype(np.float16)
SHIFT = np.array([3, 1, 2, 4, 6, 5, 8, 7], np.float16)
INT64 = lambda *v: np.array(v, np.int64)  # noqa: E731
AFFINE = {"s": SHIFT[:3], "b": SHIFT[1:4], "m": SHIFT[2:5], "v": SHIFT[3:6]}

# operator, operands (those of FED are fed, others constants), attributes, type of the result
LIKE = [
    ("Clip", {"x": X, "lo": np.float16(-0.5), "hi": np.float16(0.5)}, {}, T.FLOAT16),
    ("PRelu", {"x": X, "s": SHIFT[:3, None]}, {}, T.FLOAT16),
    ("Gelu", {"x": X}, {}, T.FLOAT16),
    ("Mod", {"x": X, "u": SHIFT}, {"fmod": 1}, T.FLOAT16),
    ("Mean", {"x": X, "u": SHIFT}, {}, T.FLOAT16),
    ("Sum", {"x": X}, {}, T.FLOAT16),
    ("Max", {"x": X, "u": SHIFT}, {}, T.FLOAT16),
    ("Where", {"c": draw.random((2, 3, 8)) < 0.5, "x": X, "u": SHIFT}, {}, T.FLOAT16),
    ("Pow", {"x": X, "e": np.float32(3)}, {}, T.FLOAT16),
    ("Pow", {"x": abs(X), "n": np.arange(8)}, {}, T.FLOAT16),
    ("Einsum", {"x": X, "w": np.outer(SHIFT, SHIFT)}, {"equation": "bij,jk->bik"}, T.FLOAT16),
    ("Conv", {"x": X, "w": draw.standard_normal((4, 3, 3)).astype(np.float16), "b": SHIFT[:4]}, {"pads": [1, 1]}, T.FLOAT16),
    ("ConvTranspose", {"x": X, "w": draw.standard_normal((3, 4, 3)).astype(np.float16)}, {}, T.FLOAT16),
    ("MaxPool", {"x": X}, {"kernel_shape": [3]}, T.FLOAT16),
    ("GlobalMaxPool", {"x": X}, {}, T.FLOAT16),
    ("BatchNormalization", {"x": X, **AFFINE}, {}, T.FLOAT16),
    ("BatchNormalization", {"x": X, **AFFINE, "m": AFFINE["m"].astype(np.float32), "v": AFFINE["v"].astype(np.float32)}, {}, T.FLOAT16),
    ("Attention", {"q": X[:, None], "k": X[:, None] * np.float16(2), "u": X[:, None]}, {}, T.FLOAT16),
    ("Pad", {"x": X, "p": INT64(0, 0, 1, 0, 0, 2), "f": np.float16(3)}, {}, T.FLOAT16),
    ("Pad", {"x": X, "p": INT64(0, 0, 1, 0, 0, 2)}, {"mode": "reflect"}, T.FLOAT16),
    ("Slice", {"x": X, "p": INT64(0, 1), "e": INT64(2, 3)}, {}, T.FLOAT16),
    ("Trilu", {"x": X}, {}, T.FLOAT16),
    ("Compress", {"x": X, "c": np.array([True, False, True])}, {"axis": 1}, T.FLOAT16),
    ("OneHot", {"n": np.array([1, 2, 4]), "d": np.int64(5), "w": np.array([0, 1], np.float16)}, {}, T.FLOAT16),
    ("Hardmax", {"x": X}, {}, T.FLOAT16),
    ("EyeLike", {"x": X[0]}, {}, T.FLOAT16),
    ("CastLike", {"u": np.full(3, 1.00049, np.float32), "x": X}, {}, T.FLOAT16),
    ("CastLike", {"x": X, "u": np.zeros(1, np.float32)}, {}, T.FLOAT),
    ("QuantizeLinear", {"x": X, "s": np.float16(0.1), "z": np.uint8(100)}, {}, T.UINT8),
    ("DequantizeLinear", {"n": np.arange(9, dtype=np.uint8), "s": np.float16(0.1), "z": np.uint8(4)}, {}, T.FLOAT16),
    ("ArgMax", {"x": X}, {"axis": 2}, T.INT64),
    ("NonZero", {"x": X}, {}, T.INT64),
    ("IsInf", {"x": np.array([np.inf, 1, -np.inf, np.nan], np.float16)}, {}, T.BOOL),
    ("Equal", {"x": X, "u": X}, {}, T.BOOL),
    ("Less", {"x": X, "u": SHIFT}, {}, T.BOOL),
]
FED = "xuqkcn"


@pytest.mark.parametrize("op, operands, attributes, kind", LIKE, ids=lambda v: v if isinstance(v, str) else "")
def test_like_onnxruntime(op, operands, attributes, kind):
    feeds = {k: v for k, v in operands.items() if k in FED}
    constants = [constant(k, v) for k, v in operands.items() if k not in FED]
    model = model_of([h.make_node(op, list(operands), ["y"], **attributes)], feeds, constants, opset=23, kinds={"y": kind})
    want = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    got = pit.compile(model)(feeds)["y"]
    assert got.dtype == want.dtype and got.shape == want.shape
    assert np.allclose(got.astype(f64), want.astype(f64), rtol=2e-3, atol=1e-3, equal_nan=True)


FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"


@pytest.mark.parametrize("name", ("bert-script", "bert-embedding-dynamo", "llama-past-dynamo", "t5-encoder-script", "plain-inf-dynamo",
                                  "bert-dynamo-opset23", "resnet-script"))  # fmt: skip
def test_models(name):
    """Models converted to half precision: ONNX Runtime's answer, and what can be left out is left out as in f32."""
    convert = pytest.importorskip("onnxruntime.transformers.float16").convert_float_to_float16
    model = onnx.load(FIXTURES / f"{name}.onnx")
    data = np.load(FIXTURES / f"{name}.npz")
    feeds = {i.name: next(data[k] for k in data if k.endswith(i.name)) for i in model.graph.input}
    halved = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in feeds.items()}
    full = pit.compile(model.SerializeToString()).explain(feeds, json=True)
    half = convert(model, disable_shape_infer=True, op_block_list=[]).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    want = onnxruntime.InferenceSession(half, options, providers=["CPUExecutionProvider"]).run(None, halved)
    for chosen in ({}, {"poison": True}, {"sparsity": "off"}):
        compiled = pit.compile(half, **chosen)
        for got, expected in zip(compiled(halved).values(), want, strict=True):
            assert got.dtype == expected.dtype and np.isfinite(got).all()
            assert np.abs(got.astype(f64) - expected).max() <= 1e-2 * max(1, np.abs(expected).max())
    found = pit.compile(half).explain(halved, json=True)
    for share in ("weight_flops_live", "attention_flops_live"):
        assert found[share] == full[share]
