"""Reverse-mode differentiation: from a Function to the Function of its gradients.

In: a Function (dtypes may be generic). Out: `vjp`, `grad` and `value_and_grad` of it, Functions like any
other, simplified, so they are printed, fused and differentiated again.
Between: a cotangent has the compute dtype of its value and no axis that the value lacks; where it lacks
one, it is invariant along it. Rounding has derivative 1, so a gradient is rounded once, at the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tdsl import faults
from tdsl.ir.dtype import compute, may_be_float
from tdsl.ir.function import Function, Param, Result, Shape, unit_free
from tdsl.ir.node import Node, call_key, topological
from tdsl.ops import add, cast_to, constant, input_, unalign
from tdsl.transforms.inline import inline, inline_calls
from tdsl.transforms.linear import simplify_linear
from tdsl.transforms.simplify import simplify
from tdsl.transforms.specialise import assume_floating
from tdsl.transforms.work import STEPS_OF_A_DERIVATIVE, Work

Cotangents = dict[Node, Node]


def vjp(function: Function, wrt: Sequence[str] | None = None) -> Function:
    """The vector-Jacobian product: parameters, then one cotangent for each floating result.

    Results are the gradients of the parameters in `wrt` (None: all that may be floating), in order,
    each with its parameter's dtype and shape. Raises TdslError if a parameter named in `wrt` is not
    floating or has no differentiable path to a result.
    """
    if wrt is not None:
        _require_paths(simplify(function), differentiable_params(function, wrt))
    return pullback(function, wrt)


def pullback(function: Function, wrt: Sequence[str] | None = None) -> Function:
    """`vjp`, where a parameter without a differentiable path gets zeros, as torch's autograd needs."""
    function = simplify(assume_floating(function))
    targets = differentiable_params(function, wrt)
    incoming = _cotangent_params(function)
    seeds = [
        (result.node, _summed(cast_to(param.node, compute(param.dtype)), param.shape, result.node))
        for result, param in zip(_floating(function.results), incoming, strict=True)
    ]
    cotangents = backpropagate(seeds, [param.node for param in targets])
    derived = replace(
        function,
        name=f"{function.name}_vjp",
        params=(*function.params, *incoming),
        results=tuple(_gradient(param, cotangents.get(param.node)) for param in targets),
    )
    return simplify_linear(
        inline_calls(derived),
        source=frozenset(inline_calls(function).nodes()),
        cotangents=[param.node for param in incoming],
    )


def grad(function: Function, wrt: Sequence[str] | None = None) -> Function:
    """The gradients of the one floating rank-0 result, which is what the cotangent 1 gives."""
    return replace(_at_one(function, vjp(function, wrt)), name=f"{function.name}_grad")


def value_and_grad(function: Function, wrt: Sequence[str] | None = None) -> Function:
    """The results of `function`, then the gradients of its one floating rank-0 result."""
    return _with_values(function, grad(function, wrt))


def value_and_pullback(function: Function, wrt: Sequence[str]) -> Function:
    """`value_and_grad`, where a parameter without a differentiable path gets zeros."""
    return _with_values(function, _at_one(function, pullback(function, wrt)))


def _with_values(function: Function, gradients: Function) -> Function:
    values = inline_calls(simplify(assume_floating(function))).results
    return replace(
        gradients,
        name=f"{function.name}_value_and_grad",
        results=(*values, *gradients.results),
    )


def derive(function: Function, kind: str, wrt: Sequence[str] | None, work: Work) -> Function:
    """`grad`, `value_and_grad` or `vjp` of a function, within the budget of a compilation.

    Raises TdslError beyond the budget, and as these do.
    """
    work.spend(STEPS_OF_A_DERIVATIVE * len(function.nodes()))
    return DERIVATIVES[kind](function, wrt)


def differentiable_params(function: Function, wrt: Sequence[str] | None) -> tuple[Param, ...]:
    """The parameters named in `wrt`, in its order; by default all that may be floating."""
    if wrt is None:
        return tuple(p for p in function.params if may_be_float(p.dtype))
    by_name = {param.name: param for param in function.params}
    for name in wrt:
        if name not in by_name:
            names = ", ".join(f"`{n}`" for n in by_name)
            raise faults.WRT_UNKNOWN.at(
                name=name, function=function.name, hint=f"the tensor parameters are {names}"
            )
        if not may_be_float(by_name[name].dtype):
            raise faults.WRT_NOT_FLOAT.at(name=name, dtype=by_name[name].dtype)
    return tuple(by_name[name] for name in wrt)


def backpropagate(seeds: Iterable[tuple[Node, Node]], targets: Sequence[Node]) -> Cotangents:
    """The cotangents of `targets`, given those of some nodes; targets without a path are left out."""
    cotangents: Cotangents = {}
    seeds = list(seeds)
    for node, cotangent in seeds:
        _accumulate(cotangents, node, cotangent)
    order = topological(node for node, _ in seeds)
    active = _active(order, targets)
    done: set[tuple[object, ...]] = set()
    for node in reversed(order):
        if node not in active or node.op.family == "input":
            continue
        if node.op.family == "call":
            if call_key(node) not in done:
                done.add(call_key(node))
                _through_call(node, cotangents, active)
        elif node in cotangents and node.op.adjoint is not None:
            shares = node.op.adjoint(node, cotangents[node])
            for operand, share in zip(node.operands, shares, strict=True):
                if share is not None and operand in active:
                    _accumulate(cotangents, operand, share)
    return {target: cotangents[target] for target in targets if target in cotangents}


