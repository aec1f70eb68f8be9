"""What was looked at, as plain data, in; text for a terminal out."""

from itertools import pairwise

from bertbench.config import Plain
from bertbench.inspection.batches import HIDDEN, KEPT, SWAPPED
from bertbench.inspection.columns import Cell, aligned, painted, visible

FATE_COLOURS = {HIDDEN: "red", SWAPPED: "yellow", KEPT: "green"}
FATE_MARKS = {HIDDEN: "{}", SWAPPED: "~{}~", KEPT: "={}="}  # also without colour
VIEW_NAMES = {"full": "both sides", "left": "left alone", "right": "right alone"}
ORDINALS = ("first", "second")
PAIR_LEGEND = (
    "text: what each token stands for; segment: - where the family has none;\n"
    "word: its number where it begins, . where it goes on, * a special token"
)


def pairs(found: Plain, *, width: int, colour: bool) -> str:
    """Return a block for each model: tokens in columns, unknown ones, and what is cut."""
    blocks = [_pair(one, found["texts"], width, colour=colour) for one in found["models"]]
    return "\n\n".join([*blocks, PAIR_LEGEND])


def mask(found: Plain, *, width: int, colour: bool) -> str:
    """Return a block for each model: the likeliest tokens of each mask, in three columns."""
    return "\n\n".join(_masks(one, width, colour=colour) for one in found["models"])


def batch(found: Plain, *, width: int, colour: bool) -> str:
    """Return a block for each model: rows, each epoch below the original, and what epochs share."""
    return "\n\n".join(_rows(one, width, colour=colour) for one in found["models"])


def _pair(one: Plain, texts: list[str], width: int, *, colour: bool) -> str:
    count = len(one["tokens"])
    dim = ["dim" if special else "" for special in one["special"]]
    for place in one["unknown"]:
        dim[place] = "red"
    segments = one["segment_ids"] or ["-"] * count
    lines = {
        "token": [visible(token) for token in one["tokens"]],
        "text": [visible(source or "") for source in one["source"]],
        "id": [str(number) for number in one["ids"]],
        "segment": [str(segment) for segment in segments],
        "word": _word_numbers(one),
    }
    table = [
        (name, [Cell(text, hue) for text, hue in zip(cells, dim, strict=True)])
        for name, cells in lines.items()
    ]
    heading = (
        f"{one['model']}: {count} tokens of {one['length']} at most, {one['entries']:,} entries"
    )
    said = [painted(heading, "bold", colour=colour)]
    said += aligned(table, width=width, colour=colour)
    if unknown := [one["source"][place] for place in one["unknown"]]:
        shown = ", ".join(_characters(text) for text in unknown)
        said.append(painted(f"  {len(unknown)} unknown: {shown}", "red", colour=colour))
    for number in range(len(texts)):
        if lost := one["lost"][number]:
            said.append(
                f"  cut: the {ORDINALS[number]} text loses {lost} of its {one['total'][number]} tokens: "
                f"{visible(one['cut'][number])}"
            )
    return "\n".join(said)


def _word_numbers(one: Plain) -> list[str]:
    found, number = [], 0
    for special, starts in zip(one["special"], one["starts"], strict=True):
        number += starts
        found.append("*" if special else str(number) if starts else ".")
    return found


def _characters(text: str) -> str:
    codes = " ".join(f"U+{ord(char):04X}" for char in text[:4])
    return f"{visible(text)} ({codes}{' ...' if len(text) > 4 else ''})"


