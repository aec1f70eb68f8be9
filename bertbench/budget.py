"""What training may spend, and what it has spent."""

from typing import NamedTuple

from bertbench.errors import UserError


class Budget(NamedTuple):
    """What training may spend: exactly one of these is set."""

    steps: int | None = None
    tokens: int | None = None
    seconds: float | None = None  # ends differently each time: a result of it is not repeatable

    def check(self, place: str) -> None:
        """Refuse a budget that is not one positive number."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        if len(given) != 1 or next(iter(given.values())) <= 0:
            shown = ", ".join(f"{place}.{name}={value}" for name, value in given.items())
            raise UserError(
                f"a budget is one positive number of tokens, steps or seconds, not "
                f"{shown or 'none at all'}: set one of {place}.tokens, {place}.steps and "
                f"{place}.seconds, and the others to null"
            )

    def share(self, spent: "Spent") -> float:
        """Return the spent share of the budget, in [0, 1]."""
        for limit, used in zip(self, spent, strict=True):
            if limit is not None:
                return min(used / limit, 1.0)
        raise ValueError("an empty budget")


class Spent(NamedTuple):
    """What training has spent."""

    steps: float
    tokens: float  # without padding
    seconds: float
