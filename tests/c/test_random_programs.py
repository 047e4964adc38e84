"""Random programs and random graphs as C: values and derivatives are the interpreter's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tdsl.ir import print_function
from tdsl.ir.function import Function
from tdsl.runtime.pipeline import executable, flatten
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.transforms.differentiate import vjp
from tests.c.plans import run_plan, small_blocks
from tests.test_programs import PROGRAMS, Pair
from tests.transforms.test_random_graphs import ENV, PARAMS, arrays, graphs
from tests.triton.plans import Array, assert_same

SIZES = {"N": 3, "D": 4, "H": 2}
FEW = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])


def compare(
    function: Function, env: Mapping[str, int], values: Sequence[Array], dtype: str, *, small: bool
) -> None:
    """The function and its derivative as one; relative to the largest value, for sums differ in order."""
    backward = vjp(function)
    both = flatten(replace(backward, results=(*function.results, *backward.results)))
    rng = np.random.default_rng(1)
    shapes = [[size.evaluate(env) for size in p.shape] for p in both.params[len(values) :]]
    given_ = [*values, *(rng.uniform(-1, 1, shape) for shape in shapes)]
    expected = executable(both, env).run(given_)
    with small_blocks() if small else nullcontext():
        found = run_plan(both, env, given_)
    for actual, wanted in zip(found, expected, strict=True):
        finite = np.abs(wanted[np.isfinite(wanted)])
        assert_same(actual, wanted, dtype, "gradient", 1.0 + np.max(finite, initial=0.0))


def check_program(program: Pair, seed: int, small: bool) -> None:
    text = f"def f(x: f64[N, D], y: f64[D]) -> f64[N, D]:\n    return {program[0]} + x * 0\n"
    function = elaborate(load_program(text, "random.tdsl"), "f")
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(shape) for shape in ((3, 4), (4,))]
    compare(function, SIZES, values, "f32" if "f32" in text else "f64", small=small)


def check_graph(function: Function, seed: int, small: bool) -> None:
    note(print_function(function))
    values = arrays(seed)
    compare(function, ENV, [values[p] for p in PARAMS], "f64", small=small)


def law(check: Callable[..., None], strategy: st.SearchStrategy[object]) -> Callable[[], None]:
    return given(strategy, st.integers(0, 3), st.booleans())(check)


test_programs = FEW(law(check_program, PROGRAMS))
test_graphs = FEW(law(check_graph, graphs()))
test_many_programs = pytest.mark.nightly(MANY(law(check_program, PROGRAMS)))
test_many_graphs = pytest.mark.nightly(MANY(law(check_graph, graphs())))
