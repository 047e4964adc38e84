"""The command line's options."""

from __future__ import annotations

import argparse

from tdsl import __version__

STAGES = ("ast", "ir", "backward", "kernels", "c", "triton", "ttir", "ptx", "sass")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="tdsl", description="A compiler for a small tensor language."
    )
    top.add_argument("--version", action="version", version=f"tdsl {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _check(commands.add_parser("check", help="report every fault of the files"))
    _show(commands.add_parser("show", help="print a stage of the compiler"))
    _run(commands.add_parser("run", help="run a function, and its gradients"))
    _fmt(commands.add_parser("fmt", help="format files in place"))
    return top


def _common(command: argparse.ArgumentParser, *, many: bool) -> None:
    if many:
        command.add_argument("files", nargs="+", metavar="FILE")
    else:
        command.add_argument("file", metavar="FILE")
        command.add_argument("--fn", metavar="F", help="the function, if the file has several")
        command.add_argument("--static", action="append", default=[], metavar="NAME=VALUE")
        command.add_argument("--backend", metavar="B")
        command.add_argument(
            "--grad", nargs="?", const="", metavar="NAMES", help="with gradients (of NAMES)"
        )
    command.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _check(command: argparse.ArgumentParser) -> None:
    _common(command, many=True)


def _show(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument("--stage", required=True, choices=STAGES)
    command.add_argument("--arg", action="append", default=[], metavar="NAME=SPEC")
    command.add_argument("--target", metavar="T")


def _run(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", metavar="FILE.npz")


def _fmt(command: argparse.ArgumentParser) -> None:
    _common(command, many=True)
    command.add_argument("--check", action="store_true", help="change nothing; status 1 if needed")
