"""Pretrained encoders in, the cells of their tables out."""

from collections.abc import Sequence

from bertbench.report.encoders import CONTEXTS, KNOWN, SKILLS, Encoder, recipes
from bertbench.report.stats import NONE, in_words, summarise

LEFT = "off the plateau after"


def own(encoders: Sequence[Encoder]) -> dict[str, list[str]]:
    """Return columns of what each pretraining says of itself."""
    columns = {
        "pretraining tokens": [_tokens(e) for e in encoders],
        "steps": [number(e.own("steps"), ",.0f") for e in encoders],
        "seconds": [number(e.own("seconds"), ",.0f") for e in encoders],
        LEFT: [_left(e) for e in encoders],
        "MLM loss / unigram / bigram": [_beside(e, "loss", ".2f") for e in encoders],
        "accuracy / unigram / bigram": [_beside(e, "accuracy", ".3f") for e in encoders],
        "its other skill": [_skill(e) for e in encoders],
    }
    return {head: cells for head, cells in columns.items() if head != LEFT or set(cells) != {NONE}}


def measured(encoders: Sequence[Encoder]) -> dict[str, list[str]]:
    """Return columns of what is measured alike of each encoder, as far as anything is known."""
    asked = {
        "MLM loss": ("mlm_loss", ".2f"),
        "MLM accuracy": ("mlm_accuracy", ".3f"),
        "pseudo-perplexity a word": ("pseudo_perplexity_word", ",.1f"),
        "a token": ("pseudo_perplexity", ",.1f"),
        **{context: (f"context_{context}", ".3f") for context in CONTEXTS},
    }
    columns = {
        head: [number(e.measured(name), style) for e in encoders]
        for head, (name, style) in asked.items()
    }
    columns |= {
        f"{skill.upper()} probe / untrained": [_probe(e, skill) for e in encoders]
        for skill in ("nsp", "sop")
    }
    return {head: cells for head, cells in columns.items() if set(cells) != {NONE}}


def table(encoders: Sequence[Encoder], columns: dict[str, list[str]], lettered: bool) -> list[str]:
    """Return the lines of a table, one row an encoder.

    Args:
        encoders: In the order of the cells.
        columns: Cells by heading.
        lettered: Whether a column tells whose vocabularies are one.
    """
    named = {"encoder": [encoder.marked for encoder in encoders]}
    if lettered:
        named["vocabulary"] = [encoder.letter for encoder in encoders]
    return drawn(named | columns)


def repeated(encoders: Sequence[Encoder]) -> list[str]:
    """Return the lines of a table of recipes that were pretrained more than once: means and spreads.

    Args:
        encoders: Those of one recipe differ in their seeds alone.
    """
    found = [members for members in recipes(encoders) if len(members) > 1]
    if not found:
        return []
    columns = {
        "recipe": [members[0].recipe for members in found],
        "pretrainings": [str(len(members)) for members in found],
        "tokens": [_mean(members, "tokens", ",.0f") for members in found],
        "seconds": [_mean(members, "seconds", ",.0f") for members in found],
        LEFT: [_left_together(members) for members in found],
        "MLM loss": [_mean(members, "heldout_loss", ".3f") for members in found],
        "accuracy": [_mean(members, "heldout_accuracy", ".3f") for members in found],
    }
    return drawn(columns)


def drawn(columns: dict[str, list[str]]) -> list[str]:
    """Return the lines of a markdown table whose first column is words, and all others numbers."""
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return lines + [f"| {' | '.join(cells)} |" for cells in zip(*columns.values(), strict=True)]


def number(value: float | None, style: str = ".3f") -> str:
    """Return a number, or a dash where there is none."""
    return NONE if value is None else format(value, style)


def _tokens(encoder: Encoder) -> str:
    """Return the tokens of a pretraining, and those of the teacher."""
    mine, teacher = (number(encoder.own(name), ",.0f") for name in ("tokens", "teacher_tokens"))
    return mine if teacher == NONE else f"{mine} + {teacher}"


def _left(encoder: Encoder) -> str:
    if not encoder.has_plateau:
        return NONE
    if encoder.left_plateau is None:
        return "not"
    tokens, seconds = encoder.left_plateau
    return f"{tokens / 1e6:.2f} M, {seconds:,.0f} s"


def _left_together(members: Sequence[Encoder]) -> str:
    """Return the mean seconds until the plateau was left, of those that left it, and how many did."""
    left = [e.left_plateau[1] for e in members if e.left_plateau is not None]
    if not all(e.has_plateau for e in members):
        return NONE
    if not left:
        return "none did"
    counted = "" if len(left) == len(members) else f" ({len(left)} of {len(members)})"
    return f"{summarise(left).mean:,.0f} s{counted}"


def _mean(members: Sequence[Encoder], name: str, style: str) -> str:
    values = [value for e in members if (value := e.own(name)) is not None]
    return in_words(summarise(values) if len(values) == len(members) else None, style)


def _probe(encoder: Encoder, skill: str) -> str:
    """Return what a probe finds in an encoder, and in random weights of its shape."""
    found, untrained = (
        number(encoder.measured(f"{skill}_{name}")) for name in ("accuracy", "untrained")
    )
    return found if untrained == NONE else f"{found} / {untrained}"


def _beside(encoder: Encoder, name: str, style: str) -> str:
    """Return a number on held-out text beside those of the predictors that no training made."""
    mine = encoder.own(f"heldout_{name}")
    if mine is None:
        return NONE
    others = [encoder.own(f"{known}_{name}") for known in KNOWN]
    return " / ".join(number(value, style) for value in (mine, *others))


def _skill(encoder: Encoder) -> str:
    for skill in SKILLS:
        accuracy = encoder.own(f"heldout_{skill}_accuracy")
        if accuracy is not None:
            found = encoder.own("heldout_replaced_found")
            beside = "" if found is None else f" ({found:.2f} of the replaced)"
            return f"{skill.upper()} {accuracy:.2f}{beside}"
    return NONE
