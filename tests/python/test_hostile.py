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
    ("RotaryEmbedding", [(F, [1, 2, 2, 4]), (F, [5, 2]), (F, [5, 2])], dict(), "C has rank 2, not 3"),
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
    ("Expand", [(F, [1]), np.array([1 << 40, 1 << 40])], dict(), "2^63 or more elements, more than the limit 'elements' of"),
    ("Unsqueeze", [(F, [1]), np.arange(70)], dict(), "rank 71, more than the limit 'rank' of 64"),
    ("Reshape", [(F, [1]), np.array([1 << 40, 1 << 40, -1])], dict(), "elements are more than any machine can hold"),
]


def one(op, operands, attributes):
    names = [f"x{i}" for i in range(len(operands))]
    inputs = {n: o for n, o in zip(names, operands) if isinstance(o, tuple)}
    constants = {n: o for n, o in zip(names, operands) if not isinstance(o, tuple)}
    opset = 24 if op in ("Attention", "RotaryEmbedding", "Split") else 28 if op == "SwiGLU" else 17
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
    ("MaxPool", [(F, [1, 1, 9])], dict(kernel_shape=[12], pads=[6, 5])),
    ("MaxPool", [(F, [1, 1, 9, 4])], dict(kernel_shape=[11, 3], pads=[6, 1, 9, 1], strides=[3, 1])),
    ("AveragePool", [(F, [1, 1, 3])], dict(kernel_shape=[40], pads=[38, 39], strides=[7])),
    ("AveragePool", [(F, [1, 1, 3])], dict(kernel_shape=[40], pads=[38, 39], count_include_pad=1)),
    ("LpPool", [(F, [1, 1, 3])], dict(kernel_shape=[40], pads=[38, 39], p=3)),
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


# -- small files that ask for much -----------------------------------------------------------------------------------------------------


def chain(op, n, first="x", attributes=None, twice=True):
    """y0 = op(x, x), y1 = op(y0, y0), ..."""
    return [(op, " ".join([first if i == 0 else f"y{i - 1}"] * (2 if twice else 1)), f"y{i}", attributes or {}) for i in range(n)]


def calls(depth, per_function=2, name="f", prefix=""):
    """Functions each of which calls the next `per_function` times."""
    made = []
    for i in range(depth):
        body = [helper.make_node("Relu", ["a"], ["b"])]
        if i + 1 < depth:
            values = ["a", *(f"t{k}" for k in range(per_function - 1)), "b"]
            body = [helper.make_node(f"{name}{i + 1}", [values[k]], [values[k + 1]], domain="mine", name=prefix) for k in range(per_function)]
        made.append(helper.make_function("mine", f"{name}{i}", ["a"], ["b"], body, [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]))
    return made


def calling(functions, x=(F, ["n"])):
    made = model([("Relu", "x", "z", {})], dict(x=x), ["y"], functions=functions)
    made.graph.node.append(helper.make_node(functions[0].name, ["z"], ["y"], domain="mine"))
    return made


def nested_ifs(depth):
    def branch(level):
        nodes = [helper.make_node("Relu", ["x"], [f"b{level}"])]
        if level < depth:
            nodes = [helper.make_node("If", ["yes"], [f"b{level}"], then_branch=branch(level + 1), else_branch=helper.make_graph(
                [helper.make_node("Relu", ["x"], ["e"])], "e", [], [onnx.ValueInfoProto(name="e")]))]  # fmt: skip
        return helper.make_graph(nodes, "b", [], [onnx.ValueInfoProto(name=f"b{level}")])

    made = model([("Relu", "x", "z", {})], dict(x=(F, ["n"])), ["y"], dict(yes=np.array(True)))
    made.graph.node.append(helper.make_node("If", ["yes"], ["y"], then_branch=branch(0), else_branch=branch(depth)))
    return made


def filled(n, shape, chain_of):
    """A constant that the file does not contain, and what is done to it."""
    return model([("ConstantOfShape", "s", "x", dict(value=numpy_helper.from_array(np.array([0.5], np.float32), "v"))), *chain_of], {}, [f"y{n - 1}"],
                 dict(s=np.array(shape)))  # fmt: skip


def elements_of_shapes(n):
    """Thousands of formulas: a shape stretched to 4,096 elements, and arithmetic on it."""
    nodes = [("Shape", "x", "s", {}), ("Expand", "s k", "y0", {}), ("Add", "y0 r", "y1", {})]
    nodes += [("Mul" if i % 2 else "Add", f"y{i - 1} y{i - 2}", f"y{i}", {}) for i in range(2, n)]
    return model(nodes, dict(x=(F, ["a"])), [f"y{n - 1}"], dict(k=np.array([1024])))


