"""Every objective with every masking and tokenizer, out of the yaml: what a model is given to learn."""

import functools

import pytest
import torch
import toy
import yaml
from conftest import CONF, SHAPE, SMALL_VOCABULARY

from bertbench import config
from bertbench import tokenizer as tokenizers
from bertbench.data.batching import CorpusBatches
from bertbench.hiding import words
from bertbench.models import families
from bertbench.models.encoder import LanguageModel
from bertbench.types import FOLLOWS, IGNORE, NOT

FAMILY = {"wordpiece": "bert", "byte_bpe": "roberta", "unigram": "albert"}
TRAINED = {
    "wordpiece": tokenizers.wordpiece,
    "byte_bpe": tokenizers.byte_bpe,
    "unigram": tokenizers.unigram,
}
WHOLE = ("whole_word", "span", "ngram")  # rules that pick words as a whole


def nodes(group):
    """Return each option of a group: its own node, and what it brings of others."""
    found = {}
    for path in sorted((CONF / group).glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        node = content.get(group, content) if isinstance(content, dict) else None
        if node is not None:
            brought = [o for o in content.get("defaults", []) if "override /packing" in o]
            found[path.stem] = (node, brought[0]["override /packing"] if brought else None)
    return found


OBJECTIVES, MASKINGS, PACKINGS = nodes("objective"), nodes("masking"), nodes("packing")
CASES = [(o, m, t) for o in OBJECTIVES for m in MASKINGS for t in TRAINED]


@functools.cache
def trained(kind):
    more = {} if kind == "byte_bpe" else {"lowercase": True}
    # Small enough that words are cut: or whole words would be single tokens.
    return TRAINED[kind](toy.corpus(), vocab_size=SMALL_VOCABULARY[kind], **more)


@functools.cache
def rows_of(kind, packing):
    tokenizer = trained(kind)
    node = dict(PACKINGS[packing][0])
    name = node.pop("_target_").rpartition(".")[2]
    vocabulary = tokenizers.vocabulary(tokenizer)
    return toy.rows(toy.corpus(), tokenizer, vocabulary, length=48, packing=name, **node)


def batch_of(kind, packing, *, epoch=0, size=32):
    vocabulary = tokenizers.vocabulary(trained(kind))
    source = CorpusBatches(rows_of(kind, packing), vocabulary, batch_size=size, seed=0)
    return source(0)._replace(epoch=epoch), vocabulary


@pytest.mark.parametrize(("objective", "masking", "kind"), CASES)
def test_each_recipe_of_the_conf_tree(objective, masking, kind):
    """Specials never, whole words or none, segments as published; a finite loss that reaches the encoder."""
    node, brought = OBJECTIVES[objective]
    batch, vocabulary = batch_of(kind, brought or "full_sentences")
    rule = config.build(MASKINGS[masking][0], vocabulary=vocabulary, seed=0)
    masked = rule(batch)
    picked = masked.labels != IGNORE
    special = torch.isin(batch.ids, torch.tensor(vocabulary.special))
    assert picked.any()
    assert not (picked & special).any()
    assert torch.equal(masked.ids[~picked], batch.ids[~picked])
    assert (
        not torch.isin(masked.ids[picked], torch.tensor(vocabulary.special))
        .logical_and(masked.ids[picked] != vocabulary.mask)
        .any()
    )
    if masking in WHOLE:
        for row, maskable in enumerate(batch.maskable.numpy()):
            number = torch.from_numpy(words(maskable, batch.starts[row].numpy()))
            for word in number[picked[row]].unique():
                assert picked[row][number == word].all()
    ids, paired = batch.ids, batch.related != IGNORE
    assert (ids[:, 0] == vocabulary.cls).all()
    assert bool(paired.any()) == ("pairs" in node)
    assert set(batch.related[paired].tolist()) <= {FOLLOWS, NOT}
    two = batch.segment_ids.bool()
    assert torch.equal(two.any(1), paired)
    assert not (two & ~batch.attention_mask).any()
    separators = (ids == vocabulary.sep).sum(1)
    if "pairs" in node:
        assert torch.equal(separators, 1 + paired.long())
    before = (
        two.roll(-1, 1) & ~two
    )  # the position before the second segment is the first's separator
    assert (ids[:, :-1][before[:, :-1]] == vocabulary.sep).all()

    family = FAMILY[kind]
    more = {"embedding": 16} if family == "albert" else {}
    made = getattr(families, family)(
        SHAPE, vocabulary, dropout=0.0, initializer_range=0.02, **more
    )
    model = LanguageModel(families.initialise(made, seed=0, pairs="pairs" in node))
    taught = {}
    if "teacher" in node:
        taught["teacher"] = LanguageModel(families.initialise(made, seed=1))
    learner = config.build(node, model=model, masking=rule, **taught)
    loss, stats = learner(batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value) for value in stats.values())
    norms = [p.grad.norm() for p in model.encoder.parameters() if p.grad is not None]
    assert sum(float(norm > 0) for norm in norms) > len(norms) / 2


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("masking", MASKINGS)
def test_static_dynamic_and_ten_views_on_real_rows(masking, kind):
    batch, vocabulary = batch_of(kind, "segment_pair")

    def labels(views, epoch):
        node = MASKINGS[masking][0] | {"views": views}
        rule = config.build(node, vocabulary=vocabulary, seed=0)
        return rule(batch._replace(epoch=epoch)).labels

    assert torch.equal(labels(1, 0), labels(1, 1))
    assert not torch.equal(labels(None, 0), labels(None, 1))
    assert torch.equal(labels(10, 0), labels(10, 10))
    assert not torch.equal(labels(10, 0), labels(10, 9))


@pytest.mark.parametrize("kind", TRAINED)
def test_words_of_several_tokens_are_there_to_be_cut(kind):
    """Or the law of whole words would hold for nothing."""
    batch, _ = batch_of(kind, "full_sentences")
    inside = batch.maskable & ~batch.starts
    assert inside.sum() > 100
