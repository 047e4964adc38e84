"""Every function of the standard library against torch: values, gradients, second derivatives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.ir.dtype import F32, I64
from tdsl.syntax.elaboration.entry import elaborate, signature
from tdsl.syntax.elaboration.program import library_program
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.linear import cost
from tests.kernels.reference import ROWS, Row
from tests.tolerances import TOLERANCES

TORCH = {"f32": torch.float32, "f64": torch.float64}


def arguments(row: Row, dtype: str, *, grad: bool) -> list[Any]:
    """The row's arguments as tensors of the dtype (integers and numbers as they are)."""
    generator = np.random.default_rng(7)
    made: list[Any] = []
    for place, argument in enumerate(row.arguments):
        made_by = argument if callable(argument) else None
        value: Any = made_by(generator) if made_by else generator.standard_normal(argument)  # type: ignore[arg-type]
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
            if value.is_floating_point():
                value = value.to(TORCH[dtype]).requires_grad_(grad and place not in row.frozen)
        made.append(value)
    return made


def called(row: Row) -> Any:
    function = getattr(getattr(tdsl.kernels, row.file), row.name)
    return lambda *args: function(*args, **row.static)


def flat(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple | list) else [results]


def assert_close(actual: Any, expected: Any, dtype: str, condition: str) -> None:
    relative, absolute = TOLERANCES[dtype, condition]
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_values_are_torchs(row: Row, dtype: str) -> None:
    given = arguments(row, dtype, grad=False)
    for actual, expected in zip(flat(called(row)(*given)), flat(row.torch(*given)), strict=True):
        assert_close(actual, expected.to(TORCH[dtype]), dtype, "value")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_first_and_second_gradients_are_torchs(row: Row) -> None:
    found = [derivatives(function, row) for function in (called(row), row.torch)]
    for condition, actual, expected in zip(("gradient", "second"), *found, strict=True):
        for a, b in zip(actual, expected, strict=True):
            assert_close(a, b, "f64", condition)


def derivatives(function: Any, row: Row) -> tuple[list[Any], list[Any]]:
    """Gradients of a random combination of the results, and of one of the gradients."""
    given = arguments(row, "f64", grad=True)
    wanted = [a for a in given if isinstance(a, torch.Tensor) and a.requires_grad]
    first = torch.autograd.grad(
        combination(flat(function(*given))), wanted, create_graph=True, allow_unused=True
    )
    zeros = [torch.zeros_like(w) for w in wanted]
    total = combination(filled(first, zeros))
    if not total.requires_grad:
        return filled(first, zeros), zeros
    return filled(first, zeros), filled(
        torch.autograd.grad(total, wanted, allow_unused=True), zeros
    )


def filled(gradients: Any, zeros: list[Any]) -> list[Any]:
    return [z if g is None else g for g, z in zip(gradients, zeros, strict=True)]


def combination(values: list[Any]) -> Any:
    """A fixed random linear combination of all elements, so that no gradient cancels by symmetry."""
    total = torch.zeros((), dtype=torch.float64)
    for place, value in enumerate(values):
        if value.is_floating_point():
            generator = torch.Generator().manual_seed(place)
            weights = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            total = total + (value * weights).sum()
    return total


def test_every_function_has_a_row() -> None:
    assert set(LIBRARY) == {(row.file, row.name) for row in ROWS}


LIBRARY = [(file, f.__name__) for file in dir(tdsl.kernels) for f in getattr(tdsl.kernels, file)]


BUDGETS = {
    ("losses", "cross_entropy"): (3, 17),
    ("losses", "mse"): (0, 4),
    ("attention", "attention"): (8, 16),
    ("norms", "rms_norm"): (3, 15),
    ("norms", "layer_norm"): (6, 21),
}


@pytest.mark.parametrize(("file", "name"), BUDGETS)
def test_options_that_are_not_used_cost_the_backward_nothing(file: str, name: str) -> None:
    """Reductions and nodes of the derived backward; the norms have their weights."""
    weights = frozenset("wb") if file == "norms" else frozenset()
    dtypes = {"T": F32, "W": F32, "I": I64}
    graph = elaborate(
        library_program(file), name, ranks={"A": 2, "B": 1}, given=weights, dtypes=dtypes
    )
    reductions, nodes = cost(vjp(graph))
    assert reductions <= BUDGETS[file, name][0]
    assert nodes <= BUDGETS[file, name][1]


@pytest.mark.parametrize(("file", "name"), LIBRARY)
def test_every_text_has_the_formula_first_and_a_source(file: str, name: str) -> None:
    """The first paragraph computes with a parameter; the text names a year or a page."""
    text = getattr(getattr(tdsl.kernels, file), name).__doc__
    first = text.split("\n\n")[0]
    names = [p.name for p in signature(library_program(file), name).parameters]
    assert any(re.search(rf"(?<![A-Za-z_]){name}(?![A-Za-z_])", first) for name in names)
    assert re.search(r"[-+*/^=|(]|where", first)
    assert re.search(r"\b(19|20)\d\d\b|https://", text)


@pytest.mark.parametrize(("file", "name"), LIBRARY)
def test_the_text_says_what_is_a_helper(file: str, name: str) -> None:
    helpers = {"descent", "adam_step", "reduced", "pick", "bce_term", "attention_weights", "affine"}
    is_helper = name in helpers or name.endswith("_vjp")
    assert getattr(getattr(tdsl.kernels, file), name).__doc__.startswith("A helper: ") == is_helper


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm"])
def test_half_precision_rounds_once(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    count = 2 if name == "rms_norm" else 3
    given = [torch.randn(s, generator=generator).to(dtype) for s in ((4, 6), (6,), (6,))[:count]]
    function = getattr(tdsl.kernels.norms, name)
    wide = function(*(g.to(torch.float32) for g in given))
    assert torch.equal(function(*given), wide.to(dtype))