def with_int_range(start, limit, step):
    return model([("Range", "a b c", "y", {})], {}, ["y"], dict(a=np.int64(start), b=np.int64(limit), c=np.int64(step)))


def many_sums(n, terms):
    return model([("Sum", " ".join(["x" if i == 0 else f"y{i - 1}"] * terms), f"y{i}", {}) for i in range(n)], dict(x=(F, ["a"])), [f"y{n - 1}"])


BOMBS = {
    "a constant of 2^40 elements": lambda: filled(1, [1 << 20, 1 << 20], chain("Relu", 1, twice=False)),
    "a range of 2^63": lambda: with_int_range(-(1 << 63), (1 << 63) - 1, 1),
    "a range of 2^40": lambda: with_int_range((1 << 60), (1 << 60) + (1 << 40), 1),
    "a range of 1e14 numbers": lambda: model([("Range", "a b c", "y", {})], {}, ["y"], dict(a=np.float64(0), b=np.float64(1e14), c=np.float64(1))),
    "a tile of 2^40": lambda: model([("Tile", "x r", "y", {})], dict(x=(F, [3])), ["y"], dict(r=np.array([1 << 40]))),
    "an expansion of 2^80": lambda: model([("Expand", "x r", "y", {})], dict(x=(F, ["a", "b"])), ["y"], dict(r=np.array([1 << 40, 1 << 40]))),
    "padding of 2^40": lambda: model([("Pad", "x r", "y", dict(mode="reflect"))], dict(x=(F, [3])), ["y"], dict(r=np.array([0, 1 << 40]))),
    "constant padding of 2^62": lambda: model([("Pad", "x r", "y", {})], dict(x=(F, ["a"])), ["y"], dict(r=np.array([1 << 62, 1 << 62]))),
    "one-hot of 2^45": lambda: model([("OneHot", "x d v", "y", {})], dict(x=(I, [3])), ["y"], dict(d=np.array(1 << 45), v=np.array([0.0, 1.0]))),
    "64 free dimensions reversed": lambda: model([("Shape", "x", "s", {}), ("Slice", "s e b z m", "t", {}), ("Reshape", "x t", "y", {})],
        dict(x=(F, [f"d{i}" for i in range(64)])), ["y"], dict(e=np.array([-1]), b=np.array([-100]), z=np.array([0]), m=np.array([-1]))),
    "rank 1000": lambda: model([("Unsqueeze", "x a", "y", {})], dict(x=(F, ["n"])), ["y"], dict(a=np.arange(1, 1000))),
    "an input of rank 500": lambda: model([("Relu", "x", "y", {})], dict(x=(F, [1] * 500)), ["y"]),
    "a sum doubled 300 times": lambda: model(chain("Add", 300), dict(x=(F, ["n"])), ["y299"]),
    "a fixed sum doubled 300 times": lambda: model(chain("Add", 300), dict(x=(F, [64000])), ["y299"]),
    "products and sums behind a matrix product": lambda: model([("MatMul", "x x", "m", {}), *chain("Mul", 100, "m")], dict(x=(F, ["n", "n"])), ["y99"]),
    "sums that a softmax reads": lambda: model([*chain("Add", 100), ("Softmax", "y99", "s", {}), ("ReduceMax", "y99", "r", {})], dict(x=(F, ["n", 40])), ["s", "r"]),
    "a mask doubled 100 times": lambda: model([("Equal", "i z", "b", {}), *chain("Or", 100, "b"), ("Where", "y99 x z", "y", {})], dict(x=(I, ["n", 40]), i=(I, ["n", 40])), ["y"],
        dict(z=np.array(0))),
    "a product squared 200 times": lambda: model(chain("MatMul", 200), dict(x=(F, ["n", "n"])), ["y199"]),
    "doubled 50 times": lambda: model(chain("Concat", 50, attributes=dict(axis=0)), dict(x=(F, [1])), ["y49"]),
    "a free extent doubled 50 times": lambda: model(chain("Concat", 50, attributes=dict(axis=0)), dict(x=(F, ["n"])), ["y49"]),
    "a constant doubled 50 times": lambda: filled(50, [4], chain("Concat", 50, attributes=dict(axis=0))),
    "300 products of constants": lambda: filled(300, [100, 100], chain("MatMul", 300)),
    "300 maxima of constants": lambda: filled(300, [64000], chain("Max", 300)),
    "thousands of formulas": lambda: elements_of_shapes(100),
    "sums of 700 operands": lambda: many_sums(4, 700),
    "functions that double 30 times": lambda: calling(calls(30)),
    "functions that call each other 1,000 deep": lambda: calling(calls(150, 1)),
    "long names in nested functions": lambda: calling(calls(13, 2, prefix="n" * 200)),
    "ifs in ifs": lambda: nested_ifs(20),
    "an einsum of 100 operands": lambda: model([("Einsum", " ".join(["x"] * 100), "y", dict(equation=",".join(["ab"] * 100) + "->ab"))], dict(x=(F, ["n", "m"])), ["y"]),
    "a window of 2^24": lambda: model([("MaxPool", "x", "y", dict(kernel_shape=[1 << 12, 1 << 12], pads=[2000] * 4))], dict(x=(F, [1, 1, 120, 120])), ["y"]),
    "a squared sum of extents": lambda: model([("Shape", "x", "s", {}), ("ReduceSum", "s a", "d", {}), *chain("Mul", 12, "d")], dict(x=(F, list("abcd"))), ["y11"],
        dict(a=np.array([0]))),
}  # fmt: skip

