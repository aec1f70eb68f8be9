"""`data card`: overrides of a task in, its data card out, on the terminal and as files."""

import argparse
from pathlib import Path

from bertbench.checks import check_name, check_task_read
from bertbench.config import Plain, build, check_types, composed
from bertbench.kinds.validate import validate
from bertbench.models.released import locate
from bertbench.tasks.leaks import sound

TOKENIZERS = (
    "bert",
    "roberta",
    "albert",
)  # WordPiece, byte-level BPE, Unigram; more are the model's own
EPILOG = """\
Examples
  python -m bertbench data card
  python -m bertbench data card task=files task.train=tickets.csv task.text=body task.label=topic
  python -m bertbench data card task=files task.kind=token task.train=train.conll model=minilm

The card is printed, and written to data_cards/<task.name>/card.md and card.json."""


def main(arguments: list[str]) -> int:
    """Print what `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bertbench data",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    card = commands.add_parser(
        "card",
        description="what is in a task's data, and what is wrong with it",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    card.add_argument("overrides", nargs="*", help="as for a run: task=..., task.train=...")
    card.add_argument(
        "--output", default="data_cards", help="folder of the cards; %(default)s unless given"
    )
    given = parser.parse_args(arguments)
    return _card(given.overrides, Path(given.output))


def _card(overrides: list[str], output: Path) -> int:
    values = composed(overrides)
    chosen = [word for word in overrides if "." not in word.partition("=")[0]]
    check_types(values, composed(chosen))
    task = values["task"]
    check_name(task["name"], "task.name=")
    check_task_read(overrides, task)
    data = build(task["source"])._replace(name=task["name"])
    place = f"task {task['name']}"
    if task["leaks"] == "error":  # which stops a run, while the card is to show them
        validate(data, place)
    else:
        data = sound(data, task["leaks"], place)

    from bertbench.examination import examine, write
    from bertbench.report.datacard import render

    card = examine(data, _tokenizers(values), max_length=task["max_length"])
    folder = output / task["name"]
    folder.mkdir(parents=True, exist_ok=True)
    write(card, folder / "card")
    print(render(card))
    print(folder / "card.md")
    return 0


def _tokenizers(values: Plain) -> dict[str, object]:
    """Return those of the package's own encoders, and that of the model that was chosen."""
    from bertbench import tokenizer

    sources = {name: f"package:bertbench/weights/{name}_tiny" for name in TOKENIZERS}
    source = values["weights"]["source"]
    if values["model"]["architecture"] is not None and source not in (None, *sources.values()):
        sources[values["model"]["name"]] = source
    return {
        name: tokenizer.load(locate(source, recipe=f"model={name}"))
        for name, source in sources.items()
    }
