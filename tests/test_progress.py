"""Training that was stopped at any step and goes on equals training that was not, to the bit."""

import random

import numpy as np
import pytest
import torch
import toy
from conftest import SHAPE, KillAt, Killed

from bertbench import interrupt
from bertbench import progress as room
from bertbench.budget import Budget, Spent
from bertbench.data.batching import Short, ShortFirst
from bertbench.loop import train
from bertbench.masking.token import TokenMasking
from bertbench.models import families
from bertbench.models.encoder import LanguageModel
from bertbench.modes.full import Full
from bertbench.objectives.mlm import MaskedLM
from bertbench.optim import Recipe, adamw
from bertbench.progress import SUFFIX, Checkpoints, Progress
from bertbench.setting import Setting
from bertbench.store import Store

RECIPE = Recipe(lr=1e-3, betas=[0.9, 0.98], eps=1e-6, weight_decay=0.01, warmup=0.1, clip=1.0)
STEPS = 12
POINTS = sorted(random.Random(0).sample(range(1, STEPS), 5))
FAMILIES = {"albert": {"embedding": 16}, "bert": {}, "roberta": {}}


class StopAt:
    """A log that ends the process after a step."""

    def __init__(self, step=None):
        self.step, self.lines = step, []

    def __call__(self, values, step):
        self.lines.append((step, values.get("loss")))
        if step == self.step:
            raise Killed


@pytest.fixture(scope="module")
def rows(tokenizer, vocabulary):
    return toy.rows(toy.corpus(), tokenizer, vocabulary)


SHARE = room.SHARE


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    """Save after each step where `every` is 0, whatever it costs; nobody asks to stop afterwards."""
    monkeypatch.setattr(room, "SHARE", 1e9)
    yield
    interrupt.forget()


def pretrain(family, rows, vocabulary, compute, place, *, log=None, after_step=None):
    """Pretrain a new model; return its weights, the optimizer's moments and the log."""
    config = getattr(families, family)(
        SHAPE, vocabulary, dropout=0.1, initializer_range=0.02, **FAMILIES[family]
    )
    model = families.initialise(config, seed=0)
    masking = TokenMasking(
        vocabulary, seed=0, rate=0.15, rate_end=None, swap=0.1, keep=0.1, views=None
    )
    objective = MaskedLM(LanguageModel(model), masking)
    short = Short(rows._replace(ids=rows.ids[:, :9], starts=rows.starts[:, :9]), 6, 0.4)
    source = ShortFirst(rows, vocabulary, batch_size=4, seed=0, short=short)

    def batches(step, spent=0.0):
        batch = source(step, spent)
        return batch, int(batch.attention_mask.sum())

    optimizer, log = adamw(objective, RECIPE), log or StopAt()
    spent = train(
        objective, batches, optimizer, recipe=RECIPE, budget=Budget(steps=STEPS), compute=compute,
        seed=0, log=log, log_every=1, title="test", after_step=after_step,
        progress=Progress(place, objective, optimizer),
    )  # fmt: skip
    moments = {
        f"{i}/{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()
    }
    return model.state_dict() | moments, log.lines, spent


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining_resumed_equals_straight(family, point, rows, vocabulary, compute, tmp_path):
    """Killed after a step's log, before its state was saved: the state is that of the step before."""
    straight, lines, spent = pretrain(family, rows, vocabulary, compute, Checkpoints())
    place = Checkpoints(tmp_path, every=0)
    with pytest.raises(Killed):
        pretrain(family, rows, vocabulary, compute, place, log=StopAt(point))
    resumed, rest, after = pretrain(family, rows, vocabulary, compute, place)
    same(straight, resumed)
    assert rest == lines[point - 1 :]
    assert (after.steps, after.tokens) == (spent.steps, spent.tokens)


def fine_tune(setting, **changed):
    """Fine-tune on the toy task; return the outcome and what it logged."""
    settings = {
        "optim": RECIPE._asdict(), "pooling": "mean", "layer": -1, "dropout": 0.1, "epochs": 5,
        "min_steps": 0, "batch_size": 8, "learning_rates": [1e-3, 3e-3],
    } | changed  # fmt: skip
    return Full(**settings).fit(toy.task(), setting)


def setting_of(folder, checkpoint_folder, compute, log, every=0):
    return Setting(
        checkpoint=checkpoint_folder, checkpoint_key="k", max_length=32, long_text="head",
        metric="accuracy", seed=0, store=Store(folder), compute=compute, log=log,
        checkpoints=Checkpoints(folder / "state", every),
    )  # fmt: skip


@pytest.mark.parametrize("call", sorted(random.Random(1).sample(range(1, 16), 5)))
def test_fine_tuning_resumed_equals_straight(call, checkpoint_folder, compute, tmp_path):
    """Whichever try of the grid, before or after the best epoch."""
    lines = []
    log = lambda values, step: lines.append(step)  # noqa: E731
    straight = fine_tune(setting_of(tmp_path / "a", checkpoint_folder, compute, log, every=None))
    assert len(lines) >= 16
    with pytest.raises(Killed):
        fine_tune(setting_of(tmp_path / "b", checkpoint_folder, compute, KillAt(call)))
    resumed = fine_tune(setting_of(tmp_path / "b", checkpoint_folder, compute, lambda *_: None))
    np.testing.assert_array_equal(straight.test, resumed.test)
    np.testing.assert_array_equal(straight.validation, resumed.validation)
    timed = "cost/train_seconds"
    assert {k: v for k, v in straight.stats.items() if k != timed} == {
        k: v for k, v in resumed.stats.items() if k != timed
    }
    same(straight.fitted.module.state_dict(), resumed.fitted.module.state_dict())


