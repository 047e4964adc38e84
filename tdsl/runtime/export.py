"""A function as one file that runs without tdsl: its kernels, forward and backward.

In: a function, specs of its arguments and static values. Out: the text of the file. Between: specs choose
dtypes, ranks and the class of sizes that the kernels are for; sizes stay run-time values. Without specs a
dtype variable is f32 (i64, where it must be an integer), and every axis has 1024 elements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from tdsl import faults
from tdsl.backends.triton.export import print_export
from tdsl.backends.triton.export_functions import Export
from tdsl.backends.triton.export_runtime import HELPERS
from tdsl.backends.triton.export_sizes import is_reserved
from tdsl.backends.triton.helpers import HELPERS as KERNEL_HELPERS
from tdsl.errors import TdslError
from tdsl.ir.dtype import F32, I64, Dtype, may_be_float
from tdsl.ir.function import Function as Graph
from tdsl.runtime.binding import bind, positional
from tdsl.runtime.call import Target, static_values
from tdsl.runtime.kernels import Wish
from tdsl.runtime.lowered import lower
from tdsl.runtime.pipeline import Choice, compile_function, flatten
from tdsl.syntax import ast
from tdsl.syntax.elaboration.entry import Parameter, constants
from tdsl.syntax.elaboration.program import Program
from tdsl.syntax.elaboration.types import expr_text
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.partition import partition

PLAIN_SIZE = 1024


def export(
    target: Target,
    specs: Sequence[Any],
    keywords: Mapping[str, Any],
    grad: bool | str | Sequence[str] | None = None,
) -> str:
    """The file's text; with gradients of the parameters that `grad` names, or of all for True.

    Raises TdslError as a call would, and for what has no kernels.
    """
    if target.derivations:
        raise faults.NO_EXPORT.at(
            name=target.definition.name,
            reason="it is a derivative: export the function with --grad",
        )
    wish = Wish(grad, "triton")
    tensors = [p for p in target.signature.parameters if p.is_tensor]
    names = [p.name for p in positional(target.signature, takes_cotangents=False)]
    given = {*names[: len(specs)], *keywords}
    if given.isdisjoint(p.name for p in tensors):
        forward, backward, sizes = _plain(target, keywords, wish)
    else:
        lowered = lower(target, specs, keywords, wish)
        forward, backward, sizes = lowered.graph, lowered.backward, lowered.sizes
    _require_names(forward)
    _require_operations(forward, backward)
    statics = _statics(target, dict(zip(names, specs, strict=False)) | dict(keywords))
    return print_export(_export(target, forward, backward, sizes, wish, statics))


def _plain(
    target: Target, keywords: Mapping[str, Any], wish: Wish
) -> tuple[Graph, Graph | None, Mapping[str, int]]:
    """The graphs without specs: every variable f32, or i64 where it must be an integer."""
    signature = target.signature
    tensors = tuple(p for p in signature.parameters if p.is_tensor and not p.is_optional)
    for parameter in tensors:
        if parameter.pack is not None:
            note = f"`{parameter.name}` has any number of axes: `*{parameter.pack}`"
            hint = "give specs: --arg NAME=f32[4096,2048]"
            raise faults.NO_KERNELS.at(note=note, hint=hint)
    own = replace(signature, parameters=tuple(p for p in signature.parameters if not p.is_tensor))
    values = list(keywords.values())
    statics = static_values(own, bind(own, values, list(keywords)), values)
    choice = Choice(statics, {}, frozenset(p.name for p in tensors))
    source, name = target.definition.source, target.definition.name
    variables = compile_function(source, name, target.derivations, choice).dtype_vars
    dtypes = {variable: I64 if kind == "int" else F32 for variable, kind in variables}
    graph = compile_function(source, name, target.derivations, replace(choice, dtypes=dtypes))
    flat = flatten(graph)
    sizes = {n: PLAIN_SIZE for p in flat.params for size in p.shape for n in size.names()}
    backward = flatten(vjp(graph, wish.wrt)) if wish.grad else None
    return flat, backward, sizes


def _export(
    target: Target,
    forward: Graph,
    backward: Graph | None,
    sizes: Mapping[str, int],
    wish: Wish,
    statics: Sequence[str],
) -> Export:
    count = len(forward.results)
    kept: tuple[str, ...] = ()
    saved: tuple[int, ...] = ()
    wrt = wish.wrt or tuple(p.name for p in forward.params if may_be_float(p.dtype))
    if backward is not None:
        split = partition(forward, backward)
        forward, kept, saved = split.forward, split.kept, split.saved
        backward = replace(split.backward, name=forward.name)
    program, name = target.definition.source, target.definition.name
    shown = [
        f"{p.name}: {p.dtype}[{', '.join(str(s.evaluate(sizes)) for s in p.shape)}]"
        for p in forward.params
    ]
    facts = [f"The kernels were chosen for {', '.join(shown)}."]
    if statics:
        facts.append(f"Compiled in: {', '.join(statics)}.")
    parameters = {p.name: p for p in target.signature.parameters}
    defaults = {
        p.name: expr_text(default)
        for p in forward.params
        if (default := parameters[p.name].default) is not None and not p.shape
        and not parameters[p.name].is_optional
    }  # fmt: skip
    return Export(
        forward, count, backward, kept, saved, wrt if backward is not None else (), sizes,
        target.signature.doc or name, source_of(program, name), PurePath(program.module.file).name,
        tuple(facts), defaults,
    )  # fmt: skip


def _statics(target: Target, given: Mapping[str, Any]) -> list[str]:
    """Each static parameter with its value."""
    known = constants(target.definition.source)

    def shown(parameter: Parameter) -> str:
        match parameter.default:
            case _ if parameter.name in given:
                return repr(given[parameter.name])
            case ast.String(value=value) | ast.Boolean(value=value):
                return repr(value)
            case ast.Name(id=name) if name in known:
                return repr(known[name])
            case None:
                return ""
            case default:
                return expr_text(default)

    own = [p for p in target.signature.parameters if not p.is_tensor]
    return [f"{p.name} = {shown(p)}" for p in own]


def source_of(program: Program, name: str) -> str:
    """The text of a function, with its decorators."""
    lines = program.module.text.replace("\r\n", "\n").split("\n")
    first = end = program.functions[name].span.line - 1
    while first and lines[first - 1].startswith("@"):
        first -= 1
    while end + 1 < len(lines) and not re.match(r"[\w@#\"']", lines[end + 1]):
        end += 1
    return "\n".join(lines[first : end + 1]).rstrip()


def _require_names(graph: Graph) -> None:
    """Refuse names that mean something else in the file. Raises TdslError."""
    if not graph.params:
        raise _refusal(graph, "it has no tensor parameter")
    helpers = HELPERS.keys() | KERNEL_HELPERS.keys()
    for name in (graph.name, *(p.name for p in graph.params)):
        if is_reserved(name) or name in HELPERS or (name == graph.name and name in helpers):
            raise _refusal(graph, f"`{name}` has a meaning in the generated Python file")


def _require_operations(forward: Graph, backward: Graph | None) -> None:
    """Refuse operations that no kernel computes. Raises TdslError."""
    for node in (*forward.nodes(), *(backward.nodes() if backward else ())):
        op = node.op
        spelled = op.triton if isinstance(op.triton, str) else op.triton.get(_kind(node), "")
        if op.name == "recurrence" or (
            op.family == "pointwise" and not (spelled or op.is_view or _is_open(op.triton))
        ):
            raise _refusal(forward, f"no kernel computes `{op.name}`")


def _kind(node: Any) -> str:
    dtype = node.operands[0].dtype
    return dtype.kind if isinstance(dtype, Dtype) else ""


def _is_open(spelling: Any) -> bool:
    return not isinstance(spelling, str) and "" in spelling


def _refusal(graph: Graph, reason: str) -> TdslError:
    return faults.NO_EXPORT.at(name=graph.name, reason=reason)
