"""Words and cells in, markdown out that shows them and does nothing else."""

import unicodedata
from collections.abc import Sequence

LONGEST = 80  # characters of a text that is shown
MARKS = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {mark: f"\\{mark}" for mark in "\\`*_[]|~#$"}
)


def escape(text: str, longest: int = LONGEST) -> str:
    """Return a text as one line that can stand in a table and is nothing but text.

    White space is one space, and what has no glyph (control and format characters, halves of
    characters) the replacement character.

    Args:
        text: Any.
        longest: Characters of it that are shown; a longer one ends with an ellipsis.
    """
    line = " ".join(text[: 10 * longest].split())
    line = "".join("\ufffd" if unicodedata.category(sign)[0] == "C" else sign for sign in line)
    cut = line if len(line) <= longest else f"{line[: longest - 1]}…"
    return cut.translate(MARKS)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """Return the lines of a table, none where there are no rows.

    Args:
        heads: Names of the columns.
        rows: Cells that are markdown already.
        words: Columns at the left that are words; the others are numbers, flush right.
    """
    lines = [heads, ["---"] * words + ["---:"] * (len(heads) - words), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] if rows else []


def number(value: float) -> str:
    """Return a number of any size with four digits, all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
