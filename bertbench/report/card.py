"""What a pretraining came to and where it was used in, the encoder's model card in markdown out."""

from collections.abc import Collection, Sequence
from typing import Any

from bertbench.records import RunRecord
from bertbench.report.encoders import CONTEXTS, margin
from bertbench.report.stats import NONE, half_width, in_words, summarise

Plain = dict[str, Any]
IN_USE = """\
Scores: mean and standard deviation over seeds. Random weights: the same shape and tokenizer, not pretrained.
Gain: mean of the differences seed by seed and its 95 % interval (Student's t over seeds: the luck of this
one pretraining is not in it), bold where that excludes zero. TF-IDF reads each text whole."""
LIMITS = """\
A small encoder of a small corpus: it knows the words and the manner of its corpus and little else, repeats
what prejudice stands there, and is meant for comparing recipes and for learning, not for judging people."""


def card(about: Plain, records: Sequence[RunRecord], others: Sequence[RunRecord] = ()) -> str:
    """Return the card.

    Args:
        about: Content of pretraining.json.
        records: Of runs that used this encoder; none leaves the transfer out.
        others: Of other runs of the same sheets: among them random weights of its shape, and TF-IDF.
    """
    stats: dict[str, float] = about["stats"]
    lines = [f"# {about['title']}", "", *_summary(about, stats), ""]
    lines += ["## Corpus", "", *_corpus(about), ""]
    lines += ["## What it has learnt", "", *_learnt(stats), ""]
    if records:
        lines += ["## In use", "", *_transfer(records, others), ""]
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
    training = recipe["pretrain"]
    masking, optim = training["masking"], training["optim"]
    views = masking.get("views")
    masks = "new masks every epoch" if views is None else f"{views} masks a row"
    objective, packing = _objective(training["objective"]), _last(training["packing"])
    teacher = stats.get("teacher_tokens")
    taught = "" if teacher is None else f" (its teacher read {teacher:,.0f} before)"
    short = training.get("short")
    rows = (
        f"{short['batch_size']}, then {training['batch_size']}"
        if short
        else training["batch_size"]
    )
    first = f" (of {short['length']} for the first {short['share']:.0%})" if short else ""
    return [
        _built(recipe),
        f"- {objective} on {packing}, rows of {training['length']} tokens{first}, masking rate "
        f"{masking['rate']}, {masks}",
        f"- {stats['tokens']:,.0f} tokens{taught} in {stats['steps']:,.0f} steps of "
        f"{rows} rows, {stats['epochs']:.1f} epochs, {stats['seconds'] / 60:.0f} minutes",
        f"- peak learning rate {optim['lr']}",
    ]


def _built(recipe: Plain) -> str:
    """Say what an encoder is built as, and what it began as."""
    if "architecture" not in recipe:
        began = "random weights" if recipe.get("reset") else "those weights"
        return f"- shape and tokenizer of the weights {recipe['source'][:20]}; began as {began}"
    architecture, shape = recipe["architecture"], recipe["shape"]
    family, depth = _last(architecture), shape["depth"]
    if family == "distilbert":  # Sanh et al. (2019), section 2
        depth = max(depth // 2, 1)
    if "teacher" in recipe["pretrain"]["objective"]:
        began = "it began as layers of its teacher, its embeddings and its head"
    elif "embeddings" in recipe:
        began = "token embeddings began as co-occurrence vectors"
    else:
        began = "it began as random weights"
    layers = f"{depth} layer{'s' if depth > 1 else ''} of width {shape['width']}"
    dropout = architecture.get("dropout", 0)
    return f"- {family}, {layers}, {shape['heads']} heads, dropout {dropout}; {began}"


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


def _transfer(records: Sequence[RunRecord], others: Sequence[RunRecord]) -> list[str]:
    """Return a row for each task, amount of labels and mode."""
    source = records[0].science["encoder"]["source"]
    random = [r for r in others if _is_reset(r.science.get("encoder"), source)]
    found, untrained = _placed(records), _placed(random)
    linear = {where[:2]: runs for where, runs in _placed(others).items() if where[2] == "tfidf"}
    heads = ["task", "labels a class", "mode", "seeds", "metric", "test", "random weights"]
    heads += ["gain over these", "TF-IDF"]
    lines = ["| " + " | ".join(heads) + " |", "| --- | ---: | --- | ---: | --- |" + " ---: |" * 4]
    for where, runs in sorted(found.items()):
        mine, theirs = _scores(runs), _scores(untrained.get(where, []))
        gains = [mine[seed] - theirs[seed] for seed in mine if seed in theirs]
        cells = [*where, str(len(runs)), runs[0].metric]
        cells += [_mean(mine.values()), _mean(theirs.values()), _interval(gains)]
        cells.append(_mean(_scores(linear.get(where[:2], [])).values()))
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, "", IN_USE]


def _is_reset(encoder: Plain | None, source: str) -> bool:
    """Tell whether an encoder has the shape and the tokenizer of another, and random weights."""
    return encoder is not None and encoder.get("reset") is True and encoder["source"] == source


def _placed(records: Sequence[RunRecord]) -> dict[tuple[str, str, str], list[RunRecord]]:
    """Return runs by task, labels a class and mode."""
    found: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        labels = record.science["task"]["labels_per_class"]
        where = (record.task, "all" if labels is None else f"{labels}", record.mode)
        found.setdefault(where, []).append(record)
    return found


def _scores(records: Sequence[RunRecord]) -> dict[int, float]:
    """Return the test score of each seed."""
    return {record.seed: record.metrics[f"test/{record.metric}"] for record in records}


def _mean(scores: Collection[float]) -> str:
    return in_words(summarise(list(scores)) if scores else None)


def _interval(gains: Sequence[float]) -> str:
    """Return the mean of paired differences and half of its 95 % interval, bold where zero is outside."""
    if not gains:
        return NONE
    summary = summarise(gains)
    half = half_width(summary)
    if half is None:
        return f"{summary.mean:+.3f}"
    shown = f"{summary.mean:+.3f} ± {half:.3f}"
    return f"**{shown}**" if abs(summary.mean) > half else shown
