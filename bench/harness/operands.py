"""Operands with a fresh pattern of zeros for every iteration, and the masks that they were made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import Case


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def absent(case: Case) -> float:
    """What a missing element is: the annihilator of the product."""
    return 0.0 if case.algebra == "sum" else -np.inf


def draw_mask(rng: np.random.Generator, rows: int, columns: int, granularity, zeros: float, generator: str) -> np.ndarray:
    """Which micro-tiles are live, bool [rows of micro-tiles, columns of micro-tiles]."""
    shape = ceil_div(rows, granularity[0]), ceil_div(columns, granularity[1])
    if zeros <= 0:
        return np.ones(shape, bool)
    if generator == "exact":
        mask = np.zeros(shape[0] * shape[1], bool)
        mask[rng.permutation(mask.size)[: round((1 - zeros) * mask.size)]] = True
        return mask.reshape(shape)
    chance = np.full((shape[0], 1), 1 - zeros, np.float32)
    if generator == "skewed":  # rows differ: their shares of live micro-tiles are spread over 0 .. twice the mean, as far as 1 allows
        spread = min(1 - zeros, zeros)
        chance += rng.uniform(-spread, spread, chance.shape).astype(np.float32)
    return rng.random(shape, np.float32) < chance


def expand(mask: np.ndarray, rows: int, columns: int, granularity) -> np.ndarray:
    """The mask per element."""
    return mask.repeat(granularity[0], 0)[:rows].repeat(granularity[1], 1)[:, :columns]


def apply_mask(out: np.ndarray, values: np.ndarray, mask: np.ndarray, granularity, missing: float) -> None:
    """out = values where live, `missing` elsewhere."""
    rows, columns = values.shape
    height, width = granularity
    if rows % height or columns % width:
        out[...] = np.where(expand(mask, rows, columns, granularity), values, np.float32(missing))
        return
    tiles = (rows // height, height, columns // width, width)
    np.copyto(out, values)
    np.copyto(out.reshape(tiles), np.float32(missing), where=~mask[:, None, :, None])


@dataclass
class Masks:
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray


class Source:
    """Makes operands. Values are drawn once per shape and shared by all patterns; live elements are never the absent value."""

    def __init__(self) -> None:
        self._values: dict[tuple, np.ndarray] = {}

    def values(self, rows: int, columns: int, seed: int) -> np.ndarray:
        key = rows, columns, seed
        if key not in self._values:
            if sum(v.nbytes for v in self._values.values()) > 1 << 30:
                self._values.clear()
            values = np.random.default_rng((seed, rows, columns)).standard_normal((rows, columns), np.float32)
            values[values == 0] = 1
            self._values[key] = values
        return self._values[key]

    def fill_a(self, case: Case, iteration: int, out: np.ndarray) -> np.ndarray:
        """A of this iteration into `out`; its mask."""
        rng = np.random.default_rng((case.seed, iteration, 1))
        mask = draw_mask(rng, case.m, case.k, case.granularity, case.zeros, case.generator)
        apply_mask(out, self.values(case.m, case.k, case.seed), mask, case.granularity, absent(case))
        return mask

    def fill_b(self, case: Case, iteration: int, out: np.ndarray) -> np.ndarray:
        """B into `out`: weights keep their pattern, a dynamic operand with zeros gets a new one."""
        fixed = case.b == "static" or case.b_zeros == 0
        rng = np.random.default_rng((case.seed, 0 if fixed else iteration, 2))
        mask = draw_mask(rng, case.k, case.n, case.b_granularity, case.b_zeros, case.generator)
        apply_mask(out, self.values(case.k, case.n, case.seed + 1000), mask, case.b_granularity, absent(case))
        return mask

    def draw_c(self, case: Case, iteration: int) -> np.ndarray:
        rng = np.random.default_rng((case.seed, iteration, 3))
        return draw_mask(rng, case.m, case.n, case.c_granularity, case.c_zeros, case.generator)
