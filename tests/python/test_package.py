"""The package as its users see it: compile, call, describe, explain, profile."""

import gc
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, assert_close

import pit


@pytest.fixture
def case(bert):
    return next(bert.cases())


@pytest.fixture
def model(bert):
    return pit.compile(bert.path)


def check(results, case):
    for name, want in case.outputs.items():
        assert_close(results[name], want)


class TestCompile:
    def test_path_forms(self, bert, case):
        for form in (str(bert.path), bert.path, bert.path.read_bytes(), bytearray(bert.path.read_bytes()),
                     memoryview(bert.path.read_bytes()), onnx.load(bert.path)):  # fmt: skip
            check(pit.compile(form)(case.inputs), case)

    def test_external_data_is_found_from_anywhere(self, monkeypatch, tmp_path):
        from conftest import Fixture

        model = Fixture("bert-dynamo-external")
        monkeypatch.chdir(tmp_path)
        case = next(model.cases())
        check(pit.compile(model.path)(case.inputs), case)

    @pytest.mark.parametrize("outputs", ["last_hidden_state", ["last_hidden_state"], ("last_hidden_state",), {"last_hidden_state": None},
                                         iter(["last_hidden_state"])])  # fmt: skip
    def test_outputs_forms(self, bert, case, outputs):
        check(pit.compile(bert.path, outputs=outputs)(case.inputs), case)

    def test_options(self, bert, case, tmp_path):
        check(pit.compile(bert.path, threads=1, sparsity="off", precision="f32", cache_dir="none", poison=True)(case.inputs), case)
        check(pit.compile(bert.path, poison="large")(case.inputs), case)
        check(pit.compile(bert.path, cache_dir=tmp_path / "cache")(case.inputs), case)

    @pytest.mark.parametrize("option", [{"sparsity": "on"}, {"precision": "bf16"}, {"threads": -1}, {"outputs": []},
                                        {"outputs": ["nothing"]}, {"outputs": {"last_hidden_state": "nothing"}}, {"cpu": "abacus"},
                                        {"outputs": [3]}, {"poison": "NaN"}, {"poison": 1}])  # fmt: skip
    def test_bad_options(self, bert, option):
        with pytest.raises(pit.InputError):
            pit.compile(bert.path, **option)

    def test_not_a_model(self):
        with pytest.raises(pit.InputError, match="not int"):
            pit.compile(3)


class TestCall:
    def test_keywords_and_dict(self, model, case):
        check(model(**case.inputs), case)
        check(model(case.inputs), case)
        with pytest.raises(pit.InputError, match="not both"):
            model(case.inputs, **case.inputs)

    def test_results_are_ours_to_keep(self, bert, case):
        model = pit.compile(bert.path)
        first = model(case.inputs)["last_hidden_state"]
        copy = first.copy()
        other = {name: array[::-1].copy() for name, array in case.inputs.items()}
        model(other)
        del model
        gc.collect()
        np.testing.assert_array_equal(first, copy)
        assert first.flags.writeable and first.flags.c_contiguous and not first.flags.owndata
        first += 1

    def test_non_contiguous_inputs(self, model, case):
        wide = {name: np.repeat(array, 2, axis=1) for name, array in case.inputs.items()}
        strided = {name: array[:, ::2] for name, array in wide.items()}
        check(model(strided), case)
        check(model({name: np.asfortranarray(array) for name, array in case.inputs.items()}), case)
        check(model({name: np.ascontiguousarray(array[::-1])[::-1] for name, array in case.inputs.items()}), case)
        broadcast = case.inputs | {"token_type_ids": np.broadcast_to(np.int64(1), case.inputs["input_ids"].shape)}
        full = broadcast | {"token_type_ids": broadcast["token_type_ids"].copy()}
        np.testing.assert_array_equal(model(broadcast)["last_hidden_state"], model(full)["last_hidden_state"])

    def test_read_only_and_unaligned_inputs(self, model, case):
        inputs = {}
        for name, array in case.inputs.items():
            raw = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:]
            inputs[name] = raw.view(array.dtype).reshape(array.shape)
            assert not inputs[name].flags.aligned and not inputs[name].flags.writeable
        check(model(inputs), case)

    def test_dlpack(self, model, case):
        class Foreign:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **arguments):
                return self.array.__dlpack__(**arguments)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        check(model({name: Foreign(array) for name, array in case.inputs.items()}), case)

    def test_what_has_no_type_or_another_byte_order(self, model, case):
        check(model({name: array.tolist() for name, array in case.inputs.items()}), case)
        check(model({name: array.astype(array.dtype.newbyteorder("S")) for name, array in case.inputs.items()}), case)
        check(model({name: tuple(list(row) for row in array) for name, array in case.inputs.items()}), case)

    def test_other_shapes_and_back(self, bert, model):
        cases = list(bert.cases())
        for case in cases + cases[::-1]:
            check(model(case.inputs), case)

    def test_results_do_not_depend_on_padding_contents(self, bert):
        model = pit.compile(bert.path, outputs={"last_hidden_state": "attention_mask"})
        for case in bert.cases():
            other = dict(case.inputs)
            other["input_ids"] = np.where(case.inputs["attention_mask"] != 0, case.inputs["input_ids"], 7)
            np.testing.assert_array_equal(model(other)["last_hidden_state"], model(case.inputs)["last_hidden_state"])


