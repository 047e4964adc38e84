"""Built-ins that move, join and split axes."""

from __future__ import annotations

from collections.abc import Sequence

from tdsl import faults
from tdsl.errors import Span, TdslError
from tdsl.ir.dtype import BOOL, F32, I64, AnyDtype, compute
from tdsl.ir.index_map import IndexMap, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import ONE, ZERO, Size, as_size, floordiv, index, mod
from tdsl.ops import (
    add,
    arange,
    concat_axis,
    constant,
    flatten_axes,
    flip_axis,
    greater_equal,
    less_equal,
    pad_axis,
    rename,
    roll_axis,
    slice_axis,
    take,
    unflatten_axis,
    where,
)
from tdsl.ops import index as index_node
from tdsl.syntax import ast
from tdsl.syntax.elaboration.arithmetic import (
    as_dtype,
    common_dtype,
    settle,
)
from tdsl.syntax.elaboration.axes import axes_of, extent, new_axis, try_size, unit_dropped
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import as_value, describe, evaluate
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.types import expr_text, refuse_twice
from tdsl.syntax.elaboration.values import Meaning, Value
from tdsl.transforms.simplify import tidy


@builtin("rename(x, axes=, **names)")
def _rename(given: Given) -> Meaning:
    """`rename(x, old=new)` or `rename(x, {2*H: K})`."""
    frame, x = given.frame, given.tensor("x")
    pairs: list[tuple[ast.Expr, ast.Expr]] = [
        (ast.Name(name, given.span), new) for name, new in given.keywords.items()
    ]
    mapping = given.arguments.get("axes")
    if isinstance(mapping, ast.Dict):
        pairs += mapping.items
    elif mapping is not None:
        raise given.fail(faults.BAD_RENAME, "axes")
    moved: dict[Size, Size] = {}
    for old, new in pairs:
        (axis,) = axes_of(frame, old, x.order)
        moved[axis] = new_axis(frame, new, axis, given.span)
    order = tuple(moved.get(axis, axis) for axis in x.order)
    refuse_twice(frame, order, given.span)
    return Value(rename(x.node, moved), order, x.dtype)


@builtin("unflatten(x, axis, sizes)")
def _unflatten(given: Given) -> Meaning:
    """The axis split into several; one name that is not bound yet follows from the others."""
    frame, x = given.frame, given.tensor("x")
    axis = given.axis("axis", x)
    sizes = given.arguments["sizes"]
    items = sizes.items if isinstance(sizes, ast.Tuple) else (sizes,)
    known = [try_size(frame, item) for item in items]
    product = ONE
    for size in known:
        product = product * (size if size is not None else ONE)
    product = frame.size(product)
    if known.count(None) > 1:
        raise given.fail(faults.CANNOT_SOLVE, "sizes", item="sizes", axis=axis)
    if None in known:
        free = items[known.index(None)]
        if not isinstance(free, ast.Name):
            raise given.fail(faults.NOT_A_SIZE, "sizes")
        frame.require(
            mod(axis, product), "==", ZERO, given.span, f"{axis} is not divisible by {product}"
        )
        remainder = mod(axis, product).atom
        if remainder is not None and remainder.kind == "mod":
            frame.session.facts[remainder] = ZERO
        frame.axes[free.id] = frame.size(floordiv(axis, product))
    else:
        frame.require(axis, "==", product, given.span, f"{axis} is not {product}")
        atom = axis.atom
        if atom is not None and atom.kind in ("name", "copy") and axis != product:
            frame.session.facts[atom] = product
    parts = tuple(frame.size(extent(frame, item)) for item in items)
    place = x.order.index(axis)
    order = (*x.order[:place], *parts, *x.order[place + 1 :])
    refuse_twice(frame, order, given.span)
    inner = tuple(part for part in parts if part != ONE)
    node = unflatten_axis(x.node, axis, inner) if axis != ONE else x.node
    return Value(node, order, x.dtype)


@builtin("flatten(x, axes=)")
def _flatten(given: Given) -> Meaning:
    """The axes, or all of them, joined into one, row-major; they need not be neighbours."""
    frame, x = given.frame, given.tensor("x")
    axes = given.axes("axes", x)
    if not axes or isinstance(given.arguments.get("axes"), ast.Number | ast.Unary):
        raise given.fail(faults.FLATTEN_ONE, "axes", hint="name all: `flatten(x, axes=(H, W))`")
    product = ONE
    for axis in axes:
        product = product * axis
    product = frame.size(product)
    place = min(x.order.index(axis) for axis in axes)
    order = [axis for axis in x.order if axis not in axes]
    order.insert(sum(axis not in axes for axis in x.order[:place]), product)
    refuse_twice(frame, order, given.span)
    inner = tuple(axis for axis in axes if axis != ONE)
    node = flatten_axes(x.node, inner, product) if len(inner) > 1 else x.node
    return Value(node, tuple(order), x.dtype)


