"""Sentences by rules: hand cases, nothing lost, and linear time on text made to be slow."""

import time

import pytest
import toy

from bertbench.data.sentences import ABBREVIATIONS, LONGEST, pieces, sentences, spaced

CAPTION = "go to a party , drink and then drive . they get into an accident . one dies ? yes ! no"
GLOSSARY = (
    "entity: something that has its own existence. abstraction: a general concept formed by "
    "extracting features from examples. thing: a separate entity."
)


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
        ('He won. "I am glad," he said.', ['He won.', '"I am glad," he said.']),
        ('"I won." He left.', ['"I won."', "He left."]),
        ("(It was late.) Nobody came.", ["(It was late.)", "Nobody came."]),
        ("No end here", ["No end here"]),
        ("", []),
        (" \n \n", []),
    ],
)  # fmt: skip
def test_sentences_that_begin_with_a_capital(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            CAPTION,
            [
                "go to a party , drink and then drive .",
                "they get into an accident .",
                "one dies ?",
                "yes !",
                "no",
            ],
        ),
        ("it ended .\tthen it began .", ["it ended .", "then it began ."]),
        ("he waited . . . and left .", ["he waited . . . and left ."]),
        ("he waited . . . Then he left .", ["he waited . . .", "Then he left ."]),
        (". . . and then", [". . . and then"]),
        ("he waited .", ["he waited ."]),
        ("what ? ! no ! ! yes", ["what ? !", "no ! !", "yes"]),
        ("( he left . ) then it rained .", ["( he left . ) then it rained ."]),
        ("a . 5 b ? 6 c", ["a .", "5 b ?", "6 c"]),
    ],
)
def test_text_that_was_cut_into_tokens_before(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GLOSSARY,
            [
                "entity: something that has its own existence.",
                "abstraction: a general concept formed by extracting features from examples.",
                "thing: a separate entity.",
            ],
        ),
        ("it was existing... examples of it", ["it was existing... examples of it"]),
        ("the concept ... examples of it", ["the concept ... examples of it"]),
        ("really? yes, really! and so on", ["really?", "yes, really!", "and so on"]),
        ("see vol. two, ed. three, no. four", ["see vol. two, ed. three, no. four"]),
        ("approx. ten people of the dept. of law", ["approx. ten people of the dept. of law"]),
        ("Approx. ten, says prof. smith", ["Approx. ten, says prof. smith"]),
        ("the reapprox. ten", ["the reapprox.", "ten"]),
        ("the café était noirâtre. été comme hiver", ["the café était noirâtre.", "été comme hiver"]),
        ("Он пришёл. Она ушла.", ["Он пришёл.", "Она ушла."]),
    ],
)  # fmt: skip
def test_prose_whose_sentences_begin_in_lower_case(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize("word", ABBREVIATIONS)
def test_no_sentence_ends_after_an_abbreviation(word):
    assert sentences(f"the {word}. of it") == [f"the {word}. of it"]


NASTY = {
    "dots": ".",
    "spaces": " ",
    "quotes": '"',
    "dots and spaces": ". ",
    "dots and quotes": '."',
    "a dot, then spaces": ("x.", " "),
    "a dot, a space, then quotes": (". ", '"'),
    "words and dots": "word. ",
    "newlines": "\n",
    "newlines and dots": "\n. ",
    "letters": "a",
    "closing marks": ")",
}


@pytest.mark.parametrize("kind", NASTY)
def test_ten_megabytes_of_anything_take_linear_time(kind):
    pattern = NASTY[kind]
    head, unit = pattern if isinstance(pattern, tuple) else ("", pattern)
    text = (head + unit * (10_000_000 // len(unit)))[:10_000_000]
    started = time.process_time()
    found = sentences(text)
    assert time.process_time() - started < 20  # quadratic time would be days
    assert all(found)
    assert all(len(sentence) <= LONGEST for sentence in found)
    assert "".join("".join(found).split()) == "".join(text.split())


TEXTS = [*toy.corpus(), CAPTION * 5, GLOSSARY, ". . . ? ! . a", "a\n\nb. C", "no end " * 40]


def test_no_character_but_space_is_lost_or_moved():
    for text in TEXTS:
        assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "  One.  Two!\n\n\tThree? ",
        "a . b",
        "",
        " \n ",
        "One line\nanother\r\nthe last",
        "x" * (LONGEST + 5) + " y. Z",
        ("word " * LONGEST).strip(),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_sentences_with_the_space_before_them_make_up_the_document(text):
    found = spaced(text)
    assert "".join(found) == text.strip()
    assert [sentence.strip() for sentence in found] == sentences(text)
    assert all(sentence.strip() for sentence in found)


def test_a_sentence_is_cut_no_further():
    for text in TEXTS:
        for sentence in sentences(text):
            assert sentences(sentence) == [sentence]


def test_text_without_any_full_stop_is_cut_at_spaces():
    text = "anarchism originated as a term of abuse " * 1000
    found = sentences(text)
    assert [len(sentence) <= LONGEST for sentence in found] == [True] * len(found)
    assert len(found) == -(-len(text) // LONGEST)
    assert " ".join(found) == text.strip()


def test_text_without_spaces_is_cut_anywhere():
    assert [len(part) for part in sentences("x" * 25_000)] == [LONGEST, LONGEST, 5000]


@pytest.mark.parametrize("size", [1, 40, 100, 1000])
def test_pieces_make_up_the_document(size):
    for text in TEXTS:
        assert "".join(pieces(text, size)) == text
        assert all(len(piece) <= size for piece in pieces(text, size))


@pytest.mark.parametrize("size", [130, 400, 1000])
def test_sentences_of_pieces_are_those_of_the_document(size):
    text = " ".join([*toy.corpus(), CAPTION]) + "\n" + "\n".join([GLOSSARY, *toy.corpus()])
    assert len(list(pieces(text, size))) > len(text) // size
    assert [s for piece in pieces(text, size) for s in sentences(piece)] == sentences(text)


def test_a_piece_without_end_of_a_sentence_ends_after_a_word():
    assert list(pieces("one two three four", 10)) == ["one two ", "three four"]
    assert list(pieces("onetwothreefour", 10)) == ["onetwothre", "efour"]
