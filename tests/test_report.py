"""A sheet says what the numbers say: means, spreads, paired differences, and which row is worth it."""

import dataclasses
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from bertbench.commands import report as command
from bertbench.errors import UserError
from bertbench.records import RunRecord, fingerprint
from bertbench.report.collect import Evidence, collect
from bertbench.report.figures import comparison_figure, confusion_figure
from bertbench.report.rows import make_tables
from bertbench.report.sheet import plain_table, render, verdict
from bertbench.report.stats import paired_difference, summarise
from bertbench.tracking.protocol import keep_text
from bertbench.tracking.tracker import MlflowTracker

ITEMS = 10
PLATEAU = {
    "plateau": 1.0, "tokens": 1_000_000.0, "seconds": 61.0, "heldout_loss": 6.31,
    "unigram_loss": 6.35, "heldout_accuracy": 0.051, "unigram_accuracy": 0.049,
}  # fmt: skip


def evidence(
    *,
    mode="frozen",
    right=range(8),
    seed=0,
    model="bert",
    settings=None,
    task=None,
    name="toy",
    pretraining=None,
    metric="accuracy",
    metrics=None,
    encoder=None,
    texts=60,
    wrong_class=1,
    validation=None,
):
    """Return a run that has the items `right` of ten right, and does as well on validation."""
    right = set(right)
    scores = {"test/accuracy": len(right) / ITEMS, "test/log_loss": 0.5} | (metrics or {})
    validated = {f"validation/{k.partition('/')[2]}": v for k, v in scores.items()}
    labels = np.zeros(ITEMS, dtype=np.int64)
    predicted = np.array([0 if i in right else wrong_class for i in range(ITEMS)])
    predictions = pd.DataFrame(
        {
            "id": [f"test/{i}" for i in range(ITEMS)] + ["validation/0"],
            "split": ["test"] * ITEMS + ["validation"],
            "label": [*labels, 0],
            "prediction": [*predicted, 1],
            "p_a": 0.5,
            "p_b": 0.5,
        }
    )
    linear = mode == "tfidf"
    science = {
        "version": 1,
        "task": {
            "data": "d", "metric": metric, "metrics": ["accuracy", "log_loss"],
            "train_size": None, "labels_per_class": None,
        } | ({} if linear else {"long_text": "head", "max_length": 128}) | (task or {}),
        "encoder": None if linear else {"seed": 0, "model": model} | (encoder or {}),
        "mode": {"_target_": mode} | (settings or {}),
        "seed": seed,
    }  # fmt: skip
    group = science | {"seed": None}
    words = {"model": "tfidf"}
    if not linear:
        words = {"model": model, "weights": "pretrain", "scale": "tiny"}
        words |= {"objective": "mlm", "masking": "static"}
    record = RunRecord(
        key=fingerprint(science),
        group=fingerprint(group),
        name="main",
        task=name,
        mode=mode,
        seed=seed,
        recipe=words,
        science=science,
        metric=metric,
        metrics=scores | validated | (validation or {}),
        chosen={"C": 1.0},
        cost={"parameters": 1234.0, "train_seconds": 2.0, "milliseconds_per_text": 0.25},
        pretraining={} if linear else (pretraining or PLATEAU | {"plateau": 0.0}),
        data={"fingerprint": "d", "train": texts, "classes": ["a", "b"]},
        environment={"device": "CPU, float32", "torch": "2"},
    )  # fmt: skip
    return Evidence(record, predictions)


def tfidf(**changed):
    return evidence(mode="tfidf", **{"right": range(6)} | changed)


def only_table(*runs):
    [table] = make_tables(list(runs))
    return table


def sheet(*runs):
    tables = make_tables(list(runs))
    figures = [f"comparison_{i}.png" for i, _ in enumerate(tables, start=1)]
    return render(tables, name="main", commands=["python -m bertbench"], figures=figures)


