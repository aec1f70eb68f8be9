"""Objectives against transformers' own losses, hand-computed ones, and what each of them must learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import CONF
from torch.nn import functional as F
from transformers import (
    AlbertForPreTraining,
    BertForPreTraining,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForPreTraining,
    RobertaForMaskedLM,
)

from bertbench import config
from bertbench.data import packed, packing
from bertbench.data.batching import as_batch
from bertbench.errors import UserError
from bertbench.masking.token import TokenMasking
from bertbench.models import checkpoint, families, students
from bertbench.models.encoder import LanguageModel
from bertbench.objectives.distill import Distillation
from bertbench.objectives.mlm import MaskedLM
from bertbench.objectives.pairs import PairedLM
from bertbench.objectives.rtd import ReplacedTokens
from bertbench.optim import Recipe, adamw
from bertbench.types import IGNORE, Tokens, Vocabulary

SHAPE = families.Shape(depth=4, width=32, heads=2, intermediate=64, positions=64)
# RoBERTa counts positions from the padding id on: one that is not 0 shows an offset.
VOCABULARY = Vocabulary(size=120, pad=1, cls=0, sep=2, mask=4, special=(0, 1, 2, 3, 4))
FAMILIES = {
    "bert": lambda dropout: families.bert(
        SHAPE, VOCABULARY, dropout=dropout, initializer_range=0.02
    ),
    "roberta": lambda dropout: families.roberta(
        SHAPE, VOCABULARY, dropout=dropout, initializer_range=0.02
    ),
    "albert": lambda dropout: families.albert(
        SHAPE, VOCABULARY, embedding=16, dropout=dropout, initializer_range=0.02
    ),
    "distilbert": lambda dropout: families.distilbert(
        SHAPE, VOCABULARY, dropout=dropout, initializer_range=0.02
    ),
}
PAIRS = {"second": "random", "share": 0.5, "short": 0.1}
every_family = pytest.mark.parametrize("family", FAMILIES)


def tokens(sentences=400, seed=0):
    """Return a corpus of random ids: sentences of 3 to 12, documents of 1 to 9."""
    generator = np.random.default_rng(seed)
    borders = np.concatenate([[0], np.cumsum(generator.integers(3, 13, sentences))])
    ids = generator.integers(5, VOCABULARY.size, borders[-1]).astype(np.uint16)
    starts = generator.random(borders[-1]) < 0.7
    starts[borders[:-1]] = True
    ends = np.cumsum(generator.integers(1, 10, sentences))
    documents = np.concatenate([[0], ends[ends < sentences], [sentences]])
    return Tokens(ids, starts, borders, documents)


def pair_batch(size=12, *, second="random", length=48):
    stream = tokens()
    documents = np.arange(len(stream.documents) - 1)
    made = packing.segment_pairs(
        stream, documents, length=length, seed=0, second=second, share=0.5, short=0.1
    )
    rows = packed.in_memory(made, stream, VOCABULARY, length=length)
    paired = np.flatnonzero(rows.related != IGNORE)
    return as_batch(rows, paired[:size], VOCABULARY, epoch=0)


def masking(rate=0.15):
    return TokenMasking(
        VOCABULARY, seed=0, rate=rate, rate_end=None, swap=0.1, keep=0.1, views=None
    )


def model_of(family, *, seed=0, pairs=True, dropout=0.0):
    return LanguageModel(families.initialise(FAMILIES[family](dropout), seed=seed, pairs=pairs))


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


THEIRS = {  # family: transformers' own class, its labels of a pair, how our objective is made
    "bert": (BertForPreTraining, "next_sentence_label"),
    "albert": (AlbertForPreTraining, "sentence_order_label"),
    "roberta": (RobertaForMaskedLM, None),
    "distilbert": (DistilBertForMaskedLM, None),
}


@pytest.mark.parametrize("family", THEIRS)
def test_losses_and_gradients_are_those_of_transformers_own_class(family):
    own, label = THEIRS[family]
    second = "swapped" if family == "albert" else "random"
    batch = pair_batch(second=second)
    model = model_of(family, pairs=label is not None)
    theirs = own(model.model.config)
    missing, strange = theirs.load_state_dict(model.model.state_dict(), strict=False)
    assert (missing, strange) == ([], [])
    hidden = masking()(batch)
    arguments = {"input_ids": hidden.ids, "attention_mask": batch.attention_mask}
    if model.encoder.segments:
        arguments["token_type_ids"] = batch.segment_ids
    if label is not None:
        arguments[label] = batch.related
        objective = PairedLM(model, masking(), pairs=second, weight=1.0)
    else:
        objective = MaskedLM(model, masking())
    expected = theirs.eval()(**arguments, labels=hidden.labels).loss
    found, _ = objective.eval()(batch)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    expected.backward()
    found.backward()
    mine, others = gradients(model.model), gradients(theirs)
    assert mine.keys() == others.keys()
    for name, gradient in others.items():
        torch.testing.assert_close(mine[name], gradient, atol=1e-6, rtol=1e-4)


@every_family
def test_both_segments_matter_to_families_that_have_them_and_to_no_other(family):
    batch = pair_batch()
    model = model_of(family).eval()
    one = batch._replace(segment_ids=torch.zeros_like(batch.segment_ids))
    same = torch.equal(model.encode(batch.ids, batch)[-1], model.encode(batch.ids, one)[-1])
    assert same == (family in ("roberta", "distilbert"))


@every_family
@pytest.mark.parametrize("second", ["random", "swapped"])
def test_the_pair_loss_counts_real_pairs_alone(family, second):
    batch = pair_batch(second=second)
    model = model_of(family)
    objective = PairedLM(model, masking(), pairs=second, weight=1.0).eval()
    skill = {"random": "nsp", "swapped": "sop"}[second]
    some = batch._replace(related=batch.related.clone())
    some.related[::2] = IGNORE
    tally = objective.tally(some, masking()(some))
    states = model.encode(masking()(some).ids, some)[-1]
    logits = model.pair_logits(states)
    kept = some.related != IGNORE
    assert tally[f"{skill}_loss"].over == int(kept.sum())
    expected = F.cross_entropy(logits[kept], some.related[kept])
    assert tally[f"{skill}_loss"].mean.item() == pytest.approx(expected.item(), abs=1e-6)
    none = batch._replace(related=torch.full_like(batch.related, IGNORE))
    loss, _ = objective(none)
    assert loss.item() == pytest.approx(
        objective.tally(none, masking()(none))["mlm_loss"].mean.item()
    )


def test_the_weight_of_the_pairs_is_a_factor():
    batch, model = pair_batch(), model_of("bert")
    losses = {
        weight: PairedLM(model, masking(), pairs="random", weight=weight).eval()(batch)[0].item()
        for weight in (0.0, 1.0, 3.0)
    }
    assert losses[3.0] - losses[0.0] == pytest.approx(3 * (losses[1.0] - losses[0.0]), rel=1e-5)


def test_the_distillation_loss_is_the_one_computed_by_hand():
    """Sanh et al. (2019), section 2, term by term, with loops over positions."""
    batch = pair_batch(size=3)
    student, teacher = model_of("distilbert"), model_of("bert", seed=1)
    settings = {"temperature": 2.0, "soft": 5.0, "mlm": 2.0, "cosine": 1.0}
    hidden = masking()(batch)
    mine = student.encode(hidden.ids, batch)[-1].detach()
    guide = teacher.encode(hidden.ids, batch)[-1].detach()
    for everywhere in (True, False):
        soft, mlm, cosine, number, masked, real = 0.0, 0.0, 0.0, 0, 0, 0
        for row in range(len(batch.ids)):
            for place in range(batch.ids.shape[1]):
                if not batch.attention_mask[row, place]:
                    continue
                label = int(hidden.labels[row, place])
                given = teacher.logits(guide[row, place][None])[0].detach()
                p = torch.softmax(given / 2, -1)
                own = student.logits(mine[row, place][None])[0].detach()
                if everywhere or label != IGNORE:
                    soft += float((p * (p.log() - torch.log_softmax(own / 2, -1))).sum()) * 4
                    number += 1
                if label != IGNORE:
                    mlm -= float(torch.log_softmax(own, -1)[label])
                    masked += 1
                a, b = mine[row, place], guide[row, place]
                cosine += 1 - float(a @ b / (a.norm() * b.norm()))
                real += 1
        expected = 5 * soft / number + 2 * mlm / masked + cosine / real
        objective = Distillation(
            student, masking(), teacher=teacher, everywhere=everywhere, **settings
        ).eval()
        assert objective(batch)[0].item() == pytest.approx(expected, rel=1e-5)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it():
    batch, model = pair_batch(), model_of("bert", dropout=0.0)
    twin = model_of("bert")
    objective = Distillation(
        model, masking(), teacher=twin, temperature=2.0, soft=5.0, mlm=0.0, cosine=1.0,
        everywhere=True,
    )  # fmt: skip
    assert objective(batch)[0].item() == pytest.approx(0, abs=1e-5)


def test_the_teacher_does_not_learn_and_is_no_part_of_the_module():
    batch = pair_batch()
    student, teacher = model_of("distilbert"), model_of("bert", seed=1)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    objective = Distillation(
        student, masking(), teacher=teacher, temperature=2.0, soft=5.0, mlm=2.0, cosine=1.0,
        everywhere=False,
    )  # fmt: skip
    objective.train()(batch)[0].backward()
    assert not any(name.startswith("_teacher") for name in objective.state_dict())
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


@pytest.mark.parametrize(
    ("teacher", "student", "layers"),
    [(12, 6, [0, 2, 4, 7, 9, 11]), (2, 1, [0]), (4, 2, [0, 3]), (6, 6, list(range(6)))],
)
def test_the_student_begins_as_the_published_layers(teacher, student, layers):
    """The first row is DistilBERT's own."""
    assert students.chosen_layers(teacher, student) == layers


