"""What Python tests share: the committed models, a cache directory that ends with the session, a model of products, Python in a process of its own."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto as T, helper as H, numpy_helper as N

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
MODELS = {m["name"]: m for m in json.loads((FIXTURES / "models.json").read_text())}


class Case:
    """One recorded run of a fixture: what went in, and what ONNX Runtime answered."""

    def __init__(self, kind, inputs, outputs):
        self.kind, self.inputs, self.outputs = kind, inputs, outputs


class Fixture:
    def __init__(self, name):
        self.name, self.info = name, MODELS[name]
        self.path = FIXTURES / self.info["file"]

    def cases(self):
        data = np.load(FIXTURES / f"{self.name}.npz")
        for i, case in enumerate(self.info["cases"]):
            def named(kind, prefix=f"case{i}."):
                start = f"{prefix}{kind}."
                return {key[len(start):]: data[key] for key in data.files if key.startswith(start)}

            yield Case(case["kind"], named("in"), named("out"))


def chain(layers=8, width=64, kind="Softmax"):
    """Matrix products with something behind each, as bytes."""
    r = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(layers):
        nodes += [H.make_node("MatMul", [f"x{i}", f"w{i}"], [f"h{i}"]), H.make_node(kind, [f"h{i}"], [f"x{i + 1}"])]
        weights.append(N.from_array(r.standard_normal((width, width), np.float32) / 8, f"w{i}"))
    graph = H.make_graph(nodes, "g", [H.make_tensor_value_info("x0", T.FLOAT, ["n", width])], [H.make_tensor_value_info(f"x{layers}", T.FLOAT, ["n", width])], weights)
    return H.make_model(graph, opset_imports=[H.make_opsetid("", 17)], ir_version=8).SerializeToString()


def run_python(code, *arguments):
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("pit-cache", numbered=True)
    path.chmod(0o700)
    os.environ["PIT_CACHE_DIR"] = str(path)
    return path


@pytest.fixture
def bert():
    return Fixture("bert-dynamo")


@pytest.fixture
def embedding():
    return Fixture("bert-embedding-script")


def assert_close(got, want, tolerance=2e-4):
    """Equal to `tolerance` of the largest value, NaN where NaN."""
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    finite = want[np.isfinite(want)]
    largest = np.abs(finite).max() if finite.size else 0.0
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * largest + 1e-7, equal_nan=True)
