"""Every committed model: PIT's answers are ONNX Runtime's, whatever is skipped, and undefined memory never reaches a result."""

import numpy as np
import pytest
from conftest import MODELS, Fixture, assert_close

import pit

NAMES = sorted(MODELS)


@pytest.fixture(params=NAMES)
def model(request):
    return Fixture(request.param)


@pytest.mark.parametrize("sparsity", ["auto", "off"])
def test_agrees_with_onnx_runtime(model, sparsity):
    compiled = pit.compile(model.path, sparsity=sparsity)
    poisoned = pit.compile(model.path, sparsity=sparsity, poison=True)
    for case in model.cases():
        results = compiled(case.inputs)
        assert list(results) == [o["name"] for o in model.info["outputs"]]
        for name, want in case.outputs.items():
            assert_close(results[name], want)
            np.testing.assert_array_equal(poisoned(case.inputs)[name], results[name], err_msg=f"poison changes {name}")


def test_sparse_is_dense(model):
    sparse, dense = pit.compile(model.path), pit.compile(model.path, sparsity="off")
    for case in model.cases():
        expected = dense(case.inputs)
        for name, got in sparse(case.inputs).items():
            assert_close(got, expected[name], 1e-5)


def test_threads_change_no_bit(model):
    one, two = pit.compile(model.path, threads=1), pit.compile(model.path, threads=2)
    for case in model.cases():
        expected = one(case.inputs)
        for name, got in two(case.inputs).items():
            np.testing.assert_array_equal(got, expected[name])


def declarable(info):
    """The outputs whose leading axes are those of attention_mask."""
    mask = next((i["shape"] for i in info["inputs"] if i["name"] == "attention_mask"), None)
    return [o["name"] for o in info["outputs"] if mask and len(o["shape"]) == 3 and "past" not in info["name"]]


@pytest.mark.parametrize("name", [n for n in NAMES if declarable(MODELS[n])])
@pytest.mark.parametrize("poison", [False, True])
def test_declared_outputs(name, poison):
    model = Fixture(name)
    for output in declarable(model.info):
        compiled = pit.compile(model.path, outputs={output: "attention_mask"}, poison=poison)
        for case in model.cases():
            results = compiled(case.inputs)
            assert list(results) == [output]
            real = case.inputs["attention_mask"] != 0
            got, want = results[output], case.outputs[output]
            assert_close(np.where(real[..., None], got, 0), np.where(real[..., None], want, 0).astype(want.dtype))
            assert not got[~real].any(), "elements that nobody asked for come back as zero"


def test_some_outputs_only():
    model = Fixture("bert-pooler-script")
    compiled = pit.compile(model.path, outputs=["pooler_output"])
    assert [o.name for o in compiled.outputs] == ["pooler_output"]
    for case in model.cases():
        results = compiled(case.inputs)
        assert list(results) == ["pooler_output"]
        assert_close(results["pooler_output"], case.outputs["pooler_output"])
    both = pit.compile(model.path, outputs=["pooler_output", "last_hidden_state"])
    assert list(both(next(model.cases()).inputs)) == ["last_hidden_state", "pooler_output"], "the model's order, not the caller's"


def test_other_instruction_set(model):
    """AVX2 code on a machine that may have more; a machine without AVX2 would refuse the option."""
    compiled = pit.compile(model.path, cpu="haswell")
    case = next(model.cases())
    for name, want in case.outputs.items():
        assert_close(compiled(case.inputs)[name], want)
