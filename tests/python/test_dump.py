"""What the stages of the compiler say of a small model: `Model.dump`."""

import re

import numpy as np
import onnx.helper as H
import pytest
from onnx import TensorProto as T
from onnx import numpy_helper as N

import pit

STAGES = ("graph", "masks", "groups", "schedules", "kernels", "asm")


def feed_forward(rows="rows", pruned=1):
    """Y = relu(X * W0 + b) * W1, X: [rows, 64]; of W1 one row in `pruned` is left."""
    r = np.random.default_rng(0)
    nodes = [H.make_node("MatMul", ["X", "W0"], ["h"]), H.make_node("Add", ["h", "b"], ["s"]), H.make_node("Relu", ["s"], ["a"]),
             H.make_node("MatMul", ["a", "W1"], ["Y"])]  # fmt: skip
    values = {name: r.standard_normal(shape, np.float32) for name, shape in {"W0": (64, 256), "b": (256,), "W1": (256, 96)}.items()}
    values["W1"][np.arange(256) % pruned != 0] = 0
    weights = [N.from_array(value, name) for name, value in values.items()]
    graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("X", T.FLOAT, [rows, 64])], [H.make_tensor_value_info("Y", T.FLOAT, [rows, 96])], weights)
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(params=["haswell", ""], ids=["avx2", "native"])
def model(request):
    return pit.compile(feed_forward(), cpu=request.param, threads=1)


def test_graph_as_a_whole(model):
    assert model.dump("graph") == """\
# graph: 4 operators, simplified
input X: f32[rows, 64]
constant W0: f32[64, 256]
constant b: f32[256]
constant W1: f32[256, 96]
h: f32[rows, 256] = MatMul(X, W0)  | Y[m,n] += A[m,k] * B[k,n]
s: f32[rows, 256] = Add(h, b)  | Y[i0,i1] = A[i0,i1] + B[i1]
a: f32[rows, 256] = Relu(s)  | Y[i0,i1] = max(X[i0,i1], 0)
Y: f32[rows, 96] = MatMul(a, W1)  | Y[m,n] += A[m,k] * B[k,n]
output Y = Y: f32[rows, 96]
"""


def test_masks(model):
    text = model.dump("masks")
    assert "  h: f32[rows, 256], nonzero all, demand all, computed all\n" in text
    assert "  MatMul of 'Y': Y[m,n] += A[m,k] * B[k,n]: live all\n" in text


def test_groups(model):
    text = model.dump("groups")
    assert "group 0, step 0: contraction\n" in text and "group 1, step 1: contraction\n" in text
    assert "epilogue    t1[m,n] = acc[m,n] + x3[n]; y[m,n] = max(t1[m,n], 0); of acc, x3 f32 per column\n" in text
    assert "axes        m = rows (m), n = 256 (n), k = 64 (k)\n" in text


def test_schedules(model):
    """The product behind the Relu looks at values, so more than the dense rule applies to it."""
    text = model.dump("schedules")
    assert "assumed: rows = 32 (give inputs for others); 1 thread;" in text
    first, second = text.split("group ")[1:]
    assert first.startswith("0, step 0: MatMul+Add+Relu: m 32, n 256, k 64\n") and "element" not in first
    found, then = second.split("where a run finds a tenth of A's elements live (assumed)\n")
    assert found.count("dense") == 1
    assert {"dense", "k", "element"} <= set(re.findall(r"us  ([A-Za-z.]+)", then))
    times = [float(t) for t in re.findall(r"([\d.]+) us", then)]
    assert times == sorted(times) and times[0] > 0
    given = model.dump("schedules", X=np.zeros((3, 64), np.float32))
    assert "the inputs given" in given and "m 3, n 256, k 64" in given
    assert given == model.dump("schedules", {"X": np.zeros((3, 64), np.float32)})


def test_schedules_of_fixed_sizes_and_pruned_weights():
    text = pit.compile(feed_forward(pruned=4)).dump("schedules")
    assert "  of the weights 0.25 live\n" in text and {"B.k", "Bt.k", "both"} <= set(re.findall(r"us  ([A-Za-z.]+)", text))
    assert "# schedules: the model's sizes; " in pit.compile(feed_forward(40)).dump("schedules")


def test_kernels_and_assembly(model):
    kernels, assembly = model.dump("kernels"), model.dump("asm")
    names = re.findall(r"^kernel ([^(]+)\(", kernels, re.M)
    assert names and len(set(names)) == len(names)
    for name in names:
        assert re.search(rf'^"?{re.escape(name)}"?:', assembly, re.M), name
    assert "vfmadd" in assembly
    assert ("zmm" in assembly) == ("vectors of 64 bytes" in assembly)
    # The second product has no epilogue, so all of its tiles are the engine's; only it looks at values.
    assert "# of step 0\nkernel tile_" in kernels and "# the engine's, of steps 0, 1\nkernel tile_" in kernels
    assert re.search(r"^# the engine's, of step 1\nkernel tile_\w+ragged", kernels, re.M)


def test_names(model):
    for wrong in ("", "Graph", "llvm"):
        with pytest.raises(pit.InputError, match=", ".join(f"'{s}'" for s in STAGES)):
            model.dump(wrong)
    with pytest.raises(pit.InputError, match="a string, not int"):
        model.dump(3)
    with pytest.raises(pit.InputError):
        model.dump("schedules", {"Z": np.zeros((3, 64), np.float32)})
