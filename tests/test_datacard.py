"""A data card says what is wrong, names its rows, and is markdown whatever stands in the data."""

import json
import re

import numpy as np
import pytest
from test_duplicates import one_word_changed, random_texts
from test_flaws import GOOD, TAGS, classes_of, make_task

from bertbench.data import duplicates, flaws
from bertbench.data.flaws import Flaw, splits_of
from bertbench.data.lengths import quantiles
from bertbench.examination import measured
from bertbench.report import cardfacts, datacard, markdown
from bertbench.types import Answer

EVIL = (
    "a | b\n<script>alert(`1`)</script> \\| [x](http://y) ![z](w) **b** \u202e\x1b[0m \ud800 end"
)
NUMBERS = np.array([0.5, 1.0, 2.5, 4.0])


def card_of(data, **more):
    """Return the card of a task, with everything that can stand in it."""
    splits = splits_of(data)
    found = duplicates.find(
        {name: split.texts for name, split in splits.items()},
        {name: split.ids for name, split in splits.items()},
        threshold=0.8,
    )
    given = {
        "yardsticks": measured(data),
        "tokenizers": {"wordpiece": cardfacts.Tokenizing(quantiles([3, 9]), 8, 0.5, 0.0125)},
        "notes": ["train.csv was read as UTF-8 | with a mark"],
    }
    return cardfacts.describe(data, found, flaws.find(data, found, seed=0), **given | more)


def planted(kind, seed=31):
    """Return a task of a kind in which test repeats training: exactly and with one word changed."""
    base = random_texts(24, 30, seed)
    texts = {"train": base[:20], "validation": base[20:22]}
    texts["test"] = [base[22], base[0], one_word_changed(base[1], 15)]
    rows = {name: len(found) for name, found in texts.items()}
    if kind == "token":
        texts = {name: [text.split() for text in found] for name, found in texts.items()}
    elif kind in ("ranking", "span"):
        texts = {name: [(t, f"{t} It is.") for t in found] for name, found in texts.items()}
    labels = {
        "classification": lambda n: np.arange(n) % 2,
        "multilabel": lambda n: np.arange(n)[:, None] % 2 == np.arange(2),
        "regression": lambda n: np.resize(NUMBERS, n),
        "ranking": lambda n: np.resize(NUMBERS, n),
        "token": lambda n: [classes_of(*[0] * 30) for _ in range(n)],
        "span": lambda n: [[Answer(0, "word")] if i % 2 else [] for i in range(n)],
    }[kind]
    classes = {"classification": ["a|b", "<i>"], "multilabel": ["x", "y"], "token": TAGS}
    parts = {name: (texts[name], labels(rows[name])) for name in texts}
    data = make_task(kind, classes.get(kind, []), **parts)
    if kind != "ranking":
        return data
    return data._replace(train=data.train._replace(groups=["q1", "q2"] * 10))


KINDS = ["classification", "multilabel", "regression", "ranking", "token", "span"]


def check_tables(text):
    """Check that each table's lines have the cells of its head."""
    cells = None
    for line in text.split("\n"):
        if not line.startswith("|"):
            cells = None
            continue
        found = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        assert cells in (None, found), line
        cells = found


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_names_each_planted_row_and_is_the_same_twice(kind):
    data = planted(kind)
    card = card_of(data)
    text = datacard.render(card)
    assert text == datacard.render(card_of(planted(kind)))
    check_tables(text)
    verdict = text.split("\n")[2]
    assert re.match(r"\*\*\d+ things? to mend before training:\*\* ", verdict)
    assert "of 3 test texts stand in train too (1 exact, 1 near)" in verdict
    assert "| near | test:2 |" in text
    assert "| train:1 |" in text
    assert "Rows: test:1, test:2\n" in text
    for flaw in card.flaws:
        assert all(row in text for row in flaw.rows)
        assert markdown.escape(flaw.name) in text or not flaw.of
    for name, yardstick in card.yardsticks.items():
        assert f"| {name} |" in text
        assert f"{yardstick.value:.3f}" in text
    assert "| wordpiece | 3 | 3.3 | 6 | 8.7 | 9 | 8 | 50.0% | 1.25% |" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_as_json_is_what_it_says(kind):
    card = card_of(planted(kind))
    plain = datacard.as_json(card)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["rows"] == {"train": 20, "validation": 2, "test": 3}
    leak = next(flaw for flaw in plain["flaws"] if flaw["name"] == "leak from train to test")
    assert leak["rows"] == ["test:1", "test:2"]
    assert plain["verdict"] == datacard.verdict(card)
    assert datacard.as_json(card_of(planted(kind))) == plain


