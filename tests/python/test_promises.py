"""The promises, on whole models: exact, deterministic, nothing undefined read, any shape, many threads, the caller's floating point."""

import ctypes
import os
import subprocess
import sys
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import MODELS, Fixture, assert_close
from onnx import TensorProto, helper, numpy_helper

import pit

TEXT = sorted(n for n, m in MODELS.items() if {i["name"] for i in m["inputs"]} <= {"input_ids", "attention_mask", "token_type_ids"})
MASKED = [n for n in TEXT if any(i["name"] == "attention_mask" for i in MODELS[n]["inputs"])]
# One of each family, so that what is slow stays affordable.
FAMILIES = sorted({MODELS[n]["family"]: n for n in MASKED}.values())

SOME = ("bert-embedding-script", "deberta-v2-script", "gpt2-script", "t5-encoder-script")


def token_outputs(info):
    return [o["name"] for o in info["outputs"] if len(o["shape"]) == 3]


def same_bits(got, want, message=""):
    """The same numbers; +0 and -0 are one."""
    assert got.dtype == want.dtype and got.shape == want.shape, message
    np.testing.assert_array_equal(got, want, err_msg=message)


def batch_of(info, mask, seed=0):
    generator = np.random.default_rng(seed)
    made = {"attention_mask": np.asarray(mask, np.int64), "token_type_ids": np.zeros(np.shape(mask), np.int64),
            "input_ids": generator.integers(2, 20, np.shape(mask)).astype(np.int64)}  # fmt: skip
    return {i["name"]: made[i["name"]].astype(i["type"]) for i in info["inputs"]}


def lengths(counts, columns=None):
    return (np.arange(columns if columns is not None else max(counts)) < np.array(counts)[:, None]).astype(np.int64)


def reference(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])


def answer(session, inputs):
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))


class TestExact:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_instruction_sets_threads_and_poison(self, name):
        """Threads and poison change no bit, what is skipped at most 1e-5 of the largest value."""
        model = Fixture(name)
        declared = {o: "attention_mask" for o in token_outputs(model.info)}
        variants = [{"outputs": declared or None}] + [{"cpu": "haswell", "outputs": declared or None}] * (name in SOME)
        for options in variants:
            one = pit.compile(model.path, threads=1, **options)
            others = [pit.compile(model.path, threads=2, **options), pit.compile(model.path, threads=2, poison=True, **options)]
            dense = pit.compile(model.path, threads=2, sparsity="off", **options)
            for case in model.cases():
                want = one(case.inputs)
                for other in others:
                    for output, got in other(case.inputs).items():
                        same_bits(got, want[output], f"{case.kind} {output} {options}")
                for output, got in dense(case.inputs).items():
                    assert_close(want[output], got, 1e-5)

    @pytest.mark.parametrize("name", [n for n in FAMILIES if token_outputs(MODELS[n])])
    def test_a_sequence_alone_or_in_a_batch(self, name):
        """With its padding not asked for, a sequence does not know who else is in the batch, nor how far it was padded."""
        model = Fixture(name)
        (output, *_) = token_outputs(model.info)
        compiled = pit.compile(model.path, outputs={output: "attention_mask"}, threads=2)
        counts = [5, 1, 13, 16]
        batch = batch_of(model.info, lengths(counts))
        together = compiled(batch)[output]
        again = compiled({k: v[::-1].copy() for k, v in batch.items()})[output][::-1]
        same_bits(again, together, "order in the batch")
        for i, n in enumerate(counts):
            alone = compiled({k: v[i : i + 1, :n].copy() for k, v in batch.items()})[output]
            assert_close(alone[0], together[i, :n], 1e-5)

    def test_calls_do_not_remember(self):
        """What an earlier call of another shape left in the buffers is in no result."""
        model = Fixture("bert-embedding-script")
        compiled = pit.compile(model.path, threads=2)
        masks = [lengths([9, 2, 5]), lengths([1]), lengths([30, 3]), lengths([9, 0, 4]), lengths([7, 7])]
        batches = [batch_of(model.info, m, seed) for seed, m in enumerate(masks)]
        first = [pit.compile(model.path, threads=1)(b)["sentence_embedding"] for b in batches]
        for i in [0, 1, 2, 3, 4, 2, 0, 4, 1, 3, 3, 2]:
            same_bits(compiled(batches[i])["sentence_embedding"], first[i])


