"""Files that mean harm: whatever a model says, PIT answers within seconds and without much memory, with a typed error that names what is
wrong or with the right answer. Random ones: see operators/hostile.py.

    pytest tests/python/test_hostile.py                                              2,000 random models
    PIT_TEST_HOSTILE=100000 pytest tests/python/test_hostile.py                      100,000
    PIT_TEST_SEED=1234 PIT_TEST_HOSTILE=1 pytest tests/python/test_hostile.py        this one
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from operators import hostile

import pit

SEED = int(os.environ.get("PIT_TEST_SEED", "0"))
MODELS = int(os.environ.get("PIT_TEST_HOSTILE", "2000"))
BLOCK = 500  #: models per test
F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
TYPES = {F: np.float32, I: np.int64, B: np.bool_}


def model(nodes, inputs, outputs, constants=None, opset=17, functions=()):
    """`nodes`: (op, inputs, outputs, attributes); `inputs`: name -> (type, dims); `constants`: name -> array."""
    made = [helper.make_node(op, ins.split(), outs.split(), **attributes) for op, ins, outs, attributes in nodes]
    infos = [helper.make_tensor_value_info(n, t, d) for n, (t, d) in inputs.items()]
    graph = helper.make_graph(made, "g", infos, [onnx.ValueInfoProto(name=o) for o in outputs],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()])  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


# -- one operator ----------------------------------------------------------------------------------------------------------------------

#: What the standard forbids: operator, operands (type, shape or constant), attributes, and what the error says.
FORBIDDEN = [
    ("LRN", [(F, [1, 4, 3, 3])], dict(size=2), "attribute 'size' is 2, not positive and odd"),
    ("LRN", [(F, [1, 4, 3, 3])], dict(), "attribute 'size' is missing"),
    ("DepthToSpace", [(F, [1, 5, 2, 2])], dict(blocksize=2), "extents do not fit"),
    ("SpaceToDepth", [(F, [1, 1, 3, 4])], dict(blocksize=2), "extents do not fit"),
    ("SpaceToDepth", [(F, [1, 1, 4, 4])], dict(blocksize=-2), "'blocksize' is -2, not within 1 to"),
    ("SpaceToDepth", [(F, [1, 4, 4])], dict(blocksize=2), "X has rank 3, not 4"),
    ("ScatterND", [(F, [2]), (I, []), (F, [2])], dict(), "indices has rank 0, not 1 or more"),
    ("ScatterElements", [(F, [2, 2]), (I, [2]), (F, [2, 2])], dict(), "indices has rank 1, not 2, as X has"),
    ("GatherElements", [(F, [2, 2]), (I, [2])], dict(), "indices has rank 1, not 2, as X has"),
    ("Gather", [(F, [2]), (F, [2])], dict(), "indices has the type f32, not i32 or i64"),
    ("ReverseSequence", [(F, [2, 3]), (I, [])], dict(), "lengths has rank 0, not 1"),
    ("BatchNormalization", [(F, [2, 3]), (F, [3]), (F, [3]), (F, [3, 1]), (F, [3])], dict(), "mean has rank 2, not 1"),
    ("SwiGLU", [(F, [2, 3]), (F, [3])], dict(), "B has rank 1, not 2, as A has"),
    ("Conv", [(F, [1, 4, 5]), (F, [4, 2, 3])], dict(group=3), "3 groups do not divide the features"),
    ("Conv", [(F, [1, 4, 5]), (F, [4, 4, 3])], dict(strides=[0]), "attribute 'strides' is 0, not within 1 to"),
    ("Conv", [(F, [1, 4, 5]), (F, [4, 4, 3])], dict(auto_pad="SAME"), "attribute 'auto_pad' is 'SAME', not one of NOTSET"),
    ("AveragePool", [(F, [1, 1, 4])], dict(kernel_shape=[2], pads=[2, 0]), "padded by 2, which is not less than the window, 2"),
    ("MaxPool", [(F, [1, 1, 4, 4])], dict(kernel_shape=[1 << 31, 2]), "attribute 'kernel_shape' is 2147483648, not within"),
    ("Split", [(F, [4])], dict(num_outputs=(1 << 31) - 1), "'num_outputs' is 2147483647, but there are 1 outputs"),
    ("Softmax", [(F, [2, 3])], dict(axis=2), "axis 2 is out of range for rank 2"),
    ("ReduceSum", [(F, [2, 3])], dict(keepdims=2), "attribute 'keepdims' is 2, not one of 0|1"),
    ("Relu", [(B, [2])], dict(), "X has the type bool, not floating point or integers"),
    ("Add", [(F, [2]), (I, [2])], dict(), "B has the type i64, but A has f32"),
    ("Max", [(F, [2]), (F, [2]), (I, [2])], dict(), "X has the type i64, but the first has f32"),
    ("Elu", [(F, [2])], dict(alpha="x"), "attribute 'alpha' must be a number"),
    ("Attention", [(F, [1, 2, 3, 4]), (F, [1, 0, 3, 4]), (F, [1, 0, 3, 4])], dict(), "is no multiple of that of key heads"),
    ("Reshape", [(F, [1]), np.array([1 << 40, 1 << 40, -1])], dict(), "elements are more than any machine can hold"),
]


def one(op, operands, attributes):
    names = [f"x{i}" for i in range(len(operands))]
    inputs = {n: o for n, o in zip(names, operands) if isinstance(o, tuple)}
    constants = {n: o for n, o in zip(names, operands) if not isinstance(o, tuple)}
    opset = 24 if op in ("Attention", "Split") else 28 if op == "SwiGLU" else 17
    return model([(op, " ".join(names), "y", attributes)], inputs, ["y"], constants, opset)


@pytest.mark.parametrize("op, operands, attributes, message", FORBIDDEN)
def test_what_an_operator_forbids_is_refused(op, operands, attributes, message):
    with pytest.raises(pit.ModelError) as caught:
        pit.compile(one(op, operands, attributes), cache_dir="none")
    assert message in str(caught.value) and op in caught.value.op


#: What it allows, at the bounds.
ALLOWED = [
    ("LRN", [(F, [1, 4, 3, 3])], dict(size=(1 << 20) + 1)),
    ("LRN", [(F, [1, 0, 3, 3])], dict(size=3)),
    ("DepthToSpace", [(F, [0, 4, 2, 2])], dict(blocksize=2)),
    ("SpaceToDepth", [(F, [1, 1, 0, 4])], dict(blocksize=2)),
    ("Squeeze", [(F, [1, 2, 1])], dict()),
    ("Reshape", [(F, [0, 3]), np.array([3, 0])], dict(allowzero=1)),
    ("ReduceSum", [(F, [])], dict()),
    ("Transpose", [(F, [])], dict()),
    ("QuantizeLinear", [(F, [3]), np.float32(0.5)], dict()),
]


@pytest.mark.parametrize("op, operands, attributes", ALLOWED)
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("sparsity", ["auto", "off"])
def test_what_an_operator_allows_is_taken(op, operands, attributes, free, sparsity):
    import onnxruntime

    proto = one(op, operands, attributes)
    feeds = {f"x{i}": np.random.default_rng(i).standard_normal(o[1]).astype(TYPES[o[0]]) for i, o in enumerate(operands) if isinstance(o, tuple)}
    want = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    if free and op != "Squeeze":  # the extents of 1 must be known
        for i in proto.graph.input:
            for k, d in enumerate(i.type.tensor_type.shape.dim):
                d.dim_param = f"{i.name}.{k}"
    got = pit.compile(proto, cache_dir="none", sparsity=sparsity)(feeds)["y"]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_every_operator_states_its_operands():
    entries = json.loads(pit._pit.op_table(True))
    assert [e["op"] for e in entries if not e["operands"]] == ["Constant"]
    assert next(e for e in entries if e["op"] == "LRN")["attributes"].endswith("size!:odd")
    assert "operands: X:f:2.." in pit._pit.op_table(False)


# -- random ones -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(SEED, SEED + MODELS, BLOCK))
def test_hostile_operators(first):
    found = list(hostile.run(first, min(BLOCK, SEED + MODELS - first)))
    print(hostile.summary(found))
    assert [f["seed"] for f in found] == list(range(first, first + len(found))), "a model is missing"
    assert not any(f["outcome"] in hostile.FAILURES for f in found), hostile.summary(found)
    if len(found) == BLOCK:  # else the others would prove nothing
        assert sum(f["outcome"] == "equal" for f in found) > 0.15 * BLOCK, hostile.summary(found)


@pytest.mark.parametrize("end, outcome", [("os.abort()", "crash"), ("time.sleep(60)", "hang")])
def test_a_crash_and_a_hang_name_their_seed(tmp_path, monkeypatch, end, outcome):
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, sys, time\n"
        "first, count = int(sys.argv[sys.argv.index('--seed') + 1]), int(sys.argv[sys.argv.index('--models') + 1])\n"
        "for seed in range(first, first + count):\n"
        "    print(json.dumps({'begin': seed}), flush=True)\n"
        f"    if seed == 3: {end}\n"
        "    print(json.dumps({'seed': seed, 'op': 'Relu', 'outcome': 'equal', 'why': '', 'model': ''}), flush=True)\n"
    )
    real = subprocess.Popen
    monkeypatch.setattr(hostile.subprocess, "Popen", lambda command, **how: real([command[0], str(script), *command[3:]], **how))
    assert [f["outcome"] for f in hostile.run(0, 6, patience=2)] == ["equal"] * 3 + [outcome] + ["equal"] * 2
