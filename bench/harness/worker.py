"""A process in which the contestants of one library run. Reads requests and writes replies, one JSON object a line.

Operands come through files in shared memory that the driver writes; the worker copies them into memory of its own before the clock starts, so
that all contestants find them in the same state, in ordinary (NumPy's) memory. What is timed is the call, nothing else.

    hello                                                 -> contestants with their sorts, versions, or why the peer is absent
    case    {case, slots, folder}                         -> per contestant why it refuses
    prepare {contestant}                                  -> seconds
    fetch   {slots, b}                                    copies fresh operands
    run     {contestant, slots, warm}                     -> per slot: ns, CPU ns, ns lost to others, report; results lie in out<slot>
    limits  {}                                            -> PIT's own measurement
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.case import Case, parse  # noqa: E402
from harness.operands import ceil_div  # noqa: E402
from peers.base import Absent  # noqa: E402


def shared(folder: Path, name: str, shape, dtype=np.float32) -> np.ndarray:
    return np.memmap(folder / name, dtype=dtype, mode="r+", shape=tuple(shape))


def waited() -> int:
    """Nanoseconds that this process's threads have waited for a CPU that somebody else had."""
    total = 0
    for task in os.scandir("/proc/self/task"):
        try:
            with open(f"{task.path}/schedstat") as file:
                total += int(file.read().split()[1])
        except OSError:  # a kernel without it, or a thread that has just ended
            pass
    return total


def stolen() -> int:
    """Nanoseconds that a hypervisor has had this process's CPUs for somebody else, to the 10 ms that the kernel counts in."""
    cpus, total = {f"cpu{cpu}" for cpu in os.sched_getaffinity(0)}, 0
    with open("/proc/stat") as file:
        for line in file:
            name, *ticks = line.split()
            if name in cpus and len(ticks) > 7:
                total += int(ticks[7])
    return total * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def settle(threads: int) -> None:
    """Waits until threads that spin after a parallel region (OpenMP's do) have gone to sleep: they would disturb whoever is next."""
    if threads == 1:
        return
    for _ in range(100):
        used = time.process_time()
        time.sleep(0.004)
        if time.process_time() - used < 0.001:
            return


class Worker:
    def __init__(self, module: str, process: str, threads: int) -> None:
        self.module = importlib.import_module(f"peers.{module}")
        self.process, self.threads = process, threads
        self.contestants: dict = {}
        self.case: Case | None = None

    def hello(self) -> dict:
        try:
            self.contestants = {c.name: c for c in self.module.load(self.process, self.threads)}
        except Absent as reason:
            return {"absent": str(reason)}
        return {"contestants": {name: {"sort": c.sort, "default": c.is_default, "weak": c.weak} for name, c in self.contestants.items()}}

    def start_case(self, case: str, slots: int, folder: str) -> dict:
        self.case = c = parse(case)[0]
        self.folder, self.slots = Path(folder), slots
        self.a = [np.zeros((c.m, c.k), np.float32) for _ in range(slots)]
        matmul = c.kind == "matmul"
        self.fresh_b = matmul and c.b == "dynamic" and c.b_zeros > 0
        self.b = [np.zeros((c.k, c.n), np.float32) for _ in range(slots if self.fresh_b else 1)] if matmul else [None]
        self.out = [np.zeros((c.m, c.n) if matmul else (1, 1), np.float32) for _ in range(slots)]
        self.a_live, self.c_live = [None] * slots, [None] * slots
        gc.collect()
        return {"refused": {name: contestant.refuse(c) for name, contestant in self.contestants.items()}}

    def fetch(self, slots: list[int], b: bool) -> dict:
        c, folder = self.case, self.folder
        for s in slots:
            np.copyto(self.a[s], shared(folder, f"a{s}", (c.m, c.k)))
            height, width = c.granularity
            self.a_live[s] = np.array(shared(folder, f"am{s}", (ceil_div(c.m, height), ceil_div(c.k, width)), np.uint8)) != 0
            if c.kind == "matmul":
                height, width = c.c_granularity
                self.c_live[s] = np.array(shared(folder, f"cm{s}", (ceil_div(c.m, height), ceil_div(c.n, width)), np.uint8)) != 0
        if b and c.kind == "matmul":
            for s in slots if self.fresh_b else [0]:
                np.copyto(self.b[s], shared(folder, f"b{s}", (c.k, c.n)))
        return {}

    def operands(self, slot: int):
        known = self.case.index == "known"
        return (self.a[slot], self.b[slot if self.fresh_b else 0], self.c_live[slot], self.out[slot],
                self.a_live[slot] if known else None)

    def prepare(self, contestant: str) -> dict:
        if contestant.startswith("pit:") and contestant not in self.contestants:
            self.contestants[contestant] = self.module.forced(self.contestants, contestant[4:])
        start = time.perf_counter()
        self.contestants[contestant].prepare(self.case, self.b[0])
        return {"seconds": time.perf_counter() - start}

    def run(self, contestant: str, slots: list[int], warm: bool) -> dict:
        """`warm`: an untimed call first, on another pattern, so that code and packed weights are where a steady stream of calls finds them."""
        c = self.contestants[contestant]
        if warm:
            c.run(*self.operands((slots[0] - 1) % self.slots))
            c.report()
        samples = []
        for slot in slots:
            operands = self.operands(slot)
            lost, cpu = waited() + stolen(), time.process_time_ns()
            start = time.perf_counter_ns()
            result = c.run(*operands)
            elapsed = time.perf_counter_ns() - start
            cpu = time.process_time_ns() - cpu
            lost = waited() + stolen() - lost
            report = c.report()
            if "mask" in report:  # bytes, for the driver to compare
                (self.folder / f"mask{slot}").write_bytes(report.pop("mask"))
                report["has_mask"] = True
            samples.append({"ns": elapsed, "cpu_ns": cpu, "lost_ns": lost, "report": report})
            if self.case.kind == "matmul":
                np.copyto(shared(self.folder, f"out{slot}", (self.case.m, self.case.n)), operands[3] if result is None else result)
            del result
        settle(self.threads)
        return {"samples": samples, "candidates": c.candidates()}

    def answer(self, request: dict) -> dict:
        op = request.pop("op")
        if op == "hello":
            return self.hello()
        if op == "case":
            return self.start_case(**request)
        if op == "limits":
            return self.module.limits(self.threads)
        return {"fetch": self.fetch, "prepare": self.prepare, "run": self.run}[op](**request)


def main() -> None:
    module, process, threads, cpus = sys.argv[1:5]
    os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    replies = os.fdopen(os.dup(1), "w", buffering=1)  # libraries that print must not disturb the protocol
    os.dup2(2, 1)
    worker = Worker(module, process, int(threads))
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever a peer throws is its result
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
