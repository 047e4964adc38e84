"""torch.func: every transform of every case, against the same transform of torch's own formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from tests.torch.cases import BY_NAME, Case, Tensor, each_case, floating

Function = Callable[..., Any]
# Forward mode imports torch's decompositions, which use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")


def close(ours: Any, torchs: Any) -> None:
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-11)


def loss(function: Function) -> Function:
    """One number that depends on every floating result."""
    return lambda *args: sum(result.sin().sum() for result in floating(function(*args)))


def values(function: Function) -> Function:
    return lambda *args: floating(function(*args))


def tangents(case: Case) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64) for s in case.shapes)


def with_rest(function: Function, case: Case) -> Function:
    """A function of the floating arguments alone."""
    return lambda *args: floating(function(*args, *case.rest))


def in_batches(case: Case) -> list[Tensor]:
    return [torch.stack([x, x.flip(0) if x.ndim else 2 * x]) for x in case.arguments()]


LAWS: dict[str, Callable[[Function, Case], Any]] = {
    "grad": lambda f, c: grad(loss(f), c.wrt)(*c.arguments()),
    "jacrev": lambda f, c: jacrev(values(f), c.wrt)(*c.arguments()),
    "jacfwd": lambda f, c: jacfwd(values(f), c.wrt)(*c.arguments()),
    "hessian": lambda f, c: hessian(values(f), c.wrt)(*c.arguments()),
    "jacrev of jacrev": lambda f, c: jacrev(jacrev(loss(f)))(*c.arguments()),
    "grad of jvp": lambda f, c: grad(lambda *a: jvp(lambda x: loss(f)(x, *a[1:]), (a[0],), (a[0].cos(),))[1])(*c.arguments()),
    "jvp": lambda f, c: jvp(with_rest(f, c), tuple(c.arguments()[: len(c.shapes)]), tangents(c)),
    "vjp": lambda f, c: vjp(with_rest(f, c), *c.arguments()[: len(c.shapes)])[0],
    "vmap": lambda f, c: vmap(f)(*in_batches(c)),
    "vmap of some": lambda f, c: vmap(f, in_dims=(0, *[None] * (len(c.arguments()) - 1)))(in_batches(c)[0], *c.arguments()[1:]),
    "vmap of the last axis": lambda f, c: vmap(f, in_dims=-1)(*(x.movedim(0, -1) for x in in_batches(c))),
    "vmap of vmap": lambda f, c: vmap(vmap(f))(*(torch.stack([x, x, x]) for x in in_batches(c))),
    "vmap of grad": lambda f, c: vmap(grad(loss(f), c.wrt))(*in_batches(c)),
    "grad of vmap": lambda f, c: grad(loss(vmap(f)), c.wrt)(*in_batches(c)),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
@each_case
def test_a_transform_gives_what_it_gives_of_torchs_formula(case: Case, law: str) -> None:
    close(LAWS[law](case.ours, case), LAWS[law](case.torchs, case))


@each_case
def test_forward_mode_outside_of_torch_func(case: Case) -> None:
    def run(function: Function) -> list[Any]:
        moving, rest = case.arguments()[: len(case.shapes)], case.rest
        with forward_ad.dual_level():
            make, unpack = forward_ad.make_dual, forward_ad.unpack_dual
            duals = [make(x, t) for x, t in zip(moving, tangents(case), strict=True)]  # type: ignore[no-untyped-call]
            return [tuple(unpack(y)) for y in floating(function(*duals, *rest))]  # type: ignore[no-untyped-call]

    close(run(case.ours), run(case.torchs))


def test_a_batch_with_a_hand_written_derivative() -> None:
    from tdsl.kernels import activations

    x = torch.linspace(-40, 40, 12, dtype=torch.float64).reshape(3, 4)
    ours = vmap(activations.sigmoid)
    close(grad(lambda v: ours(v).sum())(x), grad(lambda v: v.sigmoid().sum())(x))
    close(vmap(grad(lambda v: activations.sigmoid(v).sum()))(x), x.sigmoid() * (-x).sigmoid())


def test_transforms_compose_with_autograd_outside() -> None:
    case = BY_NAME["damped"]
    found = []
    for function in (case.ours, case.torchs):
        x, s = case.arguments(grad=True)
        grad(loss(function))(x, s).sum().backward()
        found.append((x.grad, s.grad))
    close(*found)


def test_modules_go_through_functional_call() -> None:
    case = BY_NAME["rms_norm"]

    class Norm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(case.arguments()[1])

        def forward(self, x: Tensor) -> Any:
            return case.ours(x, self.w)

    module = Norm()
    x, w = case.arguments()
    found = grad(lambda p: functional_call(module, p, (x,)).square().sum())({"w": w})
    close(found["w"], grad(lambda v: case.torchs(x, v).square().sum())(w))
