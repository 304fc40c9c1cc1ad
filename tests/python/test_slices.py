"""Every slice there is, against NumPy: starts and ends far beyond either end, steps in both directions, in every form a model has them."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N

import pit

FAR = 2**63 - 1
POSITIONS = [-FAR - 1, -FAR, -(2**62), -(2**31), -6, -5, -4, -3, -1, 0, 1, 3, 4, 5, 6, 2**31 - 1, 2**62, FAR]
STEPS = [1, 2, 3, 7, 2**31, FAR, -1, -2, -3, -7, -(2**31), -FAR, -FAR - 1]
EXTENTS = [0, 1, 4, 5]


def python_slice(start, end, step, extent):
    """What ONNX means: starts are clamped to [0, extent - 1] going backwards, where Python has nothing before the first element; ends to
    [-1, extent - 1]."""
    first, last = (0, extent) if step > 0 else (-1, extent - 1)
    start = min(max(start + extent if start < 0 else start, 0), last)
    end = min(max(end + extent if end < 0 else end, first), last)
    return list(range(start, end, step))


def model(nodes, inputs, outputs, constants, opset=17):
    infos = [H.make_tensor_value_info(name, t, dims) for name, t, dims in inputs]
    graph = H.make_graph(nodes, "g", infos, [H.make_empty_tensor_value_info(o) for o in outputs], [N.from_array(np.asarray(v), k) for k, v in constants.items()])
    return pit.compile(H.make_model(graph, opset_imports=[H.make_opsetid("", opset)], ir_version=8), cache_dir="none")


def data(extent):
    return np.arange(2 * extent * 3, dtype=np.float32).reshape(2, extent, 3)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("extent", [*EXTENTS, "n"])
def test_constant_starts_and_ends(extent, step):
    nodes, constants, outputs = [], {"axis": np.array([1]), "step": np.array([step])}, {}
    for start, end in itertools.product(POSITIONS, POSITIONS):
        constants |= {f"s{start}": np.array([start]), f"s{end}": np.array([end])}
        y = f"y{len(outputs)}"
        nodes.append(H.make_node("Slice", ["x", f"s{start}", f"s{end}", "axis", "step"], [y]))
        outputs[y] = (start, end)
    compiled = model(nodes, [("x", T.FLOAT, [2, extent, 3])], outputs, constants)
    for n in EXTENTS if extent == "n" else [extent]:
        got = compiled(x=data(n))
        for y, (start, end) in outputs.items():
            want = data(n)[:, python_slice(start, end, step, n)]
            assert np.array_equal(got[y], want), f"[{start}:{end}:{step}] of {n}: {got[y].shape}, not {want.shape}"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("index", [np.int64, np.int32])
def test_starts_and_ends_at_run_time(step, index):
    if abs(step) >= 2**31 and index == np.int32:
        step = -(2**31) if step < 0 else 2**31 - 1
    kind = H.np_dtype_to_tensor_dtype(np.dtype(index))
    nodes = [H.make_node("Slice", ["x", "start", "end", "axis", "step"], ["y"])]
    compiled = model(nodes, [("x", T.FLOAT, [2, "n", 3]), ("start", kind, [1]), ("end", kind, [1])], ["y"],
                     {"axis": np.array([-2], index), "step": np.array([step], index)})  # fmt: skip
    for n, start, end in itertools.product(EXTENTS, POSITIONS, POSITIONS):
        if index == np.int32 and max(abs(start), abs(end)) > 2**31 - 1:
            continue
        got, want = compiled(x=data(n), start=np.array([start], index), end=np.array([end], index))["y"], data(n)[:, python_slice(start, end, step, n)]
        assert np.array_equal(got, want), f"[{start}:{end}:{step}] of {n}: {got.shape}, not {want.shape}"


@pytest.mark.parametrize("step", STEPS)
def test_slices_of_shapes(step):
    """Shape computations are sliced when the model is compiled."""
    nodes, constants, outputs = [H.make_node("Shape", ["x"], ["shape"])], {"axis": np.array([0]), "step": np.array([step])}, {}
    for start, end in itertools.product(POSITIONS, POSITIONS):
        constants |= {f"s{start}": np.array([start]), f"s{end}": np.array([end])}
        y = f"y{len(outputs)}"
        nodes.append(H.make_node("Slice", ["shape", f"s{start}", f"s{end}", "axis", "step"], [y]))
        outputs[y] = (start, end)
    got = model(nodes, [("x", T.FLOAT, ["a", 1, "b", 2, "c"])], outputs, constants)(x=np.zeros((3, 1, 4, 2, 5), np.float32))
    for y, (start, end) in outputs.items():
        want = np.array([3, 1, 4, 2, 5])[python_slice(start, end, step, 5)]
        assert np.array_equal(got[y], want), f"[{start}:{end}:{step}]: {got[y]}, not {want}"


@pytest.mark.parametrize("extent", [4, "n"])
def test_two_axes_at_once_and_attributes(extent):
    x = data(4)
    for (a, b), (c, d) in itertools.product([(-FAR, FAR), (1, -1), (5, 6), (-1, FAR)], [(0, 2), (-2, FAR), (2, -9)]):
        want = x[:, python_slice(a, b, 1, 4)][:, :, python_slice(c, d, 1, 3)]
        node = H.make_node("Slice", ["x"], ["y"], starts=[a, c], ends=[b, d], axes=[1, -1])
        assert np.array_equal(model([node], [("x", T.FLOAT, [2, extent, 3])], ["y"], {}, opset=9)(x=x)["y"], want)
        node = H.make_node("Slice", ["x", "s", "e"], ["y"])
        constants = {"s": np.array([0, a, c]), "e": np.array([FAR, b, d])}
        assert np.array_equal(model([node], [("x", T.FLOAT, [2, extent, 3])], ["y"], constants)(x=x)["y"], want)


REFUSED = [(dict(s=[0], e=[1], a=[0], t=[0]), "a step is 0"), (dict(s=[0, 1], e=[1], a=[0, 1]), "different lengths"), (dict(s=[0], e=[1, 2], a=[0]), "different lengths"),
           (dict(s=[0], e=[1], a=[3]), "axis 3 is out of range"), (dict(s=[0], e=[1], a=[0], t=[1, 1]), "different lengths"),
           (dict(s=[0, 0, 0, 0], e=[1, 1, 1, 1]), "out of range|different lengths"), (dict(s=[0, 1], e=[1, 2], a=[1, 1]), "twice")]  # fmt: skip


@pytest.mark.parametrize("operands, message", REFUSED)
@pytest.mark.parametrize("dynamic", [False, True])
def test_what_is_no_slice_is_refused(operands, message, dynamic):
    names = ["x", "s", "e", *(k for k in "at" if k in operands)]
    inputs, constants = [("x", T.FLOAT, [2, 4, 3])], {k: np.array(v) for k, v in operands.items()}
    if dynamic:
        inputs += [(k, T.INT64, [len(operands[k])]) for k in "se"]
    feeds = {"x": data(4)} | {k: constants.pop(k) for k in "se" if dynamic}
    with pytest.raises((pit.ModelError, pit.InputError), match=message):
        model([H.make_node("Slice", names, ["y"])], inputs, ["y"], constants)(feeds)
