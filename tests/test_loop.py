"""The loop spends its budget to the step, repeats to the bit, and follows the published schedule."""

import math

import numpy as np
import pytest
import torch
import toy
from conftest import SHAPE
from torch import nn

from bertbench.budget import Budget, Spent
from bertbench.data.batching import CorpusBatches, as_batch
from bertbench.errors import UserError
from bertbench.loop import train
from bertbench.masking.token import TokenMasking
from bertbench.models import families
from bertbench.models.encoder import LanguageModel
from bertbench.objectives.mlm import MaskedLM
from bertbench.optim import Recipe, adamw, warmup_linear
from bertbench.progress import Checkpoints, Progress
from bertbench.types import IGNORE, Masked

RECIPE = Recipe(lr=1e-3, betas=[0.9, 0.999], eps=1e-6, weight_decay=0.01, warmup=0.1, clip=1.0)
FAMILIES = {"albert": {"embedding": 16}, "bert": {}, "distilbert": {}, "roberta": {}}


@pytest.fixture(scope="module")
def rows(tokenizer, vocabulary):
    """Packed rows of the toy corpus, 32 tokens each."""
    return toy.rows(toy.corpus(), tokenizer, vocabulary)


def family(name, vocabulary, seed=0):
    config = getattr(families, name)(
        SHAPE, vocabulary, dropout=0.1, initializer_range=0.02, **FAMILIES[name]
    )
    return families.initialise(config, seed=seed)


def masked_lm(model, vocabulary, seed=0, **changed):
    settings = {"rate": 0.15, "rate_end": None, "swap": 0.1, "keep": 0.1, "views": None} | changed
    return MaskedLM(LanguageModel(model), TokenMasking(vocabulary, seed=seed, **settings))


def counted(source):
    """Return the loop's own kind of batches."""

    def batches(step, spent=0.0):
        batch = source(step)
        return batch, int(batch.attention_mask.sum())

    return batches


class Log(list):
    """Keeps what it is given."""

    def __call__(self, values, step):
        self.append((step, values))


def run(module, batches, compute, *, budget, recipe=RECIPE, seed=0, log_every=1, **more):
    """Train; return what was spent and logged."""
    log, optimizer = Log(), adamw(module, recipe)
    progress = more.pop("progress", None) or Progress(Checkpoints(), module, optimizer)
    spent = train(
        module, batches, optimizer, recipe=recipe, budget=budget, compute=compute,
        seed=seed, log=log, log_every=log_every, title="test", progress=progress, **more,
    )  # fmt: skip
    return spent, log


