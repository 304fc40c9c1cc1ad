"""The driver's side of the workers: starting them, talking to them, and the shared memory between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .machine import limited

HERE = Path(__file__).resolve().parent

MODULES = ("pit_peer", "openblas", "blis", "mkl", "onednn", "xsmm", "eigen", "python_peers", "pytorch")

# The C library's copies and fills without AVX-512, as on a CPU that lacks it.
C_LIBRARY_AVX2 = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW"}


class WorkerError(RuntimeError):
    """A worker that died or reported an error."""


class Client:
    def __init__(self, module: str, process, threads: int, cpus: list[int], log: Path) -> None:
        self.name, self.threads = process.name, threads
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "MKL_", "OPENBLAS_", "BLIS_", "KMP_"))}
        for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"):
            environment[key] = str(threads)
        if threads > 1:
            environment |= {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
        self.environment = process.environment | (C_LIBRARY_AVX2 | process.avx2 if limited() else {})
        environment |= self.environment
        self.log = log / f"{process.name}-{threads}.log"
        command = [sys.executable, str(HERE / "worker.py"), module, process.name, str(threads), ",".join(map(str, cpus))]
        with self.log.open("w") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True, bufsize=1,
                                            env=environment, preexec_fn=os.setpgrp)
        reply = self.ask("hello")
        self.absent: str | None = reply.get("absent")
        self.contestants: dict[str, dict] = reply.get("contestants", {})

    def ask(self, op: str, **arguments) -> dict:
        try:
            self.process.stdin.write(json.dumps({"op": op} | arguments) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            tail = self.log.read_text().strip().splitlines()[-1:] or [""]
            raise WorkerError(f"the process ended (exit code {self.process.wait()}): {tail[0][:200]}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Shared:
    """A folder of /dev/shm with operands and results."""

    def __init__(self) -> None:
        root = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = Path(tempfile.mkdtemp(prefix="pit-bench-", dir=root))

    def array(self, name: str, shape, dtype=np.float32) -> np.ndarray:
        path = self.folder / name
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)
        return np.memmap(path, dtype=dtype, mode="r+", shape=tuple(shape))

    def clear(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def start_all(threads: int, cpus: list[int], log: Path, only=None) -> tuple[list[Client], dict[str, str]]:
    """All workers for this number of threads, and the peers that are absent with the reason."""
    import importlib
    clients, absent = [], {}
    for module in MODULES:
        for process in importlib.import_module(f"peers.{module}").processes(threads):
            if only is not None and module != "pit_peer" and not any(word in process.name or word in module for word in only):
                continue
            if limited() and isinstance(process.avx2, str):
                absent[process.name] = process.avx2
                continue
            try:
                client = Client(module, process, threads, cpus, log)
            except WorkerError as error:
                absent[process.name] = str(error)
                continue
            if client.absent:
                absent[process.name] = client.absent
                client.close()
            else:
                clients.append(client)
    return clients, absent


