"""Built-ins that compute: elementwise functions, reductions, running reductions, contractions, gathers."""

from __future__ import annotations

import string

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
from tdsl.ir.function import DtypeKind
from tdsl.ir.node import OPS
from tdsl.ir.size import ONE, Size
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
    mul,
    polygamma,
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
from tdsl.syntax.elaboration.axes import new_axis, size_of
from tdsl.syntax.elaboration.builtin import Given, builtin
from tdsl.syntax.elaboration.expressions import OPERATORS, choose, size_value, tensor
from tdsl.syntax.elaboration.frame import Frame, axis_text
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
    return elementwise(given.frame, OPS[given.name], (x,), given.span, kind="float")


@builtin("round(x)")
def _round(given: Given) -> Meaning:
    """The nearest integer; halves go to the even one."""
    return elementwise(given.frame, OPS["round"], (given.tensor("x"),), given.span, kind="float")


@builtin("abs(x)", "sign(x)", "neg(x)")
def _number(given: Given) -> Meaning:
    """Elementwise, for numbers."""
    x = given.tensor("x")
    return elementwise(given.frame, OPS[given.name], (x,), given.span, kind="number")


@builtin("square(x)")
def _square(given: Given) -> Meaning:
    """The product x * x."""
    x = given.tensor("x")
    return elementwise(given.frame, mul, (x, x), given.span, kind="number")


@builtin("reciprocal(x)")
def _reciprocal(given: Given) -> Meaning:
    """1 / x."""
    return elementwise(given.frame, div, (weak(1.0), given.tensor("x")), given.span, kind="float")


@builtin(*(f"{name}(x)" for name in PREDICATES))
def _predicate(given: Given) -> Meaning:
    """Elementwise, to bool."""
    x = given.tensor("x")
    return elementwise(given.frame, OPS[given.name], (x,), given.span, kind="float", result=BOOL)


@builtin("minimum(x, y)", "maximum(x, y)", "fmod(x, y)", "remainder(x, y)")
def _pair(given: Given) -> Meaning:
    """Elementwise. A NaN on either side gives NaN; equal operands share the gradient."""
    values = (given.tensor("x"), given.tensor("y"))
    kind: DtypeKind = "any" if given.name.endswith("mum") else "number"
    return elementwise(given.frame, OPS[given.name], values, given.span, kind=kind)


@builtin("pow(x, y)")
def _pow(given: Given) -> Meaning:
    """The power x ** y; a static integer exponent is exact for negative x."""
    values = (given.tensor("x"), given.tensor("y"))
    return elementwise(given.frame, OPS["pow"], values, given.span, kind="number")


@builtin("atan2(y, x)")
def _atan2(given: Given) -> Meaning:
    """The angle of the point (x, y), from -pi to pi."""
    values = (given.tensor("y"), given.tensor("x"))
    return elementwise(given.frame, OPS["atan2"], values, given.span, kind="float")


@builtin("clamp(x, lo=, hi=)", "clip(x, lo=, hi=)")
def _clamp(given: Given) -> Meaning:
    """The nearest value between `lo` and `hi`; either may be left out."""
    x = given.tensor("x")
    lo = given.tensor("lo") if given.has("lo") else None
    hi = given.tensor("hi") if given.has("hi") else None
    if lo is None and hi is None:
        raise given.fail(faults.MISSING_ARGUMENT, argument="lo", name=given.name)
    if lo is None or hi is None:
        name, bound = ("minimum", hi) if lo is None else ("maximum", lo)
        if bound is not None:
            return elementwise(given.frame, OPS[name], (x, bound), given.span, kind="number")
    return elementwise(given.frame, clamp, (x, lo, hi), given.span, kind="number")  # type: ignore[arg-type]


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
    """Elementwise, of the operands' truth."""
    op = {"logical_and": "bitand", "logical_or": "bitor", "logical_xor": "bitxor"}[given.name]
    return elementwise(given.frame, OPS[op], (given.tensor("x"), given.tensor("y")), given.span)


@builtin("logical_not(x)")
def _logical_not(given: Given) -> Meaning:
    """Elementwise, of the operand's truth."""
    return elementwise(given.frame, OPS["bitnot"], (given.tensor("x"),), given.span)


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


def mean(frame: Frame, x: Value, axes: tuple[Size, ...], span: Span) -> Value:
    """A sum and a multiplication by the reciprocal of the count."""
    frame.constrain(x.dtype, "float", span, "`mean`")
    reciprocal = elementwise(frame, div, (weak(1.0), _count(axes)), span, kind="float")
    return elementwise(frame, mul, (total(frame, x, axes), reciprocal), span)


@builtin("mean(x, axis=)")
def _mean(given: Given) -> Meaning:
    """Over the axes, or all of them, of floating values."""
    x = settle(given.frame, given.tensor("x"))
    return mean(given.frame, x, given.axes("axis", x), given.span)


@builtin("var(x, axis=, correction=)", "std(x, axis=, correction=)")
def _var(given: Given) -> Meaning:
    """Over the axes, or all.

    The sum of squares is divided by `N - correction`, and `correction` is 0 unless told, as
    in NumPy (torch: 1). The gradient of `std` is 0 where it is 0.
    """
    frame, span = given.frame, given.span
    x = settle(frame, given.tensor("x"))
    axes = given.axes("axis", x)
    centred = elementwise(frame, sub, (x, mean(frame, x, axes, span)), span)
    squares = total(frame, elementwise(frame, mul, (centred, centred), span), axes)
    count = _count(axes)
    if given.has("correction"):
        freedom = elementwise(frame, sub, (count, given.tensor("correction")), span)
        zero = weak(0)
        count = elementwise(frame, OPS["maximum"], (freedom, zero), span)
    reciprocal = elementwise(frame, div, (weak(1.0), count), span, kind="float")
    result = elementwise(frame, mul, (squares, reciprocal), span)
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
        differs = elementwise(frame, OPS["not_equal"], (x, weak(0)), span, result=BOOL)
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
    at_zero = elementwise(frame, equal, (x, weak(0)), span, result=BOOL)
    inside = choose(frame, at_zero, weak(1.0), x, span)
    power = elementwise(frame, OPS["pow"], (inside, weak(float(exponent))), span)
    return choose(frame, at_zero, weak(value_at_zero), power, span)


