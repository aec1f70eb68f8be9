"""Runs in, the rows and tables of a sheet out: what is compared with what."""

import json
from collections import Counter
from dataclasses import dataclass

from bertbench.kinds import measure
from bertbench.records import Json, RunRecord
from bertbench.report.collect import Evidence
from bertbench.report.stats import Difference, Summary, paired_difference, summarise
from bertbench.tracking.delivery import flatten

LINEAR = "tfidf"
BASELINES = {"token": "word features", "span": "sentence overlap"}  # by kind of task
SPOKEN = ("corpus", "packing")  # words that stand in no name unless it needs them
REPEATED = "embeddings.tokens."  # the tokenizer once more
FINGERPRINTS, FINGERPRINTS_BELOW = ("source",), (".corpus", ".source")  # say nothing to a reader


@dataclass(frozen=True)
class Row:
    """One recipe in one mode, over its seeds."""

    label: str
    runs: list[Evidence]
    score: Summary
    difference: Difference | None  # to the baseline; None for the baseline itself

    @property
    def record(self) -> RunRecord:
        """The first run's record: for what all seeds share."""
        return self.runs[0].record

    @property
    def is_linear(self) -> bool:
        """Whether this is a linear model over TF-IDF."""
        return self.record.mode == LINEAR

    def metric(self, name: str, split: str = "test") -> Summary | None:
        """Summarise another metric; None where a run did not compute it."""
        values = [e.record.metrics.get(f"{split}/{name}") for e in self.runs]
        known = [value for value in values if value is not None]
        return summarise(known) if len(known) == len(values) else None

    def cost(self, name: str) -> float:
        """Return a mean cost over the seeds."""
        return summarise([e.record.cost[name] for e in self.runs]).mean

    @property
    def warnings(self) -> dict[str, int]:
        """What was warned of, and in how many runs."""
        return dict(Counter(words for e in self.runs for words in e.record.warnings))

    @property
    def plateau(self) -> bool:
        """Whether a pretraining behind this row stayed at the unigram plateau."""
        return any(e.record.pretraining.get("plateau") == 1 for e in self.runs)


@dataclass(frozen=True)
class Table:
    """Rows that may be compared: one task, one amount of training data."""

    task: str
    size: str  # such as "all 1275 training texts"
    metric: str
    rows: list[Row]  # best first
    baseline: (
        Row | None
    )  # the linear model that all others are compared with: the best on validation
    linear: str = "TF-IDF"  # what the linear model is called

    @property
    def best_encoder(self) -> Row | None:
        """The encoder's row that is best on validation: the test split chooses nothing."""
        encoders = [row for row in self.rows if not row.is_linear]
        return max(encoders, key=lambda row: _validated(row.runs), default=None)


def make_tables(evidence: list[Evidence]) -> list[Table]:
    """Group runs into tables, and their seeds into rows."""
    tables: dict[tuple[str, int, float, str, str], list[Evidence]] = {}
    for run in evidence:
        task = run.record.science["task"]
        place = (run.record.task, *_amount(task), task["data"], run.record.metric)
        tables.setdefault(place, []).append(run)
    return [_table(tables[place]) for place in sorted(tables)]


def _table(evidence: list[Evidence]) -> Table:
    groups: dict[str, list[Evidence]] = {}
    for run in evidence:
        groups.setdefault(run.record.group, []).append(run)
    labels = _labels({key: runs[0].record for key, runs in groups.items()})
    linear = [key for key, runs in groups.items() if runs[0].record.mode == LINEAR]
    chosen = max(linear, key=lambda key: (_validated(groups[key]), labels[key]), default=None)
    metric = evidence[0].record.metric
    rows = {}
    for key, runs in groups.items():
        score = summarise([e.record.metrics[f"test/{metric}"] for e in runs])
        compared = groups[chosen] if chosen is not None and key != chosen else None
        difference = paired_difference(runs, compared) if compared is not None else None
        rows[key] = Row(labels[key], runs, score, difference)
    sign = -1 if measure(metric).higher_is_better else 1
    ranked = sorted(rows.values(), key=lambda row: (sign * row.score.mean, row.label))
    first = evidence[0].record
    baseline = rows[chosen] if chosen is not None else None
    size = _size([run.record for run in evidence])
    return Table(first.task, size, metric, ranked, baseline, linear_words(first))


