"""Python values as arguments: what an array is, what a number is, what a static value is.

In: whatever a caller passes. Out: a `Fact` for binding, a NumPy array without a copy, or a static value.
Between: arrays are never converted; what is not an array is a TdslError that says what to write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdsl import faults
from tdsl.errors import a
from tdsl.ir.dtype import BF16, DTYPES, Dtype
from tdsl.ops import numpy_dtype
from tdsl.runtime.binding import Fact, wrong_dtype
from tdsl.syntax.elaboration.entry import Parameter, Static

Array = NDArray[Any]
_NAMES: dict[str, Dtype] = {
    **{f"int{b}": DTYPES[f"i{b}"] for b in (8, 16, 32, 64)},
    **{f"uint{b}": DTYPES[f"u{b}"] for b in (8, 16, 32, 64)},
    **{f"float{b}": DTYPES[f"f{b}"] for b in (16, 32, 64)},
    "bfloat16": DTYPES["bf16"],
    "bool": DTYPES["bool"],
}


PLAIN: dict[type, Callable[[Any], object]] = {np.ndarray: attrgetter("dtype", "shape")}
"""What calls are told apart by, for types of arrays that need no look at the parameter."""
_NUMBERS = (bool, int, float, np.generic)


def is_number(value: object) -> bool:
    """Whether a value goes for a rank-0 tensor by value: a Python number or a NumPy scalar."""
    return isinstance(value, _NUMBERS)


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor; torch is never imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_compiling() -> bool:
    """Whether `torch.compile` is reading this call instead of running it."""
    # Another thread may be importing torch: `compiler` is there when it is whole.
    compiler = getattr(sys.modules.get("torch"), "compiler", None)
    return compiler is not None and compiler.is_dynamo_compiling()


def as_array(name: str, value: Any) -> Any:
    """A NumPy array without a copy; numbers and torch tensors stay as they are.

    Raises TdslTypeError for anything else.
    """
    if type(value) is np.ndarray or is_number(value) or is_tensor(value):
        return value
    if isinstance(value, np.memmap):
        return np.asarray(value)
    if isinstance(value, np.ma.MaskedArray):
        hint = "fill it with `.filled(value)`"
        raise faults.NOT_TENSOR.at(name=name, found="a masked array", hint=hint)
    if isinstance(value, np.ndarray):
        hint = "pass `np.asarray(...)` of it: a subclass may mean something else by its operators"
        raise faults.NOT_TENSOR.at(name=name, found=a(type(value).__name__), hint=hint)
    if hasattr(value, "__dlpack__"):
        return _from_dlpack(name, value)
    hint = "write `np.asarray(...)`" if isinstance(value, list | tuple) else ""
    raise faults.NOT_TENSOR.at(name=name, found=a(type(value).__name__), hint=hint)


def _from_dlpack(name: str, value: Any) -> Array:
    try:
        array: Array = np.from_dlpack(value)
    except (RuntimeError, BufferError, TypeError, ValueError) as error:
        found = f"{a(type(value).__name__)} that NumPy cannot view"
        raise faults.NOT_TENSOR.at(name=name, found=found, note=str(error)) from None
    return array


def fact_of(name: str, value: Any) -> Fact:
    """What binding sees of an argument that `as_array` gave. Raises TdslTypeError for no dtype of ours."""
    if is_number(value):
        item = value.item() if isinstance(value, np.generic) else value
        kind = type(item).__name__
        if kind not in ("bool", "int", "float"):
            raise faults.NOT_TENSOR.at(name=name, found=a(type(value).__name__))
        return Fact((), None, kind)  # type: ignore[arg-type]
    dtype = dtype_named(value.dtype)
    convert = ".to(...)" if is_tensor(value) else ".astype(...)"
    if dtype is None:
        found = f"an array of {value.dtype}"
        raise faults.NOT_TENSOR.at(name=name, found=found, hint=f"convert it with `{convert}`")
    return Fact(tuple(value.shape), dtype, convert=convert)


def dtype_named(dtype: object) -> Dtype | None:
    """Our dtype for NumPy's or torch's; None if there is none (another byte order included)."""
    return _NAMES.get(str(dtype).removeprefix("torch."))


def converter(name: str, dtype: Dtype, fact: Fact) -> Callable[[Any], Array]:
    """From a Python number or NumPy scalar to the 0-d array of a parameter's dtype."""
    target = numpy_dtype(dtype)
    limit = _largest(dtype)
    fits = {"bool": dtype.kind == "bool", "int": dtype.kind != "bool"}
    if not fits.get(fact.number or "", dtype.kind == "float"):
        raise wrong_dtype(name, dtype, fact)

    def convert(value: Any) -> Array:
        item = value.item() if isinstance(value, np.generic) else value
        if limit < abs(item) < inf:
            raise faults.DOES_NOT_FIT.at(value=item, dtype=dtype)
        try:
            return np.asarray(item, target)
        except OverflowError:
            raise faults.DOES_NOT_FIT.at(value=item, dtype=dtype) from None

    return convert


def _largest(dtype: Dtype) -> float:
    """The largest finite value of a float dtype narrower than Python's; NumPy judges the others."""
    if dtype.kind != "float" or dtype.bits == 64:
        return inf
    if dtype == BF16:
        return float.fromhex("0x1.fep127")
    return float(np.finfo(numpy_dtype(dtype)).max)


def static_value(parameter: Parameter, value: Any) -> Static:
    """The value of a static parameter: numbers, strings, dtypes, and tuples for axes.

    Raises TdslTypeError for anything else.
    """
    item = value.item() if isinstance(value, np.generic) else value
    if parameter.kind == "DType":
        item = _dtype_value(item)
    elif parameter.kind == "Axis" and isinstance(item, list | tuple):
        item = tuple(i.item() if isinstance(i, np.generic) else i for i in item)
    if item is None or not isinstance(item, bool | int | float | str | tuple | Dtype):
        found = a(type(value).__name__) if item is not None else repr(value)
        raise faults.WRONG_STATIC.at(name=parameter.name, wanted=a(parameter.kind), found=found)
    return item


def _dtype_value(value: Any) -> Dtype | None:
    """`"f32"`, `np.float32`, `np.dtype("f4")` and `torch.float32` alike; None for anything else."""
    if isinstance(value, Dtype):
        return value
    if isinstance(value, str) and value in DTYPES:
        return DTYPES[value]
    if isinstance(value, type) and issubclass(value, np.generic):
        return dtype_named(np.dtype(value))
    return dtype_named(value)


def exact(value: object) -> object:
    """A key that tells 1 from 1.0 and True, 0.0 from -0.0, and holds that nan is nan.

    None for what cannot be part of a key, which is no static value either.
    """
    if isinstance(value, float | np.floating):
        return (type(value), repr(value))
    if isinstance(value, list | tuple):
        return tuple(exact(item) for item in value)
    return None if type(value).__hash__ is None else (type(value), value)
