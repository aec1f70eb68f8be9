"""Every mode on every kind of task: what is kept is what was measured, chance is chance, no batch tells."""

import functools
import random

import numpy as np
import pytest
import torch
import toy_kinds
from conftest import SHAPE, KillAt, Killed

from bertbench import kinds, learners, predictors
from bertbench import progress as progress_room
from bertbench import tokenizer as tokenizers
from bertbench.baselines.answering import FittedPassages
from bertbench.baselines.matching import Matcher
from bertbench.baselines.texts import FittedTfidf
from bertbench.baselines.words import WordTagger
from bertbench.errors import UserError
from bertbench.loop import _step
from bertbench.models import checkpoint, families
from bertbench.models.finetuned import FittedFull
from bertbench.models.reader import NEVER, FittedReader
from bertbench.models.tagger import FittedTagger
from bertbench.models.targets import Number
from bertbench.modes.frozen import Frozen
from bertbench.modes.full import Full
from bertbench.modes.tfidf import Tfidf
from bertbench.optim import Recipe, adamw
from bertbench.predictors import Cosine
from bertbench.probing.spans import FittedSpans, SpanReader
from bertbench.probing.texts import FittedFrozen
from bertbench.probing.words import FittedWords, WordReader
from bertbench.progress import Checkpoints
from bertbench.types import Guess

OPTIM = {
    "lr": 3e-3, "betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.01, "warmup": 0.1, "clip": 1.0,
}  # fmt: skip
PENALTIES = [0.01, 0.1, 1, 10, 100]
SPAN = {"optim": OPTIM | {"lr": 3e-2}, "epochs": 30, "min_steps": 0, "batch_size": 16}
MODES = {
    "tfidf": functools.partial(
        Tfidf, ngrams=1, characters=None, min_documents=1, stop_words=[None], penalties=PENALTIES,
        ridge=PENALTIES,
    ),
    "frozen": functools.partial(Frozen, pooling="mean", layer=-1, penalties=PENALTIES, span=SPAN),
    "full": functools.partial(
        Full, optim=OPTIM, pooling="mean", layer=-1, dropout=0.1, epochs=12, min_steps=0,
        batch_size=16, learning_rates=None,
    ),
}  # fmt: skip
FITTED = {
    ("tfidf", "text"): FittedTfidf,
    ("tfidf", "token"): WordTagger,
    ("tfidf", "span"): FittedPassages,
    ("frozen", "text"): FittedFrozen,
    ("frozen", "token"): FittedWords,
    ("frozen", "span"): FittedSpans,
    ("full", "text"): FittedFull,
    ("full", "token"): FittedTagger,
    ("full", "span"): FittedReader,
}
METRICS = {
    "classification": "accuracy",
    "multilabel": "micro_f1",
    "regression": "spearman",
    "ranking": "map",
    "token": "word_accuracy",
    "span": "exact_match",
}
DATA = {name: make() for name, make in toy_kinds.TASKS.items()}
every_mode = pytest.mark.parametrize("mode", sorted(MODES))
every_task = pytest.mark.parametrize("task", sorted(DATA))


@pytest.fixture(scope="module")
def setting_of(make_setting):
    """Return a function from a task and changed fields to a setting; its store is empty."""

    def make(data, **changed):
        fields = {"max_length": 64, "long_text": "window", "metric": METRICS[data.kind]}
        return make_setting(**fields | changed)

    return make


@pytest.fixture(scope="module")
def outcome(setting_of):
    """Return a function from a mode and a task to what it came to, fitted once."""

    @functools.cache
    def fit(mode, task):
        return MODES[mode]().fit(DATA[task], setting_of(DATA[task]))

    return fit


def load(fitted, folder, compute):
    """Read a saved model with the class that wrote it."""
    own = type(fitted)
    without_encoder = own in (FittedTfidf, WordTagger, FittedPassages, Matcher)
    return own.load(folder) if without_encoder else own.load(folder, compute)


def numbers(predictions):
    """Return predictions of any kind as one array of numbers."""
    if isinstance(predictions, np.ndarray):
        return predictions
    if isinstance(predictions[0], Guess):
        return np.array([[guess.score, guess.no_answer] for guess in predictions])
    return np.concatenate(predictions)


def same(one, other, tolerance):
    """Check that predictions are the same but for rounding; answers are so to the letter."""
    np.testing.assert_allclose(numbers(one), numbers(other), rtol=0, atol=tolerance)
    if isinstance(one, list) and isinstance(one[0], Guess):
        assert [guess[:2] for guess in one] == [guess[:2] for guess in other]


