"""From a file of one's own to its card and a comparison, as a user types it."""

import json
import random
from pathlib import Path

import pytest
from test_cli import bertbench, refused

from bertbench.commands import data as command

TEXTS = {
    "gut": ["great film", "lovely story", "wonderful cast", "what a joy", "brilliant 😀 work"],
    "schlecht": ["dull plot", "awful acting", "a waste", "terrible mess", "boring 💤 film"],
}
SETTINGS = ["task=files", "task.text=Text", "task.label=Thema", "task.name=own"]


@pytest.fixture
def tickets(tmp_path, monkeypatch):
    """Semicolons, a mark of byte order, Windows' line ends, quotes with breaks, emoji; and four flaws."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    rows = []
    for number in range(120):
        label = "gut" if number % 2 else "schlecht"
        text = f"{draw.choice(TEXTS[label])} and {draw.choice(TEXTS[label])} no {number}"
        rows.append((text, label))
    rows[7] = ('"he said ""wow""\nand left; really"', "gut")
    rows[20] = (rows[20][0], "")
    rows[31] = ("", "gut")
    rows[40] = (rows[4][0].upper(), "schlecht")
    rows[43] = (rows[5][0], "schlecht")
    lines = ["Text;Thema;Nr", *(f"{text};{label};{i}" for i, (text, label) in enumerate(rows))]
    path = tmp_path / "tickets.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return path.name


def test_the_card_names_each_flaw_with_its_lines(tickets, capsys):
    """The header is line 1, and the text with a break takes two."""
    assert command.main(["card", *SETTINGS, f"task.train={tickets}"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("data_cards/own/card.md\n")
    card = Path("data_cards/own/card.md").read_text(encoding="utf-8")
    assert said == f"{card}\ndata_cards/own/card.md\n"
    for words in (
        "separator ';' found",
        "2 of 120 rows lack a text or a label and are left out (line 23, line 34)",
        "1 rows repeat the text of an earlier one with the same label and are left out (line 43 as line 6)",
        "1 rows repeat the text of an earlier one with another label and are left out (line 46 as line 7)",
        "Rows: row:7, row:46\n",
    ):
        assert words in card
    found = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    assert found["verdict"] in card
    assert (
        "2 of 118 rows have a text that stands elsewhere with another label (1 text)"
        in found["verdict"]
    )
    rows = {flaw["name"]: flaw["rows"] for flaw in found["flaws"] if flaw["count"]}
    assert rows["conflicting labels left out"] == ["row:7", "row:46"]
    assert rows["duplicates left out"] == ["row:43"]
    assert rows["incomplete rows"] == ["row:23", "row:34"]
    absent = card.partition("Looked for and not found: ")[2].partition("\n")[0]
    assert "conflicting labels" not in absent


def test_the_card_shows_few_rows_and_its_json_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"a text of its own {word}er,{word[0]}"
        for word in ("bake", "read", "sing")
        for _ in range(20)
    ]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    for part in ("validation", "test"):
        lines = [
            "text,label",
            *(f"{part} of {word},{word[0]}" for word in ("bake", "read", "sing")),
        ]
        (tmp_path / f"{part}.csv").write_text("\n".join(lines), encoding="utf-8")
    parts = ["task.validation=validation.csv", "task.test=test.csv"]
    command.main(["card", "task=files", "task.name=own", "task.train=data.csv", *parts])
    assert "and 37 more\n" in capsys.readouterr().out
    found = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    [flaw] = [flaw for flaw in found["flaws"] if flaw["name"] == "duplicates in train"]
    assert len(flaw["rows"]) == flaw["count"] == 57


def test_a_leak_with_other_case_and_spaces_is_on_the_card_and_stops_a_run(tickets, tmp_path):
    test = ["Text;Thema", "GREAT  film  and more;gut", "a text of its own;schlecht"]
    (tmp_path / "test.csv").write_text("\n".join(test), encoding="utf-8")
    with (tmp_path / tickets).open("a", encoding="utf-8") as file:
        file.write("\r\ngreat film and more;gut;120")
    given = [*SETTINGS, f"task.train={tickets}", "task.test=test.csv"]
    command.main(["card", *given])
    card = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    assert "1 of 2 test texts stand in train too (1 normalised)" in card["verdict"]
    command.main(["card", *given, "task.leaks=warn"])
    card = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    assert "1 of 2 test texts stand in train too (1 normalised)" in card["verdict"]
    assert any("scores on them flatter every model" in note for note in card["notes"])
    command.main(["card", *given, "task.leaks=drop"])
    card = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    assert (card["rows"]["test"], "stand in train" in card["verdict"]) == (1, False)
    [dropped] = [flaw for flaw in card["flaws"] if flaw["name"] == "leaks dropped from test"]
    assert dropped["rows"] == ["test:2"]
    assert any(note.endswith("they are left out") for note in card["notes"])
    page = Path("data_cards/own/card.md").read_text(encoding="utf-8")
    assert "leaks dropped from test" in page.partition("## To know")[2].partition("\n## ")[0]
    refused(
        bertbench(tmp_path, "model=tfidf", *given),
        "1 of 2 test texts of task own also stand in an earlier split ('test:2')",
        "task.leaks=drop",
    )


def test_what_is_odd_about_classes_is_to_mend(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = ["Sport", "sport", "NULL", "art"]
    rows = [f"text {i} of {i},{labels[i % 4]}" for i in range(80)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    command.main(["card", "task=files", "task.name=own", "task.train=data.csv"])
    page = capsys.readouterr().out
    assert page.split("\n")[2].startswith("**2 things to mend before training:** ")
    assert "the classes 'Sport', 'sport' read alike" in page.split("\n")[2]
    assert "20 rows have the class 'NULL'" in page.split("\n")[2]


def test_a_class_without_training_texts_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = {"train": ["a", "b"], "validation": ["a", "b"], "test": ["a|b", "c"]}
    for part, labels in parts.items():
        rows = [f"{part} {i} of {i},{labels[i % 2]}" for i in range(20)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["text,labels", *rows]), encoding="utf-8")
    given = [f"task.{part}={part}.csv" for part in parts]
    command.main(["card", "task=files", "task.name=own", "task.kind=multilabel", *given])
    assert capsys.readouterr().out.count("**untrained classes**") == 1
