"""JAX as a variant: the same graph as a program of JAX, compiled by XLA and differentiated by JAX.

In: a `Subject` and a stage. Out: a `Variant`. Between: every action waits for its results; dtypes are the
subject's, also where they have 64 bits. What XLA moves is not known: it counts the least that any program
could, and as kernels what the compiled program does beside handing values on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from tdsl.cli.jax_program import jax_program
from tdsl.cli.measuring import Action, Prepare
from tdsl.cli.subject import Subject
from tdsl.cli.variants import Variant, refusing

Program = Callable[..., Any]
Compiled = Callable[[], str]
_finished: Any = jax.block_until_ready
FAULTS = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError)
"""What JAX raises for a program that it cannot trace, or if it is too old."""
_HANDED_ON = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast")
_OPERATION = re.compile(r"^ +(?:ROOT )?%\S+ = .*? ([a-z][\w-]*)\(", re.MULTILINE)
"""What an instruction of a compiled program does."""


def jax_variant(subject: Subject, stage: str, name: str) -> Variant:
    """The variant. Raises TdslError for an operation without a form in JAX."""
    program = jax_program(subject.found.flat, subject.sizes)
    with refusing(name, *FAULTS), jax.enable_x64(True):
        prepare, compiled = _stage(subject, stage, program)
        kernels = _kernels(compiled())
    return Variant(name, stage, _within(prepare), kernels, subject.compulsory(stage))


def _within(prepare: Prepare) -> Prepare:
    """The same where dtypes of 64 bits are kept."""

    def wide() -> Action:
        with jax.enable_x64(True):
            action = prepare()

        def run() -> Any:
            with jax.enable_x64(True):
                return action()

        return run

    return wide


def preparation(subject: Subject, stage: str, program: Program) -> Prepare:
    """What prepares a stage of a program that takes the graph's arrays in order and gives a tuple."""
    return _stage(subject, stage, program)[0]


def _stage(subject: Subject, stage: str, program: Program) -> tuple[Prepare, Compiled]:
    """What prepares a stage, and what gives the text of the compiled program that it runs."""
    arrays, cotangents = (_placed(group) for group in (subject.arrays, subject.cotangents))
    if stage == "forward":
        return _called(program, arrays)
    names = [param.name for param in subject.found.graph.params]
    places = [names.index(name) for name in subject.wrt]

    def results(*given: Any) -> Any:
        found = program(*given)
        return tuple(y for y in found if jnp.issubdtype(y.dtype, jnp.floating))

    if subject.is_loss:
        both = jax.value_and_grad(lambda *given: results(*given)[0], places)
        return _called(lambda *given: jax.tree.leaves(both(*given)), arrays)
    return _pulled(results, arrays, places, cotangents)


def _placed(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The arrays on the processor, wherever JAX would put them."""
    (device, *_) = jax.devices("cpu")
    return tuple(jax.device_put(array, device) for array in arrays)


def _called(program: Program, arrays: Sequence[Any]) -> tuple[Prepare, Compiled]:
    run = jax.jit(program)
    return lambda: lambda: _finished(run(*arrays)), partial(_compiled, run, *arrays)


def _pulled(
    results: Program, arrays: Sequence[Any], places: Sequence[int], cotangents: tuple[Any, ...]
) -> tuple[Prepare, Compiled]:
    """The gradients from what the forward pass left, which is made outside of the time."""

    def recorded(*given: Any) -> Any:
        def chosen(*leaves: Any) -> Any:
            own = dict(zip(places, leaves, strict=True))
            return results(*(own.get(i, array) for i, array in enumerate(given)))

        return jax.vjp(chosen, *(given[place] for place in places))[1]

    forward, run = jax.jit(recorded), jax.jit(lambda back, given: back(given))

    def prepare() -> Action:
        back = _finished(forward(*arrays))
        return lambda: _finished(run(back, cotangents))

    return prepare, lambda: _compiled(run, forward(*arrays), cotangents)


def _compiled(run: Any, *given: Any) -> str:
    return str(run.lower(*given).compile().as_text())


def _kernels(compiled: str) -> int:
    """How many operations the compiled program has that compute."""
    entry = compiled[compiled.index("\nENTRY ") :]
    return sum(name not in _HANDED_ON for name in _OPERATION.findall(entry))
