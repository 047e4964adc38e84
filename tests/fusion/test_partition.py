"""Save or recompute: both passes together give the gradients, for every function of the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tdsl
from tdsl.ir import verify
from tdsl.ir.function import Function as Graph
from tdsl.ops import numpy_dtype
from tdsl.runtime.pipeline import executable
from tdsl.transforms.partition import partition
from tests.kernels.reference import ROWS, Row
from tests.kernels.test_kernels import arguments


def _arrays(row: Row, graph: Graph) -> list[Any]:
    function = getattr(getattr(tdsl.kernels, row.file), row.name)
    names = [p.name for p in function.target.signature.parameters]
    values = [getattr(a, "numpy", lambda a=a: a)() for a in arguments(row, "f64", grad=False)]
    given = dict(zip(names, values, strict=False))
    return [np.asarray(given[p.name], dtype=numpy_dtype(p.dtype)) for p in graph.params]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_two_passes_give_the_gradients(row: Row) -> None:
    function = getattr(getattr(tdsl.kernels, row.file), row.name)
    values = [getattr(a, "numpy", lambda a=a: a)() for a in arguments(row, "f64", grad=False)]
    lowered = function.lower(*values, grad=True, **row.static)
    split = partition(lowered.graph, lowered.backward)
    verify(split.forward)
    verify(split.backward)
    arrays, sizes = _arrays(row, lowered.graph), lowered.sizes
    own = dict(zip([p.name for p in lowered.graph.params], arrays, strict=True))
    generator = np.random.default_rng(0)
    cotangents = [
        generator.standard_normal([s.evaluate(sizes) for s in p.shape]).astype(numpy_dtype(p.dtype))
        for p in lowered.backward.params[len(arrays) :]
    ]
    with np.errstate(all="ignore"):
        wanted = executable(lowered.backward, sizes).run([*arrays, *cotangents])
        results = executable(split.forward, sizes).run(arrays)
        saved = [results[i] for i in split.saved]
        kept = [own[name] for name in split.kept]
        found = executable(split.backward, sizes).run([*kept, *saved, *cotangents])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_saved() -> None:
    """Row statistics beside bf16 inputs; a result that is not rounded serves as it is."""
    norm = tdsl.kernels.norms.layer_norm.lower("bf16[8, 16]", "bf16[16]", "bf16[16]", grad=True)
    split = partition(norm.graph, norm.backward)
    assert split.kept == ("x", "w")
    assert [len(split.forward.results[i].shape) for i in split.saved] == [1, 1]
    plain = tdsl.kernels.softmax.softmax.lower("f32[8, 16]", grad=True)
    split = partition(plain.graph, plain.backward)
    assert (split.kept, split.saved) == ((), (0,))
    gelu = tdsl.kernels.activations.gelu.lower("bf16[8, 16]", grad=True)
    split = partition(gelu.graph, gelu.backward)
    assert (split.kept, split.saved) == (("x",), ())


def test_a_parameter_stays_whose_sizes_the_backward_needs() -> None:
    """The gradient of a parameter that is not used is zeros of its shape."""
    text = "def f(x: f32[N, D], y: f32[K]) -> f32[K]:\n    return y * 2.0\n"
    lowered = tdsl.compile(text).lower("f32[2, 3]", "f32[4]", grad=True)
    assert lowered.backward is not None
    assert partition(lowered.graph, lowered.backward).kept == ("x",)
