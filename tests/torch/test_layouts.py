"""Compiled kernels on torch tensors: each layout has its own call, and results are where arguments are."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tdsl.kernels import activations, norms, rope
from tests.torch.cases import Tensor

each_backend = pytest.mark.parametrize("backend", ["c", "numpy"])


def layouts(x: Tensor) -> dict[str, Tensor]:
    """Tensors of different strides, of one shape where that can be."""
    negative = torch.complex(x, x).conj().imag
    return {
        "rows": x, "columns": x.t().contiguous().t(), "one row": x[0].expand_as(x),
        "steps": torch.cat([x, x], 1)[:, ::2], "negative": negative, "parameter": torch.nn.Parameter(x),
        "empty": x[:0], "other": x[:2], "transposed": x.t(), "number": x[0, 0],
    }  # fmt: skip


@each_backend
def test_layouts_are_told_apart(backend: str) -> None:
    f: Any = activations.relu.using(backend=backend)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        for name, given in layouts(x).items():
            leaf = given.detach().requires_grad_()
            found, wanted = f(leaf), torch.relu(leaf)
            torch.testing.assert_close(found, wanted, rtol=0, atol=0, msg=name)
            assert found.is_contiguous(), name
            assert found.stride() == torch.empty(given.shape).stride(), name
            gradients = [torch.autograd.grad(y.sum(), leaf)[0] for y in (found, wanted)]
            torch.testing.assert_close(*gradients, rtol=0, atol=0, msg=name)


@each_backend
def test_which_arguments_need_gradients_is_told_apart(backend: str) -> None:
    f: Any = norms.rms_norm.using(backend=backend)
    x, w = torch.randn(4, 8), torch.randn(8)
    full = [t.clone().requires_grad_() for t in (x, w)]
    wanted = torch.autograd.grad(f(*full).sum(), full)
    for _ in range(2):
        for needed in ((True, False), (False, True), (True, True)):
            given = [t.clone().requires_grad_(n) for t, n in zip((x, w), needed, strict=True)]
            f(*given).sum().backward()
            for one, right, is_needed in zip(given, wanted, needed, strict=True):
                if is_needed:
                    torch.testing.assert_close(one.grad, right)
                else:
                    assert one.grad is None


@each_backend
def test_results_do_not_follow_a_default_device(backend: str) -> None:
    f: Any = activations.gelu.using(backend=backend)
    g: Any = rope.rope.using(backend=backend)
    x = torch.randn(2, 4, 8)
    cosines, sines = torch.randn(4, 4), torch.randn(4, 4)
    wanted = f(x), g(x, cosines, sines)
    leaf = x.clone().requires_grad_()
    with torch.device("meta"):
        found = f(x), g(x, cosines, sines)
        y = f(leaf)
    (gradient,) = torch.autograd.grad(y, leaf, x)
    torch.testing.assert_close(found, wanted)
    assert gradient.is_cpu


@each_backend
def test_what_is_left_of_a_transform_is_the_tensor_in_it(backend: str) -> None:
    f: Any = activations.relu.using(backend=backend)
    left: list[Tensor] = []

    def loss(x: Tensor) -> Tensor:
        left.append(x)
        return x.sum()

    torch.func.grad(loss)(torch.ones(3))
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(f(left[0]).detach(), torch.ones(3))