SHAPES = {
    "one token": lengths([1]),
    "one real token": lengths([1], 9),
    "one real token of many rows": lengths([0, 0, 1, 0], 6),
    "no padding": lengths([7, 7, 7]),
    "a row of padding": lengths([4, 0, 6]),
    "nothing but padding": lengths([0, 0], 5),
    "long and short": lengths([37, 2, 19]),
    "one column": lengths([1, 0, 1]),
    "many rows": lengths([3] * 33),
    "a hole": np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]]),
    "left": lengths([2, 5, 4])[:, ::-1].copy(),
}


class TestAnyShape:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_agrees_with_onnx_runtime(self, name):
        model = Fixture(name)
        compiled, session = pit.compile(model.path), reference(model)
        poisoned = pit.compile(model.path, poison=True, threads=1)
        for kind, mask in SHAPES.items():
            inputs = batch_of(model.info, mask)
            results = compiled(inputs)
            for output, want in answer(session, inputs).items():
                assert_close(results[output], want)
            for output, got in poisoned(inputs).items():
                same_bits(got, results[output], f"{kind}: poison changes {output}")

    @pytest.mark.parametrize("name", FAMILIES)
    @pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
    def test_nothing_at_all(self, name, shape):
        """Zero sequences or zero tokens: ONNX Runtime's answer where it has one, otherwise an answer or an InputError."""
        model = Fixture(name)
        inputs = batch_of(model.info, np.ones(shape))
        try:
            want = answer(reference(model), inputs)
        except Exception:
            want = None
        compiled = pit.compile(model.path)
        if want is None:
            try:
                compiled(inputs)
            except pit.InputError:
                pass
        else:
            results = compiled(inputs)
            for output in want:
                assert_close(results[output], want[output])
        case = next(model.cases())
        for output, expected in case.outputs.items():
            assert_close(compiled(case.inputs)[output], expected)

    def test_many_shapes_in_a_row(self):
        """More shapes than plans are kept, then the first ones again."""
        model = Fixture("bert-embedding-dynamo")
        compiled, session = pit.compile(model.path), reference(model)
        generator = np.random.default_rng(5)
        batches = [batch_of(model.info, lengths(generator.integers(0, s + 1, b).tolist(), s), seed=s)
                   for b in range(1, 10) for s in range(1, 10)]  # fmt: skip
        assert len(batches) > 64
        for inputs in batches + batches[:5]:
            assert_close(compiled(inputs)["sentence_embedding"], answer(session, inputs)["sentence_embedding"])


class TestThreads:
    def test_different_shapes_at_once(self):
        """Eight threads, one model, different shapes: everybody gets the bits that a caller gets alone."""
        model = Fixture("bert-script")
        compiled = pit.compile(model.path, threads=2)
        generator = np.random.default_rng(3)
        batches = [batch_of(model.info, lengths(generator.integers(1, 20, 1 + i % 5).tolist()), seed=i) for i in range(24)]
        alone = [compiled(b)["last_hidden_state"] for b in batches]
        failures, start = [], threading.Barrier(8)

        def work(number):
            try:
                start.wait()
                for i in range(96):
                    at = (i * 7 + number * 3) % len(batches)
                    same_bits(compiled(batches[at])["last_hidden_state"], alone[at])
            except BaseException as e:  # noqa: BLE001
                failures.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]

    def test_compiling_at_once(self):
        """Also with one cache directory between them."""
        model, failures = Fixture("bert-script"), []
        case = next(model.cases())

        def work():
            try:
                assert_close(pit.compile(model.path)(case.inputs)["last_hidden_state"], case.outputs["last_hidden_state"])
            except BaseException as e:  # noqa: BLE001
                failures.append(e)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]


