"""Each flaw that was planted is counted and its rows named; clean data has none."""

import numpy as np
import pytest
from test_duplicates import random_texts, search

from bertbench.data import bbc, doubts, flaws, lengths
from bertbench.data.flaws import splits_of
from bertbench.errors import UserError
from bertbench.examination import measured
from bertbench.types import Answer, Split, TaskData


def make_split(name, texts, labels):
    """Return a split whose ids are its name and the row."""
    return Split([f"{name}:{row}" for row in range(len(texts))], texts, labels)


def make_task(kind, classes, **parts):
    """Return a task of (texts, labels) by split."""
    splits = [make_split(name, *parts[name]) for name in ("train", "validation", "test")]
    return TaskData("made", classes, *splits, kind)


def examine(data, seed=0):
    """Return the flaws of a task by name."""
    found = search({name: split.texts for name, split in splits_of(data).items()})
    found = found._replace(ids={name: split.ids for name, split in splits_of(data).items()})
    return {flaw.name: flaw for flaw in flaws.find(data, found, seed=seed)}


def classes_of(*numbers):
    return np.array(numbers, dtype=np.int64)


def classification(train=(), test=()):
    """Return a clean task of ten texts a class, and whatever else is planted in it."""
    texts, more = random_texts(20, 12, 21), random_texts(8, 12, 22)
    return make_task(
        "classification",
        ["even", "odd", "rare"],
        train=(texts + [t for t, _ in train], classes_of(*[0, 1] * 10, *(n for _, n in train))),
        validation=(more[:4], classes_of(0, 1, 0, 1)),
        test=(more[4:] + [t for t, _ in test], classes_of(0, 1, 0, 1, *(n for _, n in test))),
    )


def test_clean_data_have_no_flaw():
    found = examine(classification())
    assert {n for n, flaw in found.items() if flaw.count} <= {
        "class imbalance",
        "suspicious labels",
    }
    assert found["class imbalance"][1:4] == (10, 20, [])
    assert "10 of 20 training items (50.0%)" in found["class imbalance"].words


def test_planted_flaws_of_texts_and_labels_are_named():
    texts = random_texts(20, 12, 21)
    found = examine(
        classification(
            train=[(texts[0].upper(), 1), (texts[1], 1), ("", 0), (None, 1)],
            test=[(texts[2], 0), (texts[3], 0), ("a new one", 2)],
        )
    )
    assert found["conflicting labels"].rows == ["train:0", "train:3", "train:20", "test:5"]
    assert found["conflicting labels"][1:3] == (4, 35)
    assert found["duplicates in train"].rows == ["train:20", "train:21"]
    assert "(1 exact, 1 normalised)" in found["duplicates in train"].words
    assert found["duplicates in test"].count == 0
    assert found["leak from train to test"].rows == ["test:4", "test:5"]
    assert found["leak from train to test"][1:3] == (2, 7)
    assert found["empty texts"].rows == ["train:22", "train:23"]
    assert found["untrained classes"].rows == ["test:6"]
    assert "rare" in found["untrained classes"].words


def test_texts_without_words_are_named_and_unseen_ones_are_blank():
    odd = [
        "?!",
        "😀",
        "NULL",
        " n/a ",
        "\u200b\u200d",
        "\u2800",
        "5",
        "語",
        "no n/a",
        "\U0001f468\u200d",
    ]
    found = examine(classification(train=[(text, 0) for text in odd]))
    assert found["texts without words"].rows == [
        "train:20",
        "train:21",
        "train:22",
        "train:23",
        "train:29",
    ]
    assert found["empty texts"].rows == ["train:24", "train:25"]
    pairs = [(text, "a text") for text in odd]
    parts = dict.fromkeys(("validation", "test"), ([], classes_of()))
    data = make_task("classification", ["a"], train=(pairs, classes_of(*[0] * 10)), **parts)
    assert examine(data)["texts without words"].rows == [
        "train:0",
        "train:1",
        "train:2",
        "train:3",
        "train:9",
    ]


def test_rare_classes_are_named_with_their_rows_and_not_looked_at_for_wrong_labels():
    found = examine(classification(train=[("one of a kind", 2), ("and another", 2)]))
    assert found["rare classes"][1:4] == (1, 3, ["train:20", "train:21"])
    assert "rare (2)" in found["rare classes"].words
    assert found["suspicious labels"].of == 20
    assert "(2 more are of classes too rare to look at)" in found["suspicious labels"].words


