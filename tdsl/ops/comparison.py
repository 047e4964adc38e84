"""Comparisons and tests: bool results, false where a NaN is compared (true for `not_equal`)."""

from __future__ import annotations

import numpy as np

from tdsl.ops.pointwise import ANY, NUMBER, REAL, pointwise

PAIR = (REAL, REAL)

equal = pointwise("equal", "x == y.", np.equal, kinds=ANY, domain=PAIR, to_bool=True)
not_equal = pointwise(
    "not_equal", "x != y; true for NaN.", np.not_equal, kinds=ANY, domain=PAIR, to_bool=True
)
less = pointwise("less", "x < y.", np.less, kinds=NUMBER, domain=PAIR, to_bool=True)
less_equal = pointwise(
    "less_equal", "x <= y.", np.less_equal, kinds=NUMBER, domain=PAIR, to_bool=True
)
greater = pointwise("greater", "x > y.", np.greater, kinds=NUMBER, domain=PAIR, to_bool=True)
greater_equal = pointwise(
    "greater_equal", "x >= y.", np.greater_equal, kinds=NUMBER, domain=PAIR, to_bool=True
)
isnan = pointwise("isnan", "Whether x is NaN.", np.isnan, to_bool=True)
isinf = pointwise("isinf", "Whether x is inf or -inf.", np.isinf, to_bool=True)
isfinite = pointwise(
    "isfinite", "Whether x is neither infinite nor NaN.", np.isfinite, to_bool=True
)