CHILD = """
import resource, sys, time, numpy as np, pit
kb = lambda name: int(next(l for l in open("/proc/self/status") if l.startswith(name)).split()[1])
before, start = kb("VmRSS"), time.monotonic()
try:
    compiled, said = pit.compile(sys.stdin.buffer.read(), threads=1, cache_dir="none"), "ran"
    print("compiled in", time.monotonic() - start)
    compiled({i.name: np.ones([d if isinstance(d, int) else 2 if len(i.dims) < 20 else 1 for d in i.dims], i.dtype) for i in compiled.inputs})
except pit.PitError as e:
    said = f"{type(e).__name__}: {e}"
print(kb("VmHWM") - before, time.monotonic() - start, said)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little(name):
    proto = BOMBS[name]().SerializeToString()
    assert len(proto) < 20000
    done = subprocess.run([sys.executable, "-c", CHILD], input=proto, capture_output=True, timeout=60)
    print(done.stdout.decode()[-500:], done.stderr.decode()[-500:])
    memory, seconds, said = done.stdout.decode().splitlines()[-1].split(" ", 2)
    assert done.returncode == 0 and "InternalError" not in said and "not enough memory to compile" not in said
    assert int(memory) < 1 << 20 and float(seconds) < 10


LIMITS = [
    ("rank", 4, lambda: model([("Unsqueeze", "x a", "y", {})], dict(x=(F, [1])), ["y"], dict(a=np.arange(4)))),
    ("rank", 2, lambda: model([("Relu", "x", "y", {})], dict(x=(F, [1, 1, 1])), ["y"])),
    ("elements", 1000, lambda: model([("Tile", "x r", "y", {})], dict(x=(F, [3])), ["y"], dict(r=np.array([400])))),
    ("operators", 20, lambda: calling(calls(5))),
    ("nesting", 4, lambda: calling(calls(6, 1))),
    ("nesting", 4, lambda: nested_ifs(6)),
]


@pytest.mark.parametrize("name, value, proto", LIMITS)
def test_limits_are_options(name, value, proto):
    pit.compile(proto(), cache_dir="none")
    with pytest.raises(pit.ModelError, match=f"more.* than the limit '{name}' of {value}"):
        pit.compile(proto(), cache_dir="none", limits={name: value})


def test_what_is_not_folded_is_computed_in_each_run():
    proto = filled(20, [30, 30], chain("Max", 20))
    for limits in (None, dict(folding=0), dict(folding=5000)):
        np.testing.assert_array_equal(pit.compile(proto, cache_dir="none", limits=limits)()["y19"], np.full((30, 30), 0.5, np.float32))


def test_limits_that_do_not_exist():
    for limits in (dict(ranks=3), dict(rank=-1)):
        with pytest.raises(pit.InputError, match="rank"):
            pit.compile(model([("Relu", "x", "y", {})], dict(x=(F, [1])), ["y"]), limits=limits)


MANY = """
import sys, numpy as np, pit
from onnx import TensorProto, helper
n = 3000
nodes = [helper.make_node("Softmax", [f"t{i}"], [f"t{i + 1}"], axis=-1) for i in range(n)]
info = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["a", 16]) for k in ("t0", f"t{n}")]
data = helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
kb = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
before = kb()
compiled = pit.compile(data, threads=1)
print((kb() - before) >> 10)
"""


def test_operators_that_do_not_fuse_share_their_kernels():
    """A kernel for each of thousands of equal steps once took a hundred KB each, for the life of the model."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150
