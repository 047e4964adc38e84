"""What an expression of the language means while it is elaborated.

A `Value` is an array or a weak scalar; everything else is known at compile time: Python's `str`, `None`
and tuples stand for themselves, dtypes for dtypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tdsl.ir.dtype import BOOL, F64, I64, AnyDtype, Dtype, DtypeTerm, DtypeVar
from tdsl.ir.node import Node
from tdsl.ir.size import Axis, Size
from tdsl.ops import constant
from tdsl.syntax import ast

if TYPE_CHECKING:
    from tdsl.syntax.elaboration.program import Program


@dataclass(frozen=True, slots=True)
class Value:
    """A value with axes in an order; unit axes are `ONE` there and absent from the node.

    `node` has the compute dtype of `dtype`, and may lack axes of `order`, along which it is invariant.
    A weak value has rank 0, and takes the dtype of the array that it meets.
    """

    node: Node
    order: tuple[Size, ...]
    dtype: AnyDtype
    weak: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes that alignment sees."""
        return tuple(axis for axis in self.order if axis.constant != 1)

    @property
    def static(self) -> bool | int | float | None:
        """The number, if it is known at compile time."""
        if self.weak and self.node.op is constant:
            number: bool | int | float = self.node["value"]
            return number
        return None


@dataclass(frozen=True, slots=True)
class AxisValue:
    """What an `Axis` parameter is bound to."""

    axes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class FunctionValue:
    """A function of a program, or a derivative of one."""

    program: Program
    definition: ast.FunctionDef
    derivative: tuple[tuple[str, tuple[str, ...] | None, bool], ...] = ()

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.definition.name


@dataclass(frozen=True, slots=True)
class BuiltinValue:
    """A built-in function, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class ForeignValue:
    """A value of a Python file that the language has no place for, by its type's name."""

    type: str


class Poison:
    """The value of something faulty, which was reported already."""


Meaning = (
    Value | AxisValue | FunctionValue | BuiltinValue | Poison | str | None
    | Dtype | DtypeVar | DtypeTerm | tuple["Meaning", ...]
)  # fmt: skip


def weak(number: bool | int | float) -> Value:
    """A number known at compile time."""
    dtype = BOOL if isinstance(number, bool) else I64 if isinstance(number, int) else F64
    return Value(constant(value=number, dtype=dtype), (), dtype, weak=True)
