#!/usr/bin/env python3
"""Makes docs/performance.md and its plots from the benchmark's results.

    bench/report.py [results.jsonl]

The newest results of the file become docs/performance/<machine>.json; the document shows every machine that has such a file there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-bench" / "bin" / "python"
if __name__ == "__main__" and ENVIRONMENT.exists() and Path(sys.prefix) != ROOT / ".venv-bench":
    os.execv(ENVIRONMENT, [str(ENVIRONMENT), *sys.argv])
sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.goals import GOALS, case_of, figure, geomean  # noqa: E402
from harness.machine import LIMITED  # noqa: E402
from harness.summary import best_peer, by_round, choice_loss, detect_share, milliseconds, own, paired_ratio, prediction_error, timed  # noqa: E402

DOCUMENT = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"

ROWS = {
    "1": "Dense", "2": "Zeros in A: columns of 32 rows (32x1)", "3": "Zeros in A: vectors of a row (1x64)", "4": "Zeros in A: blocks (32x64)",
    "5": "Single zeros (1x1)", "6": "Micro-tiles of a few rows, and a short K", "7": "Zeros in B, and in both operands",
    "8": "Only part of the result wanted", "9": "A few rows against weights of which most are dead", "10": "Detection and conversion alone",
    "11": "Other algebras: max-plus and logsumexp", "": "Other cases",
}


def load(path: Path, mark: str | None = None) -> dict:
    """The newest results: {machine, versions, absent, rates, records}."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    mark = mark or (lines[-1]["fingerprint"] if lines else None)
    headers = [line for line in lines if line.get("header") and line["fingerprint"] == mark]
    newest = {line["case"]: line for line in lines if not line.get("header") and line["fingerprint"] == mark}
    if not headers or not newest:
        raise SystemExit(f"{path}: no results")
    rates: dict[str, dict] = {}
    for header in headers:  # a limit is what has been reached: the best of the run
        best = rates.setdefault(str(header["threads"]), dict(header["rates"]))
        for key, value in header["rates"].items():
            if key != "between":
                best[key] = max(best[key], value)
    absent = {name: why for header in headers for name, why in header["absent"].items()}
    settings = {name: env for header in headers for name, env in header["settings"].items()}
    return {"machine": headers[-1]["machine"], "versions": headers[-1]["versions"], "absent": absent, "settings": settings,
            "rates": rates, "records": sorted(newest.values(), key=lambda r: (row_number(r), r["threads"]))}


def row_number(record: dict) -> int:
    return int(record["row"] or 99)


def slug(machine: dict) -> str:
    text = f"{machine['cpu']} {machine['family']}-{machine['model']} {machine['isa']}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def slim(results: dict) -> dict:
    """What is kept beside the document: of the samples, a median per round, so that ratios stay what they are."""
    records = []
    for record in results["records"]:
        contestants = {name: entry | {"samples": [[number, round(ms, 6), 0] for number, ms in by_round(entry).items()], "calls": len(entry["samples"])}
                       for name, entry in record["contestants"].items()}
        records.append({k: v for k, v in record.items() if k != "fingerprint"} | {"contestants": contestants})
    return results | {"records": records}


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def label(record: dict) -> str:
    """The case in a few characters; what its row has in common is in the heading."""
    c = case_of(record)
    shape = f"{c.m}x{c.k}" if c.kind == "detect" else f"{c.m}x{c.k}x{c.n}" if not c.m == c.n == c.k else f"{c.m}^3"
    words = [shape]
    if c.algebra != "sum":
        words.append(c.algebra)
    if c.zeros:
        words.append(f"A {c.granularity[0]}x{c.granularity[1]} {c.zeros:.0%}")
    if c.b_zeros:
        words.append(f"B {c.b_granularity[0]}x{c.b_granularity[1]} {c.b_zeros:.0%}")
    if c.c_zeros:
        words.append(f"C {c.c_granularity[0]}x{c.c_granularity[1]} {c.c_zeros:.0%}")
    if c.index == "known":
        words.append("known")
    if c.b == "dynamic" and c.kind == "matmul":
        words.append("B dynamic")
    if c.generator != "bernoulli":
        words.append(c.generator)
    if c.threads > 1:
        words.append(f"{c.threads} threads")
    return " ".join(words)


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x" if value < 10 else f"{value:.1f}x"