def quality(data, predictions):
    """Return the score on the test split by which chance is known."""
    if data.kind == "multilabel":
        return float(((predictions > 0.5) == data.test.labels).mean())
    name = METRICS[data.kind]
    return kinds.compute(data, [name], data.test, predictions)[name]


def chance(data):
    """Return what that score is without knowledge of the texts."""
    if data.kind == "ranking":
        return quality(data, np.zeros(len(data.test.labels)))
    if data.kind == "token":
        return float((np.concatenate(data.test.labels) == toy_kinds.TAGS.index("O")).mean())
    if data.kind == "span":
        words = [len(context.split()) for _, context in data.test.texts]
        return float(np.mean(1 / np.array(words)))
    return {"classification": 1 / 3, "multilabel": 0.5, "regression": 0.0}[data.kind]


# What is measured and kept


@every_task
@every_mode
def test_what_was_measured_is_what_the_fitted_model_predicts(mode, task, outcome):
    found = outcome(mode, task)
    for kept, split in (
        (found.validation, DATA[task].validation),
        (found.test, DATA[task].test),
    ):
        same(kept, found.fitted.predict(split.texts), 1e-6)


@every_task
@every_mode
def test_a_saved_model_predicts_the_same_bits(mode, task, outcome, compute, tmp_path):
    fitted = outcome(mode, task).fitted
    assert type(fitted) in (FITTED[mode, kinds.find(DATA[task].kind).reading], Matcher)
    fitted.save(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".model"}
    texts = DATA[task].test.texts
    same(load(fitted, tmp_path, compute).predict(texts), fitted.predict(texts), 0)


@every_task
@every_mode
def test_company_and_order_change_nothing(mode, task, outcome):
    fitted = outcome(mode, task).fitted
    texts = DATA[task].test.texts[:12]
    together = fitted.predict(texts)
    order = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
    shuffled = fitted.predict([texts[i] for i in order])
    back = [shuffled[order.index(i)] for i in range(12)]
    alone = [fitted.predict([text])[0] for text in texts]
    for other in (back, alone):
        same(together, np.array(other) if isinstance(together, np.ndarray) else other, 1e-6)


# Chance


@every_task
@every_mode
def test_a_task_that_words_tell_is_learned(mode, task, outcome):
    data = DATA[task]
    score, least = quality(data, outcome(mode, task).test), chance(data)
    assert score > least + 0.4 * (1 - least)


TRIES = 6


@every_task
@every_mode
def test_permuted_labels_score_chance(mode, task, setting_of):
    """Over permutations: in one of them one topic may be taken for another, in all its texts."""
    data = DATA[task]
    if (mode, data.kind) == ("tfidf", "span"):
        pytest.skip("it counts words and learns nothing of labels")
    setting = setting_of(data)
    more = {"epochs": 4} if mode == "full" else {}
    scores = []
    for seed in range(TRIES):
        found = MODES[mode](**more).fit(toy_kinds.shuffled(data, seed), setting)
        scores.append(quality(data, found.test))
    error = max(np.std(scores, ddof=1) / TRIES**0.5, 1 / (4 * len(data.test.ids)))
    above = np.mean(scores) - chance(data)
    assert above < 4 * error
    assert above > -4 * error or data.kind == "span"  # what is no word is an answer to nothing


@every_task
@every_mode
def test_test_labels_decide_nothing(mode, task, outcome, setting_of):
    data = DATA[task]
    labels = data.test.labels[::-1]
    if data.kind == "token":
        labels = [np.zeros_like(row) for row in data.test.labels]
    other = data._replace(test=data.test._replace(labels=labels))
    found = MODES[mode]().fit(other, setting_of(data))
    same(found.test, outcome(mode, task).test, 0)


@pytest.mark.parametrize(
    ("task", "reader", "reads"), [("token", WordReader, "read"), ("span", SpanReader, "states")]
)
def test_states_are_computed_once_and_kept(task, reader, reads, setting_of, monkeypatch):
    """For another seed too, which trains another probe on the same states."""
    data, calls, compute = DATA[task], [], getattr(reader, reads)

    def counted(self, texts):
        calls.append(len(texts))
        return compute(self, texts)

    monkeypatch.setattr(reader, reads, counted)
    setting = setting_of(data)
    first = MODES["frozen"]().fit(data, setting)
    assert sorted(calls) == sorted(toy_kinds.SIZES.values())
    same(MODES["frozen"]().fit(data, setting).test, first.test, 0)
    MODES["frozen"]().fit(data, setting._replace(seed=1))
    assert len(calls) == 3
    MODES["frozen"]().fit(data, setting._replace(max_length=32))
    assert len(calls) == 6


