"""One launch over many tensors: a pointwise kernel on elements of different sizes.

In: plans that are one pointwise kernel over buffers whose elements are counted by one number. Out: a launch
that takes a table: for each tensor its first block, its end, and the addresses of its buffers. Between:
the kernel is the plan's own, called as it was printed. It works on the block with its program's number,
so addresses and ends in the table are moved by the blocks of the tensors before.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray

from tdsl.backends.triton.execute import on
from tdsl.backends.triton.launch import Launch, Loaded
from tdsl.backends.triton.literals import triton_dtype
from tdsl.backends.triton.module import form_of, print_form, with_unspecialised
from tdsl.backends.triton.printer import Printed
from tdsl.backends.triton.source import load
from tdsl.backends.triton.specialise import ALIGNMENT
from tdsl.fusion.kernel import Kernel, offset_of
from tdsl.fusion.offsets import COLUMN, START, located, places, sites
from tdsl.fusion.plan import Plan
from tdsl.fusion.schedule import Schedule, choose
from tdsl.ir.dtype import AnyDtype, item_bytes
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ir.size import name as size_name

Tensor = torch.Tensor
Device = torch.device
WORD = 8
"""Bytes of an entry of the table."""


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """A plan that one launch can run for many tensors.

    `whole` has every buffer of the kernel, and whether it is as large as the results; the others are of
    rank 0. Plans of one `form` differ in nothing but their axes.
    """

    plan: Plan
    kernel: Kernel
    schedule: Schedule
    dtypes: Mapping[str, AnyDtype]
    whole: Mapping[str, bool]
    form: Hashable


def elementwise(plan: Plan, sizes: Mapping[str, int]) -> Elementwise | None:
    """The plan as one that can run so; None, if it cannot."""
    if len(plan.steps) != 1 or not plan.kernels or plan.positions:
        return None
    (kernel,) = plan.kernels
    schedule = choose(kernel, lambda size: size.evaluate(sizes))
    if not schedule.flat or not _are_names(schedule.columns) or kernel.numbers or kernel.strides:
        return None
    if any(node.op.family not in ("input", "constant", "pointwise") for node in kernel.nodes()):
        return None
    whole = _whole(kernel, schedule)
    if whole is None or not all(whole[store.buffer] for store in kernel.stores):
        return None
    dtypes = {read.name: read.node.dtype for read in kernel.reads}
    dtypes |= {store.buffer: store.dtype for store in kernel.stores}
    form = (_form(kernel), schedule.block_columns, schedule.warps, *whole.items())
    return Elementwise(plan, kernel, schedule, dtypes, whole, form)


def _are_names(axes: Sequence[Size]) -> bool:
    """Whether there are axes, whose sizes can be anything."""
    atoms = [axis.atom for axis in axes]
    return bool(axes) and all(atom is not None and atom.kind == "name" for atom in atoms)


def _whole(kernel: Kernel, schedule: Schedule) -> dict[str, bool] | None:
    """Which buffers are read or stored at the number of the element; None, if some are elsewhere."""
    where = places((), schedule.columns, flat=True)
    found: dict[str, bool] = {}
    stored = sites(kernel)[-len(kernel.stores) :]
    pairs = [(str(site.node["name"]), site) for site in sites(kernel)[: -len(stored)]]
    pairs += zip((store.buffer for store in kernel.stores), stored, strict=True)
    for buffer, site in pairs:
        offset = located(offset_of(site.shape, site.places), where)
        if offset.terms and offset != START + COLUMN:
            return None
        found[buffer] = bool(offset.terms)
    return found


def _form(kernel: Kernel) -> Hashable:
    """The computation, without its axes."""
    nodes = kernel.nodes()
    number = {node: i for i, node in enumerate(nodes)}
    steps = tuple((_step(node), *(number[o] for o in node.operands)) for node in nodes)
    return steps, tuple((store.buffer, number[store.node]) for store in kernel.stores)


def _step(node: Node) -> Hashable:
    attrs = tuple((key, value) for key, value in node.attrs if key != "axes")
    return node.op.name, node.dtype, attrs


Buffer = Tensor | NDArray[Any]
"""Memory on the device, or a number of the host's."""


