"""Normalisations of rows that are constant, nearly constant or far from zero, against sums in long double and beside ONNX Runtime.

What is normalised there is little more than the rounding errors of a mean, so these rows show them as nothing else does.
"""

import numpy as np
import onnxruntime
import pytest
from onnx import helper as h
from onnx import numpy_helper

import pit

SIZES = (1, 2, 3, 7, 16, 65, 384, 768, 1000, 1024, 4099, 5000)
EPSILONS = (1e-5, 1e-7, 1e-12)
ROWS = 12


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def model_of(nodes, x, constants=(), opset=21, outputs=("y",)):
    kind = h.np_dtype_to_tensor_dtype(x.dtype)
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", kind, ["rows", *x.shape[1:]])],
                         [h.make_tensor_value_info(o, kind, None) for o in outputs], list(constants))  # fmt: skip
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=10).SerializeToString()


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def rows_of(n, rng):
    """Rows of `n` numbers by name."""
    size = 10.0 ** rng.uniform(-3, 6, (ROWS, 1))
    yield "constant", np.repeat(rng.uniform(-1, 1, (ROWS, 1)) * size, n, 1)
    for spread in (1e-7, 1e-6, 1e-4, 1e-2):
        yield f"spread {spread}", rng.uniform(0.5, 1, (ROWS, 1)) * size * (1 + spread * rng.standard_normal((ROWS, n)))
    yield "ordinary", rng.standard_normal((ROWS, n))
    yield "large", 1e6 * rng.standard_normal((ROWS, n))
    for at in (0, n // 2):  # as residual streams have them
        x = rng.standard_normal((ROWS, n))
        x[:, at] *= 1e5
        yield f"outlier at {at}", x


def centred(x, eps, axes=-1):
    x = np.asarray(x, np.longdouble)
    d = x - x.mean(axes, keepdims=True)
    return np.asarray(d / np.sqrt((d**2).mean(axes, keepdims=True) + np.longdouble(np.float32(eps))), np.float64)


def uncentred(x, eps):
    x = np.asarray(x, np.longdouble)
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + np.longdouble(np.float32(eps))), np.float64)


def layer(eps, n):
    return h.make_node("LayerNormalization", ["x", "w"], ["y"], epsilon=eps), [constant("w", np.ones(n, np.float32))], None, centred


def rms(eps, n):
    return h.make_node("RMSNormalization", ["x", "w"], ["y"], epsilon=eps), [constant("w", np.ones(n, np.float32))], None, uncentred


def instance(eps, n):
    ones, zeros = constant("w", np.ones(2, np.float32)), constant("b", np.zeros(2, np.float32))
    return h.make_node("InstanceNormalization", ["x", "w", "b"], ["y"], epsilon=eps), [ones, zeros], (-1, 2, n), centred


def group(eps, n):
    ones, zeros = constant("w", np.ones(4, np.float32)), constant("b", np.zeros(4, np.float32))
    return h.make_node("GroupNormalization", ["x", "w", "b"], ["y"], epsilon=eps, num_groups=2), [ones, zeros], (-1, 4, n // 2), centred


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", [layer, rms, instance, group])
def test_error(kind, n):
    if kind is group and n % 2:
        pytest.skip("a group has whole channels")
    rng = np.random.default_rng(n)
    for eps in EPSILONS:
        node, constants, shape, exact = kind(eps, n)
        shaped = (lambda x: x.reshape(shape)) if shape else (lambda x: x)  # noqa: B023
        model = model_of([node], shaped(np.zeros((ROWS, n), np.float32)), constants, 23 if kind is rms else 21)
        compiled, theirs = pit.compile(model, threads=1), session(model)
        for name, x in rows_of(n, rng):
            x = x.astype(np.float32)
            want = exact(x, eps)
            error = [np.abs(np.nan_to_num(y.reshape(want.shape) - want, nan=np.inf)).max()
                     for y in (compiled(x=shaped(x))["y"], theirs.run(None, {"x": shaped(x)})[0])]  # fmt: skip
            assert error[0] <= max(2 * error[1], 8 * np.spacing(np.float32(np.abs(want).max()))), (name, eps, error)
            if name == "constant" and exact is centred:
                assert error[0] == 0, eps


@pytest.mark.parametrize("n", (3, 100, 5000))
@pytest.mark.parametrize("axes", ([0, 2], [2]))
def test_mean_variance(n, axes):
    node = h.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=axes)
    rng = np.random.default_rng(n)
    x = np.stack([np.full((3, n), 1234.567), 77.7 + 1e-5 * rng.standard_normal((3, n)) * (2 in axes)]).astype(np.float32)
    y = pit.compile(model_of([node], x, opset=13))(x=x)["y"]
    d = x.astype(np.longdouble) - x.astype(np.longdouble).mean(tuple(axes), keepdims=True)
    want = np.asarray(d / (np.sqrt((d**2).mean(tuple(axes), keepdims=True)) + 1e-9), np.float64)
    assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()
    if axes == [2]:
        assert not y[0].any()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("square", ["Mul", "Pow"])
def test_written_out(n, square):
    """ReduceMean is rounded once, so that nothing is left of equal numbers."""
    squared = h.make_node("Mul", ["d", "d"], ["q"]) if square == "Mul" else h.make_node("Pow", ["d", "two"], ["q"])
    nodes = [h.make_node("ReduceMean", ["x"], ["m"], axes=[-1]), h.make_node("Sub", ["x", "m"], ["d"]), squared,
             h.make_node("ReduceMean", ["q"], ["v"], axes=[-1]), h.make_node("Add", ["v", "e"], ["ve"]),
             h.make_node("Sqrt", ["ve"], ["s"]), h.make_node("Div", ["d", "s"], ["y"])]  # fmt: skip
    rng = np.random.default_rng(n)
    for eps in EPSILONS:
        found = dict(rows_of(n, rng))
        x = found["constant"].astype(np.float32)
        compiled = pit.compile(model_of(nodes, x, [constant("two", np.float32(2)), constant("e", np.float32(eps))], 17), threads=1)
        assert not compiled(x=x)["y"].any()
        x = found["ordinary"].astype(np.float32)
        assert np.abs(compiled(x=x)["y"] - centred(x, eps)).max() < 1e-5 * n**0.5


@pytest.mark.parametrize("n", SIZES)
def test_statistics(n):
    """The outputs beside Y: the mean is the number where all are equal, the deviation is epsilon's root."""
    nodes = [h.make_node("LayerNormalization", ["x", "w"], ["y", "m", "r"], epsilon=1e-12)]
    rng = np.random.default_rng(n)
    x = (rng.uniform(-1, 1, (50, 1)) * 10.0 ** rng.uniform(-3, 6, (50, 1))).astype(np.float32).repeat(n, 1)
    got = pit.compile(model_of(nodes, x, [constant("w", np.ones(n, np.float32))], outputs=("y", "m", "r")))(x=x)
    assert (got["m"] == x[:, :1]).all() and not got["y"].any()
    assert np.allclose(got["r"], 1e6, rtol=1e-6)


@pytest.mark.parametrize("n", (33, 384, 5000))
def test_rows_do_not_meet(n):
    """Which other rows are there does not change a bit."""
    node, constants, _, _ = layer(1e-12, n)
    rng = np.random.default_rng(0)
    x = np.concatenate([x for _, x in rows_of(n, rng)]).astype(np.float32)
    compiled = pit.compile(model_of([node], x, constants))
    together = compiled(x=x)["y"]
    for i in range(0, len(x), 7):
        assert (compiled(x=x[i : i + 1])["y"][0] == together[i]).all()
