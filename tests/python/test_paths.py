"""Paths with a NUL byte: the system would open the file that the part before it names."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

import pit


def proto(weight=None):
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [helper.make_tensor_value_info("x", T.FLOAT, [4])],
                              [helper.make_tensor_value_info("y", T.FLOAT, [4])], [weight or onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("rest", ["\0", "\0.txt", "\0/../other"])
def test_no_path_ends_at_a_nul_byte(tmp_path, rest):
    file = tmp_path / "model.onnx"
    onnx.save(proto(), file)
    cache = tmp_path / "cache"
    for refused in (
        lambda: pit.compile(f"{file}{rest}"),
        lambda: pit.compile(os.fsencode(file).decode() + rest),
        lambda: pit.compile(str(file), cache_dir=f"{cache}{rest}"),
        lambda: pit.Contraction("mk,kn->mn", cache_dir=f"{cache}{rest}"),
        lambda: pit.tune(cache_dir=f"{cache}{rest}"),
    ):
        with pytest.raises(pit.PitError, match="NUL byte"):
            refused()
    assert not cache.exists()


def test_no_weights_beside_a_nul_byte(tmp_path):
    weight = T(name="w", data_type=T.FLOAT, dims=[4], data_location=T.EXTERNAL)
    weight.external_data.add(key="location", value="w.bin\0.old")
    (tmp_path / "w.bin").write_bytes(np.ones(4, np.float32).tobytes())
    (tmp_path / "model.onnx").write_bytes(proto(weight).SerializeToString())
    with pytest.raises(pit.ModelError, match="'w.bin': its location has a NUL byte"):
        pit.compile(str(tmp_path / "model.onnx"))
