"""`inspect`: what it shows is what transformers, the masking and the packing make of the same texts."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, SMALL_VOCABULARY
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertbench import __main__ as door
from bertbench import tokenizer as tokenizers
from bertbench.budget import Budget
from bertbench.commands.inspect import ABOUT, is_override, main
from bertbench.config import build
from bertbench.data.batching import as_batch
from bertbench.inspection.batches import spent_at_epochs
from bertbench.inspection.columns import Cell, aligned, visible, wide
from bertbench.inspection.provision import rows_of, tokenizer_of
from bertbench.inspection.subjects import find
from bertbench.progress import Checkpoints
from bertbench.recipe import provide_encoder
from bertbench.types import FOLLOWS, IGNORE, Rows, Vocabulary

KINDS = {
    "bert": "wordpiece",
    "roberta": "byte_bpe",
    "albert": "unigram",
    "distilbert": "wordpiece",
}
SEGMENTS = {"bert", "albert"}
ALWAYS = [*SMALL, "runtime.threads=1", "runtime.device=cpu", "task.source._target_=toy.broken"]
TEXTS = ["The coach said a song was new.", "Profit and price of the bank, after the year."]
ESCAPE = "\x1b"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def toy(model="bert", *own):
    """Return the overrides of a small run; its task cannot be read."""
    named = any(word.startswith("weights=") or word.endswith("scratch") for word in (model, *own))
    return [
        *ALWAYS,
        *([] if named else ["weights=pretrain"]),
        f"model.tokenizer.vocab_size={SMALL_VOCABULARY[KINDS.get(model, 'wordpiece')]}",
    ]


@pytest.fixture
def say(capsys):
    """Inspect something with the settings of a small run; return what is printed."""

    def run(kind, *arguments, model="bert"):
        own = (
            []
            if any(word.startswith(("--model", "model=")) for word in arguments)
            else ["--model", model]
        )
        assert main([kind, *own, *toy(model, *arguments), *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def look(say):
    """Inspect something; return its document."""
    return lambda kind, *rest, **more: json.loads(say(kind, "--json", *rest, **more))


@pytest.fixture
def refuse(capsys, monkeypatch):
    """Go through the front door; return the one sentence that it answers with."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bertbench", "inspect", *arguments])
        with pytest.raises(SystemExit) as end:
            door.main()
        said = capsys.readouterr()
        assert (end.value.code, said.out) == (2, "")
        *before, sentence = said.err.splitlines()
        assert all("once: it is kept" in line for line in before)
        assert sentence.startswith("bertbench: ")
        return sentence

    return run


def kept_tokenizer():
    (folder,) = Path(".bertbench/tokenizer").iterdir()
    return AutoTokenizer.from_pretrained(folder)


# pairs


@pytest.mark.parametrize("model", KINDS)
def test_pairs_are_cut_as_transformers_cuts_them(model, look):
    for texts, lengths in ((TEXTS, (8, 19, 100)), (TEXTS[::-1], (13,)), (TEXTS[:1], (8,))):
        for length in lengths:
            (one,) = look("pairs", *texts, "--length", str(length), model=model)["models"]
            reader = kept_tokenizer()
            expected = reader(
                *texts, truncation="longest_first", max_length=length,
                return_token_type_ids=True, return_special_tokens_mask=True,
            )  # fmt: skip
            assert one["ids"] == expected["input_ids"]
            assert one["tokens"] == reader.convert_ids_to_tokens(one["ids"])
            assert one["special"] == [bool(m) for m in expected["special_tokens_mask"]]
            types = expected["token_type_ids"] if model in SEGMENTS else None
            assert one["segment_ids"] == types
            for number, text in enumerate(texts):
                whole = reader(text, add_special_tokens=False)["input_ids"]
                kept = expected.sequence_ids(0).count(number)
                assert one["total"][number] == len(whole)
                assert one["lost"][number] == len(whole) - kept
                parts = zip(one["tokens"], one["source"], one["text_of"], strict=True)
                # A lone space mark of Unigram stands before the first character and shares it.
                left = "".join(s for t, s, owner in parts if owner == number and t != "▁")
                assert bool(one["cut"][number]) == (kept < len(whole))
                assert re.sub(r"\s", "", left + one["cut"][number]) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("model", KINDS)