def goal_table(records: list[dict], option: str = "") -> list[str]:
    rows = []
    for goal in GOALS:
        reached = goal.reached(records)
        wanted = ">= " + figure(goal.wanted, goal.unit)
        if reached is None:
            rows.append([goal.text, wanted, "not measured", "", "", ""])
            continue
        value, limit, record = reached
        verdict = "yes" if value >= goal.wanted else "beyond the limit" if limit is not None and limit < goal.wanted else "no"
        rows.append([goal.text, wanted, figure(value, goal.unit), figure(limit, goal.unit), verdict, f'`bench/run.py {option}"{record["case"]}"`'])
    return table(["goal", "wanted", "reached", "at the limit", "met", "the deciding case"], rows)


def pit_table(records: list[dict]) -> list[str]:
    rows = []
    for record in records:
        entry, dense, peer = own(record), timed(record).get("pit-dense"), best_peer(record)
        share = detect_share(entry) if entry else None
        loss = choice_loss(record)
        rows.append([
            label(record) + (" *" if record["load"]["loaded"] else ""),
            f"{milliseconds(entry['ms'])} ({milliseconds(entry['q1_ms'])} .. {milliseconds(entry['q3_ms'])})" if entry else "absent",
            milliseconds(record["limit"]["ms"]), f"{record['limit']['ms'] / entry['ms']:.0%}" if entry else "", record["limit"]["bound"],
            "" if share is None else f"{share:.0%}", ratio(paired_ratio(dense, entry)) if entry and dense else "",
            f"{peer[0]} {milliseconds(peer[1]['ms'])}" if peer else "", ratio(paired_ratio(peer[1], entry)) if peer and entry else "",
            (entry.get("rules") or [""])[0] if entry else "", "" if loss is None else f"{loss:.2f}",
        ])
    return table(["case", "PIT ms (quartiles)", "limit ms", "of the limit", "bound by", "detection", "over own dense", "best peer ms", "over it",
                  "rule", "choice / best way"], rows)


def peer_tables(records: list[dict], width: int = 8) -> list[str]:
    """All contestants, a column per case."""
    lines = []
    for start in range(0, len(records), width):
        part = records[start : start + width]
        names = []
        for record in part:
            names += [name for name, entry in record["contestants"].items() if not entry["candidate"] and name not in names]
        order = {"own": 0, "dense": 1, "sparse": 2, "weights": 3}
        names.sort(key=lambda name: next((order[r["contestants"][name]["sort"]], name) for r in part if name in r["contestants"]))
        rows = []
        for name in names:
            cells, entries = [], [record["contestants"].get(name) for record in part]
            for entry in entries:
                if entry is None:
                    cells.append("")
                elif "error" in entry:
                    cells.append("wrong" if "differ" in entry["error"] else "failed")
                else:
                    cells.append(milliseconds(entry["ms"]) + ("'" if "note" in entry else "") if "ms" in entry else "")
            default = " (default)" if any(e and e["default"] for e in entries) else ""
            rows.append([name + default, *cells])
        rows.append(["limit", *(milliseconds(record["limit"]["ms"]) for record in part)])
        lines += table(["ms", *(label(record) for record in part)], rows)
    return lines


