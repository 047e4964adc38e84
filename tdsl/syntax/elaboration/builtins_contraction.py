"""Built-ins that pair axes: contractions, gathers and scatters."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import (
    F32,
    Dtype,
    accumulate,
    compute,
    may_be_float,
)
from tdsl.ir.function import unit_free
from tdsl.ir.size import ONE, Size, copy
from tdsl.ops import (
    cast_to,
    constant,
    dot,
    rename,
    scatter,
    take,
)
from tdsl.syntax.elaboration.arithmetic import (
    common_dtype,
    rounded,
    settle,
)
from tdsl.syntax.elaboration.axes import extent, new_axis, unit_dropped
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.builtins_reductions import total
from tdsl.syntax.elaboration.expressions import OPERATORS, tensor
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.types import refuse_twice
from tdsl.syntax.elaboration.values import Meaning, Value
from tdsl.transforms.simplify import tidy


def contract(
    frame: Frame, a: Value, b: Value, axes: Sequence[Size], order: Sequence[Size], span: Span
) -> Value:
    """The product summed over the axes, in an order; operands are rounded to their dtypes."""
    refuse_twice(frame, order, span)
    a, b = settle(frame, a), settle(frame, b)
    dtype = common_dtype(frame, (a, b), span)
    is_integer = isinstance(dtype, Dtype) and dtype.kind != "float"
    stored = accumulate(dtype) if is_integer else dtype if a.dtype == b.dtype else compute(dtype)
    nodes = [tidy(cast_to(rounded(v).node, stored)) for v in (a, b)]
    node = dot(*nodes, axes=unit_free(tuple(axes)))
    if is_integer:
        return Value(node, tuple(order), stored)
    return Value(tidy(cast_to(node, compute(dtype))), tuple(order), dtype)


@builtin("dot(a, b, axis)")
def _dot(given: Given) -> Meaning:
    """The sum of the products over the axes; shared axes that are not summed stay.

    The result has the order of `a`, then what only `b` has. Half precision is summed in f32.
    """
    a, b = given.tensor("a"), given.tensor("b")
    axes = given.axes("axis", a)
    missing = [axis for axis in axes if axis not in b.order]
    if missing:
        raise given.fail(
            faults.NO_SUCH_AXIS, "axis", axis=missing[0],
            hint=f"the second operand has {axis_text(b.order)}",
        )  # fmt: skip
    return contract(given.frame, a, b, axes, _joined(a.order, b.order, axes), given.span)


def _joined(a: Sequence[Size], b: Sequence[Size], gone: Sequence[Size]) -> list[Size]:
    """The order of `a`, unit axes in their places, then the named axes that only `b` has."""
    order = [axis for axis in a if axis not in gone]
    return order + [axis for axis in b if axis not in (*gone, *order, ONE)]


def matmul(frame: Frame, a: Value, b: Value, span: Span) -> Value:
    """`a @ b`: the last axis of `a` against the last but one of `b` (its only one, for a vector)."""
    if not a.order or not b.order:
        raise frame.fail(faults.MATMUL_RANK, span, a=axis_text(a.order), b=axis_text(b.order))
    left, right = a.order[-1], b.order[-2 if len(b.order) > 1 else -1]
    if left != right:
        raise frame.fail(
            faults.MATMUL_AXES, span, a=axis_text(a.order), b=axis_text(b.order), left=left, right=right,
            hint="write `dot(a, b, axis=K)` to name the axis",
        )  # fmt: skip
    batch = _batch(a.order[:-2], b.order[:-2])
    columns = b.order[-1:] if len(b.order) > 1 else ()
    return contract(frame, a, b, (left,), (*batch, *a.order[-2:-1], *columns), span)


def _batch(a: Sequence[Size], b: Sequence[Size]) -> Sequence[Size]:
    """The order of the batch axes: that of a side which has the other's, else those of `b` last."""
    whole = [axis for axis in _joined(a, b, ()) if axis != ONE]
    sides = [side for side in (a, b) if set(whole) <= set(side)]
    if not sides:
        return _joined(a, b, ())
    return sides[0] if whole else max(sides, key=len)


OPERATORS["@"] = matmul


@builtin("einsum(equation, *operands)")
def _einsum(given: Given) -> Meaning:
    """Letters are bound to axes by position; what the result lacks is summed.

    Two letters are two axes, even where both stand for an axis of the same name.
    """
    frame, span = given.frame, given.span
    equation = given.static("equation")
    operands = [tensor(frame, expr) for expr in given.rest]
    text = equation.replace(" ", "") if isinstance(equation, str) else ""
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    letters = set(string.ascii_letters)
    if not arrow or len(inputs) != len(operands) or set("".join((*inputs, right))) - letters:
        raise given.fail(faults.BAD_EINSUM, "equation")
    bound: dict[str, Size] = {}
    for word, operand in zip(inputs, operands, strict=True):
        if len(word) != len(operand.order) or len(set(word)) != len(word):
            raise given.fail(faults.BAD_EINSUM, "equation")
        for letter, axis in zip(word, operand.order, strict=True):
            if bound.setdefault(letter, axis) != axis:
                raise frame.fail(faults.AXIS_MISMATCH, span, expected=bound[letter], found=axis)
    if not set(right) <= set(bound) or len(set(right)) != len(right):
        raise given.fail(faults.BAD_EINSUM, "equation")
    order = tuple(bound[letter] for letter in right)
    refuse_twice(frame, order, span)
    own = _distinct(frame, bound, right)
    named = [_lettered(v, [own[c] for c in w]) for w, v in zip(inputs, operands, strict=True)]
    result = _product_of(frame, named, [own[letter] for letter in right], span)
    return Value(result.node, order, result.dtype)


