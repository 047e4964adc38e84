"""Small Triton functions that generated kernels call, each printed into the files that need it.

In: the text of kernels. Out: the helpers that it calls, as text. Between: semantics are the language's:
NaN is the largest and the smallest value, integer division by 0 gives 0, casts saturate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tdsl.backends.triton.gammas import GAMMAS

HELPERS: dict[str, str] = {
    "larger": '''
def larger(a, b):
    """The larger value; NaN if either is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
''',
    "larger_integer": '''
def larger_integer(a, b):
    """The larger value."""
    return tl.maximum(a, b)
''',
    "smaller": '''
def smaller(a, b):
    """The smaller value; NaN if either is."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
''',
    "product": '''
def product(a, b):
    """The product."""
    return a * b
''',
    "in_32_bits": '''
def in_32_bits(x):
    """x; what lies beyond all places along a row that is held stays beyond them."""
    return tl.cast(tl.minimum(tl.maximum(x, -1), 2147483647), tl.int32)
''',
    "is_at": '''
def is_at(a, b):
    """a == b, in parts that the places of a lane share, or that are known: a place takes a register."""
    same = (a // 8192 == b // 8192) & (a // 4096 % 2 == b // 4096 % 2)
    same = same & (a // 1024 % 4 == b // 1024 % 4) & (a // 8 % 128 == b // 8 % 128)
    return same & (a // 4 % 2 == b // 4 % 2) & (a % 4 == b % 4)
''',
    "finite_or_zero": '''
def finite_or_zero(x):
    """x; 0 where it is infinite."""
    return tl.where(tl.abs(x) == float("inf"), 0.0, x)
''',
    "powers_about": '''
def powers_about(total, reference):
    """A sum of powers of a - reference, from that of a - finite_or_zero(reference)."""
    far = tl.where(reference > 0, total * 0.0, total * float("inf"))
    return tl.where(tl.abs(reference) == float("inf"), far, total)
''',
    "squares_of_both": '''
def squares_of_both(squares, total, seen, new_squares, new_total, count):
    """Squares about the mean of `seen` and `count` values together, from those about each mean."""
    apart = new_total / count - total / tl.maximum(seen, 1)
    between = apart * apart * (seen * (count / (seen + count)))
    return squares + new_squares + tl.where(seen > 0, between, 0.0)
''',
    "squares_about": '''
def squares_about(squares, total, count, reference):
    """Squares about a reference, from those about the mean."""
    apart = total / count - reference
    return squares + count * (apart * apart)
''',
    "log_add_exp": '''
def log_add_exp(a, b):
    """log(exp(a) + exp(b)), without overflow."""
    high = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    low = tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    return tl.where(high == low, high + 0.6931471805599453, high + tl.log(1.0 + tl.exp(low - high)))
''',
    "then": '''
def then(a, b, c, d):
    """The step x -> a * x + b, followed by x -> c * x + d."""
    return c * a, c * b + d
''',
    "first_largest": '''
def first_largest(a, i, b, j):
    """The larger value and its place; NaN is the largest; of equal values the first."""
    same = (a == b) | ((a != a) & (b != b))
    second = (b > a) | ((b != b) & (a == a)) | (same & (j < i))
    return tl.where(second, b, a), tl.where(second, j, i)
''',
    "first_smallest": '''
def first_smallest(a, i, b, j):
    """The smaller value and its place; NaN is the smallest; of equal values the first."""
    same = (a == b) | ((a != a) & (b != b))
    second = (b < a) | ((b != b) & (a == a)) | (same & (j < i))
    return tl.where(second, b, a), tl.where(second, j, i)
''',
    "sign": '''
def sign(x):
    """-1, 0 or 1; NaN for NaN."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x))
''',
    "integer_sign": '''
def integer_sign(x):
    """-1, 0 or 1."""
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)
''',
    "clamp": '''
def clamp(x, low, high):
    """x kept between low and high; NaN stays NaN."""
    at_least = tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL)
    return tl.minimum(at_least, high, propagate_nan=tl.PropagateNan.ALL)
''',
    "remainder": '''
