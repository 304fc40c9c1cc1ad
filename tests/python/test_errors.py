"""Wrong models and wrong calls of every kind: the right class, an operator and a tensor by name, nothing printed, nothing broken."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import FIXTURES, Fixture, assert_close
from onnx import TensorProto, helper, numpy_helper

import pit

F32, I64 = TensorProto.FLOAT, TensorProto.INT64


@pytest.fixture(autouse=True)
def silence(capfd):
    """The library prints nothing, whatever happens."""
    yield
    out, err = capfd.readouterr()
    assert out == "" and err == ""


def make_model(nodes, inputs, outputs, constants=None, opset=17):
    def infos(values):
        return [helper.make_tensor_value_info(name, dtype, dims) for name, dtype, dims in values]

    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs),
                              [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=f"the_{op}", **attributes)


def floats(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# Extents that the model does not fix, each with calls that fit and calls that do not.
MISFITS = {
    "a constant of another length": (
        make_model([node("Add", ["x", "c"], ["y"])], [("x", F32, ["b", "s", 8])], [("y", F32, ["b", "s", 8])], {"c": floats(1, 6, 8)}),
        [{"x": floats(2, 6, 8)}, {"x": floats(2, 1, 8)}], [{"x": floats(2, 5, 8)}, {"x": floats(2, 7, 8)}, {"x": floats(2, 0, 8)}]),
    "operands of different lengths": (
        make_model([node("Mul", ["x", "z"], ["y"])], [("x", F32, ["b", "s"]), ("z", F32, ["b", "t"])], [("y", F32, ["b", "u"])]),
        [{"x": floats(2, 3), "z": floats(2, 3)}, {"x": floats(2, 1), "z": floats(2, 3)}, {"x": floats(2, 3), "z": floats(2, 1)}],
        [{"x": floats(2, 3), "z": floats(2, 4)}, {"x": floats(2, 3), "z": floats(3, 3)}]),
    "terms of a matmul": (
        make_model([node("MatMul", ["x", "z"], ["y"])], [("x", F32, ["m", "k"]), ("z", F32, ["l", "n"])], [("y", F32, ["m", "n"])]),
        [{"x": floats(2, 3), "z": floats(3, 4)}], [{"x": floats(2, 3), "z": floats(4, 4)}, {"x": floats(2, 1), "z": floats(4, 4)}]),
    "rows of a weight": (
        make_model([node("MatMul", ["x", "c"], ["y"])], [("x", F32, ["m", "k"])], [("y", F32, ["m", 3])], {"c": floats(5, 3)}),
        [{"x": floats(2, 5)}], [{"x": floats(2, 4)}, {"x": floats(2, 6)}, {"x": floats(2, 1)}]),
    "batches of a matmul": (
        make_model([node("MatMul", ["x", "z"], ["y"])], [("x", F32, ["b", "m", 4]), ("z", F32, ["c", 4, "n"])], [("y", F32, ["d", "m", "n"])]),
        [{"x": floats(2, 3, 4), "z": floats(2, 4, 5)}, {"x": floats(1, 3, 4), "z": floats(2, 4, 5)}],
        [{"x": floats(2, 3, 4), "z": floats(3, 4, 5)}]),
    "the bias of a Gemm": (
        make_model([node("Gemm", ["x", "w", "c"], ["y"])], [("x", F32, ["m", 5]), ("c", F32, ["p", "n"])], [("y", F32, ["m", 4])],
                   {"w": floats(5, 4)}),
        [{"x": floats(3, 5), "c": floats(3, 4)}, {"x": floats(3, 5), "c": floats(1, 4)}, {"x": floats(3, 5), "c": floats(3, 1)}],
        [{"x": floats(3, 5), "c": floats(2, 4)}, {"x": floats(3, 5), "c": floats(3, 3)}]),
    "parts of a concatenation": (
        make_model([node("Concat", ["x", "z"], ["y"], axis=1)], [("x", F32, ["b", "s"]), ("z", F32, ["c", "t"])], [("y", F32, ["b", "u"])]),
        [{"x": floats(2, 3), "z": floats(2, 1)}], [{"x": floats(2, 3), "z": floats(1, 3)}]),
    "elements of a reshape": (
        make_model([node("Reshape", ["x", "to"], ["y"])], [("x", F32, ["b", "s"])], [("y", F32, ["p", 6])], {"to": [0, 6]}),
        [{"x": floats(4, 6)}], [{"x": floats(4, 5)}, {"x": floats(2, 12)}]),
    "a shape with one free extent": (
        make_model([node("Reshape", ["x", "to"], ["y"])], [("x", F32, ["b", "s"])], [("y", F32, ["p", 4, 5])], {"to": [-1, 4, 5]}),
        [{"x": floats(4, 5)}, {"x": floats(2, 20)}], [{"x": floats(3, 5)}, {"x": floats(1, 19)}]),
    "what is expanded": (
        make_model([node("Expand", ["x", "to"], ["y"])], [("x", F32, ["b", "s"])], [("y", F32, ["b", 6])], {"to": [1, 6]}),
        [{"x": floats(3, 6)}, {"x": floats(3, 1)}], [{"x": floats(3, 5)}, {"x": floats(3, 7)}]),
    "a scale of another length": (
        make_model([node("LayerNormalization", ["x", "c", "c"], ["y"])], [("x", F32, ["b", "s"])], [("y", F32, ["b", "s"])], {"c": floats(8)}),
        [{"x": floats(3, 8)}], [{"x": floats(3, 7)}, {"x": floats(3, 9)}]),
    "parts of a split": (
        make_model([node("Split", ["x", "p"], ["y", "z"], axis=1)], [("x", F32, ["b", "s"])], [("y", F32, ["b", 2]), ("z", F32, ["b", 3])],
                   {"p": [2, 3]}),
        [{"x": floats(3, 5)}], [{"x": floats(3, 4)}, {"x": floats(3, 6)}]),
    "a position that is not there": (
        make_model([node("Gather", ["x", "i"], ["y"], axis=1)], [("x", F32, ["b", "s"])], [("y", F32, ["b"])], {"i": np.array(4)}),
        [{"x": floats(3, 5)}, {"x": floats(3, 9)}], [{"x": floats(3, 4)}, {"x": floats(3, 0)}]),
    "more indices than rows": (
        make_model([node("GatherElements", ["x", "i"], ["y"], axis=1)], [("x", F32, ["b", "s"]), ("i", I64, ["c", "t"])], [("y", F32, ["c", "t"])]),
        [{"x": floats(3, 5), "i": np.ones((3, 9), np.int64)}, {"x": floats(3, 5), "i": np.ones((2, 9), np.int64)}],
        [{"x": floats(3, 5), "i": np.ones((4, 9), np.int64)}, {"x": floats(3, 5), "i": np.full((3, 9), 5)}]),
    "an axis that is not one": (
        make_model([node("Squeeze", ["x", "a"], ["y"])], [("x", F32, ["b", "s"])], [("y", F32, ["b"])], {"a": [1]}),
        [{"x": floats(3, 1)}], [{"x": floats(3, 2)}]),
    "one name, two extents": (
        make_model([node("Add", ["x", "z"], ["y"])], [("x", F32, ["b", "s"]), ("z", F32, ["b", "s"])], [("y", F32, ["b", "s"])]),
        [{"x": floats(3, 2), "z": floats(3, 2)}, {"x": floats(3, 2), "z": floats(3, 1)}, {"x": floats(1, 2), "z": floats(3, 2)}],
        [{"x": floats(3, 2), "z": floats(3, 3)}, {"x": floats(4, 2), "z": floats(3, 2)}]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISFITS)
def test_shapes_that_do_not_fit(kind):
    """Nothing is read beyond a tensor's end: an InputError that says what would fit, and the model answers on."""
    model, good, bad = MISFITS[kind]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compiled = pit.compile(model)

    def answers():
        for inputs in good:
            for got, want in zip(compiled(inputs).values(), session.run(None, inputs)):
                assert_close(got, want, 1e-6)

    answers()
    for inputs in bad:
        with pytest.raises(pit.InputError) as caught:
            compiled(inputs)
        assert caught.value.op.startswith(model.graph.node[0].op_type) or caught.value.tensor in {"x", "y", "z", "i"}, caught.value
        answers()