def test_a_student_has_the_teachers_weights_where_it_has_a_layer_for_them():
    """A DistilBERT of all layers, with the position and word embeddings of a BERT, computes the same."""
    teacher = model_of("bert", pairs=True)
    teacher.model.bert.embeddings.token_type_embeddings.weight.data.zero_()
    config_of_all = FAMILIES["distilbert"](0.0)
    config_of_all.n_layers = SHAPE.depth
    student = LanguageModel(families.initialise(config_of_all, seed=3))
    copied = students.begin_as(student.model, teacher.model)
    assert copied == len(student.model.state_dict())
    batch = pair_batch()
    mine = student.eval().encode(batch.ids, batch)[-1]
    theirs = teacher.eval().encode(batch.ids, batch)[-1]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    logits = student.logits(mine[0]), teacher.logits(theirs[0])
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


def test_a_teacher_of_another_vocabulary_or_width_is_refused():
    student = model_of("distilbert")
    other = families.bert(
        SHAPE, VOCABULARY._replace(size=121), dropout=0.0, initializer_range=0.02
    )
    wide = families.bert(SHAPE._replace(width=64), VOCABULARY, dropout=0.0, initializer_range=0.02)
    for made, said in ((other, "121 vocabulary entries"), (wide, "64 states wide")):
        teacher = LanguageModel(families.initialise(made, seed=0))
        with pytest.raises(UserError, match=said):
            Distillation(
                student, masking(), teacher=teacher, temperature=2.0, soft=5.0, mlm=2.0,
                cosine=1.0, everywhere=True,
            )  # fmt: skip


