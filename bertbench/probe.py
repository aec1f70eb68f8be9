"""Pairs of segments in, how well a regression on a frozen encoder tells those that follow each other out."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from bertbench.data import packed
from bertbench.data.excerpts import evenly_spread, excerpts
from bertbench.data.packing import RANDOM, segment_pairs
from bertbench.models.encoder import LanguageModel
from bertbench.prediction import in_batches
from bertbench.runtime import Compute
from bertbench.types import IGNORE, Rows, Tokens, Vocabulary

PENALTY = 0.01  # scikit-learn's C: features are as many as pairs, or more
FEWEST = 20  # pairs, of training and of test; of fewer nothing is told
SHARE, SHORT = (
    0.5,
    0.1,
)  # Devlin et al. (2019), section 3.1; their released create_pretraining_data.py
MORE = 1.5  # tokens that are cut into pairs for each that is needed: some pairs are short


def some_pairs(
    tokens: Tokens,
    documents: np.ndarray,
    vocabulary: Vocabulary,
    *,
    length: int,
    second: str,
    most: int,
    seed: int,
) -> Rows:
    """Return up to `most` rows of two segments, evenly spread over the documents.

    Args:
        tokens: The corpus.
        documents: int64: which of its documents.
        vocabulary: Its special ids.
        length: Tokens of a row, L.
        second: `random` or `swapped`; see `packing.segment_pairs`.
        most: Pairs.
        seed: Of every draw.
    """
    some, chosen = excerpts(tokens, documents, int(MORE * most * length))
    if second == RANDOM and len(chosen) < 2:  # there is no other document to take from
        return packed.in_memory([], some, vocabulary, length=length)
    pairs = [
        sequence
        for sequence in segment_pairs(
            some, chosen, length=length, seed=seed, second=second, share=SHARE, short=SHORT
        )
        if sequence.related != IGNORE
    ]
    kept = [pairs[i] for i in evenly_spread(len(pairs), most)]
    return packed.in_memory(kept, some, vocabulary, length=length)


def probe(
    model: LanguageModel, train: Rows, test: Rows, vocabulary: Vocabulary, compute: Compute
) -> dict[str, float]:
    """Return `accuracy`, `pairs` and `majority` of the test, or nothing where pairs are too few.

    The tasks are those of ALBERT's table 5: Lan et al. (2020), https://arxiv.org/abs/1909.11942. There
    the pretraining's own head tells; a light probe on the frozen encoder tells of any encoder.

    Args:
        model: In evaluation mode.
        train: Pairs of training documents.
        test: Pairs of held-out documents.
        vocabulary: Says which ids are special.
        compute: Precision.
    """
    labels = train.related, test.related
    if any(len(some) < FEWEST or len(np.unique(some)) < 2 for some in labels):
        return {}
    accuracy = fitted_accuracy(
        features(model, train, vocabulary, compute),
        train.related,
        features(model, test, vocabulary, compute),
        test.related,
    )
    second = float(test.related.mean())
    return {
        "accuracy": accuracy,
        "pairs": float(len(test.related)),
        "majority": max(second, 1 - second),
    }


@torch.no_grad()
def features(
    model: LanguageModel, rows: Rows, vocabulary: Vocabulary, compute: Compute
) -> np.ndarray:
    """Return what the probe sees of each pair, float32, (S, 5 D).

    The last layer's state of [CLS]; the means a and b of the states of each segment's words; |a - b| and
    a * b, as in InferSent (Conneau et al. 2017, https://arxiv.org/abs/1705.02364, section 3.1).
    """
    found = np.empty((len(rows.ids), 5 * model.encoder.width), dtype=np.float32)
    for batch in in_batches(rows, vocabulary):
        with compute.autocast():
            states = model.encode(batch.ids, batch)[-1].float()  # (B, L, D)
        first, second = (
            _mean(states, (batch.maskable & (batch.segment_ids == segment)).to(states.device))
            for segment in (0, 1)
        )
        parts = [states[:, 0], first, second, (first - second).abs(), first * second]
        found[batch.sequence.numpy()] = torch.cat(parts, dim=1).cpu().numpy()
    return found


def fitted_accuracy(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Fit a logistic regression on (S, F) features; return its share of right answers in the test."""
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=2000))
    fitted = regression.fit(train.astype(np.float64), labels)
    return float((fitted.predict(test.astype(np.float64)) == test_labels).mean())


def _mean(states: Tensor, chosen: Tensor) -> Tensor:
    """Average the states (B, L, D) of chosen positions, bool, (B, L); none give zeros."""
    weights = chosen.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
