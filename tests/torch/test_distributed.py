"""Two processes that train one model: gradients averaged (DDP), parameters in shards (FSDP)."""

from __future__ import annotations

import faulthandler
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from tests.torch.cases import BY_NAME, Tensor

pytestmark = pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="torch was built without gloo"
)


PATIENCE = 60
"""Seconds that a process may take."""


class Block(torch.nn.Module):
    """Two layers with ours between them."""

    def __init__(self, ours: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.weight = torch.nn.Parameter(torch.ones(8))
        self.ours = ours

    def forward(self, x: Tensor) -> Any:
        if self.ours:
            normed = BY_NAME["rms_norm"].ours(self.first(x), self.weight)
            return self.second(BY_NAME["gelu"].ours(normed))
        normed = torch.rms_norm(self.first(x), (8,), self.weight, 1e-6)
        return self.second(torch.nn.functional.gelu(normed))


def batch() -> Tensor:
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(1))


def train(model: torch.nn.Module, x: Tensor) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(x).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()


def work(rank: int, kind: str, folder: str) -> None:
    """One process: train on its half of the batch, and compare with all of it in one process."""
    faulthandler.dump_traceback_later(PATIENCE - 10, exit=True)  # tells where it hangs
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    model: Any = Block(ours=True)
    if kind == "ddp":
        model = DistributedDataParallel(model)
    else:
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    train(model, batch()[2 * rank : 2 * rank + 2])
    alone = Block(ours=False)
    train(alone, batch())
    for (_, found), wanted in zip(model.named_parameters(), alone.parameters(), strict=True):
        whole = found.full_tensor() if hasattr(found, "full_tensor") else found
        torch.testing.assert_close(whole, wanted)
    Path(folder, f"done{rank}").touch()
    dist.destroy_process_group()
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_train_as_one(kind: str, tmp_path: Path) -> None:
    context = spawn(work, (kind, os.fspath(tmp_path)), nprocs=2, join=False)  # type: ignore[no-untyped-call]
    try:
        deadline = time.monotonic() + PATIENCE
        while not context.join(timeout=1):
            assert time.monotonic() < deadline, "the processes hang"
    finally:
        for process in context.processes:
            process.kill()
    assert {path.name for path in tmp_path.glob("done*")} == {"done0", "done1"}
