"""Writes and reads through computed indices, and selections by value, against loops over NumPy arrays."""

import numpy as np
import pytest
from onnx import helper as H

import pit

FLOATS = [np.float32, np.float64, np.float16]
DTYPES = [*FLOATS, np.int64, np.int32, np.int8, np.uint8, np.bool_]
REDUCTIONS = ["none", "add", "mul", "max", "min"]


def answers(op, feeds, outputs=1, opset=18, constants=(), threads=2, **attributes):
    infos = [H.make_tensor_value_info(k, H.np_dtype_to_tensor_dtype(v.dtype), [f"{k}{d}" for d in range(v.ndim - 1)] + [v.shape[-1]] if v.ndim else [])
             for k, v in feeds.items() if k not in constants]  # fmt: skip
    values = [H.make_tensor(k, H.np_dtype_to_tensor_dtype(feeds[k].dtype), feeds[k].shape, feeds[k].ravel()) for k in constants]
    names = [f"y{i}" for i in range(outputs)]
    graph = H.make_graph([H.make_node(op, list(feeds), names, **attributes)], "g", infos, [H.make_empty_tensor_value_info(n) for n in names], values)
    model = pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", opset)], ir_version=9), threads=threads)
    y = model({k: v for k, v in feeds.items() if k not in constants})
    return y["y0"] if outputs == 1 else [y[n] for n in names]


def folded(reduction, a, b):
    """In f32 for f16, as sums are; bool: sums and maxima are true where one is."""
    if reduction == "none":
        return b
    if a.dtype == np.bool_:
        return a | b if reduction in ("add", "max") else a & b
    with np.errstate(all="ignore"):
        return {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduction](a, b)


def scatter_nd(x, i, u, reduction):
    y = x.copy()
    for k in np.ndindex(i.shape[:-1]):
        at = tuple(i[k])
        y[at] = folded(reduction, y[at], u[k])
    return y


def scatter_elements(x, i, u, axis, reduction):
    y = x.copy()
    for k in np.ndindex(i.shape):
        at = (*k[:axis], i[k], *k[axis + 1 :])
        y[at] = folded(reduction, y[at], u[k])
    return y


def numbers(rng, shape, dtype):
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0 if dtype == np.uint8 else -100, 100, shape).astype(dtype)
    return (rng.integers(-16, 17, shape) / 8).astype(dtype)


