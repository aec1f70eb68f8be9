"""A sheet says what each pretraining came to, what of it compares, and draws the curves it has."""

import math
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bertbench.commands import report as command
from bertbench.records import RunRecord, fingerprint
from bertbench.report.collect import Evidence
from bertbench.report.curves import caption, pretraining_figure
from bertbench.report.encoders import find_encoders, margin
from bertbench.report.pretraining import plain_encoders, section
from bertbench.report.rows import make_tables
from bertbench.report.sheet import plain_table, render

OLD = {  # of before anything was measured alike
    "steps": 139, "tokens": 502_583.0, "seconds": 20.7, "epochs": 0.8, "tokens_per_second": 24_266.0,
    "heldout_loss": 5.85, "heldout_accuracy": 0.112, "heldout_predicted": 5329.0,
    "unigram_loss": 6.82, "unigram_accuracy": 0.046, "plateau": 0.0,
}  # fmt: skip
MEASURED = {
    "mlm_loss": 5.91, "mlm_accuracy": 0.104, "mlm_predicted": 9000.0,
    "pseudo_perplexity": 412.34, "pseudo_perplexity_word": 1234.56,
    "context_full": 0.31, "context_left": 0.21, "context_right": 0.18, "context_none": 0.05,
    "context_words": 512.0, "nsp_accuracy": 0.612, "nsp_untrained": 0.533,
    "nsp_pairs": 1000.0, "nsp_majority": 0.508,
    "sop_accuracy": 0.534, "sop_pairs": 400.0, "sop_majority": 0.515,
}  # fmt: skip
WORDPIECE = {
    "corpus": "f1", "settings": {"_target_": "bertbench.tokenizer.wordpiece", "vocab_size": 8192}
}  # fmt: skip
UNIGRAM = {
    "corpus": "f1", "settings": {"_target_": "bertbench.tokenizer.unigram", "vocab_size": 4000}
}  # fmt: skip
CURVE = [
    {"step": 1.0, "tokens": 4096.0, "heldout_loss": 9.0, "unigram_loss": 6.8},
    {"step": 70.0, "tokens": 250_000.0, "heldout_loss": 6.7, "unigram_loss": 6.8},
    {"step": 139.0, "tokens": 502_583.0, "heldout_loss": 5.85, "unigram_loss": 6.82},
]


def run(
    *,
    model="bert",
    words=None,
    pretrain=None,
    tokenizer=WORDPIECE,
    source=None,
    pretraining=None,
    measured=MEASURED,
    curve=CURVE,
    seed=0,
    encoder_seed=0,
):
    """Return a run of a pretrained encoder; its predictions do not matter here."""
    encoder = {"architecture": model, "seed": encoder_seed}
    encoder |= {"tokenizer": tokenizer} if source is None else {"source": source}
    encoder["pretrain"] = {"corpus": "f1", "heldout": 0.05} | (pretrain or {})
    task = {
        "data": "d", "metric": "accuracy", "metrics": ["accuracy"], "train_size": None,
        "labels_per_class": None, "long_text": "head", "max_length": 128,
    }  # fmt: skip
    science = {"task": task, "encoder": encoder, "mode": {"_target_": "full"}, "seed": seed}
    recipe = {"model": model, "weights": "pretrain", "scale": "tiny", "objective": "mlm"}
    recipe |= {"masking": "dynamic", "packing": "full_sentences", "corpus": "bbc"}
    found = (OLD if pretraining is None else pretraining) | {
        f"intrinsic/{name}": value for name, value in (measured or {}).items()
    }
    if measured and pretraining is None:
        found |= {"bigram_loss": 5.61, "bigram_accuracy": 0.124}
    record = RunRecord(
        key=fingerprint(science),
        group=fingerprint(science | {"seed": None}),
        name="main",
        task="toy",
        mode="full",
        seed=seed,
        recipe=recipe | (words or {}),
        science=science,
        metric="accuracy",
        metrics={"test/accuracy": 0.5, "validation/accuracy": 0.5},
        chosen={},
        cost={"parameters": 9.0, "train_seconds": 2.0, "milliseconds_per_text": 0.25},
        pretraining=found,
        data={"fingerprint": "d", "train": 60, "classes": ["x", "y"]},
        environment={"device": "CPU"},
        curve=curve,
    )
    predictions = pd.DataFrame({
        "id": ["a", "b"], "split": ["test", "validation"], "label": [0, 1], "prediction": [0, 0],
        "p_x": [0.5, 0.5], "p_y": [0.5, 0.5],
    })  # fmt: skip
    return Evidence(record, predictions)


