"""The interpreter as the suite uses it: kernels agree with NumPy, traffic is counted, faults are mended."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special
import torch

from tdsl.backends.triton.source import load
from tests.triton.handwritten import ADD, HEADER, RMS_BACKWARD, SOFTMAX
from tests.triton.interpreted import counted, repaired, to_bf16_bits

# Half a unit in the last place of a bfloat16, for results computed in float32 and rounded once.
BF16_ROUNDING = 2.0**-8


@pytest.fixture(autouse=True)
def _sound_interpreter() -> Any:
    with repaired():
        yield


def bf16(*shape: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(values).to(torch.bfloat16)


def run(source: str, name: str, grid: int, *arguments: Any, **constants: Any) -> None:
    kernel: Any = load(source, name)
    kernel[(grid,)](*arguments, **constants)


def near(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal to a float64 result up to one rounding to bfloat16 and what float32 loses before it."""
    return torch.allclose(found.double(), expected, rtol=BF16_ROUNDING * 1.01, atol=1e-6)


def test_add_and_its_traffic() -> None:
    x, y, out = bf16(1000), bf16(1000, seed=1), torch.zeros(1000, dtype=torch.bfloat16)
    with counted({"x": x, "y": y, "out": out}) as traffic:
        run(ADD, "add", 8, x, y, out, 1000, BLOCK=128)
    assert torch.equal(out, x + y)
    assert (traffic.loaded("x"), traffic.loaded("y"), traffic.loaded("out")) == (2000, 2000, 0)
    assert (traffic.stored("x"), traffic.stored("y"), traffic.stored("out")) == (0, 0, 2000)
    assert (traffic.loads["x"] == 1).all()
    assert (traffic.stores["out"] == 1).all()


def test_softmax_and_its_traffic() -> None:
    x, out = bf16(3, 100), torch.zeros(3, 100, dtype=torch.bfloat16)
    with counted({"x": x, "out": out}) as traffic:
        run(SOFTMAX, "softmax", 3, x, out, 100, BLOCK=128)
    assert near(out, torch.softmax(x.double(), 1))
    assert (traffic.loaded("x"), traffic.stored("out")) == (600, 600)


def test_rms_backward_and_its_traffic() -> None:
    rows, cols, programs = 7, 100, 2
    x, w, g = bf16(rows, cols), bf16(cols, seed=1), bf16(rows, cols, seed=2)
    rstd = x.float().square().mean(1).rsqrt()
    dx, partial = torch.zeros_like(x), torch.zeros(programs, cols)
    tensors = {"x": x, "w": w, "g": g, "rstd": rstd, "dx": dx, "partial": partial}
    with counted(tensors) as traffic:
        run(
            RMS_BACKWARD, "rms_backward", programs, *tensors.values(), rows, cols, BLOCK=128
        )  # fmt: skip
    leaf, weight = x.double().requires_grad_(), w.double().requires_grad_()
    y = leaf * leaf.square().mean(1, keepdim=True).rsqrt() * weight
    y.backward(g.double())  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert near(dx, leaf.grad)
    assert weight.grad is not None
    torch.testing.assert_close(partial.double().sum(0), weight.grad, rtol=1e-5, atol=1e-5)
    matrix = rows * cols * 2
    loaded = {name: traffic.loaded(name) for name in tensors}
    stored = {name: traffic.stored(name) for name in tensors}
    assert loaded == {
        "x": matrix, "w": programs * cols * 2, "g": matrix, "rstd": 2 * rows * 4, "dx": 0, "partial": 0
    }  # fmt: skip
    assert stored == {
        "x": 0, "w": 0, "g": 0, "rstd": 0, "dx": matrix, "partial": programs * cols * 4
    }  # fmt: skip


ATOMIC = HEADER + (
    """
@triton.jit
def total(x, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(out, tl.sum(tl.load(x + i, i < n, other=0.0), 0))
"""
)


def test_an_atomic_is_a_load_and_a_store() -> None:
    x, out = torch.arange(10.0), torch.zeros(1)
    with counted({"x": x, "out": out}) as traffic:
        run(ATOMIC, "total", 3, x, out, 10, BLOCK=4)
    assert out.item() == 45
    assert (traffic.loaded("x"), traffic.loaded("out"), traffic.stored("out")) == (40, 12, 12)


def test_an_access_outside_of_every_tensor_is_seen() -> None:
    x, y, out = bf16(64), bf16(64), torch.zeros(60, dtype=torch.bfloat16)
    with counted({"x": x, "y": y, "out": out}), pytest.raises(Exception, match="4 lanes access"):
        run(ADD, "add", 1, x, y, out, 64, BLOCK=64)