def _validated(runs: list[Evidence]) -> float:
    """Return the mean score on validation, signed so that higher is better."""
    metric = runs[0].record.metric
    mean = summarise([e.record.metrics[f"validation/{metric}"] for e in runs]).mean
    return mean if measure(metric).higher_is_better else -mean


def _amount(task: Json) -> tuple[int, float]:
    """Return the asked amount of training data as something to sort by: the way of asking, then how much."""
    ways = ("labels_per_class", "train_size", "train_share")
    asked = [(way, task.get(name)) for way, name in enumerate(ways)]
    return next(((way, much) for way, much in asked if much is not None), (len(ways), 0))


def _size(records: list[RunRecord]) -> str:
    """Say how much training data the runs of a table had; groups taken whole make it another a seed."""
    task, counts = records[0].science["task"], sorted({r.data["train"] for r in records})
    texts = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    if task["labels_per_class"] is not None:
        return f"{task['labels_per_class']} labels a class ({texts} training texts)"
    if task["train_size"] is not None:
        return f"{texts} training texts"
    if task.get("train_share") is not None:
        return f"{task['train_share']:g} of the training data ({texts} texts)"
    return f"all {texts} training texts"


def _labels(records: dict[str, RunRecord]) -> dict[str, str]:
    """Name each row; rows that would share a name get the settings in which they differ."""
    names = {key: label(record) for key, record in records.items()}
    settings = {
        key: {k: v for k, v in flatten(record.science).items() if k.split(".")[-1] != "seed"}
        for key, record in records.items()
    }
    return told_apart(names, records, settings)


def told_apart(
    names: dict[str, str], records: dict[str, RunRecord], settings: dict[str, Json]
) -> dict[str, str]:
    """Add to names that are alike the settings in which their bearers differ.

    Args:
        names: A name a key.
        records: A record a key, for the words of its corpus and packing.
        settings: Flat settings a key.
    """
    told = {
        key: settings[key]
        | {w: records[key].recipe[w] for w in SPOKEN if w in records[key].recipe}
        for key in names
    }
    found = {}
    for key, name in names.items():
        mine, twins = told[key], [other for other, its in names.items() if its == name]
        differing = [
            setting
            for setting in mine
            if not (setting in FINGERPRINTS or setting.endswith(FINGERPRINTS_BELOW))
            and REPEATED not in setting
            and len({json.dumps(told[twin].get(setting)) for twin in twins}) > 1
        ]
        if "packing" in differing:  # one word for its settings
            differing = [s for s in differing if "pretrain.packing." not in s]
        shown = [f"{s.removeprefix('encoder.')}={mine[s]}" for s in differing]
        found[key] = " ".join([name, *shown])
    return found


def label(record: RunRecord) -> str:
    """Return the words of a recipe and its mode."""
    return (
        linear_words(record)
        if record.mode == LINEAR
        else f"{encoder_words(record)} · {record.mode}"
    )


def linear_words(record: RunRecord) -> str:
    """Return what the linear baseline of a task is called."""
    return BASELINES.get(record.data.get("kind", ""), "TF-IDF")


def encoder_words(record: RunRecord) -> str:
    """Return the words of the recipe of an encoder."""
    named = ("model", "scale", "weights", "source")
    words = [record.recipe[name] for name in named if name in record.recipe]
    if "objective" in record.recipe:
        words.append(f"{record.recipe['objective']}/{record.recipe['masking']}")
    if "embeddings" in record.recipe:
        words.append(record.recipe["embeddings"])
    return " ".join(dict.fromkeys(words))  # minilm's scale is minilm too
