"""Measures several ways of computing the same thing, fairly: interleaved batch by batch in rotating order, after a warm-up."""

import os
import sys
import time

import numpy as np


class Progress:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title, total):
        self.title, self.total, self.stream = title, total, sys.stderr
        self.done, self.shown, self.start = 0, -1, time.monotonic()
        self.live = self.stream.isatty()

    def step(self):
        self.done += 1
        percent = 100 * self.done // self.total
        if percent == self.shown or (not self.live and percent // 20 == self.shown // 20):
            return
        self.shown = percent
        left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
        bar = "#" * (percent * 30 // 100)
        text = f"{self.title} [{bar:<30}] {percent:3d} %  {left:3.0f} s left"
        self.stream.write(f"\r{text}\x1b[K" if self.live else text + "\n")
        if self.live and self.done == self.total:
            self.stream.write("\n")
        self.stream.flush()


def contest(contestants, batches, title="measuring", seconds=0.0):
    """Runs every contestant on every batch and returns (times, results).

    contestants: name -> function of a batch, returning one array.
    times:       name -> array [round, batch] of seconds. There is one round, and another as long as it should end within `seconds`.
    results:     name -> the arrays of the last round, one per batch.
    """
    names = list(contestants)
    largest = max(batches, key=lambda batch: next(iter(batch.values())).size)
    for batch in (largest, batches[0]):
        for run in contestants.values():
            run(batch)
    rounds, results = [], {name: [None] * len(batches) for name in names}
    start = time.monotonic()
    while not rounds or (time.monotonic() - start) * (len(rounds) + 1) / len(rounds) < seconds:
        progress = Progress(title if not rounds else f"{title}, round {len(rounds) + 1}", len(batches) * len(names))
        times = np.zeros((len(names), len(batches)))
        for i, batch in enumerate(batches):
            for k in range(len(names)):
                which = (i + k + len(rounds)) % len(names)
                before = time.perf_counter()
                results[names[which]][i] = contestants[names[which]](batch)
                times[which, i] = time.perf_counter() - before
                progress.step()
        rounds.append(times)
    stacked = np.stack(rounds)
    return {name: stacked[:, k] for k, name in enumerate(names)}, results


def typical(times):
    """Seconds for all batches: the sum of each batch's median over the rounds."""
    return float(np.median(times, axis=0).sum())


def ratio(slow, fast):
    """How many times faster: the median over all pairs of measurements taken side by side."""
    return float(np.median(slow / fast))


def largest_difference(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b))


def in_turns(contestants, inputs, seconds, apart=()):
    """{name: median ms}, one after the other on what inputs() gives; outputs compared, but for those of `apart`."""
    times, end = {name: [] for name in contestants}, time.monotonic() + seconds
    while time.monotonic() < end or min(len(t) for t in times.values()) < 3:
        x, outputs = inputs(), []
        for name, run in contestants.items():
            begin = time.perf_counter()
            y = run(x)
            times[name].append(1e3 * (time.perf_counter() - begin))
            outputs += [] if name in apart else [y]
        for y in outputs[1:]:
            np.testing.assert_allclose(y, outputs[0], rtol=1e-3, atol=1e-4)
    return {name: float(np.median(t[1:])) for name, t in times.items()}


def pytorch(threads):
    """The module, with so many threads; None where it is not installed."""
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # its threads would spin when they have nothing to do
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    return torch
