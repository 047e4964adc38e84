"""Generated kernels on a GPU: `python -m benchmarks.gpu [--out FILE] [--sections A,B] [--budget N]`.

Runs the tests marked `gpu`, measures the bandwidth of a device copy, then forward and backward of library
functions beside torch eager, torch.compile, and Liger-Kernel where it is installed. Every variant is
checked against a float64 reference before it is timed; variants are timed in turn, medians of paired
runs. The score is the compulsory bytes over the time, as a share of the copy. Sections that the output
file has already are not run again, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (torch's own name for it)

import tdsl
from tdsl.kernels import activations, losses, norms, softmax

Tensor = torch.Tensor
Call = Callable[..., Tensor]
LENGTHS = (256, 1024, 4096, 8192, 16384, 32768, 65536, 131072, 262144)
MOST_ELEMENTS = 1 << 27
DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
LIMITS = {"bf16": 3e-2, "f32": 2e-3}


def rows_for(length: int) -> int:
    """How many rows make up the benchmark's size, between 32 and 32768."""
    return max(32, min(32768, MOST_ELEMENTS // length))


def functions(length: int) -> dict[str, tuple[tdsl.Function | Any, Call, list[str]]]:
    """For each function ours, torch's, and the kinds of arguments: rows, a weight, or labels."""
    return {
        "softmax": (softmax.softmax, lambda x: F.softmax(x, -1), ["rows"]),
        "rms_norm": (
            norms.rms_norm, lambda x, w: F.rms_norm(x, (length,), w, 1e-6), ["rows", "weight"],
        ),
        "layer_norm": (
            norms.layer_norm, lambda x, w, b: F.layer_norm(x, (length,), w, b),
            ["rows", "weight", "weight"],
        ),
        "cross_entropy": (losses.cross_entropy, F.cross_entropy, ["rows", "labels"]),
        "gelu": (activations.gelu, F.gelu, ["rows"]),
        "swiglu": (activations.swiglu, lambda x, y: F.silu(x) * y, ["rows", "rows"]),
    }  # fmt: skip


def arguments(kinds: list[str], rows: int, length: int, dtype: torch.dtype) -> list[Tensor]:
    """Random arguments on the device; floating ones need gradients."""
    generator = torch.Generator("cuda").manual_seed(0)
    made = []
    for kind in kinds:
        if kind == "labels":
            made.append(torch.randint(length, (rows,), generator=generator, device="cuda"))
            continue
        shape = (rows, length) if kind == "rows" else (length,)
        x = torch.randn(shape, generator=generator, device="cuda").to(dtype)
        made.append(x.requires_grad_())
    return made


def variants(name: str, ours: Any, torchs: Call) -> dict[str, Call]:
    """What is compared; a peer that is not installed is left out."""
    found: dict[str, Call] = {"tdsl": ours, "eager": torchs, "compile": torch.compile(torchs)}
    if importlib.util.find_spec("liger_kernel"):
        from liger_kernel.transformers import functional as liger  # type: ignore[import-not-found]

        known = {
            "softmax": liger.liger_softmax, "cross_entropy": liger.liger_cross_entropy,
            "swiglu": liger.liger_swiglu, "rms_norm": lambda x, w: liger.liger_rms_norm(x, w, 1e-6),
            "layer_norm": lambda x, w, b: liger.liger_layer_norm(x, w, b, 1e-5),
        }  # fmt: skip
        if name in known:
            found["liger"] = known[name]
    return found


def errors(call: Call, reference: Call, given: list[Tensor]) -> float:
    """The largest error of value and gradients, relative to the largest value, against float64."""
    wide = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in given]
    worst = 0.0
    results = []
    for function, values in ((call, given), (reference, wide)):
        value = function(*values)
        floating = [x for x in values if x.is_floating_point()]
        results.append([value, *torch.autograd.grad(value.sum(), floating)])
    for a, b in zip(*results, strict=True):
        scale = float(b.abs().max()) or 1.0
        worst = max(worst, float((a.double() - b).abs().max()) / scale)
    return worst


def timed(actions: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each action, timed in turn by events; the cache is flushed before each."""
    flush = torch.empty(1 << 28, dtype=torch.int8, device="cuda")
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs + 3):
        for name, action in actions.items():
            flush.zero_()
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            action()
            end.record()
            end.synchronize()
            times[name].append(start.elapsed_time(end))
    return {name: found[3:] for name, found in times.items()}


def copy_bandwidth() -> float:
    """Bytes per second of a device copy of 512 MB, read and written."""
    x = torch.empty(1 << 29, dtype=torch.int8, device="cuda")
    y = torch.empty_like(x)
    milliseconds = median(timed({"copy": lambda: y.copy_(x)}, 20)["copy"])
    return 2 * x.numel() / milliseconds * 1e3


def measure(name: str, dtype: str, length: int, copy: float) -> list[dict[str, Any]]:
    """Rows of the table: each variant, forward and backward."""
    rows = rows_for(length)
    ours, torchs, kinds = functions(length)[name]
    given = arguments(kinds, rows, length, DTYPES[dtype])
    calls = variants(name, ours, torchs)
    found: list[dict[str, Any]] = []
    sound = {}
    for variant, call in calls.items():
        error = errors(call, torchs, given)
        if error <= LIMITS[dtype]:
            sound[variant] = call
        else:
            found.append({"variant": variant, "error": error, "refused": "wrong results"})
    shapes = {
        "rows": f"{dtype}[{rows},{length}]",
        "weight": f"{dtype}[{length}]",
        "labels": f"i64[{rows}]",
    }
    lowered = ours.lower(*(shapes[kind] for kind in kinds), grad=True)
    forward = {v: (lambda call=call: call(*given)) for v, call in sound.items()}
    values = {v: call(*given) for v, call in sound.items()}
    cotangents = {v: torch.ones_like(value) for v, value in values.items()}
    floating = [x for x in given if x.is_floating_point()]
    both = {
        v: (lambda call=call, v=v: torch.autograd.grad(call(*given), floating, cotangents[v]))
        for v, call in sound.items()
    }
    for stage, actions in (("forward", forward), ("forward and backward", both)):
        times = timed(actions, 20)
        for variant, taken in times.items():
            least = (
                lowered.bytes_compulsory
                if stage != "forward"
                else ours.lower(*(shapes[kind] for kind in kinds)).bytes_compulsory
            )
            found.append({
                "function": name, "dtype": dtype, "rows": rows, "length": length, "stage": stage,
                "variant": variant, "ms": median(taken), "ms_min": min(taken), "ms_max": max(taken),
                "percent_of_copy": 100 * least / (median(taken) / 1e3) / copy,
            })  # fmt: skip
    return found


def tests() -> dict[str, Any]:
    """The tests marked `gpu`."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return {"status": done.returncode, "tail": done.stdout[-2000:]}


def main() -> int:
    """Run what is left of the sections within the budget, and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="benchmarks/results/gpu.json")
    parser.add_argument("--sections", default="tests,bf16,f32")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds (480)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here")
        return 1
    start = time.monotonic()
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    known["device"] = torch.cuda.get_device_name()
    known["versions"] = {"torch": torch.__version__, "tdsl": tdsl.__version__}
    known.setdefault("copy_gb_per_s", copy_bandwidth() / 1e9)
    known.setdefault("rows", [])
    sections = options.sections.split(",")
    if "tests" in sections and "tests" not in known:
        known["tests"] = tests()
        path.write_text(json.dumps(known, indent=2))
    done = {(r.get("function"), r.get("dtype"), r.get("length")) for r in known["rows"]}
    for dtype in (d for d in DTYPES if d in sections):
        for length in LENGTHS:
            for name in functions(length):
                if (name, dtype, length) in done:
                    continue
                if time.monotonic() - start > options.budget:
                    print("the budget is spent; run again to go on")
                    return 0
                known["rows"] += measure(name, dtype, length, known["copy_gb_per_s"] * 1e9)
                path.write_text(json.dumps(known, indent=2))
    for row in known["rows"]:
        if "ms" in row:
            what = f"{row['function']:14} {row['dtype']:5} {row['length']:7} {row['stage']:22}"
            how = f"{row['variant']:8} {row['ms']:9.3f} ms {row['percent_of_copy']:6.1f} % of copy"
            print(what, how)
    return 0


if __name__ == "__main__":
    sys.exit(main())
