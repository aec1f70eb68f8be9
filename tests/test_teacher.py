"""Teachers, ready-made weights that are trained on, and budgets: how a pretraining comes about."""

import shutil
from pathlib import Path

import pytest
import torch
import toy

from bertbench import recipe
from bertbench.config import build
from bertbench.errors import UserError
from bertbench.models import checkpoint
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints
from bertbench.recipe import provide_encoder
from bertbench.store import Store

DISTILLED = ["model=distilbert", "mode=frozen"]


class Log(list):
    """Keeps what it is given."""

    def __call__(self, values, step):
        self.append((step, values))

    def steps(self, name):
        return [step for step, values in self if name in values]


def lineage_of(config):
    return make_plan(config, {}).lineage


def provide(lineage, compute, log=None):
    store = Store(lineage_store(lineage))
    return provide_encoder(
        lineage, store, compute, log if log is not None else Log(), Checkpoints()
    )


def lineage_store(lineage):
    return Path(lineage.values["runtime"]["store"])


def made(lineage, kind):
    folder = lineage_store(lineage) / kind
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_a_teacher_that_is_not_there_is_trained_first_and_that_is_said(values, compute, caplog):
    lineage, log = lineage_of(values(*DISTILLED)), Log()
    with caplog.at_level("INFO"):
        folder, stats, _, card = provide(lineage, compute, log)
    assert "the teacher bert tiny is not in the store: it is trained first" in caplog.text
    assert len(made(lineage, "encoder")) == 2
    assert len(made(lineage, "tokenizer")) == 1  # the student reads with the teacher's
    assert log.steps("teacher/pretrain/nsp_loss")
    assert log.steps("pretrain/soft_loss")
    assert not log.steps("pretrain/nsp_loss")
    assert checkpoint.load(folder).config.model_type == "distilbert"
    assert stats["heldout_soft_loss"] >= 0
    assert card["kept"] == len(set(toy.corpus()))


def test_the_teacher_is_the_bert_that_any_run_makes(values, compute, caplog):
    bert = lineage_of(values("model=bert", "mode=frozen"))
    provide(bert, compute)
    lineage = lineage_of(values(*DISTILLED))
    assert lineage.teacher.encoder == bert.encoder
    with caplog.at_level("INFO"):
        provide(lineage, compute)
    assert "it is trained first" not in caplog.text
    assert len(made(lineage, "encoder")) == 2


def test_a_named_teacher_is_used_and_no_other_is_trained(
    values, compute, checkpoint_folder, caplog
):
    lineage = lineage_of(values(*DISTILLED, f"objective.teacher={checkpoint_folder}"))
    assert lineage.teacher is None
    with caplog.at_level("INFO"):
        folder = provide(lineage, compute).folder
    assert f"the teacher is {checkpoint_folder}" in caplog.text
    assert len(made(lineage, "encoder")) == 1
    assert made(lineage, "tokenizer") == []
    for name in ("tokenizer.json",):
        assert (folder / name).read_bytes() == (checkpoint_folder / name).read_bytes()


def test_another_teacher_is_another_student(values, checkpoint_folder, tmp_path):
    copy = shutil.copytree(checkpoint_folder, tmp_path / "copy")
    one, same = (
        lineage_of(values(*DISTILLED, f"objective.teacher={path}")).encoder
        for path in (checkpoint_folder, copy)
    )
    assert one == same  # by its bytes, wherever it lies
    assert one != lineage_of(values(*DISTILLED)).encoder


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["objective.teacher=nowhere/at/all"],
            "objective.teacher=nowhere/at/all is no folder here",
        ),
        (["objective.teacher={folder}", "scale.width=64"], "has width 32, but scale=tiny 64"),
        (["weights=continued", "weights.source={folder}"], "objective.teacher=PATH"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_before_anything_is_computed(
    overrides, said, values, checkpoint_folder
):
    given = [override.format(folder=checkpoint_folder) for override in overrides]
    with pytest.raises(UserError, match=said):
        lineage_of(values(*DISTILLED, *given))


def test_weights_that_are_trained_on_begin_where_they_ended_and_name_their_new_heads(
    values, compute, checkpoint_folder, caplog
):
    source = [f"weights.source={checkpoint_folder}", "mode=frozen", "pretrain.evaluations=5"]
    curves = {}
    for weights in ("continued", "reset"):
        lineage = lineage_of(values(f"weights={weights}", *source))
        with caplog.at_level("INFO"):
            curves[weights] = provide(lineage, compute).curve
    assert "heads added" in caplog.text
    assert "cls.seq_relationship" in caplog.text
    for found in curves.values():
        assert found[0]["step"] == 1
        assert [line["tokens"] for line in found] == sorted(line["tokens"] for line in found)
        assert len(found) == 6  # the first step, four parts, the end


def test_reset_weights_have_the_shape_and_tokenizer_of_the_source_and_none_of_its_numbers(
    values, compute, checkpoint_folder
):
    overrides = [
        "weights=reset",
        f"weights.source={checkpoint_folder}",
        "weights.train=false",
        "seed=1",
    ]
    folder, stats, *_ = provide(lineage_of(values(*overrides, "mode=frozen")), compute)
    assert stats == {}
    mine, theirs = (checkpoint.load(f).state_dict() for f in (folder, checkpoint_folder))
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in theirs.items()}
    weight = "bert.embeddings.word_embeddings.weight"
    assert not torch.equal(mine[weight], theirs[weight])
    tokenizers = [(f / "tokenizer.json").read_bytes() for f in (folder, checkpoint_folder)]
    assert tokenizers[0] == tokenizers[1]


