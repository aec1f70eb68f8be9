"""Texts, or their lengths, in, how long they are out: quantiles, and the share that is cut off."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertbench.data.duplicates import parts_of
from bertbench.errors import UserError

QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}
SIDES = (" of the first", " of the second")  # texts of a pair


def quantiles(lengths: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return quantiles and the mean of some lengths, (T,); empty where there are none.

    Quantiles are linear between neighbours, as NumPy's.
    """
    values = np.asarray(lengths, dtype=np.float64)
    if not len(values):
        return {}
    found = np.quantile(values, list(QUANTILES.values())).tolist()
    return dict(zip(QUANTILES, found, strict=True)) | {"mean": float(values.mean())}


def count(texts: Sequence[Any]) -> dict[str, np.ndarray]:
    """Return words and characters of each text, or of both sides of each pair.

    Words are what stands between white space, those of a list its entries. What is no text has none.

    Returns:
        int64, (T,), by what is counted: "words", or "words of the first" and "words of the second".
    """
    paired = any(isinstance(text, tuple) for text in texts)
    found: dict[str, np.ndarray] = {}
    for side, said in enumerate(SIDES if paired else ("",)):
        parts = [(parts_of(text) or ("",) * len(SIDES))[side:][:1] for text in texts]
        written = ["".join(part) for part in parts]
        words = [
            len(text) if isinstance(text, list) else len(part.split())
            for text, part in zip(texts, written, strict=True)
        ]
        found[f"words{said}"] = np.array(words, dtype=np.int64)
        found[f"characters{said}"] = np.array([len(part) for part in written], dtype=np.int64)
    return found


def by_split(texts: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the quantiles of each split's texts: by split, what is counted, and quantile."""
    return {
        split: {what: quantiles(values) for what, values in count(found).items()}
        for split, found in texts.items()
    }


def truncated(lengths: Sequence[int] | np.ndarray, *, max_length: int, special: int) -> float:
    """Return the share of texts that do not fit and lose their end; 0 where there are none.

    Args:
        lengths: Tokens of each text without special ones, (T,).
        max_length: Tokens that are read, special ones counted.
        special: Special tokens that are put around a text.

    Raises:
        UserError: Special tokens alone fill the length.
    """
    if max_length <= special:
        raise UserError(
            f"max_length={max_length} leaves no room beside {special} special tokens: choose at least "
            f"{special + 1}"
        )
    return float(np.mean(np.asarray(lengths) + special > max_length)) if len(lengths) else 0.0
