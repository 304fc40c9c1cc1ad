"""Extremes and sums that write through indices, against NumPy: NaN goes through all of them, ties and signs of zero aside."""

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import pit

UFUNCS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
VALUES = [np.nan, np.inf, -np.inf, 1.0, -1.0, 0.5, 3.0]


def compiled(nodes, inputs, constants=(), sparsity="auto"):
    infos = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()]
    outputs = [helper.make_empty_tensor_value_info(o) for n in nodes for o in n.output]
    graph = helper.make_graph(nodes, "g", infos, outputs, [numpy_helper.from_array(v, k) for k, v in constants])
    return pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), sparsity=sparsity)(inputs)


@pytest.mark.parametrize("sparsity", ["auto", "off"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("reduction", sorted(UFUNCS))
def test_scatter_passes_nan_on(reduction, dtype, sparsity):
    rng = np.random.default_rng(len(reduction))
    data, updates = rng.choice(VALUES, (6, 5)).astype(dtype), rng.choice(VALUES, (4, 5)).astype(dtype)
    rows = np.array([0, 3, 5, 1])  # each row once: no order of updates matters
    want = data.copy()
    with np.errstate(all="ignore"):
        want[rows] = UFUNCS[reduction](want[rows], updates)
    feeds = {"x": data, "rows": rows[:, None], "i": np.broadcast_to(rows[:, None], (4, 5)).copy(), "u": updates}
    nodes = [helper.make_node("ScatterND", ["x", "rows", "u"], ["nd"], reduction=reduction),
             helper.make_node("ScatterElements", ["x", "i", "u"], ["elements"], axis=0, reduction=reduction)]  # fmt: skip
    got = compiled(nodes, feeds, sparsity=sparsity)
    for name, y in got.items():
        np.testing.assert_array_equal(y, want, name)
    assert np.isnan(want).any() and not np.isnan(want).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op, pick", [("Max", np.maximum), ("Min", np.minimum)])
def test_every_extreme_passes_nan_on(op, pick, dtype):
    rng = np.random.default_rng(3)
    x = rng.choice(VALUES, (2, 3, 6)).astype(dtype)
    y = rng.choice(VALUES, (2, 3, 6)).astype(dtype)
    nodes = [helper.make_node(op, ["x", "y"], ["both"]), helper.make_node(f"Reduce{op}", ["x", "axes"], ["reduced"], keepdims=0)]
    if op == "Max":
        nodes += [helper.make_node("GlobalMaxPool", ["x"], ["pool"]), helper.make_node("Relu", ["x"], ["relu"])]
    got = compiled(nodes, {"x": x, "y": y}, [("axes", np.array([2]))])
    np.testing.assert_array_equal(got["both"], pick(x, y))
    np.testing.assert_array_equal(got["reduced"], pick.reduce(x, 2))
    if op == "Max":
        np.testing.assert_array_equal(got["pool"], pick.reduce(x, 2, keepdims=True))
        np.testing.assert_array_equal(got["relu"], pick(x, 0))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_extreme_of_nothing(op, axis):
    """An axis without elements has no largest element, unless nobody asks for one."""
    x = np.zeros((3, 0), np.float32)
    node = helper.make_node(op, ["x"], ["y"], axis=axis, keepdims=0)
    if axis == 0:
        assert compiled([node], {"x": x})["y"].shape == (0,)
    else:
        with pytest.raises(pit.PitError, match=f"{op}: an axis without elements"):
            compiled([node], {"x": x})


LENGTHS = [([4, 5], [1, 2, 3], "extents do not fit"), ([4, 2], [1], "extents do not fit"), ([4, 2], [5, 1], "in 'n' is out of range for 'x'"),
           ([4, 2], [0, -1], "in 'n' is out of range for 'x'")]  # fmt: skip


@pytest.mark.parametrize("shape, lengths, message", LENGTHS)
def test_lengths_of_sequences_are_checked(shape, lengths, message):
    feeds = {"x": np.zeros(shape, np.float32), "n": np.array(lengths)}
    with pytest.raises(pit.PitError, match=message):
        compiled([helper.make_node("ReverseSequence", ["x", "n"], ["y"])], feeds)


WRONG = [("ScatterND", [[], [1], [4]]), ("ScatterND", [[3], [1, 4], [1]]), ("ScatterND", [[2, 2], [3, 1], [3, 1]]), ("ScatterND", [[2, 2], [], [2]]),
         ("ScatterElements", [[1, 2], [], []]), ("ScatterElements", [[1, 2], [1, 2], [2]]), ("ScatterElements", [[2], [1, 2], [1, 2]]),
         ("ReverseSequence", [[3, 4], [2, 2]]), ("ReverseSequence", [[3, 4], []])]  # fmt: skip


@pytest.mark.parametrize("op, shapes", WRONG)
def test_ranks_are_checked_when_the_model_is_compiled(op, shapes):
    types = [T.FLOAT, T.INT64, T.FLOAT][: len(shapes)]
    infos = [helper.make_tensor_value_info(f"x{k}", t, s) for k, (t, s) in enumerate(zip(types, shapes))]
    node = helper.make_node(op, [i.name for i in infos], ["y"])
    graph = helper.make_graph([node], "g", infos, [helper.make_empty_tensor_value_info("y")])
    with pytest.raises(pit.ModelError, match=op):
        pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
