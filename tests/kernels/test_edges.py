"""The standard library where formulas break: kinks, overflow, infinities, empty arrays, half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

import tdsl
from tdsl.kernels import activations, attention, losses, norms, optimizers, rope, softmax
from tests.kernels import reference
from tests.kernels.reference import ROWS, Row
from tests.kernels.test_kernels import arguments, called, flat
from tests.tolerances import TOLERANCES

INF, NAN = float("inf"), float("nan")
UNARY = [r for r in ROWS if r.file == "activations" and r.arguments == ((3, 5),)]
POINTS = [0.0, -0.0, 1e-300, -1e-30, 0.5, -0.5, 6.0, -6.0, 30.0, -30.0, 800.0, -800.0, 1e20, -1e20]
ENDS = [1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5]


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


@pytest.mark.parametrize("row", UNARY, ids=lambda row: row.id)
def test_activations_are_torchs_at_zero_and_where_exp_overflows(row: Row) -> None:
    x = tensor(*POINTS, *ENDS, INF, -INF)
    assert_same(gradients(called(row), x), gradients(row.torch, x))


@pytest.mark.parametrize("row", UNARY, ids=lambda row: row.id)
def test_activations_propagate_nan(row: Row) -> None:
    assert torch.isnan(called(row)(tensor(NAN))).all()


@pytest.mark.parametrize("row", UNARY, ids=lambda row: row.id)
def test_finite_inputs_have_finite_first_and_second_derivatives(row: Row) -> None:
    x = tensor(*POINTS, *ENDS).requires_grad_()
    (first,) = torch.autograd.grad(called(row)(x).sum(), x, create_graph=True)
    assert torch.isfinite(first).all()
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), x)
        assert torch.isfinite(second).all()


@pytest.mark.parametrize("order", [1, 2])
def test_a_hand_written_derivative_is_that_of_the_function_called_from_outside(order: int) -> None:
    x, one = np.array([-800.0, 0.0, 800.0]), np.ones(3)
    sigmoid, softplus = activations.sigmoid, activations.softplus
    if order == 1:
        found = [tdsl.vjp(sigmoid)(x, one)[0], tdsl.vjp(softplus)(x, one)[0]]
        expected = [[0.0, 0.25, 0.0], [0.0, 0.5, 1.0]]
    else:
        found = [tdsl.vjp(tdsl.vjp(f))(x, one, one)[0] for f in (sigmoid, softplus)]
        expected = [[0.0, 0.0, 0.0], [0.0, 0.25, 0.0]]
    np.testing.assert_array_equal(found, expected)


def test_a_table_of_rotations_is_as_precise_as_its_array() -> None:
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(2)).double()
    expected = reference._rope_angles(x, offset=10**6)
    for dtype in ("f64", "f32"):
        given = x if dtype == "f64" else x.float()
        found = rope.rope_angles(given, offset=10**6)
        (back,) = tdsl.vjp(rope.rope_angles)(given.numpy(), found.numpy(), offset=10**6)
        for a, b in ((found, expected), (torch.from_numpy(back), x)):
            relative, absolute = TOLERANCES[dtype, "value"]
            torch.testing.assert_close(a, b.to(a.dtype), rtol=relative, atol=absolute)


SOFTMAXES = [
    (softmax.softmax, lambda x: F.softmax(x, -1)),
    (softmax.softmin, lambda x: F.softmin(x, -1)),
    (softmax.log_softmax, lambda x: F.log_softmax(x, -1)),
    (softmax.logsumexp, lambda x: torch.logsumexp(x, -1)),
]


@pytest.mark.parametrize(("function", "reference"), SOFTMAXES, ids=lambda f: f.__name__)
def test_softmaxes_of_infinities_and_ties_are_torchs(function: Any, reference: Any) -> None:
    rows = [
        [0, -INF, 1],
        [-INF] * 3,
        [INF, 0, 1],
        [800, -800, 0],
        [INF, INF, 0],
        [2, 2, 2],
        [NAN, 0, 1],
    ]
    x = tensor(*rows)
    assert_same(gradients(function, x), gradients(reference, x))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)], ids=str)
@pytest.mark.parametrize(("function", "reference"), SOFTMAXES, ids=lambda f: f.__name__)
def test_softmaxes_of_nothing_are_torchs(
    function: Any, reference: Any, shape: tuple[int, ...]
) -> None:
    x = torch.zeros(shape, dtype=torch.float64)
    assert_same(gradients(function, x), gradients(reference, x))


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


FAULTS: list[tuple[Any, int, dict[str, Any]]] = [
    (losses.mse, 2, {"reduction": "average"}),
    (losses.huber, 2, {"delta": 0.0}),
    (losses.smooth_l1, 2, {"beta": -1.0}),
    (losses.jsd, 2, {"beta": 1.5}),
    (activations.celu, 1, {"alpha": 0.0}),
    (activations.softplus, 1, {"beta": 0.0}),
    (activations.softshrink, 1, {"lambd": -0.5}),
    (activations.hardtanh, 1, {"low": 1.0, "high": -1.0}),
]


@pytest.mark.parametrize(("function", "count", "static"), FAULTS)
def test_static_arguments_are_checked(function: Any, count: int, static: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        function(*[np.ones((2, 3))] * count, **static)


def test_norms_of_a_single_value_are_what_their_texts_say() -> None:
    x, b = np.ones((1, 3)), np.arange(3.0)
    np.testing.assert_array_equal(norms.instance_norm(x, b=b), [b])
    y, mu, v = norms.batch_norm_train(x, b, b)
    np.testing.assert_array_equal(y, 0 * x)
    np.testing.assert_allclose(mu, 0.9 * b + 0.1)
    assert np.isnan(v).all()


@pytest.mark.parametrize("name", ["mse", "huber", "smooth_l1"])
def test_quadratic_losses_curve_where_they_vanish(name: str) -> None:
    x, y = tensor(0.0, 2.0).requires_grad_(), tensor(0.0, 2.0)
    seconds: list[torch.Tensor] = []
    for loss in (getattr(losses, name), getattr(F, f"{name}_loss")):
        (first,) = torch.autograd.grad(loss(x, y), x, create_graph=True)
        seconds += torch.autograd.grad(first.sum(), x)
    assert_same(seconds[:1], seconds[1:])


def test_normalising_zero_has_finite_gradients() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64)
    w = torch.ones(3, dtype=torch.float64)
    assert_same(gradients(norms.l2_normalize, x), gradients(F.normalize, x))
    assert_same(
        gradients(norms.layer_norm, x, w, w),
        gradients(lambda x, w, b: F.layer_norm(x, (3,), w, b), x, w, w),
    )


def test_a_causal_query_sees_no_later_key() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 4, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    torch.testing.assert_close(attention.attention(q, k, v, causal=True)[:, :, 0], v[:, :, 0])


@pytest.mark.parametrize("heads", [3, 1])
@pytest.mark.parametrize("hiding", ["mask", "bias", "offset"])
def test_a_query_that_sees_no_key_gives_0_and_has_no_gradient(hiding: str, heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, h, 4, 8, generator=generator).double() for h in (3, heads, heads))
    seen = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    seen[0, 0, 1] = seen[1, 2] = False
    given: dict[str, Any] = {"mask": seen}
    if hiding == "bias":
        given = {"bias": torch.zeros(seen.shape).double().masked_fill(~seen, -INF)}
    if hiding == "offset":
        given, seen = {"causal": True, "offset": -2}, torch.ones(4, 4, dtype=torch.bool).tril(-2)
    function = attention.attention if heads == 3 else attention.grouped_attention
    found = gradients(lambda q, k, v: function(q, k, v, **given), q, k, v)
    expected = gradients(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True), q, k, v
    )
    assert not any(f.isnan().any() for f in found)
    assert_same(found, expected)


@pytest.mark.parametrize("x", [[INF, 0.0], [NAN, 0.0], [NAN, -INF]])
def test_masked_softmax_hides_no_fault(x: list[float]) -> None:
    assert softmax.masked_softmax(tensor(*x)).isnan().any()


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


HALF = {"f16": torch.float16, "bf16": torch.bfloat16}
CONTRACTS = ("linear", "attention")


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_half_precision_is_f32_rounded_once(row: Row, dtype: str) -> None:
    """But for operands of contractions, which are rounded before, and what the row keeps in f32."""
    single = arguments(row, "f32", grad=False)
    is_half = [isinstance(a, torch.Tensor) and a.is_floating_point() and a.ndim > 0 and place not in row.single
               for place, a in enumerate(single)]  # fmt: skip
    given = [a.to(HALF[dtype]) if half else a for a, half in zip(single, is_half, strict=True)]
    wide = [a.float() if half else a for a, half in zip(given, is_half, strict=True)]
    found, expected = flat(called(row)(*given)), flat(called(row)(*wide))
    for place, (half, full) in enumerate(zip(found, expected, strict=True)):
        assert half.dtype == (torch.float32 if place in row.single_results else HALF[dtype])
        if row.file in CONTRACTS:
            relative, absolute = TOLERANCES[dtype, "value"]
            torch.testing.assert_close(half.float(), full.float(), rtol=relative, atol=absolute)
        else:
            assert torch.equal(half, full.to(half.dtype))
