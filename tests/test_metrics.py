"""Each metric equals an independent source: scikit-learn, or the definition written as a loop."""

import math
import os
import socket

import numpy as np
import pytest
from sklearn import metrics as sklearn

from bertbench import metrics
from bertbench.errors import UserError
from bertbench.metrics import METRICS


def slow_ece(labels, probabilities):
    """Guo et al. (2017), equation 3, bin by bin: B_m holds confidences in ((m - 1)/M, m/M]."""
    total = 0.0
    for m in range(1, 16):
        members = [
            (max(row), row.index(max(row)) == label)
            for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
            if (m - 1) / 15 < max(row) <= m / 15
        ]
        if members:
            confidence = sum(c for c, _ in members) / len(members)
            accuracy = sum(right for _, right in members) / len(members)
            total += len(members) / len(labels) * abs(accuracy - confidence)
    return total


# What each metric must equal; a metric without an independent source fails here.
SOURCES = {
    "accuracy": lambda y, p: sklearn.accuracy_score(y, p.argmax(1)),
    "macro_f1": lambda y, p: sklearn.f1_score(y, p.argmax(1), average="macro"),
    "mcc": lambda y, p: sklearn.matthews_corrcoef(y, p.argmax(1)),
    "log_loss": lambda y, p: sklearn.log_loss(y, p, labels=range(p.shape[1])),
    "ece": slow_ece,
}


def softmax(logits):
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def random_case(texts, classes, seed, *, true=None, sharpness=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(true or classes, size=texts)
    logits = sharpness * generator.normal(size=(texts, classes))
    logits[np.arange(texts), labels] += 1
    return labels, softmax(logits)


def tied():
    """Rows with two or more equal probabilities at the top."""
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    rows = [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.4, 0.4, 0.2], [0.25, 0.375, 0.375]] * 2
    return labels, np.array(rows)


CASES = {
    "five classes": random_case(300, 5, 0),
    "binary": random_case(200, 2, 1),
    "many classes, few texts": random_case(12, 20, 2),
    "classes missing from the labels": random_case(150, 6, 3, true=3),
    "one class in the labels": random_case(50, 4, 4, true=1),
    "sure": random_case(200, 3, 5, sharpness=30),
    "unsure": random_case(200, 3, 6, sharpness=0.01),
    "one text": random_case(1, 3, 7),
    "ties": tied(),
}
every_metric = pytest.mark.parametrize("name", METRICS)
every_case = pytest.mark.parametrize(("labels", "probabilities"), CASES.values(), ids=CASES)


@every_metric
@every_case
@pytest.mark.filterwarnings(  # scikit-learn remarks on the case; the number is defined all the same
    "ignore:(A single label|The y_prob|y_pred contains|The number of unique):UserWarning"
)
def test_metric_equals_its_independent_source(name, labels, probabilities):
    ours = metrics.score(name, labels, probabilities)
    assert ours == pytest.approx(SOURCES[name](labels, probabilities), rel=1e-12, abs=1e-12)


@every_metric
@every_case
def test_the_face_of_evaluate_gives_the_same_number(name, labels, probabilities):
    found = metrics.face(name).compute(predictions=probabilities, references=labels)
    assert found == {name: metrics.score(name, labels, probabilities)}


