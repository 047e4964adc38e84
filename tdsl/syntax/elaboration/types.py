"""Types: from annotations to shapes and dtypes, and binding their names to what meets them.

In: a `TypeExpr` and a value (or nothing, for the parameters of the outermost function). Out: names bound
in the frame. Between: an axis expression with one unbound name, in which it is linear, is solved for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import DTYPES, AnyDtype, DtypeVar
from tdsl.ir.size import ONE, ZERO, Size, floordiv, mod, name, pack
from tdsl.syntax import ast
from tdsl.syntax.elaboration.axes import name_size, size_of, try_size
from tdsl.syntax.elaboration.expressions import NAMED
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.suggest import dtype_hint
from tdsl.syntax.elaboration.values import Value

STATIC_TYPES = ("int", "float", "bool", "str", "Axis", "DType")


def is_static(param: ast.Param) -> bool:
    """Whether a parameter is a compile-time value."""
    return param.type.axes is None and param.type.dtype in STATIC_TYPES


def dtype_of(frame: Frame, type_: ast.TypeExpr) -> AnyDtype:
    """The dtype of an annotation: concrete, or what its variable is bound to."""
    text = type_.dtype
    if text in DTYPES:
        return DTYPES[text]
    if not text[:1].isupper():
        raise frame.fail(faults.UNKNOWN_DTYPE, type_.span, name=text, hint=dtype_hint(text))
    if text not in frame.dtypes:
        raise frame.fail(
            faults.UNBOUND_DTYPE, type_.span, name=text, hint="no parameter has this dtype"
        )
    return frame.dtypes[text]


def declare(frame: Frame, params: Sequence[ast.Param], ranks: dict[str, int] | None) -> None:
    """Bind the names in the outermost function's tensor types to themselves.

    A pack becomes as many axes as `ranks` says, or one opaque axis; beside an `Axis` parameter also a
    last one, for positions to refer to.
    """
    has_axis = any(param.type.dtype == "Axis" for param in params)
    for param in params:
        if is_static(param):
            continue
        _declare_dtype(frame, param.type)
        for item in param.type.axes or ():
            for inner in names_in(frame, item):
                _declare_name(frame, inner, ranks, has_axis)


def _declare_dtype(frame: Frame, type_: ast.TypeExpr) -> None:
    if type_.dtype not in DTYPES and type_.dtype[:1].isupper():
        frame.dtypes.setdefault(type_.dtype, DtypeVar(type_.dtype))


def _declare_name(
    frame: Frame, item: ast.Expr, ranks: dict[str, int] | None, has_axis: bool
) -> None:
    if isinstance(item, ast.Name):
        if item.id in DTYPES or item.id in NAMED:
            raise frame.fail(faults.NOT_A_SIZE, item.span)
        if item.id not in frame.variables:
            frame.axes.setdefault(item.id, name(item.id))
        return
    text = pack_name(item)
    if text not in frame.packs:
        if ranks is None or text not in ranks:
            last = (name(f"{text}.last"),) if has_axis else ()
            frame.packs[text] = (pack(text), *last)
        else:
            frame.packs[text] = tuple(name(f"{text}.{i}") for i in range(ranks[text]))


def pack_name(item: ast.Expr) -> str:
    """The name of a pack item; `...` for the anonymous one."""
    return (
        item.value.id if isinstance(item, ast.Star) and isinstance(item.value, ast.Name) else "..."
    )


def is_pack(item: ast.Expr) -> bool:
    """Whether an item of a type stands for any number of axes."""
    return isinstance(item, ast.Star | ast.Ellipsis)


def names_in(frame: Frame, item: ast.Expr) -> list[ast.Expr]:
    """The axis names and packs in an item of a type. Raises TdslError for what is no axis."""
    match item:
        case ast.Name() | ast.Ellipsis() | ast.Star(value=ast.Name()):
            return [item]
        case ast.Number(value=int()):
            return []
        case ast.Binary(op="+" | "-" | "*" | "//" | "%", left=left, right=right):
            return [*names_in(frame, left), *names_in(frame, right)]
        case ast.Unary(op="-", value=value):
            return names_in(frame, value)
    raise frame.fail(faults.NOT_A_SIZE, item.span)


def shape_of(frame: Frame, type_: ast.TypeExpr) -> tuple[Size, ...]:
    """The shape of a type all of whose names are bound; no axis may stand in it twice."""
    shape: list[Size] = []
    for item in type_.axes or ():
        if is_pack(item):
            text = pack_name(item)
            if text not in frame.packs:
                raise frame.fail(faults.UNKNOWN_PACK, item.span, name=text)
            shape += frame.packs[text]
        else:
            shape.append(size_of(frame, item))
    refuse_twice(frame, shape, type_.span)
    return tuple(shape)


def refuse_twice(frame: Frame, shape: Sequence[Size], span: Span) -> None:
    """No value has an axis twice, units excepted."""
    axes = [axis for axis in shape if axis != ONE]
    if len(set(axes)) != len(axes):
        raise frame.fail(
            faults.AXIS_TWICE, span, axes=axis_text(shape), hint="give the second one another name"
        )


def unify(frame: Frame, param: ast.Param, value: Value, span: Span) -> list[tuple[ast.Expr, Size]]:
    """Bind a parameter's axes to those of an argument; gives back what could not be decided yet."""
    items = list(param.type.axes or ())
    packs = [i for i, item in enumerate(items) if is_pack(item)]
    extra = len(value.order) - len(items) + len(packs)
    if extra < 0 or (not packs and extra):
        raise frame.fail(
            faults.WRONG_RANK, span, name=param.name, expected=type_text(param.type),
            found=axis_text(value.order),
        )  # fmt: skip
    pairs: list[tuple[ast.Expr, Size]] = []
    place = 0
    for item in items:
        if is_pack(item):
            _bind_pack(frame, item, value.order[place : place + extra], span)
            place += extra
        else:
            pairs.append((item, value.order[place]))
            place += 1
    return [pair for pair in pairs if not bind_item(frame, *pair, span, final=False)]


