"""Sizes and the numbers that follow from them, as Python of an exported file.

In: sizes, the shapes of parameters, and graphs of numbers. Out: expressions, and the statements that find
every axis's size. Between: one name stands for one axis everywhere in the file.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from keyword import kwlist
from math import isfinite

from tdsl.errors import InternalError
from tdsl.fusion.layout import PROGRAMS
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.function import Check, Function, Param
from tdsl.ir.node import Node, topological
from tdsl.ir.size import ONE, ZERO, Atom, Size
from tdsl.ops import cast, constant, size_

RESERVED = frozenset(
    (
        *kwlist, *dir(builtins), "torch", "triton", "tl", "libdevice", "contextlib", "math", "ctx",
        "programs",
    )
)  # fmt: skip
_LOCAL = re.compile(r"(grid|block_rows|block_columns)(_\d+)?")
_NUMBERS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "neg": "-{0}", "abs": "abs({0})",
    "div": "_quotient({0}, {1})", "sqrt": "math.sqrt({0})", "rsqrt": "_quotient(1.0, math.sqrt({0}))",
    "maximum": "max({0}, {1})", "minimum": "min({0}, {1})", "pow": "pow({0}, {1})",
    "equal": "{0} == {1}", "not_equal": "{0} != {1}", "less": "{0} < {1}",
    "less_equal": "{0} <= {1}", "greater": "{0} > {1}", "greater_equal": "{0} >= {1}",
}  # fmt: skip

_WIDTHS = {"bool": "bool", "bf16": "bfloat16", "f": "float", "i": "int", "u": "uint"}


_FLAT = re.compile(r"\([^()\[\]]*\)|\[[^()\[\]]*\]")
_PRIMARY = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?|[\w.|]+")


@dataclass
class SizeNames:
    """Python names of axes, none of which is taken otherwise."""

    taken: set[str]
    known: dict[Atom, str] = field(default_factory=dict)

    def fresh(self, base: str) -> str:
        """The name, with a number where it is taken or has a meaning in Python."""
        name, number = base, 0
        while name in self.taken or is_reserved(name):
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name

    def axis(self, atom: Atom) -> str:
        """The name of an axis's size."""
        if atom == PROGRAMS.atom:
            return "programs"
        if atom not in self.known:
            base = re.sub(r"\W+", "_", atom.name)
            packed = re.fullmatch(r"(\w+)\.(\d+)", atom.name)
            self.known[atom] = self.fresh("".join(packed.groups()) if packed else base.strip("_"))
        return self.known[atom]

    def text(self, size: Size, atom_text: Callable[[Atom], str] | None = None) -> str:
        """A size as an expression. `atom_text` spells the indices of axes."""
        text = ""
        for monomial, c in sorted(size.terms, key=lambda term: term[1] < 0):
            factors = [str(abs(c))] if abs(c) != 1 or not monomial else []
            factors += [self._atom(atom, atom_text) for atom in monomial]
            product = " * ".join(factors)
            if text:
                text = f"{text} {'-' if c < 0 else '+'} {product}"
            else:
                text = f"-{product}" if c < 0 else product
        return text or "0"

    def factor(self, size: Size, atom_text: Callable[[Atom], str] | None = None) -> str:
        """A size as an operand."""
        return in_parentheses(self.text(size, atom_text))

    def shape(self, sizes: Iterable[Size]) -> str:
        """A shape as a tuple."""
        return tuple_text([self.text(size) for size in sizes])

    def _atom(self, atom: Atom, atom_text: Callable[[Atom], str] | None) -> str:
        if atom.kind == "index":
            if atom_text is None:
                raise InternalError(f"no index runs along {atom.args[0]}")
            return atom_text(atom)
        if atom.kind in ("name", "pack"):
            return self.axis(atom)
        if atom.kind == "copy":
            return self.factor(atom.args[0], atom_text)
        a, b = (self.factor(arg, atom_text) for arg in atom.args)
        if atom.kind in ("min", "max"):
            return f"{atom.kind}({a}, {b})"
        sign = "//" if atom.kind == "floordiv" else "%"
        is_position = any(inner.kind == "index" for inner in atom.args[0].atoms())
        if is_position or atom.args[1].constant:
            return f"({a} {sign} {b})"
        return f"({a} {sign} {b} if {b} else 0)"

    def solve(self, function: Function) -> Iterator[str]:
        """Statements that find every axis's size from the parameters' shapes, and check the others."""
        known: set[Atom] = set()
        waiting = list(function.params)
        while waiting:
            param = next((p for p in waiting if self._follows(p, known)), None)
            if param is None:
                raise InternalError(f"sizes of `{waiting[0].name}` do not follow")
            waiting.remove(param)
            yield from self._param(param, known)
        yield from map(self._check, function.checks)

    def _follows(self, param: Param, known: set[Atom]) -> bool:
        """Whether each axis of the parameter has at most one unknown name, after those before it."""
        found = set(known)
        for size in param.shape:
            unknown = _names(size) - found
            if len(unknown) > 1 or (unknown and _slope(size, *unknown) is None):
                return False
            found |= unknown
        return True

    def _param(self, param: Param, known: set[Atom]) -> Iterator[str]:
        name, shape = param.name, param.shape
        axes = ", ".join(axis_text(size) for size in shape)
        fresh = {size.atom for size in shape} - known
        told = f'f"{name} [{axes}] has the shape {{list({name}.shape)}}"'
        rank = f"_require({name}.ndim == {len(shape)}, {told})"
        plain = all(size.atom is not None and size.atom.kind == "name" for size in shape)
        if shape and plain and len(fresh) == len(shape):
            yield rank
            names = [self.axis(size.atom) for size in shape if size.atom]
            yield f"{unpacked(names)} = {name}.shape"
            known |= {size.atom for size in shape if size.atom}
            return
        found = [size for size in shape if _names(size) - known]
        if found:
            yield rank
        for place, size in enumerate(shape):
            for atom in _names(size) - known:
                yield f"{self.axis(atom)} = {self._solved(f'{name}.shape[{place}]', size, atom)}"
                known.add(atom)
        yield f"_require({name}.shape == {self.shape(shape)}, {told})"

    def _solved(self, actual: str, size: Size, atom: Atom) -> str:
        """The atom, of which the size is a linear expression with this value."""
        slope = _slope(size, atom) or ONE
        rest = size - slope * Size((((atom,), 1),))
        text = f"({actual} - {self.factor(rest)})" if rest.terms else actual
        return text if slope == ONE else f"{text} // {self.factor(slope)}"

    def _check(self, check: Check) -> str:
        condition = f"{self.text(check.left)} {check.relation} {self.text(check.right)}"
        return f"_require({condition}, {quoted(check.message)})"


