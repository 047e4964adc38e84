"""Bitwise operations on integers, which on bools are the logical ones, and shifts."""

from __future__ import annotations

import numpy as np

from tdsl.ops.pointwise import BITS, INTEGER, REAL, pointwise

PAIR = (REAL, REAL)

bitand = pointwise(
    "bitand",
    "x & y; on bools: and.",
    np.bitwise_and,
    kinds=BITS,
    domain=PAIR,
    triton="{0} & {1}",
    c="{0} & {1}",
)
bitor = pointwise(
    "bitor",
    "x | y; on bools: or.",
    np.bitwise_or,
    kinds=BITS,
    domain=PAIR,
    triton="{0} | {1}",
    c="{0} | {1}",
)
bitxor = pointwise(
    "bitxor",
    "x ^ y; on bools: not equal.",
    np.bitwise_xor,
    kinds=BITS,
    domain=PAIR,
    triton="{0} ^ {1}",
    c="{0} ^ {1}",
)
bitnot = pointwise(
    "bitnot",
    "~x; on bools: not.",
    np.invert,
    kinds=BITS,
    triton="~{0}",
    c={"bool": "!{0}", "": "~{0}"},
)
shift_left = pointwise(
    "shift_left", "x << y; 0 where y is negative or not below the width.", np.left_shift,
    kinds=INTEGER, domain=PAIR, triton="shift_left({0}, {1})", c="shift_left_{t}({0}, {1})",
)  # fmt: skip
shift_right = pointwise(
    "shift_right", "x >> y, keeping the sign; 0 (negative x: -1) where y is out of range.",
    np.right_shift, kinds=INTEGER, domain=PAIR, triton="shift_right({0}, {1})",
    c="shift_right_{t}({0}, {1})",
)  # fmt: skip
