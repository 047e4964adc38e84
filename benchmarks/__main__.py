"""`python -m benchmarks report`: the results as one page, docs/benchmarks.md, with pictures.

In: the JSON files of benchmarks/results. Out: the page, and SVG files beside it. Between: the same results
give the same text.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.report import page

HERE = Path(__file__).parent


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", choices=["report"])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    options = parser.parse_args()
    found = {path.stem: json.loads(path.read_text()) for path in options.results.glob("*.json")}
    options.out.write_text(page(found, options.out.parent), encoding="utf-8")
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
