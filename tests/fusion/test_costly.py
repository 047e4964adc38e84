"""What some rows share and costs more to compute than to read has a kernel of its own."""

from __future__ import annotations

from typing import Any

import pytest

import tdsl
from tdsl.fusion.plan import Plan, make_plan

REASON = "a value would be computed again for several rows"
CASES = {
    "a function of what lacks an axis": ("x * exp(w)", ["exp"]),
    "two of them": ("x * sin(w) + cos(w)", ["sin", "cos"]),
    "what is cheap beside it": ("x * (2 * exp(w) + 1)", ["add"]),
    "a running sum": ("x * cumsum(w, axis=D)", ["cumsum"]),
    "what is only added and multiplied": ("x * (w * w + 1)", []),
    "a value of each row": ("x * exp(s)", []),
    "what all rows share": ("x * exp(v)", []),
    "a product of those two": ("x * exp(s) * exp(v)", []),
    "what has all axes": ("exp(x) * w", []),
}
"""Bodies, and the operations whose values are stored before."""


def plan(body: str, dtype: str = "f32") -> Plan:
    function: Any = tdsl.compile(
        f"def f(x: T[M, N, D], w: T[N, D], v: T[D], s: T[N]):\n    return {body}\n"
    )
    shapes = ["[6, 4, 7]", "[4, 7]", "[7]", "[4]"]
    return make_plan(function.lower(*(f"{dtype}{shape}" for shape in shapes)).graph)


@pytest.mark.parametrize(("body", "stored"), CASES.values(), ids=CASES)
def test_what_is_stored(body: str, stored: list[str]) -> None:
    *before, last = plan(body).kernels
    assert [store.node.op.name for kernel in before for store in kernel.stores] == stored
    assert [store.buffer for store in last.stores] == ["out"]


def test_the_log_says_why() -> None:
    assert REASON in [entry.refusal for entry in plan("x * exp(w)").log]


def test_what_is_converted_last_is_stored_piece_by_piece() -> None:
    """A result that joins two halves needs no choice between them, whatever its dtype."""
    for dtype in ("f32", "bf16", "f64"):
        (kernel,) = plan("concat((x * s, x + s), axis=-1)", dtype).kernels
        assert [store.buffer for store in kernel.stores] == ["out", "out"]
        assert "where" not in {node.op.name for node in kernel.nodes()}