class TestWrongInputs:
    """Each mistake names its tensor, and the model stays usable."""

    @pytest.fixture(autouse=True)
    def stays_usable(self, model, case):
        yield
        check(model(case.inputs), case)

    def refuse(self, model, inputs, tensor, *words):
        with pytest.raises(pit.InputError) as caught:
            model(inputs)
        assert tensor in str(caught.value)
        assert caught.value.tensor == tensor
        for word in words:
            assert word in str(caught.value), str(caught.value)

    def test_type(self, model, case):
        self.refuse(model, case.inputs | {"input_ids": case.inputs["input_ids"].astype(np.int32)}, "input_ids", "i64", "i32")
        self.refuse(model, case.inputs | {"input_ids": case.inputs["input_ids"].astype(np.float32)}, "input_ids", "i64")
        self.refuse(model, case.inputs | {"input_ids": case.inputs["input_ids"].astype(np.uint16)}, "input_ids", "uint16")
        self.refuse(model, case.inputs | {"input_ids": [[1.5, 2, 3]]}, "input_ids", "list", "float64", "int64")
        self.refuse(model, case.inputs | {"input_ids": [[1, 2], [3]]}, "input_ids", "list")
        self.refuse(model, case.inputs | {"input_ids": [["a"]]}, "input_ids", "list")
        self.refuse(model, case.inputs | {"input_ids": [[2**70]]}, "input_ids", "list")
        self.refuse(model, case.inputs | {"input_ids": "abc"}, "input_ids", "str")
        self.refuse(model, case.inputs | {"input_ids": None}, "input_ids")

    def test_missing_and_unknown(self, model, case):
        self.refuse(model, {k: v for k, v in case.inputs.items() if k != "attention_mask"}, "attention_mask")
        self.refuse(model, case.inputs | {"inputs_embeds": case.inputs["input_ids"]}, "inputs_embeds")
        with pytest.raises(pit.InputError):
            model()

    def test_rank_and_dimensions(self, model, case):
        self.refuse(model, case.inputs | {"input_ids": case.inputs["input_ids"][0]}, "input_ids")
        with pytest.raises(pit.InputError, match="sequence|batch|attention_mask"):
            model(case.inputs | {"attention_mask": case.inputs["attention_mask"][:, 1:]})

    def test_index_out_of_range(self, model, case):
        with pytest.raises(pit.InputError):
            model(case.inputs | {"input_ids": case.inputs["input_ids"] + 10**12})

    def test_containers(self, model, case):
        for wrong in ([1], "text", 3):
            with pytest.raises(pit.InputError):
                model(wrong)
        with pytest.raises(pit.InputError):
            model({3: case.inputs["input_ids"]})


class TestDlpackThatFails:
    """The cause is kept, and what is no error (Ctrl-C) stays itself."""

    @pytest.mark.parametrize("error", [ValueError, BufferError, TypeError, RuntimeError, KeyError])
    def test_in_a_model(self, model, case, error):
        class Odd:
            def __dlpack__(self, **arguments):
                raise error("no such luck")

        with pytest.raises(pit.InputError, match="no such luck") as caught:
            model(case.inputs | {"input_ids": Odd()})
        assert caught.value.tensor == "input_ids" and type(caught.value.__cause__) is error

    def test_in_a_product(self):
        class Odd:
            def __dlpack__(self, **arguments):
                raise BufferError("no such luck")

        for call in (lambda: pit.matmul(np.ones((2, 2), np.float32), Odd()), lambda: pit.detect(Odd())):
            with pytest.raises(pit.InputError, match="no such luck") as caught:
                call()
            assert type(caught.value.__cause__) is BufferError

    def test_what_is_no_dlpack(self, model, case):
        class Odd:
            def __dlpack__(self, **arguments):
                return 3

        with pytest.raises(pit.InputError):
            model(case.inputs | {"input_ids": Odd()})

    def test_interrupts_pass(self, model, case):
        class Odd:
            def __dlpack__(self, **arguments):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            model(case.inputs | {"input_ids": Odd()})


