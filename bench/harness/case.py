"""A case: one shape, one pattern of zeros, one number of threads; a line of text that a person can read and write.

    matmul m=4096 n=4096 k=4096 granularity=32x1 zeros=0.9 threads=1

A line of a workload file may give several values, separated by commas, to any key: it then stands for all combinations. `#` starts a comment.
What the keys mean is in bench/README.md, which a test compares with KEYS.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from pathlib import Path

WORKLOADS = Path(__file__).resolve().parent.parent / "workloads"

KINDS = ("matmul", "detect")
ALGEBRAS = ("sum", "maxplus", "logsumexp")
DTYPES = ("f32",)
GENERATORS = ("bernoulli", "exact", "skewed")


class CaseError(ValueError):
    """A line that is no case; says what would be right."""


@dataclass(frozen=True)
class Case:
    kind: str = "matmul"
    m: int = 1024
    n: int = 1024
    k: int = 1024
    dtype: str = "f32"
    algebra: str = "sum"
    granularity: tuple[int, int] = (1, 1)      # of the zeros in A: rows x columns of a micro-tile
    zeros: float = 0.0                         # share of A's micro-tiles that are absent
    index: str = "detect"                      # detect: from A's values, in the timed call; known: the producer hands the index over
    b: str = "dynamic"                         # static: weights, packed or converted before the clock starts
    b_granularity: tuple[int, int] = (1, 1)
    b_zeros: float = 0.0
    c_granularity: tuple[int, int] = (1, 1)
    c_zeros: float = 0.0                       # share of the result's micro-tiles that nobody wants; always known
    generator: str = "bernoulli"
    threads: int = 1
    seed: int = 0
    row: str = ""                              # the row of the goals that the case belongs to; not part of what is measured

    def line(self, with_row: bool = True) -> str:
        """The line that reproduces the case: what differs from the defaults, and the shape."""
        shape = ("m", "k") if self.kind == "detect" else ("m", "n", "k")
        words = [self.kind]
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "kind" or (f.name == "row" and not with_row) or (f.name == "n" and self.kind == "detect"):
                continue
            if f.name in shape or f.name == "threads" or value != f.default:
                words.append(f"{f.name}={show(value)}")
        return " ".join(words)

    def key(self) -> str:
        """What identifies a result."""
        return self.line(with_row=False)

    def shape_key(self) -> str:
        """All cases in which a kernel that ignores zeros does the same."""
        plain = replace(self, zeros=0.0, granularity=(1, 1), index="detect", c_zeros=0.0, c_granularity=(1, 1), b_zeros=0.0,
                        b_granularity=(1, 1), generator="bernoulli", seed=0)
        return plain.key()

    def b_key(self) -> str:
        """All cases that have the same second operand."""
        return f"{self.k} {self.n} {self.b_granularity} {self.b_zeros} {self.seed} {self.algebra} {self.generator}"


KEYS = tuple(f.name for f in fields(Case) if f.name != "kind")


def show(value) -> str:
    if isinstance(value, tuple):
        return f"{value[0]}x{value[1]}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_value(key: str, text: str):
    default = next(f.default for f in fields(Case) if f.name == key)
    try:
        if isinstance(default, tuple):
            rows, columns = (int(part) for part in text.split("x"))
            if rows < 1 or columns < 1:
                raise ValueError
            return rows, columns
        if isinstance(default, float):
            share = float(text)
            if not 0 <= share <= 1:
                raise ValueError
            return share
        return int(text) if isinstance(default, int) else text
    except ValueError:
        kind = "rows x columns, e.g. 32x1" if isinstance(default, tuple) else "a share of 0..1" if isinstance(default, float) else "a number"
        raise CaseError(f"{key}={text}: expected {kind}") from None


def parse(line: str) -> list[Case]:
    """The cases of a line; CaseError says what is wrong with it."""
    words = line.split("#")[0].split()
    if not words:
        return []
    if words[0] not in KINDS:
        raise CaseError(f"a case starts with one of {', '.join(KINDS)}, not {words[0]!r}")
    choices: dict[str, list] = {}
    for word in words[1:]:
        key, equals, text = word.partition("=")
        if not equals or key not in KEYS:
            raise CaseError(f"{word!r}: expected key=value with one of the keys {', '.join(KEYS)}")
        choices[key] = [text] if key == "row" else [parse_value(key, t) for t in text.split(",")]
    for key, allowed in (("algebra", ALGEBRAS), ("dtype", DTYPES), ("generator", GENERATORS), ("b", ("static", "dynamic")),
                         ("index", ("detect", "known"))):
        for value in choices.get(key, []):
            if value not in allowed:
                raise CaseError(f"{key}={value}: expected one of {', '.join(allowed)}")
    return [Case(kind=words[0], **dict(zip(choices, values))) for values in itertools.product(*choices.values())]


def read(path: Path) -> list[Case]:
    """The cases of a workload file, in its order."""
    cases = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            cases += parse(line)
        except CaseError as error:
            raise CaseError(f"{path.name}:{number}: {error}") from None
    return cases


def select(full: bool, workloads: Path = WORKLOADS) -> list[Case]:
    """quick.txt, or with `full` all files; each case once, one thread before two."""
    paths = sorted(workloads.glob("*.txt")) if full else [workloads / "quick.txt"]
    unique: dict[str, Case] = {}
    for path in paths:
        for case in read(path):
            unique.setdefault(case.key(), case)
    return sorted(unique.values(), key=lambda case: case.threads)