def test_the_loss_of_replaced_tokens_is_that_of_transformers_discriminator():
    """The same head on the same states: ElectraForPreTraining's, given our replaced ids."""
    batch = pair_batch()
    electra = ElectraConfig(
        vocab_size=VOCABULARY.size, embedding_size=32, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=VOCABULARY.pad,
    )  # fmt: skip
    theirs = ElectraForPreTraining(electra).eval()
    model = model_of("bert", pairs=False)
    objective = ReplacedTokens(model, masking(), generator=0.5, weight=50.0).eval()
    head = theirs.discriminator_predictions
    head.dense.load_state_dict(objective.dense.state_dict())
    head.dense_prediction.load_state_dict(objective.decide.state_dict())
    seen = {}
    plain = model.encode
    model.encode = lambda ids, b: seen.setdefault("s", plain(seen.setdefault("i", ids), b))
    torch.manual_seed(0)
    tally = objective.tally(batch, masking()(batch))
    states, ids = seen["s"][-1], seen["i"]
    logits = head(states)[batch.attention_mask]
    replaced = (ids != batch.ids)[batch.attention_mask]
    expected = F.binary_cross_entropy_with_logits(logits, replaced.float())
    assert tally["rtd_loss"].mean.item() == pytest.approx(expected.item(), abs=1e-6)
    assert tally["replaced_found"].over == int(replaced.sum())
    changed = ids != batch.ids
    assert not (changed & (masking()(batch).labels == IGNORE)).any()


