"""One function over lists of tensors: one launch, and what single calls give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.triton.aot import Request, compile_many
from tdsl.backends.triton.foreach import Foreach, elementwise
from tdsl.backends.triton.launch import Launch
from tdsl.fusion.plan import make_plan
from tdsl.kernels import activations, optimizers, softmax
from tests.triton.interpreted import repaired

Tensor = torch.Tensor
SHAPES = ((3,), (), (5, 7), (0,), (1,), (2, 3, 4), (1030,), (4, 0, 2))
STATE = ("p", "m", "v")


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    with repaired():
        yield


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """Every launch, in order."""
    found: list[Launch] = []
    original = Launch.__call__

    def counting(self: Launch, memory: Any) -> None:
        if self.grid:
            found.append(self)
        original(self, memory)

    monkeypatch.setattr(Launch, "__call__", counting)
    return found


def parameters(shapes: Any = SHAPES, dtype: torch.dtype = torch.float32) -> list[list[Tensor]]:
    """Parameters, gradients and states of these shapes."""
    generator = torch.Generator().manual_seed(0)
    kinds = (dtype, dtype, torch.float32, torch.float32)
    return [[torch.rand(s, generator=generator).to(kind) for s in shapes] for kind in kinds]


def equal(ours: Any, theirs: Any) -> None:
    """The same kernel on the same numbers: equal to the last bit."""
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(list(one), list(other), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_list_of_parameters_is_one_launch(dtype: torch.dtype, launches: list[Launch]) -> None:
    step = optimizers.adamw.using(backend="triton")
    shapes = [s for s in SHAPES if s]
    given = parameters(shapes, dtype)
    found = tdsl.foreach(step)(*given, 3, lr=0.1)
    assert len(launches) == 1
    alone = [step(*row, 3, lr=0.1) for row in zip(*given, strict=True)]
    equal(found, zip(*alone, strict=True))
    assert [[*map(type, one)] for one in found] == [[Tensor] * len(shapes)] * 3
    assert [[x.shape for x in one] for one in found] == [[x.shape for x in given[0]]] * 3


def test_parameters_of_rank_0_go_alone(launches: list[Launch]) -> None:
    step = optimizers.adamw.using(backend="triton")
    given = parameters()
    found = tdsl.foreach(step)(*given, 3, lr=0.1)
    assert len(launches) == 2
    alone = [step(*row, 3, lr=0.1) for row in zip(*given, strict=True)]
    equal(found, zip(*alone, strict=True))


def test_donated_states_are_updated_in_place(launches: list[Launch]) -> None:
    given = parameters([(3,), (0,), (40, 33)])
    wanted = tdsl.foreach(optimizers.adamw)(*given, 3, lr=0.1)
    places = [[x.data_ptr() for x in given[i]] for i in (0, 2, 3)]
    versions = [[x._version for x in given[i]] for i in (0, 2, 3)]
    step = optimizers.adamw.using(backend="triton", donate=STATE)
    found = tdsl.foreach(step)(*given, 3, lr=0.1)
    assert len(launches) == 1
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)
    assert [[x.data_ptr() for x in one] for one in found] == places
    equal([given[i] for i in (0, 2, 3)], found)
    assert [[x._version - 1 for x in given[i]] for i in (0, 2, 3)] == versions


def test_what_is_donated_twice_is_updated_twice(launches: list[Launch]) -> None:
    double: Any = tdsl.compile("def double(x: T[*A]) -> T[*A]:\n    return x + x\n")
    x = torch.ones(4)
    tdsl.foreach(double.using(backend="triton", donate=("x",)))([x, x])
    assert x.tolist() == [4.0] * 4
    assert len(launches) == 2


def test_each_tensor_can_have_its_own_number_on_the_device(launches: list[Launch]) -> None:
    f: Any = tdsl.compile("def f(x: T[*A], s: T, t: T) -> T[*A]:\n    return x * s + t\n")
    xs = [torch.ones(3), torch.ones(2, 700)]
    scales = [torch.tensor(2.0), torch.tensor(3.0)]
    found = tdsl.foreach(f.using(backend="triton"))(xs, scales, t=torch.tensor(1.0))
    assert [x.unique().tolist() for x in found] == [[3.0], [4.0]]
    assert len(launches) == 1


def test_addresses_that_do_not_divide_by_16_have_a_launch_of_their_own(
    launches: list[Launch],
) -> None:
    relu = activations.relu.using(backend="triton")
    data = torch.randn(40)
    given = [data[:3], data[4:9], data[5:9], data[32:]]
    found = tdsl.foreach(relu)(given)
    equal([found], [[x.relu() for x in given]])
    assert [dict(one.loaded.printed.constants)["ALIGNMENT"] for one in launches] == [16, 1]


def test_dtypes_and_strides_divide_a_list(launches: list[Launch]) -> None:
    relu = activations.relu.using(backend="triton")
    x = torch.randn(6, 5)
    given = [x, x.to(torch.bfloat16), x.mT, x[0], x.to(torch.bfloat16)[1:]]
    found = tdsl.foreach(relu)(given)
    equal([found], [[x.relu() for x in given]])
    assert len(launches) == 4  # f32, the transposed one, and bf16, of which one is not aligned


@pytest.mark.parametrize("kind", ["triton", None])
def test_what_is_not_pointwise_goes_one_after_another(kind: str | None) -> None:
    function = softmax.softmax.using(backend=kind)
    given = [torch.randn(3, 5), torch.randn(7)]
    equal([tdsl.foreach(function)(given)], [[function(x) for x in given]])


def test_gradients_are_recorded(launches: list[Launch]) -> None:
    relu = activations.relu.using(backend="triton")
    xs = [torch.randn(4, requires_grad=True), torch.randn(3)]
    found = tdsl.foreach(relu)(xs)
    (gradient,) = torch.autograd.grad(found[0].sum(), xs[0])
    torch.testing.assert_close(gradient, (xs[0] > 0).float())
    with torch.no_grad():
        del launches[:]
        tdsl.foreach(relu)(xs)
    assert len(launches) == 1


def test_arrays_of_numpy() -> None:
    xs = [np.arange(-2.0, 2.0), np.zeros((0, 2))]
    found = tdsl.foreach(activations.relu)(xs)
    assert [x.tolist() for x in found] == [[0, 0, 0, 1], []]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(2), torch.ones(2)), "takes lists"),
        (([], []), "takes lists"),
        (([torch.ones(2)], [torch.ones(2), torch.ones(2)]), "takes lists"),
        (([torch.ones(2)], [torch.ones(3)]), "A"),
    ],
)
def test_lists_that_do_not_fit(arguments: Any, message: str) -> None:
    f: Any = tdsl.compile("def f(x: T[*A], y: T[*A]) -> T[*A]:\n    return x + y\n")
    with pytest.raises(tdsl.TdslError, match=message):
        tdsl.foreach(f.using(backend="triton"))(*arguments)


def test_only_of_functions() -> None:
    with pytest.raises(tdsl.TdslError):
        tdsl.foreach(len)  # type: ignore[arg-type]


@pytest.mark.parametrize("alignment", [1, 16])
def test_the_launch_compiles_with_wide_accesses(alignment: int) -> None:
    """Four words at once where addresses divide by 16, though no length is known to; no spills."""
    specs = ["bf16[8]", "bf16[8]", "f32[8]", "f32[8]", "i64", "f32"]
    lowered = optimizers.adamw.lower(*specs)
    kind = elementwise(make_plan(lowered.graph), lowered.sizes)
    assert kind is not None
    made = Foreach(kind, lowered.sizes)
    loaded = made.loaded[alignment]
    request = Request(
        made.source, loaded.printed.name, {"table": "*i64", "elements": "i32"}, "sm_90",
        dict(loaded.printed.constants), ["table"], loaded.warps, loaded.stages,
    )  # fmt: skip
    (compiled,) = compile_many([request])
    wide = {
        kind: len(re.findall(rf"{kind}\.global[.\w:]*\.v4", compiled.asm["ptx"]))
        for kind in ("ld", "st")
    }
    assert compiled.spills == 0
    assert (wide["ld"] > 0, wide["st"] > 0) == (alignment == 16,) * 2
