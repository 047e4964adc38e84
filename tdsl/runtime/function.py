"""What people call: compiled functions.

In: arrays (NumPy, torch on the CPU, anything with `__dlpack__`) and static values. Out: arrays of the same
kind. Between: everything that depends on dtypes, shapes and static values is found by one look-up.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from tdsl import faults
from tdsl.errors import TdslError
from tdsl.ir.dtype import DTYPES, may_be_float
from tdsl.runtime.arguments import PLAIN, exact, is_compiling, is_number, is_tensor
from tdsl.runtime.backends import require_backend
from tdsl.runtime.binding import python_signature
from tdsl.runtime.call import Call, Target, compile_call
from tdsl.runtime.definition import Mode, remember
from tdsl.runtime.pipeline import Derivation

if TYPE_CHECKING:
    from tdsl.runtime.lowered import Lowered

UNKNOWN = object()
"""Stands for what no look-up finds."""
T = TypeVar("T")


def _constant_when_compiling(method: T) -> T:
    """Mark a method that `torch.compile` calls instead of reading it; torch need not be imported."""
    method.__dict__["_dynamo_marked_constant"] = True
    return method


class Function:
    """A compiled function: call it on arrays. Immutable; `using` and derivatives make others.

    `__name__`, `__doc__` and `signature` are the source's; a jitted one has `__wrapped__` as well.
    """

    __name__: str
    target: Target
    _metadata: Mapping[str, Any]
    _calls: dict[object, Call]

    def __init__(self, target: Target, metadata: Mapping[str, Any]) -> None:
        self.__dict__.update(metadata, target=target, _metadata=metadata, _calls={})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a tdsl function is immutable: `{name}` cannot be set")

    def __copy__(self) -> Function:
        return self

    def __deepcopy__(self, _: object) -> Function:
        return self

    @property
    def signature(self) -> str:
        """The signature as the source writes it."""
        return self.target.signature.text

    @property
    def __signature__(self) -> inspect.Signature:
        """The parameters for `inspect.signature`, so that editors and `help` know them."""
        return python_signature(
            self.target.signature, takes_cotangents=self.target.takes_cotangents
        )

    def __repr__(self) -> str:
        try:
            return f"<tdsl function {self.__name__}: {self.signature}>"
        except TdslError:  # a jitted function that does not compile can still be looked at
            return f"<tdsl function {self.__name__}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results on these arguments.

        Raises TdslTypeError for wrong dtypes and kinds, TdslValueError for wrong ranks and sizes.
        """
        if is_compiling():
            from tdsl.runtime.torch_compile import traced

            return traced(self, args, kwargs)
        key: list[object] = [
            describe(a) if (describe := PLAIN.get(type(a))) else self.described(i, a)
            for i, a in enumerate(args)
        ]
        if kwargs:
            for name, a in kwargs.items():
                key += [name, self.described(name, a)]
            args = (*args, *kwargs.values())
        call = self._calls.get(tuple(key))
        if call is None:
            call = compile_call(self.target, args, tuple(kwargs))
            if UNKNOWN not in key:
                remember(self._calls, tuple(key), call)
        return call(args)

    def described(self, place: int | str, value: Any) -> object:
        """What the look-up depends on: of a static argument its value, of a number its kind."""
        kind = type(value)
        if kind in PLAIN:
            return PLAIN[kind](value)
        if place in self._static_places:
            return exact(value)
        if is_tensor(value):
            return (value.dtype, value.ndim)
        return kind if value is None or is_number(value) else UNKNOWN

    @_constant_when_compiling
    def is_static(self, place: int | str) -> bool:
        """Whether the argument at a position or by a name is a static one."""
        return place in self._static_places

    @_constant_when_compiling
    def plan(self, _identity: int, given: Sequence[Any], keywords: Sequence[str]) -> str:
        """The name for how `torch.compile` records a call with such arguments."""
        from tdsl.runtime.torch_compile import make_plan

        return make_plan(self.target, given, keywords)

    @cached_property
    def _static_places(self) -> frozenset[int | str]:
        return self.target.static_places

    def using(
        self,
        *,
        backend: str | None = None,
        checked: bool | None = None,
        donate: Sequence[str] = (),
    ) -> Function:
        """The same function pinned to a backend, or in the checked mode.

        Raises TdslValueError for a backend that is not available: a pinned one never falls back.
        `donate` names arguments whose memory results may take, when no gradient is recorded; generated
        kernels do so where every element is read at the place where the result is stored.
        """
        backend = backend or self.target.mode.backend
        require_backend(backend)
        for name in donate:
            if name not in {p.name for p in self.target.signature.parameters}:
                message = f"`{self.__name__}` has no parameter `{name}`"
                raise faults.CALL_ARGUMENT.at(message=message)
        is_checked = self.target.mode.checked if checked is None else checked
        return Function(
            replace(
                self.target,
                mode=Mode(is_checked, backend, tuple(donate) or self.target.mode.donate),
            ),
            self._metadata,
        )

    def derive(self, kind: str, wrt: str | Sequence[str] | None = None) -> Function:
        """A derivative of this function: `grad`, `value_and_grad` or `vjp`.

        Raises TdslError for a name in `wrt` that is no floating tensor parameter.
        """
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt) if wrt is not None else None
        if not self.target.takes_cotangents:
            self._check_wrt(names or ())
        step = Derivation(kind, names, isinstance(wrt, str))
        derived = replace(self.target, derivations=(*self.target.derivations, step))
        metadata = {"__name__": f"{kind}({self.__name__})", "__doc__": self.__doc__}
        return Function(derived, metadata)

    def _check_wrt(self, names: Sequence[str]) -> None:
        known = {p.name: p for p in self.target.signature.parameters}
        for name in names:
            if name not in known:
                hint = "the parameters are " + ", ".join(f"`{n}`" for n in known)
                raise faults.WRT_UNKNOWN.at(name=name, function=self.__name__, hint=hint)
            dtype = DTYPES.get(known[name].dtype)
            if not known[name].is_tensor or (dtype is not None and not may_be_float(dtype)):
                raise faults.WRT_NOT_FLOAT.at(name=name, dtype=known[name].dtype)

    def lower(
        self,
        *specs: Any,
        backend: str | None = None,
        target: str | None = None,
        grad: bool | str | Sequence[str] | None = None,
        **static: Any,
    ) -> Lowered:
        """Compile without running.

        Arguments are arrays or specs such as `"f32[8, 64]"`; without any tensor argument the graph
        stays generic. `grad=True`, or names of parameters, adds the backward. Without `backend` it is the
        one that the function is pinned to, if any. Raises TdslError as a call would.
        """
        backend = backend or self.target.mode.backend
        require_backend(backend)
        from tdsl.runtime.kernels import Wish
        from tdsl.runtime.lowered import lower

        return lower(self.target, specs, static, Wish(grad, backend, target))

    def export(
        self, *specs: Any, grad: bool | str | Sequence[str] | None = None, **static: Any
    ) -> str:
        """The text of a Python file with the function's Triton kernels, which runs without tdsl.

        Specs choose dtypes and ranks; sizes stay run-time values. `grad` is as in `lower`. Raises
        TdslError as a call would, and for operations that no kernel computes.
        """
        from tdsl.runtime.export import export

        return export(self.target, specs, static, grad)