def close(got, want):
    assert got.dtype == want.dtype and got.shape == want.shape
    if np.issubdtype(want.dtype, np.floating):
        np.testing.assert_allclose(got, want, rtol=2e-3 if want.dtype == np.float16 else 1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_nd_folds_updates_in_order(dtype, reduction):
    rng = np.random.default_rng(1)
    for shape, lead, depth in [((5, 7), (9,), 1), ((40, 17), (3, 11), 1), ((3, 4, 5), (6,), 2), ((6,), (20,), 1), ((4, 3), (8,), 2), ((2, 3, 33), (1,), 1), ((5, 8), (0,), 1),
                               ((3, 4, 2, 6), (2, 5), 2), ((1, 65), (4,), 1)]:  # fmt: skip
        x, u = numbers(rng, shape, dtype), numbers(rng, (*lead, *shape[depth:]), dtype)
        i = np.stack([rng.integers(-n, n, lead) for n in shape[:depth]], -1).astype(np.int64)
        close(answers("ScatterND", dict(x=x, i=i, u=u), reduction=reduction), scatter_nd(x, i, u, reduction))


@pytest.mark.parametrize("index", [np.int64, np.int32])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_elements_folds_updates_in_order(dtype, reduction, index):
    rng = np.random.default_rng(2)
    for shape, indices, axis in [((5, 7), (9, 7), 0), ((5, 7), (4, 3), 0), ((5, 7), (5, 20), 1), ((3, 4, 6), (2, 9, 5), 1), ((9,), (30,), 0), ((4, 3), (0, 3), 0), ((70, 3), (70, 2), -1)]:
        x, u = numbers(rng, shape, dtype), numbers(rng, indices, dtype)
        i = rng.integers(-shape[axis], shape[axis], indices).astype(index)
        close(answers("ScatterElements", dict(x=x, i=i, u=u), axis=axis, reduction=reduction), scatter_elements(x, i, u, axis % len(shape), reduction))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_elements_of_shorter_indices(dtype):
    rng = np.random.default_rng(3)
    for shape, indices, axis in [((5, 7), (9, 3), 0), ((5, 7), (2, 20), 1), ((3, 4, 6), (2, 9, 5), 1), ((5, 7), (0, 3), 0), ((3, 4, 6), (3, 4, 6), 2)]:
        x, i = numbers(rng, shape, dtype), rng.integers(-shape[axis], shape[axis], indices)
        want = np.take_along_axis(x[tuple(slice(n) if d != axis else slice(None) for d, n in enumerate(indices))], i, axis)
        close(answers("GatherElements", dict(x=x, i=i), axis=axis), want)


@pytest.mark.parametrize("reduction", ["none", "add", "max"])
def test_zeros_keep_their_sign_and_nan_goes_through(reduction):
    x = np.array([[-0.0, 0.0], [np.nan, 1.0], [-0.0, -np.inf], [2.0, np.inf]], np.float32)
    i, u = np.array([[1], [-1]]), np.array([[-0.0, np.nan], [-0.0, np.nan]], np.float32)
    got, want = answers("ScatterND", dict(x=x, i=i, u=u), reduction=reduction), scatter_nd(x, i, u, reduction)
    np.testing.assert_array_equal(got, want)
    untouched = [0, 2]
    assert got[untouched].tobytes() == x[untouched].tobytes()
    if reduction == "none":
        assert got[[1, 3]].tobytes() == u.tobytes()


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_the_bits_do_not_depend_on_threads(reduction):
    rng = np.random.default_rng(4)
    x, u = rng.standard_normal((3000, 50), np.float32), rng.standard_normal((20000, 50), np.float32)
    i = rng.integers(-3000, 3000, (20000, 1))
    j = rng.integers(-3000, 3000, (2000, 50))
    nd = [answers("ScatterND", dict(x=x, i=i, u=u), reduction=reduction, threads=t).tobytes() for t in (1, 2, 4)]
    elements = [answers("ScatterElements", dict(x=x, i=j, u=u[:2000]), axis=0, reduction=reduction, threads=t).tobytes() for t in (1, 2, 4)]
    assert len(set(nd)) == 1 and len(set(elements)) == 1


@pytest.mark.parametrize("bad", [7, -8, 2**62])
@pytest.mark.parametrize("op", ["ScatterND", "ScatterElements", "GatherElements"])
def test_an_index_out_of_range_is_named(op, bad):
    x, i = np.zeros((7, 4), np.float32), np.zeros((5, 1) if op == "ScatterND" else (5, 4), np.int64)
    i[3, 0] = bad
    feeds = dict(x=x, i=i) if op == "GatherElements" else dict(x=x, i=i, u=np.zeros((5, 4), np.float32))
    with pytest.raises(pit.InputError, match=rf"{op}(.|\n)*{bad}"):
        answers(op, feeds)


def first_in_order(x, k, largest):
    """Positions along the last axis; NaN is the largest, equals keep their order."""
    key = np.where(np.isnan(x), np.inf, x) if np.issubdtype(x.dtype, np.floating) else x.astype(object)
    nan = np.isnan(x) if np.issubdtype(x.dtype, np.floating) else np.zeros(x.shape, bool)
    order = [sorted(range(x.shape[-1]), key=lambda p: (not nan[r][p], -key[r][p], p) if largest else (nan[r][p], key[r][p], p)) for r in range(len(x))]
    return np.array(order, np.int64).reshape(x.shape)[:, :k]


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", [t for t in DTYPES if t not in (np.int8, np.uint8, np.bool_)])
def test_top_k(dtype, largest):
    rng = np.random.default_rng(5)
    for rows, size, k in [(3, 1, 1), (4, 7, 7), (5, 64, 8), (3, 70, 3), (6, 257, 8), (2, 300, 100), (2, 2500, 40), (3, 33, 0), (0, 5, 2)]:
        x = numbers(rng, (rows, size), dtype) if size % 2 else (rng.standard_normal((rows, size)) * 1e4).astype(dtype)
        if dtype in FLOATS and rows:
            x[0, rng.random(size) < 0.1] = np.nan
            x[-1, rng.random(size) < 0.2] = -0.0
        for axis in (1, 0):
            given = np.ascontiguousarray(x.T) if axis == 0 else x
            values, positions = answers("TopK", dict(x=given, k=np.array([k])), outputs=2, constants=["k"], axis=axis, largest=largest)
            want = first_in_order(x, k, largest)
            got = positions.T if axis == 0 else positions
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(values.T if axis == 0 else values, np.take_along_axis(x, want, 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_non_zero(dtype):
    rng = np.random.default_rng(6)
    for shape in [(5,), (3, 4, 5), (0, 3), (300, 301), (40000,)]:
        x = numbers(rng, shape, dtype) * (rng.random(shape) < 0.3).astype(dtype)
        if dtype in FLOATS and x.size:
            x.flat[0], x.flat[-1] = -0.0, np.nan
        np.testing.assert_array_equal(answers("NonZero", dict(x=x)), np.stack(np.nonzero(x)))


@pytest.mark.parametrize("rows, width", [(1, 8), (5, 200), (300, 96), (257, 640)])
def test_experts_add_to_one_accumulator(rows, width):
    """Routed rows, each expert's as many as are routed to it, scattered onto one result: the same bits however it is run."""
    experts, rng = 5, np.random.default_rng(7)
    x, route = rng.standard_normal((rows, width), np.float32), rng.integers(0, experts - 1, rows)  # nobody asks the last one
    weights = (rng.standard_normal((experts, width, width)) / 8).astype(np.float32)
    nodes, constants = [H.make_node("Mul", ["x", "zero"], ["y0"])], {"zero": np.float32(0)}
    for e in range(experts):
        constants |= {f"w{e}": weights[e], f"e{e}": np.array(e)}
        nodes += [H.make_node("Equal", ["route", f"e{e}"], [f"m{e}"]), H.make_node("NonZero", [f"m{e}"], [f"n{e}"]),
                  H.make_node("Transpose", [f"n{e}"], [f"i{e}"]), H.make_node("GatherND", ["x", f"i{e}"], [f"g{e}"]),
                  H.make_node("MatMul", [f"g{e}", f"w{e}"], [f"u{e}"]), H.make_node("ScatterND", [f"y{e}", f"i{e}", f"u{e}"], [f"y{e + 1}"], reduction="add")]  # fmt: skip
    infos = [H.make_tensor_value_info("x", 1, ["t", width]), H.make_tensor_value_info("route", 7, ["t"])]
    values = [H.make_tensor(k, H.np_dtype_to_tensor_dtype(v.dtype), v.shape, v.ravel()) for k, v in constants.items()]
    graph = H.make_graph(nodes, "g", infos, [H.make_empty_tensor_value_info(f"y{experts}")], values)
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 18)], ir_version=9)
    bits = set()
    for options in [dict(threads=1), dict(threads=2), dict(threads=4, poison="nan"), dict(threads=2, poison="large"), dict(threads=2, sparsity="off", poison="nan")]:
        y = pit.compile(model, **options)({"x": x, "route": route})[f"y{experts}"]
        np.testing.assert_allclose(y, np.einsum("td,tdf->tf", x, weights[route]), rtol=1e-4, atol=1e-4)
        bits.add(y.tobytes())
    assert len(bits) == 1


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_long_rows_that_nobody_writes_are_kept(reduction):
    rng = np.random.default_rng(8)
    for lead in [(0,), (1,), (7,), (60,)]:
        x, u = rng.standard_normal((40, 3, 129), np.float32), rng.standard_normal((*lead, 3, 129), np.float32)
        x[3] = -0.0
        i = rng.integers(-40, 40, (*lead, 1))
        got, want = answers("ScatterND", dict(x=x, i=i, u=u), reduction=reduction), scatter_nd(x, i, u, reduction)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        untouched = np.setdiff1d(np.arange(40), i.ravel() % 40)
        assert got[untouched].tobytes() == x[untouched].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_updates_are_not_formed_first(dtype):
    big = np.sqrt(np.finfo(dtype).max) * 4
    x, u = np.zeros((3, 40), dtype), np.full((4, 40), big, dtype)
    i = np.array([[1], [1], [0], [1]])
    close(answers("ScatterND", dict(x=x, i=i, u=u), reduction="mul"), x)
