"""The text form: what is printed is read back as the same nodes; other texts are refused."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.errors import InternalError, TdslError
from tdsl.ir import parse, print_function
from tdsl.ir.dtype import F32
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node, topological
from tdsl.ir.size import name as axis_name
from tdsl.ir.verify import verify
from tdsl.ops import CATALOGUE, Operation, constant, exp, input_
from tdsl.syntax.elaboration.entry import check_program, elaborate, signature
from tdsl.syntax.elaboration.program import library_program
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.simplify import simplify

SAMPLES = [
    (name, place, node)
    for name, op in CATALOGUE.items()
    if isinstance(op, Operation)
    for place, node in enumerate(op.samples())
]
LIBRARY = [(file, f.__name__) for file in dir(tdsl.kernels) for f in getattr(tdsl.kernels, file)]
STATIC: dict[str, dict[str, Any]] = {
    "group_norm": {"groups": 2},
    "adam_step": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}


def function_of(node: Node) -> Function:
    inputs = [n for n in topological([node]) if n.op.family == "input"]
    params = tuple(Param(n["name"], n.axes, n) for n in inputs)
    return Function("sample", params, (Result(node.axes, node),))


@pytest.mark.parametrize(("name", "place", "node"), SAMPLES, ids=[f"{n}{i}" for n, i, _ in SAMPLES])
def test_every_operation_round_trips(name: str, place: int, node: Node) -> None:
    function = function_of(node)
    verify(function)
    assert parse(print_function(function)) == function


@pytest.mark.parametrize(("file", "name"), LIBRARY, ids=[n for _, n in LIBRARY])
def test_the_library_and_its_backwards_round_trip(file: str, name: str) -> None:
    program = library_program(file)
    check_program(program)
    packs = {p.pack: 2 for p in signature(program, name).parameters if p.pack}
    generic = elaborate(program, name, STATIC.get(name))
    concrete = elaborate(program, name, STATIC.get(name), packs, frozenset(), {"T": F32, "S": F32})
    for graph in (generic, concrete, vjp(generic), vjp(concrete), simplify(concrete)):
        verify(graph)
        again = parse(print_function(graph))
        assert print_function(again).split("\n")[0] == print_function(graph).split("\n")[0]
        assert [r.node for r in again.results] == [r.node for r in graph.results]
        assert again.params == graph.params
        assert again.checks == graph.checks


BROKEN = [
    "", "nonsense", "function f() -> f32", "function f(x: f99) -> f32\n  return x",
    "function f(x: f32) -> f32\n  return y", "function f(x: f32) -> f32\n  %0 = nope(x) : f32\n  return %0",
    "function f(x: f32) -> f32\n  %0 = exp(x, x) : f32\n  return %0",
    "function f(x: f32) -> f32\n  %0 = exp(x) : f64\n  return %0",
    "function f(x: f32) -> f32\n  %0 = exp(x : f32\n  return %0", "function f(x: f32[" + "(" * 500,
    "function f(x: f32) -> f32\n  %0 = constant(dtype=f32, value=oops) : f32\n  return %0",
    "function f(x: f32) -> f32\n  \0", "function f(x: f32[N]) -> f32[N]\n  %0 = sum(x) : f32\n  return %0",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_broken_texts_are_refused_with_their_place(text: str) -> None:
    with pytest.raises(TdslError) as caught:
        parse(text)
    assert caught.value.code == "E0701"
    assert caught.value.span is not None


def test_the_verifier_refuses_broken_functions() -> None:
    node = SAMPLES[-1][2]
    function = function_of(node)
    x = function.params[0]
    n, m = axis_name("N"), axis_name("M")
    broken = [
        Function("f", (), function.results),
        Function("f", (*function.params, x), function.results),
        Function("f", (Param("y", (*x.shape, m), x.node), *function.params[1:]), function.results),
        Function("f", function.params, (Result((), exp(input_(name="z", dtype=F32, axes=(n,)))),)),
        Function("f", function.params, (Result((n, n), constant(value=1.0, dtype=F32)),)),
        Function("f", (Param("c", (), constant(value=1.0, dtype=F32)),), ()),
    ]
    for candidate in broken:
        with pytest.raises(InternalError):
            verify(candidate)
