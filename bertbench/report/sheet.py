"""Tables in, the markdown of a comparison sheet out: the answer first, then the evidence."""

from bertbench.kinds import measure
from bertbench.report.curves import caption
from bertbench.report.encoders import Encoder, find_encoders
from bertbench.report.pretraining import plain_encoders, plateaus, section
from bertbench.report.rows import Row, Table
from bertbench.report.stats import NONE, Summary, half_width, in_words
from bertbench.report.unlike import rates, unlike

METRIC_WORDS = {
    "macro_f1": "macro F1", "micro_f1": "micro F1", "mcc": "MCC", "log_loss": "log loss", "ece": "ECE",
    "span_f1": "span F1", "word_accuracy": "word accuracy", "exact_match": "exact match", "f1": "F1",
    "map": "MAP", "mrr": "MRR", "ndcg_at_10": "NDCG@10", "mae": "MAE", "rmse": "RMSE",
    "subset_accuracy": "subset accuracy", "pearson": "Pearson", "spearman": "Spearman",
}  # fmt: skip
NOTES = """\
- A score is the mean over seeds ± one standard deviation; *one seed* has no spread, so take it as a hint.
- A seed decides which training texts are taken (where not all are), their order, the dropout, the new
  layer and random weights. A pretrained encoder is one for all seeds, so its own luck is in no spread
  (where pretrain.seed moves with the seed it is another for each, and is).
  *Alike* seeds gave the same numbers: nothing in that row depends on the seed.
- The difference is paired: the same test items, the same seeds, row minus baseline (the row in bold).
- *Only it / only the baseline* counts the test items that one of them has right and the other wrong, a seed.
- ↓ marks what is better low.
- Pretraining seconds are spent once for an encoder, whatever the number of rows and seeds that use it.
- Training seconds include the choices made on validation. All seconds were measured on the machine below."""


def render(
    tables: list[Table],
    *,
    name: str,
    commands: list[str],
    figures: list[str],
    curves: str | None = None,
) -> str:
    """Return the sheet.

    Args:
        tables: What is compared with what.
        name: Title.
        commands: What made the runs.
        figures: A picture's file name a table.
        curves: The file name of the picture of the pretrainings, if there is one.
    """
    encoders = encoders_of(tables)
    names = {encoder.key: encoder.name for encoder in encoders}
    parts = [f"# {name}", ""]
    for table, figure in zip(tables, figures, strict=True):
        parts += [f"## {table.task}: {table.size}", "", verdict(table), ""]
        parts += [*_table(table), "", f"![test {_words(table.metric)} of each row]({figure})", ""]
        parts += _warnings(table)
        if told := unlike(table):
            parts += ["Rows differ in more than their names say:", "", *told, ""]
        parts += plateaus((run.record for row in table.rows for run in row.runs), names)
    parts += section(encoders)
    if curves is not None:
        parts += [
            f"![held-out loss against pretraining tokens]({curves})",
            "",
            caption(encoders),
            "",
        ]
    parts += [
        "## How to read this",
        "",
        NOTES,
        *_reading(tables),
        *rates(tables),
        "",
        "## How it was made",
        "",
        *(f"    {command}" for command in commands),
        "",
    ]
    return "\n".join([*parts, *_environment(tables), ""])


def encoders_of(tables: list[Table]) -> list[Encoder]:
    """Return each encoder behind the tables that was pretrained here."""
    return find_encoders(
        [run.record for table in tables for row in table.rows for run in row.runs]
    )


def verdict(table: Table) -> str:
    """Say in one or two sentences which row wins, and whether any is worth it over TF-IDF."""
    best, baseline = table.best_encoder, table.baseline
    if best is None:
        return f"Only {table.linear} was run here."
    name = f"**{best.label}**"
    if baseline is None or best.difference is None:
        return f"Best: {name} with {in_words(best.score)}. {table.linear} was not run with these seeds."
    gap = best.difference.metric
    gain = gap.mean if measure(table.metric).higher_is_better else -gap.mean
    seeds = f"over {gap.seeds} seeds" if gap.seeds > 1 else "with one seed"
    if gain <= 0:
        text = (
            f"**No encoder here beats {table.linear}** ({in_words(baseline.score)} {_words(table.metric)}): "
            f"the best, {name}, chosen on validation, is {_points(gap)} from it {seeds}."
        )
    else:
        text = (
            f"{name}, chosen on validation, has {in_words(best.score)} {_words(table.metric)}, "
            f"{_points(gap)} from {table.linear} ({in_words(baseline.score)}) {seeds}."
        )
    half = half_width(gap)
    if half is None:
        text += " One seed is a hint, no finding."
    elif half == 0:
        text += (
            " The seed changed nothing here, so a spread of zero says nothing of other test items: "
            "count those that one has right and the other wrong."
        )
    elif abs(gap.mean) <= half:
        text += (
            f" The 95 % interval over these seeds, ± {half:.3f}, includes zero: not told apart."
        )
    return text


