"""What each command does: from options to a JSON document and an exit status, printing text on the way."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.api import load
from tdsl.cli.data import argument, made_arguments, static
from tdsl.errors import TdslError, combine
from tdsl.ir.text import print_function
from tdsl.runtime.function import Function
from tdsl.runtime.lowered import spec_of
from tdsl.syntax.ast import dump
from tdsl.syntax.elaboration.entry import elaborate
from tdsl.syntax.elaboration.program import read_source
from tdsl.syntax.format import format_source
from tdsl.syntax.parser import parse_module
from tdsl.transforms.differentiate import vjp
from tdsl.transforms.inline import inline_calls
from tdsl.transforms.simplify import simplify

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
        text = dump(parse_module(read_source(Path(options.file)), options.file))
    elif options.stage in ("ir", "backward"):
        text = _graph_text(options)
    else:
        raise faults.NO_BACKEND.at(
            backend=options.stage,
            note="kernels come with a later version",
            hint="stages: ast, ir, backward",
        )
    _say(options, text)
    return {"file": options.file, "stage": options.stage, "text": text}, 0


def _graph_text(options: Namespace) -> str:
    """The IR or its backward: generic, or for the dtypes and shapes of `--arg`."""
    function = chosen(options)
    wrt = _names(options) if options.grad else None
    if options.arg:
        specs: dict[str, Any] = {name: spec_of(text) for name, text in map(_pair, options.arg)}
        lowered = function.lower(
            **specs, **_statics(options, function), grad=wrt or True, backend=options.backend
        )
        return (lowered.ir if options.stage == "ir" else lowered.backward_ir) or ""
    graph = elaborate(function.source, function.name, _statics(options, function))
    if options.stage == "backward":
        return print_function(vjp(graph, wrt))
    return print_function(simplify(inline_calls(graph)))


def run(options: Namespace) -> Outcome:
    """Run a function on given or random data, and print results and gradients."""
    function = chosen(options).using(backend=options.backend)
    given = {name: argument(name, text) for name, text in map(_pair, options.arg)}
    statics = _statics(options, function)
    arrays = made_arguments(function, given, options.seed, statics)
    results = function(**arrays, **statics)
    results = results if isinstance(results, tuple) else (results,)
    names = ["result"] if len(results) == 1 else [f"result{i}" for i in range(len(results))]
    found: dict[str, Any] = dict(zip(names, results, strict=True))
    if options.grad is not None:
        found |= _gradients(function, arrays, statics, results, _names(options))
    if options.out:
        np.savez(options.out, **found)
    _say(options, "\n".join(f"{name} = {_text(value)}" for name, value in found.items()))
    return {"function": function.name, "results": {k: _described(v) for k, v in found.items()}}, 0


def _gradients(
    function: Function,
    arrays: Mapping[str, Any],
    statics: Mapping[str, Any],
    results: tuple[Any, ...],
    names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Gradients of the sum of all floating results."""
    pullback = function.derive("vjp", names)
    ones = [np.ones_like(r) for r in results if r.dtype.kind not in "biu"]
    shares = pullback(*arrays.values(), *ones, **statics)
    floating = [k for k, v in arrays.items() if np.asarray(v).dtype.kind not in "biu"]
    return {f"grad.{n}": g for n, g in zip(names or floating, shares, strict=True)}


def fmt(options: Namespace) -> Outcome:
    """Format files in place, or say which would change."""
    changed = []
    for file in options.files:
        text = read_source(Path(file))
        formatted = format_source(text, file)
        if formatted != text:
            changed.append(file)
            if not options.check:
                Path(file).write_text(formatted, encoding="utf-8")
    for file in changed:
        _say(options, f"{'would format' if options.check else 'formatted'} {file}")
    return {"changed": changed}, 1 if options.check and changed else 0


def chosen(options: Namespace) -> Function:
    """The function that `--fn` names; the only one, without it."""
    module = load(options.file)
    functions = {function.name: function for function in module}
    if options.fn is not None and options.fn in functions:
        return functions[options.fn]
    if options.fn is None and len(functions) == 1:
        return next(iter(functions.values()))
    raise faults.NO_SUCH_FUNCTION.at(
        name=options.fn or "",
        file=options.file,
        hint=f"choose one with --fn: {', '.join(functions)}",
    )


def _statics(options: Namespace, function: Function) -> dict[str, Any]:
    return {name: static(function, name, text) for name, text in map(_pair, options.static)}


def _names(options: Namespace) -> tuple[str, ...] | None:
    return tuple(options.grad.split(",")) if options.grad else None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        print(f"tdsl: `{text}` is not NAME=VALUE", file=sys.stderr)
        raise SystemExit(2)
    return name, value


def _say(options: Namespace, text: str) -> None:
    if not options.json and text:
        print(text)


def _text(value: Any) -> str:
    shape = ", ".join(map(str, value.shape))
    return f"{value.dtype}[{shape}]\n{np.array2string(value, threshold=40, precision=6)}"


def _described(value: Any) -> dict[str, object]:
    plain = value.astype(np.float64) if value.dtype.name == "bfloat16" else value
    return {"dtype": str(value.dtype), "shape": list(value.shape), "values": plain.tolist()}


COMMANDS: dict[str, Callable[[Namespace], Outcome]] = {
    "check": check,
    "show": show,
    "run": run,
    "fmt": fmt,
}
