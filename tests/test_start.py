"""What a model begins as, and corpora of several parts: before a step is taken."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from conftest import SHAPE
from test_cli import bertbench, refused

from bertbench import tokenizer as tokenizers
from bertbench.beginning import begin
from bertbench.config import build
from bertbench.corpora import provide_documents, provide_vectors
from bertbench.data.corpus import joined
from bertbench.data.encoding import Encoding
from bertbench.errors import UserError
from bertbench.inspection.provision import encoder_of
from bertbench.inspection.subjects import Subject
from bertbench.models import checkpoint, families
from bertbench.models.encoder import Encoder, LanguageModel
from bertbench.models.heads import Pooling
from bertbench.naming import words
from bertbench.objectives.mlm import MaskedLM
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints
from bertbench.recipe import provide_encoder
from bertbench.report.rows import label
from bertbench.run import execute
from bertbench.start import begin_at_frequencies, begin_with_vectors, embedding_of
from bertbench.store import Store

COUNTED = "embeddings=cooccurrence"
RANGE = 0.02
BUILDERS = {
    "bert": families.bert,
    "roberta": families.roberta,
    "albert": lambda *given, **more: families.albert(*given, embedding=16, **more),
    "distilbert": families.distilbert,
}
every_family = pytest.mark.parametrize("family", BUILDERS)


def model_of(family, vocabulary):
    config = BUILDERS[family](SHAPE, vocabulary, dropout=0.0, initializer_range=RANGE)
    return families.initialise(config, seed=0).eval()


def vectors_for(model, known):
    """Return vectors of spread 7 for some ids, zeros for the others."""
    found = np.zeros(embedding_of(model).shape, dtype=np.float32)
    found[known] = 7 * np.random.default_rng(0).standard_normal((len(known), found.shape[1]))
    return found


@every_family
def test_vectors_take_the_spread_of_the_random_embeddings(family, vocabulary):
    model, known = model_of(family, vocabulary), np.arange(10, 60)
    before = embedding_of(model).clone()
    vectors = vectors_for(model, known)
    assert begin_with_vectors(model, vectors) == len(known)
    after = embedding_of(model)
    assert after[10:60].square().mean().sqrt().item() == pytest.approx(RANGE, rel=1e-5)
    ratio = after[10:60].detach().numpy() / vectors[10:60]
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-3)  # one factor for all
    others = [*range(10), *range(60, vocabulary.size)]
    assert torch.equal(after[others], before[others])


@every_family
def test_words_are_still_predicted_by_the_embeddings_they_are_read_with(family, vocabulary):
    model = model_of(family, vocabulary)
    begin_with_vectors(model, vectors_for(model, np.arange(10, 60)))
    output = model.get_output_embeddings()
    assert output.weight.data_ptr() == embedding_of(model).data_ptr()


@every_family
def test_a_model_that_sees_nothing_predicts_frequencies(family, vocabulary):
    """The embeddings at zero, the output bias is all there is."""
    model = model_of(family, vocabulary)
    shares = torch.arange(1.0, vocabulary.size + 1).double()
    shares[list(vocabulary.special)] = 0
    wanted = (shares / shares.sum()).log()
    begin_at_frequencies(model, wanted)
    with torch.no_grad():
        embedding_of(model).zero_()
        width = model.config.hidden_size
        said = LanguageModel(model).logits(torch.randn(2, width))
    ordinary = wanted.isfinite()
    found = said[:, ordinary].double().log_softmax(-1)
    torch.testing.assert_close(found, wanted[ordinary].expand(2, -1), atol=1e-5, rtol=0)
    assert (said[:, ~ordinary] <= said[:, ordinary].min()).all()


@every_family
def test_entries_of_a_model_that_the_tokenizer_lacks_are_left(family, vocabulary):
    """Released models may have more embeddings than their tokenizer has entries."""
    model = model_of(family, vocabulary._replace(size=vocabulary.size + 8))
    before = embedding_of(model).clone()
    vectors = vectors_for(model, np.arange(10, 60))[: vocabulary.size]
    assert begin_with_vectors(model, vectors) == 50
    assert torch.equal(embedding_of(model)[vocabulary.size :], before[vocabulary.size :])
    wanted = torch.arange(1.0, vocabulary.size + 1).log()
    begin_at_frequencies(model, wanted)
    bias = model.get_output_embeddings().bias
    torch.testing.assert_close(bias[: vocabulary.size], wanted)
    assert (bias[vocabulary.size :] == wanted.min()).all()


def begun(config):
    """Return lineage, store, and the model before any training."""
    lineage, store = make_plan(config, {}).lineage, Store(Path(config["runtime"]["store"]))
    return lineage, store, *begin(lineage, store)


@pytest.mark.parametrize("weights", ["random", "pretrain"])
def test_an_encoder_begins_as_the_vectors_of_the_training_documents(values, weights):
    lineage, store, model, tokenizer = begun(values("mode=frozen", f"weights={weights}", COUNTED))
    vocabulary = tokenizers.vocabulary(tokenizer)
    documents = provide_documents(lineage, store, tokenizer)
    vectors = provide_vectors(lineage, store, documents, vocabulary, width=32)
    alone = build(
        lineage.values["embeddings"], tokens=documents.tokens, documents=documents.train,
        vocabulary=vocabulary, width=32, seed=0,
    )  # fmt: skip
    assert vectors.tobytes() == alone.tobytes()
    known = vectors.any(1)
    ratio = embedding_of(model)[known].detach().numpy() / vectors[known]
    assert np.allclose(ratio, np.median(ratio), rtol=1e-2)


def test_inspection_looks_at_the_encoder_of_the_run(values, compute):
    config = values("mode=frozen", "model=scratch", COUNTED)
    lineage = make_plan(config, {}).lineage
    store = Store(Path(config["runtime"]["store"]))
    folder = provide_encoder(lineage, store, compute, lambda *_: None, Checkpoints()).folder
    said = []
    model, _, about = encoder_of(Subject("scratch", [], lineage, store), said.append)
    assert about.startswith("static vectors of the corpus")
    of_run = checkpoint.load(folder).state_dict()
    assert all(torch.equal(weight, of_run[name]) for name, weight in model.state_dict().items())


def test_a_run_says_what_its_encoder_began_as_and_repeats_to_the_bit(values, tmp_path):
    """Vectors and frequencies, from the config to the row of a sheet."""
    config = values(
        "mode=frozen", "model=roberta", COUNTED, "pretrain.frequencies=true", "tracking=none"
    )
    choices = {"weights": "pretrain", "scale": "tiny", "objective": "mlm", "masking": "dynamic"}
    found = []
    for place in ("a", "b"):
        runtime = config["runtime"] | {"store": str(tmp_path / place)}
        plan = make_plan(config | {"runtime": runtime}, choices | {"embeddings": "cooccurrence"})
        found.append(execute(plan, overrides=[], sweep="s").record)
    first, second = found
    assert (first.metrics, first.pretraining["heldout_loss"]) == (
        second.metrics,
        second.pretraining["heldout_loss"],
    )
    assert first.science["encoder"]["pretrain"]["frequencies"] is True
    assert label(first) == "roberta tiny pretrain mlm/dynamic cooccurrence · frozen"


def test_a_pretraining_reads_short_rows_first_and_is_measured_on_full_ones(
    values, compute, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, logger="bertbench")
    seen = []
    within = MaskedLM.forward

    def spied(self, batch):
        seen.append(tuple(batch.ids.shape))
        return within(self, batch)

    monkeypatch.setattr(MaskedLM, "forward", spied)
    config = values(
        "mode=frozen", "model=roberta", "pretrain.tokens=null", "pretrain.steps=10",
        "pretrain.length=32", "pretrain.batch_size=4", "pretrain.short.share=0.4",
        "pretrain.short.length=16", "pretrain.short.batch_size=8",
    )  # fmt: skip
    lineage = make_plan(config, {}).lineage
    store = Store(Path(config["runtime"]["store"]))
    made = provide_encoder(lineage, store, compute, lambda *_: None, Checkpoints())
    trained = seen[-10:]
    assert all(rows == 8 and length <= 16 for rows, length in trained[:4])
    assert all(rows <= 4 and 16 < length <= 32 for rows, length in trained[4:])
    assert "in about 10 steps of 8 or 4 rows" in caplog.text
    config["pretrain"]["short"]["share"] = 0.0
    lineage = make_plan(config, {}).lineage
    whole = provide_encoder(lineage, store, compute, lambda *_: None, Checkpoints())
    assert made.stats["unigram_loss"] == whole.stats["unigram_loss"]  # the same words, full rows
    assert made.stats["heldout_loss"] != whole.stats["heldout_loss"]


def test_ready_made_weights_keep_their_embeddings_and_their_bias(
    values, checkpoint_folder, compute, monkeypatch
):
    changed = ["mode=frozen", "weights=continued", f"weights.source={checkpoint_folder}"]
    config = values(*changed, COUNTED, "pretrain.frequencies=true", "objective=mlm")
    lineage, store, model, _ = begun(config)
    own = checkpoint.load(checkpoint_folder)
    assert torch.equal(embedding_of(model), embedding_of(own))
    monkeypatch.setattr(
        "bertbench.recipe.begin_at_frequencies", None
    )  # would fail if it were called
    made = provide_encoder(lineage, store, compute, lambda *_: None, Checkpoints())
    assert made.stats["tokens"] > 0


def test_frequencies_spare_a_pretraining_the_plateau_at_the_first_step(values, compute):
    """The loss begins at the unigram predictor's instead of the logarithm of the vocabulary."""
    losses = {}
    for frequencies in (True, False):
        config = values("mode=frozen", "model=roberta", f"pretrain.frequencies={frequencies}")
        lineage = make_plan(config, {}).lineage
        store = Store(Path(config["runtime"]["store"]))
        first = provide_encoder(lineage, store, compute, lambda *_: None, Checkpoints()).curve[0]
        losses[frequencies] = first["heldout_loss"] - first["unigram_loss"]
    assert abs(losses[True]) < 0.3 < losses[False]


