"""The command line's options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tdsl import __version__

VARIANTS = ("unfused", "tiled", "interpreter", "numpy", "torch", "compile", "jax", "numexpr")
"""What `tdsl bench` compares with, beside `fused`; `numpy` is another name of `interpreter`."""
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
    _bench(commands.add_parser("bench", help="compare fused kernels with other ways to run it"))
    _export(commands.add_parser("export", help="write a file that runs without tdsl"))
    _fmt(commands.add_parser("fmt", help="format files in place"))
    return top


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; exits with status 2 for wrong usage. `--grad` alone takes no word after it."""
    return parser().parse_args(["--grad=" if a == "--grad" else a for a in arguments])


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=VALUE")
    return name, value


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is not a non-negative integer")
    return int(text)


def _common(command: argparse.ArgumentParser, *, many: bool) -> None:
    if many:
        command.add_argument("files", nargs="+", metavar="FILE")
    else:
        command.add_argument("file", metavar="FILE")
        command.add_argument("--fn", metavar="F", help="the function, if the file has several")
        command.add_argument(
            "--static", action="append", default=[], metavar="NAME=VALUE", type=_pair,
            help="a compile-time value, as the language writes it",
        )  # fmt: skip
        command.add_argument(
            "--backend", metavar="B", help="interpreter, numpy, c or triton (what is best here)"
        )
        command.add_argument(
            "--grad", metavar="NAMES", nargs="?",
            help="with gradients: of all floating arguments, or --grad=NAME,NAME",
        )  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON document on standard output")


def _check(command: argparse.ArgumentParser) -> None:
    _common(command, many=True)


def _show(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument("--stage", required=True, choices=STAGES)
    command.add_argument(
        "--arg", action="append", default=[], metavar="NAME=SPEC", type=_pair,
        help="an argument's dtype and shape, such as x=f32[4,8]; without any the graph is generic",
    )  # fmt: skip
    command.add_argument("--target", metavar="T", help="what to compile for, such as sm_90")


def _run(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", type=_pair,
        help="an argument: a number, @file.npy, or dtype and shape for random data: x=f32[4,8]",
    )  # fmt: skip
    command.add_argument("--seed", type=_seed, default=0, help="of the random data (0)")
    command.add_argument("--out", metavar="FILE.npz", help="save results and gradients")


def _bench(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument(
        "--arg", action="append", default=[], metavar="NAME=SPEC", type=_pair,
        help="an argument as in `run`; one that is left out has f32 data of 64 MB at most",
    )  # fmt: skip
    command.add_argument("--seed", type=_seed, default=0, help="of the random data (0)")
    command.add_argument(
        "--vs", type=_variants, metavar="NAMES",
        help=f"what `fused` is compared with: of {','.join(VARIANTS)} (all that there are)",
    )  # fmt: skip
    command.add_argument("--plot", type=_picture, metavar="FILE", help="a picture: .svg or .png")


def _variants(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in VARIANTS:
            raise argparse.ArgumentTypeError(f"`{name}` is none of {', '.join(VARIANTS)}")
    return names


def _picture(text: str) -> str:
    if not text.endswith((".svg", ".png")):
        raise argparse.ArgumentTypeError(f"`{text}` ends neither in .svg nor in .png")
    return text


def _export(command: argparse.ArgumentParser) -> None:
    _common(command, many=False)
    command.add_argument("-o", "--out", required=True, metavar="FILE.py", help="what to write")
    command.add_argument(
        "--arg", action="append", default=[], metavar="NAME=SPEC", type=_pair,
        help="an argument's dtype and shape, such as x=f32[4096,2048]; sizes stay run-time values",
    )  # fmt: skip


def _fmt(command: argparse.ArgumentParser) -> None:
    _common(command, many=True)
    command.add_argument("--check", action="store_true", help="change nothing; status 1 if needed")
