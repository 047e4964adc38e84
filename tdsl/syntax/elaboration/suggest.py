"""Hints: the name that was meant, and how tdsl spells what NumPy and torch users type by habit."""

from __future__ import annotations

from difflib import get_close_matches

LIBRARIES = frozenset(("torch", "np", "numpy", "math", "jnp", "jax", "F", "nn", "tdsl"))
"""Names that stand for whole libraries in Python."""
FOREIGN_DTYPES = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "int8": "i8",
    "int16": "i16", "int32": "i32", "int64": "i64", "uint8": "u8", "float": "f32", "double": "f64",
    "half": "f16", "long": "i64", "int": "i64",
}  # fmt: skip
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
HABITS = {
    "pass": "leave the branch out",
    "break": "write a static `if` inside the loop",
    "continue": "write a static `if` inside the loop",
    "print": "a program has no effects; `tdsl run` prints results",
    "len": "an axis name is its size: write `N`",
    "size": "an axis name is its size: write `N`",
    "shape": "an axis name is its size: write `N`",
    "numel": "an axis name is its size: write `N * D`",
    "ndim": "the number of axes stands in the type",
    "dtype": "the dtype stands in the type: write `T`",
    "device": "a result lies where the arguments lie: drop it",
    "cuda": "a result lies where the arguments lie: drop it",
    "cpu": "a result lies where the arguments lie: drop it",
    "contiguous": "results are contiguous: drop it",
    "clone": "values never change: drop it",
    "copy": "values never change: drop it",
    "item": "a rank-0 value is a value: drop it",
    "detach": "write `stop_gradient(x)`",
    "view": "write `flatten(x, axes=(H, D))`, `unflatten(x, axis=E, sizes=(H, D))` or `reshape`",
    "expand_dims": "axes align by name: drop it, or write `unsqueeze(x, 0)`",
    "swapaxes": "write `transpose(x, 0, 1)`",
    "moveaxis": "write `permute(x, (N, D))`",
    "repeat": "axes align by name: drop it, or write `expand(x, N, D)`",
    "tile": "axes align by name: drop it, or write `expand(x, N, D)`",
    "hstack": "write `concat((x, y), axis=N)`",
    "vstack": "write `concat((x, y), axis=N)`",
    "bool": "write `x != 0`",
    "type": "write `cast(x, f32)`",
    "to": "write `cast(x, f32)`",
    "astype": "write `cast(x, f32)`",
    "dot": "write `dot(a, b, axis=K)`",
    "inner": "write `dot(a, b, axis=K)`",
    "matmul": "write `a @ b`",
    "mm": "write `a @ b`",
    "bmm": "write `a @ b`",
    "outer": "name the result's axes: `y[N, M] = a * b`",
    "gather": "write `take(x, index, axis=V)`",
    "index_select": "write `take(x, index, axis=V)`",
    "index_add": "write `scatter_add(values, index, axis=V)`",
    "masked_fill": "write `where(mask, value, x)`",
    "add": "write `a + b`",
    "sub": "write `a - b`",
    "subtract": "write `a - b`",
    "mul": "write `a * b`",
    "multiply": "write `a * b`",
    "div": "write `a / b`",
    "divide": "write `a / b`",
    "true_divide": "write `a / b`",
    "floor_divide": "write `a // b`",
    "equal": "write `a == b`",
    "eq": "write `a == b`",
    "ne": "write `a != b`",
    "not_equal": "write `a != b`",
    "lt": "write `a < b`",
    "le": "write `a <= b`",
    "gt": "write `a > b`",
    "ge": "write `a >= b`",
    "less": "write `a < b`",
    "greater": "write `a > b`",
    "bitwise_and": "write `a & b`",
    "bitwise_or": "write `a | b`",
    "bitwise_xor": "write `a ^ b`",
    "bitwise_not": "write `~a`",
    "signbit": "write `x < 0`",
    "hypot": "write `sqrt(a * a + b * b)`",
    "count_nonzero": "write `sum(x != 0)`",
    "full_like": "write `zeros_like(x) + value`",
    "empty": "write `zeros(N, D)`",
    "empty_like": "write `zeros_like(x)`",
    "diag": "write `diagonal(x)`, or `x * eye(N, M)` for a matrix",
    "cross": "write out its products of `x[0]`, `x[1]` and `x[2]`",
    "median": "there is no sorting yet",
    "mode": "there is no sorting yet",
    "sort": "there is no sorting yet",
    "rand": "there are no random numbers yet: pass them as an argument",
    "randn": "there are no random numbers yet: pass them as an argument",
    "dropout": "there are no random numbers yet: pass the mask as an argument",
    "window": "there are no sliding windows yet",
    "jvp": "there are no forward derivatives in the language yet: `vjp` and `grad` are backward ones",
    "vmap": "add the axis to the types: axes align by name",
    "mse_loss": "the library has `mse`",
    "scaled_dot_product_attention": "the library has `attention`",
}


def foreign_hint(text: str) -> str:
    """How tdsl spells a function, method or property of NumPy or torch; empty for other names."""
    if text in LIBRARIES:
        return f"built-ins stand alone: `exp(x)`, not `{text}.exp(x)`"
    if text in HABITS:
        return HABITS[text]
    return f"write `cast(x, {FOREIGN_DTYPES[text]})`" if text in FOREIGN_DTYPES else ""


def method_hint(text: str) -> str:
    """How tdsl spells a method or property of an array; empty for other names."""
    return "write `x.T`" if text == "t" else foreign_hint(text)


def dtype_hint(text: str) -> str:
    """How tdsl spells a dtype of NumPy or torch."""
    if text in FOREIGN_DTYPES:
        return f"the dtype is called {FOREIGN_DTYPES[text]}"
    return "a dtype variable begins with a capital letter"


def meant(text: str, known: list[str]) -> str:
    """A "did you mean" among the known names, or nothing."""
    swapped = next((n for n in known if len(n) == len(text) and sorted(n) == sorted(text)), "")
    cutoff = 0.8 if len(text) < 5 else 0.7
    near = [swapped] if swapped else get_close_matches(text, known, n=1, cutoff=cutoff)
    return f"did you mean `{near[0]}`?" if near else ""