class TestAbsurdShapes:
    def test_results_that_no_machine_can_hold(self):
        model = make_model([node("ReduceSum", ["x", "a"], ["y"], keepdims=0)], [("x", F32, ["n", "m"])], [("y", F32, ["n"])], {"a": [1]})
        compiled = pit.compile(model)
        for n in (2**36, 2**40, 2**48, 2**59):
            with pytest.raises(pit.InputError):
                compiled(x=np.zeros((n, 0), np.float32))
        np.testing.assert_array_equal(compiled(x=floats(2, 3))["y"], [3, 12])

    def test_products_of_extents(self):
        model = make_model([node("MatMul", ["x", "w"], ["y"])], [("x", F32, ["m", "k"]), ("w", F32, ["k", "n"])], [("y", F32, ["m", "n"])])
        compiled = pit.compile(model)
        for n in (2**31, 2**32, 2**40):
            with pytest.raises(pit.InputError, match="y"):
                compiled(x=np.zeros((n, 0), np.float32), w=np.zeros((0, n), np.float32))

    def test_views_of_nothing(self):
        compiled = pit.compile(make_model([node("Relu", ["x"], ["y"])], [("x", F32, ["n", "m"])], [("y", F32, ["n", "m"])]))
        for n in (2**38, 2**50):
            with pytest.raises(pit.InputError, match="x"):
                compiled(x=np.broadcast_to(np.float32(0), (n, 3)))

    @pytest.mark.parametrize("constants", [{"to": [2**40, 2**40]}, {"to": [2**62, 4]}, {"to": [2**40, 1]}])
    def test_in_the_model(self, constants):
        nodes = [node("Expand", ["x", "to"], ["e"]), node("Relu", ["e"], ["y"])]
        with pytest.raises(pit.PitError) as caught:
            pit.compile(make_model(nodes, [("x", F32, ["n"])], [("y", F32, ["p", "q"])], constants))(x=floats(1))
        assert not isinstance(caught.value, pit.InternalError)


