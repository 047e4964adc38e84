"""Dtypes: the concrete ones, variables, and terms over variables.

In: names from the source. Out: a `Dtype` (concrete), or a `DtypeVar`/`DtypeTerm` that becomes one when
`resolve` is given the variables' values.
Between: a term stands only where a variable does; with concrete arguments it is folded at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tdsl.errors import InternalError

Kind = Literal["bool", "int", "uint", "float"]


@dataclass(frozen=True, slots=True)
class Dtype:
    """A concrete dtype: its name in the language, its kind, and its width in bits."""

    name: str
    kind: Kind
    bits: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class DtypeVar:
    """A dtype variable of a signature, bound at the call; `is_float` if it can be nothing else."""

    name: str
    is_float: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class DtypeTerm:
    """A dtype function applied to dtypes of which one at least is not yet known."""

    function: Literal["compute", "promote", "accumulate"]
    args: tuple[AnyDtype, ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.args))})"


AnyDtype = Dtype | DtypeVar | DtypeTerm

BOOL = Dtype("bool", "bool", 8)
I8, I16, I32, I64 = (Dtype(f"i{bits}", "int", bits) for bits in (8, 16, 32, 64))
U8, U16, U32, U64 = (Dtype(f"u{bits}", "uint", bits) for bits in (8, 16, 32, 64))
F16 = Dtype("f16", "float", 16)
BF16 = Dtype("bf16", "float", 16)
F32 = Dtype("f32", "float", 32)
F64 = Dtype("f64", "float", 64)

DTYPES: dict[str, Dtype] = {
    d.name: d for d in (BOOL, I8, I16, I32, I64, U8, U16, U32, U64, F16, BF16, F32, F64)
}


def item_bytes(dtype: AnyDtype) -> int:
    """The bytes of an element in memory. InternalError: the dtype is not concrete."""
    if not isinstance(dtype, Dtype):
        raise InternalError(f"{dtype} is not concrete")
    return dtype.bits // 8


def compute(dtype: AnyDtype) -> AnyDtype:
    """The dtype that arithmetic on `dtype` is done in: f32 for the storage types f16 and bf16."""
    if isinstance(dtype, Dtype):
        return F32 if dtype in (F16, BF16) else dtype
    if isinstance(dtype, DtypeTerm) and dtype.function != "promote":
        return dtype
    if isinstance(dtype, DtypeTerm) and all(compute(arg) == arg for arg in dtype.args):
        return dtype
    return DtypeTerm("compute", (dtype,))


def accumulate(dtype: AnyDtype) -> AnyDtype:
    """The dtype of `sum`, `prod` and `cumsum`: i64 or u64 for integers and bools, else the compute type."""
    if isinstance(dtype, Dtype):
        if dtype.kind == "float":
            return compute(dtype)
        return U64 if dtype.kind == "uint" else I64
    if is_floating(dtype):
        return compute(dtype)
    if isinstance(dtype, DtypeTerm) and dtype.function == "accumulate":
        return dtype
    return DtypeTerm("accumulate", (dtype,))


def promote(a: AnyDtype, b: AnyDtype) -> AnyDtype | None:
    """The common dtype by the array API's table (f16 with bf16: f32; integers with floats: the float).

    None where there is none: u64 with a signed integer.
    """
    if a == b:
        return a
    if isinstance(a, Dtype) and isinstance(b, Dtype):
        return _promote_concrete(a, b)
    first, second = sorted((a, b), key=str)
    return DtypeTerm("promote", (first, second))


def resolve(dtype: AnyDtype, values: Mapping[str, AnyDtype]) -> AnyDtype:
    """The dtype with variables replaced, folded where everything is known."""
    match dtype:
        case Dtype():
            return dtype
        case DtypeVar(name):
            return values.get(name, dtype)
        case DtypeTerm("promote", (a, b)):
            result = promote(resolve(a, values), resolve(b, values))
            if result is None:
                raise ValueError(f"{dtype} has no common dtype")
            return result
        case DtypeTerm(function, (a,)):
            fold = compute if function == "compute" else accumulate
            return fold(resolve(a, values))
    raise ValueError(f"malformed dtype {dtype}")


def variables(dtype: AnyDtype) -> frozenset[str]:
    """The names of the dtype variables in `dtype`."""
    match dtype:
        case DtypeVar(name):
            return frozenset((name,))
        case DtypeTerm(_, args):
            return frozenset().union(*(variables(arg) for arg in args))
    return frozenset()


def may_be_float(dtype: AnyDtype) -> bool:
    """Whether values of the dtype can carry a gradient (a variable can)."""
    return not isinstance(dtype, Dtype) or dtype.kind == "float"


def is_floating(dtype: AnyDtype) -> bool:
    """Whether values of the dtype are floating whatever its variables are."""
    match dtype:
        case Dtype(kind=kind):
            return kind == "float"
        case DtypeVar(is_float=is_float):
            return is_float
        case DtypeTerm(args=args):
            return any(map(is_floating, args))
    return False


def _promote_concrete(a: Dtype, b: Dtype) -> Dtype | None:
    if a.kind == b.kind:
        if a.bits == b.bits:
            return F32
        return a if a.bits > b.bits else b
    for kind in ("float", "int", "uint"):
        if kind in (a.kind, b.kind):
            strong, weak = (a, b) if a.kind == kind else (b, a)
            if kind == "int" and weak.kind == "uint":
                return _promote_signed(strong, weak)
            return strong
    return None


def _promote_signed(signed: Dtype, unsigned: Dtype) -> Dtype | None:
    if unsigned.bits == 64:
        return None
    return signed if signed.bits > unsigned.bits else DTYPES[f"i{unsigned.bits * 2}"]
