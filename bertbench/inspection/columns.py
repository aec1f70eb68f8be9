"""Cells in, lines of aligned columns out, as wide as the terminal; with or without colour."""

import unicodedata
from typing import NamedTuple

COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "dim": 2, "bold": 1}
BETWEEN = " "


class Cell(NamedTuple):
    """What stands in one column of one line."""

    text: str
    colour: str = ""  # a key of COLOURS, or empty


def visible(text: str) -> str:
    r"""Return a text in which what does not print is written out, such as `\x1b` or `\u202e`.

    Nothing that a user gives may move the cursor, change colours or turn the order of letters.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def wide(text: str) -> int:
    """Return how many columns of a terminal a text takes: ideographs take two, marks none."""
    widths = {"W": 2, "F": 2}
    return sum(
        0 if unicodedata.combining(char) else widths.get(unicodedata.east_asian_width(char), 1)
        for char in text
    )


def painted(text: str, name: str, *, colour: bool) -> str:
    """Return a text in a colour, if there is colour at all."""
    return f"\x1b[{COLOURS[name]}m{text}\x1b[0m" if colour and name else text


def aligned(
    lines: list[tuple[str, list[Cell]]], *, width: int, colour: bool, indent: int = 2
) -> list[str]:
    """Set lines of as many cells below each other, wrapped together.

    Args:
        lines: Heading and cells of each.
        width: Columns of the terminal.
        colour: Whether colours are shown.
        indent: Spaces before each line.
    """
    heading = max(wide(name) for name, _ in lines)
    sizes = [
        max(wide(cell.text) for cell in column)
        for column in zip(*(c for _, c in lines), strict=True)
    ]
    left = indent + heading + len(BETWEEN)
    found = []
    for begin, end in _wrapped(sizes, width - left):
        found += [""] if found else []
        for name, cells in lines:
            parts = [
                painted(cell.text, cell.colour, colour=colour) + " " * (size - wide(cell.text))
                for cell, size in zip(cells[begin:end], sizes[begin:end], strict=True)
            ]
            start = " " * indent + name + " " * (heading - wide(name))
            found.append(BETWEEN.join([start, *parts]).rstrip())
    return found


def _wrapped(sizes: list[int], room: int) -> list[tuple[int, int]]:
    """Return stretches of columns that fit into `room`, each of one column at least."""
    stretches, begin, used = [], 0, 0
    for place, size in enumerate(sizes):
        if place > begin and used + size + len(BETWEEN) > room:
            stretches.append((begin, place))
            begin, used = place, 0
        used += size + (len(BETWEEN) if place > begin else 0)
    return [*stretches, (begin, len(sizes))] if sizes else []