@builtin("reshape(x, *sizes)")
def _reshape(given: Given) -> Meaning:
    """Row-major; sizes are equal in order, or products of runs of axes on either side."""
    frame, x = given.frame, given.tensor("x")
    exprs = given.rest
    if len(exprs) == 1 and isinstance(exprs[0], ast.Tuple):
        exprs = exprs[0].items
    if any(isinstance(expr, ast.Unary) for expr in exprs):
        raise _no_reshape(frame, x, exprs, given.span)
    target = [extent(frame, expr) for expr in exprs]
    source = [axis for axis in x.order if axis != ONE]
    wanted = [size for size in target if size != ONE]
    node = x.node
    while source or wanted:
        left, right = _factors(frame, source, wanted)
        if not left or not right:
            raise _no_reshape(frame, x, exprs, given.span)
        whole = _product(left)
        if left != right:
            node = flatten_axes(node, left, whole) if len(left) > 1 else node
            node = unflatten_axis(node, whole, right) if len(right) > 1 else node
        source, wanted = source[len(left) :], wanted[len(right) :]
    refuse_twice(frame, target, given.span)
    return Value(node, tuple(target), x.dtype)


def _no_reshape(frame: Frame, x: Value, exprs: Sequence[ast.Expr], span: Span) -> TdslError:
    """The error for sizes that do not fit; -1 has no meaning."""
    sizes = f"[{', '.join(map(expr_text, exprs))}]"
    return frame.fail(
        faults.CANNOT_RESHAPE, span, a=axis_text(x.order), b=sizes,
        hint="name the axes with `unflatten` and `flatten`",
    )  # fmt: skip


def _factors(frame: Frame, source: list[Size], wanted: list[Size]) -> tuple[list[Size], list[Size]]:
    """The shortest runs from the front with equal products."""
    for i in range(1, len(source) + 1):
        for j in range(1, len(wanted) + 1):
            if frame.size(_product(source[:i])) == frame.size(_product(wanted[:j])):
                return source[:i], wanted[:j]
    return [], []


def _product(sizes: list[Size]) -> Size:
    product = ONE
    for size in sizes:
        product = product * size
    return product


@builtin("transpose(x, *axes)", "permute(x, *axes)")
def _permute(given: Given) -> Meaning:
    """The axes in another order: all of them, or two that change places."""
    frame, x = given.frame, given.tensor("x")
    exprs = given.rest
    if len(exprs) == 1 and isinstance(exprs[0], ast.Tuple):
        exprs = exprs[0].items
    axes = [axis for expr in exprs for axis in axes_of(frame, expr, x.order)]
    if given.name == "transpose" and len(axes) == 2:
        a, b = axes
        order = tuple(b if axis == a else a if axis == b else axis for axis in x.order)
        return Value(x.node, order, x.dtype)
    if not axes:
        axes = list(reversed(x.order))
    if sorted(axes, key=str) != sorted(x.order, key=str):
        raise given.fail(faults.WRONG_AXES, expected=axis_text(x.order), found=axis_text(axes))
    return Value(x.node, tuple(axes), x.dtype)


@builtin("concat(values, axis=)", "cat(values, axis=)")
def _concat(given: Given) -> Meaning:
    """The joined axis is found by position or name in each; the others are equal sets."""
    frame = given.frame
    parts = _tuple_of(given, "values")
    dtype = common_dtype(frame, parts, given.span)
    joined: list[tuple[Value, Size]] = []
    for part in parts:
        expr = given.arguments.get("axis", ast.Number(0, given.span))
        axes = _joined_axis(frame, expr, part, parts)
        joined.append((part, axes))
    first, axis = joined[0]
    others = [{a for a in part.order if a != own} for part, own in joined]
    if any(other != others[0] for other in others):
        raise given.fail(
            faults.WRONG_AXES, "values", expected=axis_text(first.order),
            found=axis_text(next(p for p, o in zip(parts, others, strict=True) if o != others[0]).order),
        )  # fmt: skip
    whole = ZERO
    for _, own in joined:
        whole = whole + own
    whole = frame.size(whole)
    pieces = [(as_dtype(frame, part, dtype, given.span), own) for part, own in joined]
    order = tuple(whole if a == axis else a for a in first.order)
    refuse_twice(frame, order, given.span)
    return Value(concat_axis(pieces, whole), order, dtype)


