"""Built-ins that compute: elementwise functions, reductions, running reductions, contractions, gathers."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

from tdsl import faults
from tdsl.errors import Span
from tdsl.ir.dtype import (
    BOOL,
    F32,
    F64,
    I64,
    AnyDtype,
    Dtype,
    accumulate,
    compute,
    is_floating,
    may_be_float,
)
from tdsl.ir.node import OPS
from tdsl.ir.size import ONE, Size, copy
from tdsl.ops import (
    Pointwise,
    abs_,
    cast_to,
    clamp,
    constant,
    cumprod,
    cumsum,
    div,
    dot,
    equal,
    greater_equal,
    less_equal,
    maximum,
    minimum,
    mul,
    not_equal,
    polygamma,
    pow_,
    rename,
    scatter,
    sqrt,
    sub,
    sum_,
    take,
)
from tdsl.ops.pointwise import FLOAT
from tdsl.syntax.elaboration.arithmetic import (
    as_dtype,
    common_dtype,
    elementwise,
    rounded,
    settle,
)
from tdsl.syntax.elaboration.axes import extent, new_axis
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import OPERATORS, choose, size_value, tensor
from tdsl.syntax.elaboration.frame import Frame, axis_text
from tdsl.syntax.elaboration.types import refuse_twice
from tdsl.syntax.elaboration.values import Meaning, Value, weak
from tdsl.transforms.simplify import tidy

OF_REALS = [
    op
    for op in OPS.values()
    if isinstance(op, Pointwise)
    and op.kinds == FLOAT
    and len(op.domain) == 1
    and op.variants == ({},)
]
PREDICATES = [op.name for op in OF_REALS if op.sample(F64, [()], {}).dtype == BOOL]
REAL_FUNCTIONS = [op.name for op in OF_REALS if op.name not in PREDICATES]


@builtin(*(f"{name}(x)" for name in REAL_FUNCTIONS))
def _real(given: Given) -> Meaning:
    """Elementwise, for floating values. The derivative and its ends are in operations.md."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("round(x)")
def _round(given: Given) -> Meaning:
    """The nearest integer; halves go to the even one."""
    return given.elementwise(OPS["round"], given.tensor("x"))


@builtin("abs(x)", "sign(x)", "neg(x)")
def _number(given: Given) -> Meaning:
    """Elementwise, for numbers."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("square(x)")
def _square(given: Given) -> Meaning:
    """The product x * x."""
    x = given.tensor("x")
    return given.elementwise(mul, x, x)


@builtin("reciprocal(x)")
def _reciprocal(given: Given) -> Meaning:
    """1 / x."""
    return given.elementwise(div, weak(1.0), given.tensor("x"))


@builtin(*(f"{name}(x)" for name in PREDICATES))
def _predicate(given: Given) -> Meaning:
    """Elementwise, to bool."""
    x = given.tensor("x")
    return given.elementwise(OPS[given.name], x)


@builtin("minimum(x, y)", "maximum(x, y)", "fmod(x, y)", "remainder(x, y)")
def _pair(given: Given) -> Meaning:
    """Elementwise. A NaN on either side gives NaN; equal operands share the gradient."""
    return given.elementwise(OPS[given.name], given.tensor("x"), given.tensor("y"))


@builtin("pow(x, y)")
def _pow(given: Given) -> Meaning:
    """The power x ** y; a static integer exponent is exact for negative x."""
    return given.elementwise(OPS["pow"], given.tensor("x"), given.tensor("y"))


@builtin("atan2(y, x)")
def _atan2(given: Given) -> Meaning:
    """The angle of the point (x, y), from -pi to pi."""
    return given.elementwise(OPS["atan2"], given.tensor("y"), given.tensor("x"))


@builtin("clamp(x, lo=, hi=)", "clip(x, lo=, hi=)")
def _clamp(given: Given) -> Meaning:
    """The nearest value between `lo` and `hi`; either may be left out.

    The derivative for `x` is 1 on the closed interval.
    """
    x = given.tensor("x")
    lo = given.tensor("lo") if given.has("lo") else None
    hi = given.tensor("hi") if given.has("hi") else None
    if lo is not None and hi is not None:
        return given.elementwise(clamp, x, lo, hi)
    if lo is not None:
        return _above(given, x, lo)
    if hi is not None:
        return _below(given, x, hi)
    raise given.fail(faults.MISSING_ARGUMENT, argument="lo", name=given.name)


def _above(given: Given, x: Value, lo: Value) -> Value:
    """`maximum`, but with the whole gradient for `x` at the bound."""
    inside = given.elementwise(greater_equal, x, lo)
    return choose(given.frame, inside, x, given.elementwise(maximum, x, lo), given.span)


def _below(given: Given, x: Value, hi: Value) -> Value:
    """`minimum`, but with the whole gradient for `x` at the bound."""
    inside = given.elementwise(less_equal, x, hi)
    return choose(given.frame, inside, x, given.elementwise(minimum, x, hi), given.span)


@builtin("polygamma(n, x)")
def _polygamma(given: Given) -> Meaning:
    """The derivative of order `n`, a static integer, of `digamma`."""
    order, x = given.integer("n"), given.tensor("x")
    given.frame.constrain(x.dtype, "float", given.span, "`polygamma`")
    return Value(polygamma(settle(given.frame, x).node, n=order), x.order, x.dtype)


@builtin("where(condition, a, b)")
def _where(given: Given) -> Meaning:
    """`a` where the condition holds, else `b`.

    The branch not taken passes no gradient, not even NaN.
    """
    condition, a, b = (given.tensor(name) for name in ("condition", "a", "b"))
    return choose(given.frame, condition, a, b, given.span)


@builtin("cast(x, dtype)")
def _cast(given: Given) -> Meaning:
    """The value in another dtype. The derivative of rounding is 1."""
    x, dtype = given.tensor("x"), given.dtype("dtype", F32)
    if x.weak:
        number = as_dtype(given.frame, x, x.dtype, given.span)
        return Value(tidy(cast_to(tidy(cast_to(number, dtype)), compute(dtype))), (), dtype)
    return rounded(Value(tidy(cast_to(x.node, compute(dtype))), x.order, dtype))


@builtin("logical_and(x, y)", "logical_or(x, y)", "logical_xor(x, y)")
def _logical(given: Given) -> Meaning:
    """Elementwise, of the operands' truth: a number is true where it is not 0."""
    op = {"logical_and": "bitand", "logical_or": "bitor", "logical_xor": "bitxor"}[given.name]
    return given.elementwise(OPS[op], _truth_of(given, "x"), _truth_of(given, "y"))