class TestTokenIds:
    @pytest.mark.parametrize("value", [-(2**63), -(10**6), 64, 10**12, 2**63 - 1])
    def test_out_of_range(self, value):
        model = Fixture("bert-script")
        compiled, case = pit.compile(model.path), next(model.cases())
        wrong = case.inputs["input_ids"].copy()
        wrong[0, 0] = value
        with pytest.raises(pit.InputError, match=str(value)) as caught:
            compiled(case.inputs | {"input_ids": wrong})
        assert caught.value.tensor == "input_ids" and "Gather" in caught.value.op and "64" in str(caught.value)
        assert_close(compiled(case.inputs)["last_hidden_state"], case.outputs["last_hidden_state"])

    @pytest.mark.parametrize("value", [-(2**63), 10**12, 2**63 - 1])
    def test_in_padding_they_may_be_anything(self, value):
        model = Fixture("bert-embedding-script")
        compiled = pit.compile(model.path)
        for case in model.cases():
            if not case.inputs["attention_mask"].any(axis=1).all():
                continue  # with nothing to attend, every key counts
            ids = np.where(case.inputs["attention_mask"] != 0, case.inputs["input_ids"], value)
            want = compiled(case.inputs)["sentence_embedding"]
            np.testing.assert_array_equal(compiled(case.inputs | {"input_ids": ids})["sentence_embedding"], want)


def masked(mask_type=I64, mask_dims=("b", "s")):
    return make_model([node("Relu", ["x"], ["y"])], [("x", F32, ["b", "s", 4]), ("mask", mask_type, list(mask_dims))], [("y", F32, ["b", "s", 4])])


