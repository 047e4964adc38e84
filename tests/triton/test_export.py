"""Exported files run without tdsl, agree with plain torch, are formatted, and are the same each time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tdsl
from tdsl.backends.triton import export_reference
from tdsl.backends.triton.export_format import formatted
from tdsl.backends.triton.source import load
from tdsl.cli import main
from tdsl.ops import CATALOGUE
from tdsl.runtime.export import export

KERNELS = Path(tdsl.__file__).parent.parent / "kernels"
BLOCKED = "import sys\n\nsys.modules['tdsl'] = None  # whoever imports it gets an ImportError\n"
# Comments repeat the source as it is, and axes have its names, `I` and `O` among them.
RULES = ["--select", "E,F,W,I,B,UP,SIM,RUF", "--ignore", "E501,E741"]
CASES: dict[str, list[str]] = {
    "norms:rms_norm": ["x=f32[6,200]", "w=f32[200]"],
    "norms:layer_norm": ["x=f32[3,2,100]", "w=f32[100]", "b=f32[100]"],
    "norms:group_norm": ["x=f32[2,8,6]", "w=f32[8]", "b=f32[8]"],
    "losses:cross_entropy": ["logits=f32[6,50]", "labels=i64[6]"],
    "activations:swiglu": ["a=f32[6,40]", "b=f32[6,40]"],
    "activations:gelu": ["x=f32[6,40]"],
    "softmax:softmax": ["x=f32[6,50]"],
    "linear:mlp": ["x=f32[6,7]", "w1=f32[5,7]", "b1=f32[5]", "w2=f32[9,5]", "b2=f32[9]"],
    "rope:rope": ["x=f32[2,4,6]", "cosines=f32[4,3]", "sines=f32[4,3]"],
}
STATIC = {"norms:group_norm": ["groups=4"]}
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "streamed": ("norms:layer_norm", ["x=f32[3,20000]", "w=f32[20000]", "b=f32[20000]"]),
    "bf16": ("norms:rms_norm", ["x=bf16[6,200]", "w=bf16[200]"]),
    "f64": ("norms:rms_norm", ["x=f64[6,200]", "w=f64[200]"]),
}


def written(case: str, specs: list[str], out: Path, *options: str) -> str:
    """The text that the command writes."""
    file, fn = case.split(":")
    arguments = ["export", str(KERNELS / f"{file}.tdsl"), "--fn", fn, "-o", str(out), *options]
    arguments += [part for spec in specs for part in ("--arg", spec)]
    arguments += [part for value in STATIC.get(case, []) for part in ("--static", value)]
    assert main(arguments) == 0
    return out.read_text(encoding="utf-8")


def alone(file: Path) -> str:
    """What the file prints where tdsl cannot be imported."""
    (file.parent / "sitecustomize.py").write_text(BLOCKED, encoding="utf-8")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(file.parent)}
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ruff(*arguments: str) -> None:
    command = [sys.executable, "-m", "ruff", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_clean(file: Path) -> None:
    ruff("format", "--check", "--isolated", "--line-length", "100", str(file))
    ruff("check", "--isolated", *RULES, str(file))


def test_the_block_works(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import tdsl\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="import of tdsl halted"):
        alone(tmp_path / "wrong.py")


@pytest.mark.parametrize("case", CASES)
def test_exported_file_agrees_with_torch(case: str, tmp_path: Path) -> None:
    out = tmp_path / "exported.py"
    text = written(case, CASES[case], out, "--grad")
    printed = alone(out)
    floats = [spec.split("=")[0] for spec in CASES[case] if "=f" in spec]
    assert [line.split(":")[0] for line in printed.splitlines()] == [
        "out",
        *(f"d{x}" for x in floats),
    ]
    assert "tdsl" not in [
        line.split()[1] for line in text.splitlines() if line.startswith("import")
    ]
    is_clean(out)
    assert written(case, CASES[case], tmp_path / "again.py", "--grad") == text


@pytest.mark.parametrize("variant", VARIANTS)
def test_exported_file_for_other_sizes_and_dtypes(variant: str, tmp_path: Path) -> None:
    case, specs = VARIANTS[variant]
    written(case, specs, tmp_path / "exported.py", "--grad")
    alone(tmp_path / "exported.py")
    is_clean(tmp_path / "exported.py")


def test_without_gradients_there_is_no_autograd_function(tmp_path: Path) -> None:
    text = written("norms:rms_norm", CASES["norms:rms_norm"], tmp_path / "exported.py")
    assert "autograd" not in text
    assert alone(tmp_path / "exported.py").startswith("out: error")


def test_gradients_of_some_parameters(tmp_path: Path) -> None:
    out = tmp_path / "exported.py"
    text = written("norms:rms_norm", CASES["norms:rms_norm"], out, "--grad=w")
    assert "return None, dw, None, None" in text
    assert [line.split(":")[0] for line in alone(out).splitlines()] == ["out", "dw"]


def test_text_does_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    texts = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.py"
        command = [sys.executable, "-m", "tdsl", "export", str(KERNELS / "losses.tdsl"), "--fn"]
        command += [
            "cross_entropy",
            "--arg",
            "logits=f32[6,50]",
            "--arg",
            "labels=i64[6]",
            "--grad",
        ]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([*command, "-o", str(out)], check=True, env=environment, capture_output=True)
        texts.append(out.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


LAYER_NORM = """
def layer_norm(x: T[N, D], w: T[D]) -> T[N, D]:
    c = x - mean(x, axis=D)
    return c * rsqrt(mean(c * c, axis=D) + 1e-5) * w
