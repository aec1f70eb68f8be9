"""Entities and their scores are those of seqeval, and of each scheme's own definition."""

import itertools
import warnings

import numpy as np
import pytest

from bertbench.scores import tags

TRIALS = 1000


def draws(key):
    return np.random.Generator(np.random.Philox(key=key))


@pytest.fixture(scope="module")
def seqeval():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own age
        return pytest.importorskip("seqeval.metrics.sequence_labeling")


def theirs(seqeval, sentence):
    """What seqeval reads, its last word made one past it."""
    return [(kind, first, last + 1) for kind, first, last in seqeval.get_entities(sentence)]


ALPHABETS = {
    "IOB": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "BIOES": ["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("X", "Y"))],
    "no types": ["O", "B", "I", "E", "S"],
    "both": ["O", "B", "I-X", "E", "S-Y", "B-a-b", "I-a-b", "I-", "I-_", "E-é"],
}


def sentences(generator, alphabet, *, number=1):
    """Words drawn each by itself: nearly every sequence is broken."""
    drawn = (generator.choice(alphabet, size=generator.integers(1, 9)) for _ in range(number))
    return [[str(tag) for tag in sentence] for sentence in drawn]


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_entities_are_those_of_seqeval(seqeval, alphabet):
    generator = draws(1)
    for _ in range(TRIALS):
        (sentence,) = sentences(generator, alphabet)
        assert tags.entities(sentence) == theirs(seqeval, sentence)


def test_bilou_is_bioes_in_other_letters(seqeval):
    generator = draws(2)
    for _ in range(TRIALS):
        (sentence,) = sentences(generator, ALPHABETS["BIOES"])
        bilou = [tag.replace("E-", "L-").replace("S-", "U-") for tag in sentence]
        assert tags.entities(bilou) == theirs(seqeval, sentence)


HARD = [
    ("", []),
    ("O O", []),
    ("B-X", [("X", 0, 1)]),
    ("O I-X B-X I-Y", [("X", 1, 2), ("X", 2, 3), ("Y", 3, 4)]),
    ("I-X I-X B-X I-Y O I-Y", [("X", 0, 2), ("X", 2, 3), ("Y", 3, 4), ("Y", 5, 6)]),  # IOB1
    ("B-X I-X B-X O", [("X", 0, 2), ("X", 2, 3)]),
    ("B-X I-X E-X S-X", [("X", 0, 3), ("X", 3, 4)]),
    ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),  # BIOES with missing ends
    ("B-X B-X E-X", [("X", 0, 1), ("X", 1, 3)]),
    ("E-X I-X E-X E-Y", [("X", 0, 1), ("X", 1, 3), ("Y", 3, 4)]),
    ("S-X I-X", [("X", 0, 1), ("X", 1, 2)]),
    ("B-X S-X I-X", [("X", 0, 1), ("X", 1, 2), ("X", 2, 3)]),
    ("B-X L-X U-X U-X B-Y I-Y L-Y", [("X", 0, 2), ("X", 2, 3), ("X", 3, 4), ("Y", 4, 7)]),
    ("B-a-b I-a-b I-a", [("a-b", 0, 2), ("a", 2, 3)]),
]


@pytest.mark.parametrize(("sentence", "found"), HARD)
def test_entities_of_broken_and_foreign_schemes(seqeval, sentence, found):
    assert tags.entities(sentence.split()) == found
    if not set("LU") & set(sentence):
        assert theirs(seqeval, sentence.split()) == found


SCHEMES = [
    (["I-X", "I-X", "B-X", "O", "I-Y"], "IOB1"),
    (["I-X", "O", "I-Y"], "IOB1"),
    (["B-X", "I-X", "O", "B-X"], "IOB2"),
    (["I-X", "B-Y"], "IOB2"),
    (["O", "I-X", "O", "B-X"], "IOB2"),  # broken
    (["B-X", "E-X", "S-Y"], "BIOES"),
    (["O", "U-X"], "BIOES"),
    (["B", "I", "O"], "IOB2"),
    (["O", "O"], "none"),
    ([], "none"),
    (["DET", "NOUN", "X"], "none"),
    (["B-X", "NOUN"], "none"),
    (["BX", "IX"], "none"),
    ([["I-X"], ["B-X"]], "IOB2"),  # a sentence's begin is no continuation
    ([["I-X", "B-X"], [], ["O"]], "IOB1"),
    ([["O"], ["S-X"]], "BIOES"),
    ([["NOUN"], ["B-X"]], "none"),
]


