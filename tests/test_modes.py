"""What is saved predicts what was measured; permuted labels score chance; frozen weights stay."""

import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from bertbench import linear as room
from bertbench import strength
from bertbench.baselines.texts import FittedTfidf
from bertbench.data.encoding import Encoding
from bertbench.errors import UserError
from bertbench.kinds import rank
from bertbench.linear import Linear, each_linear
from bertbench.metrics import score
from bertbench.models import checkpoint
from bertbench.models.encoder import Encoder
from bertbench.models.finetuned import FittedFull
from bertbench.models.heads import Pooling
from bertbench.modes import frozen as frozen_room
from bertbench.modes.frozen import Frozen
from bertbench.modes.full import Full
from bertbench.modes.tfidf import Tfidf
from bertbench.probing.texts import FittedFrozen, Reader

OPTIM = {
    "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.01, "warmup": 0.1, "clip": 1.0,
}  # fmt: skip
PENALTIES = [0.01, 0.1, 1, 10, 100, 1000]
CHANCE = 1 / len(toy.TOPICS)


def full(**changed):
    settings = {
        "optim": OPTIM, "pooling": "mean", "layer": -1, "dropout": 0.1, "epochs": 20,
        "min_steps": 0, "batch_size": 16, "learning_rates": None,
    }  # fmt: skip
    return Full(**settings | changed)


MODES = {
    "tfidf": functools.partial(
        Tfidf,
        ngrams=2,
        characters=None,
        min_documents=1,
        ridge=PENALTIES,
        stop_words=[None, "english"],
        penalties=PENALTIES,
    ),
    "frozen": functools.partial(Frozen, pooling="mean", layer=-1, penalties=PENALTIES),
    "full": full,
}
every_mode = pytest.mark.parametrize("name", sorted(MODES))


@pytest.fixture(scope="module")
def data():
    """The toy task with a test split of 300, so that a share has few points of noise."""
    return toy.task()._replace(test=toy.split("test", 100))


@pytest.fixture(scope="module")
def outcomes(data, make_setting):
    """Each mode, fitted once."""
    return {name: mode().fit(data, make_setting()) for name, mode in MODES.items()}


def accuracy(probabilities, split):
    return float((probabilities.argmax(1) == split.labels).mean())


def load(name, folder, compute):
    if name == "tfidf":
        return FittedTfidf.load(folder)
    return {"frozen": FittedFrozen, "full": FittedFull}[name].load(folder, compute)


@every_mode
def test_probabilities_are_shares_of_one(name, outcomes, data):
    outcome = outcomes[name]
    for probabilities, split in (
        (outcome.validation, data.validation),
        (outcome.test, data.test),
    ):
        assert probabilities.shape == (len(split.texts), 3)
        assert probabilities.dtype == np.float64
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=0, atol=1e-12)


@every_mode
def test_what_was_measured_is_what_the_fitted_model_predicts(name, outcomes, data):
    """The model that is kept is the one that was chosen, not the last one."""
    outcome = outcomes[name]
    for kept, split in ((outcome.validation, data.validation), (outcome.test, data.test)):
        predicted = outcome.fitted.predict(split.texts)
        np.testing.assert_allclose(kept, predicted, rtol=0, atol=1e-6)
        assert (kept.argmax(1) == predicted.argmax(1)).all()


@every_mode
def test_a_saved_model_predicts_the_same(name, outcomes, data, compute, tmp_path):
    fitted = outcomes[name].fitted
    fitted.save(tmp_path)
    assert not {p.suffix for p in tmp_path.rglob("*")} & {".pkl", ".pickle", ".bin", ".joblib"}
    again = load(name, tmp_path, compute).predict(data.test.texts)
    np.testing.assert_array_equal(again, fitted.predict(data.test.texts))


@every_mode
def test_a_text_is_predicted_alone_as_in_company(name, outcomes, data):
    fitted = outcomes[name].fitted
    texts = data.test.texts[:5]
    together = fitted.predict(texts)
    alone = np.concatenate([fitted.predict([text]) for text in texts])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(fitted.predict(texts[::-1])[::-1], together, rtol=0, atol=1e-5)


