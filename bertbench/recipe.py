"""What an encoder descends from in, its folder out: pretrained once, then kept and measured."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertbench import tokenizer as tokenizers
from bertbench.beginning import begin, begin_as_student
from bertbench.budget import Budget
from bertbench.config import Plain, build
from bertbench.corpora import check_rows, provide_documents, provide_rows, provide_short
from bertbench.data.scripts import unspaced_share
from bertbench.errors import UserError
from bertbench.intrinsic import measure
from bertbench.lineage import Lineage
from bertbench.models import checkpoint, families
from bertbench.models.encoder import LanguageModel, positions
from bertbench.models.seal import ABOUT
from bertbench.optim import Recipe
from bertbench.outlook import announce, conclude
from bertbench.pretrain import Schedule, pretrain
from bertbench.progress import Checkpoints, History
from bertbench.readout import fit_head
from bertbench.references import unigram_log_probabilities
from bertbench.runtime import Compute, seeded
from bertbench.start import begin_at_frequencies
from bertbench.store import Store
from bertbench.types import IGNORE, Log, Rows

logger = logging.getLogger(__name__)

CONTROL_SEED = 0  # of the random weights that measures compare with
UNSPACED = 0.05  # share of letters without spaces from which a corpus is not one of words
STATS, MEASURES = ABOUT, "intrinsic.json"


class Made(NamedTuple):
    """An encoder, and what its making came to."""

    folder: Path  # in transformers' format
    stats: dict[
        str, float
    ]  # of `pretrain`; of `measure` under `intrinsic/`; empty without training
    curve: list[dict[str, float]]  # what was measured on held-out rows meanwhile
    card: Plain | None  # what is in the corpus


class Means(NamedTuple):
    """What the making of an encoder uses."""

    store: Store
    compute: Compute
    log: Log
    checkpoints: Checkpoints


def provide_encoder(
    lineage: Lineage, store: Store, compute: Compute, log: Log, checkpoints: Checkpoints
) -> Made:
    """Return an encoder, and what its pretraining came to.

    Args:
        lineage: What it descends from.
        store: Where it is kept or looked up.
        compute: Device and precision of a pretraining.
        log: Receives the metrics of a pretraining that runs now.
        checkpoints: How often a pretraining keeps its state.
    """
    train, reset = (lineage.values["weights"][name] for name in ("train", "reset"))
    if lineage.source is not None and not (train or reset):
        return _ready_made(lineage.source)
    folder, kept = _kept(lineage, Means(store, compute, log, checkpoints))
    stats = kept["stats"] | (_measured(lineage, store, compute, folder) if train else {})
    stats |= _cost_of_teacher(lineage, store)
    return Made(folder, stats, _curve(kept["log"]), kept["corpus"])


def _cost_of_teacher(lineage: Lineage, store: Store) -> dict[str, float]:
    """Return what a teacher has read, if that is known: it is a part of what the student cost."""
    folder = lineage.teacher_source
    if lineage.teacher is not None:
        folder = store.peek("encoder", lineage.teacher.encoder)
    if folder is None or not (folder / STATS).is_file():
        return {}
    spent = json.loads((folder / STATS).read_text(encoding="utf-8"))["stats"]
    return {f"teacher_{name}": spent[name] for name in ("tokens", "seconds") if name in spent}


def _ready_made(source: Path) -> Made:
    """Return ready-made weights, with what their makers say of the pretraining if they are of our make."""
    about = source / ABOUT
    if not about.is_file():
        return Made(source, {}, [], None)
    told = json.loads(about.read_text(encoding="utf-8"))
    curve = told["curve"] if "curve" in told else _curve(told["log"])
    return Made(source, told["stats"], curve, told["corpus"])


def _curve(log: list[tuple[int, dict[str, float]]]) -> list[dict[str, float]]:
    """Return what was measured on held-out rows."""
    return [values | {"step": step} for step, values in log if "heldout_predicted" in values]


def _kept(lineage: Lineage, means: Means) -> tuple[Path, Plain]:
    """Return the folder of an encoder that is made here, and what was kept of its making."""
    train, store = lineage.values["weights"]["train"], means.store

    def named(values: dict[str, float], step: int) -> None:
        means.log({f"pretrain/{name}": value for name, value in values.items()}, step)

    place = means.checkpoints._replace(folder=store.partial("encoder", lineage.encoder))

    def make(folder: Path) -> None:
        model, tokenizer = begin(lineage, store)
        history, stats, card = History(named), {}, None
        if train:
            stats, card = _pretrain(lineage, means, model, tokenizer, history, place)
        checkpoint.save(model.cpu(), tokenizer, folder)
        kept = {"stats": stats, "log": history.lines, "corpus": card}
        (folder / STATS).write_text(json.dumps(kept, indent=1), encoding="utf-8")

    folder = store.entry("encoder", lineage.encoder, make)
    kept = json.loads((folder / STATS).read_text(encoding="utf-8"))
    for step, values in kept["log"]:  # the curve belongs to every run of this encoder
        named(values, step)
    return folder, kept


def _pretrain(
    lineage: Lineage,
    means: Means,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    history: History,
    place: Checkpoints,
) -> tuple[dict[str, float], Plain]:
    """Train `model` in place; return what came of it, and the card of the corpus."""
    values, store = lineage.values, means.store
    settings = values["pretrain"]
    if settings["length"] > positions(model):  # a released encoder's own, whatever the scale says
        raise UserError(
            f"pretrain.length={settings['length']} is more than the {positions(model)} positions of "
            f"the encoder in {lineage.source}"
        )
    vocabulary = tokenizers.vocabulary(tokenizer)
    documents = provide_documents(lineage, store, tokenizer)
    rows, heldout = provide_rows(lineage, store, documents, vocabulary)
    check_rows(rows, "training", length=settings["length"])
    check_rows(heldout, "held-out", length=settings["length"])
    short = provide_short(lineage, store, documents, vocabulary)
    if "pairs" in values["objective"]:
        _check_pairs(rows)
    language_model = LanguageModel(model)
    if settings["frequencies"] and lineage.random:
        begin_at_frequencies(model, unigram_log_probabilities(rows, vocabulary))
    taught = _teacher(lineage, means, language_model, tokenizer)
    masking = build(values["masking"], vocabulary=vocabulary, seed=settings["seed"])
    _check_words(masking, documents.card)
    with seeded(settings["seed"], "objective"):
        objective = build(values["objective"], model=language_model, masking=masking, **taught)
    schedule = Schedule(
        Recipe(**settings["optim"]),
        Budget(settings["steps"], settings["tokens"], settings["seconds"]),
        settings["batch_size"],
        settings["seed"],
        settings["log_every"],
        settings["evaluations"],
    )
    title, where = lineage.title, means.compute
    announce(objective, rows, vocabulary, schedule, title=title, compute=where, short=short)
    stats = pretrain(
        objective,
        rows,
        heldout,
        vocabulary,
        schedule,
        compute=where,
        log=history,
        checkpoints=place,
        history=history,
        short=short,
    )
    if "heldout_loss" not in stats:  # no masked word was predicted: the head is as it was made
        stats |= fit_head(
            language_model,
            rows,
            heldout,
            vocabulary,
            schedule,
            spent=stats["tokens"],
            compute=where,
        )
    conclude(stats, title=title)
    return stats, documents.card


def _check_pairs(rows: Rows) -> None:
    """Refuse to train on pairs that are all of one kind, or none."""
    kinds = {int(kind) for kind in np.unique(rows.related)} - {IGNORE}
    if len(kinds) < 2:
        raise UserError(
            f"the training documents make {'pairs of one kind alone' if kinds else 'no pairs'}, because too "
            "few have several sentences: give longer documents, or choose objective=mlm "
            "packing=full_sentences"
        )


def _check_words(masking: object, card: Plain) -> None:
    """Refuse to mask whole words where nothing between words tells them apart."""
    share = unspaced_share(card)
    if getattr(masking, "needs_words", False) and share > UNSPACED:
        raise UserError(
            f"{share:.0%} of the corpus's letters are of scripts that put no space between words, so whole "
            "words cannot be masked: choose masking=dynamic or masking=static"
        )


def _teacher(
    lineage: Lineage,
    means: Means,
    student: LanguageModel,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, LanguageModel]:
    """Return the teacher of a lineage that has one, trained first where it is made here."""
    folder = lineage.teacher_source
    if lineage.teacher is not None:
        if not means.store.has("encoder", lineage.teacher.encoder):
            logger.info(
                "the teacher %s is not in the store: it is trained first", lineage.teacher.title
            )

        def told(values: dict[str, float], step: int) -> None:
            means.log({f"teacher/{name}": value for name, value in values.items()}, step)

        folder, _ = _kept(lineage.teacher, means._replace(log=told))
    if folder is None:
        return {}
    return {"teacher": begin_as_student(student, tokenizer, folder, random=lineage.random)}


def _measured(lineage: Lineage, store: Store, compute: Compute, folder: Path) -> dict[str, float]:
    """Return what is measured of a pretrained encoder, under `intrinsic/`."""
    assert lineage.intrinsic is not None
    settings = lineage.values["pretrain"]

    def make(entry: Path) -> None:
        model = checkpoint.load(folder)
        tokenizer = tokenizers.load(folder)
        documents = provide_documents(lineage, store, tokenizer)
        found = measure(
            LanguageModel(model),
            LanguageModel(families.initialise(model.config, seed=CONTROL_SEED)),
            documents.tokens,
            documents.train,
            documents.heldout,
            tokenizers.vocabulary(tokenizer),
            length=settings["length"],
            most=settings["measured"],
            compute=compute,
        )
        (entry / MEASURES).write_text(json.dumps(found, indent=1), encoding="utf-8")

    entry = store.entry("intrinsic", lineage.intrinsic, make)
    found = json.loads((entry / MEASURES).read_text(encoding="utf-8"))
    return {f"intrinsic/{name}": value for name, value in found.items()}
