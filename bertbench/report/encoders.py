"""Records in, what each pretraining came to out: a row an encoder, and what may be compared."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

from bertbench.records import Json, RunRecord, fingerprint, seedless
from bertbench.report.rows import encoder_words, told_apart
from bertbench.tracking.delivery import flatten

SKILLS = ("nsp", "sop", "rtd")  # what an objective may teach beside the masked words
KNOWN = ("unigram", "bigram")  # predictors that no training made
CONTEXTS = ("full", "left", "right", "none")
QUANTILE = 1.96  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Encoder:
    """A pretrained encoder, whatever the number of runs that use it.

    Attributes:
        name: Words that no other encoder of the sheet has.
        key: Fingerprint of its recipe.
        record: Of one run that uses it.
        letter: Encoders of one letter have one vocabulary and the same held-out documents.
        recipe: The name without the seed: encoders of one recipe are repeats.
    """

    name: str
    key: str
    record: RunRecord
    letter: str
    recipe: str

    def own(self, name: str) -> float | None:
        """Return a number of its own pretraining; None where it has none of that name."""
        return self.record.pretraining.get(name)

    def measured(self, name: str) -> float | None:
        """Return a number that is measured alike of each encoder; None where it was not."""
        return self.record.pretraining.get(f"intrinsic/{name}")

    @property
    def marked(self) -> str:
        """The name, with a dagger where the pretraining stayed at the unigram plateau."""
        return f"{self.name} †" if self.own("plateau") == 1 else self.name

    @property
    def has_plateau(self) -> bool:
        """Whether masked words were measured while it was pretrained."""
        return any("heldout_loss" in line and "plateau" in line for line in self.record.curve)

    @property
    def left_plateau(self) -> tuple[float, float] | None:
        """Tokens and seconds from which on no measurement was on the unigram plateau; None if none."""
        found = None
        for line in self.record.curve:
            if line.get("plateau") != 0 or "heldout_loss" not in line:
                found = None
            elif found is None:
                found = line["tokens"], line["training_seconds"]
        return found

    @property
    def vocabulary(self) -> str:
        """What its tokens are, in words."""
        made, recipe = self.record.science["encoder"].get("tokenizer") or {}, self.record.recipe
        settings = made.get("settings")
        if settings is None:
            named = recipe.get("source", f"{recipe['model']} {recipe['scale']}")
            return f"the ready-made tokenizer of {named}"
        kind, size = settings["_target_"].rpartition(".")[2], settings["vocab_size"]
        corpus = f" of {recipe['corpus']}" if "corpus" in recipe else ""
        return f"{kind}, {size:,} entries{corpus}"


def find_encoders(records: Sequence[RunRecord]) -> list[Encoder]:
    """Return each encoder that was pretrained here once, by name."""
    found: dict[str, RunRecord] = {}
    for record in records:
        if record.pretraining:
            key = fingerprint(record.science["encoder"])
            if key not in found or _fullness(record) > _fullness(found[key]):
                found[key] = record
    names, repeats = _names(found), _names(found, seeds=False)
    ordered = sorted(found, key=lambda key: names[key])
    yardsticks = {key: _yardstick(found[key]) for key in ordered}
    letters = list(dict.fromkeys(yardsticks.values()))
    return [
        Encoder(names[key], key, found[key], _letter(letters.index(yardsticks[key])), repeats[key])
        for key in ordered
    ]


def groups(encoders: Sequence[Encoder]) -> dict[str, list[Encoder]]:
    """Return the encoders of each letter."""
    found: dict[str, list[Encoder]] = {}
    for encoder in encoders:
        found.setdefault(encoder.letter, []).append(encoder)
    return dict(sorted(found.items()))


def recipes(encoders: Sequence[Encoder]) -> list[list[Encoder]]:
    """Return the encoders of each recipe: they differ in their seeds alone."""
    found: dict[str, list[Encoder]] = {}
    for encoder in encoders:
        found.setdefault(_family(encoder.record), []).append(encoder)
    return list(found.values())


def margin(count: float, share: float = 0.5) -> float:
    """Return half of the 95 % interval of an accuracy over `count` things; at 0.5 it is the widest."""
    return QUANTILE * (share * (1 - share) / count) ** 0.5


def context_gaps(encoder: Encoder) -> tuple[list[str], list[str]]:
    """Return the contexts that the full one does not beat, and those it beats by less than chance may.

    The 95 % interval is that of two independent accuracies. They are of the same words, so theirs is
    narrower.
    """
    full, count = encoder.measured("context_full"), encoder.measured("context_words")
    equal: list[str] = []
    close: list[str] = []
    if full is None:
        return equal, close
    for name in CONTEXTS[1:]:
        other = encoder.measured(f"context_{name}")
        if other is None:
            continue
        if full <= other:
            equal.append(name)
        elif (
            count
            and full - other
            <= QUANTILE * ((full * (1 - full) + other * (1 - other)) / count) ** 0.5
        ):
            close.append(name)
    return equal, close


def _fullness(record: RunRecord) -> tuple[int, int]:
    """Say how much a record knows of its encoder: one of an older version may lack some."""
    return len(record.pretraining), len(record.curve)


def _names(records: dict[str, RunRecord], *, seeds: bool = True) -> dict[str, str]:
    """Name each encoder; without seeds, each recipe."""
    words = {key: encoder_words(record) for key, record in records.items()}
    keys = {key: key if seeds else _family(record) for key, record in records.items()}
    settings: dict[str, Json] = {
        key: {
            name: value
            for name, value in flatten(record.science["encoder"]).items()
            if not name.endswith(".seed") and (seeds or name != "seed")
        }
        for key, record in records.items()
    }
    names = told_apart(words, records, settings)
    bearers = {name: {keys[k] for k, n in names.items() if n == name} for name in names.values()}
    return {k: f"{n} #{keys[k][:8]}" if len(bearers[n]) > 1 else n for k, n in names.items()}


def _family(record: RunRecord) -> str:
    return fingerprint(seedless(record.science["encoder"]))


def _yardstick(record: RunRecord) -> str:
    """Name what losses are over: the vocabulary, and which documents are held out."""
    encoder = record.science["encoder"]
    pretrain = encoder.get("pretrain", {})
    held = {name: pretrain.get(name) for name in ("corpus", "heldout", "deduplicate")}
    vocabulary = encoder.get("tokenizer") or {"source": encoder.get("source")}
    return fingerprint(held | {"vocabulary": vocabulary})


def _letter(place: int) -> str:
    rounds, place = divmod(place, len(string.ascii_uppercase))
    return string.ascii_uppercase[place] + (str(rounds) if rounds else "")
