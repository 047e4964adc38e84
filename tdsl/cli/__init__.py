"""The command line: `tdsl check | show | run | bench | export | fmt`.

In: arguments. Out: text on standard output, diagnostics on standard error, an exit status: 0 done, 1 the
user's program or data is at fault, 2 wrong usage, 70 a fault of ours.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Sequence

from tdsl.cli.commands import COMMANDS
from tdsl.cli.options import parse
from tdsl.errors import TdslError, render

FAULT_OF_PROGRAM, WRONG_USAGE, FAULT_OF_OURS = 1, 2, 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give the exit status."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(options)
    except TdslError as error:
        _report(error)
        if options.json:
            print(json.dumps({"errors": _plain(error)}, indent=2))
        return FAULT_OF_PROGRAM
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return 0
    except Exception:  # noqa: BLE001  (whatever it is, it is ours)
        traceback.print_exc()
        print("internal error in tdsl: please report it with the program", file=sys.stderr)
        return FAULT_OF_OURS


def _run(options: Namespace) -> int:
    document, status = COMMANDS[options.command](options)
    if options.json:
        print(json.dumps(document, indent=2))
    sys.stdout.flush()
    return status


def _report(error: TdslError) -> None:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    for diagnostic in error.errors:
        print(render(diagnostic, colour=colour), file=sys.stderr)


def _plain(error: TdslError) -> list[dict[str, object]]:
    return [
        {
            "code": d.code, "message": d.message, "note": d.note, "hint": d.hint,
            "file": d.span.file if d.span else None, "line": d.span.line if d.span else None,
            "column": d.span.column if d.span else None, "end": d.span.end if d.span else None,
        }
        for d in error.errors
    ]  # fmt: skip
