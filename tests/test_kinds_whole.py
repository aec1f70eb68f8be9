"""Each kind of task as a whole: cuts keep proportions and groups, parts are nested, tables say scores."""

import json
from itertools import pairwise

import numpy as np
import pytest
from labelled import TAGS, item, said, task, write

from bertbench import kinds, metrics
from bertbench.data.splits import grouped, stratified, subset
from bertbench.scores import answers, numbers, rankings, tags
from bertbench.tasks import files
from bertbench.types import Answer, Guess, Split

KINDS = [*kinds.KINDS]
every_kind = pytest.mark.parametrize("kind", KINDS)
SHARES = [0.6, 0.2, 0.2]


def generator(key=0):
    return np.random.Generator(np.random.Philox(key=key))


def drawn(kind, count, key=0):
    """Return a split of random labels, some classes of which are rare."""
    random = generator(key)
    rare = np.array([0.6, 0.25, 0.1, 0.05])
    labels = {
        "classification": lambda: random.choice(4, count, p=rare),
        "multilabel": lambda: random.random((count, 4)) < rare,
        "regression": lambda: random.lognormal(size=count),
        "ranking": lambda: random.integers(0, 3, count).astype(np.float64),
        "token": lambda: [random.choice(4, random.integers(1, 9), p=rare) for _ in range(count)],
        "span": lambda: [[Answer(0, "it")] * int(random.integers(0, 3)) for _ in range(count)],
    }[kind]()
    words = [[f"w{i}"] * len(row) for i, row in enumerate(labels)] if kind == "token" else None
    texts = words or [(f"q{i // 5}", f"it {i}") for i in range(count)]
    groups = [f"q{i // 5}" for i in range(count)] if kind == "ranking" else None
    return Split([f"id{i}" for i in range(count)], texts, labels, groups)


def guessed(kind, split, key=1):
    """Return random predictions of a split."""
    random, count = generator(key), len(split.ids)
    if kind == "classification":
        return random.dirichlet(np.ones(4), count)
    if kind == "multilabel":
        return random.random((count, 4))
    if kind == "token":
        return [random.dirichlet(np.ones(4), len(words)) for words in split.texts]
    if kind == "span":
        said = [str(random.choice(["it", "it is", "", "what"])) for _ in range(count)]
        return [Guess(text, text or "best", 0.5, 0.1) for text in said]
    return random.normal(size=count)


# Proportions


@every_kind
@pytest.mark.parametrize("seed", [0, 1])
def test_strata_are_kept_in_proportion_by_a_cut(kind, seed):
    strata = kinds.find(kind).strata(drawn(kind, 400))
    assert strata.dtype == np.int64
    assert strata.shape == (400,)
    for rows, share in zip(stratified(strata, SHARES, seed=seed), SHARES, strict=True):
        for stratum in np.unique(strata):
            due = share * (strata == stratum).sum()
            assert abs((strata[rows] == stratum).sum() - due) <= 1


@pytest.mark.parametrize("kind", ["classification", "multilabel", "token"])
def test_each_part_of_a_cut_has_its_share_of_the_rarest_class(kind):
    split, found = drawn(kind, 400), kinds.find(kind)
    has = [
        {*np.flatnonzero(row)} if kind == "multilabel" else {*np.atleast_1d(row)}
        for row in split.labels
    ]
    rare = np.array([3 in row for row in has])
    for rows, share in zip(stratified(found.strata(split), SHARES, seed=0), SHARES, strict=True):
        assert abs(rare[rows].sum() - share * rare.sum()) <= 1


@pytest.mark.parametrize("count", [20, 23, 30, 41, 100, 997])
def test_each_part_of_a_cut_of_numbers_has_low_and_high_ones(count):
    split = drawn("regression", count)
    parts = stratified(kinds.find("regression").strata(split), SHARES, seed=0)
    ranks = np.argsort(np.argsort(split.labels)) / (count - 1)
    for rows, share in zip(parts, SHARES, strict=True):
        assert abs(len(rows) - share * count) <= 0.1 * count
        assert ranks[rows].min() <= 0.25
        assert ranks[rows].max() >= 0.75
        assert abs(ranks[rows].mean() - 0.5) <= 0.1


def test_strata_of_questions_are_whether_they_have_an_answer():
    split = drawn("span", 50)
    strata = kinds.find("span").strata(split)
    assert strata.tolist() == [int(len(found) > 0) for found in split.labels]


