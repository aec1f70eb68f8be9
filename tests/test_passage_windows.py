"""Answers survive the way to tokens and back, in some window whole; the best span is the best of all."""

import functools
import itertools

import numpy as np
import pytest
import torch
import toy_kinds
from conftest import PACKAGED, SHARED

from bertbench.data.formats.opening import open_records
from bertbench.data.passages import (
    LONGEST,
    UNREAD,
    Reading,
    covered,
    decode,
    lengths,
    targets,
    trimmed,
    unread,
)
from bertbench.errors import UserError
from bertbench.kinds import find
from bertbench.models.reader import NEVER, guesses, span_loss
from bertbench.scores.answers import exact_match, token_f1
from bertbench.types import Answer

every_kind = pytest.mark.parametrize("kind", PACKAGED)
RULES = ("head", "head_tail", "window")
# Questions of PolicyQA whose answer begins or ends within a token: most lack their last letter.
WITHIN = {"wordpiece": 55, "byte_bpe": 66, "unigram": 60}


def reading(tokenizer, max_length=64, long_text="window"):
    return Reading(tokenizer, max_length=max_length, long_text=long_text, positions=512)


def read_back(asked, answers):
    """Return the text of the answer in each window that holds it."""
    return [
        decode(asked, view, *place)
        for view, place in enumerate(targets([asked], [answers]).tolist())
        if place[0] > 0
    ]


@functools.cache
def policies():
    """Return the questions and answers of PolicyQA."""
    kind = find("span")
    columns = kind.columns._replace(second="context")
    table = open_records(SHARED / "policyqa/dev.json", key="task.train")
    return [kind.item(row.cells, columns, str(row.place)) for row in table.rows]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets are not beside the project")
@pytest.mark.parametrize("max_length", [128, 256])
@every_kind
def test_every_answer_of_policyqa_comes_back(kind, max_length, packaged):
    items = policies()
    assert len(items) == 3809
    tokenizer = packaged[kind]
    encoded = reading(tokenizer, max_length).encode([text for text, _ in items])
    other = lost = 0
    for asked, (_, answers) in zip(encoded, items, strict=True):
        first = answers[0]
        tokens = covered(asked, first)
        begin, end = asked.offsets[tokens.start][0], asked.offsets[tokens.stop - 1][1]
        stop = first.start + len(first.text)
        # The fewest tokens that have all of it: a character less on either side would not do.
        assert begin <= first.start < asked.offsets[tokens.start][1]
        assert asked.offsets[tokens.stop - 1][0] < stop <= end
        found = read_back(asked, [first])
        room = max_length - asked.views[0].begin - 1
        if not found:
            assert len(tokens) > room / 2
            lost += 1
            continue
        assert set(found) == {asked.context[begin:end]}
        if found[0] != first.text:
            assert (begin, end) != (first.start, stop)
            assert token_f1(found[0], [first.text]) > 0 or len(first.text.split()) == 1
            other += 1
        every = {token for view in asked.views for token in view.tokens}
        assert every == set(range(len(asked.offsets)))
        assert all(len(view.ids) <= max_length for view in asked.views)
    assert other == WITHIN[kind]
    assert lost <= {128: 48, 256: 3}[max_length]


@every_kind
@pytest.mark.parametrize("max_length", [32, 45, 128])
@pytest.mark.parametrize("length", [0, 1, 20, 21, 50, 200])
def test_windows_overlap_by_half_and_lose_nothing(kind, max_length, length, packaged):
    context = " ".join(f"goal{i % 7}" for i in range(length))
    [asked] = reading(packaged[kind], max_length).encode([("What was new?", context)])
    views = asked.views
    room = max_length - views[0].begin - 1
    assert views[0].tokens.start == 0
    assert views[-1].tokens.stop == len(asked.offsets)
    for before, view in itertools.pairwise(views):
        assert before.tokens.start < view.tokens.start <= before.tokens.start + room // 2
        assert len(view.tokens) == room
    for view in views:
        assert len(view.ids) == view.begin + len(view.tokens) + 1 <= max_length
    for start in range(len(asked.offsets) - room // 2):
        part = range(start, start + room // 2)
        assert any(set(part) <= set(view.tokens) for view in views)


@every_kind
def test_head_is_the_first_window_and_head_tail_the_first_and_the_last(kind, packaged):
    texts = [("What was new?", "the goal was new. " * 40), ("What?", "nothing")]
    window, head, both = (
        reading(packaged[kind], 48, rule).encode(texts) for rule in ("window", "head", "head_tail")
    )
    for one, first, two in zip(window, head, both, strict=True):
        assert first.views == one.views[:1]
        assert two.views == ([one.views[0], one.views[-1]] if len(one.views) > 1 else one.views)


@every_kind
def test_the_encoding_of_a_question_that_fits_is_the_tokenizers_own(kind, packaged):
    tokenizer, pair = (
        packaged[kind],
        ("Who said so?", "The bank said, on Monday, the loan was new."),
    )
    [asked] = reading(tokenizer, 128).encode([pair])
    [view] = asked.views
    own = tokenizer(*pair, return_token_type_ids=True)
    assert view.ids == own["input_ids"]
    views = reading(tokenizer, 128).collate([asked])
    assert views.segment_ids[0].tolist() == own["token_type_ids"]
    inside = [owner == 1 for owner in own.sequence_ids(0)]
    assert views.inside[0].tolist() == [True, *inside[1:]]


@every_kind
@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("The  goal was\n\nnew.", "goal was\n\nnew"),
        ("A café, naïve; Zürich!", "naïve; Zürich"),
        ("It cost $5.00 (about 4 EUR).", "$5.00 (about 4 EUR)"),
        ("日本語 and 東京.", "東京"),
        ("Hello 🙂 world", "🙂"),
        ("a \u200b b\u00ad c", "b"),
        ("tab\tand\u00a0blank", "and"),
    ],
)
def test_answers_come_back_from_odd_texts(kind, context, answer, packaged):
    [asked] = reading(packaged[kind]).encode([("What?", context)])
    [found] = read_back(asked, [Answer(context.index(answer), answer)])
    assert answer in found
    assert exact_match(found.strip("\u00ad"), [answer])  # a token may have a mark more


