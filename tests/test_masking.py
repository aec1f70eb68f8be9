"""Every masking of conf/masking: what is hidden, how often, and what decides it."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
import yaml
from conftest import CONF
from scipy.stats import chisquare

from bertbench import config
from bertbench.data.batching import as_batch
from bertbench.errors import UserError
from bertbench.types import IGNORE, Vocabulary

# Special ids at the ends and in between, so that an off-by-one shows.
VOCABULARY = Vocabulary(size=97, pad=0, cls=5, sep=6, mask=50, special=(0, 5, 6, 50, 51, 96))
ORDINARY = np.setdiff1d(np.arange(VOCABULARY.size), VOCABULARY.special)
LENGTH = 128
NODES = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((CONF / "masking").glob("*.yaml"))
}
every_masking = pytest.mark.parametrize("node", NODES.values(), ids=NODES.keys())


def build(node, seed=3, **changes):
    return config.build(node | changes, vocabulary=VOCABULARY, seed=seed)


def corpus(rows=1000, seed=0):
    """Return (S, L): rows of uneven length with every special token also inside the text."""
    generator = np.random.default_rng(seed)
    packed = generator.choice(ORDINARY, (rows, LENGTH)).astype(np.int32)
    inside = generator.random(packed.shape) < 0.05
    special = [i for i in VOCABULARY.special if i != VOCABULARY.pad]
    packed[inside] = generator.choice(special, inside.sum())
    packed[:, 0] = VOCABULARY.cls
    for row, end in zip(packed, generator.integers(LENGTH - 20, LENGTH + 1, rows), strict=True):
        row[end - 1], row[end:] = VOCABULARY.sep, VOCABULARY.pad
    return packed


ROWS = corpus()


def batch_of(rows, chosen=None, epoch=0):
    chosen = np.arange(len(rows)) if chosen is None else np.asarray(chosen)
    return as_batch(rows, chosen, VOCABULARY, epoch=epoch)


def within_four_standard_errors(count, trials, share):
    return abs(count - trials * share) <= 4 * (trials * share * (1 - share)) ** 0.5


@every_masking
def test_special_tokens_and_padding_are_never_picked_or_changed(node):
    batch = batch_of(ROWS)
    masked = build(node)(batch)
    special = torch.isin(batch.ids, torch.tensor(VOCABULARY.special))
    assert special.sum() > 5000
    assert torch.equal(masked.ids[special], batch.ids[special])
    assert (masked.labels[special] == IGNORE).all()


@every_masking
def test_positions_that_are_not_picked_keep_their_id_and_are_ignored(node):
    batch = batch_of(ROWS)
    masked = build(node)(batch)
    picked = masked.labels != IGNORE
    assert torch.equal(masked.labels[picked], batch.ids[picked])
    assert torch.equal(masked.ids[~picked], batch.ids[~picked])


@every_masking
def test_masking_leaves_its_input_alone(node):
    batch = batch_of(ROWS[:20])
    build(node)(batch)
    assert np.array_equal(batch.ids.numpy(), ROWS[:20])


@every_masking
@pytest.mark.parametrize("seed", [0, 1])
def test_the_share_of_picked_tokens_is_the_rate(node, seed):
    batch = batch_of(ROWS)
    masked = build(node, seed)(batch)
    tokens = int(batch.maskable.sum())
    assert tokens >= 100_000
    assert within_four_standard_errors(int((masked.labels != IGNORE).sum()), tokens, node["rate"])


@every_masking
@pytest.mark.parametrize("seed", [0, 1])
def test_picked_tokens_are_hidden_swapped_and_kept_in_their_shares(node, seed):
    batch = batch_of(ROWS)
    masked = build(node, seed)(batch)
    picked = masked.labels != IGNORE
    count = int(picked.sum())
    hidden = picked & (masked.ids == VOCABULARY.mask)
    same = picked & (masked.ids == batch.ids)
    other = picked & ~hidden & ~same
    by_chance = node["swap"] / len(ORDINARY)  # swapped for itself
    assert within_four_standard_errors(int(hidden.sum()), count, 1 - node["swap"] - node["keep"])
    assert within_four_standard_errors(int(same.sum()), count, node["keep"] + by_chance)
    assert within_four_standard_errors(int(other.sum()), count, node["swap"] - by_chance)


@pytest.mark.parametrize(("name", "views"), [("static", 1), ("dynamic", None)])
def test_the_papers_masks_have_the_papers_rates(name, views):
    """Devlin et al. (2019), section 3.1: 15 %, of these 80 / 10 / 10; Liu et al. (2019), 4.1."""
    batch = batch_of(ROWS)
    masked = build(NODES[name])(batch)
    picked = masked.labels != IGNORE
    count = int(picked.sum())
    assert within_four_standard_errors(count, int(batch.maskable.sum()), 0.15)
    assert within_four_standard_errors(
        int((masked.ids == VOCABULARY.mask)[picked].sum()), count, 0.8
    )
    changed = picked & (masked.ids != batch.ids) & (masked.ids != VOCABULARY.mask)
    assert within_four_standard_errors(int(changed.sum()), count, 0.1 - 0.1 / len(ORDINARY))
    assert NODES[name]["views"] == views


@every_masking
@pytest.mark.parametrize("original", [int(ORDINARY[0]), int(ORDINARY[-1])])
def test_a_swapped_token_is_any_ordinary_one_with_equal_chance(node, original):
    """All text is one id, so that a swap shows as any other; two ids show that each is reached."""
    rows = np.full((3000, LENGTH), original, dtype=np.int32)
    masked = build(node)(batch_of(rows))
    drawn = masked.ids[(masked.ids != original) & (masked.ids != VOCABULARY.mask)]
    counts = np.bincount(drawn.numpy(), minlength=VOCABULARY.size)
    assert counts[list(VOCABULARY.special)].sum() == 0
    others = counts[np.setdiff1d(ORDINARY, [original])]
    assert others.sum() > 5000
    assert others.min() > 0
    assert chisquare(others).pvalue > 0.001


@every_masking
@pytest.mark.parametrize("epochs", [(0, 1), (2, 11)])
def test_one_view_gives_the_same_mask_in_every_epoch(node, epochs):
    masking = build(node, views=1)
    first, second = (masking(batch_of(ROWS[:200], epoch=epoch)) for epoch in epochs)
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.labels, second.labels)


@every_masking
def test_no_view_gives_new_positions_in_every_epoch(node):
    """Two epochs share a picked position as often as independent draws do."""
    masking = build(node, views=None)
    batch = batch_of(ROWS)
    picks = [masking(batch._replace(epoch=epoch)).labels != IGNORE for epoch in range(4)]
    tokens = int(batch.maskable.sum())
    for one, other in combinations(picks, 2):
        assert (one != other).any(1).all()
        assert within_four_standard_errors(int((one & other).sum()), tokens, node["rate"] ** 2)


@every_masking
def test_ten_views_are_used_in_turn(node):
    """BERT's data was duplicated ten times: Liu et al. (2019), section 4.1."""
    masking = build(node, views=10)
    labels = [masking(batch_of(ROWS[:100], epoch=epoch)).labels for epoch in range(23)]
    for early, late in zip(labels, labels[10:], strict=False):
        assert torch.equal(early, late)
    for one, other in combinations(labels[:10], 2):
        assert ((one != IGNORE) != (other != IGNORE)).any(1).all()


