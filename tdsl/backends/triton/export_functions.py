"""What an export is made of, and the functions of the file that torch and users call.

In: an `Export`. Out: the lines of the autograd function and of the plain one. Between: arguments are made
contiguous; the backward pass runs on what the forward pass saved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tdsl.backends.triton.export_format import WIDTH
from tdsl.backends.triton.export_sizes import SizeNames, torch_name, tuple_text, unpacked
from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function


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


def tensor_of(function: Function) -> str | None:
    """A parameter that is no number."""
    return next((param.name for param in function.params if param.shape), None)


def autograd_lines(export: Export) -> Iterator[str]:
    """The class that torch's autograd calls."""
    yield f"class {export.class_name}(torch.autograd.Function):"
    yield '    """The forward pass, and the backward pass on what it saves."""'
    yield ""
    yield "    @staticmethod"
    yield from (f"    {line}" for line in _forward(export))
    if export.backward is not None:
        yield ""
        yield "    @staticmethod"
        yield "    @torch.autograd.function.once_differentiable"
        yield from (f"    {line}" for line in _backward(export, export.backward))


def _floats(export: Export) -> list[int]:
    """Which results may have gradients."""
    results = export.forward.results[: export.count]
    return [i for i, result in enumerate(results) if may_be_float(result.node.dtype)]


def _forward(export: Export) -> Iterator[str]:
    params, axes = [p.name for p in export.forward.params], export.axes
    yield f"def forward(ctx, {', '.join([*params, *axes])}):"
    copies = f"{', '.join(params)} = {', '.join(f'{name}.contiguous()' for name in params)}"
    if len(copies) + 8 <= WIDTH:
        yield f"    {copies}"
    else:
        yield from (f"    {name} = {name}.contiguous()" for name in params)
    call = f"_launch_forward({', '.join([*params, *axes])})"
    yield f"    {', '.join(export.outputs)} = {call}"
    results, floats = export.outputs[: export.count], _floats(export)
    whole = [name for i, name in enumerate(results) if i not in floats]
    if whole:
        yield f"    ctx.mark_non_differentiable({', '.join(whole)})"
    kept = [*export.kept, *(export.outputs[i] for i in export.saved)]
    yield f"    ctx.save_for_backward({', '.join(kept)})"
    yield f"    ctx.sizes = {tuple_text(axes)}"
    yield f"    return {', '.join(results)}"


def _backward(export: Export, backward: Function) -> Iterator[str]:
    count = len(export.kept) + len(export.saved)
    names = [param.name for param in backward.params]
    saved, cotangents = names[:count], names[count:]
    incoming = dict(zip(_floats(export), cotangents, strict=True))
    given = [incoming.get(i, f"_{i}") for i in range(export.count)]
    yield f"def backward(ctx, {', '.join(given)}):"
    if saved:
        yield f"    {unpacked(saved)} = ctx.saved_tensors"
    passed = [*saved, *(f"{name}.contiguous()" for name in cotangents), "*ctx.sizes"]
    yield f"    {', '.join(export.gradients)} = _launch_backward({', '.join(passed)})"
    gradients = dict(zip(export.wrt, export.gradients, strict=True))
    shares = [gradients.get(param.name, "None") for param in export.forward.params]
    yield f"    return {', '.join([*shares, *['None'] * len(export.axes)])}"


def public_lines(export: Export) -> Iterator[str]:
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
    doc = [*export.doc.strip().split("\n"), "", types, *export.facts]
    doc = [line for part in doc for line in (textwrap.wrap(part.strip(), WIDTH - 4) or [""])]
    yield f'    r"""{doc[0]}' if "\\" in "".join(doc) else f'    """{doc[0]}'
    yield from (f"    {line}" if line else "" for line in doc[1:])
    yield '    """'
    names, tensor = [p.name for p in params], tensor_of(export.forward)
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