def test_a_broken_task_of_tags_names_its_rows():
    data = make_task(
        "token", TAGS,
        train=([*GOOD, ["in", "Rome"], []], [classes_of(*n) for n in ((1, 2, 0), (0, 0, 0), (0, 3), ())]),
        validation=([], []), test=([], []),
    )  # fmt: skip
    text = datacard.render(card_of(data))
    assert "| broken tags | train:2 | in Rome |" in text
    assert "| broken sentences | train:3 |" in text
    assert "| empty texts | train:3 |" in text


def test_what_stands_in_data_cannot_leave_its_cell():
    data = planted("classification")
    train = data.train._replace(
        ids=[*data.train.ids, "<b>|1", "2\n# no head"], texts=[*data.train.texts, EVIL, EVIL],
        labels=np.append(data.train.labels, [0, 1]),
    )  # fmt: skip
    data = data._replace(train=train, name="my|<data>", classes=["a|b`", "<script>"])
    card = card_of(data, notes=[EVIL])
    text = datacard.render(card)
    check_tables(text)
    text.encode()
    assert "<script" not in text
    assert "<b>" not in text
    assert not re.search(r"(?<!\\)`", text)
    assert not re.search(r"(?<!\\)\[", text)
    heads = [line for line in text.split("\n") if line.startswith("#")]
    assert heads[0] == r"# Data card: my\|&lt;data&gt;"
    assert len([head for head in heads if "no head" in head]) == 0
    assert "conflicting labels" in text.split("\n")[2] or "another label" in text.split("\n")[2]
    assert r"&lt;b&gt;\|1" in text
    assert "\u202e" not in text
    assert json.loads(json.dumps(datacard.as_json(card))) == datacard.as_json(card)


@pytest.mark.parametrize("length", [79, 80, 81, 5000])
def test_a_text_is_cut_to_eighty_characters(length):
    shown = markdown.escape("x" * length)
    assert shown == ("x" * length if length <= 80 else "x" * 79 + "…")
    assert len(markdown.escape("|" * length).replace("\\", "")) == min(length, 80)


def test_a_table_without_rows_is_none():
    assert markdown.table(["a"], []) == []
    assert markdown.table(["a", "b"], [["x", "1"]])[1] == "| --- | ---: |"


def test_many_things_are_counted_and_leaks_come_first():
    card = card_of(planted("regression"))
    made = [
        Flaw("rare classes", 2, 9, [], "2 are rare."),
        Flaw("class imbalance", 2, 9, [], "One is large."),
        Flaw("leak from train to test", 1, 9, ["test:1"], "1 leaks."),
        Flaw("empty texts", 0, 9, [], "None."),
        Flaw("suspicious labels", 0, 0, [], "Not looked for: why."),
    ]
    found = card._replace(flaws=made)
    assert datacard.verdict(found) == "**2 things to mend before training:** 1 leaks; 2 are rare."
    text = datacard.render(found)
    assert "Looked for and not found: empty texts." in text
    assert "Not looked for: why." in text
    one = card._replace(flaws=made[2:3])
    assert datacard.verdict(one) == "**1 thing to mend before training:** 1 leaks."
    none = card._replace(flaws=made[1:2] + made[3:])
    assert datacard.verdict(none) == "**Nothing to mend before training was found.**"


def test_a_card_of_many_classes_shows_the_largest():
    classes = [f"class{i:02}" for i in range(40)]
    labels = np.repeat(np.arange(40), 5)
    labels[-1] = 7
    texts = random_texts(200, 12, 33)
    data = make_task(
        "classification", classes, train=(texts, labels), validation=(texts[:1], labels[:1]),
        test=(texts[:1], labels[:1]),
    )  # fmt: skip
    text = datacard.render(card_of(data))
    table = text[text.index("| class |") :].split("\n")
    assert table[2].startswith("| class07 | 6 (3.0%) |")
    assert "And 10 more." in table


def test_large_numbers_keep_all_their_digits():
    assert [markdown.number(value) for value in (0, 0.12345, 37.0, 12345.6, 1e7)] == [
        "0", "0.1235", "37", "12,346", "10,000,000",
    ]  # fmt: skip
