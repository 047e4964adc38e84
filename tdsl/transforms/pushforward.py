"""Forward mode: from a Function to the Function of its directional derivatives.

In: a Function and the parameters that move. Out: a Function of parameters and tangents. Between: the
pullback is linear in its cotangents, so its own pullback with respect to them is the pushforward
(Townsend, "A new trick for calculating Jacobian vector products", 2017), and does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tdsl.errors import InternalError
from tdsl.ir.function import Function
from tdsl.transforms.differentiate import pullback


def pushforward(function: Function, wrt: Sequence[str]) -> Function:
    """Parameters, then a tangent for each in `wrt`, to the tangents of the floating results."""
    back = pullback(function, wrt)
    count = len(function.params)
    cotangents = back.params[count:]
    forward = pullback(back, [param.name for param in cotangents])
    needed = {*forward.nodes()}
    if any(param.node in needed for param in cotangents):
        raise InternalError(f"the pullback of `{function.name}` is not linear in its cotangents")
    tangents = forward.params[len(back.params) :]
    params = (*forward.params[:count], *tangents)
    return replace(forward, name=f"{function.name}_jvp", params=params)
