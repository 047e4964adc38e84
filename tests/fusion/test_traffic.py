"""What kernels move beside what any program must, for large sizes: read off the printed kernels."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.kernels import activations, losses, norms, optimizers, rope, softmax

X, W = "bf16[8192, 4096]", "bf16[4096]"
LONG = "bf16[65536, 4096]"
LABELS = "i64[8192]"
VOCABULARY = "bf16[8192, 32768]"
STATE = "f32[8192, 4096]"
Row = tuple[str, Any, tuple[str, ...], dict[str, Any], float, int, int]
ROWS: list[Row] = [
    # name, function, specs, static arguments, ratio, launches forward, launches in all
    ("softmax", softmax.softmax, (X,), {}, 1.01, 1, 2),
    ("log_softmax", softmax.log_softmax, (X,), {}, 1.01, 1, 2),
    ("logsumexp", softmax.logsumexp, (X,), {}, 1.01, 1, 2),
    ("gelu", activations.gelu, (X,), {}, 1.0, 1, 2),
    ("silu", activations.silu, (X,), {}, 1.0, 1, 2),
    ("swiglu", activations.swiglu, (X, X), {}, 1.0, 1, 2),
    ("geglu", activations.geglu, (X, X), {}, 1.0, 1, 2),
    ("rms_norm", norms.rms_norm, (LONG, W), {}, 1.01, 1, 3),
    ("layer_norm", norms.layer_norm, (LONG, W, W), {}, 1.01, 1, 3),
    ("rms_norm, fewer rows", norms.rms_norm, (X, W), {}, 1.06, 1, 3),
    ("layer_norm, fewer rows", norms.layer_norm, (X, W, W), {}, 1.06, 1, 3),
    ("rope", rope.rope, ("bf16[8, 1024, 4096]", "bf16[1024, 2048]", "bf16[1024, 2048]"), {"grad": "x"}, 1.0, 1, 2),
    ("cross_entropy", losses.cross_entropy, (X, LABELS), {}, 1.01, 3, 3),
    ("cross_entropy, long rows", losses.cross_entropy, (VOCABULARY, LABELS), {}, 1.01, 3, 3),
    ("cross_entropy, of any length", losses.cross_entropy, ("f32[8192, 32001]", LABELS), {}, 1.01, 3, 3),
    ("kl_div", losses.kl_div, (X, X), {}, 1.01, 2, 2),
    ("jsd", losses.jsd, (X, X), {}, 1.01, 2, 2),
    ("mse", losses.mse, (X, X), {}, 1.01, 2, 2),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_large_kernels_move_little_more_than_they_must(row: Row) -> None:
    _, function, specs, static, ratio, forward, launches = row
    lowered = function.lower(*specs, **{"grad": True, **static})
    assert lowered.bytes_moved <= ratio * lowered.bytes_compulsory
    kernels = [kernel for kernel in lowered.kernels if not kernel.conditional]
    assert len([k for k in kernels if k.stage == "forward"]) == forward
    assert len(kernels) == launches


def test_gradients_of_a_loss_are_scaled_by_a_kernel_that_counts_for_nothing() -> None:
    text = "def f(x: bf16[N, D], y: f32[N, D]) -> f32:\n    return sum(x * y)\n"
    lowered = tdsl.compile(text).lower("bf16[64, 32]", "f32[64, 32]", grad=True)
    *always, scale = lowered.kernels
    assert not any(kernel.conditional for kernel in always)
    assert (scale.conditional, scale.stage) == (True, "backward")
    gradients = {"dx": 64 * 32 * 2, "dy": 64 * 32 * 4}
    assert scale.writes == gradients
    assert scale.reads == {"ct": 4, **gradients}
    assert lowered.bytes_moved == sum(k.bytes_read + k.bytes_written for k in always)
    assert "def scale" in scale.source
    assert [k.name for k in losses.mse.lower("f32[8]", "f32[8]").kernels if k.conditional] == []
    rows = losses.mse.lower("f32[8]", "f32[8]", grad=True, reduction="none")
    assert not any(kernel.conditional for kernel in rows.kernels)


LENGTHS = (131072, 262144)
Long = tuple[str, Any, tuple[str, ...], int, int]
LONG_ROWS: list[Long] = [
    # name, function, dtypes and shapes, how often an element is read or written: forward, in all
    ("softmax", softmax.softmax, ("f32[64, {0}]",), 3, 8),
    ("log_softmax", softmax.log_softmax, ("f32[64, {0}]",), 3, 7),
    ("logsumexp", softmax.logsumexp, ("f32[64, {0}]",), 1, 3),
    ("cross_entropy", losses.cross_entropy, ("f32[64, {0}]", "i64[64]"), 1, 3),
    ("layer_norm", norms.layer_norm, ("f32[64, {0}]", "f32[{0}]", "f32[{0}]"), 3, 12),
    ("rms_norm", norms.rms_norm, ("f32[64, {0}]", "f32[{0}]"), 3, 10),
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("row", LONG_ROWS, ids=lambda row: row[0])
def test_long_rows_are_read_once_for_each_pass(row: Long, length: int) -> None:
    _, function, arguments, forward, both = row
    specs, size = [argument.format(length) for argument in arguments], 4 * 64 * length
    assert function.lower(*specs).bytes_moved // size == forward
    assert function.lower(*specs, grad=True).bytes_moved // size == both


def test_an_optimiser_step_is_one_kernel() -> None:
    lowered = optimizers.adamw.lower(STATE, STATE, STATE, STATE, "i64", "f32")
    assert len(lowered.kernels) == 1
    assert lowered.bytes_moved <= 1.01 * lowered.bytes_compulsory


SOFTMAXES = {
    "rows": "def f(x: T[N, D]) -> T[N, D]:\n    return softmax(x, axis=D)\n",
    "renamed": "def f(y: T[A, B]) -> T[A, B]:\n    return softmax(y, axis=B)\n",
    "columns": "def f(x: T[N, D]) -> T[N, D]:\n    return softmax(x, axis=N)\n",
    "middle": "def f(x: T[16, N, 256]) -> T[16, N, 256]:\n    return softmax(x, axis=N)\n",
    "four axes": "def f(x: T[4, 2, N, 512]) -> T[4, 2, N, 512]:\n    return softmax(x, axis=N)\n",
}
SHAPES = {"middle": "f32[16, 1024, 256]", "four axes": "f32[4, 2, 1024, 512]"}


@pytest.mark.parametrize("variant", SOFTMAXES)
def test_variants_of_a_program_move_the_same(variant: str) -> None:
    function: Any = tdsl.compile(SOFTMAXES[variant])
    lowered = function.lower(SHAPES.get(variant, "f32[1024, 1024]"), grad=True)
    assert lowered.bytes_moved == lowered.bytes_compulsory
    assert len(lowered.kernels) == 2


def test_generic_graphs_have_no_kernels() -> None:
    with pytest.raises(tdsl.TdslError, match="E0504"):
        _ = softmax.softmax.lower().kernels