def _joined_axis(frame: Frame, expr: ast.Expr, part: Value, parts: list[Value]) -> Size:
    """The axis of one part: the named one, or where it lacks that, the one the others lack."""
    size = try_size(frame, expr) if not isinstance(expr, ast.Number) else None
    if size is not None and size not in part.order:
        common = {a for other in parts if size in other.order for a in other.order}
        own = [axis for axis in part.order if axis not in common]
        if len(own) == 1:
            return own[0]
    (axis,) = axes_of(frame, expr, part.order)
    return axis


def _tuple_of(given: Given, name: str) -> list[Value]:
    frame, expr = given.frame, given.arguments[name]
    parts = evaluate(frame, expr)
    if not isinstance(parts, tuple) or not parts:
        found = "an empty tuple" if parts == () else describe(parts)
        raise given.fail(faults.NOT_A_VALUE, name, what="a tuple of values", found=found)
    return [settle(frame, as_value(frame, part, expr.span)) for part in parts]


@builtin("stack(values, axis)")
def _stack(given: Given) -> Meaning:
    """Along a new first axis."""
    frame = given.frame
    parts = _tuple_of(given, "values")
    dtype = common_dtype(frame, parts, given.span)
    first = parts[0]
    if any(set(p.order) != set(first.order) for p in parts):
        other = next(p for p in parts if set(p.order) != set(first.order))
        raise given.fail(
            faults.WRONG_AXES,
            "values",
            expected=axis_text(first.order),
            found=axis_text(other.order),
        )
    count = as_size(len(parts))
    named = try_size(frame, given.arguments["axis"])
    if named is not None and named.constant not in (None, len(parts)):
        raise given.fail(
            faults.STACK_AXIS, "axis", count=len(parts), axis=named,
            hint="name the new axis: `axis=K`",
        )  # fmt: skip
    axis = new_axis(frame, given.arguments["axis"], count, given.span)
    nodes = [as_dtype(frame, part, dtype, given.span) for part in parts]
    pieces = tuple(Piece((), (InRange(index(axis) - i, ONE),)) for i in range(len(parts)))
    node = index_node(*nodes, map=IndexMap((axis,), pieces))
    return Value(unit_dropped(node), (axis, *first.order), dtype)


@builtin("split(x, parts, axis=)", "chunk(x, parts, axis=)")
def _split(given: Given) -> Meaning:
    """Into `parts` equal parts; torch's `split` takes the size of a part."""
    frame, x = given.frame, given.tensor("x")
    first = ast.Number(0, given.span)
    (axis,) = axes_of(frame, given.arguments.get("axis", first), x.order)
    parts = given.integer("parts")
    if parts < 1:
        raise given.fail(faults.BAD_STEP, "parts")
    frame.require(
        mod(axis, as_size(parts)), "==", ZERO, given.span, f"{axis} is not divisible by {parts}"
    )
    length = frame.size(floordiv(axis, as_size(parts)))
    remainder = mod(axis, as_size(parts)).atom
    if remainder is not None and remainder.kind == "mod":
        frame.session.facts[remainder] = ZERO
    order = tuple(length if a == axis else a for a in x.order)
    refuse_twice(frame, order, given.span)
    return tuple(
        Value(slice_axis(x.node, axis, length * i, 1, length), order, x.dtype) for i in range(parts)
    )


@builtin("pad(x, axis, low=, high=, value=)")
def _pad(given: Given) -> Meaning:
    """`low` elements before and `high` after, each `value` (0)."""
    frame, x = given.frame, given.tensor("x")
    x = settle(frame, x)
    axis = given.axis("axis", x)
    low = given.size("low") if given.has("low") else ZERO
    high = given.size("high") if given.has("high") else ZERO
    for side in (low, high):
        frame.require(ZERO, "<=", side, given.span, "a pad is not negative")
    value = given.number("value", 0.0)
    new = frame.size(axis + low + high)
    order = tuple(new if a == axis else a for a in x.order)
    refuse_twice(frame, order, given.span)
    fill = float(value) if compute(x.dtype) == F32 or str(x.dtype).startswith("f") else value
    return Value(pad_axis(x.node, axis, low, fill, new), order, x.dtype)


@builtin("flip(x, axis=)")
def _flip(given: Given) -> Meaning:
    """The order reversed along the axes, or along all of them."""
    x = given.tensor("x")
    node = x.node
    for axis in given.axes("axis", x):
        node = flip_axis(node, axis) if axis != ONE else node
    return Value(node, x.order, x.dtype)


