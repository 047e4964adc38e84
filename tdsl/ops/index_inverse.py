"""Inversion of index maps: for each place of an operand, where in the result it is read.

In: a piece `x[..., a <- e_a(o), ...]` on a domain. Out: its `Inverse`, or None if it is outside the
class that is solved here: expressions affine in the output indices; exact quotients of such
(`t // s` where the domain holds `s | t`); and the digits of such (`t // S`, `t // R % A`, ...).
Between: every expression becomes a linear equation between output and operand indices.
Outputs that count in mixed radix (`i*D + j`) are the digits of the other side; else the equation is
solved for its first output axis, and the cotangent is summed over the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from tdsl.ir.index_map import Condition, Divides, InRange, Piece
from tdsl.ir.size import (
    ONE,
    ZERO,
    Atom,
    Axis,
    Size,
    as_size,
    floordiv,
    index,
    is_nonnegative,
    mod,
    rebuild,
)
from tdsl.ops.index_values import digits, index_axes

Values = dict[Atom, Size]


@dataclass(frozen=True, slots=True)
class Inverse:
    """The index for each solved output axis, where that holds, and the axes left to sum."""

    exprs: tuple[tuple[Axis, Size], ...]
    domain: tuple[Condition, ...]
    summed: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class _Equation:
    """`left == right`, affine in output indices and in operand indices."""

    left: Size
    right: Size


def invert(piece: Piece, new: Sequence[Axis], operand: Sequence[Axis]) -> Inverse | None:
    """The inverse of a piece whose map has the axes `new`, for an operand with the given axes."""
    listed = [axis for axis, _ in piece.exprs]
    values: Values = {
        _output(axis): _operand(axis) for axis in new if axis in operand and axis not in listed
    }
    kept = set(values)
    equations = _equations(piece, operand)
    if equations is None:
        return None
    domain: list[Condition] = list(piece.domain)
    for equation in sorted(equations, key=lambda e: len(_coefficients(e.left)[0])):
        domain += _solve(equation, new, values)
    exprs = tuple((a.args[0], _final(v, values)) for a, v in values.items() if a not in kept)
    summed = [axis for axis in new if _output(axis) not in values]
    if set(summed) & set(operand):
        return None
    lacking = [axis for axis in listed if axis not in operand and axis not in summed]
    read = {axis for _, expr in exprs for axis in index_axes(expr)}
    summed += [axis for axis in lacking if axis in read]
    return Inverse(exprs, tuple(_open(domain, values)), tuple(summed))


def _output(axis: Axis) -> Atom:
    atom = index(axis).atom
    if atom is None:
        raise ValueError(f"no index runs along {axis}")
    return atom


def _operand(axis: Axis) -> Size:
    """The operand's own index, told from the output index along an axis of the same name."""
    return Size((((Atom("index", "operand", (axis,)),), 1),))


def _final(size: Size, values: Mapping[Atom, Size]) -> Size:
    """The expression with solved outputs replaced and operand indices as plain ones."""
    for _ in values:
        size = size.substitute(values)
    return rebuild(size, lambda a: index(a.args[0]) if a.kind == "index" and a.name else None)


def _open(domain: Iterable[Condition], values: Mapping[Atom, Size]) -> Iterable[Condition]:
    """The conditions in terms of the operand's indices, without those that always hold."""
    seen: dict[Condition, None] = {}
    for condition in domain:
        expr = _final(condition.expr, values)
        if isinstance(condition, Divides):
            if mod(expr, condition.divisor) != ZERO:
                seen[Divides(expr, condition.divisor)] = None
        elif not (is_nonnegative(expr) and is_nonnegative(condition.size - 1 - expr)):
            seen[InRange(expr, condition.size)] = None
    return seen


