"""From the shapes of arguments to the size of every axis.

In: a Function's parameters and the shapes of their arrays. Out: the value of each axis name. Between: each
axis of an argument is an equation; those linear in one unknown name are solved, repeatedly; the others
must hold. What does not is a TdslValueError that names the parameter, the axis and both sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.function import Check, Function
from tdsl.ir.size import Size


@dataclass(frozen=True, slots=True)
class Equation:
    """An axis of an argument: the size that its type names, and the size that it has."""

    param: str
    axis: int
    size: Size
    actual: int

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"axis {self.axis} of `{self.param}`"


@dataclass(slots=True)
class Solution:
    """The names known so far, and the equations that gave them."""

    sizes: dict[str, int] = field(default_factory=dict)
    sources: dict[str, Equation] = field(default_factory=dict)

    def known(self, names: Sequence[str]) -> str:
        """What is known of names, for a message."""
        return " and ".join(f"{n} = {self.sizes[n]} ({self.sources[n].place})" for n in names)


def solve(function: Function, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The value of every axis name; the function's checks hold for them.

    Raises TdslValueError for sizes that disagree or do not follow, and for a check that fails.
    """
    left = [
        Equation(param.name, i, size, actual)
        for param in function.params
        for i, (size, actual) in enumerate(zip(param.shape, shapes[param.name], strict=True))
    ]
    solution = Solution()
    while left:
        rest = [equation for equation in left if not _use(equation, solution)]
        if len(rest) == len(left):
            raise _unsolved(rest, solution)
        left = rest
    for check in function.checks:
        _decide(check, solution.sizes)
    return solution.sizes


def _use(equation: Equation, solution: Solution) -> bool:
    """Decide or solve one equation; False while it has several unknown names."""
    size, actual, sizes = equation.size, equation.actual, solution.sizes
    unknown = size.names() - sizes.keys()
    if not unknown:
        if size.evaluate(sizes) != actual:
            raise _mismatch(equation, solution)
        return True
    if len(unknown) > 1:
        return False
    (name,) = unknown
    at_zero, at_one, at_two = (size.evaluate({**sizes, name: n}) for n in (0, 1, 2))
    slope = at_one - at_zero
    if slope == 0 or at_two - at_one != slope:
        return False
    # Not divmod: sizes may be symbolic, as tracers of torch have them.
    value, remainder = (actual - at_zero) // slope, (actual - at_zero) % slope
    if remainder != 0 or value < 0:
        raise _no_solution(equation, solution, name)
    sizes[name] = value
    solution.sources[name] = equation
    return True


def _mismatch(equation: Equation, solution: Solution) -> TdslError:
    size = equation.size
    names = sorted(size.names())
    if not names:
        where = "by its type"
    elif size.atom is not None and size.atom.kind in ("name", "pack"):
        where = f"along {solution.sources[names[0]].place}"
    else:
        where = f"by {solution.known(names)}"
    return _wrong_size(equation, str(size.evaluate(solution.sizes)), where)


def _no_solution(equation: Equation, solution: Solution, name: str) -> TdslError:
    others = sorted(equation.size.names() - {name})
    known = f", for {solution.known(others)}" if others else ""
    expected = f"there is no {name} >= 0"
    return _wrong_size(equation, expected, f"with {equation.size} = {equation.actual}{known}")


def _wrong_size(equation: Equation, expected: str, where: str) -> TdslError:
    return faults.CALL_SIZE.at(
        axis=axis_text(equation.size), name=equation.param, found=equation.actual,
        expected=expected, where=where, note=f"it is axis {equation.axis} of `{equation.param}`",
    )  # fmt: skip


def _unsolved(left: Sequence[Equation], solution: Solution) -> TdslError:
    unknown = sorted({n for e in left for n in e.size.names()} - solution.sizes.keys())
    note = "\n".join(f"{e.place} has {e.actual} = {e.size}" for e in left)
    return faults.CALL_UNSOLVED.at(axis=", ".join(unknown), note=note)


def axis_text(size: Size) -> str:
    """An axis as the source writes it: one of a pack shows the pack."""
    head, dot, _ = size.text.partition(".")
    return f"*{head}" if dot and size.atom is not None else size.text


def _decide(check: Check, sizes: Mapping[str, int]) -> None:
    """Raise the error of a condition on sizes that does not hold."""
    a, b = check.left.evaluate(sizes), check.right.evaluate(sizes)
    if {"==": a == b, "<=": a <= b, "<": a < b, "!=": a != b}[check.relation]:
        return
    sides = [f"{s} is {n}" for s, n in ((check.left, a), (check.right, b)) if not _is_plain(s)]
    names = sorted(check.left.names() | check.right.names())
    note = ", ".join((*sides, *(f"{n} is {sizes[n]}" for n in names)))
    raise faults.CALL_CHECK.at(check.span, message=check.message, note=note, source=check.source)


def _is_plain(size: Size) -> bool:
    """Whether a size is a number or a name."""
    return size.constant is not None or (size.atom is not None and size.atom.kind == "name")
