"""A graph as plain torch: what the test of an exported file compares with.

In: a flat Function. Out: statements, and an expression for each result. Between: a tensor's dims are its
node's axes, in order; one statement stands for each operation, so that torch's autograd differentiates
what the language defines. Casts of floats to integers are torch's, which do not saturate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tdsl.backends.triton.export_gather import gathered, scattered
from tdsl.backends.triton.export_library import einsum_letters
from tdsl.backends.triton.export_sizes import (
    SizeNames,
    in_parentheses,
    literal,
    number_text,
    torch_name,
    tuple_text,
)
from tdsl.backends.triton.literals import kind_of
from tdsl.errors import InternalError
from tdsl.ir.dtype import BF16, BOOL, F16, Dtype
from tdsl.ir.function import Function, Result
from tdsl.ir.node import Node
from tdsl.ir.size import Axis
from tdsl.ops import cast, constant, dot, index, input_, polygamma, scatter, size_, take
from tdsl.ops.base import unique_axes

INFIX: dict[str, str] = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "neg": "-{0}", "equal": "{0} == {1}", "not_equal": "{0} != {1}",
    "less": "{0} < {1}", "less_equal": "{0} <= {1}", "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}", "bitand": "{0} & {1}", "bitor": "{0} | {1}",
    "bitxor": "{0} ^ {1}", "bitnot": "~{0}",
}  # fmt: skip
"""Operations that torch spells with an operator, which takes numbers as well as tensors."""
_UNARY = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "abs", "sign", "floor",
    "ceil", "trunc", "round", "isnan", "isinf", "isfinite", "erf", "erfc", "erfinv", "lgamma",
    "digamma",
)  # fmt: skip
CALLS: dict[str, str] = {
    **{name: f"torch.{name}({{0}})" for name in _UNARY},
    "where": "torch.where({0}, {1}, {2})", "clamp": "torch.clamp({0}, {1}, {2})",
    "maximum": "torch.maximum({0}, {1})", "minimum": "torch.minimum({0}, {1})",
    "pow": "torch.pow({0}, {1})", "atan2": "torch.atan2({0}, {1})",
    "cbrt": "torch.sign({0}) * torch.abs({0}) ** (1 / 3)",
    "floordiv": "torch.floor({0} / {1})", "remainder": "torch.remainder({0}, {1})",
    "fmod": "torch.fmod({0}, {1})", "polygamma": "torch.polygamma({n}, {0})",
    "stop_gradient": "{0}.detach()", "checkpoint": "{0}", "save": "{0}", "cast": "{0}.to({dtype})",
    "shift_left": "torch.where(({1} >= 0) & ({1} < {bits}), {0} << {1}.clamp(0, {bits} - 1), 0)",
    "shift_right": "{0} >> torch.where({1} < 0, {bits} - 1, {1}.clamp(0, {bits} - 1))",
}  # fmt: skip
INTEGERS: dict[str, str] = {
    "floordiv": 'torch.where({1} == 0, 0, torch.div({0}, {1} + ({1} == 0), rounding_mode="floor"))',
    "remainder": "torch.where({1} == 0, 0, torch.remainder({0}, {1} + ({1} == 0)))",
    "fmod": "torch.where({1} == 0, 0, torch.fmod({0}, {1} + ({1} == 0)))",
}
"""What differs for integers, where torch refuses to divide by 0."""
REDUCTIONS: dict[str, str] = {
    "sum": "{0}.sum(dim={dims}, dtype={dtype})", "max": "{0}.amax(dim={dims})",
    "min": "{0}.amin(dim={dims})", "any": "{0}.any(dim={dims})", "all": "{0}.all(dim={dims})",
    "prod": "{0}.prod(dim={dim}, dtype={dtype})", "argmax": "{0}.argmax(dim=-1)",
    "argmin": "{0}.argmin(dim=-1)",
}  # fmt: skip
SCANS: dict[str, str] = {
    "cumsum": "{0}.cumsum(dim={dim}, dtype={dtype})", "cummax": "{0}.cummax(dim={dim}).values",
    "cumprod": "{0}.cumprod(dim={dim}, dtype={dtype})",
    "logcumsumexp": "{0}.logcumsumexp(dim={dim})",
}  # fmt: skip
NO_SPELLING = {
    "recurrence": "torch has no linear recurrence, and no kernel of ours computes it yet"
}
"""Operations without a spelling in torch, and why."""


@dataclass
class Reference:
    """Statements of the function, over parameters and the sizes of axes."""

    function: Function
    names: SizeNames
    lines: list[str] = field(default_factory=list)
    text: dict[Node, str] = field(default_factory=dict)
    numbers: set[Node] = field(default_factory=set)

    def results(self) -> list[str]:
        """Append a statement for each operation; the expression of each result."""
        for param in self.function.params:
            units = [size.constant == 1 for size in param.shape]
            sizes = [size for size in param.shape if size.constant != 1]
            flat = f"{param.name}.reshape({self.names.shape(sizes)})"
            self.text[param.node] = flat if any(units) else param.name
        for node in self.function.nodes():
            if node not in self.text:
                self._node(node)
        return [self._result(result) for result in self.function.results]

    def device(self) -> str:
        """Where new tensors are made."""
        return f"{self.function.params[0].name}.device" if self.function.params else '"cpu"'

    def _result(self, result: Result) -> str:
        axes = tuple(size for size in result.shape if size.constant != 1)
        text = self._aligned(result.node, axes)
        if len(axes) != len(result.shape) or set(axes) != set(result.node.axes):
            return (
                f"{text}.expand({self.names.shape(axes)}).reshape({self.names.shape(result.shape)})"
            )
        return text

    def _node(self, node: Node) -> None:
        number = None if node.axes else self._number(node)
        if number is not None:
            self.text[node] = number
            self.numbers.add(node)
            return
        text = self._spelled(node)
        origin = self.function.origins.get(node)
        base = origin.name if origin and origin.name.isidentifier() else f"v{len(self.lines)}"
        name = self.names.fresh(base)
        self.lines.append(f"{name} = {text}")
        self.text[node] = name

    def _number(self, node: Node) -> str | None:
        """The node as a number of Python, if nothing but constants and sizes is in it."""
        if node.op is constant:
            value = node["value"]
            kind = kind_of(node.dtype)
            return literal(bool(value) if kind == "bool" else value)
        known = node.op in (size_, cast) or node.op.family == "pointwise"
        if node.op is size_ or (known and all(o in self.numbers for o in node.operands)):
            return number_text(node, self.names)
        return None

    def _spelled(self, node: Node) -> str:
        if node.op is input_:
            raise InternalError(f"the input `{node['name']}` belongs to no parameter")
        if node.op.family == "pointwise":
            return self._pointwise(node)
        if node.op.family == "reduction":
            return self._reduction(node)
        if node.op.family == "scan":
            return self._scan(node)
        if node.op is dot:
            return self._product(node)
        if node.op in (index, take):
            return gathered(node, self)
        if node.op is scatter:
            return scattered(node, self)
        return f"torch.arange({self.names.text(node['axis'])}, device={self.device()})"

    def _pointwise(self, node: Node) -> str:
        operands = [self._aligned(operand, node.axes) for operand in node.operands]
        name = node.op.name
        if name in INFIX:
            if all(operand in self.numbers for operand in node.operands):
                operands[0] = self.tensor(node.operands[0])
            return INFIX[name].format(*map(in_parentheses, operands))
        _, *others = (operand in self.numbers for operand in node.operands)
        is_plain = {"where": not all(others), "pow": True, "clamp": all(others)}.get(name, False)
        for place, operand in enumerate(node.operands):
            if operand in self.numbers and not (is_plain and (place or name == "pow")):
                operands[place] = self.tensor(operand)
        spelling = CALLS[name]
        if kind_of(node.operands[0].dtype) != "float":
            spelling = INTEGERS.get(name, spelling)
        bits = node.dtype.bits if isinstance(node.dtype, Dtype) else 0
        if node.op is cast and node.dtype == BOOL:
            return f"{operands[0]} != 0"
        order = node["n"] if node.op is polygamma else ""
        return spelling.format(*operands, dtype=torch_name(node.dtype), bits=bits, n=order)

    def tensor(self, node: Node) -> str:
        """The value as a tensor, also where it is a number."""
        if node not in self.numbers:
            return self.text[node]
        options = f"dtype={torch_name(node.dtype)}, device={self.device()}"
        return f"torch.tensor({self.text[node]}, {options})"

    def _aligned(self, node: Node, axes: tuple[Axis, ...]) -> str:
        """The value's dims in the order of the axes, 1 where it has none."""
        text, own = self.text[node], [axis for axis in axes if axis in node.axes]
        if own != list(node.axes):
            text += f".permute({', '.join(str(node.axes.index(axis)) for axis in own)})"
        kept = [":" if axis in node.axes else "None" for axis in axes]
        while kept and kept[0] == "None":
            kept.pop(0)
        return f"{text}[{', '.join(kept)}]" if "None" in kept else text

    def full(self, node: Node, axes: tuple[Axis, ...]) -> str:
        """The value with all of these axes, in order."""
        if node in self.numbers:
            return f"{self.tensor(node)}.expand({self.names.shape(axes)})"
        text = self._aligned(node, axes)
        return text if set(axes) <= set(node.axes) else f"{text}.expand({self.names.shape(axes)})"

    def _reduction(self, node: Node) -> str:
        (x,) = node.operands
        axes, dtype = unique_axes(x.axes, node["axes"]), torch_name(node.dtype)
        dims = [axes.index(axis) for axis in node["axes"]]
        if node.op.name.startswith("arg"):
            text = self.full(x, (*node.axes, *node["axes"]))
            text = f"{text}.int()" if x.dtype == BOOL else text
            text = f"{text}.flatten(start_dim={len(node.axes)})" if len(dims) > 1 else text
            return REDUCTIONS[node.op.name].format(text)
        text = self.full(x, axes) if dims else self._aligned(x, axes)
        if not dims:
            return f"{text}.to({dtype})"
        for dim in sorted(dims, reverse=True) if node.op.name == "prod" else [0]:
            text = REDUCTIONS[node.op.name].format(text, dims=_dims(dims), dim=dim, dtype=dtype)
        return text if dtype != torch_name(x.dtype) else text.replace(f", dtype={dtype}", "")

    def _scan(self, node: Node) -> str:
        (x,) = node.operands
        dim, dtype = node.axes.index(node["axis"]), torch_name(node.dtype)
        text, turned = self.full(x, node.axes), f".flip({dim})" if node["reverse"] else ""
        return SCANS[node.op.name].format(text + turned, dim=dim, dtype=dtype) + turned

    def _product(self, node: Node) -> str:
        operands = [
            self.tensor(o) + (".float()" if o.dtype in (F16, BF16) else "") for o in node.operands
        ]
        text = f'torch.einsum("{einsum_letters(node)}", {", ".join(operands)})'
        every = {axis for operand in node.operands for axis in operand.axes}
        for axis in node["axes"]:
            text += f" * {self.names.factor(axis)}" if axis not in every else ""
        return text


def _dims(dims: list[int]) -> str:
    return str(dims[0]) if len(dims) == 1 else tuple_text([str(dim) for dim in sorted(dims)])
