"""Kernels as Triton source.

In: a `Kernel` and a `Schedule`. Out: the text of one `@triton.jit` function, and its parameters in order.
Between: one statement for each value, named as in the tdsl source; a row is counted in 64 bits, the
place within it in 32 where Triton sees that it can.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tdsl.backends.triton.helpers import called
from tdsl.errors import InternalError
from tdsl.fusion.kernel import Access, Kernel, Store, access, offset_of
from tdsl.fusion.layout import PROGRAMS, is_replicated
from tdsl.fusion.schedule import COLUMN, ROW, Schedule, located, places
from tdsl.ir.dtype import BF16, BOOL, F16, F32, F64, I64, U64, AnyDtype, Dtype
from tdsl.ir.index_map import Divides, InRange
from tdsl.ir.node import Node
from tdsl.ir.size import Atom, Size
from tdsl.ops import argmax, argmin, arange, cast, constant, index, input_, numpy_dtype, size_, take

NAMES = {"bool": "int1", "i": "int", "u": "uint", "f": "float"}
RESERVED = frozenset(
    "row rows column columns program blocks block mask tl triton libdevice programs"
    " False None True and as assert async await break class continue def del elif else except"
    " finally for from global if import in is lambda nonlocal not or pass raise return try while"
    " with yield".split()
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A kernel's text, and what a launch gives it, in order.

    `pointers` are names of buffers, `sizes` names with the size that each is, `numbers` names of values
    that follow from sizes, `constants` compile-time values.
    """

    name: str
    text: str
    pointers: tuple[str, ...]
    sizes: tuple[tuple[str, Size], ...]
    numbers: tuple[str, ...]
    constants: tuple[tuple[str, int], ...]
    helpers: frozenset[str]


def triton_dtype(dtype: AnyDtype) -> str:
    """Triton's name of a dtype."""
    if dtype == BF16:
        return "tl.bfloat16"
    name = str(dtype)
    return f"tl.{'int1' if dtype == BOOL else NAMES[name[0]] + name[1:]}"


def print_kernel(kernel: Kernel, schedule: Schedule) -> Printed:
    """The kernel's text under the schedule."""
    return _Printer(kernel, schedule).run()


