"""A path in, the name of its format out: by its ending, and by what is inside where that says too little."""

import json
import re
from pathlib import Path

from bertbench.data.formats import conll, folder
from bertbench.data.formats.delimited import separator
from bertbench.data.reading import entries
from bertbench.errors import UserError

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".conllu": "conllu",
}
# What a text editor cannot open: these are told at once, by what to do instead.
FOREIGN = {
    *(
        ".xlsx",
        ".xls",
        ".ods",
        ".docx",
        ".pdf",
        ".zip",
        ".tar",
        ".tgz",
        ".bz2",
        ".xz",
        ".zst",
        ".7z",
    ),
    *(".pkl", ".pickle", ".npy", ".npz", ".arrow", ".feather", ".db", ".sqlite"),
}
READ = ".csv, .tsv, .jsonl, .json, .parquet, .conll, .conllu or .txt"
BEGINNING = 100_000  # characters that are looked at


def ending(file: Path) -> str:
    """Return the ending of a file in lower case, .gz left out."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def check_ending(file: Path, place: str) -> None:
    """Refuse a file that cannot be text or parquet.

    Raises:
        UserError: Its ending says so.
    """
    if ending(file) in FOREIGN:
        raise UserError(f"{place} is no text: save it as .csv, .jsonl or .parquet")


def by_text(file: Path, text: str, place: str) -> str:
    """Return the format of a file.

    Args:
        file: Its ending decides, except of .json, .conll and .txt, and of an unknown one.
        text: What is in it.
        place: Setting and path, for the error.

    Raises:
        UserError: There is no telling.
    """
    known = ENDINGS.get(ending(file))
    if known == "json":
        return _kind_of_json(text)
    if known not in (None, "conll"):
        return known
    beginning = text
    if len(text) > BEGINNING:  # the last line of it may be cut
        beginning = text[:BEGINNING].rpartition("\n")[0]
    found = None if beginning.lstrip().startswith("{") else conll.looks_so(beginning)
    if known == "conll":
        return "conllu" if found == "conllu" else known
    if found is None and ending(file) in ("", ".txt"):
        found = _kind_of_text(text)
    if found is None:
        raise UserError(
            f"{place} does not say how it is to be read: name a file that ends in {READ}, each but parquet "
            "also .gz, or name its format"
        )
    return found


def by_entries(place: Path, setting: str) -> str:
    """Return the format of a folder.

    Args:
        place: The folder.
        setting: And path, for the error.

    Raises:
        UserError: It has nothing, or what belongs to several data sets.
    """
    inside = entries(place)
    if any(folder.texts(path) for path in inside):
        return "folder"
    files = [path for path in inside if path.is_file()]
    tables = [path.name for path in files if ending(path) in ENDINGS]
    if tables:
        raise UserError(f"{setting} is a folder: name one of its files ({', '.join(tables[:10])})")
    if files:
        return "lines"
    folders = [path.name for path in inside if path.is_dir()]
    if folders:
        raise UserError(
            f"{setting} is a folder without files: name one of its folders ({', '.join(folders[:10])})"
        )
    raise UserError(
        f"{setting} is an empty folder: give it files that belong together line by line, or a folder of "
        ".txt files for each class"
    )


def _kind_of_json(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and rest and _is_object(first):
        return "jsonl"
    squad = text.lstrip().startswith("{") and re.search(r'"qas"\s*:', text)
    return "squad" if squad else "json"


def _kind_of_text(text: str) -> str | None:
    if _is_object(text.strip().partition("\n")[0]):
        return "jsonl"
    found = separator(text)
    return None if found is None else "tsv" if found == "\t" else "csv"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
