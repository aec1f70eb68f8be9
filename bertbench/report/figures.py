"""Numbers in, pictures out; the same numbers give the same bytes."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bertbench.report.rows import Table

LABEL = 50  # characters of a row's name in one line
ENCODER, BASELINE, FAINT = "#2b6cb0", "#c05621", "#a0aec0"


def comparison_figure(table: "Table", path: Path) -> None:
    """Draw each row's score over seeds against the baseline's line.

    Args:
        table: Rows, best first.
        path: Of a .png or .svg.
    """
    labels = [row.label + (" †" if row.plateau else "") for row in reversed(table.rows)]
    wrapped = ["\n".join(textwrap.wrap(label, LABEL)) for label in labels]
    lines = sum(1 + 0.4 * label.count("\n") for label in wrapped)
    figure = new_figure(width=8, height=1.3 + 0.36 * lines)
    axes = figure.subplots()
    for place, row in enumerate(reversed(table.rows)):
        colour = BASELINE if row.is_linear else ENCODER
        scores = [e.record.metrics[f"test/{table.metric}"] for e in row.runs]
        axes.plot(scores, [place] * len(scores), "o", color=colour, alpha=0.35, markersize=5)
        axes.plot(row.score.mean, place, "D", color=colour, markersize=7)
        if row.score.spread is not None:
            axes.errorbar(row.score.mean, place, xerr=row.score.spread, color=colour, capsize=3)
    if table.baseline is not None:
        axes.axvline(table.baseline.score.mean, color=BASELINE, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(labels)), wrapped, fontsize=9)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.margins(x=0.08)
    axes.set_xlabel(
        f"test {table.metric} (diamond: mean; bar: one standard deviation over seeds)", fontsize=9
    )
    axes.set_title(f"{table.task}: {table.size}", fontsize=10)
    axes.grid(axis="x", color=FAINT, alpha=0.4, linewidth=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    save(figure, path)


def confusion_figure(counts: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw a confusion matrix: true classes down, predicted classes across.

    Args:
        counts: int64, (C, C).
        classes: Names, (C,).
        path: Of a .png or .svg.
    """
    size = 2.2 + 0.55 * min(len(classes), 30)
    figure = new_figure(width=size + 0.6, height=size)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    save(figure, path)


def new_figure(width: float, height: float) -> "Figure":
    """Return a figure that belongs to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Write without dates and with a fixed salt, so that the bytes depend on the numbers alone.

    Names are shown as they are: a class called "$$" is no formula.
    """
    import matplotlib as mpl
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "bertbench"}):
        figure.savefig(path, dpi=120, metadata=metadata)