def attention_model(pooled):
    """x[b,s,8] (a float input) -> masked attention -> Linear -> the mean over real tokens, or all of it."""
    generator = np.random.default_rng(0)
    constants = {n: generator.normal(0, 0.5, (8, 8)).astype(np.float32) for n in ("wq", "wk", "wv", "wo")}
    constants |= {"minus": np.float32(-1e9), "zero": np.float32(0), "scale": np.float32(8**-0.5), "axis1": np.array([1]), "axis2": np.array([2])}
    make = helper.make_node
    nodes = [
        make("Cast", ["mask"], ["real"], to=TensorProto.BOOL),
        make("Unsqueeze", ["real", "axis1"], ["keys"]),
        make("MatMul", ["x", "wq"], ["q"]), make("MatMul", ["x", "wk"], ["k"]), make("MatMul", ["x", "wv"], ["v"]),
        make("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        make("MatMul", ["q", "kt"], ["raw"]), make("Mul", ["raw", "scale"], ["scaled"]),
        make("Where", ["keys", "scaled", "minus"], ["scores"]), make("Softmax", ["scores"], ["p"], axis=-1),
        make("MatMul", ["p", "v"], ["context"]), make("MatMul", ["context", "wo"], ["tokens"]),
    ]  # fmt: skip
    if pooled:
        nodes += [
            make("Unsqueeze", ["real", "axis2"], ["rows"]), make("Where", ["rows", "tokens", "zero"], ["kept"]),
            make("ReduceSum", ["kept", "axis1"], ["y"], keepdims=0),
        ]  # fmt: skip
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 8])] if pooled else [
        helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["b", "s", 8])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "s", 8]), helper.make_tensor_value_info("mask", TensorProto.INT64, ["b", "s"])],
        outputs, [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class TestInfinityAndNan:
    @pytest.mark.parametrize("pooled", [True, False])
    def test_in_absent_tokens_they_do_not_matter(self, pooled):
        compiled = pit.compile(attention_model(pooled), outputs=None if pooled else {"tokens": "mask"})
        mask = lengths([5, 2, 0, 9])
        x = np.random.default_rng(1).normal(size=(4, 9, 8)).astype(np.float32)
        (clean,) = compiled(x=np.where(mask[..., None], x, 0), mask=mask).values()
        for value in (np.nan, np.inf, -np.inf, 1e38):
            (got,) = compiled(x=np.where(mask[..., None], x, value).astype(np.float32), mask=mask).values()
            if pooled:  # a sequence of padding only attends uniformly to whatever its tokens are, and the sum reads none of it
                assert not got[2].any() and not clean[2].any()
            same_bits(got, clean)
        assert np.isfinite(clean).all()

    def test_in_real_tokens_they_spread_as_in_onnx_runtime(self):
        model = attention_model(pooled=True)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        auto, dense = pit.compile(model), pit.compile(model, sparsity="off")
        mask = lengths([5, 2, 6, 9])
        for value in (np.nan, np.inf, -np.inf):
            x = np.random.default_rng(1).normal(size=(4, 9, 8)).astype(np.float32)
            x[1, 1, 3] = x[3, 0, 0] = value
            (want,) = session.run(None, {"x": x, "mask": mask})
            assert np.isnan(want[1]).any() and np.isfinite(want[[0, 2]]).all()
            for compiled in (auto, dense):
                assert_close(compiled(x=x, mask=mask)["y"], want)


MXCSR = """
#include <xmmintrin.h>
unsigned get(void) { return _mm_getcsr(); }
void set(unsigned v) { _mm_setcsr(v); }
"""


@pytest.fixture(scope="session")
def control_word(tmp_path_factory):
    """The thread's SSE control word; its sticky flags of what happened are left out."""
    path = tmp_path_factory.mktemp("mxcsr")
    (path / "mxcsr.c").write_text(MXCSR)
    library = path / "mxcsr.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(path / "mxcsr.c")], check=True)
    functions = ctypes.CDLL(str(library))
    functions.get.restype = ctypes.c_uint
    return functions


class TestFloatingPointEnvironment:
    FLUSH, DENORMALS_ARE_ZERO, ROUND_UP, ROUND_TO_ZERO = 0x8000, 0x0040, 0x4000, 0x6000

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("state", [FLUSH | DENORMALS_ARE_ZERO, ROUND_UP, ROUND_TO_ZERO])
    def test_neither_read_nor_changed(self, control_word, state, threads):
        model = Fixture("bert-script")
        compiled = pit.compile(model.path, threads=threads)
        tiny = pit.compile(attention_model(pooled=True), threads=threads)
        case = next(model.cases())
        mask = lengths([5, 2, 6, 9])
        x = (np.random.default_rng(1).normal(size=(4, 9, 8)) * 1e-39).astype(np.float32)  # denormals
        want, small = compiled(case.inputs)["last_hidden_state"], tiny(x=x, mask=mask)["y"]
        assert np.any((small != 0) & (np.abs(small) < 1e-38))
        before = control_word.get()
        try:
            control_word.set((before & ~0xE040) | state)
            got, again = compiled(case.inputs)["last_hidden_state"], tiny(x=x, mask=mask)["y"]
            with pytest.raises(pit.InputError):
                compiled(case.inputs | {"input_ids": case.inputs["input_ids"] + 10**9})
            fresh = pit.compile(model.path, threads=threads)(case.inputs)["last_hidden_state"]
            after = control_word.get()
        finally:
            control_word.set(before)
        assert after & 0xFFC0 == ((before & ~0xE040) | state) & 0xFFC0, "the caller's state is as it was"
        same_bits(got, want)
        same_bits(again, small)
        same_bits(fresh, want, "compiled under the caller's state")
