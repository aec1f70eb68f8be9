"""Batches: every epoch covers every row once, and a step depends on (seed, step) alone."""

import numpy as np
import pytest
import torch

from bertbench.data.batching import CorpusBatches, Short, ShortFirst, as_batch, bucketed
from bertbench.types import FOLLOWS, IGNORE, NOT, Rows, Vocabulary

VOCABULARY = Vocabulary(size=200, pad=1, cls=0, sep=2, mask=3, special=(0, 1, 2, 3, 4))


def packed(count, length=12):
    """Return rows of one segment or two, padded; the first word is 20 and the row's number."""
    generator = np.random.default_rng(0)
    ids = np.full((count, length), VOCABULARY.pad, dtype=np.int32)
    second = np.full(count, length, dtype=np.int32)
    related = np.full(count, IGNORE)
    for row in range(count):
        used = int(generator.integers(5, length))  # the last place is padding in every row
        ids[row, :used] = 10
        ids[row, [0, 1, used - 1]] = VOCABULARY.cls, row + 20, VOCABULARY.sep
        if row % 3:
            second[row] = generator.integers(3, used - 1)
            ids[row, second[row] - 1] = VOCABULARY.sep
            related[row] = NOT if row % 2 else FOLLOWS
    starts = (generator.random(ids.shape) < 0.5) & ~np.isin(ids, VOCABULARY.special)
    return Rows(ids, starts, second, related)


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


def test_short_rows_come_first_and_full_ones_once_their_share_is_spent():
    full, short = packed(13), packed(30, length=8)
    source = ShortFirst(
        full, VOCABULARY, batch_size=4, seed=0, short=Short(short, batch_size=16, share=0.25)
    )
    alone = {
        "short": CorpusBatches(short, VOCABULARY, batch_size=16, seed=0),
        "full": CorpusBatches(full, VOCABULARY, batch_size=4, seed=0),
    }
    for step, spent in enumerate((0.0, 0.1, 0.249, 0.25, 0.6, 0.99)):
        batch = source(step, spent)
        expected = alone["short" if spent < 0.25 else "full"](step, spent)
        assert torch.equal(batch.ids, expected.ids)
        assert batch.spent == spent
    whole = ShortFirst(full, VOCABULARY, batch_size=4, seed=0)
    assert torch.equal(whole(0).ids, alone["full"](0).ids)


@sizes
def test_a_batch_holds_the_rows_it_names_as_long_as_the_longest_of_them(count, size):
    source, rows = batches(count, size), packed(count)
    for step in range(2 * source.steps_per_epoch):
        batch = source(step)
        chosen = batch.sequence.numpy()
        used = (rows.ids[chosen] != VOCABULARY.pad).sum(1)
        length = batch.ids.shape[1]
        assert length == used.max() < rows.ids.shape[1]
        assert np.array_equal(batch.ids.numpy(), rows.ids[chosen, :length])
        assert np.array_equal(batch.starts.numpy(), rows.starts[chosen, :length])
        assert np.array_equal(batch.related.numpy(), rows.related[chosen])
        assert np.array_equal(batch.attention_mask.numpy().sum(1), used)


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


@pytest.mark.parametrize("spent", [0.0, 0.25, 0.999])
def test_what_was_spent_of_the_budget_is_passed_on_and_changes_nothing_else(spent):
    source = batches(13, 4)
    batch, expected = source(5, spent), source(5)
    assert expected.spent == 0
    assert batch.spent == spent
    assert as_batch(packed(3), np.arange(3), VOCABULARY, epoch=0, spent=spent).spent == spent
    assert torch.equal(batch.ids, expected.ids)
    assert torch.equal(batch.sequence, expected.sequence)


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
    ids = np.array(
        [[0, 50, 4, 51, 2, 1, 1, 1], [0, 60, 3, 2, 1, 1, 1, 1], [0, 70, 2, 71, 72, 2, 1, 1]],
        dtype=np.uint16,
    )
    starts = np.isin(ids, [50, 60, 70, 71])
    second = np.array([8, 8, 3], dtype=np.int32)
    rows = Rows(ids, starts, second, np.array([IGNORE, IGNORE, NOT]))
    batch = as_batch(rows, np.array([2, 0]), VOCABULARY, epoch=5)
    assert batch.ids.tolist() == [[0, 70, 2, 71, 72, 2], [0, 50, 4, 51, 2, 1]]
    assert batch.attention_mask.int().tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]
    assert batch.maskable.int().tolist() == [[0, 1, 0, 1, 1, 0], [0, 1, 0, 1, 0, 0]]
    assert batch.starts.int().tolist() == [[0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert batch.segment_ids.tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
    assert batch.related.tolist() == [NOT, IGNORE]
    assert batch.sequence.tolist() == [2, 0]
    assert batch.epoch == 5
    alone = as_batch(rows, np.array([1]), VOCABULARY, epoch=0)
    assert alone.ids.tolist() == [[0, 60, 3, 2]]
    integers = ("ids", "segment_ids", "related", "sequence")
    assert all(getattr(batch, name).dtype == torch.int64 for name in integers)
    booleans = ("attention_mask", "maskable", "starts")
    assert all(getattr(batch, name).dtype == torch.bool for name in booleans)


def test_segment_ids_are_one_on_the_second_segment_and_its_separator_alone():
    rows = packed(40)
    batch = as_batch(rows, np.arange(40), VOCABULARY, epoch=0)
    for ids, segments, begin in zip(batch.ids, batch.segment_ids, rows.second, strict=True):
        used = int((ids != VOCABULARY.pad).sum())
        expected = [int(begin <= place < used) for place in range(len(ids))]
        assert segments.tolist() == expected
        assert sum(segments[(ids == VOCABULARY.sep)].tolist()) == (begin < used)


@pytest.mark.parametrize("row", range(9))
def test_a_row_alone_is_that_row_of_a_larger_batch_up_to_padding(row):
    rows = packed(9)
    together = as_batch(rows, np.arange(9), VOCABULARY, epoch=0)
    alone = as_batch(rows, np.array([row]), VOCABULARY, epoch=0)
    length = alone.ids.shape[1]
    assert alone.attention_mask.all()
    for name in ("ids", "attention_mask", "maskable", "starts", "segment_ids"):
        larger = getattr(together, name)[row]
        assert torch.equal(getattr(alone, name)[0], larger[:length])
        assert (larger[length:] == (VOCABULARY.pad if name == "ids" else 0)).all()
    assert alone.related.item() == together.related[row].item()


def test_batches_of_rows_on_disk_are_those_of_rows_in_memory(tmp_path):
    """And can be changed without changing the file."""
    rows = packed(20)
    for name, array in zip(rows._fields, rows, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = Rows(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in rows._fields))
    chosen = np.array([7, 3, 19])
    one, other = (as_batch(source, chosen, VOCABULARY, epoch=0) for source in (rows, mapped))
    for name in ("ids", "attention_mask", "maskable", "starts", "segment_ids", "related"):
        assert torch.equal(getattr(one, name), getattr(other, name))
        getattr(other, name).zero_()
    assert all(np.array_equal(*arrays) for arrays in zip(rows, mapped, strict=True))


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
