#!/usr/bin/env python3
"""The benchmark of PIT's sparse kernels against every peer: checks each result and times it.

    bench/run.py                         the quick selection (about half an hour), then docs/performance.md
    bench/run.py --full                  everything; finished cases are skipped, so it can be interrupted
    bench/run.py "matmul m=1024 n=1024 k=1024 granularity=32x1 zeros=0.9"     this case (or cases), a table on the terminal
    bench/run.py --json "matmul ..."     the same as one JSON object a line
    bench/run.py --isa avx2              PIT and its peers with AVX2 only, on a CPU that has AVX-512

What is measured and how: bench/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-bench" / "bin" / "python"
if ENVIRONMENT.exists() and Path(sys.prefix) != ROOT / ".venv-bench":  # the peers live there
    os.execv(ENVIRONMENT, [str(ENVIRONMENT), *sys.argv])
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the driver computes references beside the contestants

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import machine as machines  # noqa: E402
from harness.case import CaseError, parse, select  # noqa: E402
from harness.client import Client, Shared, WorkerError, start_all  # noqa: E402
from harness.limits import Rates  # noqa: E402
from harness.measure import History, Measurement, Settings  # noqa: E402
from harness.operands import Source  # noqa: E402
from harness.summary import lines_of, one_case  # noqa: E402
from peers.build import build_all  # noqa: E402

RESULTS = ROOT / "build" / "bench" / "results.jsonl"
PACKAGES = ("numpy", "scipy", "scipy-openblas32", "mkl", "onednn", "onnxruntime", "torch")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="lines as in bench/workloads/*.txt; none: the quick selection")
    parser.add_argument("--full", action="store_true", help="all workloads, every peer however slow")
    parser.add_argument("--rows", help="only cases of these rows of the goals, e.g. 2,3,4")
    parser.add_argument("--peers", help="only PIT and peers whose names contain one of these words, e.g. openblas,xsmm (none: PIT alone)")
    parser.add_argument("--isa", choices=("native", "avx2"), default="native", help="limit everybody to AVX2 on a CPU that has AVX-512 (native: no limit)")
    parser.add_argument("--seconds", type=float, help="for the rounds of one case (8; with --full 60)")
    parser.add_argument("--threads", type=int, help="instead of what the lines say")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines, appended to (build/bench/results.jsonl)")
    parser.add_argument("--again", action="store_true", help="measure finished cases again")
    parser.add_argument("--json", action="store_true", help="print one JSON object per case")
    parser.add_argument("--list", action="store_true", help="print the cases, and stop")
    return parser.parse_args()


def fingerprint() -> str:
    """Changes with PIT's build, the CPU and --isa: results of another one are not finished cases."""
    isa = machines.LIMITED if machines.limited() else ""
    digest = hashlib.sha256((machines.describe()["cpu"] + os.environ.get("PIT_BENCH_FAKE", "") + isa).encode())
    for path in sorted((ROOT / "build" / "release").rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.name.startswith(("libpit", "_pit", "_core", "pit")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def measured_rates(machine: machines.Machine, clients: list[Client], cpus: list[int]) -> Rates:
    """The larger of two independent measurements, the benchmark's and PIT's: a limit is what has been reached."""
    rates = machine.rates(cpus)
    for client in clients:
        if client.name == "pit":
            try:
                own = client.ask("limits")
            except WorkerError:
                break
            for key in ("fma_gflops", "read_gbytes", "write_gbytes", "copy_gbytes", "l2_read_gbytes", "l3_read_gbytes"):
                setattr(rates, key, max(getattr(rates, key), own.get(key, 0.0)))
    return rates


def say(*text) -> None:
    print(*text, file=sys.stderr, flush=True)


def busy(machine: machines.Machine) -> str | None:
    """Why this is no time to measure, or None."""
    import time
    load = machines.Load()
    time.sleep(1.5)
    others = load.others()
    if others > machines.LOADED_SHARE:
        return f"other processes use {others:.0%} of the CPUs (load average {machines.load_average():.1f})"
    return None


class Bar:
    """A progress bar on a terminal, a line per case elsewhere."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        self.console = Console(stderr=True, width=None if sys.stderr.isatty() else 200)
        self.progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                                 TextColumn("left"), TimeRemainingColumn(), console=self.console, disable=not sys.stderr.isatty())
        self.task = self.progress.add_task("bench", total=total)

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *_):
        self.progress.stop()

    def start(self, text: str) -> None:
        self.progress.update(self.task, description=text)

    def finished(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)
        self.progress.advance(self.task)


def read_results(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def main() -> int:
    options = arguments()
    try:
        cases = [case for line in options.cases for case in parse(line)] or select(options.full)
    except CaseError as error:
        say(f"bench: {error}")
        return 2
    if options.threads:
        from dataclasses import replace
        cases = list({case.key(): case for case in (replace(case, threads=options.threads) for case in cases)}.values())
    if options.rows:
        cases = [case for case in cases if case.row in options.rows.split(",")]
    if options.list:
        print("\n".join(case.line() for case in cases))
        return 0
    os.environ[machines.ISA] = options.isa
    if options.isa == "avx2" and not machines.limited():
        say("bench: --isa avx2 is for a CPU that has AVX-512; what this one gives without the option is the table of AVX2")
        return 2
    single = bool(options.cases)
    shims = build_all(machines.limited())
    if shims["machine"]:
        say(f"bench: the machine's own measurement {shims['machine']}")
        return 1
    about, mark = machines.describe(), fingerprint()
    done = [r for r in read_results(options.results) if r.get("fingerprint") == mark and not r.get("header")]
    finished = set() if options.again or single else {r["case"] for r in done}
    history = History()
    for record in done:
        history.add(record, parse(record["case"])[0])
    todo = [case for case in sorted(cases, key=lambda case: case.threads) if case.key() not in finished]
    say(f"{len(cases)} cases, {len(cases) - len(todo)} of them finished before")
    settings = Settings(seconds=options.seconds or (60 if options.full else 8))
    if options.full:
        settings.slowest, settings.max_rounds, settings.hopeful_only = 120.0, 20, False
    machine = machines.Machine()
    reason = busy(machine)
    if reason:
        say(f"WARNING: the machine is too loaded to measure: {reason}. Results will be marked.")
    only = None if options.peers is None else [word for word in options.peers.split(",") if word]
    allowed = sorted(os.sched_getaffinity(0))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    logs = ROOT / "build" / "bench" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    shared, source = Shared(), Source()
    clients: list[Client] = []
    failures = 0
    try:
        with Bar(len(todo)) as bar:
            threads, rates = 0, None
            for case in todo:
                if case.threads > len(allowed):
                    bar.finished(f"{case.line()}: this machine has only {len(allowed)} CPUs")
                    continue
                if case.threads != threads:
                    for client in clients:
                        client.close()
                    threads = case.threads
                    cpus = allowed[-threads:]
                    os.sched_setaffinity(0, set(allowed) - set(cpus) or set(allowed))  # the driver keeps out of their way
                    bar.start(f"starting peers ({threads} thread{'s' if threads > 1 else ''})")
                    clients, absent = start_all(threads, cpus, logs, only)
                    rates = measured_rates(machine, clients, cpus)
                    header = {"header": True, "fingerprint": mark, "threads": threads, "machine": about,
                              "versions": machines.versions(PACKAGES), "absent": absent, "rates": rates.__dict__,
                              "settings": {client.name: {key: value.replace(f"{ROOT}/", "") for key, value in client.environment.items()} for client in clients}, "full": options.full}
                    with options.results.open("a") as file:
                        file.write(json.dumps(header) + "\n")
                    if not options.json:
                        shown = ", ".join(f"{k} {v:.0f}" for k, v in rates.__dict__.items() if k.endswith(("gflops", "gbytes")))
                        bar.console.print(f"{threads} thread(s): {shown}", markup=False, highlight=False)
                        for name, why in absent.items():
                            bar.console.print(f"absent: {name}: {why}", markup=False, highlight=False)
                bar.start(case.line()[:70])
                record = Measurement(case, clients, shared, source, machine, rates, settings, history, cpus).run()
                record["fingerprint"] = mark
                with options.results.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                history.add(record, case)
                failures += sum("error" in entry and entry["sort"] == "own" for entry in record["contestants"].values())
                if options.json:
                    print(json.dumps(one_case(record)), flush=True)
                bar.finished("" if options.json else "\n".join(lines_of(record, detailed=single)))
                dead = [client for client in clients if client.process.poll() is not None]
                if dead:  # a peer that crashed comes back for the next case
                    clients, threads = [c for c in clients if c not in dead], 0
    finally:
        for client in clients:
            client.close()
        shared.close()
    if not single:
        import report
        report.write(options.results, mark)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
