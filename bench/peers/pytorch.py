"""PyTorch on the CPU: dense, CSR, BSR, torch.sparse.mm, the sampled product, and the expressions for the other algebras."""

from __future__ import annotations

import warnings

import numpy as np

from .base import Absent, Contestant, MKL_AVX2, NUMPY_AVX2, ONEDNN_AVX2, Process, dense_to_csr_supported


def processes(threads: int) -> list[Process]:
    return [Process("torch", avx2={"ATEN_CPU_CAPABILITY": "avx2"} | MKL_AVX2 | ONEDNN_AVX2 | NUMPY_AVX2)]


class Torch(Contestant):
    torch = None

    def prepare(self, case, b):
        self.weights = self.torch.from_numpy(b)

    def tensors(self, a, b, out):
        return self.torch.from_numpy(a), self.torch.from_numpy(b), self.torch.from_numpy(out)


class Dense(Torch):
    name = "torch"

    def run(self, a, b, c_live, out, a_live):
        x, w, y = self.tensors(a, b, out)
        self.torch.mm(x, w, out=y)


class Csr(Torch):
    """to_sparse_csr() @ B"""
    name, sort, weak = "torch-csr", "sparse", True
    refuse = staticmethod(dense_to_csr_supported)

    def run(self, a, b, c_live, out, a_live):
        x, w, _ = self.tensors(a, b, out)
        return (x.to_sparse_csr() @ w).numpy()


class Coo(Csr):
    """torch.sparse.mm of a COO tensor"""
    name = "torch-sparse-mm"

    def run(self, a, b, c_live, out, a_live):
        x, w, _ = self.tensors(a, b, out)
        return self.torch.sparse.mm(x.to_sparse(), w).numpy()


class Bsr(Csr):
    """Square blocks only reach MKL, as in the library itself."""
    name = "torch-bsr"

    def refuse(self, case):
        block = min(case.granularity)
        if block < 4 or case.m % block or case.k % block:
            return "no square blocks in this granularity"
        return dense_to_csr_supported(case)

    def prepare(self, case, b):
        super().prepare(case, b)
        self.block = (min(case.granularity),) * 2

    def run(self, a, b, c_live, out, a_live):
        x, w, _ = self.tensors(a, b, out)
        return (x.to_sparse_bsr(self.block) @ w).numpy()


class Weights(Torch):
    """Zeros of B: (B^T in CSR) @ A^T"""
    name, sort, weak = "torch-csr-weights", "weights", True

    def refuse(self, case):
        return "no zeros in B" if case.b_zeros == 0 else super().refuse(case)

    def prepare(self, case, b):
        super().prepare(case, b)
        self.dynamic = case.b == "dynamic"
        self.sparse = self.weights.t().to_sparse_csr()

    def run(self, a, b, c_live, out, a_live):
        x, w, _ = self.tensors(a, b, out)
        sparse = w.t().to_sparse_csr() if self.dynamic else self.sparse
        return (sparse @ x.t()).t().contiguous().numpy()


class Sampled(Torch):
    name, sort, weak = "torch-sampled-addmm", "sparse", True

    def refuse(self, case):
        return super().refuse(case) or (None if case.c_zeros > 0 and case.zeros == 0 else "for a sampled result")

    def prepare(self, case, b):
        super().prepare(case, b)
        self.granularity = case.c_granularity

    def run(self, a, b, c_live, out, a_live):
        x, w, _ = self.tensors(a, b, out)
        live = c_live.repeat(self.granularity[0], 0)[: out.shape[0]].repeat(self.granularity[1], 1)[:, : out.shape[1]]
        pattern = self.torch.from_numpy(live.astype(np.float32)).to_sparse_csr()
        return self.torch.sparse.sampled_addmm(pattern, x, w, beta=0.0).to_dense().numpy()


class MaxPlus(Torch):
    name = "torch-maxplus"

    def refuse(self, case):
        return None if case.kind == "matmul" and case.algebra == "maxplus" else "max-plus only"

    def run(self, a, b, c_live, out, a_live):
        x, w, y = self.tensors(a, b, out)
        for i in range(x.shape[0]):
            self.torch.amax(x[i][:, None] + w, dim=0, out=y[i])


class LogSumExp(Torch):
    name = "torch-logsumexp"

    def refuse(self, case):
        return None if case.kind == "matmul" and case.algebra == "logsumexp" else "logsumexp only"

    def run(self, a, b, c_live, out, a_live):
        x, w, y = self.tensors(a, b, out)
        for i in range(x.shape[0]):
            y[i] = self.torch.logsumexp(x[i][:, None] + w, dim=0)


class Convert(Torch):
    sort = "sparse"

    def __init__(self, name: str, convert) -> None:
        self.name, self.convert = name, convert

    def refuse(self, case):
        return None if case.kind == "detect" else "detection only"

    def prepare(self, case, b):
        self.block = case.granularity

    def run(self, a, b, c_live, out, a_live):
        self.found = self.convert(self.torch.from_numpy(a), self.block)


def load(process: str, threads: int) -> list[Contestant]:
    try:
        import torch
    except (ImportError, OSError) as error:
        raise Absent(f"torch cannot be imported: {error}") from None
    warnings.filterwarnings("ignore", message="Sparse (CSR|BSR) tensor support")
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    Torch.torch = torch
    return [Dense(), Csr(), Coo(), Bsr(), Weights(), Sampled(), MaxPlus(), LogSumExp(),
            Convert("torch-to-csr", lambda x, block: x.to_sparse_csr()),
            Convert("torch-to-bsr", lambda x, block: x.to_sparse_bsr(block))]
