"""Derived backwards: as few nodes as an expert writes, right values, and the language's rules at kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.errors import TdslError
from tdsl.ir.dtype import F32
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.linear import cost

BODIES = """
def softmax(x: T[*B, D]) -> T[*B, D]:
    e = exp(x - max(x, axis=D))
    return e / sum(e, axis=D)

def logsumexp(x: T[*B, D]) -> T[*B]:
    m = max(x, axis=D)
    return log(sum(exp(x - m), axis=D)) + m

def cross_entropy(x: T[N, V], t: i64[N]) -> T[N]:
    m = max(x, axis=V)
    return log(sum(exp(x - m), axis=V)) + m - take(x, t, axis=V)

def cross_entropy_of_softmax(x: T[N, V], t: i64[N]) -> T[N]:
    e = exp(x - max(x, axis=V))
    return take(-log(e / sum(e, axis=V)), t, axis=V)

def rms_norm(x: T[*B, D], w: T[D], eps: float = 1e-6) -> T[*B, D]:
    return x * rsqrt(mean(x * x, axis=D) + eps) * w

def layer_norm(x: T[*B, D], w: T[D], b: T[D], eps: float = 1e-5) -> T[*B, D]:
    return (x - mean(x, axis=D)) * rsqrt(var(x, axis=D) + eps) * w + b
