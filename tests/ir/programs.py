"""Functions for the tests of the text form: samples of operations, elaborated programs, their vjps."""

from __future__ import annotations

from pathlib import Path

from tdsl.ir.dtype import DTYPES
from tdsl.ir.function import Function, Param, Result
from tdsl.ir.node import Node, topological
from tdsl.syntax.elaboration.entry import elaborate, function_names
from tdsl.syntax.elaboration.program import load_program

KERNELS = Path(__file__).parent.parent.parent / "kernels"

PROGRAM = """
def rms_norm(x: T[*B, D], w: T[D], eps: float = 1e-6) -> T[*B, D]:
    rstd = rsqrt(mean(x * x, axis=D) + eps)
    return x * rstd * w

def cross_entropy(x: T[N, V], t: i64[N]) -> T[N]:
    m = max(x, axis=V)
    return log(sum(exp(x - m), axis=V)) + m - take(x, t, axis=V)

def rotate(x: f32[N, 2 * H]) -> f32[N, 2 * H]:
    return concat((-x[:, H:], x[:, :H]), axis=1)

def mixed(x: T[N, 1], y: U[N]) -> f32[N]:
    check = cast(x, f32)
    function = cast(y, f32)
    return check[:, 0] * function[:] + inf

def middle(x: f32[N]) -> f32[N // 2]:
    return x[N // 4 : N // 4 + N // 2]

def scaled(x: f32[N], y: f32) -> f32[N]:
    return x * y

@vjp_of(scaled)
def scaled_vjp(x: f32[N], y: f32, out: f32[N], ct: f32[N]) -> (f32[N], f32):
    return ct * y, sum(ct * x, axis=N)

def twice(x: f32[N], y: f32) -> f32[N]:
    return scaled(scaled(x, y), y)
"""


def whole(node: Node, name: str = "sample") -> Function:
    """The function that gives the node."""
    inputs = [n for n in topological([node]) if n.op.family == "input"]
    params = tuple(Param(n["name"], n.axes, n) for n in inputs)
    return Function(name, params, (Result(node.axes, node),))


def elaborated(name: str, text: str = PROGRAM, *, dtype: str | None = None) -> Function:
    """A function of a program; `dtype` is what its variables T and U are."""
    dtypes = {} if dtype is None else {"T": DTYPES[dtype], "U": DTYPES[dtype]}
    return elaborate(load_program(text, "programs.tdsl"), name, dtypes=dtypes)


def names(text: str = PROGRAM) -> tuple[str, ...]:
    """The functions of a program."""
    return function_names(load_program(text, "programs.tdsl"))
