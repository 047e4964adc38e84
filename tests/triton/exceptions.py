"""Kernels of the library that may spill registers, with what for: rows of docs/traffic.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spill:
    """At most so many bytes for each lane, in a kernel named as in tests/triton/large.py."""

    kernel: str
    bytes: int
    reason: str


WHOLE = "The row fills the registers; streamed, it would be read twice."
MASKS = "Where rows are not known to divide by 16, each element has a mask beside its value."
ADDRESSES = "A gather has an address of 64 bits for each element."
SCHEDULED = "The assembler's choice: it left registers unused."
SPILLS = (
    Spill("adam6-backward-f32-0", 16, SCHEDULED),
    Spill("attention[True]3-backward-sm_80-2", 8, SCHEDULED),
    Spill("bce['mean']2-forward-sm_100-0", 8, SCHEDULED),
    Spill("bce['sum']2-forward-sm_100-0", 8, SCHEDULED),
    Spill("cross_entropy['mean']2-backward-unaligned-1", 72, MASKS),
    Spill("cross_entropy['mean']3-backward-sm_80-1", 32, WHOLE),
    Spill("cross_entropy['mean']3-backward-unaligned-0", 40, MASKS),
    Spill("cross_entropy['mean']3-backward-unaligned-1", 16, MASKS),
    Spill("cross_entropy['none']2-backward-unaligned-0", 64, MASKS),
    Spill("cross_entropy['none']3-backward-unaligned-0", 40, MASKS),
    Spill("cross_entropy['sum']2-backward-unaligned-0", 72, MASKS),
    Spill("cross_entropy['sum']3-backward-unaligned-0", 40, MASKS),
    Spill("cross_entropy[0.1, 'mean']2-backward-unaligned-1", 112, MASKS),
    Spill("cross_entropy[0.1, 'mean']3-backward-unaligned-0", 40, MASKS),
    Spill("cross_entropy[0.1, 'mean']3-backward-unaligned-1", 80, MASKS),
    Spill("cross_entropy[0.1, 'none']2-backward-unaligned-0", 144, MASKS),
    Spill("cross_entropy[0.1, 'none']3-backward-unaligned-0", 72, MASKS),
    Spill("cross_entropy[0.1, 'sum']2-backward-unaligned-0", 136, MASKS),
    Spill("cross_entropy[0.1, 'sum']3-backward-unaligned-0", 72, MASKS),
    Spill("cross_entropy[0.2, 'mean']2-backward-unaligned-1", 72, MASKS),
    Spill("cross_entropy[0.2, 'none']2-backward-unaligned-0", 56, MASKS),
    Spill("cross_entropy[0.2, 'sum']2-backward-unaligned-0", 56, MASKS),
    Spill("group_norm[2]3-backward-unaligned-0", 40, MASKS),
    Spill("group_norm[2]3-backward-unaligned-1", 56, MASKS),
    Spill("grouped_attention3-forward-unaligned-0", 32, MASKS),
    Spill("grouped_attention[0.3]6-forward-unaligned-0", 32, MASKS),
    Spill("grouped_attention[True, 1]3-forward-unaligned-0", 32, MASKS),
    Spill("grouped_attention[True]3-backward-sm_80-3", 8, SCHEDULED),
    Spill("grouped_attention[True]3-forward-unaligned-0", 32, MASKS),
    Spill("l2_normalize[0]1-forward-unaligned-0", 8, MASKS),
    Spill("nll['mean']2-forward-unaligned-0", 56, ADDRESSES),
    Spill("nll['mean']4-backward-f32-0", 16, ADDRESSES),
    Spill("nll['mean']4-forward-f32-0", 32, ADDRESSES),
    Spill("nll['sum']4-forward-f32-0", 24, ADDRESSES),
)
