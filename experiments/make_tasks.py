"""Folders of SST-2, SNIPS and MRPC as their makers lay them out in, files that task=files reads out.

    python experiments/make_tasks.py DATA OUT

DATA holds sst2/, snips_intent_slots/ and mrpc/. OUT gets NAME.train.jsonl, NAME.validation.jsonl and
NAME.test.jsonl. A pair of sentences becomes one text with a bar between, for encoders and TF-IDF alike:
until pairs are a kind of task of their own, that is how little of MRPC can be asked.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

Rows = Iterable[tuple[str, str]]  # text, label


def sst2(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield the name and the rows of each split."""
    for name, file in (("train", "train"), ("validation", "dev"), ("test", "test")):
        lines = (folder / f"{file}.tsv").read_text(encoding="utf-8").splitlines()
        pairs = (line.split("\t", 1) for line in lines)
        yield name, [(text, label) for label, text in pairs]


def snips(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield the name and the rows of each split."""
    for name, part in (("train", "train"), ("validation", "valid"), ("test", "test")):
        texts, labels = (
            (folder / part / file).read_text(encoding="utf-8").splitlines()
            for file in ("seq.in", "label")
        )
        yield name, list(zip(map(str.strip, texts), map(str.strip, labels), strict=True))


def mrpc(folder: Path) -> Iterator[tuple[str, Rows]]:
    """Yield the name and the rows of each split."""
    for name, file in (("train", "train"), ("validation", "val"), ("test", "test")):
        with (folder / f"msr-para-{file}.tsv").open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            yield (
                name,
                [(f"{row['#1 String']} | {row['#2 String']}", row["Quality"]) for row in table],
            )


def main(data: Path, out: Path) -> None:
    """Write all splits of all tasks."""
    out.mkdir(parents=True, exist_ok=True)
    sources = {"sst2": sst2(data / "sst2"), "mrpc": mrpc(data / "mrpc")}
    sources["snips"] = snips(data / "snips_intent_slots")
    for task, splits in sources.items():
        for split, rows in splits:
            lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
            (out / f"{task}.{split}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
