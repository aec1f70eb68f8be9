"""`card`: an encoder's folder and the records of sheets in, its model card with what came of its use out."""

import argparse
import json
from pathlib import Path

from bertbench.errors import UserError
from bertbench.models.released import identity
from bertbench.models.safety import checked
from bertbench.models.seal import ABOUT, CARD
from bertbench.records import RECORDS, RunRecord
from bertbench.report.card import card


def main(arguments: list[str]) -> int:
    """Write the card that `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bertbench card",
        description=__doc__,
        epilog="  python -m bertbench card my-encoder results/main",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of an encoder that `pretrain` wrote")
    parser.add_argument("sheets", nargs="*", type=Path, help="folders such as results/main")
    given = parser.parse_args(arguments)
    folder: Path = given.folder
    if not (folder / ABOUT).is_file():
        raise UserError(
            f"{folder} has no {ABOUT}: name a folder that python -m bertbench pretrain wrote"
        )
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    used, others = records_of(identity(checked(folder)), given.sheets)
    (folder / CARD).write_text(card(about, used, others), encoding="utf-8")
    print(f"{folder / CARD}: {len(used)} runs of {len(given.sheets)} sheets")
    return 0


def records_of(encoder: str, sheets: list[Path]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Return the runs of some sheets that used an encoder as it is, and all others.

    Args:
        encoder: Its identity.
        sheets: Folders with records.

    Raises:
        UserError: A folder has no records.
    """
    used, others = {}, {}
    for sheet in sheets:
        path = sheet / RECORDS
        if not path.is_file():
            raise UserError(f"{path} does not exist: name the folder of a sheet")
        for line in path.read_text(encoding="utf-8").splitlines():
            record = RunRecord.from_json(line, place=str(path))
            mine = record.science.get("encoder") == {"source": encoder}
            (used if mine else others)[record.key] = record
    return list(used.values()), list(others.values())
