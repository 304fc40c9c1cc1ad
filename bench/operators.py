#!/usr/bin/env python3
"""Every operator at a common size, against ONNX Runtime: one model of one operator a row, outputs compared, calls in turns.

    .venv/bin/python bench/operators.py                      # all, about two minutes
    .venv/bin/python bench/operators.py --only 'Pool|CumSum'  # those whose name matches
    .venv/bin/python bench/operators.py --threads 1 --json results.json

`ratio` is ONNX Runtime's time over PIT's (above 1: PIT is faster), the median of ratios within a round. `steps` names what
is no generated kernel: a library routine, or `interpreter` where an expression has none.
"""
import argparse
import json
import math
import re
import sys
import time

import numpy as np
import onnxruntime
import pit
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
OPSET = 17
SPINNING = 0.002  # seconds until the threads of who ran before sleep
F32, F64, F16, I64, I32, U8, B8 = np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_


def floats(*shape, dtype=F32, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype(dtype)


def ints(*shape, low=0, high=10, dtype=I64):
    return RNG.integers(low, high, shape).astype(dtype)


def bools(*shape):
    return RNG.random(shape) < 0.5


class Row:
    """One operator: `fed` operands come with each call, `constants` are in the model, both in the operator's order."""

    def __init__(self, name, op, operands, constants=(), outputs=1, opset=OPSET, domain="", **attributes):
        self.name, self.op, self.operands, self.outputs, self.opset = name, op, operands, outputs, opset
        self.constants, self.domain, self.attributes = set(constants), domain, attributes

    def model(self):
        names = [f"x{i}" if v is not None else "" for i, v in enumerate(self.operands)]
        out = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, names, out, domain=self.domain, **self.attributes)
        info, constants = [], []
        for i, v in enumerate(self.operands):
            if v is None:
                continue
            if i in self.constants:
                constants.append(numpy_helper.from_array(np.asarray(v), names[i]))
            else:
                info.append(helper.make_tensor_value_info(names[i], helper.np_dtype_to_tensor_dtype(v.dtype), v.shape))
        graph = helper.make_graph([node], "operator", info, [helper.make_empty_tensor_value_info(o) for o in out], constants)
        opsets = [helper.make_opsetid("", self.opset)] + ([helper.make_opsetid(self.domain, 1)] if self.domain else [])
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()

    def feed(self):
        return {f"x{i}": v for i, v in enumerate(self.operands) if v is not None and i not in self.constants}


