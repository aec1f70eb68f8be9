"""Texts of several splits in, groups of those that are the same, or nearly so, out."""

import functools
import itertools
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bertbench.errors import UserError

Row = tuple[str, int]  # the name of a split, a row in it
Parts = tuple[str, ...]  # a text, or both of a pair

KINDS = ("exact", "normalised", "near")  # the strictest first
NEAR = 0.8  # least share of common shingles of texts that are nearly alike
WORDS, CHARACTERS = 3, 5  # of a shingle; characters where a text has no more than WORDS words
PERMUTATIONS, SEED = 128, 2006  # of the signatures
MISSED = 1e-4  # chance that a pair right at the threshold is in no common bucket
DEVIATIONS = 4  # of a signature's estimate below the threshold before a pair is not looked at
LARGE, WINDOW = (
    50,
    10,
)  # texts in a bucket; those after it that a text of a larger one is compared with
DEPTH = 12  # further hash values by which a bucket is sorted
CHUNK = 4096  # shingles, or pairs, worked on at a time


class Duplicates(NamedTuple):
    """Groups of rows; a looser kind lists a group only where it holds texts the stricter tells apart.

    T counts the rows of all splits, one split after the other; U the distinct normalised texts.
    """

    exact: list[list[Row]]
    normalised: list[list[Row]]
    near: list[list[Row]]  # each is near another of its group, not near all others
    ids: dict[str, list[str]]  # by split, in the order that `texts` had
    written: (
        np.ndarray
    )  # int64, (T,): rows of the same text have the same number; -1 where none is
    normal: np.ndarray  # int64, (T,): the same after normalising, in [0, U)
    pairs: np.ndarray  # int64, (N, 2): normalised texts that are near each other


def find(
    texts: dict[str, list[Any]], ids: dict[str, list[str]], *, threshold: float
) -> Duplicates:
    """Find rows that say the same.

    Normalised texts are equal after Unicode's NFKC, case folding and with each run of white space as
    one space. Near ones have a Jaccard similarity of their shingles (runs of three words; of five
    characters in texts of at most three words) of `threshold` or more. Of a pair, both must be
    the same or near; a list of words is read as a text. Rows without a text are in no group.

    Candidates come of MinHash signatures in buckets (Broder 1997,
    https://doi.org/10.1109/SEQUEN.1997.666900; Leskovec et al. 2020, "Mining of Massive Datasets",
    section 3.4); each is then measured by its shingles. In a bucket that holds very many, a text is
    compared with those whose further hash values are the most alike.

    Args:
        texts: By split, in the order in which a repetition counts as one of the earlier.
        ids: Of the same rows.
        threshold: Least Jaccard similarity of near texts, 0.5 to 1.

    Raises:
        UserError: The threshold is not in that range, or a split has not one id a text.
    """
    if not 0.5 <= threshold <= 1:
        raise UserError(
            f"threshold={threshold} does not tell near duplicates from texts of one topic: choose 0.5 to 1"
        )
    for split, found in texts.items():
        if len(found) != len(ids.get(split, ())):
            raise UserError(
                f"the {split} split has {len(found)} texts and {len(ids.get(split, ()))} ids: give one of "
                "each a row"
            )
    rows = [(split, row) for split, found in texts.items() for row in range(len(found))]
    written = [parts_of(text) for found in texts.values() for text in found]
    normal = [parts and tuple(normalise(part) for part in parts) for parts in written]
    distinct = sorted({parts for parts in normal if parts})
    pairs = _near_pairs(distinct, threshold)
    exact_number, normal_number = _number(written), _number(normal)
    cluster = np.append(components(pairs, len(distinct)), -1)[normal_number]
    return Duplicates(
        _groups(rows, exact_number, np.arange(len(rows))),
        _groups(rows, normal_number, exact_number),
        _groups(rows, cluster, normal_number),
        {split: list(ids[split]) for split in texts},
        exact_number,
        normal_number,
        pairs,
    )


def leaks(found: Duplicates) -> dict[tuple[str, str], list[tuple[int, int, str]]]:
    """Return the rows of each split that an earlier split has too.

    Returns:
        By (earlier split, later split): row in the later, the first like it in the earlier, and the
        strictest kind that holds.
    """
    alike = _neighbours(found.pairs)
    rows = _rows(found)
    return {
        (earlier, later): list(_between(found, rows[earlier], rows[later], alike))
        for place, later in enumerate(rows)
        for earlier in list(rows)[:place]
    }


