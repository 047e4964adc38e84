"""The heart: from a program's function to something that runs, read top-down.

text ─parse→ AST ─elaborate→ IR ─differentiate→ IR ─simplify→ IR ─prepare→ Program

In: a parsed program, a function's name, and all that a specialisation depends on. Out: a graph, then a
Program for given sizes. Between: a function with a hand-written derivative stays one call until
`flatten`, so that a graph may be differentiated at any time before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tdsl.ir.dtype import Dtype
from tdsl.ir.function import Function as Graph
from tdsl.runtime.interpreter import Program, prepare
from tdsl.syntax.elaboration.entry import Static, elaborate
from tdsl.syntax.elaboration.program import Program as Source
from tdsl.transforms.differentiate import derive
from tdsl.transforms.inline import inline_calls
from tdsl.transforms.simplify import simplify
from tdsl.transforms.work import Work


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derivative of a function: which, with respect to what, and whether one array comes back."""

    kind: str
    wrt: tuple[str, ...] | None = None
    single: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What a specialisation is made for. Without ranks packs are opaque, without dtypes variables open."""

    statics: Mapping[str, Static]
    ranks: Mapping[str, int] | None = None
    given: frozenset[str] | None = None
    dtypes: Mapping[str, Dtype] | None = None


def compile_function(
    source: Source, name: str, derivations: tuple[Derivation, ...], choice: Choice
) -> Graph:
    """The graph of a program's function, or of a derivative of it.

    Raises TdslError for faults of the program.
    """
    work = Work()
    graph = elaborate(source, name, choice.statics, choice.ranks, choice.given, choice.dtypes, work)
    for derivation in derivations:
        graph = derive(graph, derivation.kind, derivation.wrt, work)
    return graph


def flatten(graph: Graph) -> Graph:
    """The graph as it runs: every call inlined, simplified."""
    return simplify(inline_calls(graph))


def executable(graph: Graph, sizes: Mapping[str, int]) -> Program:
    """A flat graph, ready to run on arrays of these sizes."""
    return prepare(graph, sizes)
