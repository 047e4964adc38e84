"""Laws that hold for every operation of the catalogue, on the samples that it brings along."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from tdsl.ir.dtype import DTYPES, F32, F64, Dtype
from tdsl.ir.node import Node, TypeRuleError, make
from tdsl.ir.rewrite import substitute
from tdsl.ir.size import name
from tdsl.ops import CATALOGUE, Operation, Pointwise, input_, numpy_dtype
from tests.ops.graphs import (
    EMPTY,
    OPERATIONS,
    SIZES,
    Array,
    Env,
    fill,
    inputs,
    laid_out,
    run,
    shape,
)

SAMPLES = [
    pytest.param(node, id=f"{op.name}-{i}")
    for op in OPERATIONS
    for i, node in enumerate(op.samples())
]
POINTWISE = [op for op in OPERATIONS if isinstance(op, Pointwise)]
TYPED = [
    pytest.param(op, dtype, id=f"{op.name}-{dtype}")
    for op in POINTWISE
    for dtype in DTYPES.values()
    if dtype.kind in op.kinds and (dtype.bits > 16 or dtype.kind != "float")
]


def has_answer(node: Node, env: Env) -> bool:
    """argmax and argmin over nothing are errors."""
    return not (node.op.name in ("argmax", "argmin") and 0 in shape(node["axes"], env))


def awkward(array: Array) -> Array:
    """The same values, read-only, with negative strides that skip every other place."""
    wide = np.zeros((*array.shape, 2), array.dtype)
    backwards = (slice(None, None, -1),) * array.ndim
    view: Array = wide[..., 0]
    view[backwards] = array
    view = view[backwards] if array.ndim else view
    view.flags.writeable = False
    return view


def assert_same(got: Array, wanted: Array) -> None:
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("op", CATALOGUE.values(), ids=str)
def test_is_documented_and_has_samples(op: Operation) -> None:
    assert op.doc.endswith(".")
    assert op.name == "input" or op.samples()


@pytest.mark.parametrize("node", SAMPLES)
@pytest.mark.parametrize("env", [SIZES, EMPTY], ids=["full", "empty"])
def test_the_array_has_the_dtype_and_layout_of_the_node(node: Node, env: Env) -> None:
    if has_answer(node, env):
        result = run(node, fill([node], env=env), env)
        assert result.dtype == numpy_dtype(node.dtype)
        assert result.shape == shape(node.axes, env)


@pytest.mark.parametrize("node", SAMPLES)
def test_the_order_of_the_inputs_axes_changes_nothing(node: Node) -> None:
    values = fill([node])
    turned = {x: input_(name=x["name"], dtype=x.dtype, axes=x.axes[::-1]) for x in inputs([node])}
    (other,) = substitute([node], turned) if node.op.name != "call" else (node,)
    arrays = {turned[x]: array.T for x, array in values.items()} | values
    got = run(other, arrays)
    assert_same(laid_out(got, other.axes, node.axes), run(node, values))


@pytest.mark.parametrize("node", SAMPLES)
def test_memory_layout_changes_nothing_and_inputs_are_never_written(node: Node) -> None:
    values = fill([node])
    strided = {x: awkward(array) for x, array in values.items()}
    got = run(node, strided)
    for x, array in values.items():
        np.testing.assert_array_equal(strided[x], array)
    assert_same(got, run(node, values))


@pytest.mark.parametrize("node", SAMPLES)
def test_an_operand_that_lacks_an_axis_is_invariant_along_it(node: Node) -> None:
    values = fill([node])
    for x in inputs([node]):
        for axis in x.axes:
            rest = tuple(a for a in x.axes if a != axis)
            thin = input_(name="thin", dtype=x.dtype, axes=rest)
            (lacking,) = substitute([node], {x: thin})
            part = values[x].take(0, axis=x.axes.index(axis))
            whole = laid_out(part, rest, x.axes)
            wanted = run(node, {**values, x: whole})
            got = run(lacking, {**values, thin: part})
            assert set(lacking.axes) <= set(node.axes)
            assert_same(laid_out(got, lacking.axes, node.axes), wanted)


@pytest.mark.parametrize(("op", "dtype"), TYPED)
def test_every_dtype_gives_what_infer_says(op: Pointwise, dtype: Dtype) -> None:
    for attrs in op.variants:
        node = op.sample(dtype, [(name("N"), name("D"))], attrs)
        assert run(node, fill([node])).dtype == numpy_dtype(node.dtype)


@pytest.mark.parametrize("op", [op for op in POINTWISE if "float" in op.kinds], ids=str)
def test_f32_agrees_with_f64(op: Pointwise) -> None:
    for attrs in op.variants:
        narrow, wide = (op.sample(dtype, [(name("N"), name("D"))], attrs) for dtype in (F32, F64))
        values = fill([narrow])
        pairs = zip(inputs([wide]), inputs([narrow]), strict=True)
        exact = run(wide, {w: values[x].astype(numpy_dtype(w.dtype)) for w, x in pairs})
        result = run(narrow, values)
        rtol = 2e-5 if result.dtype.itemsize > 2 else 0.0
        np.testing.assert_allclose(result.astype(exact.dtype), exact, rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("op", POINTWISE, ids=str)
def test_other_kinds_and_storage_types_are_refused(op: Pointwise) -> None:
    if op.name in ("where", "cast", "stop_gradient", "checkpoint", "save"):
        return
    for dtype in DTYPES.values():
        allowed = dtype.kind in op.kinds and (dtype.kind != "float" or dtype.bits > 16)
        if not allowed:
            with pytest.raises(TypeRuleError):
                op.sample(dtype, [()], op.variants[0])


@pytest.mark.parametrize("op", OPERATIONS, ids=str)
def test_a_node_is_made_once(op: Operation) -> None:
    for node in op.samples():
        assert make(op, node.operands, **dict(node.attrs)) is node


def test_every_operation_is_exported() -> None:
    from tdsl import ops

    exported = {id(v) for _, v in inspect.getmembers(ops)}
    assert all(id(op) in exported for op in CATALOGUE.values())
