"""Calls that run tile by tile: layouts, tensors, threads, forks, and where no compiler is at hand."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.backends.c import compiler
from tdsl.backends.numpy import pool
from tdsl.backends.threads import THREADS
from tdsl.kernels import activations, losses, norms, softmax
from tdsl.runtime import backends, native
from tests.c.test_calls import LAYOUTS, ORACLE, PAIR, close, source
from tests.numpy.plans import small_tiles

TILED: Any = softmax.softmax.using(backend="numpy")


@pytest.fixture(autouse=True)
def tiles() -> Iterator[None]:
    """Several tiles, on two threads."""
    with small_tiles(64), pytest.MonkeyPatch.context() as patch:
        patch.setattr(THREADS, "count", 2)
        yield


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1])
def test_arguments_are_read_where_they_lie(layout: str, axis: int) -> None:
    x = LAYOUTS[layout]()
    x.flags.writeable = False
    actual = TILED(x, axis=axis)
    close(actual, ORACLE(x, axis=axis))
    assert actual.flags.c_contiguous
    assert actual.flags.writeable


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "every other", "broadcast rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_read_where_they_lie(layout: str, dtype: torch.dtype) -> None:
    array = LAYOUTS[layout]()
    tensor = torch.empty(24, 40) if layout != "transposed" else torch.empty(40, 24).T
    if layout == "every other":
        tensor = torch.empty(24, 120)[:, ::3]
    tensor = tensor.to(dtype)[: array.shape[0], : array.shape[1]].copy_(torch.tensor(array))
    if layout == "broadcast rows":
        tensor = tensor[0].expand(24, 40)
    found = TILED(tensor)
    assert found.dtype == dtype
    close(found.numpy(), ORACLE(array))


def test_tensors_in_half_precision() -> None:
    x = torch.randn(24, 40).bfloat16()
    expected = softmax.softmax.using(backend="interpreter")(x)
    torch.testing.assert_close(TILED(x), expected)


def test_storage_of_results_belongs_to_torch() -> None:
    """It can be resized, as FSDP does."""
    result = TILED(torch.randn(24, 40))
    result.untyped_storage().resize_(0)
    assert result.untyped_storage().size() == 0


def test_gradients_of_tensors_are_those_of_torch() -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((6, 40), (40,), (40,)))
    cotangent = torch.randn(6, 40)
    found = norms.layer_norm.using(backend="numpy")(x, w, b)
    ours = torch.autograd.grad(found, (x, w, b), cotangent)
    theirs = torch.autograd.grad(
        torch.nn.functional.layer_norm(x, (40,), w, b), (x, w, b), cotangent
    )
    for actual, expected in zip(ours, theirs, strict=True):
        close(actual, expected, condition="gradient")


def test_the_gradient_of_a_loss_is_scaled_by_its_cotangent() -> None:
    x, labels = torch.randn(6, 40, requires_grad=True), torch.randint(0, 40, (6,))
    loss = losses.cross_entropy.using(backend="numpy")(x, labels)
    (actual,) = torch.autograd.grad(loss * 0.25, x)
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(x, labels) * 0.25, x)
    close(actual, expected, condition="gradient")


def test_derivatives_of_any_order() -> None:
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    function = activations.gelu.using(backend="numpy")
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def test_results_share_no_memory() -> None:
    """Scratch memory never gets out, nor does an argument."""
    x, y = source().reshape(24, 40), source(960)[::-1].reshape(24, 40)
    function = tdsl.compile(PAIR).using(backend="numpy")
    first = function(x, y)
    kept = [array.copy() for array in first]
    found = [*first, *function(y, x)]
    for place, array in enumerate(found):
        assert not any(np.shares_memory(array, other) for other in (x, y, *found[place + 1 :]))
    for array, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_threads_may_call_at_once() -> None:
    x = source().reshape(24, 40)
    expected, found = TILED(x), list[bool]()
    threads = [
        threading.Thread(target=lambda: found.append(np.array_equal(TILED(x), expected)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def some_sum(_: int) -> float:
    """What runs on several threads, in any process."""
    return float(TILED(np.ones((64, 64), np.float32)).sum())


def test_a_forked_child_runs_tiles_as_its_parent_did() -> None:
    assert some_sum(0) == pytest.approx(64, rel=1e-4)
    with multiprocessing.get_context("fork").Pool(2) as processes:
        results = processes.map_async(some_sum, range(2)).get(timeout=60)
    assert results == [pytest.approx(64, rel=1e-4)] * 2


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_piece_of_work_is_done_once(threads: int) -> None:
    done: list[int] = []
    pool.share_out(done.extend, 40, threads)
    assert sorted(done) == [*range(40)]


def test_a_fault_in_a_thread_is_raised() -> None:
    def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            if number == 7:
                raise ValueError(number)

    with pytest.raises(ValueError, match="7"):
        pool.share_out(work, 40, 2)


def test_the_interpreter_may_end_before_the_last_call() -> None:
    """When threads cannot be started any more, the calling thread does all the work."""
    script = (
        "import atexit, threading, numpy as np\n"
        "from tdsl.backends.threads import THREADS\n"
        "from tdsl.kernels import softmax\n"
        "THREADS.count = 2\n"
        "f, x = softmax.softmax.using(backend='numpy'), np.ones((512, 512), np.float32)\n"
        "atexit.register(lambda: print(float(f(x).sum())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) == pytest.approx(512, rel=1e-4)


@pytest.fixture
def forgotten() -> Iterator[Callable[[], None]]:
    """The compiler is looked for again, before and after."""
    compiler.compiler.cache_clear()
    yield compiler.compiler.cache_clear
    compiler.compiler.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_a_compiler_calls_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", [])
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiler, "CANDIDATES", ("no-such-compiler",))
    function: Any = tdsl.compile("def f(x: f32[N]) -> f32[N]:\n    return x * 3.0 + 1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        close(function(np.ones(3, np.float32)), [4, 4, 4])
        close(function(torch.ones(3)).numpy(), [4, 4, 4])


@pytest.mark.usefixtures("forgotten")
def test_a_compiler_that_is_named_but_not_there_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setattr(native, "_REPORTED", [])
    monkeypatch.setenv("CC", "no-such-compiler")
    text = "def f(x: f32[N]) -> f32[N]:\n    return x * 3.0 + {0}\n"
    functions: list[Any] = [tdsl.compile(text.format(place)) for place in (1, 2)]
    first, second = functions
    with pytest.warns(RuntimeWarning, match="no-such-compiler"):
        close(first(np.ones(3, np.float32)), [4, 4, 4])
    close(second(np.ones(3, np.float32)), [5, 5, 5])


def test_the_environment_names_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "DEFAULT", "numpy")
    monkeypatch.setattr(native, "Executable", None)
    x = source().reshape(24, 40)
    function: Any = tdsl.compile(PAIR)
    close(function(x, x)[1], function.using(backend="interpreter")(x, x)[1])
