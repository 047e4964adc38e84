"""Plans in tests: run one in Triton's interpreter, and compare its results with the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from tdsl.backends.triton.execute import Executable
from tdsl.fusion import schedule
from tdsl.fusion.kernel import Stage
from tdsl.fusion.plan import make_plan
from tdsl.ir.dtype import BF16
from tdsl.ir.function import Function
from tdsl.ops import numpy_dtype
from tdsl.runtime.pipeline import executable
from tests.tolerances import TOLERANCES

Array = np.ndarray[Any, np.dtype[Any]]
CPU = torch.device("cpu")

CONFIGURATIONS: Mapping[str, Mapping[str, int]] = {
    "normal": {},
    "streamed": {"WHOLE_LIMIT": 4, "SHORT_ROW": 0, "BLOCK": 2},
    "single rows": {"TILE": 4, "SHORT_ROW": 0},
}
"""Constants of the schedule: rows held whole, rows in blocks of 2, one row or 4 elements a program."""


@contextmanager
def configured(name: str) -> Iterator[None]:
    """Schedules under a configuration."""
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in CONFIGURATIONS[name].items():
            patch.setattr(schedule, constant, value)
        yield


def to_torch(array: Array) -> torch.Tensor:
    """A copy of the array as a contiguous tensor."""
    own = np.array(array, order="C")
    if own.dtype == numpy_dtype(BF16):
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def to_numpy(tensor: torch.Tensor) -> Array:
    """The tensor's values."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(numpy_dtype(BF16))
    array: Array = tensor.numpy()
    return array


def run_plan(
    function: Function, sizes: Mapping[str, int], arrays: Sequence[Array], stage: Stage = "forward"
) -> list[Array]:
    """The results of the function's plan, run kernel by kernel."""
    program = Executable(make_plan(function, stage), sizes, CPU)
    with np.errstate(all="ignore"):
        results = program.run([to_torch(array) for array in arrays])
    return [to_numpy(result) for result in results]


def assert_same(
    actual: Array, expected: Any, dtype: str, condition: str = "value", scale: float = 1.0
) -> None:
    """Integers and bools are equal; floats are within the tolerance; shapes and dtypes are the same."""
    expected = np.asarray(expected)
    dtype = "f32" if expected.dtype == np.float32 else dtype
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if expected.dtype.kind in "iub":
        np.testing.assert_array_equal(actual, expected)
        return
    relative, absolute = TOLERANCES[dtype, condition]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            actual.astype(np.float64), expected.astype(np.float64), relative, absolute * scale
        )


def assert_interpreters(
    found: Sequence[Array],
    function: Function,
    sizes: Mapping[str, int],
    arrays: Sequence[Array],
    dtype: str,
    condition: str,
) -> None:
    """The results are the interpreter's."""
    expected = executable(function, sizes).run(arrays)
    for actual, wanted in zip(found, expected, strict=True):
        assert_same(actual, wanted, dtype, condition)


def assert_plan_is_right(
    function: Function,
    sizes: Mapping[str, int],
    arrays: Sequence[Array],
    dtype: str,
    stage: Stage = "forward",
    condition: str = "value",
) -> None:
    """The plan's results are the interpreter's."""
    found = run_plan(function, sizes, arrays, stage)
    assert_interpreters(found, function, sizes, arrays, dtype, condition)