def _masks(one: Plain, width: int, *, colour: bool) -> str:
    places = {found["position"] for found in one["masks"]}
    tokens = [
        Cell(visible(token), "cyan" if place in places else "")
        for place, token in enumerate(one["tokens"])
    ]
    said = [painted(f"{one['model']}: weights {visible(one['weights'])}", "bold", colour=colour)]
    said += aligned([("reads", tokens)], width=width, colour=colour)
    for number, found in enumerate(one["masks"], start=1):
        lines = [[Cell(name, "bold") for name in VIEW_NAMES.values()]]
        size = max(len(found[view]) for view in VIEW_NAMES)
        for rank in range(size):
            best = [found[view][rank] for view in VIEW_NAMES]
            lines.append([Cell(f"{b['probability']:6.1%} {_named(b)}  ") for b in best])
        headings = [f"mask {number}", *(str(rank) for rank in range(1, size + 1))]
        said += ["", *aligned([*zip(headings, lines, strict=True)], width=width, colour=colour)]
    return "\n".join(said)


def _named(guess: Plain) -> str:
    return visible(guess["token"]) if guess["token"] is not None else f"#{guess['id']}"


def _rows(one: Plain, width: int, *, colour: bool) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in one["masking"].items())
    count = f"{len(one['rows'])} of {one['available']:,} rows of up to {one['length']} tokens"
    said = [
        painted(f"{one['model']}: {count}", "bold", colour=colour),
        f"  masking: {settings}",
        f"  packing: {', '.join(f'{name}={value}' for name, value in one['packing'].items())}",
    ]
    swapped = one["packing"].get("second") == "swapped"
    for row in one["rows"]:
        said += ["", *_row(row, width, swapped=swapped, colour=colour)]
    said.append("")
    said += [_counted(epoch, colour=colour) for epoch in one["epochs"]]
    said += [painted(_shared(pair), "bold", colour=colour) for pair in one["shared"]]
    if past := [e["epoch"] for e in one["epochs"] if e["spent"] >= 1]:
        said.append(f"the budget of the pretraining is spent before epoch {past[0]} begins")
    return "\n".join(said)


def _row(row: Plain, width: int, *, swapped: bool, colour: bool) -> list[str]:
    borders = [0, *([row["second"]] if row["second"] is not None else []), len(row["tokens"])]
    said = []
    for part, (begin, end) in enumerate(pairwise(borders)):
        name = f"row {row['sequence'] + 1}, tokens {begin} to {end - 1}"
        if len(borders) > 2:
            name += f", {ORDINALS[part]} segment"
        if part:
            other = (
                "came before the first: they were swapped"
                if swapped
                else "does not follow the first"
            )
            name += f", which {'follows the first' if row['related'] == 'follows' else other}"
        lines = [("original", [Cell(visible(token), "dim") for token in row["tokens"][begin:end]])]
        for epoch in row["epochs"]:
            pieces = zip(epoch["tokens"][begin:end], epoch["fates"][begin:end], strict=True)
            cells = [_marked(token, fate) for token, fate in pieces]
            lines.append((f"epoch {epoch['epoch']}", cells))
        said += [painted(name, "cyan", colour=colour), *aligned(lines, width=width, colour=colour)]
    return said


def _marked(token: str, fate: str) -> Cell:
    shown = visible(token)
    return Cell(FATE_MARKS[fate].format(shown), FATE_COLOURS[fate]) if fate else Cell(shown)


def _counted(epoch: Plain, *, colour: bool) -> str:
    picked, maskable = epoch["picked"], epoch["maskable"]
    fates = ", ".join(
        painted(
            f"{FATE_MARKS[fate].format(fate)} {epoch[fate]} ({_percent(epoch[fate], picked)})",
            FATE_COLOURS[fate],
            colour=colour,
        )
        for fate in (HIDDEN, SWAPPED, KEPT)
    )
    share = _percent(picked, maskable)
    return f"epoch {epoch['epoch']}: {picked} of {maskable} tokens picked ({share}): {fates}"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _shared(pair: Plain) -> str:
    first, later = pair["epochs"]
    before, after = pair["picked"]
    names = f"epochs {first} and {later}"
    if pair["same"]:
        return f"{names} are the same: all {before} picked positions, and what is read there"
    if pair["both"] == before == after:
        return f"{names} pick the same {before} positions, but read other tokens there"
    return f"{names} differ: they share {pair['both']} of {before} and {after} picked positions"
