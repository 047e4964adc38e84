"""Launches: what compiles anew, what is launched directly, and with what."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
import torch
from triton.backends.compiler import BaseBackend
from triton.runtime.jit import JITFunction, native_specialize_impl

from tdsl.backends.triton import launch
from tdsl.backends.triton.execute import Executable, Texts
from tdsl.backends.triton.launch import Launch, Loaded
from tdsl.backends.triton.printer import Printed
from tdsl.backends.triton.specialise import scalar_class
from tdsl.ir.size import name
from tdsl.kernels import activations, losses, norms, softmax

Tensor = torch.Tensor
CPU = torch.device("cpu")
SCALARS = (
    0,
    1,
    2,
    15,
    16,
    17,
    32,
    48,
    -1,
    -16,
    2**31 - 1,
    2**31,
    2**31 + 16,
    2**40,
    2**63,
    1.0,
    16.0,
    True,
)


def triton_class(value: object, *, is_known: bool) -> Any:
    """What Triton specialises code for."""
    return native_specialize_impl(BaseBackend, value, False, is_known, True)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_class_of_numbers_is_tritons(is_known: bool) -> None:
    """Equal classes are equal for Triton; and it compiles nothing twice that we tell apart."""
    for a, b in product(SCALARS, SCALARS):
        ours = scalar_class(a, is_known=is_known) == scalar_class(b, is_known=is_known)
        assert ours == (triton_class(a, is_known=is_known) == triton_class(b, is_known=is_known))


def test_the_class_of_a_buffer_is_tritons() -> None:
    """Its dtype, which a kernel's text has, and whether its address divides by 16."""
    data = torch.empty(64, dtype=torch.bfloat16)
    for tensor in (data[i:] for i in range(17)):
        attribute = triton_class(tensor, is_known=True)[1]
        assert (attribute == "D") == (tensor.data_ptr() % 16 == 0)


# How often a compiled function compiles.

SHAPES = {
    "softmax": (softmax.softmax, ("bf16[3,5]",)),
    "rms_norm": (norms.rms_norm, ("bf16[3,5]", "bf16[5]")),
    "layer_norm": (norms.layer_norm, ("f32[3,5]", "f32[5]", "f32[5]")),
    "cross_entropy": (losses.cross_entropy, ("bf16[3,5]", "i64[3]")),
    "gelu": (activations.gelu, ("bf16[3,5]",)),
}


class Compiler:
    """The passes of a function on a matrix of rows, and what was compiled for each size so far."""

    def __init__(self, case: str) -> None:
        function, specs = SHAPES[case]
        lowered = function.lower(*specs, grad=True)
        self.sizes = lowered.sizes
        self.plans = [report.plan for report in lowered.reports]
        self.texts: list[Texts] = [{} for _ in self.plans]
        self.keys: set[tuple[Loaded, object]] = set()

    def call(self, rows: int, length: int) -> None:
        sizes = {n: {3: rows, 5: length}[value] for n, value in self.sizes.items()}
        for plan, texts in zip(self.plans, self.texts, strict=True):
            for made in Executable(plan, sizes, CPU, texts=texts).launches:
                self.keys.add((made.loaded, made.key))

    @property
    def kernels(self) -> int:
        return sum(len(plan.kernels) for plan in self.plans)


@pytest.mark.parametrize("length", [1000, 4096])
@pytest.mark.parametrize("case", sorted(set(SHAPES) - {"gelu"}))
def test_the_number_of_rows_compiles_nothing_anew(case: str, length: int) -> None:
    compiler = Compiler(case)
    for rows in (0, 1, 16, 17, *range(2, 2000, 40)):
        compiler.call(rows, length)
    assert [len(texts) for texts in compiler.texts] == [1] * len(compiler.plans)
    assert len(compiler.keys) == compiler.kernels


def test_of_elements_that_one_number_counts_the_rows_compile_nothing_anew() -> None:
    """Where rows divide by 16; else their number says whether all the elements do."""
    compiler = Compiler("gelu")
    for rows in (0, 1, 16, 17, *range(2, 2000, 40)):
        compiler.call(rows, 4096)
    assert len(compiler.keys) == compiler.kernels
    for rows in (0, 1, 16, 17, *range(2, 2000, 40)):
        compiler.call(rows, 1000)
    assert len(compiler.keys) == 4 * compiler.kernels


@pytest.mark.parametrize("case", SHAPES)
def test_few_compilations_serve_all_lengths(case: str) -> None:
    compiler = Compiler(case)
    for length in range(1000, 5000, 200):
        compiler.call(64, length)
    assert len(compiler.keys) <= 10 * compiler.kernels


