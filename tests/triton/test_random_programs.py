"""Random programs and random graphs as Triton kernels: values and derivatives are the interpreter's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
from tests.test_programs import PROGRAMS, Pair
from tests.transforms.test_random_graphs import ENV, PARAMS, arrays, graphs
from tests.triton.interpreted import repaired
from tests.triton.plans import CONFIGURATIONS, Array, assert_same, configured, run_plan

SIZES = {"N": 3, "D": 4, "H": 2}
configurations = st.sampled_from(sorted(CONFIGURATIONS))
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])


def compare(
    function: Function, env: Mapping[str, int], given_: Sequence[Array], dtype: str, condition: str
) -> None:
    """Relative to the largest value: the order of additions differs."""
    flat = flatten(function)
    expected = executable(flat, env).run(given_)
    for actual, wanted in zip(run_plan(flat, env, given_), expected, strict=True):
        finite = np.abs(wanted[np.isfinite(wanted)])
        assert_same(actual, wanted, dtype, condition, 1.0 + np.max(finite, initial=0.0))


def compare_both(
    function: Function, env: Mapping[str, int], given_: Sequence[Array], dtype: str, name: str
) -> None:
    """The function and its backward."""
    rng = np.random.default_rng(1)
    backward = vjp(function)
    incoming = [
        rng.uniform(-1, 1, [size.evaluate(env) for size in p.shape])
        for p in backward.params[len(given_) :]
    ]
    with configured(name), repaired():
        compare(function, env, given_, dtype, "value")
        compare(backward, env, [*given_, *incoming], dtype, "gradient")


def check_program(program: Pair, seed: int, name: str) -> None:
    text = f"def f(x: f64[N, D], y: f64[D]) -> f64[N, D]:\n    return {program[0]} + x * 0\n"
    function = elaborate(load_program(text, "random.tdsl"), "f")
    rng = np.random.default_rng(seed)
    given_ = [rng.standard_normal(shape) for shape in ((3, 4), (4,))]
    compare_both(function, SIZES, given_, "f32" if "f32" in text else "f64", name)


def check_graph(function: Function, seed: int, name: str) -> None:
    note(print_function(function))
    values = arrays(seed)
    compare_both(function, ENV, [values[p] for p in PARAMS], "f64", name)


def law(check: Callable[..., None], strategy: st.SearchStrategy[object]) -> Callable[[], None]:
    return given(strategy, st.integers(0, 3), configurations)(check)


test_programs = FEW(law(check_program, PROGRAMS))
test_graphs = FEW(law(check_graph, graphs()))
test_many_programs = pytest.mark.nightly(MANY(law(check_program, PROGRAMS)))
test_many_graphs = pytest.mark.nightly(MANY(law(check_graph, graphs())))
