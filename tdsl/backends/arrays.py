"""Arrays as kernels on the processor see them: memory, an address, and a library for products.

In: shapes and dtypes. Out: fresh arrays, addresses, results of library calls. Between: an executor knows
arrays only through an `Arrays`, so that NumPy's arrays and torch's tensors take one road.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, MutableMapping
from ctypes import c_void_p
from functools import partial
from math import prod
from typing import Any, Protocol

import numpy as np

from tdsl.backends import pool
from tdsl.backends.threads import THREADS
from tdsl.fusion.kernel import Store
from tdsl.fusion.plan import LibraryCall
from tdsl.ir.dtype import AnyDtype
from tdsl.ir.node import Node, topological
from tdsl.ir.size import ONE, Size
from tdsl.ir.size import index as variable
from tdsl.ops import input_, numpy_dtype

Sizes = Callable[[Size], int]
_at_address = c_void_p.from_address
_IS_CPYTHON = sys.implementation.name == "cpython"
_HEADER = object.__basicsize__
"""Where the address of an array's data stands in NumPy's object, by its binary interface."""


class Arrays(Protocol):
    """What an executor needs of a kind of arrays."""

    def maker(self, shape: tuple[int, ...], dtype: AnyDtype) -> Callable[[], Any]:
        """A function that gives fresh contiguous arrays."""

    def pointers(self, arrays: Iterable[Any]) -> Iterable[c_void_p | int]:
        """The address of each array's first element."""

    def view(self, array: Any) -> Any:
        """The same memory as NumPy's array."""

    def threads(self) -> int:
        """How many threads a large kernel is to have now."""

    def call(self, step: LibraryCall, memory: MutableMapping[str, Any], size: Sizes) -> None:
        """Run a library call on buffers, by name."""


class NumpyArrays:
    """NumPy's arrays."""

    def maker(self, shape: tuple[int, ...], dtype: AnyDtype) -> Callable[[], Any]:
        """A function that gives fresh contiguous arrays."""
        own = numpy_dtype(dtype)
        count = prod(shape) * own.itemsize
        if pool.POOL.leases(count):
            return lambda: np.ndarray(shape, own, pool.POOL.lease(count))
        return partial(np.empty, shape, own)

    @staticmethod
    def pointers(arrays: Iterable[Any]) -> Iterable[c_void_p | int]:
        """The address of each array's first element, as it stands in the array's object."""
        if not _IS_CPYTHON:
            return [array.ctypes.data for array in arrays]
        return [_at_address(id(array) + _HEADER) for array in arrays]

    def view(self, array: Any) -> Any:
        """The array itself."""
        return array

    @staticmethod
    def threads() -> int:
        """As many as the process has."""
        return THREADS.count

    def call(self, step: LibraryCall, memory: MutableMapping[str, Any], size: Sizes) -> None:
        """Run a library call as the interpreter does."""
        shapes = {read.node: read.shape for read in step.reads}
        values: dict[Node, Any] = {}
        for node in topological([step.node]):
            if node.op is input_:
                array = memory[str(node["name"])]
                values[node] = array[tuple(0 if s == ONE else slice(None) for s in shapes[node])]
            else:
                run = node.op.evaluate(node, size)
                values[node] = run(*(values[o] for o in node.operands))
        value = np.asarray(values[step.node])
        is_fresh = value.flags.c_contiguous and value.flags.writeable
        for store in step.stores:
            buffer = memory[store.buffer]
            is_alike = value.shape == buffer.shape and value.dtype == buffer.dtype
            if is_fresh and is_alike and _is_plain(store):
                memory[store.buffer], is_fresh = value, False
            else:
                view(buffer, store, size)[...] = value


def evaluate(node: Node, size: Sizes) -> Any:
    """The value of a number that follows from sizes."""
    values: dict[Node, Any] = {}
    with np.errstate(all="ignore"):
        for inner in topological([node]):
            values[inner] = inner.op.evaluate(inner, size)(*(values[o] for o in inner.operands))
    return np.asarray(values[node]).item()


def _is_plain(store: Store) -> bool:
    """Whether a buffer is a value along the value's own axes."""
    places = tuple(map(variable, store.node.axes))
    return store.shape == store.node.axes and store.places == places


def view(array: Any, store: Store, size: Sizes) -> Any:
    """The part of a buffer in which a value is stored, along the value's axes."""
    axes = store.node.axes
    start, steps = 0, dict.fromkeys(axes, 0)
    for place, step in zip(store.places, array.strides, strict=True):
        start += step * size(at_one(place, None))
        for axis in axes:
            steps[axis] += step * (size(at_one(place, axis)) - size(at_one(place, None)))
    shape = tuple(size(axis) for axis in axes)
    flat = array.reshape(-1)[start // array.itemsize :]
    return np.lib.stride_tricks.as_strided(flat, shape, tuple(steps.values()))


def at_one(place: Size, axis: Size | None) -> Size:
    """The place where the index along the axis is 1, and 0 along all others."""
    one, zero = Size((((), 1),)), Size(())
    values = {
        atom: one if atom.args[0] == axis else zero
        for atom in place.atoms()
        if atom.kind == "index"
    }
    return place.substitute(values)


NUMPY = NumpyArrays()