class TestWrongOptions:
    @pytest.mark.parametrize(
        "options",
        [{"threads": -1}, {"threads": 2000}, {"threads": "2"}, {"threads": 1.5}, {"threads": True}, {"threads": 2**80}, {"sparsity": "on"}, {"sparsity": 1},
         {"precision": "f16"}, {"precision": 16}, {"cpu": "z80"}, {"cpu": 3}, {"cache_dir": 3}, {"cache_dir": b"a\0b"}, {"poison": 2}, {"poison": "zero"},
         {"outputs": []}, {"outputs": [3]}, {"outputs": 3}, {"outputs": {"last_hidden_state": 3}}],
    )  # fmt: skip
    def test_of_compile(self, bert, options):
        with pytest.raises(pit.InputError):
            pit.compile(bert.path, **options)

    def test_zero_threads_are_the_default(self, bert, case):
        check(pit.compile(bert.path, threads=0)(case.inputs), case)
        a = np.eye(3, dtype=np.float32)
        np.testing.assert_array_equal(pit.matmul(a, a, threads=0), a)

    def test_of_products(self):
        a = np.eye(3, dtype=np.float32)
        for options in ({"threads": -1}, {"threads": "2"}, {"rule": 3}, {"rule": "best"}, {"zeros": 3}, {"granularity": 3, "zeros": "detect"}):
            with pytest.raises(pit.InputError):
                pit.matmul(a, a, **options)
        for call in (lambda: pit.Contraction(3), lambda: pit.einsum(["mk,kn->mn"], a, a), lambda: pit.detect(a, absent="x"), lambda: pit.measure_limits(-1),
                     lambda: pit.measure_limits("2"), lambda: pit.tune(cpu=3), lambda: pit.tune(progress=3), lambda: pit.LiveSet.from_lengths([1], "a", 2)):
            with pytest.raises(pit.InputError):
                call()

    def test_of_a_model(self, model, case):
        for options in ({"repeat": "5"}, {"repeat": 1.5}, {"repeat": -1}, {"repeat": 2**40}):
            with pytest.raises(pit.InputError):
                model.profile(case.inputs, **options)


