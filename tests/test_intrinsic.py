"""What an encoder knows is told by what it may see: readers of known skill score what they must."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SHAPE
from torch import nn

from bertbench import prediction, probe
from bertbench.context import VIEWS, hidden, views
from bertbench.data import packed
from bertbench.data.batching import as_batch
from bertbench.data.excerpts import LONGEST, excerpts
from bertbench.data.packing import Sequence, full_sentences
from bertbench.intrinsic import measure
from bertbench.masking.token import TokenMasking, evaluation_masking
from bertbench.models import families
from bertbench.models.encoder import LanguageModel
from bertbench.types import IGNORE, Tokens, Vocabulary

FIRST, LENGTH = 5, 32  # the first ordinary id; tokens of a row
VOCABULARY = Vocabulary(77, pad=0, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
FAMILIES = {
    "bert": families.bert,
    "roberta": families.roberta,
    "albert": lambda *given, **more: families.albert(*given, embedding=16, **more),
    "distilbert": families.distilbert,
}


def corpus(documents, starts=None):
    """Lay out documents, lists of sentences of ids; every token is a word unless `starts` says."""
    sentences = [sentence for document in documents for sentence in document]
    ids = np.array([i for sentence in sentences for i in sentence], dtype=np.uint16)
    return Tokens(
        ids,
        np.ones(len(ids), dtype=bool) if starts is None else np.array(starts),
        np.cumsum([0, *map(len, sentences)], dtype=np.int64),
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
    )


def random_corpus(*, documents=60, most=8, seed=0):
    """Documents of two to `most` sentences of random ids; a third of the tokens go on with a word."""
    generator = np.random.default_rng(seed)
    made = [
        [
            generator.integers(FIRST, VOCABULARY.size, generator.integers(4, 20)).tolist()
            for _ in range(generator.integers(2, most))
        ]
        for _ in range(documents)
    ]
    tokens = corpus(made)
    return tokens._replace(starts=generator.random(len(tokens.ids)) < 0.67)


def encoder(family="bert", *, sharp=1.0, seed=0):
    """Return a new model; with `sharp` weights what it reads matters more."""
    config = FAMILIES[family](SHAPE, VOCABULARY, dropout=0.1, initializer_range=0.02)
    model = LanguageModel(families.initialise(config, seed=seed))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.mul_(sharp)
    return model.eval()


def measured(model, tokens, compute, *, heldout=None, train=None, length=LENGTH):
    documents = np.arange(len(tokens.documents) - 1)
    heldout = documents if heldout is None else heldout
    train = documents if train is None else train
    return measure(
        model, model, tokens, train, heldout, VOCABULARY, length=length, most=500, compute=compute
    )


class Reader(nn.Module):
    """Says a function of the neighbours that it is given and may see; -1 where it may not."""

    def __init__(self, rule):
        super().__init__()
        self.rule, self.encoder = rule, SimpleNamespace(width=VOCABULARY.size)

    def encode(self, ids, batch):
        seen = ids.masked_fill(~batch.attention_mask, -1)
        edge = torch.full_like(seen[:, :1], -1)
        left, right = (
            torch.cat([edge, seen[:, :-1]], dim=1),
            torch.cat([seen[:, 1:], edge], dim=1),
        )
        said = self.rule(left, right).clamp(0, VOCABULARY.size - 1)
        return (nn.functional.one_hot(said, VOCABULARY.size).float(),)

    def logits(self, states):
        return 50 * states


def falling():
    """Sentences that fall by one to the first ordinary id; each is a document and fills a row."""
    return corpus([[list(range(FIRST + LENGTH - 3, FIRST - 1, -1))] for _ in range(40)])


def above_right(left, right):
    """The word is one above what stands right of it, the last one the first ordinary id."""
    return torch.where(right >= FIRST, right + 1, torch.where(right == VOCABULARY.sep, FIRST, 1))


def between(left, right):
    """The word is known from both neighbours alone."""
    return torch.where((left >= FIRST) & (right >= FIRST), (left + right) // 2, 1)


def test_a_reader_of_the_right_neighbour_scores_one_where_it_sees_it(compute):
    found = measured(Reader(above_right), falling(), compute)
    assert found["context_full"] == found["context_right"] == 1
    assert found["context_full_loss"] == found["context_right_loss"] == pytest.approx(0, abs=1e-6)
    # The last of thirty words has the separator at its right, which is always seen.
    assert found["context_left"] == found["context_none"] == pytest.approx(1 / 30, abs=0.03)
    assert found["context_left_loss"] == pytest.approx(50 * (1 - found["context_left"]), rel=1e-6)
    assert found["pseudo_perplexity"] == found["pseudo_perplexity_word"] == pytest.approx(1)
    assert found["context_words"] == 500


def test_a_reader_of_both_neighbours_needs_both(compute):
    found = measured(Reader(between), falling(), compute)
    inner = found["context_full"]
    assert inner == pytest.approx(28 / 30, abs=0.04)
    assert found["context_left"] == found["context_right"] == found["context_none"] == 0


@pytest.mark.parametrize(("second", "expected"), [(10, 1.0), (11, 0.0)])
def test_a_word_is_right_if_all_its_tokens_are(compute, second, expected):
    tokens = corpus([[[10, second] * 15]] * 20, [True, False] * 300)
    found = measured(Reader(lambda left, right: torch.full_like(left, 10)), tokens, compute)
    for view in VIEWS:
        assert found[f"context_{view}"] == expected
        assert found[f"context_{view}_loss"] == pytest.approx(25 * (1 - expected), abs=1e-6)
    assert found["context_words"] == 300
    loss = math.log(found["pseudo_perplexity"])
    assert math.log(found["pseudo_perplexity_word"]) == pytest.approx(2 * loss)


def trained(tokens, *, length, steps):
    """Train two layers on the words of a corpus with one sentence a row."""
    documents = np.arange(len(tokens.documents) - 1)
    rows = packed.in_memory(
        full_sentences(tokens, documents, length=length, seed=0), tokens, VOCABULARY, length=length
    )
    masking = TokenMasking(
        VOCABULARY, seed=0, rate=0.15, rate_end=None, swap=0, keep=0, views=None
    )
    model = encoder(sharp=4)  # or attention to positions takes long to begin
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = np.random.default_rng(0)
    for step in range(steps):
        batch = as_batch(rows, generator.choice(len(rows.ids), 48), VOCABULARY, epoch=step)
        masked = masking(batch)
        picked = masked.labels != IGNORE
        logits = model.logits(model.encode(masked.ids, batch)[-1][picked])
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, masked.labels[picked]).backward()
        optimizer.step()
    return model


def test_an_encoder_looks_where_its_language_says(compute):
    """Every second word is drawn from 16, the one before it is told by it but tells little of it."""
    drawn = np.random.default_rng(0).integers(0, 16, (600, (LENGTH - 2) // 2))
    sentences = np.stack([FIRST + 16 + drawn % 4, FIRST + drawn], axis=-1).reshape(600, -1)
    tokens = corpus([[sentence] for sentence in sentences.tolist()])
    found = measured(trained(tokens, length=LENGTH, steps=300), tokens, compute)
    # One side tells half of the words, and a quarter of the others if it is the left one.
    assert found["context_full"] == pytest.approx(5 / 8, abs=0.06)
    assert found["context_right"] > 0.45
    assert found["context_left"] < 0.35
    assert found["context_none"] < 0.35
    assert found["context_full_loss"] < found["context_left_loss"] - 0.3


def test_views_are_worked_by_hand():
    row = Sequence([(0, 2), None, (2, 5)])
    tokens = corpus([[[10, 11]], [[12, 13, 14]]])
    rows = packed.in_memory([row, Sequence([(0, 5)])], tokens, VOCABULARY, length=10)
    batch = as_batch(rows, np.array([0, 1]), VOCABULARY, epoch=0)
    word = torch.zeros_like(batch.attention_mask)
    word[0, 4:6] = word[1, 1] = True
    expected = {  # [CLS] 10 11 [SEP] 12 13 14 [SEP], then [CLS] 10 11 12 13 14 [SEP] padding
        "full": ["11111111", "11111110"],
        "left": ["11111101", "11000010"],
        "right": ["10001111", "11111110"],
        "none": ["10001101", "11000010"],
    }
    for name, seen in views(batch, word).items():
        assert ["".join(map(str, map(int, line))) for line in seen.tolist()] == expected[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_hidden_changes_nothing_and_what_is_seen_does(family, compute):
    model, tokens = encoder(family, sharp=4), random_corpus()
    rows = packed.in_memory([Sequence([(0, 12)])], tokens, VOCABULARY, length=16)
    batch = as_batch(rows, np.array([0]), VOCABULARY, epoch=0)
    word = torch.zeros_like(batch.attention_mask)
    word[0, 6:8] = True

    def losses(visible, changed):
        masked = hidden(batch, word, VOCABULARY)
        ids = masked.ids.clone()
        # Not to the padding id, from which RoBERTa counts its positions.
        ids[0, changed] = torch.where(ids[0, changed] == 40, 41, 40)
        seen = batch._replace(attention_mask=visible)
        return prediction.predict(model, masked._replace(ids=ids), seen, compute)[0]

    for name, visible in views(batch, word).items():
        before = losses(visible, [])
        out = (~visible[0]).nonzero()[:, 0].tolist()
        assert torch.allclose(losses(visible, out), before, rtol=0, atol=1e-6), name
        for position in visible[0].nonzero()[:, 0].tolist():
            changed = losses(visible, [position])
            assert (changed - before).abs().max() > 1e-5, (name, position)


@pytest.mark.parametrize("family", FAMILIES)
def test_pseudo_perplexity_is_that_of_a_plain_loop(family, compute):
    model, tokens = encoder(family, sharp=3), random_corpus()
    sentences = [(0, 9), (9, 30), (30, 42)]
    rows = packed.in_memory([Sequence([s]) for s in sentences], tokens, VOCABULARY, length=LENGTH)
    logs, words = [], 0
    for begin, end in sentences:
        ids = torch.tensor([[VOCABULARY.cls, *tokens.ids[begin:end].tolist(), VOCABULARY.sep]])
        words += 1 + int(tokens.starts[begin + 1 : end].sum())
        for place in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, place] = VOCABULARY.mask
            with torch.no_grad():
                logits = model.model(masked).logits[0, place]
            logs.append(float(logits.log_softmax(-1)[ids[0, place]]))
    found = prediction.pseudo_perplexity(model, rows, VOCABULARY, compute)
    assert found["pseudo_perplexity"] == pytest.approx(math.exp(-sum(logs) / len(logs)), rel=1e-5)
    assert found["pseudo_perplexity_word"] == pytest.approx(math.exp(-sum(logs) / words), rel=1e-5)


def test_sentences_are_read_in_the_named_lengths():
    tokens = random_corpus()
    documents = np.arange(len(tokens.documents) - 1)
    drawn = prediction.some_sentences(tokens, documents, 64, room=15, seed=0)
    borders = set(itertools.pairwise(tokens.sentences.tolist()))
    assert len(drawn) == len({row.first[0] for row in drawn}) == 64
    for row in drawn:
        assert row.first[0] in borders
        assert 8 <= row.first[0][1] - row.first[0][0] <= 15


def test_mlm_loss_is_that_of_transformers(compute):
    model, tokens = encoder(sharp=3), random_corpus(documents=30)
    heldout = np.arange(3, 20)
    rows = packed.in_memory(
        full_sentences(tokens, heldout, length=LENGTH, seed=0), tokens, VOCABULARY, length=LENGTH
    )
    batch = as_batch(rows, np.arange(len(rows.ids)), VOCABULARY, epoch=0)
    masked = evaluation_masking(VOCABULARY)(batch)  # as in every other evaluation
    with torch.no_grad():
        output = model.model(masked.ids, batch.attention_mask, labels=masked.labels)
    picked = masked.labels != IGNORE
    found = measured(model, tokens, compute, heldout=heldout)
    assert found["mlm_loss"] == pytest.approx(float(output.loss), rel=1e-5)
    right = (output.logits.argmax(-1) == masked.labels)[picked].float().mean()
    assert found["mlm_accuracy"] == pytest.approx(float(right))
    assert found["mlm_predicted"] == int(picked.sum())


def test_a_probe_finds_a_label_and_nothing_in_noise():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 2500)
    noise = generator.normal(size=(2500, 640)).astype(np.float32)
    told = noise.copy()
    told[:, 7] += 8 * labels

    def accuracy(features):
        return probe.fitted_accuracy(
            features[:1500], labels[:1500], features[1500:], labels[1500:]
        )

    assert accuracy(noise) == pytest.approx(0.5, abs=0.05)  # three standard errors
    assert accuracy(told) > 0.97


def topics(*, ordered):
    """Documents of one of eight topics; or of one topic, whose words tell the place of a sentence."""
    generator = np.random.default_rng(0)
    made = []
    for number in range(500):
        words = FIRST + generator.integers(0, 8, (8, 6))
        words += 8 * np.arange(8)[:, None] if ordered else 8 * (number % 8)
        made.append(words.tolist())
    return corpus(made)


@pytest.mark.parametrize(("ordered", "high", "low"), [(False, "nsp", "sop"), (True, "sop", "nsp")])
def test_topics_tell_next_sentences_and_order_tells_swapped_ones(ordered, high, low, compute):
    tokens = topics(ordered=ordered)
    train, heldout = np.arange(300), np.arange(300, 500)
    found = measured(encoder(sharp=2), tokens, compute, train=train, heldout=heldout)
    # A next sentence near in place is likelier, so order tells a little of it; topics tell no order.
    assert found[f"{high}_accuracy"] > found[f"{low}_accuracy"] + 0.2
    if ordered:
        assert found["sop_accuracy"] > 0.95
    else:  # a sixteenth of the pairs are of one topic by chance
        assert found["nsp_accuracy"] > 0.75
        assert found["sop_accuracy"] == pytest.approx(found["sop_majority"], abs=0.07)
    for task in ("nsp", "sop"):
        assert 0.5 <= found[f"{task}_majority"] < 0.6
        assert 200 < found[f"{task}_pairs"] <= 1000


def test_pairs_know_their_segments(compute):
    model, tokens = encoder("distilbert"), random_corpus()  # a family without segment embeddings
    rows = packed.in_memory([Sequence([(0, 4)], [(9, 14)], 0)], tokens, VOCABULARY, length=LENGTH)
    with torch.no_grad():
        states = model.model.base_model(torch.tensor(rows.ids[:, :12].astype(np.int64)))[0][0]
    a, b = states[1:5].mean(0), states[6:11].mean(0)
    expected = torch.cat([states[0], a, b, (a - b).abs(), a * b])
    found = probe.features(model, rows, VOCABULARY, compute)[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_twice_is_the_same_and_the_random_state_stays(compute):
    tokens = random_corpus()
    model = encoder().train()
    before, numpy_before = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first = measured(model, tokens, compute)
    assert measured(model.train(), tokens, compute) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert repr(np.random.get_state()) == numpy_before  # noqa: NPY002
    assert all(type(value) is float and math.isfinite(value) for value in first.values())


def test_the_size_of_batches_changes_nothing(compute, monkeypatch):
    tokens, model = random_corpus(), encoder(sharp=3)
    expected = measured(model, tokens, compute)
    monkeypatch.setattr(prediction, "AT_ONCE", 100)
    found = measured(model, tokens, compute)
    assert {k: pytest.approx(v, rel=1e-5, abs=1e-6) for k, v in expected.items()} == found


@pytest.mark.parametrize("heldout", [[], [0], [0, 1]])
def test_what_documents_are_too_few_for_is_left_out(heldout, compute):
    tokens = corpus([[[9, 10]], [[11], [12, 13, 14]]])
    found = measured(encoder(), tokens, compute, heldout=np.array(heldout, dtype=np.int64))
    assert not {"nsp_accuracy", "sop_accuracy", "pseudo_perplexity"} & found.keys()
    assert found.get("context_words", 0) == [0, 2, 6][len(heldout)]
    assert ("mlm_loss" in found) <= bool(heldout)


def test_excerpts_are_bounded_and_spread(tmp_path):
    """Of a thousand documents, each as long as a book, and a few tiny ones, some of each are read."""
    sizes = np.where(np.arange(1000) % 10 == 0, 3, 5000)  # sentences
    sentences = 10 * np.arange(sizes.sum() + 1)
    ids = np.memmap(tmp_path / "ids", np.uint16, "w+", shape=(int(sentences[-1]),))
    tokens = Tokens(ids, np.ones(len(ids), bool), sentences, np.cumsum([0, *sizes]))
    documents = np.arange(100, 900)
    some, chosen = excerpts(tokens, documents, 100_000)
    begins, ends = some.documents[chosen], some.documents[chosen + 1]
    held = some.sentences[ends] - some.sentences[begins]
    assert 100_000 <= held.sum() < 100_000 + LONGEST
    assert held.max() <= LONGEST
    whose = np.searchsorted(tokens.documents, begins, side="right") - 1
    assert (tokens.documents[whose] == begins).all()
    assert set(whose) <= set(documents)
    gaps = np.diff([99, *whose, 900])
    assert (gaps > 0).all()
    assert gaps.max() < 3 * 800 / len(whose)
    # Where there are few documents, they are read further.
    some, chosen = excerpts(tokens, documents[1:3], 100_000)
    held = np.diff(some.sentences[some.documents])[::2]
    assert held.tolist() == [50_000, 50_000]