def _active(order: Sequence[Node], targets: Sequence[Node]) -> set[Node]:
    """The nodes through which a differentiable path may lead to a target."""
    active = set(targets)
    for node in order:
        passes = node.op.adjoint is not None or node.op.family == "call"
        if passes and may_be_float(node.dtype) and any(o in active for o in node.operands):
            active.add(node)
    return active


def _accumulate(cotangents: Cotangents, node: Node, share: Node) -> None:
    known = cotangents.get(node)
    cotangents[node] = share if known is None else add(known, share)


def _through_call(node: Node, cotangents: Cotangents, active: set[Node]) -> None:
    """Through a function with a hand-written derivative: inline that on operands, results, cotangents."""
    primal, derivative = node["functions"]
    results = [_sibling(node, i) for i in range(len(primal.results))]
    if not any(result in cotangents for result in results):
        return
    incoming = [
        cotangents.get(r, constant(value=0.0, dtype=compute(r.dtype)))
        for r in results
        if may_be_float(r.dtype)
    ]
    shares = inline(derivative, [*node.operands, *results, *incoming])
    floating = [o for o in node.operands if may_be_float(o.dtype)]
    for operand, share, result in zip(floating, shares, derivative.results, strict=True):
        if operand in active:
            wide = cast_to(share, compute(operand.dtype))
            _accumulate(cotangents, operand, _summed(wide, result.shape, operand))


def _summed(cotangent: Node, shape: Shape, node: Node) -> Node:
    """The cotangent of a node from that of its value in this shape: the node may lack axes of it."""
    return unalign(cotangent, unit_free(shape), node)


def _sibling(node: Node, result: int) -> Node:
    return node.op(*node.operands, functions=node["functions"], result=result)


def _floating(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if may_be_float(result.node.dtype)]


def _cotangent_params(function: Function) -> tuple[Param, ...]:
    """One new parameter for each floating result, named `ct` (several: `ct0`, `ct1`, ...)."""
    taken = {param.name for param in function.params}
    floating = _floating(function.results)
    names = ["ct"] if len(floating) == 1 else [f"ct{i}" for i in range(len(floating))]
    params = []
    for name, result in zip(names, floating, strict=True):
        free = name
        while free in taken:
            free += "_"
        taken.add(free)
        node = input_(name=free, dtype=result.node.dtype, axes=unit_free(result.shape))
        params.append(Param(free, result.shape, node))
    return tuple(params)


def _gradient(param: Param, cotangent: Node | None) -> Result:
    if cotangent is None:
        return Result(param.shape, constant(value=0.0, dtype=param.dtype))
    return Result(param.shape, cast_to(cotangent, param.dtype))


def _at_one(function: Function, pullback: Function) -> Function:
    """The pullback with its cotangent set to 1; `function` must have one floating rank-0 result."""
    floating = _floating(function.results)
    if len(floating) != 1 or unit_free(floating[0].shape):
        types = [f"{r.node.dtype}[{', '.join(map(str, r.shape))}]" for r in floating]
        found = " and ".join(types) or "no floating value"
        raise faults.GRAD_NEEDS_SCALAR.at(function=function.name, found=found)
    *params, cotangent = pullback.params
    one = constant(value=1.0, dtype=cotangent.dtype)
    arguments = [*(param.node for param in params), one]
    nodes = inline(pullback, arguments)
    results = tuple(
        Result(old.shape, node) for old, node in zip(pullback.results, nodes, strict=True)
    )
    return simplify(replace(pullback, params=tuple(params), results=results))


def _require_paths(function: Function, targets: Sequence[Param]) -> None:
    """Raise the language's error for a target that no floating result depends on differentiably."""
    roots = [result.node for result in _floating(function.results)]
    for param in targets:
        active = _active(topological(roots), [param.node])
        if not any(root in active for root in roots):
            cut = _cutting_node(function, param.node)
            origin = function.origins.get(cut) if cut is not None else None
            raise faults.NO_GRADIENT_PATH.at(
                origin.span if origin else None,
                name=param.name,
                function=function.name,
                reason=f"`{cut.op.name}` passes no gradient"
                if cut is not None
                else "no floating result depends on it",
            )


def _cutting_node(function: Function, target: Node) -> Node | None:
    """The first operation, in order, that depends on the target and passes no gradient on."""
    reached = {target}
    for node in function.nodes():
        if any(operand in reached for operand in node.operands):
            if node.op.adjoint is None and node.op.family != "call":
                return node
            if not may_be_float(node.dtype):
                return node
            reached.add(node)
    return None


DERIVATIVES = {"grad": grad, "value_and_grad": value_and_grad, "vjp": vjp}
