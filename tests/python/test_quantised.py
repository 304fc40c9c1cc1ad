"""Products of 8-bit integers: exact, whatever their zero points, and dynamically quantised models as ONNX Runtime's quantiser writes them."""
import numpy as np
import onnxruntime
import pit
import pytest
from onnx import TensorProto as T, helper as H, numpy_helper as N

RNG = np.random.default_rng(0)
TYPES = {"u8": np.uint8, "s8": np.int8}


def numbers(dtype, *shape):
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max + 1, shape).astype(dtype)


def product(a, b, a_zero, b_zero, constant_b):
    operands = {"a": a, "b": b} | ({"az": a_zero} if a_zero is not None else {}) | ({"bz": b_zero} if b_zero is not None else {})
    names = ["a", "b", "az" if a_zero is not None else "", "bz" if b_zero is not None else ""]
    constants = [N.from_array(v, k) for k, v in operands.items() if k == "bz" or (k == "b" and constant_b)]
    inputs = [H.make_tensor_value_info(k, H.np_dtype_to_tensor_dtype(v.dtype), ["m", v.shape[-1]] if k == "a" else v.shape)
              for k, v in operands.items() if k not in {c.name for c in constants}]  # fmt: skip
    graph = H.make_graph([H.make_node("MatMulInteger", names, ["y"])], "g", inputs, [H.make_tensor_value_info("y", T.INT32, None)], constants)
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return model, {k: v for k, v in operands.items() if k in {i.name for i in inputs}}


@pytest.mark.parametrize("cpu", ["", "haswell"])
@pytest.mark.parametrize("constant_b", [True, False])
@pytest.mark.parametrize("a_type", TYPES)
@pytest.mark.parametrize("b_type", TYPES)
@pytest.mark.parametrize("zeros", ["none", "one each", "per row and column"])
def test_products_are_exact(a_type, b_type, zeros, constant_b, cpu):
    m, k, n = 37, 130, 51
    a, b = numbers(TYPES[a_type], m, k), numbers(TYPES[b_type], k, n)
    a_zero = b_zero = None
    if zeros != "none":
        a_zero, b_zero = numbers(a.dtype), numbers(b.dtype)
    if zeros == "per row and column":
        a_zero, b_zero = numbers(a.dtype, m), numbers(b.dtype, n)
    model, feed = product(a, b, a_zero, b_zero, constant_b)
    want = (a.astype(np.int64) - (0 if a_zero is None else a_zero.reshape(-1, 1).astype(np.int64))) @ (
        b.astype(np.int64) - (0 if b_zero is None else b_zero.astype(np.int64)))  # fmt: skip
    compiled = pit.compile(model, cpu=cpu) if cpu else pit.compile(model)
    np.testing.assert_array_equal(compiled(feed)["y"], want.astype(np.int32))
    if constant_b:
        steps = {s["kind"] for s in compiled.explain(feed, json=True)["steps"]}
        assert "contraction" in steps and "reference" not in steps


@pytest.mark.parametrize("options", [{}, {"poison": "nan"}, {"poison": "large"}, {"sparsity": "off"}, {"cpu": "haswell"}], ids=str)
@pytest.mark.parametrize("a_type", TYPES)
def test_features_that_a_mask_leaves_out(a_type, options):
    """Four steps of k are one element of the product: of some, a mask leaves out a part."""
    k, n = 24, 17
    weights, x = numbers(np.int8, k, n), RNG.integers(0, 100, (2, 5, k)).astype(np.float32)
    live, rows = np.array([1, 0, 1, 1, 0, 0, 0, 0] * 3, bool), np.array([[1, 1, 0, 1, 0], [0, 0, 1, 0, 0]], bool)
    nodes = [H.make_node("And", ["rows3", "live"], ["both"]), H.make_node("Where", ["both", "x", "zero"], ["masked"]),
             H.make_node("Cast", ["masked"], ["a"], to=T.UINT8 if a_type == "u8" else T.INT8),
             H.make_node("Unsqueeze", ["rows", "axis"], ["rows3"]), H.make_node("MatMulInteger", ["a", "w"], ["y"])]  # fmt: skip
    nodes = [nodes[3], *nodes[:3], nodes[4]]
    inputs = [H.make_tensor_value_info("x", T.FLOAT, ["b", "s", k]), H.make_tensor_value_info("rows", T.BOOL, ["b", "s"]),
              H.make_tensor_value_info("live", T.BOOL, [k])]  # fmt: skip
    constants = [N.from_array(weights, "w"), N.from_array(np.float32(0), "zero"), N.from_array(np.array([2]), "axis")]
    graph = H.make_graph(nodes, "g", inputs, [H.make_tensor_value_info("y", T.INT32, None)], constants)
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()
    compiled = pit.compile(model, **options)
    want = np.where(rows[..., None] & live, x, 0).astype(np.int64) @ weights.astype(np.int64)
    np.testing.assert_array_equal(compiled({"x": x, "rows": rows, "live": live})["y"], want.astype(np.int32))
    np.testing.assert_array_equal(compiled({"x": x, "rows": rows, "live": ~live})["y"][~rows], 0)


