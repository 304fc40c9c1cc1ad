"""What ONNX Runtime (or onnx's reference evaluator) answers, and whether PIT's answer is the same."""

import warnings

import numpy as np
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

LARGE = 1e3  #: from here on a value counts by its own size: it is what a mask fills with

ort.set_default_logger_severity(4)


def session(proto):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


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
            wrong = np.where(finite, ~near, ~((got == want) | (np.isnan(got) & np.isnan(want))))
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
