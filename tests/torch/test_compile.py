"""torch.compile and torch.export: one graph, whatever the sizes; one operator in it for each call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend, EagerAndRecordGraphs
from torch.func import grad, jvp, vmap

import tdsl
from tdsl.kernels import activations
from tests.torch.cases import BY_NAME, OWN, Case, Tensor, each_case, floating

RMS_NORM, DAMPED = BY_NAME["rms_norm"].ours, BY_NAME["damped"].ours
WEIGHTED = OWN.weighted.using(backend="c")
ENVIRONMENT = {**os.environ, "TDSL_BACKEND": "c"}
# Forward mode and Inductor import parts of torch that use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script(_method)?` is deprecated")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function: Callable[..., Any], backend: Any = "aot_eager", **options: Any) -> Any:
    return torch.compile(function, fullgraph=True, backend=backend, **options)


def close(ours: Any, torchs: Any) -> None:
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-11)


def gradients(function: Callable[..., Any], args: list[Tensor], count: int) -> tuple[Tensor, ...]:
    total = torch.stack([result.sin().sum() for result in floating(function(*args))]).sum()
    return torch.autograd.grad(total, args[:count])


def operators(function: Callable[..., Any], *args: Any) -> list[torch._ops.OpOverload[..., Any]]:
    """The operators that a compiled function calls."""
    backend = EagerAndRecordGraphs()
    compiled(function, backend)(*args)
    (graph,) = backend.graphs
    return [node.target for node in graph.graph.nodes if str(node.target).startswith("tdsl.")]


@each_case
def test_compiled_code_agrees_with_gradients(case: Case) -> None:
    function = compiled(case.ours)
    args = case.arguments(grad=True)
    close(function(*args), case.torchs(*args))
    count = len(case.shapes)
    close(gradients(function, args, count), gradients(case.torchs, args, count))


@each_case
def test_one_graph_for_all_sizes(case: Case) -> None:
    counter, graphs = CompileCounterWithBackend("aot_eager"), []
    function = compiled(case.ours, counter, dynamic=True)
    for rows, columns in ((3, 5), (7, 2), (4, 9)):
        sizes = {3: rows, 4: columns, 5: columns}
        shapes = [tuple(sizes[n] for n in shape) for shape in case.shapes]
        args = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
        args += [torch.randint(0, columns, (rows,)) for _ in case.rest]
        close(function(*args), case.torchs(*args))
        count = len(shapes)
        close(gradients(function, args, count), gradients(case.torchs, args, count))
        graphs.append(counter.frame_count)
    # Torch itself takes two tries at a CPU scalar of f64.
    assert graphs == [2 if case.name == "damped" else 1] * 3


def test_another_number_is_no_other_graph() -> None:
    case, counter = BY_NAME["damped"], CompileCounterWithBackend("eager")
    function = compiled(case.ours, counter, dynamic=True)
    x = case.arguments()[0]
    for number in (1.5, 2.5, -3.5, 0.25):
        close(function(x, number), case.torchs(x, torch.tensor(number, dtype=torch.float64)))
    assert counter.frame_count == 1


class Masked(torch.nn.Module):
    """Sizes that depend on data: each call has rows that nobody knows before."""

    def forward(self, x: Tensor, w: Tensor) -> Any:
        some, same = (x[(x[:, 0] > limit).nonzero()[:, 0]] for limit in (0, 0.0))
        return RMS_NORM(some, w), WEIGHTED(some, same), DAMPED(same, 0.5)


def test_sizes_that_depend_on_data() -> None:
    x, w = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.ones(4)
    wanted = Masked()(x, w)
    assert 0 < len(wanted[0]) < 6
    for strict in (False, True):
        close(torch.export.export(Masked(), (x, w), strict=strict).module()(x, w), wanted)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        close(compiled(Masked())(x, w), wanted)


def test_numpy_arrays_stay_with_numpy() -> None:
    x = np.ones((2, 3), np.float32)
    double = torch.compile(lambda x: activations.relu(x), backend="eager")  # noqa: PLW0108
    assert type(double(x)) is np.ndarray
    np.testing.assert_array_equal(double(x), x)


def test_another_static_value_is_another_graph() -> None:
    counter = CompileCounterWithBackend("eager")
    function = compiled(lambda x, slope: activations.leaky_relu(x, slope=slope), counter)
    x = torch.tensor([-1.0, 2.0])
    for slope in (0.5, 0.25, 0.5):
        assert torch.equal(function(x, slope), torch.tensor([-slope, 2.0]))
    assert counter.frame_count == 2


def test_another_function_under_the_same_name_is_seen() -> None:
    class Holder:
        function = activations.gelu

    def late(x: Tensor) -> Any:
        return Holder.function(x)

    x = torch.randn(4)
    function = compiled(late)
    close(function(x), activations.gelu(x))
    Holder.function = activations.relu
    close(function(x), x.relu())


def test_keywords_defaults_and_numbers_reach_their_parameters() -> None:
    f: Any = tdsl.compile("def f(x: T[N], s: T = 3, t: T = 0.5) -> T[N]:\n    return x * s - t\n")
    x = torch.arange(3.0)
    for call in (lambda: f(x), lambda: f(x, t=2), lambda: f(t=1.5, x=x, s=torch.tensor(4.0))):
        close(compiled(call)(), call())  # type: ignore[no-untyped-call]


def test_derivatives_and_pinned_functions_compile() -> None:
    loss = BY_NAME["cross_entropy"]
    both = tdsl.value_and_grad(loss.ours, "logits")  # type: ignore[arg-type]
    close(compiled(both)(*loss.arguments()), both(*loss.arguments()))
    x, w = BY_NAME["rms_norm"].arguments()
    back = tdsl.vjp(RMS_NORM)  # type: ignore[arg-type]
    close(compiled(lambda x, w: back(x, w, x, eps=1e-3))(x, w), back(x, w, x, eps=1e-3))
    checked = activations.gelu.using(checked=True)
    close(compiled(checked)(x), activations.gelu(x))


def test_a_wrong_call_says_the_same_compiled() -> None:
    scaled: Any = tdsl.compile("def f(x: T[N, D], w: T[D]) -> T[N, D]:\n    return x * w\n")
    f = compiled(scaled, "eager")
    with pytest.raises(Exception, match=r"E0305.*`D` of `w` has 5 elements, and 4 along axis 1"):
        f(torch.ones(3, 4), torch.ones(5))
    with pytest.raises(Exception, match=r"E0304.*`w` is f32, and the argument is f64"):
        f(torch.ones(3, 4), torch.ones(4, dtype=torch.float64))


TRANSFORMS: dict[str, Callable[[Any, list[Tensor]], Any]] = {
    "grad": lambda f, a: grad(lambda *v: f(*v).sin().sum(), (0, 1))(*a),
    "vmap": lambda f, a: vmap(f)(*(torch.stack([x, 2 * x]) for x in a)),
    "vmap of grad": lambda f, a: vmap(grad(lambda *v: f(*v).sin().sum()), (None, 0))(a[0], torch.stack([a[1]] * 3)),
    "jvp": lambda f, a: jvp(f, tuple(a), tuple(x.cos() for x in a)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_inside_of_compiled_code(name: str) -> None:
    transform, case = TRANSFORMS[name], BY_NAME["rms_norm"]
    ours = compiled(lambda *args: transform(case.ours, list(args)))
    close(ours(*case.arguments()), transform(case.torchs, case.arguments()))


@each_case
def test_operators_pass_torchs_own_check(case: Case) -> None:
    args = case.arguments(grad=True)
    (operator,) = operators(case.ours, *args)
    torch.library.opcheck(operator, tuple(args))
    strided = [x.detach().mT.contiguous().mT if x.ndim == 2 else x for x in case.arguments()]
    torch.library.opcheck(operator, tuple(strided))


def test_operators_of_the_same_graph_are_one() -> None:
    text = "def f(x: T[N]) -> T[N]:\n    return {}\n"
    x = torch.ones(3)
    names = [operators(tdsl.compile(text.format(e)), x)[0] for e in ("x * x", "x * x", "x + x")]  # type: ignore[arg-type]
    assert names[0] is names[1]
    assert names[0] is not names[2]


def test_the_name_is_of_the_source_the_backward_and_the_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = """
def f(x: T[N]) -> T[N]:
    return x * x

