"""FULL-SENTENCES packing: what a row holds, and that nothing is lost, added or cut."""

import numpy as np
import pytest
import toy

from bertbench import tokenizer as tokenizers
from bertbench.data.packing import pack, sentences
from bertbench.types import Vocabulary

# A word is its own id, so that rows can be worked out by hand. A line is a sentence.
PAD, CLS, SEP = 0, 1, 2
NUMBERS = Vocabulary(size=1000, pad=PAD, cls=CLS, sep=SEP, mask=3, special=(0, 1, 2, 3))


def numbers(texts, **kwargs):
    """Stand in for a tokenizer: the ids of a text are its words."""
    return {"input_ids": [[int(word) for word in text.split()] for text in texts]}


def by_hand(*documents, length=8):
    return pack(list(documents), numbers, NUMBERS, length=length).tolist()


def documents(seed):
    """Return documents of 0 to 6 sentences of 1 to 12 words; all words differ."""
    generator = np.random.default_rng(seed)
    word = iter(range(10, 10_000))
    return [
        "\n".join(
            " ".join(str(next(word)) for _ in range(generator.integers(1, 13)))
            for _ in range(generator.integers(0, 7))
        )
        for _ in range(30)
    ]


@pytest.fixture(scope="module", params=["wordpiece", "byte_bpe", "numbers"])
def packable(request):
    """Return documents, the ids of their sentences, and what `pack` needs of the tokenizer."""
    if request.param == "numbers":
        texts, tokenizer, vocabulary = documents(0), numbers, NUMBERS
    else:
        texts = toy.corpus()
        more = {"lowercase": True} if request.param == "wordpiece" else {}
        tokenizer = getattr(tokenizers, request.param)(texts, vocab_size=300, **more)
        vocabulary = tokenizers.vocabulary(tokenizer)
    cut = [
        tokenizer(sentences(text), add_special_tokens=False)["input_ids"]
        if sentences(text)
        else []
        for text in texts
    ]
    return texts, cut, tokenizer, vocabulary


every_length = pytest.mark.parametrize("length", [8, 13, 32, 64])


def insides(rows, vocabulary):
    """Return what each row holds between its [CLS] and its last [SEP]."""
    return [[i for i in row if i != vocabulary.pad][1:-1] for row in rows.tolist()]


@every_length
def test_a_row_is_cls_sentences_sep_and_then_only_padding(packable, length):
    texts, _, tokenizer, vocabulary = packable
    rows = pack(texts, tokenizer, vocabulary, length=length)
    assert rows.dtype == np.int32
    assert rows.shape[1] == length
    for row in rows:
        used = int((row != vocabulary.pad).sum())
        assert row[0] == vocabulary.cls
        assert row[used - 1] == vocabulary.sep
        assert (row[used:] == vocabulary.pad).all()
        assert used > 2


@every_length
def test_every_token_appears_once_and_in_order(packable, length):
    texts, cut, tokenizer, vocabulary = packable
    rows = pack(texts, tokenizer, vocabulary, length=length)
    special = (vocabulary.pad, vocabulary.cls, vocabulary.sep)
    kept = [i for i in rows.reshape(-1).tolist() if i not in special]
    assert kept == [i for document in cut for sentence in document for i in sentence]


@every_length
def test_no_sentence_is_split_unless_longer_than_a_row(packable, length):
    texts, cut, tokenizer, vocabulary = packable
    rows = insides(pack(texts, tokenizer, vocabulary, length=length), vocabulary)
    row_ends = set(np.cumsum([sum(i != vocabulary.sep for i in row) for row in rows]).tolist())
    start = 0
    for sentence in (sentence for document in cut for sentence in document):
        inside = set(range(start + 1, start + len(sentence))) & row_ends
        assert not inside or len(sentence) > length - 2
        start += len(sentence)


@every_length
def test_one_separator_between_documents_of_a_row_and_none_elsewhere(packable, length):
    texts, cut, tokenizer, vocabulary = packable
    rows = insides(pack(texts, tokenizer, vocabulary, length=length), vocabulary)
    borders = set(np.cumsum([sum(map(len, document)) for document in cut]).tolist())
    start = 0
    for row in rows:
        separators, end = [], start
        for i in row:
            if i == vocabulary.sep:
                separators.append(end)
            else:
                end += 1
        assert separators == sorted(border for border in borders if start < border < end)
        start = end


