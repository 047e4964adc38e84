"""The examples learn, and take the steps that torch takes."""

from __future__ import annotations

import runpy
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

digits = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "examples/digits.py")))


def torch_logits(x: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = functional.relu(x @ w + b)
    return x @ weights[-2] + weights[-1]


def torch_losses(weights: list[torch.Tensor], steps: int) -> list[float]:
    x, label = map(torch.from_numpy, digits.digits()[0])
    descent = torch.optim.SGD(weights, lr=digits.RATE, momentum=digits.MOMENTUM)
    losses = []
    for _ in range(steps):
        loss = functional.cross_entropy(torch_logits(x, weights), label)
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("model", "least"), [("regression", 0.94), ("perceptron", 0.95)])
def test_accuracy(model: str, least: float) -> None:
    training, test = digits.digits()
    *_, (_, weights) = digits.train(model, digits.initial(model), training)
    assert digits.accuracy(model, weights, test) >= least


@pytest.mark.parametrize("model", ["regression", "perceptron"])
def test_losses_are_those_of_torch(model: str) -> None:
    weights = digits.initial(model)
    copies = [torch.tensor(w, requires_grad=True) for w in weights]
    losses = [loss for loss, _ in islice(digits.train(model, weights, digits.digits()[0]), 5)]
    np.testing.assert_allclose(losses, torch_losses(copies, 5), rtol=1e-5)


def test_main_reports_both(capsys: pytest.CaptureFixture[str]) -> None:
    digits.main()
    printed = capsys.readouterr().out
    assert "regression test accuracy: 9" in printed
    assert "perceptron test accuracy: 9" in printed
