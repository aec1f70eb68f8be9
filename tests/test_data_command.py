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
        "Some rows were left out",
    ):
        assert words in card
    assert (
        json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))["verdict"] in card
    )


def test_a_leak_with_other_case_and_spaces_is_on_the_card_and_stops_a_run(tickets, tmp_path):
    test = ["Text;Thema", "GREAT  film  and more;gut", "a text of its own;schlecht"]
    (tmp_path / "test.csv").write_text("\n".join(test), encoding="utf-8")
    with (tmp_path / tickets).open("a", encoding="utf-8") as file:
        file.write("\r\ngreat film and more;gut;120")
    given = [*SETTINGS, f"task.train={tickets}", "task.test=test.csv"]
    command.main(["card", *given])
    card = json.loads(Path("data_cards/own/card.json").read_text(encoding="utf-8"))
    assert "1 of 2 test texts stand in train too (1 normalised)" in card["verdict"]
    refused(
        bertbench(tmp_path, "model=tfidf", *given),
        "1 of 2 test texts of task own also stand in an earlier split ('test:2')",
        "task.leaks=drop",
    )
