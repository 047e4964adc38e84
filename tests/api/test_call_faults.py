"""Faults at the call: one row for each, and every code of the catalogue has a row."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import tdsl
from tdsl.errors import TdslError
from tdsl.faults import catalogue
from tdsl.kernels import activations, losses, norms
from tdsl.syntax.elaboration.entry import check_program
from tdsl.syntax.elaboration.program import load_program

SOURCE = """
def scale(x: T[N, D], w: T[D], eps: float = 0.0) -> T[N, D]:
    return x * w + eps

def typed(x: f32[N], s: f32, n: i64) -> f32[N]:
    return x * s + cast(n, f32)

def half(x: f32[2 * H]) -> f32[H]:
    return x[:H]

def grid(x: f32[N * D], y: f32[N]) -> f32[N]:
    return y + x[0]

def even(x: f32[N]) -> f32[N]:
    assert N % 2 == 0, "N must be even"
    return x

def cut(x: f32[N], y: f32[M]) -> f32[M]:
    return x[:M] + y

def first(x: f32[N]) -> i64:
    return argmax(x, axis=N)

def along(x: f32[N, D], axis: Axis = -1) -> f32[...]:
    return sum(x, axis=axis)

def converted(x: f32[N], to: DType = f32) -> f32[N]:
    return cast(cast(x, to), f32)

def gather(x: f32[N], i: i64[M]) -> f32[M]:
    return take(x, i, axis=N)

def root(x: f32[N]) -> f32[N]:
    return log(x)

def bits(x: bf16[N]) -> bf16[N]:
    return x