@every_mode
def test_true_labels_are_learned(name, outcomes, data):
    assert accuracy(outcomes[name].test, data.test) > 0.9


@pytest.mark.parametrize(("name", "tries"), [("tfidf", 12), ("frozen", 12), ("full", 6)])
def test_permuted_labels_score_chance(name, tries, data, make_setting):
    """Over permutations a guess is right as often as any other.

    A classifier that takes a topic for another is wrong on all its texts at once, so the topics of
    all tries are what is counted, not the texts.
    """
    generator = np.random.default_rng(0)
    setting = make_setting()
    mode = MODES[name](epochs=6) if name == "full" else MODES[name]()
    scores = []
    for _ in range(tries):
        train, validation = (
            split._replace(labels=generator.permutation(split.labels))
            for split in (data.train, data.validation)
        )
        outcome = mode.fit(data._replace(train=train, validation=validation), setting)
        scores.append(accuracy(outcome.test, data.test))
    deviation = math.sqrt(CHANCE * (1 - CHANCE) / (tries * len(toy.TOPICS)))
    assert abs(np.mean(scores) - CHANCE) < 3 * deviation


@every_mode
def test_test_labels_decide_nothing(name, outcomes, data, make_setting):
    labels = np.roll(data.test.labels, 1)
    other = data._replace(test=data.test._replace(labels=labels))
    outcome = MODES[name]().fit(other, make_setting())
    np.testing.assert_array_equal(outcome.test, outcomes[name].test)
    np.testing.assert_array_equal(outcome.validation, outcomes[name].validation)


@every_mode
def test_the_global_generators_decide_nothing(name, outcomes, data, make_setting):
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002 - the generator that libraries draw from
    outcome = MODES[name]().fit(data, make_setting())
    np.testing.assert_array_equal(outcome.test, outcomes[name].test)


@every_mode
def test_stats_name_what_was_chosen_and_what_it_cost(name, outcomes):
    stats = outcomes[name].stats
    assert {"cost/train_seconds", "cost/parameters"} <= stats.keys()
    assert any(key.startswith("chosen/") for key in stats)
    assert all(math.isfinite(value) for value in stats.values())
    assert stats["cost/train_seconds"] > 0


# TF-IDF


def test_tfidf_reads_a_text_to_its_end(data, make_setting, outcomes):
    """However long: the encoders' limits are not its own."""
    filler = " ".join(["the of and"] * 500)
    texts = [f"{filler} goal match team", f"{filler} bank loan market"]
    assert outcomes["tfidf"].fitted.predict(texts).argmax(1).tolist() == [0, 1]


def test_tfidf_without_words_is_refused(data, make_setting):
    silent = data._replace(train=data.train._replace(texts=["!"] * len(data.train.texts)))
    with pytest.raises(UserError, match="no words"):
        MODES["tfidf"]().fit(silent, make_setting())


@pytest.mark.parametrize("wrong", [{"ngrams": 0}, {"min_documents": 0}])
def test_tfidf_refuses_counts_below_one(wrong):
    with pytest.raises(UserError, match="at least 1"):
        MODES["tfidf"](**wrong)


@pytest.mark.parametrize("wrong", [[], [0.1, 0]], ids=str)
def test_tfidf_refuses_strengths_by_the_setting_that_has_them(wrong):
    with pytest.raises(UserError, match=r"mode\.ridge=\["):
        MODES["tfidf"](ridge=wrong)


# Frozen


@pytest.fixture
def read_calls(monkeypatch):
    """The texts of each call of Reader.read."""
    calls = []
    read = Reader.read

    def counted(self, texts):
        calls.append(texts)
        return read(self, texts)

    monkeypatch.setattr(Reader, "read", counted)
    return calls


