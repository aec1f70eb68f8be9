"""FULL-SENTENCES and DOC-SENTENCES: what a row holds, and that nothing is lost, added or cut."""

import numpy as np
import pytest
import toy
from numbered import (
    CLS,
    FIRST,
    NUMBERS,
    PACKINGS,
    PAD,
    SEP,
    corpus,
    every,
    rows_of,
    sizes,
    written,
)

from bertbench import tokenizer as tokenizers
from bertbench.data.packing import doc_sentences, full_sentences
from bertbench.types import IGNORE


def by_hand(*texts, packing=full_sentences):
    return rows_of(packing, written(*texts), length=8).ids.tolist()


@pytest.fixture(scope="module", params=["wordpiece", "byte_bpe", "numbers"])
def packable(request):
    """Return a tokenised corpus, some documents of which may be empty, and its vocabulary."""
    if request.param == "numbers":
        small = sizes(0, 30, sentences=6, words=12, long=0)
        return corpus([[], *small[:9], [], [], *small[9:], []]), NUMBERS
    texts = toy.corpus()
    more = {"lowercase": True} if request.param == "wordpiece" else {}
    tokenizer = getattr(tokenizers, request.param)(texts, vocab_size=300, **more)
    return toy.tokens(texts, tokenizer), tokenizers.vocabulary(tokenizer)


every_length = pytest.mark.parametrize("length", [8, 13, 32, 64])
both = pytest.mark.parametrize("packing", [full_sentences, doc_sentences])


def insides(packable, packing, length):
    """Return what each row holds between its [CLS] and its last [SEP]."""
    tokens, vocabulary = packable
    rows = rows_of(packing, tokens, vocabulary=vocabulary, length=length)
    return [[i for i in row if i != vocabulary.pad][1:-1] for row in rows.ids.tolist()]


def borders(tokens):
    """Return where documents begin and end in the stream of tokens."""
    return set(tokens.sentences[tokens.documents].tolist())


@both
@every_length
def test_a_row_is_cls_sentences_sep_and_then_only_padding(packable, packing, length):
    tokens, vocabulary = packable
    rows = rows_of(packing, tokens, vocabulary=vocabulary, length=length)
    assert rows.ids.dtype == tokens.ids.dtype
    assert rows.ids.shape[1] == length
    assert (rows.second == length).all()
    assert (rows.related == IGNORE).all()
    for row in rows.ids:
        used = int((row != vocabulary.pad).sum())
        assert row[0] == vocabulary.cls
        assert row[used - 1] == vocabulary.sep
        assert (row[used:] == vocabulary.pad).all()
        assert used > 2


@both
@every_length
def test_every_token_appears_once_and_in_order(packable, packing, length):
    tokens, vocabulary = packable
    rows = insides(packable, packing, length)
    kept = [i for row in rows for i in row if i != vocabulary.sep]
    assert kept == tokens.ids.tolist()


@both
@every_length
def test_no_sentence_is_split_unless_longer_than_a_row(packable, packing, length):
    tokens, vocabulary = packable
    rows = insides(packable, packing, length)
    row_ends = np.cumsum([sum(i != vocabulary.sep for i in row) for row in rows])
    for begin, end in zip(tokens.sentences[:-1], tokens.sentences[1:], strict=True):
        inside = ((row_ends > begin) & (row_ends < end)).any()
        assert not inside or end - begin > length - 2


@every_length
def test_one_separator_between_documents_of_a_row_and_none_elsewhere(packable, length):
    tokens, vocabulary = packable
    start = 0
    for row in insides(packable, full_sentences, length):
        separators, end = [], start
        for i in row:
            if i == vocabulary.sep:
                separators.append(end)
            else:
                end += 1
        assert separators == sorted(b for b in borders(tokens) if start < b < end)
        start = end


@every_length
def test_with_doc_sentences_no_row_runs_on_into_another_document(packable, length):
    tokens, vocabulary = packable
    start = 0
    for row in insides(packable, doc_sentences, length):
        assert vocabulary.sep not in row
        end = start + len(row)
        assert not [border for border in borders(tokens) if start < border < end]
        start = end


@both
@every_length
def test_a_row_ends_only_where_what_comes_next_does_not_fit(packable, packing, length):
    tokens, vocabulary = packable
    room = length - 2
    pieces = {  # where a piece begins in the stream of tokens, and how long it is
        start: min(start + room, end) - start
        for begin, end in zip(tokens.sentences[:-1], tokens.sentences[1:], strict=True)
        for start in range(begin, end, room)
    }
    end = 0
    for row in insides(packable, packing, length)[:-1]:
        end += sum(i != vocabulary.sep for i in row)
        at_a_border = end in borders(tokens)
        if packing is full_sentences or not at_a_border:
            assert len(row) + at_a_border + pieces[end] > room


def test_the_hand_worked_example():
    """Six tokens a row: the second document begins in the first row, the third in the second."""
    assert by_hand("10 11\n12", "20 21\n22 23 24", "30 31", "40\n41") == [
        [CLS, 10, 11, 12, SEP, 20, 21, SEP],
        [CLS, 22, 23, 24, SEP, 30, 31, SEP],
        [CLS, 40, 41, SEP, PAD, PAD, PAD, PAD],
    ]


