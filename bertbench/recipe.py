"""A plan in, its encoder's folder out: tokenizer, packed corpus and pretraining, each made once."""

import json
import logging
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertbench import tokenizer as tokenizers
from bertbench.budget import Budget
from bertbench.checks import SHAPE
from bertbench.config import build
from bertbench.data.packing import pack
from bertbench.errors import UserError
from bertbench.models import checkpoint, families
from bertbench.models.encoder import LanguageModel, positions
from bertbench.optim import Recipe
from bertbench.plan import Plan
from bertbench.pretrain import pretrain
from bertbench.progress import Checkpoints, History
from bertbench.runtime import Compute, numpy_generator
from bertbench.store import Store
from bertbench.types import Log, Vocabulary

logger = logging.getLogger(__name__)

ROWS, STATS = "rows.safetensors", "pretraining.json"
HELDOUT_SEED = 0  # the same documents are held out of every pretraining


def provide_encoder(
    plan: Plan, store: Store, compute: Compute, log: Log, checkpoints: Checkpoints
) -> tuple[Path, dict[str, float]]:
    """Return the folder of the plan's encoder, and what its pretraining came to.

    Args:
        plan: Has an encoder.
        store: Where it is kept or looked up.
        compute: Device and precision of a pretraining.
        log: Receives the metrics of a pretraining that runs now.
        checkpoints: How often a pretraining keeps its state.

    Returns:
        Folder in transformers' format, and the numbers of `pretrain`, empty without pretraining.
    """
    if plan.encoder is None:
        raise ValueError("a plan without encoder has none to provide")
    train = plan.values["weights"]["train"]
    if plan.source is not None and not train:
        return plan.source, {}

    def named(values: dict[str, float], step: int) -> None:
        log({f"pretrain/{name}": value for name, value in values.items()}, step)

    place = checkpoints._replace(folder=store.partial("encoder", plan.encoder))

    def make(folder: Path) -> None:
        model, tokenizer = _start(plan, store)
        history, stats = History(named), {}
        if train:
            stats = _pretrain(plan, store, model, tokenizer, compute, history, place)
        checkpoint.save(model.cpu(), tokenizer, folder)
        kept = {"stats": stats, "log": history.lines}
        (folder / STATS).write_text(json.dumps(kept, indent=1), encoding="utf-8")

    folder = store.entry("encoder", plan.encoder, make)
    kept = json.loads((folder / STATS).read_text(encoding="utf-8"))
    for step, values in kept["log"]:  # the curve belongs to every run of this encoder
        named(values, step)
    return folder, kept["stats"]


def _start(plan: Plan, store: Store) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model before pretraining, and its tokenizer."""
    assert plan.encoder is not None
    seed = plan.encoder["seed"]
    if plan.source is not None:
        model = checkpoint.load(plan.source, seed=seed)
        return model, tokenizers.load(plan.source, vocab_size=model.config.vocab_size)
    assert plan.tokenizer is not None

    def make(folder: Path) -> None:
        build(plan.values["model"]["tokenizer"], texts=plan.corpus).save_pretrained(folder)

    tokenizer = tokenizers.load(store.entry("tokenizer", plan.tokenizer, make))
    scale = plan.values["scale"]
    config = build(
        plan.values["model"]["architecture"],
        shape=families.Shape(**{name: scale[name] for name in SHAPE}),
        vocabulary=tokenizers.vocabulary(tokenizer),
    )
    return families.initialise(config, seed=seed), tokenizer


def _pretrain(
    plan: Plan,
    store: Store,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    compute: Compute,
    history: History,
    checkpoints: Checkpoints,
) -> dict[str, float]:
    settings = plan.values["pretrain"]
    if settings["length"] > positions(model):  # a released encoder's own, whatever the scale says
        raise UserError(
            f"pretrain.length={settings['length']} is more than the {positions(model)} positions of "
            f"the encoder in {plan.source}"
        )
    vocabulary = tokenizers.vocabulary(tokenizer)
    rows, heldout = _packed(plan, store, tokenizer, vocabulary)
    language_model = LanguageModel(model)
    masking = build(plan.values["masking"], vocabulary=vocabulary, seed=settings["seed"])
    objective = build(plan.values["objective"], model=language_model, masking=masking)
    logger.info("pretraining %s on %d rows of %d tokens", plan.words["model"], *rows.shape)
    return pretrain(
        objective,
        language_model,
        rows,
        heldout,
        vocabulary,
        recipe=Recipe(**settings["optim"]),
        budget=Budget(None, settings["tokens"], settings["seconds"]),
        batch_size=settings["batch_size"],
        seed=settings["seed"],
        compute=compute,
        log=history,
        log_every=settings["log_every"],
        checkpoints=checkpoints,
        history=history,
    )


def _packed(
    plan: Plan, store: Store, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Return packed training and held-out rows of the corpus."""
    assert plan.corpus is not None
    assert plan.packed is not None
    settings, corpus = plan.values["pretrain"], plan.corpus
    heldout = heldout_documents(len(corpus), settings["heldout"])
    # The tokenizer by its content: made again from the same recipe, by another version of its trainer,
    # it could number its entries otherwise, and must not be given the rows of the first.
    content = {"state": tokenizers.fingerprint(tokenizer), "ids": vocabulary._asdict()}
    recipe = plan.packed | {"tokenizer": content}

    def make(folder: Path) -> None:
        parts = {
            "train": [text for i, text in enumerate(corpus) if i not in heldout],
            "heldout": [text for i, text in enumerate(corpus) if i in heldout],
        }
        packed = {
            name: pack(texts, tokenizer, vocabulary, length=settings["length"])
            for name, texts in parts.items()
        }
        save_file(packed, folder / ROWS)

    kept = load_file(store.entry("packed", recipe, make) / ROWS)
    return kept["train"], kept["heldout"]


def heldout_documents(documents: int, share: float) -> set[int]:
    """Return which documents are held out of pretraining: at least one, never all.

    Raises:
        UserError: There are fewer than two documents.
    """
    if documents < 2:
        raise UserError(
            f"the corpus has {documents} document, but pretraining needs one to train on and another "
            "to measure on: add documents"
        )
    count = min(max(round(documents * share), 1), documents - 1)
    order = numpy_generator(HELDOUT_SEED, "heldout documents").permutation(documents)
    return set(order[:count].tolist())
