"""Calls that kernels run on the processor, compiled or tile by tile: layouts, tensors, threads, forks."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.checkpoint

import tdsl
from tdsl.backends.arrays import NUMPY
from tdsl.backends.threads import THREADS
from tdsl.kernels import activations, losses, norms, softmax
from tdsl.runtime import native
from tdsl.runtime.torch import native as torch_native
from tests.c.plans import C
from tests.numpy.plans import TILED
from tests.tolerances import TOLERANCES

Array = np.ndarray[Any, np.dtype[Any]]
ORACLE: Any = softmax.softmax.using(backend="interpreter")
EXECUTORS = {executor.backend: executor for executor in (C, TILED)}
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


FOUND = {
    "a row before the first of none": (
        "roll(x, 1, axis=N) - mean(roll(x, 1, axis=N), axis=D)",
        (0, 4),
    ),
}
"""What random programs found: expressions of x: f64[N, D], and the sizes."""


@pytest.fixture(params=EXECUTORS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """A backend whose kernels two threads share, small as they are."""
    name: str = request.param
    with EXECUTORS[name].shared(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(THREADS, "count", 2)
        yield name


@pytest.mark.parametrize("name", EXECUTORS)
def test_torch_says_how_many_threads_run_on_its_tensors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(THREADS, "count", 2)
    asked: list[int] = []

    def told() -> int:
        asked.append(1)
        return 1

    monkeypatch.setattr(torch, "get_num_threads", told)
    x = source(256 * 256).reshape(256, 256)
    close(own_softmax(name)(torch.from_numpy(x)), ORACLE(x))
    assert asked
    assert torch_native.TORCH.threads() == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert torch_native.TORCH.threads() == NUMPY.threads() == 2


def own_softmax(backend: str) -> Any:
    return softmax.softmax.using(backend=backend)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1])
def test_arguments_are_read_where_they_lie(backend: str, layout: str, axis: int) -> None:
    x = LAYOUTS[layout]()
    x.flags.writeable = False
    actual = own_softmax(backend)(x, axis=axis)
    close(actual, ORACLE(x, axis=axis))
    assert actual.flags.c_contiguous
    assert actual.flags.writeable


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_kernels_never_see_what_is_not_aligned(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was called before with the same strides, and whichever argument it is."""
    seen: list[int] = []
    module = native if kind == "array" else torch_native
    prepare = module.prepare

    def watched(*args: Any) -> Callable[[Any], Any]:
        run = prepare(*args)

        def watching(given: Any) -> Any:
            seen.extend(v.ctypes.data if kind == "array" else v.data_ptr() for v in given)
            return run(given)

        return watching

    monkeypatch.setattr(module, "prepare", watched)
    function: Any = tdsl.compile(PAIR)
    function = function.using(backend="numpy")
    aligned, other = source(48).reshape(6, 8), unaligned()
    for x, y in ((aligned, aligned), (other, aligned), (aligned, other), (aligned, aligned)):
        given = (x, y) if kind == "array" else (torch.from_numpy(x), torch.from_numpy(y))
        close(function(*given)[0], x - y)
    assert len(seen) == 8
    assert not any(address % 4 for address in seen)


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "every other", "broadcast rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_read_where_they_lie(backend: str, layout: str, dtype: torch.dtype) -> None:
    array = LAYOUTS[layout]()
    tensor = torch.empty(24, 40) if layout != "transposed" else torch.empty(40, 24).T
    if layout == "every other":
        tensor = torch.empty(24, 120)[:, ::3]
    tensor = tensor.to(dtype)[: array.shape[0], : array.shape[1]].copy_(torch.tensor(array))
    if layout == "broadcast rows":
        tensor = tensor[0].expand(24, 40)
    found = own_softmax(backend)(tensor)
    assert found.dtype == dtype
    close(found.numpy(), ORACLE(array))


def test_tensors_in_half_precision(backend: str) -> None:
    x = torch.randn(24, 40).bfloat16()
    torch.testing.assert_close(own_softmax(backend)(x), ORACLE(x))


def test_storage_of_results_belongs_to_torch(backend: str) -> None:
    """It can be resized, as FSDP does."""
    result = own_softmax(backend)(torch.randn(24, 40))
    result.untyped_storage().resize_(0)
    assert result.untyped_storage().size() == 0


