"""Torch's dtypes for ours."""

from __future__ import annotations

import torch

from tdsl.ir.dtype import AnyDtype

_KINDS = {"i": "int", "u": "uint", "f": "float"}


def torch_dtype(dtype: AnyDtype | str) -> torch.dtype:
    """Torch's dtype for one of ours, or for its name."""
    name = str(dtype)
    known = {"bool": torch.bool, "bf16": torch.bfloat16}
    found: torch.dtype = known.get(name) or getattr(torch, _KINDS[name[0]] + name[1:])
    return found
