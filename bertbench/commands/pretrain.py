"""`pretrain`: overrides in, a folder with a pretrained encoder and its model card out."""

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path

from bertbench import interrupt
from bertbench.config import Plain, build
from bertbench.errors import UserError
from bertbench.inspection.subjects import Subject, find
from bertbench.models.seal import ABOUT, CARD, CHECKSUMS, seal
from bertbench.records import fingerprint
from bertbench.store import RUNS

EPILOG = """\
overrides are those of a run; weights=pretrain goes without saying

  python -m bertbench pretrain my-encoder experiment=small_budget corpus=files corpus.path=texts
  python -m bertbench model=bert weights=released weights.source=my-encoder

Stopped, killed or cut off, the same command goes on from there. What is written: weights in half precision
(model.safetensors), tokenizer, configuration, pretraining.json (recipe, corpus, curves, measures),
checksums.json, and README.md, the model card."""

FIRST = 10  # logged losses that a remaking is compared with


def main(arguments: list[str]) -> int:
    """Pretrain, or find in the store, what `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bertbench pretrain",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="where the encoder is written")
    parser.add_argument("overrides", nargs="*", help="as for a run: model=roberta scale=mini")
    parser.add_argument(
        "--about", default="", metavar="TEXT", help="corpus and licences, for the card"
    )
    given = parser.parse_intermixed_args(arguments)
    if any("=" not in word for word in given.overrides):
        raise UserError(
            f"pretrain takes one folder and overrides like model=bert, not {shlex.join(given.overrides)}"
        )
    if given.folder.exists() and not (given.folder / CHECKSUMS).is_file():
        raise UserError(
            f"{given.folder} is there and is no encoder that was made so: name another folder"
        )
    subject = find(None, ["weights=pretrain", *given.overrides])
    if not subject.values["weights"]["train"]:
        raise UserError(
            "pretrain trains an encoder, but weights.train=false: leave out what says so"
        )
    command = shlex.join(["python", "-m", "bertbench", "pretrain", *arguments])
    _make(subject, given.folder, command=command, about=given.about)
    print(f"{given.folder}: use it with weights=released weights.source={given.folder}")
    return 0


def _make(subject: Subject, folder: Path, *, command: str, about: str) -> None:
    from bertbench.models.packaging import pack
    from bertbench.progress import Checkpoints
    from bertbench.recipe import provide_encoder
    from bertbench.report.card import card
    from bertbench.runtime import compute, environment

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    interrupt.listen()
    values, lineage = subject.values, subject.lineage
    where = compute(values["runtime"]["device"], values["runtime"]["threads"])
    key = fingerprint(lineage.encoder)
    tracker = build(values["tracking"], journals=subject.store.root / RUNS)
    title = f"{lineage.title} pretraining"
    tags = {"stage": "pretraining", "name": values["name"], "model": values["model"]["name"]}
    with tracker.run(key, title, params=lineage.encoder, tags=tags) as run:
        checkpoints = Checkpoints(None, values["runtime"]["checkpoint_seconds"], run.flush)
        made = provide_encoder(lineage, subject.store, where, run.log, checkpoints)
        run.log({f"pretrain/{name}": value for name, value in made.stats.items()})
    pack(made.folder, folder)
    kept: Plain = {
        "title": lineage.title,
        "key": key,
        "command": command,
        "about": about,
        "recipe": lineage.encoder,
        "stats": made.stats,
        "curve": made.curve,
        "first_losses": _first_losses(made.folder),
        "corpus": made.card,
        "environment": environment(where),
    }
    text = json.dumps(kept, indent=1) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")
    seal(folder)
    (folder / CARD).write_text(card(kept, []), encoding="utf-8")


def _first_losses(folder: Path) -> list[list[float]]:
    """Return the first steps of which a pretraining logged the loss, and that loss."""
    log = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["log"]
    return [[step, values["loss"]] for step, values in log if "loss" in values][:FIRST]
