"""Pretrained encoders in, their part of a sheet out: tables, what in them compares, notes on plateaus."""

import textwrap
from collections.abc import Iterable, Sequence

from bertbench.records import RunRecord, fingerprint
from bertbench.report.encoders import (
    CONTEXTS,
    KNOWN,
    SKILLS,
    Encoder,
    context_gaps,
    groups,
    margin,
)

NONE = "–"
PLAIN_NAME = 49  # columns of a name on a terminal: the numbers beside it take 51 of 100
OWN_NOTE = """\
- Each on held-out rows as its recipe packs them, 15 % of the tokens masked: loss in nats a masked token and
  accuracy, and after the strokes those of the unigram predictor, which knows word frequencies alone, and of
  the bigram predictor, which knows what follows the word before."""
RTD_NOTE = """\
- RTD accuracy is over all tokens, most of which stand as they were written: the share of the replaced ones
  that is found says more. RTD predicts no masked word and never reads [MASK]: such an encoder's MLM numbers
  are those of a head that was fitted on it afterwards for a fifth of its tokens, and fall short for that."""
TEACHER_NOTE = """\
- A student's teacher has read its own tokens beside: they stand after the plus sign."""
PERPLEXITY_NOTE = """\
- Pseudo-perplexity masks each token of a sentence alone (Salazar et al. 2020, section 2.3,
  https://aclanthology.org/2020.acl-main.240). That of a token compares within one vocabulary, that of a word
  across vocabularies of one corpus, but roughly: other sentences are drawn, lowercased text is easier."""
PROBE_NOTE = """\
- NSP (does the second segment follow?) and SOP (are two segments in order?) are light probes of the frozen
  encoder, the same for each recipe. The tasks are those of Lan et al. (2020), table 5,
  https://arxiv.org/abs/1909.11942, where each model's own head tells. Chance is 0.5, but after the stroke
  stands what the same probe finds in random weights of the same shape: only what is above that was learnt.
  A segment from another document may also give itself away by its kind of text."""
CONTEXT_NOTE = """\
- Full, left, right, none: the share of the same masked words that is predicted right when all other words
  of the row can be seen, those before, those after, or none. What reads both ways is best with all. No
  encoder here was trained on rows seen from one side: what it lacks there is words, and practice.
- The rows are full sentences of one segment, as RoBERTa packs them: unusual to those trained on pairs."""
PLATEAU_NOTE = """\
† **Pretraining stayed at the unigram plateau**: on held-out text the encoder predicts masked \
tokens hardly better than word frequencies alone, so these rows say nothing of what a longer \
pretraining would give."""


def section(encoders: Sequence[Encoder]) -> list[str]:
    """Return the lines of a sheet on its encoders; none where nothing was pretrained.

    Args:
        encoders: In the order of their rows.
    """
    if not encoders:
        return []
    lettered = len(groups(encoders)) > 1
    own = _own(encoders)
    lines = ["## Encoders", "", "What each pretraining came to, on its own held-out text:", ""]
    lines += [*_table(encoders, own, lettered), "", OWN_NOTE]
    if any(encoder.own("heldout_rtd_accuracy") is not None for encoder in encoders):
        lines.append(RTD_NOTE)
    if any(encoder.own("teacher_tokens") is not None for encoder in encoders):
        lines.append(TEACHER_NOTE)
    lines += [*_comparable(encoders), ""]
    if measured := _measured(encoders):
        lines += [
            "Measured alike for all, on held-out text:",
            "",
            *_table(encoders, measured, lettered),
            "",
        ]
        lines += [*_measured_notes(encoders), *_unused_context(encoders), ""]
    return lines


def plain_encoders(encoders: Sequence[Encoder]) -> list[str]:
    """Return a table for a terminal, at most 100 columns wide; none where nothing was measured."""
    names = ("mlm_accuracy", "nsp_accuracy", "sop_accuracy", *(f"context_{c}" for c in CONTEXTS))
    known = [e for e in encoders if any(e.measured(name) is not None for name in names)]
    if not known:
        return []
    head = ("MLM acc", "NSP", "SOP", *CONTEXTS)
    wrapped = [textwrap.wrap(encoder.marked, PLAIN_NAME) for encoder in known]
    width = max(len("encoder"), *(len(line) for lines in wrapped for line in lines))
    found = ["", "what pretraining came to (NSP, SOP: chance is 0.5)", ""]
    found.append(f"{'encoder':{width}}  {_aligned(head)}".rstrip())
    for encoder, (first, *rest) in zip(known, wrapped, strict=True):
        cells = [_number(encoder.measured(name)) for name in names]
        found.append(f"{first:{width}}  {_aligned(cells)}")
        found += [f"  {line}" for line in rest]
    return found


