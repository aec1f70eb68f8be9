"""A cut keeps near duplicates together, and changes nothing where there are none."""

import numpy as np
import pytest
from labelled import write
from test_duplicates import one_word_changed, random_texts

from bertbench.data import duplicates
from bertbench.data.flaws import splits_of
from bertbench.data.splits import grouped, stratified
from bertbench.tasks import cutting, files, nearness

SHARES = [0.6, 0.2, 0.2]


def leaks_of(data):
    """Return the rows of later splits that an earlier one has."""
    splits = splits_of(data)
    found = duplicates.find(
        {name: split.texts for name, split in splits.items()},
        {name: split.ids for name, split in splits.items()},
        threshold=duplicates.NEAR,
    )
    return [row for rows in duplicates.leaks(found).values() for row in rows]


def labelled(texts):
    return [(text, "ab"[i % 2]) for i, text in enumerate(texts)]


def ids(data):
    return [split.ids for split in splits_of(data).values()]


def test_without_near_duplicates_the_cut_is_that_of_the_strata(tmp_path):
    texts = random_texts(100, 12, 41)
    data = files.task(write(tmp_path / "data.csv", labelled(texts)))
    parts = stratified(np.arange(100) % 2, SHARES, seed=cutting.SEED)
    assert ids(data) == [[f"row:{row + 2}" for row in rows] for rows in parts]


def test_without_near_duplicates_the_cut_of_groups_is_as_before(tmp_path):
    texts = random_texts(100, 12, 42)
    rows = [(text, label, f"g{i // 5:02}") for i, (text, label) in enumerate(labelled(texts))]
    path = write(tmp_path / "data.csv", rows, ("text", "label", "author"))
    parts = grouped([row[2] for row in rows], SHARES, seed=cutting.SEED)
    assert ids(files.task(path, group="author")) == [
        [f"row:{row + 2}" for row in part] for part in parts
    ]


@pytest.mark.parametrize("group", [None, "author"])
def test_near_duplicates_stand_in_one_part(group, tmp_path):
    """Of each third text there is one more with a word changed, and of the first few two."""
    base = random_texts(200, 30, 43)
    texts = [*base, *(one_word_changed(text, 15) for text in base[::3])]
    texts += [one_word_changed(text, 4) for text in base[:30:3]]
    rows = [(text, label, f"g{i:03}") for i, (text, label) in enumerate(labelled(texts))]
    path = write(tmp_path / "data.csv", rows, ("text", "label", "author"))
    data = files.task(path, group=group)
    assert leaks_of(data) == []
    assert data.notes == ()
    sizes = [len(split.ids) for split in splits_of(data).values()]
    assert sum(sizes) == len(texts)
    assert np.allclose(np.divide(sizes, len(texts)), SHARES, atol=0.05)
    assert ids(files.task(path, group=group)) == ids(data)


def test_a_class_does_not_lose_its_last_training_text():
    texts = random_texts(20, 30, 44)
    texts += [one_word_changed(texts[0], 15)]
    strata = np.array([0] * 20 + [1])
    parts = [np.array([*range(1, 16), 20]), np.array([0, 16, 17]), np.array([18, 19])]
    found, said = nearness.together(texts, np.arange(21), strata, parts)
    assert [part.tolist() for part in found] == [[0, *range(1, 16), 20], [16, 17], [18, 19]]
    assert said == ""


def test_clusters_that_are_too_large_are_cut_and_said(tmp_path):
    [common] = random_texts(1, 30, 47)
    texts = [f"{common} {i}" for i in range(40)]
    path = write(tmp_path / "data.csv", labelled([*texts, *random_texts(60, 12, 45)]))
    data = files.task(path)
    parts = stratified(np.arange(100) % 2, SHARES, seed=cutting.SEED)
    assert [len(part) for part in ids(data)] == [len(part) for part in parts]
    [note] = data.notes
    assert note == (
        f"{path}: 40 rows have too many near duplicates to keep all together, so some lie in two parts"
    )


def test_no_part_is_emptied():
    texts = random_texts(2, 30, 46)
    texts = [*texts, one_word_changed(texts[0], 15)]
    parts = [np.array([0]), np.array([1]), np.array([2])]
    found, said = nearness.together(texts, np.arange(3), np.zeros(3, dtype=int), parts)
    assert [part.tolist() for part in found] == [[0], [1], [2]]
    assert said.startswith("2 rows have too many near duplicates")


def test_of_very_many_rows_it_is_said_that_none_looked(monkeypatch):
    monkeypatch.setattr(nearness, "MOST", 2)
    parts = [np.array([0]), np.array([1, 2])]
    found, said = nearness.together(["a", "b", "c"], np.arange(3), np.zeros(3, dtype=int), parts)
    assert found == parts
    assert said.startswith("3 rows are too many to look for near duplicates before the cut")
