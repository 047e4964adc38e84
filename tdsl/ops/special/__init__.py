"""Special functions that NumPy has not, over whole arrays.

In: an array of any shape and strides. Out: a new array of that shape, f32 for f32, else f64.
Between: all arithmetic is f64; no warning leaves, and no input is written. The relative error is at
most 1e-14, except around zeros at negative arguments, where the docstring says what holds.
"""

from tdsl.ops.special.error import erf, erfc, erfinv
from tdsl.ops.special.gamma import digamma, lgamma
from tdsl.ops.special.polygamma import polygamma

__all__ = ["digamma", "erf", "erfc", "erfinv", "lgamma", "polygamma"]
