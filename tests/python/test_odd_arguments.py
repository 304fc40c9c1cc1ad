"""Arguments that nobody means: each is refused with an InputError that names it."""

import os

import numpy as np
import pytest
from onnx import TensorProto, helper

import pit

NODES = [helper.make_node("Relu", ["x"], ["y"])]
INFO = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b"])]
OUT = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])]
MODEL = helper.make_model(helper.make_graph(NODES, "g", INFO, OUT), opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
X = np.ones((5, 8), np.float32)
LONE = "\udce8"  # what os.fsdecode makes of a byte that is no UTF-8


class SaysBytes:
    def SerializeToString(self):
        return 5


@pytest.mark.parametrize("wrong", [
    dict(limits={"rank": 1.5}), dict(limits={"rank": None}), dict(limits={"rank": "5"}), dict(limits={"rank": True}), dict(limits={"rank": 2**63}),
    dict(limits={1: 2}), dict(limits={None: 1}), dict(limits=5), dict(limits="rank"), dict(limits={"rank": -1}), dict(limits={"ranks": 5}),
    dict(cpu=LONE), dict(cache_dir="/tmp/" + LONE), dict(outputs=LONE), dict(outputs={"y": LONE}), dict(precision=LONE),
])  # fmt: skip
def test_options(wrong):
    with pytest.raises(pit.InputError, match=r"limit|cpu|cache_dir|output|name|precision"):
        pit.compile(MODEL, **wrong)


def test_models(tmp_path):
    path = os.fsencode(tmp_path / "mod") + b"\xe8le.onnx"
    with open(path, "wb") as f:
        f.write(MODEL)
    for model in (os.fsdecode(path), SaysBytes()):
        with pytest.raises(pit.InputError, match=r"Unicode|bytes"):
            pit.compile(model)


def test_names():
    compiled = pit.compile(MODEL)
    for call in (lambda: compiled({LONE: X}), lambda: compiled(x=X, out={LONE: X.copy()}), lambda: compiled(x=X, outputs=[LONE])):
        with pytest.raises(pit.InputError):
            call()


@pytest.mark.parametrize("strides, fine", [((8, 1), True), ((1, 5), True), ((20, 2), True), ((-8, 1), True), ((16, 4), False), ((4, 1), False),
                                           ((0, 1), False), ((1, 1), False), ((7, 1), False), ((3, 20), True)])  # fmt: skip
def test_results_that_overlap_themselves(strides, fine):
    memory = np.zeros(400, np.float32)
    out = np.lib.stride_tricks.as_strided(memory[200:] if min(strides) < 0 else memory, (5, 8), [4 * s for s in strides])
    x = np.random.default_rng(0).random((5, 8)).astype(np.float32)
    compiled = pit.compile(MODEL)
    if fine:
        assert compiled(x=x, out={"y": out})["y"] is not None
        np.testing.assert_array_equal(out, x)
    else:
        with pytest.raises(pit.InputError, match="several of its elements are in the same place"):
            compiled(x=x, out={"y": out})


def test_casts_to_bfloat16_are_refused():
    nodes = [helper.make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16), helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT)]
    proto = helper.make_model(helper.make_graph(nodes, "g", INFO, OUT), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(pit.UnsupportedError, match="bfloat16"):
        pit.compile(proto)
