"""Every masking of conf/masking: what is hidden, how often, and what decides it."""

import functools
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
import yaml
from conftest import CONF
from scipy.stats import chisquare

from bertbench import config
from bertbench.errors import UserError
from bertbench.hiding import Hiding, words
from bertbench.runtime import numpy_generator
from bertbench.types import IGNORE, Batch, Vocabulary

# Special ids at the ends and in between, so that an off-by-one shows.
VOCABULARY = Vocabulary(size=97, pad=0, cls=5, sep=6, mask=50, special=(0, 5, 6, 50, 51, 96))
ORDINARY = np.setdiff1d(np.arange(VOCABULARY.size), VOCABULARY.special)
LENGTH = 128
NODES = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((CONF / "masking").glob("*.yaml"))
}
TOKENS = [name for name, node in NODES.items() if "token" in node["_target_"]]
TOGETHER = [name for name, node in NODES.items() if node.get("together")]
LENGTHS = {  # probabilities of 1, 2, ... words, worked out from the papers' formulas
    "span": [0.2 * 0.8**n / (1 - 0.8**10) for n in range(10)],
    "ngram": [6 / 11, 3 / 11, 2 / 11],
}
every_masking = pytest.mark.parametrize("name", NODES)
word_masking = pytest.mark.parametrize("name", [name for name in NODES if name not in TOKENS])
span_masking = pytest.mark.parametrize("name", LENGTHS)


def build(name, seed=3, **changes):
    return config.build(NODES[name] | changes, vocabulary=VOCABULARY, seed=seed)


def corpus(rows=1200, seed=0):
    """Return ids and starts (S, L): words of one to a few tokens, every special also inside the text.

    Rows are of uneven length, and what follows a special token may be the middle of a word.
    """
    generator = np.random.default_rng(seed)
    ids = generator.choice(ORDINARY, (rows, LENGTH))
    inside = generator.random(ids.shape) < 0.03
    ids[inside] = generator.choice([i for i in VOCABULARY.special if i], inside.sum())
    ids[:, 0] = VOCABULARY.cls
    for row, end in zip(ids, generator.integers(LENGTH - 30, LENGTH + 1, rows), strict=True):
        row[end - 1], row[end:] = VOCABULARY.sep, VOCABULARY.pad
    return ids, (generator.random(ids.shape) < 0.6) & ~np.isin(ids, VOCABULARY.special)


IDS, STARTS = corpus()


def batch_of(ids=IDS, starts=STARTS, chosen=None, *, epoch=0, spent=0.0):
    chosen = np.arange(len(ids)) if chosen is None else np.asarray(chosen)
    ids = torch.from_numpy(np.asarray(ids)[chosen])
    maskable = ~torch.isin(ids, torch.tensor(VOCABULARY.special))
    return Batch(
        ids=ids,
        attention_mask=ids != VOCABULARY.pad,
        maskable=maskable,
        starts=torch.from_numpy(np.asarray(starts)[chosen]),
        segment_ids=torch.zeros_like(ids),
        related=torch.full((len(chosen),), IGNORE),
        sequence=torch.from_numpy(chosen),
        epoch=epoch,
        spent=spent,
    )


BATCH = batch_of()
MASKABLE = BATCH.maskable.numpy()


@functools.cache  # nobody writes into it
def masked(name, seed=3, epoch=0):
    return build(name, seed)(BATCH._replace(epoch=epoch))


def picked(name, seed=3, epoch=0):
    return masked(name, seed, epoch).labels != IGNORE


@functools.cache
def words_of():
    """Return (S, L): a number of its own for each word of `IDS`, -1 between words; one by one."""
    found, number = np.full(IDS.shape, -1), -1
    for row, column in np.ndindex(IDS.shape):
        if MASKABLE[row, column]:
            number += STARTS[row, column] or column == 0 or not MASKABLE[row, column - 1]
            found[row, column] = number
    return found


def per_word(values):
    """Return mean and number of tokens of `values` (S, L) in each word."""
    numbers = words_of()
    tokens = np.bincount(numbers[MASKABLE])
    return np.bincount(numbers[MASKABLE], np.asarray(values)[MASKABLE]) / tokens, tokens


def within_four_standard_errors(count, trials, share):
    return abs(count - trials * share) <= 4 * (trials * share * (1 - share)) ** 0.5


def mean_is_zero(residuals):
    """Tell whether independent residuals (S,), one a row, have the mean 0, by four standard errors."""
    residuals = np.asarray(residuals, dtype=float)
    return abs(residuals.mean()) <= 4 * residuals.std(ddof=1) / len(residuals) ** 0.5