def elementwise():
    x, y = floats(64, 128, 384), floats(64, 128, 384)
    positive = np.abs(x) + 0.1
    for op in ("Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Softplus", "Softsign",
               "HardSigmoid", "HardSwish", "Elu", "Selu", "Celu", "LeakyRelu", "ThresholdedRelu", "Atan"):  # fmt: skip
        yield Row(op, op, [x])
    for op in ("Sqrt", "Reciprocal", "Log"):
        yield Row(op, op, [positive])
    yield Row("Gelu", "Gelu", [x], opset=20)
    for op in ("IsNaN", "IsInf"):
        yield Row(op, op, [x])
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        yield Row(op, op, [x, y])
    yield Row("Add row", "Add", [x, floats(384)])
    yield Row("Mul column", "Mul", [x, floats(64, 128, 1)])
    yield Row("Add f64", "Add", [x.astype(F64), y.astype(F64)])
    yield Row("Add i64", "Add", [ints(64, 128, 384), ints(64, 128, 384)])
    yield Row("Mul i32", "Mul", [ints(64, 128, 384, dtype=I32), ints(64, 128, 384, dtype=I32)])
    yield Row("Add f16", "Add", [x.astype(F16), y.astype(F16)])
    yield Row("Pow 2", "Pow", [x, np.array(2, F32)], [1])
    yield Row("Pow 1.5", "Pow", [positive, np.array(1.5, F32)], [1])
    yield Row("Mod i64", "Mod", [ints(64, 4096), ints(64, 4096, low=1)])
    for op in ("Equal", "Greater", "Less", "GreaterOrEqual"):
        yield Row(op, op, [x, y])
    yield Row("Equal i64", "Equal", [ints(64, 128, 384), ints(64, 128, 384)])
    for op in ("And", "Or", "Xor"):
        yield Row(op, op, [bools(64, 128, 384), bools(64, 128, 384)])
    yield Row("Not", "Not", [bools(64, 128, 384)])
    yield Row("Where", "Where", [bools(64, 128, 384), x, y])
    yield Row("Clip", "Clip", [x, np.array(-1, F32), np.array(1, F32)], [1, 2])
    yield Row("PRelu", "PRelu", [floats(8, 64, 56, 56), floats(64, 1, 1)], [1])
    yield Row("Cast f32 i64", "Cast", [x], to=TensorProto.INT64)
    yield Row("Cast i64 f32", "Cast", [ints(64, 128, 384)], to=TensorProto.FLOAT)
    yield Row("Cast f32 f16", "Cast", [x], to=TensorProto.FLOAT16)
    yield Row("Cast f16 f32", "Cast", [x.astype(F16)], to=TensorProto.FLOAT)
    yield Row("Cast f32 bool", "Cast", [x], to=TensorProto.BOOL)
    yield Row("Cast u8 f32", "Cast", [ints(64, 128, 384, dtype=U8)], to=TensorProto.FLOAT)
    yield Row("Sum of 3", "Sum", [x, y, x])
    yield Row("Mean of 3", "Mean", [x, y, x])


def reductions():
    x = floats(64, 128, 384)
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare", "ReduceL1", "ReduceProd"):
        named = op == "ReduceSum"
        for label, axes in (("last", [2]), ("middle", [1]), ("first", [0]), ("two", [1, 2]), ("all", [0, 1, 2])):
            if label in ("first", "two", "all") and op not in ("ReduceSum", "ReduceMax", "ReduceMean"):
                continue
            operands = [x * F32(0.01) + F32(1)] if op == "ReduceProd" else [x]
            if named:
                yield Row(f"{op} {label}", op, [*operands, np.array(axes, I64)], [1])
            else:
                yield Row(f"{op} {label}", op, operands, axes=axes)
    yield Row("ReduceSum i64", "ReduceSum", [ints(64, 128, 384), np.array([2], I64)], [1])
    yield Row("ReduceMean f64", "ReduceMean", [x.astype(F64)], axes=[2])
    yield Row("ReduceMean image", "ReduceMean", [floats(8, 64, 56, 56)], axes=[2, 3])
    for op in ("ArgMax", "ArgMin"):
        yield Row(f"{op} last", op, [x], axis=2)
        yield Row(f"{op} middle", op, [x], axis=1)
    yield Row("CumSum last", "CumSum", [x, np.array(2, I64)], [1])
    yield Row("CumSum middle", "CumSum", [x, np.array(1, I64)], [1])
    yield Row("CumSum i64", "CumSum", [ints(32, 512), np.array(1, I64)], [1])
    yield Row("TopK 8", "TopK", [floats(512, 1024), np.array([8], I64)], [1], outputs=2)
    yield Row("TopK 2 of 8", "TopK", [floats(4096, 8), np.array([2], I64)], [1], outputs=2)


def normalisations():
    x, scale, bias = floats(64, 128, 384), floats(384), floats(384)
    yield Row("Softmax", "Softmax", [x], axis=-1)
    yield Row("Softmax middle", "Softmax", [x], axis=1)
    yield Row("LogSoftmax", "LogSoftmax", [x], axis=-1)
    yield Row("LayerNormalization", "LayerNormalization", [x, scale, bias], [1, 2], axis=-1)
    image, channel = floats(8, 64, 56, 56), floats(64)
    yield Row("BatchNormalization", "BatchNormalization", [image, channel, channel, channel, np.abs(channel) + F32(0.1)], [1, 2, 3, 4])
    yield Row("InstanceNormalization", "InstanceNormalization", [image, channel, channel], [1, 2])
    yield Row("GroupNormalization", "GroupNormalization", [image, floats(64), floats(64)], [1, 2], num_groups=8, opset=21)
    yield Row("LpNormalization", "LpNormalization", [x], axis=-1)
    yield Row("LRN", "LRN", [image], size=5)


