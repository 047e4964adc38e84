"""Comparisons and tests: bool results, false where a NaN is compared (true for `not_equal`)."""

from __future__ import annotations

import numpy as np

from tdsl.ops.pointwise import ANY, NUMBER, REAL, pointwise

PAIR = (REAL, REAL)

equal = pointwise(
    "equal",
    "x == y.",
    np.equal,
    kinds=ANY,
    domain=PAIR,
    to_bool=True,
    triton="{0} == {1}",
    c="{0} == {1}",
)
not_equal = pointwise(
    "not_equal",
    "x != y; true for NaN.",
    np.not_equal,
    kinds=ANY,
    domain=PAIR,
    to_bool=True,
    triton="{0} != {1}",
    c="{0} != {1}",
)
less = pointwise(
    "less",
    "x < y.",
    np.less,
    kinds=NUMBER,
    domain=PAIR,
    to_bool=True,
    triton="{0} < {1}",
    c="{0} < {1}",
)
less_equal = pointwise(
    "less_equal",
    "x <= y.",
    np.less_equal,
    kinds=NUMBER,
    domain=PAIR,
    to_bool=True,
    triton="{0} <= {1}",
    c="{0} <= {1}",
)
greater = pointwise(
    "greater",
    "x > y.",
    np.greater,
    kinds=NUMBER,
    domain=PAIR,
    to_bool=True,
    triton="{0} > {1}",
    c="{0} > {1}",
)
greater_equal = pointwise(
    "greater_equal",
    "x >= y.",
    np.greater_equal,
    kinds=NUMBER,
    domain=PAIR,
    to_bool=True,
    triton="{0} >= {1}",
    c="{0} >= {1}",
)
isnan = pointwise(
    "isnan",
    "Whether x is NaN.",
    np.isnan,
    to_bool=True,
    triton="{0} != {0}",
    c="{0} != {0}",
)
isinf = pointwise(
    "isinf",
    "Whether x is inf or -inf.",
    np.isinf,
    to_bool=True,
    triton='tl.abs({0}) == float("inf")',
    c="fabs{s}({0}) == INFINITY",
)
isfinite = pointwise(
    "isfinite",
    "Whether x is neither infinite nor NaN.",
    np.isfinite,
    to_bool=True,
    triton='tl.abs({0}) < float("inf")',
    c="fabs{s}({0}) < INFINITY",
)