class Foreach:
    """The launch of plans of one form, printed for one of them."""

    def __init__(self, kind: Elementwise, sizes: Mapping[str, int]) -> None:
        form, _ = form_of(kind.plan, sizes, 1)
        source, (body,) = print_form(kind.plan, form)
        wrapper = _wrapper(kind, body)
        self.source = f"{source}\n\n{wrapper.text}"
        function = load(self.source, wrapper.name)
        self.pointers = body.pointers
        self.block = kind.schedule.block_columns
        self.steps = [item_bytes(kind.dtypes[name]) * kind.whole[name] for name in self.pointers]
        self.loaded = {
            alignment: Loaded(
                replace(wrapper, constants=(("ALIGNMENT", alignment), *body.constants)),
                function, kind.schedule.warps, kind.schedule.stages,
            )
            for alignment in (1, ALIGNMENT)
        }  # fmt: skip

    def __call__(self, members: Sequence[tuple[int, Sequence[Buffer]]], device: Device) -> None:
        """Run the kernel on each member: how many elements it has, and its buffers as in `pointers`.

        One launch for members whose addresses all divide by 16, one for others.
        """
        groups: dict[int, list[tuple[int, Sequence[Buffer]]]] = {}
        for count, buffers in members:
            if count:
                groups.setdefault(self._alignment(buffers), []).append((count, buffers))
        with on(device):
            for alignment, group in groups.items():
                self._launch(self.loaded[alignment], group, device)

    def _alignment(self, buffers: Sequence[Buffer]) -> int:
        pairs = zip(buffers, self.steps, strict=True)
        whole = (buffer for buffer, step in pairs if step and isinstance(buffer, Tensor))
        return ALIGNMENT if all(b.data_ptr() % ALIGNMENT == 0 for b in whole) else 1

    def _launch(
        self, loaded: Loaded, members: Sequence[tuple[int, Sequence[Buffer]]], device: Device
    ) -> None:
        numbers = {id(b): b for _, own in members for b in own if not isinstance(b, Tensor)}
        head = len(members) * (2 + len(self.steps))
        table = torch.empty(head + len(numbers), dtype=torch.int64, device=device)
        address = table.data_ptr()
        places = {key: address + WORD * (head + i) for i, key in enumerate(numbers)}
        words: list[int] = []
        blocks = 0
        for count, buffers in members:
            before = blocks * self.block
            words += [blocks, before + count]
            words += [
                (b.data_ptr() if isinstance(b, Tensor) else places[id(b)]) - before * step
                for b, step in zip(buffers, self.steps, strict=True)
            ]
            blocks += -(-count // self.block)
        _fill(table, [*words, *map(_word, numbers.values())])
        Launch(loaded, [len(members)], blocks, device)({"table": table})


def _word(number: NDArray[Any]) -> int:
    """The bytes of a number of rank 0 as an entry of the table."""
    return int.from_bytes(number.tobytes().ljust(WORD, b"\0"), sys.byteorder, signed=True)


def _fill(table: Tensor, words: Sequence[int]) -> None:
    """Write the table, without waiting for the device."""
    if table.device.type != "cuda":
        table.copy_(torch.tensor(words, dtype=torch.int64))
        return
    host = torch.tensor(words, dtype=torch.int64, pin_memory=True)
    table.copy_(host, non_blocking=True)
    if torch.cuda.is_current_stream_capturing():
        _captured.append(host)


_captured: list[Tensor] = []
"""Tables that a graph copies whenever it is replayed: they live as long as the process."""


def _wrapper(kind: Elementwise, body: Printed) -> Printed:
    """The kernel that finds its program's tensor in the table, and calls the plan's kernel on it."""
    width = 2 + len(body.pointers)
    constants = ["ALIGNMENT", *(name for name, _ in body.constants)]
    parameters = ["table", "elements", *(f"{name}: tl.constexpr" for name in constants)]
    lines = [
        "program = tl.cast(tl.program_id(0), tl.int64)",
        "element = tl.full([], 0, tl.int32)",
        "end = elements",
        "# The last tensor whose first block is not behind this program's.",
        "while end - element > 1:",
        "    middle = (element + end) // 2",
        f"    is_before = tl.load(table + middle * {width}) <= program",
        "    element = tl.where(is_before, middle, element)",
        "    end = tl.where(is_before, end, middle)",
        f"row = table + element * {width}",
        "count = tl.load(row + 1)",
        *(_pointer(kind, name, place) for place, name in enumerate(body.pointers, 2)),
        "if (program + 1) * BLOCK_COLUMNS <= count:",
        "    # All lanes are inside: that the end divides makes accesses wide.",
        "    whole = tl.multiple_of(count // BLOCK_COLUMNS * BLOCK_COLUMNS, BLOCK_COLUMNS)",
        *_call(body, "whole"),
        "else:",
        *_call(body, "count"),
    ]
    name = f"{body.name}_foreach"
    doc = '"""Programs divide the blocks of all tensors; a row of the table has one tensor\'s."""'
    text = f"@triton.jit\ndef {name}({', '.join(parameters)}):\n    {doc}\n"
    text += "".join(f"    {line}\n" for line in lines)
    printed = Printed(
        name, text, ("table",), (("elements", size_name("elements")),), (), (), frozenset()
    )
    return with_unspecialised(printed, ["elements"])


def _pointer(kind: Elementwise, name: str, place: int) -> str:
    address = f"tl.cast(tl.load(row + {place}), tl.pointer_type({triton_dtype(kind.dtypes[name])}))"
    return f"{name}_ptr = " + (
        f"tl.multiple_of({address}, ALIGNMENT)" if kind.whole[name] else address
    )


def _call(body: Printed, count: str) -> list[str]:
    """The plan's kernel on `count` elements, as sizes of which the others are 1."""
    arguments = [f"{name}_ptr" for name in body.pointers]
    arguments += [count, *("1" for _ in body.sizes[1:]), *(name for name, _ in body.constants)]
    return [f"    {body.name}(", *(f"        {a}," for a in arguments), "    )"]