class Line(nn.Module):
    """Fits one weight matrix to zero; knows which batches it saw."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch)
        loss = (self.weight**2).sum()
        return loss, {"loss": loss.detach()}


def ten(step, spent):
    """Return batches of ten tokens."""
    return step, 10


# Budget


def test_a_budget_of_steps_is_exact(compute):
    module = Line()
    spent, log = run(module, ten, compute, budget=Budget(steps=7))
    assert module.seen == list(range(7))
    assert (spent.steps, spent.tokens) == (7, 70)
    assert [step for step, _ in log] == [1, 2, 3, 4, 5, 6, 7]
    assert [values["tokens"] for _, values in log] == [10, 20, 30, 40, 50, 60, 70]


@pytest.mark.parametrize(
    ("tokens", "steps"), [(1, 1), (10, 1), (11, 2), (40, 4), (41, 5), (49, 5), (50, 5)]
)
def test_a_budget_of_tokens_ends_with_the_first_step_that_reaches_it(tokens, steps, compute):
    spent, _ = run(Line(), ten, compute, budget=Budget(tokens=tokens))
    assert (spent.steps, spent.tokens) == (steps, 10 * steps)


def test_a_budget_of_tokens_counts_no_padding(rows, vocabulary, bert, compute):
    source = CorpusBatches(rows, vocabulary, batch_size=4, seed=0)
    spent, _ = run(
        masked_lm(bert, vocabulary), counted(source), compute, budget=Budget(tokens=500)
    )
    real = [int((source(step).ids != vocabulary.pad).sum()) for step in range(int(spent.steps))]
    assert spent.tokens == sum(real)
    assert sum(real[:-1]) < 500 <= sum(real)


def test_a_budget_of_seconds_ends(compute):
    spent, log = run(Line(), ten, compute, budget=Budget(seconds=0.05))
    assert spent.seconds >= 0.05
    assert spent.steps == len(log) >= 1


@pytest.mark.parametrize(
    ("budget", "spent", "share"),
    [
        (Budget(steps=10), Spent(0, 0, 0.0), 0.0),
        (Budget(steps=10), Spent(2.5, 99, 99.0), 0.25),
        (Budget(tokens=200), Spent(99, 50, 99.0), 0.25),
        (Budget(seconds=8.0), Spent(99, 99, 2.0), 0.25),
        (Budget(tokens=200), Spent(0, 201, 0.0), 1.0),
    ],
)
def test_the_spent_share_is_that_of_the_one_limit(budget, spent, share):
    assert budget.share(spent) == share


@pytest.mark.parametrize("budget", [Budget(steps=1), Budget(tokens=1), Budget(seconds=0.5)])
def test_one_positive_limit_is_a_budget(budget):
    budget.check("pretrain")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(), "none at all"),
        (Budget(tokens=0), r"pretrain\.tokens=0"),
        (Budget(tokens=-5), r"pretrain\.tokens=-5"),
        (Budget(seconds=0.0), r"pretrain\.seconds=0\.0"),
        (Budget(steps=0), r"pretrain\.steps=0"),
        (Budget(tokens=5, seconds=1.0), r"pretrain\.tokens=5, pretrain\.seconds=1\.0"),
    ],
)
def test_what_is_no_budget_is_refused_with_the_way_out(budget, said):
    with pytest.raises(UserError, match=said) as caught:
        budget.check("pretrain")
    assert "set one of pretrain.tokens, pretrain.steps and pretrain.seconds" in str(caught.value)


# Schedule


@pytest.mark.parametrize(
    ("spent", "warmup", "factor"),
    [
        (0.0, 0.1, 0.0),
        (0.05, 0.1, 0.5),
        (0.1, 0.1, 1.0),
        (0.55, 0.1, 0.5),
        (1.0, 0.1, 0.0),
        (0.0, 0.0, 1.0),
        (0.25, 0.0, 0.75),
        (0.6, 0.2, 0.5),
    ],
)
def test_warmup_linear_by_hand(spent, warmup, factor):
    """Devlin et al. (2019), A.2: a linear rise to the peak, then a linear fall to zero."""
    assert math.isclose(warmup_linear(spent, warmup=warmup), factor, abs_tol=1e-12)


@pytest.mark.parametrize("budget", [Budget(steps=10), Budget(tokens=100)])
def test_the_rate_of_each_step_by_hand(budget, compute):
    """Read in the middle of each of ten steps: 0.05, 0.15, ... 0.95 of the budget."""
    recipe = RECIPE._replace(lr=0.8, warmup=0.2)
    _, log = run(Line(), ten, compute, budget=budget, recipe=recipe)
    rates = [values["lr"] for _, values in log]
    expected = [0.2, 0.6, 0.75, 0.65, 0.55, 0.45, 0.35, 0.25, 0.15, 0.05]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_the_rate_peaks_where_the_warmup_ends_and_is_never_zero(warmup, steps, compute):
    recipe = RECIPE._replace(warmup=warmup)
    _, log = run(Line(), ten, compute, budget=Budget(steps=steps), recipe=recipe)
    rates = [values["lr"] for _, values in log]
    assert all(0 < rate <= recipe.lr for rate in rates)
    assert abs(rates.index(max(rates)) + 0.5 - warmup * steps) <= 1
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_optimizer_steps_at_the_logged_rate(compute):
    """The first step of AdamW moves each weight by the rate, whatever the gradient."""
    module, recipe = Line(), RECIPE._replace(weight_decay=0.0, warmup=0.0, clip=1e9, eps=1e-12)
    _, log = run(module, ten, compute, budget=Budget(steps=1), recipe=recipe)
    moved = (1 - module.weight).detach()
    torch.testing.assert_close(moved, torch.full((2, 2), log[0][1]["lr"]), rtol=1e-3, atol=0)


# Optimizer


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_biases_and_norms_do_not_decay(name, vocabulary):
    module = masked_lm(family(name, vocabulary), vocabulary)
    decaying, others = adamw(module, RECIPE).param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    names = {id(p): n.lower() for n, p in module.named_parameters()}
    spared = {n for n in names.values() if n.endswith("bias") or "norm" in n}
    assert {names[id(p)] for p in others["params"]} == spared
    assert {names[id(p)] for p in decaying["params"]} == set(names.values()) - spared


def test_the_optimizer_has_the_recipes_values(bert):
    optimizer = adamw(bert, RECIPE._replace(betas=[0.8, 0.98], eps=1e-5))
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.8, 0.98), 1e-5)


def test_frozen_parameters_are_left_out(bert):
    for parameter in bert.base_model.parameters():
        parameter.requires_grad_(False)
    held = [p for group in adamw(bert, RECIPE).param_groups for p in group["params"]]
    assert len(held) == len([p for p in bert.parameters() if p.requires_grad]) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0.0},
        {"lr": -1.0},
        {"clip": 0.0},
        {"weight_decay": -0.1},
        {"warmup": 1.0},
        {"warmup": -0.1},
        {"betas": [0.9]},
        {"betas": [0.9, 1.0]},
    ],
)
def test_a_recipe_out_of_range_is_refused(wrong, bert):
    with pytest.raises(UserError, match=next(iter(wrong))):
        adamw(bert, RECIPE._replace(**wrong))


def test_the_gradient_is_clipped_to_the_norm(compute):
    """AdamW hides the scale of a gradient, so it is read from its first moment: 0.1 of it."""
    module, recipe = Line(), RECIPE._replace(clip=0.5)
    optimizer = adamw(module, recipe)
    log = Log()
    train(
        module, ten, optimizer, recipe=recipe, budget=Budget(steps=1), compute=compute, seed=0,
        log=log, log_every=1, title="test", progress=Progress(Checkpoints(), module, optimizer),
    )  # fmt: skip
    assert math.isclose(log[0][1]["gradient_norm"], 4.0, rel_tol=1e-6)  # 2 x weight, before
    kept = optimizer.state[module.weight]["exp_avg"] / 0.1
    assert math.isclose(kept.norm().item(), 0.5, rel_tol=1e-4)


# Training


def trained(vocabulary, rows, compute, *, weights=0, seed=0, steps=6, **masking):
    model = family("bert", vocabulary, seed=weights)
    module = masked_lm(model, vocabulary, seed=seed, **masking)
    source = CorpusBatches(rows, vocabulary, batch_size=4, seed=seed)
    _, log = run(module, counted(source), compute, budget=Budget(steps=steps), seed=seed)
    return model.state_dict(), [values["loss"] for _, values in log]


def test_one_seed_twice_is_bit_identical(vocabulary, rows, compute):
    (first, losses), (again, relosses) = (trained(vocabulary, rows, compute) for _ in range(2))
    assert losses == relosses
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_the_loop_draws_nothing_from_the_global_generators(vocabulary, rows, compute):
    torch.manual_seed(1)
    first, _ = trained(vocabulary, rows, compute)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again, _ = trained(vocabulary, rows, compute)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_trains_otherwise(vocabulary, rows, compute):
    _, losses = trained(vocabulary, rows, compute, seed=0)
    _, others = trained(vocabulary, rows, compute, seed=1)
    assert losses != others


def test_how_often_is_logged_changes_no_weight(vocabulary, rows, compute):
    weights = []
    for log_every in (1, 4):
        model = family("bert", vocabulary)
        source = CorpusBatches(rows, vocabulary, batch_size=4, seed=0)
        module = masked_lm(model, vocabulary)
        _, log = run(module, counted(source), compute, budget=Budget(steps=6), log_every=log_every)
        weights.append(model.state_dict())
        assert [step for step, _ in log] == ([1, 2, 3, 4, 5, 6] if log_every == 1 else [4, 6])
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_reading_between_the_steps_changes_no_weight(vocabulary, rows, compute):
    """Whoever evaluates after a step may switch to eval mode and draw what it likes."""
    weights = []
    for disturbed in (False, True):
        model = family("bert", vocabulary)
        module = masked_lm(model, vocabulary)
        source = CorpusBatches(rows, vocabulary, batch_size=4, seed=0)
        calls = []

        def after_step(step, before, spent, module=module, disturbed=disturbed, calls=calls):
            calls.append(step)
            if disturbed:
                module.eval()
                torch.rand(100)

        run(module, counted(source), compute, budget=Budget(steps=5), after_step=after_step)
        assert calls == [1, 2, 3, 4, 5]
        weights.append(model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_training_is_in_train_mode_and_ends_in_eval_mode(vocabulary, rows, bert, compute):
    modes = []
    module = masked_lm(bert, vocabulary)
    module.register_forward_pre_hook(lambda m, _: modes.append((m.training, bert.training)))
    source = CorpusBatches(rows, vocabulary, batch_size=4, seed=0)
    run(module.eval(), counted(source), compute, budget=Budget(steps=2))
    assert modes == [(True, True)] * 2
    assert not module.training


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training(value, compute):
    class Breaks(Line):
        def forward(self, batch):
            loss, stats = super().forward(batch)
            loss = loss * value if batch == 3 else loss
            return loss, stats | {"loss": loss.detach()}

    with pytest.raises(FloatingPointError, match="at step 4"):
        run(Breaks(), ten, compute, budget=Budget(steps=9))


@pytest.mark.parametrize("last", [True, False])
def test_a_loss_that_was_not_finite_between_two_logs_does_not_go_unseen(last, compute):
    """AdamW's moments stay broken, so the next logged loss is not finite either."""

    class Breaks(Line):
        def forward(self, batch):
            loss, stats = super().forward(batch)
            loss = loss * math.nan if batch == (8 if last else 3) else loss
            return loss, stats | {"loss": loss.detach()}

    with pytest.raises(FloatingPointError):
        run(Breaks(), ten, compute, budget=Budget(steps=9), log_every=100)


