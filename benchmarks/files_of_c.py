"""How long each of the library's files of C takes to compile or to load: `python -m benchmarks.files_of_c`.

Prints a JSON list of milliseconds, a number for each stage of each memory-bound function; the cache of
`$TDSL_CACHE_DIR` decides whether anything is compiled.
"""

from __future__ import annotations

import json
import time

from benchmarks.cases import CASES
from benchmarks.fused import stages, subject
from tdsl.backends.c.compiler import compiler, identity, library
from tdsl.backends.c.module import print_plan
from tdsl.runtime.native import plan_of


def main() -> None:
    """Print the times."""
    identity(compiler())  # asks the compiler for its version once
    found = []
    for case in CASES:
        _, data = subject(case, "in cache")
        for stage in stages(case):
            module, _ = print_plan(plan_of(data.stage(stage)), data.sizes)
            start = time.perf_counter()
            library(module.source)
            found.append(1e3 * (time.perf_counter() - start))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
