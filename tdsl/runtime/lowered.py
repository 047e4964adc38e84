"""Compiling without running: graphs as text, and the kernels for given sizes.

In: arrays, specs such as `f32[8, 64]`, or nothing. Out: `Lowered`. Between: specs are facts for binding, as
arguments of a call are, so that `lower` refuses what a call would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tdsl import faults
from tdsl.backends.c.compiler import COMPILERS, CompilerError, forget
from tdsl.backends.c.listing import listings
from tdsl.backends.triton.ahead import MULTIPROCESSORS, requests
from tdsl.backends.triton.aot import Compiled, compile_many
from tdsl.fusion.traffic import compulsory
from tdsl.ir.dtype import DTYPES, may_be_float
from tdsl.ir.function import Function as Graph
from tdsl.ir.size import Size
from tdsl.ir.text import print_function
from tdsl.runtime.arguments import as_array, fact_of
from tdsl.runtime.backends import COMPILER_HINT
from tdsl.runtime.binding import Default, Fact, bind, positional
from tdsl.runtime.call import Target, specialise, static_values
from tdsl.runtime.definition import Mode, Specialisation, specialisation
from tdsl.runtime.kernels import (
    REFERENCE_TARGET,
    KernelReport,
    PlanReport,
    Wish,
    report,
    with_scale,
)
from tdsl.runtime.native import compile_kernels, running
from tdsl.runtime.pipeline import Choice, compile_function, flatten
from tdsl.runtime.solve import solve
from tdsl.transforms.differentiate import value_and_grad, vjp
from tdsl.transforms.partition import partition


@dataclass(frozen=True)
class Lowered:
    """What `lower` gives: graphs, the sizes of their axes, and the kernels for these sizes.

    With gradients of a scalar loss the kernels are those of `value_and_grad`, one pass for both, and a
    conditional one that multiplies the gradients by the loss's cotangent, if that is not 1; else those of
    the forward pass, with what it saves, and of the backward pass.
    """

    found: Specialisation
    backward: Graph | None
    sizes: Mapping[str, int]
    wish: Wish

    def __repr__(self) -> str:
        return f"<lowered {self.graph.name}>"

    @property
    def graph(self) -> Graph:
        """The graph of the function itself."""
        return self.found.flat

    @property
    def ir(self) -> str:
        """The graph's text, which `tdsl.ir.parse` reads."""
        return print_function(self.graph)

    @property
    def backward_ir(self) -> str | None:
        """The backward's text; None without `grad`."""
        return print_function(self.backward) if self.backward is not None else None

    @cached_property
    def reports(self) -> tuple[PlanReport, ...]:
        """The plans, forward and backward. Raises TdslError for a graph of open dtypes."""
        self._require_sizes()
        wish = self.wish
        if self.backward is None:
            return (report(self.graph, "forward", self.sizes, wish),)
        names = [f"d{name}" for name in self._wrt()]
        if self._is_scalar_loss():
            both = flatten(value_and_grad(self.graph, self.wish.wrt))
            made = report(both, "forward", self.sizes, wish, ["out", *names])
            return (made if wish.backend == "c" else with_scale(made, self.sizes),)
        split = partition(self.graph, self.backward)
        return (
            report(split.forward, "forward", self.sizes, wish),
            report(split.backward, "backward", self.sizes, wish, names),
        )

    def compile(self) -> list[Future[None]]:
        """Begin to compile the C of calls on the processor with contiguous arguments, and wait for none.

        Files compile at once, as many as there are processors; a call that comes earlier waits for its own.
        With gradients they are those of a call that torch's autograd records. Each file's Future raises
        CompilerError where the compiler fails, which the call reports as well. Where calls run by another
        backend there is nothing to compile. Raises TdslError for a graph of open dtypes.
        """
        self._require_sizes()
        if self.wish.backend == "triton" or self.processor != "c":
            return []
        if self._is_c:
            forget()
        parts = [self.found]
        if self.backward is not None:
            floating = [p.name for p in self.graph.params if p.name in self._wrt()]
            parts = self.found.recorded(tuple(floating))
        return [COMPILERS.submit(compile_kernels, part, self.sizes, {}) for part in parts]

    def _require_sizes(self) -> None:
        has_axes = any(param.shape for param in self.graph.params)
        if self.graph.dtype_vars or (has_axes and not self.sizes):
            raise faults.NO_KERNELS.at(hint='give specs: `f.lower("f32[4096, 2048]")`')

    def _wrt(self) -> tuple[str, ...]:
        floating = [p.name for p in self.graph.params if may_be_float(p.dtype)]
        return self.wish.wrt or tuple(floating)

    def _is_scalar_loss(self) -> bool:
        results = self.graph.results
        return len(results) == 1 and not results[0].shape and may_be_float(results[0].node.dtype)

    @property
    def kernels(self) -> tuple[KernelReport, ...]:
        """The kernels, forward and backward, in the order in which they run."""
        return tuple(kernel for one in self.reports for kernel in one.kernels)

    @property
    def bytes_moved(self) -> int:
        """The bytes that the kernels move at these sizes; conditional ones are left out."""
        return sum(k.bytes_read + k.bytes_written for k in self.kernels if not k.conditional)

    @cached_property
    def compiled(self) -> tuple[Compiled, ...]:
        """The kernels compiled for the target, which need not be here: registers, spills, assembly.

        Raises TdslError without Triton.
        """
        target = self.wish.target or REFERENCE_TARGET
        wanted = [r for one in self.reports for r in requests(one.plan, self.sizes, target)]
        return tuple(compile_many(wanted))

    def asm(self, kind: str) -> dict[str, str]:
        """The text of each kernel at a stage: of Triton `ttir`, `ttgir`, `ptx` and `sass`, or `amdgcn`.

        For the backend "c" `c`, and `asm` as the system's compiler makes it. Raises TdslValueError.
        """
        texts = (
            {one.name: one.asm for one in self.compiled} if not self._is_c else self._listed(kind)
        )
        known = sorted({stage for text in texts.values() for stage in text})
        if kind not in known and texts:
            hint = f"stages are {', '.join(f'`{stage}`' for stage in known)}"
            raise faults.NO_BACKEND.at(
                backend=kind, note="it is no stage of this target", hint=hint
            )
        return {name: text[kind] for name, text in texts.items()}

    @property
    def processor(self) -> str:
        """The backend that runs calls on the processor here: the pinned one, or the best there is.

        A C compiler counts until it was found broken in this process; it is not tried for this.
        """
        return running(Mode(backend=self.wish.backend if self.wish.backend != "triton" else None))

    @property
    def _is_c(self) -> bool:
        return self.wish.backend == "c"

    def _listed(self, kind: str) -> dict[str, dict[str, str]]:
        """The stages of kernels in C; the compiler runs only where its text is asked for."""
        found: dict[str, dict[str, str]] = {}
        for one in self.reports:
            names = [kernel.name for kernel in one.kernels]
            texts = _assembly(one.source, names) if kind == "asm" else dict.fromkeys(names, "")
            for kernel in one.kernels:
                found[kernel.name] = {"c": kernel.source, "asm": texts[kernel.name]}
        return found

    @cached_property
    def bytes_compulsory(self) -> int:
        """The least that any program could move: see `tdsl.fusion.traffic`."""
        if self.backward is None or self._is_scalar_loss():
            return self.reports[0].compulsory

        def size(expr: Size) -> int:
            return expr.evaluate(self.sizes)

        return compulsory(self.graph, size) + compulsory(self.backward, size)


