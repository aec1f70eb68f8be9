"""Batches: every epoch covers every row once, and a step depends on (seed, step) alone."""

import numpy as np
import pytest
import torch

from bertbench.data.batching import CorpusBatches, as_batch, bucketed
from bertbench.types import Vocabulary

VOCABULARY = Vocabulary(size=200, pad=0, cls=1, sep=2, mask=3, special=(0, 1, 2, 3, 4))


def packed(count, length=6):
    """Return rows whose third column is the row's number."""
    rows = np.full((count, length), 10, dtype=np.int32)
    rows[:, 0], rows[:, 2] = 1, np.arange(count) + 20
    rows[:, -2], rows[:, -1] = 2, 0
    return rows


def batches(count, size, seed=0):
    return CorpusBatches(packed(count), VOCABULARY, batch_size=size, seed=seed)


sizes = pytest.mark.parametrize(("count", "size"), [(12, 4), (13, 4), (3, 8), (1, 1), (40, 7)])


@sizes
def test_every_epoch_covers_each_row_once(count, size):
    source = batches(count, size)
    per_epoch = -(-count // size)
    assert source.steps_per_epoch == per_epoch
    for epoch in range(3):
        seen = [source(epoch * per_epoch + place) for place in range(per_epoch)]
        assert all(batch.epoch == epoch for batch in seen)
        assert all(len(batch.sequence) == size for batch in seen[:-1])
        assert sorted(torch.cat([batch.sequence for batch in seen]).tolist()) == list(range(count))


@sizes
def test_a_batch_holds_the_rows_it_names(count, size):
    source = batches(count, size)
    for step in range(2 * source.steps_per_epoch):
        batch = source(step)
        assert np.array_equal(batch.ids.numpy(), packed(count)[batch.sequence.numpy()])


@pytest.mark.parametrize("step", [0, 3, 7, 11, 30])
def test_a_step_does_not_depend_on_the_steps_before_it(step):
    straight, resumed, backwards = (batches(13, 4) for _ in range(3))
    for before in range(step):
        straight(before)
    for after in range(step + 5, step, -1):
        backwards(after)
    expected = resumed(step)
    for source in (straight, backwards, resumed):
        batch = source(step)
        assert batch.epoch == expected.epoch
        assert torch.equal(batch.sequence, expected.sequence)
        assert torch.equal(batch.ids, expected.ids)


def orders(source, epochs):
    per_epoch = source.steps_per_epoch
    return [
        tuple(
            row
            for place in range(per_epoch)
            for row in source(epoch * per_epoch + place).sequence.tolist()
        )
        for epoch in range(epochs)
    ]


def test_every_epoch_has_its_own_order():
    assert len(set(orders(batches(30, 7), 6))) == 6


def test_every_seed_has_its_own_order_and_one_seed_always_the_same():
    found = [orders(batches(30, 7, seed), 2)[0] for seed in (0, 1, 2, 0)]
    assert len(set(found)) == 3
    assert found[0] == found[3]


def test_as_batch_hides_padding_and_protects_special_tokens():
    rows = np.array([[1, 50, 4, 51, 2, 0], [1, 60, 3, 2, 0, 0]], dtype=np.int32)
    batch = as_batch(rows, np.array([1, 0]), VOCABULARY, epoch=5)
    assert batch.ids.dtype == torch.int64
    assert batch.ids.tolist() == [[1, 60, 3, 2, 0, 0], [1, 50, 4, 51, 2, 0]]
    assert batch.attention_mask.int().tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]
    assert batch.maskable.int().tolist() == [[0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0]]
    assert batch.sequence.tolist() == [1, 0]
    assert batch.epoch == 5


LENGTHS = np.random.default_rng(0).integers(8, 129, 700).tolist()

every_cut = pytest.mark.parametrize(
    ("count", "size"), [(700, 8), (700, 16), (65, 64), (64, 64), (5, 8), (401, 4), (1, 1)]
)


@every_cut
def test_bucketed_is_a_partition_into_full_batches_and_one_rest(count, size):
    cut = bucketed(LENGTHS[:count], batch_size=size, seed=0, epoch=0)
    assert sorted(np.concatenate(cut).tolist()) == list(range(count))
    rest = count % size
    assert sorted(map(len, cut)) == [rest] * bool(rest) + [size] * (count // size)


@every_cut
def test_bucketed_depends_on_seed_and_epoch_alone(count, size):
    first, second = (bucketed(LENGTHS[:count], batch_size=size, seed=4, epoch=2) for _ in "12")
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]


def test_bucketed_differs_between_epochs_and_seeds():
    cuts = {
        tuple(tuple(batch.tolist()) for batch in bucketed(LENGTHS, batch_size=8, seed=s, epoch=e))
        for s in range(3)
        for e in range(3)
    }
    assert len(cuts) == 9


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("seed", [0, 1])
def test_lengths_within_a_batch_are_closer_than_within_random_batches(size, seed):
    """Padding, in tokens, falls below a fifth of what random batches of the same size need."""
    lengths = np.array(LENGTHS)

    def padding(cut):
        return sum(int((lengths[batch].max() - lengths[batch]).sum()) for batch in cut)

    order = np.random.default_rng(seed).permutation(len(lengths))
    at_random = np.split(order, range(size, len(order), size))
    cut = bucketed(LENGTHS, batch_size=size, seed=seed, epoch=0)
    assert padding(cut) < padding(at_random) / 5


def test_bucketed_batches_do_not_come_in_order_of_length():
    """Or a pass would begin with the short texts and end with the long ones."""
    cut = bucketed(LENGTHS, batch_size=8, seed=0, epoch=0)
    means = [np.array(LENGTHS)[batch].mean() for batch in cut]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
