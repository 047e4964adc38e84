"""Random programs and random graphs tile by tile: values and derivatives are the interpreter's."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tdsl.ir.function import Function
from tests.c import test_random_programs as compiled
from tests.numpy.plans import run_plan, small_tiles
from tests.test_programs import PROGRAMS, Pair
from tests.transforms.test_random_graphs import graphs

FEW = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])


def check_program(program: Pair, seed: int, elements: int) -> None:
    with small_tiles(elements), pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "run_plan", run_plan)
        compiled.check_program(program, seed, small=False)


def check_graph(function: Function, seed: int, elements: int) -> None:
    with small_tiles(elements), pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "run_plan", run_plan)
        compiled.check_graph(function, seed, small=False)


SEEDS, ELEMENTS = st.integers(0, 3), st.sampled_from([1, 4, 1000])
test_programs = FEW(given(PROGRAMS, SEEDS, ELEMENTS)(check_program))
test_graphs = FEW(given(graphs(), SEEDS, ELEMENTS)(check_graph))
test_many_programs = pytest.mark.nightly(MANY(given(PROGRAMS, SEEDS, ELEMENTS)(check_program)))
test_many_graphs = pytest.mark.nightly(MANY(given(graphs(), SEEDS, ELEMENTS)(check_graph)))
