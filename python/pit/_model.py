"""compile() and Model: the Python face of the library."""

import json as _json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Optional, Union, overload

import numpy as np

from . import _pit
from .errors import InputError

__all__ = ["CancelToken", "Model", "TensorInfo", "compile"]

CancelToken = _pit.CancelToken

Poison = Union[bool, Literal["nan", "large"]]


class TensorInfo(NamedTuple):
    """A declared input or output."""

    name: str
    dtype: np.dtype
    #: Per axis its extent, or the name of a free dimension (None where the model gives it no name).
    dims: tuple[Union[int, str, None], ...]


_DTYPES = {
    "f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32", "i8": "int8", "u8": "uint8", "bool": "bool",
}  # fmt: skip


def _infos(tensors: list[tuple[str, str, tuple]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name, np.dtype(_DTYPES[dtype]), dims) for name, dtype, dims in tensors)


class Model:
    """A compiled model, made by `pit.compile`. It may be called from many threads at once."""

    __slots__ = ("_model", "_dtypes", "__weakref__")

    def __init__(self, model: _pit.Model) -> None:
        self._model = model
        self._dtypes = {info.name: info.dtype for info in self.inputs}

    def __call__(self, inputs: Optional[Mapping[str, Any]] = None, /, *, outputs: Union[None, str, Iterable[str]] = None,
                 out: Optional[Mapping[str, Any]] = None, cancel: Optional[CancelToken] = None, **named: Any) -> dict[str, np.ndarray]:  # fmt: skip
        """Computes the outputs.

        Give the inputs by keyword, or as one dict from names to arrays (names need not be identifiers). An input is a NumPy array or
        anything that speaks DLPack; it is read in place when it is contiguous, and its type must be the declared one: nothing is
        converted silently. Lists and numbers, which have no type, become arrays of the declared one. Returns the outputs in the order of the model, as NumPy arrays that share PIT's memory.

        outputs: names of those that are wanted (default: all that the model was compiled for); what only others need is not computed,
            unless an extent is found by it (NonZero).
        out:     from names of outputs to writable arrays of their types and shapes, which are computed into and returned.
        cancel:  a pit.CancelToken, for another thread to end the call with a CancelledError. Ctrl-C ends it in any case.

        (Inputs of these three names go into the dict.)

        Raises InputError when an input is missing, unknown or does not fit; the model stays usable. The GIL is released meanwhile.
        """
        names = [] if outputs is None else [name for name, _ in _output_pairs([outputs] if isinstance(outputs, str) else list(_iterable(outputs)))]
        if out is not None and not isinstance(out, Mapping):
            raise InputError(f"out is a dict from names of outputs to arrays, not {type(out).__name__}")
        return self._model.run(self._inputs(inputs, named), names, {} if out is None else dict(out), cancel)

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The inputs that the model declares: name, dtype, dims."""
        return _infos(self._model.inputs())

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The outputs that a call returns, in its order: name, dtype, dims."""
        return _infos(self._model.outputs())

    @overload
    def explain(self, inputs: Optional[Mapping[str, Any]] = None, /, *, json: Literal[False] = False,
                cancel: Optional[CancelToken] = None, **named: Any) -> str: ...
    @overload
    def explain(self, inputs: Optional[Mapping[str, Any]] = None, /, *, json: Literal[True], cancel: Optional[CancelToken] = None, **named: Any) -> dict[str, Any]: ...
    def explain(self, inputs=None, /, *, json=False, cancel=None, **named):
        """What PIT found: per operator its expression, the axes that may be permuted, where its sparsity comes from, what it demands.

        With inputs (one dict or keywords, as for a call) also how much was live and the rule that was chosen. A table, or with `json` a dict.
        """
        text = self._model.explain(None if inputs is None and not named else self._inputs(inputs, named), bool(json), cancel)
        return _json.loads(text) if json else text

    def dump(self, stage: Literal["graph", "masks", "groups", "schedules", "kernels", "asm"], inputs: Optional[Mapping[str, Any]] = None, /, *,
             cancel: Optional[CancelToken] = None, **named: Any) -> str:  # fmt: skip
        """What one stage of the compiler has made of the model, as text.

        "graph":     nodes after simplification, with types, symbolic extents and expressions.
        "masks":     per value, what may be non-zero, what is demanded, what is computed.
        "groups":    what runs as one kernel: nodes, axes, operands, epilogue, live sets; and the claims that were verified.
        "schedules": for each product the rules that apply, their blocking and the time predicted; with inputs (one dict or keywords, as for a
                     call) for their sizes and live rows, else for sizes that it names.
        "kernels":   the IR of the generated kernels, with the steps (as `explain` numbers them) that call them.
        "asm":       their assembly for the CPU that the model is compiled for.

        Nothing of this is kept: kernels and assembly are generated anew, which takes seconds for a large model. Raises InputError for any other
        name.
        """
        given = None if inputs is None and not named else self._inputs(inputs, named)
        return self._model.dump(_text("stage", stage), given, cancel)

    @overload
    def profile(self, inputs: Optional[Mapping[str, Any]] = None, /, *, repeat: int = 5, json: Literal[False] = False,
                cancel: Optional[CancelToken] = None, **named: Any) -> str: ...
    @overload
    def profile(self, inputs: Optional[Mapping[str, Any]] = None, /, *, repeat: int = 5, json: Literal[True],
                cancel: Optional[CancelToken] = None, **named: Any) -> dict[str, Any]: ...
    def profile(self, inputs=None, /, *, repeat=5, json=False, cancel=None, **named):
        """Runs `repeat` times with a clock around every operator: time, live fraction, rule. A table, or with `json` a dict.

        The dict written to a file opens in Perfetto and chrome://tracing.
        """
        text = self._model.profile(self._inputs(inputs, named), _integer("repeat", repeat), bool(json), cancel)
        return _json.loads(text) if json else text

    def _inputs(self, inputs: Optional[Mapping[str, Any]], named: dict[str, Any]) -> dict[str, Any]:
        given = _inputs(inputs, named)
        plain = [name for name, value in given.items() if isinstance(value, (list, tuple, int, float, np.generic))]
        return given | {name: _typed(name, given[name], self._dtypes.get(name)) for name in plain} if plain else given

    def __repr__(self) -> str:
        def show(infos):
            return ", ".join(f"{i.name}: {i.dtype}[{', '.join('?' if d is None else str(d) for d in i.dims)}]" for i in infos)

        return f"<pit.Model ({show(self.inputs)}) -> ({show(self.outputs)})>"

    def __reduce__(self):
        raise TypeError("a compiled pit.Model cannot be pickled; compile the model again where it is needed (the code is cached)")


