"""Losses at their edges: kinks, certain events, labels that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

from tdsl.kernels import losses
from tests.kernels.comparison import assert_same, gradients, tensor
from tests.tolerances import TOLERANCES

INF, NAN = float("inf"), float("nan")

CLASSES: dict[str, tuple[torch.Tensor, torch.Tensor, dict[str, Any]]] = {
    "all ignored": (tensor([0.0, 1.0], [2.0, 3.0]), torch.tensor([-100, -100]), {}),
    "no rows": (torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.int64), {}),
    "a masked class": (tensor([0, -INF, 1], [0, 1, 2]), torch.tensor([0, 2]), {}),
    "large": (tensor([1e4, -1e4, 0], [1e4, 0, 0]), torch.tensor([1, 0]), {}),
    "another index ignored": (
        tensor([0, 1, 2], [3, 1, 2]),
        torch.tensor([1, 2]),
        {"ignore_index": 1},
    ),
}


@pytest.mark.parametrize("case", CLASSES)
def test_cross_entropy_at_its_edges_is_torchs(case: str) -> None:
    logits, labels, static = CLASSES[case]
    found, expected = (
        gradients(lambda x, f=f: f(x, labels, **static), logits.double())
        for f in (losses.cross_entropy, F.cross_entropy)
    )
    assert_same(found, expected)


def test_a_nan_in_an_ignored_row_stays_there() -> None:
    value, gradient = gradients(
        lambda x: losses.cross_entropy(x, torch.tensor([-100, 1])), tensor([NAN, 0.0], [0.0, 0.0])
    )
    assert value.item() == pytest.approx(np.log(2.0))
    assert gradient.tolist() == [[0.0, 0.0], [0.25 * 2, -0.5]]


def test_losses_of_certain_probabilities_are_finite() -> None:
    p, y = tensor(0.0, 1.0, 0.0, 1.0), tensor(0.0, 1.0, 1.0, 0.0)
    found = gradients(losses.bce, p, y)
    assert all(torch.isfinite(f).all() for f in found)
    assert found[0].item() == F.binary_cross_entropy(p, y).item() == 50.0
    x = tensor(800.0, -800.0, 800.0, -800.0)
    assert_same(
        gradients(losses.bce_with_logits, x, y), gradients(F.binary_cross_entropy_with_logits, x, y)
    )


@pytest.mark.parametrize(("p", "y"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1e-13, 1.0)])
def test_bce_has_torchs_gradient_where_the_logarithm_is_bounded(p: float, y: float) -> None:
    relative, absolute = TOLERANCES["f32", "gradient"]
    found, expected = (
        gradients(lambda p, f=f: f(p, torch.tensor([y])), torch.tensor([p]))
        for f in (losses.bce, F.binary_cross_entropy)
    )
    torch.testing.assert_close(found, expected, rtol=relative, atol=absolute)


def test_bce_of_what_is_no_probability_is_nan() -> None:
    p, y = tensor(-0.5, 1.5, NAN), tensor(1.0, 0.0, 1.0)
    assert losses.bce(p, y, reduction="none").isnan().all()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64], ids=str)
def test_labels_are_of_any_integers(dtype: torch.dtype) -> None:
    x, y = tensor([0, 1, 2], [3, 1, 2]), torch.tensor([1, -100])
    for loss in (losses.cross_entropy, losses.nll):
        assert loss(x, y.to(dtype)).item() == loss(x, y).item()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label", [-1, 3, 2**40])
@pytest.mark.parametrize("name", ["nll", "cross_entropy"])
def test_a_label_that_is_no_class_gives_nan_and_raises_where_checked(
    name: str, label: int, reduction: str
) -> None:
    x, y = tensor([0.0, 1.0, 2.0], [3.0, 1.0, 2.0]), torch.tensor([label, 1])
    loss = getattr(losses, name)
    found = loss(x, y, reduction=reduction)
    assert torch.isnan(found[0] if reduction == "none" else found)
    with pytest.raises(IndexError):
        loss.using(checked=True)(x.numpy(), y.numpy())


def test_the_scale_of_class_weights_does_not_matter_to_z_loss() -> None:
    x, y, w = tensor([0, 1, 2], [3, 1, 2]), torch.tensor([1, 0]), tensor(1.0, 2.0, 3.0)
    found = [losses.cross_entropy(x, y, s * w, z_loss=0.5) for s in (1, 10)]
    torch.testing.assert_close(*found)
    plain = losses.cross_entropy(x, y, z_loss=0.5)
    torch.testing.assert_close(
        losses.cross_entropy(x, y, 7 * torch.ones_like(w), z_loss=0.5), plain
    )


def test_smooth_l1_of_no_width_is_l1() -> None:
    x, y = tensor(0.0, 1.0, -3.0), tensor(0.0, 2.0, 1.0)
    found, expected = (
        gradients(lambda x, f=f: f(x, y, beta=0.0), x) for f in (losses.smooth_l1, F.smooth_l1_loss)
    )
    assert_same(found, expected)


def test_losses_at_their_ties_have_torchs_gradients() -> None:
    x, y = tensor(1.0, -1.0, 0.5), tensor(1.0, -1.0, 2.0)
    assert_same(
        gradients(lambda x: losses.hinge(x, y), x),
        gradients(lambda x: (1 - x * y).clamp(min=0).mean(), x),
    )
    a, b, y = tensor([1.0, 0.0]), tensor([0.0, 1.0]), torch.tensor([-1])
    found, expected = (
        gradients(lambda a, b, f=f: f(a, b, y), a, b)
        for f in (losses.cosine_embedding, F.cosine_embedding_loss)
    )
    assert_same(found, expected)
    found, expected = (
        gradients(
            lambda a, p, n, f=f: f(a, p, n, eps=0.0), tensor([0.0]), tensor([1.0]), tensor([2.0])
        )
        for f in (losses.triplet, F.triplet_margin_loss)
    )
    assert_same(found, expected)


def test_cosine_embedding_of_another_sign_is_nothing() -> None:
    a, b, y = tensor([1.0, 2.0]), tensor([2.0, 1.0]), torch.tensor([0])
    assert losses.cosine_embedding(a, b, y).item() == F.cosine_embedding_loss(a, b, y).item() == 0


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_divergences_of_impossible_events_are_finite(beta: float) -> None:
    x = tensor([0.0, -INF, -INF])
    assert losses.jsd(x, x, beta=beta).item() == 0
    assert losses.kl_div(x, torch.exp(x)).isnan() == F.kl_div(x, x.exp(), reduction="sum").isnan()
    value, *slopes = gradients(
        lambda x, y: losses.jsd(x, y, beta=beta), tensor([0.0, -800.0]), tensor([-0.5, -900.0])
    )
    assert all(torch.isfinite(s).all() for s in (value, *slopes))


@pytest.mark.parametrize("name", ["mse", "huber", "smooth_l1"])
def test_quadratic_losses_curve_where_they_vanish(name: str) -> None:
    x, y = tensor(0.0, 2.0).requires_grad_(), tensor(0.0, 2.0)
    seconds: list[torch.Tensor] = []
    for loss in (getattr(losses, name), getattr(F, f"{name}_loss")):
        (first,) = torch.autograd.grad(loss(x, y), x, create_graph=True)
        seconds += torch.autograd.grad(first.sum(), x)
    assert_same(seconds[:1], seconds[1:])
