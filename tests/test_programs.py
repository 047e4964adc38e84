"""Random well-typed programs: values and gradients are torch's, whatever is combined; formatting keeps both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tdsl
from tdsl.syntax.format import format_source
from tests.tolerances import TOLERANCES

Torch = Callable[[Any, Any], Any]
Pair = tuple[str, Torch]
LEAVES = st.sampled_from(
    [
        ("x", lambda x, y: x),
        ("(y + x * 0)", lambda x, y: y.expand_as(x)),
        ("(x * 0 + 2.5)", lambda x, y: torch.full_like(x, 2.5)),
    ]
)
UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sin": ("sin({a})", torch.sin),
    "tanh": ("tanh({a})", torch.tanh),
    "exp": ("exp(-{a} * {a})", lambda a: torch.exp(-a * a)),
    "sigmoid": ("sigmoid({a})", torch.sigmoid),
    "centre": ("({a} - mean({a}, axis=D))", lambda a: a - a.mean(1, keepdim=True)),
    "softmax": ("softmax({a}, axis=D)", lambda a: torch.softmax(a, 1)),
    "total": ("({a} * sum({a}, axis=N))", lambda a: a * a.sum(0)),
    "flip": ("{a}[:, ::-1]", lambda a: a.flip(1)),
    "guard": ("where({a} > 0.3, sqrt({a}), {a})",
              lambda a: torch.where(a > 0.3, torch.where(a > 0.3, a, 1.0).sqrt(), a)),
    "scan": ("cumsum({a}, axis=D)", lambda a: a.cumsum(1)),
}  # fmt: skip
BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("({a} + {b})", lambda a, b: a + b),
    "sub": ("({a} - {b})", lambda a, b: a - b),
    "mul": ("({a} * {b})", lambda a, b: a * b),
    "div": ("({a} / (1.5 + {b} * {b}))", lambda a, b: a / (1.5 + b * b)),
}


def _unary(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def apply(parts: tuple[str, Pair]) -> Pair:
        (text, function), (a, f) = UNARY[parts[0]], parts[1]
        return text.format(a=a), lambda x, y: function(f(x, y))

    return st.tuples(st.sampled_from(sorted(UNARY)), inner).map(apply)


def _binary(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def apply(parts: tuple[str, Pair, Pair]) -> Pair:
        (text, function), (a, f), (b, g) = BINARY[parts[0]], parts[1], parts[2]
        return text.format(a=a, b=b), lambda x, y: function(f(x, y), g(x, y))

    return st.tuples(st.sampled_from(sorted(BINARY)), inner, inner).map(apply)


PROGRAMS = st.recursive(LEAVES, lambda inner: _unary(inner) | _binary(inner), max_leaves=5)


def close(actual: Any, expected: Any, condition: str) -> None:
    relative, absolute = TOLERANCES["f64", condition]
    scale = 1.0 + float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute * scale)


@settings(max_examples=150)
@given(PROGRAMS, st.integers(0, 5))
def test_values_and_gradients_are_torchs(program: Pair, seed: int) -> None:
    body, reference = program
    text = f"def f(x: f64[N, D], y: f64[D]) -> f64[N, D]:\n    return {body} + x * 0\n"
    function: Any = tdsl.compile(format_source(text, "random.tdsl"))
    generator = torch.Generator().manual_seed(seed)
    given_ = [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((3, 4), (4,))]
    weights = torch.randn((3, 4), generator=generator, dtype=torch.float64)
    found = []
    for call in (function, lambda x, y: reference(x, y) + x * 0):
        inputs = [v.clone().requires_grad_() for v in given_]
        value = call(*inputs)
        (value * weights).sum().backward()
        zeros = [torch.zeros_like(v) for v in inputs]
        found.append(
            (
                value.detach(),
                [z if v.grad is None else v.grad for v, z in zip(inputs, zeros, strict=True)],
            )
        )
    (value, gradients), (expected, expected_gradients) = found
    close(value, expected, "value")
    for a, b in zip(gradients, expected_gradients, strict=True):
        close(a, b, "gradient")