def test_a_budget_of_steps_is_kept(values, compute):
    lineage = lineage_of(
        values("model=roberta", "mode=frozen", "pretrain.tokens=null", "pretrain.steps=7")
    )
    stats = provide(lineage, compute).stats
    assert stats["steps"] == 7


def test_an_encoder_of_another_objective_gets_a_head_that_predicts_words(values, compute):
    """And is not changed by it."""
    seen = {}
    fit = recipe.fit_head

    def spied(model, *arguments, **named):
        before = {k: v.clone() for k, v in model.encoder.state_dict().items()}
        found = fit(model, *arguments, **named)
        seen["same"] = all((v == before[k]).all() for k, v in model.encoder.state_dict().items())
        return found

    lineage = lineage_of(values("model=bert", "objective=rtd", "mode=frozen"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "fit_head", spied)
        stats = provide(lineage, compute).stats
    assert seen["same"]
    assert stats["heldout_loss"] < stats["unigram_loss"] + 1
    assert {"heldout_rtd_accuracy", "heldout_replaced_found", "intrinsic/mlm_loss"} <= stats.keys()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objective=mlm_nsp", "packing=full_sentences"], "choose packing=segment_pair"),
        (["objective=mlm_sop", "packing=segment_pair"], "choose packing=ordered_pair"),
        (["objective=none", "weights=pretrain"], "choose weights=random"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_one_that_does(overrides, said, values):
    with pytest.raises(UserError, match=said):
        make_plan(values("model=bert", *overrides), {})


def test_whole_words_are_refused_where_nothing_tells_them_apart(values, compute, monkeypatch):
    thai = ["กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย " * 3] * 40
    monkeypatch.setattr(toy, "corpus", lambda: [f"{text}{i}" for i, text in enumerate(thai)])
    config = values("model=roberta", "masking=whole_word", "mode=frozen")
    with pytest.raises(UserError, match="no space between words"):
        provide(lineage_of(config), compute)


def test_documents_of_one_sentence_make_no_pairs_in_order(values, compute, monkeypatch):
    monkeypatch.setattr(
        toy, "corpus", lambda: [f"Match goal team number {i} won." for i in range(60)]
    )
    config = values("model=albert", "mode=frozen")
    with pytest.raises(UserError, match=r"make no pairs.*objective=mlm packing=full_sentences"):
        provide(lineage_of(config), compute)


def test_one_held_out_document_is_too_few_for_next_sentences(values, compute, monkeypatch):
    texts = toy.corpus()[:3]
    monkeypatch.setattr(toy, "corpus", lambda: texts)
    with pytest.raises(UserError, match=r"one part has 1: .*raise pretrain\.heldout"):
        provide(lineage_of(values("model=bert", "mode=frozen")), compute)


@pytest.mark.parametrize(
    "override",
    [
        "masking.rate=0",
        "masking.rate=1.5",
        "masking.swap=-1",
        "packing.share=2",
        "packing.short=-1",
    ],
)
def test_shares_are_checked_before_anything_is_made(override, values):
    with pytest.raises(UserError, match=override.replace(".", r"\.") + r"(\.0)? must lie in"):
        make_plan(values("model=bert", override), {})


def test_a_target_that_is_not_there_is_named():
    for path in ("bertbench.masking.token.Tokens", "no_such_module.Rule"):
        with pytest.raises(UserError, match=rf"_target_={path}: there is no"):
            build({"_target_": path})
