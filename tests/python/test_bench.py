"""The benchmark itself: lines, patterns, limits, checks, and a race against NumPy with a stand-in for PIT."""

import importlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("harness", "peers", "report", "run")]:
        del sys.modules[name]


def load(name):
    return importlib.import_module(f"harness.{name}")


def test_lines_round_trip():
    case = load("case")
    [found] = case.parse("matmul m=32 n=8 k=64 granularity=32x1 zeros=0.95 b=static b_granularity=1x8 b_zeros=0.5 threads=2 row=7  # why")
    assert found.granularity == (32, 1) and found.threads == 2 and found.row == "7"
    assert case.parse(found.line()) == [found]
    assert [c.m for c in case.parse("matmul m=1,2 zeros=0,0.5")] == [1, 1, 2, 2]


@pytest.mark.parametrize("line, complaint", [
    ("product m=1", "matmul"), ("matmul m=x", "m=x"), ("matmul zeros=1.5", "share"), ("matmul granularity=32", "rows x columns"),
    ("matmul size=3", "size=3"), ("matmul algebra=min", "maxplus"), ("matmul granularity=0x1", "rows x columns"),
])
def test_wrong_lines_say_what_would_be_right(line, complaint):
    case = load("case")
    with pytest.raises(case.CaseError, match=complaint):
        case.parse(line)


def test_workloads():
    case = load("case")
    quick, full = case.select(False), case.select(True)
    assert {c.row for c in quick} == {str(row) for row in range(1, 12)} == {c.row for c in full}
    assert {c.key() for c in quick} <= {c.key() for c in full}
    assert {c.zeros for c in full if c.row == "2"} == {0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99}


def test_readme_lists_the_keys():
    case = load("case")
    text = (BENCH / "README.md").read_text()
    assert [key for key in case.KEYS if f"`{key}`" not in text] == []


@pytest.mark.parametrize("generator", ["bernoulli", "exact", "skewed"])
def test_patterns(generator):
    case, operands = load("case"), load("operands")
    [c] = case.parse(f"matmul m=96 n=8 k=640 granularity=32x2 zeros=0.75 generator={generator}")
    source = operands.Source()
    first, second = np.empty((2, 96, 640), np.float32)
    mask, other = source.fill_a(c, 0, first), source.fill_a(c, 1, second)
    assert np.array_equal(first != 0, operands.expand(mask, 96, 640, (32, 2)))
    assert not np.array_equal(mask, other)
    assert abs(mask.mean() - 0.25) < 0.1
    ragged = replace(c, m=95, k=639)
    out = np.empty((95, 639), np.float32)
    mask = source.fill_a(ragged, 0, out)
    assert np.array_equal(out != 0, operands.expand(mask, 95, 639, (32, 2)))


def rates():
    return load("limits").Rates(fma_gflops=100, read_gbytes=10, write_gbytes=10, copy_gbytes=10, l2_read_gbytes=100, l3_read_gbytes=50,
                                between=[[32 << 20, 10]])


def all_masks(c, a=None, b=None, cc=None):
    return load("operands").Masks(*(np.ones((1, 1), bool) if m is None else m for m in (a, b, cc)))


