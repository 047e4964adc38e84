"""One standalone Python file for a function: its Triton kernels, launchers, and a test.

In: an `Export`: flat graphs of the forward and the backward pass, and what readers want to know. Out: the
file's text. Between: it needs torch and triton alone; kernels are those for the given sizes' class, and
every size is read from the arguments; the same export gives the same text.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tdsl.backends.triton.ahead import multiprocessors
from tdsl.backends.triton.export_check import check_lines
from tdsl.backends.triton.export_format import formatted
from tdsl.backends.triton.export_functions import (
    Export,
    autograd_lines,
    public_lines,
    tensor_of,
)
from tdsl.backends.triton.export_launch import Launcher, held, reason
from tdsl.backends.triton.export_runtime import HELPERS
from tdsl.backends.triton.export_sizes import SizeNames, torch_name
from tdsl.backends.triton.helpers import helper_text
from tdsl.backends.triton.module import TritonModule, print_plan
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.layout import PROGRAMS
from tdsl.fusion.plan import Plan, make_plan
from tdsl.fusion.schedule import Schedule
from tdsl.ir.function import Function
from tdsl.ir.size import ONE, Size


@dataclass(frozen=True)
class _Pass:
    """One of the two passes: its plan and kernels, and the statements that run it."""

    title: str
    plan: Plan
    module: TritonModule
    launch: list[str]


def print_export(export: Export) -> str:
    """The text of the file. Raises InternalError where a kernel cannot be printed."""
    solving, axes = export.solving, export.axes
    passes = [_pass(export, export.forward, "forward", export.outputs)]
    if export.backward is not None:
        passes.append(_pass(export, export.backward, "backward", export.gradients))
    kernels = [list(_kernels(one, export.names)) for one in passes]
    helpers = helper_text(
        frozenset[str]().union(*(k.helpers for one in passes for k, _ in one.module.kernels))
    )
    blocks = [helpers.strip().split("\n")] if helpers else []
    for one, texts in zip(passes, kernels, strict=True):
        blocks += [*texts, one.launch]
    blocks.append(list(_sizes(export, solving, axes, passes)))
    if export.backward is not None:
        blocks.append(list(autograd_lines(export)))
    blocks.append(list(public_lines(export)))
    blocks += check_lines(export)
    text = "\n".join(line for block in blocks for line in block)
    called = [name for name in HELPERS if re.search(rf"\b{name}\b", text)]
    place = len(blocks) - 3
    blocks[place:place] = [HELPERS[name].strip().split("\n") for name in called]
    body = "\n\n\n".join("\n".join(formatted(block)) for block in blocks)
    return f"{_head(export, body)}\n\n\n{body}\n"


def _pass(export: Export, function: Function, title: str, results: Sequence[str]) -> _Pass:
    """A pass with everything that is printed of it."""
    stage = "forward" if title == "forward" else "backward"
    plan = make_plan(function, stage, results)  # type: ignore[arg-type]
    module = print_plan(plan, export.sizes, multiprocessors("sm_90"))
    params = [param.name for param in function.params]
    names = SizeNames(export.names.taken | {*params}, export.names.known)
    variables = {name: name for name in params}
    for buffer in plan.buffers:
        variables[buffer.name] = names.fresh(buffer.name)
    device = f"{tensor_of(function) or params[0]}.device" if params else '"cpu"'
    launcher = Launcher(plan, module, names, variables, device)
    body = launcher.lines()
    last = ", ".join(variables[name] for name in plan.results)
    parameters = ", ".join([*params, *export.axes])
    lines = [f"def _launch_{title}({parameters}):"]
    lines.append(f'    """Run the {title} pass: {last}."""')
    lines += [f"    {line}" for line in body]
    return _Pass(title, plan, module, [*lines, f"    return {last}"])


def _kernels(one: _Pass, names: SizeNames) -> Iterator[list[str]]:
    """Each kernel after a comment on its buffers and its schedule."""
    total = len(one.module.kernels)
    for number, (kernel, (printed, schedule)) in enumerate(
        zip(one.plan.kernels, one.module.kernels, strict=True), start=1
    ):
        about = f"The {one.title} pass" + (f", kernel {number} of {total}" if total > 1 else "")
        comment = [f"{about}.", *_buffers(kernel, names), reason(schedule)]
        lines = [line.replace("~", " ") for part in comment for line in textwrap.wrap(part, 98)]
        yield [*(f"# {line}" for line in lines), *printed.text.rstrip("\n").split("\n")]


def _buffers(kernel: Kernel, names: SizeNames) -> Iterator[str]:
    """What a kernel reads and writes; `~` is a space at which no line is broken."""

    def shown(name: str, dtype: object, shape: Sequence[Size]) -> str:
        return f"{name}:~{dtype}[{',~'.join(map(names.text, shape))}]"

    reads = [shown(read.name, read.dtype, read.shape) for read in kernel.reads]
    stores = dict.fromkeys(shown(s.buffer, s.dtype, s.shape) for s in kernel.stores)
    yield f"Reads {', '.join(reads) or 'nothing'}; writes {', '.join(stores)}."


def _sizes(
    export: Export, solving: Sequence[str], axes: Sequence[str], passes: Sequence[_Pass]
) -> Iterator[str]:
    """The function from arguments to sizes."""
    yield f"def _sizes({', '.join(param.name for param in export.forward.params)}):"
    what = ", ".join(axes) or "none"
    yield f'    """The sizes of the axes: {what}. ValueError for arguments that do not fit."""'
    for param in export.forward.params:
        name, dtype = param.name, torch_name(param.dtype)
        told = f'f"{name} is {{{name}.dtype}}, not {dtype}"'
        yield f"    _require({name}.dtype == {dtype}, {told})"
    for line in solving:
        yield f"    {line}"
    for length, most in _held(passes).items():
        told = f'f"these kernels hold rows of {most}, not {{{length}}}: export for longer ones"'
        yield f"    _require({length} <= {most}, {told})"
    yield f"    return {axes[0] + ',' if len(axes) == 1 else ', '.join(axes) or '()'}"


def _held(passes: Sequence[_Pass]) -> dict[str, int]:
    """The lengths of rows that kernels hold whole, and how long they may be."""
    found: dict[str, int] = {}
    for one in passes:
        for _, schedule in one.module.kernels:
            length = _length(schedule)
            if length is not None:
                found[length] = min(held(schedule), found.get(length, held(schedule)))
    return found


def _length(schedule: Schedule) -> str | None:
    """The length of a row that is held whole, over sizes of the arguments."""
    names = SizeNames(set())
    total = ONE
    for axis in schedule.columns:
        total = total * axis
    known = total.constant is not None or PROGRAMS in schedule.columns
    return None if schedule.kind != "whole" or known else names.text(total)


def _head(export: Export, body: str) -> str:
    """The docstring, the imports, and the source as a comment."""
    both = ", forward and backward" if export.backward is not None else ""
    lines = [
        f'"""{export.name} in Triton{both}: generated by tdsl from {export.file}.',
        "",
        "It needs torch and triton alone. `python` on this file compares it with plain torch on random",
        "data; where there is no GPU, set TRITON_INTERPRET=1.",
        '"""',
        "",
    ]
    standard = [name for name in ("contextlib", "math") if re.search(rf"\b{name}\.", body)]
    lines += [*(f"import {name}" for name in standard), *([""] if standard else [])]
    lines += ["import torch", "import triton", "import triton.language as tl"]
    if "libdevice." in body:
        lines.append("from triton.language.extra import libdevice")
    lines += ["", "# The source, in tdsl:", "#"]
    lines += [f"#     {line}".rstrip() for line in export.source.rstrip().split("\n")]
    return "\n".join(lines)
