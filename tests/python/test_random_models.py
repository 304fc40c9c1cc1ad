"""Random masked models: the dense model's answer whatever is skipped, and something is skipped.

    pytest tests/python/test_random_models.py                                             2,000 of them or 90 seconds, whichever ends first
    PIT_TEST_SEED=1234 PIT_TEST_GRAPHS=1 pytest tests/python/test_random_models.py        this one only
    python tests/python/random_models.py --hours 8 --jobs 4                               for long
"""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from operators import net
from operators.known import Known, known_net
from operators.masked import CONFIGS, masked_net
from operators.source import program

import pit
import random_models

SEED = int(os.environ.get("PIT_TEST_SEED", "0"))
MODELS = int(os.environ.get("PIT_TEST_GRAPHS", "2000"))
SECONDS = float(os.environ.get("PIT_TEST_SECONDS", "90"))
REFUSED = 0.03  #: share of the models that PIT may refuse


def test_random_models(capsys):
    begun, refused, shares = time.monotonic(), 0, []
    for seed in range(SEED, SEED + MODELS):
        if time.monotonic() - begun > SECONDS:
            break
        result = random_models.judged(seed, shrink_seconds=60)
        if result["result"].startswith("wrong"):
            pytest.fail(f"PIT_TEST_SEED={seed}: {result['message']}\n\n{result.get('program', '')}", pytrace=False)
        refused += result["result"] == "refused"
        shares.append(result["live"])
    n, skipping = len(shares), sum(s < 1 for s in shares)
    with capsys.disabled():
        print(f"\n{n} random masked models, seeds {SEED} to {SEED + n - 1}: {refused} refused, {skipping} skip something, "
              f"mean live share of steps {sum(shares) / n:.2f}")  # fmt: skip
    assert refused <= max(2, REFUSED * n)
    assert n < 50 or skipping > n / 5, "soundness by computing everything"


#: Kinds that could skip more than they do.
DENSE_FOR_NOW = {"convolution"}


def weight_products(graph):
    """Names of the results of products with weights."""
    return {n.outputs[0] for n in graph.nodes if n.op in ("MatMul", "Gemm", "Conv", "Einsum") and any(np.ndim(graph.constants.get(i, 0)) > 1 for i in n.inputs)}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.xfail(strict=True)) if k in DENSE_FOR_NOW else k for k in Known.KINDS])
def test_what_is_dead_is_skipped(kind):
    for seed in range(2):
        graph, weights, attention = known_net(seed, kind)
        products = weight_products(graph)
        model = pit.compile(graph.proto(), outputs=graph.wanted())
        for feeds, most, most_attention in zip(graph.feeds, weights, attention or [1.0] * len(weights)):
            for step in model.profile(feeds, repeat=1, json=True)["steps"]:
                computed = {re.search("'(.*)'", text).group(1) for text in step["operators"]}
                assert not computed & products or step["live"] <= most + 1e-3, f"seed {seed}: {step} instead of {most}\n{graph}"
            found = model.explain(feeds, json=True)
            assert (found["attention_flops_live"] or 0) <= most_attention + 1e-3, f"seed {seed}: attention\n{graph}"


@pytest.mark.parametrize("kind", Known.KINDS)
def test_known_models_are_right(kind):
    for seed in range(2, 4):
        graph, *_ = known_net(seed, kind)
        net.check(graph, configs=CONFIGS[seed % 2:seed % 2 + 1])


def test_threads_change_no_bit():
    for seed in range(0, 40, 5):
        graph, _ = masked_net(seed)
        try:
            one, two = (pit.compile(graph.proto(), threads=t) for t in (1, 2))
        except pit.UnsupportedError:
            continue
        for feeds in graph.feeds:
            a, b = one(feeds), two(feeds)
            for name in graph.outputs:
                assert a[name].tobytes() == b[name].tobytes(), f"seed {seed}: {name} depends on the number of threads"


@pytest.mark.parametrize("tolerance, code", [(1e-3, 0), (-1.0, 1)], ids=["right", "wrong"])
def test_failures_are_printed_as_programs(tolerance, code, tmp_path):
    graph, *_ = known_net(0, "mean_of_feed_forward")
    path = tmp_path / "found.py"
    path.write_text(program(graph, "what was found", CONFIGS[0], net.OPSET, tolerance))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code and ("WRONG" in done.stdout) == bool(code), done.stdout + done.stderr
