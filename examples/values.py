"""Zeros that only values tell: a feed-forward block whose ReLU leaves few neurons alive, and the same block with pruned weights.

    python examples/values.py [--threads N] [--rows 1,16,512] [--seconds S]

Writes x + relu(x W1 + b1) W2 + b2 (768 -> 3072 -> 768, as in OPT and the original Transformer) as ordinary ONNX files, with the bias
chosen so that a given share of the neurons is zero, and compares PIT, PIT told to treat everything as dense, and ONNX Runtime. PIT is
told nothing about zeros: it looks at what the ReLU made in each run, and at the weights once.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import demo
import pit

WIDTH, INNER = 768, 3072
GROUP = 48  # pruned weights: so many columns of a row go together


def block(alive, pruned, width=WIDTH, inner=INNER, seed=0):
    """The model's bytes, and a maker of inputs. `alive`: share of the neurons that the ReLU leaves; `pruned`: share of the groups of weights that are zero."""
    random = np.random.default_rng(seed)

    def weights(rows, columns):
        w = (random.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
        groups = random.random((rows, -(-columns // GROUP))) < pruned
        w[groups.repeat(GROUP, 1)[:, :columns]] = 0
        return w

    w1, w2 = weights(width, inner), weights(inner, width)
    hidden = random.standard_normal((256, width), dtype=np.float32) @ w1
    constants = {"w1": w1, "b1": -np.quantile(hidden, 1 - alive, axis=0).astype(np.float32), "w2": w2, "b2": np.zeros(width, np.float32)}
    steps = [("MatMul", "x w1", "h"), ("Add", "h b1", "hb"), ("Relu", "hb", "a"), ("MatMul", "a w2", "p"), ("Add", "p b2", "q"), ("Add", "q x", "y")]
    shape = ["rows", width]
    graph = helper.make_graph(
        [helper.make_node(op, inputs.split(), [output]) for op, inputs, output in steps], "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString(), lambda rows: random.standard_normal((rows, width), dtype=np.float32)


def compare(path, inputs, threads, seconds):
    """{contestant: median ms}, in turns on fresh inputs, outputs compared; and what PIT did with the second product."""
    sparse, dense = pit.compile(path, threads=threads), pit.compile(path, threads=threads, sparsity="off")
    runtime = demo.onnx_runtime(path, threads)
    contestants = {demo.PIT: lambda x: sparse(x=x)["y"], demo.DENSE: lambda x: dense(x=x)["y"], demo.ORT: lambda x: runtime({"x": x})}
    times = {name: [] for name in contestants}
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times[demo.PIT]) < 3:
        x, outputs = inputs(), {}
        for name, run in contestants.items():
            begin = time.perf_counter()
            outputs[name] = run(x)
            times[name].append(1e3 * (time.perf_counter() - begin))
        assert np.array_equal(outputs[demo.PIT], outputs[demo.DENSE]), "sparse and dense differ"
        assert np.allclose(outputs[demo.PIT], outputs[demo.ORT], atol=1e-3), "PIT and ONNX Runtime differ"
    steps = [s for s in sparse.profile({"x": inputs()}, repeat=1, json=True)["steps"] if s["kind"] == "contraction"]
    return {name: float(np.median(values[1:])) for name, values in times.items()}, steps[-1]["rule"].split(": ")[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rows", default="1,16,512", help="rows of x (tokens), separated by commas")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each line of the table")
    options = parser.parse_args()
    print(f"{options.threads} thread(s), medians in ms\n")
    print(f"{'neurons alive':>13} {'weights left':>12} {'rows':>5} {'PIT':>8} {'dense':>8} {'ORT':>8} {'over ORT':>9}  second product")
    with tempfile.TemporaryDirectory() as folder:
        for alive, pruned in ((0.5, 0), (0.1, 0), (0.03, 0), (0.5, 0.75), (0.1, 0.9)):
            model, make = block(alive, pruned)
            path = Path(folder) / "block.onnx"
            path.write_bytes(model)
            for rows in (int(r) for r in options.rows.split(",")):
                ms, rule = compare(path, lambda rows=rows, make=make: make(rows), options.threads, options.seconds)
                line(alive, pruned, rows, ms, rule)


def line(alive, pruned, rows, ms, rule):
    print(f"{alive:>13.0%} {1 - pruned:>12.0%} {rows:>5} {ms[demo.PIT]:>8.3f} {ms[demo.DENSE]:>8.3f} {ms[demo.ORT]:>8.3f} "
          f"{ms[demo.ORT] / ms[demo.PIT]:>8.2f}x  {rule}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
