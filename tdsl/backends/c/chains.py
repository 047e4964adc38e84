"""Kernels that follow each other as one function: a call from Python takes longer than a small kernel.

In: a plan and its printed kernels. Out: its steps, with the functions that run kernels. Between: a function
takes each buffer once, then what each of its kernels takes beside buffers; sums of programs that only its
kernels know lie on its stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tdsl.backends.c.literals import memory_type
from tdsl.backends.c.printer import Printed
from tdsl.backends.c.schedule import MOST_PROGRAMS
from tdsl.backends.c.values import RESERVED
from tdsl.backends.names import C, Names
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.plan import Buffer, LibraryCall, Plan, Step

LONGEST = 16
"""Kernels in one function, whose arguments ctypes has to pass: 1024 at the most."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A function that runs kernels in order. `pointers` are names of buffers, `scratch` those on its stack.

    A kernel on its own is its own function, and needs no other `text`.
    """

    name: str
    kernels: tuple[tuple[Printed, Kernel], ...]
    pointers: tuple[str, ...]
    scratch: tuple[str, ...] = ()
    text: str = ""


def chains(plan: Plan, printed: Iterable[Printed]) -> Iterator[Chain | LibraryCall]:
    """The plan's steps, with kernels that follow each other in one."""
    texts, parts = iter(printed), list(_parted(plan.steps))
    known = Counter(name for part in parts for name in set(_buffers(part)))
    sums = [b for b in plan.buffers if b.shape == (PROGRAMS,) and not b.is_result]
    scratch = {buffer.name: buffer for buffer in sums if known[buffer.name] == 1}
    for part in parts:
        if isinstance(part[0], LibraryCall):
            yield part[0]
        else:
            kernels = tuple((next(texts), step) for step in part if isinstance(step, Kernel))
            yield _chain(kernels, scratch)


def _parted(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Library calls, each alone, and kernels that follow each other."""
    found: list[Step] = []
    for step in steps:
        if found and (isinstance(step, LibraryCall) or len(found) == LONGEST):
            yield found
            found = []
        if isinstance(step, LibraryCall):
            yield [step]
        else:
            found.append(step)
    if found:
        yield found


def _buffers(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield from (read.name for read in step.reads)
        yield from (store.buffer for store in step.stores)


def _chain(kernels: tuple[tuple[Printed, Kernel], ...], scratch: Mapping[str, Buffer]) -> Chain:
    printed = [one for one, _ in kernels]
    first = printed[0]
    if len(printed) == 1:
        return Chain(first.name, kernels, first.pointers)
    names = Names({*RESERVED, *(one.name for one in printed)}, C)
    pointers = dict.fromkeys(pointer for one in printed for pointer in one.pointers)
    own = {pointer: names.fresh(f"{pointer}_ptr") for pointer in pointers}
    inside = [pointer for pointer in pointers if pointer in scratch]
    outside = tuple(pointer for pointer in pointers if pointer not in scratch)
    parameters = [f"void *{own[pointer]}" for pointer in outside]
    body = [f"{memory_type(scratch[p].dtype)} {own[p]}[{MOST_PROGRAMS}];" for p in inside]
    for one in printed:
        passed = [own[pointer] for pointer in one.pointers]
        for scalar in one.scalars:
            kind, name = scalar.rsplit(" ", 1)
            passed.append(names.fresh(name))
            parameters.append(f"{kind} {passed[-1]}")
        body.append(f"{one.name}({', '.join(passed)});")
    name = f"{first.name}_and_more"
    head = f"// {len(printed)} kernels in one call.\nvoid {name}"
    declared, lines = ",\n    ".join(parameters), "\n    ".join(body)
    text = f"{head}(\n    {declared}\n) {{\n    {lines}\n}}\n"
    return Chain(name, kernels, outside, tuple(inside), text)
