"""A tokenised corpus: the right ids and words, the same bytes however it was made, bounded memory."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy
from transformers import PreTrainedTokenizerFast

from bertbench import interrupt
from bertbench import tokenizer as tokenizers
from bertbench.data import shards, tokenise
from bertbench.data.sentences import spaced
from bertbench.data.tokenise import describe, open_tokens, read_card
from bertbench.data.words import word_starts
from bertbench.errors import UserError

KINDS = ("wordpiece", "byte_bpe", "unigram")
every_kind = pytest.mark.parametrize("kind", KINDS)
SMALL = 1500  # characters of a shard: the toy corpus makes about a dozen
STRANGE = [
    "Zürich and the Übermatch, don't: U.S. shares at 1,234.5!",
    "",
    "日本語 match 🙂🙂 and naïve café\u0301s",
    " \n\t\n ",
    "half a \ud83d character, and two: \ud83d\ude42",
    "[MASK] <mask> [SEP] </s> spelt out <pad>",
    "\u200b",
]


def train(kind, texts):
    sizes = {"wordpiece": 200, "byte_bpe": 400, "unigram": 75}
    more = {} if kind == "byte_bpe" else {"lowercase": True}
    return getattr(tokenizers, kind)(texts, vocab_size=sizes[kind], **more)


@pytest.fixture(scope="module")
def trained():
    """One tokenizer of each kind, which knows the characters of the worked examples."""
    texts = [*toy.corpus(), "Zürich don't 1,234.5! U.S. 日本語 🙂 naive café" * 3]
    return {kind: train(kind, texts) for kind in KINDS}


def run(documents, tokenizer, folder, **changed):
    fixed = {"deduplicate": False, "work": None, "processes": 1}
    return tokenise.tokenise(documents, tokenizer, folder, **fixed | changed)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def straightforward(documents, tokenizer):
    """Return ids by document and sentence; nothing empty."""
    cut = [
        [tokenizer(s, add_special_tokens=False)["input_ids"] for s in spaced(document)]
        for document in documents
    ]
    return [found for document in cut if (found := [ids for ids in document if ids])]


def by_document(tokens):
    """Return ids by document and sentence."""
    borders = tokens.sentences
    return [
        [tokens.ids[borders[s] : borders[s + 1]].tolist() for s in range(begin, end)]
        for begin, end in zip(tokens.documents[:-1], tokens.documents[1:], strict=True)
    ]


@every_kind
def test_the_stream_is_that_of_tokenising_sentence_by_sentence(trained, kind, tmp_path):
    documents = [*toy.corpus(), *STRANGE[:4]]
    run(documents, trained[kind], tmp_path, shard_size=SMALL)
    assert by_document(open_tokens(tmp_path)) == straightforward(documents, trained[kind])


@every_kind
def test_the_stream_of_a_document_is_that_of_the_document_as_a_whole(trained, kind, tmp_path):
    """As a task's texts are read: a byte-level word has the space before it, an end of line is there."""
    documents = [
        "The match was new. It was\na goal! The coach\n\nsaid so.  A song.",
        *toy.corpus(),
    ]
    run(documents, trained[kind], tmp_path)
    ids = [
        [i for sentence in document for i in sentence]
        for document in by_document(open_tokens(tmp_path))
    ]
    assert ids == [
        trained[kind](text, add_special_tokens=False)["input_ids"] for text in documents
    ]


@every_kind
def test_offsets_rise_from_zero_to_the_end(trained, kind, tmp_path):
    run([*toy.corpus(), *STRANGE], trained[kind], tmp_path, shard_size=SMALL)
    ids, starts, borders, documents = open_tokens(tmp_path)
    assert isinstance(ids, np.memmap)
    assert (ids.dtype, starts.dtype) == (np.uint16, np.bool_)
    assert (borders.dtype, documents.dtype) == (np.int64, np.int64)
    assert len(ids) == len(starts) == borders[-1]
    assert len(borders) - 1 == documents[-1]
    for offsets in (borders, documents):
        assert offsets[0] == 0
        assert (np.diff(offsets) > 0).all()
    assert starts[borders[:-1]].all()