"""
BUDGETS = {
    "softmax": (3, 10),
    "logsumexp": (2, 6),
    "cross_entropy": (2, 9),
    "cross_entropy_of_softmax": (2, 9),
    "rms_norm": (3, 17),
    "layer_norm": (6, 21),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_backward_is_within_its_budget(name: str) -> None:
    program = load_program(BODIES, "bodies.tdsl")
    graph = elaborate(program, name, ranks={"B": 1}, dtypes={"T": F32})
    reductions, nodes = cost(vjp(graph))
    assert reductions <= BUDGETS[name][0]
    assert nodes <= BUDGETS[name][1]


@pytest.mark.parametrize("name", BUDGETS)
def test_gradients_pass_torchs_checks(name: str) -> None:
    module = tdsl.compile(BODIES)
    generator = torch.Generator().manual_seed(0)
    shapes = {"rms_norm": [(3, 5), (5,)], "layer_norm": [(3, 5), (5,), (5,)]}.get(name, [(3, 5)])
    given: list[Any] = [
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes
    ]
    if name.startswith("cross"):
        given.append(torch.tensor([0, 4, 2]))
    function = getattr(module, name)
    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


GRADIENTS = [
    ("where(x > 0, log(x), 0)", [-1.0, 0.0, 2.0], [0.0, 0.0, 0.5]),
    ("where(x > 0, sqrt(x), 0) * 3", [-1.0, 0.0, 4.0], [0.0, 0.0, 0.75]),
    ("maximum(x, 0)", [-1.0, 0.0, 2.0], [0.0, 0.5, 1.0]),
    ("minimum(x, 2)", [-1.0, 2.0, 3.0], [1.0, 0.5, 0.0]),
    ("abs(x)", [-1.0, 0.0, 2.0], [-1.0, 0.0, 1.0]),
    ("clamp(x, -1, 1)", [-1.0, 0.0, 2.0], [1.0, 1.0, 0.0]),
    ("relu(x)", [-1.0, 0.0, 2.0], [0.0, 0.0, 1.0]),
    ("max(x)", [2.0, 0.0, 2.0], [0.5, 0.0, 0.5]),
    ("prod(x)", [0.0, 3.0, 2.0], [6.0, 0.0, 0.0]),
    ("prod(x)", [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]),
    ("norm(x)", [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ("stop_gradient(x) * x", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
    ("sigmoid(x)", [-1000.0, 0.0, 1000.0], [0.0, 0.25, 0.0]),
    ("softplus(x)", [-1000.0, 0.0, 1000.0], [0.0, 0.5, 1.0]),
    ("take(x, argmax(x), axis=N)", [1.0, 5.0, 2.0], [0.0, 1.0, 0.0]),
    ("cumsum(x, axis=N)", [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]),
    ("logcumsumexp(x, axis=N)", [-np.inf, 0.0, 0.0], [0.0, 1.5, 0.5]),
    ("x[::-1] * cast(arange(N), f64)", [1.0, 2.0, 3.0], [2.0, 1.0, 0.0]),
    ("roll(x, 1, axis=N) * cast(arange(N), f64)", [1.0, 2.0, 3.0], [1.0, 2.0, 0.0]),
    ("pad(x, axis=N, low=1, high=2)", [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]),
]


@pytest.mark.parametrize(("body", "at", "expected"), GRADIENTS, ids=[g[0] for g in GRADIENTS])
def test_gradients_at_special_places(body: str, at: list[float], expected: list[float]) -> None:
    function = tdsl.compile(f"def f(x: f64[N]) -> f64:\n    return sum({body})\n")
    assert isinstance(function, tdsl.Function)
    np.testing.assert_allclose(tdsl.grad(function, wrt="x")(np.array(at)), expected, rtol=1e-13)


CUT = [
    ("floor(x)", "`floor` passes no gradient"),
    ("cast(cast(x, i64), f32)", "`cast` passes no gradient"),
    ("stop_gradient(x)", "`stop_gradient` passes no gradient"),
    ("sign(x) * y", "`sign` passes no gradient"),
    ("y * 2", "no floating result depends on it"),
]


@pytest.mark.parametrize(("body", "reason"), CUT, ids=[c[0] for c in CUT])
def test_a_gradient_without_a_path_is_an_error(body: str, reason: str) -> None:
    function = tdsl.compile(f"def f(x: f32, y: f32) -> f32:\n    return {body}\n")
    assert isinstance(function, tdsl.Function)
    with pytest.raises(TdslError, match=reason) as caught:
        tdsl.grad(function, wrt="x")(np.float32(1.5), np.float32(2))
    assert caught.value.code == "E0603"


def test_gradients_nest() -> None:
    function = tdsl.compile("def f(x: f64) -> f64:\n    return x ** 4\n")
    assert isinstance(function, tdsl.Function)
    first = tdsl.grad(function, wrt="x")
    second = tdsl.grad(first, wrt="x")
    third = tdsl.grad(second, wrt="x")
    at = np.float64(2)
    assert [float(f(at)) for f in (first, second, third)] == pytest.approx([32.0, 48.0, 48.0])


def test_calculus_in_the_language_agrees_with_calculus_from_python() -> None:
    text = """
def f(x: f64[N], y: f64) -> f64:
    return sum(x * x * y)

def inside(x: f64[N], y: f64) -> f64[N]:
    return grad(f, wrt="x")(x, y)

def twice(x: f64[N], y: f64) -> f64:
    return grad(inside_sum, wrt="y")(x, y)

def inside_sum(x: f64[N], y: f64) -> f64:
    return sum(grad(f, wrt="x")(x, y) * x)

def pull(x: f64[N], y: f64) -> f64[N]:
    dx, dy = vjp(f)(x, y, 3.0)
    return dx + dy

g = value_and_grad(f, wrt=("x", "y"))
"""
    module: Any = tdsl.compile(text)
    x, y = np.array([1.0, 2.0]), np.float64(3)
    np.testing.assert_allclose(module.inside(x, y), 2 * x * y)
    np.testing.assert_allclose(module.twice(x, y), 2 * (x * x).sum())
    np.testing.assert_allclose(module.pull(x, y), 6 * x * y + 3 * (x * x).sum())
    value, gradients = tdsl.value_and_grad(module.f, wrt=("x", "y"))(x, y)
    assert float(value) == 15.0
    np.testing.assert_allclose(gradients[0], 2 * x * y)
    np.testing.assert_allclose(gradients[1], (x * x).sum())