# Masked language modelling


class Chosen:
    """Masks the positions that it was told."""

    def __init__(self, picked, mask):
        self.picked, self.mask = picked, mask

    def __call__(self, batch):
        labels = batch.ids.masked_fill(~self.picked, IGNORE)
        return Masked(batch.ids.masked_fill(self.picked, self.mask), labels)


@pytest.fixture
def batch(rows, vocabulary):
    """Six rows, the last of them padded."""
    return as_batch(rows, np.r_[0:5, len(rows.ids) - 1], vocabulary, epoch=0)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_loss_is_transformers_own(name, batch, vocabulary):
    model = family(name, vocabulary).eval()
    picked = batch.maskable & (torch.arange(batch.ids.shape[1]) % 4 == 1)
    masking = Chosen(picked, vocabulary.mask)
    masked = masking(batch)
    with torch.no_grad():
        loss, stats = MaskedLM(LanguageModel(model), masking).eval()(batch)
        expected = model(
            input_ids=masked.ids, attention_mask=batch.attention_mask, labels=masked.labels
        )
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=0)
    right = expected.logits.argmax(-1)[picked] == batch.ids[picked]
    assert stats["mlm_accuracy"] == right.float().mean()


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_nothing_picked_is_a_loss_of_zero_with_gradients_of_zero(name, batch, vocabulary):
    model = family(name, vocabulary)
    nothing = torch.zeros_like(batch.maskable)
    objective = MaskedLM(LanguageModel(model), Chosen(nothing, vocabulary.mask)).train()
    loss, stats = objective(batch)
    loss.backward()
    assert loss.item() == 0
    assert {key: float(value) for key, value in stats.items()} == {
        "loss": 0, "mlm_loss": 0, "mlm_accuracy": 0,
    }  # fmt: skip
    for parameter in objective.parameters():
        assert parameter.grad is not None
        assert (parameter.grad == 0).all()


def test_the_loss_is_an_average_over_picked_positions(batch, bert, vocabulary):
    """Of two disjoint choices, their union has the average weighted by their sizes."""
    columns = torch.arange(batch.ids.shape[1])
    parts = [batch.maskable & (columns == 3), batch.maskable & (columns > 20)]
    hidden = Chosen(parts[0] | parts[1], vocabulary.mask)(batch).ids

    def loss(picked):
        def masking(batch):
            return Masked(hidden, batch.ids.masked_fill(~picked, IGNORE))

        with torch.no_grad():
            return MaskedLM(LanguageModel(bert), masking).eval()(batch)[0].item()

    sizes = [int(part.sum()) for part in parts]
    expected = np.average([loss(part) for part in parts], weights=sizes)
    assert sizes[0] != sizes[1]
    assert math.isclose(loss(parts[0] | parts[1]), expected, rel_tol=1e-5)
