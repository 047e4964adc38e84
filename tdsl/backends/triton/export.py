"""One standalone Python file for a function: its Triton kernels, launchers, and a test.

In: an `Export`: flat graphs of the forward and the backward pass, and what readers want to know. Out: the
file's text. Between: it needs torch and triton alone; kernels are those for the given sizes' class, and
every size is read from the arguments; the same export gives the same text.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tdsl.backends.triton.ahead import multiprocessors
from tdsl.backends.triton.export_check import check_lines
from tdsl.backends.triton.export_format import WIDTH, formatted
from tdsl.backends.triton.export_launch import Launcher, reason
from tdsl.backends.triton.export_runtime import HELPERS
from tdsl.backends.triton.export_sizes import SizeNames, torch_name, tuple_text
from tdsl.backends.triton.helpers import helper_text
from tdsl.backends.triton.module import TritonModule, print_plan
from tdsl.fusion.kernel import Kernel
from tdsl.fusion.plan import Plan, make_plan
from tdsl.fusion.schedule import WHOLE_LIMIT, Schedule
from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function
from tdsl.ir.size import ONE, Size


@dataclass(frozen=True)
class Export:
    """What is exported.

    `forward` has the results asked for, then values that are saved; `backward` takes the parameters
    named in `kept`, the results numbered in `saved`, then cotangents, and gives the gradients of the
    parameters named in `wrt`. `sizes` choose the kernels, and are those of the file's test. `facts` are
    lines for readers; `defaults` are numbers that parameters of rank 0 have.
    """

    forward: Function
    count: int
    backward: Function | None
    kept: tuple[str, ...]
    saved: tuple[int, ...]
    wrt: tuple[str, ...]
    sizes: Mapping[str, int]
    doc: str
    source: str
    file: str
    facts: tuple[str, ...]
    defaults: Mapping[str, str]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.forward.name

    @cached_property
    def class_name(self) -> str:
        """The name of the autograd function's class."""
        return "_" + "".join(word.capitalize() for word in self.name.split("_"))

    @cached_property
    def names(self) -> SizeNames:
        """The names of sizes, which are the same in every function of the file."""
        return SizeNames({param.name for param in self.forward.params} | {self.name, "ctx"})

    @cached_property
    def solving(self) -> list[str]:
        """The statements that find and check sizes."""
        return list(self.names.solve(self.forward))

    @cached_property
    def axes(self) -> list[str]:
        """The names of all sizes."""
        return list(dict.fromkeys(self.names.known[atom] for atom in self.names.known))

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the forward pass's results, then of what is saved."""
        taken = {param.name for param in self.forward.params}
        own = ["out"] if self.count == 1 else [f"out{i}" for i in range(self.count)]
        saved = [p.name for p in self.backward.params[len(self.kept) :]] if self.backward else []
        extra = {i: n for i, n in zip(self.saved, saved, strict=False) if i >= self.count}
        names = []
        for i in range(len(self.forward.results)):
            name = own[i] if i < self.count else extra[i]
            while name in taken:
                name += "_"
            taken.add(name)
            names.append(name)
        return names

    @cached_property
    def gradients(self) -> list[str]:
        """Names of the gradients."""
        taken = {param.name for param in self.backward.params} if self.backward else set()
        return [f"d{name}_" if f"d{name}" in taken else f"d{name}" for name in self.wrt]


@dataclass(frozen=True)
class _Pass:
    """One of the two passes: its plan and kernels, and the statements that run it."""

    title: str
    plan: Plan
    module: TritonModule
    launch: list[str]
    used: set[str]


def print_export(export: Export) -> str:
    """The text of the file. Raises InternalError where a kernel cannot be printed."""
    solving, axes = export.solving, export.axes
    passes = [_pass(export, export.forward, "forward", export.outputs)]
    if export.backward is not None:
        passes.append(_pass(export, export.backward, "backward", export.gradients))
    used = set().union(*(one.used for one in passes)) | {"_require"}
    kernels = [list(_kernels(one, export.names)) for one in passes]
    helpers = helper_text(
        frozenset[str]().union(*(k.helpers for one in passes for k, _ in one.module.kernels))
    )
    blocks = [helpers.strip().split("\n")] if helpers else []
    for one, texts in zip(passes, kernels, strict=True):
        blocks += [*texts, one.launch]
    blocks.append(list(_sizes(export, solving, axes, passes)))
    if export.backward is not None:
        blocks.append(list(_autograd(export)))
    blocks.append(list(_public(export)))
    blocks += [HELPERS[name].strip().split("\n") for name in HELPERS if name in used]
    blocks += check_lines(export)
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
    device = f"{_tensor(function) or params[0]}.device" if params else '"cpu"'
    launcher = Launcher(plan, module, names, variables, device)
    body = launcher.lines()
    last = ", ".join(variables[name] for name in plan.results)
    parameters = ", ".join([*params, *export.axes])
    lines = [f"def _launch_{title}({parameters}):"]
    lines.append(f'    """Run the {title} pass: {last}."""')
    lines += [f"    {line}" for line in body]
    return _Pass(title, plan, module, [*lines, f"    return {last}"], launcher.used)