def plain_table(tables: list[Table]) -> str:
    """Return the tables for a terminal: row, score, difference, cost; what pretraining came to."""
    lines = []
    for table in tables:
        head = ("row", f"test {_marked(table.metric)}", f"vs {table.linear}", "train s", "ms/text")
        body = [
            (
                _named(row),
                in_words(row.score),
                _points(row.difference.metric) if row.difference else "",
                f"{row.cost('train_seconds'):.1f}",
                f"{row.cost('milliseconds_per_text'):.2f}",
            )
            for row in table.rows
        ]
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
        lines.append(f"\n{table.task}: {table.size}\n")
        for line in (head, *body):
            cells = [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
            lines.append("  ".join(cells).rstrip())
        lines += ["", verdict(table).replace("**", "")]
    return "\n".join([*lines, *plain_encoders(encoders_of(tables))])


def _table(table: Table) -> list[str]:
    asked = [name for row in table.rows for name in row.record.science["task"]["metrics"]]
    extra = [name for name in dict.fromkeys(asked) if name != table.metric]
    head = ["row", "seeds", _marked(table.metric)]
    head += [f"vs {table.linear}", f"only it / only {table.linear}", *map(_marked, extra)]
    head += ["parameters", "pretraining tokens", "pretraining s", "training s", "ms a text"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in table.rows:
        name = f"**{_named(row)}**" if row is table.baseline else _named(row)
        cells = [name, _seeds(row), in_words(row.score), *_difference(row)]
        cells += [in_words(row.metric(n)) for n in extra]
        pretraining = row.record.pretraining
        cells += [
            f"{row.cost('parameters'):,.0f}",
            f"{pretraining['tokens']:,.0f}" if pretraining else NONE,
            f"{pretraining['seconds']:.0f}" if pretraining else NONE,
            f"{row.cost('train_seconds'):.1f}",
            f"{row.cost('milliseconds_per_text'):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _warnings(table: Table) -> list[str]:
    """Say which rows hold runs whose scores are not what they look like."""
    lines = [
        f"- {row.label}: {words} ({count} of {len(row.runs)} runs)"
        for row in table.rows
        for words, count in sorted(row.warnings.items())
    ]
    return ["‡ **To be read with care:**", "", *lines, ""] if lines else []


def _words(metric: str) -> str:
    return METRIC_WORDS.get(metric, metric)


def _marked(metric: str) -> str:
    return f"{_words(metric)}{'' if measure(metric).higher_is_better else ' ↓'}"


def _named(row: Row) -> str:
    marks = f"{' †' if row.plateau else ''}{' ‡' if row.warnings else ''}"
    return f"{row.label}{marks}"


def _seeds(row: Row) -> str:
    if row.score.seeds == 1:
        return "one seed"
    return f"{row.score.seeds}, alike" if row.score.spread == 0 else str(row.score.seeds)


def _difference(row: Row) -> list[str]:
    found = row.difference
    if found is None:
        return [NONE, NONE]
    if found.only_row is None:
        return [_points(found.metric), NONE]
    return [
        _points(found.metric),
        f"{found.only_row:.4g} / {found.only_baseline:.4g} of {found.items}",
    ]


def _points(summary: Summary) -> str:
    spread = "" if summary.spread is None else f" ± {summary.spread:.3f}"
    return f"{summary.mean:+.3f}{spread}"


def _reading(tables: list[Table]) -> list[str]:
    """Say how much of a text each kind of row has read."""
    tasks = [
        row.record.science["task"] for table in tables for row in table.rows if not row.is_linear
    ]
    seen = {
        f"{task['long_text'].replace('_', ' and ')} of {task['max_length']} tokens"
        for task in tasks
    }
    if not seen:
        return []
    return [
        f"- The baseline reads each text whole; the encoders here read: {', '.join(sorted(seen))}."
    ]


def _environment(tables: list[Table]) -> list[str]:
    seen = {
        ", ".join(f"{k} {v}" for k, v in sorted(run.record.environment.items()))
        for table in tables
        for row in table.rows
        for run in row.runs
    }
    return [f"- {line}" for line in sorted(seen)]
