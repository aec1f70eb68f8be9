"""What an encoder descends from in, its tokenizer and packed corpus out, each made once and kept."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from bertbench import tokenizer as tokenizers
from bertbench.config import Plain, build
from bertbench.data import packed
from bertbench.data.batching import Short
from bertbench.data.corpus import sample
from bertbench.data.tokenise import describe, open_tokens, read_card, tokenise
from bertbench.errors import UserError
from bertbench.lineage import Lineage
from bertbench.runtime import numpy_generator
from bertbench.store import Store
from bertbench.types import Rows, Tokens, Vocabulary

logger = logging.getLogger(__name__)

HELDOUT_SEED = 0  # the same documents are held out of every pretraining
VECTORS = "vectors.npy"
SAMPLED = 2**25  # characters of the corpus that a tokenizer is trained on, evenly spread over it


class Documents(NamedTuple):
    """A tokenised corpus, and which of its documents are for what."""

    tokens: Tokens
    train: np.ndarray  # int64
    heldout: np.ndarray  # int64
    card: Plain  # what is in it
    recipe: Plain  # names its content


def provide_tokenizer(lineage: Lineage, store: Store) -> PreTrainedTokenizerBase:
    """Return the encoder's tokenizer: that of its ready-made weights, or one trained on the corpus."""
    if lineage.tokenizer_source is not None:
        return tokenizers.load(lineage.tokenizer_source)
    corpus, settings = lineage.corpus, lineage.values["model"]["tokenizer"]
    assert corpus is not None
    assert lineage.tokenizer is not None

    def make(folder: Path) -> None:
        texts = list(sample(corpus, characters=SAMPLED))
        build(settings, texts=texts).save_pretrained(folder)

    return tokenizers.load(store.entry("tokenizer", lineage.tokenizer, make))


def provide_documents(
    lineage: Lineage, store: Store, tokenizer: PreTrainedTokenizerBase
) -> Documents:
    """Return the tokenised corpus of a pretraining, some of its documents held out.

    Raises:
        UserError: There are fewer than two documents.
    """
    corpus = lineage.corpus
    assert corpus is not None
    assert lineage.tokens is not None
    # The tokenizer by its content: made again from the same recipe, by another version of its trainer,
    # it could number its entries otherwise, and must not be given the tokens of the first.
    vocabulary = tokenizers.vocabulary(tokenizer)
    content = {"state": tokenizers.fingerprint(tokenizer), "ids": vocabulary._asdict()}
    recipe = lineage.tokens | {"tokenizer": content}

    def make(folder: Path) -> None:
        card = tokenise(
            corpus.read(),
            tokenizer,
            folder,
            deduplicate=lineage.values["pretrain"]["deduplicate"],
            work=store.partial("tokens", recipe),
            processes=lineage.values["runtime"]["threads"],
        )
        logger.info("the corpus: %s", "; ".join(describe(card).split("\n")))

    folder = store.entry("tokens", recipe, make)
    tokens = open_tokens(folder)
    count = len(tokens.documents) - 1
    train, heldout = split_documents(count, lineage.values["pretrain"]["heldout"])
    return Documents(tokens, train, heldout, read_card(folder), recipe)


def provide_rows(
    lineage: Lineage, store: Store, documents: Documents, vocabulary: Vocabulary
) -> tuple[Rows, Rows]:
    """Return packed training and held-out rows."""
    return _packed(lineage, store, documents, vocabulary, lineage.values["pretrain"]["length"])


def provide_short(
    lineage: Lineage, store: Store, documents: Documents, vocabulary: Vocabulary
) -> Short | None:
    """Return the shorter rows that are read first, if there are any."""
    settings = lineage.values["pretrain"]["short"]
    if not settings["share"]:
        return None
    length = settings["length"]
    rows, _ = _packed(lineage, store, documents, vocabulary, length)
    check_rows(rows, "training", length=length)
    return Short(rows, settings["batch_size"], settings["share"])


def _packed(
    lineage: Lineage, store: Store, documents: Documents, vocabulary: Vocabulary, length: int
) -> tuple[Rows, Rows]:
    """Return the corpus's training and held-out rows of one length."""
    assert lineage.packed is not None
    seed = lineage.values["pretrain"]["seed"]

    def make(folder: Path) -> None:
        for name, chosen in (("train", documents.train), ("heldout", documents.heldout)):
            sequences = build(
                lineage.values["packing"],
                tokens=documents.tokens,
                documents=chosen,
                length=length,
                seed=seed,
            )
            packed.write(sequences, documents.tokens, vocabulary, folder / name, length=length)

    recipe = lineage.packed | {"tokens": documents.recipe, "length": length}
    folder = store.entry("packed", recipe, make)
    return packed.read(folder / "train"), packed.read(folder / "heldout")


def provide_vectors(
    lineage: Lineage, store: Store, documents: Documents, vocabulary: Vocabulary, *, width: int
) -> np.ndarray:
    """Return the vectors that token embeddings begin as, float32, (V, width)."""
    assert lineage.embeddings is not None
    recipe = lineage.embeddings | {"tokens": documents.recipe, "width": width}

    def make(folder: Path) -> None:
        vectors = build(
            lineage.values["embeddings"],
            tokens=documents.tokens,
            documents=documents.train,
            vocabulary=vocabulary,
            width=width,
            seed=lineage.values["pretrain"]["seed"],
        )
        np.save(folder / VECTORS, vectors, allow_pickle=False)

    folder = store.entry("embeddings", recipe, make)
    return np.load(folder / VECTORS, allow_pickle=False)


def check_rows(rows: Rows, part: str, *, length: int) -> None:
    """Refuse documents that make no row.

    Args:
        rows: Of one part of the corpus.
        part: Which: training or held-out.
        length: Tokens of a row, L.

    Raises:
        UserError: There is none.
    """
    if not len(rows.ids):
        raise UserError(
            f"the {part} documents of the corpus make no row of pretrain.length={length} "
            "tokens: give more text"
        )


def split_documents(documents: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of training and of held-out documents: at least one of each.

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
    return np.sort(order[count:]), np.sort(order[:count])
