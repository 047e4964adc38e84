"""Sums of products as one matrix product of torch's, put where the result belongs.

In: a `dot` node, its operands along their nodes' axes, and the view for the result. Out: nothing; the view
is filled. Between: operands are viewed as matrices where their layout allows it, and the product is written
into the view at once where its rows or its columns lie one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import torch

from tdsl.ir.node import Node
from tdsl.ir.size import Axis

Tensor = torch.Tensor
HALVES = (torch.float16, torch.bfloat16)


def product_into(node: Node, a: Tensor, b: Tensor, target: Tensor) -> None:
    """The sum over the node's axes of a * b, accumulated in f32 or wider."""
    (left, right), summed = node.operands, node["axes"]
    batch = [x for x in left.axes if x in right.axes and x not in summed]
    shared = [x for x in left.axes if x in right.axes and x in summed]
    rows = [x for x in left.axes if x not in right.axes and x not in summed]
    columns = [x for x in right.axes if x not in left.axes and x not in summed]
    a, b = _alone(a, left, right, summed), _alone(b, right, left, summed)
    own, other = (
        [x for x in n.axes if x in {*batch, *rows, *columns, *shared}] for n in (left, right)
    )
    x = _matrices(a, own, batch, rows, shared)
    y = _matrices(b, other, batch, shared, columns)
    found = list(node.axes)
    plain = target.permute([found.index(axis) for axis in (*batch, *rows, *columns)])
    turned = target.permute([found.index(axis) for axis in (*batch, *columns, *rows)])
    count = x.shape[0]
    if plain.is_contiguous():
        _multiply(x, y, plain.view(count, x.shape[1], y.shape[2]))
    elif turned.is_contiguous():
        _multiply(y.mT, x.mT, turned.view(count, y.shape[2], x.shape[1]))
    else:
        fresh = target.new_empty(count, x.shape[1], y.shape[2])
        _multiply(x, y, fresh)
        plain.copy_(fresh.view(plain.shape))


def _alone(x: Tensor, own: Node, other: Node, summed: Sequence[Axis]) -> Tensor:
    """An operand summed over what the other one lacks."""
    places = [i for i, axis in enumerate(own.axes) if axis in summed and axis not in other.axes]
    if not places:
        return x
    return x.sum(places, dtype=torch.float32 if x.dtype in HALVES else x.dtype)


def _matrices(
    x: Tensor, axes: list[Axis], batch: list[Axis], first: list[Axis], second: list[Axis]
) -> Tensor:
    """The operand as matrices, one for each element of the batch."""
    sides = dict(zip(axes, x.shape, strict=True))
    shape = [prod(sides[axis] for axis in group) for group in (batch, first, second)]
    return x.permute([axes.index(axis) for axis in (*batch, *first, *second)]).reshape(shape)


def _multiply(x: Tensor, y: Tensor, out: Tensor) -> None:
    """Matrices times matrices; 16 bits are multiplied as they are where the device adds up in f32.

    Autocast is for what a user wrote in torch: it would round what is in f32 here.
    """
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            _multiply(x, y, out)
        return
    if x.dtype != y.dtype or (x.dtype in HALVES and not x.is_cuda):
        x, y = x.to(out.dtype), y.to(out.dtype)
    multiply: Callable[..., Tensor] = torch.bmm
    if x.shape[0] == 1:
        multiply, x, y, out = torch.mm, x[0], y[0], out[0]
    if x.dtype != out.dtype:
        multiply = partial(multiply, out_dtype=out.dtype)
    multiply(x, y, out=out)
