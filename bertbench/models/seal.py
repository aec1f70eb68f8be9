"""A folder in, the checksums of what is in it out, and back: is it what its makers sealed?"""

import json
from pathlib import Path

from bertbench.errors import UserError
from bertbench.records import sha256

CHECKSUMS = "checksums.json"
ABOUT, CARD = (
    "pretraining.json",
    "README.md",
)  # what came of an encoder, for programs and for people
UNSEALED = {CHECKSUMS, CARD}  # the card grows with what is measured later


def seal(folder: Path) -> None:
    """Write the sha256 of every file of a folder but its card."""
    found = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.name not in UNSEALED}
    (folder / CHECKSUMS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def verify(folder: Path) -> None:
    """Compare a folder with its own checksums, where it has them.

    Raises:
        UserError: A file is missing or another than was sealed.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return
    try:
        sealed = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} holds no checksums ({error}): fetch the folder again") from error
    for name, digest in sealed.items():
        file = folder / Path(str(name)).name
        if not file.is_file() or sha256(file) != digest:
            state = "is not the file that was sealed" if file.is_file() else "is missing"
            raise UserError(
                f"{file} {state} (sha256 in {CHECKSUMS}): fetch or make the folder again"
            )
