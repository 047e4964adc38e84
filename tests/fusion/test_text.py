"""The text form of Plans, Kernels and Schedules: what is printed is read back as an equal object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tdsl.backends.triton.module import print_plan
from tdsl.cli.kernels import kernels_text
from tdsl.errors import TdslError
from tdsl.fusion.kernel import Kernel, Stage
from tdsl.fusion.plan import Plan, make_plan, with_strides
from tdsl.fusion.reader import parse_kernel, parse_plan, parse_schedule
from tdsl.fusion.schedule import Schedule
from tdsl.fusion.text import kernel_text, plan_text, schedule_text
from tdsl.ir.node import Node
from tdsl.ir.size import as_size
from tdsl.ir.size import name as axis_name
from tdsl.kernels import linear, losses, norms, softmax
from tdsl.transforms.inline import inline_calls
from tests.ir.programs import whole
from tests.kernels.reference import ROWS, Row
from tests.ops.graphs import OPERATIONS
from tests.triton.test_kernels import library, own_arguments

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = [
    pytest.param(node, id=f"{op}{place}")
    for op in OPERATIONS
    for place, node in enumerate(op.samples())
]


def round_trip(plan: Plan) -> None:
    """Equal, and printed the same again; so are the kernels alone."""
    text = plan_text(plan)
    again = parse_plan(text)
    assert again == plan
    assert plan_text(again) == text
    for kernel in plan.kernels:
        assert parse_kernel(kernel_text(kernel)) == kernel


def plans(function: Any, *specs: Any, grad: bool = True, **static: Any) -> list[Plan]:
    return [one.plan for one in function.lower(*specs, grad=grad, **static).reports]


@pytest.mark.parametrize("stage", ["forward", "backward"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_library_round_trips(row: Row, stage: Stage) -> None:
    grad = stage == "backward"
    lowered = library(row).lower(*own_arguments(row, "bf16"), grad=grad, **row.static)
    for one in lowered.reports:
        round_trip(one.plan)
        module = print_plan(one.plan, lowered.sizes, 132)
        for _, schedule in module.kernels:
            assert parse_schedule(schedule_text(schedule)) == schedule


@pytest.mark.parametrize("node", SAMPLES)
def test_every_operation_round_trips(node: Node) -> None:
    round_trip(make_plan(inline_calls(whole(node))))


def test_strides_round_trip() -> None:
    (plan,) = plans(softmax.softmax, "f32[8, 16]", grad=False)
    step = axis_name("stride0")
    strided = with_strides(plan, {"x": (2 * step, as_size(1))})
    round_trip(strided)
    assert parse_plan(plan_text(strided)) != plan


def test_the_log_is_not_part_of_the_text() -> None:
    plan = plans(norms.rms_norm, "f32[8, 16]", "f32[16]")[1]
    assert plan.log
    again = parse_plan(plan_text(plan))
    assert again == plan
    assert again.log == ()


def test_names_of_the_source_are_read_back() -> None:
    (plan,) = plans(softmax.softmax, "f32[8, 16]", grad=False)
    (kernel,) = parse_plan(plan_text(plan)).kernels
    assert {origin.name for origin in kernel.origins.values()} == {"e"}


GOLDENS: dict[str, tuple[Any, tuple[str, ...], int]] = {
    "softmax": (softmax.softmax, ("bf16[8192, 4096]",), 0),
    "rms_norm_backward": (norms.rms_norm, ("bf16[8192, 4096]", "bf16[4096]"), 1),
    "cross_entropy_gradient": (losses.cross_entropy, ("bf16[8192, 32768]", "i64[8192]"), 0),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_texts_are_pinned(name: str, golden: Callable[[Path, str], None]) -> None:
    function, specs, place = GOLDENS[name]
    lowered = function.lower(*specs, grad=True)
    plan = lowered.reports[place].plan
    module = print_plan(plan, lowered.sizes, 132)
    schedules = [schedule_text(schedule) for _, schedule in module.kernels]
    golden(GOLDEN / f"{name}.plan", plan_text(plan) + "\n")
    golden(GOLDEN / f"{name}.schedules", "\n".join(schedules) + "\n")


PLAN = "plan f(x: f32[N]) -> out\n  result out: f32[N]\n"
HEAD = f"{PLAN}kernel k forward\n  rows []\n  columns [N]\n  read x: f32[N]\n"
BODY = f"{HEAD}  %0 = exp(x) : f32[N]\n"
STORE = "  store %0 in out[N] at [i[N]]\n"
BROKEN = {
    "": "E0701",
    "kernel": "E0701",
    "plan f": "E0701",
    "plan f(x: f32[N]) -> out": "E0703",
    "plan f(x: f32[N], x: f32) -> nothing": "E0704",
    "plan f(x: f32[N]) -> x\n  y = exp(x) : f32[N]\n": "E0701",
    "plan f(x: f32[N]) -> x\n  x = input(axes=[N], dtype=f64, name=\"x\") : f64[N]\n": "E0706",
    f"{PLAN}  result out: f32[N]\n": "E0704",
    f"{PLAN}  workspace x: f32[N]\n": "E0704",
    f"{PLAN}  result y f32[N]\n": "E0701",
    f"{PLAN}  position argmax\n": "E0701",
    f"{PLAN}kernel k sideways\n": "E0701",
    f"{PLAN}kernel k forward\n  columns [N]\n": "E0701",
    f"{PLAN}library\n  read x: f32[N]\n  store x in out[N] at [i[N]]\n": "E0701",
    f"{HEAD}": "E0701",
    f"{HEAD}  read y: f32[N]\n": "E0703",
    f"{HEAD}  read x: f32[N]\n": "E0704",
    f"{PLAN}kernel k forward\n  rows []\n  columns [N]\n  read x: f64[N]\n": "E0706",
    f"{PLAN}kernel k forward\n  rows []\n  columns [N]\n  read x: f32[N, N]\n": "E0706",
    f"{HEAD}  number x = x\n": "E0704",
    f"{HEAD}  number n = m\n": "E0703",
    f"{HEAD}  %0 = exp(x) : f32\n": "E0706",
    f"{HEAD}  %0 = expo(x) : f32[N]\n": "E0703",
    f"{BODY}": "E0701",
    f"{BODY}  crossed %1\n": "E0703",
    f"{BODY}  crossed %0\n": "E0701",
    f"{BODY}  store %1 in out[N] at [i[N]]\n": "E0703",
    f"{BODY}  store %0 in y[N] at [i[N]]\n": "E0703",
    f"{BODY}  store %0 in out[M] at [i[N]]\n": "E0706",
    f"{BODY}  store %0 in out[N] [i[N]]\n": "E0701",
    f"{BODY}{STORE}  %1 = exp(%0) : f32[N]\n": "E0701",
    f"{PLAN}kernel k forward\n  rows [{'(' * 500}": "E0702",
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), BROKEN.items(), ids=range(len(BROKEN)))
def test_broken_texts_are_refused_with_their_place(text: str, code: str) -> None:
    with pytest.raises(TdslError) as caught:
        parse_plan(text)
    assert caught.value.code == code
    assert caught.value.span is not None
    assert caught.value.span.line <= text.count("\n") + 1


def test_the_smallest_text_is_read() -> None:
    """What the broken texts are made of is no mistake itself."""
    assert parse_plan(PLAN).steps == ()
    (kernel,) = parse_plan(BODY + STORE).kernels
    assert [store.buffer for store in kernel.stores] == ["out"]
    with pytest.raises(TdslError, match="the end"):
        parse_kernel(kernel_text(kernel) + "\nkernel")


def test_a_text_cut_short_is_refused() -> None:
    (plan,) = plans(softmax.softmax, "f32[8, 16]", grad=False)
    text = kernel_text(plan.kernels[0])
    for end in range(len(text) - 1):
        with pytest.raises(TdslError, match="E07"):
            parse_kernel(text[:end])


SCHEDULE = Schedule((axis_name("N"),), (axis_name("D"),), "columns", "whole", True, 1, 4096, 8, 2)
SCHEDULES = {
    "scheduled()": "E0701",
    "schedule()": "E0705",
    "schedule(rows=[N])": "E0705",
    schedule_text(replace(SCHEDULE, warps=8)).replace("8", "8.0"): "E0705",
    schedule_text(SCHEDULE).replace("True", "1"): "E0705",
    schedule_text(SCHEDULE).replace("whole", "half"): "E0705",
    schedule_text(SCHEDULE).replace("[N]", "[1]"): "E0705",
    schedule_text(SCHEDULE).replace("warps", "weft"): "E0705",
    schedule_text(SCHEDULE).replace(")", ", more=1)"): "E0705",
    schedule_text(SCHEDULE) + "\n" + schedule_text(SCHEDULE): "E0701",
}


@pytest.mark.parametrize(("text", "code"), SCHEDULES.items(), ids=range(len(SCHEDULES)))
def test_broken_schedules_are_refused(text: str, code: str) -> None:
    assert parse_schedule(schedule_text(SCHEDULE)) == SCHEDULE
    with pytest.raises(TdslError) as caught:
        parse_schedule(text)
    assert caught.value.code == code


def test_equality_is_of_everything_in_a_kernel() -> None:
    """No field of a kernel or of its stores is left out of the text."""
    (plan,) = plans(softmax.softmax, "f32[8, 16]", grad=False)
    (kernel,) = plan.kernels
    (store,) = kernel.stores
    size = axis_name("Z")
    changed: list[Kernel] = [
        replace(kernel, name="other"),
        replace(kernel, stage="backward"),
        replace(kernel, layout=replace(kernel.layout, rows=())),
        replace(kernel, layout=replace(kernel.layout, columns=(size,))),
        replace(kernel, layout=replace(kernel.layout, crossed=(store.node,))),
        replace(kernel, strides={"x": (size,)}),
        *(
            replace(kernel, stores=(replace(store, **change),))
            for change in (
                {"buffer": "y"}, {"shape": ()}, {"places": ()}, {"share": True},
                {"node": store.node.operands[0]},
            )
        ),
    ]  # fmt: skip
    texts = {kernel_text(one) for one in [kernel, *changed]}
    assert len(texts) == len(changed) + 1
    assert [parse_kernel(kernel_text(one)) for one in changed] == changed


def test_show_prints_kernels_in_their_text_form() -> None:
    """With the bytes of each, and the kernel that a loss's backward pass may end with."""
    lowered = losses.mse.lower("f32[64, 32]", "f32[64, 32]", grad=True)
    shown = kernels_text(lowered)
    for kernel in lowered.reports[0].plan.kernels:
        assert kernel_text(kernel) in shown
    assert "kernel scale backward, which may end at once" in shown
    assert f"bytes moved {lowered.bytes_moved:,}" in shown
    call = linear.linear.lower("f32[64, 32]", "f32[16, 32]")
    assert plan_text(call.reports[0].plan) in kernels_text(call)
