"""Answers score what the rule of SQuAD, written a second time, says of them."""

import string

import numpy as np
import pytest

from bertbench.scores import answers

TRIALS = 1000


def draws(key):
    return np.random.Generator(np.random.Philox(key=key))


WORDS = [
    "a",
    "An",
    "THE",
    "the",
    "cat",
    "Cat",
    "cat's",
    "theme",
    "é",
    "É",
    "ß",
    "1,000",
    "U.S.",
    "-",
]
SIGNS = ["", "", " ", "  ", ".", ",", "!", "'", "\n", "\u00a0", "—", "\u2019", "_", "«"]


def phrase(generator, longest=6):
    size, words = int(generator.integers(0, longest)), WORDS[: generator.choice([6, len(WORDS)])]
    return "".join(
        f"{generator.choice(words)}{generator.choice(SIGNS)}{generator.choice(['', ' ', ' '])}"
        for _ in range(size)
    )


def slow_words(text):
    """The words that count, letter by letter: no pattern, no table."""
    kept, runs = [letter for letter in text.lower() if letter not in string.punctuation], [""]
    for letter in kept:  # runs of letters and digits; anything else stands alone
        if letter.isalnum():
            runs[-1] += letter
        else:
            runs += [letter, ""]
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def slow_f1(told, gold):
    """The bags met by sorting: step on in whichever is behind."""
    left, right = sorted(slow_words(told)), sorted(slow_words(gold))
    if not left or not right:
        return float(left == right)
    sizes, common = (len(left), len(right)), 0
    while left and right:
        if left[-1] == right[-1]:
            common += 1
            left.pop()
            right.pop()
        elif left[-1] > right[-1]:
            left.pop()
        else:
            right.pop()
    if not common:
        return 0.0
    precision, recall = common / sizes[0], common / sizes[1]
    return 2 * precision * recall / (precision + recall)


def slow_gold(golds):
    return [gold for gold in golds if slow_words(gold)] or [""]


def test_answers_score_what_the_rule_of_squad_says():
    generator = draws(5)
    for _ in range(TRIALS):
        told, golds = (
            phrase(generator),
            [phrase(generator) for _ in range(generator.integers(0, 4))],
        )
        exact = any(slow_words(told) == slow_words(gold) for gold in slow_gold(golds))
        assert answers.normalise(told) == " ".join(slow_words(told))
        assert answers.exact_match(told, golds) == exact
        assert answers.token_f1(told, golds) == pytest.approx(
            max(slow_f1(told, gold) for gold in slow_gold(golds))
        )


NORMAL = [
    ("The  Cat,\tsat.", "cat sat"),
    ("a an the", ""),
    ("an-other", "another"),  # punctuation leaves nothing behind
    ("the-cat", "thecat"),  # and goes before articles do
    ("cat's", "cats"),
    ("U.S.A.", "usa"),
    ("A.", ""),
    ("theme panther", "theme panther"),
    ("l\u2019a", "l\u2019"),  # a sign that is not ASCII parts words, and stays
    ("«the» Élan", "« » élan"),
    ("“1,000”", "“1000”"),
    ("a\u00a0cat", "cat"),
    ("$%&", ""),
]


@pytest.mark.parametrize(("text", "normal"), NORMAL)
def test_normalise(text, normal):
    assert answers.normalise(text) == normal
    assert answers.normalise(normal) == normal


MATCHES = [  # prediction, answers, exact match, F1
    ("Denver Broncos", ["the Denver Broncos!"], 1, 1),
    ("the Broncos", ["Denver Broncos"], 0, 2 / 3),
    ("Broncos", ["Panthers", "Denver Broncos", "the Broncos of Denver"], 0, 2 / 3),
    ("Panthers", ["Denver", "Panthers"], 1, 1),
    ("cat cat", ["cat cat dog"], 0, 4 / 5),  # bags, not sets
    ("", [], 1, 1),
    ("the", [], 1, 1),
    ("cat", [], 0, 0),
    ("", ["cat"], 0, 0),
    ("", ["the", "cat"], 0, 0),  # an answer that normalises to nothing is none
    ("", ["the"], 1, 1),
    ("the", ["a."], 1, 1),
    ("cat", ["the"], 0, 0),
]


@pytest.mark.parametrize(("told", "golds", "exact", "f1"), MATCHES)
def test_matches_by_hand(told, golds, exact, f1):
    assert answers.exact_match(told, golds) == exact
    assert answers.token_f1(told, golds) == pytest.approx(f1)


def test_means_over_questions():
    told, golds = [match[0] for match in MATCHES], [match[1] for match in MATCHES]
    exact = sum(match[2] for match in MATCHES) / len(MATCHES)
    assert answers.mean_exact_match(told, golds) == pytest.approx(exact)
    assert answers.mean_f1(told, golds) == pytest.approx(np.mean([m[3] for m in MATCHES]))


