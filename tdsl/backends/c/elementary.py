"""Elementary functions of f32 as C that the compiler makes vectors of, inside the loop that calls them.

In: nothing. Out: `SINGLE`, bodies by name. Between: plain arithmetic without branches, for every compiler
and C library; NaN, infinities, signed zeros and subnormal numbers as in IEEE 754. A vector form of the C
library is called instead where there is one that is not slower. Coefficients are minimax fits (Lawson's
iteration on Chebyshev nodes), each rounded to f32 before the next ones are fitted; arguments are reduced
as in Cody and Waite, "Software Manual for the Elementary Functions", 1980. docs/accuracy.md has the bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

EXP = (
    "0x1.6a4ef0p-10f", "0x1.124334p-7f", "0x1.5558c0p-5f", "0x1.555486p-3f", "0x1.fffffcp-2f", "1.0f",
)  # fmt: skip
"""(e^r - 1) / r for r between -log(2) / 2 and log(2) / 2, the highest power first."""
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
TANH_NEAR = (
    "-0x1.67e4bep-8f", "0x1.4f0336p-6f", "-0x1.b7c188p-5f", "0x1.110382p-3f", "-0x1.555522p-2f",
)  # fmt: skip
"""(tanh(x) / x - 1) / x^2 as a polynomial of x^2, up to 0.65."""


def _polynomial(target: str, x: str, coefficients: Sequence[str]) -> str:
    """Statements that declare `target` as a polynomial of `x`, by Horner's rule."""
    first, *rest = coefficients
    lines = [f"float {target} = {first};", *(f"{target} = {target} * {x} + {c};" for c in rest)]
    return "\n    ".join(lines)


SINGLE: dict[str, str] = {
    "exp": f"""(float x) {{
    // 2^n e^r; n is added to the exponent, for small results after one step upwards, which is taken back.
    float near = -104.0f > x ? -104.0f : x;
    bool tiny = near < -87.0f;
    union {{ float value; uint32_t bits; }} n = {{near * 0x1.715476p+0f + 0x1.8p23f}}, y;
    uint32_t power = n.bits << 23;
    n.value -= 0x1.8p23f;
    float r = near - n.value * 0x1.62e400p-1f - n.value * 0x1.7f7d1cp-20f;
    {_polynomial("p", "r", EXP)}
    y.value = p * r + 1.0f;
    y.bits += power + (tiny ? 64u << 23 : 0u);
    y.value *= tiny ? 0x1p-64f : 1.0f;
    return x <= 0x1.62e42ep+6f ? y.value : x + INFINITY;
}}""",
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
    "tanh": f"""(float x) {{
#if TDSL_VECTORS >= 235
    return tanhf(x);
#else
    float y = x * x;
    {_polynomial("near", "y", TANH_NEAR)}
    near = x * (near * y) + x;
    float far = 1 - 2 / (exp_f32(2 * fabsf(x)) + 1);
    return fabsf(x) < 0.65f ? near : copysignf(far, x);
#endif
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
