"""What each command does: from options to a JSON document and an exit status, printing text on the way."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.api import load
from tdsl.cli.data import argument, filled, index_limits, static
from tdsl.cli.kernels import kernels_document, kernels_text
from tdsl.errors import TdslError, combine
from tdsl.ir.dtype import may_be_float
from tdsl.ops import numpy_dtype
from tdsl.runtime.function import Function
from tdsl.runtime.lowered import Lowered, parse_spec
from tdsl.syntax.ast import FunctionDef, Module, dump
from tdsl.syntax.elaboration.program import read_source
from tdsl.syntax.format import format_source
from tdsl.syntax.parser import parse_module

Outcome = tuple[object, int]


def check(options: Namespace) -> Outcome:
    """Every fault of every file."""
    errors: list[TdslError] = []
    for file in options.files:
        try:
            load(file)
        except TdslError as error:
            errors.append(error)
    if errors:
        raise combine(errors)
    return {"files": options.files, "errors": []}, 0


def show(options: Namespace) -> Outcome:
    """One stage of the compiler, as text."""
    if options.stage == "ast":
        module = parse_module(read_source(Path(options.file)), options.file)
        text = dump(module if options.fn is None else _function_in(module, options.fn))
    elif options.stage in ("ir", "backward"):
        text = _graph_text(options)
    elif options.stage in ("kernels", "c", "triton"):
        lowered = _lowered(options)
        if options.stage == "kernels":
            _say(options, kernels_text(lowered))
            return kernels_document(lowered), 0
        text = "\n\n".join(one.source for one in lowered.reports)
    else:
        text = "\n\n".join(_lowered(options).asm(options.stage).values())
    _say(options, text)
    return {"file": options.file, "stage": options.stage, "text": text}, 0


def _function_in(module: Module, name: str) -> FunctionDef:
    """The definition of a function. Raises TdslError if there is none."""
    for function in module.functions:
        if function.name == name:
            return function
    raise _no_such_function(module.file, name, [function.name for function in module.functions])


def _no_such_function(file: str, name: str, known: Iterable[str]) -> TdslError:
    hint = f"it has {', '.join(known)}"
    return faults.NO_SUCH_FUNCTION.at(name=name, file=file, hint=hint)


def _graph_text(options: Namespace) -> str:
    """The IR or its backward: generic, or for the dtypes and shapes of `--arg`."""
    lowered = _lowered(options)
    return (lowered.backward_ir if options.stage == "backward" else lowered.ir) or ""


def _lowered(options: Namespace) -> Lowered:
    """The chosen function for the dtypes and shapes of `--arg`, with gradients where asked."""
    function = chosen(options)
    given: dict[str, Any] = {name: parse_spec(text) for name, text in options.arg}
    given |= _statics(options, function)
    wants = options.stage == "backward" or options.grad is not None
    grad = (_names(options) or True) if wants else None
    backend = options.stage if options.stage in ("c", "triton") else options.backend
    return function.lower(**given, grad=grad, backend=backend, target=options.target)


def run(options: Namespace) -> Outcome:
    """Run a function on given or random data, and print results and gradients."""
    function = chosen(options).using(backend=options.backend)
    statics = _statics(options, function)
    own = {p.name for p in function.target.signature.parameters}
    given = {name: argument(text) for name, text in options.arg}
    wants_gradients = options.grad is not None
    cotangents = {n: v for n, v in given.items() if n not in own and wants_gradients}
    arguments = {n: v for n, v in given.items() if n not in cotangents}
    generator = np.random.default_rng(options.seed)
    limits = index_limits(function, arguments, statics)
    arrays = {n: filled(v, generator, limits.get(n)) for n, v in arguments.items()}
    results = _named_results(function(**arrays, **statics))
    if wants_gradients:
        incoming = {n: filled(v, generator, None) for n, v in cotangents.items()}
        results |= _gradients(function, {**arrays, **statics}, incoming, _names(options))
    if options.out:
        _save(options.out, results)
    _say(options, "\n".join(f"{name} = {_text(value)}" for name, value in results.items()))
    described = {name: _described(value) for name, value in results.items()}
    return {"function": function.__name__, "results": described}, 0


def bench(options: Namespace) -> Outcome:
    """Compare ways to run a function: a table, and a picture where one is asked for."""
    from tdsl.cli.bench import compare

    function = chosen(options)
    given = {name: argument(text) for name, text in options.arg}
    document, text = compare(function, given, _statics(options, function), options)
    _say(options, text)
    return document, 0


def _named_results(results: Any) -> dict[str, Any]:
    if not isinstance(results, tuple):
        return {"result": results}
    return {f"result{i}": result for i, result in enumerate(results)}


def _gradients(
    function: Function,
    arguments: Mapping[str, Any],
    cotangents: Mapping[str, Any],
    names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Gradients of the sum of all floating results, where no cotangents are given."""
    pullback = function.derive("vjp", names)
    lowered = function.lower(**arguments, grad=names or True)
    if lowered.backward is None:
        return {}
    own = lowered.graph.params
    incoming = dict(cotangents)
    for param in lowered.backward.params[len(own) :]:
        shape = [size.evaluate(lowered.sizes) for size in param.shape]
        incoming.setdefault(param.name, np.ones(shape, numpy_dtype(param.dtype)))
    shares = pullback(**arguments, **incoming)
    wanted = names or [param.name for param in own if may_be_float(param.dtype)]
    return {f"grad.{n}": gradient for n, gradient in zip(wanted, shares, strict=True)}