def cells(text, row):
    """Return the cells of the one line of the tables of tasks that begins with `row`."""
    text = text.partition("## Encoders")[0]
    [line] = [line for line in text.splitlines() if line.startswith(f"| {row}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


# Numbers


@pytest.mark.parametrize("values", [[0.5, 0.75], [0.1, 0.2, 0.6], [0.3] * 5])
def test_a_summary_is_mean_and_sample_deviation(values):
    found = summarise(values)
    assert math.isclose(found.mean, statistics.mean(values))
    assert math.isclose(found.spread, statistics.stdev(values), abs_tol=1e-15)
    assert found.seeds == len(values)


def test_equal_values_have_no_spread_at_all():
    assert summarise([0.1 + 0.2] * 3) == (0.1 + 0.2, 0.0, 3)


def test_one_seed_has_no_spread():
    assert summarise([0.5]) == (0.5, None, 1)


def test_a_paired_difference_by_hand():
    """Seed 0: 8 right against 6, all of the 6 among the 8. Seed 1: items 0-4 against 3-9."""
    row = [evidence(right=range(8)), evidence(right=range(5), seed=1)]
    baseline = [tfidf(right=range(6)), tfidf(right=range(3, 10), seed=1)]
    found = paired_difference(row, baseline)
    assert found.metric.mean == pytest.approx((0.2 - 0.2) / 2)
    assert found.metric.spread == pytest.approx(statistics.stdev([0.2, -0.2]))
    assert found.metric.seeds == 2
    assert found.only_row == (2 + 3) / 2  # 6, 7; then 0, 1, 2
    assert found.only_baseline == (0 + 5) / 2  # none; then 5-9
    assert found.items == ITEMS


def test_the_difference_of_means_is_the_difference_of_the_item_counts():
    row, baseline = evidence(right=[0, 2, 4, 6]), tfidf(right=[1, 2, 3])
    found = paired_difference([row], [baseline])
    assert found.metric.mean == pytest.approx((found.only_row - found.only_baseline) / ITEMS)
    assert (found.only_row, found.only_baseline) == (3, 2)


def test_only_seeds_that_both_have_are_compared():
    row = [evidence(seed=s, right=range(s + 1)) for s in (0, 1, 2)]
    found = paired_difference(row, [tfidf(seed=1, right=range(6)), tfidf(seed=9)])
    assert found.metric == (pytest.approx(0.2 - 0.6), None, 1)
    assert paired_difference(row, [tfidf(seed=9)]) is None


def test_validation_items_count_for_nothing():
    """Each helper run has one wrong validation item; ten test items are compared."""
    found = paired_difference([evidence(right=range(10))], [tfidf(right=range(10))])
    assert (found.only_row, found.only_baseline, found.items) == (0, 0, ITEMS)


def test_two_wrong_answers_are_equally_wrong():
    found = paired_difference(
        [evidence(right=range(5), wrong_class=1)], [tfidf(right=range(5), wrong_class=2)]
    )
    assert (found.only_row, found.only_baseline) == (0, 0)


def test_other_test_items_are_not_compared():
    row, baseline = evidence(), tfidf()
    moved = baseline._replace(predictions=baseline.predictions.iloc[::-1])
    with pytest.raises(ValueError, match="different test items"):
        paired_difference([row], [moved])


# Tables


def test_seeds_become_one_row():
    runs = [evidence(seed=s, right=range(6 + s)) for s in (0, 1, 2)]
    table = only_table(*runs, *(tfidf(seed=s) for s in (0, 1, 2)))
    assert len(table.rows) == 2
    best = table.best_encoder
    assert [e.record.seed for e in best.runs] == [0, 1, 2]
    assert best.score == (pytest.approx(0.7), pytest.approx(0.1), 3)
    assert best.difference.metric.mean == pytest.approx(0.1)
    assert table.baseline.difference is None


def test_rows_stand_best_first():
    table = only_table(
        tfidf(right=range(6)), evidence(model="bert", right=range(3)),
        evidence(model="roberta", right=range(9)),
    )  # fmt: skip
    assert [row.score.mean for row in table.rows] == [0.9, 0.6, 0.3]
    assert table.best_encoder.label.startswith("roberta")


def test_of_a_metric_that_is_better_low_the_lowest_stands_first():
    losses = {"bert": 0.9, "roberta": 0.2, "albert": 0.4}
    table = only_table(
        *(
            evidence(model=model, metric="log_loss", metrics={"test/log_loss": loss})
            for model, loss in losses.items()
        )
    )
    assert [row.label.split()[0] for row in table.rows] == ["roberta", "albert", "bert"]


def test_each_amount_of_training_data_has_its_table_from_small_to_all():
    sizes = [
        ({"labels_per_class": 20}, "20 labels a class (60 training texts)"),
        ({}, "all 60 training texts"),
        ({"labels_per_class": 8}, "8 labels a class (60 training texts)"),
        ({"train_size": 100}, "60 training texts"),
        ({"labels_per_class": 2}, "2 labels a class (60 training texts)"),
        ({"train_share": 0.5}, "0.5 of the training data (60 texts)"),
    ]
    tables = make_tables([run(task=task) for task, _ in sizes for run in (evidence, tfidf)])
    assert [table.size for table in tables] == [sizes[i][1] for i in (4, 2, 0, 3, 5, 1)]
    assert all(len(table.rows) == 2 for table in tables)
    assert all(table.best_encoder.difference is not None for table in tables)


@pytest.mark.parametrize(
    "other", [{"name": "bbc"}, {"task": {"data": "e"}}, {"metric": "log_loss"}]
)
def test_what_cannot_be_compared_stands_in_two_tables(other):
    tables = make_tables([evidence(), tfidf(), evidence(**other), tfidf(**other)])
    assert [len(table.rows) for table in tables] == [2, 2]


def test_rows_of_one_name_get_the_settings_in_which_they_differ():
    table = only_table(
        evidence(settings={"pooling": "cls", "layer": -1}),
        evidence(settings={"pooling": "mean", "layer": -1}),
        evidence(model="roberta", settings={"pooling": "mean", "layer": -1}),
    )
    labels = {row.label for row in table.rows}
    assert labels == {
        "bert tiny pretrain mlm/static · frozen mode.pooling=cls",
        "bert tiny pretrain mlm/static · frozen mode.pooling=mean",
        "roberta tiny pretrain mlm/static · frozen",
    }


def test_encoders_of_one_name_get_their_settings_too():
    table = only_table(
        *(evidence(encoder={"pretrain": {"tokens": tokens}}) for tokens in (1000, 2000))
    )
    assert {row.label.rpartition(" ")[2] for row in table.rows} == {
        "pretrain.tokens=1000", "pretrain.tokens=2000",
    }  # fmt: skip


def test_groups_taken_whole_give_a_range_of_texts():
    runs = [
        run(seed=s, texts=60 + s, task={"train_size": 62})
        for s in range(3)
        for run in (evidence, tfidf)
    ]
    assert only_table(*runs).size == "60 to 62 training texts"


def test_settings_that_no_name_tells_are_said_under_the_table():
    optim = {"optim": {"lr": 3e-4}}
    runs = [
        evidence(mode="full", model="bert", settings={"epochs": 10} | optim),
        evidence(mode="full", model="roberta", settings={"epochs": 10} | optim),
        evidence(mode="full", model="albert", settings={"epochs": 3} | optim),
        evidence(mode="frozen", settings={"layer": -1}),
        tfidf(),
    ]
    text = sheet(*runs)
    assert (
        "- mode.epochs is 3 in albert tiny pretrain mlm/static · full; in the other rows of this mode 10.\n"
        in text
    )
    assert text.count("in the other rows of this mode") == 1
    assert "- Learning rate of fine-tuned rows: fixed beforehand at 0.0003.\n" in text


def test_settings_in_a_name_are_not_said_again_and_alike_rows_say_nothing():
    two = [evidence(settings={"pooling": pooling}) for pooling in ("cls", "mean")]
    assert "more than their names say" not in sheet(*two, tfidf())
    assert "Learning rate of fine-tuned" not in sheet(*two, tfidf())
    tried = evidence(mode="full", settings={"learning_rates": [1e-4, 3e-4], "optim": {}})
    assert "rows: the best on validation of 0.0001, 0.0003." in sheet(tried, tfidf())


def test_two_baselines_are_told_apart_and_none_is_an_encoder():
    table = only_table(tfidf(settings={"ngrams": 1}), tfidf(settings={"ngrams": 2}))
    assert {row.label for row in table.rows} == {"TF-IDF mode.ngrams=1", "TF-IDF mode.ngrams=2"}
    assert table.best_encoder is None


# Verdicts


def test_a_better_encoder_is_said_to_be_best():
    said = verdict(only_table(evidence(right=range(8)), tfidf(right=range(6))))
    assert said.startswith(
        "**bert tiny pretrain mlm/static · frozen**, chosen on validation, has 0.800 accuracy"
    )
    assert "+0.200 from TF-IDF (0.600) with one seed" in said
    assert "No encoder" not in said
    assert "told apart" not in said  # one seed has no error to tell it from
    assert said.endswith("One seed is a hint, no finding.")


@pytest.mark.parametrize("right", [range(4), range(6)], ids=["worse", "equal"])
def test_an_encoder_that_is_not_better_is_said_not_to_beat_tfidf(right):
    said = verdict(only_table(evidence(right=right), tfidf(right=range(6))))
    gap = (len(right) - 6) / 10
    assert said.startswith("**No encoder here beats TF-IDF** (0.600 accuracy)")
    assert f"{gap:+.3f} from it with one seed" in said


def test_over_seeds_the_verdict_names_spread_and_number():
    runs = [evidence(seed=s, right=range(8 + s % 2)) for s in range(4)]
    said = verdict(only_table(*runs, *(tfidf(seed=s) for s in range(4))))
    deviation = statistics.stdev([0.2, 0.3, 0.2, 0.3])
    assert f"+0.250 ± {deviation:.3f} from TF-IDF (0.600 ± 0.000) over 4 seeds" in said
    assert "told apart" not in said


@pytest.mark.parametrize(
    ("numbers", "apart"),
    [
        ((4, 9, 5, 8), False),
        ((7, 8, 7, 8), True),
        ((6, 8, 8, 7), False),  # two standard errors, but not Student's 3.18 of four seeds
        ((7, 9), False),
    ],
)
def test_a_difference_is_told_apart_as_a_paired_t_test_does(numbers, apart):
    runs = [evidence(seed=s, right=range(n)) for s, n in enumerate(numbers)]
    said = verdict(only_table(*runs, *(tfidf(seed=s) for s in range(len(numbers)))))
    gaps = [(n - 6) / 10 for n in numbers]
    assert bool(ttest_1samp(gaps, 0).pvalue < 0.05) is apart
    assert ("not told apart" not in said) is apart


def test_the_verdict_is_on_the_row_that_validation_chose():
    """The best of many rows on the test split flatters itself."""
    lucky = evidence(model="bert", right=range(9), validation={"validation/accuracy": 0.5})
    chosen = evidence(model="roberta", right=range(8), validation={"validation/accuracy": 0.7})
    assert verdict(only_table(lucky, chosen, tfidf())).startswith("**roberta")


@pytest.mark.parametrize("better", [1, 2])
def test_of_two_baselines_validation_chooses_one_for_everything(better):
    linear = [
        tfidf(
            settings={"ngrams": n}, right=range(5 + n),
            validation={"validation/accuracy": 0.9 if n == better else 0.1},
        )
        for n in (1, 2)
    ]  # fmt: skip
    table = only_table(*linear, evidence(right=range(9)))
    assert table.baseline.label == f"TF-IDF mode.ngrams={better}"
    assert table.best_encoder.difference.metric.mean == pytest.approx(0.9 - (5 + better) / 10)
    assert f"from TF-IDF (0.{5 + better}00)" in verdict(table)
    other = next(row for row in table.rows if row.is_linear and row is not table.baseline)
    assert other.difference is not None


def test_a_row_that_no_seed_changes_says_so():
    runs = [run(seed=s) for s in (0, 1) for run in (evidence, tfidf)]
    assert cells(sheet(*runs), "bert")[1] == "2, alike"


def test_a_metric_that_a_run_lacks_is_a_dash():
    without = evidence(model="roberta", task={"metrics": ["accuracy"]})
    del without.record.metrics["test/log_loss"]
    text = sheet(evidence(), without, tfidf())
    assert cells(text, "roberta")[5] == "–"
    assert cells(text, "bert")[5] == "0.500"


def test_rows_that_differ_in_corpus_or_source_name_it():
    runs = [evidence(encoder={"source": "1"}), evidence(encoder={"source": "2"})]
    for run, name in zip(runs, ("a.txt", "b.txt"), strict=True):
        run.record.recipe["corpus"] = f"files {name}"
    labels = {row.label for row in only_table(*runs).rows}
    assert labels == {
        f"bert tiny pretrain mlm/static · frozen corpus=files {n}" for n in ("a.txt", "b.txt")
    }
    for run, name in zip(runs, ("x/one", "x/two"), strict=True):
        del run.record.recipe["corpus"]
        run.record.recipe["source"] = name
    labels = {row.label for row in only_table(*runs).rows}
    assert labels == {f"bert tiny pretrain {n} mlm/static · frozen" for n in ("x/one", "x/two")}


@pytest.mark.parametrize(("loss", "wins"), [(0.3, True), (0.7, False)])
def test_of_a_metric_that_is_better_low_the_lower_one_wins(loss, wins):
    changed = {"metric": "log_loss"}
    said = verdict(
        only_table(
            evidence(**changed, metrics={"test/log_loss": loss}),
            tfidf(**changed, metrics={"test/log_loss": 0.5}),
        )
    )
    assert said.startswith("**No encoder") is not wins
    assert f"{loss - 0.5:+.3f} from" in said


def test_without_baseline_nothing_is_said_of_it():
    said = verdict(only_table(evidence()))
    assert said.startswith("Best: **bert tiny pretrain mlm/static · frozen** with 0.800")
    assert said.endswith("TF-IDF was not run with these seeds.")
    said = verdict(only_table(evidence(seed=0), tfidf(seed=1)))
    assert said.endswith("TF-IDF was not run with these seeds.")


def test_only_tfidf_is_said_to_be_alone():
    assert verdict(only_table(tfidf())) == "Only TF-IDF was run here."


# The sheet


def test_a_sheet_has_title_verdict_table_figure_and_command():
    text = sheet(evidence(), tfidf())
    assert text.startswith("# main\n")
    assert "## toy: all 60 training texts" in text
    assert verdict(only_table(evidence(), tfidf())) in text
    assert "(comparison_1.png)" in text
    assert "    python -m bertbench\n" in text
    assert "device CPU, float32, torch 2" in text
    assert text.endswith("\n")


def test_a_row_of_the_sheet_has_its_numbers():
    runs = [evidence(seed=s, right=range(7 + s)) for s in (0, 1)]
    text = sheet(*runs, tfidf(seed=0), tfidf(seed=1))
    row = cells(text, "bert")
    assert row[1:5] == [
        "2", "0.750 ± 0.071", "+0.150 ± 0.071", "1.5 / 0 of 10",
    ]  # fmt: skip
    assert row[-5:] == ["1,234", "1,000,000", "61", "2.0", "0.25"]
    assert cells(text, "**TF-IDF**")[3:5] == ["–", "–"]
    assert cells(text, "**TF-IDF**")[-3] == "–"  # no pretraining
    tables = text.partition("## Encoders")[0]
    assert len({line.count("|") for line in tables.splitlines() if line.startswith("|")}) == 1


def test_one_seed_is_said_in_words():
    assert cells(sheet(evidence(), tfidf()), "bert")[1] == "one seed"


def test_a_plateau_is_marked_and_named_once():
    runs = [evidence(seed=s, pretraining=PLATEAU) for s in (0, 1)]
    text = sheet(*runs, tfidf(seed=0), tfidf(seed=1))
    assert cells(text, "bert")[0].endswith("†")
    assert "unigram plateau" in text
    named = [line for line in text.splitlines() if "1,000,000 tokens" in line]
    assert len(named) == 1
    for number in ("6.31", "6.35", "0.051", "0.049", "bert tiny pretrain mlm/static"):
        assert number in named[0]


def test_without_plateau_nothing_is_marked():
    assert "†" not in sheet(evidence(), tfidf())


def test_a_negative_result_stays():
    """The row that loses to TF-IDF stands in the table as the others do."""
    text = sheet(evidence(right=range(2)), tfidf())
    assert cells(text, "bert")[2:4] == ["0.200", "-0.400"]
    assert "**No encoder here beats TF-IDF**" in text


def test_the_terminals_table_says_the_same():
    tables = make_tables([evidence(), tfidf()])
    text = plain_table(tables)
    assert verdict(tables[0]).replace("**", "") in text
    [line] = [line for line in text.splitlines() if line.startswith("bert") and "0.25" in line]
    assert line.split()[-4:] == ["0.800", "+0.200", "2.0", "0.25"]


# Files


@pytest.fixture
def runs():
    found = [run(seed=s) for s in (0, 1) for run in (evidence, tfidf)]
    return [*found, evidence(task={"labels_per_class": 4}), tfidf(task={"labels_per_class": 4})]


def write(folder, runs, monkeypatch):
    folder.mkdir()
    with monkeypatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(command, "collect", lambda *_: runs)
        return command.write_sheet(
            uri="", experiment="", name="n", keys=set(), command="c", kept=folder
        )


def test_a_sheet_written_twice_is_byte_identical(runs, tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("a", "b")]
    said = [write(folder, runs, monkeypatch) for folder in folders]
    assert said[0] == said[1]
    names = ["comparison_1.png", "comparison_2.png", "predictions.parquet", "records.jsonl"]
    names.append("sheet.json")
    for folder in folders:
        assert sorted(p.name for p in (folder / "results/n").iterdir()) == [*names, "sheet.md"]
    for name in (*names, "sheet.md"):
        first, again = ((folder / "results/n" / name).read_bytes() for folder in folders)
        assert first == again


def test_kinds_whose_labels_are_numbers_and_texts_share_a_folder(runs, tmp_path, monkeypatch):
    first = runs[0]
    tagged = first._replace(
        predictions=first.predictions.assign(label="O B-x", prediction="O O"),
        record=dataclasses.replace(first.record, key="tagged", task="tags"),
    )
    write(tmp_path / "a", [*runs, tagged], monkeypatch)
    table = pd.read_parquet(tmp_path / "a/results/n/predictions.parquet")
    mine = table[table["key"] == "tagged"]
    assert set(mine["label"]) == {"O B-x"}
    numbers = table[table["key"] == first.record.key]
    assert list(numbers["label"]) == list(map(str, first.predictions["label"]))


def test_the_folder_holds_what_the_sheet_was_made_of(runs, tmp_path, monkeypatch):
    write(tmp_path / "a", runs, monkeypatch)
    folder = tmp_path / "a/results/n"
    lines = (folder / "records.jsonl").read_text().splitlines()
    assert [RunRecord.from_json(line) for line in lines] == [run.record for run in runs]
    table = pd.read_parquet(folder / "predictions.parquet")
    for run in runs:
        mine = table[table["key"] == run.record.key].drop(columns="key").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, run.predictions)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figures_are_byte_identical(suffix, tmp_path):
    table = only_table(evidence(), evidence(seed=1, right=range(9)), tfidf(), tfidf(seed=1))
    counts = np.array([[5, 1, 0], [2, 0, 3], [0, 0, 0]])
    for name in ("a", "b"):
        comparison_figure(table, tmp_path / f"{name}_rows.{suffix}")
        confusion_figure(counts, ["x", "y", "z"], tmp_path / f"{name}_counts.{suffix}")
    for kind in ("rows", "counts"):
        first, again = ((tmp_path / f"{n}_{kind}.{suffix}").read_bytes() for n in ("a", "b"))
        assert first == again
        assert len(first) > 1000


# From MLflow


@pytest.fixture
def store(tmp_path, migrated, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(migrated, "mlflow.db")
    return MlflowTracker(
        uri="sqlite:///mlflow.db",
        artifacts="files",
        experiment="bertbench",
        journals=tmp_path / "runs",
    )


def track(store, found, tmp_path):
    with store.run(found.record.key, "run", params={}, tags={}) as run:
        found.predictions.to_parquet(tmp_path / "predictions.parquet", index=False)
        run.file(tmp_path / "predictions.parquet")
        keep_text(run, "record.json", found.record.to_json())
    return run.run_id


def test_collect_returns_what_was_tracked(store, runs, tmp_path):
    for found in runs:
        track(store, found, tmp_path)
    collected = collect(store.uri, "bertbench", None)
    by_key = {found.record.key: found for found in runs}
    assert len(collected) == len(runs)
    for found in collected:
        assert found.record == by_key[found.record.key].record
        pd.testing.assert_frame_equal(found.predictions, by_key[found.record.key].predictions)


def test_collect_takes_the_asked_keys_and_the_finished_runs(store, tmp_path):
    kept, other, failed = evidence(), tfidf(), evidence(seed=5)
    for found in (kept, other):
        track(store, found, tmp_path)
    store.client.set_terminated(track(store, failed, tmp_path), "FAILED")
    keys = {kept.record.key, failed.record.key}
    assert [e.record.key for e in collect(store.uri, "bertbench", keys)] == [kept.record.key]
    assert len(collect(store.uri, "bertbench", None)) == 2


def test_collect_takes_the_newest_run_of_a_key(store, tmp_path):
    older = evidence()
    newer = Evidence(
        RunRecord.from_json(json.dumps(json.loads(older.record.to_json()) | {"name": "newer"})),
        older.predictions,
    )
    for found in (older, newer):
        time.sleep(0.005)  # MLflow orders by milliseconds
        track(store, found, tmp_path)
    [collected] = collect(store.uri, "bertbench", None)
    assert collected.record.name == "newer"


def test_collect_without_runs_says_what_to_do(store, tmp_path):
    with pytest.raises(UserError, match=r"no experiment 'bertbench'.*run python -m bertbench"):
        collect(f"sqlite:///{tmp_path}/mlflow.db", "bertbench", None)
    track(store, evidence(), tmp_path)
    with pytest.raises(UserError, match="no finished run"):
        collect(store.uri, "bertbench", {"another"})


def test_the_command_writes_the_sheet(store, runs, tmp_path, capsys):
    for found in runs:
        track(store, found, tmp_path)
    assert command.main(["--name", "again", "--all"]) == 0
    said = capsys.readouterr().out
    assert "results/again/sheet.md" in said
    text = (tmp_path / "results/again/sheet.md").read_text()
    assert "python -m bertbench report --name again --all" in text


def test_reporting_loads_no_torch():
    script = (
        "import sys, bertbench.commands.report, bertbench.report.collect\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_sheet_grows_with_the_runs_made_for_it(store, tmp_path):
    """A second command of that name adds its rows; report alone writes the same sheet again."""
    first, second = [evidence(), tfidf()], [evidence(model="roberta")]
    for found in (*first, *second):
        track(store, found, tmp_path)
    for command_line, group in (("one", first), ("two", second)):
        command.write_sheet(
            uri=store.uri, experiment="bertbench", name="grown", command=command_line,
            keys={found.record.key for found in group}, kept=tmp_path / "runs",
        )  # fmt: skip
    sheet_file = tmp_path / "results/grown/sheet.md"
    text = sheet_file.read_text()
    assert "    one\n    two\n" in text
    assert "roberta tiny" in text
    assert "bert tiny" in text.replace("roberta tiny", "")
    sheet_file.unlink()
    assert command.main(["--name", "grown"]) == 0
    assert sheet_file.read_text() == text


def test_a_report_takes_the_runs_of_its_name_alone(store, tmp_path):
    track(store, evidence(), tmp_path)  # made for the sheet "main"
    with pytest.raises(UserError, match=r"--name other.*main.*--all"):
        command.main(["--name", "other"])
    with pytest.raises(UserError, match=r"--name '\.\./x'"):
        command.main(["--name", "../x"])
    assert command.main(["--name", "other", "--all"]) == 0


def test_a_run_whose_files_are_gone_is_left_out_and_named(store, tmp_path, caplog):
    lost, kept = track(store, evidence(), tmp_path), tfidf()
    track(store, kept, tmp_path)
    shutil.rmtree(tmp_path / "files" / lost)
    assert [e.record.key for e in collect(store.uri, "bertbench", None)] == [kept.record.key]
    assert lost in caplog.text


def test_two_commands_that_add_to_one_sheet_at_once_lose_no_row(store, tmp_path):
    models = ["bert", "roberta", "albert", "distilbert"]
    for model in models:
        track(store, evidence(model=model), tmp_path)

    def add(model):
        return command.write_sheet(
            uri=store.uri, experiment="bertbench", name="shared", command=model,
            keys={evidence(model=model).record.key}, kept=tmp_path / "runs",
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, models))
    lines = (tmp_path / "results/shared/records.jsonl").read_text().splitlines()
    assert {json.loads(line)["recipe"]["model"] for line in lines} == set(models)
    assert not (tmp_path / "results/shared/.new").exists()


@pytest.mark.parametrize("names", [["$", "$$", "$$$"], [r"$\foo$", "_a_", "^b"]])
def test_class_names_are_no_formulas(names, tmp_path):
    confusion_figure(np.eye(3, dtype=int), names, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