def plateaus(records: Iterable[RunRecord], names: dict[str, str]) -> list[str]:
    """Name the pretrainings that predict hardly better than word frequencies.

    Args:
        records: Of the runs of one table.
        names: Of each encoder, by the fingerprint of its recipe.
    """
    seen: dict[str, str] = {}
    for record in records:
        found = record.pretraining
        if found.get("plateau") != 1:
            continue
        key = fingerprint(record.science["encoder"])
        parts = [f"- {names[key]}, {found['tokens']:,.0f} tokens"]
        if "heldout_loss" in found:
            parts.append(
                f": held-out loss {found['heldout_loss']:.2f} nats against {found['unigram_loss']:.2f}, "
                f"accuracy {found['heldout_accuracy']:.3f} against {found['unigram_accuracy']:.3f}"
            )
        seen[key] = "".join(parts)
    return [PLATEAU_NOTE, "", *sorted(seen.values()), ""] if seen else []


def _own(encoders: Sequence[Encoder]) -> dict[str, list[str]]:
    """Return columns of what each pretraining says of itself."""
    return {
        "pretraining tokens": [_tokens(e) for e in encoders],
        "steps": [_number(e.own("steps"), ",.0f") for e in encoders],
        "MLM loss / unigram / bigram": [_beside(e, "loss", ".2f") for e in encoders],
        "accuracy / unigram / bigram": [_beside(e, "accuracy", ".3f") for e in encoders],
        "its other skill": [_skill(e) for e in encoders],
    }


def _tokens(encoder: Encoder) -> str:
    """Return the tokens of a pretraining, and those of the teacher."""
    mine, teacher = (_number(encoder.own(name), ",.0f") for name in ("tokens", "teacher_tokens"))
    return mine if teacher == NONE else f"{mine} + {teacher}"


def _probe(encoder: Encoder, skill: str) -> str:
    """Return what a probe finds in an encoder, and in random weights of its shape."""
    found, untrained = (
        _number(encoder.measured(f"{skill}_{name}")) for name in ("accuracy", "untrained")
    )
    return found if untrained == NONE else f"{found} / {untrained}"


def _measured(encoders: Sequence[Encoder]) -> dict[str, list[str]]:
    """Return columns of what is measured alike of each encoder, as far as anything is known."""
    asked = {
        "MLM loss": ("mlm_loss", ".2f"),
        "MLM accuracy": ("mlm_accuracy", ".3f"),
        "pseudo-perplexity a word": ("pseudo_perplexity_word", ",.1f"),
        "a token": ("pseudo_perplexity", ",.1f"),
        **{context: (f"context_{context}", ".3f") for context in CONTEXTS},
    }
    columns = {
        head: [_number(e.measured(name), style) for e in encoders]
        for head, (name, style) in asked.items()
    }
    columns |= {
        f"{skill.upper()} probe / untrained": [_probe(e, skill) for e in encoders]
        for skill in ("nsp", "sop")
    }
    return {head: cells for head, cells in columns.items() if set(cells) != {NONE}}


def _table(
    encoders: Sequence[Encoder], columns: dict[str, list[str]], lettered: bool
) -> list[str]:
    head = ["encoder", *(["vocabulary"] if lettered else []), *columns]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for encoder, *cells in zip(encoders, *columns.values(), strict=True):
        named = [encoder.marked, *([encoder.letter] if lettered else [])]
        lines.append("| " + " | ".join([*named, *cells]) + " |")
    return lines


def _comparable(encoders: Sequence[Encoder]) -> list[str]:
    """Say whose losses a token compare: those over the same tokens of the same documents."""
    found = groups(encoders)
    if len(encoders) == 1:
        return []
    if len(found) == 1:
        return [
            "- All have one vocabulary and the same held-out documents: their losses compare, but for the "
            "context that rows of another packing or length show."
        ]
    lines = [
        "- Losses a token compare within one vocabulary and its held-out documents alone, but for the "
        "context that rows of another packing or length show:"
    ]
    for letter, members in found.items():
        names = ", ".join(encoder.name for encoder in members)
        lines.append(f"  - {letter} ({members[0].vocabulary}): {names}")
    return lines