def _inputs(inputs: Optional[Mapping[str, Any]], named: dict[str, Any]) -> dict[str, Any]:
    if inputs is None:
        return named
    if named:
        raise InputError("pass the inputs by keyword or as one dict, not both")
    if isinstance(inputs, dict):
        return inputs
    if isinstance(inputs, Mapping):
        return dict(inputs)
    raise InputError(f"inputs are keywords or one dict from names to arrays, not {type(inputs).__name__}")


def _typed(name: str, value: Any, dtype: Optional[np.dtype]) -> np.ndarray:
    """A list or a number as an array of the declared type, if that loses nothing but digits."""
    if isinstance(value, np.generic):
        return np.asarray(value)
    try:
        array = np.array(value)
        if array.dtype == object:
            raise TypeError("its elements are no numbers, or too large")
        if dtype is None:
            return array
        if array.size and not np.can_cast(array.dtype, dtype, "same_kind"):
            raise TypeError(f"it holds {array.dtype}, but the model wants {dtype}")
        return np.array(value, dtype)
    except Exception as e:
        raise InputError(f"input '{name}': a {type(value).__name__} cannot become an array: {e}", "", name if isinstance(name, str) else "") from e


def _iterable(outputs: Any) -> Iterable[Any]:
    if not isinstance(outputs, Iterable):
        raise InputError(f"outputs are names, or a dict from names to masks, not {type(outputs).__name__}")
    return outputs


def _output_pairs(outputs) -> list[tuple[str, str]]:
    """(name, mask) per requested output; the mask is empty where all of it is wanted."""
    if outputs is None:
        return []
    if isinstance(outputs, str):
        outputs = [outputs]
    if isinstance(outputs, Mapping):
        pairs = [(name, "" if mask is None else mask) for name, mask in outputs.items()]
    else:
        pairs = [(name, "") for name in _iterable(outputs)]
    for text in (t for pair in pairs for t in pair):
        if not isinstance(text, str):
            raise InputError(f"outputs names outputs (and masks) by strings, not {type(text).__name__}")
        _text("a name in outputs", text)
    if not pairs:
        raise InputError("outputs is empty: name at least one output, or leave it out for all")
    return pairs