"""


def test_arguments_that_do_not_fit_are_told() -> None:
    function: Any = tdsl.compile(LAYER_NORM)
    text = export(function.target, ("f32[4,8]", "f32[8]"), {}, True)
    layer_norm: Any = load(text, "layer_norm")
    x, w = torch.randn(4, 8), torch.ones(8)
    for arguments, message in [
        ((x, torch.ones(7)), r"w \[D\] has the shape \[7\]"),
        ((x[0], w), r"x \[N, D\] has the shape \[8\]"),
        ((x.double(), w), "x is torch.float64, not torch.float32"),
        (
            (torch.randn(1, 200), torch.ones(200)),
            "these kernels hold rows of 128, not 200",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            layer_norm(*arguments)


def test_strided_and_empty_arguments_and_numbers() -> None:
    source = "def f(x: T[N, D], c: T = 0.5) -> (T[N, D], i64[N], i64[N]):\n"
    source += "    return x * c, argmax(x, axis=D), argmin(x, axis=D)\n"
    function: Any = tdsl.compile(source)
    f: Any = load(export(function.target, ("f32[4,8]",), {}, "x"), "f")
    x = torch.randn(8, 4).t().requires_grad_()
    y, place, _ = f(x)
    assert torch.equal(y, x * 0.5)
    assert torch.equal(place, x.argmax(dim=1))
    assert torch.equal(f(x, 2.0)[0], x * 2)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx, torch.full((4, 8), 0.5))
    assert f(torch.empty(0, 8))[0].shape == (0, 8)


def test_without_specs_dtypes_are_f32() -> None:
    function: Any = tdsl.compile(LAYER_NORM)
    text = export(function.target, (), {}, True)
    assert "x is {x.dtype}, not torch.float32" in text
    assert "x: f32[1024, 1024]" in text


@pytest.mark.parametrize(
    ("source", "code", "what"),
    [
        ("def f(x: T[*B]) -> T[*B]:\n    return x\n", "E0504", "any number of axes"),
        ("def clamp(x: f32[N]) -> f32[N]:\n    return x\n", "E0505", "has a meaning"),
        ("def f(torch: f32[N]) -> f32[N]:\n    return torch\n", "E0505", "`torch` has a meaning"),
        ("def f(grid: f32[N]) -> f32[N]:\n    return grid\n", "E0505", "`grid` has a meaning"),
        ("def f() -> f32:\n    return 1.0\n", "E0505", "no tensor parameter"),
    ],
)
def test_what_cannot_be_exported(source: str, code: str, what: str) -> None:
    function: Any = tdsl.compile(source)
    with pytest.raises(tdsl.TdslError) as caught:
        export(function.target, (), {}, None)
    assert code in str(caught.value)
    assert what in str(caught.value)


def test_derivatives_are_exported_with_their_function() -> None:
    function: Any = tdsl.compile(LAYER_NORM)
    with pytest.raises(tdsl.TdslError, match="export the function with --grad"):
        export(tdsl.vjp(function).target, (), {}, None)


def test_json_and_unwritable_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", str(KERNELS / "softmax.tdsl"), "--fn", "softmax", "--arg", "x=f32[4,8]"]
    out = tmp_path / "softmax.py"
    assert main([*arguments, "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"function": "softmax", "out": str(out), "lines": out.read_text().count("\n")}
    assert main([*arguments, "-o", str(tmp_path / "none" / "softmax.py")]) == 1
    assert "E0404" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_every_operation_has_a_spelling_in_torch_or_a_reason() -> None:
    known = {**export_reference.INFIX, **export_reference.CALLS, **export_reference.REDUCTIONS}
    known |= {**export_reference.SCANS, **export_reference.NO_SPELLING}
    families = ("pointwise", "reduction", "scan")
    assert known.keys() == {name for name, op in CATALOGUE.items() if op.family in families}


def test_long_lines_break_where_ruff_breaks_them(tmp_path: Path) -> None:
    name = "a_long_name_" * 3
    lines = [
        f"{name} = tl.load({name}_ptr + row * D + column, mask=row_mask & column_mask, other=0.0)",
        f"{name} = f({', '.join(f'{name}{i}' for i in range(5))})",
        f"table = {{{', '.join(f'{chr(34)}{name}{i}{chr(34)}: {i}' for i in range(5))}}}",
        f"x = f({' + '.join(f'{name}{i} * (b{i} // 4)' for i in range(4))}, 1)",
        f"x = ((({name} < 2)))",
        f"x = f(({name} % ((C // 4))), ((1, 2)))",
    ]
    out = tmp_path / "lines.py"
    out.write_text("\n".join(formatted(lines)) + "\n", encoding="utf-8")
    ruff("format", "--check", "--isolated", "--line-length", "100", str(out))