def not_pretrained(mode="full"):
    """Return a run whose weights were used as they came, or one without an encoder."""
    found = run(pretraining={}, measured=None, curve=[], source="s").record
    science = found.science | ({"encoder": None} if mode == "tfidf" else {})
    fields = vars(found) | {"science": science, "mode": mode, "key": f"k{mode}", "group": mode}
    return run()._replace(record=RunRecord(**fields))


def encoders(*runs):
    return find_encoders([found.record for found in runs])


def sheet(*runs, curves=None):
    tables = make_tables(list(runs))
    return render(tables, name="main", commands=["c"], figures=["f.png"], curves=curves)


def rows(*runs):
    """Return each table of the section as a list of its lines, each a dict of its cells."""
    found, table = [], []
    for line in [*section(encoders(*runs)), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            found.append([dict(zip(table[0], cells, strict=True)) for cells in table[2:]])
            table = []
    return found


def test_an_encoder_has_its_numbers_once_whatever_the_number_of_its_runs():
    own, measured = rows(*(run(seed=seed) for seed in range(3)))
    assert own == [
        {
            "encoder": "bert tiny pretrain mlm/dynamic", "pretraining tokens": "502,583", "steps": "139",
            "seconds": "21",
            "MLM loss / unigram / bigram": "5.85 / 6.82 / 5.61",
            "accuracy / unigram / bigram": "0.112 / 0.046 / 0.124",
            "its other skill": "–",
        }
    ]  # fmt: skip
    assert measured == [
        {
            "encoder": "bert tiny pretrain mlm/dynamic", "MLM loss": "5.91", "MLM accuracy": "0.104",
            "pseudo-perplexity a word": "1,234.6", "a token": "412.3", 
            "NSP probe / untrained": "0.612 / 0.533", "SOP probe / untrained": "0.534",
            "full": "0.310", "left": "0.210", "right": "0.180", "none": "0.050",
        }
    ]  # fmt: skip


def test_the_section_stands_after_the_tables_of_tasks():
    text = sheet(run(), curves="pretraining.png")
    places = ["## toy", "## Encoders", "(pretraining.png)", "## How to read this"]
    assert [text.index(place) for place in places] == sorted(text.index(p) for p in places)
    assert "(pretraining.png)" not in sheet(run())


def test_an_old_record_has_its_own_numbers_and_no_table_of_dashes():
    old = RunRecord.from_json(
        re.sub(r' "curve": \[[^]]*\],\n', "", run(measured=None).record.to_json())
    )
    assert old.curve == []
    [own] = rows(Evidence(old, pd.DataFrame()))
    assert own[0]["MLM loss / unigram / bigram"] == "5.85 / 6.82 / –"
    assert plain_encoders(find_encoders([old])) == []


def test_what_one_encoder_lacks_is_a_dash_and_what_all_lack_no_column():
    some = {k: v for k, v in MEASURED.items() if not k.startswith("sop")}
    few = {"mlm_accuracy": 0.2}
    _, measured = rows(run(measured=some), run(model="roberta", measured=few))
    assert not any(column.startswith("SOP") for column in measured[0])
    assert [row["NSP probe / untrained"] for row in measured] == ["0.612 / 0.533", "–"]


def curve(*plateaus):
    """Return measurements at 1, 2, ... million tokens and ten times the seconds."""
    return [
        {
            "step": n,
            "tokens": n * 1e6,
            "training_seconds": 10.0 * n,
            "heldout_loss": 6.0,
            "plateau": p,
        }
        for n, p in enumerate(plateaus, 1)
    ]


@pytest.mark.parametrize(
    ("plateaus", "shown"),
    [
        ((1, 1, 0, 0), "3.00 M, 30 s"),
        ((0, 0), "1.00 M, 10 s"),
        ((1, 0, 1, 0), "4.00 M, 40 s"),
        ((0, 1), "not"),
        ((1, 1), "not"),
    ],
)
def test_a_plateau_is_left_where_no_later_measurement_is_on_it(plateaus, shown):
    own, _ = rows(run(curve=curve(*plateaus)))
    assert own[0]["off the plateau after"] == shown


def test_a_pretraining_that_measured_no_words_left_no_plateau():
    silent = [{"step": 1.0, "tokens": 9.0, "training_seconds": 1.0, "plateau": 0.0}] * 2
    runs = [run(curve=silent), run(model="roberta", curve=curve(1, 0))]
    own, _ = rows(*runs)
    assert [row["off the plateau after"] for row in own] == ["–", "2.00 M, 20 s"]


def test_recipes_that_were_pretrained_again_have_means_and_spreads():
    other = {"pretrain": {"batch_size": 8}}
    runs = [
        run(encoder_seed=0, pretraining=OLD | {"seconds": 20.0, "heldout_loss": 6.0}, curve=curve(1, 0)),
        run(encoder_seed=1, pretraining=OLD | {"seconds": 30.0, "heldout_loss": 5.0}, curve=curve(1, 1)),
        run(encoder_seed=0, curve=curve(1, 0), **other),
        run(encoder_seed=1, curve=curve(1, 1, 1, 0), **other),
        run(model="roberta"),
    ]  # fmt: skip
    _, again, _ = rows(*runs)
    assert len(again) == 2
    found = {row["recipe"]: row for row in again}
    by_batch = found["bert tiny pretrain mlm/dynamic pretrain.batch_size=8"]
    assert by_batch["off the plateau after"] == "30 s"
    [plain] = [row for row in again if row is not by_batch]
    assert (plain["pretrainings"], plain["seconds"]) == ("2", "25 ± 7")
    assert plain["MLM loss"] == "5.500 ± 0.707"
    assert plain["off the plateau after"] == "20 s (1 of 2)"
    assert any("The same recipes" in line for line in section(encoders(*runs)))
    assert not any("The same recipes" in line for line in section(encoders(*runs[-1:])))


def test_the_tokens_of_a_teacher_stand_beside_those_of_its_student():
    own, _ = rows(run(pretraining=OLD | {"teacher_tokens": 500_000.0}))
    assert own[0]["pretraining tokens"] == "502,583 + 500,000"


def test_where_nothing_was_pretrained_there_is_no_section():
    assert "## Encoders" not in sheet(not_pretrained(), not_pretrained("tfidf"))
    assert len(rows(run(), not_pretrained())[0]) == 1


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ({"heldout_nsp_accuracy": 0.813}, "NSP 0.81"),
        ({"heldout_sop_accuracy": 0.547}, "SOP 0.55"),
        (
            {"heldout_rtd_accuracy": 0.912, "heldout_replaced_found": 0.321},
            "RTD 0.91 (0.32 of the replaced)",
        ),
    ],
)
def test_the_own_skill_of_a_recipe_is_shown(own, shown):
    assert rows(run(pretraining=OLD | own))[0][0]["its other skill"] == shown