def windows():
    image = floats(4, 64, 56, 56)
    for name, attributes in (("2x2", dict(kernel_shape=[2, 2], strides=[2, 2])), ("3x3 padded", dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))):
        yield Row(f"MaxPool {name}", "MaxPool", [image], **attributes)
        yield Row(f"AveragePool {name}", "AveragePool", [image], **attributes)
    yield Row("GlobalAveragePool", "GlobalAveragePool", [image])
    yield Row("GlobalMaxPool", "GlobalMaxPool", [image])
    weight = lambda *shape: floats(*shape, low=-0.1, high=0.1)  # noqa: E731
    small = floats(1, 64, 56, 56)
    yield Row("Conv 1x1", "Conv", [small, weight(128, 64, 1, 1)], [1])
    yield Row("Conv 3x3", "Conv", [small, weight(64, 64, 3, 3)], [1], pads=[1] * 4)
    yield Row("Conv 3x3 stride 2", "Conv", [small, weight(128, 64, 3, 3)], [1], pads=[1] * 4, strides=[2, 2])
    yield Row("Conv 7x7 stem", "Conv", [floats(1, 3, 224, 224), weight(64, 3, 7, 7)], [1], pads=[3] * 4, strides=[2, 2])
    yield Row("Conv depthwise 3x3", "Conv", [small, weight(64, 1, 3, 3)], [1], pads=[1] * 4, group=64)
    yield Row("Conv depthwise 7x7", "Conv", [small, weight(64, 1, 7, 7)], [1], pads=[3] * 4, group=64)
    yield Row("Conv 4 groups", "Conv", [small, weight(64, 16, 3, 3)], [1], pads=[1] * 4, group=4)
    yield Row("Conv dilated", "Conv", [small, weight(64, 64, 3, 3)], [1], pads=[2] * 4, dilations=[2, 2])
    yield Row("Conv 1-D", "Conv", [floats(4, 128, 400), weight(128, 128, 5)], [1], pads=[2, 2])
    yield Row("Conv patches", "Conv", [floats(1, 3, 224, 224), weight(384, 3, 16, 16)], [1], strides=[16, 16])
    yield Row("ConvTranspose", "ConvTranspose", [floats(1, 32, 28, 28), weight(32, 32, 2, 2)], [1], strides=[2, 2])


def products():
    yield Row("MatMul 512", "MatMul", [floats(512, 512), floats(512, 512)])
    yield Row("MatMul weights", "MatMul", [floats(16, 128, 384), floats(384, 1536)], [1])
    yield Row("MatMul heads", "MatMul", [floats(8, 12, 128, 64), floats(8, 12, 64, 128)])
    yield Row("MatMul one row", "MatMul", [floats(1, 1024), floats(1024, 1024)], [1])
    yield Row("MatMul f64", "MatMul", [floats(256, 256, dtype=F64), floats(256, 256, dtype=F64)], [1])
    yield Row("MatMul f16", "MatMul", [floats(256, 384, dtype=F16), floats(384, 384, dtype=F16)], [1])
    yield Row("Gemm", "Gemm", [floats(256, 512), floats(1024, 512), floats(1024)], [1, 2], transB=1)
    yield Row("Einsum bhqd,bhkd", "Einsum", [floats(4, 8, 64, 64), floats(4, 8, 64, 64)], equation="bhqd,bhkd->bhqk")
    yield Row("MatMulInteger", "MatMulInteger", [ints(128, 384, high=255, dtype=U8), ints(384, 384, low=-100, high=100, dtype=np.int8)], [1])


