"""RunRecord to JSON and back, and the fingerprints that name things; imports no torch."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bertbench.errors import UserError

RECORDS = "records.jsonl"  # of a sheet: one a line
SCHEMA = 1  # raised when a field changes its meaning; older records still load

# What each stage makes, by version: raise a number when the same settings would give other results.
STAGES = {
    "tokenizer": 1,  # tokenizer.py
    "tokens": 1,  # data/sentences.py, words.py, scripts.py, shards.py, assembly.py, tokenise.py
    "embeddings": 1,  # data/cooccurrence.py, start.py
    "packed": 2,  # data/packing.py, and which documents are held out
    "encoder": 2,  # models/families.py, masking/, objectives/, pretrain.py, loop.py, optim.py
    "intrinsic": 1,  # intrinsic.py, prediction.py, context.py, probe.py
    "features": 1,  # data/encoding.py, aligned.py, passages.py, models/heads.py, probing/
    "transfer": 1,  # data/, kinds/, tasks/, models/heads.py and beside it, modes/, probing/, baselines/,
    # predictors.py, linear.py, regressions.py, learners.py, tuning.py, loop.py, optim.py, scores/
}

Json = dict[str, Any]


def fingerprint(value: object) -> str:
    """Return 64 hex digits (sha256) of `value` as canonical JSON: key order does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seedless(recipe: Json | None) -> Json | None:
    """Return an encoder's recipe without its seed, and without that of its teacher."""
    if recipe is None:
        return None
    return {
        name: seedless(cast("Json", below)) if isinstance(below, dict) else below
        for name, below in recipe.items()
        if name != "seed"
    }


def sha256(path: Path) -> str:
    """Return 64 hex digits (sha256) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class RunRecord:
    """One recipe on one task in one mode with one seed, and what came of it.

    Attributes:
        key: Fingerprint of the science: two runs with one key are the same run.
        group: The key without its seeds: runs with one group are repeats.
        recipe: What made the encoder, by word (model, weights, scale, objective, masking).
        science: The resolved settings that the key was made of.
        metrics: By name, such as `test/accuracy`.
        chosen: What validation chose, by name (C, learning rate, epoch).
        cost: Seconds, milliseconds a text, parameters; by name.
        pretraining: Held-out loss and accuracy beside those of the unigram and the bigram predictor, tokens,
            seconds; under `intrinsic/` what is measured alike of each encoder.
        data: Fingerprint and sizes of the task.
        environment: Versions and machine.
        curve: What was measured on held-out documents during the pretraining, by step.
        warnings: What a reader of its scores should know.
    """

    key: str
    group: str
    name: str
    task: str
    mode: str
    seed: int
    recipe: dict[str, str]
    science: Json
    metric: str
    metrics: dict[str, float]
    chosen: dict[str, float]
    cost: dict[str, float]
    pretraining: dict[str, float]
    data: Json
    environment: dict[str, str]
    overrides: list[str] = field(default_factory=list[str])
    curve: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    warnings: list[str] = field(default_factory=list[str])
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Return indented JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, *, place: str = "record.json") -> "RunRecord":
        """Read what `to_json` wrote, or an older one.

        Args:
            text: The JSON.
            place: Where it came from, for the error.

        Raises:
            UserError: The text is no record, or a newer bertbench wrote it.
        """
        try:
            fields: Json = json.loads(text)
            newer = fields.get("schema", 0) > SCHEMA
            known = {f.name for f in dataclasses.fields(cls)}
            record = cls(**{name: value for name, value in fields.items() if name in known})
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{place} is not a run record ({error}): remove it or run again"
            ) from error
        if newer:
            raise UserError(f"{place} was written by a newer bertbench: upgrade to read it")
        return record


def read_record(path: Path) -> RunRecord:
    """Return the record that the file `path` holds."""
    return RunRecord.from_json(path.read_bytes(), place=str(path))
