"""What PIT raises. Every error is a PitError; `op` and `tensor` name what it is about (empty when there is nothing to name)."""


class PitError(Exception):
    """Base of everything PIT raises."""

    def __init__(self, message: str = "", op: str = "", tensor: str = "") -> None:
        super().__init__(message)
        self.op = op
        self.tensor = tensor

    def __reduce__(self):
        return type(self), (str(self), self.op, self.tensor)


class ModelError(PitError):
    """The model file is not what it should be: truncated, inconsistent, missing external data, a path outside its folder."""


class UnsupportedError(PitError):
    """The model is valid, but uses something PIT does not support: an operator, an opset, a type, an attribute."""


class InputError(PitError):
    """A call does not fit the model: a missing or unknown input, a wrong type, rank or dimension, a bad option."""


class CancelledError(PitError):
    """The caller ended it, by a CancelToken. Nothing is wrong."""


class InternalError(PitError):
    """A bug in PIT. Please report it with the message."""


for _error in (PitError, ModelError, UnsupportedError, InputError, CancelledError, InternalError):
    _error.__module__ = "pit"
del _error