def _save(file: str, results: Mapping[str, Any]) -> None:
    """Write the results; bf16, which the format has not, as f32."""
    plain = {n: v.astype(np.float32) if v.dtype.kind == "V" else v for n, v in results.items()}
    try:
        np.savez(file, allow_pickle=False, **plain)
    except OSError as error:
        raise faults.UNWRITABLE.at(file=file, reason=error.strerror or str(error)) from None


def export(options: Namespace) -> Outcome:
    """Write the chosen function as a file that runs without tdsl."""
    function = chosen(options)
    given: dict[str, Any] = {name: parse_spec(text) for name, text in options.arg}
    given |= _statics(options, function)
    grad = (_names(options) or True) if options.grad is not None else None
    text = function.export(grad=grad, **given)
    _write(options.out, text)
    _say(options, f"wrote {options.out}")
    return {"function": function.__name__, "out": options.out, "lines": text.count("\n")}, 0


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise faults.UNWRITABLE.at(file=file, reason=error.strerror or str(error)) from None


def fmt(options: Namespace) -> Outcome:
    """Format files in place, or say which would change. Every faulty file is reported."""
    changed = []
    errors: list[TdslError] = []
    for file in options.files:
        try:
            if _format(file, write=not options.check):
                changed.append(file)
        except TdslError as error:
            errors.append(error)
    for file in changed:
        _say(options, f"{'would format' if options.check else 'formatted'} {file}")
    if errors:
        raise combine(errors)
    return {"changed": changed}, 1 if options.check and changed else 0


def _format(file: str, *, write: bool) -> bool:
    """Format one file; whether it changes."""
    text = read_source(Path(file))
    formatted = format_source(text, file)
    if formatted != text and write:
        _write(file, formatted)
    return formatted != text


def chosen(options: Namespace) -> Function:
    """The function that `--fn` names; the only one, without it."""
    functions = {function.__name__: function for function in load(options.file)}
    if options.fn is not None and options.fn in functions:
        return functions[options.fn]
    if options.fn is None and len(functions) == 1:
        return next(iter(functions.values()))
    if options.fn is None:
        hint = f"choose one with --fn: {', '.join(functions)}" if functions else ""
        raise faults.SEVERAL_FUNCTIONS.at(file=options.file, count=len(functions), hint=hint)
    raise _no_such_function(options.file, options.fn, functions)


def _statics(options: Namespace, function: Function) -> dict[str, Any]:
    names = [name for name, _ in (*options.arg, *options.static)]
    for name in names:
        if names.count(name) > 1:
            raise faults.CALL_ARGUMENT.at(message=f"`{name}` is given twice")
    return {name: static(function, name, text) for name, text in options.static}


def _names(options: Namespace) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in options.grad.split(",")) if options.grad else None


def _say(options: Namespace, text: str) -> None:
    if not options.json and text:
        print(text)


def _text(value: Any) -> str:
    shape = ", ".join(map(str, value.shape))
    return f"{value.dtype}[{shape}]\n{np.array2string(value, threshold=40, precision=6)}"


def _described(value: Any) -> dict[str, object]:
    plain = value.astype(np.float64) if value.dtype.kind in "fV" else value
    values = plain.tolist() if np.isfinite(plain).all() else _spelled(plain.tolist())
    return {"dtype": str(value.dtype), "shape": list(value.shape), "values": values}


def _spelled(values: Any) -> Any:
    """NaN and infinities as text: JSON has no numbers for them."""
    if isinstance(values, list):
        return [_spelled(value) for value in values]
    return values if np.isfinite(values) else str(values)


COMMANDS: dict[str, Callable[[Namespace], Outcome]] = {
    "check": check,
    "show": show,
    "run": run,
    "bench": bench,
    "export": export,
    "fmt": fmt,
}
