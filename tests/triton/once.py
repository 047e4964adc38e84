"""Kernels compiled once for a run of the tests, in all of its processes.

Those that differ in nothing but names and comments compile alike, so they are one.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

from tdsl.backends.cache import cache_folder
from tdsl.backends.triton.aot import Compiled, Request, compile_many


def compile_once(requests: Sequence[Request]) -> list[Compiled]:
    """The requests compiled, those by an earlier call or by another process of this run included."""
    folder = cache_folder() / "once"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{content(request)}.json" for request in requests]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = {path: r for path, r in zip(paths, requests, strict=True) if not path.exists()}
        for path, compiled in zip(new, compile_many([*new.values()]), strict=True):
            path.write_text(json.dumps(asdict(compiled)))
    return [Compiled(**json.loads(path.read_text())) for path in paths]


@dataclass
class Renamed(ast.NodeTransformer):
    """The names that a text gives, by the order in which they come; documentation is left out."""

    own: frozenset[str]
    new: dict[str, str] = field(default_factory=dict)

    def name(self, old: str) -> str:
        return self.new.setdefault(old, f"v{len(self.new)}") if old in self.own else old

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self.name(node.arg), node.annotation)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        is_name = isinstance(node.value, str)
        return ast.Constant(self.name(str(node.value))) if is_name else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        node.name = self.name(node.name)
        self.generic_visit(node)
        return node


@cache
def _text(source: str, kernel: str) -> tuple[str, dict[str, str]]:
    """A kernel with what it calls and what the file says beside functions, and the new names."""
    body = ast.parse(source).body
    functions = {part.name: part for part in body if isinstance(part, ast.FunctionDef)}
    reached = {kernel: functions[kernel]}
    waiting = [functions[kernel]]
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Name) and node.id in functions and node.id not in reached:
                reached[node.id] = functions[node.id]
                waiting.append(functions[node.id])
    stored = {
        node.id
        for part in reached.values()
        for node in ast.walk(part)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    taken = {a.arg for part in reached.values() for a in part.args.args}
    renamed = Renamed(frozenset((*reached, *stored, *taken)))
    beside = [part for part in body if not isinstance(part, ast.FunctionDef | ast.Expr)]
    parts = [*beside, *(renamed.visit(part) for part in reached.values())]
    return "\n".join(map(ast.unparse, parts)), renamed.new


def content(request: Request) -> str:
    """A hash of what is compiled; equal for requests that differ in names and comments alone."""
    text, new = _text(request.source, request.name)
    types = [(new[name], type_) for name, type_ in request.signature.items()]
    constants = sorted((new[name], repr(value)) for name, value in request.constants.items())
    promised = sorted(new[name] for name in request.divisible)
    rest = request.target, request.num_warps, request.num_stages, request.num_ctas
    return hashlib.sha256(repr((text, types, constants, promised, rest)).encode()).hexdigest()