@pytest.mark.parametrize("pair", [False, True])
def test_a_flipped_label_is_found_beside_a_rare_class_and_in_pairs(pair):
    """Three classes, each with words of its own; the third is rare and stands between the others."""
    words = random_texts(2, 12, 28)
    own = [text.split() for text in words]
    draw = np.random.Generator(np.random.Philox(key=5))
    labels = np.array([0, 1] * 10 + [2] + [0, 1] * 10)
    texts = [" ".join(draw.choice(own[label % 2], 8)) for label in labels]
    if pair:
        texts = [
            ("is it so?", text) if i % 3 else (text, "yes it is") for i, text in enumerate(texts)
        ]
    given = labels.copy()
    given[[4, 27]] = 1 - given[[4, 27]]
    flaw = flaws.suspicious_labels(make_split("train", texts, given), ["a", "b", "rare"], seed=0)
    assert (sorted(flaw.rows), flaw.of) == (["train:27", "train:4"], 40)


def test_a_flaw_names_all_its_rows():
    data = classification(train=[("the same once more", 0)] * 50)
    found = examine(data)["duplicates in train"]
    assert (found.count, len(found.rows)) == (49, 49)


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_that_were_flipped_are_found(seed):
    train, classes = bbc.task().train, bbc.task().classes
    generator = np.random.Generator(np.random.Philox(key=seed))
    labels = train.labels.copy()
    flipped = generator.choice(len(labels), round(0.05 * len(labels)), replace=False)
    labels[flipped] = (labels[flipped] + generator.integers(1, 5, len(flipped))) % 5
    chances = doubts.out_of_fold(train.texts, labels, seed=seed)
    found = doubts.disbelieved(chances, labels)
    true = len({*found.tolist()} & {*flipped.tolist()})
    assert true >= 0.6 * len(flipped)
    assert len(found) - true <= true
    again = flaws.suspicious_labels(train._replace(labels=labels), classes, seed=seed)
    assert (again.count, again.rows) == (len(found), [train.ids[row] for row in found])


def test_a_label_is_doubted_below_the_mean_of_its_class_alone():
    labels = classes_of(0, 0, 0, 1, 1, 1)
    first = np.array([0.9, 0.7, 0.2, 0.1, 0.45, 0.55])
    # The means of the classes: 0.6 and 0.633. The third is 0.8 of another class, the last 0.55.
    assert doubts.disbelieved(np.stack([first, 1 - first], axis=1), labels).tolist() == [2]


def test_why_labels_are_not_doubted_is_said():
    many = make_split("train", ["a b"] * 20_001, np.zeros(20_001, dtype=np.int64))
    assert "there are 20,001 training texts" in flaws.suspicious_labels(many, ["a"], seed=0).words
    for text, reason in (
        ("well", "fewer than two classes have 5 training texts"),
        ("?", "have no words"),
    ):
        labels = np.array([0] * 10 if text == "well" else [0, 1] * 5)
        flaw = flaws.suspicious_labels(make_split("t", [text] * 10, labels), ["a", "b"], seed=0)
        assert (flaw.of, reason in flaw.words) == (0, True)


def test_classes_of_a_multilabel_task_are_counted_by_label():
    held = np.zeros((20, 3), dtype=bool)
    held[:, 0], held[:2, 1] = True, True
    later = np.zeros((2, 3), dtype=bool)
    later[1, 2] = True
    texts = random_texts(24, 12, 23)
    found = examine(
        make_task(
            "multilabel", ["all", "few", "new"],
            train=(texts[:20], held), validation=(texts[20:22], later), test=(texts[22:], later),
        )
    )  # fmt: skip
    assert found["rare classes"][1:4] == (1, 3, ["train:0", "train:1"])
    assert found["untrained classes"].rows == ["validation:1", "test:1"]
    assert found["class imbalance"][1:3] == (20, 22)
    assert "suspicious labels" not in found


TAGS = ["O", "B-PER", "I-PER", "I-LOC"]
GOOD = [["Ada", "Lovelace", "wrote"], ["She", "wrote", "much"]]


