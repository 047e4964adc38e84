"""Library calls of a Plan on torch tensors: products, and sums by index.

In: a `LibraryCall` and the buffers. Out: the result, in its buffer. Between: operands are viewed, never
copied, where torch's product takes their layout and they do not run backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from tdsl.backends.arrays import at_one
from tdsl.backends.triton.products import product_into
from tdsl.errors import InternalError
from tdsl.fusion.kernel import access
from tdsl.fusion.normalise import base_of
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.node import Node
from tdsl.ir.size import Size
from tdsl.ops import dot, input_, scatter

Tensor = torch.Tensor


def library_call(
    step: LibraryCall, memory: Mapping[str, Tensor], size: Callable[[Size], int]
) -> None:
    """Run the call."""
    shapes = {read.node: read.shape for read in step.reads}
    operands = [_operand(node, memory, shapes, size) for node in step.node.operands]
    targets = [_view(memory[s.buffer], s.places, step.node.axes, size) for s in step.stores]
    if step.node.op is dot:
        first, turned = targets[0]
        value = torch.empty_like(first) if turned else first
        a, b = operands
        product_into(step.node, a, b, value)
        targets = targets if turned else targets[1:]
    elif step.node.op is scatter:
        value = _scattered(step.node, operands, size)
    else:
        raise InternalError(f"no library call for `{step.node.op}`")
    for view, turned in targets:
        view.copy_(value.flip(turned) if turned else value)


def _operand(
    node: Node,
    memory: Mapping[str, Tensor],
    shapes: Mapping[Node, tuple[Size, ...]],
    size: Callable[[Size], int],
) -> Tensor:
    """The operand's view of its buffer, in the order of the node's axes: places are linear in them."""
    base = base_of(node)
    if base.op is not input_:
        raise InternalError(f"a library call reads `{base.op}`")
    places = access(node, shapes[base]).places
    view, turned = _view(memory[base["name"]], places, node.axes, size)
    return view.flip(turned) if turned else view


def _view(
    tensor: Tensor, places: Sequence[Size], axes: Sequence[Size], size: Callable[[Size], int]
) -> tuple[Tensor, list[int]]:
    """The tensor along the axes, and those along which it runs backwards: torch has no such views.

    The place along each of the tensor's own axes is linear in the indices.
    """
    start, steps = tensor.storage_offset(), dict.fromkeys(axes, 0)
    for place, step in zip(places, tensor.stride(), strict=True):
        start += step * size(at_one(place, None))
        for axis in axes:
            steps[axis] += step * (size(at_one(place, axis)) - size(at_one(place, None)))
    shape = [size(axis) for axis in axes]
    if not all(shape):
        return tensor.new_empty(shape), []
    start += sum((size(axis) - 1) * step for axis, step in steps.items() if step < 0)
    turned = [place for place, step in enumerate(steps.values()) if step < 0]
    return tensor.as_strided(shape, [abs(step) for step in steps.values()], start), turned


def _scattered(node: Node, operands: list[Tensor], size: Callable[[Size], int]) -> Tensor:
    """Sums by index: sorted by torch, so that the order of the additions does not vary."""
    values, at = node.operands
    axis, sums = node["axis"], node["sums"]
    x, i = operands
    if axis in values.axes and axis not in sums:
        raise InternalError("a scatter of values that vary along its axis")
    shared = [a for a in at.axes if a not in sums]
    rest = [a for a in values.axes if a not in sums and a not in shared]
    points = [*sums, *shared]
    order = [*points, *rest]
    x = _spread(x, values, order, size)
    i = _spread(i, at, points, size)
    count = size(axis)
    inside = (i >= 0) & (i < count)
    i = torch.where(inside, i, count).long()
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    shape = [*(size(a) for a in shared), count + 1, *(size(a) for a in rest)]
    out = torch.zeros(shape, dtype=dtype, device=x.device)
    grids = []
    for number, a in enumerate(points):
        if a in shared:
            view = [1] * len(points)
            view[number] = -1
            grids.append(torch.arange(size(a), device=x.device).view(view).expand(i.shape))
    out.index_put_((*grids, i), x.to(dtype), accumulate=True)
    out = out.narrow(len(shared), 0, count)
    found = [*shared, axis, *rest]
    return out.permute([found.index(a) for a in node.axes])


def _spread(x: Tensor, node: Node, axes: list[Size], size: Callable[[Size], int]) -> Tensor:
    """The tensor with all of the axes, in order."""
    kept = [a for a in axes if a in node.axes]
    x = x.permute([node.axes.index(a) for a in kept])
    for place, a in enumerate(axes):
        if a not in node.axes:
            x = x.unsqueeze(place)
    return x.expand([size(a) for a in axes])