def _tensor(function: Function) -> str | None:
    """A parameter that is no number."""
    return next((param.name for param in function.params if param.shape), None)


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
    for length in _held(passes):
        told = f'f"a row has {{{length}}} elements; these kernels hold {WHOLE_LIMIT}"'
        yield f"    _require({length} <= {WHOLE_LIMIT}, {told})"
    yield f"    return {axes[0] + ',' if len(axes) == 1 else ', '.join(axes) or '()'}"


def _held(passes: Sequence[_Pass]) -> list[str]:
    """The lengths of rows that kernels hold whole."""
    found: dict[str, None] = {}
    for one in passes:
        for _, schedule in one.module.kernels:
            length = _length(schedule)
            if length is not None:
                found[length] = None
    return list(found)


def _length(schedule: Schedule) -> str | None:
    """The length of a row that is held whole, over sizes of the arguments."""
    names = SizeNames(set())
    total = ONE
    for axis in schedule.columns:
        total = total * axis
    known = total.constant is not None or "programs" in total.names()
    return None if schedule.kind != "whole" or known else names.text(total)


def _autograd(export: Export) -> Iterator[str]:
    """The class that torch's autograd calls."""
    if export.backward is None:
        return
    params, axes = [p.name for p in export.forward.params], export.axes
    floats = [i for i, r in enumerate(export.forward.results[: export.count])
              if may_be_float(r.node.dtype)]  # fmt: skip
    cotangents = [p.name for p in export.backward.params[len(export.kept) + len(export.saved) :]]
    saved = [p.name for p in export.backward.params[: len(export.kept) + len(export.saved)]]
    incoming = dict(zip(floats, cotangents, strict=True))
    given = [incoming.get(i, "_") for i in range(export.count)]
    yield f"class {export.class_name}(torch.autograd.Function):"
    yield '    """The forward pass, and the backward pass on what it saves."""'
    yield ""
    yield "    @staticmethod"
    yield f"    def forward(ctx, {', '.join([*params, *axes])}):"
    copies = ", ".join(f"{name}.contiguous()" for name in params)
    if len(f"        {', '.join(params)} = {copies}") <= WIDTH:
        yield f"        {', '.join(params)} = {copies}"
    else:
        yield from (f"        {name} = {name}.contiguous()" for name in params)
    call = f"_launch_forward({', '.join([*params, *axes])})"
    yield f"        {', '.join(export.outputs)} = {call}"
    whole = [o for i, o in enumerate(export.outputs[: export.count]) if i not in floats]
    if whole:
        yield f"        ctx.mark_non_differentiable({', '.join(whole)})"
    kept = [*export.kept, *(export.outputs[i] for i in export.saved)]
    yield f"        ctx.save_for_backward({', '.join(kept)})"
    yield f"        ctx.sizes = {tuple_text(axes)}"
    yield f"        return {', '.join(export.outputs[: export.count])}"
    yield ""
    yield "    @staticmethod"
    yield "    @torch.autograd.function.once_differentiable"
    yield f"    def backward(ctx, {', '.join(given)}):"
    if saved:
        yield f"        {_unpacked(saved)} = ctx.saved_tensors"
    passed = [*saved, *(f"{name}.contiguous()" for name in cotangents), "*ctx.sizes"]
    yield f"        {', '.join(export.gradients)} = _launch_backward({', '.join(passed)})"
    gradients = dict(zip(export.wrt, export.gradients, strict=True))
    shares = [gradients.get(name, "None") for name in params] + ["None"] * len(axes)
    yield f"        return {', '.join(shares)}"


def _unpacked(names: Sequence[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else ", ".join(names)


def _public(export: Export) -> Iterator[str]:
    """The function that users call."""
    params = export.forward.params
    given = [
        f"{p.name}={export.defaults[p.name]}" if p.name in export.defaults else p.name
        for p in params
    ]
    yield f"def {export.name}({', '.join(given)}):"
    types = ", ".join(
        f"{p.name}: {p.dtype}[{', '.join(map(export.names.text, p.shape))}]" for p in params
    )
    doc = [*export.doc.strip().split("\n"), "", *textwrap.wrap(types, 90), *export.facts]
    doc = [line for part in doc for line in (textwrap.wrap(part.strip(), 92) or [""])]
    yield f'    r"""{doc[0]}' if "\\" in "".join(doc) else f'    """{doc[0]}'
    yield from (f"    {line}" if line else "" for line in doc[1:])
    yield '    """'
    names, tensor = [p.name for p in params], _tensor(export.forward)
    for param in params:
        if not param.shape:
            device = f", device={tensor}.device" if tensor else ""
            made = f"torch.as_tensor({param.name}, dtype={torch_name(param.dtype)}{device})"
            yield f"    {param.name} = {made}"
    sizes = f"*_sizes({', '.join(names)})"
    if export.backward is not None:
        yield f"    return {export.class_name}.apply({', '.join([*names, sizes])})"
    else:
        own = [f"{name}.contiguous()" for name in names]
        yield f"    return _launch_forward({', '.join([*own, sizes])})"


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