# Going on


@pytest.mark.parametrize("call", sorted(random.Random(0).sample(range(2, 12), 3)))
@pytest.mark.parametrize("task", ["token", "span", "unanswered", "regression"])
def test_fine_tuning_resumed_equals_straight(task, call, setting_of, tmp_path, monkeypatch):
    """Weights, thresholds and predictions, whether it was killed before or after the best epoch."""
    monkeypatch.setattr(progress_room, "SHARE", 1e9)  # save after each step, whatever it costs
    data = toy_kinds.span(unanswered=True) if task == "unanswered" else DATA[task]
    mode = MODES["full"](epochs=8)
    lines = []
    straight = mode.fit(data, setting_of(data, log=lambda values, step: lines.append(step)))
    assert len(lines) >= 11
    place = Checkpoints(tmp_path, 0)
    with pytest.raises(Killed):
        mode.fit(data, setting_of(data, log=KillAt(call), checkpoints=place))
    assert list(tmp_path.rglob(f"*{progress_room.SUFFIX}"))
    resumed = mode.fit(data, setting_of(data, checkpoints=place))
    same(resumed.validation, straight.validation, 0)
    same(resumed.test, straight.test, 0)
    weights = resumed.fitted.module.state_dict()
    for name, value in straight.fitted.module.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert getattr(resumed.fitted, "threshold", 0) == getattr(straight.fitted, "threshold", 0)
    timed = "cost/train_seconds"
    assert resumed.stats | {timed: 0} == straight.stats | {timed: 0}


def test_frozen_answers_resumed_equal_straight(setting_of, tmp_path, monkeypatch):
    monkeypatch.setattr(progress_room, "SHARE", 1e9)
    data, mode = DATA["span"], MODES["frozen"]()
    straight = mode.fit(data, setting_of(data))
    place = Checkpoints(tmp_path, 0)
    with pytest.raises(Killed):
        mode.fit(data, setting_of(data, log=KillAt(20), checkpoints=place))
    same(mode.fit(data, setting_of(data, checkpoints=place)).test, straight.test, 0)


# Training


@pytest.mark.parametrize("task", sorted(DATA))
def test_the_loss_falls_on_a_constant_batch(task, setting_of):
    data = DATA[task]
    learner = learners.begin(data, setting_of(data), pooling="mean", layer=-1, dropout=0.0)
    labels = data.train.labels[:16]
    batch, _ = learner.batch(learner.encode(data.train.texts[:16]), labels)
    optimizer = adamw(learner.module, Recipe(**OPTIM))
    losses = [
        float(_step(learner.module, batch, optimizer, clip=1.0, compute=learner.compute)["loss"])
        for _ in range(60)
    ]
    assert losses[-1] < 0.6 * losses[0]


@every_mode
def test_numbers_are_predicted_in_the_units_of_the_labels(mode, outcome, setting_of):
    """Of labels that are shifted and scaled, predictions are shifted and scaled likewise."""
    data = DATA["regression"]
    splits = [split._replace(labels=split.labels * 16 + 256) for split in data[2:5]]
    other = data._replace(train=splits[0], validation=splits[1], test=splits[2])
    found, plain = MODES[mode]().fit(other, setting_of(data)), outcome(mode, "regression")
    np.testing.assert_allclose(found.test, plain.test * 16 + 256, rtol=0, atol=1e-6)
    assert abs(found.test.mean() - splits[2].labels.mean()) < 2


def test_labels_that_are_all_alike_are_their_own_prediction():
    target = Number.of(np.full(3, 7.5))
    assert not target.labels(np.full(3, 7.5)).any()
    assert target.predictions(torch.zeros(2, 1)).tolist() == [7.5, 7.5]


# The cosine


def test_the_cosine_is_chosen_where_it_is_right_and_kept(tmp_path):
    """Vectors of random direction whose cosine is the label: no linear model of their parts knows it."""
    generator = np.random.Generator(np.random.Philox(key=0))
    data, features = DATA["similarity"], []
    for split in data[2:4]:
        first = generator.normal(size=(len(split.ids), 24))
        aside = generator.normal(size=first.shape)
        aside -= first * ((first * aside).sum(1) / (first**2).sum(1))[:, None]
        length = np.linalg.norm(first, axis=1) / np.linalg.norm(aside, axis=1)
        share = split.labels[:, None]
        second = share * first + np.sqrt(1 - share**2) * aside * length[:, None]
        second *= generator.uniform(0.2, 5, size=(len(second), 1))
        parts = [first, second, np.abs(first - second), first * second]
        features.append(np.concatenate(parts, axis=1).astype(np.float32))
    model, chosen = predictors.fit(data, "spearman", *features, penalties=PENALTIES, width=24)
    assert chosen == {"chosen/C": 0.0}
    np.testing.assert_allclose(model.predict(features[1]), data.validation.labels, atol=1e-5)
    model.save(tmp_path)
    again = predictors.load(tmp_path, "regression")
    assert isinstance(again, Cosine)
    np.testing.assert_array_equal(again.predict(features[1]), model.predict(features[1]))


