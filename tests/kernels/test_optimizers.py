"""Steps of the library's optimisers beside those of torch.optim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tdsl.kernels import optimizers
from tests.kernels.comparison import tensor
from tests.tolerances import TOLERANCES

OPTIMIZERS: list[tuple[str, Any, int, dict[str, Any], dict[str, Any]]] = [
    ("sgd", torch.optim.SGD, 1, {}, {}),
    ("sgd", torch.optim.SGD, 1, {"momentum": 0.9}, {"momentum": 0.9}),
    ("sgd", torch.optim.SGD, 1, {"momentum": 0.9, "nesterov": True, "decay": 0.1},
     {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adam", torch.optim.Adam, 2, {}, {}),
    ("adam", torch.optim.Adam, 2, {"decay": 0.1, "beta1": 0.5}, {"weight_decay": 0.1, "betas": (0.5, 0.999)}),
    ("adamw", torch.optim.AdamW, 2, {}, {}),
    ("rmsprop", torch.optim.RMSprop, 1, {}, {}),
    ("rmsprop", torch.optim.RMSprop, 1, {"decay": 0.1}, {"weight_decay": 0.1}),
    ("adagrad", torch.optim.Adagrad, 1, {}, {}),
    ("adagrad", torch.optim.Adagrad, 1, {"lr_decay": 0.3, "decay": 0.1}, {"lr_decay": 0.3, "weight_decay": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize("lr", [0.05, 1], ids=str)
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(("name", "optimizer", "states", "own", "theirs"), OPTIMIZERS)
def test_three_steps_are_those_of_torch_optim(
    name: str,
    optimizer: Any,
    states: int,
    own: Any,
    theirs: Any,
    dtype: str,
    maximize: bool,
    lr: float,
) -> None:
    kind = {"f64": torch.float64, "f32": torch.float32}[dtype]
    generator = torch.Generator().manual_seed(3)
    p, *steps = (torch.randn(5, generator=generator, dtype=kind) for _ in range(4))
    theirs_p = p.clone().requires_grad_()
    reference = optimizer([theirs_p], lr=lr, maximize=maximize, **theirs)
    state = [torch.zeros(5, dtype=kind)] * states
    for count, g in enumerate(steps, 1):
        theirs_p.grad = g.clone()
        reference.step()
        p, *state = step(name, p, g, state, count, lr, **own, maximize=maximize)
    relative, absolute = TOLERANCES[dtype, "value"]
    torch.testing.assert_close(p, theirs_p.detach(), rtol=relative, atol=absolute)


def step(name: str, p: Any, g: Any, state: list[Any], count: int, lr: Any, **static: Any) -> Any:
    """One step of the library."""
    if name == "adagrad":
        return optimizers.adagrad(p, g, *state, lr, t=count, **static)
    time = [count] if name.startswith("adam") else []
    return getattr(optimizers, name)(p, g, *state, *time, lr, **static)


def test_dampening_is_torchs_after_the_first_step() -> None:
    p = tensor(1.0, -2.0)
    theirs = p.clone().requires_grad_()
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, dampening=0.4)
    m = torch.zeros_like(p)
    for dampening in (0.0, 0.4, 0.4):
        theirs.grad = torch.cos(p)
        p, m = optimizers.sgd(p, torch.cos(p), m, 0.1, momentum=0.9, dampening=dampening)
        reference.step()
    torch.testing.assert_close(p, theirs.detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_half_precision_parameters_have_single_precision_state(name: str) -> None:
    p, g = torch.randn(2, 64, generator=torch.Generator().manual_seed(1)).bfloat16()
    state = [torch.zeros(64)] * (2 if name.startswith("adam") else 1)
    half, single = (step(name, a, b, state, 1, 0.05) for a, b in ((p, g), (p.float(), g.float())))
    assert half[0].dtype == torch.bfloat16
    assert torch.equal(half[0], single[0].bfloat16())
    for a, b in zip(half[1:], single[1:], strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_numbers_keep_the_precision_of_the_state() -> None:
    p, z = np.ones(1), np.zeros(1)
    found = (
        optimizers.adam(p, p, z, z, 1, 0.1)[0] - optimizers.adam(p, p, z, z, 1, np.float64(0.1))[0]
    )
    assert found == 0
    assert optimizers.adam(p, p, z, z, 2.0, 1)[0] == optimizers.adam(p, p, z, z, 2, 1.0)[0]


@pytest.mark.parametrize(
    "static", [{"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}]
)
def test_nesterov_needs_momentum_and_no_dampening(static: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nesterov must have momentum"):
        optimizers.sgd(np.ones(2), np.ones(2), np.ones(2), 0.1, **static)


def test_a_decaying_rate_needs_the_step() -> None:
    with pytest.raises(ValueError, match="lr_decay must have the step"):
        optimizers.adagrad(np.ones(2), np.ones(2), np.ones(2), 0.1, lr_decay=0.1)