def token(sentences, tags):
    """Return a task of tagged sentences whose later splits are clean."""
    clean = [classes_of(1, 2, 0), classes_of(0, 0, 0)]
    return make_task(
        "token", TAGS, train=(sentences, tags), validation=(GOOD[:1], clean[:1]), test=([], [])
    )


def test_broken_sentences_and_tags_are_named():
    sentences = [*GOOD, [], ["a", " "], ["-", "-", "-"], ["in", "Rome"], ["Rome"], ["Ada", "Rome"]]
    tags = [(1, 2, 0), (0, 0, 0), (), (0, 0), (0, 0, 0), (0, 3), (3,), (1, 3)]
    found = examine(token(sentences, [classes_of(*numbers) for numbers in tags]))
    assert found["broken sentences"].rows == ["train:2", "train:3", "train:4"]
    assert found["broken tags"].rows == ["train:5", "train:6", "train:7"]
    assert found["empty texts"].rows == ["train:2"]
    assert found["leak from train to validation"].rows == ["validation:0"]


def test_tags_that_are_all_of_iob1_are_told_from_broken_ones():
    """There B- stands only directly after its own type; one B- elsewhere, and all of it is broken."""
    words = [["in", "Rome", "Paris"], ["Rome", "is", "Rome"], ["New", "York", "Rome"]]
    numbers = [classes_of(0, 3, 4), classes_of(3, 0, 3), classes_of(3, 3, 4)]
    tags = ["O", "B-PER", "I-PER", "I-LOC", "B-LOC"]
    parts = dict.fromkeys(("validation", "test"), ([], []))
    data = make_task("token", tags, train=(words, numbers), **parts)
    found = examine(data)
    assert found["tags in IOB1"].rows == ["train:0", "train:1", "train:2"]
    assert "broken tags" not in found
    for other in ([0, 0, 4], [1, 2, 0], [4, 3, 0]):
        mixed = make_task(
            "token", tags, train=(words, [*numbers[:2], classes_of(*other)]), **parts
        )
        assert examine(mixed)["broken tags"].rows == ["train:0", "train:1"]
    clean = make_task("token", tags, train=(words, [classes_of(0, 4, 4)] * 3), **parts)
    assert examine(clean)["broken tags"].count == 0


def span(train, test=()):
    """Return a task of (question, context, answers)."""
    parts = {
        name: ([(question, context) for question, context, _ in rows], [r[2] for r in rows])
        for name, rows in (("train", train), ("validation", ()), ("test", test))
    }
    return make_task("span", [], **parts)


def test_flaws_of_questions_are_named():
    context = "Rome was built by Rome's people. It took more than a day."
    found = examine(
        span(
            [
                ("Which city?", context, [Answer(0, "Rome")]),
                ("How long did it take?", context, [Answer(41, "more than a day")]),
                ("Who was king?", context, []),
                ("which  CITY?", "Paris is older.", [Answer(0, "Paris")]),
                ("How long did it take?", context, [Answer(41, "more than a day"), Answer(51, "a day")]),
                ("Who was king?", context, [Answer(0, "Rome")]),
            ]
        )
    )  # fmt: skip
    assert found["answers that stand twice"].rows == ["train:0", "train:5"]
    assert found["contexts without an answer"].rows == ["train:2"]
    assert found["questions asked twice"].rows == ["train:3", "train:4", "train:5"]
    assert found["duplicates in train"].rows == ["train:4", "train:5"]
    # Answers of several readers agree where they have one in common.
    assert found["conflicting labels"].rows == ["train:2", "train:5"]


@pytest.mark.parametrize("kind", ["regression", "ranking"])
def test_numbers_conflict_where_they_differ(kind):
    pairs = [(f"question {i}", text) for i, text in enumerate(random_texts(6, 12, 24))]
    found = examine(
        make_task(
            kind, [], train=([*pairs, pairs[0], pairs[1]], np.array([0.0, 1, 2, 3, 4, 5, 0, 1.5])),
            validation=([], np.zeros(0)), test=([], np.zeros(0)),
        )
    )  # fmt: skip
    assert found["conflicting labels"].rows == ["train:1", "train:7"]