@dataclass
class _Printer:
    """Text under construction: `text` has the expression of each node that is known so far."""

    kernel: Kernel
    schedule: Schedule
    lines: list[str] = field(default_factory=list)
    text: dict[Node, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: set(RESERVED))
    sizes: dict[str, Size] = field(default_factory=dict)
    depth: int = 1

    def __post_init__(self) -> None:
        kernel, schedule = self.kernel, self.schedule
        self.where = places(schedule.rows, schedule.columns)
        self.shapes = {read.node: read.shape for read in kernel.reads}
        self.numbers = {node["name"]: node for node in self._number_inputs()}
        self.pointers = [read.name for read in kernel.reads]
        self.pointers += dict.fromkeys(store.buffer for store in kernel.stores)
        self.taken |= {f"{name}_ptr" for name in self.pointers} | set(self.numbers)
        self.nodes = kernel.nodes()
        self.crossed = list(kernel.layout.crossed)
        self.carry: dict[Node, str] = {}
        self.by_rows = schedule.lanes != "columns"
        self.by_columns = schedule.lanes != "rows"
        self.row_mask = self.by_rows
        self.fills: dict[Node, object] = {}

    def _number_inputs(self) -> list[Node]:
        names = {name for name, _ in self.kernel.numbers}
        return [n for n in self.kernel.nodes() if n.op is input_ and n["name"] in names]

    # The skeleton.

    def run(self) -> Printed:
        """The whole function."""
        schedule = self.schedule
        if schedule.kind == "looped":
            self._looped()
        elif schedule.walked:
            self._walked()
        else:
            self._program_rows()
            self._column_lines()
            self._values(self.nodes)
            self._stores(self.kernel.stores)
        return self._printed()

    def _walked(self) -> None:
        """Rows walked by a fixed number of programs, with sums across them."""
        schedule = self.schedule
        rows = self._product(schedule.rows)
        self._line("program = tl.program_id(0)")
        self._line("programs = tl.num_programs(0)")
        if schedule.kind == "tiled":
            columns = f"tl.cdiv({self._product(schedule.columns)}, BLOCK_COLUMNS)"
            self._line(f"tiles = {columns}")
            self._line("tile = program % tiles")
            self._line("program = program // tiles")
            self._line("programs = programs // tiles")
        self._column_lines(tiled="tile")
        outer = [n for n in self.nodes if not set(n.axes) & set(schedule.rows) and self._is_still(n)]
        self._values(outer)
        for node in self.crossed:
            self._carry(node)
        self._line(f"for block in range(program, tl.cdiv({rows}, {self._block_rows()}), programs):")
        self.depth += 1
        self._row_lines("block")
        self._values([n for n in self.nodes if n not in set(outer) and n not in self.crossed])
        for node in self.crossed:
            self._accumulate(node)
        self._stores([store for store in self.kernel.stores if not store.share])
        self.depth -= 1
        self._finish_carries()
        self._stores([store for store in self.kernel.stores if store.share])

    def _is_still(self, node: Node) -> bool:
        """Whether a value is the same for every row: it is made before the rows are walked."""
        return node not in self.crossed and not any(
            set(n.axes) & set(self.schedule.rows) for n in _below(node)
        )

    def _block_rows(self) -> str:
        return "BLOCK_ROWS" if self.by_rows else "1"

    def _program_rows(self) -> None:
        schedule = self.schedule
        if schedule.kind == "tiled" and schedule.rows:
            columns = f"tl.cdiv({self._product(schedule.columns)}, BLOCK_COLUMNS)"
            self._line(f"tiles = {columns}")
            self._line("tile = tl.program_id(0) % tiles")
            self._row_lines("(tl.program_id(0) // tiles)")
        elif schedule.rows:
            self._row_lines("tl.program_id(0)")

    def _row_lines(self, block: str) -> None:
        if not self.schedule.rows:
            return
        if not self.by_rows:
            start = block if block.isidentifier() else block.strip("()") if "//" not in block else block
            self._line(f"row = {start}.to(tl.int64)" if "(" in start else f"row = tl.cast({start}, tl.int64)")
            return
        lanes = "tl.arange(0, BLOCK_ROWS)"
        lanes = f"{lanes}[:, None]" if self.by_columns else lanes
        self._line(f"row = tl.cast({block}, tl.int64) * BLOCK_ROWS + {lanes}")
        self._line(f"row_mask = row < {self._product(self.schedule.rows)}")

    def _column_lines(self, tiled: str = "") -> None:
        schedule = self.schedule
        if not self.by_columns:
            return
        lanes = "tl.arange(0, BLOCK_COLUMNS)"
        lanes = f"{lanes}[None, :]" if self.by_rows else lanes
        if schedule.kind == "tiled":
            tile = "tile" if schedule.rows else "tl.program_id(0)"
            start = f"{tile} * BLOCK_COLUMNS" if schedule.rows else f"{tile}.to(tl.int64) * BLOCK_COLUMNS"
            self._line(f"column = {start} + {lanes}")
        else:
            self._line(f"column = {lanes}")
        self._line(f"column_mask = column < {self._product(schedule.columns)}")

    # Values.

    def _values(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node not in self.text and node not in self.crossed and not self._is_deferred(node):
                self._value(node)

    def _is_deferred(self, node: Node) -> bool:
        """Whether a value along the programs of an earlier kernel belongs to its total."""
        layout = self.kernel.layout
        return PROGRAMS in node.axes and PROGRAMS not in (*layout.rows, *layout.columns)

    def _value(self, node: Node) -> None:
        if node.op is constant:
            self.text[node] = literal(node["value"], node.dtype)
            self.fills[node] = node["value"]
        elif node.op is size_:
            self.text[node] = f"tl.cast({self._size(node['value'])}, tl.int64)"
        elif node.op is arange:
            self.text[node] = self._position(node)
        elif node.op is input_ and node not in self.shapes:
            self.text[node] = node["name"]
        elif node.op is input_ or (node.op is index and node.operands[0] in self.shapes) or (
            node.op is take
        ):
            self._load(node)
        elif node.op is index:
            self._indexed(node)
        elif node.op.family == "reduction":
            self._reduction(node)
        elif node.op.family == "scan":
            self._scan(node)
        else:
            self._pointwise(node)

    def _position(self, node: Node) -> str:
        return self._paren(self._size(located(_variable(node["axis"]), self.where)))

    def _indexed(self, node: Node) -> None:
        """An index map of positions or of a constant: a place, or whether it is inside."""
        (x,) = node.operands
        (piece,) = node["map"].pieces
        if x.op is arange:
            place = dict(piece.exprs).get(x["axis"], _variable(x["axis"]))
            self.text[node] = self._paren(self._size(located(place, self.where)))
        elif not piece.domain:
            self.text[node] = self.text[x]
        else:
            self.text[node] = self._assign(node, self._domain(piece.domain))

    def _domain(self, domain: Sequence[object]) -> str:
        parts = []
        for condition in domain:
            if isinstance(condition, InRange):
                expr = self._size(located(condition.expr, self.where))
                parts.append(f"(({expr}) >= 0) & (({expr}) < {self._size(condition.size)})")
            elif isinstance(condition, Divides):
                expr = self._size(located(condition.expr, self.where))
                parts.append(f"(({expr}) % {self._paren(self._size(condition.divisor))} == 0)")
        return " & ".join(parts)

    def _load(self, node: Node) -> None:
        base = node
        while base.op in (index, take):
            base = base.operands[0]
        read = access(node, self.shapes[base])
        if node.dtype in (F16, BF16) and self._is_widened(node):
            pass
        pointer, lanes = self._pointer(base["name"], read, self.shapes[base])
        mask = [m for m in self._masks(lanes)]
        if read.domain:
            mask.append(f"({self._domain(read.domain)})")
        if read.at is not None:
            at, size = self.text[read.at], self._size(_need(read.gathered))
            mask.append(f"({at} >= 0) & ({at} < {size})")
        other = self._identity_wanted(node)
        options = f", mask={' & '.join(mask)}, other={other}" if mask else ""
        if mask and not read.domain and read.at is None:
            self.fills[node] = float(other) if other not in ("float('-inf')",) else -math.inf
        self.text[node] = self._assign(node, f"tl.load({pointer}{options})")

    def _is_widened(self, node: Node) -> bool:
        return all(user.op is cast for user in self.nodes if node in user.operands)

    def _identity_wanted(self, node: Node) -> str:
        return "0"

    def _pointer(self, name: str, read: Access, shape: Sequence[Size]) -> tuple[str, set[str]]:
        own = [located(place, self.where) for place in read.places]
        if read.at is not None:
            value = Size((((Atom("name", f"@{self.text[read.at]}"),), 1),))
            own = [
                value if axis == read.gathered and place == _variable(axis) else at
                for axis, place, at in zip(shape, read.places, own, strict=True)
            ]
        offset = located(offset_of(tuple(shape), tuple(own)), self.where)
        lanes = self._lanes(offset)
        if read.at is not None:
            lanes |= self._lanes_of(read.at)
        return self._address(name, offset), lanes

    def _address(self, name: str, offset: Size) -> str:
        text = self._size(offset)
        return f"{name}_ptr" if text == "0" else f"{name}_ptr + {text}"

    def _lanes(self, size: Size) -> set[str]:
        return {
            word
            for word, counter in (("row", ROW), ("column", COLUMN))
            if counter.atom in size.atoms()
        }

    def _lanes_of(self, node: Node) -> set[str]:
        found = set()
        if set(node.axes) & set(self.schedule.rows):
            found.add("row")
        if set(node.axes) & set(self.schedule.columns):
            found.add("column")
        return found

    def _masks(self, lanes: set[str]) -> list[str]:
        found = []
        if "row" in lanes and self.by_rows:
            found.append("row_mask")
        if "column" in lanes and self.by_columns:
            found.append("column_mask")
        return found

    def _pointwise(self, node: Node) -> None:
        operands = [self.text[o] for o in node.operands]
        if node.op is cast:
            text = self._cast(node, operands[0])
            if text == operands[0]:
                self.text[node] = text
                return
        else:
            text = spelled(node).format(*operands)
        self._note_fill(node)
        self.text[node] = self._assign(node, text)

    def _cast(self, node: Node, x: str) -> str:
        source, target = node.operands[0].dtype, node.dtype
        if source == target:
            return x
        if target == BOOL:
            return f"{x} != 0"
        if isinstance(source, Dtype) and isinstance(target, Dtype):
            if source.kind == "float" and target.kind in ("int", "uint"):
                low, high = _bounds(target)
                return f"saturated({x}, {low}, {high}, {triton_dtype(target)})"
        return f"tl.cast({x}, {triton_dtype(target)})"

    def _note_fill(self, node: Node) -> None:
        """What the value is at lanes beyond the row, if it follows from what was loaded there."""
        known = [self.fills.get(o, self) for o in node.operands]
        if any(value is self for value in known) or node.dtype in (F16, BF16):
            return
        arrays = [
            np.asarray(value)
            .astype(numpy_dtype(o.dtype if o.dtype not in (F16, BF16) else F32))
            .reshape((1,) * len(o.axes))
            for value, o in zip(known, node.operands, strict=True)
        ]
        if not node.axes:
            return
        with np.errstate(all="ignore"):
            value = node.op.evaluate(node, lambda size: 1)(*arrays)
        self.fills[node] = np.asarray(value).reshape(-1)[0].item()

    # Reductions.

    def _reduction(self, node: Node) -> None:
        if is_replicated(node, self.nodes):
            self._replicated(node)
            return
        (x,) = node.operands
        value = self._masked(node, x, "column")
        axis = "axis=1, keep_dims=True" if self.by_rows else "axis=0"
        self.text[node] = self._assign(node, self._reduced(node, value, axis))

    def _replicated(self, node: Node) -> None:
        """A total over the programs of an earlier kernel, completed in every program."""
        (x,) = node.operands
        self.taken.add("part")
        self._line("part = tl.arange(0, PARTS)")
        inner = [n for n in _below(x) if PROGRAMS in n.axes]
        for n in inner:
            if n.op is input_:
                name = n["name"]
                self._number_of_parts(name)
                load = f"tl.load({name}_ptr + part, mask=part < {name}_parts, other={identity(node)})"
                self.text[n] = self._assign(n, load)
            else:
                self._value(n)
        self.text[node] = self._assign(node, self._reduced(node, self.text[x], "axis=0"))

    def _number_of_parts(self, name: str) -> None:
        self.sizes[f"{name}_parts"] = PROGRAMS

    def _masked(self, node: Node, x: Node, mask: str) -> str:
        """The operand with the reduction's identity at lanes that are not there."""
        text = self.text[x]
        wanted = identity(node)
        lanes = self._lanes_of(x)
        masks = []
        if mask in lanes:
            masks = [m for m in self._masks({mask})]
        known = self.fills.get(x)
        if known is not None and literal(known, x.dtype) == literal(_identity_value(node), x.dtype):
            masks = []
        if node.op.name in ("sum", "prod") and x.dtype != node.dtype:
            text = f"tl.cast({text}, {triton_dtype(node.dtype)})"
        if not masks:
            return text
        return f"tl.where({' & '.join(masks)}, {text}, {wanted})"

    def _reduced(self, node: Node, value: str, axis: str) -> str:
        name = node.op.name
        if name == "sum":
            return f"tl.sum({value}, {axis})"
        if name in ("any", "all"):
            function = "tl.max" if name == "any" else "tl.min"
            return f"{function}(tl.cast({value}, tl.int32), {axis}) != 0"
        if name in ("argmax", "argmin"):
            return self._position_of(node, value, axis)
        is_float = isinstance(node.dtype, Dtype) and node.dtype.kind == "float"
        if name in ("max", "min") and node.dtype == BOOL:
            return f"tl.{name}(tl.cast({value}, tl.int32), {axis}) != 0"
        if name in ("max", "min") and not is_float:
            return f"tl.{name}({value}, {axis})"
        helper = {"max": "larger", "min": "smaller", "prod": "product"}[name]
        return f"tl.reduce({value}, {axis.replace('axis=', '', 1)}, {helper})".replace(
            ", keep_dims=True, " + helper, f", {helper}, keep_dims=True"
        )

    def _position_of(self, node: Node, value: str, axis: str) -> str:
        """The first place of the extremum, counted over the reduced axes in their order."""
        order = _linear(node["axes"])
        place = self._size(located(order, self.where))
        helper = "first_largest" if node.op is argmax else "first_smallest"
        lanes = f"tl.broadcast_to({place}, {value}.shape)" if self.by_rows else f"({place})"
        values = self._assign(node, value, "candidates")
        lanes = lanes.replace(f"{value}.shape", f"{values}.shape")
        where = f"tl.cast({lanes}, tl.int64)"
        if values and node.operands[0].dtype == BOOL:
            values = f"tl.cast({values}, tl.int32)"
        inside = "1, " if self.by_rows else "0, "
        keep = ", keep_dims=True" if self.by_rows else ""
        return f"tl.reduce(({values}, {where}), {inside}{helper}{keep})[1]"

    def _scan(self, node: Node) -> None:
        (x,) = node.operands
        if "column" not in self._lanes_of(x):
            raise InternalError("a running reduction of a value that does not vary along its axis")
        value = self._masked(node, x, "column") if node["reverse"] else self.text[x]
        if x.dtype != node.dtype:
            value = f"tl.cast({value}, {triton_dtype(node.dtype)})"
        axis = 1 if self.by_rows else 0
        reverse = ", reverse=True" if node["reverse"] else ""
        if node.op.name == "cumsum":
            text = f"tl.cumsum({value}, {axis}{reverse})"
        else:
            helper = {"cumprod": "product", "cummax": "larger", "logcumsumexp": "log_add_exp"}
            if node.op.name == "cummax" and isinstance(node.dtype, Dtype) and node.dtype.kind != "float":
                helper["cummax"] = "larger_integer"
            text = f"tl.associative_scan({value}, {axis}, {helper[node.op.name]}{reverse})"
        self.text[node] = self._assign(node, text)

    # Sums across rows.

    def _carry(self, node: Node) -> None:
        """What a program keeps of a reduction across rows, before the first row."""
        name = self._name(node)
        value, dtype = identity(node), triton_dtype(_accumulator(node))
        shape = self._carry_shape(node)
        self._line(f"{name} = tl.full({shape}, {value}, {dtype})")
        self.carry[node] = name

    def _carry_shape(self, node: Node) -> str:
        keeps_columns = bool(set(node.operands[0].axes) & set(self.schedule.columns))
        rows = "BLOCK_ROWS" if self.by_rows and self.by_columns else ""
        if not keeps_columns:
            if self.by_rows:
                return "[BLOCK_ROWS, 1]" if self.by_columns else "[BLOCK_ROWS]"
            return "[]"
        return "[1, BLOCK_COLUMNS]" if rows and node.axes else (
            "[BLOCK_ROWS, BLOCK_COLUMNS]" if rows else "[BLOCK_COLUMNS]"
        )

    def _accumulate(self, node: Node) -> None:
        (x,) = node.operands
        masks = ["row_mask"] if self.by_rows and "row" in self._lanes_of(x) else []
        if not node.axes and "column" in self._lanes_of(x):
            masks += self._masks({"column"})
        value = self.text[x]
        if self._fills_identity(node, x):
            masks = []
        if x.dtype != _accumulator(node):
            value = f"tl.cast({value}, {triton_dtype(_accumulator(node))})"
        if masks:
            value = f"tl.where({' & '.join(masks)}, {value}, {identity(node)})"
        if node.axes and self.by_rows and self.by_columns:
            value = self._reduced(node, value, "axis=0, keep_dims=True")
        name = self.carry[node]
        self._line(f"{name} = {combined(node).format(name, value)}")

    def _fills_identity(self, node: Node, x: Node) -> bool:
        known = self.fills.get(x)
        return known is not None and literal(known, x.dtype) == literal(_identity_value(node), x.dtype)

    def _finish_carries(self) -> None:
        for node in self.crossed:
            name = self.carry[node]
            shape = self._carry_shape(node)
            text = name
            if not node.axes and shape != "[]":
                flat = f"tl.reshape({name}, [BLOCK_ROWS * BLOCK_COLUMNS])" if "," in shape and (
                    "COLUMNS" in shape
                ) else f"tl.reshape({name}, [BLOCK_ROWS])" if "," in shape else name
                text = self._reduced(node, flat, "axis=0")
            if _accumulator(node) != node.dtype:
                text = f"tl.cast({text}, {triton_dtype(node.dtype)})"
            if text != name:
                self._line(f"{name} = {text}")
            self.text[node] = name

    # Stores.

    def _stores(self, stores: Iterable[Store]) -> None:
        for store in stores:
            shape = store.shape[1:] if store.share else store.shape
            offset = located(offset_of(shape, store.places), self.where)
            lanes = self._lanes(offset)
            address = self._address(store.buffer, offset)
            if store.share:
                size = self._size(_count(shape))
                part = "program" if size == "1" else f"program * {self._paren(size)}"
                rest = self._size(offset)
                address = f"{store.buffer}_ptr + {part}" + ("" if rest == "0" else f" + {rest}")
            masks = self._masks(lanes)
            value = self.text[store.node]
            if not lanes and self.by_rows and self.by_columns and self._lanes_of(store.node):
                raise InternalError("a store without lanes of a value with lanes")
            mask = f", mask={' & '.join(masks)}" if masks else ""
            self._line(f"tl.store({address}, {value}{mask})")

    # Names and sizes.

    def _assign(self, node: Node, text: str, hint: str = "") -> str:
        name = self._name(node, hint)
        self._line(f"{name} = {text}")
        return name

    def _name(self, node: Node, hint: str = "") -> str:
        origin = self.kernel.origins.get(node)
        base = hint
        if not base and node.op is input_:
            base = node["name"]
        if not base and origin is not None and re.fullmatch(r"[A-Za-z_]\w*", origin.name):
            base = origin.name
        base = base or f"v{len(self.text)}"
        name, number = base, 0
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _product(self, axes: Sequence[Size]) -> str:
        return self._paren(self._size(_count(axes))) if axes else "1"

    @staticmethod
    def _paren(text: str) -> str:
        return text if re.fullmatch(r"\w+", text) else f"({text})"

    def _size(self, size: Size) -> str:
        """A size as an expression; every name in it becomes a parameter."""
        terms = sorted(size.terms, key=lambda term: _rank(term[0]))
        text = ""
        for monomial, c in terms:
            factors = [self._atom(atom) for atom in sorted(monomial, key=lambda a: _rank((a,)))]
            if abs(c) != 1 or not factors:
                factors = [*factors, str(abs(c))]
            sign = "-" if c < 0 else "+"
            product = " * ".join(factors)
            text = f"{text} {sign} {product}" if text else ("-" if c < 0 else "") + product
        return text or "0"

    def _atom(self, atom: Atom) -> str:
        if atom.name.startswith("@"):
            return atom.name[1:]
        if atom == ROW.atom:
            return "row"
        if atom == COLUMN.atom:
            return "column"
        if atom.kind == "index":
            raise InternalError(f"nothing counts {atom.args[0]} in {self.kernel.name}")
        if atom.kind in ("name", "pack"):
            return self._size_name(atom)
        if atom.kind == "copy":
            return self._paren(self._size(atom.args[0]))
        a, b = (self._paren(self._size(arg)) for arg in atom.args)
        forms = {"floordiv": "({} // {})", "mod": "({} % {})"}
        forms |= {"min": "tl.minimum({}, {})", "max": "tl.maximum({}, {})"}
        return forms[atom.kind].format(a, b)

    def _size_name(self, atom: Atom) -> str:
        size = Size((((atom,), 1),))
        for name, known in self.sizes.items():
            if known == size:
                return name
        base = re.sub(r"\W", "", atom.name) or "size"
        name = base
        while name in self.taken:
            name += "_size"
        self.taken.add(name)
        self.sizes[name] = size
        return name

    def _printed(self) -> Printed:
        schedule, kernel = self.schedule, self.kernel
        constants: list[tuple[str, int]] = []
        if self.by_rows:
            constants.append(("BLOCK_ROWS", schedule.block_rows))
        if self.by_columns:
            constants.append(("BLOCK_COLUMNS", schedule.block_columns))
        if any("PARTS" in line for line in self.lines):
            constants.append(("PARTS", 512))
        pointers = [f"{name}_ptr" for name in self.pointers]
        parameters = [*pointers, *self.sizes, *self.numbers]
        parameters += [f"{name}: tl.constexpr" for name, _ in constants]
        signature = ", ".join(parameters)
        head = f"def {kernel.name}({signature}):"
        if len(head) > 100:
            head = f"def {kernel.name}(\n    " + ",\n    ".join(parameters) + ",\n):"
        body = "\n".join(self.lines)
        text = f"@triton.jit\n{head}\n    {self._doc()}\n{body}\n"
        return Printed(
            kernel.name, text, tuple(self.pointers), tuple(self.sizes.items()),
            tuple(self.numbers), tuple(constants), called(body),
        )  # fmt: skip

    def _doc(self) -> str:
        schedule = self.schedule
        return f'"""{schedule.describe()[0].upper()}{schedule.describe()[1:]}."""'

    def _looped(self) -> None:
        raise InternalError("looped rows are not printed yet")


def spelled(node: Node) -> str:
    """The operation's expression in Triton for its operands' kind."""
    known = node.op.triton
    if isinstance(known, str):
        found = known
    else:
        dtype = node.operands[0].dtype
        kind = dtype.kind if isinstance(dtype, Dtype) else ""
        found = known.get(kind) or known.get("", "")
    if not found:
        raise InternalError(f"`{node.op}` of {node.operands[0].dtype} has no form in Triton")
    return found


def literal(value: object, dtype: AnyDtype) -> str:
    """A number as Triton reads it, in full precision."""
    if dtype == BOOL:
        return f"tl.full([], {bool(value)}, tl.int1)"
    if isinstance(dtype, Dtype) and dtype.kind != "float":
        number = int(value)  # type: ignore[call-overload]
        return f"tl.full([], {number}, {triton_dtype(dtype)})" if dtype in (I64, U64) and (
            abs(number) >= 2**31
        ) else (str(number) if number >= 0 else f"({number})")
    number = float(value)  # type: ignore[arg-type]
    if dtype == F32:
        number = float(np.float32(number))
    text = f'float("{number}")' if not math.isfinite(number) else repr(number)
    if dtype == F32:
        short = repr(np.float32(number)).split("(")[-1].rstrip(")")
        text = short if math.isfinite(number) and float(np.float32(short)) == number else text
    if dtype == F64:
        return f"tl.full([], {text}, tl.float64)"
    return text if not text.startswith("-") else f"({text})"


def _identity_value(node: Node) -> object:
    name = node.op.name
    dtype = node.operands[0].dtype
    is_float = isinstance(dtype, Dtype) and dtype.kind == "float"
    if name in ("sum", "any", "cumsum"):
        return 0
    if name in ("prod", "all", "cumprod"):
        return 1
    low = name in ("max", "argmax", "cummax", "logcumsumexp")
    if is_float:
        return -math.inf if low else math.inf
    if dtype == BOOL:
        return not low
    return _bounds(dtype)[0 if low else 1]


def identity(node: Node) -> str:
    """The reduction's value of nothing, as Triton reads it."""
    dtype = node.operands[0].dtype
    text = literal(_identity_value(node), dtype)
    return text[text.index(",") + 2 : text.rindex(",")] if text.startswith("tl.full([], ") else text


def _accumulator(node: Node) -> AnyDtype:
    if node.op.name in ("any", "all") or node.dtype == BOOL:
        return BOOL
    return node.dtype


def combined(node: Node) -> str:
    """How two partial results of a reduction become one."""
    is_float = isinstance(node.dtype, Dtype) and node.dtype.kind == "float"
    nan = ", propagate_nan=tl.PropagateNan.ALL" if is_float else ""
    return {
        "sum": "{0} + {1}", "prod": "{0} * {1}", "any": "{0} | {1}", "all": "{0} & {1}",
        "max": f"tl.maximum({{0}}, {{1}}{nan})", "min": f"tl.minimum({{0}}, {{1}}{nan})",
    }[node.op.name]  # fmt: skip


def _bounds(dtype: AnyDtype) -> tuple[int, int]:
    info = np.iinfo(numpy_dtype(dtype))
    return int(info.min), int(info.max)


def _variable(axis: Size) -> Size:
    from tdsl.ir.size import index as variable

    return variable(axis)


def _below(node: Node) -> list[Node]:
    from tdsl.ir.node import topological

    return topological([node])


def _count(axes: Iterable[Size]) -> Size:
    total = Size((((), 1),))
    for axis in axes:
        total = total * axis
    return total


def _linear(axes: Sequence[Size]) -> Size:
    """The number that counts through the axes, the last fastest."""
    total = Size(())
    for axis in axes:
        total = total * axis + _variable(axis)
    return total


def _rank(monomial: Sequence[Atom]) -> tuple[int, str]:
    """Rows first, then columns, then the rest."""
    atoms = {a for atom in monomial for a in (atom, *(x for arg in atom.args for x in arg.atoms()))}
    place = 0 if ROW.atom in atoms else 1 if COLUMN.atom in atoms else 2
    return place, " ".join(atom.text for atom in monomial)


def _need(size: Size | None) -> Size:
    if size is None:
        raise InternalError("a gather without an axis")
    return size


__all__ = ["Mapping", "Printed", "argmin", "print_kernel", "triton_dtype"]
