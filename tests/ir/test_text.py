"""The text form: what is printed is read back as the same nodes; other texts are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tdsl
from tdsl.errors import InternalError, TdslError
from tdsl.ir import parse, print_function, verify
from tdsl.ir.dtype import F32, F64, DtypeVar
from tdsl.ir.function import Check, Function, Origin, Param, Result
from tdsl.ir.index_map import IndexMap, InRange, Piece
from tdsl.ir.node import Node
from tdsl.ir.size import Size, as_size, copy, floordiv, minimum
from tdsl.ir.size import index as variable
from tdsl.ir.size import name as axis_name
from tdsl.ops import CATALOGUE, Operation, arange, call, constant, exp, index, input_, log, sum_
from tdsl.syntax.elaboration.entry import check_program, elaborate, signature
from tdsl.syntax.elaboration.program import library_program
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.simplify import simplify
from tests.ir.programs import elaborated, names, whole

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = [
    (name, place, node)
    for name, op in CATALOGUE.items()
    if isinstance(op, Operation)
    for place, node in enumerate(op.samples())
]
LIBRARY = [(file, f.__name__) for file in dir(tdsl.kernels) for f in getattr(tdsl.kernels, file)]
STATIC: dict[str, dict[str, Any]] = {
    "group_norm": {"groups": 2},
    "reduced": {"reduction": "mean"},
    "attention_weights": {"causal": True},
    "threshold": {"limit": 0.5, "value": 0.0},
    "descent": {"decay": 0.1, "maximize": True},
    "adam_step": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}
N, D, K = map(axis_name, "NDK")
X = input_(name="x", dtype=F64, axes=(N,))


def round_trip(function: Function) -> None:
    """Equal, of the same nodes, and printed the same again."""
    verify(function)
    text = print_function(function)
    again = parse(text)
    assert again == function
    assert print_function(again) == text


@pytest.mark.parametrize(("name", "place", "node"), SAMPLES, ids=[f"{n}{i}" for n, i, _ in SAMPLES])
def test_every_operation_round_trips(name: str, place: int, node: Node) -> None:
    round_trip(whole(node))


@pytest.mark.parametrize(("file", "name"), LIBRARY, ids=[n for _, n in LIBRARY])
def test_the_library_and_its_backwards_round_trip(file: str, name: str) -> None:
    program = library_program(file)
    check_program(program)
    packs = {p.pack: 2 for p in signature(program, name).parameters if p.pack}
    generic = elaborate(program, name, STATIC.get(name))
    concrete = elaborate(
        program, name, STATIC.get(name), packs, frozenset(), {"T": F32, "S": F32, "W": F32}
    )
    for graph in (generic, concrete, vjp(generic), vjp(concrete), simplify(concrete)):
        round_trip(graph)


@pytest.mark.parametrize("name", names())
def test_programs_and_their_backwards_round_trip(name: str) -> None:
    for graph in (elaborated(name), elaborated(name, dtype="bf16")):
        round_trip(graph)
        round_trip(vjp(graph))


@pytest.mark.parametrize("name", ["rms_norm", "scaled"])
def test_texts_are_pinned(name: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"{name}.ir", print_function(elaborated(name)) + "\n")


def _filled(fill: float) -> Node:
    piece = Piece(((N, variable(K)),), (InRange(variable(K), N),))
    return index(X, map=IndexMap((K,), (piece,), fill))


def _along(axis: Size) -> Node:
    return sum_(input_(name="x", dtype=F64, axes=(axis, N)), axes=(axis,))


def _named(op: Operation) -> Function:
    a = input_(name="a", dtype=F64, axes=(N,))
    return Function("g", (Param("a", (N,), a),), (Result((N,), op(a)),))


NUMBERS = [
    0,
    0.0,
    -0.0,
    False,
    True,
    7,
    -5,
    1e22,
    1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
]
AXES = [
    as_size(3), 2 * N - 2 + D * K, copy(N, "M"), copy(2 * N, "K.1"), floordiv(N + 1, D),
    minimum(N - 3, D), *map(axis_name, ("inf", "None", "f32", "i", "copy", "min", "where", "all")),
]  # fmt: skip
SWAPPED = input_(name="x", dtype=F64, axes=(D, N))
EDGES = {
    "another input": Function("f", (Param("y", (N,), X),), (Result((N,), X),)),
    "another order": Function("f", (Param("x", (N, D), SWAPPED),), (Result((D, N), SWAPPED),)),
    "units": Function("f", (Param("x", (as_size(1), N), X),), (Result((N, as_size(1)), X),)),
    "no results": Function("f", (Param("x", (N,), X),), ()),
    "no parameters": Function("f", (), (Result((), constant(value=1.0, dtype=F32)),)),
    "one name": whole(call(X, functions=(_named(exp), _named(log)), result=0), "g"),
    "a name with a dot": whole(exp(X), "f.1"),
    "checks": replace(whole(X), checks=(Check(N, "<", -D, 'a "b"\n\u00e9'), Check(N, "!=", D, ""))),
    **{
        f"called {word}": replace(whole(exp(X)), origins={exp(X): Origin(word, None)})
        for word in ("return", "check", "where", "function", "x", "%0", "a b")
    },
}  # fmt: skip


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_numbers_are_exact(value: float) -> None:
    round_trip(whole(constant(value=value, dtype=F64)))
    round_trip(whole(_filled(value)))
    again = parse(print_function(whole(_filled(value)))).results[0].node
    assert repr(again["map"].fill) == repr(value)


def test_fills_that_differ_make_nodes_that_differ() -> None:
    assert len({_filled(value) for value in NUMBERS}) == len(NUMBERS)
    assert _filled(float("nan")) is _filled(float("nan"))


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_axes_are_exact(axis: Size) -> None:
    round_trip(whole(_along(axis)))


@pytest.mark.parametrize("edge", EDGES)
def test_edges_round_trip(edge: str) -> None:
    round_trip(EDGES[edge])


HEAD = "function f(x: f32[N]) -> f32[N]\n  "
BROKEN = {
    "": "E0701",
    "nonsense": "E0701",
    "function f() -> f32": "E0701",
    "function f(x: f99) -> f32\n  return x": "E0703",
    "function f(x: f32, x: f32) -> f32\n  return x": "E0704",
    "function f(x: f32[N, N]) -> f32\n  return x": "E0705",
    "function f(x: f32[N]) -> f32\n  return x": "E0707",
    "function f(x: f32[N]) -> f64[N]\n  return x": "E0706",
    "function f(x: T) -> T\n  where T: vague\n  return x": "E0701",
    "function f(x: T) -> T\n  where T: int, T: int\n  return x": "E0704",
    "function f(x: T) -> T\n  outer T: any\n  return x\nfunction f() -> nothing\n  return": "E0704",
    "function f(x: f32[" + "(" * 500: "E0702",
    "function f(x: f32[" + "i[" * 500: "E0702",
    "function f(x: " + "compute(" * 500: "E0702",
    "function f(x: promote(u64, i8)) -> nothing\n  return": "E0705",
    "function f(x: f32[" + "9" * 5000 + "]) -> f32\n  return x": "E0701",
    "function f(x: f32[(A + B)*(A + B)]) -> f32\n  return x": "E0701",
    "function f(x: f32[1.5]) -> f32\n  return x": "E0701",
    HEAD + "return y": "E0703",
    HEAD + "%0 = nope(x) : f32[N]\n  return %0": "E0703",
    HEAD + "%0 = exp(x, x) : f32[N]\n  return %0": "E0705",
    HEAD + "%0 = exp(x) : f64[N]\n  return %0": "E0706",
    HEAD + "%0 = exp(x : f32\n  return %0": "E0701",
    HEAD + "%0 = exp(x) : f32[N]\n  %0 = log(x) : f32[N]\n  return %0": "E0704",
    HEAD + "x = exp(x) : f32[N]\n  return x": "E0704",
    HEAD + "%0 = constant(dtype=f32, value=oops) : f32\n  return %0": "E0705",
    HEAD + "%0 = constant(value=1.0) : f32\n  return %0": "E0705",
    HEAD + "%0 = constant(value=1, value=2) : f32\n  return %0": "E0704",
    HEAD + "%0 = sum(x) : f32\n  return %0": "E0705",
    HEAD + "%0 = sum(x, axes=3) : f32\n  return %0": "E0705",
    HEAD + "%0 = sum(x, axes=" + "[" * 500: "E0702",
    HEAD + "%0 = index(x, map={[K] N <- i[K] where K, K}) : f32[K]\n  return %0": "E0701",
    HEAD + '%0 = index(x, map={[K] N <- i[K] else "a"}) : f32[K]\n  return %0': "E0701",
    HEAD + "%0 = index(x, map=3) : f32[K]\n  return %0": "E0705",
    HEAD + "%0 = call(x, functions=[@g], result=0) : f32\n  return %0": "E0703",
    HEAD + '%0 = exp(x, a="\\q") : f32[N]\n  return %0': "E0701",
    HEAD + "check N < : 'a'\n  return x": "E0701",
    HEAD + "check N > D\n  return x": "E0701",
    HEAD + "\0": "E0701",
    HEAD + "return x, x": "E0701",
    HEAD + "return x\n  return x": "E0701",
}


@pytest.mark.parametrize(("text", "code"), BROKEN.items(), ids=range(len(BROKEN)))
def test_broken_texts_are_refused_with_their_place(text: str, code: str) -> None:
    with pytest.raises(TdslError) as caught:
        parse(text)
    assert caught.value.code == code
    assert caught.value.span is not None
    assert caught.value.span.line <= text.count("\n") + 1


def test_a_text_cut_short_is_refused() -> None:
    text = print_function(elaborated("rms_norm"))
    for end in range(len(text) - 2):
        with pytest.raises(TdslError, match="E07"):
            parse(text[:end])


T = DtypeVar("T", is_float=True)
GENERIC = input_(name="x", dtype=T, axes=(N,))
PARAM = Param("x", (N,), X)
STRAY = Function("g", (PARAM,), (Result((N,), exp(input_(name="y", dtype=F64, axes=(N,)))),))
INVALID = {
    "an input of no parameter": (Function("f", (), (Result((N,), X),)), "no parameter"),
    "a name twice": (Function("f", (PARAM, PARAM), ()), "share a name"),
    "a node twice": (Function("f", (PARAM, Param("y", (N,), X)), ()), "share a node"),
    "another shape": (Function("f", (Param("x", (N, D), X),), ()), "other axes than its shape"),
    "no input": (Function("f", (Param("x", (N,), exp(X)),), ()), "is no input"),
    "a result's axis": (Function("f", (PARAM,), (Result((), X),)), "result 0"),
    "an axis twice": (Function("f", (PARAM,), (Result((N, N), X),)), "stands twice"),
    "an open dtype": (Function("f", (Param("x", (N,), GENERIC),), ()), "T is not declared"),
    "another kind": (
        Function("f", (Param("x", (N,), GENERIC),), (), (("T", "int"),)),
        "T is not declared",
    ),
    "a unit axis": (whole(sum_(arange(axis=as_size(1)), axes=(as_size(1),))), "a unit axis"),
    "a sub-function": (
        whole(call(X, functions=(STRAY,) * 2, result=0)),
        "in g: .* no parameter",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_the_verifier_names_the_rule(case: str) -> None:
    function, rule = INVALID[case]
    with pytest.raises(InternalError, match=rule):
        verify(function)


def test_the_verifier_infers_again() -> None:
    node = exp(input_(name="broken", dtype=F64, axes=(N,)))
    function = whole(node)
    try:
        node.dtype = F32
        with pytest.raises(InternalError, match="not what the operation infers"):
            verify(function)
    finally:
        node.dtype = F64
