"""Compiling kernels ahead of time, for GPUs that need not be there.

In: `Request`s, which say everything that Triton is told. Out: `Compiled`s, which hold every stage's text
and the figures that the assembler gives; `tdsl.backends.triton.machine_code` reads further.
Between: a process that interprets kernels cannot compile any, so the work is done in child processes then
(`tdsl.backends.triton.workers`); the results are the same.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tdsl import faults
from tdsl.backends.triton import figures
from tdsl.backends.triton.source import load
from tdsl.backends.triton.toolchain import is_interpreted, require_tool, require_triton, run_tool
from tdsl.backends.triton.workers import work
from tdsl.errors import InternalError

Constant = int | float | bool | str | None

# Triton's names: the backend, the architecture, and the lanes of a warp.
TARGETS: Mapping[str, tuple[str, int | str, int]] = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One kernel for one target.

    `source` is the text of a module, `name` a kernel in it. `signature` gives Triton's type for each
    argument that is passed (`"*bf16"`, `"i32"`, `"fp32"`), `constants` the value of each
    `tl.constexpr`. The arguments in `divisible` are promised to be multiples of 16, which for a
    pointer means its address.
    """

    source: str
    name: str
    signature: Mapping[str, str]
    target: str
    constants: Mapping[str, Constant] = field(default_factory=dict)
    divisible: Sequence[str] = ()
    num_warps: int = 4
    num_stages: int = 2
    num_ctas: int = 1


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of a `Request`.

    `asm` holds `ttir` and `ttgir`, then `ptx` and `sass` (NVIDIA) or `amdgcn` (AMD). `registers` are those
    of one lane, `spills` the bytes of stack and local memory of one lane, `shared` the bytes of shared
    memory of one program. `compile_seconds`, in which a processor worked, is little if Triton's own cache
    had the kernel, and includes half a second of start-up for the first kernel of a process.
    """

    name: str
    target: str
    asm: Mapping[str, str]
    registers: int
    spills: int
    shared: int
    compile_seconds: float


def compile_ahead(request: Request) -> Compiled:
    """Compile one kernel; see `compile_many` for the errors."""
    _check(request)
    return compile_many([request], workers=1)[0] if is_interpreted() else compile_here(request)


def compile_many(requests: Sequence[Request], workers: int = 2) -> list[Compiled]:
    """Compile kernels side by side in `workers` child processes; results in the order of the requests.

    TdslError: Triton or one of its tools is missing, or the target is unknown. InternalError: Triton
    refuses a kernel. The first request that fails decides, after all of them were tried.
    """
    for request in requests:
        _check(request)
    return [Compiled(**reply) for reply in work(list(requests), workers)]


def compile_here(request: Request) -> Compiled:
    """Compile in this process, where `TRITON_INTERPRET` must not be set. InternalError: Triton refuses."""
    import triton
    from triton.backends.compiler import GPUTarget

    kernel = load(request.source, request.name)
    options = {
        "num_warps": request.num_warps,
        "num_stages": request.num_stages,
        "num_ctas": request.num_ctas,
        # The default changes between versions of Triton.
        "enable_fp_fusion": True,
    }
    begin = _worked()
    try:
        target = GPUTarget(*TARGETS[request.target])
        built = triton.compile(_ast_source(kernel, request), target=target, options=options)
    except Exception as error:
        what = f"Triton refuses `{request.name}` for {request.target}: {error}"
        raise InternalError(what) from error
    seconds = _worked() - begin
    return _compiled(built, request, seconds)


def _worked() -> float:
    """Seconds that processors worked for this process and its children: other work counts nothing."""
    done = os.times()
    return time.process_time() + done.children_user + done.children_system


def _check(request: Request) -> None:
    require_triton()
    if request.target not in TARGETS:
        hint = f"one of {', '.join(TARGETS)}"
        raise faults.UNKNOWN_TARGET.at(target=request.target, hint=hint)
    if TARGETS[request.target][0] == "cuda":
        require_tool("cuobjdump")
        require_tool("nvdisasm")


def _ast_source(kernel: Any, request: Request) -> Any:
    from triton.compiler import ASTSource

    names: list[str] = kernel.arg_names
    unknown = {*request.signature, *request.constants, *request.divisible} - {*names}
    missing = {*names} - {*request.signature, *request.constants}
    if unknown or missing:
        raise InternalError(f"unknown arguments {sorted(unknown)}, missing {sorted(missing)}")
    return ASTSource(
        fn=kernel,
        signature={
            name: "constexpr" if name in request.constants else request.signature[name]
            for name in names
        },
        constexprs=dict(request.constants),
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in request.divisible},
    )


def _compiled(built: Any, request: Request, seconds: float) -> Compiled:
    stages = {"ttir": built.asm["ttir"], "ttgir": built.asm["ttgir"]}
    if "cubin" in built.asm:
        with tempfile.TemporaryDirectory() as folder:
            binary = Path(folder) / "kernel.cubin"
            binary.write_bytes(built.asm["cubin"])
            usage = run_tool("cuobjdump", "-res-usage", str(binary))
            stages |= {"ptx": built.asm["ptx"], "sass": run_tool("nvdisasm", "-c", str(binary))}
        registers, spills = figures.from_cuobjdump(usage, built.metadata.name)
    else:
        stages["amdgcn"] = built.asm["amdgcn"]
        registers, spills = figures.from_amdgcn(stages["amdgcn"])
    return Compiled(
        name=request.name, target=request.target, asm=stages, registers=registers,
        spills=spills, shared=built.metadata.shared, compile_seconds=seconds,
    )  # fmt: skip


def main() -> None:
    """Answer requests: a line of JSON with the fields of each, until the input ends."""
    # What Triton and its tools print on standard output must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = asdict(compile_here(Request(**json.loads(line))))
        except InternalError as error:
            reply = {"failed": error.what}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