def residuals(of, among, share):
    """Return (S,): by how many positions a row has more of `of` than its `share` of `among`."""
    return of.sum(1) - share * among.sum(1)


@every_masking
def test_special_tokens_and_padding_are_never_picked_or_changed(name):
    special = ~BATCH.maskable
    assert special.sum() > 5000
    assert torch.equal(masked(name).ids[special], BATCH.ids[special])
    assert (masked(name).labels[special] == IGNORE).all()


def test_what_a_rule_says_of_special_tokens_is_ignored():
    hiding = Hiding(VOCABULARY, seed=0, rate=0.5, rate_end=None, swap=0.5, keep=0.0, views=None)
    made = hiding(BATCH, lambda generator, maskable, starts, rate: np.ones(LENGTH, dtype=bool))
    assert torch.equal(made.labels != IGNORE, BATCH.maskable)
    assert torch.equal(made.ids[~BATCH.maskable], BATCH.ids[~BATCH.maskable])


@every_masking
def test_positions_that_are_not_picked_keep_their_id_and_are_ignored(name):
    made, chosen = masked(name), picked(name)
    assert torch.equal(made.labels[chosen], BATCH.ids[chosen])
    assert torch.equal(made.ids[~chosen], BATCH.ids[~chosen])


@every_masking
def test_masking_leaves_its_input_alone(name):
    batch = batch_of(chosen=np.arange(20))
    build(name)(batch)
    for now, before in zip(batch, batch_of(chosen=np.arange(20)), strict=True):
        assert torch.equal(torch.as_tensor(now), torch.as_tensor(before))


@every_masking
@pytest.mark.parametrize("seed", [0, 1])
def test_the_share_of_picked_tokens_is_the_rate(name, seed):
    chosen, rate = picked(name, seed), NODES[name]["rate"]
    assert MASKABLE.sum() >= 100_000
    assert mean_is_zero(residuals(chosen, BATCH.maskable, rate))
    if name in TOKENS:
        assert within_four_standard_errors(int(chosen.sum()), int(MASKABLE.sum()), rate)
    if name in LENGTHS:  # each row has its budget, but for the one word that crosses it
        longest = per_word(MASKABLE)[1].max()
        assert residuals(chosen, BATCH.maskable, rate).abs().max() < longest


@every_masking
def test_a_rate_of_one_picks_every_maskable_token(name):
    batch = batch_of(chosen=np.arange(50))
    made = build(name, rate=1.0, rate_end=None, swap=0.0, keep=0.0)(batch)
    assert torch.equal(made.labels != IGNORE, batch.maskable)
    assert (made.ids[batch.maskable] == VOCABULARY.mask).all()


@every_masking
def test_nothing_maskable_means_nothing_changes(name):
    ids = np.tile([VOCABULARY.cls, VOCABULARY.sep, VOCABULARY.pad], (4, 1))
    made = build(name)(batch_of(ids, ids == -1))
    assert np.array_equal(made.ids.numpy(), ids)
    assert (made.labels == IGNORE).all()


@every_masking
@pytest.mark.parametrize("seed", [0, 1])
def test_picked_tokens_are_hidden_swapped_and_kept_in_their_shares(name, seed):
    swap, keep = NODES[name]["swap"], NODES[name]["keep"]
    ids, chosen = masked(name, seed).ids, picked(name, seed)
    hidden = chosen & (ids == VOCABULARY.mask)
    same = chosen & (ids == BATCH.ids)
    by_chance = swap / len(ORDINARY)  # swapped for itself
    for found, share in (
        (hidden, 1 - swap - keep),
        (same, keep + by_chance),
        (chosen & ~hidden & ~same, swap - by_chance),
    ):
        assert mean_is_zero(residuals(found, chosen, share))
        if name not in TOGETHER:
            assert within_four_standard_errors(int(found.sum()), int(chosen.sum()), share)


@pytest.mark.parametrize(
    ("name", "rate", "end", "views"),
    [
        ("static", 0.15, None, 1),  # Devlin et al. (2019), section 3.1
        ("dynamic", 0.15, None, None),  # Liu et al. (2019), section 4.1
        ("whole_word", 0.15, None, None),
        ("span", 0.15, None, None),  # Joshi et al. (2020), section 3.1
        ("ngram", 0.15, None, None),  # Lan et al. (2020), section 4.1
        ("rate_40", 0.4, None, None),  # Wettig et al. (2023)
        ("rate_schedule", 0.3, 0.15, None),  # Ankner et al. (2024)
    ],
)
def test_the_papers_masks_have_the_papers_rates(name, rate, end, views):
    """Of the picked tokens 80 / 10 / 10 in all of them."""
    node = NODES[name]
    assert (node["rate"], node["rate_end"], node["views"]) == (rate, end, views)
    assert (node["swap"], node["keep"]) == (0.1, 0.1)


