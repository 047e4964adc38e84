"""The test of an exported file: a reference in plain torch, random data, and the comparison.

In: an `Export`. Out: the functions as lines. Between: integers that index an axis lie in it; the limits are
relative to the largest value: a few roundings of the result's dtype, and sums in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from tdsl.backends.triton.export_reference import Reference
from tdsl.backends.triton.export_sizes import SizeNames, torch_name, tuple_text, unpacked
from tdsl.backends.triton.literals import kind_of
from tdsl.ir.dtype import may_be_float
from tdsl.ir.function import Function, Param
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import cast, clamp, input_, maximum, scatter, take

LIMITS = {"f64": 1e-12, "f32": 1e-4, "f16": 4e-3, "bf16": 3e-2}
"""By the dtype of a result; of integers and bools every one must be equal. Triton's interpreter cuts f32
off to bf16 where a GPU rounds, which is one more of the last digit."""


UNIT = ("log", "log2", "log10", "sqrt", "rsqrt", "asin", "acos", "atanh", "erfinv", "lgamma")
"""Functions whose domain the interval from 0 to 1 lies in, and not all numbers."""


class Exported(Protocol):
    """What the test needs to know of an export."""

    @property
    def forward(self) -> Function:
        """The function, with what it saves."""

    @property
    def backward(self) -> Function | None:
        """The backward pass, if it is exported."""

    @property
    def count(self) -> int:
        """How many results the function has."""

    @property
    def wrt(self) -> tuple[str, ...]:
        """The parameters with gradients."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The sizes of the test."""

    @property
    def names(self) -> SizeNames:
        """The names of sizes."""

    @property
    def axes(self) -> list[str]:
        """The names of all sizes."""

    @property
    def name(self) -> str:
        """The function's name."""


def check_lines(export: Exported) -> list[list[str]]:
    """The reference, the comparison, and the call of it."""
    return [
        list(_reference(export)),
        list(_test(export)),
        ['if __name__ == "__main__":', "    _test()"],
    ]


def _reference(export: Exported) -> Iterator[str]:
    params = [param.name for param in export.forward.params]
    results = export.forward.results[: export.count]
    function = Function(export.name, export.forward.params, results, origins=export.forward.origins)
    names = SizeNames(set(export.names.taken), export.names.known)
    reference = Reference(function, names)
    texts = reference.results()
    yield f"def _reference({', '.join(params)}):"
    yield '    """The same in plain torch, one statement for each operation: for the test alone."""'
    body = "\n".join([*reference.lines, *texts])
    found = [name if re.search(rf"\b{name}\b", body) else "_" for name in export.axes]
    if {*found} - {"_"}:
        yield f"    {unpacked(found)} = _sizes({', '.join(params)})"
    yield from (f"    {line}" for line in reference.lines)
    yield f"    return {', '.join(texts)}"


def _test(export: Exported) -> Iterator[str]:
    """The function that compares values, and gradients by torch's autograd."""
    params = export.forward.params
    limits = index_limits(export.forward)
    yield "def _test():"
    yield '    """Compare with the reference on random data; AssertionError if they differ."""'
    yield '    device = "cuda" if torch.cuda.is_available() else "cpu"'
    yield "    torch.manual_seed(0)"
    for param in params:
        yield f"    {param.name} = {_random(param, export, limits.get(param.name))}"
    arguments = ", ".join(param.name for param in params)
    found, wanted = f"{export.name}({arguments})", f"_reference({arguments})"
    if export.count == 1:
        found, wanted = f"({found},)", f"({wanted},)"
    yield f"    ours = {found}"
    yield f"    theirs = {wanted}"
    results = export.forward.results[: export.count]
    names = ["out"] if export.count == 1 else [f"out{i}" for i in range(export.count)]
    limit = [LIMITS.get(str(r.node.dtype), 0) for r in results]
    if export.backward is not None:
        floats = [i for i, r in enumerate(results) if may_be_float(r.node.dtype)]
        ours, theirs = "ours", "theirs"
        if len(floats) != export.count:
            ours, theirs = (
                tuple_text([f"{which}[{i}]" for i in floats]) for which in (ours, theirs)
            )
        wrt = tuple_text(export.wrt)
        yield f"    cotangents = [torch.randn_like(y) for y in {theirs}]"
        yield f"    ours += torch.autograd.grad({ours}, {wrt}, cotangents)"
        options = "allow_unused=True, materialize_grads=True"
        yield f"    theirs += torch.autograd.grad({theirs}, {wrt}, cotangents, {options})"
        names += [f"d{name}" for name in export.wrt]
        dtypes = {p.name: str(p.dtype) for p in params}
        limit += [LIMITS[dtypes[name]] for name in export.wrt]
    shown = [f'"{n}": {most:g}' for n, most in zip(names, limit, strict=True)]
    yield f"    limits = {{{', '.join(shown)}}}"
    yield "    errors = map(_error, ours, theirs)"
    yield "    for (name, limit), error in zip(limits.items(), errors, strict=True):"
    yield '        print(f"{name}: error {error:.1e}, limit {limit:.0e}")'
    yield '        assert error <= limit, f"{name} differs from the reference"'


def _random(param: Param, export: Exported, limit: Size | None) -> str:
    """Random data for a parameter: normal floats, integers below the limit."""
    shape = tuple_text([str(size.evaluate(export.sizes)) for size in param.shape])
    kind, dtype = kind_of(param.dtype), torch_name(param.dtype)
    if kind == "float":
        made = "rand" if param.name in positive_params(export.forward) else "randn"
        grad = ".requires_grad_()" if export.backward and param.name in export.wrt else ""
        return f"torch.{made}({shape}, dtype={dtype}, device=device){grad}"
    high = 2 if kind == "bool" else 10 if limit is None else max(1, limit.evaluate(export.sizes))
    return f"torch.randint(0, {high}, {shape}, device=device).to({dtype})"


def positive_params(function: Function) -> set[str]:
    """The parameters of which a logarithm, a root, or a function of (-1, 1) is taken directly."""
    found = set()
    for node in function.nodes():
        if node.op.name in UNIT:
            x = node.operands[0]
            while x.op in (cast, clamp, maximum):
                x = x.operands[0]
            if x.op is input_:
                found.add(str(x["name"]))
    return found


def index_limits(function: Function) -> dict[str, Size]:
    """For each integer parameter an axis that it indexes."""
    limits: dict[str, Size] = {}
    reaches: dict[Node, set[str]] = {}
    for node in function.nodes():
        names = {str(node["name"])} if node.op is input_ else set[str]()
        reaches[node] = names.union(*(reaches[operand] for operand in node.operands))
        if node.op in (take, scatter):
            for name in reaches[node.operands[1]]:
                limits.setdefault(name, node["axis"])
    return limits
