"""The kernel that multiplies a gradient by a cotangent, in place, as text.

The product is rounded once: it is computed in f32, or in f64 where one of the two is f64.
"""

from __future__ import annotations

NAME = "scale"
SCHEDULE = "programs divide the elements, and end at once where the cotangent is 1"
KERNEL = '''@triton.jit
def scale(gradient_ptr, cotangent_ptr, count, BLOCK: tl.constexpr):
    """Multiply in place; a cotangent of 1 moves nothing."""
    cotangent = tl.load(cotangent_ptr)
    is_double: tl.constexpr = cotangent.dtype == tl.float64 or gradient_ptr.dtype.element_ty == tl.float64
    wide: tl.constexpr = tl.float64 if is_double else tl.float32
    factor = tl.cast(cotangent, wide)
    if factor != 1.0:
        start = tl.cast(tl.program_id(0), tl.int64) * BLOCK
        lane = tl.arange(0, BLOCK)
        mask = lane < count - start
        gradient = tl.load(gradient_ptr + start + lane, mask=mask, other=0.0)
        scaled = tl.cast(gradient, wide) * factor
        tl.store(gradient_ptr + start + lane, tl.cast(scaled, gradient.dtype), mask=mask)
'''
SOURCE = f'"""Gradients times a cotangent."""\n\nimport triton\nimport triton.language as tl\n\n\n{KERNEL}'
