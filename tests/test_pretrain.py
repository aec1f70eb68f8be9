"""What pretraining is worth is measured against word frequencies, on masks that never change."""

import logging
import math
import re
from collections import Counter

import numpy as np
import pytest
import torch
import toy
from conftest import SHAPE

from bertbench.budget import Budget
from bertbench.data.batching import as_batch
from bertbench.data.excerpts import evenly_spread
from bertbench.masking.token import TokenMasking, evaluation_masking
from bertbench.models import families
from bertbench.models.encoder import LanguageModel
from bertbench.objectives.mlm import MaskedLM
from bertbench.optim import Recipe
from bertbench.outlook import conclude
from bertbench.pretrain import (
    AT_ONCE,
    PLATEAU_NATS,
    Schedule,
    evaluate,
    pretrain,
)
from bertbench.readout import fit_head
from bertbench.references import References, unigram_log_probabilities
from bertbench.types import IGNORE

RECIPE = Recipe(lr=3e-3, betas=[0.9, 0.98], eps=1e-6, weight_decay=0.01, warmup=0.1, clip=1.0)
REPEATED = "The coach said the band was on with a new song. " * 8
BATCH = 8


@pytest.fixture(scope="module")
def rows(tokenizer, vocabulary):
    return toy.rows(toy.task().train.texts, tokenizer, vocabulary)


@pytest.fixture(scope="module")
def heldout(tokenizer, vocabulary):
    return toy.rows(toy.task().test.texts, tokenizer, vocabulary)


def new_model(vocabulary):
    config = families.bert(SHAPE, vocabulary, dropout=0.1, initializer_range=0.02)
    return LanguageModel(families.initialise(config, seed=0))


def measured(model, rows, heldout, vocabulary, compute, *, batch_size=AT_ONCE):
    """Evaluate the masked words of a model on all held-out rows."""
    known = References(rows, vocabulary)
    objective = MaskedLM(model, evaluation_masking(vocabulary))
    chosen = evenly_spread(len(heldout.ids), 10**6)
    return evaluate(
        objective, heldout, chosen, vocabulary, known, batch_size=batch_size, compute=compute
    )


def trained(
    vocabulary, compute, rows, heldout, *, tokens, seed=0, log=lambda values, step: None,
    evaluations=0, **masking,
):  # fmt: skip
    """Pretrain a new model; return what came of it and the model."""
    settings = {"rate": 0.15, "rate_end": None, "swap": 0.1, "keep": 0.1, "views": None} | masking
    model = new_model(vocabulary)
    objective = MaskedLM(model, TokenMasking(vocabulary, seed=seed, **settings))
    schedule = Schedule(RECIPE, Budget(tokens=tokens), BATCH, seed, 50, evaluations)
    stats = pretrain(objective, rows, heldout, vocabulary, schedule, compute=compute, log=log)
    return stats, model


def slow_unigram(rows, heldout, vocabulary):
    """Predict each masked token of `heldout` by its share among the tokens of `rows`, one by one.

    Every ordinary id is counted once more than it stands in `rows` (Laplace).
    """
    ordinary = set(range(vocabulary.size)) - set(vocabulary.special)
    counts = Counter(dict.fromkeys(ordinary, 1))
    for row in rows.ids.tolist():
        counts.update(i for i in row if i in ordinary)
    total = sum(counts.values())
    favourite = max(sorted(ordinary), key=lambda i: counts[i])
    masking = evaluation_masking(vocabulary)
    losses, right = [], 0
    for number in range(len(heldout.ids)):
        batch = as_batch(heldout, np.array([number]), vocabulary, epoch=0)
        for label in masking(batch).labels[0].tolist():
            if label != IGNORE:
                losses.append(-math.log(counts[label] / total))
                right += label == favourite
    return math.fsum(losses) / len(losses), right / len(losses), len(losses)


