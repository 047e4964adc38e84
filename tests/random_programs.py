"""Random programs and random graphs by an executor: values and derivatives are the interpreter's.

Beside the program are drawn the dtype and the sizes (a program's), edge values, how arguments lie in memory,
and settings under which small arrays take several parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tdsl.backends.arrays import NUMPY
from tdsl.fusion.plan import make_plan, with_strides
from tdsl.ir import print_function
from tdsl.ir.dtype import DTYPES
from tdsl.ir.function import Function
from tdsl.ops import numpy_dtype
from tdsl.runtime.layouts import symbolic_strides
from tdsl.runtime.pipeline import executable, flatten
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import load_program
from tdsl.transforms.differentiate import vjp
from tests.processor import Executor
from tests.test_programs import PROGRAMS, Pair
from tests.transforms.test_random_graphs import ENV, PARAMS, arrays, graphs
from tests.triton.plans import Array, assert_same

Parts = Callable[[], AbstractContextManager[None]]
Test = Callable[[], None]
FEW = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
SIZES = ((3, 4), (1, 2), (0, 4), (5, 6), (3, 34))
EDGES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1.0, -1.0, 90.0, -750.0]
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x,
    "the first axis last": np.asfortranarray,
    "apart": lambda x: np.repeat(x, 3, axis=-1)[..., ::3],
    "backwards": lambda x: np.flip(np.flip(x).copy()),
    # Not a row of equal numbers, of which the spread is a matter of rounding.
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim > 1 else x,
    "an offset": lambda x: np.concatenate([x.ravel()[:1], x.ravel()])[min(1, x.size) :].reshape(x.shape),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What is drawn beside a program."""

    seed: int
    layout: str
    has_edges: bool
    parts: Parts
    dtype: str = "f64"
    sizes: tuple[int, int] = (3, 4)

    def given(self, values: Sequence[Array]) -> list[Array]:
        """The arguments: some floating values become edges, and all lie as they shall."""
        rng = np.random.default_rng(self.seed)
        made = []
        for value in values:
            share = 0.2 if self.has_edges and value.dtype.kind != "i" else 0.0
            edges = np.array(EDGES if share else [0]).astype(value.dtype)
            own = np.where(rng.random(value.shape) < share, rng.choice(edges, value.shape), value)
            made.append(LAYOUTS[self.layout](own) if own.ndim else own)
        return made


def compare(
    executor: Executor,
    function: Function,
    env: Mapping[str, int],
    values: Sequence[Array],
    setting: Setting,
    dtype: str,
) -> None:
    """The function and its derivative as one; relative to the largest value, for sums differ in order."""
    backward = vjp(function)
    both = flatten(replace(backward, results=(*function.results, *backward.results)))
    rng = np.random.default_rng(1)
    incoming = [
        rng.uniform(-1, 1, [size.evaluate(env) for size in p.shape]).astype(numpy_dtype(p.dtype))
        for p in both.params[len(values) :]
    ]
    given_ = setting.given([*values, *incoming])
    expected = executable(both, env).run(given_)
    for actual, wanted in zip(run(executor, both, env, given_, setting), expected, strict=True):
        wide = wanted.astype(np.float64)
        scale = 1.0 + np.max(np.abs(wide[np.isfinite(wide)]), initial=0.0)
        assert_same(actual, wanted, dtype, "value" if dtype == "bf16" else "gradient", scale)


def run(
    executor: Executor,
    function: Function,
    env: Mapping[str, int],
    given_: Sequence[Array],
    setting: Setting,
) -> list[Any]:
    """The results of the plan for arguments that lie so."""
    names = [param.name for param in function.params]
    steps = [tuple(step // a.itemsize for step in a.strides) for a in given_]
    strides, values = symbolic_strides(zip(names, [a.shape for a in given_], steps, strict=True))
    plan = with_strides(make_plan(function), strides)
    with setting.parts():
        return executor.prepare(plan, {**env, **values}, NUMPY)(given_)


def check_program(executor: Executor, program: Pair, setting: Setting) -> None:
    n, d = setting.sizes
    body = program[0] if setting.dtype == "f64" else program[0].replace("f64", "f32")
    types = [f"{setting.dtype}[{axes}]" for axes in ("N, D", "D", "N, D")]
    head = f"def f(x: {types[0]}, y: {types[1]}) -> {types[2]}"
    text = f"{head}:\n    return {body} + x * 0\n"
    function = elaborate(load_program(text, "random.tdsl"), "f")
    rng, own = np.random.default_rng(setting.seed), numpy_dtype(DTYPES[setting.dtype])
    values = [rng.standard_normal(shape).astype(own) for shape in ((n, d), (d,))]
    dtype = "f32" if setting.dtype == "f64" and "f32" in text else setting.dtype
    compare(executor, function, {"N": n, "D": d, "H": d // 2}, values, setting, dtype)


def check_graph(executor: Executor, function: Function, setting: Setting) -> None:
    note(print_function(function))
    values = arrays(setting.seed)
    compare(executor, function, ENV, [values[p] for p in PARAMS], setting, "f64")


def laws(executor: Executor, parts: Sequence[Parts]) -> tuple[Test, Test, Test, Test]:
    """Programs and graphs, 100 each, then 1000 each, which are for the night."""
    common = {
        "seed": st.integers(0, 3), "layout": st.sampled_from(sorted(LAYOUTS)),
        "has_edges": st.booleans(), "parts": st.sampled_from(parts),
    }  # fmt: skip
    of_programs = st.builds(
        Setting,
        **common,
        dtype=st.sampled_from(["f64", "f32", "bf16"]),
        sizes=st.sampled_from(SIZES),
    )
    of_graphs = st.builds(Setting, **common)

    def programs(program: Pair, setting: Setting) -> None:
        check_program(executor, program, setting)

    def random_graphs(function: Function, setting: Setting) -> None:
        check_graph(executor, function, setting)

    few, many = (
        (
            limit(given(PROGRAMS, of_programs)(programs)),
            limit(given(graphs(), of_graphs)(random_graphs)),
        )
        for limit in (FEW, MANY)
    )
    nightly = pytest.mark.nightly
    return (*few, nightly(many[0]), nightly(many[1]))
