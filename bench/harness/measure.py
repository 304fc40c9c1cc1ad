"""Measures one case: all contestants take turns, on fresh patterns, and every timed result is checked."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from .case import Case
from .check import Checker, Wrong
from .client import Client, Shared, WorkerError
from .limits import Limit, Rates, limit
from .machine import LOADED_SHARE, LOADED_SLOWDOWN, Load, Machine, load_average
from .operands import Masks, Source

HOPELESS = 20.0        # times own dense: one repetition is enough
DENSE_MARGIN = 1.10    # dense peers this close to the best of them are always asked
DENSE_KEPT = 2         # dense peers in large cases about zeros: the fastest that the shape has seen
NEAR = 2.5             # times the fastest peer: in large cases of the quick selection, slower ones run once,
NEAR_DENSE = 1.3       # and dense ones from here on: they vary little
HOPEFUL = 1.25         # times the fastest dense peer: sparse ones that are expected to take longer cannot be the best one
SECOND_CHANCE = 0.5    # seconds: first calls shorter than this are made twice
DISTURBED = 0.02       # share of a call that its threads waited for a CPU that another process had
LARGE = 4e9            # multiply-adds: from here on, dense peers cost too much time to be all asked again in each case about zeros
MORE_ROUNDS = 4        # at most, where others took the CPU away
HOPED = 2.5            # times the prediction of PIT's choice: other ways beyond it are not timed in large cases
GROWTH = 0.8           # power of the live fraction that a sparse contestant's time is expected to grow with: conversion does not
WARM_BELOW = 0.05      # seconds: calls shorter than this follow an untimed one


@dataclass
class Settings:
    seconds: float = 8.0             # for the rounds of a case, after the first call of everybody
    min_rounds: int = 3
    max_rounds: int = 12
    slowest: float = 3.0             # a call that is expected to take longer is not made
    candidates: int = 4              # of PIT's other ways, timed to judge its choice
    dense_peers: str = "screened"    # or "all"
    hopeful_only: bool = True        # in large cases, no sparse peers that cannot be the best one


@dataclass
class Entry:
    """What is known of a contestant in this case."""
    name: str
    client: Client
    sort: str
    default: bool = False
    candidate: bool = False
    samples: list = field(default_factory=list)    # [round, ms, disturbed]
    cpu: list = field(default_factory=list)        # CPU time / (elapsed x threads)
    reports: list = field(default_factory=list)
    first: float = 0.0
    prepare: float = 0.0
    diff: float = 0.0
    exact: bool | None = None
    error: str | None = None
    note: str | None = None
    racing: bool = True

    def seconds(self) -> float:
        return float(np.median(undisturbed(self.samples))) * 1e-3 if self.samples else self.first

    def record(self) -> dict:
        result = {"sort": self.sort, "default": self.default, "candidate": self.candidate, "samples": self.samples,
                  "prepare_ms": round(self.prepare * 1e3, 3), "max_abs_diff": self.diff}
        if self.samples:
            ms = undisturbed(self.samples)
            quartiles = np.percentile(ms, [0, 25, 50, 75])
            result |= dict(zip(("min_ms", "q1_ms", "ms", "q3_ms"), (round(float(q), 5) for q in quartiles)))
            result["disturbed"] = sum(sample[2] for sample in self.samples)
            result["cpu_share"] = round(float(np.median(self.cpu)), 3)
        for key in ("error", "note", "exact"):
            if getattr(self, key) is not None:
                result[key] = getattr(self, key)
        if self.reports and self.reports[-1]:
            result["report"] = self.reports[-1]
            for key in ("detect_seconds", "choose_seconds", "compute_seconds", "total_seconds", "live_fraction"):
                values = [r[key] for r in self.reports if key in r]
                if values:
                    result["report"][key] = float(np.median(values))
            result["rules"] = sorted({r["rule"] for r in self.reports if "rule" in r})
        return result


def undisturbed(samples: list) -> np.ndarray:
    """The times that count, ms: those during which nobody took the CPU away, where there are three of them; else all."""
    quiet = [sample[1] for sample in samples if not sample[2]]
    return np.array(quiet if len(quiet) >= 3 else [sample[1] for sample in samples])


class History:
    """Times of this run and of the results file, to foresee how long a contestant will take and which dense peers matter."""

    def __init__(self) -> None:
        self.rates: dict[tuple, list] = {}               # (contestant, granularity, threads) -> [seconds per multiply-add, live fraction]
        self.dense: dict[str, dict[str, float]] = {}     # shape -> dense peer -> seconds

    def add(self, record: dict, case: Case) -> None:
        terms = case.m * case.n * case.k
        for name, entry in record["contestants"].items():
            if "ms" not in entry or "error" in entry:
                continue
            seconds = entry["ms"] * 1e-3
            live = 1.0 if entry["sort"] == "dense" else max(record["limit"]["live_fraction"], 1e-3)
            for granularity in (case.granularity, None):
                self.rates.setdefault((name, granularity, case.threads), []).append((seconds / terms, live))
            if entry["sort"] == "dense" and case.kind == "matmul":
                self.dense.setdefault(case.shape_key(), {})[name] = seconds

    def expect(self, name: str, case: Case, live: float) -> float:
        """Seconds; 0 while nothing is known. The least that any case foretells: small cases and disturbed ones would mislead."""
        seen = self.rates.get((name, case.granularity, case.threads)) or self.rates.get((name, None, case.threads), [])
        return min((rate * (live / known) ** GROWTH for rate, known in seen), default=0.0) * case.m * case.n * case.k


def choose_slots(case: Case) -> int:
    """Patterns per turn: many for small cases, where changing between processes would cost more than the calls."""
    elements = case.m * case.k + (case.m * case.n if case.kind == "matmul" else 0)
    return 8 if elements <= 1 << 20 else 4 if elements <= 1 << 22 else 1


class Measurement:
    def __init__(self, case: Case, clients: list[Client], shared: Shared, source: Source, machine: Machine, rates: Rates,
                 settings: Settings, history: History, cpus: list[int]) -> None:
        self.case, self.clients, self.shared, self.source = case, clients, shared, source
        self.machine, self.rates, self.settings, self.history, self.cpus = machine, rates, settings, history, cpus
        self.slots = choose_slots(case)
        self.entries: dict[str, Entry] = {}
        self.skipped: dict[str, str] = {}
        self.limits: list[Limit] = []
        self.speeds: list[float] = []

    # Operands ------------------------------------------------------------------------------------

    def fill(self, iteration: int, first: bool) -> None:
        """Fresh patterns into shared memory, and a checker for each."""
        case, shared = self.case, self.shared
        matmul = case.kind == "matmul"
        fresh_b = matmul and case.b == "dynamic" and case.b_zeros > 0
        self.checkers, self.masks = [], []
        for s in range(self.slots):
            number = iteration * self.slots + s
            a = shared.array(f"a{s}", (case.m, case.k))
            mask = self.source.fill_a(case, number, a)
            shared.array(f"am{s}", mask.shape, np.uint8)[...] = mask
            c_mask = b_mask = np.ones((1, 1), bool)
            b = None
            if matmul:
                c_mask = self.source.draw_c(case, number)
                shared.array(f"cm{s}", c_mask.shape, np.uint8)[...] = c_mask
                shared.array(f"out{s}", (case.m, case.n))
                b = shared.array(f"b{s if fresh_b else 0}", (case.k, case.n))
                if fresh_b or (first and s == 0):
                    self.b_mask = self.source.fill_b(case, number, b)
                b_mask = self.b_mask
            masks = Masks(mask, b_mask, c_mask)
            self.masks.append(masks)
            self.checkers.append(Checker(case, a, b, masks) if matmul else None)
        self.limits.append(limit(case, self.masks[0], self.rates))

    def fetch(self, first: bool) -> None:
        fresh_b = self.case.b == "dynamic" and self.case.b_zeros > 0
        for client in {id(e.client): e.client for e in self.entries.values() if e.racing}.values():
            client.ask("fetch", slots=list(range(self.slots)), b=first or fresh_b)

    # Contestants ---------------------------------------------------------------------------------

    def enlist(self) -> None:
        case, line = self.case, self.case.line()
        live = self.limits[0].live_fraction
        dense = self.history.dense.get(case.shape_key(), {})
        kept = sorted(dense, key=dense.get)[:DENSE_KEPT]
        sparse_case = case.zeros > 0 or case.b_zeros > 0 or case.c_zeros > 0
        large = case.m * case.n * case.k >= LARGE
        for client in self.clients:
            try:
                refused = client.ask("case", case=line, slots=self.slots, folder=str(self.shared.folder))["refused"]
            except WorkerError as error:
                self.skipped[client.name] = str(error)
                continue
            for name, about in client.contestants.items():
                if refused[name]:
                    continue
                if about["sort"] == "dense" and sparse_case and self.settings.dense_peers == "screened" and len(dense) > 1 and large:
                    if name not in kept:
                        self.skipped[name] = "a dense kernel that is slower than another on this shape"
                        continue
                expected = self.history.expect(name, case, live if about["sort"] != "dense" else 1.0)
                if not expected and about["weak"] and case.m * case.n * case.k * live > 2e9 * self.settings.slowest:
                    expected = 2 * self.settings.slowest
                rival = about["sort"] == "dense" and expected <= DENSE_MARGIN * self.fastest_dense()  # these are always asked
                if expected > self.settings.slowest and about["sort"] != "own" and not rival:
                    self.skipped[name] = f"would take about {expected:.0f} s a call; FULL=1 runs it"
                    continue
                if large and self.settings.hopeful_only and about["sort"] == "sparse" and expected > HOPEFUL * self.fastest_dense():
                    self.skipped[name] = f"would take about {expected:.1f} s a call, more than a dense peer; FULL=1 runs it"
                    continue
                self.entries[name] = Entry(name, client, about["sort"], about["default"])
        # Own dense first: everything is compared with it.
        self.entries = dict(sorted(self.entries.items(), key=lambda item: (item[0] != "pit-dense", item[1].sort != "own")))

    def fastest_dense(self) -> float:
        """Seconds that the best dense peer is expected to take; infinite while nothing is known."""
        names = [name for client in self.clients for name, about in client.contestants.items() if about["sort"] == "dense"]
        return min((seconds for name in names if (seconds := self.history.expect(name, self.case, 1.0))), default=float("inf"))

    def prepare(self, entry: Entry) -> None:
        try:
            entry.prepare = entry.client.ask("prepare", contestant=entry.name)["seconds"]
        except WorkerError as error:
            self.fail(entry, str(error))

    def fail(self, entry: Entry, why: str) -> None:
        entry.error, entry.racing, entry.samples = why, False, []

    def turn(self, entry: Entry, round_number: int, slots: list[int], warm: bool, keep: bool) -> None:
        try:
            reply = entry.client.ask("run", contestant=entry.name, slots=slots, warm=warm)
            for slot, sample in zip(slots, reply["samples"]):
                self.verify(entry, slot, sample["report"])
                entry.first = entry.first or sample["ns"] * 1e-9
                if keep:
                    disturbed = sample["lost_ns"] > DISTURBED * sample["ns"]
                    entry.samples.append([round_number, round(sample["ns"] * 1e-6, 5), int(disturbed)])
                    entry.cpu.append(sample["cpu_ns"] / max(sample["ns"], 1) / self.case.threads)
                    entry.reports.append(sample["report"])
            self.last_candidates = reply["candidates"]
            if reply["samples"]:
                self.last_report = reply["samples"][-1]["report"]
        except (WorkerError, Wrong) as error:
            self.fail(entry, str(error))

    def verify(self, entry: Entry, slot: int, report: dict) -> None:
        if self.case.kind == "detect":
            if report.pop("has_mask", False):
                found = np.fromfile(self.shared.folder / f"mask{slot}", np.uint8) != 0
                expected = self.masks[slot].a.reshape(-1)
                if not np.array_equal(found, expected):
                    raise Wrong(f"{int((found != expected).sum())} micro-tiles are wrong")
                entry.exact = True
            return
        y = self.shared.array(f"out{slot}", (self.case.m, self.case.n))
        result = self.checkers[slot].check(y, entry.sort == "own", entry.name == "pit-dense")
        entry.diff = max(entry.diff, result["max_abs_diff"])
        if "exact" in result:
            entry.exact = result["exact"] if entry.exact is None else entry.exact and result["exact"]

    # The race ------------------------------------------------------------------------------------

    def first_calls(self) -> None:
        """Everybody's first call: code is generated, memory is touched, results are checked, and who can stay is decided."""
        for entry in list(self.entries.values()):
            self.prepare(entry)
            if entry.racing:
                self.turn(entry, -1, list(range(self.slots)) if entry.name == "pit-dense" else [0], warm=False, keep=False)
            if entry.racing and entry.first < SECOND_CHANCE:  # what a first call costs once is not the subject
                entry.first = 0.0
                self.turn(entry, -1, [0], warm=False, keep=False)
            if entry.name == "pit" and entry.racing:
                predicted = {c["rule"]: c["seconds"] for c in self.last_report.get("candidates", [])}
                chosen = self.last_report.get("rule")
                others = [rule for rule in self.last_candidates if rule != chosen and not rule.startswith("dense")]
                if self.case.m * self.case.n * self.case.k >= LARGE:  # costly, so only those that could have been the better choice
                    others = [rule for rule in others if predicted.get(rule, 0) < HOPED * predicted.get(chosen, 1e9)]
                for rule in others[: self.settings.candidates]:
                    extra = Entry(f"pit:{rule}", entry.client, "own", candidate=True)
                    self.entries[extra.name] = extra
                    if predicted.get(rule, 0) > self.settings.slowest:
                        extra.racing, extra.note = False, "predicted to be too slow to time"
                        continue
                    self.prepare(extra)
                    if extra.racing:
                        self.turn(extra, -1, [0], warm=False, keep=False)
        own = self.entries.get("pit-dense")
        base = own.first if own and own.racing else min((e.first for e in self.entries.values() if e.racing), default=0.0)
        screened = [e for e in self.entries.values() if e.racing and e.sort == "dense" and base > 0.1]
        sparse_case = self.case.zeros > 0 or self.case.b_zeros > 0 or self.case.c_zeros > 0
        fastest = min((e.first for e in screened), default=0.0)
        large = self.case.m * self.case.n * self.case.k >= LARGE and self.settings.hopeful_only
        nearest = min((e.first for e in self.entries.values() if e.racing and e.sort != "own"), default=0.0)
        for entry in self.entries.values():
            if not entry.racing:
                continue
            near = NEAR_DENSE if entry.sort == "dense" else NEAR
            if large and entry.sort != "own" and entry.first > near * nearest:
                self.retire(entry, f"more than {near:g} times the fastest peer: one repetition")
            elif entry.first > max(self.settings.slowest, 2 * base) and entry.sort != "own":
                self.retire(entry, "slow: one repetition")
            elif entry.first > HOPELESS * base and entry.sort != "own" and self.case.kind == "matmul":
                self.retire(entry, f"more than {HOPELESS:g} times own dense: one repetition")
            elif entry in screened and sparse_case and self.settings.dense_peers == "screened" and entry.first > 1.5 * fastest:
                self.retire(entry, "a dense kernel that is slower than another on this shape: one repetition")

    @staticmethod
    def retire(entry: Entry, why: str) -> None:
        entry.samples, entry.cpu = [[-1, round(entry.first * 1e3, 5), 0]], [1.0]
        entry.note, entry.racing = why, False

    def wants_more(self) -> bool:
        """Whether PIT's own times are too few that nobody disturbed."""
        return any(sum(not sample[2] for sample in self.entries[name].samples) < self.settings.min_rounds
                   for name in ("pit", "pit-dense") if name in self.entries and self.entries[name].racing)

    def rounds(self) -> int:
        settings = self.settings
        started, number = time.monotonic(), 0
        spent = {name: 0.0 for name in self.entries}
        rng = np.random.default_rng(1)
        while number < settings.max_rounds:
            racing = [e for e in self.entries.values() if e.racing]
            elapsed = time.monotonic() - started
            enough = settings.min_rounds if not self.wants_more() else settings.min_rounds + MORE_ROUNDS
            if not racing or (number >= enough and elapsed > settings.seconds):
                break
            share = settings.seconds / len(racing)
            self.fill(number + 1, first=False)
            self.fetch(first=False)
            self.speeds.append(self.machine.speed(self.cpus))
            order = [racing[i] for i in rng.permutation(len(racing))]
            order.sort(key=lambda e: e.name != "pit-dense")  # its result is the reference
            for entry in order:
                # Slow ones stop early, but for own results: their ratio is formed round by round.
                if number >= settings.min_rounds and spent[entry.name] > share and entry.name not in ("pit", "pit-dense"):
                    continue
                before = time.monotonic()
                self.turn(entry, number, list(range(self.slots)), warm=entry.first < WARM_BELOW, keep=True)
                spent[entry.name] += time.monotonic() - before
            number += 1
        return number

    def run(self) -> dict:
        load, average, started = Load(), load_average(), time.monotonic()
        pids = [client.process.pid for client in self.clients]
        load.look(pids)
        self.speeds.append(self.machine.speed(self.cpus))
        self.shared.clear()
        self.fill(0, first=True)
        self.enlist()
        self.fetch(first=True)
        self.first_calls()
        rounds = self.rounds()
        others = load.others()
        speed = float(np.median(self.speeds))
        chosen = sorted(self.limits, key=lambda one: one.seconds)[len(self.limits) // 2]
        return {
            "case": self.case.line(with_row=False), "row": self.case.row, "threads": self.case.threads,
            "limit": {"ms": chosen.seconds * 1e3, "scan_ms": chosen.scan_seconds * 1e3, "flops_ms": chosen.flops_seconds * 1e3,
                      "bytes_ms": chosen.bytes_seconds * 1e3, "live_fraction": chosen.live_fraction, "bound": chosen.bound},
            "contestants": {entry.name: entry.record() for entry in self.entries.values()},
            "skipped": self.skipped, "rounds": rounds, "slots": self.slots,
            "load": {"average_before": average, "others": round(others, 3), "speed": round(speed, 3),
                     "loaded": others > LOADED_SHARE or speed < LOADED_SLOWDOWN},
            "seconds": round(time.monotonic() - started, 1), "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