def test_the_unigram_predictor_equals_a_slow_count(rows, heldout, vocabulary, compute):
    stats = measured(new_model(vocabulary), rows, heldout, vocabulary, compute)
    loss, accuracy, count = slow_unigram(rows, heldout, vocabulary)
    assert count > 100
    assert stats["heldout_predicted"] == count
    assert math.isclose(stats["unigram_loss"], loss, rel_tol=1e-12)
    assert math.isclose(stats["unigram_accuracy"], accuracy, rel_tol=1e-12)


def test_unigram_probabilities_are_of_ordinary_tokens_and_add_up_to_one(rows, vocabulary):
    shares = unigram_log_probabilities(rows, vocabulary).exp()
    assert shares.shape == (vocabulary.size,)
    assert math.isclose(shares.sum(), 1, rel_tol=1e-12)
    special = torch.zeros(vocabulary.size, dtype=torch.bool)
    special[list(vocabulary.special)] = True
    assert torch.equal(shares == 0, special)


def test_the_models_loss_equals_transformers_own(rows, heldout, vocabulary, compute):
    model = new_model(vocabulary)
    stats = measured(model, rows, heldout, vocabulary, compute)
    batch = as_batch(heldout, np.arange(len(heldout.ids)), vocabulary, epoch=0)
    masked = evaluation_masking(vocabulary)(batch)
    with torch.no_grad():
        expected = model.model.eval()(
            input_ids=masked.ids, attention_mask=batch.attention_mask, labels=masked.labels
        )
    assert math.isclose(stats["heldout_loss"], expected.loss.item(), rel_tol=1e-5)
    picked = masked.labels != IGNORE
    right = expected.logits.argmax(-1)[picked] == masked.labels[picked]
    assert math.isclose(stats["heldout_accuracy"], right.float().mean(), rel_tol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_changes_no_evaluation(batch_size, rows, heldout, vocabulary, compute):
    model = new_model(vocabulary)
    one, other = (
        measured(model, rows, heldout, vocabulary, compute, batch_size=size)
        for size in (AT_ONCE, batch_size)
    )
    assert one == pytest.approx(other, rel=1e-5)


def test_evaluation_masks_are_the_same_whatever_the_training(rows, heldout, vocabulary, compute):
    seen = []
    settings = [
        {},
        {"views": 1},
        {"rate": 0.4, "swap": 0.0, "keep": 0.0},
        {"seed": 5},
    ]
    batches = -(-len(heldout.ids) // AT_ONCE)
    for changed in settings:
        stats, model = trained(vocabulary, compute, rows, heldout, tokens=300, **changed)
        given = []
        model.encoder.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0]))
        again = measured(model, rows, heldout, vocabulary, compute)
        assert len(given) == batches
        assert {name: stats[name] for name in again} == again  # pretrain measured just that
        seen.append(
            (
                torch.cat([ids.reshape(-1) for ids in given]),
                stats["heldout_predicted"],
                stats["unigram_loss"],
            )
        )
    for ids, predicted, unigram in seen[1:]:
        assert torch.equal(ids, seen[0][0])
        assert (predicted, unigram) == seen[0][1:]


def test_evaluation_reads_without_dropout_and_trains_nothing(rows, heldout, vocabulary, compute):
    model = new_model(vocabulary).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, again = (measured(model, rows, heldout, vocabulary, compute) for _ in range(2))
    assert first == again
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_untrained_model_is_on_the_plateau(rows, heldout, vocabulary, compute):
    """It spreads its guesses evenly: ln V nats, more than word frequencies."""
    stats = measured(new_model(vocabulary), rows, heldout, vocabulary, compute)
    assert math.isclose(stats["heldout_loss"], math.log(vocabulary.size), rel_tol=0.05)
    assert stats["heldout_loss"] > stats["unigram_loss"]
    assert stats["plateau"] == 1


