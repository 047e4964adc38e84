"""The contenders of one case: tdsl by its executors, NumPy by hand, torch, torch.compile, JAX, NumExpr.

In: a case and its data. Out: `Variant`s of a stage, tdsl's own first. Between: every one takes the same
data and gives fresh results; what is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

import tdsl
from benchmarks.case import Case
from tdsl.backends.pool import Pool, leasing_from
from tdsl.cli.measuring import Action, Prepare
from tdsl.cli.subject import Subject
from tdsl.cli.torch_variants import preparation
from tdsl.cli.variants import Setting, Variant, own_variant
from tdsl.errors import TdslError
from tdsl.runtime.backends import require_backend
from tdsl.runtime.definition import PLAIN, Mode

OURS = ("tdsl", "tdsl with pool", "tdsl on torch", "unfused", "tiled")
POOL = Pool(512 << 20)
PEERS = ("numpy", "torch", "compile", "jax", "numexpr")


def contenders(
    case: Case, function: tdsl.Function, subject: Subject, stage: str, wanted: Sequence[str]
) -> Iterator[Variant]:
    """Those of the wanted ones that are here and have this stage, `tdsl` first."""
    plain = Setting(PLAIN, is_cuda=False)
    yield own_variant(subject, stage, "tdsl", plain)
    if "tdsl with pool" in wanted:
        yield _pooled(own_variant(subject, stage, "tdsl with pool", plain))
    if "unfused" in wanted:
        yield own_variant(subject, stage, "unfused", plain, fused=False)
    if "tiled" in wanted and _is_there("numpy"):
        yield own_variant(subject, stage, "tiled", Setting(Mode(backend="numpy"), is_cuda=False))
    makers: dict[str, Callable[[], Prepare | None]] = {
        "tdsl on torch": partial(_torch, partial(_called, function, case), subject, stage),
        "numpy": partial(_numpy, case, subject, stage),
        "torch": partial(_torch, case.torch, subject, stage),
        "compile": partial(_compiled, case.torch, subject, stage),
        "jax": partial(_jax, case, subject, stage),
        "numexpr": partial(_numexpr, case, subject, stage),
    }
    for name in wanted:
        prepare = makers[name]() if name in makers else None
        if prepare is not None:
            yield Variant(name, stage, prepare, 0, subject.compulsory(stage))


def _pooled(variant: Variant) -> Variant:
    """The variant with pages of results that are gone, which all others are without."""

    def within(call: Callable[[], Any]) -> Any:
        with leasing_from(POOL):
            return call()

    def prepare() -> Action:
        action = within(variant.prepare)
        return lambda: within(action)

    return replace(variant, prepare=prepare)


def _is_there(backend: str) -> bool:
    try:
        require_backend(backend)
    except TdslError:
        return False
    return True


def _called(function: tdsl.Function, case: Case, *tensors: Any) -> Any:
    return function(**dict(zip(case.data, tensors, strict=True)), **case.static)


def _torch(expression: Callable[..., Any], subject: Subject, stage: str) -> Prepare:
    def program(*tensors: Any) -> tuple[Any, ...]:
        return _several(expression(*tensors))

    return preparation(subject, stage, program, is_cuda=False)


def _compiled(expression: Callable[..., Any], subject: Subject, stage: str) -> Prepare:
    torch._dynamo.reset()
    return _torch(torch.compile(expression, dynamic=False), subject, stage)


def _numpy(case: Case, subject: Subject, stage: str) -> Prepare | None:
    """By hand; the backward stage has what the forward one gave."""
    arrays = subject.arrays
    if stage == "forward":
        return _always(partial(case.forward, np, *arrays))
    if case.backward is None:
        return None
    if subject.is_loss:
        return _always(partial(case.backward, *arrays))
    backward, cotangents = case.backward, _one(subject.cotangents)

    def prepare() -> Action:
        results = case.forward(np, *arrays)
        return _always(lambda: backward(results, cotangents, *arrays))()

    return prepare


def _one(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)


def _always(call: Action) -> Prepare:
    """The action that gives a row of results, whichever round it is."""

    def action() -> Sequence[Any]:
        with np.errstate(all="ignore"):
            return _several(call())

    return lambda: action


def _several(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def _numexpr(case: Case, subject: Subject, stage: str) -> Prepare | None:
    if stage != "forward" or not case.numexpr or find_spec("numexpr") is None:
        return None
    import numexpr

    values = dict(zip(case.data, subject.arrays, strict=True))
    constants = {"optimization": "aggressive", "truediv": True}
    return _always(lambda: numexpr.evaluate(case.numexpr, values, **constants))


def _jax(case: Case, subject: Subject, stage: str) -> Prepare | None:
    """Compiled by XLA; the backward stage has the residuals of a forward pass outside of the time."""
    if find_spec("jax") is None:
        return None
    import jax.numpy as jnp

    from tdsl.cli import jax_variants

    def program(*arrays: Any) -> tuple[Any, ...]:
        return _several(case.forward(jnp, *arrays))

    return jax_variants.preparation(subject, stage, program)


__all__ = ["OURS", "PEERS", "contenders"]