def plots(results: dict, folder: Path, prefix: str) -> list[str]:
    """Draws what there are enough points for; returns the document's lines."""
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"svg.hashsalt": "pit", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "figure.constrained_layout.use": True,
                         "axes.spines.top": False, "axes.spines.right": False})
    series: dict[tuple, list[dict]] = {}
    for record in results["records"]:
        c = case_of(record)
        if c.kind == "matmul" and c.algebra == "sum" and c.b_zeros == c.c_zeros == 0 and c.b == "static" and c.index == "detect" \
                and c.generator == "bernoulli" and c.k > 128 and c.m >= 512:
            if c.zeros > 0:
                series.setdefault((c.granularity, c.threads, (c.m, c.n, c.k)), []).append(record)
    series = {key: sorted(found, key=lambda r: case_of(r).zeros) for key, found in series.items() if len(found) >= 3}
    if not series:
        return []
    lines: list[str] = []

    def save(figure_, name: str, text: str) -> None:
        figure_.savefig(folder / f"{prefix}-{name}.svg", metadata={"Date": None})
        plt.close(figure_)
        lines.extend([f"![{text}](performance/{prefix}-{name}.svg)", ""])

    one_thread = [(key, found) for key, found in sorted(series.items()) if key[1] == 1]
    if one_thread:
        columns = min(2, len(one_thread))
        down = -(-len(one_thread) // columns)
        figure_, axes = plt.subplots(down, columns, figsize=(4.6 * columns, 3.4 * down), squeeze=False)
        for axis in axes.flat[len(one_thread):]:
            axis.axis("off")
        for axis, ((granularity, _, shape), found) in zip(axes.flat, one_thread):
            speed_up(axis, found)
            axis.set_title(f"{granularity[0]}x{granularity[1]}, {shape[0]}x{shape[2]}x{shape[1]}, one thread")
        save(figure_, "speedup", "Speed-up over own dense against the share of zeros")
    figure_, axis = plt.subplots(figsize=(6, 3.6))
    for (granularity, threads, shape), found in sorted(series.items()):
        measured = [(case_of(r).zeros, r["limit"]["ms"] / own(r)["ms"]) for r in found if own(r)]
        if measured:
            axis.plot(*zip(*[(100 * z, 100 * v) for z, v in measured]), marker="o", ms=3, ls="-" if threads == 1 else "--",
                      label=f"{granularity[0]}x{granularity[1]}, {shape[0]}x{shape[2]}x{shape[1]}, {threads} thread{'s' * (threads > 1)}")
    axis.set(xlabel="zeros, %", ylabel="% of the limit", ylim=(0, 110))
    axis.legend(fontsize=7, frameon=False)
    save(figure_, "limit", "Per cent of the limit against the share of zeros")
    figure_, axis = plt.subplots(figsize=(6, 3.6))
    for (granularity, threads, shape), found in sorted(series.items()):
        measured = [(case_of(r).zeros, detect_share(own(r))) for r in found if own(r)]
        measured = [(100 * z, 100 * v) for z, v in measured if v is not None]
        if measured:
            axis.plot(*zip(*measured), marker="o", ms=3, ls="-" if threads == 1 else "--",
                      label=f"{granularity[0]}x{granularity[1]}, {shape[0]}x{shape[2]}x{shape[1]}, {threads} thread{'s' * (threads > 1)}")
    axis.set(xlabel="zeros, %", ylabel="detection, % of PIT's time", ylim=(0, None))
    axis.legend(fontsize=7, frameon=False)
    save(figure_, "detection", "Share of detection in PIT's time")
    errors = [error for record in results["records"] for error in prediction_error(record)]
    if len(errors) >= 5:
        figure_, axis = plt.subplots(figsize=(6, 2.6))
        axis.hist([min(max(error, 0.25), 4) for error in errors], bins=[0.25 * 2 ** (i / 4) for i in range(17)], color="tab:blue")
        axis.set_xscale("log", base=2)
        axis.set(xlabel="predicted over measured time", ylabel="candidates")
        save(figure_, "model", "Error of the cost model")
    return lines


def speed_up(axis, found: list[dict]) -> None:
    """Everybody's own dense time over their time; the limit dashed."""
    names = ["pit"]
    for record in found:  # the three best peers at any point, and spmdm
        ranked = sorted((e["ms"], name) for name, e in timed(record, "dense", "sparse").items())
        names += [name for _, name in ranked[:2] if name not in names]
    names += ["libxsmm-spmdm"] * ("libxsmm-spmdm" not in names)
    for name in names[:8]:
        points = []
        for record in found:
            entry, dense = timed(record).get(name), timed(record).get("pit-dense")
            if entry and dense:
                points.append((100 * case_of(record).zeros, paired_ratio(dense, entry)))
        if points:
            axis.plot(*zip(*points), marker="o", ms=3, lw=2.2 if name == "pit" else 1, label="PIT" if name == "pit" else name)
    limits = [(100 * case_of(r).zeros, timed(r)["pit-dense"]["ms"] / r["limit"]["ms"]) for r in found if "pit-dense" in timed(r)]
    if limits:
        axis.plot(*zip(*limits), "k--", lw=1, label="limit")
    axis.axhline(1, color="grey", lw=0.8)
    axis.set_yscale("log")
    axis.set(xlabel="zeros, %", ylabel="times own dense")
    axis.legend(fontsize=7, frameon=False)


def machine_section(results: dict, plot_lines: list[str]) -> list[str]:
    machine, records = results["machine"], results["records"]
    lines = [f"## {machine['cpu']} (family {machine['family']}, model {machine['model']}; {machine['isa']}, {machine['cpus']} CPUs)", ""]
    lines += table(["threads", "FMA GFLOP/s", "reads GB/s: memory", "L3", "L2", "writes", "copies"],
                   [[t, f"{r['fma_gflops']:.0f}", f"{r['read_gbytes']:.1f}", f"{r['l3_read_gbytes']:.0f}", f"{r['l2_read_gbytes']:.0f}",
                     f"{r['write_gbytes']:.1f}", f"{r['copy_gbytes']:.1f}"] for t, r in sorted(results["rates"].items())])
    lines += [f"L2 {machine['l2_kib']} KiB, L3 {machine['l3_mib']} MiB, {machine['memory_gib']} GiB; Linux {machine['kernel']}, Python {machine['python']}; "
              + ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + ".", ""]
    loaded = [record for record in records if record["load"]["loaded"]]
    if loaded:
        lines += [f"**Others used the machine in {len(loaded)} of {len(records)} cases (marked \\*)**; contestants take turns, so ratios hold "
                  "better than times.", ""]
    if results["absent"]:
        lines += ["Absent: " + "; ".join(f"{name} ({why})" for name, why in sorted(results["absent"].items())) + ".", ""]
    lines += ["### Goals", "", *goal_table(records, "--isa avx2 " if machine["isa"] == LIMITED else ""), *plot_lines]
    errors = [error for record in records for error in prediction_error(record)]
    if errors:
        close = sum(1 / 1.25 <= error <= 1.25 for error in errors) / len(errors)
        lines += [f"Cost model: predicted over measured time has the geometric mean {geomean(errors):.2f} over {len(errors)} candidates; "
                  f"{close:.0%} lie within 25 %.", ""]
    for row, title in ROWS.items():
        part = [record for record in records if record["row"] == row]
        if part:
            lines += [f"### {title}" + (f" (row {row})" if row else ""), "", *pit_table(part), "<details><summary>All contestants</summary>", "",
                      *peer_tables(part), "</details>", ""]
    return lines


INTRODUCTION = """# Performance

Made by `make bench` (`bench/report.py`); do not edit. What is measured and how: [bench/README.md](../bench/README.md).

Contestants take turns on fresh patterns of zeros; finding or converting zeros is inside the timer; every timed result is compared with the
reference. Times are medians in ms; ratios are medians over the rounds. The limit is max(FLOPs of live micro-tiles / FMA peak, bytes that must move /
bandwidth), plus the scan of the values where zeros have to be found in them; rates were measured in the same run. `'` marks a contestant that got
one repetition, because it is hopelessly slow or a dense kernel behind another dense kernel. "AVX2 of AVX-512": a CPU with AVX-512 of which nobody
used more than AVX2, PIT and the limit included (`make bench ISA=avx2`).
"""


def write(results_path: Path, mark: str | None = None) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = load(results_path, mark)
    name = slug(results["machine"])
    # Other machines' plots stay as they are.
    lines = plots(results, FOLDER, name)
    (FOLDER / f"{name}.json").write_text(json.dumps(slim(results) | {"plots": lines}, indent=0, separators=(",", ":")) + "\n")
    sections = []
    for path in sorted(FOLDER.glob("*.json")):
        shown = results if path.stem == name else restore(json.loads(path.read_text()))
        sections += machine_section(shown, lines if path.stem == name else shown["plots"])
    DOCUMENT.write_text(INTRODUCTION + "\n" + "\n".join(sections))
    print(f"[bench] {DOCUMENT.relative_to(ROOT)}: {len(results['records'])} cases", file=sys.stderr)


def restore(results: dict) -> dict:
    for record in results["records"]:
        for entry in record["contestants"].values():
            entry.setdefault("samples", [])  # older files have none
    return results


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "bench" / "results.jsonl")
