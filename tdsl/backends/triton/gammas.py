"""The derivatives of the gamma function's logarithm as Triton functions.

In: nothing. Out: `GAMMAS`, texts by name. Between: formulas of the NIST Digital Library of Mathematical
Functions, 5.5, 5.11 and 25.11; the errors are a few units in the last place of the larger of the terms
that are added.
"""

from __future__ import annotations

from math import factorial

from tdsl.ops.special.series import BERNOULLI

_SERIES = [float(b / (2 * k)) for k, b in enumerate(BERNOULLI[:10], 1)]
_POLYNOMIAL = "\n".join(f"    rest = rest * square + {c!r}" for c in reversed(_SERIES[:-1]))

_TERMS: list[str] = []
for _k, _b in enumerate(BERNOULLI, 1):
    _TERMS.append(f"    rest += term * {float(_b / factorial(2 * _k))!r}")
    _TERMS.append(f"    term *= ({2.0 * _k} + n) * ({2.0 * _k + 1} + n) * inverse * inverse")
_EULER_MACLAURIN = "\n".join(_TERMS[:-1])

GAMMAS: dict[str, str] = {
    "digamma": f'''
def digamma(x):
    """The derivative of log(|gamma(x)|)."""
    y = tl.where(x < 0, 1.0 - x, x)
    total = y * 0.0
    for _ in range(8):
        total -= tl.where(y < 8.0, 1.0 / y, 0.0)
        y = tl.where(y < 8.0, y + 1.0, y)
    inverse = 1.0 / y
    square = inverse * inverse
    rest = square * 0.0 + {_SERIES[-1]!r}
{_POLYNOMIAL}
    total += tl.log(y) - 0.5 * inverse - square * rest
    offset = x - libdevice.rint(x)
    mirrored = total - 3.141592653589793 / libdevice.tan(3.141592653589793 * offset)
    total = tl.where(x < 0, tl.where(offset == 0, float("nan"), mirrored), total)
    total = tl.where(x == float("inf"), x, total)
    return tl.where(x == 0, -1.0 / x, total)
''',
    "zeta": f'''
def zeta(x, n: tl.constexpr):
    """The sum of (x + k) ** -(n + 1) over all k >= 0, for x > 0."""
    total = x * 0.0
    power = total - (n + 1.0)
    for k in range(10):
        total += libdevice.pow(x + k, power)
    first = x + 10.0
    inverse = 1.0 / first
    rest = first / n + 0.5
    term = (n + 1.0) * inverse
{_EULER_MACLAURIN}
    return total + libdevice.pow(first, power) * rest
''',
    "polygamma": '''
def polygamma(x, n: tl.constexpr):
    """The n-th derivative of digamma, n >= 1."""
    factor = 1.0
    for k in range(1, n + 1):
        factor = factor * k
    offset = x - libdevice.rint(x)
    distance = tl.abs(offset)
    is_pole = (x <= 0) & (offset == 0)
    is_between = (x < 0) & (offset != 0)
    near = zeta(tl.where(is_between, distance, tl.where(x > 0, x, 1.0)), n)
    far = zeta(tl.where(is_between, 1.0 - distance, 1.0), n)
    below = zeta(tl.where(is_between, 1.0 - x, 1.0), n)
    if n % 2 == 1:
        value = factor * tl.where(is_between, near + far - below, near)
        value = tl.where(is_pole, float("inf"), value)
    else:
        signed = tl.where(offset < 0, far - near, near - far)
        value = -factor * tl.where(is_between, signed + below, near)
        value = tl.where(is_pole, float("-inf"), value)
    value = tl.where(x == float("inf"), 0.0, value)
    return tl.where((x == float("-inf")) | (x != x), float("nan"), value)
''',
}