@pytest.mark.parametrize("metric", ["spearman", "rmse"])
def test_the_cosine_is_never_chosen_against_validation(metric):
    """Where it tells nothing, the regression stays; among equals too."""
    generator = np.random.Generator(np.random.Philox(key=1))
    data, features = DATA["similarity"], []
    for split in data[2:4]:
        first, second = generator.normal(size=(2, len(split.ids), 4))
        first[:, 0] = split.labels
        features.append(np.concatenate([first, second, first * second, first], axis=1))
    _, chosen = predictors.fit(data, metric, *features, penalties=PENALTIES, width=4)
    assert chosen["chosen/C"] > 0


def test_cosines_that_are_all_alike_give_the_mean():
    data = DATA["similarity"]
    features = np.ones((len(data.train.ids), 8), dtype=np.float32)
    features[::2] *= np.float32(1 / 3)
    line = predictors._cosine(data, features, 4)
    np.testing.assert_allclose(line.predict(features), data.train.labels.mean(), atol=1e-12)


# No answer


@every_mode
def test_no_answer_is_said_where_validation_says_so_and_the_threshold_is_kept(
    mode, setting_of, compute, tmp_path
):
    data = toy_kinds.span(unanswered=True)
    found = MODES[mode]().fit(data, setting_of(data))
    right = np.array([not labels for labels in data.test.labels])
    said = np.array([not guess.text for guess in found.test])
    assert (said == right).mean() > 0.05 + (~right).mean()  # of those who always give one
    assert all(guess.best for guess in found.test)
    f1 = [
        kinds.compute(data, ["f1"], data.validation, [g._replace(text=text(g)) for g in found.validation])
        for text in (lambda g: g.text, lambda g: g.best, lambda g: "")
    ]  # fmt: skip
    assert f1[0]["f1"] >= max(other["f1"] for other in f1)
    found.fitted.save(tmp_path)
    again = load(found.fitted, tmp_path, compute)
    same(again.predict(data.test.texts), found.test, 0 if mode == "tfidf" else 1e-6)


@every_mode
def test_where_every_training_question_has_an_answer_one_is_always_given(
    mode, setting_of, outcome
):
    other = toy_kinds.span(unanswered=True)
    assert all(guess.text for guess in outcome(mode, "span").test)
    data = DATA["span"]._replace(validation=other.validation)
    found = MODES[mode]().fit(data, setting_of(data))
    assert all(guess.text == guess.best != "" for guess in found.validation)


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_a_context_without_tokens_has_no_answer(mode, setting_of, compute):
    """Control characters alone: the normaliser drops them all."""
    data = toy_kinds.span(unanswered=True)
    texts = [("What was new?", ""), *data.validation.texts[1:]]
    labels = [[], *data.validation.labels[1:]]
    data = data._replace(validation=data.validation._replace(texts=texts, labels=labels))
    found = MODES[mode]().fit(data, setting_of(data))
    assert found.validation[0][:3] == ("", "", NEVER)
    assert np.isfinite(found.fitted.threshold)


def test_an_answer_as_long_as_those_of_training_can_be_given(setting_of):
    """Beyond the 30 tokens of SQuAD's script, where one training answer in a hundred is longer."""
    data = DATA["span"]
    learner = learners.begin(data, setting_of(data), pooling="mean", layer=-1, dropout=0.0)
    assert learner.longest == 30
    long = [[row[0]._replace(text="goal " * 45)] for row in data.train.labels]
    changed = data._replace(train=data.train._replace(labels=long))
    learner = learners.begin(changed, setting_of(data), pooling="mean", layer=-1, dropout=0.0)
    assert learner.longest == 45


# Encoders of other families, and odd texts