@vjp_of(f)
def back(x: T[N], y: T[N], dy: T[N]) -> T[N]:
    return {} * dy * x

def g(x: T[N]) -> T[N]:
    return f(x)
"""

    def name(factor: int) -> str:
        module: Any = tdsl.compile(text.format(factor))
        return str(operators(module.g, torch.ones(3))[0])

    two, three = name(2), name(3)
    assert two != three
    assert name(2) == two
    monkeypatch.setattr("tdsl.runtime.torch.operator.__version__", "another")
    assert name(2) != two


def test_a_result_is_never_an_argument() -> None:
    f: Any = tdsl.compile("def f(x: T[N]) -> (T[N], T[N]):\n    return x, x\n")
    x = torch.ones(3)
    places = {t.data_ptr() for t in (x, *compiled(f)(x), *f(x))}
    assert len(places) == 5


def test_inductor_finds_its_code_again_in_another_process(tmp_path: Path) -> None:
    """The second process takes graphs from disk, and must know the operators that they name."""
    code = """
import torch
from torch._dynamo.utils import counters
from tdsl.kernels import norms
x, w = torch.randn(6, 8, requires_grad=True), torch.randn(8, requires_grad=True)
f = torch.compile(norms.rms_norm, fullgraph=True)
found = torch.autograd.grad(f(x, w).sin().sum(), (x, w))
wanted = torch.autograd.grad(torch.rms_norm(x, (8,), w, 1e-6).sin().sum(), (x, w))
torch.testing.assert_close(found, wanted)
print(counters["aot_autograd"]["autograd_cache_hit"])
"""
    env = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    run = [sys.executable, "-c", code]
    hits = [
        subprocess.run(run, env={**ENVIRONMENT, **env}, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [int(hit.stdout) for hit in hits] == [0, 1]


def test_inductor_fuses_around_a_call() -> None:
    case = BY_NAME["rms_norm"]
    args = case.arguments(grad=True)
    ours = compiled(lambda x, w: case.ours(x.mT.exp().mT, w) + 1, "inductor")
    close(gradients(ours, args, 2), gradients(lambda x, w: case.torchs(x.exp(), w) + 1, args, 2))


class Model(torch.nn.Module):
    """A case as a module; floating arguments but the first are parameters."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.function = case.ours
        self.weights = torch.nn.ParameterList(case.arguments()[1 : len(case.shapes)])

    def forward(self, x: Tensor, *rest: Tensor) -> Any:
        return self.function(x, *self.weights, *rest)


@pytest.mark.parametrize("strict", [False, True])
@each_case
def test_exported_programs_run_for_all_sizes_and_train(case: Case, strict: bool) -> None:
    model = Model(case)
    x, rest = case.arguments()[0], case.rest
    rows = torch.export.Dim("rows")
    sizes = ({0: rows}, *([tuple({0: rows} for _ in rest)] if rest else []))
    program = torch.export.export(model, (x, *rest), dynamic_shapes=sizes, strict=strict)
    module = program.module()
    longer = [torch.cat([t, t]) for t in (x, *rest)]
    close(module(*longer), model(*longer))
    weights = [p for p in module.parameters() if p.requires_grad]
    assert len(weights) == len(case.shapes) - 1
    for found, p in zip(weights, model.weights, strict=True):
        total = torch.stack([y.sin().sum() for y in floating(module(*longer))]).sum()
        wanted = torch.stack([y.sin().sum() for y in floating(model(*longer))]).sum()
        close(torch.autograd.grad(total, found), torch.autograd.grad(wanted, p))
    calls = [n for n in program.graph.nodes if str(n.target).startswith("tdsl.")]
    assert len(calls) == 1
