"""The text of CoNLL columns or CoNLL-U in, one record a sentence out: its words, and a list a column."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bertbench.data.formats.tables import Record, Table, named
from bertbench.errors import UserError

DOCUMENT = "-DOCSTART-"  # Tjong Kim Sang and De Meulder (2003): a document begins
# https://universaldependencies.org/format.html
FIELDS = {"tokens": 1, "lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7, "tags": 3}
WIDTH = 10  # columns of CoNLL-U
COMMENTS = {"text": "text", "sent_id": "id"}  # of a sentence: what they are called here

Block = list[tuple[int, str]]  # lines with their numbers


class Form(NamedTuple):
    """How the lines of a file are cut."""

    tab: bool  # else runs of spaces
    width: int  # columns
    line: int  # the first that is so


def read_conll(text: str, file: Path) -> Table:
    """Return the sentences of a file with a word and its tag in each line, and a blank line between them.

    Columns are cut at tabs if the first word's line has one, else at spaces. Lines that begin a document,
    and those that begin with "# " and are not cut as the others are, are passed over.

    Returns:
        "tokens" and "1" are the first column, "2" and so on the others, "tags" the last.

    Raises:
        UserError: There are no sentences, or a line has another number of columns, or an empty one.
    """
    blocks = list(_blocks(text, DOCUMENT))
    form = form_of(blocks)
    if form and form.width < 2:
        raise UserError(
            f"{file}, line {form.line} has no second column: write a word, a tab and its tag in each line"
        )
    rows = (_sentence(block, form, file) for block in blocks if form)
    return named((row for row in rows if row), file, "line", [])


def form_of(blocks: list[Block]) -> Form | None:
    """Return how lines are cut, by the first that holds a word; None where there is none."""
    for block in blocks:
        for number, line in block:
            if not line.startswith("# "):
                tab = "\t" in line
                return Form(tab, len(_cut(line, tab)), number)
    return None


def read_conllu(text: str, file: Path) -> Table:
    """Return the sentences of CoNLL-U; ranges of words (1-2) and empty nodes (1.1) are passed over.

    Returns:
        "tokens", "lemma", "upos", "xpos", "feats", "deprel" and "tags", which is "upos"; "text" and "id" as
        the comments have them, None in a sentence without.

    Raises:
        UserError: There are no sentences, a line has not ten columns or no word, or numbers are not 1, 2, 3.
    """
    found = [row for block in _blocks(text) if (row := _tree(block, file))]
    commented = [name for name in COMMENTS.values() if any(name in row.cells for row in found)]
    empty = dict.fromkeys(commented)
    return named((Record(place, empty | cells) for place, cells in found), file, "line", [])


def looks_so(text: str) -> str | None:
    """Return "conll" or "conllu" where the beginning of a text can only be that, else None."""
    blocks = list(_blocks(text, DOCUMENT))
    words = [line for block in blocks for _, line in block if not line.startswith("# ")]
    form = form_of(blocks)
    if not form or form.width < 2:
        return None
    cut = [_cut(line, form.tab) for line in words]
    if form.tab and form.width == WIDTH and re.fullmatch(r"1|[01][-.]\d+", cut[0][0]):
        return "conllu"
    alike = all(len(cells) == form.width and " " not in cells[0] for cells in cut)
    return "conll" if alike and len(blocks) > 1 else None


def _blocks(text: str, passed: str | None = None) -> Iterator[Block]:
    """Yield the lines between blank lines, but those that begin with `passed`."""
    block: Block = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip(" \t"):
            if block:
                yield block
            block = []
        elif passed is None or not line.startswith(passed):
            block.append((number, line))
    if block:
        yield block


def _cut(line: str, tab: bool) -> list[str]:
    return (
        [cell.strip(" ") for cell in line.split("\t")] if tab else re.split(" +", line.strip(" "))
    )


def _sentence(block: Block, form: Form, file: Path) -> Record | None:
    words: list[list[str]] = []
    first = 0
    for number, line in block:
        cells = _cut(line, form.tab)
        if len(cells) != form.width:
            if line.startswith("# "):
                continue
            raise UserError(
                f"{file}, line {number} has {len(cells)} of the {form.width} columns that line {form.line} "
                f"has, cut at {'tabs' if form.tab else 'spaces'}: write a word and its tags in each line"
            )
        if not all(cells):
            raise UserError(
                f"{file}, line {number} has nothing in column {cells.index('') + 1}: fill it, or remove the "
                "line"
            )
        words.append(cells)
        first = first or number
    if not words:
        return None
    columns = [list(column) for column in zip(*words, strict=True)]
    numbered = {str(number): column for number, column in enumerate(columns, start=1)}
    return Record(first, {"tokens": columns[0], **numbered, "tags": columns[-1]})


def _tree(block: Block, file: Path) -> Record | None:
    words: list[list[str]] = []
    said: dict[str, str] = {}
    first = 0
    for number, line in block:
        if line.startswith("#"):
            name, _, value = line.removeprefix("#").partition("=")
            if name.strip() in COMMENTS:
                said[COMMENTS[name.strip()]] = value.strip()
            continue
        cells = line.split("\t")
        _check_word(cells, len(words) + 1, f"{file}, line {number}")
        first = first or number
        if cells[0].isdecimal():
            words.append(cells)
    if not words:
        return None
    lists = {name: [cells[place] for cells in words] for name, place in FIELDS.items()}
    return Record(first, lists | said)


def _check_word(cells: list[str], due: int, place: str) -> None:
    if len(cells) != WIDTH:
        raise UserError(
            f"{place} has {len(cells)} of the {WIDTH} columns of CoNLL-U, cut at tabs: fill those without a "
            "value with _, or name the format conll"
        )
    if re.fullmatch(r"\d+[-.]\d+", cells[0]):
        return
    if cells[0] != str(due):
        raise UserError(
            f"{place} has the word number {cells[0]!r:.20} where {due} is due: count the words of a "
            "sentence from 1, and leave a blank line before the next"
        )
    if not cells[1].strip() or not cells[3].strip():
        raise UserError(f"{place} has no {'tag' if cells[1].strip() else 'word'}: fill it with _")
