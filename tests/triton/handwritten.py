"""Kernels written by hand, in the style of the generated ones, and requests to compile them."""

from __future__ import annotations

from collections.abc import Sequence

from tdsl.backends.triton.aot import Request

HEADER = """
import triton
import triton.language as tl
"""
ADD = (
    HEADER
    + """
@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    total = tl.load(x + i, inside).to(tl.float32) + tl.load(y + i, inside).to(tl.float32)
    tl.store(out + i, total.to(tl.bfloat16), inside)
"""
)
SOFTMAX = (
    HEADER
    + """
@triton.jit
def softmax(x, out, cols, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    at = tl.program_id(0).to(tl.int64) * cols + i
    row = tl.load(x + at, i < cols, other=float("-inf")).to(tl.float32)
    powers = tl.exp2((row - tl.max(row, 0)) * 1.4426950408889634)
    tl.store(out + at, (powers * (1.0 / tl.sum(powers, 0))).to(tl.bfloat16), i < cols)
"""
)
RMS_BACKWARD = (
    HEADER
    + """
@triton.jit
def rms_backward(x, w, g, rstd, dx, partial, rows, cols, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < cols
    weight = tl.load(w + i, inside, other=0.0).to(tl.float32)
    dw = tl.zeros([BLOCK], tl.float32)
    row = tl.program_id(0)
    while row < rows:
        at = row.to(tl.int64) * cols + i
        normal = tl.load(x + at, inside, other=0.0).to(tl.float32) * tl.load(rstd + row)
        given = tl.load(g + at, inside, other=0.0).to(tl.float32)
        dw += given * normal
        given = given * weight
        mean = tl.sum(given * normal, 0) / cols
        result = (given - normal * mean) * tl.load(rstd + row)
        tl.store(dx + at, result.to(tl.bfloat16), inside)
        row += tl.num_programs(0)
    tl.store(partial + tl.program_id(0) * cols + i, dw, inside)
"""
)
NAMES = ["add", "softmax", "rms_backward"]
_KERNELS = {
    "add": (ADD, {"x": "*bf16", "y": "*bf16", "out": "*bf16", "n": "i32"}),
    "softmax": (SOFTMAX, {"x": "*bf16", "out": "*bf16", "cols": "i32"}),
    "rms_backward": (
        RMS_BACKWARD,
        {
            "x": "*bf16", "w": "*bf16", "g": "*bf16", "rstd": "*fp32", "dx": "*bf16",
            "partial": "*fp32", "rows": "i32", "cols": "i32",
        },
    ),
}  # fmt: skip


def request(name: str, target: str, divisible: Sequence[str] | None = None) -> Request:
    """A block of 2048 for 4 warps gives a lane of any target 8 bfloat16s, 128 bits, or more."""
    source, signature = _KERNELS[name]
    chosen = [arg for arg in signature if arg != "rows"] if divisible is None else divisible
    return Request(source, name, signature, target, {"BLOCK": 2048}, chosen)