@every_masking
def test_a_mask_depends_on_its_own_sequence_alone(node):
    masking = build(node)
    whole = masking(batch_of(ROWS[:60], epoch=2))
    generator = np.random.default_rng(1)
    order = generator.permutation(60)
    for chosen in np.split(order, [1, 8, 40]):
        part = masking(batch_of(ROWS, chosen, epoch=2))
        assert torch.equal(part.ids, whole.ids[chosen])
        assert torch.equal(part.labels, whole.labels[chosen])


@every_masking
def test_sequences_of_one_text_have_different_masks(node):
    same_text = np.repeat(ROWS[:1], 50, axis=0)
    picked = build(node)(batch_of(same_text)).labels != IGNORE
    assert all((one != other).any() for one, other in combinations(picked, 2))


@every_masking
def test_one_seed_twice_is_identical_and_near_seeds_are_unrelated(node):
    batch = batch_of(ROWS)
    once, again = build(node, 7)(batch), build(node, 7)(batch)
    assert torch.equal(once.ids, again.ids)
    assert torch.equal(once.labels, again.labels)
    picks = [build(node, seed)(batch).labels != IGNORE for seed in (7, 8, 9)]
    tokens = int(batch.maskable.sum())
    for one, other in pairwise(picks):
        assert within_four_standard_errors(int((one & other).sum()), tokens, node["rate"] ** 2)


@every_masking
def test_a_rate_of_one_picks_every_maskable_token(node):
    batch = batch_of(ROWS[:50])
    masked = build(node, rate=1.0, swap=0.0, keep=0.0)(batch)
    assert torch.equal(masked.labels != IGNORE, batch.maskable)
    assert (masked.ids[batch.maskable] == VOCABULARY.mask).all()


@every_masking
def test_nothing_maskable_means_nothing_changes(node):
    rows = np.tile(np.array([VOCABULARY.cls, VOCABULARY.sep, VOCABULARY.pad], np.int32), (4, 1))
    masked = build(node)(batch_of(rows))
    assert np.array_equal(masked.ids.numpy(), rows)
    assert (masked.labels == IGNORE).all()


@every_masking
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", 0.0),
        ("rate", -0.15),
        ("rate", 1.01),
        ("rate", float("nan")),
        ("swap", -0.1),
        ("swap", 0.95),
        ("swap", float("nan")),
        ("keep", -0.1),
        ("keep", 0.95),
        ("keep", float("nan")),
        ("views", 0),
        ("views", -1),
    ],
)
def test_bad_shares_are_refused_by_name_and_value(node, key, value):
    with pytest.raises(UserError, match=rf"masking\.{key}={value}"):
        build(node, **{key: value})
