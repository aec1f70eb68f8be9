"""What an encoder descends from in, the model before any training out: ready-made, random, or in between."""

import logging
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertbench import tokenizer as tokenizers
from bertbench.config import build
from bertbench.corpora import provide_documents, provide_tokenizer, provide_vectors
from bertbench.errors import UserError
from bertbench.lineage import Lineage
from bertbench.models import checkpoint, families, students
from bertbench.models.encoder import LanguageModel
from bertbench.start import begin_with_vectors, embedding_of
from bertbench.store import Store

logger = logging.getLogger(__name__)


def begin(lineage: Lineage, store: Store) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model before pretraining, and its tokenizer."""
    values, seed = lineage.values, lineage.encoder["seed"]
    pairs = values["weights"]["train"] and "pairs" in (values["objective"] or {})
    if lineage.source is not None:
        model = checkpoint.load(lineage.source, seed=seed, pairs=pairs, announce=True)
        if values["weights"]["reset"]:
            model = families.initialise(model.config, seed=seed, pairs=pairs)
        tokenizer = tokenizers.load(lineage.source, vocab_size=model.config.vocab_size)
    else:
        tokenizer = provide_tokenizer(lineage, store)
        config = build(
            values["model"]["architecture"],
            shape=families.Shape(**lineage.shape),
            vocabulary=tokenizers.vocabulary(tokenizer),
        )
        model = families.initialise(config, seed=seed, pairs=pairs)
    if lineage.embeddings is not None:
        _begin_with_vectors(lineage, store, model, tokenizer)
    return model, tokenizer


def begin_as_student(
    student: LanguageModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    random: bool,
) -> LanguageModel:
    """Return the teacher in a folder; a student of random weights begins as a part of it.

    Args:
        student: Changed in place.
        tokenizer: Its own.
        folder: Of the teacher, in transformers' format.
        random: Whether the student has learnt nothing yet.

    Raises:
        UserError: Their tokenizers differ.
    """
    if tokenizers.fingerprint(tokenizers.load(folder)) != tokenizers.fingerprint(tokenizer):
        raise UserError(
            f"the teacher in {folder} has another tokenizer than the student, so their words do not "
            "compare: choose a teacher that shares it"
        )
    teacher = LanguageModel(checkpoint.load(folder))
    copied = students.begin_as(student.model, teacher.model) if random else 0
    logger.info("the teacher is %s; the student begins with %d of its weights", folder, copied)
    if not copied and random:
        logger.warning(
            "a %s student shares no weights with a %s teacher, so it begins at random",
            student.model.config.model_type,
            teacher.model.config.model_type,
        )
    return teacher


def _begin_with_vectors(
    lineage: Lineage, store: Store, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Let the token embeddings begin as static vectors of the corpus."""
    vocabulary = tokenizers.vocabulary(tokenizer)
    documents = provide_documents(lineage, store, tokenizer)
    width = embedding_of(model).shape[1]
    vectors = provide_vectors(lineage, store, documents, vocabulary, width=width)
    known = begin_with_vectors(model, vectors)
    logger.info("%d of %d token embeddings begin as vectors of the corpus", known, vocabulary.size)