@pytest.mark.parametrize("plateau", [0.0, 1.0])
def test_a_pretraining_that_predicted_no_words_has_a_row_all_the_same(plateau):
    without = {k: v for k, v in OLD.items() if not k.startswith(("heldout", "unigram"))}
    found = run(pretraining=without | {"plateau": plateau}, curve=[])
    assert rows(found)[0][0]["MLM loss / unigram / bigram"] == "–"
    text = sheet(found)
    assert ("unigram plateau" in text) is bool(plateau)
    if plateau:
        assert "- bert tiny pretrain mlm/dynamic, 502,583 tokens\n" in text


def test_a_plateau_is_named_as_the_encoder_is():
    runs = [run(pretrain={"tokens": n}, pretraining=OLD | {"plateau": 1.0}) for n in (1, 2)]
    text = sheet(*runs)
    for name in (f"bert tiny pretrain mlm/dynamic pretrain.tokens={n}" for n in (1, 2)):
        assert f"- {name}, 502,583 tokens: held-out loss 5.85" in text
        assert f"| {name} †" in text


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ([{"pretrain": {"tokens": n}} for n in (1, 2)], ["pretrain.tokens=1", "pretrain.tokens=2"]),
        ([{"encoder_seed": n} for n in (0, 7)], ["seed=0", "seed=7"]),
        ([{"pretrain": {"embeddings": {"tokens": {"size": n}}, "size": n}} for n in (1, 2)],
         ["pretrain.size=1", "pretrain.size=2"]),
        ([{"words": {"corpus": n}, "pretrain": {"corpus": n}} for n in "ab"],
         ["corpus=a", "corpus=b"]),
        ([{"words": {"packing": n}, "pretrain": {"packing": {"_target_": f"x.{n}", "share": i}}}
          for i, n in enumerate("ab")], ["packing=a", "packing=b"]),
        ([{"pretrain": {"packing": {"short": n}}} for n in (0, 1)],
         ["pretrain.packing.short=0", "pretrain.packing.short=1"]),
        ([{"words": {"weights": n}} | extra for n, extra in
          (("continued", {"source": "s"}), ("reset", {"source": "t"}))],
         ["bert tiny continued mlm/dynamic", "bert tiny reset mlm/dynamic"]),
    ],
    ids=["setting", "seed", "vectors", "corpus", "packing", "setting of the packing", "weights"],
)  # fmt: skip
def test_encoders_of_the_same_words_are_told_apart(changes, shown):
    names = [encoder.name for encoder in encoders(*(run(**change) for change in changes))]
    beginning = "bert tiny pretrain mlm/dynamic "
    assert [name.removeprefix(beginning) for name in names] == shown


