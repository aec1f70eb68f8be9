"""Hidden states of windows in, one vector or one row of logits a text out."""

import torch
from torch import Tensor, nn

from bertbench.data.encoding import Windows
from bertbench.errors import UserError
from bertbench.models.encoder import Encoder
from bertbench.models.targets import Target
from bertbench.types import POOLINGS


def check_pooling(pooling: str) -> None:
    """Refuse a pooling that there is not.

    Raises:
        UserError: Names those that there are.
    """
    if pooling not in POOLINGS:
        raise UserError(f"mode.pooling={pooling} is none of {', '.join(POOLINGS)}")


def check_layer(encoder: Encoder, layer: int) -> None:
    """Refuse a layer that there is not.

    Raises:
        UserError: Names the last one.
    """
    if not -encoder.depth - 1 <= layer <= encoder.depth:
        raise UserError(
            f"mode.layer={layer} does not exist: 0 is the embedding, {encoder.depth} the last layer"
        )


class Pooling(nn.Module):
    """Token states of one layer in, one vector a text out.

    `cls` takes the first token (Devlin et al. 2019, section 4.1), `mean` the average of all real
    tokens (Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084, section 3). The windows of
    a text are averaged.

    Args:
        encoder: Gives the states.
        pooling: `cls` or `mean`.
        layer: 0 is the embedding, `depth` the last; negative counts from the end.

    Raises:
        UserError: There is no such pooling or layer.
    """

    def __init__(self, encoder: Encoder, *, pooling: str, layer: int) -> None:
        super().__init__()
        check_pooling(pooling)
        check_layer(encoder, layer)
        self.encoder, self.pooling, self.layer = encoder, pooling, layer

    def forward(self, windows: Windows) -> Tensor:
        """Return vectors (T, D)."""
        device = next(self.encoder.parameters()).device
        mask = windows.attention_mask.to(device)
        segments = windows.segment_ids.to(device)
        states = self.encoder(windows.ids.to(device), mask, segments)[self.layer]  # (W, L, D)
        if self.pooling == "cls":
            vectors = states[:, 0]  # (W, D)
        else:
            weights = mask.unsqueeze(-1).to(states.dtype)  # (W, L, 1)
            vectors = (states * weights).sum(1) / weights.sum(1)  # (W, D)
        return _average(vectors, windows.owner.to(device))


class Classifier(nn.Module):
    """A pooled encoder with a linear layer: windows in, logits out.

    Source: Devlin et al. (2019), section 4.1: the only new weights are those of the classification
    layer. In training it is called with labels and returns the loss.

    Args:
        pooling: Makes one vector of each text.
        target: What logits are compared with, and what they mean.
        outputs: Logits a text, C.
        dropout: On the vector, in training.
    """

    def __init__(self, pooling: Pooling, *, target: Target, outputs: int, dropout: float) -> None:
        super().__init__()
        self.pooling, self.target = pooling, target
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(pooling.encoder.width, outputs)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: tuple[Windows, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss a text and what to log."""
        windows, labels = batch
        logits = self.logits(windows)
        return self.target.loss(logits, labels.to(logits.device))

    def logits(self, windows: Windows) -> Tensor:
        """Return logits (T, C), float32."""
        return self.linear(self.dropout(self.pooling(windows))).float()


def _average(vectors: Tensor, owner: Tensor) -> Tensor:
    """Average vectors (W, D) by `owner` (W,), which ascends without gaps from 0."""
    texts = int(owner[-1]) + 1
    if texts == len(vectors):
        return vectors
    sums = torch.zeros(texts, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    counts = torch.bincount(owner, minlength=texts).unsqueeze(-1)
    return sums.index_add(0, owner, vectors) / counts
