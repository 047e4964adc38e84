"""Random well-typed programs: values and gradients are torch's, whatever is combined; formatting keeps both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tdsl
from tdsl.ir import parse, print_function, verify
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.syntax.format import format_source
from tdsl.transforms.differentiate import vjp
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
    "roll": ("roll({a}, 1, axis=N)", lambda a: a.roll(1, 0)),
    "concat": ("concat(({a}[:, 2:], {a}[:, :2] * 2), axis=1)",
               lambda a: torch.cat((a[:, 2:], a[:, :2] * 2), 1)),
    "pad": ("pad({a}, axis=D, low=1)[:, :-1]", lambda a: torch.nn.functional.pad(a, (1, -1))),
    "heads": ("flatten(flip(unflatten({a}, axis=D, sizes=(2, H)), axis=-1), axes=(-2, -1))",
              lambda a: a.unflatten(1, (2, 2)).flip(2).flatten(1)),
    "picked": ("({a} + take({a}, argmax({a}, axis=D), axis=D))",
               lambda a: a + a.gather(1, a.argmax(1, keepdim=True))),
    "spread": ("({a} * std({a}, axis=D))", lambda a: a * a.std(1, correction=0, keepdim=True)),
    "clamped": ("clamp({a}, -0.5, 0.7)", lambda a: a.clamp(-0.5, 0.7)),
    "detached": ("({a} * stop_gradient({a}))", lambda a: a * a.detach()),
    "rounded": ("cast(cast({a}, f32), f64)", lambda a: a.float().double()),
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


def close(actual: Any, expected: Any, dtype: str, condition: str) -> None:
    relative, absolute = TOLERANCES[dtype, condition]
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
    dtype = "f32" if "f32" in body else "f64"
    close(value, expected, dtype, "value")
    for a, b in zip(gradients, expected_gradients, strict=True):
        close(a, b, dtype, "gradient")


@settings(max_examples=60)
@given(PROGRAMS)
def test_graphs_read_back_and_formatting_is_final(program: Pair) -> None:
    text = f"def f(x: T[N, D], y: T[D]) -> T[N, D]:\n    return {program[0]} + x * 0\n"
    formatted = format_source(text, "random.tdsl")
    assert format_source(formatted, "random.tdsl") == formatted
    before, after = (elaborate(load_program(t, "random.tdsl"), "f") for t in (text, formatted))
    assert print_function(before) == print_function(after)
    for graph in (before, vjp(before), vjp(vjp(before))):
        verify(graph)
        assert parse(print_function(graph)) == graph