def test_static_vectors_are_averaged_whatever_the_order_of_words(values):
    *_, model, tokenizer = begun(values("model=wordvectors", "scale.depth=0"))
    pooling = Pooling(Encoder(model.base_model), pooling="mean", layer=-1).eval()
    assert pooling.encoder.depth == 0
    ids = torch.tensor(tokenizer(["the coach said the band was new"])["input_ids"])  # (1, L)
    mask = torch.ones_like(ids, dtype=torch.bool)
    states = pooling.encoder(ids, mask)[-1][0]  # (L, D)
    vectors = embedding_of(model)[ids[0]]
    centred = vectors - vectors.mean(-1, keepdim=True)
    normed = centred / (centred.var(-1, keepdim=True, correction=0) + 1e-12).sqrt()
    torch.testing.assert_close(states, normed, atol=1e-3, rtol=1e-3)
    assert not states[0].any()  # [CLS] says nothing
    shuffled = ids[:, [0, *range(len(ids[0]) - 2, 0, -1), len(ids[0]) - 1]]
    torch.testing.assert_close(
        pooling.encoder(shuffled, mask)[-1].mean(1), states.mean(0, keepdim=True)
    )


def test_frozen_features_are_the_mean_of_the_ordinary_tokens(values):
    """Up to a factor, for [CLS] and [SEP] count in the mean, and have nothing to add."""
    *_, model, tokenizer = begun(values("model=wordvectors", "scale.depth=0"))
    pooling = Pooling(Encoder(model.base_model), pooling="mean", layer=-1).eval()
    texts = ["the coach said the band was new", "a goal", "the band"]
    encoding = Encoding(tokenizer, max_length=32, long_text="head", positions=64)
    windows = encoding.collate(encoding.encode(texts))
    special = torch.tensor(tokenizers.vocabulary(tokenizer).special)
    with torch.no_grad():
        found = pooling(windows)  # (T, D)
        normed = model.base_model.embeddings.LayerNorm(embedding_of(model))  # (V, D)
    for text, ids, mask in zip(found, windows.ids, windows.attention_mask, strict=True):
        ordinary = ids[mask.bool() & ~torch.isin(ids, special)]
        wanted = normed[ordinary].mean(0)
        torch.testing.assert_close(text * mask.sum() / len(ordinary), wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", ["frozen", "full"])
def test_static_vectors_learn_the_topics_of_the_toy_task(mode, values):
    """Its topics are told by single words."""
    config = values("model=wordvectors", "scale.depth=0", f"mode={mode}", "tracking=none")
    choices = {"weights": "random", "scale": "static", "embeddings": "cooccurrence"}
    record = execute(make_plan(config, choices), overrides=[], sweep="s").record
    assert record.metrics["test/accuracy"] > 0.9
    assert label(record) == f"wordvectors static cooccurrence · {mode}"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ("scale.depth=0", "scale.depth=0 leaves model=bert without layers"),
        ("model=scratch scale.depth=0", "scale.depth=0 leaves model=scratch without layers"),
        ("model=wordvectors", "scale.depth=2 gives layers to model=wordvectors"),
        (
            "model=wordvectors scale.depth=0 embeddings=random",
            "embeddings=random leaves model=wordvectors without vectors",
        ),
        (
            "model=wordvectors scale.depth=0 mode.pooling=cls",
            "mode.pooling=cls reads nothing of model=wordvectors",
        ),
        ("model=scratch embeddings=cooccurrence embeddings.window=0", "embeddings.window=0 must"),
        (
            "embeddings=cooccurrence embeddings.smoothing=0",
            r"embeddings.smoothing=0 must lie in \(0, 1\]",
        ),
        (
            "embeddings=cooccurrence embeddings.eigenvalues=2",
            r"embeddings.eigenvalues=2 must lie in \[0, 1\]",
        ),
    ],
)
def test_what_cannot_tell_texts_apart_is_refused_before_anything_is_read(overrides, told, values):
    with pytest.raises(UserError, match=told) as caught:
        make_plan(values(*overrides.split()), {})
    assert "\n" not in str(caught.value)


