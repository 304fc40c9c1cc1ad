"""Broken and unusual files and caches: a typed error that says what is wrong, or a warning and the right answer."""

import logging
import os
import stat
import subprocess
import sys

import numpy as np
import onnx
import pytest
from conftest import Fixture, assert_close
from onnx import TensorProto, helper, numpy_helper

import pit


def make_model(nodes, inputs, outputs, initializers=(), opset=17, ir_version=8, domain=""):
    def infos(values):
        return [helper.make_tensor_value_info(name, dtype, dims) for name, dtype, dims in values]

    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs), list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=ir_version)


def relu(**options):
    return make_model([helper.make_node("Relu", ["x"], ["y"], name="r")], [("x", TensorProto.FLOAT, ["n", 3])],
                      [("y", TensorProto.FLOAT, ["n", 3])], **options)  # fmt: skip


class TestFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(pit.ModelError, match="nothing.onnx"):
            pit.compile(tmp_path / "nothing.onnx")
        with pytest.raises(pit.ModelError):
            pit.compile(tmp_path)

    def test_truncated(self, bert):
        whole = bert.path.read_bytes()
        for size in (0, 1, 10, 100, len(whole) // 2, len(whole) - 1):
            with pytest.raises(pit.PitError) as caught:
                pit.compile(whole[:size])
            assert not isinstance(caught.value, pit.InternalError)

    def test_random(self):
        generator = np.random.default_rng(0)
        for size in (1, 7, 64, 1000, 30000):
            with pytest.raises(pit.PitError) as caught:
                pit.compile(generator.bytes(size))
            assert not isinstance(caught.value, pit.InternalError)

    def test_damaged(self, bert):
        """One changed byte: a typed error, or a model that can be called; never an end of the process or a bug of ours."""
        whole, generator = bert.path.read_bytes(), np.random.default_rng(1)
        case = next(bert.cases())
        for position in generator.integers(0, len(whole), 60):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(generator.integers(8))
            try:
                pit.compile(bytes(damaged))(case.inputs)
            except pit.PitError as e:
                assert not isinstance(e, pit.InternalError), (position, e)


class TestUnsupported:
    def test_operator(self):
        nodes = [helper.make_node("Frobnicate", ["x"], ["y"], name="frob")]
        with pytest.raises(pit.UnsupportedError, match="Frobnicate") as caught:
            pit.compile(make_model(nodes, [("x", TensorProto.FLOAT, [3])], [("y", TensorProto.FLOAT, [3])]))
        assert "Frobnicate" in caught.value.op and "frob" in caught.value.op

    def test_opset(self):
        for opset in (3, 1000):
            with pytest.raises(pit.UnsupportedError, match="opset"):
                pit.compile(relu(opset=opset))

    def test_domain(self):
        nodes = [helper.make_node("Thing", ["x"], ["y"], name="t", domain="com.example")]
        model = make_model(nodes, [("x", TensorProto.FLOAT, [3])], [("y", TensorProto.FLOAT, [3])])
        model.opset_import.append(helper.make_opsetid("com.example", 1))
        with pytest.raises(pit.UnsupportedError, match="com.example"):
            pit.compile(model)

    @pytest.mark.parametrize("op, domain", [("com.microsoft.MoE", ""), ("microsoft.MoE", "com"), ("MoE", "")])
    def test_another_domain(self, op, domain):
        """An operator of a domain is no other domain's, whatever it is called."""
        operands = [("x", TensorProto.FLOAT, [3, 8]), ("r", TensorProto.FLOAT, [3, 2]), ("v", TensorProto.FLOAT, [2, 4, 8]), ("w", TensorProto.FLOAT, [2, 8, 4])]
        nodes = [helper.make_node(op, ["x", "r", "v", "", "w"], ["y"], domain=domain)]
        model = make_model(nodes, operands, [("y", TensorProto.FLOAT, [3, 8])])
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))
        with pytest.raises(pit.UnsupportedError, match="MoE.*not supported"):
            pit.compile(model)


class TestInconsistent:
    def refuse(self, model):
        with pytest.raises(pit.PitError) as caught:
            pit.compile(model)
        assert not isinstance(caught.value, pit.InternalError)
        return caught.value

    def test_undefined_tensor(self):
        model = relu()
        model.graph.node[0].input[0] = "z"
        assert "z" in str(self.refuse(model))

    def test_cycle(self):
        nodes = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
        self.refuse(make_model(nodes, [("x", TensorProto.FLOAT, [3])], [("b", TensorProto.FLOAT, [3])]))

    def test_shapes_that_cannot_meet(self):
        weight = numpy_helper.from_array(np.zeros((5, 2), np.float32), "w")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
        error = self.refuse(make_model(nodes, [("x", TensorProto.FLOAT, ["n", 3])], [("y", TensorProto.FLOAT, ["n", 2])], [weight]))
        assert "m" in error.op or "MatMul" in str(error)

    @pytest.mark.parametrize("index", [2**53 + 1, 2**60, 2**63 - 1])
    def test_a_number_beyond_what_formulas_can_say(self, index):
        values = [numpy_helper.from_array(np.int64(index), "i")]
        model = make_model([helper.make_node("Gather", ["x", "i"], ["y"])], [("x", TensorProto.FLOAT, ["n", 3])],
                           [("y", TensorProto.FLOAT, [3])], values)  # fmt: skip
        with pytest.raises(pit.UnsupportedError, match="Gather: a number .* beyond 2\\^53"):
            pit.compile(model, cache_dir="none")

    def test_initializer_of_the_wrong_size(self):
        weight = numpy_helper.from_array(np.zeros((3, 2), np.float32), "w")
        weight.raw_data = weight.raw_data[:-4]
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
        error = self.refuse(make_model(nodes, [("x", TensorProto.FLOAT, ["n", 3])], [("y", TensorProto.FLOAT, ["n", 2])], [weight]))
        assert error.tensor == "w"

    def test_absurd_shapes(self):
        weight = numpy_helper.from_array(np.zeros((3, 2), np.float32), "w")
        for dims in ([2**62, 2**62], [-3, 2], [2**40, 2**20]):
            model = relu(initializers=[weight])
            model.graph.initializer[0].dims[:] = dims
            self.refuse(model)
        with pytest.raises((pit.PitError, MemoryError)):
            pit.compile(relu())(x=np.broadcast_to(np.float32(0), (2**50, 3)))

    def test_mask_that_does_not_fit_its_output(self, embedding):
        with pytest.raises(pit.InputError) as caught:
            pit.compile(embedding.path, outputs={"sentence_embedding": "attention_mask"})(next(embedding.cases()).inputs)
        assert "attention_mask" in str(caught.value)


