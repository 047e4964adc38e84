"""Kernels compiled for GPUs that are not there: the figures, the widths of accesses, and the faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tdsl.backends.triton import aot, figures, machine_code, toolchain
from tdsl.backends.triton.aot import TARGETS, Compiled, Request, compile_ahead, compile_many
from tdsl.errors import InternalError, TdslError
from tests.triton.handwritten import HEADER, NAMES, request

SPECIAL = HEADER + (
    """
@triton.jit
def special(x, out, total, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    value = tl.load(x + i, i < n, other=0.0)
    tl.atomic_add(total, tl.sum(tl.exp2(value), 0))
    tl.store(out + i, value.to(tl.float64) * 1.1, i < n)
"""
)
SPILLING = HEADER + (
    """
@triton.jit
def spilling(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    row = tl.load(x + i, i < n, other=0.0)
    tl.store(out + i, row / tl.sum(row, 0), i < n)
"""
)
SPECIAL_TYPES = {"x": "*fp32", "out": "*fp64", "total": "*fp32", "n": "i32"}
Key = tuple[str, str, bool]


@pytest.fixture(scope="module")
def built() -> dict[Key, Compiled]:
    """Every kernel for every target, with and without arguments known to divide by 16."""
    keys = [
        (name, target, aligned) for name in NAMES for target in TARGETS for aligned in (True, False)
    ]
    requests = [request(name, target, None if aligned else ()) for name, target, aligned in keys]
    return dict(zip(keys, compile_many(requests), strict=True))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_figures(built: dict[Key, Compiled], name: str, target: str) -> None:
    compiled = built[name, target, True]
    texts = {"amdgcn"} if target.startswith("gfx") else {"ptx", "sass"}
    assert (compiled.name, compiled.target) == (name, target)
    assert set(compiled.asm) == {"ttir", "ttgir"} | texts
    assert 8 <= compiled.registers <= 128
    assert compiled.spills == 0
    assert (compiled.shared > 0) == (name != "add")
    assert compiled.compile_seconds > 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_machine_code(built: dict[Key, Compiled], name: str, target: str) -> None:
    code = machine_code.read(built[name, target, True])
    assert code.instructions > 20
    assert (code.special > 0) == (name != "add")
    assert (code.shared > 0) == (name != "add")
    assert code.local == code.atomics == code.f64 == 0


@pytest.mark.parametrize("target", TARGETS)
def test_divisible_arguments_give_wide_accesses(built: dict[Key, Compiled], target: str) -> None:
    lanes = 64 if target.startswith("gfx") else 32
    vectors = 2048 // (4 * lanes * 8)
    code = machine_code.read(built["add", target, True])
    assert (code.loads, code.stores) == ({128: 2 * vectors}, {128: vectors})
    code = machine_code.read(built["add", target, False])
    assert (code.loads, code.stores) == ({16: 16 * vectors}, {16: 8 * vectors})


@pytest.mark.parametrize("target", TARGETS)
def test_rows_are_read_in_wide_accesses(built: dict[Key, Compiled], target: str) -> None:
    assert {128} == set(machine_code.read(built["softmax", target, True]).loads)
    assert {16} == set(machine_code.read(built["softmax", target, False]).loads)
    code = machine_code.read(built["rms_backward", target, True])
    assert {128} == set(code.stores)
    # 32 bits is a scalar of the row.
    assert {32, 128} >= set(code.loads)


@pytest.fixture(scope="module")
def odd() -> dict[str, Compiled]:
    """A kernel that does what ours should not, and one whose row is too long for the registers."""
    requests = [
        Request(SPECIAL, "special", SPECIAL_TYPES, target, {"BLOCK": 1024}, ["x", "out", "n"])
        for target in TARGETS
    ]
    types = {"x": "*fp32", "out": "*fp32", "n": "i32"}
    # 256 elements a lane, where an NVIDIA GPU has 255 registers; 512, where an AMD GPU has as many.
    requests += [
        Request(SPILLING, "spilling", types, "sm_90", {"BLOCK": 32768}, list(types), num_warps=4),
        Request(SPILLING, "spilling", types, "gfx942", {"BLOCK": 32768}, list(types), num_warps=1),
    ]
    return {each.target + each.name: each for each in compile_many(requests)}


@pytest.mark.parametrize("target", TARGETS)
def test_atomics_doubles_and_special_functions_are_seen(
    odd: dict[str, Compiled], target: str
) -> None:
    code = machine_code.read(odd[target + "special"])
    assert code.atomics >= 1
    assert code.f64 >= 1
    assert code.special >= 1
    assert set(code.stores) <= {64, 128}


@pytest.mark.parametrize(("target", "registers"), [("sm_90", 255), ("gfx942", 512)])
def test_spills_are_seen(odd: dict[str, Compiled], target: str, registers: int) -> None:
    compiled = odd[target + "spilling"]
    assert compiled.spills > 0
    assert compiled.registers == registers
    assert machine_code.read(compiled).local > 0


def test_one_kernel_and_this_very_process_give_the_same(built: dict[Key, Compiled]) -> None:
    wanted = request("add", "sm_90")
    alone = compile_ahead(wanted)
    program = (
        "import json, sys; from dataclasses import asdict\n"
        "from tdsl.backends.triton.aot import Request, compile_ahead\n"
        "print(json.dumps(asdict(compile_ahead(Request(**json.load(sys.stdin))))))"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(asdict(wanted)), env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = Compiled(**json.loads(done.stdout))
    assert alone.asm == here.asm == built["add", "sm_90", True].asm
    assert (alone.registers, alone.spills) == (here.registers, here.spills)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_ctas": 2, "target": "sm_80"}, "Triton refuses `add` for sm_80: .*num_ctas"),
        ({"signature": {"x": "*bf16"}}, r"missing \['n', 'out', 'y'\]"),
        ({"divisible": ["z"]}, r"unknown arguments \['z'\]"),
        ({"name": "sub"}, "has no `sub`"),
        ({"source": "import os; os._exit(7)"}, "compiling `add` ended with status 7"),
        ({"source": "print('noise'); 1 / 0"}, "division by zero"),
    ],
)
def test_a_refused_kernel_is_our_fault(change: dict[str, object], said: str) -> None:
    good = request("add", "sm_90")
    with pytest.raises(InternalError, match=said):
        compile_many([good, replace(good, **change), good], workers=1)  # type: ignore[arg-type]


def test_nothing_to_compile() -> None:
    assert compile_many([]) == []


def test_unknown_target() -> None:
    with pytest.raises(TdslError, match="there is no target `sm_70`") as caught:
        compile_ahead(request("add", "sm_70"))
    assert caught.value.code == "E0502"
    assert caught.value.hint == "one of sm_80, sm_90, sm_100, gfx942"


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What the tools found out about the installation is forgotten before and after."""
    for function in (toolchain.require_triton, toolchain.require_tool):
        function.cache_clear()
    yield
    for function in (toolchain.require_triton, toolchain.require_tool):
        function.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_missing_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(TdslError, match="it cannot be imported") as caught:
        compile_ahead(request("add", "sm_90"))
    assert (caught.value.code, caught.value.hint) == ("E0501", "pip install 'tdsl[triton]'")


@pytest.mark.usefixtures("forgetful")
def test_old_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton.__version__", "3.5.1")
    with pytest.raises(TdslError, match=r"need Triton 3\.6 or later: 3\.5\.1 is installed"):
        compile_ahead(request("add", "sm_90"))


@pytest.mark.usefixtures("forgetful")
def test_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("triton.__path__", [str(tmp_path)])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TdslError, match="`cuobjdump` is missing") as caught:
        compile_ahead(request("add", "sm_90"))
    assert caught.value.code == "E0503"


def test_a_failing_tool_is_our_fault() -> None:
    with pytest.raises(InternalError, match="nvdisasm"):
        toolchain.run_tool("nvdisasm", "/no/such/file")


def test_figures_are_those_of_the_kernel() -> None:
    usage = """
Resource usage:
 Function add:
  REG:18 STACK:8 SHARED:0 LOCAL:4 CONSTANT[0]:400 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function helper:
  REG:99 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:400 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
    assert figures.from_cuobjdump(usage, "add") == (18, 12)
    metadata = (
        "    .private_segment_fixed_size: {}\n    .vgpr_count: 14\n    .vgpr_spill_count: {}\n"
    )
    assert figures.from_amdgcn(metadata.format(0, 0)) == (14, 0)
    assert figures.from_amdgcn(metadata.format(16, 3)) == (14, 16)
    assert figures.from_amdgcn(metadata.format(0, 3)) == (14, 12)


def test_unreadable_figures_are_our_fault() -> None:
    with pytest.raises(InternalError, match="says nothing of `add`"):
        figures.from_cuobjdump(" Function sub:\n  REG:1 STACK:0 LOCAL:0", "add")
    with pytest.raises(InternalError, match="no registers"):
        figures.from_amdgcn("")


def test_requests_are_plain_data() -> None:
    wanted = request("rms_backward", "gfx942")
    assert aot.Request(**json.loads(json.dumps(asdict(wanted)))) == wanted
