"""Pretrained encoders in, a picture of their held-out losses out, and what it shows in words."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from bertbench.report.encoders import KNOWN, Encoder, groups, recipes
from bertbench.report.figures import FAINT, new_figure, save

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color: told apart by the colour-blind; without its yellow
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STROKES = ("-", "-.", ":")  # of a second and third round of colours
MARKERS = {"continued": "s", "reset": "^"}  # by the words of the weights; a circle for all others
DASHES = ((0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2)), (0, (1, 3)))  # of the predictors, by letter
GREYS = dict(zip(KNOWN, ("#4a5568", "#8a94a6"), strict=True))
LEGEND = 100  # characters of a name in one line


def pretraining_figure(encoders: Sequence[Encoder], path: Path) -> bool:
    """Draw held-out losses against pretraining tokens, and the losses of the predictors of words alone.

    Args:
        encoders: One line each, where the loss was measured at least twice; one colour a recipe.
        path: Of a .png or .svg.

    Returns:
        Whether there was anything to draw.
    """
    from matplotlib.ticker import EngFormatter

    drawn = _drawn(encoders)
    if not drawn:
        return False
    lettered, repeats = groups(drawn), recipes(drawn)
    figure = new_figure(width=8, height=4 + 0.2 * (len(repeats) + len(lettered)))
    axes = figure.subplots()
    for place, members in enumerate(repeats):
        rounds, colour = divmod(place, len(COLOURS))
        name = _lettered(_together(members), members[0].letter, lettered)
        for encoder in members:
            axes.plot(
                *zip(*_points(encoder), strict=True),
                color=COLOURS[colour],
                linestyle=STROKES[rounds % len(STROKES)],
                marker=MARKERS.get(encoder.record.recipe.get("weights", ""), "o"),
                markersize=4,
                linewidth=1.4,
                label="" if encoder is not members[0] else "\n".join(textwrap.wrap(name, LEGEND)),
            )
    for place, (letter, members) in enumerate(lettered.items()):
        for known, colour in GREYS.items():
            losses = [loss for e in members if (loss := e.own(f"{known}_loss")) is not None]
            if losses:
                axes.axhline(
                    sum(losses) / len(losses),
                    color=colour,
                    linestyle=DASHES[place % len(DASHES)],
                    linewidth=1,
                    label=_lettered(f"{known} predictor", letter, lettered),
                )
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("pretraining tokens", fontsize=9)
    axes.set_ylabel("held-out MLM loss (nats a masked token)", fontsize=9)
    axes.set_title(_title(lettered), fontsize=10)
    axes.tick_params(labelsize=9)
    axes.grid(color=FAINT, alpha=0.4, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", fontsize=8, frameon=False, handlelength=3.5)
    save(figure, path)
    return True


def caption(encoders: Sequence[Encoder]) -> str:
    """Say what the picture shows, what of it compares, and which encoders are not in it."""
    drawn = _drawn(encoders)
    lettered = groups(drawn)
    said = [
        "Loss on held-out text while pretraining; dashed, those of the unigram and the bigram predictor "
        "(means over encoders of one vocabulary). The last point may be over more held-out rows than others."
    ]
    weights = {encoder.record.recipe.get("weights") for encoder in drawn}
    if "continued" in weights:
        said.append("Squares: the encoder began with ready-made weights (*continued*).")
    if "reset" in weights:
        said.append(
            "Triangles: shape and tokenizer are ready-made, the weights began random (*reset*)."
        )
    if len(lettered) > 1:
        said.append(
            f"**Losses of different letters ({', '.join(lettered)}) do not compare**: they are of other "
            "vocabularies or other documents."
        )
    names = {encoder.name for encoder in drawn}
    if missing := [encoder.name for encoder in encoders if encoder.name not in names]:
        said.append(f"Without a curve: {', '.join(missing)}.")
    return " ".join(said)


def _points(encoder: Encoder) -> list[tuple[float, float]]:
    """Return tokens and loss of each measurement that has both."""
    return [
        (line["tokens"], line["heldout_loss"])
        for line in encoder.record.curve
        if "tokens" in line and "heldout_loss" in line
    ]


def _drawn(encoders: Sequence[Encoder]) -> list[Encoder]:
    return [encoder for encoder in encoders if len(_points(encoder)) > 1]


def _together(members: Sequence[Encoder]) -> str:
    """Name what one colour stands for: an encoder, or the pretrainings of one recipe."""
    if len(members) == 1:
        return members[0].marked
    return f"{members[0].recipe} ({len(members)} pretrainings)"


def _lettered(name: str, letter: str, lettered: dict[str, list[Encoder]]) -> str:
    return f"{name} [{letter}]" if len(lettered) > 1 else name


def _title(lettered: dict[str, list[Encoder]]) -> str:
    return "pretraining" if len(lettered) < 2 else "pretraining: different letters do not compare"
