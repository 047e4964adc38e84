"""Calls that run compiled C: layouts, threads, forks, a compiler that is missing or broken, the cache."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import tdsl
from tdsl.backends import threads
from tdsl.backends.c import compiler
from tdsl.errors import TdslError
from tdsl.kernels import activations, losses, norms, softmax
from tdsl.runtime import backends, native
from tests.tolerances import TOLERANCES

Array = np.ndarray[Any, np.dtype[Any]]
ORACLE: Any = softmax.softmax.using(backend="interpreter")
NATIVE: Any = softmax.softmax.using(backend="c")
PAIR = "def f(x: f32[N, D], y: f32[N, D]) -> (f32[N, D], f32[N, 1]):\n    return x - y, sum(x * y, axis=D)\n"


def close(actual: Any, expected: Any, dtype: str = "f32", condition: str = "value") -> None:
    np.testing.assert_allclose(actual, expected, *TOLERANCES[dtype, condition])


def source(count: int = 24 * 40) -> Array:
    return np.random.default_rng(0).standard_normal(count).astype(np.float32)


def unaligned() -> Array:
    """Elements that do not begin at a multiple of their size."""
    memory = np.zeros(6 * 8 * 4 + 1, np.uint8)
    view = memory[1:].view(np.float32).reshape(6, 8)
    view[...] = source(48).reshape(6, 8)
    return view


def fields() -> Array:
    """A field of records, whose elements are no whole number of elements apart."""
    records = np.zeros((6, 8), np.dtype([("a", "f4"), ("b", "i2")]))
    records["a"] = source(48).reshape(6, 8)
    view: Array = records["a"]
    return view


LAYOUTS: dict[str, Callable[[], Array]] = {
    "contiguous": lambda: source().reshape(24, 40),
    "transposed": lambda: source().reshape(40, 24).T,
    "every other": lambda: source().reshape(24, 40)[::2, ::3],
    "backwards": lambda: source().reshape(24, 40)[::-1, ::-2],
    "broadcast rows": lambda: np.broadcast_to(source(40), (24, 40)),
    "broadcast columns": lambda: np.broadcast_to(source(24)[:, None], (24, 40)),
    "offset": lambda: source().reshape(24, 40)[3:, 5:],
    "unaligned": unaligned,
    "a field of records": fields,
    "no rows": lambda: np.zeros((0, 40), np.float32),
    "no columns": lambda: np.zeros((24, 0), np.float32),
    "one element": lambda: np.ones((1, 1), np.float32),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1])
def test_arguments_are_read_where_they_lie(layout: str, axis: int) -> None:
    x = LAYOUTS[layout]()
    x.flags.writeable = False
    actual = NATIVE(x, axis=axis)
    close(actual, ORACLE(x, axis=axis))
    assert actual.flags.c_contiguous
    assert actual.flags.writeable


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "every other", "broadcast rows"])
def test_tensors_are_read_where_they_lie(layout: str) -> None:
    array = LAYOUTS[layout]()
    base = torch.from_numpy(np.array(array, order="K"))
    tensor = torch.as_strided(base, base.shape, base.stride())
    if layout == "broadcast rows":
        tensor = torch.from_numpy(array[0].copy()).expand(24, 40)
    close(NATIVE(tensor).numpy(), ORACLE(array))


def test_several_results_and_reductions() -> None:
    function = tdsl.compile(PAIR)
    x, y = source().reshape(24, 40), source(960)[::-1].reshape(24, 40)
    for actual, expected in zip(
        function.using(backend="c")(x, y), function.using(backend="interpreter")(x, y), strict=True
    ):
        close(actual, expected)


def test_gradients_of_tensors_are_those_of_torch() -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((6, 40), (40,), (40,)))
    cotangent = torch.randn(6, 40)
    ours = torch.autograd.grad(norms.layer_norm.using(backend="c")(x, w, b), (x, w, b), cotangent)
    theirs = torch.autograd.grad(
        torch.nn.functional.layer_norm(x, (40,), w, b), (x, w, b), cotangent
    )
    for actual, expected in zip(ours, theirs, strict=True):
        close(actual, expected, condition="gradient")


@pytest.mark.parametrize("scale", [1.0, 0.25, 65536.0])
def test_the_gradient_of_a_loss_is_scaled_by_its_cotangent(scale: float) -> None:
    x, labels = torch.randn(6, 40, requires_grad=True), torch.randint(0, 40, (6,))
    loss = losses.cross_entropy.using(backend="c")(x, labels)
    (actual,) = torch.autograd.grad(loss * scale, x)
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(x, labels) * scale, x)
    close(actual / scale, expected / scale, condition="gradient")


def test_derivatives_of_any_order() -> None:
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    function = activations.gelu.using(backend="c")
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def test_threads_may_call_at_once() -> None:
    x = source().reshape(24, 40)
    expected, found = NATIVE(x), list[bool]()
    threads = [
        threading.Thread(target=lambda: found.append(np.array_equal(NATIVE(x), expected)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def large_sum(_: int) -> float:
    """What runs on several threads, in any process."""
    return float(softmax.softmax.using(backend="c")(np.ones((512, 512), np.float32)).sum())


def test_a_forked_child_runs_kernels_that_its_parent_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.THREADS, "count", 2)
    assert large_sum(0) == pytest.approx(512, rel=1e-4)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(large_sum, range(2)).get(timeout=60)
    assert results == [pytest.approx(512, rel=1e-4)] * 2


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A compiler that fails, and an empty cache."""
    script = tmp_path / "broken"
    script.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) echo broken;; *) echo why >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", [])
    compiler.compiler.cache_clear()
    compiler.identity.cache_clear()
    yield
    compiler.compiler.cache_clear()
    compiler.identity.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_a_broken_compiler_is_reported_once_and_never_fails_a_call() -> None:
    text = "def broken(x: f32[N]) -> f32[N]:\n    return x * 3.0 + {0}\n"
    functions: list[Any] = [tdsl.compile(text.format(place)) for place in (1, 2)]
    first, second = functions
    with pytest.warns(RuntimeWarning, match="why"):
        close(first(np.ones(3, np.float32)), [4, 4, 4])
    close(second(np.ones(3, np.float32)), [5, 5, 5])
    close(second(torch.ones(3)).numpy(), [5, 5, 5])