def test_limits():
    case, limits, operands = load("case"), load("limits"), load("operands")
    [c] = case.parse("matmul m=4096 n=4096 k=4096 granularity=4096x4096")
    found = limits.limit(c, all_masks(c), rates())
    assert found.seconds == pytest.approx(2 * 4096**3 / 100e9) and found.bound == "flops" and found.live_fraction == 1
    # Half of the columns of A absent: the scan comes on top of half of the FLOPs.
    [c] = case.parse("matmul m=4096 n=4096 k=4096 granularity=4096x1 zeros=0.5")
    mask = np.arange(4096)[None] % 2 == 0
    found = limits.limit(c, all_masks(c, mask), rates())
    assert found.seconds == pytest.approx(4096**3 / 100e9 + 4 * 4096**2 / 10e9)
    known = limits.limit(replace(c, index="known"), all_masks(c, mask), rates())
    assert known.seconds == pytest.approx(4096**3 / 100e9) and known.scan_seconds == 0
    # One row: bytes are what limits, and only live rows of B move.
    [c] = case.parse("matmul m=1 n=4096 k=4096 granularity=1x1 zeros=0.5 index=known")
    found = limits.limit(c, all_masks(c, mask), rates())
    assert found.bound == "bytes" and found.seconds == pytest.approx(4 * (2048 * 4096 + 2048 + 4096) / 10e9)
    # Terms of all three masks against counting them one by one.
    rng = np.random.default_rng(0)
    [c] = case.parse("matmul m=8 n=12 k=16 granularity=4x1 zeros=0.5 b_granularity=1x4 b_zeros=0.5 c_granularity=2x3 c_zeros=0.5")
    for picked in ("abc", "ab", "ac", "bc", "a", "b", "c"):
        part = replace(c, zeros=0.5 * ("a" in picked), b_zeros=0.5 * ("b" in picked), c_zeros=0.5 * ("c" in picked))
        shapes = {"a": ((8, 16), (4, 1)), "b": ((16, 12), (1, 4)), "c": ((8, 12), (2, 3))}
        masks, full = {}, {}
        for key, (extents, tile) in shapes.items():
            masks[key] = rng.random((extents[0] // tile[0], extents[1] // tile[1])) < 0.5
            full[key] = operands.expand(masks[key], *extents, tile) if key in picked else np.ones(extents, bool)
        expected = np.einsum("mk,kn,mn->", *(full[key].astype(int) for key in "abc"))
        assert limits.live_terms(part, operands.Masks(masks["a"], masks["b"], masks["c"])) == expected


@pytest.mark.parametrize("line", ["matmul m=40 n=24 k=32", "matmul m=1100 n=1100 k=1300",
                                  "matmul algebra=maxplus m=4 n=8 k=16 granularity=4x1 zeros=0.5",
                                  "matmul algebra=logsumexp m=4 n=8 k=16 granularity=1x1 zeros=0.5"])
def test_wrong_results_are_found(line):
    case, check, operands = load("case"), load("check"), load("operands")
    [c] = case.parse(line)
    a, b = np.empty((c.m, c.k), np.float32), np.empty((c.k, c.n), np.float32)
    source = operands.Source()
    masks = all_masks(c, source.fill_a(c, 0, a), source.fill_b(c, 0, b))
    y = check.exact_rows(c, a, b).astype(np.float32)
    checker = check.Checker(c, a, b, masks)
    assert checker.check(y, own=True, is_own_dense=True)["exact"]
    assert checker.check(y, own=True, is_own_dense=False) == {"max_abs_diff": 0, "exact": True}
    wrong = y.copy()
    wrong[c.m // 2, 3] = 0.25 if not np.isfinite(wrong[c.m // 2, 3]) else wrong[c.m // 2, 3] + 1
    with pytest.raises(check.Wrong):
        checker.check(wrong, own=False, is_own_dense=False)
    with pytest.raises(check.Wrong):  # also as the first result, which has nothing to be compared with
        check.Checker(c, a, b, masks).check(wrong, own=True, is_own_dense=True)


class QuietMachine:
    @staticmethod
    def speed(cpus):
        return 1.0


@pytest.mark.parametrize("line", [
    "matmul m=64 n=48 k=96 granularity=32x1 zeros=0.75 b=static",
    "matmul m=64 n=48 k=96 granularity=32x1 zeros=0.75 b_granularity=1x16 b_zeros=0.5",
    "matmul m=16 n=32 k=24 c_granularity=8x8 c_zeros=0.5",
    "matmul m=4 n=32 k=64 granularity=4x1 zeros=0.75 index=known b=static",
    "matmul algebra=maxplus m=4 n=8 k=16 granularity=4x1 zeros=0.5 b=static",
    "detect m=64 k=96 granularity=32x1 zeros=0.75",
])
def test_race(line, tmp_path, monkeypatch):
    case, client, measure, operands, summary = (load(name) for name in ("case", "client", "measure", "operands", "summary"))
    monkeypatch.setenv("PIT_BENCH_FAKE", "1")
    monkeypatch.setattr(client, "MODULES", ("pit_peer", "python_peers"))
    [c] = case.parse(line)
    cpus = [min(os.sched_getaffinity(0))]
    clients, _ = client.start_all(1, cpus, tmp_path)
    shared = client.Shared()
    try:
        settings = measure.Settings(seconds=0.2, max_rounds=4)
        record = measure.Measurement(c, clients, shared, operands.Source(), QuietMachine(), rates(), settings, measure.History(), cpus).run()
    finally:
        shared.close()
        for one in clients:
            one.close()
    errors = {name: entry["error"] for name, entry in record["contestants"].items() if "error" in entry}
    assert errors == {}
    short = summary.one_case(record)
    assert short["sparse_ms"] > 0 and short["limit_ms"] > 0 and short["best_peer"]
    if c.kind == "matmul":
        assert short["max_abs_diff"] == 0 and short["dense_ms"] > 0 and record["contestants"]["pit"]["exact"]
    assert summary.lines_of(record, detailed=True)


WIDE = {"avx2", "avx512f", "avx512bw", "avx512vl", "avx512dq"}


def limit_to_avx2(monkeypatch, flags=frozenset(WIDE)):
    machine = load("machine")
    monkeypatch.setattr(machine, "cpu_flags", lambda: flags)
    monkeypatch.setenv(machine.ISA, "avx2")
    return machine


def test_avx2_of_avx512_is_a_machine_of_its_own(monkeypatch):
    machine = load("machine")
    monkeypatch.setattr(machine, "cpu_flags", lambda: WIDE)
    monkeypatch.setattr(sys, "prefix", str(BENCH.parent / ".venv-bench"))  # or run.py would start that environment's Python
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # which it would set
    run, report = importlib.import_module("run"), importlib.import_module("report")
    names, marks, folders = set(), set(), set()
    for isa in ("native", "avx2"):
        monkeypatch.setenv(machine.ISA, isa)
        names.add(report.slug(machine.describe()))
        marks.add(run.fingerprint())
        folders.add(machine.shims())
    assert len(names) == len(marks) == len(folders) == 2
    limit_to_avx2(monkeypatch, frozenset({"avx2"}))  # a CPU without AVX-512: nothing to limit
    assert not machine.limited() and machine.describe()["isa"] == "AVX2"
    monkeypatch.setattr(sys, "argv", ["run.py", "--isa", "avx2", "matmul m=8"])
    assert run.main() == 2


def test_every_peer_says_what_limits_it_to_avx2(monkeypatch):
    limit_to_avx2(monkeypatch)
    client, base = load("client"), importlib.import_module("peers.base")
    unlimited = {}
    for module in client.MODULES:
        for process in importlib.import_module(f"peers.{module}").processes(1):
            if not isinstance(process.avx2, dict):
                unlimited[process.name] = process.avx2
    assert set(unlimited) == {"onnxruntime"} and unlimited["onnxruntime"] != base.Process("new").avx2


def test_who_cannot_be_limited_is_absent(tmp_path, monkeypatch):
    limit_to_avx2(monkeypatch)
    client = load("client")
    monkeypatch.setenv("PIT_BENCH_FAKE", "1")
    monkeypatch.setattr(client, "MODULES", ("pit_peer", "python_peers"))
    clients, absent = client.start_all(1, [min(os.sched_getaffinity(0))], tmp_path)
    try:
        environments = {one.name: one.environment for one in clients}
        assert environments["pit"]["PIT_CPU"] == "haswell"
        assert environments["numpy"]["OPENBLAS_CORETYPE"] == "Haswell"
        assert all("GLIBC_TUNABLES" in environment for environment in environments.values())
        assert "onnxruntime" not in environments and "AVX2" in absent["onnxruntime"]
    finally:
        for one in clients:
            one.close()


def test_report_keeps_the_sections_of_all_machines(tmp_path, monkeypatch):
    report = importlib.import_module("report")
    for name, value in (("ROOT", tmp_path), ("DOCUMENT", tmp_path / "performance.md"), ("FOLDER", tmp_path / "performance"),
                        ("plots", lambda *_: [])):
        monkeypatch.setattr(report, name, value)
    results = tmp_path / "results.jsonl"
    line, texts = "matmul m=1024 n=1024 k=1024 b=static threads=1", []
    for isa, ms in (("AVX-512", 10.0), (load("machine").LIMITED, 20.0)):
        about = load("machine").describe() | {"cpu": "Some CPU", "isa": isa}
        # The median of the rounds' ratios is 4, the ratio of the medians 2.
        times = {"pit": ("own", [ms, 2 * ms, 3 * ms]), "blis": ("dense", [4 * ms, 8 * ms, 3 * ms])}
        entries = {name: {"sort": sort, "default": False, "candidate": False, "samples": [[number, x, 0] for number, x in enumerate(found)],
                          "ms": sorted(found)[1], "q1_ms": min(found), "q3_ms": max(found)} for name, (sort, found) in times.items()}
        header = {"header": True, "fingerprint": isa, "threads": 1, "machine": about, "versions": {}, "absent": {}, "settings": {},
                  "rates": rates().__dict__}
        record = {"fingerprint": isa, "case": line, "row": "1", "threads": 1, "contestants": entries, "load": {"loaded": False},
                  "limit": {"ms": 8.0, "flops_ms": 8.0, "bound": "flops"}}
        with results.open("a") as file:
            file.write(json.dumps(header) + "\n" + json.dumps(record) + "\n")
        report.write(results, isa)
        texts.append((tmp_path / "performance.md").read_text())
    text = texts[-1]
    alone = texts[0][texts[0].index("\n## Some CPU"):]
    assert "4.00x" in alone and alone in text
    assert text.count("\n## Some CPU") == 2 and "; AVX-512, " in text and "; AVX2 of AVX-512, " in text
    assert f'`bench/run.py "{line}"`' in text and f'`bench/run.py --isa avx2 "{line}"`' in text
    assert len(list((tmp_path / "performance").glob("*.json"))) == 2