@every_kind
def test_no_special_token_comes_of_a_text_that_spells_it(trained, kind, tmp_path):
    tokenizer = trained[kind]
    run(STRANGE, tokenizer, tmp_path)
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    assert not special & {*open_tokens(tmp_path).ids.tolist()}


def test_half_a_character_becomes_a_replacement_and_two_halves_one(trained, tmp_path):
    run(["half \ud83d", "two \ud83d\ude42"], trained["byte_bpe"], tmp_path)
    ids = [document[0] for document in by_document(open_tokens(tmp_path))]
    assert [trained["byte_bpe"].decode(i) for i in ids] == ["half \ufffd", "two \U0001f642"]


def test_many_entries_need_wide_ids(tmp_path):
    words = {f"w{i}": i + 1 for i in range(70_000)}
    unk = tokenizers.BERT["unk"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(vocab={unk: 0, **words}, unk_token=unk)
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=unk)
    card = run(["w5 w69999 none"], tokenizer, tmp_path)
    ids = open_tokens(tmp_path).ids
    assert ids.dtype == np.int32
    assert ids.tolist() == [6, 70_000, 0]
    assert (card["unknown"], card["unknown_share"]) == (1, 1 / 3)


def test_truncation_and_padding_of_the_tokenizer_are_not_heeded(trained, tmp_path):
    tokenizer = train("wordpiece", toy.corpus())
    run(toy.corpus(), tokenizer, tmp_path / "plain")
    tokenizer(["the match", "a"], truncation=True, max_length=3, padding="max_length")
    run(toy.corpus(), tokenizer, tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "plain")


@pytest.mark.parametrize(
    ("processes", "shard_size"), [(1, 400), (2, SMALL), (3, 5000), (2, 10**9)]
)
def test_processes_and_shards_change_no_byte(trained, tmp_path, processes, shard_size):
    documents = [*toy.corpus(), *STRANGE, *toy.corpus()[:5]]
    run(documents, trained["unigram"], tmp_path / "a", deduplicate=True)
    run(
        documents, trained["unigram"], tmp_path / "b", deduplicate=True,
        processes=processes, shard_size=shard_size,
    )  # fmt: skip
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_parts_of_a_long_document_are_one_document(trained, tmp_path, monkeypatch):
    long = "\n".join(toy.corpus())
    documents = ["the match.", long, "the song.", long.upper(), long]
    whole = run(documents, trained["wordpiece"], tmp_path / "whole", deduplicate=True)
    monkeypatch.setattr(tokenise, "PIECE", 700)
    for size in (500, 2000):
        parts = run(
            documents,
            trained["wordpiece"],
            tmp_path / f"{size}",
            deduplicate=True,
            shard_size=size,
        )
        assert content(tmp_path / f"{size}") == content(tmp_path / "whole")
        assert parts == whole
    assert (whole["kept"], whole["duplicates"]) == (3, 2)


def test_finished_shards_are_taken_and_missing_or_damaged_ones_made(
    trained, tmp_path, monkeypatch
):
    tokenizer, work = trained["byte_bpe"], tmp_path / "work"
    made = []
    real = tokenise.write_shard

    def counted(*given, **named):
        made.append(given[-1])
        return real(*given, **named)

    monkeypatch.setattr(tokenise, "write_shard", counted)
    again = {"work": work, "shard_size": SMALL}
    run(toy.corpus(), tokenizer, tmp_path / "a", **again)
    names = sorted(path.name for path in work.iterdir())
    assert len(made) == len(names) > 6
    made.clear()
    run(toy.corpus(), tokenizer, tmp_path / "b", **again)
    assert made == []
    (work / names[0]).unlink()
    whole = (work / names[3]).read_bytes()
    (work / names[3]).write_bytes(whole[:-5] + b"wrong")
    (work / names[5]).write_bytes(whole[:100])
    run(toy.corpus(), tokenizer, tmp_path / "c", **again)
    assert len(made) == 3
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")
    assert sorted(path.name for path in work.iterdir()) == names