def test_strata_of_texts_without_any_class_are_one():
    split = drawn("multilabel", 20)._replace(labels=np.zeros((20, 0), dtype=bool))
    assert kinds.find("multilabel").strata(split).tolist() == [0] * 20


# Groups


def stays(kind, data):
    """Return what must stay together, by split: queries, contexts, or the groups that were asked for."""
    own = {
        "ranking": lambda split: [q for q, _ in split.texts],
        "span": lambda s: [c for _, c in s.texts],
    }
    return [own.get(kind, lambda split: split.groups)(split) for split in data[2:5]]


@pytest.mark.parametrize("kind", ["ranking", "span"])
def test_a_query_or_a_context_lies_in_one_part_of_a_cut(kind, tmp_path):
    data = task(kind, tmp_path, count=200, cut=True)
    parts = [{*names} for names in stays(kind, data)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert [len(split.groups) for split in data[2:5]] == [len(s.ids) for s in data[2:5]]
    assert abs(len(data.test.ids) - 40) <= 8


@every_kind
def test_groups_that_are_asked_for_lie_in_one_part_of_a_cut(kind, tmp_path):
    columns = [*filter(None, kinds.find(kind).columns[:3]), "author"]
    count, random = 120, generator()
    rows = []
    for i in range(count):
        *texts, label = item(kind, i)
        told = (
            [{"text": a.text, "answer_start": a.start} for a in label] if kind == "span" else label
        )
        author = texts[0] if kind == "ranking" else f"author {random.integers(12)}"
        rows.append([*texts, told, author])
    path = write(tmp_path / "data.jsonl", rows, columns)
    data = files.task(path, kind=kind, group="author")
    parts = [{*split.groups} for split in data[2:5]]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len({row[-1] for row in rows})
    assert sum(len(split.ids) for split in data[2:5]) == count


def test_groups_are_cut_the_same_in_any_order_of_rows():
    names = [f"g{i % 17}" for i in range(200)]
    order = generator().permutation(200)
    parts = grouped(names, SHARES, seed=0)
    again = grouped([names[i] for i in order], SHARES, seed=0)
    for rows, other in zip(parts, again, strict=True):
        assert {names[i] for i in rows} == {names[order[i]] for i in other}
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))


# Parts of the training texts


def part(kind, split, *, seed=0, classes=0, **size):
    size = {"train_size": None, "train_share": None, "labels_per_class": None} | size
    strata = kinds.find(kind).strata(split)
    return subset(split, strata=strata, classes=classes, seed=seed, **size)


@every_kind
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train_size", [5, 6, 17, 50, 100, 199, 200]),
        ("train_share", [0.03, 0.1, 0.25, 0.5, 0.9, 1.0]),
        ("labels_per_class", [1, 2, 4, 7]),
    ],
)
def test_a_smaller_part_of_one_seed_lies_within_a_larger_one(kind, seed, name, values):
    split = drawn(kind, 200)
    if name == "labels_per_class" and kind != "classification":
        assert "needs one class a text" in said(part, kind, split, **{name: 1})
        return
    classes = 4 if kind == "classification" else 0
    parts = [part(kind, split, seed=seed, classes=classes, **{name: v}) for v in values]
    for smaller, larger in pairwise(parts):
        assert {*smaller.ids} <= {*larger.ids}
        assert len(smaller.ids) < len(larger.ids) or kind == "ranking"
    for taken in parts:
        rows = [split.ids.index(one) for one in taken.ids]
        assert rows == sorted(rows)
        assert taken.texts == [split.texts[i] for i in rows]
        for label, i in zip(taken.labels, rows, strict=True):
            assert np.array_equal(label, split.labels[i])
        if split.groups is not None:
            assert rows == [i for i, name in enumerate(split.groups) if name in {*taken.groups}]
    if name == "train_size":
        assert all(len(taken.ids) <= size for taken, size in zip(parts, values, strict=True))


def test_the_first_group_is_taken_whatever_its_size():
    assert len(part("ranking", drawn("ranking", 40), train_size=1).ids) == 5