def test_a_model_that_learned_a_predictable_text_has_left_the_plateau(
    tokenizer, vocabulary, compute
):
    rows = toy.rows([REPEATED] * 20, tokenizer, vocabulary)
    heldout = toy.rows([REPEATED], tokenizer, vocabulary)
    before = measured(new_model(vocabulary), rows, heldout, vocabulary, compute)
    stats, _ = trained(vocabulary, compute, rows, heldout, tokens=60_000)
    assert before["plateau"] == 1
    assert stats["heldout_loss"] < stats["unigram_loss"] - PLATEAU_NATS
    assert stats["plateau"] == 0
    assert stats["heldout_accuracy"] > stats["unigram_accuracy"]


@pytest.mark.parametrize(("gain", "plateau"), [(-0.5, 1), (0.05, 1), (0.15, 0), (2.0, 0)])
def test_the_plateau_is_less_than_a_tenth_of_a_nat_below_the_unigrams(
    gain, plateau, rows, heldout, vocabulary, compute, monkeypatch
):
    """A model that gives every token the unigram's log-probability, moved by `gain` at the target."""
    model = new_model(vocabulary)
    unigram = unigram_log_probabilities(rows, vocabulary)
    loss, _, _ = slow_unigram(rows, heldout, vocabulary)

    def cross_entropy(logits, targets, reduction):
        return -(unigram[targets] + gain).sum()

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", cross_entropy)
    stats = measured(model, rows, heldout, vocabulary, compute)
    assert math.isclose(stats["heldout_loss"], loss - gain, rel_tol=1e-9)
    assert stats["plateau"] == plateau


def said(caplog, level):
    return [
        r.getMessage()
        for r in caplog.records
        if r.name.startswith("bertbench") and r.levelno == level
    ]


def test_the_numbers_to_beat_are_said_once_and_are_those_reported_in_the_end(
    rows, heldout, vocabulary, compute, caplog
):
    caplog.set_level(logging.INFO, logger="bertbench")
    stats, _ = trained(vocabulary, compute, rows, heldout, tokens=1_000, evaluations=2)
    [line] = [text for text in said(caplog, logging.INFO) if "to beat" in text]
    numbers = [float(number) for number in re.findall(r"[0-9]+[.][0-9]+", line)]
    expected = [
        stats["unigram_loss"], 100 * stats["unigram_accuracy"],
        stats["bigram_loss"], 100 * stats["bigram_accuracy"],
    ]  # fmt: skip
    assert numbers == pytest.approx(expected, abs=0.051)
    assert numbers[0] == round(expected[0], 2)
    assert numbers[2] == round(expected[2], 2)


class Wordless(MaskedLM):
    """Measures nothing of masked words, as what learns otherwise."""

    def tally(self, batch, masked):
        found = super().tally(batch, masked)
        return found if self.training else {f"x_{name}": value for name, value in found.items()}


def test_what_predicts_no_masked_word_is_told_when_its_head_is_fitted(
    rows, heldout, vocabulary, compute, caplog
):
    caplog.set_level(logging.INFO, logger="bertbench")
    model = new_model(vocabulary)
    schedule = Schedule(RECIPE, Budget(tokens=1_000), BATCH, 0, 50, 2)
    objective = Wordless(model, evaluation_masking(vocabulary))
    stats = pretrain(
        objective, rows, heldout, vocabulary, schedule, compute=compute, log=lambda v, s: None
    )
    assert "heldout_loss" not in stats
    assert not [text for text in said(caplog, logging.INFO) if "to beat" in text]
    stats |= fit_head(model, rows, heldout, vocabulary, schedule, spent=1_000, compute=compute)
    assert len([text for text in said(caplog, logging.INFO) if "to beat" in text]) == 1
    assert said(caplog, logging.WARNING) == []  # whoever pretrains concludes, once


