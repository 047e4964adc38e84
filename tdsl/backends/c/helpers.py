"""Small C functions that generated kernels call, each printed into the files that need it.

In: the text of kernels. Out: the helpers that it calls, as text. Between: a helper's name ends with the
dtype that it is for; semantics are the language's: NaN is the largest and the smallest value, integer
division by 0 gives 0, casts saturate, rounding is to nearest, ties to even.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from tdsl.backends.c.elementary import SINGLE
from tdsl.backends.c.gammas import GAMMAS
from tdsl.backends.c.literals import c_type, kind_of, literal, suffix
from tdsl.ir.dtype import DTYPES, F32, F64, Dtype
from tdsl.ops import integer_bounds

MATH = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "sin", "cos", "tan", "asin",
    "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc",
    "pow",
]  # fmt: skip
BINARY = ("atan2", "pow")
ALONE = "cos"
"""What the compiler otherwise joins with the sine of the same number to a call without a vector form."""
OLDEST = ("exp", "log", "sin", "cos", "pow")
"""Functions of which the C library has had a vector form since 2.22; of the others since 2.35."""

FLOAT = {
    "larger": """({T} a, {T} b) {{
    // Beside a constant one comparison tells NaN, too.
    return (__builtin_constant_p(b) && b == b ? !(a <= b) : a > b || a != a) ? a : b;
}}""",
    "smaller": """({T} a, {T} b) {{
    return (__builtin_constant_p(b) && b == b ? !(a >= b) : a < b || a != a) ? a : b;
}}""",
    "sign": "({T} x) {{ return x > 0 ? ({T})1 : x < 0 ? ({T})-1 : x; }}",
    "remainder": """({T} x, {T} y) {{
    {T} rest = fmod{s}(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}}""",
    "floordiv": """({T} x, {T} y) {{
    // From the exact remainder, so that the quotient does not round up.
    {T} rest = fmod{s}(x, y);
    {T} quotient = (x - rest) / y;
    quotient = rest != 0 && (rest < 0) != (y < 0) ? quotient - 1 : quotient;
    {T} whole = floor{s}(quotient);
    whole = quotient - whole > ({T})0.5 ? whole + 1 : whole;
    return y == 0 ? x / y : quotient == 0 ? x / y * 0 : whole;
}}""",
    "log_add_exp": """({T} a, {T} b) {{
    {T} high = larger_{t}(a, b), low = smaller_{t}(a, b);
    return high == low ? high + ({T})0.6931471805599453 : high + log1p_{t}(exp_{t}(low - high));
}}""",
    "finite_or_zero": "({T} x) {{ return fabs{s}(x) == INFINITY ? 0 : x; }}",
    "powers_about": """(double total, {T} reference) {{
    // A sum of powers of a - reference, from that of a - finite_or_zero(reference).
    double far = reference > 0 ? total * 0 : total * INFINITY;
    return ({T})(fabs{s}(reference) == INFINITY ? far : total);
}}""",
    "squares_within": """({T} squares, {T} off, {T} count) {{
    // Squares about the mean, from those about a number near it, and the sum of what is off it.
    {T} rest = squares - off * off / count;
    return rest < 0 ? 0 : rest;
}}""",
    "squares_between": """({T} total, {T} seen, {T} mean, {T} count) {{
    // What the distance of the means of two parts adds to the squares about their own.
    {T} apart = mean - total / seen;
    return seen > 0 ? apart * apart * (seen * (count / (seen + count))) : 0;
}}""",
    "squares_about": """(double squares, double total, double count, double pivot, {T} reference) {{
    // Squares about a reference, from those about the mean, of which total / count is the way from pivot.
    double apart = count > 0 ? total / count - (reference - pivot) : 0;
    return ({T})(squares + count * (apart * apart));
}}""",
} | GAMMAS
ALWAYS = "static inline __attribute__((always_inline))"
"""What a loop calls becomes part of it, else the loop does not become vectors."""
SEPARATE = ("squares_about",)
"""Functions that take a value as it is rounded: inlined, a product and a difference would be one step."""
INTEGER = {
    "larger": "({T} a, {T} b) {{ return a > b ? a : b; }}",
    "smaller": "({T} a, {T} b) {{ return a < b ? a : b; }}",
    "sign": "({T} x) {{ return ({T})((x > 0) - (x < 0)); }}",
    "fmod": """({T} x, {T} y) {{
    // The smallest number by -1 would trap.
    return y == 0 || y == ({T})-1 ? (y == 0 || {is_signed} ? 0 : x % y) : x % y;
}}""",
    "remainder": """({T} x, {T} y) {{
    {T} rest = fmod_{t}(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}}""",
    "floordiv": """({T} x, {T} y) {{
    if (y == 0) return 0;
    if ({is_signed} && y == ({T})-1) return ({T})-x;
    {T} rest = x % y;
    return x / y - (rest != 0 && (rest < 0) != (y < 0));
}}""",
    "pow": """({T} x, {T} y) {{
    // Wraps; a negative exponent truncates towards 0.
    if ({is_signed} && y < 0) return x == 1 || x == ({T})-1 ? (y & 1 ? x : 1) : 0;
    {T} result = 1;
    for (; y > 0; y >>= 1, x *= x)
        if (y & 1) result *= x;
    return result;
}}""",
    "shift_left": "({T} x, {T} y) {{ return y >= 0 && y < {bits} ? ({T})(x << y) : 0; }}",
    "shift_right": (
        "({T} x, {T} y) {{ return y >= 0 && y < {bits} ? ({T})(x >> y) : ({T})(x < 0 ? -1 : 0); }}"
    ),
}
ASKING = """static inline void {name}(const void *from, int64_t bytes) {{
    // {why}
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch((const char *)from + line{how});
}}
"""
ASKED = (
    ("fetch", "What will be read soon; an address beyond the end does no harm.", ""),
    ("fetch_far", "The same into the cache behind the nearest one, which has no room for it.", ", 0, 2"),
    ("claim", "What will be written soon: its old values are on the way. An address beyond the end "
     "does no harm.", ", 1"),
)  # fmt: skip
"""What asks memory for lines: the name, why, and what the compiler is told of the use."""
SATURATED = """static inline {T} to_{t}(double x) {{
    // Truncated, saturated; 0 for NaN.
    return x >= {above} ? {high} : x <= {below} ? {low} : x != x ? 0 : ({T})x;
}}
"""
CONVERSIONS = {
    "bf16_to_f32": """static inline float bf16_to_f32(uint16_t x) {
    union { uint32_t bits; float value; } wide = {(uint32_t)x << 16};
    return wide.value;
}
""",
    "f32_to_bf16": """static inline uint16_t f32_to_bf16(float x) {
    union { float value; uint32_t bits; } wide = {x};
    uint32_t rounded = wide.bits + 0x7fff + (wide.bits >> 16 & 1);
    return (uint16_t)((x != x ? wide.bits | 0x400000 : rounded) >> 16);
}
""",
    "f16_to_f32": """static inline float f16_to_f32(uint16_t x) {
    // The exponent's bias is raised by a product, which is exact for subnormal numbers too.
    union { uint32_t bits; float value; } wide = {(uint32_t)(x & 0x7fff) << 13};
    wide.value *= 0x1p112f;
    wide.bits |= (x & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    wide.bits |= (uint32_t)(x & 0x8000) << 16;
    return wide.value;
}
""",
    "f32_to_f16": """static inline uint16_t f32_to_f16(float x) {
    union { float value; uint32_t bits; } wide = {x}, small;
    uint32_t sign = wide.bits >> 16 & 0x8000;
    wide.bits &= 0x7fffffff;
    // Adding one half leaves a subnormal number's bits at the end.
    small.value = wide.value + 0.5f;
    uint32_t normal = (wide.bits - 0x38000000 + 0xfff + (wide.bits >> 13 & 1)) >> 13;
    uint32_t half = wide.bits < 0x38800000 ? small.bits - 0x3f000000 : normal;
    half = wide.bits >= 0x47800000 ? 0x7c00 : half;
    half = wide.bits > 0x7f800000 ? 0x7e00 : half;
    return (uint16_t)(sign | half);
}
""",
    "f64_to_f16": """static inline uint16_t f64_to_f16(double x) {
    // Rounded to odd in f32, so that the second rounding is the only one.
    float near = (float)x;
    union { float value; uint32_t bits; } wide = {near};
    double error = x - (double)near;
    if (error != 0 && near - near == 0 && !(wide.bits & 1)) {
        if ((error > 0) != (near > 0)) wide.bits -= 1;
        wide.bits |= 1;
    }
    return f32_to_f16(wide.value);
}
""",
}


@cache
def functions() -> frozenset[str]:
    """What kernels may call, so that no value may have such a name."""
    own = [*MATH, "sqrt", "fabs", "floor", "ceil", "trunc", "rint", "fmod", "copysign", "lgamma_r"]
    return frozenset([*own, *(f"{name}f" for name in own), *(name for name, _ in _helpers())])


def helper_text(body: str) -> str:
    """The helpers that a text calls, and what they call, in a fixed order."""
    known = dict(_helpers())
    found: set[str] = set()
    waiting = _named(body) & known.keys()
    while waiting:
        found |= waiting
        waiting = (
            set[str]().union(*(_named(known[name]) & known.keys() for name in waiting)) - found
        )
    return "\n".join(known[name] for name in known if name in found)


def vector_functions(body: str) -> str:
    """Prototypes that say which functions of the C library have vector forms."""
    words = _named(body)
    called = [
        (f, t, s) for f in MATH for t, s in (("float", "f"), ("double", "")) if f + s in words
    ]
    lines = []
    for old in (True, False):
        own = [row for row in called if (row[0] in OLDEST) == old]
        if own:
            lines.append(f"#if TDSL_VECTORS >= {222 if old else 235}")
            for function, type_, end in own:
                arguments = ", ".join([type_] * (2 if function in BINARY else 1))
                lines += _vector(type_, function + end, arguments)
            lines.append("#endif")
    return "\n".join(lines) + "\n" if lines else ""


def _vector(type_: str, name: str, arguments: str) -> list[str]:
    """A prototype; of what must stay alone under a name that the compiler does not know."""
    if name.rstrip("f") != ALONE:
        return [f"VECTOR {type_} {name}({arguments});"]
    prototype = f"VECTOR {type_} {name}_alone({arguments})"
    return [f'{prototype} __asm__("{name}");', f"#define {name} {name}_alone"]


def reductions(body: str) -> str:
    """OpenMP's names for extrema of floats: its own begin at the largest finite number in clang."""
    lines = []
    for dtype in (F32, F64):
        for name, sign, start in (("greatest", ">", "-INFINITY"), ("least", "<", "INFINITY")):
            full = f"{name}_{dtype}"
            if f"reduction({full} :" in body:
                lines.append(
                    f"#pragma omp declare reduction({full} : {c_type(dtype)} : "
                    f"omp_out = omp_in {sign} omp_out ? omp_in : omp_out) "
                    f"initializer(omp_priv = {start})\n"
                )
    return "".join(lines)


def _named(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Za-z_]\w*\b", text))


def _helpers() -> Iterator[tuple[str, str]]:
    """Every helper, those that others call first."""
    for name, why, how in ASKED:
        yield name, ASKING.format(name=name, why=why, how=how)
    yield from CONVERSIONS.items()
    for name, body in SINGLE.items():
        yield f"{name}_f32", f"{ALWAYS} float {name}_f32{body}\n"
        if name in MATH:
            yield f"{name}_f64", f"{ALWAYS} double {name}_f64(double x) {{ return {name}(x); }}\n"
    for dtype in (F64, F32):
        yield from _templates(FLOAT, dtype)
    for dtype in DTYPES.values():
        if kind_of(dtype) in ("int", "uint"):
            yield from _templates(INTEGER, dtype)
            low, high = integer_bounds(dtype)
            known = {
                "T": c_type(dtype), "t": str(dtype), "low": literal(low, dtype),
                "high": literal(high, dtype), "above": f"{float(high + 1)!r}",
                "below": f"{float(low)!r}",
            }  # fmt: skip
            yield f"to_{dtype}", SATURATED.format(**known)


def _templates(templates: dict[str, str], dtype: Dtype) -> Iterable[tuple[str, str]]:
    known = {
        "T": c_type(dtype), "t": str(dtype), "s": suffix(dtype), "bits": dtype.bits,
        "is_signed": int(kind_of(dtype) == "int"),
    }  # fmt: skip
    for name, template in templates.items():
        kind = "__attribute__((noinline))" if name in SEPARATE else "inline"
        head = f"static {kind} {c_type(dtype)} {name}_{dtype}"
        yield f"{name}_{dtype}", f"{head}{template.format(**known)}\n"