def _assembly(source: str, names: Sequence[str]) -> Mapping[str, str]:
    try:
        return listings(source, names)
    except CompilerError as error:
        raise faults.NO_BACKEND.at(backend="asm", note=str(error), hint=COMPILER_HINT) from None


def lower(target: Target, specs: Sequence[Any], keywords: Mapping[str, Any], wish: Wish) -> Lowered:
    """The graph for these arguments; a generic one, if no tensor is among them.

    Raises TdslError as a call would.
    """
    if wish.target is not None and wish.target not in MULTIPROCESSORS:
        known = ", ".join(f"`{name}`" for name in MULTIPROCESSORS)
        raise faults.UNKNOWN_TARGET.at(target=wish.target, hint=f"targets are {known}")
    own = positional(target.signature, takes_cotangents=target.takes_cotangents)
    tensors = {p.name for p in target.signature.parameters if p.is_tensor}
    names = [p.name for p in own] + [""] * (len(specs) - len(own))
    given = [*zip(names, specs, strict=False), *keywords.items()]
    values = [
        parse_spec(value) if name in tensors and isinstance(value, str) else value
        for name, value in given
    ]
    sizes: Mapping[str, int] = {}
    if tensors and tensors.isdisjoint(name for name, _ in given):
        names = [name for name, _ in given]
        found = _generic(target, names, values)
    else:
        found, sizes = _specialised(target, values, tuple(keywords))
    if not wish.grad:
        return Lowered(found, None, sizes, wish)
    return Lowered(found, flatten(vjp(found.graph, wish.wrt)), sizes, wish)


def _generic(target: Target, names: Sequence[str], values: Sequence[Any]) -> Specialisation:
    """The graph with packs opaque and dtype variables open, for static arguments by name."""
    static = tuple(p for p in target.signature.parameters if not p.is_tensor)
    signature = replace(target.signature, parameters=static)
    statics = static_values(signature, bind(signature, values, names), values)
    definition = target.definition
    choice = Choice(statics)
    return specialisation(
        compile_function(definition.source, definition.name, target.derivations, choice)
    )


def _specialised(
    target: Target, values: Sequence[Any], keywords: Sequence[str]
) -> tuple[Specialisation, Mapping[str, int]]:
    bound = bind(target.signature, values, keywords, takes_cotangents=target.takes_cotangents)
    facts = {
        name: _fact(name, place.value if isinstance(place, Default) else values[place])
        for name, place in bound.tensors.items()
    }
    found = specialise(target, facts, static_values(target.signature, bound, values))
    own = replace(found.flat, params=found.flat.params[: len(facts)])
    return found, solve(own, {name: fact.shape for name, fact in facts.items()})


def _fact(name: str, value: Any) -> Fact:
    return value if isinstance(value, Fact) else fact_of(name, as_array(name, value))


def parse_spec(text: str) -> Fact:
    """The dtype and shape that `f32[4, 8]` names. Raises TdslValueError."""
    match = re.fullmatch(r"\s*([a-z0-9]+)\s*(?:\[([\d\s,]*)\])?\s*", text)
    if match is None or match.group(1) not in DTYPES:
        raise faults.BAD_SPEC.at(text=text, hint="write `f32[4, 8]`, or `f32` for rank 0")
    inside = [part.strip() for part in (match.group(2) or "").split(",")]
    sizes = inside if any(inside) else []
    if not all(part.isascii() and part.isdigit() for part in sizes):
        raise faults.BAD_SPEC.at(text=text, hint="sizes are integers, parted by commas")
    return Fact(tuple(map(int, sizes)), DTYPES[match.group(1)])
