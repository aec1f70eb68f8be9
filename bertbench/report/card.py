"""What a pretraining came to and where it was used in, the encoder's model card in markdown out."""

from collections.abc import Sequence
from typing import Any

from bertbench.records import RunRecord
from bertbench.report.encoders import CONTEXTS, margin
from bertbench.report.stats import summarise

Plain = dict[str, Any]
NONE = "–"
LIMITS = """\
A small encoder of a small corpus: it knows the words and the manner of its corpus and little else, repeats
what prejudice stands there, and is meant for comparing recipes and for learning, not for judging people."""


def card(about: Plain, records: Sequence[RunRecord]) -> str:
    """Return the card.

    Args:
        about: Content of pretraining.json.
        records: Of runs that used this encoder; none leaves the transfer out.
    """
    stats: dict[str, float] = about["stats"]
    lines = [f"# {about['title']}", "", *_summary(about, stats), ""]
    lines += ["## Corpus", "", *_corpus(about), ""]
    lines += ["## What it has learnt", "", *_learnt(stats), ""]
    if records:
        lines += ["## In use", "", *_transfer(records), ""]
    lines += ["## Limits", "", LIMITS, ""]
    lines += ["## Made by", "", "```", about["command"], "```", ""]
    machine = about["environment"]
    lines += [
        f"Key `{about['key'][:20]}`, on {machine['device']} ({machine['system']}, {machine['threads']} "
        f"threads), torch {machine['torch']}, transformers {machine['transformers']}, Python "
        f"{machine['python']}. The same command goes on where it was stopped and ends with the same bits on "
        "the same kind of machine. Recipe, curve and measures as numbers: `pretraining.json`.",
        "",
    ]
    return "\n".join(lines)


def _summary(about: Plain, stats: dict[str, float]) -> list[str]:
    recipe = about["recipe"]
    shape, training = recipe["shape"], recipe["pretrain"]
    masking, optim = training["masking"], training["optim"]
    views = masking.get("views")
    masks = "new masks every epoch" if views is None else f"{views} masks a row"
    objective, packing = _objective(training["objective"]), _last(training["packing"])
    start = "co-occurrence vectors" if "embeddings" in recipe else "random weights"
    teacher = stats.get("teacher_tokens")
    taught = "" if teacher is None else f" (its teacher read {teacher:,.0f} before)"
    return [
        f"- {_last(recipe['architecture'])}, {shape['depth']} layers (a DistilBERT has half) of width "
        f"{shape['width']}, {shape['heads']} heads",
        f"- {objective} on {packing}, rows of {training['length']} tokens, masking rate "
        f"{masking['rate']}, {masks}",
        f"- {stats['tokens']:,.0f} tokens{taught} in {stats['steps']:,.0f} steps of "
        f"{training['batch_size']} rows, {stats['epochs']:.1f} epochs, {stats['seconds'] / 60:.0f} minutes",
        f"- peak learning rate {optim['lr']}, dropout {recipe['architecture'].get('dropout', 0)}; token "
        f"embeddings began as {start}",
    ]


def _objective(settings: Plain) -> str:
    """Name an objective, and what it was set to."""
    told = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
        if name not in ("_target_", "teacher")
    ]
    beside = f" ({', '.join(told)})" if told else ""
    return f"{_last(settings)}{beside}"


def _last(settings: Plain) -> str:
    return str(settings["_target_"]).rpartition(".")[2]


def _corpus(about: Plain) -> list[str]:
    found = about["corpus"] or {}
    lines = [about["about"] or "The makers say nothing of the corpus.", ""]
    counts = [
        f"{found[name]:,} {'documents' if name == 'kept' else name}"
        for name in ("kept", "sentences", "words", "tokens")
        if isinstance(found.get(name), int)
    ]
    held = about["recipe"]["pretrain"]["heldout"]
    return [*lines, f"{', '.join(counts)}; {held:.0%} of the documents were held out of training."]


def _learnt(stats: dict[str, float]) -> list[str]:
    """Return the table of masked words, and that of contexts."""
    lines = ["| on held-out text | loss (nats) | accuracy |", "| --- | ---: | ---: |"]
    for name, shown in (
        ("heldout", "this encoder"),
        ("bigram", "bigram predictor"),
        ("unigram", "unigram predictor"),
    ):
        if f"{name}_loss" in stats:
            lines.append(
                f"| {shown} | {stats[f'{name}_loss']:.2f} | {stats[f'{name}_accuracy']:.3f} |"
            )
    over = stats.get("heldout_predicted")
    if over:
        lines += ["", f"{over:,.0f} masked tokens (± {margin(over):.3f} at most, 95 %)."]
    words = stats.get("intrinsic/context_words")
    if words:
        heads = ("both sides", "left only", "right only", "neither")
        values = [stats[f"intrinsic/context_{name}"] for name in CONTEXTS]
        cells = [f"{value:.3f} ± {margin(words, value):.3f}" for value in values]
        lines += [
            "",
            f"The same {words:,.0f} masked words, when more or less of the row can be seen (share predicted "
            "right, 95 % margins):",
            "",
            f"| {' | '.join(heads)} |",
            "| " + " | ".join(["---:"] * len(heads)) + " |",
            f"| {' | '.join(cells)} |",
        ]
    others = {
        "pseudo_perplexity_word": "pseudo-perplexity a word",
        "nsp_accuracy": "probe for next sentences",
        "nsp_untrained": "the same in random weights",
        "sop_accuracy": "probe for sentence order",
        "sop_untrained": "the same in random weights",
    }
    said = [
        f"{shown} {stats[f'intrinsic/{name}']:,.3g}"
        for name, shown in others.items()
        if f"intrinsic/{name}" in stats
    ]
    return [*lines, *(["", f"{'; '.join(said)}."] if said else [])]


def _transfer(records: Sequence[RunRecord]) -> list[str]:
    """Return a row for each task, amount of labels and mode."""
    found: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        labels = record.science["task"]["labels_per_class"]
        where = (record.task, "all" if labels is None else f"{labels}", record.mode)
        found.setdefault(where, []).append(record)
    lines = [
        "| task | labels a class | mode | seeds | metric | test |",
        "| --- | ---: | --- | ---: | --- | ---: |",
    ]
    for (task, labels, mode), runs in sorted(found.items()):
        metric = runs[0].metric
        score = summarise([run.metrics[f"test/{metric}"] for run in runs])
        spread = "" if score.spread is None else f" ± {score.spread:.3f}"
        shown = f"{score.mean:.3f}{spread}"
        lines.append(f"| {task} | {labels} | {mode} | {len(runs)} | {metric} | {shown} |")
    return [*lines, "", "Mean and standard deviation over seeds."]
