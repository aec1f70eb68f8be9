"""Two thin wrappers on transformers' models: states of every layer; logits of positions and of pairs."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from bertbench.errors import UserError
from bertbench.models import pairs
from bertbench.types import Batch

Head = Callable[[Any, Tensor], Tensor]

# How each family's masked-language-model class maps states (N, D) to logits (N, V).
MLM_HEADS: dict[str, Head] = {
    "bert": lambda model, states: model.cls.predictions(states),
    "roberta": lambda model, states: model.lm_head(states),
    "albert": lambda model, states: model.predictions(states),
    "distilbert": lambda model, states: model.vocab_projector(
        model.vocab_layer_norm(model.activation(model.vocab_transform(states)))
    ),
}


class Encoder(nn.Module):
    """Token ids in, hidden states of every layer out.

    Args:
        backbone: A transformers encoder without head.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        config: Any = backbone.config
        self.width: int = config.hidden_size
        self.segments: bool = getattr(config, "type_vocab_size", 1) > 1
        self.depth: int = config.num_hidden_layers

    def forward(
        self, ids: Tensor, attention_mask: Tensor, segment_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return `depth` + 1 tensors (B, L, D): the embeddings, then each layer's output.

        Args:
            ids: int64, (B, L).
            attention_mask: bool, (B, L); False on padding.
            segment_ids: int64, (B, L); None is one segment. A family without segments leaves them out.
        """
        more = {"token_type_ids": segment_ids} if self.segments and segment_ids is not None else {}
        output = self.backbone(
            input_ids=ids, attention_mask=attention_mask, output_hidden_states=True, **more
        )
        # Without layers transformers gives no states, but these are the embeddings.
        return output.hidden_states if self.depth else (output.last_hidden_state,)


class LanguageModel(nn.Module):
    """An encoder with its masked-language-model head, and a pair head where the model has one.

    Args:
        model: One of transformers' ...ForMaskedLM or ...ForPreTraining; the encoder inside it is shared,
            not copied.

    Raises:
        UserError: A family whose head is not known here.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        family = model.config.model_type
        if family not in MLM_HEADS:
            raise UserError(
                f"no language-model head is known for {family!r} models; "
                f"weights.train needs one of {', '.join(MLM_HEADS)}"
            )
        self.model = model
        self.encoder = Encoder(model.base_model)
        self._head = MLM_HEADS[family]

    def logits(self, states: Tensor) -> Tensor:
        """Return logits (N, V) of states (N, D)."""
        return self._head(self.model, states)

    def encode(self, ids: Tensor, batch: Batch) -> tuple[Tensor, ...]:
        """Return the states of every layer (B, L, D) of some ids in the place of a batch's own.

        Args:
            ids: int64, (B, L), such as those with masks.
            batch: Says what is padding and which segment a token is of.
        """
        device = next(self.parameters()).device
        mask, segments = batch.attention_mask.to(device), batch.segment_ids.to(device)
        return self.encoder(ids.to(device), mask, segments)

    def pair_logits(self, states: Tensor) -> Tensor:
        """Return logits (B, 2), FOLLOWS and NOT, of the last layer's states (B, L, D)."""
        return pairs.logits(self.model, states)


def positions(backbone: PreTrainedModel) -> int:
    """Return the longest input in tokens."""
    return backbone.config.max_position_embeddings - offset(backbone)


def offset(backbone: PreTrainedModel) -> int:
    """Return the number of the first position: RoBERTa starts to count after the padding id."""
    config = backbone.config
    return config.pad_token_id + 1 if config.model_type == "roberta" else 0


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters; shared ones count once."""
    return sum(p.numel() for p in module.parameters())
