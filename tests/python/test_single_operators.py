"""Random models of one operator against ONNX Runtime and onnx's reference evaluator: see operators/single.py.

    pytest tests/python/test_single_operators.py                                   2,000 models
    PIT_TEST_SINGLES=100000 pytest tests/python/test_single_operators.py           100,000
    PIT_TEST_SEED=1234 PIT_TEST_SINGLES=1 pytest tests/python/test_single_operators.py      this one
"""

import os
from unittest import mock

import numpy as np
import pytest
from operators import judging, single
from operators.spec import standard_operators

import pit

SEED = int(os.environ.get("PIT_TEST_SEED", "0"))
SINGLES = int(os.environ.get("PIT_TEST_SINGLES", "2000"))
BLOCK = 500  #: models per test


@pytest.mark.parametrize("first", range(SEED, SEED + SINGLES, BLOCK))
def test_single_operators(first):
    found = list(single.run(first, min(BLOCK, SEED + SINGLES - first)))
    print(single.summary(found))
    assert [f["seed"] for f in found] == list(range(first, first + len(found))), "a model is missing"
    assert not any(f["outcome"] in ("wrong", "crash") for f in found), single.summary(found)
    if len(found) == BLOCK:  # else the others would prove nothing
        assert sum(f["outcome"] == "equal" for f in found) > 0.8 * BLOCK, single.summary(found)


def test_every_operator_is_drawn():
    assert standard_operators() == set(single.GENERATORS)
    assert {single.draw(seed).op for seed in range(len(single.GENERATORS))} == set(single.GENERATORS)


def test_a_seed_is_always_the_same_model():
    for seed in range(0, 300, 7):
        a, b = single.draw(seed), single.draw(seed)
        assert str(a) == str(b) and a.proto().SerializeToString() == b.proto().SerializeToString()


@pytest.mark.parametrize("op", ["Relu", "MatMul", "TopK", "Where"])
def test_a_wrong_answer_is_found(op):
    """Whatever PIT gets wrong is seen: an element that is off by more than rounding."""
    right = judging.ask_pit

    def broken(drawn, proto):
        got = right(drawn, proto)
        if isinstance(got, str):
            return got
        return {k: np.where(np.arange(v.size).reshape(v.shape) == v.size // 2, np.zeros_like(v) + 101, v) for k, v in got.items()}

    drawn = next(m for m in (single.draw(s, op) for s in range(60)) if judging.judge(m)[0] == "equal" and m.operands[0].size > 1)
    with mock.patch.object(judging, "ask_pit", broken):
        assert judging.judge(drawn)[0] == "wrong"


def test_a_crash_names_its_seed(tmp_path):
    """A child that dies or hangs ends neither the run nor goes unseen."""
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, sys, time\n"
        "first, count = int(sys.argv[sys.argv.index('--seed') + 1]), int(sys.argv[sys.argv.index('--models') + 1])\n"
        "for seed in range(first, first + count):\n"
        "    print(json.dumps({'begin': seed}), flush=True)\n"
        "    if seed == 3: os.abort()\n"
        "    if seed == 5: time.sleep(60)\n"
        "    print(json.dumps({'seed': seed, 'op': 'Relu', 'outcome': 'equal', 'why': '', 'model': ''}), flush=True)\n"
    )
    real = single.subprocess.Popen
    with mock.patch.object(single.subprocess, "Popen", lambda command, **how: real([command[0], str(script), *command[3:]], **how)):
        found = list(single.run(0, 8, patience=10))
    assert [f["seed"] for f in found] == list(range(8))
    assert [f["outcome"] for f in found] == ["equal"] * 3 + ["crash", "equal", "crash"] + ["equal"] * 2