class TestDeclaredOutputs:
    @pytest.mark.parametrize("sparsity", ["auto", "off"])
    def test_masks_of_every_type(self, sparsity):
        want = np.zeros((2, 3, 4), np.float32)
        want[0, :2] = want[1, 2:] = 1
        real = want[..., 0] != 0
        for dtype in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.FLOAT):
            mask = np.where(real, 3, 0).astype(helper.tensor_dtype_to_np_dtype(dtype))
            got = pit.compile(masked(dtype), outputs={"y": "mask"}, sparsity=sparsity)(x=np.ones((2, 3, 4), np.float32), mask=mask)["y"]
            np.testing.assert_array_equal(got, want)

    @pytest.mark.parametrize("sparsity", ["auto", "off"])
    @pytest.mark.parametrize("dims", [("b", "s", 4, 1), ("b", 7), (3, "s", 5)])
    def test_masks_that_do_not_fit(self, dims, sparsity):
        with pytest.raises(pit.InputError, match="mask") as caught:
            pit.compile(masked(mask_dims=dims), outputs={"y": "mask"}, sparsity=sparsity)
        assert "'y'" in str(caught.value)

    @pytest.mark.parametrize("sparsity", ["auto", "off"])
    def test_extents_that_meet_only_at_run_time(self, sparsity):
        compiled = pit.compile(masked(mask_dims=("b", "t")), outputs={"y": "mask"}, sparsity=sparsity)
        x = np.ones((2, 3, 4), np.float32)
        for t in (5, 2, 1, 0):
            with pytest.raises(pit.InputError, match="mask"):
                compiled(x=x, mask=np.ones((2, t), np.int64))
        assert compiled(x=x, mask=np.ones((2, 3), np.int64))["y"].all()

    def test_names(self):
        for outputs in ({"y": "y"}, {"y": "nothing"}, {"x": "mask"}, ["y", "y"], ["nothing"]):
            with pytest.raises(pit.InputError) as caught:
                pit.compile(masked(), outputs=outputs)
            assert "'" in str(caught.value)


class TestBrokenGraphs:
    def changed(self, change):
        model = masked()
        change(model)
        with pytest.raises(pit.PitError) as caught:
            pit.compile(model)
        assert not isinstance(caught.value, pit.InternalError), caught.value
        return caught.value

    def test_names_twice(self):
        assert self.changed(lambda m: m.graph.input.append(m.graph.input[0])).tensor == "x"
        error = self.changed(lambda m: m.graph.node.append(m.graph.node[0]))
        assert error.tensor == "y" and "Relu" in error.op

    def test_missing(self):
        assert self.changed(lambda m: setattr(m.graph.output[0], "name", "z")).tensor == "z"
        assert "Relu" in self.changed(lambda m: m.graph.node[0].ClearField("input")).op
        assert isinstance(self.changed(lambda m: m.ClearField("opset_import")), pit.ModelError)
        assert isinstance(self.changed(lambda m: m.ClearField("graph")), pit.ModelError)

    def test_types(self):
        for kind in (TensorProto.STRING, TensorProto.UNDEFINED, TensorProto.COMPLEX64, 999):
            error = self.changed(lambda m, kind=kind: setattr(m.graph.input[0].type.tensor_type, "elem_type", kind))
            assert error.tensor == "x" and isinstance(error, pit.UnsupportedError)

    def test_names_that_are_not_utf8(self):
        bytes_ = masked().SerializeToString().replace(b"the_Relu", b"\xff\xfe\xfd_Relu").replace(b"\x04Relu", b"\x04Rel\xff")
        with pytest.raises(pit.UnsupportedError) as caught:
            pit.compile(bytes_)
        assert "Rel" in caught.value.op


class TestCacheOfSomebodyElse:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_is_not_used(self, tmp_path, caplog):
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o700)
        os.chown(cache, 12345, 12345)
        model = Fixture("bert-script")
        case = next(model.cases())
        with caplog.at_level("WARNING", "pit"):
            assert_close(pit.compile(model.path, cache_dir=cache)(case.inputs)["last_hidden_state"], case.outputs["last_hidden_state"])
        assert caplog.records and not list(cache.iterdir())


