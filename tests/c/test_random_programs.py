"""Random programs and random graphs as C: values and derivatives are the interpreter's."""

from __future__ import annotations

from contextlib import nullcontext

from tests.c.plans import C, small_blocks
from tests.random_programs import laws

test_programs, test_graphs, test_many_programs, test_many_graphs = laws(
    C, [nullcontext, small_blocks]
)