def test_words_begin_where_the_text_has_them(model, look):
    (one,) = look("pairs", "the guitar, a goal", "score", model=model)["models"]
    words, joined = [], zip(one["source"], one["starts"], one["special"], strict=True)
    for source, starts, special in joined:
        if starts:
            words.append(source)
        elif not special:
            words[-1] += source
    assert [word.strip() for word in words] == ["the", "guitar", ",", "a", "goal", "score"]


def test_length_is_the_tasks_by_default(look):
    assert look("pairs", "the " * 50)["models"][0]["length"] == 32
    assert look("pairs", "the " * 50, "task.max_length=16")["models"][0]["lost"] == [36]


def test_an_unknown_character_is_shown(look, say):
    one = look("pairs", "the ☃ goal")["models"][0]
    assert one["unknown"] == [2]
    assert one["source"][2] == "☃"
    assert "1 unknown: ☃ (U+2603)" in say("pairs", "the ☃ goal")


def test_what_is_cut_is_said(say):
    said = say("pairs", "the the the the of the and", "a", "--length", "8")
    assert "cut: the first text loses 3 of its 7 tokens: of the and" in said
    assert "the second text" not in said
    assert "cut:" not in say("pairs", "the goal", "a")


def test_each_model_has_its_block(say):
    said = say("pairs", "the goal", "--model", "bert,distilbert")
    blocks = said.split("\n\n")
    assert [block.split(":")[0] for block in blocks[:2]] == ["bert", "distilbert"]
    lines = [next(line for line in b.splitlines() if "segment" in line) for b in blocks[:2]]
    assert [set(line.split()[1:]) for line in lines] == [{"0"}, {"-"}]
    assert say("pairs", "the goal", "model=bert,distilbert") == said


def test_the_model_is_the_configs_by_default(capsys):
    assert main(["pairs", "the goal", *toy()]) == 0
    assert capsys.readouterr().out.startswith("bert: ")


