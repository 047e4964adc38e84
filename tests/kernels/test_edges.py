"""The standard library where formulas break: kinks, overflow, infinities, empty arrays, half precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

import tdsl
from tdsl.kernels import activations, attention, losses, norms, rope, softmax
from tests.kernels import oracles
from tests.kernels.comparison import assert_same, gradients, tensor
from tests.kernels.reference import ROWS, Row
from tests.kernels.test_kernels import arguments, called, flat
from tests.tolerances import TOLERANCES

INF, NAN = float("inf"), float("nan")
UNARY = [r for r in ROWS if r.file == "activations" and r.arguments == ((3, 5),)]
POINTS = [0.0, -0.0, 1e-300, -1e-30, 0.5, -0.5, 6.0, -6.0, 30.0, -30.0, 800.0, -800.0, 1e20, -1e20]
ENDS = [1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5]


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
    expected = oracles.rope_angles(x, offset=10**6)
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
