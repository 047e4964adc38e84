"""The inverse error function and the gamma function's family as C functions.

In: nothing. Out: `GAMMAS`, templates by name, computed in f64. Between: the formulas, fits and their
sources are those of `tdsl.ops.special`.
"""

from __future__ import annotations

from math import factorial

from tdsl.ops.special import fits
from tdsl.ops.special.fits import Fit
from tdsl.ops.special.series import BERNOULLI


def _fit(target: str, x: str, fit: Fit) -> str:
    """Statements that set `target` to a fit at `x`."""
    scaled = f"({x} - {(fit.lo + fit.hi) / 2!r}) * {2 / (fit.hi - fit.lo)!r}"
    first, *rest = reversed(fit.coefficients)
    lines = [f"t = {scaled};", f"{target} = {first!r};"]
    lines += [f"{target} = {target} * t + {c!r};" for c in rest]
    return "\n    ".join(lines)


_SERIES = [float(b / (2 * k)) for k, b in enumerate(BERNOULLI[:10], 1)]
_POLYNOMIAL = "\n    ".join(f"rest = rest * square + {c!r};" for c in reversed(_SERIES[:-1]))
_TERMS: list[str] = []
for _k, _b in enumerate(BERNOULLI, 1):
    _TERMS.append(f"rest += term * {float(_b / factorial(2 * _k))!r};")
    _TERMS.append(f"term *= ({2.0 * _k} + n) * ({2.0 * _k + 1} + n) * inverse * inverse;")
_EULER_MACLAURIN = "\n    ".join(_TERMS[:-1])

GAMMAS: dict[str, str] = {
    "erfinv": f"""({{T}} given) {{{{
    double x = given, size = fabs(x), s = sqrt(-log(1 - size));
    double t, centre, middle, tail;
    {_fit("centre", "x * x", fits.ERFINV_CENTRE)}
    {_fit("middle", "s", fits.ERFINV_MIDDLE)}
    {_fit("tail", "s", fits.ERFINV_TAIL)}
    double outer = copysign(s < {fits.ERFINV_TAIL.lo!r} ? middle : tail, x);
    double inside = size < 0.5 ? x * centre : outer;
    return ({{T}})(size < 1 ? inside : size == 1 ? x * INFINITY : NAN);
}}}}""",
    "lgamma": """({T} x) {{
    int sign;
    return lgamma{s}_r(x, &sign);
}}""",
    "digamma": f"""({{T}} given) {{{{
    double x = given, y = x < 0 ? 1 - x : x, total = 0;
    for (int k = 0; k < 8; k++) {{{{
        total -= y < 8 ? 1 / y : 0;
        y = y < 8 ? y + 1 : y;
    }}}}
    double inverse = 1 / y, square = inverse * inverse, rest = {_SERIES[-1]!r};
    {_POLYNOMIAL}
    total += log(y) - 0.5 * inverse - square * rest;
    double offset = x - rint(x);
    double mirrored = total - 3.141592653589793 / tan(3.141592653589793 * offset);
    total = x < 0 ? (offset == 0 ? NAN : mirrored) : total;
    total = x == INFINITY ? x : total;
    return ({{T}})(x == 0 ? -1 / x : total);
}}}}""",
    "zeta": f"""({{T}} given, int n) {{{{
    // The sum of (x + k) ** -(n + 1) over all k >= 0, for x > 0.
    double x = given, total = 0, power = -(n + 1.0);
    for (int k = 0; k < 10; k++) total += pow(x + k, power);
    double first = x + 10, inverse = 1 / first, rest = first / n + 0.5, term = (n + 1.0) * inverse;
    {_EULER_MACLAURIN}
    return total + pow(first, power) * rest;
}}}}""",
    "polygamma": """({T} given, int n) {{
    double x = given, factor = 1, offset = x - rint(x), distance = fabs(offset), value;
    for (int k = 2; k <= n; k++) factor *= k;
    bool is_pole = x <= 0 && offset == 0, is_between = x < 0 && offset != 0;
    double near = zeta_f64(is_between ? distance : x > 0 ? x : 1, n);
    double far = zeta_f64(is_between ? 1 - distance : 1, n);
    double below = zeta_f64(is_between ? 1 - x : 1, n);
    if (n % 2 == 1) {{
        value = is_pole ? INFINITY : factor * (is_between ? near + far - below : near);
    }} else {{
        double mirrored = offset < 0 ? far - near : near - far;
        value = is_pole ? -INFINITY : -factor * (is_between ? mirrored + below : near);
    }}
    value = x == INFINITY ? 0 : value;
    return ({T})(x == -INFINITY || x != x ? NAN : value);
}}""",
}
