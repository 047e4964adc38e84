"""Hints: the name that was meant, and how tdsl spells what NumPy and torch users type by habit."""

from __future__ import annotations

from difflib import get_close_matches

FOREIGN_NAMES = {
    "torch": "built-ins stand alone: `exp(x)`, not `torch.exp(x)`",
    "np": "built-ins stand alone: `exp(x)`, not `np.exp(x)`",
    "numpy": "built-ins stand alone: `exp(x)`, not `numpy.exp(x)`",
    "math": "built-ins stand alone: `sqrt(2.0)`",
    "jnp": "built-ins stand alone: `exp(x)`, not `jnp.exp(x)`",
    "F": "built-ins stand alone: `softmax(x, axis=D)`",
    "float32": "the dtype is called f32",
    "float64": "the dtype is called f64",
    "float16": "the dtype is called f16",
    "bfloat16": "the dtype is called bf16",
    "int32": "the dtype is called i32",
    "int64": "the dtype is called i64",
    "uint8": "the dtype is called u8",
    "print": "a program has no effects; `tdsl run` prints results",
    "len": "an axis name is its size: write `N`",
}
FOREIGN_KEYWORDS = {
    "dim": "write `axis=`",
    "dims": "write `axis=`",
    "axes": "write `axis=`",
    "keepdim": "axes align by name: drop keepdim",
    "keepdims": "axes align by name: drop keepdims",
    "unbiased": "write `correction=1`",
    "ddof": "write `correction=`",
    "device": "a result lies where the arguments lie: drop device",
}
FOREIGN_METHODS = {
    "view": "write `flatten(x, axes=(H, D))`, `unflatten(x, axis=E, sizes=(H, D))` or `reshape`",
    "size": "an axis name is its size: write `N`",
    "shape": "an axis name is its size: write `N`",
    "float": "write `cast(x, f32)`",
    "half": "write `cast(x, f16)`",
    "long": "write `cast(x, i64)`",
    "to": "write `cast(x, dtype)`",
    "type": "write `cast(x, dtype)`",
    "astype": "write `cast(x, dtype)`",
    "detach": "write `stop_gradient(x)`",
    "contiguous": "results are contiguous: drop it",
    "item": "a rank-0 value is a value: drop it",
    "t": "write `x.T`",
    "dot": "write `dot(a, b, axis=K)`",
    "mm": "write `a @ b`",
    "matmul": "write `a @ b`",
    "bmm": "write `a @ b`",
    "gather": "write `take(x, index, axis=V)`",
    "index_select": "write `take(x, index, axis=V)`",
    "masked_fill": "write `where(mask, value, x)`",
}


def foreign_hint(text: str) -> str:
    """How tdsl spells a name of NumPy or torch; empty for other names."""
    return FOREIGN_NAMES.get(text, "")


def meant(text: str, known: list[str]) -> str:
    """A "did you mean" among the known names, or nothing."""
    near = get_close_matches(text, known, n=1, cutoff=0.7)
    return f"did you mean `{near[0]}`?" if near else ""