@every_kind
def test_white_space_around_an_answer_does_not_count(kind, packaged):
    context = "So the goal was new."
    [asked] = reading(packaged[kind]).encode([("What?", context)])
    assert read_back(asked, [Answer(2, " the goal ")]) == ["the goal"]


def test_an_answer_within_a_token_is_the_token(packaged):
    context = "What of this information there is"
    [asked] = reading(packaged["wordpiece"]).encode([("What?", context)])
    start = context.index("information")
    assert read_back(asked, [Answer(start + 2, "formatio")]) == ["information"]


@every_kind
def test_the_first_answer_that_a_window_holds_is_its_target(kind, packaged):
    """Another answer is none the worse where the first stands in another window."""
    filler = "the song was new " * 30
    context = f"{filler}goal {filler}bank {filler}"
    answers = [Answer(context.index(word), word) for word in ("bank", "goal")]
    [asked] = reading(packaged[kind], 64).encode([("What?", context)])
    assert set(read_back(asked, answers[:1])) == {"bank"}
    assert set(read_back(asked, answers)) == {"bank", "goal"}
    near = [Answer(context.index("song"), "song"), Answer(0, "the song")]
    assert read_back(asked, near)[0] == "song"


def test_no_answer_is_the_first_token_and_one_that_no_window_holds_is_left_out(packaged):
    """A window without the answer has none where another holds it; where none does nothing is known."""
    context = "goal " * 100
    encoded = reading(packaged["wordpiece"], 32).encode([("What?", context)] * 3)
    answers = [[], [Answer(0, context.strip())], [Answer(0, context.strip()), Answer(0, "goal")]]
    places = targets(encoded, answers)
    views = len(encoded[0].views)
    assert places.shape == (3 * views, 2)
    assert (places[:views] == 0).all()
    assert (places[views : 2 * views] == UNREAD).all()
    assert (places[2 * views + 1 :] == 0).all()
    assert places[2 * views].min() > 0
    assert [unread(encoded[i : i + 1], answers[i : i + 1]) for i in range(3)] == [0, 1, 0]
    assert unread(encoded, answers) == 1