def _distinct(frame: Frame, bound: Mapping[str, Size], right: str) -> dict[str, Size]:
    """An axis for each letter: its own, unless another letter has that already."""
    own: dict[str, Size] = {}
    for letter in (*right, *(c for c in bound if c not in right)):
        axis = bound[letter]
        if axis != ONE and axis in own.values():
            frame.session.fresh += 1
            axis = copy(axis, f"{letter}.{frame.session.fresh}")
        own[letter] = axis
    return own


def _lettered(value: Value, order: Sequence[Size]) -> Value:
    """The value with its axes renamed by position; unit axes are left out."""
    moved = {old: new for old, new in zip(value.order, order, strict=True) if old != new}
    node = rename(value.node, moved) if moved else value.node
    return Value(node, unit_free(tuple(order)), value.dtype, value.weak)


def _product_of(frame: Frame, values: Sequence[Value], kept: Sequence[Size], span: Span) -> Value:
    """The product of the values, summed over all other axes, each with the last value that has it."""
    result = values[0]
    for place, value in enumerate(values[1:], start=1):
        later = {axis for v in values[place + 1 :] for axis in v.order}
        gone = [a for a in value.order if a in result.order and a not in (*kept, *later)]
        order = _joined(result.order, value.order, gone)
        result = contract(frame, result, value, gone, order, span)
    extra = tuple(axis for axis in result.order if axis not in kept)
    return total(frame, result, extra) if extra else settle(frame, result)


@builtin("take(x, index, axis)")
def _take(given: Given) -> Meaning:
    """`x` read along the axis at the index, whose axes stand in its place; 0 out of range.

    The gradient is a sum by index.
    """
    x, index = settle(given.frame, given.tensor("x")), settle(given.frame, given.tensor("index"))
    axis = given.axis("axis", x)
    given.frame.constrain(index.dtype, "int", given.span, "an index")
    place = x.order.index(axis)
    others = [a for a in x.order if a != axis]
    new = [a for a in index.order if a not in others or a == ONE]
    order = (*others[:place], *new, *others[place:])
    if axis == ONE:
        raise given.fail(faults.ONE_AXIS, "axis", count=0)
    return Value(take(x.node, index.node, axis=axis), order, x.dtype)


@builtin("scatter_add(values, index, axis, size=)")
def _scatter(given: Given) -> Meaning:
    """The sum of the values by index, along a new axis of the given size.

    Indices out of range are left out.
    """
    frame = given.frame
    values, index = settle(frame, given.tensor("values")), settle(frame, given.tensor("index"))
    frame.constrain(index.dtype, "int", given.span, "an index")
    expr = given.arguments["axis"]
    if given.has("size"):
        axis = new_axis(frame, expr, extent(frame, given.arguments["size"]), given.span)
    else:
        axis = extent(frame, expr)
    sums = tuple(a for a in index.axes if a in values.order)
    missing = [a for a in index.axes if a not in values.order]
    if missing:
        raise given.fail(
            faults.NO_SUCH_AXIS, "index", axis=missing[0],
            hint=f"the values have {axis_text(values.order)}",
        )  # fmt: skip
    place = min((values.order.index(a) for a in sums), default=len(values.order))
    left = [a for a in values.order[:place] if a not in sums]
    right = [a for a in values.order[place:] if a not in sums]
    refuse_twice(frame, (*left, axis, *right), given.span)
    node = scatter(values.node, index.node, axis=axis, sums=sums)
    return Value(unit_dropped(node), (*left, axis, *right), values.dtype)


@builtin("one_hot(index, axis, dtype=)")
def _one_hot(given: Given) -> Meaning:
    """1 where the index names the position along the axis, 0 elsewhere; f32 unless told."""
    frame = given.frame
    index, dtype = settle(frame, given.tensor("index")), given.dtype("dtype", F32)
    frame.constrain(index.dtype, "int", given.span, "an index")
    axis = extent(frame, given.arguments["axis"])
    refuse_twice(frame, (*index.order, axis), given.span)
    one = constant(value=1 if not may_be_float(dtype) else 1.0, dtype=compute(dtype))
    node = unit_dropped(scatter(one, index.node, axis=axis, sums=()))
    return Value(node, (*index.order, axis), dtype)
