"""How arguments lie in memory, as a plan sees it.

In: names, shapes and strides of arrays. Out: symbolic strides of those that are not contiguous, with the
values of their symbols. Between: along an axis the distance is 0, 1, or a number given at the launch, so
that layouts of one class share their code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tdsl.ir.size import ONE, ZERO, Size, name

Layout = tuple[str, tuple[int, ...], tuple[int, ...]]


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether elements lie one after another, the last axis fastest; strides are in elements."""
    step = 1
    for count, stride in zip(reversed(shape), reversed(strides), strict=True):
        if count == 0:
            return True
        if count != 1 and stride != step:
            return False
        step *= count
    return True


def symbolic_strides(
    layouts: Iterable[Layout],
) -> tuple[Mapping[str, tuple[Size, ...]], Mapping[str, int]]:
    """The strides of arguments that are not contiguous, given as name, shape and strides in elements."""
    found: dict[str, tuple[Size, ...]] = {}
    values: dict[str, int] = {}
    for param, shape, strides in layouts:
        if is_contiguous(shape, strides):
            continue
        steps = []
        for axis, (count, step) in enumerate(zip(shape, strides, strict=True)):
            if step == 0 or count == 1:
                steps.append(ZERO)
            elif step == 1:
                steps.append(ONE)
            else:
                steps.append(name(f"{param}_stride{axis}"))
                values[f"{param}_stride{axis}"] = step
        found[param] = tuple(steps)
    return found, values
