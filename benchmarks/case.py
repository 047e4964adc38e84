"""One row of the table of benchmarks: a function of the library, its data, and the same elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.data import Make

Expression = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One function: `forward` takes NumPy or JAX first, `backward` results, cotangents, arguments.

    Of a loss `backward` takes the arguments alone and gives the value with the gradients. An expression
    for NumExpr names the arguments.
    """

    file: str
    name: str
    data: dict[str, Make]
    torch: Expression
    forward: Expression
    backward: Expression | None = None
    wrt: tuple[str, ...] = ("x",)
    static: dict[str, Any] = field(default_factory=dict)
    numexpr: str = ""