@every_masking
@pytest.mark.parametrize("original", [int(ORDINARY[0]), int(ORDINARY[-1])])
def test_a_swapped_token_is_any_ordinary_one_with_equal_chance(name, original):
    """All text is one id, so that a swap shows as any other; two ids show that each is reached."""
    ids = np.full((800, LENGTH), original)
    made = build(name, swap=0.6)(batch_of(ids, ids >= 0))
    drawn = made.ids[(made.ids != original) & (made.ids != VOCABULARY.mask)]
    counts = np.bincount(drawn.numpy(), minlength=VOCABULARY.size)
    assert counts[list(VOCABULARY.special)].sum() == 0
    others = counts[np.setdiff1d(ORDINARY, [original])]
    assert others.sum() > 5000
    assert others.min() > 0
    assert chisquare(others).pvalue > 0.001


@pytest.mark.parametrize("together", [True, False])
def test_positions_of_one_number_share_their_fate_where_they_are_together(together):
    numbers = (
        np.arange(LENGTH) // 4 % 5
    )  # groups of four; the number 0 is not picked, others recur
    hiding = Hiding(VOCABULARY, seed=0, rate=0.5, rate_end=None, swap=0.3, keep=0.3, views=None)
    ids = np.full((600, LENGTH), ORDINARY[0])
    made = hiding(batch_of(ids, ids > 0), lambda *_: numbers, together=together)
    assert (made.labels != IGNORE).numpy().tolist() == [(numbers > 0).tolist()] * len(ids)
    hidden = (made.ids == VOCABULARY.mask).numpy()
    shares = np.stack([hidden[:, numbers == number].mean(1) for number in range(1, 5)], 1)
    if together:
        assert set(np.unique(shares)) == {0.0, 1.0}
        assert within_four_standard_errors(shares.sum(), shares.size, 0.4)
    else:
        assert ((shares > 0) & (shares < 1)).mean() > 0.99


def test_words_begin_at_their_starts_and_behind_what_is_not_maskable():
    maskable = np.array([0, 1, 1, 1, 0, 1, 1, 0, 0, 1], dtype=bool)
    starts = np.array([1, 1, 0, 1, 1, 0, 1, 0, 1, 0], dtype=bool)
    assert words(maskable, starts).tolist() == [0, 1, 1, 2, 0, 3, 4, 0, 0, 5]


@every_masking
def test_a_rule_that_reads_where_words_begin_says_so(name):
    """A corpus whose words cannot be told apart is refused by that sign."""
    masking, batch = build(name), batch_of(chosen=np.arange(60))
    unlike = masking(batch._replace(starts=~batch.starts)).labels != masking(batch).labels
    assert getattr(masking, "needs_words", False) == bool(unlike.any())


@word_masking
def test_no_word_is_picked_by_halves(name):
    share, tokens = per_word(picked(name))
    assert (tokens > 2).sum() > 1000
    assert set(np.unique(share)) == {0.0, 1.0}


def test_whole_words_of_each_length_are_picked_alike():
    share, tokens = per_word(picked("whole_word"))
    for length in (1, 2, 3, 4):
        of_length = share[tokens == length]
        assert within_four_standard_errors(of_length.sum(), len(of_length), 0.15)


@word_masking
def test_a_word_shares_its_fate_only_where_its_span_does(name):
    hidden = masked(name).ids.numpy() == VOCABULARY.mask
    share, tokens = per_word(hidden)
    assert np.isin(share[tokens > 2], (0, 1)).all() == (name in TOGETHER)


@span_masking
def test_a_span_is_a_run_of_whole_words_without_a_break(name):
    rule, generator, numbers = build(name), np.random.default_rng(4), words_of()
    for row in range(300):
        span = rule.pick(generator, MASKABLE[row], STARTS[row], 0.5)
        for n in np.unique(span[span > 0]):
            positions = np.flatnonzero(span == n)
            first, last = positions[0], positions[-1]
            assert len(positions) == last - first + 1
            assert MASKABLE[row, positions].all()
            assert first == 0 or numbers[row, first - 1] != numbers[row, first]
            assert last == LENGTH - 1 or numbers[row, last + 1] != numbers[row, last]


