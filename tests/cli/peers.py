"""The library through JAX and NumExpr: `python -m tests.cli.peers FILE...` prints a line for each function.

In a process of its own, since one that has started JAX's threads cannot fork any more.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

import numpy as np

from tdsl.cli.bench import check
from tdsl.cli.jax_variants import jax_variant
from tdsl.cli.numexpr_variants import numexpr_variant
from tdsl.cli.subject import Subject, subject_of
from tdsl.cli.variants import STAGES, Setting, own_variant
from tdsl.errors import TdslError
from tdsl.runtime.definition import Mode
from tests.kernels.reference import ROWS, Row
from tests.triton.test_kernels import library, own_arguments

ORACLE = Setting(Mode(backend="interpreter"), is_cuda=False)
MAKERS = {"jax": jax_variant, "numexpr": numexpr_variant}


def subject(row: Row) -> Subject:
    """The function on the row's arguments in f32."""
    function = library(row)
    names = [param.name for param in function.target.signature.parameters]
    own = {
        name: value
        for name, value in zip(names, own_arguments(row, "f32"), strict=False)
        if value is not None
    }
    floating = [name for name, value in own.items() if np.asarray(value).dtype.kind == "f"]
    wrt = [name for name in floating if names.index(name) not in row.frozen]
    return subject_of(function, own, row.static, Namespace(seed=1, grad=",".join(wrt) or None))


def told(row: Row) -> Iterator[str]:
    """What became of each stage and variant: `same`, or why there is none, or how they differ."""
    found = subject(row)
    for stage in STAGES[: 1 + bool(found.wrt)]:
        first = own_variant(found, stage, "fused", ORACLE)
        for name, make in MAKERS.items():
            try:
                check([first, make(found, stage, name)], found.names[stage])
                outcome = "same"
            except TdslError as error:
                outcome = f"{error.errors[0].code} {error.errors[0].note}"
            yield f"{row.file}.{row.id}\t{stage}\t{name}\t{outcome}"


if __name__ == "__main__":
    for each in ROWS:
        if each.file in sys.argv[1:]:
            for text in told(each):
                sys.stdout.write(f"{text}\n")
