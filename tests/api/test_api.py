"""The Python contract: what is called, what comes back, and what is refused."""

from __future__ import annotations

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tdsl
from tdsl.errors import TdslError

SCALE = "def f(x: T[*B, D], w: T[D], eps: float = 0.0) -> T[*B, D]:\n    return x * w + eps\n"
HALF = 0.5


def compiled(text: str) -> Any:
    return tdsl.compile(text)


@tdsl.jit
def gelu(x: T[*A]) -> T[*A]:  # type: ignore[name-defined]  # noqa: F821
    """The exact form."""
    return HALF * x * (1 + erf(x / sqrt(2.0)))  # type: ignore[name-defined]  # noqa: F821


@tdsl.jit
def twice_gelu(x: T[*A]) -> T[*A]:  # type: ignore[name-defined]  # noqa: F821
    return 2 * gelu(x)


@tdsl.jit
def faulty(x: T[*A]) -> T[*A]:  # type: ignore[name-defined]  # noqa: F821
    return rsqr(x)  # type: ignore[name-defined]  # noqa: F821


def test_compile_gives_a_function_or_a_module() -> None:
    f = compiled(SCALE)
    assert f.__name__ == "f"
    assert f.signature == "f(x: T[*B, D], w: T[D], eps: float = 0.0) -> T[*B, D]"
    module = compiled(
        '"""Doc."""\nN = 3\n\n' + SCALE + "\ndef g(x: f32) -> f32:\n    return x * N\n"
    )
    assert module.__doc__ == "Doc."
    assert dir(module) == ["N", "f", "g"]
    assert module.N == 3
    assert "f, g" in repr(module)
    with pytest.raises(AttributeError):
        _ = module.h


def test_load_and_library(tmp_path: Path) -> None:
    path = tmp_path / "mine.tdsl"
    path.write_text("from norms import rms_norm as r\n\ndef f(x: T[N, D], w: T[D]) -> T[N, D]:\n"
                    "    return r(x, w)\n", encoding="utf-8")  # fmt: skip
    x, w = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    module: Any = tdsl.load(path)
    np.testing.assert_array_equal(module.f(x, w), tdsl.kernels.norms.rms_norm(x, w))
    assert set(dir(tdsl.kernels)) >= {"activations", "losses", "norms"}
    with pytest.raises(TdslError, match="cannot be read"):
        tdsl.load(tmp_path / "absent.tdsl")


def test_jit_reads_python_source() -> None:
    x = np.linspace(-2, 2, 7)
    expected = torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(gelu(x), expected, rtol=1e-12)
    np.testing.assert_allclose(twice_gelu(x), 2 * expected, rtol=1e-12)
    assert gelu.__doc__ == "The exact form."
    with pytest.raises(TdslError) as caught:
        faulty(x)
    assert caught.value.span is not None
    line = Path(__file__).read_text(encoding="utf-8").split("\n")[caught.value.span.line - 1]
    assert line[caught.value.span.column - 1 : caught.value.span.end - 1] == "rsqr"
    assert "did you mean `rsqrt`?" in caught.value.hint


def test_arguments_go_by_position_and_keyword() -> None:
    f = compiled(SCALE)
    x, w = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    expected = x * w + 1
    for result in (f(x, w, 1.0), f(x, w, eps=1.0), f(w=w, x=x, eps=1)):
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == np.float64


