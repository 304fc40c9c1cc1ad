"""The cases of onnx's own backend tests: every model of one operator, or of a function's operators, in types that PIT has.

What PIT refuses is counted and, with -rP or -s, listed; what it answers must be what onnx expects, sparse and dense.
"""

import collections
import functools
import re
import warnings

import numpy as np
import onnx
import pytest

import pit

TYPES = {onnx.TensorProto.DataType.Value(t) for t in "FLOAT DOUBLE FLOAT16 INT64 INT32 INT8 UINT8 BOOL".split()}
LEAST = 1050  #: as many are answered at least
#: Random, or in training.
OTHER = ("bernoulli", "dropout_default_mask_ratio", "training")


@functools.cache
def all_cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {c.name: c for c in load_model_tests(kind="node") if plain(c) and not any(o in c.name for o in OTHER)}


def plain(case):
    values = [*case.model.graph.input, *case.model.graph.output]
    arrays = all(isinstance(v, np.ndarray) for inputs, outputs in case.data_sets for v in [*inputs, *outputs])
    return arrays and all(v.type.WhichOneof("value") == "tensor_type" and v.type.tensor_type.elem_type in TYPES for v in values)


def with_constants(model, feeds):
    """The same model with its integers inside, but for the first operand: axes, shapes and sizes are constants in models that are used."""
    constant = {k: v for k, v in list(feeds.items())[1:] if v.dtype.kind == "i" and v.size <= 64}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [i for i in model.graph.input if i.name not in constant]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constant.items())
    return changed, {k: v for k, v in feeds.items() if k not in constant}


def answer(case, inputs, **options):
    feeds = dict(zip([i.name for i in case.model.graph.input], inputs))
    try:
        return pit.compile(case.model, **options)(feeds)
    except pit.UnsupportedError:
        model, feeds = with_constants(case.model, feeds)
        return pit.compile(model, **options)(feeds)


def wrong(case, got, want):
    for info, w in zip(case.model.graph.output, want):
        g = np.asarray(got[info.name])
        if g.dtype != w.dtype or g.shape != w.shape:
            return f"{info.name} is {g.dtype}{list(g.shape)}, not {w.dtype}{list(w.shape)}"
        exact = w.dtype.kind != "f"
        rtol = 2e-3 if w.dtype == np.float16 else case.rtol
        if not (np.array_equal(g, w) if exact else np.allclose(g, w, rtol=rtol, atol=max(case.atol, 1e-6), equal_nan=True)):
            return f"{info.name}: {g.ravel()[:6]}, not {w.ravel()[:6]}"
    return None


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache", numbered=True)


@pytest.mark.parametrize("sparsity", ["auto", "off"])
def test_backend_cases(sparsity, cache):
    failures, refused, answered = [], collections.Counter(), 0
    for name, case in all_cases().items():
        for inputs, outputs in case.data_sets:
            try:
                got = answer(case, inputs, sparsity=sparsity, cache_dir=str(cache), threads=1)
            except pit.InternalError as e:
                failures.append(f"{name}: {e}")
            except pit.PitError as e:
                refused[re.sub(r"'[^']*'|\d+", "~", str(e).split(": ", 1)[-1] if "operator" in str(e) else str(e))[:110]] += 1
            else:
                answered += 1
                if why := wrong(case, got, outputs):
                    failures.append(f"{name}: {why}")
    print(f"{answered} answered, {sum(refused.values())} refused:")
    print("\n".join(f"  {n:4d}  {why}" for why, n in sorted(refused.items())))
    assert not failures, "\n".join(failures)
    assert answered >= LEAST, f"only {answered} cases are answered"