def _truth_of(given: Given, name: str) -> Value:
    x = given.tensor(name)
    return x if x.dtype == BOOL else given.elementwise(not_equal, x, weak(0))


@builtin("logical_not(x)")
def _logical_not(given: Given) -> Meaning:
    """Elementwise, of the operand's truth: a number is true where it is not 0."""
    return given.elementwise(OPS["bitnot"], _truth_of(given, "x"))


# reductions


def _units(axes: tuple[Size, ...]) -> tuple[Size, ...]:
    return tuple(axis for axis in axes if axis != ONE)


def _kept(x: Value, axes: tuple[Size, ...]) -> tuple[Size, ...]:
    return tuple(axis for axis in x.order if axis not in axes)


def total(frame: Frame, x: Value, axes: tuple[Size, ...]) -> Value:
    """The sum of a value over axes, unit axes among them dropped."""
    x = settle(frame, x)
    node = tidy(sum_(x.node, axes=_units(axes)))
    return Value(node, _kept(x, axes), _accumulated(x.dtype))


def _accumulated(dtype: AnyDtype) -> AnyDtype:
    if is_floating(dtype):
        return dtype
    return accumulate(dtype) if isinstance(dtype, Dtype) else accumulate(compute(dtype))


@builtin("sum(x, axis=)")
def _sum(given: Given) -> Meaning:
    """Over the axes, or all of them. Integers and bools are added in i64."""
    x = given.tensor("x")
    return total(given.frame, x, given.axes("axis", x))


@builtin("prod(x, axis=)")
def _prod(given: Given) -> Meaning:
    """Over the axes, or all of them. Gradients are right with zeros too."""
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    return Value(OPS["prod"](x.node, axes=_units(axes)), _kept(x, axes), _accumulated(x.dtype))


@builtin("max(x, axis=)", "min(x, axis=)", "amax(x, axis=)", "amin(x, axis=)")
def _extreme(given: Given) -> Meaning:
    """The largest (smallest) over the axes, or all; a NaN wins; ties share the gradient."""
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    node = OPS[given.name.removeprefix("a")](x.node, axes=_units(axes))
    return Value(node, _kept(x, axes), x.dtype)


@builtin("any(x, axis=)", "all(x, axis=)")
def _truth(given: Given) -> Meaning:
    """Over the axes, or all of them, of bools."""
    x = given.tensor("x")
    if x.dtype != BOOL:
        raise given.fail(faults.CONDITION_NOT_BOOL, "x", dtype=x.dtype, hint="write `x != 0`")
    axes = given.axes("axis", x)
    return Value(OPS[given.name](x.node, axes=_units(axes)), _kept(x, axes), BOOL)


@builtin("argmax(x, axis=)", "argmin(x, axis=)")
def _arg(given: Given) -> Meaning:
    """The position, in i64, of the first largest (smallest).

    Along one axis or, without `axis`, in the flattened value.
    """
    x = settle(given.frame, given.tensor("x"))
    axes = given.axes("axis", x)
    return Value(OPS[given.name](x.node, axes=_units(axes)), _kept(x, axes), I64)


def _count(axes: tuple[Size, ...]) -> Value:
    size = ONE
    for axis in axes:
        size = size * axis
    return size_value(size)


def _average(given: Given, x: Value, axes: tuple[Size, ...]) -> Value:
    """A sum and a multiplication by the reciprocal of the count."""
    given.frame.constrain(x.dtype, "float", given.span, f"`{given.name}`")
    reciprocal = given.elementwise(div, weak(1.0), _count(axes))
    return given.elementwise(mul, total(given.frame, x, axes), reciprocal)


