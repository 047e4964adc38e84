"""Arguments for the functions of the library: a shape is normal data, a callable makes other data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Generator = np.random.Generator
Argument = tuple[int, ...] | Callable[[Generator], Any]


def labels(rows: int, classes: int) -> Argument:
    """Class labels, one of them ignored."""

    def make(generator: Generator) -> Any:
        found = generator.integers(0, classes, rows)
        found[1] = -100
        return found

    return make


def classes(count: int, *shape: int) -> Argument:
    """Class labels."""
    return lambda generator: generator.integers(0, count, shape)


def log_probability(*shape: int) -> Argument:
    """Logarithms of distributions along the last axis."""

    def make(generator: Generator) -> Any:
        x = generator.standard_normal(shape)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    return make


def probability(*shape: int) -> Argument:
    """Numbers inside (0, 1)."""
    return lambda generator: generator.uniform(0.05, 0.95, shape)


def positive(*shape: int) -> Argument:
    """Numbers above 0."""
    return lambda generator: generator.uniform(0.1, 2.0, shape)


def signs(*shape: int) -> Argument:
    """-1.0 and 1.0."""
    return lambda generator: generator.integers(0, 2, shape) * 2.0 - 1.0


def whole_signs(*shape: int) -> Argument:
    """-1 and 1."""
    return lambda generator: generator.integers(0, 2, shape) * 2 - 1


def mask(*shape: int) -> Argument:
    """Booleans, one row of them False."""

    def make(generator: Generator) -> Any:
        found = generator.integers(0, 2, shape) > 0
        found.reshape(-1, shape[-1])[0] = False
        return found

    return make


def constant(value: Any) -> Argument:
    """The value itself, not an array."""
    return lambda generator: value


def number(value: float) -> Argument:
    """A rank-0 array."""
    return lambda generator: np.asarray(value)
