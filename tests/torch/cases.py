"""The functions that every law of torch is checked on, beside torch's own formula for them.

They are pinned to compiled kernels, which is what people meet; some of them run by the interpreter too, and
the others do nightly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

import tdsl
from tdsl.kernels import activations, losses, norms, softmax

Tensor = torch.Tensor
OWN: Any = tdsl.compile('''
def moments(x: T[N, D], w: T[D]) -> (T[N], T[N, D]):
    """Two results, one of which has fewer axes."""
    m = mean(x * w, axis=D)
    return m, (x - m) * w


def largest(x: T[N, D]) -> (T[N], i64[N]):
    """A result that has no derivative."""
    return max(x, axis=D), argmax(x, axis=D)


def weighted(x: T[N, D], y: T[N, D]) -> T[N * D]:
    """A size that no argument has."""
    return flatten(x * y, axes=(N, D))


def damped(x: T[*A], s: T) -> T[*A]:
    """A rank-0 parameter."""
    return x * exp(-s * x)
''')


@dataclass(frozen=True)
class Case:
    """A function, torch's formula for the same, shapes of its floating arguments, and the others."""

    name: str
    ours: Callable[..., Any]
    torchs: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]]
    rest: tuple[Tensor, ...] = ()
    backend: str = "c"

    @property
    def id(self) -> str:
        return self.name if self.backend == "c" else f"{self.name}-{self.backend}"

    def arguments(self, dtype: torch.dtype = torch.float64, *, grad: bool = False) -> list[Tensor]:
        """Standard normal values, from the same seed every time."""
        generator = torch.Generator().manual_seed(7)
        given = [torch.randn(s, generator=generator, dtype=torch.float64) for s in self.shapes]
        return [*(x.to(dtype).requires_grad_(grad) for x in given), *self.rest]

    @property
    def wrt(self) -> tuple[int, ...]:
        """The places of the floating arguments."""
        return tuple(range(len(self.shapes)))


def _rms_norm(x: Tensor, w: Tensor) -> Tensor:
    return F.rms_norm(x, w.shape, w, 1e-6)


def _moments(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    m = (x * w).mean(-1)
    return m, (x - m[:, None]) * w


def _largest(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.amax(-1), x.argmax(-1)


def cases(backend: str) -> list[Case]:
    """All functions, pinned to a backend."""

    def by(function: Any) -> Any:
        return function.using(backend=backend)

    slope = by(activations.leaky_relu)
    found = [
        Case("gelu", by(activations.gelu), F.gelu, [(3, 4)]),
        Case("softmax", by(softmax.softmax), lambda x: x.softmax(-1), [(3, 4)]),
        Case("rms_norm", by(norms.rms_norm), _rms_norm, [(3, 4), (4,)]),
        Case("cross_entropy", by(losses.cross_entropy), F.cross_entropy, [(3, 5)], (LABELS,)),
        Case("moments", by(OWN.moments), _moments, [(3, 4), (4,)]),
        Case("largest", by(OWN.largest), _largest, [(3, 4)]),
        Case("leaky_relu", lambda x: slope(x, slope=0.2), lambda x: F.leaky_relu(x, 0.2), [(3, 4)]),
        Case("damped", by(OWN.damped), lambda x, s: x * torch.exp(-s * x), [(3, 4), ()]),
    ]
    return [replace(case, backend=backend) for case in found]


LABELS = torch.tensor([1, 4, 0])
OFTEN = ("rms_norm", "cross_entropy", "largest")
"""What the interpreter runs every time."""
COMPILED, INTERPRETED = cases("c"), cases("interpreter")
BY_NAME = {case.id: case for case in (*COMPILED, *INTERPRETED)}
ALL = [
    *COMPILED,
    *(x if x.name in OFTEN else pytest.param(x, marks=pytest.mark.nightly) for x in INTERPRETED),
]
each_case = pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
each_norm = pytest.mark.parametrize(
    "case", [BY_NAME["rms_norm"], BY_NAME["rms_norm-interpreter"]], ids=lambda case: case.backend
)


def floating(results: Any) -> tuple[Tensor, ...]:
    """The results that have a derivative."""
    given = results if isinstance(results, tuple) else (results,)
    return tuple(result for result in given if result.is_floating_point())