def test_the_majority_is_the_commonest_training_label():
    found = measured(classification(train=[("x", 1)] * 3, test=[("y", 1)] * 4))
    assert found["majority"] == ("accuracy", 6 / 8, "always odd")
    # Of the two classes in test one has an F1 of 12 / 14, the other of 0.
    assert found["majority in macro f1"] == ("macro_f1", pytest.approx(6 / 14), "always odd")
    assert found["length only in macro f1"].value <= found["length only"].value
    labels = np.array([[1, 0], [1, 0], [1, 1]], dtype=bool)
    data = make_task(
        "multilabel",
        ["a", "b"],
        **dict.fromkeys(("train", "validation", "test"), (["x"] * 3, labels)),
    )
    assert measured(data) == {
        "majority": ("subset_accuracy", 2 / 3, "always a"),
        "majority in micro f1": ("micro_f1", pytest.approx(6 / 7), "always a"),
    }
    tagged = token(GOOD, [classes_of(1, 2, 0), classes_of(0, 0, 0)])
    tagged = tagged._replace(test=tagged.validation)
    assert measured(tagged) == {
        "majority": ("word_accuracy", 1 / 3, "always O"),
        "majority in span f1": ("span_f1", 0, "always O"),
    }
    classes = ["DET", "NOUN", "VERB", "X"]  # tags of no spans
    assert [*measured(tagged._replace(classes=classes))] == ["majority"]
    numbers = (["a", "b c", "d"], np.array([1.0, 2.0, 6.0]))
    data = make_task("regression", [], train=numbers, validation=numbers, test=numbers)
    assert measured(data)["majority"] == ("mae", pytest.approx(5 / 3), "always the median, 2")
    error = ("rmse", pytest.approx((14 / 3) ** 0.5), "always the mean, 3")
    assert measured(data)["majority in rmse"] == error
    assert measured(data._replace(kind="ranking")) == {}


def test_the_answer_that_never_changes_is_chosen_in_training():
    context = "More than a day. It took that."
    long, none = ("How long?", context, [Answer(0, "More than a day")]), ("Who?", context, [])
    assert measured(span([long, long, none], [long, none]))["majority"] == (
        "f1", 0.5, "the first sentence of the context",
    )  # fmt: skip
    assert measured(span([long, none, none], [none]))["majority"] == ("f1", 1.0, "never an answer")


def test_labels_that_leak_through_length_are_found_and_others_are_not():
    generator = np.random.Generator(np.random.Philox(key=3))
    labels = np.tile([0, 1], 100)
    leaking = [" ".join(["word"] * (5 + 20 * label)) for label in labels]
    alike = random_texts(200, 12, 25)
    for texts, least, most in ((leaking, 1.0, 1.0), (alike, 0.3, 0.7)):
        part = (texts, labels)
        data = make_task("classification", ["a", "b"], train=part, validation=part, test=part)
        held = data._replace(test=make_split("test", texts[::-1], generator.permutation(labels)))
        value = measured(data if texts is leaking else held)["length only"].value
        assert least <= value <= most
    lengths_ = np.log1p([len(text.split()) for text in leaking])
    data = make_task(
        "regression", [], **dict.fromkeys(("train", "validation", "test"), (leaking, lengths_))
    )
    assert measured(data)["length only"].value < 0.1 * measured(data)["majority"].value


def test_lengths_are_those_of_each_side():
    found = lengths.count([("one two", "abc"), ("", "a b c")])
    assert {name: values.tolist() for name, values in found.items()} == {
        "words of the first": [2, 0], "characters of the first": [7, 0],
        "words of the second": [1, 3], "characters of the second": [3, 5],
    }  # fmt: skip
    found = lengths.count(["one  two", None, ["New York", "is"]])
    assert [values.tolist() for values in found.values()] == [[2, 0, 2], [8, 0, 11]]


def test_quantiles_and_the_share_cut_off_are_those_of_the_lengths():
    values = np.random.Generator(np.random.Philox(key=4)).integers(1, 100, 1000)
    found = lengths.quantiles(values)
    assert found["median"] == np.median(values)
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["mean"] == values.mean()
    assert lengths.quantiles([]) == {}
    assert lengths.truncated(values, max_length=50, special=2) == np.mean(values > 48)
    assert lengths.truncated([48], max_length=50, special=2) == 0
    with pytest.raises(UserError, match="max_length=2 leaves no room"):
        lengths.truncated([1], max_length=2, special=2)
