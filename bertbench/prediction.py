"""Rows of held-out documents in, how well an encoder predicts their words out."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bertbench import interrupt
from bertbench.data.batching import as_batch
from bertbench.data.packing import Sequence
from bertbench.hiding import words
from bertbench.models.encoder import LanguageModel
from bertbench.runtime import Compute, numpy_generator
from bertbench.types import IGNORE, Batch, Masked, Masking, Rows, Tokens, Vocabulary

AT_ONCE = 2**13  # tokens in one forward pass
SHORTEST, LONGEST = 8, 32  # tokens of a sentence for pseudo-perplexity


def in_batches(rows: Rows, vocabulary: Vocabulary) -> Iterator[Batch]:
    """Yield all rows, those of like length together, so that little of a batch is padding."""
    lengths = (rows.ids != vocabulary.pad).sum(1)
    order = np.argsort(lengths, kind="stable")
    size = max(AT_ONCE // rows.ids.shape[1], 1)
    for start in range(0, len(order), size):
        interrupt.check()
        yield as_batch(rows, order[start : start + size], vocabulary, epoch=0)


def numbered(batch: Batch) -> list[np.ndarray]:
    """Number the words of each row; see `hiding.words`."""
    pairs = zip(batch.maskable.numpy(), batch.starts.numpy(), strict=True)
    return [words(maskable, starts) for maskable, starts in pairs]


@torch.no_grad()
def predict(
    model: LanguageModel, masked: Masked, batch: Batch, compute: Compute
) -> tuple[Tensor, Tensor]:
    """Predict the labelled positions of a batch, N of them; they alone go through the head.

    Args:
        model: In evaluation mode.
        masked: What the encoder reads and what it is to say.
        batch: Says what it may see and which segment a token is of.
        compute: Precision.

    Returns:
        float32, (N,): losses in nats; bool, (N,): whether the likeliest id is the right one. Both on
        the CPU, row by row.
    """
    with compute.autocast():
        states = model.encode(masked.ids, batch)[-1]  # (B, L, D)
        labels = masked.labels.to(states.device)
        logits = model.logits(states[labels != IGNORE]).float()  # (N, V)
    targets = labels[labels != IGNORE]
    losses = F.cross_entropy(logits, targets, reduction="none")
    return losses.cpu(), (logits.argmax(-1) == targets).cpu()


def masked_words(
    model: LanguageModel, rows: Rows, masking: Masking, vocabulary: Vocabulary, compute: Compute
) -> dict[str, float]:
    """Return `mlm_loss` (nats a predicted token), `mlm_accuracy` and `mlm_predicted`, their number.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1, task 1.

    Args:
        model: In evaluation mode.
        rows: Held out.
        masking: Picks what is predicted.
        vocabulary: Says which ids are special.
        compute: Precision.
    """
    loss, right, count = 0.0, 0, 0
    for batch in in_batches(rows, vocabulary):
        losses, hits = predict(model, masking(batch), batch, compute)
        loss += float(losses.double().sum())
        right += int(hits.sum())
        count += len(losses)
    if not count:
        return {}
    return {"mlm_loss": loss / count, "mlm_accuracy": right / count, "mlm_predicted": float(count)}


def some_sentences(
    tokens: Tokens, documents: np.ndarray, most: int, *, room: int, seed: int
) -> list[Sequence]:
    """Draw up to `most` sentences of SHORTEST to LONGEST tokens, and of `room` at most."""
    found = []
    for document in documents.tolist():
        begin, end = tokens.documents[document : document + 2].tolist()
        borders = tokens.sentences[begin : end + 1]
        sizes = np.diff(borders)
        fitting = (sizes >= SHORTEST) & (sizes <= min(LONGEST, room))
        found += zip(borders[:-1][fitting].tolist(), borders[1:][fitting].tolist(), strict=True)
    generator = numpy_generator(seed, "sentences")
    drawn = generator.choice(len(found), min(most, len(found)), replace=False) if found else []
    return [Sequence([found[i]]) for i in sorted(drawn)]


def pseudo_perplexity(
    model: LanguageModel, rows: Rows, vocabulary: Vocabulary, compute: Compute
) -> dict[str, float]:
    """Return `pseudo_perplexity`, a token, and `pseudo_perplexity_word`, a word.

    Each token is predicted with it alone masked. Source: Salazar et al. (2020),
    https://aclanthology.org/2020.acl-main.240, section 2: the exponential of the mean negative
    log-likelihood of a token over all sentences. A word is easier to say in more pieces, so where
    tokenizers differ only the figure a word compares. An id that is special, as that of unknown words,
    is never predicted: it is no part of what is learnt.

    Args:
        model: In evaluation mode.
        rows: [CLS] sentence [SEP], one a row.
        vocabulary: Says which ids are special.
        compute: Precision.
    """
    loss, count, num_words = 0.0, 0, 0
    for batch in in_batches(rows, vocabulary):
        num_words += sum(int(line.max(initial=0)) for line in numbered(batch))
        every_row, every_position = batch.maskable.nonzero(as_tuple=True)  # both (N,)
        for start in range(0, len(every_row), size := AT_ONCE // batch.ids.shape[1]):
            row = every_row[start : start + size]
            position = every_position[start : start + size]
            losses, _ = predict(
                model, alone(batch, row, position, vocabulary), taken(batch, row), compute
            )
            loss += float(losses.double().sum())
            count += len(losses)
    if not count:
        return {}
    return {
        "pseudo_perplexity": float(np.exp(loss / count)),
        "pseudo_perplexity_word": float(np.exp(loss / num_words)),
    }


def taken(batch: Batch, row: Tensor) -> Batch:
    """Return rows of a batch, which may come more than once."""
    parts = {
        name: value[row] for name, value in batch._asdict().items() if isinstance(value, Tensor)
    }
    return batch._replace(**parts)


def alone(batch: Batch, row: Tensor, position: Tensor, vocabulary: Vocabulary) -> Masked:
    """Mask one position (N,) of each of some rows (N,) of a batch."""
    ids, place = batch.ids[row], torch.arange(len(row))
    labels = torch.full_like(ids, IGNORE)
    labels[place, position] = ids[place, position]
    ids[place, position] = vocabulary.mask
    return Masked(ids, labels)
