"""A function over lists of tensors, as optimisers call it.

In: a function; lists of arguments, and arguments that all calls share. Out: lists of results. Between: the
calls do not depend on each other; where tensors lie on a device they become as few launches as they can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tdsl import faults
from tdsl.runtime.arguments import is_compiling, is_tensor
from tdsl.runtime.call import bound_call
from tdsl.runtime.definition import Specialisation, remember
from tdsl.runtime.function import UNKNOWN, Function
from tdsl.runtime.results import Arrange, arrangement


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """How calls of one kind run. `loads` has for each parameter where its value is from."""

    found: Specialisation
    loads: Sequence[Any]
    shared: Sequence[bool]
    arrange: Arrange


class Foreach:
    """A function over lists. Immutable."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.__name__ = f"foreach({function.__name__})"
        self.__doc__ = function.__doc__
        self._prepared: dict[object, Prepared] = {}

    def __repr__(self) -> str:
        return f"<tdsl {self.__name__}: {self.function.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A list of results, or a tuple of lists, if the function has several results.

        A list or tuple as an argument has one value for each call; any other argument is shared.
        Raises TdslTypeError for lists of different lengths or without tensors, and as the calls would.
        """
        given: dict[int | str, Any] = dict(enumerate(args))
        given.update(kwargs)
        listed = {
            place: value
            for place, value in given.items()
            if isinstance(value, list | tuple) and not self.function.is_static(place)
        }
        count = self._count(listed)
        rows = [
            (
                tuple(listed[i][n] if i in listed else a for i, a in enumerate(args)),
                {name: listed[name][n] if name in listed else a for name, a in kwargs.items()},
            )
            for n in range(count)
        ]
        found = self._results(rows, listed)
        if isinstance(found[0], tuple):
            return tuple(list(column) for column in zip(*found, strict=True))
        return found

    def _count(self, listed: Mapping[int | str, Sequence[Any]]) -> int:
        lengths = {place: len(values) for place, values in listed.items()}
        counts = set(lengths.values())
        if len(counts) != 1 or counts == {0}:
            message = f"`{self.__name__}` takes lists of one length, of at least one tensor"
            note = f"the lengths are {', '.join(map(str, lengths.values()))}" if lengths else ""
            raise faults.CALL_ARGUMENT.at(message=message, note=note)
        return counts.pop()

    def _results(
        self,
        rows: Sequence[tuple[tuple[Any, ...], dict[str, Any]]],
        listed: Mapping[int | str, Any],
    ) -> list[Any]:
        tensors = any(is_tensor(value) for values in listed.values() for value in values)
        if not tensors or is_compiling():
            return [self.function(*args, **kwargs) for args, kwargs in rows]
        from tdsl.runtime.torch.foreach import run_many

        shared: dict[Prepared, list[Any]] = {}
        calls, arranges = [], []
        for args, kwargs in rows:
            values = (*args, *kwargs.values())
            prepared = self._prepare(args, kwargs, listed)
            if prepared not in shared:
                shared[prepared] = [load(values) for load in prepared.loads]
            own = zip(prepared.loads, prepared.shared, shared[prepared], strict=True)
            loaded = [known if is_shared else load(values) for load, is_shared, known in own]
            calls.append((prepared.found, loaded))
            arranges.append(prepared.arrange)
        found = run_many(calls, self.function.target.mode)
        return [arrange(results) for arrange, results in zip(arranges, found, strict=True)]

    def _prepare(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], listed: Mapping[int | str, Any]
    ) -> Prepared:
        """What a call like this one runs, found once for calls of one kind."""
        places = [*range(len(args)), *kwargs]
        values = (*args, *kwargs.values())
        described = map(self.function.described, places, values)
        key = (tuple(kwargs), tuple(listed), *described)
        known = self._prepared.get(key)
        if known is None:
            target = self.function.target
            found, arguments = bound_call(target, values, tuple(kwargs))
            loads = [a.load(p) for a, p in zip(arguments, found.graph.params, strict=True)]
            is_listed = [place in listed for place in places]
            shared = [not (isinstance(a.place, int) and is_listed[a.place]) for a in arguments]
            known = Prepared(found, loads, shared, arrangement(target.derivations, found.graph))
            if UNKNOWN not in key:
                remember(self._prepared, key, known)
        return known
