"""What `lower` and `tdsl show` tell of kernels in C."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tdsl.cli import main
from tdsl.errors import TdslError
from tdsl.kernels import losses, norms, softmax
from tdsl.runtime import backends

KERNELS = Path(__file__).parents[2] / "kernels"


def test_kernels_are_listed_with_what_they_move() -> None:
    lowered = norms.layer_norm.lower(
        "f32[4096, 512]", "f32[512]", "f32[512]", backend="c", grad=True
    )
    assert [kernel.stage for kernel in lowered.kernels] == ["forward", "backward", "backward"]
    assert lowered.bytes_moved / lowered.bytes_compulsory < 1.05
    loss = losses.cross_entropy.lower("f32[64, 512]", "i64[64]", backend="c", grad="logits")
    assert not any(kernel.conditional for kernel in loss.kernels)


def test_stages_of_kernels() -> None:
    lowered = softmax.softmax.lower("f32[64, 512]", backend="c")
    (kernel,) = lowered.kernels
    assert lowered.asm("c") == {kernel.name: kernel.source}
    text = lowered.asm("asm")[kernel.name]
    assert kernel.name in text
    assert ".cfi_endproc" in text
    with pytest.raises(TdslError, match="stages are `asm`, `c`"):
        lowered.asm("ptx")


def test_a_pinned_function_is_lowered_for_its_backend() -> None:
    pinned = softmax.softmax.using(backend="c")
    (kernel,) = pinned.lower("f32[64, 512]").kernels
    assert kernel.source == softmax.softmax.lower("f32[64, 512]", backend="c").kernels[0].source
    assert "tl.load" in pinned.lower("f32[64, 512]", backend="triton").kernels[0].source


def test_show_prints_a_file_that_compiles(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["show", str(KERNELS / "softmax.tdsl"), "--fn", "softmax", "--arg", "x=f32[8, 16]"]
    assert main([*command, "--stage", "c"]) == 0
    assert "void softmax_forward(" in capsys.readouterr().out
    assert main([*command, "--stage", "kernels", "--backend", "c", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["backend"] == "c"
    assert document["kernels"][0]["reads"] == ["x"]


def test_what_runs_calls_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = softmax.softmax.lower("f32[64, 512]")
    monkeypatch.setattr(backends, "DEFAULT", "c")
    assert lowered.processor == "c"
    monkeypatch.setattr(backends, "DEFAULT", "interpreter")
    assert lowered.processor == "interpreter"
    monkeypatch.setattr(backends, "DEFAULT", "c")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert lowered.processor == "numpy"