@pytest.mark.parametrize(("given", "scheme"), SCHEMES)
def test_scheme_of_tags(given, scheme):
    assert tags.scheme_of(given) == scheme


def written(spans, words, scheme):
    """The tags of entities that do not overlap, by the definition of each scheme."""
    row, ends = ["O"] * words, {(kind, end) for kind, _, end in spans}
    for kind, start, end in spans:
        row[start:end] = [f"I-{kind}"] * (end - start)
        if scheme != "IOB1" or (kind, start) in ends:
            row[start] = f"B-{kind}"
        if scheme == "BIOES":
            row[end - 1] = f"{'S' if end - start == 1 else 'E'}-{kind}"
    return row


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
def test_what_is_written_in_a_scheme_is_read_back(scheme):
    generator = draws(3)
    for _ in range(TRIALS):
        cuts = np.unique(generator.integers(0, 15, size=6)).tolist()
        borders = list(itertools.pairwise(cuts))
        spans = [
            (str(generator.choice(["X", "Y"])), *b) for b in borders if generator.random() < 0.7
        ]
        row = written(spans, 15, scheme)
        assert tags.entities(row) == spans
        assert tags.scheme_of(row) == (scheme if spans else "none")


def test_span_scores_are_those_of_seqeval(seqeval):
    generator = draws(4)
    for _ in range(TRIALS):
        gold = sentences(generator, ALPHABETS["IOB"], number=3)
        told = [
            [
                str(generator.choice(ALPHABETS["IOB"])) if generator.random() < 0.3 else t
                for t in row
            ]
            for row in gold
        ]
        assert tags.word_accuracy(gold, told) == seqeval.accuracy_score(gold, told)
        f1 = seqeval.f1_score(gold, told, zero_division=0)
        assert tags.span_f1(gold, told) == pytest.approx(f1, abs=1e-12)
        kinds = sorted({kind for row in gold + told for kind, *_ in tags.entities(row)})
        assert list(tags.by_type(gold, told)) == kinds
        if kinds:
            each = seqeval.precision_recall_fscore_support(gold, told, zero_division=0)
            found = np.array(list(tags.by_type(gold, told).values()))
            assert found == pytest.approx(np.transpose(each))


def test_scores_without_entities():
    nothing, one = [["O", "O"]], [["B-X", "O"]]
    assert tags.span_f1(nothing, nothing) == 0
    assert tags.by_type(nothing, nothing) == {}
    assert tags.span_f1(one, nothing) == tags.span_f1(nothing, one) == 0
    assert tags.by_type(one, nothing) == {"X": (0, 0, 0, 1)}
    assert tags.by_type(nothing, one) == {"X": (0, 0, 0, 0)}
    assert tags.span_f1(one, one) == 1
    assert tags.word_accuracy(one, nothing) == 0.5


def test_an_entity_does_not_go_on_in_the_next_sentence():
    assert tags.span_f1([["B-X"], ["I-X"]], [["B-X"], ["B-X"]]) == 1
    assert tags.span_f1([["B-X", "I-X"]], [["B-X", "B-X"]]) == 0


def test_are_spans_tells_entities_from_parts_of_speech():
    assert tags.are_spans(["O", "B-PER", "I-PER"])
    assert not any(map(tags.are_spans, [["NOUN", "X"], ["O"], [], ["O", "B-X", ""], ["b-X"]]))


REFUSED = [
    ([["O", "NOUN"]], [["O", "O"]], "'NOUN' is no tag"),
    ([["O"]], [[""]], "'' is no tag"),
    ([["O"]], [["BX"]], "'BX' is no tag"),
    ([["O"]], [["O-X"]], "'O-X' is no tag"),
    ([["O"], ["O", "O"]], [["O"], ["O"]], "sentence 1 has 2 words and 1 predictions"),
    ([["O"]], [["O"], ["O"]], "1 gold sentences and 2 predicted"),
    ([], [], "0 gold sentences"),
]


@pytest.mark.parametrize("score", [tags.span_f1, tags.by_type])
@pytest.mark.parametrize(("gold", "told", "words"), REFUSED)
def test_what_has_no_score_is_refused_by_name(score, gold, told, words):
    with pytest.raises(ValueError, match=words):
        score(gold, told)


def test_word_accuracy_takes_any_tags_and_needs_a_word():
    assert tags.word_accuracy([["NOUN", "X"], []], [["NOUN", "Y"], []]) == 0.5
    for gold, told, words in (*REFUSED[4:], ([[]], [[]], "no word")):
        with pytest.raises(ValueError, match=words):
            tags.word_accuracy(gold, told)
