"""Calls pinned to Triton on CPU tensors, in its interpreter: values, gradients, layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)
from torch.autograd import gradcheck, gradgradcheck

import tdsl
from tdsl.kernels import activations, losses, norms, softmax
from tests.tolerances import TOLERANCES
from tests.triton.interpreted import repaired

Tensor = torch.Tensor
Case = tuple[str, Any, Callable[..., Tensor], tuple[tuple[int, ...], ...]]
CASES: list[Case] = [
    ("gelu", activations.gelu, F.gelu, ((5, 7),)),
    ("swiglu", activations.swiglu, lambda x, y: F.silu(x) * y, ((5, 7), (5, 7))),
    ("softmax", softmax.softmax, lambda x: F.softmax(x, -1), ((5, 7),)),
    ("rms_norm", norms.rms_norm, lambda x, w: F.rms_norm(x, (7,), w, 1e-6), ((5, 7), (7,))),
    ("layer_norm", norms.layer_norm, lambda x, w, b: F.layer_norm(x, (7,), w, b), ((5, 7), (7,), (7,))),
    ("mse", losses.mse, F.mse_loss, ((5, 7), (5, 7))),
]  # fmt: skip
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "every other": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "offset": lambda x: torch.cat([x[:1], x])[1:],
    "broadcast": lambda x: x[:1].expand(x.shape),
}


def close(ours: Any, torchs: Any, dtype: str = "f64") -> None:
    relative, absolute = TOLERANCES[dtype, "gradient"]
    torch.testing.assert_close(ours, torchs, rtol=relative, atol=absolute)


@pytest.fixture(autouse=True)
def interpreter() -> Any:
    with repaired():
        yield


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_values_and_gradients(case: Case, layout: str) -> None:
    _, function, reference, shapes = case
    pinned = function.using(backend="triton")
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    found = []
    for call in (pinned, reference):
        leaves = [x.clone().requires_grad_() for x in data]
        value = call(*(LAYOUTS[layout](x) for x in leaves))
        gradients = torch.autograd.grad(value.sum(), leaves)  # a cotangent of stride 0
        found.append([value.detach(), *gradients])
    close(found[0], found[1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_any_order(case: Case) -> None:
    _, function, _, shapes = case
    pinned = function.using(backend="triton")
    generator = torch.Generator().manual_seed(1)
    data = [
        torch.randn(
            tuple(min(n, 3) for n in s),
            generator=generator,
            dtype=torch.float64,
            requires_grad=True,
        )
        for s in shapes
    ]
    assert gradcheck(pinned, data)
    assert gradgradcheck(pinned, data)


def test_arrays_and_numbers() -> None:
    f: Any = tdsl.compile("def f(x: T[N], s: T = 3) -> T[N]:\n    return x * s\n")
    pinned = f.using(backend="triton")
    x = np.arange(4.0)[::-1]
    np.testing.assert_array_equal(pinned(x), x * 3)
    np.testing.assert_array_equal(pinned(x, 2), x * 2)
    assert pinned(np.zeros(0)).shape == (0,)
    close(pinned(torch.ones(3), torch.tensor(2.0)), torch.full((3,), 2.0))


def test_the_backward_pass_takes_what_was_saved() -> None:
    """Of bf16 inputs the row statistics are kept, in f32."""
    x = torch.randn(3, 8, dtype=torch.bfloat16, requires_grad=True)
    y = softmax.softmax.using(backend="triton")(x)
    saved = [t for t in y.grad_fn.saved_tensors if t.dtype == torch.float32]
    assert [tuple(t.shape) for t in saved] == [(3,), (3,)]


def test_an_input_that_needs_no_gradient_costs_nothing() -> None:
    x, w = torch.randn(4, 8), torch.randn(8, requires_grad=True)
    y = norms.rms_norm.using(backend="triton")(x, w)
    back = y.grad_fn.recording.backward.found.flat
    assert len(back.results) == 1


def test_compiled_as_one_operator() -> None:
    pinned = activations.gelu.using(backend="triton")
    x = torch.randn(6, requires_grad=True)

    def doubled(v: Tensor) -> Any:
        return pinned(v) * 2

    value: Any = torch.compile(doubled, fullgraph=True, backend="aot_eager")(x)
    close(
        torch.autograd.grad(value.sum(), x)[0],
        torch.autograd.grad((F.gelu(x) * 2).sum(), x)[0],
        "f32",
    )


def test_without_the_interpreter_a_pinned_call_on_the_cpu_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tdsl.runtime.torch.launch.is_interpreted", lambda: False)
    with pytest.raises(tdsl.TdslError, match="TRITON_INTERPRET=1") as caught:
        activations.relu.using(backend="triton")(torch.ones(3))
    assert caught.value.code == "E0310"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cotangent", [1.0, 0.25, 65536.0])
def test_a_loss_has_its_gradient_for_every_cotangent(dtype: torch.dtype, cotangent: float) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(6, 9, generator=generator).to(dtype).requires_grad_()
    labels = torch.tensor([0, 3, -100, 8, 1, 1])
    incoming = torch.tensor(cotangent).to(dtype)  # 65536 is infinite in f16, as the oracle says
    functions = (losses.cross_entropy.using(backend="triton"), losses.cross_entropy)
    found = [
        torch.autograd.grad(function(logits, labels), logits, incoming)[0].double()
        for function in functions
    ]
    name = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[dtype]
    relative, absolute = TOLERANCES[name, "value"]
    scale = min(cotangent, 1e4)
    torch.testing.assert_close(*found, rtol=relative, atol=absolute * scale, equal_nan=True)


def test_a_loss_twice_and_differentiated() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    loss = losses.mse.using(backend="triton")(x, torch.zeros(3, 4))
    first = torch.autograd.grad(loss, x, torch.tensor(3.0), retain_graph=True)[0]
    second = torch.autograd.grad(loss, x, torch.tensor(3.0), retain_graph=True, create_graph=True)[
        0
    ]
    close(first, second.detach(), "f32")
    close(torch.autograd.grad(second.sum(), x)[0], torch.full((3, 4), 0.5), "f32")


def test_donated_arguments_hold_the_results() -> None:
    step = tdsl.kernels.optimizers.adamw
    names = ("p", "m", "v")
    p, g, m, v = (torch.rand(40) for _ in range(4))
    wanted = step(p, g, m, v, 1, 0.1)
    versions = [p._version, m._version, v._version]
    found = step.using(backend="triton", donate=names)(p, g, m, v, 1, 0.1)
    close(list(found), list(wanted), "f32")
    assert [a.data_ptr() for a in found] == [a.data_ptr() for a in (p, m, v)]
    assert [p._version, m._version, v._version] == [n + 1 for n in versions]


def test_what_is_needed_again_is_not_donated() -> None:
    x = torch.rand(3, 4)
    pinned = softmax.softmax.using(backend="triton", donate=("x",))
    assert pinned(x.requires_grad_()).data_ptr() != x.data_ptr()
    flip: Any = tdsl.compile("def f(x: T[N]) -> T[N]:\n    return x[::-1]\n")
    y = torch.arange(4.0)
    found = flip.using(backend="triton", donate=("x",))(y)
    assert found.tolist() == [3, 2, 1, 0]
    assert y.tolist() == [0, 1, 2, 3]


def test_what_all_lanes_of_a_row_read_is_not_donated() -> None:
    text = "def f(x: T[N, D], s: T[N]) -> (T[N, D], T[N]):\n    return x * s, s + sum(x, axis=D)\n"
    both: Any = tdsl.compile(text)
    x, s = torch.ones(2, 3), torch.ones(2)
    found = both.using(backend="triton", donate=("x", "s"))(x, s)
    assert found[0].data_ptr() == x.data_ptr()
    assert s.tolist() == [1, 1]
    assert found[1].tolist() == [4, 4]
