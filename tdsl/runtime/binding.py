"""From the arguments of a call to parameters, ranks of packs, dtypes and sizes: pure.

In: a `Signature` and what a call gives. Out: `Bound` (which argument each parameter gets), then, from the
arguments' `Fact`s, the values of packs, dtype variables and axis names. Between: nothing runs and nothing
is converted; whatever does not fit is a TdslError that names the parameter, the axis and both sizes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.dtype import BOOL, DTYPES, F32, I64, Dtype
from tdsl.syntax import ast
from tdsl.syntax.elaboration.entry import Parameter, Signature
from tdsl.syntax.elaboration.suggest import FOREIGN_KEYWORDS, meant
from tdsl.syntax.elaboration.types import expr_text, is_pack

Number = bool | int | float


@dataclass(frozen=True, slots=True)
class Default:
    """The number that a parameter has when the call leaves it out."""

    value: Number


@dataclass(frozen=True, slots=True)
class Bound:
    """Which argument each parameter gets: positions in the call's values, those by keyword last.

    The cotangents of a `vjp` are `extra`, after the last tensor parameter, or `named`.
    """

    tensors: Mapping[str, int | Default]
    statics: Mapping[str, int]
    extra: tuple[int, ...] = ()
    named: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """What binding sees of an argument; a number has no dtype of its own, only a kind."""

    shape: tuple[int, ...]
    dtype: Dtype | None
    number: Literal["bool", "int", "float"] | None = None
    convert: str = ".astype(...)"


def bind(
    signature: Signature,
    values: Sequence[object],
    keywords: Sequence[str],
    *,
    takes_cotangents: bool = False,
) -> Bound:
    """Arguments by parameter, as Python binds them; those for `keywords` are the last of `values`.

    A function that takes cotangents has its tensors and those by position, static ones by keyword;
    names that are no parameters' are cotangents then. Raises TdslTypeError for arguments that are
    missing, unknown, or given twice.
    """
    given = _given(signature, len(values) - len(keywords), keywords, takes_cotangents)
    tensors: dict[str, int | Default] = {}
    for parameter in (p for p in signature.parameters if p.is_tensor):
        place = given.get(parameter.name)
        if place is not None and values[place] is not None:
            tensors[parameter.name] = place
        elif parameter.is_optional:
            continue
        elif place is not None:
            raise faults.NOT_TENSOR.at(name=parameter.name, found="None")
        else:
            tensors[parameter.name] = Default(_default(signature, parameter))
    statics = {
        p.name: given[p.name] for p in signature.parameters if not p.is_tensor and p.name in given
    }
    for parameter in signature.parameters:
        if parameter.name not in given and parameter.default is None:
            raise _missing(signature, parameter)
    own = len(positional(signature, takes_cotangents=takes_cotangents))
    extra = tuple(range(own, len(values) - len(keywords)))
    names = {p.name for p in signature.parameters}
    return Bound(tensors, statics, extra, {n: i for n, i in given.items() if n not in names})


def positional(signature: Signature, *, takes_cotangents: bool) -> tuple[Parameter, ...]:
    """The parameters that arguments by position go to, in order."""
    return tuple(p for p in signature.parameters if p.is_tensor or not takes_cotangents)


def python_signature(signature: Signature, *, takes_cotangents: bool) -> inspect.Signature:
    """The parameters as Python describes them; a default shows the source's text."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = positional(signature, takes_cotangents=takes_cotangents)
    parameters = [_described(p, kind) for p in own]
    if takes_cotangents:
        parameters.append(inspect.Parameter("cotangents", inspect.Parameter.VAR_POSITIONAL))
        statics = (p for p in signature.parameters if not p.is_tensor)
        parameters += [_described(p, inspect.Parameter.KEYWORD_ONLY) for p in statics]
    return inspect.Signature(parameters)


def _described(parameter: Parameter, kind: Any) -> inspect.Parameter:
    text = type_text(parameter) if parameter.is_tensor else parameter.kind
    default = inspect.Parameter.empty if parameter.default is None else Shown(parameter.default)
    return inspect.Parameter(parameter.name, kind, default=default, annotation=text)


@dataclass(frozen=True, slots=True)
class Shown:
    """A default as the source writes it."""

    expr: ast.Expr

    def __repr__(self) -> str:
        return expr_text(self.expr)


