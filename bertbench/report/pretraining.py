"""Pretrained encoders in, their part of a sheet out: tables, what in them compares, notes on plateaus."""

import textwrap
from collections.abc import Iterable, Sequence

from bertbench.records import RunRecord, fingerprint
from bertbench.report.columns import LEFT, measured, number, own, repeated, table
from bertbench.report.encoders import CONTEXTS, Encoder, context_gaps, groups, margin

PLAIN_NAME = 49  # columns of a name on a terminal: the numbers beside it take 51 of 100
OWN_NOTE = """\
- Each on held-out rows as its recipe packs them, 15 % of the tokens masked: loss in nats a masked token and
  accuracy, and after the strokes those of the unigram predictor, which knows word frequencies alone, and of
  the bigram predictor, which knows what follows the word before."""
LEFT_NOTE = """\
- Off the plateau: from where on its loss stayed a tenth of a nat below the unigram predictor's, as far as
  the measurements in between tell; tokens and seconds of training."""
REPEATED_NOTE = """\
The same recipes over their pretrainings, which differ in their seeds alone: mean ± standard deviation; off
the plateau, the mean seconds of those that left it."""
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
    told = own(encoders)
    lines = ["## Encoders", "", "What each pretraining came to, on its own held-out text:", ""]
    lines += [*table(encoders, told, lettered), "", OWN_NOTE]
    if LEFT in told:
        lines.append(LEFT_NOTE)
    if any(encoder.own("heldout_rtd_accuracy") is not None for encoder in encoders):
        lines.append(RTD_NOTE)
    if any(encoder.own("teacher_tokens") is not None for encoder in encoders):
        lines.append(TEACHER_NOTE)
    lines += [*_comparable(encoders), ""]
    if again := repeated(encoders):
        lines += [REPEATED_NOTE, "", *again, ""]
    if alike := measured(encoders):
        lines += [
            "Measured alike for all, on held-out text:",
            "",
            *table(encoders, alike, lettered),
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
        cells = [number(encoder.measured(name)) for name in names]
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
            "they are widest. They say nothing of the luck of a pretraining, which other seeds would show."
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
            full = number(encoder.measured("context_full"))
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
    full, *others = (number(loss, ".2f") for loss in losses)
    beside = ", ".join(f"{loss} ({c})" for loss, c in zip(others, CONTEXTS[1:], strict=True))
    return f" Its losses: {full} nats a token with the full context, {beside}."


def _listed(encoder: Encoder, contexts: list[str], joint: str) -> str:
    words = {"left": "the left one", "right": "the right one", "none": "none at all"}
    shown = [f"{words[c]} ({number(encoder.measured(f'context_{c}'))})" for c in contexts]
    return f" {joint} ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _aligned(cells: Sequence[str]) -> str:
    widths = (7, 5, 5, 5, 5, 5, 5)
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