def remainder(x, y):
    """x - y * floor(x / y), with the sign of y."""
    rest = libdevice.fmod(x, y)
    return tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)
''',
    "float_floordiv": '''
def float_floordiv(x, y):
    """floor(x / y), from the exact remainder, so that it does not round up."""
    rest = libdevice.fmod(x, y)
    quotient = (x - rest) / y
    quotient = tl.where((rest != 0) & ((rest < 0) != (y < 0)), quotient - 1.0, quotient)
    whole = tl.floor(quotient)
    whole = tl.where(quotient - whole > 0.5, whole + 1.0, whole)
    return tl.where(y == 0, x / y, tl.where(quotient == 0, x / y * 0.0, whole))
''',
    "integer_floordiv": '''
def integer_floordiv(x, y):
    """floor(x / y); 0 where y is 0."""
    safe = tl.where(y == 0, 1, y)
    rest = x % safe
    return tl.where(y == 0, 0, x // safe - ((rest != 0) & ((rest < 0) != (safe < 0))).to(x.dtype))
''',
    "integer_remainder": '''
def integer_remainder(x, y):
    """x - y * floor(x / y), with the sign of y; 0 where y is 0."""
    safe = tl.where(y == 0, 1, y)
    rest = x % safe
    signed = tl.where((rest != 0) & ((rest < 0) != (safe < 0)), rest + safe, rest)
    return tl.where(y == 0, 0, signed)
''',
    "integer_fmod": '''
def integer_fmod(x, y):
    """x - y * trunc(x / y), with the sign of x; 0 where y is 0."""
    safe = tl.where(y == 0, 1, y)
    return tl.where(y == 0, 0, x % safe)
''',
    "integer_pow": '''
def integer_pow(x, y):
    """x ** y, which wraps; a negative exponent truncates towards 0."""
    result = x * 0 + 1
    base = x
    rest = tl.where(y < 0, 0, y)
    for _ in range(x.dtype.primitive_bitwidth):
        result = tl.where((rest & 1) != 0, result * base, result)
        base = base * base
        rest = rest >> 1
    sign = tl.where((y & 1) != 0, x, 1)
    inverse = tl.where((x == 1) | (x + 1 == 0), sign, 0)
    return tl.where(y < 0, inverse, result)
''',
    "shift_left": '''
def shift_left(x, y):
    """x << y; 0 where y is negative or not below the width."""
    inside = (y >= 0) & (y < x.dtype.primitive_bitwidth)
    return tl.where(inside, x << tl.where(inside, y, 0), 0)
''',
    "shift_right": '''
def shift_right(x, y):
    """x >> y, keeping the sign; beyond the width 0, or -1 for a negative x."""
    inside = (y >= 0) & (y < x.dtype.primitive_bitwidth)
    return tl.where(inside, x >> tl.where(inside, y, 0), tl.where(x < 0, -1, 0))
''',
    "saturated": '''
def saturated(x, low: tl.constexpr, high: tl.constexpr, dtype: tl.constexpr):
    """x truncated to an integer between low and high; 0 for NaN."""
    wide = x.to(tl.float64)
    inside = (wide > low - 1.0) & (wide < high + 1.0)
    whole = tl.where(inside, wide, 0.0).to(dtype)
    whole = tl.where(wide >= high + 1.0, high, whole)
    whole = tl.where(wide <= low - 1.0, low, whole)
    return whole.to(dtype)
''',
} | GAMMAS


def called(text: str) -> frozenset[str]:
    """The helpers that the text names, and those that they call."""
    found: frozenset[str] = frozenset()
    words = _named(text)
    while words - found:
        found |= words
        words = frozenset().union(*(_named(HELPERS[name]) for name in words))
    return found


def _named(text: str) -> frozenset[str]:
    return frozenset(set(re.findall(r"\b\w+\b", text)) & HELPERS.keys())


def helper_text(names: Iterable[str]) -> str:
    """The helpers' definitions, in a fixed order."""
    wanted = set(names)
    return "\n".join(f"@triton.jit{HELPERS[name]}\n" for name in HELPERS if name in wanted)