def _given(
    signature: Signature, count: int, keywords: Sequence[str], takes_cotangents: bool
) -> dict[str, int]:
    """The place of each parameter's argument."""
    parameters = positional(signature, takes_cotangents=takes_cotangents)
    if count > len(parameters) and not takes_cotangents:
        raise _fail(signature, f"`{signature.name}` takes {len(parameters)} arguments, not {count}")
    given = {p.name: i for i, p in zip(range(count), parameters, strict=False)}
    names = {p.name for p in signature.parameters}
    for i, name in enumerate(keywords, start=count):
        if name not in names and not takes_cotangents:
            foreign = FOREIGN_KEYWORDS.get(name, "") if "axis" in names else ""
            hint = foreign or meant(name, sorted(names))
            raise _fail(signature, f"`{signature.name}` has no parameter `{name}`", hint)
        if name in given:
            raise _fail(signature, f"`{name}` is given twice")
        given[name] = i
    return given


def _fail(signature: Signature, message: str, hint: str = "") -> TdslError:
    text = f"it is `{signature.text}`"
    return faults.CALL_ARGUMENT.at(message=message, hint=hint or text, note=text if hint else "")


def _missing(signature: Signature, parameter: Parameter) -> TdslError:
    return _fail(signature, f"`{signature.name}` needs the argument `{parameter.name}`")


def _default(signature: Signature, parameter: Parameter) -> Number:
    """A rank-0 tensor's default, which is a literal."""
    match parameter.default:
        case ast.Number(value=value) | ast.Boolean(value=value):
            return value
        case ast.Unary(op="-", value=ast.Number(value=value)):
            return -value
    raise _missing(signature, parameter)


def bind_ranks(signature: Signature, facts: Mapping[str, Fact]) -> dict[str, int]:
    """How many axes each pack stands for. Raises TdslValueError for a wrong number of axes."""
    found: dict[str, int] = {}
    for parameter in (p for p in signature.parameters if p.name in facts):
        fact, pack = facts[parameter.name], parameter.pack
        extra = len(fact.shape) - sum(not is_pack(item) for item in parameter.items)
        if extra < 0 or (pack is None and extra) or found.get(pack or "", extra) != extra:
            known = f"; `*{pack}` stands for {found[pack]} elsewhere" if pack in found else ""
            raise wrong_rank(parameter.name, type_text(parameter), fact, known)
        if pack is not None:
            found[pack] = extra
    return found


def wrong_rank(name: str, expected: str, fact: Fact, known: str = "") -> TdslError:
    """The error for an argument with too many or too few axes."""
    note = "it is a number" if fact.number else f"its shape is {fact.shape}"
    rank = len(fact.shape)
    return faults.CALL_RANK.at(name=name, expected=expected, found=rank, note=note + known)


def type_text(parameter: Parameter) -> str:
    """A parameter's type as the source writes it."""
    inside = ", ".join(
        "..." if isinstance(i, ast.Ellipsis) else expr_text(i) for i in parameter.items
    )
    return f"{parameter.dtype}[{inside}]" if parameter.items else parameter.dtype


def bind_dtypes(signature: Signature, facts: Mapping[str, Fact]) -> dict[str, Dtype]:
    """The dtype of each variable: of the arrays that have it, else f32 or i64 by the numbers' kinds.

    Raises TdslTypeError where an array has another dtype than its parameter.
    """
    found: dict[str, Dtype] = {}
    origin: dict[str, str] = {}
    numbers: dict[str, list[str]] = {}
    for parameter in (p for p in signature.parameters if p.name in facts):
        fact, variable = facts[parameter.name], parameter.dtype
        wanted = DTYPES.get(variable) or found.get(variable)
        if fact.number is not None and wanted is None:
            numbers.setdefault(variable, []).append(fact.number)
        if fact.dtype is None:
            continue
        if wanted is None:
            found[variable], origin[variable] = fact.dtype, parameter.name
        elif fact.dtype != wanted:
            by = f"`{variable}` is {wanted} by `{origin[variable]}`" if variable in origin else ""
            raise wrong_dtype(parameter.name, wanted, fact, by)
    for variable, kinds in numbers.items():
        found.setdefault(variable, _dtype_of_numbers(kinds))
    return found


def _dtype_of_numbers(kinds: Sequence[str]) -> Dtype:
    if "float" in kinds:
        return F32
    return BOOL if all(kind == "bool" for kind in kinds) else I64


def wrong_dtype(name: str, expected: object, fact: Fact, note: str = "") -> TdslError:
    """The error for an array of another dtype, or a number that the dtype does not hold."""
    hint = "" if fact.number else f"convert it with `{fact.convert}`"
    found = fact.dtype or f"a Python {fact.number}"
    return faults.CALL_DTYPE.at(name=name, expected=expected, found=found, note=note, hint=hint)