@span_masking
def test_lengths_of_spans_have_the_papers_distribution(name):
    """The first span of a sequence has room for any length, and a budget that does not shorten it."""
    rule, generator = build(name), np.random.default_rng(5)
    probabilities, repeats = np.array(LENGTHS[name]), 20_000
    maskable, starts = np.ones(LENGTH, dtype=bool), np.arange(LENGTH) % 2 == 0  # two tokens a word
    rate = (2 * len(probabilities) + 1) / LENGTH
    counts = np.zeros(len(probabilities) + 1)
    for _ in range(repeats):
        counts[(rule.pick(generator, maskable, starts, rate) == 1).sum() // 2] += 1
    assert counts[0] == 0
    assert chisquare(counts[1:], repeats * probabilities).pvalue > 0.001
    mean = {"span": 3.797, "ngram": 18 / 11}[name]  # Joshi et al. (2020), section 3.1, say 3.8
    lengths = np.repeat(np.arange(len(counts)), counts.astype(int))
    assert (np.arange(1, len(counts)) * probabilities).sum() == pytest.approx(mean, abs=1e-3)
    assert mean_is_zero(lengths - mean)


@span_masking
def test_a_span_begins_at_each_place_where_it_fits_with_equal_chance(name):
    rule, generator = build(name), np.random.default_rng(6)
    row = np.ones(12, dtype=bool)
    firsts = {length: np.zeros(12) for length in (1, 2, 3)}
    for _ in range(6000):
        at = np.flatnonzero(rule.pick(generator, row, row, 0.99) == 1)
        if len(at) in firsts:
            firsts[len(at)][at[0]] += 1
    for length, counts in firsts.items():
        assert counts[13 - length :].sum() == 0
        assert chisquare(counts[: 13 - length]).pvalue > 0.001


def test_spans_share_one_fate_each():
    """All hidden, all swapped or all kept: Joshi et al. (2020), section 3.1."""
    rule, made = build("span", seed=3), masked("span", seed=3)
    fates = []
    for row in range(len(IDS)):
        generator = numpy_generator(3, "picked", 0, row)
        number = rule.pick(generator, MASKABLE[row], STARTS[row], 0.15)
        assert np.array_equal(number > 0, (made.labels[row] != IGNORE).numpy())
        for n in range(1, number.max() + 1):
            ids, before = made.ids[row, number == n], BATCH.ids[row, number == n]
            if len(ids) > 2:
                hidden, same = (ids == VOCABULARY.mask).tolist(), (ids == before).tolist()
                assert len(set(hidden)) == 1
                # of many swapped tokens few are swapped for themselves
                assert hidden[0] or all(same) or np.mean(same) <= 0.5
                fates.append(0 if hidden[0] else 1 + all(same))
    shares = np.bincount(fates) / len(fates)
    for share, expected in zip(shares, (0.8, 0.1, 0.1), strict=True):
        assert within_four_standard_errors(share * len(fates), len(fates), expected)


@every_masking
@pytest.mark.parametrize("epochs", [(1, 2), (2, 11)])
def test_one_view_gives_the_same_mask_in_every_epoch(name, epochs):
    masking = build(name, views=1)
    first, second = (masking(batch_of(chosen=np.arange(60), epoch=epoch)) for epoch in epochs)
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.labels, second.labels)


def overlap(one, other):
    return (one & other).sum(1)


@every_masking
def test_no_view_gives_new_positions_in_every_epoch(name):
    """Two epochs of a sequence share as many positions as two sequences of one text do."""
    same_text = np.zeros(600, dtype=int)
    batch = batch_of(IDS[same_text], STARTS[same_text])
    masking = build(name, views=None)
    picks = [masking(batch._replace(epoch=epoch)).labels != IGNORE for epoch in (0, 1, 2)]
    for one, other in combinations(picks, 2):
        assert (one != other).any(1).float().mean() > 0.99
        assert mean_is_zero(overlap(one, other) - overlap(one, one.roll(1, 0)))
        if name in (*TOKENS, "whole_word"):  # each position has the same chance
            expected = NODES[name]["rate"] ** 2
            assert mean_is_zero(residuals(one & other, batch.maskable, expected))


@every_masking
def test_ten_views_are_used_in_turn(name):
    """BERT's data was duplicated ten times: Liu et al. (2019), section 4.1."""
    masking = build(name, views=10)
    batch = batch_of(chosen=np.arange(32))
    made = [masking(batch._replace(epoch=epoch)) for epoch in range(13)]
    for early, late in zip(made, made[10:], strict=False):
        assert torch.equal(early.ids, late.ids)
        assert torch.equal(early.labels, late.labels)
    for one, other in combinations(made[:10], 2):
        assert ((one.labels != IGNORE) != (other.labels != IGNORE)).any(1).all()


