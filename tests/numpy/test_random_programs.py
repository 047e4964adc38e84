"""Random programs and random graphs tile by tile: values and derivatives are the interpreter's."""

from __future__ import annotations

from functools import partial

from tests.numpy.plans import TILED, small_tiles
from tests.random_programs import laws

test_programs, test_graphs, test_many_programs, test_many_graphs = laws(
    TILED, [partial(small_tiles, elements) for elements in (1, 4, 1000)]
)
