"""What ONNX Runtime (or onnx's reference evaluator) answers, and whether PIT's answer is the same."""

import functools
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnx.reference import ReferenceEvaluator

OPSET = 23
LARGE = 1e3  #: from here on a value counts by its own size: it is what a mask fills with

#: What ONNX Runtime computes wrongly, or dies of, where there is nothing to compute.
NEEDS_ELEMENTS = {"Einsum", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Conv", "InstanceNormalization", "GroupNormalization",
                  "LayerNormalization", "RMSNormalization", "ArgMax", "ArgMin", "TopK", "Attention", "ReduceMean", "ReduceMax", "ReduceMin",
                  "ReduceLogSumExp", "Hardmax"}  # fmt: skip

ort.set_default_logger_severity(4)


def session(proto):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_operator(op, values, outputs, attrs):
    """One operator on arrays (None where it gets nothing)."""
    kinds = tuple("" if v is None else str(v.dtype) for v in values)
    frozen = tuple(sorted((k, tuple(v) if isinstance(v, (list, tuple)) else v) for k, v in attrs.items()))
    return operator_session(op, kinds, outputs, frozen).run(None, {f"i{k}": v for k, v in enumerate(values) if v is not None})


@functools.lru_cache(maxsize=None)
def operator_session(op, kinds, outputs, attrs):
    """For any shapes."""
    names = [f"i{k}" if kind else "" for k, kind in enumerate(kinds)]
    node = helper.make_node(op, names, [f"o{k}" for k in range(outputs)], **{k: list(v) if isinstance(v, tuple) else v for k, v in attrs})
    ins = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None) for n, kind in zip(names, kinds) if n]
    graph = helper.make_graph([node], "one", ins, [onnx.ValueInfoProto(name=o) for o in node.output])
    return session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10))


class Oracle:
    """Answers of ONNX Runtime; of the reference evaluator where ONNX Runtime lacks the operator."""

    def __init__(self, proto, reference=False):
        self.who, self._session = "ONNX Runtime", None
        if not reference:
            try:
                self._session = session(proto)
            except Exception as e:
                if not any(t in str(e) for t in ("NOT_IMPLEMENTED", "NotImplemented", "is not a registered", "opset", "Could not find")):
                    raise
        if self._session is None:
            self.who, self._reference = "the reference evaluator", ReferenceEvaluator(proto)

    def __call__(self, feeds):
        if self._session is not None:
            return self._session.run(None, feeds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [np.asarray(y) for y in self._reference.run(None, feeds)]


def difference(got, want, tolerance=2e-4, exact=False, each=False, slack=None, floor=1e-7):
    """None, or where and by how much they differ. `slack`: per element, what may be added to the tolerance."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if got.size == 0:
        return None
    if want.dtype.kind != "f":
        wrong = got != want
    elif exact:
        wrong = ~((got == want) & (np.signbit(got) == np.signbit(want)) | (np.isnan(got) & np.isnan(want)))
    else:
        with np.errstate(all="ignore"):
            finite, size = np.isfinite(want), np.abs(want.astype(np.float64))
            # Next to what masks fill with, the others count by their own size.
            largest = size[size < LARGE].max(initial=0) if (size < LARGE).any() else size[finite].max(initial=0)
            if want.dtype == np.float16:
                tolerance = max(tolerance, 5e-3)
            allowed = tolerance * size + 1e-6 if each else tolerance * np.where(size < LARGE, largest, size) + floor
            if slack is not None:
                allowed = allowed + slack
            near = np.abs(got.astype(np.float64) - want.astype(np.float64)) <= allowed
            # Whether the lowest number or -inf is left where both stood depends on whose exponential vanishes.
            beyond = (np.sign(got) == np.sign(want)) & (np.minimum(np.abs(got.astype(np.float64)), size) >= 1e38)
            wrong = np.where(finite, ~near, ~((got == want) | (np.isnan(got) & np.isnan(want)))) & ~beyond
    if not wrong.any():
        return None
    at = tuple(int(x) for x in np.argwhere(wrong)[0]) if wrong.ndim else ()
    return (f"{list(want.shape)} is wrong in {int(wrong.sum())} of {wrong.size} elements, first at {list(at)}: {got[at]!r}, not {want[at]!r}"
            f"{region(got, want, at)}")


def region(got, want, at):
    """The rows round the first wrong element."""
    if not at:
        return ""
    lo, hi = max(0, at[-1] - 2), at[-1] + 5
    row = at[:-1]
    return f"\n    PIT  ...{np.array2string(got[row][lo:hi], precision=5)}\n    want ...{np.array2string(want[row][lo:hi], precision=5)}"