class TestOptions:
    @pytest.mark.parametrize("threads", [-1, 2000, 2**40, "2", 1.5, True])
    def test_threads(self, threads):
        with pytest.raises(pit.InputError, match="threads"):
            pit.compile(Fixture("bert-script").path, threads=threads)

    @pytest.mark.parametrize("cpu", ["pentium4", "abacus", "x; y", "a" * 10000])
    def test_cpu(self, cpu, monkeypatch):
        path = Fixture("bert-script").path
        with pytest.raises(pit.InputError, match="haswell"):
            pit.compile(path, cpu=cpu)
        monkeypatch.setenv("PIT_CPU", cpu)
        with pytest.raises(pit.InputError, match="haswell"):
            pit.compile(path)

    def test_paths(self):
        for path in ("", "/", "/dev/null", "/dev/zero", "a" * 5000):
            with pytest.raises(pit.ModelError):
                pit.compile(path)


INTEGERS = [-(2**63), -(2**31) - 1, -100, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 16, 100, 1000, 2**31, 2**40, 2**62, 2**63 - 1]


def mutate(model, r):
    """Changes one thing in the graph."""
    graph = model.graph
    n = r.choice(graph.node)
    names = [o for x in graph.node for o in x.output] + [i.name for i in graph.initializer] + [i.name for i in graph.input]
    kind = r.choice(["attribute", "operator", "rewire", "drop", "constant", "constant", "dims", "type", "without", "twice", "declared", "opset"])
    if kind == "attribute":
        found = [a for x in graph.node for a in x.attribute if a.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)]
        a = r.choice(found) if found else None
        if a is not None and a.type == onnx.AttributeProto.INT:
            a.i = r.choice(INTEGERS)
        elif a is not None:
            a.ints.append(r.choice(INTEGERS)) if r.random() < 0.3 or not a.ints else a.ints.__setitem__(0, r.choice(INTEGERS))
    elif kind == "operator":
        n.op_type = r.choice(graph.node).op_type
    elif kind == "rewire" and n.input:
        n.input[r.randrange(len(n.input))] = r.choice(names)
    elif kind == "drop" and n.input:
        del n.input[r.randrange(len(n.input))]
    elif kind == "constant":
        tensors = [t for t in graph.initializer if t.data_type == I64] + [a.t for x in graph.node for a in x.attribute if a.type == 4]
        if tensors:
            t = r.choice(tensors)
            try:
                array = numpy_helper.to_array(t).copy()
            except ValueError:
                return  # damaged already
            if array.size and array.dtype.kind in "if":
                array.reshape(-1)[r.randrange(array.size)] = r.choice(INTEGERS)
                t.CopyFrom(numpy_helper.from_array(array, t.name))
    elif kind == "dims":
        t = r.choice(graph.initializer)
        t.dims.append(1) if not t.dims or r.random() < 0.3 else t.dims.__setitem__(r.randrange(len(t.dims)), r.choice(INTEGERS))
    elif kind == "type":
        r.choice(graph.initializer).data_type = r.choice([0, 1, 6, 7, 9, 11, 99])
    elif kind == "without" and n.attribute:
        del n.attribute[r.randrange(len(n.attribute))]
    elif kind == "twice":
        graph.node.insert(r.randrange(len(graph.node)), n)
    elif kind == "declared":
        dims = r.choice(list(graph.input) + list(graph.output)).type.tensor_type.shape.dim
        if dims:
            dims[r.randrange(len(dims))].dim_value = r.choice(INTEGERS)
    elif kind == "opset":
        model.opset_import[0].version = r.choice([7, 9, 11, 13, 18, 23])


