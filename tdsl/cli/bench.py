"""`tdsl bench`: one function run in several ways, checked, timed in turn, and told as a table.

In: a function and its arguments. Out: the document of `--json`, and the table. Between: no variant is timed
that does not give what the others give. `percent_of_copy` is the rate at which a variant moves its bytes
as a share of the rate of a copy of the bytes that the forward stage cannot avoid.
"""

from __future__ import annotations

import os
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tdsl import faults
from tdsl.backends.pool import Pool, leasing_from
from tdsl.cli.measuring import (
    Clock,
    Times,
    copying,
    device_copying,
    device_seconds_of,
    difference,
    fresh_pages,
    in_turn,
    limit_of,
    seconds_of,
)
from tdsl.cli.options import VARIANTS
from tdsl.cli.subject import Subject, subject_of
from tdsl.cli.variants import STAGES, Setting, Variant, own_variant
from tdsl.errors import TdslError
from tdsl.runtime.backends import require_backend
from tdsl.runtime.definition import Mode
from tdsl.runtime.function import Function

Row = dict[str, Any]
Make = Callable[[Subject, str], Variant]


@dataclass(frozen=True, slots=True)
class Bench:
    """What is compared, and where."""

    subject: Subject
    setting: Setting
    makers: Mapping[str, Make]
    is_asked: bool = False
    """Whether somebody named the variants, so that none may be left out."""

    def variants(self, stage: str) -> list[Variant]:
        """Those that can run. Raises TdslError for one that cannot though it was asked for."""
        found = []
        for name, make in self.makers.items():
            try:
                found.append(make(self.subject, stage))
            except TdslError as error:
                if self.is_asked or name == "fused":
                    raise
                print(f"{name} is left out: {error.errors[0].note}", file=sys.stderr)
        return found

    @property
    def clock(self) -> Clock:
        """What tells how long an action takes."""
        return device_seconds_of if self.setting.is_cuda else seconds_of

    def copying(self) -> tuple[str, Callable[[], Callable[[], Any]], int]:
        """A copy of the forward stage's bytes: what it is, what prepares it, and how many they are."""
        count = self.subject.compulsory("forward")
        make = device_copying if self.setting.is_cuda else copying
        return (*make(count), 2 * max(count // 2, 1))


def compare(
    function: Function, given: Mapping[str, Any], statics: Mapping[str, Any], options: Namespace
) -> tuple[Row, str]:
    """The document and the table. Raises TdslError for what cannot run, and where variants disagree."""
    if options.plot:
        _require("a picture", "matplotlib", "pip install 'tdsl[bench]'")
        _require_folder(options.plot)
    setting = _setting(options.backend)
    subject = subject_of(function, given, statics, options)
    bench = Bench(subject, setting, _makers(options, setting), options.vs is not None)
    stages = STAGES[: 1 + (options.grad is not None)]
    fresh_pages()  # for all alike
    with leasing_from(Pool(0)):
        document, copy = measured(bench, function.__name__, stages)
    if options.plot:
        from tdsl.cli.picture import draw

        draw(document, options.plot)
    return document, table(document, copy)


def _require_folder(file: str) -> None:
    """Whether a file can be written is known before minutes are spent on what it shall show."""
    folder = Path(file).resolve().parent
    if not os.access(folder, os.W_OK):
        reason = "its folder cannot be written to" if folder.is_dir() else "there is no such folder"
        raise faults.UNWRITABLE.at(file=file, reason=reason)


def _require(what: str, package: str, hint: str) -> None:
    if find_spec(package) is None:
        raise faults.MISSING_PACKAGE.at(what=what, package=package, hint=hint)


def _setting(backend: str | None) -> Setting:
    """Where and how the fused variant runs: on a GPU if there is one and the backend is for it."""
    require_backend(backend)
    has_both = find_spec("torch") is not None and find_spec("triton") is not None
    if backend in (None, "triton") and has_both:
        import torch

        return Setting(Mode(backend=backend), torch.cuda.is_available())
    return Setting(Mode(backend=backend), is_cuda=False)


def _makers(options: Namespace, setting: Setting) -> dict[str, Make]:
    """How each of the wanted variants is made. Raises TdslError for one that is asked for in vain."""
    found: dict[str, Make] = {"fused": partial(own_variant, name="fused", setting=setting)}
    for name in options.vs or [name for name in VARIANTS if name != "numpy"]:
        try:
            found[name] = _maker(name, setting)
        except TdslError:
            if options.vs:
                raise
    return found


def _maker(name: str, setting: Setting) -> Make:
    """How a variant is made. Raises TdslError where it cannot be had."""
    if name in ("torch", "compile"):
        _require(f"the variant `{name}`", "torch", "pip install 'tdsl[torch]'")
        from tdsl.cli.torch_variants import torch_variant

        return partial(torch_variant, name=name, is_cuda=setting.is_cuda)
    if name == "unfused":
        if not setting.runs_kernels:
            note = "the interpreter has no kernels that could be fused"
            raise faults.NO_BACKEND.at(backend=name, note=note)
        return partial(own_variant, name=name, setting=setting, fused=False)
    if setting.is_cuda:
        raise faults.NO_BACKEND.at(backend=name, note="it runs on the processor, not on a GPU")
    if name == "jax":
        _require("the variant `jax`", "jax", "pip install jax")
        from tdsl.cli.jax_variants import jax_variant

        return partial(jax_variant, name=name)
    if name == "numexpr":
        _require("the variant `numexpr`", "numexpr", "pip install numexpr")
        from tdsl.cli.numexpr_variants import numexpr_variant

        return partial(numexpr_variant, name=name)
    backend = "numpy" if name == "tiled" else "interpreter"
    require_backend(backend)
    return partial(own_variant, name=name, setting=Setting(Mode(backend=backend), is_cuda=False))


def measured(bench: Bench, name: str, stages: Sequence[str]) -> tuple[Row, str]:
    """The document, and what the copy is called."""
    rows: list[Row] = []
    copy, prepare_copy, count = bench.copying()
    rate = 0.0
    for stage in stages:
        found = bench.variants(stage)
        check(found, bench.subject.names[stage])
        variants = {variant.name: variant for variant in found}
        prepared = {name: variant.prepare for name, variant in variants.items()}
        if stage == "forward":
            prepared["copy"] = prepare_copy
        times = in_turn(prepared, bench.clock, stage)
        if stage == "forward":
            rate = count / times.pop("copy").middle / 1e6
        rows += [_row(variants[n], taken, rate) for n, taken in times.items()]
    where = _device(bench.setting)
    return {"function": name, "device": where, "rows": rows, "copy_gb_per_s": rate}, copy


def _row(variant: Variant, times: Times, rate: float) -> Row:
    moved = variant.bytes_moved / times.middle / 1e6
    return {
        "variant": variant.name, "stage": variant.stage, "ms": times.middle,
        "ms_min": min(times.rounds), "ms_max": max(times.rounds), "runs": len(times.rounds),
        "bytes_moved": variant.bytes_moved, "gb_per_s": moved, "percent_of_copy": 100 * moved / rate,
        "kernels": variant.kernels,
    }  # fmt: skip


def check(variants: Sequence[Variant], names: Sequence[str]) -> None:
    """Raise TdslError where variants give different results: each is compared with the first."""
    first, *others = variants
    wanted = [_array(x) for x in first.prepare()()]
    for other in others:
        for name, found, want in zip(names, other.prepare()(), wanted, strict=True):
            error, limit = difference(_array(found), want), limit_of(want.dtype)
            if error > limit:
                raise faults.DISAGREEMENT.at(
                    first=first.name, second=other.name, where=name, error=error, limit=limit,
                    hint="does random normal data make sense here? `--arg NAME=@file.npy` gives other",
                )  # fmt: skip


def _array(value: Any) -> Any:
    """A NumPy array of a result, wherever it lies."""
    if not hasattr(value, "detach"):
        return value
    from tdsl.runtime.torch.memory import array_of

    return array_of(value.detach().cpu().contiguous())


def _device(setting: Setting) -> str:
    if setting.is_cuda:
        import torch

        return torch.cuda.get_device_name()
    return f"{processor()}, {len(os.sched_getaffinity(0))} cores"


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


HEAD = ("variant", "ms", "min", "max", "x fused", "MB", "GB/s", "% copy", "launches")


def table(document: Row, copy: str) -> str:
    """The rows as text, stage by stage."""
    lines = [f"{document['function']} on {document['device']}"]
    for stage in dict.fromkeys(row["stage"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["stage"] == stage]
        lines += ["", stage, *_aligned([HEAD, *_cells(rows)])]
    runs = min(row["runs"] for row in document["rows"])
    lines += ["", f"{copy}: {document['copy_gb_per_s']:.1f} GB/s"]
    lines.append(f"medians of {runs} rounds or more, each variant once in every round")
    return "\n".join(lines)


def _cells(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield (
            row["variant"], f"{row['ms']:.3f}", f"{row['ms_min']:.3f}", f"{row['ms_max']:.3f}",
            f"{row['ms'] / rows[0]['ms']:.2f}", f"{row['bytes_moved'] / 1e6:.1f}",
            f"{row['gb_per_s']:.1f}", f"{row['percent_of_copy']:.0f}", str(row["kernels"]),
        )  # fmt: skip


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [c.rjust(w) for c, w in zip(rest, widths[1:], strict=True)]
        yield "  ".join(["", first.ljust(widths[0]), *cells])


__all__ = ["compare", "processor"]