def _measured_notes(encoders: Sequence[Encoder]) -> list[str]:
    notes = [
        "- MLM loss and accuracy are over held-out rows that are packed and masked alike for all: they "
        "compare where vocabulary and row length are the same."
    ]
    for note, names in (
        (PERPLEXITY_NOTE, ("pseudo_perplexity", "pseudo_perplexity_word")),
        (PROBE_NOTE, ("nsp_accuracy", "sop_accuracy")),
        (CONTEXT_NOTE, ("context_full",)),
    ):
        if any(e.measured(name) is not None for e in encoders for name in names):
            notes.append(note)
    counted = {
        "mlm_predicted": "masked tokens (MLM)",
        "nsp_pairs": "pairs (NSP)",
        "sop_pairs": "pairs (SOP)",
        "context_words": "masked words (contexts)",
    }
    sizes = [_size(encoders, name, things) for name, things in counted.items()]
    if known := [size for size in sizes if size]:
        notes.append(
            f"- These accuracies are over {', '.join(known)}: 95 % margins by the binomial at 0.5, where "
            "they are widest. They say nothing of the luck of a pretraining, which was made once."
        )
    return notes


def _size(encoders: Sequence[Encoder], name: str, things: str) -> str:
    """Say how many things were counted, and the margin that this leaves."""
    counts = [count for e in encoders if (count := e.measured(name))]
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    span = f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}"
    shares = [e.measured(name.replace("pairs", "majority")) for e in encoders]
    common = max((s for s in shares if s is not None), default=None) if "pairs" in name else None
    alone = "" if common is None else f"; the commoner answer alone {common:.3f}"
    return f"{span} {things} (± {margin(least):.3f}{alone})"


def _unused_context(encoders: Sequence[Encoder]) -> list[str]:
    """Name the encoders that the full context helps no more than a part of it."""
    lines = []
    for encoder in encoders:
        equal, close = context_gaps(encoder)
        said = []
        if equal:
            said.append(f"does not beat {_listed(encoder, equal, 'or')}")
        if close:
            said.append(
                f"beats {_listed(encoder, close, 'and')} by no more than chance may (95 %)"
            )
        if said:
            full = _number(encoder.measured("context_full"))
            text = f"- **{encoder.name}**: the full context ({full}) {' and '.join(said)}."
            lines.append(text + _context_losses(encoder))
    return (
        ["", "The context that these encoders can see helps them less than it could:", "", *lines]
        if lines
        else []
    )


def _context_losses(encoder: Encoder) -> str:
    """Say the losses too: they tell apart what accuracies on few words do not."""
    losses = [encoder.measured(f"context_{context}_loss") for context in CONTEXTS]
    if None in losses:
        return ""
    full, *others = (_number(loss, ".2f") for loss in losses)
    beside = ", ".join(f"{loss} ({c})" for loss, c in zip(others, CONTEXTS[1:], strict=True))
    return f" Its losses: {full} nats a token with the full context, {beside}."


def _listed(encoder: Encoder, contexts: list[str], joint: str) -> str:
    words = {"left": "the left one", "right": "the right one", "none": "none at all"}
    shown = [f"{words[c]} ({_number(encoder.measured(f'context_{c}'))})" for c in contexts]
    return f" {joint} ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _beside(encoder: Encoder, name: str, style: str) -> str:
    """Return a number on held-out text beside those of the predictors that no training made."""
    mine = encoder.own(f"heldout_{name}")
    if mine is None:
        return NONE
    others = [encoder.own(f"{known}_{name}") for known in KNOWN]
    return " / ".join(_number(value, style) for value in (mine, *others))


def _skill(encoder: Encoder) -> str:
    for skill in SKILLS:
        accuracy = encoder.own(f"heldout_{skill}_accuracy")
        if accuracy is not None:
            found = encoder.own("heldout_replaced_found")
            beside = "" if found is None else f" ({found:.2f} of the replaced)"
            return f"{skill.upper()} {accuracy:.2f}{beside}"
    return NONE


def _number(value: float | None, style: str = ".3f") -> str:
    return NONE if value is None else format(value, style)


def _aligned(cells: Sequence[str]) -> str:
    widths = (7, 5, 5, 5, 5, 5, 5)
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