def test_a_plateau_is_warned_of_with_its_numbers_and_nothing_else_is(
    rows, heldout, vocabulary, compute, caplog
):
    caplog.set_level(logging.INFO, logger="bertbench")
    stats = measured(new_model(vocabulary), rows, heldout, vocabulary, compute)
    assert stats["plateau"] == 1
    conclude(stats, title="bert tiny")
    [warning] = said(caplog, logging.WARNING)
    for name in ("heldout_loss", "unigram_loss"):
        assert f"{stats[name]:.2f} nats" in warning
    assert "experiment=small_budget" in warning
    [line] = said(caplog, logging.INFO)
    for name in ("heldout_loss", "unigram_loss", "bigram_loss"):
        assert f"{stats[name]:.2f} nats" in line
    caplog.clear()
    conclude(stats | {"plateau": 0.0}, title="bert tiny")
    conclude({"plateau": 0.0, "tokens": 9.0}, title="electra tiny")  # no masked word
    assert said(caplog, logging.WARNING) == []
    assert said(caplog, logging.INFO) == [line]


def test_what_was_spent_adds_up(rows, heldout, vocabulary, compute):
    stats, _ = trained(vocabulary, compute, rows, heldout, tokens=3_000)
    assert stats["epochs"] == stats["tokens"] / int((rows.ids != vocabulary.pad).sum())
    assert stats["tokens"] >= 3_000
    assert math.isclose(stats["tokens_per_second"], stats["tokens"] / stats["seconds"])


def test_one_seed_twice_measures_the_same(rows, heldout, vocabulary, compute):
    (first, _), (again, _) = (
        trained(vocabulary, compute, rows, heldout, tokens=1_000) for _ in range(2)
    )
    timed = {"seconds", "tokens_per_second"}
    assert {k: v for k, v in first.items() if k not in timed} == {
        k: v for k, v in again.items() if k not in timed
    }


@pytest.mark.parametrize("parts", [0, 1, 4])
def test_the_curve_is_measured_at_the_first_step_at_equal_parts_and_at_the_end(
    parts, rows, heldout, vocabulary, compute
):
    """Always on the same rows, and without a change to the training."""
    lines = []
    stats, model = trained(
        vocabulary, compute, rows, heldout, tokens=4_000, evaluations=parts,
        log=lambda values, step: lines.append(values) if "heldout_loss" in values else None,
    )  # fmt: skip
    plain, other = trained(vocabulary, compute, rows, heldout, tokens=4_000)
    assert len(lines) == (parts + 1 if parts else 0)
    shares = [line["tokens"] / 4_000 for line in lines[1:]]
    assert all(0 <= share - (i + 1) / parts < 0.1 for i, share in enumerate(shares))
    assert len({line["heldout_predicted"] for line in lines}) <= 1
    assert stats["heldout_loss"] == plain["heldout_loss"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_the_time_of_an_evaluation_is_not_training(
    rows, heldout, vocabulary, compute, monkeypatch
):
    import time

    from bertbench import pretrain as room

    evaluate_now = room.evaluate

    def slow(*arguments, **named):
        time.sleep(0.2)
        return evaluate_now(*arguments, **named)

    monkeypatch.setattr(room, "evaluate", slow)
    started = time.perf_counter()
    stats, _ = trained(vocabulary, compute, rows, heldout, tokens=1_500, evaluations=5)
    assert stats["seconds"] < time.perf_counter() - started - 7 * 0.2 + 0.01


def test_a_fitted_head_moves_the_head_alone(rows, heldout, vocabulary, compute):
    model = new_model(vocabulary)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    schedule = Schedule(RECIPE, Budget(tokens=1), BATCH, 0, 50, 0)
    found = fit_head(model, rows, heldout, vocabulary, schedule, spent=30_000, compute=compute)
    after = model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    # The decoder's matrix is that of the embeddings: a part of the encoder, which stays.
    assert {name.removeprefix("model.cls.predictions.") for name in moved} == {
        "bias", "decoder.bias", "transform.dense.weight", "transform.dense.bias",
        "transform.LayerNorm.weight", "transform.LayerNorm.bias",
    }  # fmt: skip
    assert found["heldout_loss"] < found["unigram_loss"] + 0.05
    assert "tokens" not in found
