"""A case's result in short: what the report, the terminal and --json agree on."""

from __future__ import annotations

import numpy as np


def by_round(entry: dict) -> dict[int, float]:
    """Round -> median of what was not disturbed in it."""
    rounds: dict[int, list[float]] = {}
    samples = entry.get("samples", [])
    quiet = [sample for sample in samples if not sample[2]]
    for number, ms, _ in quiet if len(quiet) >= 3 else samples:
        rounds.setdefault(number, []).append(ms)
    return {number: float(np.median(values)) for number, values in rounds.items()}


def paired_ratio(slow: dict, fast: dict) -> float | None:
    """Median over the rounds of (median of `slow` in the round / median of `fast` in it): what happens to the machine in a round happens to both."""
    one, two = by_round(slow), by_round(fast)
    common = [number for number in one if number in two and number >= 0]
    if common:
        return float(np.median([one[number] / two[number] for number in common]))
    if "ms" in slow and "ms" in fast:
        return slow["ms"] / fast["ms"]
    return None


def timed(record: dict, *sorts: str) -> dict[str, dict]:
    return {name: entry for name, entry in record["contestants"].items()
            if "ms" in entry and "error" not in entry and not entry["candidate"] and (not sorts or entry["sort"] in sorts)}


def is_detection(record: dict) -> bool:
    return record["case"].startswith("detect")


def own(record: dict) -> dict | None:
    return timed(record).get("pit-detect" if is_detection(record) else "pit")


def best_peer(record: dict, *sorts: str) -> tuple[str, dict] | None:
    peers = {name: entry for name, entry in timed(record, *(sorts or ("dense", "sparse", "weights"))).items() if name != "memcpy"}
    return min(peers.items(), key=lambda item: item[1]["ms"]) if peers else None


def detect_share(entry: dict) -> float | None:
    report = entry.get("report", {})
    if not report.get("total_seconds"):
        return None
    return report.get("detect_seconds", 0.0) / report["total_seconds"]


def choice_loss(record: dict) -> float | None:
    """Time of PIT's choice over that of the best way that was measured; 1: the best was chosen."""
    entry = record["contestants"].get("pit")
    if not entry or "ms" not in entry or is_detection(record):
        return None
    others = [paired_ratio(entry, other) for name, other in record["contestants"].items()
              if "ms" in other and "error" not in other and (other["candidate"] or name == "pit-dense")]
    return max([1.0, *[ratio for ratio in others if ratio]])


def prediction_error(record: dict) -> list[float]:
    """Predicted over measured time of every way that was costed and timed."""
    entry = record["contestants"].get("pit", {})
    found = []
    detect = entry.get("report", {}).get("detect_seconds", 0.0)
    for candidate in entry.get("report", {}).get("candidates", []):
        rule = candidate["rule"]
        name = "pit" if [rule] == entry.get("rules") else "pit-dense" if rule.startswith("dense") else f"pit:{rule}"
        other = record["contestants"].get(name, {})
        if "ms" in other and candidate["seconds"] > 0:
            measured = other["ms"] * 1e-3 - (0.0 if name == "pit-dense" else detect)
            if measured > 0:
                found.append(candidate["seconds"] / measured)
    return found


def one_case(record: dict) -> dict:
    """The object that --json prints: PIT's own figures first, then the peers'."""
    entry, dense = own(record), timed(record).get("pit-dense")
    peer = best_peer(record)
    rounded = lambda x: None if x is None else round(x, 5)  # noqa: E731
    return {
        "case": record["case"], "row": record["row"],
        "sparse_ms": entry["ms"] if entry else None, "dense_ms": dense["ms"] if dense else None,
        "limit_ms": rounded(record["limit"]["ms"]), "bound": record["limit"]["bound"],
        "limit_share": rounded(record["limit"]["ms"] / entry["ms"]) if entry else None,
        "over_dense": rounded(paired_ratio(dense, entry)) if entry and dense else None,
        "detect_share": rounded(detect_share(entry)) if entry else None,
        "live_fraction": rounded(record["limit"]["live_fraction"]), "rule": (entry.get("rules") or [None])[0] if entry else None,
        "max_abs_diff": entry["max_abs_diff"] if entry else None,
        "best_peer": peer[0] if peer else None, "best_peer_ms": peer[1]["ms"] if peer else None,
        "over_best_peer": rounded(paired_ratio(peer[1], entry)) if peer and entry else None,
        "choice_loss": rounded(choice_loss(record)),
        "peers_ms": {name: e["ms"] for name, e in timed(record, "dense", "sparse", "weights").items()},
        "errors": {name: e["error"] for name, e in record["contestants"].items() if "error" in e},
        "loaded": record["load"]["loaded"],
    }


def milliseconds(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 1 else f"{ms:.3f}"


def lines_of(record: dict, detailed: bool = False) -> list[str]:
    """For the terminal."""
    short = one_case(record)
    mark = " [machine loaded]" if short["loaded"] else ""
    text = [f"{record['case']}{mark}"]
    if short["sparse_ms"] is not None:
        dense = f", {short['over_dense']:.2f}x own dense" if short["over_dense"] else ""
        peer = f", {short['over_best_peer']:.2f}x {short['best_peer']}" if short["over_best_peer"] else ""
        text.append(f"    pit {milliseconds(short['sparse_ms'])} ms, {short['limit_share']:.0%} of the limit ({short['bound']}){dense}{peer}"
                    f"; rule {short['rule']}; {record['seconds']:.0f} s")
    elif short["best_peer"]:
        text.append(f"    best peer {short['best_peer']} {milliseconds(short['best_peer_ms'])} ms; limit {milliseconds(short['limit_ms'])} ms; "
                    f"{record['seconds']:.0f} s")
    for name, error in short["errors"].items():
        text.append(f"    {name}: {error}")
    if detailed:
        rows = sorted(record["contestants"].items(), key=lambda item: item[1].get("ms", 1e9))
        for name, e in rows:
            if "ms" in e:
                text.append(f"    {name:28} {milliseconds(e['ms']):>8} ms   {milliseconds(e['min_ms'])} .. {milliseconds(e['q3_ms'])}   "
                            f"{len(e['samples'])} calls   {e.get('note', '')}")
        text += [f"    {name:28} skipped: {why}" for name, why in record["skipped"].items()]
    return text