def test_shards_of_another_tokenizer_or_text_are_not_taken(trained, tmp_path):
    again = {"work": tmp_path / "work", "shard_size": SMALL}
    run(toy.corpus(), trained["unigram"], tmp_path / "a", **again)
    changed = [*toy.corpus()[:-1], "another song."]
    run(changed, trained["wordpiece"], tmp_path / "b", **again)
    run(changed, trained["wordpiece"], tmp_path / "c")
    assert content(tmp_path / "b") == content(tmp_path / "c")


KILLED = """
import itertools, sys
from pathlib import Path
if __name__ == "__main__":  # which its children do not run: they import little
    import toy
    from bertbench import tokenizer
    from bertbench.data.tokenise import tokenise
    tokenise(itertools.cycle(toy.corpus()), tokenizer.load(Path(sys.argv[1])), Path(sys.argv[2]),
             deduplicate=False, work=Path(sys.argv[3]), processes=2, shard_size=200_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_process_leaves_whole_shards_and_no_children(trained, tmp_path):
    """It is killed alone: its children notice."""
    trained["wordpiece"].save_pretrained(tmp_path / "tokenizer")
    work, program = tmp_path / "work", tmp_path / "endless.py"
    program.write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, program, tmp_path / "tokenizer", tmp_path / "out", work],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    until(lambda: len(list(work.glob("[0-9]*"))) >= 3)
    children = [*children_of(process.pid)]
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    found = sorted(work.glob("[0-9]*"))
    assert [shards.finished(work, path.stem.rpartition("-")[0]) for path in found] == found


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children_of(parent):
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            yield int(status.parent.name)


def test_a_request_to_stop_is_answered_between_shards(trained, tmp_path, monkeypatch):
    work = tmp_path / "work"

    def documents():
        for number, text in enumerate(toy.corpus()):
            if number == 30:
                monkeypatch.setattr(interrupt._State, "requested", True)
            yield text

    with pytest.raises(KeyboardInterrupt):
        run(documents(), trained["wordpiece"], tmp_path / "a", work=work, shard_size=SMALL)
    assert any(work.iterdir())
    assert not (tmp_path / "a" / tokenise.CARD).exists()


def test_the_first_of_repeated_documents_stays(trained, tmp_path):
    documents = ["The match was new.", "A song.", "the  MATCH\nwas new. ", "A song.", "A song!"]
    kept = ["The match was new.", "A song.", "A song!"]
    for size in (5, 10**6):
        card = run(documents, trained["byte_bpe"], tmp_path, deduplicate=True, shard_size=size)
        assert by_document(open_tokens(tmp_path)) == straightforward(kept, trained["byte_bpe"])
        assert (card["documents"], card["kept"], card["duplicates"]) == (5, 3, 2)
    card = run(documents, trained["byte_bpe"], tmp_path, deduplicate=False)
    assert (card["documents"], card["kept"], card["duplicates"]) == (5, 5, 2)
    assert by_document(open_tokens(tmp_path)) == straightforward(documents, trained["byte_bpe"])


def test_the_card_counts_what_is_counted_by_hand(trained, tmp_path):
    documents = ["Match. Don't!", "", "the Ж", "THE ж", "\n"]
    card = run(documents, trained["wordpiece"], tmp_path, deduplicate=True)
    expected = {
        "documents": 5, "empty": 2, "duplicates": 1, "deduplicated": True, "kept": 2,
        "characters": 18, "sentences": 3, "words": 8, "unknown": 1,
    }  # fmt: skip
    # match . | don ' t ! | the Ж
    assert {name: card[name] for name in expected} == expected
    assert {k: n for k, n in card["letters"].items() if n} == {"Latin": 12, "Cyrillic": 1}
    lengths = [sum(map(len, document)) for document in by_document(open_tokens(tmp_path))]
    assert card["tokens"] == sum(lengths)
    assert card["unknown_share"] == 1 / card["tokens"]
    assert card["tokens_a_document"] == {
        "mean": np.mean(lengths), "median": np.median(lengths), "longest": max(lengths)
    }  # fmt: skip
    assert read_card(tmp_path) == card == json.loads((tmp_path / "card.json").read_text())
    said = describe(card)
    assert said.count("\n") == 1
    for part in ("2 of 5 documents", "2 empty", "1 repeated and left out", "Latin 92.3%"):
        assert part in said


@pytest.mark.parametrize("documents", [[], ["", " \n"]])
def test_no_text_makes_an_empty_corpus(trained, tmp_path, documents):
    card = run(documents, trained["wordpiece"], tmp_path, deduplicate=True)
    assert (card["documents"], card["kept"], card["tokens"]) == (len(documents), 0, 0)
    assert [array.tolist() for array in open_tokens(tmp_path)] == [[], [], [0], [0]]
    assert "letters: none" in describe(card)


def test_a_slow_tokenizer_is_refused(trained, tmp_path):
    class Slow:
        is_fast = False

    with pytest.raises(UserError, match=r"Slow is a slow tokenizer.*tokenizer\.json"):
        run(toy.corpus(), Slow(), tmp_path)


def in_daemon(folder):
    run(
        toy.corpus(),
        tokenizers.load(folder / "tokenizer"),
        folder / "b",
        processes=2,
        shard_size=SMALL,
    )


def test_a_process_that_may_have_no_children_works_alone(trained, tmp_path):
    trained["wordpiece"].save_pretrained(tmp_path / "tokenizer")
    run(toy.corpus(), trained["wordpiece"], tmp_path / "a")
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=in_daemon, args=(tmp_path,), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")


MEASURED = """
import sys
from pathlib import Path
import toy
from bertbench import tokenizer
from bertbench.data.tokenise import tokenise
def documents(megabytes):
    texts = toy.corpus()
    made = 0
    while made < megabytes * 1e6:
        document = f"{made}. " + " ".join(texts[(made + i) % len(texts)] for i in range(20))
        made += len(document)
        yield document
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
if __name__ == "__main__":
    given = dict(deduplicate=True, work=None, processes=1, shard_size=1_000_000)
    cutter = tokenizer.load(Path(sys.argv[1]))
    tokenise(documents(4), cutter, Path(sys.argv[2]), **given)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak()
    tokenise(documents(40), cutter, Path(sys.argv[2]), **given)
    print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_times_the_corpus_takes_no_more_memory(trained, tmp_path):
    trained["byte_bpe"].save_pretrained(tmp_path / "tokenizer")
    program = tmp_path / "measured.py"
    program.write_text(MEASURED)
    done = subprocess.run(
        [sys.executable, program, tmp_path / "tokenizer", tmp_path / "out"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 15  # MB, for 40 MB of text and 27 MB of tokens
    assert read_card(tmp_path / "out")["characters"] > 40e6


def starts_of(sentence, tokenizer):
    encoding = tokenizer.backend_tokenizer.encode(sentence, add_special_tokens=False)
    begins = np.array([begin for begin, _ in encoding.offsets], dtype=np.int64)
    return word_starts([sentence], begins, np.array([len(begins)])).tolist()


def test_starts_of_a_corpus_are_those_of_its_sentences(trained, tmp_path):
    run([*toy.corpus(), *STRANGE[:4]], trained["unigram"], tmp_path, shard_size=SMALL)
    expected = [
        begins
        for document in [*toy.corpus(), *STRANGE[:4]]
        for sentence in spaced(document)
        for begins in starts_of(sentence, trained["unigram"])
    ]
    assert open_tokens(tmp_path).starts.tolist() == expected