@pytest.mark.usefixtures("no_compiler")
def test_a_pinned_backend_never_falls_back() -> None:
    function = tdsl.compile("def f(x: f32[N]) -> f32[N]:\n    return x * 7.5\n").using(backend="c")
    with pytest.raises(TdslError, match="E0310") as caught:
        function(np.ones(3, np.float32))
    assert "why" in str(caught.value)


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    compiler.compiler.cache_clear()
    try:
        with pytest.raises(TdslError, match="no-such-compiler"):
            softmax.softmax.using(backend="c")
    finally:
        compiler.compiler.cache_clear()


def test_a_damaged_library_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TDSL_CACHE_DIR", str(tmp_path))
    text = "int seven(void) { return 7; }\n"
    assert compiler._load(text).seven() == 7
    (path,) = tmp_path.glob("c/*.so")
    for damage in (b"", path.read_bytes()[:100]):
        path.unlink()
        path.write_bytes(damage)
        again: ctypes.CDLL = compiler._load(text)
        assert again.seven() == 7


def test_the_processes_flags_stay(tmp_path: Path) -> None:
    """No code is linked in that flushes subnormal numbers to 0, or maps NaN away."""
    script = (
        "import numpy as np, tdsl\n"
        "f = tdsl.compile('def f(x: f32[N]) -> f32[N]:\\n    return x * 0.5\\n').using(backend='c')\n"
        "tiny = np.array([1e-40, np.nan, -np.inf], np.float32)\n"
        "assert f(tiny)[0] > 0 and tiny[0] * np.float32(0.5) > 0, f(tiny)\n"
        "assert np.isnan(f(tiny)[1]) and f(tiny)[2] == -np.inf\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ)


@pytest.mark.parametrize(("told", "expected"), [("3", 3), ("1", 1), ("2,4", 2)])
def test_openmp_is_told_how_many_threads(
    told: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert threads.Threads().count == expected


@pytest.mark.parametrize("name", ["layer_norm", "cross_entropy"])
def test_checkpoints_compute_what_was_saved_again(name: str) -> None:
    """Saved tensors are asked for once, as torch's checkpoints want it."""
    x, w = torch.randn(6, 40, requires_grad=True), torch.ones(40)
    calls: dict[str, Callable[[torch.Tensor], Any]] = {
        "layer_norm": lambda x: norms.layer_norm.using(backend="c")(x.sin(), w, w),
        "cross_entropy": lambda x: losses.cross_entropy.using(backend="c")(
            x.sin(), torch.arange(6)
        ),
    }
    again = torch.utils.checkpoint.checkpoint(calls[name], x, use_reentrant=False)
    (actual,) = torch.autograd.grad(again.sum(), x)
    (expected,) = torch.autograd.grad(calls[name](x).sum(), x)
    close(actual, expected, condition="gradient")
