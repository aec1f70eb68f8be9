"""Labels in, rows out: stratified splits, and nested training subsets."""

from collections.abc import Sequence

import numpy as np

from bertbench.errors import UserError
from bertbench.types import Split, TaskData


def stratified(labels: np.ndarray, shares: Sequence[float], *, seed: int) -> list[np.ndarray]:
    """Cut rows into disjoint parts that each have the classes in proportion.

    Args:
        labels: int64, (T,).
        shares: Of each part; they add up to 1.
        seed: Decides who goes where.

    Returns:
        Row numbers of each part, ascending.
    """
    bounds = np.cumsum(shares)[:-1]
    parts: list[list[int]] = [[] for _ in shares]
    for rows in _shuffled_classes(labels, seed):
        cuts = np.rint(bounds * len(rows)).astype(int)
        for part, chunk in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(chunk.tolist())
    return [np.array(sorted(part), dtype=np.int64) for part in parts]


def subset(
    split: Split, *, train_size: int | None, labels_per_class: int | None, classes: int, seed: int
) -> Split:
    """Take a part of the training texts; of one seed, a smaller part lies within a larger one.

    Args:
        split: All training texts.
        train_size: Number of texts, classes in proportion; None takes all.
        labels_per_class: Number of texts of each class; None takes all.
        classes: Number of classes, C.
        seed: Decides which texts.

    Raises:
        UserError: Both sizes are set, or one does not fit the data.
    """
    if train_size is None and labels_per_class is None:
        return split
    if train_size is not None and labels_per_class is not None:
        raise UserError(
            f"task.train_size={train_size} and task.labels_per_class={labels_per_class} are both "
            "set: set one of them to null"
        )
    by_class = _shuffled_classes(split.labels, seed)
    if labels_per_class is not None:
        most = min(len(rows) for rows in by_class)
        if not 1 <= labels_per_class <= most:
            raise UserError(
                f"task.labels_per_class={labels_per_class} does not fit: the rarest class has {most} "
                f"training texts, so choose 1 to {most}"
            )
        chosen = np.concatenate([rows[:labels_per_class] for rows in by_class])
    else:
        assert train_size is not None
        total = len(split.labels)
        if not classes <= train_size <= total:
            raise UserError(
                f"task.train_size={train_size} does not fit: choose {classes} (the number of classes) "
                f"to {total} (all training texts)"
            )
        # The k-th of n texts of a class stands at (k - 1/2) / n: every beginning of that order has
        # the classes in proportion. The first of each class goes before all others.
        place = np.concatenate([(np.arange(len(rows)) + 0.5) / len(rows) for rows in by_class])
        place[np.cumsum([0, *(len(rows) for rows in by_class)])[:-1]] -= 1
        chosen = np.concatenate(by_class)[np.argsort(place, kind="stable")][:train_size]
    rows = np.sort(chosen)
    return Split([split.ids[i] for i in rows], [split.texts[i] for i in rows], split.labels[rows])


def split_ids(data: TaskData) -> dict[str, list[str]]:
    """Return the item ids of each split, as they are written down."""
    return {"train": data.train.ids, "validation": data.validation.ids, "test": data.test.ids}


def _shuffled_classes(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the rows of each class, shuffled."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