@builtin("mean(x, axis=)")
def _mean(given: Given) -> Meaning:
    """Over the axes, or all of them, of floating values."""
    x = settle(given.frame, given.tensor("x"))
    return _average(given, x, given.axes("axis", x))


@builtin("var(x, axis=, correction=)", "std(x, axis=, correction=)")
def _var(given: Given) -> Meaning:
    """Over the axes, or all.

    The sum of squares is divided by `N - correction`, and `correction` is 0 unless told, as
    in NumPy (torch: 1). The gradient of `std` is 0 where it is 0.
    """
    frame, span = given.frame, given.span
    x = settle(frame, given.tensor("x"))
    axes = given.axes("axis", x)
    centred = given.elementwise(sub, x, _average(given, x, axes))
    squares = total(frame, given.elementwise(mul, centred, centred), axes)
    count = _count(axes)
    if given.has("correction"):
        freedom = given.elementwise(sub, count, given.tensor("correction"))
        count = given.elementwise(maximum, freedom, weak(0))
    reciprocal = given.elementwise(div, weak(1.0), count)
    result = given.elementwise(mul, squares, reciprocal)
    return _safe_root(frame, result, span) if given.name == "std" else result


@builtin("norm(x, axis=, ord=)")
def _norm(given: Given) -> Meaning:
    """The vector p-norm over the axes; the gradient at 0 is 0."""
    frame, span = given.frame, given.span
    x = settle(frame, given.tensor("x"))
    frame.constrain(x.dtype, "float", span, "`norm`")
    axes, order = given.axes("axis", x), given.number("ord", 2)
    size = elementwise(frame, abs_, (x,), span)
    if abs(order) == float("inf"):
        node = OPS["max" if order > 0 else "min"](size.node, axes=_units(axes))
        return Value(node, _kept(x, axes), x.dtype)
    if order == 0:
        differs = elementwise(frame, not_equal, (x, weak(0)), span)
        ones = tidy(cast_to(differs.node, compute(x.dtype)))
        return total(frame, Value(ones, x.order, x.dtype), axes)
    if order == 1:
        return total(frame, size, axes)
    if order == 2:
        squares = total(frame, elementwise(frame, mul, (x, x), span), axes)
        return _safe_root(frame, squares, span)
    powers = total(frame, _safe_power(frame, size, order, span), axes)
    return _safe_power(frame, powers, 1.0 / order, span)


def _safe_power(frame: Frame, x: Value, exponent: float, span: Span) -> Value:
    """X ** exponent for x >= 0, with gradient 0 at 0: the branch taken there is a constant."""
    value_at_zero = 0.0 if exponent > 0 else float("inf")
    at_zero = elementwise(frame, equal, (x, weak(0)), span)
    inside = choose(frame, at_zero, weak(1.0), x, span)
    power = elementwise(frame, pow_, (inside, weak(float(exponent))), span)
    return choose(frame, at_zero, weak(value_at_zero), power, span)


def _safe_root(frame: Frame, squares: Value, span: Span) -> Value:
    """The square root with gradient 0 at 0: the branch taken there is a constant."""
    at_zero = elementwise(frame, equal, (squares, weak(0)), span)
    inside = choose(frame, at_zero, weak(1.0), squares, span)
    return choose(frame, at_zero, weak(0.0), elementwise(frame, sqrt, (inside,), span), span)


@builtin("cumsum(x, axis)", "cumprod(x, axis)", "cummax(x, axis)", "logcumsumexp(x, axis)")
def _scan(given: Given) -> Meaning:
    """Running, along the axis; of the same size as `x`."""
    x = settle(given.frame, given.tensor("x"))
    axis = given.axis("axis", x)
    if given.name == "logcumsumexp":
        given.frame.constrain(x.dtype, "float", given.span, "`logcumsumexp`")
    if given.name == "cummax":
        given.frame.constrain(x.dtype, "number", given.span, "`cummax`")
    op = OPS[given.name]
    dtype = _accumulated(x.dtype) if op in (cumsum, cumprod) else x.dtype
    if axis == ONE:
        return Value(tidy(cast_to(x.node, compute(dtype))), x.order, dtype)
    return Value(op(x.node, axis=axis, reverse=False), x.order, dtype)


# contractions and gathers


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
    node = dot(*nodes, axes=_units(tuple(axes)))
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
    return Value(node, _units(tuple(order)), value.dtype, value.weak)


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
    return Value(node, (*left, axis, *right), values.dtype)


@builtin("one_hot(index, axis, dtype=)")
def _one_hot(given: Given) -> Meaning:
    """1 where the index names the position along the axis, 0 elsewhere; f32 unless told."""
    frame = given.frame
    index, dtype = settle(frame, given.tensor("index")), given.dtype("dtype", F32)
    frame.constrain(index.dtype, "int", given.span, "an index")
    axis = extent(frame, given.arguments["axis"])
    refuse_twice(frame, (*index.order, axis), given.span)
    one = constant(value=1 if not may_be_float(dtype) else 1.0, dtype=compute(dtype))
    return Value(scatter(one, index.node, axis=axis, sums=()), (*index.order, axis), dtype)