def _bind_pack(frame: Frame, item: ast.Expr, axes: tuple[Size, ...], span: Span) -> None:
    text = pack_name(item)
    known = frame.packs.setdefault(text, axes)
    if known != axes:
        raise frame.fail(
            faults.PACK_MISMATCH, span, name=text, a=axis_text(known), b=axis_text(axes)
        )


def bind_item(frame: Frame, item: ast.Expr, axis: Size, span: Span, *, final: bool) -> bool:
    """Bind one axis of a type; False if it has names that other arguments may bind first."""
    if isinstance(item, ast.Name) and name_size(frame, item.id) is None:
        frame.axes[item.id] = axis
        return True
    size = try_size(frame, item)
    if size is not None:
        if frame.size(size) != frame.size(axis):
            raise frame.fail(
                faults.AXIS_MISMATCH, span, expected=frame.size(size), found=axis,
                hint=f"rename the axis: `rename(x, {{{axis}: ...}})`",
            )  # fmt: skip
        return True
    return _solve(frame, item, axis, span, final=final)


def _solve(frame: Frame, item: ast.Expr, axis: Size, span: Span, *, final: bool) -> bool:
    """Solve an axis expression for its one unbound name."""
    unbound = _unbound(frame, item)
    if len(unbound) != 1:
        if final:
            raise frame.fail(faults.CANNOT_SOLVE, span, item=expr_text(item), axis=axis)
        return False
    (text,) = unbound
    variable = name(f"{text}?")
    trial = Frame(frame.session, frame.program, frame.function, frame.variables,
                  {**frame.axes, text: variable}, frame.packs)  # fmt: skip
    size = try_size(trial, item)
    if size is None:
        raise frame.fail(faults.NOT_A_SIZE, item.span)
    parts = linear_in(size, variable)
    if parts is None:
        raise frame.fail(faults.CANNOT_SOLVE, span, item=expr_text(item), axis=axis)
    factor, rest = parts
    whole = frame.size(axis - rest)
    solution = frame.size(floordiv(whole, factor))
    if frame.size(solution * factor) != whole:
        frame.require(mod(whole, factor), "==", ZERO, span, f"{whole} is not divisible by {factor}")
        remainder = mod(whole, factor).atom
        if remainder is not None:
            frame.session.facts[remainder] = ZERO
    frame.axes[text] = frame.size(solution)
    return True


def _unbound(frame: Frame, item: ast.Expr) -> set[str]:
    """The names in an axis expression that nothing has bound yet."""
    names = names_in(frame, item)
    return {n.id for n in names if isinstance(n, ast.Name) and name_size(frame, n.id) is None}


def linear_in(size: Size, variable: Size) -> tuple[Size, Size] | None:
    """The `(factor, rest)` with `size = factor * variable + rest`, both free of it, if there are any."""
    atom = variable.atom
    rest = Size(tuple((m, c) for m, c in size.terms if atom not in m))
    linear = size - rest
    factor = Size(tuple((tuple(a for a in m if a != atom), c) for m, c in linear.terms))
    is_linear = linear == factor * variable and atom not in rest.atoms() | factor.atoms()
    return (factor, rest) if is_linear and factor != ZERO else None


def refuse_unbound(frame: Frame, params: Sequence[ast.Param]) -> None:
    """Every name in the parameters' types must follow from shapes, whatever these are."""
    types = [param.type for param in params if not is_static(param)]
    items = [item for type_ in types for item in type_.axes or () if not is_pack(item)]
    sizes = {item: size_of(frame, item) for item in items}
    known = _solvable(list(sizes.values()))
    for item, size in sizes.items():
        frame.require(ZERO, "<=", size, item.span, f"the axis `{size}` would have a negative size")
        for inner in names_in(frame, item):
            if isinstance(inner, ast.Name) and inner.id in frame.axes and inner.id not in known:
                raise frame.fail(faults.UNBOUND_SIZE, item.span, name=inner.id)


def _solvable(sizes: Sequence[Size]) -> set[str]:
    """The names that follow when each size is given, one after the other."""
    known: set[str] = set()
    found: list[str] = [""]
    while found:
        unknown = [(size, size.names() - known) for size in sizes]
        found = [n for size, (n,) in ((s, u) for s, u in unknown if len(u) == 1)
                 if linear_in(size, name(n)) is not None]  # fmt: skip
        known.update(found)
    return known


def type_text(type_: ast.TypeExpr) -> str:
    """A type as the source writes it."""
    if type_.axes is None:
        return type_.dtype
    return f"{type_.dtype}[{', '.join(map(expr_text, type_.axes))}]"


def expr_text(expr: ast.Expr) -> str:
    """A size expression as the source writes it."""
    match expr:
        case ast.Name(id=text):
            return text
        case ast.Number(value=value):
            return str(value)
        case ast.Star(value=value):
            return f"*{expr_text(value)}"
        case ast.Binary(op=op, left=left, right=right):
            return f"{expr_text(left)}{op}{expr_text(right)}"
        case ast.Unary(op=op, value=value):
            return f"{op}{expr_text(value)}"
    return "..."
