"""A compiled model does not depend on the files that it came from."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import pit


def model_with_a_file(folder, inline):
    """Embedding table, a matmul and a bias, large enough to be read in place; beside the model, or in it."""
    generator = np.random.default_rng(0)
    tensors = {"table": generator.normal(size=(2000, 96)), "w": generator.normal(size=(96, 2048)), "bias": generator.normal(size=2048)}
    protos, data = [], b""
    for name, array in tensors.items():
        raw = array.astype(np.float32).tobytes()
        proto = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
        if inline:
            proto.raw_data = raw
        else:
            proto.data_location = TensorProto.EXTERNAL
            for key, value in {"location": "weights.bin", "offset": len(data), "length": len(raw)}.items():
                proto.external_data.add(key=key, value=str(value))
            data += raw + bytes(-len(raw) % 4096)
        protos.append(proto)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["m"]),
             helper.make_node("Add", ["m", "bias"], ["y"])]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2048])], protos)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    if not inline:
        (folder / "weights.bin").write_bytes(data)
    return folder / "model.onnx", folder / ("model.onnx" if inline else "weights.bin")


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("damage", ["truncated", "overwritten", "deleted"])
def test_the_file_may_change_afterwards(tmp_path, inline, damage):
    path, weights = model_with_a_file(tmp_path, inline)
    compiled = pit.compile(path)
    ids = np.arange(0, 2000, 7)
    want = compiled(ids=ids)["y"]
    if damage == "truncated":
        with open(weights, "r+b") as f:
            f.truncate(0)
    elif damage == "overwritten":
        size = weights.stat().st_size
        with open(weights, "r+b") as f:
            f.write(b"\xff" * size)
    else:
        weights.unlink()
    np.testing.assert_array_equal(compiled(ids=ids)["y"], want)
    assert np.isfinite(compiled(ids=ids + 1)["y"]).all()
