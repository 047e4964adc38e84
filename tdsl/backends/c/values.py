"""The values of a kernel as C statements: reads, places, arithmetic.

In: nodes of a kernel, operands first. Out: lines, and the expression of each node. Between: a read outside
its domain gives the fill and touches no memory; positions are counted in 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tdsl.backends.c.helpers import functions
from tdsl.backends.c.literals import (
    c_type,
    converted,
    literal,
    loaded,
    memory_type,
    spelled,
    suffix,
)
from tdsl.backends.c.schedule import Schedule
from tdsl.backends.names import C, Names, written
from tdsl.fusion.kernel import Access, Kernel, Store, access, offset_of
from tdsl.fusion.offsets import base_of, located
from tdsl.ir.dtype import I64
from tdsl.ir.index_map import Condition, InRange
from tdsl.ir.node import Node
from tdsl.ir.size import Size, is_nonnegative
from tdsl.ir.size import index as variable
from tdsl.ops import arange, cast, constant, index, input_, size_, take

RESERVED = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
    "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict",
    "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union",
    "unsigned", "void", "volatile", "while", "bool", "true", "false", "row", "column", "lane",
    "lanes", "start", "end", "first", "last", "blocks", "across", "unit", "units", "program",
    "part", "threads", "rest", "y0", "y1", "yn", "j0", "j1", "jn", "gamma", "signgam", "INFINITY",
    "NAN",
))  # fmt: skip


@dataclass
class Values:
    """Lines under construction. `text` has the expression of each value that is known.

    `where` has the index along each axis. `arrays` collects the declarations of values that are kept for
    several rows side by side, while those are computed.
    """

    kernel: Kernel
    schedule: Schedule
    lines: list[str] = field(default_factory=list)
    text: dict[Node, str] = field(default_factory=dict)
    where: dict[Size, Size] = field(default_factory=dict)
    arrays: list[str] | None = None
    indent: int = 1

    def __post_init__(self) -> None:
        kernel = self.kernel
        self.nodes = kernel.nodes()
        self.shapes = {read.node: read.shape for read in kernel.reads}
        self.pointers = list(
            dict.fromkeys([*(r.name for r in kernel.reads), *(s.buffer for s in kernel.stores)])
        )
        self.numbers = [name for name, _ in kernel.numbers]
        taken = {*RESERVED, *functions(), *self.numbers}
        self.buffers: dict[str, str] = {}
        self.names = Names(taken, C)
        for pointer in self.pointers:
            self.buffers[pointer] = self.names.fresh(f"{pointer}_ptr")

    def line(self, text: str) -> None:
        """Append a line."""
        self.lines.append("    " * self.indent + text if not text.startswith("#") else text)

    def open(self, text: str) -> None:
        """Append the beginning of a block."""
        self.line(f"{text} {{")
        self.indent += 1

    def close(self) -> None:
        """Append the end of a block."""
        self.indent -= 1
        self.line("}")

    def open_parts(self, start: str, end: str, length: int, of: tuple[str, str]) -> None:
        """Append the beginning of a loop over parts, from `start` to `end`, of a range."""
        first, last = of
        self.open(f"for (int64_t {start} = {first}; {start} < {last}; {start} += {length})")
        self.ends(end, start, length, last)

    def ends(self, end: str, start: str, length: int, last: str) -> None:
        """Append where a part ends that begins at `start`: at the latest where the whole does."""
        whole = f"{last} - {start} < {length}"
        self.line(f"const int64_t {end} = {whole} ? {last} : {start} + {length};")

    def close_to(self, depth: int) -> None:
        """Append the ends of all blocks deeper than this."""
        while self.indent > depth:
            self.close()

    def name(self, node: Node, hint: str = "") -> str:
        """A new name for a value."""
        return self.names.value(node, self.kernel.origins.get(node), len(self.text), hint)

    def assign(self, node: Node, text: str) -> None:
        """Append the assignment of a node's value to a new name."""
        name, type_ = self.name(node), c_type(node.dtype)
        if self.arrays is None:
            self.line(f"const {type_} {name} = {text};")
            self.text[node] = name
        else:
            self.arrays.append(f"{memory_type(node.dtype)} {name}[{self.schedule.block}];")
            self.line(f"{name}[lane] = {text};")
            self.text[node] = loaded(f"{name}[lane]", node.dtype)

    def emit(self, nodes: Iterable[Node]) -> None:
        """Append what is not known yet of these nodes."""
        for node in nodes:
            if node not in self.text:
                self._emit(node)

    def _emit(self, node: Node) -> None:
        if node.op is constant:
            self.text[node] = literal(node["value"], node.dtype)
        elif node.op is size_:
            self.text[node] = self.names.factor(node["value"])
        elif node.op is arange:
            if node["axis"] in self.where:  # else only an index map of it is used
                self.text[node] = self.place(variable(node["axis"]))
        elif node.op is input_ and node not in self.shapes:
            self.text[node] = node["name"]
        elif node.op in (input_, take) or (node.op is index and node.operands[0] in self.shapes):
            self._load(node)
        elif node.op is index:
            self._moved(node)
        elif node.op is cast:
            (x,) = node.operands
            text = converted(self.text[x], x.dtype, node.dtype)
            if text == self.text[x]:
                self.text[node] = text
            else:
                self.assign(node, text)
        else:
            own = node.operands[0].dtype
            known = {**dict(node.attrs), "s": suffix(own), "t": str(own)}
            operands = [self.text[operand] for operand in node.operands]
            self.assign(node, spelled(node).format(*operands, **known))

    def place(self, place: Size) -> str:
        """A place by the counters, as an operand."""
        return self.names.factor(located(place, self.where))

    def _moved(self, node: Node) -> None:
        """An index map of positions or of one number: a place, whether it is inside, or the number."""
        (x,) = node.operands
        (piece,) = node["map"].pieces
        if x.op is arange:
            self.text[node] = self.place(dict(piece.exprs).get(x["axis"], variable(x["axis"])))
        elif piece.domain:
            self.assign(node, " && ".join(self._inside(piece.domain)) or "true")
        else:
            self.text[node] = self.text[x]

    def _inside(self, domain: Sequence[Condition]) -> list[str]:
        """The conditions that are not always true."""
        found = []
        for condition in domain:
            place = self.place(condition.expr)
            if not isinstance(condition, InRange):
                found.append(f"{place} % {self.names.factor(condition.divisor)} == 0")
                continue
            is_low = is_nonnegative(condition.size - 1 - condition.expr)
            if not is_nonnegative(condition.expr):
                found.append(f"{place} >= 0" if is_low else self._between(place, condition.size))
            elif not is_low:
                found.append(f"{place} < {self.names.factor(condition.size)}")
        return found

    def _between(self, place: str, size: Size) -> str:
        """Whether a place is inside, as one comparison: with two, loops do not become vectors."""
        return f"(uint64_t){place} < (uint64_t){self.names.factor(size)}"

    def place_of(self, node: Node, where: dict[Size, Size]) -> Size:
        """The place in its buffer of what a read reads with these indices along the axes."""
        base = base_of(node)
        shape = self.shapes[base]
        read = access(node, shape)
        offset = offset_of(shape, self._places(read, shape), self._strides(base))
        return located(offset, where)

    def _load(self, node: Node) -> None:
        base = base_of(node)
        read = access(node, self.shapes[base])
        guard = self._inside(read.domain)
        if read.at is not None and read.gathered is not None:
            at = self.text[read.at]
            guard.append(self._between(at, read.gathered))
        text = self.element(str(base["name"]), self.place_of(node, self.where))
        if guard:
            text = f"{' && '.join(guard)} ? {text} : {literal(read.fill, node.dtype)}"
            text = f"({text}) != 0" if loaded("", node.dtype) else text
        else:
            text = loaded(text, node.dtype)
        self.assign(node, text)

    def _places(self, read: Access, shape: Sequence[Size]) -> tuple[Size, ...]:
        """The read's places; along a gathered axis the value that points."""
        if read.at is None:
            return read.places
        text = self.text[read.at]
        at = written(text if read.at.dtype == I64 else f"(int64_t){text}")
        return tuple(
            at if axis == read.gathered else place
            for axis, place in zip(shape, read.places, strict=True)
        )

    def _strides(self, node: Node) -> tuple[Size, ...] | None:
        return self.kernel.strides.get(str(node["name"]))

    def element(self, buffer: str, offset: Size) -> str:
        """An element of a buffer."""
        return f"{self.buffers[buffer]}[{self.names.size(offset)}]"

    def target(self, store: Store) -> str:
        """Where a value is stored; a program's own part begins at its number."""
        return self.element(store.buffer, self.target_of(store, self.where))

    def target_of(self, store: Store, where: dict[Size, Size]) -> Size:
        """The place in its buffer, with these indices along the axes."""
        shape = store.shape[1:] if store.share else store.shape
        offset = located(offset_of(shape, store.places), where)
        if store.share:
            part = written("program")
            for size in shape:
                part = part * size
            offset = part + offset
        return offset

    def stores(self, stores: Iterable[Store]) -> None:
        """Append stores of values."""
        for store in stores:
            self.line(f"{self.target(store)} = {self.text[store.node]};")
