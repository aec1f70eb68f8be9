"""Rows on disk: what is written is what stays in memory, and every token knows whether it begins a word."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
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

from bertbench.data import packed
from bertbench.data.mapped import release
from bertbench.data.packing import Sequence
from bertbench.types import FOLLOWS, IGNORE, NOT

LENGTH = 24
DTYPES = {"starts": np.bool_, "second": np.int32, "related": np.int64}
every_packing = pytest.mark.parametrize("name", PACKINGS)


def on_disk(name, tokens, folder):
    sequences = PACKINGS[name](tokens, every(tokens), length=LENGTH, seed=0)
    packed.write(sequences, tokens, NUMBERS, folder, length=LENGTH)
    return packed.read(folder)


@every_packing
@pytest.mark.parametrize("at_once", [1, 7, 100, packed.AT_ONCE])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_rows_read_from_disk_are_those_in_memory(name, at_once, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "AT_ONCE", at_once)
    tokens = corpus(sizes(0, 50, sentences=8), dtype)
    expected = rows_of(PACKINGS[name], tokens, length=LENGTH)
    found = on_disk(name, tokens, tmp_path / "deep" / "rows")
    assert len(expected.ids) > 100
    for field, one, other in zip(found._fields, found, expected, strict=True):
        assert one.dtype == other.dtype == (DTYPES | {"ids": dtype})[field]
        assert np.array_equal(one, other)


@every_packing
def test_rows_are_memory_mapped_and_cannot_be_written_to(name, tmp_path):
    found = on_disk(name, corpus(sizes(0, 10)), tmp_path / "rows")
    for array in found:
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_no_row_at_all_can_be_written_and_read(dtype, tmp_path):
    tokens = corpus([], dtype)
    packed.write([], tokens, NUMBERS, tmp_path / "rows", length=LENGTH)
    for found in (
        packed.read(tmp_path / "rows"),
        packed.in_memory([], tokens, NUMBERS, length=LENGTH),
    ):
        assert found.ids.shape == found.starts.shape == (0, LENGTH)
        assert found.second.shape == found.related.shape == (0,)
        for field, array in zip(found._fields, found, strict=True):
            assert array.dtype == (DTYPES | {"ids": dtype})[field]


def test_rows_are_never_written_over_others(tmp_path):
    on_disk("full", corpus([[3]]), tmp_path / "rows")
    with pytest.raises(FileExistsError):
        on_disk("full", corpus([[4]]), tmp_path / "rows")


@every_packing
def test_a_token_begins_a_word_as_in_the_corpus_or_where_a_segment_begins(name):
    """What is left of a word that a row's end cut is a word of its row; a special token is none."""
    tokens = corpus(sizes(1, 80, long=0.2))
    rows = rows_of(PACKINGS[name], tokens, length=LENGTH)
    special = np.isin(rows.ids, NUMBERS.special)
    before = np.pad(special, ((0, 0), (1, 0)))[:, :-1]  # whether a special token is just before
    assert not (rows.starts & special).any()
    assert rows.starts[~special & before].all()
    inside = ~special & ~before
    assert np.array_equal(rows.starts[inside], tokens.starts[rows.ids[inside] - FIRST])
    began = tokens.starts[rows.ids[~special & before] - FIRST]
    assert not began.all()  # some rows do begin within a word


def test_what_a_row_looks_like_by_hand():
    tokens = written("10 11 12 13", "20 21")._replace(
        starts=np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    )
    sequences = [
        Sequence([(0, 3), None, (4, 6)]),
        Sequence([(1, 2)], [(3, 4), (4, 5)], NOT),
        Sequence([(0, 1)], [(5, 6)], FOLLOWS),
    ]
    rows = packed.in_memory(sequences, tokens, NUMBERS, length=9)
    assert rows.ids.tolist() == [
        [CLS, 10, 11, 12, SEP, 20, 21, SEP, PAD],
        [CLS, 11, SEP, 13, 20, SEP, PAD, PAD, PAD],
        [CLS, 10, SEP, 21, SEP, PAD, PAD, PAD, PAD],
    ]
    assert rows.starts.astype(int).tolist() == [
        [0, 1, 0, 0, 0, 1, 0, 0, 0],
        [0, 1, 0, 1, 1, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 0, 0, 0, 0],
    ]
    assert rows.second.tolist() == [9, 3, 3]
    assert rows.related.tolist() == [IGNORE, NOT, FOLLOWS]


def test_pages_that_were_read_can_be_let_go_and_are_read_again(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(2**20))
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    total = int(array.sum())
    release(array, np.arange(3))
    assert int(array.sum()) == total
    if sys.platform == "linux":
        before = resident()
        assert int(array.sum()) == total
        release(array)
        assert resident() <= before + 2**20


def resident():
    """Return the bytes of file-backed pages in this process's memory."""
    pages = Path("/proc/self/statm").read_text().split()[2]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