REFUSED = [
    (lambda f, x, w: f(x), "needs the argument `w`"),
    (lambda f, x, w: f(x, w, 1.0, 2), "takes 3 arguments"),
    (lambda f, x, w: f(x, w, e=1), "no parameter `e`"),
    (lambda f, x, w: f(x, w, x=x), "given twice"),
    (lambda f, x, w: f(x, w[:2]), "axis `D` of `w` has 2 elements, and 3"),
    (lambda f, x, w: f(x, w.astype(np.float32)), "`w` is f64, and the argument is f32"),
    (lambda f, x, w: f(x, x), "`w` is T\\[D\\]"),
    (lambda f, x, w: f(x.tolist(), w), "not a list"),
    (lambda f, x, w: f(np.ma.masked_array(x), w), "masked"),
    (lambda f, x, w: f(x, w, eps="a"), "`eps` is a float"),
    (lambda f, x, w: f(x, torch.from_numpy(w)), "torch tensors"),
    (lambda f, x, w: f.using(backend="d"), "`d` is not available"),
    (lambda f, x, w: f.lower("f32[2", "f32[2]"), "not an argument specification"),
    (lambda f, x, w: tdsl.grad(f, wrt="q"), "no tensor parameter `q`"),
    (lambda f, x, w: tdsl.grad(f)(x, w), "rank-0 result"),
    (lambda f, x, w: tdsl.vjp(f)(x, w), "the number of cotangents is 0, not 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[r[1] for r in REFUSED])
def test_bad_calls_are_refused(call: Any, message: str) -> None:
    f = compiled(SCALE)
    with pytest.raises(TdslError, match=message):
        call(f, np.ones((2, 3)), np.ones(3))


def test_sizes_are_solved_and_checked() -> None:
    f = compiled("def f(x: f32[N, 2*H]) -> f32[N, H]:\n    return x[:, :H]\n")
    assert f(np.ones((2, 6), np.float32)).shape == (2, 3)
    with pytest.raises(ValueError, match="no H >= 0"):
        f(np.ones((2, 5), np.float32))
    g = compiled('def g(x: f32[N]) -> f32[N-2]:\n    assert N > 2, "too short"\n    return x[2:]\n')
    with pytest.raises(ValueError, match="too short"):
        g(np.ones(2, np.float32))


def test_layouts_make_no_difference() -> None:
    f = compiled(SCALE)
    generator = np.random.default_rng(0)
    base, w = generator.standard_normal((4, 6)), generator.standard_normal(3)
    views = [
        base[:, ::2],
        base[::-1, :3],
        base.T[:4, :3],
        np.broadcast_to(base[0, :3], (2, 3)),
        base[:0, :3],
    ]
    for view in views:
        before = view.copy()
        np.testing.assert_array_equal(f(view, w), view * w)
        np.testing.assert_array_equal(view, before)
    assert f(np.float64(2) * np.ones(3), w).shape == (3,)


def test_results_are_fresh() -> None:
    f = compiled("def f(x: T[*A]) -> T[*A]:\n    return x\n")
    x = np.ones(3)
    y = f(x)
    y[0] = 5
    assert x[0] == 1


def test_rank_zero_parameters_take_numbers() -> None:
    f = compiled("def f(x: T[N], lr: T, n: i64) -> T[N]:\n    return x * lr + cast(n, T)\n")
    result = f(np.ones(2, np.float32), 0.5, 3)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, [3.5, 3.5])
    assert f(np.ones(2), np.float64(0.5), np.int64(3)).dtype == np.float64


def test_optional_tensors() -> None:
    f = compiled("def f(x: T[N], b: T[N] = None) -> T[N]:\n    return x if b is None else x + b\n")
    x = np.ones(2)
    np.testing.assert_array_equal(f(x), x)
    np.testing.assert_array_equal(f(x, None), x)
    np.testing.assert_array_equal(f(x, x), 2 * x)


def test_lower_prints_graphs() -> None:
    f = compiled(SCALE)
    lowered = f.lower("f32[8, 4]", "f32[4]", grad=True)
    assert lowered.ir.startswith("function f(x: f32[B.0, D], w: f32[D])")
    assert "f_vjp" in (lowered.backward_ir or "")
    assert f.lower("f32[8, 4]", "f32[4]").backward_ir is None


def test_checked_mode_names_the_operation() -> None:
    f = compiled("def f(x: f64[N]) -> f64[N]:\n    y = log(x)\n    return y * 2\n").using(
        checked=True
    )
    np.testing.assert_allclose(f(np.ones(2)), 0)
    with pytest.raises(ValueError, match=r"`log` makes a NaN or infinity.*`y`"):
        f(np.zeros(2))
    g = compiled("def g(x: f64[N], i: i64[M]) -> f64[M]:\n    return take(x, i, axis=N)\n")
    i = np.array([0, 5])
    np.testing.assert_array_equal(g(np.ones(2), i), [1, 0])
    with pytest.raises(IndexError, match="5 lies outside the axis `N` of 2"):
        g.using(checked=True)(np.ones(2), i)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch_tensors_in_and_out(dtype: torch.dtype) -> None:
    f = compiled(SCALE)
    x, w = torch.randn(4, 6)[:, ::2].to(dtype), torch.randn(3).to(dtype)
    y = f(x, w)
    assert y.dtype == dtype
    assert torch.equal(y, (x.to(torch.float64) * w.to(torch.float64)).to(dtype))
    x.requires_grad_()
    f(x, w).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, w.expand(4, 3))
    assert w.grad is None


def test_torch_gradient_without_a_path_is_zero() -> None:
    f = compiled("def f(x: T[N], y: T[N]) -> T[N]:\n    return floor(x) + y\n")
    x, y = (torch.ones(3, requires_grad=True) for _ in range(2))
    f(x, y).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros(3))


def test_many_threads_agree() -> None:
    f = compiled(SCALE)
    x, w = np.random.default_rng(0).standard_normal((8, 5)), np.ones(5)
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: f(x, w), range(64)):
            np.testing.assert_array_equal(result, x)


def test_import_is_light() -> None:
    code = "import sys, tdsl; print([m for m in ('torch', 'triton', 'lark', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_knows_the_parameters() -> None:
    f = compiled(SCALE)
    assert str(inspect.signature(f)) == "(x: 'T[*B, D]', w: 'T[D]', eps: 'float' = 0.0)"
    assert list(inspect.signature(tdsl.vjp(f)).parameters) == ["x", "w", "cotangents", "eps"]
