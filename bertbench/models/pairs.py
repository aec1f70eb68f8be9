"""A masked-language model in, one that also tells whether two segments follow each other out.

BERT and ALBERT have transformers' own classes for it, whose files they share; the other families, which were
published without, get a head like BERT's.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertbench.models.safety import WEIGHTS

NAME = "sentence_relationship"


class PairHead(nn.Module):
    """The first token's last state in, two logits out, through a dense layer and tanh.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1, task 2.

    Args:
        width: Of the encoder, D.
        deviation: Of the random weights.
    """

    def __init__(self, width: int, *, deviation: float) -> None:
        super().__init__()
        self.pooler, self.classifier = nn.Linear(width, width), nn.Linear(width, 2)
        for layer in (self.pooler, self.classifier):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return logits (B, 2) of last states (B, L, D)."""
        return self.classifier(self.pooler(states[:, 0]).tanh())


def add_head(model: PreTrainedModel, folder: Path | None = None) -> list[str]:
    """Give `model` a pair head if it has none, with the weights that a checkpoint's folder has of it.

    Returns:
        The names of weights that are new.
    """
    if has_head(model):
        return []
    config: Any = model.config
    head = PairHead(config.hidden_size, deviation=getattr(config, "initializer_range", 0.02))
    kept = {}
    if folder is not None and (folder / WEIGHTS).is_file():
        weights = load_file(folder / WEIGHTS)
        prefix = f"{NAME}."
        kept = {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}
    if kept:
        head.load_state_dict(kept)
    model.add_module(NAME, head)
    return [] if kept else [NAME]


def has_head(model: PreTrainedModel) -> bool:
    """Tell whether a model has a pair head, its own or ours."""
    heads: Any = model
    return (
        hasattr(getattr(heads, "cls", None), "seq_relationship")
        or hasattr(heads, "sop_classifier")
        or hasattr(heads, NAME)
    )


def logits(model: PreTrainedModel, states: Tensor) -> Tensor:
    """Return logits (B, 2), FOLLOWS and NOT, of last states (B, L, D).

    Raises:
        ValueError: The model has no pair head.
    """
    heads: Any = model
    if hasattr(getattr(heads, "cls", None), "seq_relationship"):
        return heads.cls.seq_relationship(heads.bert.pooler(states))
    if hasattr(heads, "sop_classifier"):
        pooled = heads.albert.pooler_activation(heads.albert.pooler(states[:, 0]))
        return heads.sop_classifier(pooled)
    if not hasattr(heads, NAME):
        raise ValueError("this model has no pair head")
    return getattr(heads, NAME)(states)
