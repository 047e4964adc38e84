"""Laws of sizes: canonical form and arithmetic agree, equal polynomials are one, proofs are sound."""

from __future__ import annotations

import operator
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tdsl.ir.dtype import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, U32, U64, Dtype, promote
from tdsl.ir.size import (
    ZERO,
    Size,
    as_size,
    copy,
    floordiv,
    index,
    is_nonnegative,
    maximum,
    minimum,
    mod,
    name,
)

Python = Callable[[dict[str, int]], int]
Pair = tuple[Size, Python]
Trial = tuple[Size, Callable[[dict[str, int]], int | None]]
VALUES = st.fixed_dictionaries({n: st.integers(0, 9) for n in ("A", "B", "C")})


def _floor(a: int, b: int) -> int:
    return a // b if b else 0


def _rest(a: int, b: int) -> int:
    return a % b if b else 0


LEAVES: st.SearchStrategy[Pair] = st.one_of(
    st.integers(-4, 6).map(lambda k: (as_size(k), lambda env, k=k: k)),
    st.sampled_from("ABC").map(lambda n: (name(n), lambda env, n=n: env[n])),
)


def _grow(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def apply(parts: tuple[str, Pair, Pair, int]) -> Pair:
        op, (a, f), (b, g), k = parts
        made = {
            "+": (lambda: a + b, lambda env: f(env) + g(env)),
            "-": (lambda: a - b, lambda env: f(env) - g(env)),
            "*": (lambda: a * b, lambda env: f(env) * g(env)),
            "//": (lambda: floordiv(a, as_size(k)), lambda env: _floor(f(env), k)),
            "%": (lambda: mod(a, as_size(k)), lambda env: _rest(f(env), k)),
            "min": (lambda: minimum(a, b), lambda env: min(f(env), g(env))),
            "max": (lambda: maximum(a, b), lambda env: max(f(env), g(env))),
        }[op]
        return made[0](), made[1]

    ops = st.sampled_from(["+", "-", "*", "//", "%", "min", "max"])
    return st.tuples(ops, inner, inner, st.integers(1, 4)).map(apply)


SIZES = st.recursive(LEAVES, _grow, max_leaves=6)


@given(SIZES, VALUES)
def test_canonical_form_has_the_value_of_the_expression(pair: Pair, env: dict[str, int]) -> None:
    size, python = pair
    assert size.evaluate(env) == python(env)


@given(SIZES, VALUES)
def test_a_proof_that_a_size_is_not_negative_holds(pair: Pair, env: dict[str, int]) -> None:
    size, _ = pair
    if is_nonnegative(size):
        assert size.evaluate(env) >= 0


@given(SIZES, SIZES, SIZES)
def test_equal_polynomials_are_one(a: Pair, b: Pair, c: Pair) -> None:
    assert (a[0] + b[0]) * c[0] == c[0] * b[0] + a[0] * c[0]
    assert a[0] - a[0] == ZERO


def _combined(parts: tuple[str, Trial, Trial]) -> Trial:
    """The size and its value by Python's own arithmetic; None where something is divided by 0."""
    sign, (a, f), (b, g) = parts
    on_sizes: dict[str, Callable[[], Size]] = {
        "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: floordiv(a, b),
        "%": lambda: mod(a, b), "<": lambda: minimum(a, b), ">": lambda: maximum(a, b),
    }  # fmt: skip
    on_numbers: dict[str, Callable[[int, int], int]] = {
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv,
        "%": operator.mod, "<": min, ">": max,
    }  # fmt: skip

    def value(env: dict[str, int]) -> int | None:
        left, right = f(env), g(env)
        if left is None or right is None or (sign in "/%" and right == 0):
            return None
        return on_numbers[sign](left, right)

    return on_sizes[sign](), value


DIVIDING: st.SearchStrategy[Trial] = st.recursive(
    st.one_of(
        st.integers(-3, 4).map(as_size),
        st.sampled_from("ABC").map(name),
        st.sampled_from("ABC").map(lambda n: index(name(n))),
    ).map(lambda size: (size, size.evaluate)),
    lambda inner: st.tuples(st.sampled_from("+-*/%<>"), inner, inner).map(_combined),
    max_leaves=8,
)


@st.composite
def points(draw: st.DrawFn) -> dict[str, int]:
    """Sizes from 1 up, and an index inside each axis."""
    sizes = {n: draw(st.integers(1, 6)) for n in "ABC"}
    return sizes | {f"i[{n}]": draw(st.integers(0, sizes[n] - 1)) for n in "ABC"}


@given(DIVIDING, st.lists(points(), min_size=4, max_size=4))
@settings(max_examples=400)
def test_division_by_sizes_of_any_sign(pair: Trial, at: list[dict[str, int]]) -> None:
    size, python = pair
    for env in at:
        value = python(env)
        if value is not None:
            assert size.evaluate(env) == value
            assert value >= 0 or not is_nonnegative(size)


@given(DIVIDING)
def test_a_canonical_form_is_canonical(pair: Trial) -> None:
    assert pair[0].substitute({}) == pair[0]


def test_no_proof_relies_on_the_sign_of_what_may_be_negative() -> None:
    a, b = name("A"), name("B")
    negative = a - 5
    assert not is_nonnegative(negative - 1 - mod(b, negative))
    quotient = floordiv(negative, b)
    assert not is_nonnegative(quotient * (a - 1) - quotient * index(a))
    nested = floordiv(floordiv(b, as_size(2)), negative)
    assert nested.evaluate({"A": 4, "B": 1}) == 0


def test_places_in_a_group_are_places_in_the_whole() -> None:
    a = name("A")
    half = floordiv(a, as_size(2))
    place = index(as_size(2)) * half + index(half)
    assert is_nonnegative(a - 1 - place)
    assert not is_nonnegative(a - 2 - place)


def test_facts_make_halves_meet() -> None:
    d, two = name("D"), as_size(2)
    odd = mod(d, two).atom
    assert odd is not None
    assert (d - floordiv(d, two)).substitute({odd: ZERO}) == floordiv(d, two)
    assert floordiv(d, two) * 2 + mod(d, two) == d


def test_indices_stay_inside_their_axes() -> None:
    h, d = name("H"), name("D")
    place = index(h) * d + index(d)
    assert floordiv(place, d) == index(h)
    assert mod(place, d) == index(d)
    assert copy(d) != d
    assert copy(d, "K") != copy(d, "L")
    assert copy(d, "K").evaluate({"D": 5}) == 5


def test_promotion_is_the_array_apis() -> None:
    table: list[tuple[Dtype, Dtype, Dtype | None]] = [
        (I8, I32, I32), (U8, U32, U32), (I8, U8, DTYPE["i16"]), (I32, U32, I64), (U64, I8, None),
        (BOOL, I8, I8), (BOOL, F32, F32), (I64, F16, F16), (F16, BF16, F32), (F32, F64, F64),
    ]  # fmt: skip
    for a, b, expected in table:
        assert promote(a, b) == promote(b, a) == expected


DTYPE = {"i16": Dtype("i16", "int", 16)}
