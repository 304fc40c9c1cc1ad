"""Reductions of masked values over an axis that a run leaves empty: what an analysis says of all positions says nothing of none."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N

import pit

REDUCTIONS = ["ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"]


def check(nodes, symbols, constants, feeds):
    infos = [H.make_tensor_value_info(k, H.np_dtype_to_tensor_dtype(v.dtype), symbols[k]) for k, v in feeds.items()]
    graph = H.make_graph(nodes, "g", infos, [H.make_tensor_value_info("y", T.FLOAT, None)], [N.from_array(v, k) for k, v in constants.items()])
    model = H.make_model(graph, opset_imports=[H.make_opsetid("", 20)], ir_version=9)
    want = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    for sparsity in ("auto", "off"):
        np.testing.assert_allclose(pit.compile(model, sparsity=sparsity)(feeds)["y"], want, rtol=1e-6, err_msg=sparsity)


def masked(tokens):
    x = np.arange(2 * tokens * 4, dtype=np.float32).reshape(2, tokens, 4) + 1
    mask = np.zeros((2, tokens), np.int64)
    mask[0, :2] = 1
    nodes = [H.make_node("Cast", ["mask"], ["m"], to=T.FLOAT), H.make_node("Unsqueeze", ["m", "two"], ["real"]), H.make_node("Mul", ["x", "real"], ["xm"])]
    return nodes, {"x": x, "mask": mask}


SYMBOLS = {"x": ["b", "s", 4], "mask": ["b", "s"]}
AXES = {"one": np.array([1]), "two": np.array([2])}


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("op", REDUCTIONS)
def test_a_reduction_of_masked_tokens(op, tokens):
    nodes, feeds = masked(tokens)
    check([*nodes, H.make_node(op, ["xm", "one"], ["y"], keepdims=0)], SYMBOLS, AXES, feeds)


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ReduceSum"])
def test_what_is_made_of_it(op, tokens):
    """0 and -inf part ways in what follows: a product skips zeros, a sigmoid of -inf is 0."""
    nodes, feeds = masked(tokens)
    weight = np.linspace(0.5, 1.5, 4, dtype=np.float32)[:, None]
    more = [H.make_node(op, ["xm", "one"], ["r"], keepdims=0), H.make_node("MatMul", ["r", "w"], ["p"]), H.make_node("Sigmoid", ["p"], ["y"])]
    check([*nodes, *more], SYMBOLS, AXES | {"w": weight}, feeds)