def test_tensors_that_share_memory_cannot_be_told_apart() -> None:
    x = torch.zeros(8)
    with pytest.raises(ValueError, match="share memory"), counted({"x": x, "y": x[4:]}):
        pass


def test_counting_ends_with_its_block() -> None:
    x, y, out = bf16(64), bf16(64), torch.zeros(64, dtype=torch.bfloat16)
    with counted({"x": x, "y": y, "out": out}) as traffic:
        pass
    run(ADD, "add", 1, x, y, out, 64, BLOCK=64)
    assert traffic.loaded("x") == 0


CASTS = HEADER + (
    """
@triton.jit
def narrowed(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n).to(tl.bfloat16), i < n)

@triton.jit
def widened(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n).to(tl.float32), i < n)

@triton.jit
def doubled(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    value = tl.load(x + i, i < n)
    tl.store(out + i, value + value, i < n)
"""
)
SPECIAL_BITS = [
    0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000,
    0x7F800001, 0x7FFFFFFF, 0xFFC00000, 0, 0x80000000, 1, 0x8000, 0x8001, 0x18000, 0x807FFFFF,
]  # fmt: skip


def patterns() -> np.ndarray[Any, Any]:
    bits = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32)
    return np.concatenate([np.array(SPECIAL_BITS, np.uint32), bits]).view(np.float32)


def same(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    """The same bits, but any NaN is as good as another."""
    bits = f"u{expected.dtype.itemsize}"
    nan = np.isnan(expected)
    return bool(
        (np.isnan(found) == nan).all() and (found.view(bits) == expected.view(bits))[~nan].all()
    )


def test_float32_is_rounded_to_the_nearest_bfloat16() -> None:
    values = patterns()
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16)
    assert same(to_bf16_bits(values).view(ml_dtypes.bfloat16), expected)
    out = torch.zeros(values.size, dtype=torch.bfloat16)
    run(CASTS, "narrowed", 1, torch.from_numpy(values), out, values.size, BLOCK=2048)
    assert same(out.view(torch.int16).numpy().view(ml_dtypes.bfloat16), expected)


def test_every_bfloat16_is_a_float32() -> None:
    values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    out = torch.zeros(2**16)
    run(CASTS, "widened", 1, values, out, 2**16, BLOCK=2**16)
    assert same(out.numpy(), values.float().numpy())


def test_arithmetic_on_bfloat16_is_refused() -> None:
    x = bf16(16)
    with pytest.raises(Exception, match="convert to float32 right after the load"):
        run(CASTS, "doubled", 1, x, torch.zeros_like(x), 16, BLOCK=16)


LIBRARY = """
import triton
import triton.language as tl
from triton.language.extra import libdevice

@triton.jit
def apply(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    value = tl.load(x + i, i < n, other=1.0)
    tl.store(out + i, CALL, i < n)

@triton.jit
def scalar(x, out, n, BLOCK: tl.constexpr):
    tl.store(out, libdevice.erf(tl.load(x)))
"""
REFERENCES = {
    "libdevice.erf(value)": scipy.special.erf,
    "libdevice.erfc(value)": scipy.special.erfc,
    "libdevice.tanh(value)": np.tanh,
    "libdevice.log1p(value)": np.log1p,
    "libdevice.expm1(value)": np.expm1,
    "libdevice.lgamma(value)": scipy.special.gammaln,
    "libdevice.rsqrt(value)": lambda x: x**-0.5,
    "libdevice.pow(value, 2.5)": lambda x: x**2.5,
    "libdevice.pow(value, value)": lambda x: x**x,
    "libdevice.atan2(value, value + 1.0)": lambda x: np.arctan2(x, x + 1),
}


@pytest.mark.parametrize("call", REFERENCES)
def test_functions_of_libdevice(call: str) -> None:
    x = torch.linspace(0.1, 3.0, 50)
    out = torch.zeros(50)
    run(LIBRARY.replace("CALL", call), "apply", 1, x, out, 50, BLOCK=64)
    expected = REFERENCES[call](x.numpy().astype(np.float64))
    # `value + 1.0` is rounded to float32 before the function sees it.
    np.testing.assert_allclose(out.numpy(), expected, rtol=2.0**-22)


def test_libdevice_takes_scalars_and_refuses_integers() -> None:
    x, out = torch.tensor([0.5]), torch.zeros(1)
    run(LIBRARY.replace("CALL", "value"), "scalar", 1, x, out, 1, BLOCK=1)
    assert out.item() == pytest.approx(scipy.special.erf(0.5), rel=2.0**-24)
    with pytest.raises(Exception, match="libdevice has no function of int32"):
        run(LIBRARY.replace("CALL", "value"), "scalar", 1, x.int(), out, 1, BLOCK=1)