def test_features_are_computed_once(read_calls, data, make_setting):
    setting = make_setting()
    first = MODES["frozen"]().fit(data, setting)
    assert read_calls == [data.train.texts, data.validation.texts, data.test.texts]
    again = MODES["frozen"]().fit(data, setting)
    assert len(read_calls) == 3
    np.testing.assert_array_equal(first.test, again.test)


def test_other_penalties_and_seeds_share_features(read_calls, data, make_setting):
    setting = make_setting()
    MODES["frozen"]().fit(data, setting)
    MODES["frozen"](penalties=[1]).fit(data, setting._replace(seed=7))
    assert len(read_calls) == 3


@pytest.mark.parametrize(
    ("mode", "setting"),
    [
        ({"pooling": "cls"}, {}),
        ({"layer": 0}, {}),
        ({}, {"max_length": 16}),
        ({}, {"long_text": "window"}),
        ({}, {"checkpoint_key": "another"}),
    ],
)
def test_features_of_another_reading_are_not_shared(mode, setting, read_calls, data, make_setting):
    first = make_setting()
    MODES["frozen"]().fit(data, first)
    MODES["frozen"](**mode).fit(data, first._replace(**setting))
    assert len(read_calls) == 6


def test_seconds_of_kept_features_count_in_every_run(data, make_setting, monkeypatch):
    """A row's cost must not depend on who ran first."""
    read = Reader.read
    monkeypatch.setattr(
        Reader, "read", lambda self, texts: (frozen_room.time.sleep(0.2), read(self, texts))[1]
    )
    setting = make_setting()
    for _ in range(2):
        outcome = MODES["frozen"]().fit(data, setting)
        assert outcome.stats["cost/train_seconds"] > 0.4  # training and validation texts


def reader(folder, compute, **changed):
    settings = {"pooling": "mean", "layer": -1, "max_length": 32, "long_text": "head"}
    return Reader(folder, **settings | changed, compute=compute)


