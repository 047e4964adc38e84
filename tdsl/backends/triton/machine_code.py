"""What a compiled kernel's machine code does, read from its disassembly.

In: a `Compiled`. Out: `MachineCode`, counts of instructions as they stand in the text: what a loop repeats
counts once. Between: one table for each instruction set says what an opcode is; it knows the opcodes
that Triton emits for the targets of `aot`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tdsl.backends.triton.aot import Compiled


@dataclass(frozen=True, slots=True)
class MachineCode:
    """Counts of instructions.

    `opcodes` has each opcode with its modifiers (`"LDG.E.128"`, `"global_load_dwordx4"`). `loads` and
    `stores` are those of global memory, by their width in bits; copies from global to shared memory
    are loads. `special` are the operations of the special function units (exp2, rcp, sin, ...),
    `local` the uses of stack and spill memory, `atomics` those of global and shared memory, `f64` the
    arithmetic and conversions in double precision, `shared` the other uses of shared memory.
    """

    opcodes: Mapping[str, int]
    loads: Mapping[int, int]
    stores: Mapping[int, int]
    special: int
    local: int
    atomics: int
    f64: int
    shared: int

    @property
    def instructions(self) -> int:
        """All of them, without padding."""
        return sum(self.opcodes.values())


@dataclass(frozen=True, slots=True)
class _InstructionSet:
    """How to find opcodes in a text, the sets of opcodes, and the width of a global access in bits."""

    line: str
    padding: str
    load: str
    store: str
    special: str
    local: str
    atomic: str
    f64: str
    shared: str
    width: Callable[[str], int]


def read(compiled: Compiled) -> MachineCode:
    """The counts for a kernel of any target."""
    if "sass" in compiled.asm:
        return _count(compiled.asm["sass"], _NVIDIA)
    # What follows the kernel is data and debugging information.
    return _count(compiled.asm["amdgcn"].partition(".Lfunc_end0:")[0], _AMD)


def _count(text: str, known: _InstructionSet) -> MachineCode:
    found = Counter(re.findall(known.line, text, re.MULTILINE))
    opcodes = {name: n for name, n in sorted(found.items()) if not re.match(known.padding, name)}

    def total(pattern: str) -> int:
        return sum(n for name, n in opcodes.items() if re.match(pattern, name))

    def widths(pattern: str) -> dict[int, int]:
        counts: Counter[int] = Counter()
        for name, n in opcodes.items():
            if re.match(pattern, name):
                counts[known.width(name)] += n
        return dict(sorted(counts.items()))

    return MachineCode(
        opcodes=opcodes, loads=widths(known.load), stores=widths(known.store),
        special=total(known.special), local=total(known.local), atomics=total(known.atomic),
        f64=total(known.f64), shared=total(known.shared),
    )  # fmt: skip


def _nvidia_width(opcode: str) -> int:
    """A width stands among the modifiers (`.128`, `.U16`), and is 32 bits if none does."""
    found = re.search(r"\.[US]?(8|16|64|128|256)(?=\.|$)", opcode)
    return int(found[1]) if found else 32


def _amd_width(opcode: str) -> int:
    """`dwordx4` and `b128` are 128 bits; the short and byte forms may name a half register behind."""
    if dwords := re.search(r"_dword(?:x(\d))?(?:_|$)", opcode):
        return 32 * int(dwords[1] or 1)
    if bits := re.search(r"_[bu](\d+)(?:_|$)", opcode):
        return int(bits[1])
    return 16 if "short" in opcode else 8


# https://docs.nvidia.com/cuda/cuda-binary-utilities/#instruction-set-reference
_NVIDIA = _InstructionSet(
    line=r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.\w+)*)",
    padding=r"NOP\b",
    load=r"LDG(STS)?\b",
    store=r"STG\b",
    special=r"MUFU\b",
    local=r"(LDL|STL)\b",
    atomic=r"(ATOM|ATOMG|ATOMS|RED|REDG|REDAS)\b",
    f64=r"D(ADD|MUL|FMA|SETP|MNMX|MMA|SET)\b|\w+\..*F64|MUFU\.\w+64H",
    shared=r"(LDS|STS|LDSM|STSM)\b",
    width=_nvidia_width,
)
# https://llvm.org/docs/AMDGPU/AMDGPUAsmGFX940.html
_AMD = _InstructionSet(
    line=r"^\t([a-z]+_[a-z0-9_]+)",
    padding=r"s_nop$|s_code_end$",
    load=r"(global|buffer|flat)_load_",
    store=r"(global|buffer|flat)_store_",
    special=r"v_(exp|log|rcp|rsq|sqrt|sin|cos)(_iflag)?_f(16|32)",
    local=r"scratch_",
    atomic=r"(global|buffer|flat|ds)_(atomic|add|sub|min|max|and|or|xor|inc|dec|cmpst|wrxchg|pk_add)_",
    f64=r"v_\w+_f64|v_cvt_f64",
    shared=r"ds_(read|write|load|store)",
    width=_amd_width,
)