@every_metric
def test_the_face_of_evaluate_opens_no_connection(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a metric went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    labels, probabilities = CASES["binary"]
    assert name in metrics.face(name).compute(predictions=probabilities, references=labels)


@every_metric
def test_the_face_takes_batches(name):
    labels, probabilities = CASES["five classes"]
    face = metrics.face(name)
    for start in range(0, len(labels), 70):
        rows = slice(start, start + 70)
        face.add_batch(predictions=probabilities[rows], references=labels[rows])
    assert face.compute() == {name: metrics.score(name, labels, probabilities)}


def test_compute_returns_the_metrics_asked_for():
    labels, probabilities = CASES["five classes"]
    found = metrics.compute(["mcc", "ece"], labels, probabilities)
    assert found == {name: metrics.score(name, labels, probabilities) for name in ("mcc", "ece")}


@pytest.mark.parametrize("bin_end", range(5, 16))
def test_ece_puts_a_confidence_on_a_border_into_the_lower_bin(bin_end):
    """((m - 1)/M, m/M]: 1/3 is in bin 5, and joins what lies below it, not what lies above."""
    border = bin_end / 15
    below = border - 0.03
    top = np.array([border, border, below])
    probabilities = np.column_stack([top, (1 - top) / 2, (1 - top) / 2])
    if bin_end == 5:  # below a third another class is on top
        probabilities = np.full((3, 3), border)
    labels = np.array([0, 0, 1])
    assert metrics.ece(labels, probabilities) == pytest.approx(slow_ece(labels, probabilities))


PERFECT = {"accuracy": 1, "macro_f1": 1, "mcc": 1, "log_loss": 0, "ece": 0}
WRONG = {"accuracy": 0, "macro_f1": 0, "ece": 1}


@every_metric
def test_certain_and_right_is_the_best_there_is(name):
    labels = np.array([0, 1, 2, 3] * 5)
    perfect = metrics.score(name, labels, np.eye(4)[labels])
    assert perfect == pytest.approx(PERFECT[name], abs=1e-12)
    for seed in range(20):
        other_labels, other = random_case(40, 4, seed)
        signed = metrics.score(name, other_labels, other, signed=True)
        assert signed < metrics.score(name, labels, np.eye(4)[labels], signed=True)


@pytest.mark.parametrize("name", WRONG)
def test_certain_and_wrong_is_the_worst_there_is(name):
    labels = np.array([0, 1, 2, 3] * 5)
    assert metrics.score(name, labels, np.eye(4)[(labels + 1) % 4]) == WRONG[name]


def test_certain_and_wrong_has_a_finite_log_loss():
    labels = np.array([0, 1])
    loss = metrics.log_loss(labels, np.eye(2)[[1, 0]])
    assert loss == pytest.approx(-math.log(np.finfo(np.float64).eps))


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_knowing_nothing_scores_chance(classes):
    labels = np.repeat(np.arange(classes), 3)
    uniform = np.full((len(labels), classes), 1 / classes)
    assert metrics.accuracy(labels, uniform) == pytest.approx(1 / classes)
    assert metrics.mcc(labels, uniform) == 0
    assert metrics.log_loss(labels, uniform) == pytest.approx(math.log(classes))
    assert metrics.ece(labels, uniform) == pytest.approx(0, abs=1e-12)


@every_metric
def test_signed_scores_are_better_the_higher(name):
    labels, probabilities = CASES["five classes"]
    value = metrics.score(name, labels, probabilities)
    signed = metrics.score(name, labels, probabilities, signed=True)
    assert signed == (value if METRICS[name].higher_is_better else -value)


@every_metric
def test_the_order_of_the_texts_does_not_matter(name):
    labels, probabilities = CASES["five classes"]
    order = np.random.default_rng(0).permutation(len(labels))
    assert metrics.score(name, labels[order], probabilities[order]) == pytest.approx(
        metrics.score(name, labels, probabilities), rel=1e-12
    )


@pytest.mark.parametrize(
    ("wrong", "near"), [("acuracy", "accuracy"), ("macro-f1", "macro_f1"), ("logloss", "log_loss")]
)
def test_an_unknown_metric_is_named_with_the_nearest(wrong, near):
    with pytest.raises(UserError, match=rf"{wrong}.*did you mean '{near}'"):
        metrics.find(wrong)


def test_an_unknown_metric_says_which_there_are_and_where_it_was_asked_for():
    with pytest.raises(UserError, match=r"task\.metrics=zzz") as caught:
        metrics.find("zzz", "task.metrics")
    assert all(name in str(caught.value) for name in METRICS)
    assert "did you mean" not in str(caught.value)


def test_confusion_counts_true_classes_down_and_predicted_across():
    labels = np.array([0, 0, 1, 2])
    table = metrics.confusion(labels, np.eye(3)[[0, 1, 1, 0]])
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert table.tolist() == sklearn.confusion_matrix(labels, [0, 1, 1, 0]).tolist()