class TestDescription:
    def test_inputs_and_outputs(self, bert, model):
        assert [i.name for i in model.inputs] == [i["name"] for i in bert.info["inputs"]]
        assert [i.dtype for i in model.inputs] == [np.dtype(i["type"]) for i in bert.info["inputs"]]
        assert [list(i.dims) for i in model.inputs] == [i["shape"] for i in bert.info["inputs"]]
        (output,) = model.outputs
        assert output.name == "last_hidden_state" and output.dtype == np.float32 and len(output.dims) == 3 and output.dims[2] == 24
        assert "input_ids: int64[batch, sequence]" in repr(model)

    def test_explain(self, model, case):
        assert "Softmax" in model.explain()
        assert isinstance(model.explain(json=True), dict)
        found = model.explain(case.inputs, json=True)
        assert 0 < found["weight_flops_live"] <= 1 and 0 < found["attention_flops_live"] <= 1
        assert model.explain(case.inputs) == model.explain(**case.inputs)
        with pytest.raises(pit.InputError):
            model.explain({"input_ids": case.inputs["input_ids"]})

    def test_profile(self, model, case):
        assert "MatMul" in model.profile(**case.inputs)
        trace = model.profile(case.inputs, repeat=2, json=True)
        assert trace["traceEvents"], "something for Perfetto to show"
        json.dumps(trace)
        with pytest.raises(pit.InputError):
            model.profile(case.inputs, repeat=0)

    def test_version(self):
        assert re.fullmatch(r"\d+\.\d+\.\d+", pit.__version__)
        assert f"project(pit VERSION {pit.__version__} " in (ROOT / "CMakeLists.txt").read_text()

    def test_errors_are_a_family(self):
        for error in (pit.ModelError, pit.UnsupportedError, pit.InputError, pit.InternalError):
            assert issubclass(error, pit.PitError) and error.__module__ == "pit"
        import pickle

        error = pickle.loads(pickle.dumps(pit.InputError("text", "op", "tensor")))
        assert (str(error), error.op, error.tensor) == ("text", "op", "tensor")

    def test_types_are_shipped(self):
        package = Path(pit.__file__).parent
        assert (package / "py.typed").exists()
        import ast

        stub = ast.parse((package / "_pit.pyi").read_text())
        declared = {node.name for node in stub.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        present = {name for name in dir(pit._pit) if not name.startswith("_")}
        assert declared == present, "the stub and the extension module name the same things"
        for cls in (node for node in stub.body if isinstance(node, ast.ClassDef)):
            members = {f.name for f in cls.body if not f.name.startswith("_")}
            assert members == {name for name in dir(getattr(pit._pit, cls.name)) if not name.startswith("_")}, cls.name

    def test_metadata_when_installed(self):
        try:
            installed = importlib.metadata.version("pit")
        except importlib.metadata.PackageNotFoundError:
            return  # run from the build tree
        assert installed == pit.__version__


class TestThreads:
    def test_one_model_many_threads(self, bert, model):
        cases, failures = list(bert.cases()), []

        def work(start):
            try:
                for i in range(20):
                    case = cases[(start + i) % len(cases)]
                    check(model(case.inputs), case)
            except BaseException as e:  # noqa: BLE001
                failures.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures

    def test_gil_is_released(self, model, bert):
        """Another thread gets on while a call is running: with the GIL held, it would see only the gaps between calls."""
        case = list(bert.cases())[0]
        big = {name: np.tile(array, (2000, 1)) for name, array in case.inputs.items()}
        model(big)
        ticks, stop = [0], threading.Event()

        def tick():
            while not stop.is_set():
                ticks[0] += 1

        thread = threading.Thread(target=tick)
        thread.start()
        before = ticks[0]
        model(big)
        during = ticks[0] - before
        stop.set()
        thread.join()
        assert during > 100


ONE_CALL = """
import numpy as np
data = np.load({npz!r})
inputs = {{k[len("case0.in."):]: data[k] for k in data.files if k.startswith("case0.in.")}}
want = data["case0.out.last_hidden_state"]
got = pit.compile({path!r})(inputs)["last_hidden_state"]
assert np.abs(got - want).max() < 2e-4 * np.abs(want).max(), np.abs(got - want).max()
"""


def run_python(code, **environment):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def one_call(bert):
    return ONE_CALL.format(npz=str(bert.path.with_suffix(".npz")), path=str(bert.path))


class TestNeighbours:
    """Side by side with libraries that bring LLVM or protobuf of their own; those that are not installed are left out."""

    ALL = ["onnxruntime", "onnx", "torch", "triton", "openvino", "numba"]

    @staticmethod
    def installed():
        from importlib.util import find_spec

        return [name for name in TestNeighbours.ALL if find_spec(name)]

    @pytest.mark.parametrize("order", ["before", "after", "between"])
    def test_imports(self, one_call, order):
        names = self.installed()
        assert {"onnxruntime", "onnx"} <= set(names)
        imports = "\n".join(f"import {name}" for name in names)
        code = {"before": f"import pit\n{one_call}\n{imports}\n{one_call}", "after": f"{imports}\nimport pit\n{one_call}",
                "between": f"import onnxruntime\nimport pit\n{one_call}\n{imports}\n{one_call}"}[order]  # fmt: skip
        assert run_python(code).stderr == ""

    def test_both_run_in_one_process(self, bert, model, case):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(bert.path), providers=["CPUExecutionProvider"])
        for _ in range(3):
            assert_close(model(case.inputs)["last_hidden_state"], session.run(None, case.inputs)[0])


class TestProcess:
    def test_nothing_is_printed(self, one_call):
        done = run_python(f"import pit\n{one_call}")
        assert done.stdout == "" and done.stderr == ""

    @pytest.mark.parametrize("poison", ["0", "1", "nan", "large"])
    def test_poison_by_environment(self, one_call, poison):
        run_python(f"import pit\n{one_call}", PIT_POISON=poison)

    def test_bad_poison_by_environment(self, bert):
        code = f"import pit\ntry:\n    pit.compile({str(bert.path)!r})\nexcept pit.InputError as e:\n    print(e)"
        assert "PIT_POISON" in run_python(code, PIT_POISON="NaN").stdout

    def test_cpu_by_environment(self, one_call):
        run_python(f"import pit\n{one_call}", PIT_CPU="haswell")

    def test_model_alive_at_exit(self, one_call, bert):
        run_python(f"import pit\n{one_call}\nkeep = pit.compile({str(bert.path)!r})\nimport sys\nsys.keep = keep")

    def test_after_fork(self, one_call, bert):
        code = f"import os, pit\nmodel = pit.compile({str(bert.path)!r})\npid = os.fork()\nif pid == 0:\n" + "\n".join(
            "    " + line for line in one_call.splitlines()) + "\n    os._exit(0)\nassert os.waitpid(pid, 0)[1] == 0"  # fmt: skip
        run_python(code)