@every_length
def test_a_row_ends_only_where_the_next_sentence_does_not_fit(packable, length):
    texts, cut, tokenizer, vocabulary = packable
    room = length - 2
    rows = insides(pack(texts, tokenizer, vocabulary, length=length), vocabulary)
    borders = set(np.cumsum([sum(map(len, document)) for document in cut]).tolist())
    pieces, start = {}, 0  # where a piece begins in the stream of tokens, and how long it is
    for sentence in (sentence for document in cut for sentence in document):
        for offset in range(0, len(sentence), room):
            pieces[start + offset] = len(sentence[offset : offset + room])
        start += len(sentence)
    end = 0
    for row in rows[:-1]:
        text = [i for i in row if i != vocabulary.sep]
        end += len(text)
        within = len([border for border in borders if end - len(text) < border < end])
        needed = len(text) + within + (end in borders) + pieces[end]
        assert needed > room


def test_the_hand_worked_example():
    """Six tokens a row: the second document begins in the first row, the third in the second."""
    assert by_hand("10 11\n12", "20 21\n22 23 24", "30 31", "40\n41") == [
        [CLS, 10, 11, 12, SEP, 20, 21, SEP],
        [CLS, 22, 23, 24, SEP, 30, 31, SEP],
        [CLS, 40, 41, SEP, PAD, PAD, PAD, PAD],
    ]


def test_a_sentence_that_does_not_fit_begins_a_row():
    assert by_hand("10 11 12 13\n14 15 16\n17") == [
        [CLS, 10, 11, 12, 13, SEP, PAD, PAD],
        [CLS, 14, 15, 16, 17, SEP, PAD, PAD],
    ]


def test_a_sentence_longer_than_a_row_is_cut_into_full_rows():
    long = " ".join(str(i) for i in range(10, 24))
    assert by_hand(f"9\n{long}\n30 31\n32 33 34") == [
        [CLS, 9, SEP, PAD, PAD, PAD, PAD, PAD],
        [CLS, 10, 11, 12, 13, 14, 15, SEP],
        [CLS, 16, 17, 18, 19, 20, 21, SEP],
        [CLS, 22, 23, 30, 31, SEP, PAD, PAD],
        [CLS, 32, 33, 34, SEP, PAD, PAD, PAD],
    ]


def test_a_sentence_that_just_fills_a_row_is_not_cut():
    assert by_hand("10 11 12 13 14 15", "20") == [
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
    [
        ["10", "", "20"],
        ["", "10", "20"],
        ["10", "20", ""],
        ["10", " \n\n\t", "", "20"],
    ],
    ids=["between", "first", "last", "two"],
)
def test_an_empty_document_leaves_no_trace(texts):
    assert by_hand(*texts) == by_hand("10", "20") == [[CLS, 10, SEP, 20, SEP, PAD, PAD, PAD]]


@pytest.mark.parametrize("texts", [[], [""], ["", "\n"]])
def test_no_text_makes_no_row(texts):
    assert pack(texts, numbers, NUMBERS, length=8).shape == (0, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "One is here. Two is there! Is three? 4 is.",
            ["One is here.", "Two is there!", "Is three?", "4 is."],
        ),
        ("A line\nanother line\n\nthe last", ["A line", "another line", "the last"]),
        ("First.\r\nSecond.\r\n", ["First.", "Second."]),
        ("  space around.  \t And within. ", ["space around.", "And within."]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("It fell. £5 was lost. $6 was not.", ["It fell.", "£5 was lost.", "$6 was not."]),
        ("It rose 3.5 per cent, e.g. to 4.2m.", ["It rose 3.5 per cent, e.g. to 4.2m."]),
        ("At 5 p.m. on Monday it rained.", ["At 5 p.m. on Monday it rained."]),
        ('He won. "I am glad," he said.', ["He won.", '"I am glad," he said.']),
        ('"I won." He left.', ['"I won."', "He left."]),
        ("(It was late.) Nobody came.", ["(It was late.)", "Nobody came."]),
        ("No end here", ["No end here"]),
        ("", []),
        (" \n \n", []),
    ],
)
def test_sentences_on_hand_cases(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith came.", ["Mr.", "Smith came."]),
        ("The U.S. President spoke.", ["The U.S.", "President spoke."]),
    ],
)
def test_an_abbreviation_before_a_capital_counts_as_an_end(text, expected):
    """The stated rule knows no abbreviations: the known limit of a rule without a dictionary."""
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'He said: "Stop." Then he ran.',
        "They won ('at last!') Today is a feast.",
        "Is it [so?] Yes. 'No.' 1 more.",
        *toy.corpus()[:3],
    ],
)
def test_sentences_lose_nothing_but_white_space(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