def test_an_untrained_encoder_is_named_by_what_it_begins_as(values):
    choices = {
        "weights": "random",
        "scale": "static",
        "embeddings": "cooccurrence",
        "corpus": "bbc",
    }
    found = words(values("model=wordvectors", "scale.depth=0"), choices)
    assert found["weights"] == "cooccurrence"
    trained = words(values("model=roberta", COUNTED), choices | {"weights": "pretrain"})
    assert (trained["weights"], trained["embeddings"]) == ("pretrain", "cooccurrence")
    assert "embeddings" not in words(values("model=roberta"), choices | {"embeddings": "random"})


TOY, OTHER = {"_target_": "toy.corpus"}, {"_target_": "keys.other_corpus"}


def test_joined_corpora_stand_one_after_another_and_can_be_read_again():
    found = joined({"a": TOY, "b": OTHER})
    expected = [*toy.corpus(), *build(OTHER)]
    assert [list(found.read()) for _ in range(2)] == [expected, expected]


def test_a_joined_corpus_is_named_by_its_parts_and_their_order():
    names = [
        joined(parts).fingerprint
        for parts in (
            {"a": TOY, "b": OTHER},
            {"a": OTHER, "b": TOY},
            {"a": TOY},
            {"x": TOY, "y": OTHER},
        )
    ]
    assert names[0] == names[3]  # what the parts are called is nothing of the texts
    assert len(set(names[:3])) == 3


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, "corpus.parts is empty"),
        ({"odd": {"_target_": "toy.task"}}, "corpus.parts.odd"),
        ({"odd": None}, "corpus.parts.odd=None .* leave it out with ~corpus.parts.odd"),
        ({"odd": {"path": "x"}}, "corpus.parts.odd=.*give it a _target_"),
        (
            {"own": {"_target_": "bertbench.data.files.corpus", "path": "nothing.txt"}},
            "corpus.parts.own: corpus.path=nothing.txt",
        ),
        ({"odd": TOY | {"more": 1}}, "corpus.parts.odd: toy.corpus cannot be made"),
    ],
)
def test_parts_that_are_no_corpora_are_named(parts, told):
    with pytest.raises(UserError, match=told):
        joined(parts)


def test_a_joined_corpus_is_called_by_its_files_and_parts(values):
    part = {
        "_target_": "bertbench.data.files.corpus",
        "path": "folder/texts.jsonl",
        "text": "text",
    }
    config = values("model=roberta") | {
        "corpus": {"_target_": "bertbench.data.corpus.joined", "parts": {"own": part, "bbc": TOY}}
    }
    assert words(config, {"corpus": "joined"})["corpus"] == "joined texts.jsonl and bbc"
    assert words(config | {"corpus": part}, {"corpus": "files"})["corpus"] == "files texts.jsonl"
    assert words(config | {"corpus": TOY}, {"corpus": "bbc"})["corpus"] == "bbc"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "corpus.parts.own.path has no default: set it with corpus.parts.own.path=..."),
        (["corpus.parts.own.path=nothing.txt"], "corpus.parts.own: corpus.path=nothing.txt"),
    ],
)
def test_a_part_without_its_path_is_one_sentence_with_code_2(more, told, tmp_path):
    said = bertbench(tmp_path, "model=roberta", "weights=pretrain", "corpus=joined", *more)
    refused(said, told)