def test_keys_tell_apart_what_triton_does() -> None:
    """Two calls with one key are one for Triton, over a table of sizes and both kinds of kernels."""
    sizes = (0, 1, 2, 15, 16, 17, 32, 33, 1024)
    for case in SHAPES:
        function, specs = SHAPES[case]
        lowered = function.lower(*specs, grad=True)
        plan, texts = lowered.reports[0].plan, Texts()
        found: dict[object, object] = {}
        for rows, length in product(sizes, sizes):
            own = {n: {3: rows, 5: length}[v] for n, v in lowered.sizes.items()}
            for made in Executable(plan, own, CPU, texts=texts).launches:
                printed = made.loaded.printed
                names = [*(n for n, _ in printed.sizes), *printed.numbers]
                theirs = [
                    triton_class(value, is_known=n not in printed.unspecialised)
                    for n, value in zip(names, made.scalars, strict=True)
                ]
                assert found.setdefault((made.loaded, made.key), theirs) == theirs


def test_unspecialised_is_what_the_text_says() -> None:
    """The decorator that Triton reads names the very sizes that the key takes for open."""
    compiler = Compiler("rms_norm")
    compiler.call(100, 1000)
    for made, _ in compiler.keys:
        assert made.function.kwargs["do_not_specialize"] == [*made.printed.unspecialised]


# Direct launches, recorded.


@dataclass
class Recorder:
    """Stands for Triton's function and for what it compiles."""

    by_triton: list[dict[str, Any]] = field(default_factory=list)
    direct: list[tuple[Any, ...]] = field(default_factory=list)
    function: str = "handle"
    packed_metadata: str = "metadata"

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def run(*arguments: Any, **options: Any) -> Recorder:
            self.by_triton.append({"grid": grid, "arguments": arguments, **options})
            return self

        return run

    def run(self, *arguments: Any) -> None:
        self.direct.append(arguments)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(launch, "is_direct", lambda _: True)
    monkeypatch.setattr(launch, "current_stream", lambda _: 7)
    return Recorder()


def loaded(recorder: Recorder) -> Loaded:
    printed = Printed(
        "f", "", ("x", "y"), (("N", name("N")), ("D", name("D"))), ("number0",),
        (("BLOCK", 64),), frozenset(), ("N", "number0"),
    )  # fmt: skip
    return Loaded(printed, recorder, 4, 2)


def test_the_second_launch_is_direct(recorder: Recorder) -> None:
    own = loaded(recorder)
    memory = {"x": torch.empty(8), "y": torch.empty(8)}
    for rows in (3, 3, 4):
        Launch(own, [rows, 32, 0.5], rows, CPU)(memory)
    (first,) = recorder.by_triton
    assert first == {
        "grid": (3,), "arguments": (memory["x"], memory["y"], 3, 32, 0.5), "BLOCK": 64,
        "num_warps": 4, "num_stages": 2, "enable_fp_fusion": True,
    }  # fmt: skip
    addresses = tuple(tensor.data_ptr() for tensor in memory.values())
    assert recorder.direct == [
        (rows, 1, 1, 7, "handle", "metadata", None, None, None, *addresses, rows, 32, 0.5, 64)
        for rows in (3, 4)
    ]


@pytest.mark.parametrize(
    ("sizes", "offset"), [((3, 33, 0.5), 0), ((3, 1, 0.5), 0), ((2**31, 32, 0.5), 0), ((3, 32, 0.5), 1)]
)  # fmt: skip
def test_another_class_goes_by_triton(
    recorder: Recorder, sizes: tuple[float, ...], offset: int
) -> None:
    own = loaded(recorder)
    memory = {"x": torch.empty(8), "y": torch.empty(8)}
    Launch(own, [3, 32, 0.5], 3, CPU)(memory)
    memory["y"] = memory["y"][offset:]
    Launch(own, sizes, 3, CPU)(memory)
    assert (len(recorder.by_triton), recorder.direct) == (2, [])


def test_a_watched_launch_goes_by_triton(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triton import knobs

    made = Launch(loaded(recorder), [3, 32, 0.5], 3, CPU)
    memory = {"x": torch.empty(8), "y": torch.empty(8)}
    made(memory)
    monkeypatch.setattr(knobs.runtime.launch_enter_hook, "calls", [print])
    made(memory)
    monkeypatch.undo()
    assert (len(recorder.by_triton), recorder.direct) == (2, [])


def test_nothing_to_store_is_not_launched(recorder: Recorder) -> None:
    Launch(loaded(recorder), [0, 32, 0.5], 0, CPU)({"x": torch.empty(0), "y": torch.empty(0)})
    assert (recorder.by_triton, recorder.direct) == ([], [])


def test_a_direct_launch_is_the_call_that_triton_makes() -> None:
    """The one statement of Triton that is mirrored: a release that changes it fails here."""
    text = "".join(inspect.getsource(JITFunction.run).split())
    assert (
        "kernel.run(grid_0,grid_1,grid_2,stream,kernel.function,kernel.packed_metadata,launch_metadata,"
        "knobs.runtime.launch_enter_hook,knobs.runtime.launch_exit_hook,*bound_args.values())"
    ) in text
