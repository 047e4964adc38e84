"""Save or recompute: what the forward pass keeps for the backward pass.

In: a flat Function and its flat pullback, with concrete dtypes. Out: a `Split`: the forward pass with what
it saves as further results, and the backward pass of inputs, saved values and cotangents. Between: both
compute what the two given Functions compute; what is saved is decided by sizes and dtypes alone.

The values that the backward pass needs and that do not depend on cotangents form a graph from the inputs.
A cut through it is a choice of what to keep; its weight is the bytes that are written and read for it.
The lightest one is a minimum cut (Ford and Fulkerson, "Maximal flow through a network", 1956), where an
input costs its reading, arithmetic is free to repeat, and a reduction, a scan, a product or a gather
must not be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tdsl.ir.dtype import item_bytes
from tdsl.ir.function import Function, Param, Result, Shape, unit_free
from tdsl.ir.index_map import IndexMap
from tdsl.ir.node import Node, topological
from tdsl.ir.rewrite import substitute
from tdsl.ir.size import Size
from tdsl.ops import checkpoint, input_, save

REFERENCE = 4096
"""The value that every free size has where the bytes of alternatives are compared."""
REPEATABLE = ("pointwise", "index", "constant")
ENDLESS = 1 << 60

_Flow = dict[int, dict[int, int]]


@dataclass(frozen=True, slots=True)
class Split:
    """A forward pass, whose results after those asked for are kept, and the backward pass.

    The backward takes the parameters named in `kept`, then the results numbered in `saved`, then
    cotangents.
    """

    forward: Function
    backward: Function
    kept: tuple[str, ...]
    saved: tuple[int, ...]


def partition(forward: Function, backward: Function) -> Split:
    """The two passes, with the fewest bytes between them."""
    names = {param.name for param in forward.params}
    inputs = {param.node for param in backward.params if param.name in names}
    cotangents = {param.node for param in backward.params} - inputs
    kept = _lightest(forward, backward, inputs, cotangents)
    values = [node for node in kept if node not in inputs]
    results, places = _outputs(forward, values)
    saved = _params(values, [results[i].shape for i in places], backward, names)
    old = dict(zip(values, (param.node for param in saved), strict=True))
    roots = substitute([result.node for result in backward.results], old)
    needed = set(topological(roots))
    late = [p for p in backward.params if p.node in cotangents]
    shapes = [size for p in (*saved, *late) for size in p.shape]
    own = _own([p for p in backward.params if p.node in inputs], needed, shapes, backward)
    gradients = tuple(
        Result(result.shape, root) for result, root in zip(backward.results, roots, strict=True)
    )
    return Split(
        replace(forward, results=results, origins={**backward.origins, **forward.origins}),
        replace(backward, params=(*own, *saved, *late), results=gradients),
        tuple(p.name for p in own),
        places,
    )


def _own(
    params: Sequence[Param], needed: Collection[Node], shapes: Sequence[Size], backward: Function
) -> list[Param]:
    """The parameters that are read, and those without which the size of an axis would not be known."""
    known = {name for size in shapes for name in size.names()}
    known |= {n for p in params if p.node in needed for size in p.shape for n in size.names()}
    wanted = {name for size in _sizes(needed, backward) for name in size.names()}
    own = []
    for param in params:
        brings = {name for size in param.shape for name in size.names()} & (wanted - known)
        if param.node in needed or brings:
            own.append(param)
            known |= brings
    return own


def _sizes(needed: Collection[Node], backward: Function) -> list[Size]:
    """Every size that stands in a pass."""
    found = [size for result in backward.results for size in result.shape]
    for node in needed:
        found += node.axes
        for _, value in node.attrs:
            if isinstance(value, Size):
                found.append(value)
            elif isinstance(value, IndexMap):
                for piece in value.pieces:
                    found += [size for pair in piece.exprs for size in pair]
    return found


def _outputs(
    forward: Function, values: Sequence[Node]
) -> tuple[tuple[Result, ...], tuple[int, ...]]:
    """The forward's results with those to be saved, and the place of each; none is stored twice."""
    results = list(forward.results)
    places = []
    for node in values:
        found = next((i for i, r in enumerate(results) if r.node is node and _is_whole(r)), None)
        if found is None:
            found = len(results)
            results.append(Result(node.axes, node))
        places.append(found)
    return tuple(results), tuple(places)


