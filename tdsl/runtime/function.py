"""What people call: compiled functions and modules.

In: arrays (NumPy, torch on the CPU, anything with `__dlpack__`) and static values. Out: arrays of the same
kind. Between: everything that depends on dtypes, shapes and static values is found by one look-up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tdsl import faults
from tdsl.ir.dtype import DTYPES, may_be_float
from tdsl.ir.function import Function as Graph
from tdsl.ops import numpy_dtype
from tdsl.runtime.binding import Arguments, as_array, bind, dtypes, ranks, solve
from tdsl.runtime.checked import run_checked
from tdsl.runtime.interpreter import Program
from tdsl.runtime.lowered import Lowered, spec_of
from tdsl.runtime.pipeline import Derivation, compile_function, executable
from tdsl.syntax.elaboration.entry import Signature, Static, signature
from tdsl.syntax.elaboration.program import Program as Source
from tdsl.transforms.differentiate import differentiable_params

BACKENDS = ("interpreter", "numpy", "c", "triton")
Runner = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Specialisation:
    """A graph for given dtypes, ranks and static values, and a program for each set of shapes."""

    graph: Graph
    names: tuple[str, ...]
    programs: dict[tuple[tuple[int, ...], ...], tuple[Program, dict[str, int]]] = field(
        default_factory=dict
    )

    def program(self, shapes: tuple[tuple[int, ...], ...]) -> tuple[Program, dict[str, int]]:
        """The program for these shapes, made on first use."""
        known = self.programs.get(shapes)
        if known is None:
            sizes = solve(self.graph, dict(zip(self.names, shapes, strict=True)))
            known = self.programs[shapes] = (executable(self.graph, sizes), sizes)
        return known


@dataclass(frozen=True, eq=False)
class Function:
    """A compiled function: call it on arrays. It is immutable; `using` and the derivatives make others."""

    source: Source
    name: str
    derivations: tuple[Derivation, ...] = ()
    backend: str | None = None
    checked: bool = False
    _specialisations: dict[Any, Specialisation] = field(default_factory=dict, repr=False)
    _fast: dict[Any, Runner] = field(default_factory=dict, repr=False)
    _signatures: list[Signature] = field(default_factory=list, repr=False)

    @property
    def __name__(self) -> str:
        """The function's name; of a derivative, with what was taken."""
        for derivation in self.derivations:
            return f"{derivation.kind}({self.name})"
        return self.name

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """The docstring in the source."""
        return self._signature.doc

    @property
    def signature(self) -> str:
        """The signature as the source writes it."""
        return self._signature.text

    @property
    def _signature(self) -> Signature:
        if not self._signatures:
            self._signatures.append(signature(self.source, self.name))
        return self._signatures[0]

    def __repr__(self) -> str:
        return f"<tdsl function {self.__name__}: {self.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results on these arguments.

        Raises TdslTypeError for wrong dtypes, TdslValueError for wrong ranks and sizes.
        """
        if not kwargs:
            try:
                return self._fast[tuple([(a.dtype, a.shape) for a in args])](args)
            except (KeyError, AttributeError, TypeError):
                pass
        return self._call(args, kwargs)

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        bound, cotangents = self._bound(args, kwargs)
        torch = sys.modules.get("torch")
        values = (*bound.tensors.values(), *cotangents)
        if torch is not None and any(isinstance(value, torch.Tensor) for value in values):
            from tdsl.runtime.torch import call_torch

            return call_torch(self, bound, cotangents)
        arrays = {name: as_array(name, value) for name, value in bound.tensors.items()}
        extra = [as_array(f"cotangent {i}", value) for i, value in enumerate(cotangents)]
        flat, runner = self.resolved(arrays, bound.statics, extra)
        if not kwargs and not self.checked and all(type(a) is np.ndarray for a in args):
            self._fast[tuple([(a.dtype, a.shape) for a in args])] = runner
        return runner(flat)

    def _bound(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Arguments, tuple[Any, ...]]:
        """The arguments by parameter; `vjp` has cotangents after its tensors, and statics by keyword."""
        own, cotangents = tuple(args), ()
        if any(derivation.kind == "vjp" for derivation in self.derivations):
            count = sum(p.is_tensor for p in self._signature.parameters)
            own, cotangents = own[:count], own[count:]
        return bind(self._signature, own, kwargs), cotangents

    def resolved(
        self, arrays: Mapping[str, Any], statics: Mapping[str, Static], cotangents: Sequence[Any]
    ) -> tuple[list[Any], Runner]:
        """The arrays in the order the graph takes them, and what runs it on such arrays."""
        found = self.specialise(arrays, statics)
        names = found.names
        if len(cotangents) != len(names) - len(arrays):
            raise faults.WRONG_COTANGENTS.at(
                expected=len(names) - len(arrays), found=len(cotangents)
            )
        flat = [
            _typed(value, param)
            for value, param in zip(
                (*arrays.values(), *cotangents), found.graph.params, strict=True
            )
        ]
        shapes = tuple(array.shape for array in flat)
        program, sizes = found.program(shapes)
        if self.checked:
            return flat, lambda given: self._shaped(run_checked(found.graph, sizes, given), found)
        return flat, self._runner(program, found)

    def _runner(self, program: Program, found: Specialisation) -> Runner:
        run = program.run
        if len(found.graph.results) == 1 and not self._is_tuple(found):
            return lambda arrays: run(arrays)[0]
        return lambda arrays: self._shaped(run(arrays), found)

    def _is_tuple(self, found: Specialisation) -> bool:
        if self.derivations:
            return not (self.derivations[-1].single and self.derivations[-1].kind == "grad")
        return len(found.graph.results) > 1

    def _shaped(self, results: list[Any], found: Specialisation) -> Any:
        """Results as the language gives them: `value_and_grad` pairs values and gradients."""
        if self.derivations and self.derivations[-1].kind == "value_and_grad":
            last = self.derivations[-1]
            count = len(last.wrt) if last.wrt is not None else self._gradient_count(found)
            values, gradients = results[: len(results) - count], results[len(results) - count :]
            head = values[0] if len(values) == 1 else tuple(values)
            return head, (gradients[0] if last.single else tuple(gradients))
        return tuple(results) if self._is_tuple(found) else results[0]

    def _gradient_count(self, found: Specialisation) -> int:
        return sum(may_be_float(param.dtype) for param in found.graph.params)

    def specialise(
        self, arrays: Mapping[str, Any], statics: Mapping[str, Static]
    ) -> Specialisation:
        """The graph for these arguments' dtypes and ranks and these static values."""
        rank, dtype = ranks(self._signature, arrays), dtypes(self._signature, arrays)
        exact = tuple((k, type(v).__name__, repr(v)) for k, v in statics.items())
        key = (tuple(arrays), tuple(rank.items()), tuple(dtype.items()), exact)
        known = self._specialisations.get(key)
        if known is None:
            given = frozenset(arrays)
            graph = compile_function(
                self.source, self.name, self.derivations, statics, rank, given, dtype
            )
            names = tuple(param.name for param in graph.params)
            known = self._specialisations.setdefault(key, Specialisation(graph, names))
        return known

    def using(
        self,
        *,
        backend: str | None = None,
        checked: bool | None = None,
        donate: Sequence[str] = (),
    ) -> Function:
        """The same function pinned to a backend, or in the checked mode.

        Raises TdslValueError for a backend that is not available: a pinned one never falls back.
        `donate` names arguments whose memory results may reuse; the interpreter makes no use of it.
        """
        backend = backend or self.backend
        if backend is not None and backend != "interpreter":
            known = (
                "it comes with a later version"
                if backend in BACKENDS
                else "there is none so called"
            )
            raise faults.NO_BACKEND.at(
                backend=backend, note=known, hint="`interpreter` is available"
            )
        for name in donate:
            if name not in {p.name for p in self._signature.parameters}:
                raise faults.CALL_ARGUMENT.at(message=f"`{self.name}` has no parameter `{name}`")
        mode = self.checked if checked is None else checked
        return Function(self.source, self.name, self.derivations, backend, mode)

    def derive(self, kind: str, wrt: str | Sequence[str] | None) -> Function:
        """A derivative of this function. Raises TdslError for a name that is no floating parameter."""
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt) if wrt is not None else None
        known = {p.name: p for p in self._signature.parameters}
        for name in names or ():
            if name not in known:
                hint = ", ".join(f"`{n}`" for n in known)
                raise faults.WRT_UNKNOWN.at(
                    name=name, function=self.name, hint=f"the parameters are {hint}"
                )
            dtype = DTYPES.get(known[name].dtype)
            if not known[name].is_tensor or (dtype is not None and not may_be_float(dtype)):
                raise faults.WRT_NOT_FLOAT.at(name=name, dtype=known[name].dtype)
        step = Derivation(kind, names, isinstance(wrt, str))
        return replace(
            self, derivations=(*self.derivations, step),
            _specialisations={}, _fast={}, _signatures=[],
        )  # fmt: skip

    def lower(
        self,
        *specs: Any,
        backend: str | None = None,
        target: str | None = None,
        grad: bool | Sequence[str] | None = None,
        **static: Any,
    ) -> Lowered:
        """Compile without running.

        Arguments are arrays or specs such as `"f32[8, 64]"`; `grad=True` (or names) adds the backward.
        """
        pinned = self.using(backend=backend)
        if target is not None:
            raise faults.NO_BACKEND.at(backend=target, note="it comes with a later version")
        args = [spec_of(s) if isinstance(s, str) else s for s in specs]
        keywords = {k: _keyword(pinned, k, v) for k, v in static.items()}
        bound, _ = pinned._bound(args, keywords)
        arrays = {k: as_array(k, v) for k, v in bound.tensors.items()}
        found = pinned.specialise(arrays, bound.statics)
        backward = None
        if grad:
            wrt = None if grad is True else tuple(grad)
            if wrt is not None:
                differentiable_params(found.graph, wrt)
            backward = pinned.derive("vjp", wrt).specialise(arrays, bound.statics).graph
        return Lowered(found.graph, backward)