def test_whole_groups_without_some_class_are_refused():
    """A model would say so later and in other words."""
    labels = np.repeat([0, 1], 20)
    split = Split([f"id{i}" for i in range(40)], ["a"] * 40, labels, [f"g{i}" for i in labels])
    words = said(part, "classification", split, train_size=25, classes=2)
    assert words.startswith(
        "task.train_size=25 takes whole groups, and those of seed=0 have no text"
    )
    words = said(part, "classification", split, train_share=0.5, classes=2)
    assert words.startswith("task.train_share=0.5 takes whole groups")
    assert part("classification", split, train_size=40, classes=2).ids == split.ids


# What is said of predictions


def scored_alone(kind, table, classes):
    """Return metrics of a table of predictions, computed without the kind."""
    if kind == "classification":
        chances = np.stack([table[f"p_{name}"] for name in classes], axis=1)
        return {name: m.function(table["label"], chances) for name, m in metrics.METRICS.items()}
    if kind == "multilabel":
        told, said = (
            np.array([[name in json.loads(cell) for name in classes] for cell in table[column]])
            for column in ("label", "prediction")
        )
        right = (told == said).all(1)
        assert table["right"].tolist() == right.tolist()
        f1 = 2 * (told & said).sum() / (told.sum() + said.sum())
        return {"subset_accuracy": right.mean(), "micro_f1": f1}
    if kind == "token":
        told, found = ([cell.split() for cell in table[c]] for c in ("label", "prediction"))
        return {
            "span_f1": tags.span_f1(told, found),
            "word_accuracy": tags.word_accuracy(told, found),
        }
    if kind == "span":
        gold = [json.loads(cell) for cell in table["label"]]
        return {
            "f1": answers.mean_f1(table["prediction"], gold),
            "exact_match": float(np.mean(table["right"])),
        }
    if kind == "ranking":
        columns = table["label"], table["prediction"], table["group"]
        return {
            "map": rankings.mean_average_precision(*columns),
            "ndcg_at_10": rankings.ndcg(*columns),
        }
    assert "right" not in table
    return {
        name: getattr(numbers, name)(table["label"], table["prediction"])
        for name in ("mae", "spearman")
    }


@every_kind
def test_the_table_of_predictions_says_the_scores(kind):
    split, classes = (
        drawn(kind, 60),
        TAGS if kind in ("classification", "multilabel", "token") else [],
    )
    found = guessed(kind, split)
    table = kinds.find(kind).table(split, found, classes)
    assert {len(column) for column in table.values()} == {60}
    alone = scored_alone(kind, table, classes)
    measures = kinds.find(kind).measures
    for name, value in alone.items():
        assert value == pytest.approx(measures[name].function(split, found, classes), rel=1e-12)
    assert alone


@every_kind
def test_one_thing_is_told_from_several(kind):
    split, says = drawn(kind, 30), kinds.find(kind).says_one_thing
    found = guessed(kind, split)
    assert not says(found)
    one = [found[0]] * 30 if kind == "span" else np.repeat(found[:1], 30, axis=0)
    if kind == "token":
        one = [np.repeat(found[0][:1], len(words), axis=0) for words in split.texts]
    assert says(one)


@pytest.mark.parametrize("kind", ["regression", "ranking"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 2e3])
def test_numbers_that_differ_by_rounding_alone_are_one(kind, size):
    says = kinds.find(kind).says_one_thing
    one = np.full(30, size, dtype=np.float32)
    steps = one + np.spacing(one) * (np.arange(30) % 3)
    assert says(one)
    assert says(steps.astype(np.float64))
    assert not says(steps * (1 + 1e-4 * np.arange(30)))
    assert says(np.zeros(30))


def test_tags_of_spans_have_an_f1_and_parts_of_speech_have_none():
    token = kinds.find("token")
    assert token.metrics(TAGS) == ["span_f1", "word_accuracy", "log_loss"]
    assert token.metrics(["B-X", "E-X", "O", "S-X"])[0] == "span_f1"
    assert token.metrics(["ADJ", "NOUN", "VERB"]) == ["word_accuracy", "log_loss"]


@every_kind
def test_each_metric_that_fits_is_a_number_of_any_predictions(kind):
    split, found = drawn(kind, 60), kinds.find(kind)
    classes = TAGS if kind in ("classification", "multilabel", "token") else []
    for name in found.metrics(classes):
        value = found.measures[name].function(split, guessed(kind, split), classes)
        assert isinstance(value, float)
        assert np.isfinite(value)
    assert found.tie in found.metrics(classes)
