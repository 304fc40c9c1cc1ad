"""Random small graphs against ONNX Runtime: dynamic extents, several outputs, poisoned memory, sparse and dense, two instruction sets.

    pytest tests/python/test_random_graphs.py                                              a few
    PIT_TEST_GRAPHS=300 pytest tests/python/test_random_graphs.py                          300 of them
    PIT_TEST_SEED=1234 PIT_TEST_GRAPHS=1 pytest tests/python/test_random_graphs.py         this graph only

A graph that fails is taken apart until every node that is left is needed; its seed and the nodes are printed.
"""

import os
from unittest import mock

import pytest
from operators import net
from operators.generate import random_net

SEED = int(os.environ.get("PIT_TEST_SEED", "0"))
GRAPHS = int(os.environ.get("PIT_TEST_GRAPHS", "20"))
BLOCK = 10  #: graphs per test

SEEDS = pytest.mark.parametrize("seeds", [range(k, min(k + BLOCK, SEED + GRAPHS)) for k in range(SEED, SEED + GRAPHS, BLOCK)],
                                ids=lambda r: f"{r.start}-{r.stop - 1}")  # fmt: skip


def check(graph, seed, **options):
    configs = net.CONFIGS if seed % 4 == 0 else net.CONFIGS[:1]
    try:
        net.check(graph, configs=configs, **options)
    except net.Failure as failure:
        smallest, message = net.shrink(graph, configs=configs, **options)
        pytest.fail(f"PIT_TEST_SEED={seed}: {failure}\n\nthe smallest graph that fails, by {message}:\n{smallest}", pytrace=False)


@SEEDS
def test_random_graphs(seeds):
    for seed in seeds:
        check(random_net(seed), seed)


def test_shrinking_finds_the_node():
    """Whatever stands round the one operator that fails is taken away."""
    real = net.check

    def broken(candidate):
        real(candidate, configs=net.CONFIGS[:1])
        if any(n.op == "Tanh" for n in candidate.nodes):
            raise net.Failure("a Tanh")

    seed = next(s for s in range(100) if any(n.op == "Tanh" for n in random_net(s, steps=12).nodes))
    with mock.patch.object(net, "check", broken):
        smallest, message = net.shrink(random_net(seed, steps=12), seconds=30)
    assert message == "a Tanh" and [n.op for n in smallest.nodes] == ["Tanh"], str(smallest)
