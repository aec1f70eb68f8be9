"""Values of C in, and the models of these strengths; the one that does best on validation out."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from bertbench import interrupt
from bertbench.errors import UserError

M = TypeVar("M")


def check(penalties: Sequence[float], place: str = "mode.penalties") -> None:
    """Refuse values of C of which none can be chosen.

    Args:
        penalties: Values of C.
        place: The setting that has them.

    Raises:
        UserError: There is none, or one is not positive.
    """
    if not penalties or min(penalties) <= 0:
        raise UserError(f"{place}={list(penalties)} must be numbers above 0, at least one")


def best(
    models: Iterable[tuple[float, M]], judge: Callable[[M], tuple[float, ...]]
) -> tuple[M, float]:
    """Return the model that is judged highest, and its C; among equals that of the smallest C.

    Args:
        models: Each C, and the model of this strength.
        judge: Says how good a model is on validation, what decides first; higher is better.
    """
    ranked = []
    interrupt.check()
    for c, model in models:
        ranked.append(((*judge(model), -c), model))
        interrupt.check()  # the next one may take long
    (*_, negative_c), chosen = max(ranked, key=lambda row: row[0])
    return chosen, float(-negative_c)