def is_reserved(name: str) -> bool:
    """Whether the name means something else in a generated function."""
    return name in RESERVED or _LOCAL.fullmatch(name) is not None


def axis_text(size: Size) -> str:
    """An axis for readers: `B.0` is called B0 in Python."""
    return re.sub(r"(\w)\.(\d)", r"\1\2", size.text)


def _names(size: Size) -> set[Atom]:
    return {atom for atom in size.atoms() if atom.kind in ("name", "pack")}


def _slope(size: Size, atom: Atom) -> Size | None:
    """What the atom is multiplied by in a size that is linear in it."""
    slope, rest = ZERO, ZERO
    for monomial, c in size.terms:
        if monomial.count(atom) == 1:
            slope = slope + Size(((tuple(a for a in monomial if a != atom), c),))
        else:
            rest = rest + Size(((monomial, c),))
    return None if atom in rest.atoms() | slope.atoms() else slope


def number_text(node: Node, names: SizeNames) -> str | None:
    """A value of rank 0 that follows from sizes, as Python; None for an operation without a spelling."""
    texts: dict[Node, str] = {}
    for inner in topological([node]):
        operands = [texts[o] for o in inner.operands]
        if inner.op is constant:
            texts[inner] = literal(inner["value"])
        elif inner.op is size_:
            texts[inner] = names.text(inner["value"])
        elif inner.op is cast:
            kind = str(inner.dtype)[0]
            whole = inner.operands[0].dtype.kind != "float" or kind in "fb"  # type: ignore[union-attr]
            texts[inner] = operands[0] if whole and kind != "b" else f"int({operands[0]})"
        elif inner.op.name == "div" and (literal_value(operands[1]) or 0) > 0:
            texts[inner] = "{} / {}".format(*map(in_parentheses, operands))
        elif inner.op.name in _NUMBERS:
            inside = "(" in _NUMBERS[inner.op.name]
            parts = operands if inside else list(map(in_parentheses, operands))
            texts[inner] = _NUMBERS[inner.op.name].format(*parts)
        else:
            return None
    return texts[node]


def literal_value(text: str) -> float | None:
    """The number that the text is, if it is one."""
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def literal(value: float) -> str:
    """A number as Python writes it."""
    if not isfinite(value):
        return f'float("{value}")'
    return repr(value)


def in_parentheses(text: str) -> str:
    """The expression as an operand of any operator: as it is, if it is a name, a call, or a number."""
    flat = text
    while (flatter := _FLAT.sub("|", flat)) != flat:
        flat = flatter
    return text if _PRIMARY.fullmatch(flat) else f"({text})"


def tuple_text(items: Sequence[str]) -> str:
    """The items as a tuple."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def unpacked(names: Sequence[str]) -> str:
    """The names as a target of an assignment from a tuple."""
    return f"({names[0]},)" if len(names) == 1 else ", ".join(names)


def quoted(text: str) -> str:
    """The text as a string of Python, in double quotes where it has none."""
    return repr(text) if '"' in text else '"' + repr(text)[1:-1].replace("\\'", "'") + '"'


def torch_name(dtype: AnyDtype) -> str:
    """The dtype as torch calls it."""
    name = str(dtype)
    if name in _WIDTHS:
        return f"torch.{_WIDTHS[name]}"
    return f"torch.{_WIDTHS[name[0]]}{name[1:]}"