def test_encoders_that_differ_in_nothing_a_reader_knows_are_numbered():
    names = [e.name for e in encoders(*(run(pretrain={"corpus": c}) for c in ("f1", "f2")))]
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"bert tiny pretrain mlm/dynamic #[0-9a-f]{8}", n) for n in names)


def test_the_record_that_knows_most_of_an_encoder_speaks_for_it():
    runs = [run(seed=0, measured=None), run(seed=1), run(seed=2, curve=[])]
    for order in (runs, runs[::-1]):
        [found] = encoders(*order)
        assert found.measured("mlm_accuracy") == 0.104
        assert found.record.curve == CURVE


# What compares


def test_encoders_of_one_vocabulary_and_corpus_compare():
    text = "\n".join(section(encoders(run(), run(model="distilbert"))))
    assert "their losses compare" in text
    assert "vocabulary |" not in text


@pytest.mark.parametrize(
    "other",
    [
        {"tokenizer": UNIGRAM},
        {"source": "s"},
        {"pretrain": {"corpus": "f2"}},
        {"pretrain": {"heldout": 0.1}},
    ],
)
def test_encoders_of_another_vocabulary_or_other_documents_have_another_letter(other):
    runs = [run(), run(model="distilbert"), run(model="roberta", **other)]
    own, measured = rows(*runs)
    assert [row["vocabulary"] for row in own] == ["A", "A", "B"]
    assert [row["vocabulary"] for row in measured] == ["A", "A", "B"]
    text = "\n".join(section(encoders(*runs)))
    assert re.search(r"- A \(wordpiece, 8,192 entries of bbc\): bert tiny .*, distilbert", text)
    assert re.search(r"- B \(.*\): roberta", text)


def test_ready_made_weights_reset_or_not_share_their_vocabulary():
    runs = [run(source="s", words={"weights": word}) for word in ("continued", "reset")]
    runs[1].record.science["encoder"]["reset"] = True
    assert {encoder.letter for encoder in encoders(*runs)} == {"A"}


def test_margins_are_those_of_the_binomial():
    """A simulated accuracy of a coin lies within its margin 95 times of a hundred."""
    generator = np.random.Generator(np.random.Philox(0))
    for count in (400, 1000):
        shares = generator.binomial(count, 0.5, 20_000) / count
        assert 0.93 < (abs(shares - 0.5) <= margin(count)).mean() < 0.97
    text = "\n".join(section(encoders(run())))
    assert "1,000 pairs (NSP) (± 0.031; the commoner answer alone 0.508)" in text
    assert "400 pairs (SOP) (± 0.049; the commoner answer alone 0.515)" in text
    assert f"512 masked words (contexts) (± {0.98 / math.sqrt(512):.3f})" in text


def contexts(full, left, right, none, words=512.0):
    names = ("full", "left", "right", "none")
    found = {f"context_{n}": v for n, v in zip(names, (full, left, right, none), strict=True)}
    return run(measured=found | {"context_words": words})


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.31, 0.21, 0.18, 0.05), None),
        ((0.05, 0.06, 0.05, 0.01),
         "(0.050) does not beat the left one (0.060) or the right one (0.050)."),
        ((0.05, 0.05, 0.05, 0.05),
         "does not beat the left one (0.050), the right one (0.050) or none at all (0.050)."),
        ((0.22, 0.21, 0.10, 0.05), "beats the left one (0.210) by no more than chance may (95 %)."),
        ((0.20, 0.21, 0.18, 0.05),
         "does not beat the left one (0.210) and beats the right one (0.180) by no more than"),
    ],
)  # fmt: skip
def test_context_that_does_not_help_is_said_not_to(shares, said):
    text = "\n".join(section(encoders(contexts(*shares))))
    assert ("**bert tiny pretrain mlm/dynamic**: the full context" in text) is (said is not None)
    assert said is None or said in text