def questions(generator, texts, *, levels):
    """Short answers of few words: scores between 0 and 1, and questions without an answer."""
    words = ["cat", "dog", "the cat", "cat dog", "dog cat sun", ""]
    told = [str(generator.choice(words)) for _ in range(texts)]
    golds = [
        [str(word) for word in generator.choice(words[:5], size=generator.integers(0, 3))]
        for _ in range(texts)
    ]
    return np.round(generator.normal(size=texts) * levels) / levels, told, golds


def applied(threshold, scores, told, golds, measure):
    return np.mean(
        [
            measure("" if score > threshold else text, gold)
            for score, text, gold in zip(scores, told, golds, strict=True)
        ]
    )


@pytest.mark.parametrize("measure", [answers.token_f1, answers.exact_match])
@pytest.mark.parametrize("levels", [1, 1e6])
def test_the_best_threshold_is_the_lowest_of_the_best(measure, levels):
    generator = draws(6)
    for _ in range(TRIALS // 4):
        case = questions(generator, int(generator.integers(1, 12)), levels=levels)
        threshold, mean = answers.best_threshold(*case, measure=measure)
        assert mean == pytest.approx(applied(threshold, *case, measure), rel=1e-12)
        tried = [-1e9, *np.unique(case[0]).tolist()]
        means = [applied(other, *case, measure) for other in tried]
        best = next(i for i, other in enumerate(means) if other > max(means) - 1e-9)
        assert mean == pytest.approx(max(means))
        assert threshold == (tried[best] if best else np.nextafter(tried[1], -np.inf))


def test_the_best_threshold_is_that_of_the_script_where_no_scores_are_equal():
    """It walks up the scores and counts what each question, now answered, gains or loses."""
    generator = draws(7)
    for _ in range(TRIALS):
        scores, told, golds = questions(generator, 9, levels=1e9)
        best = total = sum(not gold for gold in golds)
        threshold = None
        for i in np.argsort(scores):
            total += answers.token_f1(told[i], golds[i]) if golds[i] else -bool(told[i])
            if total > best + 1e-9:
                best, threshold = total, scores[i]
        found, mean = answers.best_threshold(scores, told, golds)
        assert mean == pytest.approx(best / 9)
        assert found == (np.nextafter(scores.min(), -np.inf) if threshold is None else threshold)


def test_a_threshold_by_hand():
    told, golds = ["cat", "dog", "sun"], [["cat"], [], ["the sun"]]
    assert answers.best_threshold(np.array([0.1, 0.9, 0.2]), told, golds) == (0.2, 1)
    assert answers.best_threshold(np.array([0.1, 0.2, 0.9]), told, golds) == (0.1, 2 / 3)
    assert answers.best_threshold(np.array([0.5, 0.5, 0.5]), told, golds) == (0.5, 2 / 3)
    below = float(np.nextafter(0.5, 0))
    assert answers.best_threshold(np.array([0.5]), ["dog"], [[]]) == (below, 1)
    assert answers.best_threshold(np.array([0.5]), ["cat"], [["dog"]]) == (below, 0)


def test_sums_that_differ_by_rounding_alone_are_equal():
    """F1 of 0.8, -1, -1, 0.4, 0.8, 0.8: the last three win back what the two before lost."""
    long, four, none = ["cat dog sun"], ["cat dog sun sky"], []
    golds = [long, none, none, four, long, long]
    told = ["cat dog", "cat", "cat", "cat", "cat dog", "cat dog"]
    threshold, mean = answers.best_threshold(np.arange(6), told, golds)
    assert (threshold, mean) == (0, pytest.approx(2.8 / 6))


SCORES = np.array([0.0, 1.0])
REFUSED = [
    (answers.mean_f1, ([], []), "0 predictions"),
    (answers.mean_f1, (["a"], []), "1 predictions and 0 lists"),
    (answers.mean_exact_match, ([], []), "0 predictions"),
    (answers.best_threshold, (SCORES[:0], [], []), "0 predictions"),
    (answers.best_threshold, (SCORES, ["a"], [[]]), "do not fit"),
    (answers.best_threshold, (np.array([0, np.nan]), ["a", ""], [[], []]), "of row 1 is nan"),
    (answers.best_threshold, (np.array([np.inf, 0]), ["a", ""], [[], []]), "of row 0 is inf"),
]


@pytest.mark.parametrize(("score", "values", "words"), REFUSED)
def test_what_has_no_score_is_refused_by_name(score, values, words):
    with pytest.raises(ValueError, match=words):
        score(*values)
