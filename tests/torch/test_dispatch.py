"""Which way a call goes: kernels see plain tensors alone, whoever intercepts sees one operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

import tdsl
from tdsl.errors import TdslError
from tdsl.runtime.torch import dispatch, kernel, memory, operator
from tests.torch.cases import BY_NAME, Case, Tensor, each_case, each_norm, floating


def close(ours: Any, torchs: Any) -> None:
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-11)


def total(results: Any) -> Tensor:
    return torch.stack([result.sin().sum() for result in floating(results)]).sum()


class Seen(TorchDispatchMode):
    """The operators that reach a dispatch mode."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class Tagged(Tensor):
    """A subclass without rules of its own."""


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the graphs whose kernels ran, in order."""
    ran: list[str] = []

    def run(callee: memory.Callee, values: Any, key: Any = None) -> list[Tensor]:
        tensors = [value for value in values if isinstance(value, Tensor)]
        assert not any(isinstance(t, FakeTensor) or t.device.type == "meta" for t in tensors)
        ran.append(f"{callee.found.graph.name} {len(callee.found.graph.results)}")
        return kernel.run_kernel(callee, values, key)

    monkeypatch.setattr(dispatch, "run_kernel", run)
    monkeypatch.setattr(operator, "run_kernel", run)
    return ran


@each_case
def test_values_and_gradients_to_the_second_order(case: Case) -> None:
    args, count = case.arguments(grad=True), len(case.shapes)
    close(case.ours(*args), case.torchs(*args))
    given = tuple(args[:count])
    function = lambda *xs: floating(case.ours(*xs, *case.rest))  # noqa: E731
    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


def test_the_third_derivative() -> None:
    x = torch.linspace(-2, 2, 5, dtype=torch.float64, requires_grad=True)
    found = []
    for function in (BY_NAME["gelu"].ours, BY_NAME["gelu"].torchs):
        y = function(x)
        for _ in range(3):
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y)
    close(*found)


@each_case
def test_a_dispatch_mode_sees_only_the_operator(case: Case) -> None:
    args = case.arguments()
    with Seen() as seen:
        results = case.ours(*args)
    assert len(seen.names) == 1
    assert seen.names[0].startswith("tdsl.")
    close(results, case.torchs(*case.arguments()))


def test_a_dispatch_mode_sees_operators_of_the_backward() -> None:
    case = BY_NAME["rms_norm"]
    args = case.arguments(grad=True)
    with Seen() as seen:
        torch.autograd.grad(case.ours(*args), args, torch.ones(3, 4, dtype=torch.float64))
    names = [name.split(".")[1] for name in seen.names if name.startswith("tdsl.")]
    assert [name.rsplit("_", 1)[0] for name in names] == ["rms_norm", "rms_norm_vjp"]


@each_case
def test_fake_and_meta_tensors_have_shapes_and_no_kernel(case: Case, kernels: list[str]) -> None:
    wanted = case.torchs(*case.arguments())
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in case.arguments()]
        found = [case.ours(*fakes)]
    found.append(case.ours(*fakes))
    found.append(case.ours(*(x.to("meta") for x in case.arguments())))
    for results in found:
        pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (results, wanted)), strict=True)
        for ours, torchs in pairs:
            assert (ours.shape, ours.dtype) == (torchs.shape, torchs.dtype)
            assert ours.is_contiguous()
    assert kernels == []


def test_meta_tensors_have_gradients_and_errors() -> None:
    case = BY_NAME["rms_norm"]
    x, w = (t.to("meta").requires_grad_() for t in case.arguments())
    case.ours(x, w).sum().backward()
    assert w.grad is not None
    assert w.grad.shape == w.shape
    with pytest.raises(TdslError, match="E0305"):
        case.ours(x, w[:2])


@each_case
def test_make_fx_records_operators(case: Case) -> None:
    graph = make_fx(case.ours, tracing_mode="symbolic")(*case.arguments())
    longer = [
        torch.cat([x, x]) if (x.ndim and i != 1) or x.dtype == torch.int64 else x
        for i, x in enumerate(case.arguments())
    ]
    close(graph(*longer), case.torchs(*longer))
    names = [str(n.target) for n in graph.graph.nodes if str(n.target).startswith("tdsl.")]
    assert len(names) == 1


def test_make_fx_records_the_backward() -> None:
    case = BY_NAME["cross_entropy"]

    def step(x: Tensor, labels: Tensor) -> Any:
        return torch.func.grad(lambda v: case.ours(v, labels))(x)

    graph = make_fx(step)(*case.arguments())
    close(graph(*case.arguments()), torch.func.grad(case.torchs)(*case.arguments()))


def test_a_subclass_of_tensor_stays_one(kernels: list[str]) -> None:
    x = torch.ones(3, dtype=torch.float64).as_subclass(Tagged)
    y = BY_NAME["gelu"].ours(x)
    assert type(y) is Tagged
    close(y.as_subclass(Tensor), BY_NAME["gelu"].torchs(torch.ones(3, dtype=torch.float64)))


@each_norm
def test_only_gradients_that_are_needed_are_computed(case: Case, kernels: list[str]) -> None:
    x, w = case.arguments()
    case.ours(x, w.requires_grad_()).sum().backward()
    _, backward = kernels
    assert (backward, x.grad) == ("rms_norm_vjp 1", None)
    close(w.grad, torch.autograd.grad(case.torchs(x, w).sum(), w)[0])
    with torch.no_grad():
        assert case.ours(x, w).grad_fn is None
    assert not case.ours(x, w.detach()).requires_grad


def test_a_result_without_derivative_needs_no_gradient() -> None:
    (x,) = BY_NAME["largest"].arguments(grad=True)
    values, places = BY_NAME["largest"].ours(x)
    assert values.requires_grad
    assert not places.requires_grad


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda x: x.mT.contiguous().mT,
    "every other": lambda x: torch.stack([x, x], -1).flatten(-2)[..., ::2],
    "expanded": lambda x: x[:1].expand(3, 4),
    "a scalar everywhere": lambda x: x[0, 0].expand(3, 4),
    "an offset": lambda x: torch.cat([x, x])[2:5],
    "empty": lambda x: x[:0],
    "negative": torch._neg_view,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["gelu", "rms_norm", "moments"])
def test_views_and_stride_0_cotangents(name: str, view: str) -> None:
    case = BY_NAME[name]
    found = []
    for function in (case.ours, case.torchs):
        x, *rest = case.arguments(grad=True)
        results = function(VIEWS[view](x), *rest)
        torch.stack([result.sum() for result in floating(results)]).sum().backward()  # type: ignore[no-untyped-call]
        found.append([results, x.grad, *(t.grad for t in rest)])
    close(*found)


each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


@each_dtype
def test_an_array_is_a_view_of_its_tensor(dtype: torch.dtype) -> None:
    x = torch.randn(1, 4).to(dtype).expand(3, 4)
    array = memory.array_of(x)
    assert array.__array_interface__["data"][0] == x.data_ptr()
    assert array.strides[0] == 0


@each_dtype
@pytest.mark.parametrize("backend", ["c", "numpy", "interpreter"])
def test_arguments_share_memory_with_kernels(backend: str, dtype: torch.dtype) -> None:
    """No memory would hold a copy of one that repeats a row so often."""
    count = 1 << 40
    if backend == "interpreter" and dtype == torch.bfloat16:
        count = 4  # its first operation makes all of it f32
    function: Any = tdsl.compile("def f(x: T[N, D]) -> T[D]:\n    return x[2]\n")
    row = torch.randn(1, 4).to(dtype)
    assert torch.equal(function.using(backend=backend)(row.expand(count, 4)), row[0])


def test_an_argument_can_still_be_resized() -> None:
    x = torch.randn(4)
    BY_NAME["gelu"].ours(x)
    x.untyped_storage().resize_(0)
    assert x.untyped_storage().size() == 0


def test_a_gradient_is_handed_over_without_a_copy() -> None:
    made: list[int] = []
    x = torch.randn(64, requires_grad=True)
    y = BY_NAME["gelu"].ours(x)
    y.grad_fn.register_hook(lambda shares, _: made.append(shares[0].data_ptr()))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.data_ptr() == made[0]


@each_norm
@pytest.mark.parametrize("selective", [False, True])
def test_checkpoints(case: Case, selective: bool, kernels: list[str]) -> None:
    def block(x: Tensor, w: Tensor) -> Any:
        return case.ours(x.sin(), w).cos()

    def policy(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        ours = str(op).startswith("tdsl.")
        return CheckpointPolicy.MUST_SAVE if ours else CheckpointPolicy.PREFER_RECOMPUTE

    options: dict[str, Any] = {}
    if selective:
        options["context_fn"] = lambda: create_selective_checkpoint_contexts(policy)  # type: ignore[no-untyped-call]
    x, w = case.arguments(grad=True)
    checkpoint(block, x, w, use_reentrant=False, **options).sum().backward()
    again = case.arguments(grad=True)
    case.torchs(again[0].sin(), again[1]).cos().sum().backward()
    close([x.grad, w.grad], [t.grad for t in again])
    forward = [name for name in kernels if name.startswith("rms_norm ")]
    assert len(forward) == (1 if selective else 2)


def test_autocast_changes_nothing_of_a_call() -> None:
    case = BY_NAME["rms_norm"]
    x, w = case.arguments(torch.float32, grad=True)
    layer = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        plain = case.ours(x, w)
        half = case.ours(layer(x), w.to(torch.bfloat16))
        half.float().sum().backward()
    assert (plain.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(plain, case.ours(x, w))
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    scaled: Any = tdsl.compile("def f(x: T[N, D], w: T[D]) -> T[N, D]:\n    return x * w\n")
    with pytest.raises(TdslError, match="`w` is bf16"), torch.autocast("cpu", torch.bfloat16):
        scaled(layer(x), w)


def test_a_number_beside_tensors_in_every_way() -> None:
    case, (x, _) = BY_NAME["damped"], BY_NAME["damped"].arguments()
    wanted = case.torchs(x, torch.tensor(0.5, dtype=torch.float64))
    with Seen():
        close(case.ours(x, 0.5), wanted)
    close(torch.func.vmap(lambda v: case.ours(v, 0.5))(x), wanted)
    close(make_fx(lambda v: case.ours(v, 0.5))(x)(x), wanted)
    with FakeTensorMode() as mode:
        assert case.ours(mode.from_tensor(x), 0.5).shape == x.shape


def test_inference_mode_and_parameters() -> None:
    case = BY_NAME["rms_norm"]
    x, w = case.arguments()
    with torch.inference_mode():
        close(case.ours(x, torch.nn.Parameter(w)), case.torchs(x, w))


def test_the_checked_mode_is_another_operator() -> None:
    f: Any = tdsl.compile("def f(x: T[N]) -> T[N]:\n    return log(x)\n")
    with Seen() as seen:
        f(torch.ones(2))
        f.using(checked=True)(torch.ones(2))
        with pytest.raises(ValueError, match="`log` makes a NaN"):
            f.using(checked=True)(-torch.ones(2))
    assert len({name for name in seen.names if name.startswith("tdsl.")}) == 2
