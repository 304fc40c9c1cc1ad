"""matmul(), einsum(), Contraction and LiveSet: sparse products without a model."""

import functools as _functools
import json as _json
import os
import string as _string
from typing import Any, Callable, Literal, NamedTuple, Optional, Union, overload

import numpy as np

from . import _pit
from ._model import CancelToken, Poison as _Poison, _integer, _poison_name, _text, _thread_count
from .errors import InputError

__all__ = ["Contraction", "LiveSet", "MachineLimits", "Prepared", "detect", "einsum", "matmul", "measure_limits", "tune"]


class LiveSet:
    """Which micro-tiles of a batch of matrices are live. Immutable; may be used by any number of calls at once.

    Made by `pit.detect` from values, or from what is known without them: `from_mask`, `from_lengths`, `from_rows`, `from_experts`.
    A live set of `batch` matrices below each other also fits one tall matrix of `batch * rows` rows where no micro-tile crosses a border, so
    lengths of padded sequences fit `pit.matmul(x, w)` for `x` of shape (batch, rows, columns).
    """

    __slots__ = ("_set",)

    def __init__(self, live_set: _pit.LiveSet) -> None:
        if not isinstance(live_set, _pit.LiveSet):
            raise InputError("a LiveSet is made by pit.detect or LiveSet.from_mask, from_lengths, from_rows, from_experts")
        self._set = live_set

    @classmethod
    def from_mask(cls, mask: Any, granularity: tuple[int, int] = (1, 1), rows: Optional[int] = None, columns: Optional[int] = None) -> "LiveSet":
        """From one element per micro-tile.

        mask:        bool or uint8, shape (..., rows of micro-tiles, columns of micro-tiles); non-zero is live.
        granularity: rows and columns of a micro-tile, in elements.
        rows, columns: extents of the matrices in elements. Default: as many as the micro-tiles have.

        Raises InputError for another type, or a shape that does not fit.
        """
        mask, g = _array("mask", mask), _granularity(granularity)
        if mask.ndim < 2:
            raise InputError(f"'mask' has the shape {mask.shape}; give (..., rows, columns) of micro-tiles", "LiveSet", "mask")
        rows = mask.shape[-2] * g[0] if rows is None else rows
        columns = mask.shape[-1] * g[1] if columns is None else columns
        return cls(_pit.LiveSet.from_mask(mask, _integer("rows", rows, 63), _integer("columns", columns, 63), g))

    @classmethod
    def from_lengths(cls, lengths: Any, rows: int, columns: int) -> "LiveSet":
        """Padded sequences: the first lengths[b] of `rows` rows of matrix b are live. `lengths`: integers, shape (batch,), 0 to `rows`."""
        return cls(_pit.LiveSet.from_lengths(_integers("lengths", lengths), _integer("rows", rows, 63), _integer("columns", columns, 63)))

    @classmethod
    def from_rows(cls, indices: Any, rows: int, columns: int) -> "LiveSet":
        """Live rows of one matrix. `indices`: integers, shape (count,), any order, duplicates allowed."""
        return cls(_pit.LiveSet.from_rows(_integers("indices", indices), _integer("rows", rows, 63), _integer("columns", columns, 63)))

    @classmethod
    def from_experts(cls, experts: Any, expert_count: int, columns: int) -> "LiveSet":
        """Routing: matrix e has the rows that go to expert e.

        experts: integers, shape (rows,) or (rows, top_k): the experts of each row, below `expert_count`; negative: none.
        """
        return cls(_pit.LiveSet.from_experts(_integers("experts", experts), _integer("expert_count", expert_count, 63), _integer("columns", columns, 63)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(batch, rows, columns), in elements."""
        return self._set.shape()

    @property
    def granularity(self) -> tuple[int, int]:
        """Rows and columns of a micro-tile, in elements; never larger than the matrix."""
        return self._set.granularity()

    @property
    def count(self) -> int:
        """Live micro-tiles."""
        return self._set.count()

    @property
    def total(self) -> int:
        """All micro-tiles."""
        return self._set.total()

    @property
    def fraction(self) -> float:
        """count / total; 1 where there are none."""
        return self._set.fraction()

    def index(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets, indices): row r of micro-tiles has the live columns indices[offsets[r]:offsets[r + 1]], ascending. int64 and int32."""
        return self._set.index()

    def mask(self) -> np.ndarray:
        """As bool, shape (batch, rows of micro-tiles, columns of micro-tiles)."""
        return self._set.mask()

    def __repr__(self) -> str:
        (batch, rows, columns), (g_rows, g_columns) = self.shape, self.granularity
        return f"<pit.LiveSet {batch}x{rows}x{columns} in {g_rows}x{g_columns}, {self.count} of {self.total} live>"


class Prepared:
    """A second operand (weights) that was packed, and whose zeros were found, once. Made by `Contraction.prepare`."""

    __slots__ = ("_prepared",)

    def __init__(self, prepared: _pit.Prepared) -> None:
        self._prepared = prepared

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the operand."""
        return self._prepared.shape()

    @property
    def bytes(self) -> int:
        """Memory held: panels, and a second, row-contiguous layout once a call of a few rows has asked for it."""
        return self._prepared.bytes()

    @property
    def live_fraction(self) -> float:
        """Share of live micro-tiles; 1 where zeros were not looked for."""
        return self._prepared.live_fraction()

    def __repr__(self) -> str:
        return f"<pit.Prepared {'x'.join(map(str, self.shape))}, {self.bytes} bytes, {self.live_fraction:.3g} live>"


class Contraction:
    """A compiled contraction of two operands: a matrix product, or its kin over another algebra. May be called from many threads at once.

    expression: an einsum, "bmk,bkn->bmn", or a tensor expression, "C[m,n] max= A[m,k] + B[k,n]". Sums of products (`+=` of `*`), max-plus,
                min-plus (`max=`, `min=` of `+`), log-sum-exp (`logsumexp=` of `+`), max-min, min-max and or-and (`or=` of `&&`).
    threads:    0 or None: what this process may use (affinity and cgroup quota).
    cpu:        generate code for this CPU instead of the one it runs on, e.g. "haswell".
    cache_dir:  where compiled code and measured tiles are kept; "none" keeps none.
    poison:     for debugging: fill results and scratch before use: "nan" (or True), "large" (numbers like 1e30). Results do not change.
    learn:      measured times of its calls correct the times that choices are made by (off also by PIT_LEARN=0). Results do not change. A call
                that names its rule neither learns nor is corrected.

    Axes of the expression are *batch* (both operands and the result), *m* (the first operand and the result), *n* (the second and the
    result) or *k* (both, reduced). Micro-tiles and live sets speak of matrices: m x k of the first operand, k x n of the second, m x n of the
    result, one per position of the batch axes.

    Raises InputError (the text is no contraction of two operands, a bad option), UnsupportedError (its algebra).
    """

    __slots__ = ("_contraction", "__weakref__")

    def __init__(self, expression: str, threads: Optional[int] = 0, cpu: Optional[str] = None,
                 cache_dir: Union[str, "os.PathLike[str]", None] = None, *, poison: _Poison = False, learn: bool = True) -> None:  # fmt: skip
        self._contraction = _pit.contraction(_text("expression", expression), _thread_count(threads), _text("cpu", cpu),
                                             _text("cache_dir", cache_dir, path=True), _poison_name(poison), bool(learn))  # fmt: skip

    @property
    def expression(self) -> str:
        """The tensor expression in canonical form."""
        return self._contraction.expression()

    @overload
    def explain(self, json: Literal[False] = False) -> str: ...
    @overload
    def explain(self, json: Literal[True]) -> dict[str, Any]: ...
    def explain(self, json=False):
        """What was found: the part of each axis, whether it may be permuted or why not, and which operand may be sparse along it. A table, or with
        `json` a dict."""
        text = self._contraction.explain(bool(json))
        return _json.loads(text) if json else text

    def prepare(self, b: Any, zeros: Optional[Literal["detect"]] = None, granularity: tuple[int, int] = (1, 1)) -> Prepared:
        """Packs a second operand once, for any number of calls.

        b:     float32 or float64 (bool for or-and), any strides; it is copied.
        zeros: "detect" also finds its live micro-tiles of `granularity`, once.

        Where the result's last axis is the first operand's ("mk,kn->nm"), what is held is a contiguous copy and the live micro-tiles: the
        operands are exchanged then, and packing is part of each call.
        """
        if isinstance(zeros, LiveSet):
            raise InputError("the zeros of an operand that is prepared are None or \"detect\"", self.expression, "b")
        return Prepared(self._contraction.prepare(b, _zeros("b", zeros, granularity)))

    def __call__(self, a: Any, b: Any, *, zeros: Any = None, granularity: tuple[int, int] = (1, 1), b_zeros: Any = None,
                 b_granularity: tuple[int, int] = (1, 1), c_live: Optional[LiveSet] = None, out: Any = None, rule: Optional[str] = None,
                 report: bool = False, cancel: Optional[CancelToken] = None) -> Any:  # fmt: skip
        """Computes the result, of the operands' type: both float32, or both float64 (bool for or-and).

        a, b:          NumPy arrays, or anything that speaks DLPack, of any strides, read in place; `b` also what `prepare` returned.
        zeros:         of `a`. None: everything is live. "detect": find the live micro-tiles of `granularity` (rows, columns) in the values. A
                       LiveSet: elements outside of it are absent and not read.
        b_zeros:       the same of `b`, at `b_granularity`.
        c_live:        a LiveSet: only these micro-tiles of the result are wanted; the others come back as the identity (0 for sums).
        out:           a writable array to compute into, which is then returned.
        rule:          compute by this rule, one of the report's candidates, instead of the one that is expected to be fastest.
        report:        True returns (result, dict): rule, candidates with expected seconds, live_fraction, detect_, choose_, compute_ and
                       total_seconds.
        cancel:        a pit.CancelToken, for another thread to end the call with a CancelledError. Ctrl-C ends it in any case.

        Absent means 0 for sums of products, -inf for max-plus and log-sum-exp, +inf for min-plus, False for or-and.

        Raises InputError naming "a", "b", "c" or "out" when types, shapes or live sets do not fit. The GIL is released meanwhile.
        """
        if isinstance(b, Prepared):
            b = b._prepared
        result, found = self._contraction.run(a, b, _zeros("a", zeros, granularity), _zeros("b", b_zeros, b_granularity), _live("c", c_live),
                                              out, _text("rule", rule), bool(report), cancel)  # fmt: skip
        return (result, found) if report else result

    def __repr__(self) -> str:
        return f"<pit.Contraction {self.expression}>"

    def __reduce__(self):
        raise TypeError("a compiled pit.Contraction cannot be pickled; compile it again where it is needed (the code is cached)")


def einsum(expression: str, a: Any, b: Any, *, zeros: Any = None, granularity: tuple[int, int] = (1, 1), b_zeros: Any = None,
           b_granularity: tuple[int, int] = (1, 1), c_live: Optional[LiveSet] = None, out: Any = None, threads: Optional[int] = 0,
           rule: Optional[str] = None, report: bool = False, cancel: Optional[CancelToken] = None) -> Any:  # fmt: skip
    """A contraction of two operands: `pit.Contraction(expression, threads)(a, b, ...)`, compiled once per process.

        y = pit.einsum("bmk,bkn->bmn", a, b, zeros="detect", granularity=(32, 1))

    Keywords and errors are those of `pit.Contraction`.
    """
    call = _compiled(_text("expression", expression), _thread_count(threads), "", None, *_environment())
    return call(a, b, zeros=zeros, granularity=granularity, b_zeros=b_zeros, b_granularity=b_granularity, c_live=c_live, out=out, rule=rule, report=report,
                cancel=cancel)


def matmul(a: Any, b: Any, *, zeros: Any = None, granularity: tuple[int, int] = (1, 1), b_zeros: Any = None,
           b_granularity: tuple[int, int] = (1, 1), c_live: Optional[LiveSet] = None, out: Any = None, threads: Optional[int] = 0,
           rule: Optional[str] = None, report: bool = False, cancel: Optional[CancelToken] = None) -> Any:  # fmt: skip
    """The matrix product `a @ b` in float32 or float64, whichever both are, computing only what is live.

        y = pit.matmul(a, b, zeros="detect", granularity=(32, 1))

    a: (..., m, k), b: (..., k, n); leading axes are broadcast and one-dimensional operands are vectors, as in numpy.matmul. The leading axes
    that only `a` has make one tall matrix. Other keywords and errors are those of `pit.Contraction`.

    The result is the same bit for bit for any live set that covers the non-zeros, any rule and any number of threads.
    """
    if isinstance(b, Prepared):
        raise InputError("pit.matmul packs `b` in every call; use the pit.Contraction that prepared it", "matmul", "b")
    a, b = _array("a", a), _array("b", b)
    expression, a, b = _matmul_expression(a, b)
    return einsum(expression, a, b, zeros=zeros, granularity=granularity, b_zeros=b_zeros, b_granularity=b_granularity, c_live=c_live, out=out,
                  threads=threads, rule=rule, report=report, cancel=cancel)  # fmt: skip


def detect(values: Any, granularity: tuple[int, int] = (32, 1), absent: float = 0.0, threads: Optional[int] = 0) -> LiveSet:
    """Finds the live micro-tiles of matrices in one pass over their values: those with an element that differs from `absent` (NaN does).

    values: float32 or float64, shape (..., rows, columns), any strides. Raises InputError for anything else.
    """
    return LiveSet(_pit.LiveSet.detect(values, _granularity(granularity), _number("absent", absent), _thread_count(threads)))


class MachineLimits(NamedTuple):
    """What a machine can do, measured: the denominators of every "share of the limit"."""

    cpu: str
    #: The instruction set that the figures hold for.
    target: str
    threads: int
    #: Independent fused multiply-adds in registers, all threads together, 1e9 operations (two per multiply-add) per second.
    fma_gflops: float
    #: Streaming reads and writes of memory far larger than the caches, 1e9 bytes per second.
    read_gbytes: float
    write_gbytes: float
    #: Bytes read plus bytes written by a large copy.
    copy_gbytes: float
    l2_read_gbytes: float
    l3_read_gbytes: float


def measure_limits(threads: int = 1, cpu: Optional[str] = None) -> MachineLimits:
    """Measures this machine's peak and bandwidths, in about a second."""
    return MachineLimits(**_pit.measure_limits(_thread_count(threads), _text("cpu", cpu)))


def tune(cpu: Optional[str] = None, cache_dir: Union[str, "os.PathLike[str]", None] = None, progress: Optional[Callable[[float], Any]] = None,
         cancel: Optional[CancelToken] = None) -> str:  # fmt: skip
    """Measures this machine's dense tiles and stores them in the cache directory, for later processes to choose by. Returns the file.

    progress: called with the share done, 0 to 1. Raises InputError when there is no usable cache directory.
    """
    if progress is not None and not callable(progress):
        raise InputError(f"progress is called with the share done; a {type(progress).__name__} cannot be")
    return _pit.tune(_text("cpu", cpu), _text("cache_dir", cache_dir, path=True), progress, cancel)


# -- helpers ---------------------------------------------------------------------------------------------------------------


def _environment() -> tuple[Optional[str], ...]:
    """Variables that compilation reads: a process that changes them means it."""
    return tuple(os.environ.get(name) for name in ("PIT_CPU", "PIT_CACHE_DIR", "PIT_POISON", "PIT_LEARN"))


@_functools.lru_cache(maxsize=256)
def _compiled(expression: str, threads: int, cpu: str, cache_dir: Optional[str], *environment: Optional[str]) -> Contraction:
    return Contraction(expression, threads, cpu, cache_dir)


def _array(name: str, value: Any) -> np.ndarray:
    """A view whose shape can be asked; anything odd is left for the call to refuse."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except Exception as e:
            raise InputError(f"'{name}': a value of type {type(value).__name__} cannot be read: {e}", "", name) from e
    if isinstance(value, (list, tuple, float, int)) or value is None:
        raise InputError(f"'{name}' is a {type(value).__name__}; give a NumPy array or an object with __dlpack__", "", name)
    return np.asarray(value)


def _integers(name: str, value: Any) -> np.ndarray:
    if isinstance(value, (list, tuple, range)):
        value = np.array(value, np.int64) if len(value) else np.zeros(0, np.int64)
    return _array(name, value)


def _granularity(value: Any) -> tuple[int, int]:
    try:
        rows, columns = value
        return _integer("rows", rows, 63), _integer("columns", columns, 63)
    except (AttributeError, TypeError, ValueError, InputError):
        raise InputError(f"a granularity is a pair of integers, (rows, columns) of a micro-tile, not {value!r}") from None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as e:
        raise InputError(f"{name} is a number, not {value!r}", "", name) from e


def _live(name: str, value: Any) -> Optional[_pit.LiveSet]:
    if value is None:
        return None
    if isinstance(value, LiveSet):
        return value._set
    raise InputError(f"what is live of '{name}' is None or a pit.LiveSet, not {value!r}", "", name)


def _zeros(name: str, value: Any, granularity: Any) -> Any:
    if value is None or isinstance(value, LiveSet):
        return _live(name, value)
    if isinstance(value, str) and value == "detect":
        return _granularity(granularity)
    raise InputError(f"the zeros of '{name}' are None, \"detect\" or a pit.LiveSet, not {value!r}", "", name)


def _matmul_expression(a: np.ndarray, b: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """The einsum of a product with broadcast leading axes, and the operands without those along which they are stretched."""
    for name, x in (("a", a), ("b", b)):
        if x.ndim == 0:
            raise InputError(f"'{name}' is a scalar; give one with rows or columns", "matmul", name)
    rows, columns = ("m" if a.ndim > 1 else ""), ("n" if b.ndim > 1 else "")
    lead_a, lead_b = a.shape[:-2], b.shape[:-2]
    rank = max(len(lead_a), len(lead_b))
    letters = [c for c in _string.ascii_letters if c not in "mnk"]
    if rank > len(letters):
        raise InputError(f"{rank} leading axes are too many", "matmul", "a")
    in_a, in_b, out, at_a, at_b = "", "", "", [], []
    for i, letter in zip(range(rank), letters):
        extent_a = lead_a[i - rank + len(lead_a)] if i >= rank - len(lead_a) else None
        extent_b = lead_b[i - rank + len(lead_b)] if i >= rank - len(lead_b) else None
        stretch_a = extent_a == 1 and extent_b not in (None, 1)
        stretch_b = extent_b == 1 and extent_a not in (None, 1)
        if extent_a is not None:
            at_a.append(0 if stretch_a else slice(None))
            in_a += "" if stretch_a else letter
        if extent_b is not None:
            at_b.append(0 if stretch_b else slice(None))
            in_b += "" if stretch_b else letter
        out += letter
    return f"{in_a}{rows}k,{in_b}k{columns}->{out}{rows}{columns}", a[tuple(at_a)], b[tuple(at_b)]