def compile(
    model: Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, Any],
    outputs: Union[None, str, Iterable[str], Mapping[str, Optional[str]]] = None,
    threads: Optional[int] = None,
    sparsity: Literal["auto", "off"] = "auto",
    precision: Literal["f32"] = "f32",
    *,
    cpu: str = "",
    cache_dir: Union[str, "os.PathLike[str]", None] = None,
    poison: Poison = False,
    limits: Optional[Mapping[str, int]] = None,
    learn: bool = True,
    cancel: Optional[CancelToken] = None,
    progress: Optional[Callable[[str, float], Any]] = None,
) -> Model:
    """Compiles an ONNX model.

    model:     path of the file (external data is looked up beside it), its bytes, or an onnx.ModelProto.
    outputs:   the outputs wanted (default: all), e.g. ["logits"]; or a dict from outputs to masks,
               {"last_hidden_state": "attention_mask"}: that output is needed only where that input is not zero, and is zero elsewhere.
    threads:   None or 0: what this process may use (affinity and cgroup quota).
    sparsity:  "auto" finds and skips what is not needed; "off" computes everything, with the same kernels and the same answers.
    precision: "f32".
    cpu:       generate code for this CPU instead of the one it runs on, e.g. "haswell".
    cache_dir: where compiled code is kept; "none" keeps none. Default: PIT_CACHE_DIR or the user's cache directory.
    poison:    for debugging: fill every buffer before use: "nan" (or True), "large" (numbers like 1e30). Results do not change.
    limits:    what a model may ask for while it is compiled, where the defaults are too low or not low enough: "rank" (64), "elements" of a
               tensor (2^44), "operators" that functions and branches add (20,000), "nesting" of these (64), and "folding", the elements
               computed now instead of in each run (2^23).
    learn:     measured times of its runs correct the times by which products choose how they skip zeros in values (off also by
               PIT_LEARN=0). Results do not change.

    cancel:    a pit.CancelToken, for another thread to end compiling with a CancelledError. Ctrl-C ends it in any case.
    progress:  called with the name of the stage and the share done, 0 to 1. (Stages with their times also go to the logger "pit", at INFO.)

    Raises ModelError, UnsupportedError or InputError.
    """
    if progress is not None and not callable(progress):
        raise InputError(f"progress is called with a stage and the share done; a {type(progress).__name__} cannot be")
    settings = (_output_pairs(outputs), _thread_count(threads), _text("sparsity", sparsity), _text("precision", precision), _poison_name(poison),
                _text("cpu", cpu), _text("cache_dir", cache_dir, path=True), _limits(limits), bool(learn), cancel, progress)  # fmt: skip
    if isinstance(model, (str, os.PathLike)):
        return Model(_pit.load(_text("model", model, path=True), *settings))
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Model(_pit.from_bytes(bytes(model), *settings))
    if hasattr(model, "SerializeToString"):
        data = model.SerializeToString()
        if not isinstance(data, bytes):
            raise InputError(f"SerializeToString of {type(model).__name__} gave {type(data).__name__}, not bytes")
        return Model(_pit.from_bytes(data, *settings))
    raise InputError(f"model is a path, bytes or an onnx.ModelProto, not {type(model).__name__}")


def _poison_name(poison: Poison) -> str:
    if isinstance(poison, bool):
        return "nan" if poison else ""
    if not isinstance(poison, str):
        raise InputError(f"poison is True, False, \"nan\" or \"large\", not {type(poison).__name__}")
    return poison


def _thread_count(threads: Optional[int]) -> int:
    if threads is None:
        return 0
    return _integer("threads", threads)


def _integer(name: str, value: Any, bits: int = 31) -> int:
    """As the library takes it, which knows what makes sense."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{name} is an integer, not {type(value).__name__}")
    number = value.__index__()
    if not -(2**bits) <= number < 2**bits:
        raise InputError(f"{name} = {number} makes no sense")
    return number


def _text(name: str, value: Any, *, path: bool = False) -> str:
    try:
        text = "" if value is None else os.fspath(value) if path else value
        if isinstance(text, bytes) and path:
            text = os.fsdecode(text)
    except TypeError as e:
        raise InputError(f"{name} is a path, not {type(value).__name__}") from e
    if not isinstance(text, str):
        raise InputError(f"{name} is a {'path' if path else 'string'}, not {type(value).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise InputError(f"{name} is not valid Unicode: {text!r}") from e
    return text


def _limits(limits: Any) -> dict[str, int]:
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise InputError(f"limits is a mapping from names to integers, not {type(limits).__name__}")
    return {_text("a limit's name", name): _integer(f"limits['{name}']", value, 63) for name, value in limits.items()}
