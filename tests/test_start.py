"""What a model begins as, and corpora of several parts: before a step is taken."""

from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from conftest import SHAPE

from bertbench import tokenizer as tokenizers
from bertbench.beginning import begin
from bertbench.config import build
from bertbench.corpora import provide_documents, provide_vectors
from bertbench.data.corpus import joined
from bertbench.errors import UserError
from bertbench.models import checkpoint, families
from bertbench.models.encoder import Encoder, LanguageModel
from bertbench.models.heads import Pooling
from bertbench.naming import words
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints
from bertbench.recipe import provide_encoder
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
    [({}, "corpus.parts is empty"), ({"odd": {"_target_": "toy.task"}}, "corpus.parts.odd")],
)
def test_parts_that_are_no_corpora_are_named(parts, told):
    with pytest.raises(UserError, match=told):
        joined(parts)
