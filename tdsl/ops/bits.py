"""Bitwise operations on integers, which on bools are the logical ones, and shifts."""

from __future__ import annotations

import numpy as np

from tdsl.ops.pointwise import BITS, INTEGER, REAL, pointwise

PAIR = (REAL, REAL)

bitand = pointwise("bitand", "x & y; on bools: and.", np.bitwise_and, kinds=BITS, domain=PAIR)
bitor = pointwise("bitor", "x | y; on bools: or.", np.bitwise_or, kinds=BITS, domain=PAIR)
bitxor = pointwise("bitxor", "x ^ y; on bools: not equal.", np.bitwise_xor, kinds=BITS, domain=PAIR)
bitnot = pointwise("bitnot", "~x; on bools: not.", np.invert, kinds=BITS)
shift_left = pointwise(
    "shift_left", "x << y; 0 where y is negative or not below the width.", np.left_shift,
    kinds=INTEGER, domain=PAIR,
)  # fmt: skip
shift_right = pointwise(
    "shift_right", "x >> y, keeping the sign; 0 (negative x: -1) where y is out of range.",
    np.right_shift, kinds=INTEGER, domain=PAIR,
)  # fmt: skip
