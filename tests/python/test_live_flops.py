"""How much of the work is left: the shares that `explain` reports against those of an independent analysis.

live_flops.json holds, per fixture, the shares of weight-matmul and attention-matmul FLOPs that are needed for the batch below, found
element by element; "full" with every output demanded, "declared" with the first output declared by attention_mask.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Fixture

import pit

EXPECTED = json.loads((Path(__file__).parent / "live_flops.json").read_text())
LENGTHS = np.array([64, 50, 33, 20, 12, 7, 3, 1])
DTYPES = {"int64": np.int64, "int32": np.int32, "float32": np.float32, "bool": np.bool_}

# Attention works on tiles of query rows that share one list of keys: exact for padding, more under causal masks and windows.
TILE_FACTOR = 1.02
CAUSAL_FACTOR = 1.40
WINDOW_FACTOR = 2.40
CAUSAL = ("opt", "gpt2", "gpt-neox", "llama", "bloom")


def attention_factor(name):
    if name.startswith("modernbert"):
        return WINDOW_FACTOR
    return CAUSAL_FACTOR if name.startswith(CAUSAL) else TILE_FACTOR


def batch(info):
    mask = np.arange(LENGTHS.max()) < LENGTHS[:, None]
    ids = np.where(mask, 2 + np.arange(LENGTHS.max()) % 5, 1)
    values = {"attention_mask": mask, "token_type_ids": np.zeros_like(ids), "input_ids": ids}
    return {i["name"]: values[i["name"]].astype(DTYPES[i["type"]]) for i in info["inputs"]}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in sorted(EXPECTED) for kind in EXPECTED[name]])
def test_share_of_flops(name, kind):
    model, expected = Fixture(name), EXPECTED[name][kind]
    outputs = {model.info["outputs"][0]["name"]: "attention_mask"} if kind == "declared" else [model.info["outputs"][0]["name"]]
    found = pit.compile(model.path, outputs=outputs).explain(batch(model.info), json=True)
    # Less would mean that something needed was left out.
    assert expected["weight"] * 0.98 <= found["weight_flops_live"] <= expected["weight"] * 1.01 + 0.002
    assert expected["attention"] * 0.98 <= found["attention_flops_live"] <= expected["attention"] * attention_factor(name) + 0.002
