"""The budget of one compilation, so that a tiny source with an enormous meaning is refused in seconds.

In: the steps that a part of the compiler is about to take. Out: TdslError once all of them together
are too many. Between: what shares a `Work` shares its budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from tdsl import faults

MAX_STEPS = 500_000
STEPS_OF_A_CALL = 25
"""What entering a function counts: its arguments are bound and its types compared."""
STEPS_OF_A_DERIVATIVE = 100
"""What differentiating one operation counts: it is normalised several times."""


@dataclass(slots=True)
class Work:
    """The steps taken so far."""

    steps: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether the budget is used up."""
        return self.steps > MAX_STEPS

    def spend(self, steps: int) -> None:
        """Take steps. Raises TdslError, without a place, beyond the budget."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise faults.TOO_MUCH_WORK.at(
                limit=f"{MAX_STEPS:,}", hint="loops are unrolled and calls inlined: shorten them"
            )