# When


def test_a_request_to_stop_saves_and_stops_after_the_step(rows, vocabulary, compute, tmp_path):
    def ask(step, before, spent):
        interrupt._State.requested = step >= 5

    straight, *_ = pretrain("bert", rows, vocabulary, compute, Checkpoints())
    place = Checkpoints(tmp_path, every=None)
    with pytest.raises(KeyboardInterrupt):
        pretrain("bert", rows, vocabulary, compute, place, after_step=ask)
    assert [p.name.partition("-")[0] for p in tmp_path.glob(f"*{SUFFIX}")] == [f"{5:012d}"]
    interrupt.forget()
    log = StopAt()
    resumed, *_ = pretrain("bert", rows, vocabulary, compute, place, log=log)
    same(straight, resumed)
    assert log.lines[0][0] == 6


def test_a_request_in_the_last_step_loses_nothing(rows, vocabulary, compute, tmp_path):
    def ask(step, before, spent):
        interrupt._State.requested = step == STEPS

    _, _, spent = pretrain(
        "bert", rows, vocabulary, compute, Checkpoints(tmp_path, every=None), after_step=ask
    )
    assert spent.steps == STEPS


class Line(torch.nn.Module):
    """One weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, 2))


def progress(folder, every=0.0, **more):
    module = Line()
    return Progress(Checkpoints(folder, every, **more), module, adamw(module, RECIPE))


def test_a_state_is_saved_when_its_time_has_come(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("bertbench.progress.time.monotonic", lambda: clock[0])
    kept = progress(tmp_path, every=30)
    for now, steps in ((129, 1), (130, 2), (159, 3), (161, 4)):
        clock[0] = now
        kept.after_step(Spent(steps, 0, 0.0), last=False)
    assert sorted(p.name[:12] for p in tmp_path.glob(f"*{SUFFIX}")) == [
        f"{n:012d}" for n in (2, 4)
    ]


def test_a_slow_save_is_made_seldom(tmp_path, monkeypatch):
    """At most one percent of the time goes into it."""
    clock = [0.0]
    monkeypatch.setattr(room, "SHARE", SHARE)
    monkeypatch.setattr("bertbench.progress.time.monotonic", lambda: clock[0])
    kept = progress(tmp_path, every=1, flush=lambda: None)
    save = kept._state

    def slow():
        clock[0] += 5
        return save()

    monkeypatch.setattr(kept, "_state", slow)
    saved = []
    for now in range(1, 1000):
        clock[0] = max(clock[0], float(now))
        kept.after_step(Spent(now, 0, 0.0), last=False)
        saved += [p.name[:12] for p in tmp_path.glob(f"*{SUFFIX}")]
    assert len(set(saved)) == 2


def test_what_was_logged_is_flushed_before_a_save(tmp_path):
    said = []
    kept = progress(tmp_path, flush=lambda: said.append(list(tmp_path.iterdir())))
    kept.after_step(Spent(1, 0, 0.0), last=False)
    assert said == [[]]


def test_nothing_is_kept_nowhere():
    progress(None).after_step(Spent(1, 0, 0.0), last=False)


# Damage


def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "flipped byte":
        data[len(data) // 2] ^= 1
    elif kind == "cut off":
        data = data[: len(data) // 2]
    elif kind == "empty":
        data = bytearray()
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["flipped byte", "cut off", "empty"])
def test_a_damaged_state_is_not_used(kind, tmp_path, caplog):
    kept = progress(tmp_path)
    kept.after_step(Spent(3, 30, 1.5), last=False)
    assert progress(tmp_path).restore() == Spent(3, 30, 1.5)
    [path] = tmp_path.glob(f"*{SUFFIX}")
    damage(path, kind)
    assert progress(tmp_path).restore() == Spent(0, 0, 0.0)
    assert "damaged" in caplog.text
    assert not path.exists()


def test_of_two_states_the_older_serves_when_the_newer_is_damaged(tmp_path):
    """The last two are kept: hours of training do not hang on one file."""
    kept = progress(tmp_path)
    for step in (1, 2, 3):
        kept.after_step(Spent(step, 10 * step, 0.5), last=False)
    older, newer = sorted(tmp_path.glob(f"*{SUFFIX}"))
    damage(newer, "flipped byte")
    assert progress(tmp_path).restore() == Spent(2, 20, 0.5)
    assert list(tmp_path.glob(f"*{SUFFIX}")) == [older]


def test_half_a_file_is_never_taken_for_a_state(tmp_path):
    (tmp_path / f".000000000009-abc{SUFFIX}.part").write_bytes(b"half")
    assert progress(tmp_path).restore() == Spent(0, 0, 0.0)


def test_a_state_of_another_module_is_not_taken(tmp_path, caplog):
    """As a newer version of a library, which names its parameters otherwise, leaves behind."""
    module = torch.nn.Linear(3, 2)
    other = Progress(Checkpoints(tmp_path, 0.0), module, adamw(module, RECIPE))
    other.after_step(Spent(3, 30, 1.5), last=False)
    assert progress(tmp_path).restore() == Spent(0, 0, 0.0)
    assert "another training" in caplog.text