def test_more_words_tell_a_small_gain_apart():
    few, many = (contexts(0.22, 0.21, 0.1, 0.1, words=n) for n in (512.0, 50_000.0))
    assert "no more than chance" in "\n".join(section(encoders(few)))
    assert "no more than chance" not in "\n".join(section(encoders(many)))


def test_losses_of_the_contexts_are_said_where_accuracies_do_not_tell():
    found = contexts(0.05, 0.05, 0.05, 0.05)
    losses = zip(("full", "left", "right", "none"), (6.1, 6.3, 6.2, 6.8), strict=True)
    found.record.pretraining.update({f"intrinsic/context_{n}_loss": v for n, v in losses})
    text = "\n".join(section(encoders(found)))
    assert (
        "6.10 nats a token with the full context, 6.30 (left), 6.20 (right), 6.80 (none)" in text
    )


# On a terminal


def test_the_terminals_table_says_the_same():
    text = plain_table(make_tables([run()]))
    line = text.splitlines()[-1]
    assert line.startswith("bert tiny pretrain mlm/dynamic ")
    assert line.split()[4:] == ["0.104", "0.612", "0.534", "0.310", "0.210", "0.180", "0.050"]
    assert "MLM acc" not in plain_table(make_tables([run(measured=None)]))


def test_the_terminals_table_is_narrow_and_cuts_no_name():
    runs = [run(words={"masking": "whole_word dynamic"}, pretrain={"tokens_long_name": 10**9 + i})
            for i in range(2)]  # fmt: skip
    lines = plain_encoders(encoders(*runs))
    assert max(map(len, lines)) <= 100
    assert lines[-1].strip() == "pretrain.tokens_long_name=1000000001"


# The picture


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_is_byte_identical(suffix, tmp_path):
    runs = [run(), run(model="albert", tokenizer=UNIGRAM), run(words={"weights": "continued"},
            source="s")]  # fmt: skip
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    assert all(pretraining_figure(encoders(*runs), path) for path in paths)
    first, again = (path.read_bytes() for path in paths)
    assert first == again
    if suffix == "svg":  # each name stands in it once, in the legend
        assert first.count(b"<!-- unigram predictor [") == 3
        assert first.count(b"<!-- bigram predictor [") == 3
        assert b"<!-- bert tiny continued mlm/dynamic [" in first


def test_the_pretrainings_of_one_recipe_have_one_name_in_the_picture(tmp_path):
    path = tmp_path / "a.svg"
    pretraining_figure(encoders(run(), run(encoder_seed=1), run(model="roberta")), path)
    text = path.read_text()
    assert text.count("<!-- bert tiny pretrain mlm/dynamic (2 pretrainings) -->") == 1
    assert "seed=" not in text


@pytest.mark.parametrize("curve", [[], CURVE[:1], [{"step": 1.0, "tokens": 9.0}] * 3])
def test_without_two_points_there_is_no_picture(curve, tmp_path):
    assert not pretraining_figure(encoders(run(curve=curve)), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_the_caption_says_what_does_not_compare():
    alone = caption(encoders(run(), run(model="distilbert")))
    assert "do not compare" not in alone
    assert "Squares" not in alone
    several = caption(
        encoders(
            run(),
            run(model="albert", tokenizer=UNIGRAM),
            run(words={"weights": "reset"}, source="s"),
            run(model="electra", curve=[]),
        )
    )
    assert "**Losses of different letters (A, B, C) do not compare**" in several
    assert "Triangles" in several
    assert "Without a curve: electra tiny pretrain mlm/dynamic." in several


def test_the_command_writes_the_picture_and_takes_a_stale_one_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(*runs):
        monkeypatch.setattr(command, "collect", lambda *_: list(runs))
        command.write_sheet(
            uri="", experiment="", name="n", keys=set(), command="c", kept=tmp_path
        )
        folder = tmp_path / "results/n"
        text = (folder / "sheet.md").read_text(encoding="utf-8")
        drawn = (folder / "pretraining.png").exists()
        assert drawn is ("](pretraining.png)" in text)
        return drawn

    assert write(run())
    assert not write(run(curve=[]))


def test_the_encoders_part_loads_no_torch():
    script = (
        "import sys, bertbench.report.sheet, bertbench.report.curves\n"
        "print(sorted({'torch', 'transformers', 'mlflow'} & sys.modules.keys()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
