"""The heart: from a program's function to something that runs, read top-down.

text ─parse→ AST ─elaborate→ IR ─differentiate→ IR ─simplify→ IR ─prepare→ Program
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tdsl.ir.dtype import Dtype
from tdsl.ir.function import Function as Graph
from tdsl.runtime.interpreter import Program, prepare
from tdsl.syntax.elaboration.entry import Static, elaborate
from tdsl.syntax.elaboration.program import Program as Source
from tdsl.transforms.differentiate import grad, pullback, value_and_grad, vjp
from tdsl.transforms.inline import inline_calls
from tdsl.transforms.simplify import simplify

TRANSFORMS = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "vjp": vjp,
    "pullback": pullback,
}


@dataclass(frozen=True, slots=True)
class Derivation:
    """A derivative of a function: which, with respect to what, and whether one array comes back."""

    kind: str
    wrt: tuple[str, ...] | None
    single: bool = False


def compile_function(
    source: Source,
    name: str,
    derivations: tuple[Derivation, ...],
    statics: Mapping[str, Static],
    ranks: Mapping[str, int] | None,
    given: frozenset[str] | None,
    dtypes: Mapping[str, Dtype],
) -> Graph:
    """The graph that computes a function of a program, or a derivative of it.

    Raises TdslError for faults of the program.
    """
    graph = elaborate(source, name, statics, ranks, given, dtypes)
    for derivation in derivations:
        graph = TRANSFORMS[derivation.kind](graph, derivation.wrt)
    return simplify(inline_calls(graph))


def executable(graph: Graph, sizes: Mapping[str, int]) -> Program:
    """The graph, ready to run on arrays of these sizes."""
    return prepare(graph, sizes)