def _keyword(function: Function, name: str, value: Any) -> Any:
    """A keyword argument of `lower`: a spec, if it is text for a tensor parameter."""
    parameters = {p.name: p for p in function._signature.parameters}
    is_spec = isinstance(value, str) and name in parameters and parameters[name].is_tensor
    return spec_of(value) if is_spec else value


def _typed(value: Any, param: Any) -> Any:
    """An array for a parameter; a Python number takes its dtype."""
    if isinstance(value, bool | int | float):
        dtype = param.dtype
        fits = isinstance(value, bool) == (dtype.kind == "bool") and (
            not isinstance(value, float) or dtype.kind == "float"
        )
        if not fits:
            raise faults.CALL_DTYPE.at(name=param.name, expected=dtype, found=type(value).__name__)
        try:
            return np.asarray(value, numpy_dtype(dtype))
        except OverflowError:
            raise faults.DOES_NOT_FIT.at(value=value, dtype=dtype) from None
    if value.dtype != numpy_dtype(param.dtype):
        raise faults.CALL_DTYPE.at(name=param.name, expected=param.dtype, found=value.dtype)
    if value.ndim != len(param.shape):
        raise faults.CALL_RANK.at(
            name=param.name, expected=f"{param.dtype}[{', '.join(map(str, param.shape))}]",
            found=value.ndim,
        )  # fmt: skip
    return value
