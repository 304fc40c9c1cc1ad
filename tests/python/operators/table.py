"""All cases, in one list."""

from . import contractions, elementwise, movement, sampling  # noqa: F401: they fill the list
from .spec import CASES

__all__ = ["CASES"]
