"""Values and gradients at given points, compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.tolerances import TOLERANCES


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradients(function: Callable[..., Any], *given: torch.Tensor) -> list[Any]:
    """The value, then the gradients of its sum with respect to the floating arguments."""
    leaves = [g.clone().requires_grad_(g.is_floating_point()) for g in given]
    value = function(*leaves)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return [value.detach(), *torch.autograd.grad(value.sum(), wanted)]


def assert_same(actual: list[Any], expected: list[Any]) -> None:
    for condition, a, e in zip(
        ("value", *["gradient"] * len(actual)), actual, expected, strict=False
    ):
        relative, absolute = TOLERANCES["f64", condition]
        torch.testing.assert_close(a, e, rtol=relative, atol=absolute, equal_nan=True)
