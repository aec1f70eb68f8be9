"""A pretrained encoder and held-out documents in, what it has learnt whatever its objective was out."""

import numpy as np

from bertbench.context import context_table
from bertbench.data import packed
from bertbench.data.excerpts import evenly_spread, excerpts
from bertbench.data.mapped import release
from bertbench.data.packing import RANDOM, SWAPPED, full_sentences
from bertbench.masking.token import evaluation_masking
from bertbench.models.encoder import LanguageModel
from bertbench.prediction import masked_words, pseudo_perplexity, some_sentences
from bertbench.probe import probe, some_pairs
from bertbench.runtime import Compute
from bertbench.types import Rows, Tokens, Vocabulary

SEED = 0  # of all that is drawn here, whatever the training's: or encoders cannot be compared
SHORT_LENGTH = 128  # tokens of a row, at most, where one word or pair is asked for a row
# For each masked word of the context table, of which there is one a row:
TRAIN_PAIRS, TEST_PAIRS = 2, 2
SENTENCES = 1 / 8  # for pseudo-perplexity, each read once for each of its tokens


def measure(
    model: LanguageModel,
    control: LanguageModel,
    tokens: Tokens,
    train: np.ndarray,
    heldout: np.ndarray,
    vocabulary: Vocabulary,
    *,
    length: int,
    most: int,
    compute: Compute,
) -> dict[str, float]:
    """Measure what can be measured of any encoder, in one format and with fixed draws.

    Recipes differ in how their rows are packed and masked, so their own losses do not compare; these do.
    The work is bounded, however large the corpus: documents evenly spread over it are read, of long ones
    the beginning.

    Args:
        model: Left on `compute`'s device and in evaluation mode.
        control: The same shape with random weights: what the probes find in it, no pretraining has taught.
        tokens: The corpus; may be memory-mapped.
        train: int64: documents that the probes learn from.
        heldout: int64: documents that were never trained on; everything is measured on them.
        vocabulary: Says which ids are special.
        length: Longest row, in tokens, as in pretraining.
        most: Rows, and words of the context table: of 500 a standard error of 0.022 at most; twice as
            many pairs, an eighth as many sentences.
        compute: Device and precision.

    Returns:
        `mlm_loss`, `mlm_accuracy` and `mlm_predicted`: see `prediction.masked_words`, on rows of
        FULL-SENTENCES. `pseudo_perplexity` and `pseudo_perplexity_word`: see
        `prediction.pseudo_perplexity`. `context_...`: see `context.context_table`. `nsp_accuracy`,
        `nsp_pairs`, `nsp_majority`, the share of the commoner answer, and `nsp_untrained`, the accuracy on
        the control, and the same with `sop`: see `probe.probe`. What the documents are too few for is
        left out.
    """
    model.to(compute.device).eval()
    control.to(compute.device).eval()
    short = min(length, SHORT_LENGTH)
    return {
        **masked_words(
            model,
            _rows(tokens, heldout, vocabulary, length=length, most=most),
            evaluation_masking(vocabulary),
            vocabulary,
            compute,
        ),
        **pseudo_perplexity(
            model,
            _sentences(tokens, heldout, vocabulary, length=short, most=most),
            vocabulary,
            compute,
        ),
        **context_table(
            model,
            _rows(tokens, heldout, vocabulary, length=short, most=most),
            vocabulary,
            compute,
            most=most,
            seed=SEED,
        ),
        **_probes(
            model,
            control,
            tokens,
            train,
            heldout,
            vocabulary,
            length=short,
            most=most,
            compute=compute,
        ),
    }


def _rows(
    tokens: Tokens, documents: np.ndarray, vocabulary: Vocabulary, *, length: int, most: int
) -> Rows:
    """Return up to `most` rows of FULL-SENTENCES, evenly spread."""
    some, chosen = excerpts(tokens, documents, most * length)
    sequences = list(full_sentences(some, chosen, length=length, seed=SEED))
    kept = [sequences[i] for i in evenly_spread(len(sequences), most)]
    rows = packed.in_memory(kept, some, vocabulary, length=length)
    release(*tokens)
    return rows


def _sentences(
    tokens: Tokens, documents: np.ndarray, vocabulary: Vocabulary, *, length: int, most: int
) -> Rows:
    """Return rows of one sentence each."""
    some, chosen = excerpts(tokens, documents, most * length)
    sentences = some_sentences(
        some, chosen, max(int(SENTENCES * most), 1), room=length - 2, seed=SEED
    )
    rows = packed.in_memory(sentences, some, vocabulary, length=length)
    release(*tokens)
    return rows


def _probes(
    model: LanguageModel,
    control: LanguageModel,
    tokens: Tokens,
    train: np.ndarray,
    heldout: np.ndarray,
    vocabulary: Vocabulary,
    *,
    length: int,
    most: int,
    compute: Compute,
) -> dict[str, float]:
    """Probe for next sentences (a second segment from elsewhere) and for their order (swapped)."""
    values = {}
    for name, second in (("nsp", RANDOM), ("sop", SWAPPED)):
        learnt, test = (
            some_pairs(
                tokens,
                documents,
                vocabulary,
                length=length,
                second=second,
                most=times * most,
                seed=SEED,
            )
            for documents, times in ((train, TRAIN_PAIRS), (heldout, TEST_PAIRS))
        )
        release(*tokens)
        found = probe(model, learnt, test, vocabulary, compute)
        values |= {f"{name}_{key}": value for key, value in found.items()}
        if found:
            chance = probe(control, learnt, test, vocabulary, compute)
            values[f"{name}_untrained"] = chance["accuracy"]
    return values
