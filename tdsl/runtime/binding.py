"""From the arguments of a call to dtypes, ranks of packs, sizes: pure, and checked before anything runs.

In: a Signature and Python arguments. Out: `Arguments` (arrays and static values by parameter), then the
sizes of every axis name. Raises TdslError that names the parameter, the axis and both sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl import faults
from tdsl.ir.dtype import DTYPES, F32, I64, Dtype
from tdsl.ir.function import Check, Function
from tdsl.ir.size import Size
from tdsl.syntax import ast
from tdsl.syntax.elaboration.entry import Parameter, Signature, Static
from tdsl.syntax.elaboration.types import expr_text, is_pack

Array = NDArray[Any]
NAMES: dict[str, Dtype] = {
    **{f"int{b}": DTYPES[f"i{b}"] for b in (8, 16, 32, 64)},
    **{f"uint{b}": DTYPES[f"u{b}"] for b in (8, 16, 32, 64)},
    **{f"float{b}": DTYPES[f"f{b}"] for b in (16, 32, 64)},
    "bfloat16": DTYPES["bf16"],
    "bool": DTYPES["bool"],
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a call gives: tensors (optional ones that are None left out) and static values."""

    tensors: Mapping[str, Any]
    statics: Mapping[str, Static]


def bind(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
    """Arguments by parameter, as Python binds them."""
    parameters = signature.parameters
    if len(args) > len(parameters):
        raise _argument(
            f"`{signature.name}` takes {len(parameters)} arguments, not {len(args)}", signature
        )
    given: dict[str, Any] = {p.name: a for p, a in zip(parameters, args, strict=False)}
    names = {p.name for p in parameters}
    for name, value in kwargs.items():
        if name not in names:
            raise _argument(f"`{signature.name}` has no parameter `{name}`", signature)
        if name in given:
            raise _argument(f"`{name}` is given twice", signature)
        given[name] = value
    tensors: dict[str, Any] = {}
    statics: dict[str, Static] = {}
    for parameter in parameters:
        name = parameter.name
        if name not in given:
            if parameter.default is None:
                raise _argument(f"`{signature.name}` needs the argument `{name}`", signature)
            if parameter.is_tensor and not parameter.is_optional:
                tensors[name] = _default(parameter)
        elif not parameter.is_tensor:
            statics[name] = _static(given[name])
        elif given[name] is not None:
            tensors[name] = given[name]
        elif not parameter.is_optional:
            raise faults.NOT_TENSOR.at(name=name, found="None")
    return Arguments(tensors, statics)


def _argument(message: str, signature: Signature) -> Exception:
    return faults.CALL_ARGUMENT.at(message=message, hint=f"it is `{signature.text}`")


def _default(parameter: Parameter) -> bool | int | float:
    """A rank-0 tensor's default, which is a literal."""
    match parameter.default:
        case ast.Number(value=value) | ast.Boolean(value=value):
            return value
        case ast.Unary(op="-", value=ast.Number(value=value)):
            return -value
    raise faults.CALL_ARGUMENT.at(message=f"`{parameter.name}` needs a value")


def _static(value: Any) -> Static:
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, np.generic):
        item: Static = value.item()
        return item
    return value  # type: ignore[no-any-return]


def as_array(name: str, value: Any) -> Array | bool | int | float:
    """A NumPy array of an argument, without a copy; numbers stay as they are."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    if isinstance(value, np.ma.MaskedArray):
        raise faults.NOT_TENSOR.at(
            name=name, found="a masked array", hint="fill it with `.filled(value)`"
        )
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    if hasattr(value, "__dlpack__"):
        array: Array = np.from_dlpack(value)
        return array
    raise faults.NOT_TENSOR.at(
        name=name, found=f"a {type(value).__name__}", hint="write `np.asarray(...)`"
    )


def ranks(signature: Signature, arrays: Mapping[str, Any]) -> dict[str, int]:
    """How many axes each pack stands for. Raises TdslError for a wrong number of axes."""
    found: dict[str, int] = {}
    for parameter in signature.parameters:
        if parameter.name not in arrays:
            continue
        pack = parameter.pack
        fixed = sum(not is_pack(item) for item in parameter.items)
        extra = np.ndim(arrays[parameter.name]) - fixed
        if extra < 0 or (pack is None and extra) or found.get(pack or "", extra) != extra:
            raise faults.CALL_RANK.at(
                name=parameter.name, expected=type_text(parameter),
                found=np.ndim(arrays[parameter.name]),
            )  # fmt: skip
        if pack is not None:
            found[pack] = extra
    return found


def type_text(parameter: Parameter) -> str:
    """A parameter's type as the source writes it."""
    inside = ", ".join(
        "..." if isinstance(i, ast.Ellipsis) else expr_text(i) for i in parameter.items
    )
    return f"{parameter.dtype}[{inside}]" if parameter.items else parameter.dtype