def test_the_hand_worked_example_with_doc_sentences():
    texts = "10 11\n12", "20 21\n22 23 24\n25 26", "30 31", "40\n41"
    assert by_hand(*texts, packing=doc_sentences) == [
        [CLS, 10, 11, 12, SEP, PAD, PAD, PAD],
        [CLS, 20, 21, 22, 23, 24, SEP, PAD],
        [CLS, 25, 26, SEP, PAD, PAD, PAD, PAD],
        [CLS, 30, 31, SEP, PAD, PAD, PAD, PAD],
        [CLS, 40, 41, SEP, PAD, PAD, PAD, PAD],
    ]


@both
def test_a_sentence_that_does_not_fit_begins_a_row(packing):
    assert by_hand("10 11 12 13\n14 15 16\n17", packing=packing) == [
        [CLS, 10, 11, 12, 13, SEP, PAD, PAD],
        [CLS, 14, 15, 16, 17, SEP, PAD, PAD],
    ]


@both
def test_a_sentence_longer_than_a_row_is_cut_into_full_rows(packing):
    long = " ".join(str(i) for i in range(10, 24))
    assert by_hand(f"9\n{long}\n30 31\n32 33 34", packing=packing) == [
        [CLS, 9, SEP, PAD, PAD, PAD, PAD, PAD],
        [CLS, 10, 11, 12, 13, 14, 15, SEP],
        [CLS, 16, 17, 18, 19, 20, 21, SEP],
        [CLS, 22, 23, 30, 31, SEP, PAD, PAD],
        [CLS, 32, 33, 34, SEP, PAD, PAD, PAD],
    ]


@both
def test_a_sentence_that_just_fills_a_row_is_not_cut(packing):
    assert by_hand("10 11 12 13 14 15", "20", packing=packing) == [
        [CLS, 10, 11, 12, 13, 14, 15, SEP],
        [CLS, 20, SEP, PAD, PAD, PAD, PAD, PAD],
    ]


def test_no_separator_where_a_row_does_not_run_on_into_the_next_document():
    assert by_hand("10 11 12", "20 21 22 23") == [
        [CLS, 10, 11, 12, SEP, PAD, PAD, PAD],
        [CLS, 20, 21, 22, 23, SEP, PAD, PAD],
    ]


@pytest.mark.parametrize(
    "texts",
    [["10", "", "20"], ["", "10", "20"], ["10", "20", ""], ["10", " \n\n\t", "", "20"]],
    ids=["between", "first", "last", "two"],
)
def test_an_empty_document_leaves_no_trace(texts):
    assert by_hand(*texts) == by_hand("10", "20") == [[CLS, 10, SEP, 20, SEP, PAD, PAD, PAD]]
    found = by_hand(*texts, packing=doc_sentences)
    assert found == [[CLS, i, SEP, PAD, PAD, PAD, PAD, PAD] for i in (10, 20)]


@both
@pytest.mark.parametrize("texts", [[], [""], ["", "\n"]])
def test_no_text_makes_no_row(packing, texts):
    rows = rows_of(packing, written(*texts), length=8)
    assert rows.ids.shape == rows.starts.shape == (0, 8)
    assert rows.second.shape == rows.related.shape == (0,)


def test_documents_that_are_not_neighbours_in_the_corpus_are_parted_too():
    """Nor is a sentence taken for the next one because it follows in the order asked for."""
    rows = rows_of(full_sentences, written("10 11", "20", "30"), np.array([2, 0]), length=8)
    assert rows.ids.tolist() == [[CLS, 30, SEP, 10, 11, SEP, PAD, PAD]]


@pytest.mark.parametrize("name", PACKINGS)
def test_only_the_documents_asked_for_are_read_and_in_their_order(name):
    """Held-out documents never get into a row of the training, not as a random segment either."""
    tokens = corpus(sizes(1, 90, sentences=8, words=12))
    chosen = np.random.default_rng(0).permutation(90)[:60]
    document_at = np.repeat(every(tokens), np.diff(tokens.sentences[tokens.documents]))
    rows = rows_of(PACKINGS[name], tokens, chosen, length=32)
    firsts = []
    for row, second, related in zip(rows.ids, rows.second, rows.related, strict=True):
        special = np.isin(row, NUMBERS.special)
        assert set(document_at[row[~special] - FIRST].tolist()) <= set(chosen.tolist())
        other = second if name.endswith("random") and related else len(row)
        firsts.extend(document_at[row[:other][~special[:other]] - FIRST].tolist())
    assert list(dict.fromkeys(firsts)) == chosen.tolist()


@pytest.mark.parametrize("name", PACKINGS)
def test_one_seed_twice_gives_the_same_rows_and_another_seed_other_pairs(name):
    tokens = corpus(sizes(2, 60, sentences=8, words=12))
    one, again, other = (rows_of(PACKINGS[name], tokens, length=32, seed=s) for s in (3, 3, 4))
    assert all(np.array_equal(*fields) for fields in zip(one, again, strict=True))
    same = all(np.array_equal(*fields) for fields in zip(one, other, strict=True))
    assert same == (name in ("full", "doc"))  # which draw nothing
