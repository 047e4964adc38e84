"""Built-ins and expressions of the language beside NumPy: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import tdsl

Check = Callable[..., Any]
X = np.random.default_rng(0).standard_normal((3, 4))
Y = np.random.default_rng(1).standard_normal(4)
I = np.array([2, -1, 0, 9])  # noqa: E741  (the index of the examples)
B = np.array([[True, False, True, True], [False, False, True, False], [True, True, True, True]])

CASES: list[tuple[str, str, Check]] = [
    # signature, body, NumPy
    ("x: f64[N, D], y: f64[D]", "x + y * 2 - y / x", lambda x, y: x + y * 2 - y / x),
    ("x: f64[N, D], y: f64[D]", "abs(x) ** 2.5 % 3 // 2", lambda x, y: np.abs(x) ** 2.5 % 3 // 2),
    ("x: f64[N, D], y: f64[D]", "maximum(x, y) - minimum(y, x)", lambda x, y: np.maximum(x, y) - np.minimum(x, y)),
    ("x: f64[N, D], y: f64[D]", "fmod(x, y) + remainder(x, y)", lambda x, y: np.fmod(x, y) + np.remainder(x, y)),
    ("x: f64[N, D], y: f64[D]", "atan2(x, y) + pow(abs(x), y)", lambda x, y: np.arctan2(x, y) + np.abs(x) ** y),
    ("x: f64[N, D]", "square(x) + reciprocal(x)", lambda x: x * x + 1 / x),
    ("x: f64[N, D]", "round(x * 3) + sign(x) + neg(x)", lambda x: np.rint(x * 3) + np.sign(x) - x),
    ("x: f64[N, D]", "polygamma(1, abs(x) + 1)", lambda x: special.polygamma(1, np.abs(x) + 1)),
    ("x: f64[N, D]", "erf(x) + lgamma(abs(x) + 1)", lambda x: special.erf(x) + special.gammaln(np.abs(x) + 1)),
    ("x: f64[N, D]", "clamp(x, lo=0) + clip(x, hi=0) + clamp(x, -1, 1)",
     lambda x: np.maximum(x, 0) + np.minimum(x, 0) + np.clip(x, -1, 1)),
    ("x: f64[N, D]", "(x > 0) & ~(x > 1) | (x < -1)", lambda x: (x > 0) & ~(x > 1) | (x < -1)),
    ("x: f64[N, D]", "logical_and(x // 1, x > 0) | logical_or(x > 9, x // 1)",
     lambda x: np.logical_and(x // 1, x > 0) | (x // 1 != 0)),
    ("x: f64[N, D]", "logical_xor(logical_not(x // 1), True)", lambda x: x // 1 != 0),
    ("x: f64[N, D]", "x * (2**62 * 2 - 9223372036854775807) + -9223372036854775808 * 0", lambda x: x),
    ("x: f64[N, D]", "logical_xor(x > 0, x > 1)", lambda x: (x > 0) ^ (x > 1)),
    ("x: f64[N, D]", "logical_and(x > 0, logical_not(x > 1))", lambda x: (x > 0) & ~(x > 1)),
    ("x: f64[N, D]", "x if x > 0 else 0.1 * x", lambda x: np.where(x > 0, x, 0.1 * x)),
    ("x: f64[N, D]", "isnan(x / 0) | isinf(x) | ~isfinite(x)", np.isnan),
    ("x: f64[N, D]", "cast(x * 100, i32) << 2 >> 1 ^ 5", lambda x: ((x * 100).astype(np.int32) << 2 >> 1) ^ 5),
    ("x: f64[N, D]", "-x + +x * pi - sqrt(2.0) * D", lambda x: -x + x * np.pi - np.sqrt(2.0) * 4),
    ("x: f64[N, D]", "sum(x, axis=D)", lambda x: x.sum(1)),
    ("x: f64[N, D]", "sum(x, axis=-2)", lambda x: x.sum(0)),
    ("x: f64[N, D]", "x.sum(axis=(N, D))", lambda x: x.sum()),
    ("x: f64[N, D]", "mean(x) + max(x) - amin(x)", lambda x: x.mean() + x.max() - x.min()),
    ("x: f64[N, D]", "var(x, axis=D, correction=1)", lambda x: x.var(1, ddof=1)),
    ("x: f64[N, D]", "std(x, axis=N)", lambda x: x.std(0)),
    ("x: f64[N, D]", "prod(x, axis=(D, N))", lambda x: x.prod()),
    ("x: f64[N, D]", "norm(x, axis=D) + norm(x, axis=D, ord=1)",
     lambda x: np.linalg.norm(x, axis=1) + np.abs(x).sum(1)),
    ("x: f64[N, D]", "norm(x, axis=D, ord=3)", lambda x: np.linalg.norm(x, 3, axis=1)),
    ("x: f64[N, D]", "norm(x, axis=D, ord=inf)", lambda x: np.abs(x).max(1)),
    ("x: f64[N, D]", "norm(x, axis=D, ord=-inf)", lambda x: np.abs(x).min(1)),
    ("x: f64[N, D]", "norm(x, axis=D, ord=0)", lambda x: np.linalg.norm(x, 0, axis=1)),
    ("x: f64[N, D]", "norm(x, axis=D, ord=-2)", lambda x: np.linalg.norm(x, -2, axis=1)),
    ("x: f64[N, D]", "argmax(x, axis=D) + argmin(x, axis=D)", lambda x: x.argmax(1) + x.argmin(1)),
    ("x: f64[N, D]", "argmax(x)", lambda x: x.argmax()),
    ("b: bool[N, D]", "any(b, axis=D) | all(b, axis=D)", lambda b: b.any(1) | b.all(1)),
    ("b: bool[N, D]", "sum(b, axis=D)", lambda b: b.sum(1)),
    ("b: bool[N, D]", "b * b + b", lambda b: b),
    ("x: f64[N, D]", "cumsum(x, axis=D) + cummax(x, axis=D)",
     lambda x: x.cumsum(1) + np.maximum.accumulate(x, 1)),
    ("x: f64[N, D]", "cumprod(x, axis=N)", lambda x: x.cumprod(0)),
    ("x: f64[N, D]", "logcumsumexp(x, axis=D)", lambda x: np.log(np.exp(x).cumsum(1))),
    ("x: f64[N, D], y: f64[D]", "dot(x, y, axis=D)", lambda x, y: x @ y),
    ("x: f64[N, D], y: f64[D]", "x @ y", lambda x, y: x @ y),
    ("x: f64[N, D], w: f64[O, D]", "x @ w.T", lambda x, w: x @ w.T),
    ("x: f64[N, D], w: f64[O, D]", "x @ w.mT", lambda x, w: x @ w.T),
    ("x: f64[N, D], w: f64[O, D]", 'einsum("nd,od->on", x, w)', lambda x, w: w @ x.T),
    ("x: f64[N, D]", 'einsum("nd->d", x)', lambda x: x.sum(0)),
    ("x: f64[N, D], w: f64[O, D]", 'einsum("ij,kl->", x, w)', lambda x, w: x.sum() * w.sum()),
    ("x: f64[N, D], w: f64[O, D]", 'einsum("ij,kl->ik", x, w)', lambda x, w: np.outer(x.sum(1), w.sum(1))),
    ("x: f64[N, D], y: f64[D]", 'einsum("ij,k->i", x, y)', lambda x, y: x.sum(1) * y.sum()),
    ("y: f64[D]", 'einsum("i,j->", y, y)', lambda y: y.sum() ** 2),
    ("y: f64[D]", 'einsum("i,j->i", y, y) + einsum("i,i->", y, y)', lambda y: y * y.sum() + y @ y),
    ("x: f64[N, D], w: f64[O, D]", 'einsum("ij,kj->ik", x, w)', lambda x, w: x @ w.T),
    ("x: f64[N, D], y: f64[D]", "x[:1] @ y + x[:1, :] @ x.T[:, 0]", lambda x, y: x[:1] @ y + x[:1] @ x[0]),
    ("x: f64[N, D], w: f64[O, D]", "x[:1] @ w.T", lambda x, w: x[:1] @ w.T),
    ("x: f64[N, D], w: f64[O, D]", "x @ w[:1].T", lambda x, w: x @ w[:1].T),
    ("x: f64[N, D], y: f64[D]", "dot(x[:1], y, axis=D)", lambda x, y: x[:1] @ y),
    ("x: f64[N, D], w: f64[O, D]", "x.unsqueeze(0) @ stack((w.T, w.T), axis=B)",
     lambda x, w: x @ np.stack((w.T, w.T))),
    ("x: f64[N, D], w: f64[O, D]", "x @ stack((w.T, w.T), axis=B)", lambda x, w: x @ np.stack((w.T, w.T))),
    ("y: f64[D], i: i64[M]", "take(y, i, axis=D)", lambda y, i: np.array([y[2], 0, y[0], 0])),
    ("x: f64[N, D], i: i64[D]", "take(x, i, axis=N)",
     lambda x, i: np.where((i >= 0) & (i < 3), x[i.clip(0, 2), np.arange(4)], 0)),
    ("x: f64[N, D]", "scatter_add(x, arange(D) % 2, axis=K, size=2)",
     lambda x: np.stack([x[:, ::2].sum(1), x[:, 1::2].sum(1)], 1)),
    ("i: i64[M], y: f64[D]", "one_hot(i, D)", lambda i, y: np.eye(10)[i.clip(-1)][:, :4].astype("f4") * (i >= 0)[:, None]),
    ("x: f64[N, D]", "x[1:, ::2]", lambda x: x[1:, ::2]),
    ("x: f64[N, D]", "x[..., ::-1][0]", lambda x: x[0, ::-1]),
    ("x: f64[N, D]", "x[-1, 1:-1]", lambda x: x[-1, 1:-1]),
    ("x: f64[N, D]", "x[:, :1] + x", lambda x: x[:, :1] + x),
    ("x: f64[N, D]", "transpose(x, 0, 1)", lambda x: x.T),
    ("x: f64[N, D]", "permute(x, (D, N))", lambda x: x.T),
    ("x: f64[N, D]", "flatten(x)", lambda x: x.reshape(-1)),
    ("x: f64[N, D]", "flatten(x, axes=(D, N))", lambda x: x.T.reshape(-1)),
    ("x: f64[N, D]", "unflatten(x, axis=D, sizes=(H, 2))", lambda x: x.reshape(3, 2, 2)),
    ("x: f64[N, 4]", "reshape(x, 2, 2*N)", lambda x: x.reshape(2, 6)),
    ("x: f64[N, D]", "reshape(x, N*D)", lambda x: x.reshape(-1)),
    ("x: f64[N, D]", "rename(x, D=K)", lambda x: x),
    ("x: f64[N, D]", "rename(x, {0: K})", lambda x: x),
    ("x: f64[N, D], y: f64[D]", "concat((x, x), axis=N)", lambda x, y: np.concatenate((x, x))),
    ("x: f64[N, D]", "cat((x[:, 1:], x), axis=1)", lambda x: np.concatenate((x[:, 1:], x), 1)),
    ("x: f64[N, D]", "stack((x, -x), axis=K)", lambda x: np.stack((x, -x))),
    ("x: f64[N, 4]", "cat(split(x, 2, axis=1), axis=1)", lambda x: x),
    ("x: f64[N, 4]", "split(x, 2, axis=1)[1]", lambda x: x[:, 2:]),
    ("x: f64[N, 4]", "chunk(x, 4, axis=1)[2]", lambda x: x[:, 2:3]),
    ("x: f64[N, D]", "pad(x, axis=D, low=1, high=2, value=7)",
     lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=7)),
    ("x: f64[N, D]", "flip(x, axis=(N, D))", lambda x: x[::-1, ::-1]),
    ("x: f64[N, D]", "roll(x, 3, axis=D) + roll(x, -1, axis=D)",
     lambda x: np.roll(x, 3, 1) + np.roll(x, -1, 1)),
    ("x: f64[N, D]", "squeeze(unsqueeze(x, 1))", lambda x: x),
    ("x: f64[N, D]", "squeeze(unsqueeze(x, -1), axis=-1)", lambda x: x),
    ("x: f64[N, D], y: f64[D]", "expand(y, N, D)", lambda x, y: np.broadcast_to(y, (3, 4))),
    ("x: f64[N, D]", "tril(x) + triu(x, diagonal=1)", lambda x: x),
    ("x: f64[N, D]", "diagonal(x)", lambda x: x.diagonal()),
    ("x: f64[N, D]", "zeros(N, D) + ones(N, D, dtype=f64)", lambda x: np.ones((3, 4))),
    ("x: f64[N, D]", "full((N, D), 2.5, dtype=f64) * ones_like(x) + zeros_like(x)", lambda x: np.full((3, 4), 2.5)),
    ("x: f64[N, D]", "full(N, 3)", lambda x: np.full(3, 3)),
    ("x: f64[N, D]", "arange(D)", lambda x: np.arange(4)),
    ("x: f64[N, D]", "arange(1, 2*D, 3)", lambda x: np.arange(1, 8, 3)),
    ("x: f64[N, D]", "arange(D, 0, -1)", lambda x: np.arange(4, 0, -1)),
    ("y: f64[D]", "eye(1, D)", lambda y: np.eye(1, 4, dtype="f4")),
    ("y: f64[D]", "arange(1) + y[:1]", lambda y: y[:1]),
    ("y: f64[D]", "one_hot(arange(D), 1) * y.unsqueeze(1)", lambda y: y[:, None] * np.eye(4)[:, :1]),
    ("x: f64[N, D]", "tril(x[:1])", lambda x: np.tril(x[:1])),
    ("x: f64[N, D]", "stack((x,), axis=1) + linspace(0, 1, 1)", lambda x: x[None]),
    ("x: f64[N, D]", "linspace(0, 1, D, dtype=f64)", lambda x: np.linspace(0, 1, 4)),
    ("x: f64[N, D]", "logspace(0, 2, D, dtype=f64)", lambda x: np.logspace(0, 2, 4)),
    ("x: f64[N, D]", "eye(N, D)", lambda x: np.eye(3, 4, dtype=np.float32)),
    ("x: f64[N, D]", "checkpoint(save(stop_gradient(x)))", lambda x: x),
    ("x: f64[N, D], flag: bool = True", "x if flag and not D is None or False else -x", lambda x: x),
    ("x: f64[N, D], n: int = 3", "x * n + (1 if 0 < n < 5 else 2)", lambda x: x * 3 + 1),
    ("x: f64[N, D], kind: str = \"a\"", "x if kind == \"a\" else -x", lambda x: x),
    ("x: f64[N, D], t: DType = f32", "cast(x, t)", lambda x: x.astype(np.float32)),
    ("x: f64[..., D]", "sum(x, axis=D)", lambda x: x.sum(-1)),
    ("x: f64[*B]", "sum(x, axis=(*B,))", lambda x: x.sum()),
]  # fmt: skip
DATA: dict[str, Any] = {"x": X, "y": Y, "i": I, "b": B, "w": X[:2] + 1}


@pytest.mark.parametrize(("signature", "body", "check"), CASES, ids=[c[1] for c in CASES])
def test_built_in_is_numpys(signature: str, body: str, check: Check) -> None:
    names = [
        word.split(":")[0]
        for word in signature.split(", ")
        if ": f64[" in word or ": i64[" in word or ": bool[" in word
    ]
    given = [DATA[name] for name in names]
    text = f"def f({signature}):\n    return {body}\n"
    function: Any = tdsl.compile(text)
    actual, expected = function(*given), check(*given)
    assert actual.shape == np.shape(expected)
    assert actual.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "body", ["std(x)", *(f"norm(x, ord={p})" for p in (0, 1, 2, 3, 1.5, "inf"))]
)
def test_gradients_are_zero_where_a_spread_is_zero(body: str) -> None:
    function: Any = tdsl.compile(f"def f(x: f64[D]):\n    return {body}\n")
    value, (gradient,) = tdsl.value_and_grad(function)(np.zeros(4))
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("bounds", ["lo=0", "hi=0", "lo=x*0", "0, 1", "-1, 0", "0"])
def test_gradients_are_whole_on_the_closed_interval(bounds: str) -> None:
    function: Any = tdsl.compile(f"def f(x: f64[D]):\n    return sum(clamp(x, {bounds}))\n")
    assert tdsl.grad(function, wrt="x")(np.zeros(2)).tolist() == [1.0, 1.0]


NOTED = [
    ("norm(x, 2)", "it is `norm(x, axis=, ord=)`"),
    ("pad(x, (1, 2))", "it is `pad(x, axis, low=, high=, value=)`"),
    ("max(1, 2)", "it is `max(x, axis=)`"),
]


@pytest.mark.parametrize(("body", "note"), NOTED)
def test_a_wrong_position_shows_what_the_built_in_takes(body: str, note: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f(x: f64[N]):\n    return {body}\n")
    assert (caught.value.code, caught.value.note) == ("E0221", note)


HELPER = "\ndef g(x: T[N], n: int):\n    return x * n\n"
REFUSED = [
    # parameters and result, body, code, what is said
    ("a: f64[N, K], b: f64[M, K]", 'einsum("ij,kl->jl", a, b)', "E0217", "[K, K]"),
    ("a: f64[K]", 'einsum("i,j->ij", a, a)', "E0217", "give the second one another name"),
    ("a: f64[N, K]", 'einsum("ii->i", a)', "E0240", "equation"),
    ("x: f64[N, D]) -> (f64[N, M]", "x * 2", "E0202", "`M`"),
    ("x: f64[N, D]) -> (f64[D, M]", "x * 2", "E0202", "`M`"),
    ("x: f64[N, D]) -> (f64[P, Q]", "x * 2", "E0202", "`P`"),
    ("x: f64[N]) -> (f64[Q]", "x", "E0202", "`Q`"),
    ("x: f64[*A]) -> (f64[Q]", "x", "E0202", "`Q`"),
    ("x: f64[N, D]) -> (f64[M]", "sum(x, axis=N)", "E0202", "`M`"),
    ("x: f64[2*N]) -> (f64[A], f64[A]", "x, x[1:]", "E0216", "[2*N - 1]"),
    ("x: f64[N]", "x + 10**30", "E0233", "does not fit i64"),
    ("x: f64[N]", "10**20 * x", "E0233", "does not fit i64"),
    ("x: f64[N]", "10**10**10 * x", "E0233", "does not fit i64"),
    ("x: f64[N]", "(2**63 + 2**63) * x", "E0233", "does not fit i64"),
    ("x: f64[N]", "1e400 * x", "E0233", "does not fit f64"),
    ("x: f32[N]", "x + 1e300", "E0233", "does not fit f32"),
    ("x: f16[N]", "x + 1e300", "E0233", "does not fit f16"),
    ("x: f64[N]", "2**63", "E0233", "does not fit i64"),
    ("x: f64[N]", "zeros(-1)", "E0228", "negative"),
    ("x: f64[N]", "scatter_add(x, arange(N), axis=K, size=-1)", "E0228", "negative"),
    ("x: f64[N]", "arange(5, 2)", "E0228", "negative"),
    ("x: f64[N]", "eye(N, N)", "E0217", "[N, N]"),
    ("x: f64[N]", "eye(2, 2)", "E0217", "[2, 2]"),
    ("x: f64[N]", "one_hot(arange(N), N)", "E0217", "[N, N]"),
    ("x: f64[N]", "one_hot(arange(2), 2)", "E0217", "[2, 2]"),
    ("x: f64[N, D]", "x @ x.T", "E0217", "[N, N]"),
    ("x: f64[N]", "(x > 0) < (x > 1)", "E0229", "`<` needs numbers, not bool"),
    ("x: f64[N]", "(x > 0) >= True", "E0229", "`>=` needs numbers, not bool"),
    ("x: f64[N]", "cummax(x > 0, axis=N)", "E0229", "`cummax` needs numbers, not bool"),
    ("x: f64[N]", "()", "E0257", "needs a value"),
    ("x: f64[B, H, W]", "x.flatten(1)", "E0277", "axes=(H, W)"),
    ("x: f64[N]", "x if (1, 2) else -x", "E0211", "a condition is needed here, not a tuple"),
    ("x: i64[N]", "relu(x)", "E0229", "`relu` needs floating values, not i64"),
    ("x: i64[N, D]", "softmax(x, axis=D)", "E0229", "`softmax` needs floating values"),
    ("x: bool[N]", "sigmoid(x)", "E0229", "`sigmoid` needs numbers, not bool"),
    ("x: i64[N]", "var(x)", "E0229", "`var` needs floating values"),
    ("x: i64[N]", "linspace(0, 1, N, dtype=i64)", "E0232", "fraction"),
    ("x: bool[N]", "-x", "E0229", "`-` needs numbers, not bool"),
    ("x: bool[N]", "x - x", "E0229", "write `cast(x, f32)` first"),
    ("x: bool[N]", "abs(x)", "E0229", "`abs` needs numbers"),
    ("x: i64[N]", "x << 0.5", "E0232", "fraction"),
    ("x: f64[N]", "x << 1", "E0229", "`<<` needs integers, not f64"),
    ("x: f64[N, D]", "rename(x, {N: K, D: K})", "E0217", "[K, K]"),
    ("x: f64[N]", "stack((x, x), axis=0)", "E0281", "name the new axis: `axis=K`"),
    ("x: f64[N]", "cat(())", "E0211", "not an empty tuple"),
    ("x: f64[N]", "cat(x)", "E0211", "not a value"),
    ("x: f64[N, D]", "x[..., 0, ...]", "E0262", "`...` stands once"),
    ("x: f64[N]", "grad(exp)(x)", "E0280", "`exp`"),
    ("x: f64[N]", "g(x, N)", "E0213", "sizes are known at the call"),
    ("x: f64[N]", "x > 0 & x < 1", "E0236", "`&` and `|` bind tighter"),
    ("x: f64[N]", "x[True]", "E0244", "an index must be"),
    ("x: f64", "split(x, 2)", "E0221", "no axis at position 0"),
    ("x: f64[N, D]", "reshape(x, -1)", "E0242", "does not reshape to [-1]"),
    ("x: f64[N]", "reshape(x, -1, -N)", "E0242", "does not reshape to [-1, -N]"),
    ("x: f64[N]", "f'{x}'", "E0111", "strings are plain"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "body", "code", "said"), REFUSED, ids=[r[1] for r in REFUSED]
)
def test_what_has_no_meaning_is_refused(signature: str, body: str, code: str, said: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f({signature}):\n    return {body}\n{HELPER}")
    assert caught.value.code == code
    assert caught.value.span is not None
    assert caught.value.span.file == "<text>"
    assert said in f"{caught.value.message} {caught.value.hint}"


NEGATIVE = [
    "arange(N - 9)", "linspace(0, 1, N - 9)", "eye(N - D, 2)", "zeros(N - D)", "ones(N - D)",
    "full((N - D,), 1)", "one_hot(arange(N), N - D)", "arange(D, N)",
]  # fmt: skip


@pytest.mark.parametrize("body", NEGATIVE)
def test_a_negative_size_is_an_error_at_the_call(body: str) -> None:
    function: Any = tdsl.compile(f"def f(x: f64[N, D]):\n    return {body}\n")
    with pytest.raises(tdsl.TdslError, match=r"N - [D9]|D") as caught:
        function(X)
    assert caught.value.code == "E0307"


SIGNATURES = [
    ("x: f32[*A, *B], y: f32[*A]", "E0224"), ("x: f32[N*N]", "E0278"), ("x: f32[N//2]", "E0278"),
    ("x: f32[N%2]", "E0278"), ("x: f32[N-M]", "E0278"), ("x: f32[N-N]", "E0278"),
    ("x: f32[-1]", "E0228"), ("x: f32[f32]", "E0214"), ("x: f32[inf]", "E0214"),
    ("x: f32[N], y: f32[N] = 1.0", "E0283"), ("x: f32, y: f32 = K", "E0283"),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "code"), SIGNATURES)
def test_a_signature_that_no_call_fits(signature: str, code: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f({signature}):\n    return 1.0\n")
    assert caught.value.code == code


TOGETHER = [
    ("y + q + r", ["there is no `q` here", "there is no `r` here", "there is no `y` here"]),
    ("tanh(x, q=1) + zz", ["`tanh` has no parameter `q`", "there is no `zz` here"]),
    ("(x + w) + zz", ["the axes [N] and [M] meet, and neither operand has them all",
                      "there is no `zz` here"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "messages"), TOGETHER)
def test_faults_of_one_line_are_told_together(body: str, messages: list[str]) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f(x: f32[N], w: f32[M]):\n    return {body}\n")
    assert sorted(error.message for error in caught.value.errors) == sorted(messages)


def test_a_fault_of_a_derivative_has_a_place() -> None:
    text = "def h(x: f32[N]):\n    return x\n\ndef f(x: f32[N]):\n    return grad(h)(x)\n"
    with pytest.raises(tdsl.TdslError, match="<text>:5:12") as caught:
        tdsl.compile(text)
    assert caught.value.code == "E0604"


TWO_DERIVATIVES = "def a(x: f32):\n    return x\n" + "".join(
    f"\n@vjp_of(a)\ndef {name}(x: f32, y: f32, dy: f32):\n    return dy\n" for name in "bc"
)


@pytest.mark.parametrize(
    "text", [f"{HELPER}{HELPER}", "C = 1\nC = 2\n", f"g = 1\n{HELPER}", TWO_DERIVATIVES]
)
def test_a_name_is_defined_once(text: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(text)
    assert caught.value.code == "E0282"


DECORATORS = ["foo", "staticmethod", "tdsl.jit", "vjp_of(nope)", "vjp_of()", "vjp_of(exp)",
              "vjp_of(softmax)", "vjp_of(f)"]  # fmt: skip


@pytest.mark.parametrize("text", DECORATORS)
def test_a_decorator_names_a_function_of_the_file(text: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"@{text}\ndef f(x: f32) -> f32:\n    return x\n")
    assert caught.value.code == "E0275"


STATEMENTS = [
    ("y[N, D] = cast(arange(N), f64) + zeros(D, dtype=f64)\n    return x + y", lambda x: x + np.arange(3)[:, None]),
    ("h: f32[D, N] = x\n    return h", lambda x: x.T.astype(np.float32)),
    ("a, (b, c) = x, (1, 2)\n    return a * b + c", lambda x: x + 2),
    ("for i in range(1, 4):\n        x += i\n    return x", lambda x: x + 6),
    ("x *= 2\n    x -= 1\n    x /= 4\n    return x", lambda x: (2 * x - 1) / 4),
    ("if D is None:\n        return -x\n    elif False:\n        return x\n    else:\n        return 2 * x",
     lambda x: 2 * x),
    ("assert D > 0 and N >= 1, \"sizes\"\n    return x", lambda x: x),
    ("\"\"\"Doc.\"\"\"\n    return x.T", lambda x: x.T),
]  # fmt: skip


@pytest.mark.parametrize(("body", "check"), STATEMENTS, ids=[s[0] for s in STATEMENTS])
def test_statement(body: str, check: Check) -> None:
    function: Any = tdsl.compile(f"def f(x: f64[N, D]):\n    {body}\n")
    np.testing.assert_allclose(function(X), check(X), rtol=1e-6)


FAULTY = [
    ("from nowhere import foo\n    return x", "E0276"),
    ("from norms import rms_norm as r\n    return x", "E0276"),
    ('assert (N > 9, "bad")\n    return x', "E0211"),
    ("x[0] = 1\n    return x", "E0251"),
    ("x[1:] = 1\n    return x", "E0251"),
    ("x[0] += 1\n    return x", "E0251"),
    ("for i in range(2):\n        x[i] = 1\n    return x", "E0251"),
    ("y[N, M] = x\n    return y", "E0202"),
    ("pass\n    return x", "E0201"),
    ("print(x)\n    return x", "E0201"),
    ("exp(x)\n    return x", "E0254"),
    ("try:\n        return x", "E0111"),
    ("match x:\n        return x", "E0111"),
]


@pytest.mark.parametrize(("body", "code"), FAULTY, ids=[s[0] for s in FAULTY])
def test_faulty_statement(body: str, code: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f(x: f64[N, D]):\n    {body}\n")
    assert caught.value.code == code


HABITS = [
    ("sum(x, keepdims=True)", "drop keepdims"),
    ("torch.exp(x)", "not `torch.exp(x)`"),
    ("cast(x, np.float32)", "the dtype is called f32"),
    ("torch.nn.functional.relu(x)", "not `torch.exp(x)`"),
    *(
        (f"{name}(x)", "write `")
        for name in (
            "matmul",
            "bmm",
            "mm",
            "add",
            "sub",
            "mul",
            "div",
            "equal",
            "bitwise_and",
            "floor_divide",
            "full_like",
            "empty",
            "count_nonzero",
            "hypot",
            "diag",
            "swapaxes",
            "view",
            "masked_fill",
            "to",
            "astype",
            "float",
            "int",
            "bool",
            "inner",
            "ne",
            "signbit",
            "expand_dims",
            "tile",
            "repeat",
        )
    ),
    *((f"x.{name}()", "write `") for name in ("bool", "int", "double", "half", "float", "numel")),
    *((f"x.{name}()", "drop it") for name in ("clone", "cuda", "contiguous")),
    *((f"x.{name}", "type") for name in ("dtype", "ndim")),
    ("x.device", "drop it"),
    ("outer(x, x)", "y[N, M] = a * b"),
    ("median(x)", "no sorting"),
    ("mode(x)", "no sorting"),
    ("cross(x, x)", "products"),
    ("mse_loss(x, x)", "`mse`"),
    ("scaled_dot_product_attention(x, x, x)", "`attention`"),
    ("x.view(3)", "flatten"),
    ("x.shape", "an axis name is its size"),
    ("x.detach()", "stop_gradient"),
    ("exp(x, dim=0)", "write `axis=`"),
    ("len(x)", "an axis name is its size"),
]


@pytest.mark.parametrize(("body", "hint"), HABITS, ids=[h[0] for h in HABITS])
def test_habits_of_other_libraries_get_a_remedy(body: str, hint: str) -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile(f"def f(x: f64[N, D]):\n    return {body}\n")
    assert hint in caught.value.hint


def test_a_foreign_dtype_in_a_type_gets_a_remedy() -> None:
    with pytest.raises(tdsl.TdslError) as caught:
        tdsl.compile("def f(x: float[N]):\n    return x\n")
    assert caught.value.hint == "the dtype is called f32"