def within(found: Duplicates) -> dict[str, list[tuple[int, int, str]]]:
    """Return the rows that repeat an earlier row of their own split.

    Returns:
        By split: row, the first row of its group in this split, and the strictest kind that holds.
    """
    size = int(found.normal.max(initial=-1)) + 1
    repeated: dict[str, list[tuple[int, int, str]]] = {}
    for split, span in _rows(found).items():
        normal = found.normal[span.start : span.stop]
        present = np.bincount(normal[normal >= 0], minlength=size) > 0
        # Two texts that only a text of another split connects are no repetition in this one.
        cluster = np.append(components(found.pairs[present[found.pairs].all(1)], size), -1)[normal]
        levels = (found.written[span.start : span.stop], normal, cluster)
        first: list[dict[int, int]] = [{} for _ in KINDS]
        repeated[split] = []
        for row in np.flatnonzero(normal >= 0).tolist():
            for kind, level, seen in zip(KINDS, levels, first, strict=True):
                if int(level[row]) in seen:
                    repeated[split].append((row, seen[int(level[row])], kind))
                    break
            for level, seen in zip(levels, first, strict=True):
                seen.setdefault(int(level[row]), row)
    return repeated


def normalise(text: str) -> str:
    """Return a text without what a reader does not see: NFKC, case folded, white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def parts_of(text: Any) -> Parts | None:
    """Return a text as its parts, two of a pair, else one; None where there is nothing to compare."""
    if isinstance(text, list) and all(isinstance(word, str) for word in text):
        parts: Any = (" ".join(text),)  # the words of a sentence
    else:
        parts = text if isinstance(text, tuple) else (text,)
    if not all(isinstance(part, str) for part in parts) or not "".join(parts).strip():
        return None
    return parts


def components(pairs: np.ndarray, size: int) -> np.ndarray:
    """Return which of the connected groups each of `size` things is in: int64, (size,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not size:
        return np.zeros(0, dtype=np.int64)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(edges, directed=False)[1].astype(np.int64)


def _number(keys: list[Parts | None]) -> np.ndarray:
    """Number keys in the order of their content, -1 where there is none: int64, (T,)."""
    number = {key: i for i, key in enumerate(sorted({key for key in keys if key}))}
    return np.array([number[key] if key else -1 for key in keys], dtype=np.int64)


def _groups(rows: list[Row], coarse: np.ndarray, fine: np.ndarray) -> list[list[Row]]:
    """Return rows that `coarse` puts together and `fine` does not, in the order of their first."""
    groups: dict[int, list[int]] = {}
    for place in np.flatnonzero(coarse >= 0).tolist():
        groups.setdefault(int(coarse[place]), []).append(place)
    return [
        [rows[place] for place in places]
        for places in groups.values()
        if len(places) > 1 and len(np.unique(fine[places])) > 1
    ]


def _rows(found: Duplicates) -> dict[str, range]:
    """Return where each split stands in the arrays over all rows."""
    ends = np.cumsum([0, *(len(names) for names in found.ids.values())]).tolist()
    bounds = itertools.pairwise(ends)
    return {split: range(*bound) for split, bound in zip(found.ids, bounds, strict=True)}


def _neighbours(pairs: np.ndarray) -> dict[int, list[int]]:
    alike: dict[int, list[int]] = {}
    for left, right in pairs.tolist():
        alike.setdefault(left, []).append(right)
        alike.setdefault(right, []).append(left)
    return alike


def _between(
    found: Duplicates, earlier: range, later: range, alike: dict[int, list[int]]
) -> Iterator[tuple[int, int, str]]:
    """Yield row in the later split, row in the earlier, kind."""
    texts, normal = found.written.tolist(), found.normal.tolist()
    # Backwards, so that the first row of a text is the one that stays.
    same = {texts[i]: i for i in reversed(earlier)}
    equal = {normal[i]: i for i in reversed(earlier)}
    for i in later:
        near = [equal[other] for other in alike.get(normal[i], ()) if other in equal]
        matches = (same.get(texts[i]), equal.get(normal[i]), min(near, default=None))
        if normal[i] >= 0 and any(match is not None for match in matches):
            match, kind = next(
                (m, k) for m, k in zip(matches, KINDS, strict=True) if m is not None
            )
            yield i - later.start, match - earlier.start, kind


def _near_pairs(texts: list[Parts], threshold: float) -> np.ndarray:
    """Return the pairs that are near, the smaller number first: int64, (N, 2).

    Args:
        texts: Distinct and sorted, so that the order of rows decides nothing.
        threshold: Least Jaccard similarity.
    """
    signatures = _signatures(texts)
    width = _band(threshold)
    packed = np.empty(0, dtype=np.int64)
    for start in range(0, PERMUTATIONS - width + 1, width):
        found = [
            np.minimum(left, right) * len(texts) + np.maximum(left, right)
            for left, right in _candidates(np.roll(signatures, -start, axis=1), width, threshold)
        ]
        packed = np.unique(np.concatenate([packed, *found]))
    shingles = functools.lru_cache(maxsize=CHUNK)(lambda number: _shingles(texts[number]))
    pairs = np.stack(np.divmod(packed, max(1, len(texts))), axis=1)
    near = [_is_near(shingles(a), shingles(b), threshold) for a, b in pairs.tolist()]
    return pairs[np.array(near, dtype=bool)]


def _band(threshold: float) -> int:
    """Return the most hash values a bucket may share that miss a pair at the threshold rarely enough."""
    widths = range(1, PERMUTATIONS + 1)
    missed = {width: (1 - threshold**width) ** (PERMUTATIONS // width) for width in widths}
    return max(width for width in widths if missed[width] <= MISSED)


def _signatures(texts: list[Parts]) -> np.ndarray:
    """Return MinHash signatures, uint32, (U, PERMUTATIONS)."""
    from datasketch import MinHash

    empty = MinHash(PERMUTATIONS, seed=SEED)
    signatures = np.empty((len(texts), PERMUTATIONS), dtype=np.uint32)
    for number, parts in enumerate(texts):
        sketch = empty.copy()
        both = [f"{i}\t{run}" for i, runs in enumerate(_shingles(parts)) for run in runs]
        raw = [run.encode("utf-8", "surrogatepass") for run in both]
        for start in range(0, len(raw), CHUNK):  # each chunk becomes a matrix
            sketch.update_batch(raw[start : start + CHUNK])
        signatures[number] = sketch.hashvalues
    return signatures


def _candidates(
    signatures: np.ndarray, width: int, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs whose first `width` hash values agree and whose signatures are alike."""
    least = threshold - DEVIATIONS * np.sqrt(threshold * (1 - threshold) / PERMUTATIONS)
    # Within a bucket by what follows, so that those most alike stand side by side.
    order = np.lexsort(signatures[:, : width + DEPTH].T[::-1])
    heads = signatures[order, :width]
    bucket = np.cumsum(np.append(0, (heads[1:] != heads[:-1]).any(1)))[: len(order)]
    reach = np.where(np.bincount(bucket)[bucket] <= LARGE, LARGE, WINDOW)
    for step in range(1, min(LARGE, len(order))):
        first = np.flatnonzero((bucket[step:] == bucket[:-step]) & (step <= reach[step:]))
        for start in range(0, len(first), CHUNK):
            places = first[start : start + CHUNK]
            left, right = order[places], order[places + step]
            alike = (signatures[left] == signatures[right]).mean(1) >= least
            yield left[alike], right[alike]


def _shingles(parts: Parts) -> list[frozenset[str]]:
    """Return the set of runs of each part; words are parted by a line break, which no character run has."""
    runs = []
    for part in parts:
        words = part.split(" ")
        if len(words) > WORDS:
            starts = range(len(words) - WORDS + 1)
            runs.append(frozenset("\n".join(words[i : i + WORDS]) for i in starts))
        else:
            starts = range(max(1, len(part) - CHARACTERS + 1))
            runs.append(frozenset(part[i : i + CHARACTERS] for i in starts))
    return runs


def _is_near(left: list[frozenset[str]], right: list[frozenset[str]], threshold: float) -> bool:
    return len(left) == len(right) and all(
        len(a & b) / len(a | b) >= threshold for a, b in zip(left, right, strict=True)
    )