""".replace(" -> f32[...]", "")
M: Any = tdsl.compile(SOURCE)
X, W = np.ones((2, 3)), np.ones(3)
F = np.ones(4, np.float32)


TAKEN: Any = tdsl.compile("def f(x: T[N], i: i64[M]) -> T[M]:\n    return take(x, i, axis=N)\n")
ROOTS: Any = tdsl.compile("def g(x: T[N]) -> f64:\n    return sum(sqrt(cast(x, f64)))\n")
TABLE = np.ones(4, np.float32)
EPS = 0.25


def bare(x: Any) -> Any:
    """A plain function."""
    return x


@tdsl.jit
def jitted_with_array(x: f32[N]) -> f32[N]:  # type: ignore[name-defined]  # noqa: F821
    return x + TABLE


@tdsl.jit
def jitted_with_function(x: f32[N]) -> f32[N]:  # type: ignore[name-defined]  # noqa: F821
    return bare(x)


@tdsl.jit
def jitted_with_default(x: f32[N], e: float = EPS, k: float = 2 * EPS) -> f32[N]:  # type: ignore[name-defined]  # noqa: F821
    return x + e + k


def test_a_default_may_name_a_number_of_the_python_file() -> None:
    assert jitted_with_default(F).tolist() == (F + 0.75).tolist()


def test_a_function_is_its_own_copy() -> None:
    assert copy.deepcopy([M.scale])[0] is M.scale
    assert copy.copy(M.scale) is M.scale


class Exporter:
    """Offers DLPack, and cannot keep its word."""

    def __dlpack__(self, **_: object) -> object:
        raise BufferError("not on this device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Odd(np.ndarray):
    """A subclass of arrays."""


ROWS: list[tuple[str, Callable[[], object], str]] = [
    ("E0302", lambda: M.scale([[1.0]], W), "`x` takes an array, not a list"),
    ("E0302", lambda: M.scale("x", W), "not a str"),
    ("E0302", lambda: M.scale(np.ma.masked_array(X), W), "a masked array"),
    ("E0302", lambda: M.scale(X.view(Odd), W), "an Odd"),
    ("E0302", lambda: M.scale(Exporter(), W), "an Exporter that NumPy cannot view"),
    ("E0302", lambda: M.scale(X.astype(">f8"), W), "an array of >f8"),
    ("E0302", lambda: M.scale(X.astype(complex), W), "an array of complex128"),
    ("E0302", lambda: M.typed(F, 1j, 1), "not a complex"),
    ("E0302", lambda: M.typed(F, np.complex64(1), 1), "not a complex64"),
    ("E0302", lambda: M.scale(torch.ones(2, 3).to_sparse(), torch.ones(3)), "torch.sparse_coo"),
    ("E0303", lambda: M.scale(W, W), r"`x` is T\[N, D\], and the argument has rank 1"),
    ("E0304", lambda: M.scale(X, F[:3]), "`w` is f64, and the argument is f32"),
    ("E0304", lambda: M.typed(F, 1.0, 1.5), "`n` is i64"),
    ("E0305", lambda: M.scale(X, W[:2]), "`D` of `w` has 2 elements, and 3 along axis 1 of `x`"),
    ("E0305", lambda: M.half(F[:3]), "there is no H >= 0"),
    ("E0306", lambda: M.half.using(checked=False) and M.grid(F, F[:0]), "`D` does not follow"),
    ("E0307", lambda: M.even(F[:3]), "N must be even"),
    ("E0307", lambda: M.cut(F[:3], F), "slice"),
    ("E0308", lambda: M.scale(X), "needs the argument `w`"),
    ("E0308", lambda: M.scale(X, W, 1.0, 2), "takes 3 arguments"),
    ("E0308", lambda: M.scale(X, W, y=1), "no parameter `y`"),
    ("E0308", lambda: M.scale(X, W, x=X), "given twice"),
    ("E0308", lambda: M.scale.using(donate=("q",)), "no parameter `q`"),
    ("E0309", lambda: M.scale(torch.ones(2, 3, device="meta"), torch.ones(3)), "`x` lies on meta"),
    ("E0310", lambda: M.scale.using(backend="cuda"), "`cuda` is not available"),
    ("E0311", lambda: M.root.lower("f32[2"), "not an argument specification"),
    ("E0312", lambda: M.scale(X, torch.ones(3)), "`x` is a NumPy array, other arguments are"),
    ("E0350", lambda: M.first(F[:0]), "no answer"),
    ("E0402", lambda: M.gather.using(checked=True)(F, np.array([0, 9])), "index 9 lies outside"),
    ("E0403", lambda: M.root.using(checked=True)(F - 1), "`log` makes"),
    ("E0265", lambda: M.scale(X, W, eps="a"), "`eps` is a float"),
    ("E0265", lambda: M.scale(X, W, eps=None), "`eps` is a float"),
    ("E0265", lambda: M.along(np.ones((2, 3), np.float32), axis=1.5), "`axis` is an Axis"),
    ("E0265", lambda: M.converted(F, to="f33"), "`to` is a DType"),
    ("E0269", lambda: tdsl.grad(M.first, wrt=0), "`wrt` takes"),  # type: ignore[arg-type]
    ("E0269", lambda: tdsl.grad(M.scale, wrt=()), "`wrt` takes"),
    ("E0269", lambda: tdsl.value_and_grad(M.scale, wrt=("x", "x")), "`wrt` takes"),
    ("E0212", lambda: tdsl.grad(None), "not a NoneType"),  # type: ignore[arg-type]
    ("E0212", lambda: tdsl.vjp(bare), "@tdsl.jit"),  # type: ignore[arg-type]
    ("E0212", lambda: tdsl.grad(M), "`.scale`, `.typed`"),
    ("E0229", lambda: activations.relu(np.arange(3)), "`x` of `relu` needs floating values, not i64"),
    ("E0229", lambda: losses.nll(X, np.zeros(2)), "`labels` of `nll` needs integers, not f64(.|\n)*labels.astype"),
    ("E0229", lambda: norms.rms_norm(X.astype("i4")), "`x` of `rms_norm` needs floating values, not i32"),
    ("E0229", lambda: norms.rms_norm(X, np.ones(3, "i8")), "`w` of `rms_norm` needs floating"),
    ("E0402", lambda: TAKEN.using(checked=True)(F, np.array([9])), r"2:12(.|\n)*index 9 lies outside"),
    ("E0403", lambda: tdsl.grad(ROOTS).using(checked=True)(F * 0), r"2:16(.|\n)*in the derivative of"),
    ("E0308", lambda: tdsl.compile(3), "not an int"),  # type: ignore[arg-type]
    ("E0308", lambda: tdsl.compile(b"N = 1"), "not a bytes"),  # type: ignore[arg-type]
    ("E0308", lambda: tdsl.load(3), "not an int"),  # type: ignore[arg-type]
    ("E0307", lambda: M.even(F[:3]), r"    assert N % 2 == 0(.|\n)*\^\^(.|\n)*note: \(N%2\) is 1, N is 3"),
    ("E0279", lambda: jitted_with_array(F), "`TABLE` is a Python value of type `ndarray`"),
    ("E0279", lambda: jitted_with_function(F), "decorate it with `@tdsl.jit`"),
]  # fmt: skip
ELSEWHERE = {
    "E0301": "the command line, in tests/cli",
    "E0313": "the command line, in tests/cli",
    "E0401": "the command line, in tests/cli",
    "E0404": "the command line, in tests/cli",
    "E0405": "the command line, in tests/cli",
    "E0451": "the command line, in tests/cli",
    "E0450": "test_bf16_without_ml_dtypes_says_what_to_install",
}


@pytest.mark.parametrize(("code", "call", "message"), ROWS, ids=[f"{c}-{m}" for c, _, m in ROWS])
def test_a_bad_call_says_what_is_wrong(code: str, call: Callable[[], object], message: str) -> None:
    with pytest.raises(TdslError, match=message) as caught:
        call()
    assert caught.value.code == code


def test_every_code_of_a_call_has_a_row() -> None:
    codes = {fault.code for fault in catalogue().values() if fault.code[:3] in {"E03", "E04"}}
    assert codes == {code for code, _, _ in ROWS if code[:3] != "E02"} | set(ELSEWHERE)


def test_bf16_without_ml_dtypes_says_what_to_install() -> None:
    """Where NumPy computes; tensors and compiled kernels need no such dtype."""
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import torch, tdsl\n"
        "f = tdsl.compile('def f(x: bf16[N]) -> bf16[N]:\\n    return x * 2')\n"
        "x = torch.ones(2, dtype=torch.bfloat16)\n"
        "print(f.using(backend='c')(x).tolist())\n"
        "try:\n    f.using(backend='interpreter')(x)\n"
        "except tdsl.TdslError as error:\n    print(error.code, error.hint)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[2.0, 2.0]\nE0450 pip install 'tdsl[bf16]'\n"


NUMBERS = [
    (np.float32(2), 3),
    (2, np.int8(3)),
    (np.array(2, np.float32), np.array(3)),
]  # fmt: skip


@pytest.mark.parametrize(("s", "n"), NUMBERS)
def test_rank_0_parameters_take_any_number(s: Any, n: Any) -> None:
    np.testing.assert_array_equal(M.typed(F, s, n), F * 2 + 3)


@pytest.mark.parametrize("to", ["f16", np.float16, np.dtype("f2"), torch.float16])
def test_dtypes_have_several_spellings(to: object) -> None:
    x = np.array([1.0001], np.float32)
    assert M.converted(x, to=to) == x.astype(np.float16)


def test_axes_are_positions_names_and_tuples() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for axis in (1, -1, "D", np.int64(1), (1,)):
        np.testing.assert_array_equal(M.along(x, axis=axis), x.sum(1))
    assert M.along(x, axis=("N", 1)) == x.sum()


def test_what_offers_dlpack_is_an_array(tmp_path: Any) -> None:
    class Wrapped:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __dlpack__(self, **rest: Any) -> Any:
            return self.array.__dlpack__(**rest)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    np.testing.assert_array_equal(M.root(Wrapped(F)), np.log(F))
    F.tofile(tmp_path / "f")
    mapped = np.memmap(tmp_path / "f", np.float32, mode="r")
    assert type(M.root(mapped)) is np.ndarray
    mapped._mmap.close()  # type: ignore[attr-defined]


def test_bf16_arrays_come_back_as_bf16() -> None:
    x = np.ones(3, ml_dtypes.bfloat16)
    assert M.bits(x).dtype == x.dtype


def test_all_faults_of_a_file_are_there() -> None:
    with pytest.raises(TdslError) as caught:
        check_program(load_program("def f(x: f32) -> f32:\n    return y\n\n"
                                   "def g(x: f32) -> f32:\n    return z\n", "two.tdsl"))  # fmt: skip
    assert [error.span.line for error in caught.value.errors if error.span] == [2, 5]
