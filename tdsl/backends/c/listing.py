"""What the compiler made of each kernel, in the processor's assembly language.

In: the text of a C file and the names of its kernels. Out: for each the lines of its functions. Between:
what OpenMP parts among threads is a function of its own, which is listed with its kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tdsl.backends.c.compiler import assembly

_LABEL = re.compile(r"([A-Za-z_]\w*)(\._omp_fn\.\d+|\.omp_outlined[.\w]*)?:")


def listings(source: str, names: Iterable[str]) -> dict[str, str]:
    """The assembly of each kernel. Raises CompilerError."""
    parts = list(_functions(assembly(source)))
    return {name: "\n".join(text for owner, text in parts if owner == name) for name in names}


def _functions(text: str) -> Iterator[tuple[str, str]]:
    """Each function's kernel, and its lines."""
    owner, lines = "", list[str]()
    for line in text.splitlines():
        label = _LABEL.match(line)
        if label:
            owner, lines = label.group(1), []
        if owner:
            lines.append(line)
        if owner and line.strip() == ".cfi_endproc":
            yield owner, "\n".join(lines)
            owner = ""