def test_nothing_is_learned_of_windows_that_are_left_out():
    logits = torch.randn(4, 7, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    places = torch.tensor([[1, 2], [UNREAD, UNREAD], [0, 0], [UNREAD, UNREAD]])
    loss, stats = span_loss(logits, places)
    expected, same = span_loss(logits[[0, 2]], places[[0, 2]])
    torch.testing.assert_close(loss, expected)
    assert stats["accuracy"] == same["accuracy"]
    loss.backward()
    assert (logits.grad[[1, 3]] == 0).all()
    assert (logits.grad[[0, 2]] != 0).any()
    nothing, _ = span_loss(logits, torch.full((4, 2), UNREAD))
    assert nothing == 0


@every_kind
def test_no_answer_begins_or_ends_at_white_space(kind, packaged):
    context = "The goal \n\n \t was   new"
    rule = reading(packaged[kind])
    [asked] = encoded = rule.encode([("What?", context)])
    views = rule.collate(encoded)
    places = np.flatnonzero(views.inside[0].numpy())[1:]
    assert all(decode(asked, 0, place, place).strip() for place in places)


@pytest.mark.parametrize("rule", RULES)
def test_a_question_longer_than_a_window_leaves_room(rule, packaged):
    tokenizer = packaged["wordpiece"]
    texts = [("goal " * 500, "the bank " * 100), ("goal " * 500, "\x07"), ("\x07", "the bank")]
    encoded = reading(tokenizer, 32, rule).encode(texts)
    assert lengths(encoded) == [32, 3 + 21, 3 + 2]
    assert len(encoded[0].views[0].tokens) == 8
    assert encoded[1].offsets == []
    views = reading(tokenizer, 32, rule).collate(encoded)
    assert views.owner.tolist() == [n for n in range(3) for _ in encoded[n].views]


def test_spans_are_trimmed_of_white_space_alone():
    assert trimmed(" ab  c", [(0, 3), (3, 5), (4, 6), (5, 6), (2, 2)]) == [
        (1, 3), (5, 5), (5, 6), (5, 6), (2, 2),
    ]  # fmt: skip


def test_the_longest_answer_is_thirty_tokens_or_that_of_training(packaged):
    rule = reading(packaged["wordpiece"])
    short, long = [Answer(0, "the goal")], [Answer(0, "goal " * 70)]
    assert rule.longest([short, [], short]) == LONGEST == 30
    assert rule.longest([]) == rule.longest([[]]) == LONGEST
    assert rule.longest([short] * 50 + [long]) == 70  # one in fifty
    assert rule.longest([short] * 500 + [long]) == LONGEST  # one in five hundred


@pytest.mark.parametrize("seed", range(8))
def test_the_best_span_is_that_of_a_search_through_all(seed, tokenizer):
    """Over windows, by log-probability; from left to right, of at most `longest` tokens."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    rule = Reading(tokenizer, max_length=32, long_text="window", positions=64)
    asked = rule.encode([toy_kinds.span().train.texts[i] for i in range(4)])
    views = rule.collate(asked)
    logits = torch.from_numpy(generator.normal(size=(*views.ids.shape, 2)) * 3)
    logits = logits.masked_fill(~views.inside.unsqueeze(-1), -torch.inf)
    longest = int(generator.integers(1, 40))
    shares = logits.log_softmax(1).numpy()
    found = guesses(asked, views, logits, None, longest=longest)
    row = 0
    for one, guess in zip(asked, found, strict=True):
        best, doubt = (-np.inf, ""), np.inf
        for number in range(len(one.views)):
            starts, ends = shares[row, :, 0], shares[row, :, 1]
            row += 1
            doubt = min(doubt, starts[0] + ends[0])
            places = np.flatnonzero(np.isfinite(starts))[1:]
            for first in places:
                for last in places[(places >= first) & (places < first + longest)]:
                    score = starts[first] + ends[last]
                    best = max(best, (score, decode(one, number, first, last)))
        assert guess.text == guess.best == best[1]
        np.testing.assert_allclose(
            [guess.score, guess.no_answer], [best[0], doubt - best[0]], rtol=0, atol=1e-9
        )


def test_the_threshold_decides_what_is_given(tokenizer):
    rule = Reading(tokenizer, max_length=48, long_text="window", positions=64)
    asked = rule.encode(toy_kinds.span().train.texts[:6])
    views = rule.collate(asked)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((*views.ids.shape, 2), generator=generator)
    logits = logits.masked_fill(~views.inside.unsqueeze(-1), -torch.inf)
    plain = guesses(asked, views, logits, None, longest=5)
    level = float(np.median([guess.no_answer for guess in plain]))
    for guess, other in zip(plain, guesses(asked, views, logits, level, longest=5), strict=True):
        assert other.best == guess.best == guess.text
        assert other.text == ("" if guess.no_answer > level else guess.text)


def test_without_any_token_there_is_nothing_to_give(tokenizer):
    rule = Reading(tokenizer, max_length=48, long_text="window", positions=64)
    asked = rule.encode([("What was new?", "\x07")])
    views = rule.collate(asked)
    logits = torch.zeros((*views.ids.shape, 2)).masked_fill(
        ~views.inside.unsqueeze(-1), -torch.inf
    )
    [guess] = guesses(asked, views, logits, None, longest=30)
    assert guess[:3] == ("", "", NEVER)
    assert guess.no_answer == -NEVER


@pytest.mark.parametrize("max_length", [31, 65])
def test_a_length_that_holds_no_question_or_that_no_encoder_takes_is_refused(
    max_length, tokenizer
):
    with pytest.raises(UserError, match=rf"task\.max_length={max_length} .*32 .*64"):
        Reading(tokenizer, max_length=max_length, long_text="head", positions=64)


@pytest.mark.parametrize("rule", RULES)
def test_settings_make_the_same_reading_again(rule, tokenizer):
    first = Reading(tokenizer, max_length=40, long_text=rule, positions=64)
    texts = toy_kinds.span().train.texts[:5]
    again = Reading(tokenizer, positions=64, **first.settings())
    assert again.encode(texts) == first.encode(texts)
    assert first.encode([]) == []