def _is_whole(result: Result) -> bool:
    """Whether the array holds the node's values and nothing twice."""
    return set(unit_free(result.shape)) == set(result.node.axes)


def _lightest(
    forward: Function, backward: Function, inputs: set[Node], cotangents: set[Node]
) -> list[Node]:
    """The inputs and values to keep, in the order in which they are computed."""
    order = backward.nodes()
    late, early = set(cotangents), set(inputs)
    for node in order:
        if any(operand in late for operand in node.operands):
            late.add(node)
        elif any(operand in early for operand in node.operands):
            early.add(node)
    place = {node: i for i, node in enumerate(n for n in order if n in early)}
    wanted = {o for node in order if node in late for o in node.operands if o in early}
    wanted |= {result.node for result in backward.results if result.node in early}
    free = {result.node for result in forward.results}
    flow: _Flow = {}
    for node, i in place.items():
        starts = node in inputs or node.op.family not in REPEATABLE or node.op is save
        _edge(flow, 2 * i, 2 * i + 1, _weight(node, inputs, free))
        if starts:
            _edge(flow, SOURCE, 2 * i, ENDLESS)
        if node in wanted:
            _edge(flow, 2 * i + 1, SINK, ENDLESS)
        for operand in node.operands:
            if operand in place:
                _edge(flow, 2 * place[operand] + 1, 2 * i, ENDLESS)
    reached = _saturate(flow)
    return [node for node, i in place.items() if 2 * i in reached and 2 * i + 1 not in reached]


SOURCE, SINK = -1, -2


def _weight(node: Node, inputs: set[Node], free: set[Node]) -> int:
    """The bytes moved if the value is kept: written and read; what is there anyway is only read."""
    if node.op is checkpoint:
        return ENDLESS
    count = 1
    for axis in node.axes:
        count *= axis.evaluate(dict.fromkeys(axis.names(), REFERENCE))
    once = count * item_bytes(node.dtype)
    return once + 1 if node in inputs or node in free else 2 * once + 1


def _params(
    values: Sequence[Node], shapes: Sequence[Shape], backward: Function, taken: Iterable[str]
) -> list[Param]:
    """A parameter for each saved value, called as in the source where it can be."""
    known = {*taken, *(param.name for param in backward.params)}
    params = []
    for number, (node, shape) in enumerate(zip(values, shapes, strict=True)):
        origin = backward.origins.get(node)
        name = origin.name if origin and origin.name.isidentifier() else f"saved{number}"
        while name in known:
            name += "_"
        known.add(name)
        read = input_(name=name, dtype=node.dtype, axes=unit_free(shape))
        params.append(Param(name, shape, read))
    return params


def _edge(flow: _Flow, a: int, b: int, capacity: int) -> None:
    flow.setdefault(a, {})[b] = capacity
    flow.setdefault(b, {}).setdefault(a, 0)


def _saturate(flow: _Flow) -> set[int]:
    """Push all flow that goes through; the places that the source still reaches."""
    while True:
        before = _paths(flow)
        if SINK not in before:
            return set(before)
        path = [SINK]
        while path[-1] != SOURCE:
            path.append(before[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        least = min(flow[a][b] for a, b in steps)
        for a, b in steps:
            flow[a][b] -= least
            flow[b][a] += least


def _paths(flow: Mapping[int, Mapping[int, int]]) -> dict[int, int]:
    """For each place that the source reaches, the place before it on a shortest path."""
    before = {SOURCE: SOURCE}
    queue = [SOURCE]
    for a in queue:
        for b, capacity in flow.get(a, {}).items():
            if capacity > 0 and b not in before:
                before[b] = a
                queue.append(b)
    return before
