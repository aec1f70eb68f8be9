"""A table in, the settings in which its rows differ and which no name tells out: a sentence each."""

import json
from collections import defaultdict

from bertbench.report.rows import Row, Table
from bertbench.tracking.delivery import flatten

READING = ("task.long_text", "task.max_length")  # how much of a text is read
MODE = "mode.target"  # stands in the name


def unlike(table: Table) -> list[str]:
    """Return a sentence for each setting that is not the same in all rows of a mode.

    Such as rows that were fine-tuned for more epochs than the others: a difference between them is one of
    that setting too. Settings that stand in a row's name are left out.
    """
    modes: dict[str, list[Row]] = defaultdict(list)
    for row in table.rows:
        if not row.is_linear:
            modes[row.record.mode].append(row)
    return [sentence for rows in modes.values() for sentence in _of_mode(rows)]


def rates(tables: list[Table]) -> list[str]:
    """Return a sentence on the learning rates of fine-tuned rows: fixed beforehand, or chosen."""
    fixed, chosen = set(), set()
    for row in (row for table in tables for row in table.rows):
        mode = row.record.science["mode"]
        if tried := mode.get("learning_rates"):
            chosen.add(", ".join(f"{rate:g}" for rate in tried))
        elif "lr" in mode.get("optim", {}):
            fixed.add(f"{mode['optim']['lr']:g}")
    said = [f"fixed beforehand at {', '.join(sorted(fixed))}"] if fixed else []
    said += [f"the best on validation of {tried}" for tried in sorted(chosen)]
    return [f"- Learning rate of fine-tuned rows: {'; '.join(said)}."] if said else []


def _of_mode(rows: list[Row]) -> list[str]:
    settings = {row.label: _settings(row) for row in rows}
    names = dict.fromkeys(name for found in settings.values() for name in found)
    sentences = []
    for name in names:
        values: dict[str, list[str]] = defaultdict(list)
        for label, found in settings.items():
            values[json.dumps(found.get(name))].append(label)
        told = any(f"{name}=" in label for label in settings)
        if len(values) > 1 and not told:
            sentences.append(f"- {name} is {_parted(values)}.")
    return sentences


def _parted(values: dict[str, list[str]]) -> str:
    """Return the rows of each value by name, those of the commonest as all others."""
    ordered = sorted(values.items(), key=lambda item: (len(item[1]), item[0]))
    *fewer, (common, _) = ordered
    said = [f"{value} in {', '.join(sorted(labels))}" for value, labels in fewer]
    return f"{'; '.join(said)}; in the other rows of this mode {common}"


def _settings(row: Row) -> dict[str, object]:
    flat = flatten(row.record.science)
    return {
        name: value
        for name, value in flat.items()
        if (name.startswith("mode.") and name != MODE) or name in READING
    }
