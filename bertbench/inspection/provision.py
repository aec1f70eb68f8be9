"""A model to look at in, its tokenizer, packed rows or encoder out: those of a run, none pretrained here."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from bertbench import tokenizer as tokenizers
from bertbench.beginning import begin
from bertbench.config import build
from bertbench.corpora import check_rows, provide_documents, provide_rows, provide_tokenizer
from bertbench.inspection.subjects import Subject, check_encoder
from bertbench.lineage import Lineage
from bertbench.models import checkpoint, families
from bertbench.types import Rows, Vocabulary

Say = Callable[[str], None]  # to whoever waits


def tokenizer_of(subject: Subject, say: Say) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a run, trained now if no run has needed it yet."""
    lineage = _announced(subject, f"training the tokenizer of {subject.name}", say)
    return provide_tokenizer(lineage, subject.store)


def rows_of(
    subject: Subject, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary, say: Say
) -> Rows:
    """Return the packed training rows of a run, made now if no run has needed them yet.

    Raises:
        UserError: The corpus makes none.
    """
    lineage = _announced(subject, f"cutting the corpus into tokens for {subject.name}", say)
    documents = provide_documents(lineage, subject.store, tokenizer)
    rows, _ = provide_rows(lineage, subject.store, documents, vocabulary)
    check_rows(rows, "training", length=subject.values["pretrain"]["length"])
    return rows


def encoder_of(subject: Subject, say: Say) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Return an encoder that needs no training, its tokenizer, and what its weights are.

    Raises:
        UserError: See `check_encoder`.
    """
    check_encoder(subject)
    lineage, store = subject.lineage, subject.store
    if subject.values["weights"]["train"]:

        def refuse(_: Path) -> None:
            check_encoder(subject)  # a damaged one has just been set aside

        folder = store.entry("encoder", lineage.encoder, refuse)
        return checkpoint.load(folder), tokenizers.load(folder), "pretrained here"
    if (source := lineage.source) is not None:
        model = checkpoint.load(source)
        tokenizer = tokenizers.load(source, vocab_size=model.config.vocab_size)
        about = f"ready-made, {subject.values['weights']['source']}"
        if _lacks_head(model, source):
            about += ", but with a random language-model head, so its predictions mean nothing"
        return model, tokenizer, about
    read = _announced(subject, f"reading the corpus for {subject.name}", say)
    model, tokenizer = begin(read, store)
    if lineage.embeddings is not None:
        about = "static vectors of the corpus, all else random, so its predictions mean nothing"
        return model, tokenizer, about
    return model, tokenizer, "random, so its predictions mean nothing"


def configuration(subject: Subject, vocabulary: Vocabulary) -> PreTrainedConfig:
    """Return transformers' configuration of the encoder, which says whether it has segments."""
    if subject.lineage.source is not None:
        return AutoConfig.from_pretrained(
            subject.lineage.source, local_files_only=True, trust_remote_code=False
        )
    shape = families.Shape(**subject.lineage.shape)
    return build(subject.values["model"]["architecture"], shape=shape, vocabulary=vocabulary)


def _announced(subject: Subject, doing: str, say: Say) -> Lineage:
    """Return the lineage, whose corpus tells `say` when it is read: it may take a while."""
    lineage = subject.lineage
    if (corpus := lineage.corpus) is None:
        return lineage
    said: list[str] = []

    def read() -> Iterator[str]:
        if not said:
            said.append(doing)
            say(f"{doing} ({corpus.place}), once: it is kept in {subject.store.root.name}")
        return corpus.read()

    return replace(lineage, corpus=replace(corpus, read=read))


def _lacks_head(model: PreTrainedModel, folder: Path) -> bool:
    """Tell whether a folder has nothing of the language-model head, so that it was drawn at random."""
    inside = f"{model.base_model_prefix}."
    heads = {name for name in model.state_dict() if not name.startswith(inside)}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as weights:
            if heads & set(weights.keys()):
                return False
    return True
