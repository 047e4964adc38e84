"""Registers and spills of a kernel, from what the assemblers print: both functions give them per lane."""

from __future__ import annotations

import re

from tdsl.errors import InternalError


def from_cuobjdump(text: str, name: str) -> tuple[int, int]:
    """Registers, and bytes of stack and local memory, from `cuobjdump -res-usage`."""
    usage = dict(
        re.findall(
            r"(REG|STACK|LOCAL):(\d+)",
            text.partition(f"Function {name}:")[2].partition("Function ")[0],
        )
    )
    if len(usage) < 3:
        raise InternalError(f"cuobjdump says nothing of `{name}`: {text}")
    return int(usage["REG"]), int(usage["STACK"]) + int(usage["LOCAL"])


def from_amdgcn(text: str) -> tuple[int, int]:
    """Vector registers, and bytes of scratch memory or of spilled registers, from the metadata.

    `.vgpr_count` counts the accumulation registers too: of more than 256, the rest are such, and values
    that no instruction uses at the time are moved there before they are spilled.
    """
    usage = dict(
        re.findall(r"\.(vgpr_count|vgpr_spill_count|private_segment_fixed_size):\s+(\d+)", text)
    )
    if len(usage) < 3:
        raise InternalError("the assembly names no registers")
    spilled = 4 * int(usage["vgpr_spill_count"])
    return int(usage["vgpr_count"]), max(spilled, int(usage["private_segment_fixed_size"]))