def test_a_token_that_the_generator_guesses_right_is_real():
    """Clark et al. (2020), section 3.1."""
    batch = pair_batch()
    objective = ReplacedTokens(
        model_of("bert", pairs=False), masking(), generator=0.5, weight=50.0
    )
    right = torch.full((*batch.ids.shape, VOCABULARY.size), -1e4)
    right.scatter_(2, batch.ids.unsqueeze(-1), 1e4)
    objective._generated = lambda ids, batch, picked: right[picked]
    tally = objective.tally(batch, masking()(batch))
    assert tally["replaced_found"].over == 0
    assert tally["generator_accuracy"].mean.item() == 1


@every_family
def test_generator_and_encoder_share_their_embeddings_and_nothing_else(family):
    """Clark et al. (2020), section 3.2: of tokens and positions; here of segments too."""
    model = model_of(family, pairs=False)
    objective = ReplacedTokens(model, masking(), generator=0.25, weight=50.0)
    shared = {id(p) for p in model.parameters()} & {
        id(p) for p in objective.generator.parameters()
    }
    tables = model.model.base_model.embeddings
    kinds = ["word", "position", *(["token_type"] if model.encoder.segments else [])]
    assert shared == {id(getattr(tables, f"{kind}_embeddings").weight) for kind in kinds}
    names = [name for name, _ in objective.named_parameters()]
    assert len(names) == len(set(names))


@every_family
def test_a_checkpoint_of_pairs_gives_the_same_logits_again(family, tmp_path):
    model = model_of(family)
    batch = pair_batch()
    before = model.eval().pair_logits(model.encode(batch.ids, batch)[-1])
    model.model.save_pretrained(tmp_path)
    loaded = LanguageModel(checkpoint.load(tmp_path, seed=9, pairs=True)).eval()
    after = loaded.pair_logits(loaded.encode(batch.ids, batch)[-1])
    torch.testing.assert_close(before, after, atol=0, rtol=0)
    plain = LanguageModel(checkpoint.load(tmp_path)).eval()  # and it is still an ordinary encoder
    assert torch.equal(plain.encode(batch.ids, batch)[-1], model.encode(batch.ids, batch)[-1])


@every_family
def test_heads_that_a_checkpoint_lacks_are_named_in_the_log(family, tmp_path, caplog):
    model_of(family, pairs=False).model.save_pretrained(tmp_path)
    with caplog.at_level("INFO"):
        checkpoint.load(tmp_path, pairs=True, announce=True)
    expected = {"bert": "cls.seq_relationship", "albert": "sop_classifier"}
    assert expected.get(family, "sentence_relationship") in caplog.text


NODES = {
    path.stem: node
    for path in sorted((Path(CONF) / "objective").glob("*.yaml"))
    if (node := yaml.safe_load(path.read_text(encoding="utf-8")))
    and (node := node.get("objective", node)) is not None
}


@pytest.mark.parametrize("name", NODES)
@every_family
def test_each_objective_learns_a_constant_batch_in_each_family(family, name):
    """The loss falls, and what it is for gets better."""
    node = NODES[name]
    batch = pair_batch(size=8, second=node.get("pairs", "random"))
    torch.manual_seed(0)
    model = model_of(family)
    more = {"teacher": model_of("bert", seed=1)} if "teacher" in node else {}
    objective = config.build(node, model=model, masking=masking(), **more)
    recipe = Recipe(lr=3e-3, betas=[0.9, 0.98], eps=1e-6, weight_decay=0.0, warmup=0.1, clip=1.0)
    optimizer = adamw(objective, recipe)
    losses = []
    for _ in range(30):
        loss, stats = objective(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        losses.append(float(stats["loss"]))
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("mlm_nsp", {"pairs": "other"}, "objective.pairs=other is none of random, swapped"),
        ("mlm_nsp", {"weight": -1}, "objective.weight=-1 must not be below 0"),
        ("distill", {"temperature": 0}, "objective.temperature=0 must be above 0"),
        ("distill", {"cosine": -1}, "objective.cosine=-1 not below 0"),
        ("rtd", {"generator": 2}, r"objective.generator=2 must lie in \(0, 1\]"),
        ("rtd", {"weight": 0}, "objective.weight above 0|objective.weight=0 above 0"),
    ],
)
def test_settings_out_of_range_are_refused(name, changes, said):
    node = NODES[name] | changes
    more = {"teacher": model_of("bert")} if "teacher" in node else {}
    with pytest.raises(UserError, match=said):
        config.build(node, model=model_of("bert"), masking=masking(), **more)
