"""JSON as SQuAD has it in, one record a question out, each answer where it stands in its context.

Versions 1.1 (Rajpurkar et al. 2016) and 2.0, with questions without an answer (Rajpurkar et al. 2018).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertbench.data.formats.structured import parse
from bertbench.data.formats.tables import Record, Table, check_whole, named
from bertbench.errors import UserError

NAMES = {
    str: "text",
    list: "a list",
    dict: "an object",
    int: "a whole number",
    bool: "true or false",
}


def read_squad(text: str, file: Path) -> Table:
    """Return the questions of a file.

    Returns:
        "id", "title", "question", "context", "answers" (a list of {"text", "answer_start"}) and
        "impossible".

    Raises:
        UserError: It is no such JSON, an id stands twice, or an answer stands nowhere or at several places
            of its context but not at its offset; names the question.
    """
    value = parse(text, file)
    if not isinstance(value, dict):
        raise UserError(
            f'{file} is not as SQuAD has it: make it an object such as {{"data": [{{"paragraphs": [...]}}]}}'
        )
    moved: list[str] = []
    rows, seen = [], set()
    for record in _questions(value, file, moved):
        name = record.cells["id"]
        if name in seen:
            raise UserError(
                f"{file}, question {record.place} has the id {name!r} of an earlier one: rename it"
            )
        seen.add(name)
        rows.append(record)
    notes = []
    if moved:
        what = "1 answer does" if len(moved) == 1 else f"{len(moved)} answers do"
        notes = [
            f"{file}: {what} not stand where it is said to, the first of question {moved[0]!r}: the one "
            "place where it stands is taken"
        ]
    return named(rows, file, "question", notes)


def _questions(value: dict[str, Any], file: Path, moved: list[str]) -> Iterator[Record]:
    number = 0
    for a, article in enumerate(_field(value, "data", list, str(file)), start=1):
        place = f"{file}, article {a}"
        for p, paragraph in enumerate(_field(article, "paragraphs", list, place), start=1):
            where = f"{place}, paragraph {p}"
            title = _field(article, "title", str, place, "")
            context = _field(paragraph, "context", str, where)
            check_whole([title, context], where)
            for question in _field(paragraph, "qas", list, where):
                number += 1
                cells = _question(question, context, f"{file}, question {number}", moved)
                yield Record(number, {"id": cells.pop("id"), "title": title, **cells})


def _question(value: Any, context: str, place: str, moved: list[str]) -> dict[str, Any]:
    name = value.get("id") if isinstance(value, dict) else None
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise UserError(f'{place} has no id: give it a name of its own under "id"')
    named_place = f"{place} ({str(name)!r})"
    text = _field(value, "question", str, named_place)
    check_whole([str(name), text], named_place)
    answers = []
    for answer in _field(value, "answers", list, named_place, []):
        found = _answer(answer, context, named_place)
        if found["answer_start"] != answer["answer_start"]:
            moved.append(str(name))
        answers.append(found)
    impossible = _field(value, "is_impossible", bool, named_place, not answers)
    if impossible == bool(answers):
        raise UserError(
            f'{named_place} has {"" if answers else "no "}answers, but "is_impossible" is '
            f"{str(impossible).lower()}: correct one of them"
        )
    return {
        "id": str(name),
        "question": text,
        "context": context,
        "answers": answers,
        "impossible": impossible,
    }


def _answer(value: Any, context: str, place: str) -> dict[str, Any]:
    text = _field(value, "text", str, place)
    start = _field(value, "answer_start", int, place)
    if not text.strip():
        raise UserError(f"{place} has an empty answer: give its text, or no answer")
    if start < 0 or not context.startswith(text, start):
        first = context.find(text)
        if first < 0:
            raise UserError(
                f"{place} has the answer {text!r:.60}, which does not stand in its context: copy it "
                "from there"
            )
        if context.find(text, first + 1) >= 0:
            raise UserError(
                f"{place} has the answer {text!r:.60}, which stands at several places of its context, but "
                f'not at {start}: correct "answer_start"'
            )
        start = first
    return {"text": text, "answer_start": start}


def _field(value: Any, name: str, kind: type, place: str, default: Any = None) -> Any:
    """Return what stands under a name, if it is of a kind."""
    found = value.get(name, default) if isinstance(value, dict) else None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise UserError(f'{place} has no "{name}" as SQuAD has it: it must be {NAMES[kind]}')
    return found
