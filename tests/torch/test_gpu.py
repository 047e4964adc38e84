"""Compiled kernels on a GPU: values, gradients, graphs without a look by the host."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tdsl.kernels import losses
from tests.tolerances import TOLERANCES
from tests.torch.test_triton import CASES, Case

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_values_and_gradients(case: Case, dtype: torch.dtype) -> None:
    _, function, reference, shapes = case
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(s, generator=generator, dtype=dtype).cuda() for s in shapes]
    found = []
    for call in (function, reference):
        leaves = [x.clone().requires_grad_() for x in data]
        value = call(*leaves)
        found.append([value.detach(), *torch.autograd.grad(value.sum(), leaves)])
    relative, absolute = TOLERANCES["f64" if dtype == torch.float64 else "f32", "gradient"]
    torch.testing.assert_close(found[0], found[1], rtol=relative, atol=absolute)


def test_a_graph_captures_a_loss_and_its_gradient() -> None:
    logits = torch.randn(64, 1000, device="cuda", requires_grad=True)
    labels = torch.randint(1000, (64,), device="cuda")
    function: Any = losses.cross_entropy

    def step() -> torch.Tensor:
        (gradient,) = torch.autograd.grad(function(logits, labels), logits)
        return gradient

    wanted = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    graph.replay()
    torch.testing.assert_close(found, wanted)