@pytest.mark.parametrize("name", FOUND)
def test_what_random_programs_found(backend: str, name: str) -> None:
    body, shape = FOUND[name]
    function: Any = tdsl.compile(f"def f(x: f64[N, D]) -> f64[N, D]:\n    return {body}\n")
    x = np.random.default_rng(0).standard_normal(shape)
    close(function.using(backend=backend)(x), function.using(backend="interpreter")(x), "f64")


@pytest.mark.parametrize("axis", ["N", "D"])
def test_gradients_of_running_sums_of_large_exponentials(backend: str, axis: str) -> None:
    """The first factor of a recurrence is infinite there, and multiplies nothing."""
    function: Any = tdsl.compile(
        f"def f(x: f64[N, D]) -> f64[N, D]:\n    return logcumsumexp(x, axis={axis})\n"
    )
    x = np.array([[900.0, 850.0, 910.0], [880.0, 930.0, np.inf]])
    cotangent = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, 1.0]])
    found = tdsl.vjp(function).using(backend=backend)(x, cotangent)
    close(found, tdsl.vjp(function).using(backend="interpreter")(x, cotangent), "f64")


def test_several_results_share_no_memory(backend: str) -> None:
    """Scratch memory never gets out, nor does an argument."""
    function: Any = tdsl.compile(PAIR)
    x, y = source().reshape(24, 40), source(960)[::-1].reshape(24, 40)
    first = function.using(backend=backend)(x, y)
    kept = [array.copy() for array in first]
    for actual, expected in zip(first, function.using(backend="interpreter")(x, y), strict=True):
        close(actual, expected)
    found = [*first, *function.using(backend=backend)(y, x)]
    for place, array in enumerate(found):
        assert not any(np.shares_memory(array, other) for other in (x, y, *found[place + 1 :]))
    for array, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_gradients_of_tensors_are_those_of_torch(backend: str) -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((6, 40), (40,), (40,)))
    cotangent = torch.randn(6, 40)
    found = norms.layer_norm.using(backend=backend)(x, w, b)
    ours = torch.autograd.grad(found, (x, w, b), cotangent)
    theirs = torch.autograd.grad(
        torch.nn.functional.layer_norm(x, (40,), w, b), (x, w, b), cotangent
    )
    for actual, expected in zip(ours, theirs, strict=True):
        close(actual, expected, condition="gradient")


@pytest.mark.parametrize("scale", [1.0, 0.25, 65536.0])
def test_the_gradient_of_a_loss_is_scaled_by_its_cotangent(backend: str, scale: float) -> None:
    x, labels = torch.randn(6, 40, requires_grad=True), torch.randint(0, 40, (6,))
    loss = losses.cross_entropy.using(backend=backend)(x, labels)
    (actual,) = torch.autograd.grad(loss * scale, x)
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(x, labels) * scale, x)
    close(actual / scale, expected / scale, condition="gradient")


def test_derivatives_of_any_order(backend: str) -> None:
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    function = activations.gelu.using(backend=backend)
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("name", ["layer_norm", "cross_entropy"])
def test_checkpoints_compute_what_was_saved_again(backend: str, name: str) -> None:
    """Saved tensors are asked for once, as torch's checkpoints want it."""
    x, w = torch.randn(6, 40, requires_grad=True), torch.ones(40)
    norm, loss = (f.using(backend=backend) for f in (norms.layer_norm, losses.cross_entropy))
    calls: dict[str, Callable[[torch.Tensor], Any]] = {
        "layer_norm": lambda x: norm(x.sin(), w, w),
        "cross_entropy": lambda x: loss(x.sin(), torch.arange(6)),
    }
    again = torch.utils.checkpoint.checkpoint(calls[name], x, use_reentrant=False)
    (actual,) = torch.autograd.grad(again.sum(), x)
    (expected,) = torch.autograd.grad(calls[name](x).sum(), x)
    close(actual, expected, condition="gradient")


def test_threads_may_call_at_once(backend: str) -> None:
    x, function = source().reshape(24, 40), own_softmax(backend)
    expected, found = function(x), list[bool]()
    threads = [
        threading.Thread(target=lambda: found.append(np.array_equal(function(x), expected)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def some_sum(backend: str) -> float:
    """What runs on several threads, in any process."""
    return float(own_softmax(backend)(np.ones((64, 512), np.float32)).sum())


def test_a_forked_child_runs_kernels_that_its_parent_ran(backend: str) -> None:
    assert some_sum(backend) == pytest.approx(64, rel=1e-4)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(some_sum, [backend] * 2).get(timeout=60)
    assert results == [pytest.approx(64, rel=1e-4)] * 2
