"""Calls on the processor: a plan for the sizes and layouts of the arguments, prepared once.

In: a specialisation, and arrays of one kind. Out: fresh, contiguous arrays. Between: an argument is
read where it lies; a pinned backend raises what the default choice answers with the next best one; what
is known to follow compiles meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tdsl import faults
from tdsl.backends.arrays import NUMPY, Arrays
from tdsl.backends.c.compiler import (
    COMPILERS,
    CompilerError,
    compiler,
    forget,
    library,
    working,
)
from tdsl.backends.c.execute import Executable
from tdsl.backends.c.literals import NoForm
from tdsl.backends.c.module import Texts
from tdsl.backends.numpy.execute import Executable as TiledExecutable
from tdsl.errors import warn
from tdsl.fusion.plan import Plan, make_plan, with_strides
from tdsl.ir.size import Size
from tdsl.runtime.arguments import Array
from tdsl.runtime.backends import COMPILER_HINT, chosen
from tdsl.runtime.definition import Mode, Run, Shapes, Specialisation, remember
from tdsl.runtime.layouts import Layout, symbolic_strides

_REPORTED: set[str] = set()


def native_runner(found: Specialisation, shapes: Shapes, mode: Mode) -> Run:
    """What runs the graph on NumPy arrays of these shapes. Raises TdslError for wrong sizes."""
    found.sizes(shapes)
    known: dict[object, Run] = {}

    def run(arrays: Sequence[Array]) -> list[Array]:
        key = tuple([array.strides if array.flags.aligned else None for array in arrays])
        prepared = known.get(key)
        if prepared is None:
            prepared = remember(known, key, _numpy_run(found, shapes, arrays, mode))
        return prepared(arrays)

    return run


def _numpy_run(found: Specialisation, shapes: Shapes, arrays: Sequence[Array], mode: Mode) -> Run:
    """What runs on arrays with these strides; one whose elements are not aligned is copied."""
    if all(map(_is_aligned, arrays)):
        strides = [tuple(s // a.itemsize for s in a.strides) for a in arrays]
        return prepare(found, shapes, strides, mode, NUMPY)
    run = native_runner(found, shapes, mode)
    return lambda arrays: run([a if _is_aligned(a) else a.copy(order="C") for a in arrays])


def _is_aligned(array: Array) -> bool:
    return array.flags.aligned and not any(step % array.itemsize for step in array.strides)


def prepare(
    found: Specialisation,
    shapes: Shapes,
    strides: Sequence[tuple[int, ...]],
    mode: Mode,
    arrays: Arrays,
) -> Run:
    """What runs arrays of these shapes and strides, in elements: compiled, or else tile by tile.

    Raises TdslValueError for wrong sizes, and where C is pinned that cannot be printed or compiled.
    """
    names = [param.name for param in found.flat.params]
    layouts: list[Layout] = list(zip(names, shapes, strides, strict=True))
    steps, values = symbolic_strides(layouts)
    sizes = {**found.sizes(shapes), **values}
    texts = planned(found, steps)
    if chosen(mode) == "c":
        try:
            _begin(found.then, sizes, steps, mode)
            return Executable(texts, sizes, arrays).run
        except CompilerError as error:
            if mode.backend == "c":
                note = str(error)
                raise faults.NO_BACKEND.at(backend="c", note=note, hint=COMPILER_HINT) from None
            _report_compiler(str(error))
        except NoForm as error:
            if mode.backend == "c":
                raise error.within(found.flat) from None
            _report(error.note, f"{texts.plan.name} runs without compiled kernels: {error.note}")
    return TiledExecutable(texts.plan, sizes, arrays).run


def _begin(
    then: Specialisation | None,
    sizes: Mapping[str, int],
    steps: Mapping[str, tuple[Size, ...]],
    mode: Mode,
) -> None:
    """Begin to compile what follows. Raises CompilerError where the compiler is known to be broken.

    Whoever pins C has it tried again, and is told what it says now.
    """
    if mode.backend == "c":
        forget()
    working()
    if then is not None:
        with suppress(RuntimeError):  # no thread begins when the interpreter ends
            COMPILERS.submit(compile_kernels, then, sizes, steps)


def compile_kernels(
    found: Specialisation, sizes: Mapping[str, int], steps: Mapping[str, tuple[Size, ...]]
) -> None:
    """Compile what calls with these sizes and strides will run. Raises CompilerError."""
    own = {param.name for param in found.flat.params}
    texts = planned(found, {name: each for name, each in steps.items() if name in own})
    module, _ = texts.at(sizes)
    if module.kernels:
        library(module.source)


def _report_compiler(message: str) -> None:
    """Tell once that the compiler fails; that there is none is no fault, unless one was named."""
    named = os.environ.get("CC", "")
    if named or _is_had(compiler):
        _report(f"CC={named}", f"tdsl runs without compiled kernels: {message}\n{COMPILER_HINT}")


def _report(subject: str, message: str) -> None:
    """Warn once of each subject."""
    if subject not in _REPORTED:
        _REPORTED.add(subject)
        warn(f'{message}\n`using(backend="numpy")`, or TDSL_BACKEND=numpy, silences this')


def _is_had(command: Callable[[], object]) -> bool:
    try:
        return bool(command())
    except CompilerError:
        return False


def running(mode: Mode) -> str:
    """The backend that runs a call on the processor: where nothing can be compiled, NumPy's tiles.

    Nothing is run to find out, since a broken compiler may take minutes: one that was never tried counts
    as working.
    """
    own = chosen(mode)
    return "numpy" if own == "c" and mode.backend is None and not _is_had(working) else own


def planned(found: Specialisation, steps: Mapping[str, tuple[Size, ...]]) -> Texts:
    """The plan for arguments with these strides, and what is printed of it."""
    key = ("c", *sorted(steps.items()))
    return found.prepared(key, lambda: Texts(with_strides(plan_of(found), steps)))


def plan_of(found: Specialisation) -> Plan:
    """The plan of a specialisation, made once."""
    return found.prepared("plan", lambda: make_plan(found.flat))


def unfused(found: Specialisation) -> Specialisation:
    """The same graph with a kernel for each operation: what fusion is compared with."""
    own = Specialisation(found.graph, found.flat)
    own.launched["plan"] = make_plan(found.flat, fused=False)
    return own
