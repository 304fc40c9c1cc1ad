"""Fixtures of the Python tests: the committed models, and a cache directory that ends with the session."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

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