@pytest.fixture(scope="module")
def folders(tmp_path_factory, vocabulary, tokenizer):
    """Encoders without segments, and one without layers."""
    none = SHAPE._replace(depth=0)
    more = {"dropout": 0.1, "initializer_range": 0.02}
    corpus = toy_kinds.toy.corpus()
    pieces = tokenizers.byte_bpe(corpus, vocab_size=300)
    configs = {
        "roberta": (families.roberta(SHAPE, tokenizers.vocabulary(pieces), **more), pieces),
        "distilbert": (families.distilbert(SHAPE, vocabulary, **more), tokenizer),
        "vectors": (families.bert(none, vocabulary, **more), tokenizer),
    }
    made = {}
    for name, (config, own) in configs.items():
        made[name] = tmp_path_factory.mktemp(name)
        checkpoint.save(families.initialise(config, seed=0), own, made[name])
    return made


@pytest.mark.parametrize("family", ["roberta", "distilbert", "vectors"])
@pytest.mark.parametrize("task", ["pairs", "ranking", "token", "span"])
@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_other_families_measure_what_they_keep(
    mode, task, family, folders, setting_of, compute, tmp_path
):
    more = {"epochs": 2} if mode == "full" else {"span": SPAN | {"epochs": 2}}
    setting = setting_of(DATA[task], checkpoint=folders[family])
    found = MODES[mode](**more).fit(DATA[task], setting)
    found.fitted.save(tmp_path)
    texts = DATA[task].test.texts
    predicted = found.fitted.predict(texts)
    same(found.test, predicted, 1e-6)
    same(load(found.fitted, tmp_path, compute).predict(texts), predicted, 0)


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_odd_texts_are_predicted(mode, outcome):
    """What is blank once normalised, far too long, or nothing at all."""
    pairs = outcome(mode, "pairs").fitted
    odd = [("", ""), ("goal " * 300, ""), ("goal " * 300, "bank " * 300)]
    assert np.isfinite(pairs.predict(odd)).all()
    words = outcome(mode, "token").fitted
    sentences = [[], [""], ["goal"] * 300, ["goal" * 300], ["the new goal", "bank"]]
    found = words.predict(sentences)
    assert [row.shape for row in found] == [(len(s), len(toy_kinds.TAGS)) for s in sentences]
    assert all(np.allclose(row.sum(1), 1) for row in found)
    assert words.predict([]) == []
    spans = outcome(mode, "span").fitted
    context = "The goal was new. " * 60
    questions = [("goal " * 300, context), ("", context), ("goal", "")]
    guesses = spans.predict(questions)
    assert all(guess.text in context for guess in guesses)
    assert [bool(guess.text) for guess in guesses] == [True, True, False]
    assert spans.predict([]) == []


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}, {"min_steps": -1}])
def test_frozen_refuses_what_trains_nothing(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(UserError, match=rf"mode\.span\.{name}={value}"):
        MODES["frozen"](span=SPAN | wrong)


@pytest.mark.parametrize("penalties", [[], [0], [-1.0]])
@pytest.mark.parametrize("task", ["multilabel", "regression", "ranking", "token"])
def test_penalties_of_which_none_can_be_chosen_are_refused(task, penalties, setting_of):
    with pytest.raises(UserError, match=r"mode\.penalties="):
        MODES["frozen"](penalties=penalties).fit(DATA[task], setting_of(DATA[task]))


def far_answers(split):
    """Return questions whose answers stand behind forty more words."""
    more = "the song was new " * 10
    texts = [(question, more + context) for question, context in split.texts]
    labels = [[a._replace(start=a.start + len(more)) for a in answers] for answers in split.labels]
    return split._replace(texts=texts, labels=labels)


@pytest.mark.parametrize("mode", ["frozen", "full"])
@pytest.mark.parametrize(("task", "length"), [("span", 32), ("token", 8)])
def test_labels_outside_of_what_is_read_are_counted(mode, task, length, setting_of):
    """Words that are cut off and answers that no window holds: they are said, not trained on as none."""
    data = DATA[task]
    if task == "span":
        data = data._replace(train=far_answers(data.train))
    few = functools.partial(Full, **MODES["full"].keywords | {"epochs": 1})
    fit = (few if mode == "full" else MODES["frozen"])().fit
    ways = ({"max_length": 64, "long_text": "window"}, {"max_length": length, "long_text": "head"})
    kept, cut = (fit(data, setting_of(data, **way)).stats["unread"] for way in ways)
    assert kept == 0
    if task == "span":
        assert cut == len(data.train.ids)
    else:
        least = sum(max(0, len(words) - (length - 2)) for words in data.train.texts)
        assert least <= cut < sum(map(len, data.train.texts))  # a word may be several tokens
