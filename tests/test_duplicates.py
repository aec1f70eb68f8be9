"""Planted duplicates are found, whatever the order of rows, and nothing else is."""

import itertools

import numpy as np
import pytest

from bertbench.data import duplicates
from bertbench.data.duplicates import find, leaks, normalise, within
from bertbench.errors import UserError

WORDS = [f"word{i}" for i in range(800)]


def random_texts(count, length, seed):
    """Return texts of a seeded vocabulary."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    return [" ".join(generator.choice(WORDS, length)) for _ in range(count)]


def search(texts, threshold=0.8):
    """Return the duplicates of some splits, whose ids are their place."""
    ids = {split: [f"{split}:{row}" for row in range(len(rows))] for split, rows in texts.items()}
    return find(texts, ids, threshold=threshold)


def spaced(text):
    """Return a text as another hand would have typed it."""
    return f" {text.upper().replace(' ', '  ', 3)}\n"


def one_word_changed(text, place):
    """Return a text with another word at one place."""
    words = text.split()
    words[place] = "elsewhere"
    return " ".join(words)


@pytest.fixture(scope="module")
def planted():
    """Return three splits, and the groups that were planted by kind."""
    train, test = random_texts(300, 30, 1), random_texts(100, 30, 2)
    validation = random_texts(100, 30, 3)
    planted = {"exact": [], "normalised": [], "near": []}
    for place in range(30):
        test.append(one_word_changed(train[place], place))
        planted["near"].append({("train", place), ("test", 100 + place)})
    for row in range(40, 50):
        test.append(train[row])
        planted["exact"].append({("train", row), ("test", len(test) - 1)})
    for row in range(50, 60):
        validation.append(spaced(train[row]))
        planted["normalised"].append({("train", row), ("validation", len(validation) - 1)})
    train.append(train[70])
    planted["exact"].append({("train", 70), ("train", 300)})
    return {"train": train, "validation": validation, "test": test}, planted


def as_sets(groups):
    """Return groups without their order."""
    return {frozenset(group) for group in groups}


def test_planted_duplicates_are_all_that_is_found(planted):
    texts, groups = planted
    found = search(texts)
    for kind in duplicates.KINDS:
        assert as_sets(getattr(found, kind)) == as_sets(groups[kind])


def test_order_of_rows_changes_nothing_but_order(planted):
    texts, groups = planted
    generator = np.random.Generator(np.random.Philox(key=9))
    orders = {split: generator.permutation(len(rows)) for split, rows in texts.items()}
    shuffled = {split: [texts[split][i] for i in orders[split]] for split in texts}
    found = search(shuffled)
    for kind in duplicates.KINDS:
        back = [
            [(split, int(orders[split][row])) for split, row in group]
            for group in getattr(found, kind)
        ]
        assert as_sets(back) == as_sets(groups[kind])


def test_a_leak_names_the_later_split_and_its_row(planted):
    texts, _ = planted
    found = leaks(search(texts))
    assert list(found) == [("train", "validation"), ("train", "test"), ("validation", "test")]
    assert found["train", "validation"] == [(100 + i, 50 + i, "normalised") for i in range(10)]
    near = [(100 + i, i, "near") for i in range(30)]
    assert found["train", "test"] == near + [(130 + i, 40 + i, "exact") for i in range(10)]
    assert found["validation", "test"] == []


def test_what_repeats_within_a_split_is_the_later_row(planted):
    assert within(search(planted[0])) == {
        "train": [(300, 70, "exact")],
        "validation": [],
        "test": [],
    }


def test_the_strictest_kind_names_a_row():
    text = random_texts(1, 30, 5)[0]
    near = one_word_changed(text, 0)
    found = search({"train": [near, text.upper(), text], "test": [text, near.upper()]})
    assert leaks(found) == {("train", "test"): [(0, 2, "exact"), (1, 0, "normalised")]}
    assert within(found)["train"] == [(1, 0, "near"), (2, 1, "normalised")]


def test_two_texts_that_a_third_of_another_split_connects_are_no_repetition():
    text = random_texts(1, 60, 6)[0]
    # Three changed words leave a text near, six do not.
    first, last = (one_word_changed(one_word_changed(text, a), b) for a, b in ((0, 1), (58, 59)))
    first, last = one_word_changed(first, 5), one_word_changed(last, 50)
    found = search({"train": [first, last], "test": [text]})
    assert len(found.near) == 1
    assert within(found)["train"] == []
    assert leaks(found)["train", "test"] == [(0, 0, "near")]


def test_signatures_find_what_a_comparison_of_all_pairs_finds():
    texts = random_texts(60, 40, 7)
    generator = np.random.Generator(np.random.Philox(key=8))
    for row, changes in itertools.product(range(10), range(1, 5)):
        words = texts[row].split()
        for place in generator.choice(40, changes, replace=False):
            words[place] = "elsewhere"
        texts.append(" ".join(words))

    def jaccard(one, other):
        one, other = (
            {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
            for words in (one.split(), other.split())
        )
        return len(one & other) / len(one | other)

    for threshold in (0.5, 0.7, 0.8, 0.95):
        expected = {
            tuple(sorted((texts[a], texts[b])))
            for a, b in itertools.combinations(range(len(texts)), 2)
            if texts[a] != texts[b] and jaccard(texts[a], texts[b]) >= threshold
        }
        distinct = sorted({*texts})
        pairs = search({"train": texts}, threshold).pairs.tolist()
        assert {(distinct[a], distinct[b]) for a, b in pairs} == expected


def test_a_bucket_of_very_many_alike_texts_is_one_group():
    text = random_texts(1, 100, 10)[0]
    texts = [one_word_changed(text, i % 100) + f" {i}" for i in range(300)]
    assert [len(group) for group in search({"train": texts}).near] == [300]


def test_normalised_texts_differ_in_nothing_that_is_read():
    assert (
        normalise(" Straße\tNo.\u00a0\uff11 \n") == normalise("STRASSE no. 1") == "strasse no. 1"
    )
    assert normalise("ﬁne") == "fine"
    assert normalise("fine") != normalise("fin e")


def test_short_texts_are_compared_by_their_characters():
    found = search({"train": ["acknowledgements", "acknowledgement", "a fine day", "tea", "sea"]})
    assert found.near == [[("train", 0), ("train", 1)]]


def test_both_of_a_pair_must_be_the_same():
    context = random_texts(1, 100, 11)[0]
    questions = random_texts(3, 12, 12)
    pairs = [(question, context) for question in questions]
    found = search({"train": pairs, "test": [(questions[0].upper(), context), ("ab", "c")]})
    assert found.normalised == [[("train", 0), ("test", 0)]]
    assert found.near == []
    assert search({"train": [("a", "b c"), ("a b", "c")]}).exact == []


def test_a_list_of_words_is_a_text():
    sentence = ["The", "cat", "sat", "."]
    found = search({"train": [sentence], "test": [list(sentence), ["the", "cat", "sat", "."]]})
    assert found.exact == [[("train", 0), ("test", 0)]]
    assert found.normalised == [[("train", 0), ("test", 0), ("test", 1)]]


def test_rows_without_a_text_are_in_no_group():
    found = search({"train": ["", " ", None, float("nan"), [], ("", ""), "a", "a"], "test": [""]})
    assert found.exact == [[("train", 6), ("train", 7)]]
    assert found.normalised == found.near == []
    assert within(found)["train"] == [(7, 6, "exact")]
    assert leaks(found) == {("train", "test"): []}
    assert search({"train": [], "test": []}).exact == []


def test_what_cannot_be_compared_is_named():
    with pytest.raises(UserError, match=r"threshold=0\.2 .* choose 0.5 to 1"):
        search({"train": ["a"]}, threshold=0.2)
    with pytest.raises(UserError, match="the test split has 2 texts and 0 ids"):
        find({"test": ["a", "b"]}, {}, threshold=0.8)


def test_half_a_character_is_compared_too():
    assert len(search({"train": ["\ud800 one", "\ud800 ONE"]}).normalised) == 1
