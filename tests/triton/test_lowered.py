"""Kernels of a lowered function, compiled for GPUs that are not there."""

from __future__ import annotations

import pytest

import tdsl
from tdsl.kernels import softmax


def test_stages_of_a_kernel_compiled_ahead() -> None:
    lowered = softmax.softmax.lower("bf16[64, 1024]", backend="triton", target="sm_90")
    assert set(lowered.asm("ptx")) == {"softmax_forward"}
    assert ".target sm_90" in lowered.asm("ptx")["softmax_forward"]
    assert "MUFU.EX2" in lowered.asm("sass")["softmax_forward"]
    (kernel,) = lowered.compiled
    assert kernel.spills == 0
    assert 0 < kernel.registers <= 255
    with pytest.raises(tdsl.TdslError, match="`ptx`, `sass`, `ttgir`, `ttir`"):
        lowered.asm("amdgcn")


def test_another_vendor() -> None:
    lowered = softmax.softmax.lower("f32[64, 1024]", target="gfx942", grad=True)
    assert len(lowered.asm("amdgcn")) == 2


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(tdsl.TdslError, match="there is no target `sm_1`"):
        softmax.softmax.lower("f32[64, 1024]", target="sm_1")