def _equations(piece: Piece, operand: Sequence[Axis]) -> list[_Equation] | None:
    """What the piece says, as linear equations; None if it is not linear.

    An axis that the operand lacks counts as a digit of a number, if others tell of the same number.
    """
    exact = _exact_remainders(piece.domain)
    groups: dict[frozenset[Axis], list[tuple[Axis, Size]]] = {}
    equations: list[_Equation] = []
    for axis, expr in piece.exprs:
        simple = rebuild(expr, exact.get)
        if not _is_affine(simple):
            groups.setdefault(index_axes(simple), []).append((axis, simple))
        elif axis in operand:
            equations.append(_Equation(simple, _operand(axis)))
    for group in groups.values():
        if any(axis in operand for axis, _ in group):
            orders = (_digit_equation(order, exact) for order in permutations(group))
            found = next((equation for equation in orders if equation), None)
            if found is None:
                return None
            equations.append(found)
    points = (c for c in piece.domain if isinstance(c, InRange) and c.size == ONE)
    return equations + [_Equation(c.expr, ZERO) for c in points if _is_affine(c.expr)]


def _exact_remainders(domain: Iterable[Condition]) -> Values:
    """The remainders that the domain says are 0."""
    found: Values = {}
    for condition in domain:
        if isinstance(condition, Divides):
            remainder = mod(condition.expr, condition.divisor).atom
            if remainder is not None:
                found[remainder] = ZERO
    return found


def _digit_equation(group: Sequence[tuple[Axis, Size]], exact: Values) -> _Equation | None:
    """The number whose digits the expressions are, the first the highest: it determines them."""
    left, right = ZERO, ZERO
    for axis, expr in group:
        left = left * axis + rebuild(expr, _remainder)
        right = right * axis + _operand(axis)
    if _is_affine(left):
        return _Equation(left, right)
    for atom in left.atoms():
        if atom.kind == "floordiv":
            multiple = rebuild(left * atom.args[1], exact.get)
            if _is_affine(multiple):
                return _Equation(multiple, right * atom.args[1])
    return None


def _remainder(atom: Atom) -> Size | None:
    """`a % b` as `a - b * (a // b)`, so that digits add up to their number."""
    if atom.kind != "mod":
        return None
    a, b = atom.args
    for inner in a.atoms():
        rest = a - Size((((inner,), 1),))
        if inner.kind == "floordiv" and not index_axes(rest):
            dividend, divisor = inner.args
            return a - b * floordiv(dividend + rest * divisor, divisor * b)
    return a - b * floordiv(a, b)


def _is_affine(size: Size) -> bool:
    """Whether every index stands alone in its term, outside of quotients and remainders."""
    for monomial, _ in size.terms:
        varying = [atom for atom in monomial if index_axes(Size((((atom,), 1),)))]
        if len(varying) > 1 or any(atom.kind != "index" for atom in varying):
            return False
    return True


def _coefficients(size: Size) -> tuple[dict[Atom, Size], Size]:
    """The coefficient of each output index in an affine expression, and the rest."""
    found: dict[Atom, Size] = {}
    rest = ZERO
    for monomial, c in size.terms:
        variable = next((a for a in monomial if a.kind == "index" and not a.name), None)
        factor = Size(((tuple(a for a in monomial if a is not variable), c),))
        if variable is None:
            rest = rest + factor
        else:
            found[variable] = found.get(variable, ZERO) + factor
    return found, rest


def _solve(equation: _Equation, new: Sequence[Axis], values: Values) -> list[Condition]:
    """Solve for output axes, into `values`; the conditions under which the solution holds."""
    coefficients, rest = _coefficients(equation.left.substitute(values))
    right = equation.right - rest
    axes = [axis for axis in new if _output(axis) in coefficients]
    if not axes:
        return [InRange(right, ONE)]
    unit = coefficients[_output(axes[-1])]
    if not _is_mixed_radix(axes, coefficients, unit):
        for axis in axes[1:]:
            right = right - coefficients[_output(axis)] * index(axis)
        axes, unit = axes[:1], coefficients[_output(axes[0])]
    if not is_nonnegative(unit):
        right, unit = -right, -unit
    position = floordiv(right, unit)
    for axis, digit in zip(axes, digits(position, axes), strict=True):
        values[_output(axis)] = digit
    whole = as_size(1)
    for axis in axes:
        whole = whole * axis
    return [Divides(right, unit), InRange(position, whole)]


def _is_mixed_radix(axes: Sequence[Axis], coefficients: Mapping[Atom, Size], unit: Size) -> bool:
    stride = unit
    for axis in reversed(axes):
        if coefficients[_output(axis)] != stride:
            return False
        stride = stride * axis
    return True