def _safe_root(frame: Frame, squares: Value, span: Span) -> Value:
    """The square root with gradient 0 at 0: the branch taken there is a constant."""
    at_zero = elementwise(frame, equal, (squares, weak(0)), span, result=BOOL)
    inside = choose(frame, at_zero, weak(1.0), squares, span)
    return choose(frame, at_zero, weak(0.0), elementwise(frame, sqrt, (inside,), span), span)


@builtin("cumsum(x, axis)", "cumprod(x, axis)", "cummax(x, axis)", "logcumsumexp(x, axis)")
def _scan(given: Given) -> Meaning:
    """Running, along the axis; of the same size as `x`."""
    x = settle(given.frame, given.tensor("x"))
    axis = given.axis("axis", x)
    if given.name == "logcumsumexp":
        given.frame.constrain(x.dtype, "float", given.span, "`logcumsumexp`")
    op = OPS[given.name]
    dtype = _accumulated(x.dtype) if op in (cumsum, cumprod) else x.dtype
    if axis == ONE:
        return Value(tidy(cast_to(x.node, compute(dtype))), x.order, dtype)
    return Value(op(x.node, axis=axis, reverse=False), x.order, dtype)


# contractions and gathers


def contract(frame: Frame, a: Value, b: Value, axes: tuple[Size, ...], span: Span) -> Value:
    """The product summed over the axes, operands rounded to their dtypes."""
    a, b = settle(frame, a), settle(frame, b)
    dtype = common_dtype(frame, (a, b), span)
    is_integer = isinstance(dtype, Dtype) and dtype.kind != "float"
    stored = accumulate(dtype) if is_integer else dtype if a.dtype == b.dtype else compute(dtype)
    nodes = [tidy(cast_to(rounded(v).node, stored)) for v in (a, b)]
    order = [axis for axis in a.order if axis not in axes and axis != ONE]
    order += [axis for axis in b.order if axis not in axes and axis not in order and axis != ONE]
    node = dot(*nodes, axes=_units(axes))
    if is_integer:
        return Value(node, tuple(order), stored)
    return Value(tidy(cast_to(node, compute(dtype))), tuple(order), dtype)


@builtin("dot(a, b, axis)")
def _dot(given: Given) -> Meaning:
    """The sum of the products over the axes; shared axes that are not summed stay.

    Half precision is summed in f32.
    """
    a, b = given.tensor("a"), given.tensor("b")
    axes = given.axes("axis", a)
    missing = [axis for axis in axes if axis not in b.order]
    if missing:
        raise given.fail(
            faults.NO_SUCH_AXIS, "axis", axis=missing[0],
            hint=f"the second operand has {axis_text(b.order)}",
        )  # fmt: skip
    return contract(given.frame, a, b, axes, given.span)


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
    free = {a.order[-2]} if len(a.order) > 1 else set()
    if len(b.order) > 1 and b.order[-1] in free and b.order[-1] != ONE:
        raise frame.fail(faults.AXIS_TWICE, span, axes=axis_text((*a.order[:-1], b.order[-1])))
    return contract(frame, a, b, (left,), span)


OPERATORS["@"] = matmul


@builtin("einsum(equation, *operands)")
def _einsum(given: Given) -> Meaning:
    """Letters are bound to axes by position; what the result lacks is summed."""
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
        if len(word) != len(operand.order):
            raise given.fail(faults.BAD_EINSUM, "equation")
        for letter, axis in zip(word, operand.order, strict=True):
            if bound.setdefault(letter, axis) != axis:
                raise frame.fail(faults.AXIS_MISMATCH, span, expected=bound[letter], found=axis)
    if not set(right) <= set(bound) or len(set(right)) != len(right):
        raise given.fail(faults.BAD_EINSUM, "equation")
    result = operands[0]
    kept = [bound[letter] for letter in right]
    for place, operand in enumerate(operands[1:], start=1):
        later = {a for v in operands[place + 1 :] for a in v.order}
        gone = tuple(
            a for a in operand.order if a in result.order and a not in kept and a not in later
        )
        result = contract(frame, result, operand, gone, span)
    extra = tuple(axis for axis in result.order if axis not in kept)
    result = total(frame, result, extra) if extra else result
    return Value(result.node, tuple(kept), result.dtype)


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
        axis = new_axis(frame, expr, given.size("size"), given.span)
    else:
        axis = size_of(frame, expr)
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
    node = scatter(values.node, index.node, axis=axis, sums=sums)
    return Value(node, (*left, axis, *right), values.dtype)


@builtin("one_hot(index, axis, dtype=)")
def _one_hot(given: Given) -> Meaning:
    """1 where the index names the position along the axis, 0 elsewhere; f32 unless told."""
    frame = given.frame
    index, dtype = settle(frame, given.tensor("index")), given.dtype("dtype", F32)
    frame.constrain(index.dtype, "int", given.span, "an index")
    axis = size_of(frame, given.arguments["axis"])
    one = constant(value=1 if not may_be_float(dtype) else 1.0, dtype=compute(dtype))
    return Value(scatter(one, index.node, axis=axis, sums=()), (*index.order, axis), dtype)
