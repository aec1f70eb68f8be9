"""A model with random weights in, the same with what word counts alone can tell it out."""

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def embedding_of(model: PreTrainedModel) -> Tensor:
    """Return the token embeddings, (V, D)."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight


@torch.no_grad()
def begin_with_vectors(model: PreTrainedModel, vectors: np.ndarray) -> int:
    """Put static vectors in the place of the token embeddings.

    They are scaled to the spread of the random ones, so that nothing else of the recipe changes.

    Args:
        model: Changed in place; its language-model head shares the embeddings. It may have more of them
            than there are tokens, as some released ones do.
        vectors: float32, (V, D) with the D of its token embeddings; a row of zeros leaves a token as it was.

    Returns:
        How many tokens have a vector.
    """
    weight = embedding_of(model)[: len(vectors)]
    found = torch.from_numpy(vectors)
    has_one = (found != 0).any(1)
    if not has_one.any():
        return 0
    found = found * (model.config.initializer_range / found[has_one].square().mean().sqrt())
    weight[has_one] = found[has_one].to(weight)
    return int(has_one.sum())


@torch.no_grad()
def begin_at_frequencies(model: PreTrainedModel, log_probabilities: Tensor) -> None:
    """Set the bias of the predicted words to the logarithm of their frequencies, which is soon learnt.

    Args:
        model: Changed in place.
        log_probabilities: (V,); special tokens, which are never predicted, get the lowest of the others, and
            so do entries of the model beyond V.
    """
    decoder = model.get_output_embeddings()
    assert isinstance(decoder, nn.Linear)
    lowest = log_probabilities[log_probabilities.isfinite()].min()
    decoder.bias.fill_(lowest.item())
    decoder.bias[: len(log_probabilities)].copy_(log_probabilities.clamp(min=lowest))