@builtin("roll(x, shift, axis)")
def _roll(given: Given) -> Meaning:
    """Elements moved by `shift` along the axis; those that leave come in at the other end."""
    x = given.tensor("x")
    axis, by = given.axis("axis", x), given.size("shift")
    return Value(roll_axis(x.node, axis, by) if axis != ONE else x.node, x.order, x.dtype)


@builtin("squeeze(x, axis=)")
def _squeeze(given: Given) -> Meaning:
    """Drop unit axes: all, or the one at a position."""
    x = given.tensor("x")
    if not given.has("axis"):
        return Value(x.node, x.axes, x.dtype, x.weak)
    position = given.integer("axis")
    if not -len(x.order) <= position < len(x.order) or x.order[position] != ONE:
        raise given.fail(faults.NOT_A_UNIT, "axis", position=position)
    order = [*x.order]
    del order[position]
    return Value(x.node, tuple(order), x.dtype)


@builtin("unsqueeze(x, axis)")
def _unsqueeze(given: Given) -> Meaning:
    """A unit axis put in at a position of the result."""
    x, position = given.tensor("x"), given.integer("axis")
    if not -len(x.order) - 1 <= position <= len(x.order):
        raise given.fail(
            faults.POSITION_OUT_OF_RANGE, "axis", position=position, rank=len(x.order) + 1
        )
    order = [*x.order]
    order.insert(position if position >= 0 else position + len(order) + 1, ONE)
    return Value(x.node, tuple(order), x.dtype)


@builtin("expand(x, *axes)")
def _expand(given: Given) -> Meaning:
    """The value with further axes, along which it does not vary."""
    frame, x = given.frame, settle(given.frame, given.tensor("x"))
    exprs = given.rest
    if len(exprs) == 1 and isinstance(exprs[0], ast.Tuple):
        exprs = exprs[0].items
    order = listed_axes(frame, exprs)
    if not set(x.axes) <= set(order):
        raise given.fail(faults.WRONG_AXES, expected=axis_text(order), found=axis_text(x.order))
    return Value(x.node, order, x.dtype)


def listed_axes(frame: Frame, exprs: tuple[ast.Expr, ...]) -> tuple[Size, ...]:
    """The axes of a value to be made, from sizes and packs."""
    order: list[Size] = []
    for expr in exprs:
        if isinstance(expr, ast.Star) and isinstance(expr.value, ast.Name):
            order += frame.packs.get(expr.value.id, ())
        else:
            order.append(extent(frame, expr))
    if exprs:
        refuse_twice(frame, order, exprs[0].span)
    return tuple(order)


def places(axis: Size) -> Node:
    """The positions along an axis."""
    return unit_dropped(arange(axis=axis))


def _last_two(given: Given, x: Value) -> tuple[Size, Size]:
    if len(x.order) < 2:
        raise given.fail(faults.NEEDS_MATRIX, "x", name=given.name, axes=axis_text(x.order))
    return x.order[-2], x.order[-1]


@builtin("tril(x, diagonal=)", "triu(x, diagonal=)")
def _triangle(given: Given) -> Meaning:
    """The part on and below (above) the `diagonal` of the last two axes; 0 elsewhere."""
    x = settle(given.frame, given.tensor("x"))
    rows, columns = _last_two(given, x)
    offset = constant(value=given.integer("diagonal", 0), dtype=I64)
    place = tidy(add(places(rows), offset))
    compare = greater_equal if given.name == "tril" else less_equal
    zero = constant(value=number_of(x.dtype, 0), dtype=compute(x.dtype))
    node = where(compare(place, places(columns)), x.node, zero)
    return Value(node, x.order, x.dtype)


def number_of(dtype: AnyDtype, number: float) -> bool | int | float:
    """The number as Python has it for a constant of the dtype."""
    if dtype == BOOL:
        return bool(number)
    kind = getattr(dtype, "kind", "float")
    return float(number) if kind == "float" else int(number)


@builtin("diagonal(x)")
def _diagonal(given: Given) -> Meaning:
    """The diagonal over the last two axes, along the last but one, which must not be the longer."""
    frame, x = given.frame, settle(given.frame, given.tensor("x"))
    rows, columns = _last_two(given, x)
    frame.require(rows, "<=", columns, given.span, f"`diagonal` needs {rows} <= {columns}")
    node = take(x.node, places(rows), axis=columns)
    return Value(node, x.order[:-1], x.dtype)
