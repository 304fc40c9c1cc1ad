"""NumPy, SciPy and ONNX Runtime, and the NumPy expressions for the other algebras."""

from __future__ import annotations

import numpy as np

from .base import Absent, Contestant, NUMPY_AVX2, Process, dense_to_csr_supported


def processes(threads: int) -> list[Process]:
    return [Process("numpy", avx2=NUMPY_AVX2), Process("scipy", avx2=NUMPY_AVX2),
            Process("onnxruntime", avx2="its kernels cannot be limited to AVX2: they go by the CPU alone")]


class Dense(Contestant):
    name = "numpy"

    def run(self, a, b, c_live, out, a_live):
        np.matmul(a, b, out=out)


class LiveRows(Contestant):
    """What a user does by hand who knows which terms are dead: take the live columns of A and rows of B, multiply these densely."""
    name, sort = "numpy-take", "sparse"

    def refuse(self, case):
        if case.index != "known" or case.granularity[0] < case.m:
            return "for known terms that are dead for all rows"
        return super().refuse(case)

    def run(self, a, b, c_live, out, a_live):
        live = np.flatnonzero(a_live[0].repeat(self.width)[: a.shape[1]])
        np.matmul(a[:, live], b[live], out=out)

    def prepare(self, case, b):
        self.width = case.granularity[1]


class MaxPlus(Contestant):
    """The expression, a row of A at a time: the whole [m, k, n] cube at once would not fit into caches, nor often into memory."""
    name = "numpy-maxplus"

    def refuse(self, case):
        return None if case.kind == "matmul" and case.algebra == "maxplus" else "max-plus only"

    def run(self, a, b, c_live, out, a_live):
        for i in range(a.shape[0]):
            np.max(a[i][:, None] + b, axis=0, out=out[i])


class LogSumExp(Contestant):
    name = "numpy-logsumexp"

    def refuse(self, case):
        return None if case.kind == "matmul" and case.algebra == "logsumexp" else "logsumexp only"

    def run(self, a, b, c_live, out, a_live):
        with np.errstate(divide="ignore", invalid="ignore"):
            for i in range(a.shape[0]):
                terms = a[i][:, None] + b
                top = terms.max(axis=0)
                shift = np.where(np.isfinite(top), top, 0)
                terms -= shift
                np.exp(terms, out=terms)
                np.log(terms.sum(axis=0), out=out[i])
                out[i] += shift


class LogSumExpProduct(LogSumExp):
    """The trick log(exp(A - max) @ exp(B - max)): a dense product, but terms far below their row's maximum underflow."""
    name = "numpy-logmatmulexp"

    def run(self, a, b, c_live, out, a_live):
        with np.errstate(divide="ignore", invalid="ignore"):
            row, column = a.max(axis=1, keepdims=True), b.max(axis=0, keepdims=True)
            row, column = np.where(np.isfinite(row), row, 0), np.where(np.isfinite(column), column, 0)
            np.matmul(np.exp(a - row), np.exp(b - column), out=out)
            np.log(out, out=out)
            out += row
            out += column


class PrunedMaxPlus(MaxPlus):
    """What a careful user writes: take the states that somebody is in, and the successors that are wanted, then the same expression."""
    name, sort, base = "numpy-maxplus-take", "sparse", MaxPlus

    def refuse(self, case):
        return self.base.refuse(self, case) or (None if case.zeros > 0 or case.c_zeros > 0 else "nothing to leave out")

    def prepare(self, case, b):
        self.granularity = case.c_granularity

    def run(self, a, b, c_live, out, a_live):
        live = np.flatnonzero(np.isfinite(a).any(0))
        wanted = np.flatnonzero(c_live.any(0).repeat(self.granularity[1])[: b.shape[1]])
        part = np.empty((a.shape[0], wanted.size), np.float32)
        self.base.run(self, np.ascontiguousarray(a[:, live]), np.ascontiguousarray(b[np.ix_(live, wanted)]), c_live, part, a_live)
        out[...] = -np.inf
        out[:, wanted] = part


class PrunedLogSumExp(PrunedMaxPlus):
    name, base = "numpy-logsumexp-take", LogSumExp