@every_masking
def test_a_mask_depends_on_its_own_sequence_alone(name):
    whole = masked(name, epoch=2)
    order = np.random.default_rng(1).permutation(60)
    for chosen in np.split(order, [1, 8, 40]):
        part = build(name)(batch_of(chosen=chosen, epoch=2))
        assert torch.equal(part.ids, whole.ids[chosen])
        assert torch.equal(part.labels, whole.labels[chosen])


@every_masking
def test_padding_behind_a_sequence_changes_nothing(name):
    whole, ends = masked(name), BATCH.attention_mask.sum(1)
    chosen = np.argsort(ends.numpy())[:40]
    longest = int(ends[chosen].max())
    assert longest < LENGTH
    wider = np.pad(IDS, ((0, 0), (0, 37)), constant_values=VOCABULARY.pad)
    for ids, starts in (
        (IDS[:, :longest], STARTS[:, :longest]),
        (wider, np.pad(STARTS, ((0, 0), (0, 37)))),
    ):
        part = build(name)(batch_of(ids, starts, chosen))
        assert torch.equal(part.ids[:, :longest], whole.ids[chosen, :longest])
        assert torch.equal(part.labels[:, :longest], whole.labels[chosen, :longest])
        assert (part.labels[:, longest:] == IGNORE).all()


@every_masking
def test_sequences_of_one_text_have_different_masks(name):
    same_text = np.zeros(40, dtype=int)
    chosen = build(name)(batch_of(IDS[same_text], STARTS[same_text])).labels != IGNORE
    assert all((one != other).any() for one, other in combinations(chosen, 2))


@every_masking
def test_one_seed_twice_is_identical_and_near_seeds_are_unrelated(name):
    same_text = np.zeros(600, dtype=int)
    batch = batch_of(IDS[same_text], STARTS[same_text])
    once, again = build(name, 7)(batch), build(name, 7)(batch)
    assert torch.equal(once.ids, again.ids)
    assert torch.equal(once.labels, again.labels)
    picks = [build(name, seed)(batch).labels != IGNORE for seed in (7, 8, 9)]
    for one, other in pairwise(picks):
        assert mean_is_zero(overlap(one, other) - overlap(one, one.roll(1, 0)))


@every_masking
@pytest.mark.parametrize(("spent", "rate"), [(0.0, 0.3), (0.5, 0.2), (0.999, 0.1002)])
def test_the_rate_goes_linearly_from_its_beginning_to_its_end(name, spent, rate):
    batch = BATCH._replace(spent=spent)
    chosen = build(name, rate=0.3, rate_end=0.1)(batch).labels != IGNORE
    assert mean_is_zero(residuals(chosen, batch.maskable, rate))


@every_masking
def test_without_an_end_the_rate_is_constant(name):
    batch = batch_of(chosen=np.arange(60))
    masking = build(name, rate_end=None)
    first, last = masking(batch), masking(batch._replace(spent=0.9))
    assert torch.equal(first.ids, last.ids)
    assert torch.equal(first.labels, last.labels)


@pytest.mark.parametrize("name", TOKENS)
def test_single_tokens_of_a_lower_rate_are_among_those_of_a_higher_one(name):
    """And they have the same fate."""
    masking = build(name, rate=0.4, rate_end=0.1)
    early, late = masking(BATCH), masking(BATCH._replace(spent=0.8))
    chosen = late.labels != IGNORE
    assert torch.equal(early.labels[chosen], late.labels[chosen])
    assert torch.equal(early.ids[chosen], late.ids[chosen])


@every_masking
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", 0.0),
        ("rate", -0.15),
        ("rate", 1.01),
        ("rate", float("nan")),
        ("rate_end", 0.0),
        ("rate_end", -0.1),
        ("rate_end", 1.01),
        ("rate_end", float("nan")),
        ("rate_end", "high"),
        ("rate_end", True),
        ("swap", -0.1),
        ("swap", 1.05),
        ("swap", float("nan")),
        ("keep", -0.1),
        ("keep", 1.05),
        ("keep", float("nan")),
        ("views", 0),
        ("views", -1),
        ("views", 1.5),
        ("views", "ten"),
        ("views", True),
    ],
)
def test_bad_shares_are_refused_by_name_and_value(name, key, value):
    with pytest.raises(UserError, match=rf"masking\.{key}={value}"):
        build(name, **{key: value})


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("span", "p", 0.0),
        ("span", "p", 1.5),
        ("span", "p", float("nan")),
        ("span", "longest", 0),
        ("ngram", "longest", -1),
    ],
)
def test_bad_lengths_are_refused_by_name_and_value(name, key, value):
    with pytest.raises(UserError, match=rf"masking\.{key}={value}"):
        build(name, **{key: value})