def dtypes(signature: Signature, arrays: Mapping[str, Any]) -> dict[str, Dtype]:
    """The dtype of each variable. Raises TdslError where an array's is another."""
    found: dict[str, Dtype] = {}
    numbers: list[Parameter] = []
    for parameter in signature.parameters:
        if parameter.name not in arrays:
            continue
        value = arrays[parameter.name]
        if isinstance(value, bool | int | float):
            numbers.append(parameter)
            continue
        dtype = NAMES.get(str(value.dtype))
        wanted = DTYPES.get(parameter.dtype) or found.get(parameter.dtype)
        if dtype is None or (wanted is not None and dtype != wanted):
            raise faults.CALL_DTYPE.at(
                name=parameter.name, expected=wanted or "a numeric array",
                found=dtype or value.dtype, hint="convert it with `.astype(...)`",
            )  # fmt: skip
        if parameter.dtype not in DTYPES:
            found[parameter.dtype] = dtype
    for parameter in numbers:
        if parameter.dtype not in DTYPES:
            is_float = isinstance(arrays[parameter.name], float)
            found.setdefault(parameter.dtype, F32 if is_float else I64)
    return found


def solve(function: Function, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The value of every size name, from equations linear in one unknown name, solved in turn."""
    sizes: dict[str, int] = {}
    open_ = [
        (param.name, size, actual)
        for param in function.params
        for size, actual in zip(param.shape, shapes[param.name], strict=True)
    ]
    while open_:
        left = [entry for entry in open_ if not _decide(*entry, sizes)]
        if len(left) == len(open_):
            unknown = sorted(left[0][1].names() - set(sizes))
            raise faults.CALL_UNSOLVED.at(axis=", ".join(unknown))
        open_ = left
    for check in function.checks:
        decide_check(check, sizes)
    return sizes


def _decide(name: str, size: Size, actual: int, sizes: dict[str, int]) -> bool:
    """Use one equation `size == actual`; False while it has several unknown names."""
    unknown = size.names() - set(sizes)
    if not unknown:
        expected = size.evaluate(sizes)
        if expected != actual:
            where = (
                "is fixed by its type" if size.constant is not None else "elsewhere in this call"
            )
            raise faults.CALL_SIZE.at(
                axis=size, name=name, found=actual, expected=expected, where=where
            )
        return True
    if len(unknown) > 1:
        return False
    (text,) = unknown
    at_zero, at_one, at_two = (size.evaluate({**sizes, text: value}) for value in (0, 1, 2))
    slope = at_one - at_zero
    if slope == 0 or at_two - at_one != slope:
        return False
    value, remainder = divmod(actual - at_zero, slope)
    if remainder or value < 0:
        raise faults.CALL_SIZE.at(
            axis=size, name=name, found=actual,
            expected=f"a size of the form {size}", where=f"with an integer {text} >= 0 is needed",
        )  # fmt: skip
    sizes[text] = value
    return True


def decide_check(check: Check, sizes: Mapping[str, int]) -> None:
    """Raise the error of a condition on sizes that does not hold."""
    a, b = check.left.evaluate(sizes), check.right.evaluate(sizes)
    holds = {"==": a == b, "<=": a <= b, "<": a < b, "!=": a != b}[check.relation]
    if not holds:
        values = ", ".join(
            f"{n} = {sizes[n]}" for n in sorted(check.left.names() | check.right.names())
        )
        raise faults.CALL_CHECK.at(
            check.span, message=check.message, note=f"{check.left} is {a}, {check.right} is {b}"
            + (f" ({values})" if values else ""),
        )  # fmt: skip