def test_frozen_weights_stay_and_dropout_is_off(outcomes, checkpoint_folder, data):
    mine = outcomes["frozen"].fitted.reader
    original = checkpoint.load(checkpoint_folder).state_dict()
    assert not any(module.training for module in mine.pooling.modules())
    assert all(torch.equal(value, original[k]) for k, value in mine.model.state_dict().items())
    first, again = (mine.read(data.test.texts[:20]) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_full_training_moves_the_encoder(outcomes, checkpoint_folder):
    original = checkpoint.load(checkpoint_folder).base_model.state_dict()
    moved = outcomes["full"].fitted.model.base_model.state_dict()
    assert not any(
        torch.equal(value, original[k]) for k, value in moved.items() if value.is_floating_point()
    )


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_features_are_the_pooled_states_of_transformers(
    pooling, layer, checkpoint_folder, compute, tokenizer
):
    texts = ["The match was on.", "A bank, a loan and the price of shares in the new year."]
    features = reader(checkpoint_folder, compute, pooling=pooling, layer=layer).read(texts)
    model = checkpoint.load(checkpoint_folder).base_model.eval()
    for text, vector in zip(texts, features, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            output = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                output_hidden_states=True,
            )
        states = output.hidden_states[layer][0]
        expected = states[0] if pooling == "cls" else states.mean(0)
        np.testing.assert_allclose(vector, expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_of_one_window_is_read_the_same_every_way(pooling, checkpoint_folder, compute):
    texts = ["The match was on.", "A song.", "", "In the year after, the bank said a loan."]
    head, tail, window = (
        reader(checkpoint_folder, compute, pooling=pooling, long_text=kind).read(texts)
        for kind in ("head", "head_tail", "window")
    )
    np.testing.assert_allclose(head, window, rtol=0, atol=1e-6)
    np.testing.assert_allclose(head, tail, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_long_text_is_the_average_of_its_windows(pooling, checkpoint_folder, compute, tokenizer):
    known = [w for w in toy.COMMON + toy.TOPICS["music"] if len(tokenizer.tokenize(w)) == 1]
    words = (known * 10)[:72]  # each is one token
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    room = 30
    pieces = [words[i : i + room] for i in range(0, len(words), room)]
    assert len(ids) == len(words)
    assert len(pieces) == 3
    windows = reader(checkpoint_folder, compute, pooling=pooling, long_text="window")
    whole = windows.read(["A song.", " ".join(words), "The match."])[1]
    parts = windows.read([" ".join(piece) for piece in pieces])
    np.testing.assert_allclose(whole, parts.mean(0), rtol=0, atol=1e-5)
    head = reader(checkpoint_folder, compute, pooling=pooling).read([" ".join(words)])[0]
    np.testing.assert_allclose(head, parts[0], rtol=0, atol=1e-5)


def test_a_long_text_is_averaged_in_training_too(checkpoint_folder, compute, data, make_setting):
    """The classifier of full training reads windows as the frozen reader does."""
    fitted = FittedFull(
        checkpoint_folder, classes=3, pooling="mean", layer=-1, dropout=0.5, max_length=16,
        long_text="window", compute=compute,
    )  # fmt: skip
    texts = data.test.texts[:6]
    vectors = reader(checkpoint_folder, compute, max_length=16, long_text="window").read(texts)
    linear = fitted.module.linear
    logits = torch.from_numpy(vectors) @ linear.weight.T + linear.bias
    expected = logits.double().softmax(-1).detach().numpy()
    np.testing.assert_allclose(fitted.predict(texts), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pooling": "max"}, r"mode\.pooling=max"),
        ({"layer": 3}, r"mode\.layer=3 .* 2 the last layer"),
        ({"layer": -4}, r"mode\.layer=-4"),
        ({"max_length": 65}, r"task\.max_length=65 .* 64 positions"),
        ({"max_length": 7}, r"task\.max_length=7"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(settings, said, checkpoint_folder, compute):
    with pytest.raises(UserError, match=said):
        reader(checkpoint_folder, compute, **settings)


def test_an_encoder_mode_without_encoder_is_our_own_mistake(data, make_setting):
    with pytest.raises(ValueError, match="needs an encoder"):
        MODES["frozen"]().fit(data, make_setting(checkpoint=None))


# Full


def test_full_training_of_one_seed_is_bit_identical(outcomes, data, make_setting):
    again, other = (MODES["full"]().fit(data, make_setting(seed=seed)) for seed in (0, 1))
    np.testing.assert_array_equal(again.test, outcomes["full"].test)
    weights = outcomes["full"].fitted.module.state_dict()
    for name, value in again.fitted.module.state_dict().items():
        assert torch.equal(value, weights[name])
    assert not np.array_equal(other.test, outcomes["full"].test)


def test_the_best_rate_on_validation_is_kept(data, outcomes, make_setting):
    """A grid gives what its best rate gives alone, wherever it stands."""
    for rates in ([1e-9, 2e-3], [2e-3, 1e-9]):
        found = full(learning_rates=rates).fit(data, make_setting())
        assert found.stats["chosen/lr"] == 2e-3
        np.testing.assert_array_equal(found.test, outcomes["full"].test)
        np.testing.assert_array_equal(found.validation, outcomes["full"].validation)


def test_a_grid_costs_all_its_tries(data, make_setting):
    one = full(epochs=4).fit(data, make_setting()).stats["cost/train_seconds"]
    three = full(epochs=4, learning_rates=[1e-3, 2e-3, 3e-3]).fit(data, make_setting())
    assert three.stats["cost/train_seconds"] > 1.5 * one


def test_the_best_epoch_on_validation_is_kept(data, make_setting):
    """Of all evaluations the one with the best metric, then the lowest log loss."""
    logged = []

    def log(values, step):
        if "train/validation_accuracy" in values:
            loss = values["train/validation_log_loss"]
            logged.append((values["train/validation_accuracy"], -loss, step))

    outcome = full(epochs=6, optim=OPTIM | {"lr": 2e-2}).fit(data, make_setting(log=log))
    assert len(logged) == 6
    best = max(logged, key=lambda row: row[:2])
    assert outcome.stats["chosen/best_epoch"] == best[2] / 4  # 60 texts in batches of 16
    found = rank(data, "accuracy", outcome.validation)
    assert found == pytest.approx(best[:2], abs=1e-9)


@pytest.mark.parametrize(("epochs", "min_steps", "expected"), [(3, 0, 3), (3, 13, 4), (3, 12, 3)])
def test_few_steps_are_made_more(epochs, min_steps, expected, data, make_setting):
    """Mosbach et al. (2021): small training sets need enough steps; four make an epoch here."""
    outcome = full(epochs=epochs, min_steps=min_steps).fit(data, make_setting())
    assert outcome.stats["chosen/epochs"] == expected
    assert outcome.stats["cost/train_steps"] == 4 * expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"min_steps": -1}, "min_steps=-1"),
        ({"learning_rates": []}, r"learning_rates=\[\]"),
    ],
)
def test_full_refuses_what_trains_nothing(wrong, said):
    with pytest.raises(UserError, match=said):
        full(**wrong)


def test_a_classification_layer_is_the_only_new_weight(checkpoint_folder, compute):
    """Devlin et al. (2019), section 4.1."""
    fitted = FittedFull(
        checkpoint_folder, classes=3, pooling="cls", layer=-1, dropout=0.1, max_length=32,
        long_text="head", compute=compute,
    )  # fmt: skip
    backbone = checkpoint.load(checkpoint_folder).base_model
    names = {f"pooling.encoder.backbone.{name}" for name, _ in backbone.named_parameters()}
    mine = {name for name, _ in fitted.module.named_parameters()}
    assert mine - names == {"linear.weight", "linear.bias"}


def test_pooling_averages_real_tokens_only(checkpoint_folder, tokenizer):
    """By hand, over texts of unlike length in one batch."""
    model = checkpoint.load(checkpoint_folder).eval()
    encoder = Encoder(model.base_model)
    encoding = Encoding(tokenizer, max_length=32, long_text="head", positions=64)
    encoded = encoding.encode(["The match.", "The bank said the price of the loan was new."])
    windows = encoding.collate(encoded)
    with torch.no_grad():
        vectors = Pooling(encoder, pooling="mean", layer=-1)(windows)
        states = encoder(windows.ids, windows.attention_mask)[-1]
    for row, [(ids, _)] in enumerate(encoded):
        expected = torch.stack([states[row, i] for i in range(len(ids))]).mean(0)
        torch.testing.assert_close(vectors[row], expected, rtol=0, atol=1e-6)


# The regression on features


def features(classes, generator, per_class=30):
    """Return overlapping clouds of ten dimensions and their labels."""
    centres = generator.normal(size=(max(classes) + 1, 10))
    labels = np.repeat(classes, per_class)
    return centres[labels] + generator.normal(size=(len(labels), 10)), labels


def fit_linear(train, labels, new, true, *, classes, penalties, metric):
    """Return the regression that does best on new features, and its C."""

    def judge(model):
        found = model.predict(new)
        return tuple(score(name, true, found, signed=True) for name in (metric, "log_loss"))

    return strength.best(each_linear(train, labels, classes=classes, penalties=penalties), judge)


@pytest.mark.parametrize(
    ("present", "total"),
    [([0, 1, 2], 3), ([0, 1], 2), ([0, 2], 3), ([1, 2], 3), ([0, 1, 3], 5)],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_the_regression_is_scikit_learns(present, total, kind):
    generator = np.random.default_rng(0)
    x, labels = features(present, generator)
    new = kind(generator.normal(size=(50, 10)))
    linear, c = fit_linear(
        kind(x), labels, kind(x), labels, classes=total, penalties=[0.5], metric="accuracy"
    )
    assert c == 0.5
    expected = np.zeros((50, total))
    oracle = LogisticRegression(C=0.5, max_iter=5000).fit(kind(x), labels)
    expected[:, present] = oracle.predict_proba(new)
    np.testing.assert_allclose(linear.predict(new), expected, rtol=0, atol=1e-12)


def test_many_rows_give_nearly_the_same_regressions(monkeypatch):
    """In single precision, each begun where the one before ended."""
    generator = np.random.default_rng(2)
    x = generator.normal(size=(600, 12))
    labels = (x @ generator.normal(size=(12, 3)) + generator.normal(size=(600, 3))).argmax(1)
    penalties = [1, 0.01, 0.1]
    exact = list(each_linear(x, labels, classes=3, penalties=penalties))
    monkeypatch.setattr(room, "LARGE", 600)
    for rows in (x, sparse.csr_matrix(x)):
        found = list(each_linear(rows, labels, classes=3, penalties=penalties))
        assert [c for c, _ in found] == [0.01, 0.1, 1]
        for (_, one), (_, other) in zip(exact, found, strict=True):
            assert np.abs(one.predict(x) - other.predict(x)).max() < 1e-2


def test_a_class_that_was_not_trained_on_has_probability_zero(tmp_path):
    x, labels = features([0, 2], np.random.default_rng(0))
    linear, _ = fit_linear(x, labels, x, labels, classes=4, penalties=[1], metric="accuracy")
    linear.save(tmp_path)
    for model in (linear, Linear.load(tmp_path)):
        assert (model.predict(x)[:, [1, 3]] == 0).all()


def test_the_penalty_is_chosen_on_validation():
    """Noise features and few texts: a strong penalty does better on other texts of the kind."""
    generator = np.random.default_rng(1)
    labels = np.arange(40) % 2
    x = generator.normal(size=(40, 60))
    x[:, 0] += labels
    new_labels = np.arange(400) % 2
    new = generator.normal(size=(400, 60))
    new[:, 0] += new_labels
    _, c = fit_linear(
        x, labels, new, new_labels, classes=2, penalties=PENALTIES, metric="log_loss"
    )
    losses = {}
    for penalty in PENALTIES:
        oracle = LogisticRegression(C=penalty, max_iter=5000).fit(x, labels)
        losses[penalty] = -np.log(oracle.predict_proba(new)[np.arange(400), new_labels]).mean()
    assert c == min(losses, key=losses.__getitem__)
    assert len({round(loss, 6) for loss in losses.values()}) == len(PENALTIES)


def test_among_equal_scores_the_lower_log_loss_wins_then_the_stronger_penalty():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    labels = np.array([0, 0, 1, 1])
    _, c = fit_linear(x, labels, x, labels, classes=2, penalties=[1, 10], metric="accuracy")
    assert c == 10  # both have every text right
    blind = np.zeros((4, 1))
    _, c = fit_linear(x, labels, blind, labels, classes=2, penalties=[10, 1], metric="accuracy")
    assert c == 1


@pytest.mark.parametrize(
    ("labels", "penalties", "said"),
    [
        ([0, 0, 0, 0], [1], "all of one class"),
        ([0, 0, 1, 1], [], "at least one"),
        ([0, 0, 1, 1], [1, 0], "above 0"),
        ([0, 0, 1, 1], [-1], "above 0"),
    ],
)
def test_a_regression_that_cannot_be_is_refused(labels, penalties, said):
    x = np.arange(8.0).reshape(4, 2)
    with pytest.raises(UserError, match=said):
        fit_linear(
            x, np.array(labels), x, np.array(labels), classes=2, penalties=penalties,
            metric="accuracy",
        )  # fmt: skip


def test_a_linear_model_saves_to_the_bit(tmp_path):
    x, labels = features([0, 1, 2], np.random.default_rng(3))
    linear, _ = fit_linear(x, labels, x, labels, classes=3, penalties=[1], metric="accuracy")
    linear.save(Path(tmp_path))
    np.testing.assert_array_equal(Linear.load(tmp_path).predict(x), linear.predict(x))