def test_columns_are_as_wide_as_the_terminal_and_lose_nothing(say, look, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    tokens = look("pairs", *TEXTS)["models"][0]["tokens"]
    lines = say("pairs", *TEXTS).splitlines()
    assert max(wide(line) for line in lines if line.startswith("  ")) <= 50
    shown = [line.split()[1:] for line in lines if line.startswith("  token")]
    assert len(shown) > 1
    assert [token for line in shown for token in line] == tokens


def test_columns_stand_below_each_other_whatever_their_letters():
    cells = [("a", [Cell("東京"), Cell("x")]), ("bb", [Cell("e\u0301"), Cell("y", "red")])]
    assert aligned(cells, width=40, colour=False) == ["  a  東京 x", "  bb e\u0301    y"]
    painted = aligned(cells, width=40, colour=True)
    assert re.sub(r"\x1b\[\d+m", "", "\n".join(painted)) == "  a  東京 x\n  bb e\u0301    y"


# A terminal


def test_colour_is_for_terminals_alone(say, monkeypatch):
    assert ESCAPE not in say("batch", "--rows", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    coloured = say("batch", "--rows", "8")
    for code in (31, 32, 33):  # hidden, kept, swapped
        assert f"{ESCAPE}[{code}m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = say("batch", "--rows", "8")
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert ESCAPE not in plain


def test_a_text_cannot_control_the_terminal(say):
    evil = f"the {ESCAPE}[2J\x9b31m \u202e goal\x07"
    for said in (say("pairs", evil, "--length", "5"), say("pairs", evil, model="roberta")):
        assert all(char.isprintable() or char == "\n" for char in said)
    assert r"\x1b" in say("pairs", evil, model="roberta")
    assert say("pairs", evil, "--json").isascii()
    assert visible("a\tb\u200d é 東") == r"a\tb\u200d é 東"


def test_a_text_that_is_no_unicode_is_read(look):
    (one,) = look("pairs", "the \udcff goal", model="roberta")["models"]
    assert "�" in one["source"]


def test_a_narrow_alphabet_of_the_terminal_is_enough(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert main(["pairs", "the ☃", *toy()]) == 0
    narrow.flush()
    assert rb"\u2603" in narrow.buffer.getvalue()


# mask


def released(folder):
    return ["weights=released", f"weights.source={folder}"]


def test_full_context_predicts_what_transformers_predicts(look, checkpoint_folder):
    text = "the coach said [MASK] song was [MASK]."
    (one,) = look("mask", text, "--top", "7", *released(checkpoint_folder))["models"]
    reader = AutoTokenizer.from_pretrained(checkpoint_folder)
    model = AutoModelForMaskedLM.from_pretrained(checkpoint_folder).eval()
    encoded = reader(text, return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**encoded).logits[0].softmax(-1)
    places = (encoded["input_ids"][0] == reader.mask_token_id).nonzero().flatten().tolist()
    assert [found["position"] for found in one["masks"]] == places
    assert len(places) == 2
    for found in one["masks"]:
        best = probabilities[found["position"]].topk(7)
        assert [guess["id"] for guess in found["full"]] == best.indices.tolist()
        given = [guess["probability"] for guess in found["full"]]
        np.testing.assert_allclose(given, best.values.numpy(), rtol=1e-5)
        named = reader.convert_ids_to_tokens([guess["id"] for guess in found["full"]])
        assert [guess["token"] for guess in found["full"]] == named


def test_one_side_alone_is_blind_to_the_other(look, checkpoint_folder):
    def predictions(text):
        (one,) = look("mask", text, *released(checkpoint_folder))["models"]
        return one["masks"][0]

    both = predictions("the of [MASK] a and")
    right_changed = predictions("the of [MASK] in was")
    left_changed = predictions("in on [MASK] a and")
    assert both["left"] == right_changed["left"] != left_changed["left"]
    assert both["right"] == left_changed["right"] != right_changed["right"]
    assert len({json.dumps(p["full"]) for p in (both, right_changed, left_changed)}) == 3


@pytest.mark.parametrize("model", KINDS)
def test_the_mask_is_the_tokenizers_own_and_takes_its_space_along(model, look):
    (one,) = look("mask", "the [MASK] team", "weights=random", model=model)["models"]
    reader = kept_tokenizer()
    assert one["ids"].count(reader.mask_token_id) == 1
    place = one["masks"][0]["position"]
    before = reader("the", add_special_tokens=False)["input_ids"]
    assert one["ids"][1:place] == before
    assert look("mask", "the <mask> team", "weights=random", model=model)["models"] == [one]


def test_random_weights_are_said_to_be_and_are_those_of_a_run(look, compute, tmp_path):
    text = "the [MASK] team"
    (one,) = look("mask", text, "--model", "scratch")["models"]
    assert one["weights"].startswith("random")
    subject = find("scratch", toy("scratch"))
    unsaved = Checkpoints(tmp_path / "state", None)
    folder, *_ = provide_encoder(subject.lineage, subject.store, compute, lambda *_: None, unsaved)
    assert look("mask", text, *released(folder))["models"][0]["masks"] == one["masks"]


def test_weights_without_head_are_said_to_be(look, checkpoint_folder, tmp_path):
    model = AutoModelForMaskedLM.from_pretrained(checkpoint_folder)
    model.bert.save_pretrained(tmp_path / "bare")
    AutoTokenizer.from_pretrained(checkpoint_folder).save_pretrained(tmp_path / "bare")
    for folder, random in ((checkpoint_folder, False), (tmp_path / "bare", True)):
        (one,) = look("mask", "the [MASK]", *released(folder))["models"]
        assert one["weights"].startswith("ready-made")
        assert ("random language-model head" in one["weights"]) == random


def test_a_pretrained_encoder_is_found_and_never_made(look, refuse, compute, tmp_path):
    own = ["pretrain.tokens=null", "pretrain.steps=2"]
    asked = ["mask", "the [MASK]", "--model", "bert", *toy(), *own]
    said = refuse(*asked)
    assert "the encoder of model=bert is not in .bertbench: python -m bertbench model=bert" in said
    assert "pretrain.steps=2" in said
    assert "scale=tiny" not in said
    assert "try weights=released" in said
    assert not Path(".bertbench/encoder").exists()
    subject = find("bert", [*toy(), *own])
    unsaved = Checkpoints(tmp_path / "state", None)
    folder, *_ = provide_encoder(subject.lineage, subject.store, compute, lambda *_: None, unsaved)
    (one,) = look(*asked)["models"]
    assert (one["model"], one["weights"]) == ("bert", "pretrained here")
    assert look("mask", "the [MASK]", *released(folder))["models"][0]["masks"] == one["masks"]
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "is not in .bertbench" in refuse(*asked)


def test_predictions_are_shown_side_by_side(say, look, checkpoint_folder):
    asked = ["mask", "the [MASK]", "--top", "2", *released(checkpoint_folder)]
    lines = say(*asked).splitlines()
    found = look(*asked)["models"][0]["masks"][0]
    assert lines[3].split() == ["mask", "1", "both", "sides", "left", "alone", "right", "alone"]
    for rank, line in enumerate(lines[4:]):
        best = [found[view][rank] for view in ("full", "left", "right")]
        shown = [part for b in best for part in (f"{b['probability']:.1%}", b["token"])]
        assert line.split() == [str(rank + 1), *shown]


# batch


def read(one, epoch):
    """Return what is read in an epoch, and what became of each position."""
    return [(row["epochs"][epoch]["ids"], row["epochs"][epoch]["fates"]) for row in one["rows"]]


@pytest.mark.parametrize(
    ("settings", "epochs", "same"),
    [
        (["masking=static"], 3, [True, True]),
        (["masking=dynamic"], 3, [False, False]),
        (["masking.views=2"], 3, [False, True]),
        (["masking.views=10"], 11, [*[False] * 9, True]),
    ],
)
def test_epochs_are_the_same_as_often_as_there_are_views(settings, epochs, same, look, say):
    asked = ["batch", "--epochs", str(epochs), "--rows", "3", *settings]
    (one,) = look(*asked)["models"]
    assert [read(one, 0) == read(one, later) for later in range(1, epochs)] == same
    assert [pair["same"] for pair in one["shared"]] == same
    picked = [{(r, p) for r, (_, fates) in enumerate(read(one, e)) for p, f in enumerate(fates) if f}
              for e in range(epochs)]  # fmt: skip
    assert [pair["both"] for pair in one["shared"]] == [len(picked[0] & p) for p in picked[1:]]
    lines = [line for line in say(*asked).splitlines() if line.startswith("epochs 1 and")]
    words = [
        f"epochs 1 and {n} {'are the same' if s else 'differ'}" for n, s in enumerate(same, 2)
    ]
    assert [line.split(":")[0] for line in lines] == words


@pytest.mark.parametrize("model", ["bert", "roberta", "scratch"])
def test_marks_agree_with_the_masking(model, look, say, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100000")
    asked = ["batch", "--rows", "4", "--model", model, "masking.rate=0.5"]
    (one,) = look(*asked, model=model)["models"]
    subject = find(model, [*toy(model), "masking.rate=0.5"], pretraining=True)
    reader = tokenizer_of(subject, print)
    vocabulary = tokenizers.vocabulary(reader)
    rows = rows_of(subject, reader, vocabulary, print)
    masking = build(subject.values["masking"], vocabulary=vocabulary, seed=0)
    lines = say(*asked, model=model).splitlines()
    for epoch in (0, 1):
        batch = as_batch(rows, np.arange(4), vocabulary, epoch=epoch)
        masked = masking(batch)
        shown = [line.split()[2:] for line in lines if line.startswith(f"  epoch {epoch + 1}")]
        whole = []
        for row, seen in enumerate(one["rows"]):
            size = int(batch.attention_mask[row].sum())
            assert seen["ids"] == batch.ids[row, :size].tolist()
            assert seen["epochs"][epoch]["ids"] == masked.ids[row, :size].tolist()
            read_here = zip(masked.ids[row], masked.labels[row], batch.ids[row], strict=True)
            for place, (now, label, was) in enumerate(list(read_here)[:size]):
                hidden, kept = now == vocabulary.mask, now == was
                fate = "hidden" if hidden else "kept" if kept else "swapped"
                fate = "" if label == IGNORE else fate
                assert seen["epochs"][epoch]["fates"][place] == fate
                token = reader.convert_ids_to_tokens(int(now))
                mark = {"swapped": "~", "kept": "="}.get(fate, "")
                whole.append(visible(f"{mark}{token}{mark}"))
        assert [token for line in shown for token in line] == whole
        counts = one["epochs"][epoch]
        assert counts["picked"] == int((masked.labels != IGNORE).sum()) > 0
        assert counts["picked"] == counts["hidden"] + counts["swapped"] + counts["kept"]
        assert counts["maskable"] == int(batch.maskable.sum())


@pytest.mark.parametrize("model", ["bert", "albert"])
def test_segments_and_their_relation_are_those_of_the_rows(model, look, say):
    asked = ["batch", "--rows", "12"]
    (one,) = look(*asked, model=model)["models"]
    subject = find(model, toy(model), pretraining=True)
    reader = tokenizer_of(subject, print)
    rows = rows_of(subject, reader, tokenizers.vocabulary(reader), print)
    for row, seen in enumerate(one["rows"]):
        paired = rows.related[row] != IGNORE
        assert seen["second"] == (rows.second[row] if paired else None)
        follows = "follows" if rows.related[row] == FOLLOWS else "does not follow"
        assert seen["related"] == (follows if paired else None)
        begins = seen["second"] if paired else len(seen["ids"])
        assert seen["segment_ids"] == [int(p >= begins) for p in range(len(seen["ids"]))]
    said = say(*asked, model=model)
    related = [row["related"] for row in one["rows"]]
    other = {"bert": "does not follow the first", "albert": "they were swapped"}[model]
    assert said.count("which follows the first") == related.count("follows") > 0
    assert said.count(other) == related.count("does not follow") > 0


def test_families_without_segments_have_none(look):
    for model in ("roberta", "distilbert"):
        assert (
            look("batch", "--rows", "1", model=model)["models"][0]["rows"][0]["segment_ids"]
            is None
        )


def test_all_rows_are_shown_where_fewer_are_there(look):
    (one,) = look("batch", "--rows", "9999", "--epochs", "1")["models"]
    assert [row["sequence"] for row in one["rows"]] == list(range(one["available"]))
    assert one["shared"] == []


def test_no_pretraining_has_rows_all_the_same(look):
    (one,) = look("batch", "objective=none", "masking=static", "packing=full_sentences")["models"]
    (two,) = look("batch", "objective=mlm", "masking=static", "packing=full_sentences")["models"]
    assert one == two


def test_a_rate_that_changes_is_that_of_the_spent_budget(look):
    settings = ["masking.rate=1.0", "masking.rate_end=0.01", "pretrain.tokens=null"]
    (one,) = look("batch", "pretrain.steps=1", "--rows", "20", *settings)["models"]
    first, second = one["epochs"]
    assert (first["spent"], second["spent"]) == (0, 1)
    assert first["picked"] == first["maskable"]
    assert second["picked"] < 0.1 * second["maskable"]


def test_the_share_of_a_budget_that_epochs_take():
    rows = Rows(np.ones((10, 4)), np.ones((10, 4)), np.full(10, 4), np.full(10, IGNORE))
    vocabulary = Vocabulary(9, pad=0, cls=2, sep=3, mask=4, special=(0, 2, 3, 4))
    shares = {
        Budget(steps=6): [0, 0.5, 1, 1], Budget(tokens=80): [0, 0.5, 1, 1],
        Budget(tokens=160): [0, 0.25, 0.5, 0.75], Budget(seconds=9): [0, 0, 0, 0],
    }  # fmt: skip
    for budget, expected in shares.items():
        assert spent_at_epochs(rows, vocabulary, budget, batch_size=4, epochs=4) == expected


# What is asked for


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("masking=static", True), ("corpus.path=a file.txt", True), ("~task.labels_per_class", True),
        ("+masking.new=1", True), ("mode@baseline=null", True), ("hydra.searchpath=[a]", True),
        ("maskin=static", True), ("modle=bert", True), ("name=", True),
        ("x=1", False), ("E=mc²", False), ("masking = static", False), ("the model=bert", False),
        ("~swapped~", False), ("+1", False), ("masking", False), ("a goal.", False), ("=", False),
        ("taks=1 and more", False),
    ],
)  # fmt: skip
def test_a_setting_is_told_from_a_text(word, setting):
    assert is_override(word) == setting


def test_what_stands_behind_two_dashes_is_text(look):
    texts = ["--model=x", "masking=static"]
    assert look("pairs", "--model", "bert", "--length", "20", "--", *texts)["texts"] == texts


REFUSED = {
    (): "pairs, mask, batch",
    ("pears", "a"): "'pears' is unknown; did you mean 'pairs'?",
    ("pairs",): "one text or two, not none",
    ("pairs", "a", "b", "c"): "not 3 ('a', 'b', 'c')",
    ("pairs", " "): "is empty",
    ("pairs", "a", "b", "--length", "4"): "--length 4 leaves no room",
    ("pairs", "a", "--length", "long"): "'long' must be a whole number of at least 1",
    ("pairs", "a", "--size", "1"): "--size",
    ("pairs", "a", "--model", "brt"): "did you mean 'bert'",
    ("pairs", "a", "--model", "tfidf"): "model=tfidf has no encoder",
    ("pairs", "a", "--model", "bert", "model=bert"): "give one",
    ("pairs", "a", "maskin=static"): "did you mean 'masking'",
    ("pairs", "a", "masking.rats=1"): "did you mean 'masking.rate'",
    ("pairs", "a", "masking.rate=high"): "masking.rate='high'",
    ("pairs", "a", "corpus=files"): "corpus.path has no default",
    ("pairs", "a", "corpus=files", "corpus.path=away"): "corpus.path=away",
    ("pairs", "a", "weights=released", "weights.source=a/b"): "inspect fetches nothing",
    ("mask", "a goal"): "no [MASK]",
    ("mask", "a [MASK]", "b [MASK]"): "one text, not 2",
    ("mask", "a [MASK]"): "the encoder of model=bert is not in .bertbench",
    ("mask", "a [MASK]", "model=roberta"): "try weights=released",
    ("mask", "the " * 70 + "[MASK]", "model=scratch"): "the encoder reads 64 at most",
    ("batch", "a goal"): "no text, not 1 ('a goal')",
    ("batch", "--rows", "0"): "'0' must be a whole number of at least 1",
    ("batch", "--epochs", "-1"): "--epochs",
    ("batch", "masking.rate=2"): "masking.rate=2",
    ("batch", "pretrain.length=4"): "pretrain.length=4",
    ("batch", f"name={ESCAPE}[2J"): "name=",
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.items(), ids=str)
def test_bad_input_is_one_sentence(arguments, words, refuse):
    files, linear = (any(word in a for a in arguments) for word in ("corpus=", "tfidf"))
    left_out = [*(["corpus."] if files else []), *(["model."] if linear else [])]
    settings = [s for s in toy("bert", *arguments) if not s.startswith(tuple(left_out))]
    said = refuse(*arguments[:1], *settings, *arguments[1:]) if arguments else refuse()
    assert words in said
    assert ESCAPE not in said


def test_a_misspelt_setting_gets_the_front_doors_own_sentence():
    said = [
        subprocess.run(
            [sys.executable, "-m", "bertbench", *words, "maskin=static"],
            capture_output=True, text=True, check=False,
        )
        for words in ([], ["inspect", "batch"])
    ]  # fmt: skip
    assert said[0].stderr == said[1].stderr
    assert [one.returncode for one in said] == [2, 2]


def test_what_takes_a_while_is_said_once(capsys):
    asked = ["batch", "--json", *toy()]
    assert main(asked) == 0
    lines = capsys.readouterr().err.splitlines()
    assert ["tokenizer" in line for line in lines] == [True, False]
    assert all("bert (toy.corpus)" in line for line in lines)
    assert main(asked) == 0
    assert capsys.readouterr().err == ""


# JSON


def keys(value):
    """Return every key of a document."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(keys, value.values()))


@pytest.mark.parametrize(
    "asked", [["pairs", *TEXTS], ["mask", "the [MASK]", "weights=random"], ["batch"]], ids=ABOUT
)
def test_the_document_has_the_keys_that_its_help_names(asked, look):
    found = look(*asked)
    for model in found["models"]:
        for recipe in ("masking", "packing"):
            model.pop(recipe, None)
    values = {
        "pairs",
        "mask",
        "batch",
        "follows",
        "does not follow",
        "hidden",
        "swapped",
        "kept",
        "",
    }
    documented = set(re.findall(r'"([\w ]*)"', ABOUT[asked[0]])) - {"masking", "packing"}
    assert keys(found) - documented == set()
    assert documented - keys(found) <= values
    assert found["inspect"] == asked[0]