def movements():
    x = floats(64, 128, 384)
    yield Row("Transpose last", "Transpose", [x], perm=[0, 2, 1])
    yield Row("Transpose heads", "Transpose", [floats(16, 128, 12, 64)], perm=[0, 2, 1, 3])
    yield Row("Concat last", "Concat", [x, x], axis=2)
    yield Row("Concat first", "Concat", [x, x], axis=0)
    yield Row("Slice", "Slice", [x, np.array([8], I64), np.array([100], I64), np.array([1], I64)], [1, 2, 3])
    yield Row("Slice steps", "Slice", [x, np.array([-1], I64), np.array([-1000], I64), np.array([2], I64), np.array([-1], I64)], [1, 2, 3, 4])
    yield Row("Split", "Split", [x], axis=2, outputs=3)
    yield Row("Pad", "Pad", [floats(8, 64, 56, 56), np.array([0, 0, 1, 1, 0, 0, 1, 1], I64)], [1])
    yield Row("Pad reflect", "Pad", [floats(8, 64, 56, 56), np.array([0, 0, 1, 1, 0, 0, 1, 1], I64)], [1], mode="reflect")
    yield Row("Tile", "Tile", [floats(16, 128, 64), np.array([1, 1, 4], I64)], [1])
    yield Row("Expand", "Expand", [floats(64, 1, 384), np.array([64, 128, 384], I64)], [1])
    yield Row("Gather rows", "Gather", [floats(30000, 384), ints(64, 128, high=30000)], [0], axis=0)
    yield Row("Gather columns", "Gather", [x, ints(100, high=384)], [1], axis=2)
    yield Row("GatherElements", "GatherElements", [x, ints(64, 128, 384, high=384)], axis=2)
    yield Row("GatherND", "GatherND", [x, ints(64, 128, 1, high=128)], batch_dims=1)
    yield Row("ScatterElements", "ScatterElements", [floats(64, 4096), ints(64, 512, high=4096), floats(64, 512)], axis=1)
    yield Row("ScatterND", "ScatterND", [floats(8192, 64), RNG.permutation(8192)[:4096, None].astype(I64), floats(4096, 64)])
    yield Row("OneHot", "OneHot", [ints(64, 128, high=64), np.array(64, I64), np.array([0, 1], F32)], [1, 2])
    yield Row("Trilu", "Trilu", [floats(64, 256, 256)])
    yield Row("DepthToSpace", "DepthToSpace", [floats(8, 64, 28, 28)], blocksize=2)
    yield Row("SpaceToDepth", "SpaceToDepth", [floats(8, 16, 56, 56)], blocksize=2)
    yield Row("ReverseSequence", "ReverseSequence", [floats(128, 64, 64), ints(64, low=1, high=128)], batch_axis=1, time_axis=0)
    yield Row("NonZero", "NonZero", [bools(512, 512)])
    yield Row("Compress", "Compress", [x, bools(128)], axis=1)
    yield Row("Resize nearest", "Resize", [floats(4, 32, 28, 28), None, np.array([1, 1, 2, 2], F32)], [2], mode="nearest")
    yield Row("Resize linear", "Resize", [floats(4, 32, 28, 28), None, np.array([1, 1, 2, 2], F32)], [2], mode="linear")
    yield Row("Unique", "Unique", [ints(20000, high=1000)], outputs=1)
    yield Row("Reshape", "Reshape", [x, np.array([64, 128, 12, 32], I64)], [1])
    yield Row("EyeLike", "EyeLike", [floats(512, 512)])
    yield Row("QuantizeLinear", "QuantizeLinear", [x, np.array(0.02, F32), np.array(128, U8)], [1, 2])
    yield Row("DequantizeLinear", "DequantizeLinear", [ints(64, 128, 384, high=255, dtype=U8), np.array(0.02, F32), np.array(128, U8)], [1, 2])
    yield Row("DynamicQuantizeLinear", "DynamicQuantizeLinear", [floats(128, 384)], outputs=3)


