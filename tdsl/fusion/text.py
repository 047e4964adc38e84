"""The text form of Plans, Kernels and Schedules, which `tdsl.fusion.reader` reads.

In: a `Plan`, a `Kernel` or a `Schedule`. Out: text, deterministic; values are lines as in the IR's text
form (`tdsl.ir.text`), with the source's names for them. Between: everything that makes two of them equal
is in the text, and exact; the fuser's log is not.

    plan f(x: f32[N, D]) -> out           parameters, and the buffers that are the results
      workspace s: f32[N]                 buffers that the plan allocates, `workspace` or `result`
      position argmax [D]                 axes in which a position is asked for

    kernel f_forward forward              name and stage
      rows [N]                            the layout
      columns [D]
      read x: f32[N, D]
      strides x [2*D, 1]                  where a buffer is not contiguous
      %0 = size(size=D) : i64             values, operands first
      number number0 = %0                 a value that the launcher computes, under its name
      s = sum(x, axes=[D]) : f32[N]
      crossed s                           reductions that run across the rows
      store s in s[N] at [i[N]]           a value, its buffer, and the place in it;
      share s in p[programs, D] at [i[D]] of parts that programs store, the place behind the first axis

    library                               a step that the vendor's library does
      read x: f32[N, D]
      %0 = dot(x, x, axes=[D]) : f32[N]
      call %0
      store %0 in out[N] at [i[N]]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from tdsl.fusion.kernel import Kernel, Store
from tdsl.fusion.plan import LibraryCall, Plan, Step
from tdsl.fusion.schedule import Schedule
from tdsl.ir.function import Origin, Param, Shape
from tdsl.ir.node import Node, topological
from tdsl.ir.text import Names, attributes_text, params_text, type_text, value_lines, value_names
from tdsl.ops import input_


def plan_text(plan: Plan) -> str:
    """The text of the plan, then that of each step."""
    return "\n\n".join([plan_head(plan), *map(step_text, plan.steps)])


def plan_head(plan: Plan) -> str:
    """The text of the plan without its steps."""
    return "\n  ".join(_plan_lines(plan))


def kernel_text(kernel: Kernel) -> str:
    """The text of the kernel."""
    return "\n  ".join(_kernel_lines(kernel))


def schedule_text(schedule: Schedule) -> str:
    """The schedule on one line."""
    values = ((field.name, getattr(schedule, field.name)) for field in fields(schedule))
    return f"schedule({attributes_text(values, {})})"


def step_text(step: Step) -> str:
    """The text of a kernel or a library call."""
    return kernel_text(step) if isinstance(step, Kernel) else "\n  ".join(_library_lines(step))


def _plan_lines(plan: Plan) -> Iterator[str]:
    results = ", ".join(plan.results) or "nothing"
    yield f"plan {plan.name}({params_text(plan.params)}) -> {results}"
    yield from value_lines((), plan.params, {p.node: p.name for p in plan.params}, {})
    for buffer in plan.buffers:
        use = "result" if buffer.is_result else "workspace"
        yield f"{use} {buffer.name}: {type_text(buffer.dtype, buffer.shape)}"
    for operation, axes in plan.positions:
        yield f"position {operation} {_sizes(axes)}"


def _kernel_lines(kernel: Kernel) -> Iterator[str]:
    yield f"kernel {kernel.name} {kernel.stage}"
    yield f"rows {_sizes(kernel.layout.rows)}"
    yield f"columns {_sizes(kernel.layout.columns)}"
    yield from _reads(kernel.reads)
    for name, strides in kernel.strides.items():
        yield f"strides {name} {_sizes(strides)}"
    numbers = topological(node for _, node in kernel.numbers)
    nodes = topological([*(s.node for s in kernel.stores), *kernel.layout.crossed])
    passed = {stand_in(name, node): name for name, node in kernel.numbers}
    own = [node for node in nodes if node not in passed]
    names = _names(kernel.reads, [*numbers, *own], passed, kernel.origins)
    yield from value_lines(numbers, kernel.reads, names, {})
    for name, node in kernel.numbers:
        yield f"number {name} = {names[node]}"
    given = {read.node for read in kernel.reads}.union(numbers)
    yield from value_lines((n for n in own if n not in given), (), names, {})
    if kernel.layout.crossed:
        yield f"crossed {', '.join(names[node] for node in kernel.layout.crossed)}"
    yield from _stores(kernel.stores, names)


def _library_lines(call: LibraryCall) -> Iterator[str]:
    yield "library"
    yield from _reads(call.reads)
    nodes = topological([call.node, *(store.node for store in call.stores)])
    names = _names(call.reads, nodes, {}, {})
    yield from value_lines(nodes, call.reads, names, {})
    yield f"call {names[call.node]}"
    yield from _stores(call.stores, names)


def _reads(reads: Iterable[Param]) -> Iterator[str]:
    return (f"read {params_text([read])}" for read in reads)


def _stores(stores: Iterable[Store], names: Names) -> Iterator[str]:
    for store in stores:
        word = "share" if store.share else "store"
        places = _sizes(store.places)
        yield f"{word} {names[store.node]} in {store.buffer}{_sizes(store.shape)} at {places}"


def _names(
    reads: Iterable[Param],
    nodes: Iterable[Node],
    numbers: Mapping[Node, str],
    origins: Mapping[Node, Origin],
) -> dict[Node, str]:
    return value_names(list(nodes), {**{r.node: r.name for r in reads}, **numbers}, origins)


def stand_in(name: str, number: Node) -> Node:
    """The input that stands for a number in a kernel's values."""
    return input_(name=name, dtype=number.dtype, axes=())


def _sizes(shape: Shape) -> str:
    return f"[{', '.join(size.text for size in shape)}]"