class Copy(Contestant):
    """A copy of A: what reading it and writing as much would take."""
    name = "memcpy"

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def prepare(self, case, b):
        self.target = np.zeros((case.m, case.k), np.float32)

    def run(self, a, b, c_live, out, a_live):
        np.copyto(self.target, a)


class NonZero(Copy):
    name, sort = "numpy-nonzero", "sparse"

    def run(self, a, b, c_live, out, a_live):
        self.found = a.nonzero()


class ScipyCsr(Contestant):
    name, sort, weak = "scipy-csr", "sparse", True
    refuse = staticmethod(dense_to_csr_supported)

    def run(self, a, b, c_live, out, a_live):
        return self.sparse.csr_matrix(a) @ b


class ScipyBsr(ScipyCsr):
    name = "scipy-bsr"

    def refuse(self, case):
        height, width = case.granularity
        if height * width == 1 or case.m % height or case.k % width:
            return "no blocks in this granularity"
        return dense_to_csr_supported(case)

    def prepare(self, case, b):
        self.block = case.granularity

    def run(self, a, b, c_live, out, a_live):
        return self.sparse.bsr_matrix(a, blocksize=self.block) @ b


class ScipyWeights(ScipyCsr):
    name, sort = "scipy-weights", "weights"

    def refuse(self, case):
        return "no zeros in B" if case.b_zeros == 0 else Contestant.refuse(self, case)

    def prepare(self, case, b):
        self.dynamic = case.b == "dynamic"
        self.weights = self.sparse.csc_matrix(b)

    def run(self, a, b, c_live, out, a_live):
        return a @ (self.sparse.csc_matrix(b) if self.dynamic else self.weights)


class ScipyConvert(ScipyCsr):
    name = "scipy-to-csr"

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def run(self, a, b, c_live, out, a_live):
        self.found = self.sparse.csr_matrix(a)


class ScipyConvertBsr(ScipyConvert):
    name = "scipy-to-bsr"

    def prepare(self, case, b):
        self.block = case.granularity

    def run(self, a, b, c_live, out, a_live):
        self.found = self.sparse.bsr_matrix(a, blocksize=self.block)


class OnnxRuntime(Contestant):
    """MatMul with B as an initialiser (packed when the session starts) or as an input."""
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise Absent(f"not installed: {error.name}") from None
        self.onnx, self.runtime, self.threads = onnx, onnxruntime, threads

    def prepare(self, case, b):
        helper, f32 = self.onnx.helper, self.onnx.TensorProto.FLOAT
        self.static = case.b == "static" and b.nbytes < 1 << 30
        inputs = [helper.make_tensor_value_info("a", f32, [case.m, case.k])]
        weights = []
        if self.static:
            weights = [self.onnx.numpy_helper.from_array(b, "b")]
        else:
            inputs.append(helper.make_tensor_value_info("b", f32, [case.k, case.n]))
        graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "matmul", inputs,
                                  [helper.make_tensor_value_info("c", f32, [case.m, case.n])], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.log_severity_level = 3
        self.session = self.runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()

    def run(self, a, b, c_live, out, a_live):
        binding = self.binding
        binding.bind_input("a", "cpu", 0, np.float32, a.shape, a.ctypes.data)
        if not self.static:
            binding.bind_input("b", "cpu", 0, np.float32, b.shape, b.ctypes.data)
        binding.bind_output("c", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        self.session.run_with_iobinding(binding)


def load(process: str, threads: int) -> list[Contestant]:
    if process == "numpy":
        return [Dense(), LiveRows(), MaxPlus(), LogSumExp(), LogSumExpProduct(), PrunedMaxPlus(), PrunedLogSumExp(),
                Copy(), NonZero()]
    if process == "onnxruntime":
        return [OnnxRuntime(threads)]
    try:
        import scipy.sparse
    except ImportError:
        raise Absent("not installed: scipy") from None
    contestants = [ScipyCsr(), ScipyBsr(), ScipyWeights(), ScipyConvert(), ScipyConvertBsr()]
    for contestant in contestants:
        contestant.sparse = scipy.sparse
    return contestants
