"""Extents that only the data tell (how many are not zero, how far a range goes), where nothing but the extent is asked for."""

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N

import pit

X = np.array([[0, 1, 2], [3, 0, 4]], np.float32)
#: Operator, attributes, operands after x (inputs of the model, so that nobody knows their values), shape of the result on X.
FINDERS = {
    "NonZero": ({}, [], (2, 4)),
    "Compress": (dict(axis=1), [np.array([True, False, True])], (2, 2)),
    "TopK": (dict(axis=1), [np.array([2])], (2, 2)),
    "Slice": ({}, [np.array([1]), np.array([2])], (1, 3)),
    "Reshape": ({}, [np.array([3, -1])], (3, 2)),
    "Expand": ({}, [np.array([4, 1, 1])], (4, 2, 3)),
}


def answer(nodes, feeds, constants=(), **options):
    infos = []
    for name, v in feeds.items():
        symbols = [f"{name}{k}" for k in range(v.ndim)] if name == "x" else v.shape
        infos.append(H.make_tensor_value_info(name, H.np_dtype_to_tensor_dtype(v.dtype), symbols))
    graph = H.make_graph(nodes, "g", infos, [H.make_empty_tensor_value_info("q")], [N.from_array(v, k) for k, v in constants])
    model = pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=9), **options)
    return model(feeds)["q"]


def finder(op):
    attributes, more, shape = FINDERS[op]
    feeds = {"x": X} | {f"a{k}": v for k, v in enumerate(more)}
    outputs = ["y", "unused"] if op == "TopK" else ["y"]
    return H.make_node(op, list(feeds), outputs, **attributes), feeds, shape


@pytest.mark.parametrize("sparsity", ["auto", "off"])
@pytest.mark.parametrize("op", sorted(FINDERS))
def test_the_shape_of_what_is_found(op, sparsity):
    node, feeds, shape = finder(op)
    assert answer([node, H.make_node("Shape", ["y"], ["q"])], feeds, sparsity=sparsity).tolist() == list(shape)
    assert answer([node, H.make_node("Size", ["y"], ["q"])], feeds, sparsity=sparsity) == np.prod(shape)


@pytest.mark.parametrize("op", sorted(FINDERS))
def test_what_is_made_of_the_shape(op):
    node, feeds, shape = finder(op)
    count = [node, H.make_node("Shape", ["y"], ["s"])]
    assert answer([*count, H.make_node("ConstantOfShape", ["s"], ["q"])], feeds).shape == shape
    last = [("i", np.array(-1)), ("zero", np.array(0)), ("one", np.array(1))]
    ranged = [*count, H.make_node("Gather", ["s", "i"], ["n"]), H.make_node("Range", ["zero", "n", "one"], ["q"])]
    assert answer(ranged, feeds, last).tolist() == list(range(shape[-1]))
    doubled = [*count, H.make_node("Add", ["s", "s"], ["t"]), H.make_node("Cast", ["t"], ["q"], to=T.FLOAT)]
    assert answer(doubled, feeds).tolist() == [2 * d for d in shape]


def test_a_range_is_counted():
    node = H.make_node("Range", ["x", "a", "b"], ["y"])
    feeds = {"x": np.array(2), "a": np.array(11), "b": np.array(3)}
    assert answer([node, H.make_node("Shape", ["y"], ["q"])], feeds).tolist() == [3]


@pytest.mark.parametrize("rows", [0, 1, 6])
def test_a_count_beside_an_extent(rows):
    """The count must equal the extent: whoever puts both side by side relies on it."""
    nodes = [H.make_node("NonZero", ["a"], ["nz"]), H.make_node("Squeeze", ["nz", "axis"], ["i"]), H.make_node("Gather", ["x", "i"], ["y"]),
             H.make_node("Concat", ["x", "y"], ["z"], axis=1), H.make_node("Shape", ["z"], ["q"])]  # fmt: skip
    feeds = {"x": np.ones((rows, 4), np.float32), "a": np.ones(rows, np.int64)}
    assert answer(nodes, feeds, [("axis", np.array([0]))]).tolist() == [rows, 8]
    if rows > 1:
        with pytest.raises(pit.InputError, match=f"{rows - 1}"):
            answer(nodes, feeds | {"a": np.arange(rows)}, [("axis", np.array([0]))])