def scramble(data, r):
    """Changes some bytes."""
    b = bytearray(data)
    p, n = r.randrange(len(b)), r.randrange(1, 40)
    kind = r.choice(["bits", "byte", "cut", "delete", "repeat", "random"])
    if kind == "bits":
        for _ in range(r.randrange(1, 4)):
            b[r.randrange(len(b))] ^= 1 << r.randrange(8)
    elif kind == "byte":
        b[p] = r.randrange(256)
    elif kind == "cut":
        del b[p:]
    elif kind == "delete":
        del b[p : p + n]
    elif kind == "repeat":
        b[p:p] = b[p : p + n]
    else:
        b[p : p + n] = r.randbytes(n)
    return bytes(b)


FUZZ = """
import json, random, sys
import numpy as np, onnx
sys.path.insert(0, {tests!r})
import test_errors as t
import pit
found = dict(compiled=0, ran=0, refused=0)
base = onnx.load({path!r})
data, inputs = open({path!r}, "rb").read(), t.inputs_of({path!r})
for seed in range({count}):
    r = random.Random(seed)
    if seed % 3 == 0:
        model = t.scramble(data, r)
    else:
        changed = onnx.ModelProto()
        changed.CopyFrom(base)
        for _ in range(r.choice([1, 1, 2, 3])):
            t.mutate(changed, r)
        model = changed.SerializeToString()
    print(seed, file=sys.stderr, flush=True)
    try:
        compiled = pit.compile(model, threads=1)
        found["compiled"] += 1
        compiled(inputs)
        found["ran"] += 1
    except (pit.ModelError, pit.UnsupportedError, pit.InputError):
        found["refused"] += 1
print(json.dumps(found))
"""


def inputs_of(path):
    data = np.load(path.replace(".onnx", ".npz"))
    return {k[len("case0.in.") :]: data[k] for k in data.files if k.startswith("case0.in.")}


@pytest.mark.parametrize("name", ["bert-dynamo-eager", "plain-additive-script", "t5-encoder-script", "resnet-script"])
def test_damaged_models(name):
    """Damaged bytes and damaged graphs, in a process of their own: a crash, or an error of no type, ends it with the seed as its last word."""
    count = int(os.environ.get("PIT_FUZZ_COUNT", "120"))
    code = FUZZ.format(tests=os.path.dirname(__file__), path=str(FIXTURES / f"{name}.onnx"), count=count)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60 + 5 * count)
    assert done.returncode == 0, f"seed {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert found["compiled"] > 0 and found["ran"] > 0 and found["refused"] > 0 and found["ran"] + found["refused"] == count
    assert done.stderr.split() == [str(i) for i in range(count)], "the library prints nothing"


def test_all_unknown_operators_are_named_at_once():
    """Also in branches; whoever has to rewrite a model hears of all."""
    inner = helper.make_graph([helper.make_node("Third", ["x"], ["t"])], "b", [], [helper.make_tensor_value_info("t", F32, None)])
    other = helper.make_graph([helper.make_node("Relu", ["x"], ["e"])], "e", [], [helper.make_tensor_value_info("e", F32, None)])
    nodes = [helper.make_node("First", ["x"], ["a"], name="one"), helper.make_node("Relu", ["a"], ["r"]),
             helper.make_node("Second", ["r"], ["b"], domain="my.own"), helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=other)]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", F32, [2]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
                              [helper.make_tensor_value_info("b", F32, None)])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)], ir_version=8)
    with pytest.raises(pit.UnsupportedError, match="3 operators of the model are not supported: First, Third, my.own.Second") as e:
        pit.compile(model)
    assert e.value.op == "First 'one'"


@pytest.mark.parametrize("groups", [1, 3])
def test_channels_of_a_call_must_be_those_of_the_weight(groups):
    weight = numpy_helper.from_array(np.ones((6, 6 // groups, 3, 3), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], group=groups)], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "c", "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight])  # fmt: skip
    model = pit.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    assert model({"x": np.ones((1, 6, 4, 5), np.float32)})["y"].shape == (1, 6, 2, 3)
    for channels in (1, 5, 7, 12):
        with pytest.raises(pit.InputError):
            model({"x": np.ones((1, channels, 4, 5), np.float32)})
