"""PIT: write the model dense, pay only for what is there.

    import pit
    model = pit.compile("minilm.onnx")
    embedding = model(input_ids=ids, attention_mask=mask, token_type_ids=types)["sentence_embedding"]

PIT reads an ordinary ONNX model, finds out by itself what padding and masks make unnecessary, and computes only the rest.
Products without a model: `pit.matmul`, `pit.einsum`, `pit.Contraction`.
Warnings (an unusable cache directory, say) go to the logger "pit" of Python's `logging`.
"""

import logging as _logging

from . import _pit
from ._contraction import Contraction, LiveSet, MachineLimits, Prepared, detect, einsum, matmul, measure_limits, tune
from ._model import CancelToken, Model, TensorInfo, compile
from .errors import CancelledError, InputError, InternalError, ModelError, PitError, UnsupportedError

__version__: str = _pit.version()

__all__ = [
    "CancelToken",
    "CancelledError",
    "Contraction",
    "InputError",
    "InternalError",
    "LiveSet",
    "MachineLimits",
    "Model",
    "ModelError",
    "PitError",
    "Prepared",
    "TensorInfo",
    "UnsupportedError",
    "compile",
    "detect",
    "einsum",
    "matmul",
    "measure_limits",
    "tune",
    "__version__",
]

_LEVELS = (_logging.DEBUG, _logging.INFO, _logging.WARNING)
_logger = _logging.getLogger("pit")
_pit.set_log_sink(lambda level, message: _logger.log(_LEVELS[level], "%s", message))
