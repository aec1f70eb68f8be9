"""Scores of label sets, numbers and rankings equal an independent source, or every order tried out."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from bertbench.scores import labelsets, numbers, rankings

TRIALS = 1000
ZERO: Any = 0  # what scikit-learn is to say where F1 is not defined
EACH: Any = None  # how scikit-learn is to average: not at all
LABELSETS = (
    labelsets.micro_f1,
    labelsets.macro_f1,
    labelsets.mean_average_precision,
    labelsets.binary_log_loss,
    labelsets.subset_accuracy,
)
NUMBERS = (numbers.pearson, numbers.spearman, numbers.mae, numbers.rmse)
RANKINGS = (rankings.mean_average_precision, rankings.mean_reciprocal_rank, rankings.ndcg)


def draws(key):
    return np.random.Generator(np.random.Philox(key=key))


def label_sets(generator):
    """Small, so that classes without a positive, ties, and empty sets are frequent."""
    texts, classes = generator.integers(1, 9), generator.integers(2, 6)
    labels = generator.random((texts, classes)) < generator.choice([0.1, 0.5, 0.9])
    probabilities = generator.random((texts, classes))
    steps = generator.choice([4, 1000])  # of a grid: ties, and 0, 0.5 and 1 themselves
    return labels, np.round(probabilities * steps) / steps


def agree(ours, other):
    return ours == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_label_sets_score_what_scikit_learn_says():
    generator = draws(1)
    for _ in range(TRIALS):
        y, p = label_sets(generator)
        told, occurs = p > 0.5, np.flatnonzero(y.any(0))
        micro = sklearn.f1_score(y, told, average="micro", zero_division=ZERO)
        each: Any = sklearn.f1_score(y, told, average=EACH, zero_division=ZERO)
        macro = each[(y | told).any(0)]
        precision = [sklearn.average_precision_score(y[:, c], p[:, c]) for c in occurs]
        loss = sklearn.log_loss(y.ravel(), p.ravel(), labels=[False, True])
        assert agree(labelsets.micro_f1(y, p), micro)
        assert agree(labelsets.macro_f1(y, p), macro.mean() if len(macro) else 0)
        assert agree(labelsets.mean_average_precision(y, p), np.mean(precision or [0]))
        assert agree(labelsets.binary_log_loss(y, p), loss)
        assert labelsets.subset_accuracy(y, p) == sklearn.accuracy_score(y, told)


def test_a_class_is_predicted_only_above_one_half():
    labels = np.array([[True, False]])
    assert labelsets.micro_f1(labels, np.array([[0.5, 0.5]])) == 0
    assert labelsets.micro_f1(labels, np.array([[np.nextafter(0.5, 1), 0.5]])) == 1


def test_right_label_sets_have_the_best_scores_there_are():
    labels = draws(3).random((20, 4)) < 0.5
    assert [score(labels, labels.astype(float)) for score in LABELSETS] == [
        1, 1, 1, pytest.approx(0, abs=1e-12), 1,
    ]  # fmt: skip


def test_without_a_positive_f1_and_precision_are_zero_and_the_empty_set_is_right():
    nothing = np.zeros((3, 2))
    found = [score(nothing.astype(bool), nothing) for score in LABELSETS]
    assert found == [0, 0, 0, pytest.approx(0, abs=1e-12), 1]


def test_certain_and_wrong_has_a_finite_binary_log_loss():
    labels = np.array([[True, False]])
    loss = labelsets.binary_log_loss(labels, np.array([[0.0, 1.0]]))
    assert loss == pytest.approx(-math.log(np.finfo(np.float64).eps))


def test_numbers_score_what_scipy_and_scikit_learn_say():
    generator = draws(4)
    for _ in range(TRIALS):
        texts = int(generator.integers(2, 12))
        y, p = generator.normal(size=(2, texts)) * 10.0 ** generator.integers(-6, 7, size=(2, 1))
        if generator.random() < 0.5:  # ties
            y, p = generator.integers(0, 4, size=(2, texts)).astype(float)
        assert agree(numbers.mae(y, p), sklearn.mean_absolute_error(y, p))
        assert agree(numbers.rmse(y, p), sklearn.root_mean_squared_error(y, p))
        if np.ptp(y) > 0 and np.ptp(p) > 0:
            assert agree(numbers.pearson(y, p), stats.pearsonr(y, p)[0])
            assert agree(numbers.spearman(y, p), stats.spearmanr(y, p)[0])


@pytest.mark.parametrize("correlation", [numbers.pearson, numbers.spearman])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e300, 5e-324, -3.7])
@pytest.mark.parametrize("texts", [1, 2, 7])
def test_a_constant_has_no_correlation(correlation, constant, texts):
    varied, same = np.arange(texts, dtype=float), np.full(texts, constant)
    assert correlation(varied, same) == correlation(same, varied) == correlation(same, same) == 0


@pytest.mark.parametrize("correlation", [numbers.pearson, numbers.spearman])
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 1e200, 1e307])
def test_a_correlation_does_not_depend_on_the_scale(correlation, scale):
    y, p = np.array([1.0, 4, 2, 8]), np.array([2.0, 3, 1, 9])
    assert correlation(y * scale, p) == pytest.approx(correlation(y, p), rel=1e-3)
    assert correlation(y * scale, y) == pytest.approx(1, rel=1e-3)
    assert correlation(y, 1 - y / 7) == pytest.approx(-1)
    assert abs(correlation(np.array([1.0, np.nextafter(1, 2)]), p[:2])) == pytest.approx(1)


def test_the_root_of_squares_does_not_overflow_and_is_not_below_the_mean():
    y, p = np.array([0.0, 0.0]), np.array([3e200, 4e200])
    assert numbers.rmse(y, p) == pytest.approx(math.sqrt(12.5) * 1e200, rel=1e-12)
    assert numbers.mae(y, p) == pytest.approx(3.5e200)
    assert numbers.mae(p, p) == numbers.rmse(p, p) == 0


def candidates(generator, *, largest=8):
    """Groups in no order, with many ties; most have a relevant candidate."""
    total = int(generator.integers(1, largest))
    labels = generator.integers(0, 4, size=total) * (generator.random(total) < 0.6)
    scores = generator.integers(0, generator.choice([1, 3, 1000]), size=total)
    groups = [f"q{i}" for i in generator.integers(0, generator.choice([1, 3]), size=total)]
    return labels.astype(float), scores.astype(float), groups


def one_order(relevance, k=10):
    """AP, RR, NDCG of one list of relevances, best rank first, by their definitions."""
    hits = [rank for rank, value in enumerate(relevance, 1) if value > 0]
    ap = sum(sum(hit <= rank for hit in hits) / rank for rank in hits) / len(hits)

    def dcg(order):
        return sum((2**v - 1) / math.log2(rank + 1) for rank, v in enumerate(order[:k], 1))

    return ap, 1 / hits[0], dcg(relevance) / dcg(sorted(relevance, reverse=True))


def every_order(labels, scores, groups, k=10):
    """Average over all orders of each group that its scores allow, then over groups."""
    means = []
    for group in dict.fromkeys(groups):
        pairs = [(s, y) for s, y, g in zip(scores, labels, groups, strict=True) if g == group]
        if any(y > 0 for _, y in pairs):
            orders = [
                [y for _, y in order]
                for order in itertools.permutations(pairs)
                if all(a[0] >= b[0] for a, b in itertools.pairwise(order))
            ]
            means.append(np.mean([one_order(order, k) for order in orders], axis=0))
    return np.mean(means, axis=0) if means else np.zeros(3)


def test_tied_candidates_score_the_mean_of_all_their_orders():
    generator = draws(5)
    for _ in range(TRIALS):
        case = candidates(generator, largest=7)
        assert agree([score(*case) for score in RANKINGS], every_order(*case))
        assert agree(rankings.ndcg(*case, k=2), every_order(*case, k=2)[2])


def test_a_constant_score_is_worth_a_random_order():
    generator = draws(6)
    labels = (generator.random(40) < 0.2) * generator.integers(1, 4, size=40).astype(float)
    groups = [f"q{i % 3}" for i in range(40)]
    for score in RANKINGS:
        random = [
            score(labels, generator.permutation(40).astype(float), groups) for _ in range(3000)
        ]
        error = np.std(random) / math.sqrt(len(random))
        assert abs(score(labels, np.zeros(40), groups) - np.mean(random)) < 4 * error


def test_rankings_score_what_scikit_learn_says():
    generator = draws(7)
    for _ in range(TRIALS):
        size, k = int(generator.integers(2, 30)), int(generator.integers(1, 30))
        y = generator.integers(0, 4, size=size).astype(float)
        y[0] = 1
        p = generator.permutation(size).astype(float)
        ties = generator.integers(0, 4, size=size).astype(float)
        group = ["q"] * size
        assert agree(
            rankings.mean_average_precision(y, p, group), sklearn.average_precision_score(y > 0, p)
        )
        for s in (p, ties):
            linear = rankings.ndcg(y, s, group, k, gain="linear")
            assert agree(linear, sklearn.ndcg_score([y], [s], k=k))
            assert agree(rankings.ndcg(y, s, group, k), sklearn.ndcg_score([2**y - 1], [s], k=k))


def test_the_order_of_rows_and_the_names_of_groups_do_not_matter():
    generator = draws(8)
    for _ in range(100):
        y, s, groups = candidates(generator, largest=30)
        order = generator.permutation(len(y))
        named = [groups[i] + "\0" for i in order]
        for score in RANKINGS:
            assert agree(score(y[order], s[order], named), score(y, s, groups))


def test_groups_without_a_relevant_candidate_are_left_out_and_counted():
    y, s = np.array([1.0, 0, 0, 0, 2]), np.array([1.0, 2, 3, 4, 5])
    groups = ["a", "a", "b", "c", "a"]
    kept = np.array([0, 1, 4])
    for score in RANKINGS:
        assert score(y, s, groups) == score(y[kept], s[kept], ["a"] * 3)
        assert score(0 * y, s, groups) == 0
    assert rankings.groups_left_out(y, groups) == 2
    assert rankings.groups_left_out(0 * y, groups) == 3


def test_ndcg_of_large_and_small_relevance():
    s, groups = np.array([1.0, 2]), ["q", "q"]
    assert rankings.ndcg(np.array([1000.0, 0]), s, groups) == pytest.approx(1 / math.log2(3))
    assert rankings.ndcg(np.array([1e-300, 0]), s, groups) == pytest.approx(1 / math.log2(3))
    assert rankings.ndcg(np.full(9, 1e308), np.arange(9.0), ["q"] * 9, gain="linear") == 1
    with pytest.raises(ValueError, match=r"relevance of 1001\.0 is too large.*linear"):
        rankings.ndcg(np.array([1001.0, 0]), s, groups)
    with pytest.raises(ValueError, match="k=0"):
        rankings.ndcg(np.ones(2), s, groups, k=0)
    unknown: Any = "cubic"
    with pytest.raises(ValueError, match="gain=cubic"):
        rankings.ndcg(np.ones(2), s, groups, gain=unknown)


GOOD = np.array([0.0, 1.0])
YES = np.array([[True, False]])
REFUSED = [
    *((f, (YES, np.array([[0.5, np.nan]])), "class 1 is nan") for f in LABELSETS),
    *((f, (YES, np.array([[0.5, 1.5]])), r"class 1 is 1\.5") for f in LABELSETS),
    *((f, (YES, np.array([[0.5]])), "do not fit") for f in LABELSETS),
    *((f, (YES[:0], np.zeros((0, 2))), "a text") for f in LABELSETS),
    *((f, (YES.astype(int), np.array([GOOD])), "give bool") for f in LABELSETS),
    *((f, (GOOD, np.array([0, np.nan])), "prediction of row 1 is nan") for f in NUMBERS),
    *((f, (np.array([np.inf, 0]), GOOD), "label of row 0 is inf") for f in NUMBERS),
    *((f, (GOOD, GOOD[:1]), "do not fit") for f in NUMBERS),
    *((f, (GOOD[:0], GOOD[:0]), "a text") for f in NUMBERS),
    *((f, (GOOD, np.array([0, np.nan]), "ab"), "score of row 1 is nan") for f in RANKINGS),
    *((f, (np.array([np.nan, 0]), GOOD, "ab"), "relevance of row 0 is nan") for f in RANKINGS),
    *((f, (np.array([-1.0, 0]), GOOD, "ab"), r"relevance of row 0 is -1\.0") for f in RANKINGS),
    *((f, (GOOD, GOOD, "a"), "1 groups and 2 labels") for f in RANKINGS),
    *((f, (GOOD, GOOD[:1], "ab"), "do not fit") for f in RANKINGS),
    *((f, (GOOD[:0], GOOD[:0], ""), "a candidate") for f in RANKINGS),
]


@pytest.mark.parametrize(("score", "values", "words"), REFUSED)
def test_what_has_no_score_is_refused_by_name(score, values, words):
    with pytest.raises(ValueError, match=words):
        score(*values)
