"""Dimensions of inputs that share a name and have different extents: the name is a hint, only operators decide what must be equal."""

import os
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import pit

D = 8
RNG = np.random.default_rng(0)


def model(nodes, inputs, outputs, constants=None, value_info=()):
    made = [helper.make_node(op, ins.split(), outs.split(), name=f"{op}_{outs}", **attributes) for op, ins, outs, attributes in nodes]
    info = [helper.make_tensor_value_info(n, t, d) for n, (t, d) in inputs.items()]
    graph = helper.make_graph(made, "g", info, [helper.make_empty_tensor_value_info(o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()], value_info=value_info)  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def floats(**inputs):
    return {name: (TensorProto.FLOAT, dims) for name, dims in inputs.items()}


def R(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


SHARED = ["batch", "sequence", D]
PAIR = floats(x=SHARED, z=SHARED)
SUMS = [("ReduceSum", "x axis", "u", dict(keepdims=0)), ("ReduceSum", "z axis", "v", dict(keepdims=0)), ("Mul", "u v", "y", {})]
ATTENTION = [("Transpose", "z", "t", dict(perm=[0, 2, 1])), ("MatMul", "x t", "s", {}), ("Softmax", "s", "p", dict(axis=-1)), ("MatMul", "p z", "y", {})]
ATTENTION_MASKED = [("Transpose", "z", "t", dict(perm=[0, 2, 1])), ("MatMul", "x t", "s", {}), ("Where", "m s low", "w", {}),
                    ("Softmax", "w", "p", dict(axis=-1)), ("MatMul", "p z", "y", {})]  # fmt: skip
CASES = {
    "two texts of different length": (model(SUMS, PAIR, ["y"], dict(axis=np.array([1]))), [dict(x=(2, 3, D), z=(2, 5, D)), dict(x=(2, 4, D), z=(2, 4, D))]),
    "queries and keys": (model(ATTENTION, PAIR, ["y"]), [dict(x=(2, 3, D), z=(2, 5, D)), dict(x=(2, 6, D), z=(2, 1, D)), dict(x=(2, 3, D), z=(2, 3, D))]),
    "a batch of one": (model([("Add", "x z", "y", {})], PAIR, ["y"]), [dict(x=(1, 3, D), z=(4, 3, D)), dict(x=(4, 3, D), z=(1, 1, D)), dict(x=(4, 3, D), z=(4, 3, D))]),
    "axes of one input": (model([("Relu", "x", "y", {})], floats(x=["n", "n"]), ["y"]), [dict(x=(2, 3)), dict(x=(3, 3)), dict(x=(0, 2))]),
    "three of one name": (model([("Concat", "x z w", "y", dict(axis=1))], floats(x=SHARED, z=SHARED, w=SHARED), ["y"]),
                          [dict(x=(2, 3, D), z=(2, 5, D), w=(2, 3, D)), dict(x=(2, 0, D), z=(2, 5, D), w=(2, 1, D))]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", [dict(), dict(sparsity="off"), dict(poison="nan"), dict(threads=1)])
def test_only_the_name_is_shared(name, options, tmp_path):
    proto, shapes = CASES[name]
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    (tmp_path / "model.onnx").write_bytes(proto)
    for compiled in (pit.compile(proto, **options), pit.compile(tmp_path / "model.onnx", **options)):
        for case in [*shapes, *reversed(shapes)]:
            feeds = {k: R(*s) for k, s in case.items()}
            np.testing.assert_allclose(compiled(feeds)["y"], session.run(None, feeds)[0], atol=1e-5)


def test_masks_are_found_without_the_names():
    inputs = {**PAIR, "m": (TensorProto.BOOL, ["batch", 1, "sequence"])}
    proto = model(ATTENTION_MASKED, inputs, ["y"], dict(low=np.float32(-np.inf)))
    feeds = dict(x=R(2, 3, D), z=R(2, 7, D), m=np.arange(7) < np.array([[[3]], [[5]]]))
    want = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    for options in (dict(), dict(sparsity="off"), dict(poison="nan")):
        np.testing.assert_allclose(pit.compile(proto, **options)(feeds)["y"], want, atol=1e-5)


def test_operators_say_what_must_be_equal():
    compiled = pit.compile(model([("Add", "x z", "y", {})], PAIR, ["y"]))
    for _ in range(2):
        with pytest.raises(pit.InputError, match="dimension 1 of input 'z' is 5, but 'sequence' must be 3: .*'y'") as caught:
            compiled(x=R(2, 3, D), z=R(2, 5, D))
        assert not isinstance(caught.value, pit.InternalError)
    compiled(x=R(2, 3, D), z=R(2, 1, D))
    compiled(x=R(2, 3, D), z=R(2, 3, D))
    compiled = pit.compile(model([("MatMul", "x z", "y", {})], floats(x=["n", "n"], z=["n", "n"]), ["y"]))
    compiled(x=R(2, 3), z=R(3, 5))
    with pytest.raises(pit.InputError, match="MatMul"):
        compiled(x=R(2, 3), z=R(2, 5))


def test_names_that_the_file_makes_equal():
    """A declared type says that two symbols are one: that is a hint, too."""
    info = [helper.make_tensor_value_info("u", TensorProto.FLOAT, ["b", D])]
    proto = model(SUMS, floats(x=["a", "s", D], z=["b", "t", D]), ["y"], dict(axis=np.array([1])), info)
    for shapes in (dict(x=(1, 3, D), z=(2, 5, D)), dict(x=(2, 3, D), z=(2, 5, D))):
        feeds = {k: R(*s) for k, s in shapes.items()}
        want = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
        np.testing.assert_allclose(pit.compile(proto)(feeds)["y"], want, atol=1e-5)


def test_explain_and_profile():
    compiled = pit.compile(CASES["queries and keys"][0])
    feeds = dict(x=R(2, 3, D), z=R(2, 5, D))
    assert "MatMul" in str(compiled.explain(feeds)) and compiled.profile(feeds) is not None


def test_from_many_threads():
    compiled, found = pit.compile(CASES["queries and keys"][0], threads=1), []
    feeds = dict(x=R(2, 3, D), z=R(2, 5, D))
    threads = [threading.Thread(target=lambda: found.append(compiled(feeds)["y"])) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8 and all((f == found[0]).all() for f in found)


WEIGHTS = 600  # 600 x 600 floats: more than a MB, so that weights matter
PROJECTED = [("MatMul", "x w", "a", {}), ("MatMul", "z w", "b", {}), ("ReduceSum", "a axis", "u", dict(keepdims=0)),
             ("ReduceSum", "b axis", "v", dict(keepdims=0)), ("Mul", "u v", "y", {})]  # fmt: skip


def weighty(tmp_path):
    inputs = {k: (TensorProto.FLOAT, ["batch", "sequence", WEIGHTS]) for k in "xz"}
    path = tmp_path / "model.onnx"
    path.write_bytes(model(PROJECTED, inputs, ["y"], dict(axis=np.array([1]), w=R(WEIGHTS, WEIGHTS))))
    feeds = dict(x=R(2, 3, WEIGHTS), z=R(2, 5, WEIGHTS))
    return path, feeds, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def test_weights_come_from_the_file_again(tmp_path):
    """A model from a file holds no weight for the case that a name has two extents: the file has it, deleted or replaced too."""
    path, feeds, want = weighty(tmp_path)
    for change in (lambda: None, path.unlink, lambda: (tmp_path / "other").rename(path)):
        compiled = pit.compile(path)
        (tmp_path / "other").write_bytes(b"another file of that name")
        change()
        np.testing.assert_allclose(compiled(feeds)["y"], want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
        path, feeds, want = weighty(tmp_path)


def test_a_file_that_was_written_to_is_not_believed(tmp_path):
    path, feeds, want = weighty(tmp_path)
    compiled = pit.compile(path)
    with path.open("r+b") as f:
        f.truncate(1000)
    with pytest.raises(pit.InputError, match=r"model.onnx' was written to since it was compiled.*compile the model anew"):
        compiled(feeds)
    same = dict(x=feeds["x"], z=feeds["z"][:, :3])
    assert np.isfinite(compiled(same)["y"]).all()


@pytest.mark.parametrize("change", ["truncate", "write"])
def test_external_weights_that_were_written_to_are_not_believed(tmp_path, change):
    path, feeds, _ = weighty(tmp_path)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=1024)
    compiled = pit.compile(path)
    if change == "truncate":
        os.truncate(tmp_path / "weights", 1000)
    else:
        (tmp_path / "weights").write_bytes(np.zeros(WEIGHTS * WEIGHTS, np.float32).tobytes())
    with pytest.raises(pit.InputError, match="weights' was written to since it was compiled"):
        compiled(feeds)
