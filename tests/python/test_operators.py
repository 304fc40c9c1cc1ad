"""Every operator against ONNX Runtime: attributes, types, broadcasting, extents that are known when the model is compiled or not.

    pytest tests/python/test_operators.py [-k MatMul]
    PIT_TEST_FULL=1 pytest tests/python/test_operators.py       more shapes, both instruction sets everywhere

The cases are data (operators/). Each is one node, compiled in several variants (operators/spec.py), each at several shapes; poison and
the instruction set alternate between the variants.
"""

import os

import pytest
from operators.oracle import Oracle, difference
from operators.spec import OneNode, bindings_of, standard_operators, variants_of
from operators.table import CASES

import pit

FULL = os.environ.get("PIT_TEST_FULL", "") not in ("", "0")


def settings(variant, opset):
    """The combinations that a variant is compiled with."""
    if FULL:
        return [dict(cpu=cpu, poison=poison) for cpu in ("", "haswell") for poison in (False, True)]
    return [dict(cpu="haswell" if variant == "static" else "", poison=variant in ("named", "static"))]


def check(case, variant, opset):
    model = OneNode(case, variant, opset)
    what = f"{case}, {variant}, opset {opset}"
    try:
        oracle = Oracle(model.proto, case.reference)
    except Exception as e:
        oracle = str(e).splitlines()[0]
    for options in settings(variant, opset):
        try:
            compiled = pit.compile(model.proto, **options)
        except pit.UnsupportedError as e:
            if case.refused == "all" or variant in case.refused.split() or variant == "inputs":
                continue
            pytest.fail(f"{what}: {e}")
        except pit.PitError:
            if isinstance(oracle, str):
                continue  # ONNX Runtime does not take it either
            raise
        answered = 0
        for binding in bindings_of(case, variant, FULL):
            feeds = model.feeds(binding)
            try:
                want = oracle(feeds)
            except Exception as e:
                want = str(e)
            try:
                got = compiled(feeds)
            except pit.InternalError:
                raise
            except pit.PitError as e:
                if isinstance(want, str):
                    continue
                pytest.fail(f"{what} at {binding}: {type(e).__name__}: {e}")
            if isinstance(want, str):
                continue
            answered += 1
            for name, w in zip(model.outputs, want):
                wrong = difference(got[name], w, case.tolerance, case.exact, case.each)
                assert not wrong, f"{what} at {binding} {options}: {name} {wrong}\n    by {oracle.who}"
        assert answered, f"{what}: no answer to compare with: {want if isinstance(want, str) else oracle}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_operator(case):
    variants = variants_of(case)
    for k, opset in enumerate(case.opsets):
        for variant in variants if FULL or k == 0 else variants[:1]:
            check(case, variant, opset)


def test_every_operator_has_a_case():
    assert not standard_operators() - {c.op for c in CASES}, "operators without a case"
    assert not {c.op for c in CASES} - standard_operators(), "cases of operators that are not supported"