class TestExternalData:
    @pytest.fixture
    def model(self):
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="m")]
        return make_model(nodes, [("x", TensorProto.FLOAT, ["n", 3])], [("y", TensorProto.FLOAT, ["n", 2])], [weight])

    def save(self, model, directory, **place):
        for key, value in place.items():
            model.graph.initializer[0].external_data.add(key=key, value=str(value))
        path = directory / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    def test_found(self, model, tmp_path):
        weight = np.arange(6, dtype=np.float32).reshape(3, 2)
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "w.bin").write_bytes(b"12345678" + weight.tobytes())
        path = self.save(model, tmp_path, location="sub/w.bin", offset=8, length=24)
        np.testing.assert_array_equal(pit.compile(path)(x=np.eye(3, dtype=np.float32))["y"], weight)

    def test_missing(self, model, tmp_path):
        with pytest.raises(pit.ModelError, match="w.bin") as caught:
            pit.compile(self.save(model, tmp_path, location="w.bin"))
        assert caught.value.tensor == "w"

    @pytest.mark.parametrize("place", [{"offset": 8}, {"length": 25}, {"offset": -4, "length": 24}, {"offset": 2**63, "length": 24},
                                       {"offset": "x"}])  # fmt: skip
    def test_wrong_place(self, model, tmp_path, place):
        (tmp_path / "w.bin").write_bytes(bytes(24))
        with pytest.raises(pit.ModelError):
            pit.compile(self.save(model, tmp_path, location="w.bin", **place))

    def test_outside_of_the_folder(self, model, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(24))
        (tmp_path / "in").mkdir()
        for location in ("../w.bin", str(tmp_path / "w.bin"), "a/../../w.bin", "/dev/zero"):
            fresh = onnx.ModelProto()
            fresh.CopyFrom(model)
            with pytest.raises(pit.ModelError):
                pit.compile(self.save(fresh, tmp_path / "in", location=location))

    def test_symbolic_link_outside_of_the_folder(self, model, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(24))
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "w.bin")
        with pytest.raises(pit.ModelError):
            pit.compile(self.save(model, tmp_path / "in", location="w.bin"))

    def test_from_bytes_says_what_to_do(self, model):
        model.graph.initializer[0].external_data.add(key="location", value="w.bin")
        with pytest.raises(pit.ModelError, match="w"):
            pit.compile(model.SerializeToString())


class TestCache:
    def answer_is_right(self, **options):
        model = Fixture("bert-script")
        case = next(model.cases())
        assert_close(pit.compile(model.path, **options)(case.inputs)["last_hidden_state"], case.outputs["last_hidden_state"])

    def test_is_private_and_used(self, tmp_path):
        cache = tmp_path / "cache"
        self.answer_is_right(cache_dir=cache)
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
        entries = [p for p in cache.rglob("*") if p.is_file()]
        assert entries
        self.answer_is_right(cache_dir=cache)
        assert [p for p in cache.rglob("*") if p.is_file()] == entries

    def test_corrupt(self, tmp_path, caplog):
        cache = tmp_path / "cache"
        self.answer_is_right(cache_dir=cache)
        for damage in (lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: bytes(len(b))):
            for entry in (p for p in cache.rglob("*") if p.is_file()):
                entry.write_bytes(damage(entry.read_bytes()))
            with caplog.at_level(logging.WARNING, "pit"):
                caplog.clear()
                self.answer_is_right(cache_dir=cache)
            assert caplog.records, "a warning, through logging"
            assert all(r.name == "pit" for r in caplog.records)

    def test_others_may_write(self, tmp_path, caplog):
        cache = tmp_path / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        with caplog.at_level(logging.WARNING, "pit"):
            self.answer_is_right(cache_dir=cache)
        assert caplog.records and not list(cache.iterdir())

    def test_is_a_file(self, tmp_path, caplog):
        (tmp_path / "cache").write_text("")
        with caplog.at_level(logging.WARNING, "pit"):
            self.answer_is_right(cache_dir=tmp_path / "cache")
        assert caplog.records

    def test_read_only(self, tmp_path, caplog):
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o500)
        # For root nothing is read-only but what the kernel makes up.
        place = cache if os.geteuid() else "/proc/self/pit-cache"
        with caplog.at_level(logging.WARNING, "pit"):
            self.answer_is_right(cache_dir=place)
        assert caplog.records

    def test_none(self, tmp_path):
        self.answer_is_right(cache_dir="none")

    def test_a_failing_log_handler_is_survived(self, tmp_path):
        code = f"""
import logging, pathlib, pit
class Broken(logging.Handler):
    def handle(self, record): raise RuntimeError("handler")
logging.getLogger("pit").addHandler(Broken())
pit.compile({str(Fixture("bert-script").path)!r}, cache_dir={str(__file__)!r})
print("fine")
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "fine\n", done.stderr