def recurrent():
    x, h = floats(50, 8, 64), 64
    weights = lambda gates: [floats(1, gates * h, 64, low=-0.1, high=0.1), floats(1, gates * h, h, low=-0.1, high=0.1)]  # noqa: E731
    yield Row("LSTM", "LSTM", [x, *weights(4)], [1, 2], hidden_size=h)
    yield Row("GRU", "GRU", [x, *weights(3)], [1, 2], hidden_size=h)


ROWS = (elementwise, reductions, normalisations, windows, products, movements, recurrent)


def contest(row, threads, seconds):
    model, feed = row.model(), row.feed()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else they keep a CPU while PIT runs
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        want = session.run(None, feed)
    except Exception as e:  # noqa: BLE001 - whatever it does not take
        return {"name": row.name, "error": "ONNX Runtime: " + str(e).splitlines()[0][:90]}
    try:
        compiled = pit.compile(model, threads=threads)
        got = list(compiled(feed).values())
    except pit.PitError as e:
        return {"name": row.name, "error": f"{type(e).__name__}: {str(e).splitlines()[0][:90]}"}
    worst = 0.0
    for a, b in zip(got, want):
        if a.shape != b.shape:
            return {"name": row.name, "error": f"shape {a.shape}, not {b.shape}"}
        a, b = np.asarray(a, F64), np.asarray(b, F64)
        finite = np.isfinite(b)
        if a.size and finite.any():
            worst = max(worst, float((np.abs(a - b)[finite] / (1 + np.abs(b)[finite])).max()))
    report = compiled.explain(feed, json=True)
    odd = [note.split(": ", 1)[1].split(" (")[0] for note in report.get("notes", []) if "library routine" in note or "interpreter" in note]
    times = {"ort": [], "pit": []}
    contestants = [("ort", lambda: session.run(None, feed)), ("pit", lambda: compiled(feed))]
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < seconds:
        for who, call in contestants if rounds % 2 else reversed(contestants):
            time.sleep(SPINNING)
            call()
            for _ in range(5):
                t = time.perf_counter()
                call()
                times[who].append(time.perf_counter() - t)
        rounds += 1
    ratio = float(np.median(np.array(times["ort"]) / np.array(times["pit"])))
    return {"name": row.name, "ort_ms": 1e3 * float(np.median(times["ort"])), "pit_ms": 1e3 * float(np.median(times["pit"])), "ratio": ratio,
            "error_of_outputs": worst, "steps": ", ".join(odd)}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name matches this regular expression")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.4, help="at least so long per row, of calls in turns")
    parser.add_argument("--json", help="write all results there")
    args = parser.parse_args()
    rows = [row for family in ROWS for row in family() if re.search(args.only, row.name)]
    if not rows:
        sys.exit(f"no row matches '{args.only}'")
    results = []
    for i, row in enumerate(rows):
        print(f"\r[{i + 1}/{len(rows)}] {row.name:40}", end="", file=sys.stderr, flush=True)
        results.append(contest(row, args.threads, args.seconds))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    print(f"{'operator':26} {'ONNX Runtime':>12} {'PIT':>10} {'ratio':>7}  {'difference':>10}  steps")
    for r in sorted(results, key=lambda r: r.get("ratio", -1)):
        if "error" in r:
            print(f"{r['name']:26} {r['error']}")
        else:
            print(f"{r['name']:26} {r['ort_ms']:9.3f} ms {r['pit_ms']:7.3f} ms {r['ratio']:7.2f}  {r['error_of_outputs']:10.1e}  {r['steps']}")
    ratios = [r["ratio"] for r in results if "ratio" in r]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"\n{len(ratios)} of {len(rows)} rows: geometric mean {mean:.2f}, {sum(r >= 0.67 for r in ratios)} at 0.67 or more, least {min(ratios):.2f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
