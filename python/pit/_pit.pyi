"""The extension module behind the package; use the package."""

from collections.abc import Callable
from typing import Any, Optional

import numpy as np

class Model:
    def inputs(self) -> list[tuple[str, str, tuple[int | str | None, ...]]]: ...
    def outputs(self) -> list[tuple[str, str, tuple[int | str | None, ...]]]: ...
    def run(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]: ...
    def explain(self, inputs: Optional[dict[str, Any]], json: bool) -> str: ...
    def profile(self, inputs: dict[str, Any], repeat: int, json: bool) -> str: ...

def load(
    path: str,
    outputs: list[tuple[str, str]],
    threads: int,
    sparsity: str,
    precision: str,
    poison: bool,
    cpu: str,
    cache_dir: str,
) -> Model: ...
def from_bytes(
    data: bytes,
    outputs: list[tuple[str, str]],
    threads: int,
    sparsity: str,
    precision: str,
    poison: bool,
    cpu: str,
    cache_dir: str,
) -> Model: ...
def op_table(json: bool) -> str: ...
def version() -> str: ...
def set_log_sink(sink: Optional[Callable[[int, str], None]]) -> None: ...