def test_bytes_are_multiplied_as_they_are():
    model, feed = product(numbers(np.uint8, 64, 512), numbers(np.int8, 512, 256), np.uint8(3), np.int8(0), True)
    assert "u8_i8_i32_i32" in pit.compile(model).dump("kernels", feed)


def layer(tmp_path, float_weights, quant):
    """A token mask, two linear layers with a Gelu-like activation between them; quantised by ONNX Runtime's tool."""
    d, h = 64, 256
    nodes = [H.make_node("MatMul", ["x", "w0"], ["p0"]), H.make_node("Add", ["p0", "b0"], ["s0"]), H.make_node("Relu", ["s0"], ["r"]),
             H.make_node("MatMul", ["r", "w1"], ["p1"]), H.make_node("Add", ["p1", "b1"], ["y"])]  # fmt: skip
    constants = {"w0": (d, h), "b0": (h,), "w1": (h, d), "b1": (d,)}
    constants = [N.from_array(RNG.standard_normal(s).astype(np.float32) * np.float32(0.1), k) for k, s in constants.items()]
    graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x", T.FLOAT, ["batch", "sequence", d]), H.make_tensor_value_info("mask", T.INT64, ["batch", "sequence"])],
                         [H.make_tensor_value_info("y", T.FLOAT, ["batch", "sequence", d])], constants)  # fmt: skip
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8)
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    source.write_bytes(model.SerializeToString())
    quant.quantize_dynamic(str(source), str(target), per_channel=float_weights == "per channel",
                           weight_type=quant.QuantType.QUInt8 if float_weights == "unsigned" else quant.QuantType.QInt8)  # fmt: skip
    return target.read_bytes()


@pytest.mark.parametrize("options", [{}, {"poison": "nan"}, {"cpu": "haswell"}, {"sparsity": "off"}], ids=str)
@pytest.mark.parametrize("weights", ["signed", "unsigned", "per channel"])
def test_dynamically_quantised(tmp_path, weights, options):
    quant = pytest.importorskip("onnxruntime.quantization")
    model = layer(tmp_path, weights, quant)
    x, mask = RNG.standard_normal((3, 20, 64)).astype(np.float32), (np.arange(20) < np.array([[20], [7], [1]])).astype(np.int64)
    want = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(["y"], {"x": x, "mask": mask})[0]
    compiled = pit.compile(model, **options)
    got = compiled({"x": x, "mask": mask})["y"]
    # one step of the second quantisation, where the sums before it round differently
    np.testing.assert_allclose(got, want, atol=2e-2)
    listed = pit.compile(model, outputs={"y": "mask"}, **options)({"x": x, "mask": mask})["y"]
    np.testing.assert_allclose(listed, np.where(mask[..., None] != 0, got, 0), atol=1e-6)


def test_integer_matrices():
    a, b = RNG.integers(-(2**31), 2**31, (70, 90)).astype(np.int32), RNG.integers(-(2**31), 2**31, (90, 50)).astype(np.int32)
    with np.errstate(over="ignore"):
        want = a @ b
    np.testing.assert_array_equal(pit.matmul(a, b), want)
    live = RNG.random((7, 90)) < 0.3
    masked = a * np.repeat(live, 10, 0)
    with np.errstate(over="ignore"):
        want = masked @ b
    zeros = pit.LiveSet.from_mask(live, rows=70, columns=90, granularity=(10, 1))
    np.testing.assert_array_equal(pit.matmul(masked, b, zeros=zeros, granularity=(10, 1)), want)
    with pytest.raises(pit.InputError, match="zeros are detected in f32 and f64"):
        pit.matmul(masked, b, zeros="detect")
