"""Elementary functions of f32 as C that the compiler makes vectors of, inside the loop that calls them.

In: nothing. Out: `SINGLE`, bodies by name. Between: plain arithmetic without branches, for every compiler
and C library; NaN, infinities, signed zeros and subnormal numbers as in IEEE 754. Coefficients are
minimax fits (Lawson's iteration on Chebyshev nodes), each rounded to f32 before the next ones are fitted;
arguments are reduced as in Cody and Waite, "Software Manual for the Elementary Functions", 1980.
docs/accuracy.md has the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

EXP = ("0x1.0fa15cp-7f", "0x1.573ad8p-5f", "0x1.555a7ep-3f", "0x1.fffdc4p-2f", "0x1.fffff6p-1f")
"""(e^r - 1) / r for r between -log(2) / 2 and log(2) / 2, the highest power first."""
EXPM1 = (
    "0x1.6a4ce4p-10f", "0x1.123988p-7f", "0x1.5558b0p-5f", "0x1.555492p-3f", "0x1.fffffcp-2f", "1.0f",
)  # fmt: skip
"""The same with one power more, for what is near 0."""
LOG = (
    "0x1.645dacp-4f", "-0x1.242fb2p-3f", "0x1.317300p-3f", "-0x1.5382a6p-3f", "0x1.98d824p-3f",
    "-0x1.000380p-2f", "0x1.5556d8p-2f", "-0.5f",
)  # fmt: skip
"""(log(1 + f) - f) / f^2 for 1 + f between sqrt(1 / 2) and sqrt(2)."""
ERF_NEAR = (
    "-0x1.26a340p-11f", "0x1.421a3ap-8f", "-0x1.b59a8ep-6f", "0x1.ce0890p-4f", "-0x1.812670p-2f",
    "0x1.06eba2p-3f",
)  # fmt: skip
"""erf(x) / x - 1 as a polynomial of x^2, up to 1."""
ERF_FAR = (
    "0x1.39c45ep-13f", "-0x1.43641ap-9f", "0x1.a735fap-7f", "-0x1.73ec28p-7f", "-0x1.f7707cp-5f",
    "-0x1.290becp-3f", "0x1.003664p+0f",
)  # fmt: skip
"""The eighth root of 1 - erf(x) between 1 and 3.95, from where on erf is 1 in f32."""


def _polynomial(target: str, x: str, coefficients: Sequence[str]) -> str:
    """Statements that declare `target` as a polynomial of `x`, by Horner's rule."""
    first, *rest = coefficients
    lines = [f"float {target} = {first};", *(f"{target} = {target} * {x} + {c};" for c in rest)]
    return "\n    ".join(lines)


def _exp(result: str) -> str:
    """The power of e by way of `y` and `rest`, whose product it is for x between -174 and 174."""
    return f"""(float x) {{
    // 2^n e^r, with 2^n in two halves, since alone it may be no ordinary number.
    union {{ float value; uint32_t bits; }} n = {{x * 0x1.715476p+0f + 0x1.8p23f}}, y, rest;
    uint32_t half = n.bits << 22 & 0xff800000u;
    rest.bits = (n.bits << 23) - half + 0x3f800000u;
    n.value -= 0x1.8p23f;
    float r = x - n.value * 0x1.62e400p-1f - n.value * 0x1.7f7d1cp-20f;
    {_polynomial("p", "r", EXP)}
    y.value = p * r + 1.0f;
    y.bits += half;
    {result}
}}"""


SINGLE: dict[str, str] = {
    "exp": _exp("""y.value = x < -174.0f ? 0.0f : y.value * rest.value;
    return x < 174.0f ? y.value : x + INFINITY;"""),
    "exp_nonpositive": _exp("return x < -174.0f ? 0.0f : y.value * rest.value + (r - r);"),
    "log": f"""(float x) {{
    // log(2^n (1 + f)); subnormal numbers are scaled first.
    bool tiny = x < 0x1p-126f;
    union {{ float value; uint32_t bits; }} all = {{x}}, part = {{tiny ? x * 0x1p23f : x}};
    uint32_t power = (part.bits - 0x3f3504f3u) & 0xff800000u;
    part.bits -= power;
    float n = (float)(int32_t)(power - (tiny ? 23u << 23 : 0u));
    float f = part.value - 1.0f;
    {_polynomial("p", "f", LOG)}
    float y = p * f * f + f + n * 0x1.62e430p-24f;
    bool ordinary = all.bits - 1u < 0x7f7fffffu;
    all.bits |= (uint32_t)((int32_t)all.bits >> 31);
    all.value = x == 0 ? -INFINITY : all.value;
    return ordinary ? y : all.value;
}}""",
    "log1p": f"""(float x) {{
    // log(2^n (1 + f)), where f = (x + 1) 2^-n - 1 is put together without rounding x + 1.
    union {{ float value; uint32_t bits; }} all = {{1.0f + x}}, scale;
    uint32_t power = (all.bits - 0x3f3504f3u) & 0xff800000u;
    scale.bits = 0x40800000u - power;
    scale.value *= 0.25f;
    float n = (float)(int32_t)(0u - power);
    float f = x * scale.value - (1.0f - scale.value);
    {_polynomial("p", "f", LOG)}
    float y = p * f * f + f - n * 0x1.62e430p-24f;
    bool ordinary = all.bits - 1u < 0x7f7fffffu;
    all.bits |= (uint32_t)((int32_t)all.bits >> 31);
    all.value = x == -1 ? -INFINITY : all.value;
    return ordinary ? y : all.value;
}}""",
    "log1p_unit": f"""(float x) {{
    // From 0 to 1; the upper part as log(2 (1 + f)).
    bool upper = x > 0x1.a82798p-2f;
    float f = upper ? x * 0.5f - 0.5f : x;
    {_polynomial("p", "f", LOG)}
    return p * f * f + f + (upper ? 0x1.62e430p-1f : 0.0f);
}}""",
    "tanh": f"""(float x) {{
    // -m / (2 + m) for m = 2^n e^r - 1 = e^(-2 |x|) - 1.
    float far = fabsf(x), near = -2.0f * (9.5f < far ? 9.5f : far);
    union {{ float value; uint32_t bits; }} n = {{near * 0x1.715476p+0f + 0x1.8p23f}}, power;
    power.bits = (n.bits << 23) + 0x3f800000u;
    n.value -= 0x1.8p23f;
    float r = near - n.value * 0x1.62e430p-1f;
    {_polynomial("p", "r", EXPM1)}
    float m = p * r * power.value + (power.value - 1.0f);
    return copysignf(m / (2.0f + m), x);
}}""",
    "erf": f"""(float x) {{
    float y = x * x, size = fabsf(x);
    {_polynomial("near", "y", ERF_NEAR)}
    near = x * near + x;
    size = 3.95f < size ? 3.95f : size;
    {_polynomial("root", "size", ERF_FAR)}
    root *= root;
    root *= root;
    float far = 1 - root * root;
    return size < 1 ? near : copysignf(far, x);
}}""",
}
