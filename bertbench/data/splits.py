"""Strata in, rows out: splits in proportion, groups kept whole, and nested training subsets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertbench.errors import UserError
from bertbench.types import Split, TaskData


def stratified(labels: np.ndarray, shares: Sequence[float], *, seed: int) -> list[np.ndarray]:
    """Cut rows into disjoint parts that each have the strata in proportion.

    Args:
        labels: int64, (T,): the stratum of each row, such as its class.
        shares: Of each part; they add up to 1.
        seed: Decides who goes where.

    Returns:
        Row numbers of each part, ascending.
    """
    bounds = np.cumsum(shares)[:-1]
    parts: list[list[int]] = [[] for _ in shares]
    for rows in _shuffled_strata(labels, seed):
        cuts = np.rint(bounds * len(rows)).astype(int)
        for part, chunk in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(chunk.tolist())
    return [np.array(sorted(part), dtype=np.int64) for part in parts]


def grouped(groups: Sequence[str], shares: Sequence[float], *, seed: int) -> list[np.ndarray]:
    """Cut rows into disjoint parts, the rows of a group in one of them.

    Args:
        groups: (T,): the name of each row's group, such as its query or its author.
        shares: Of the groups in each part; they add up to 1.
        seed: Decides who goes where.

    Returns:
        Row numbers of each part, ascending.
    """
    names = sorted(set(groups))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in groups], dtype=np.int64)
    parts = stratified(np.zeros(len(names), dtype=np.int64), shares, seed=seed)
    return [np.flatnonzero(np.isin(numbers, part)) for part in parts]


def subset(
    split: Split,
    *,
    strata: np.ndarray | None = None,
    train_size: int | None,
    train_share: float | None = None,
    labels_per_class: int | None,
    classes: int,
    seed: int,
) -> Split:
    """Take a part of the training texts; of one seed, a smaller part lies within a larger one.

    Args:
        split: All training texts.
        strata: int64, (T,): kept in proportion; None takes the labels, which must be classes then.
        train_size: Number of texts; None takes all. Where there are groups, as many whole ones as fit, and
            one at least.
        train_share: Share of the texts, in (0, 1]; None takes all. Likewise.
        labels_per_class: Number of texts of each class, whatever their groups; None takes all.
        classes: Number of classes, C; 0 where there are none, and no number of texts a class.
        seed: Decides which texts.

    Raises:
        UserError: Two sizes are set, or one does not fit the data, or leaves a class without a text.
    """
    sizes = {
        "train_size": train_size,
        "train_share": train_share,
        "labels_per_class": labels_per_class,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    shown = " and ".join(f"task.{name}={value}" for name, value in given.items())
    if not given:
        return split
    if len(given) > 1:
        raise UserError(f"{shown} are both set: set one of them to null")
    kept: np.ndarray = split.labels if strata is None else strata
    if labels_per_class is not None:
        return take(split, _of_each_class(kept, labels_per_class, classes, seed))
    total = len(split.ids)
    if train_share is not None:
        if not 0 < train_share <= 1:
            raise UserError(f"task.train_share={train_share} must be a share above 0, at most 1")
        train_size = max(round(train_share * total), classes, 1)
    assert train_size is not None
    if not max(classes, 1) <= train_size <= total:
        least = f"{classes} (the number of classes)" if classes else "1"
        raise UserError(
            f"task.train_size={train_size} does not fit: choose {least} to {total} (all training texts)"
        )
    if split.groups is not None:
        rows = _whole_groups(split.groups, train_size, seed)
        _check_each(
            split.labels, rows, classes, f"{shown} takes whole groups, and those of seed={seed}"
        )
        return take(split, rows)
    return take(split, _in_proportion(kept, train_size, seed))


def take(split: Split, rows: np.ndarray) -> Split:
    """Return some rows of a split, in ascending order."""
    rows = np.sort(rows)

    def of(values: Any) -> Any:
        return values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows]

    groups = None if split.groups is None else of(split.groups)
    return Split(of(split.ids), of(split.texts), of(split.labels), groups)


def split_ids(data: TaskData) -> dict[str, list[str]]:
    """Return the item ids of each split, as they are written down."""
    return {"train": data.train.ids, "validation": data.validation.ids, "test": data.test.ids}


def _of_each_class(strata: np.ndarray, count: int, classes: int, seed: int) -> np.ndarray:
    if not classes:
        raise UserError(
            f"task.labels_per_class={count} needs one class a text, which this kind of task has not: set "
            "task.train_size or task.train_share instead"
        )
    by_class = _shuffled_strata(strata, seed)
    most = min(len(rows) for rows in by_class)
    if not 1 <= count <= most:
        raise UserError(
            f"task.labels_per_class={count} does not fit: the rarest class has {most} "
            f"training texts, so choose 1 to {most}"
        )
    return np.concatenate([rows[:count] for rows in by_class])


def _check_each(labels: Any, rows: np.ndarray, classes: int, what: str) -> None:
    if classes and len(np.unique(labels[rows])) < len(np.unique(labels)):
        raise UserError(
            f"{what} have no text of some class: choose more texts, or set task.group to null"
        )


def _in_proportion(strata: np.ndarray, size: int, seed: int) -> np.ndarray:
    by_stratum = _shuffled_strata(strata, seed)
    # The k-th of n texts of a stratum stands at (k - 1/2) / n: every beginning of that order has
    # the strata in proportion. The first of each goes before all others.
    place = np.concatenate([(np.arange(len(rows)) + 0.5) / len(rows) for rows in by_stratum])
    place[np.cumsum([0, *(len(rows) for rows in by_stratum)])[:-1]] -= 1
    return np.concatenate(by_stratum)[np.argsort(place, kind="stable")][:size]


def _whole_groups(groups: Sequence[str], size: int, seed: int) -> np.ndarray:
    """Take groups in a shuffled order while they fit; the first is taken whatever its size."""
    names = sorted(set(groups))
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(names))
    rank = {names[i]: place for place, i in enumerate(order)}
    ranks = np.array([rank[name] for name in groups])
    fitting = np.cumsum(np.bincount(ranks)) <= size
    return np.flatnonzero(ranks < max(int(fitting.sum()), 1))


def _shuffled_strata(strata: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the rows of each stratum, shuffled."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return [generator.permutation(np.flatnonzero(strata == s)) for s in np.unique(strata)]
