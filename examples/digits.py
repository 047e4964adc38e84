"""Two classifiers of scikit-learn's 8x8 digits, trained on tdsl's gradients and NumPy alone.

Softmax regression, then a perceptron with one hidden layer: full-batch gradient descent with momentum.
Run it with `python examples/digits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import tdsl

Array = NDArray[np.float32]
Batch = tuple[Array, NDArray[np.int64]]

MODELS = tdsl.compile(
    """
def nll(logits: T[N, V], label: i64[N]) -> T:
    return mean(logsumexp(logits, axis=V) - take(logits, label, axis=V))

def regression(x: f32[N, D], w: f32[D, V], b: f32[V]) -> f32[N, V]:
    return x @ w + b

def regression_loss(x: f32[N, D], label: i64[N], w: f32[D, V], b: f32[V]) -> f32:
    return nll(regression(x, w, b), label)

def perceptron(x: f32[N, D], w: f32[D, H], b: f32[H], v: f32[H, V], c: f32[V]) -> f32[N, V]:
    return relu(x @ w + b) @ v + c

def perceptron_loss(
    x: f32[N, D], label: i64[N], w: f32[D, H], b: f32[H], v: f32[H, V], c: f32[V]
) -> f32:
    return nll(perceptron(x, w, b, v, c), label)
""",
    "digits",
)
WEIGHTS = {"regression": ("w", "b"), "perceptron": ("w", "b", "v", "c")}
STEPS = {"regression": 200, "perceptron": 200}
RATE, MOMENTUM = 0.5, 0.9


def digits() -> tuple[Batch, Batch]:
    """The training and the test set, every fourth digit: 64 pixels in [0, 1], and the class."""
    pixels, classes = load_digits(return_X_y=True)
    x, label = (pixels / 16).astype(np.float32), classes.astype(np.int64)
    test = np.arange(len(x)) % 4 == 0
    return (x[~test], label[~test]), (x[test], label[test])


def initial(model: str, hidden: int = 32, seed: int = 0) -> list[Array]:
    """Matrices of variance 2 / fan-in, and zeros for the biases."""
    rng = np.random.default_rng(seed)
    sizes = {"regression": (64, 10), "perceptron": (64, hidden, 10)}[model]
    weights: list[Array] = []
    for fan_in, fan_out in pairwise(sizes):
        matrix = rng.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)
        weights += [matrix.astype(np.float32), np.zeros(fan_out, np.float32)]
    return weights


def train(model: str, weights: list[Array], batch: Batch) -> Iterator[tuple[float, list[Array]]]:
    """For each step of gradient descent, the loss before it and the weights after it."""
    step = tdsl.value_and_grad(getattr(MODELS, f"{model}_loss"), wrt=WEIGHTS[model])
    velocity = [np.zeros_like(w) for w in weights]
    for _ in range(STEPS[model]):
        loss, gradients = step(*batch, *weights)
        velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
        weights = [w - RATE * v for w, v in zip(weights, velocity, strict=True)]
        yield float(loss), weights


def accuracy(model: str, weights: list[Array], batch: Batch) -> float:
    """The share of digits that the model classifies rightly."""
    x, label = batch
    logits = getattr(MODELS, model)(x, *weights)
    return float(np.mean(np.argmax(logits, axis=1) == label))


def main() -> None:
    """Train both, and print the loss on the way and the accuracy at the end."""
    training, test = digits()
    for model in WEIGHTS:
        weights = initial(model)
        for count, (loss, stepped) in enumerate(train(model, weights, training)):
            weights = stepped
            if count % 20 == 0:
                print(f"{model} step {count:3d}: loss {loss:.4f}")
        print(f"{model} test accuracy: {accuracy(model, weights, test):.2%}")


if __name__ == "__main__":
    main()
