"""Replaced token detection: tell which tokens a small generator has put in."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ElectraConfig, ElectraForMaskedLM

from bertbench.errors import UserError
from bertbench.models.encoder import LanguageModel, offset
from bertbench.tally import Sum, Tally, classified, means
from bertbench.types import IGNORE, Batch, Masked, Masking


class ReplacedTokens(nn.Module):
    """A generator fills in the picked tokens; the encoder tells every real token from a replaced one.

    Source: Clark et al. (2020), https://arxiv.org/abs/2003.10555, section 3.1: the generator is trained
    as a masked language model, not against the encoder; a token that it guesses right counts as real;
    the losses are added, the encoder's times `weight` (50: appendix A). Section 3.2: the generator is
    a fraction of the encoder's width and shares its embeddings of tokens and positions, here those of
    segments too. After pretraining it is left out.

    The encoder itself predicts no masked words, so its language-model head stays untrained.

    Args:
        model: The encoder; its language-model head is not used.
        masking: Makes the corrupted ids and the labels.
        generator: Width of the generator as a share of the encoder's, in (0, 1].
        weight: Of the encoder's loss.

    Raises:
        UserError: A setting is out of range.
    """

    def __init__(
        self, model: LanguageModel, masking: Masking, *, generator: float, weight: float
    ) -> None:
        super().__init__()
        if not 0 < generator <= 1 or weight <= 0:
            raise UserError(
                f"objective.generator={generator} must lie in (0, 1], and objective.weight={weight} above 0"
            )
        self.model, self.masking, self.weight = model, masking, weight
        self.generator = _generator(model, generator)
        width = model.encoder.width
        self.dense, self.decide = nn.Linear(width, width), nn.Linear(width, 1)
        for layer in (self.dense, self.decide):
            nn.init.normal_(
                layer.weight, std=getattr(model.model.config, "initializer_range", 0.02)
            )
            nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of both mean losses (nats) and what to log."""
        tally = self.tally(batch, self.masking(batch))
        loss = tally["generator_loss"].mean + self.weight * tally["rtd_loss"].mean
        return loss, {"loss": loss.detach()} | means(tally)

    def tally(self, batch: Batch, masked: Masked) -> Tally:
        """Return the generator's loss over the picked tokens and the encoder's over all real tokens.

        `rtd_accuracy` counts all tokens, `replaced_found` the replaced ones alone.
        """
        device = next(self.model.parameters()).device
        labels, picked = masked.labels.to(device), (masked.labels != IGNORE).to(device)
        real = batch.attention_mask.to(device)
        guesses = self._generated(masked.ids.to(device), batch, picked)  # (N, V)
        ids = batch.ids.to(device).clone()
        with torch.no_grad():
            drawn = (
                torch.multinomial(guesses.softmax(-1), 1).squeeze(-1)
                if len(guesses)
                else ids[picked]
            )
        ids[picked] = drawn
        replaced = ids != batch.ids.to(device)  # (B, L)
        states = self.model.encode(ids, batch)[-1]
        logits = self.decide(F.gelu(self.dense(states))).squeeze(-1)[real].float()
        truth = replaced[real]
        right = (logits > 0) == truth
        count = truth.numel()
        loss = F.binary_cross_entropy_with_logits(logits, truth.float(), reduction="sum")
        return classified("generator", guesses, labels[picked]) | {
            "rtd_loss": Sum(loss, count),
            "rtd_accuracy": Sum(right.sum(), count),
            "replaced_found": Sum(right[truth].sum(), int(truth.sum())),
        }

    def _generated(self, ids: Tensor, batch: Batch, picked: Tensor) -> Tensor:
        """Return the generator's logits (N, V) at the picked positions (B, L)."""
        first = offset(self.model.model)
        states = self.generator.electra(
            input_ids=ids,
            attention_mask=batch.attention_mask.to(ids.device),
            token_type_ids=batch.segment_ids.to(ids.device)
            if self.model.encoder.segments
            else None,
            position_ids=torch.arange(first, first + ids.shape[1], device=ids.device)[None],
        ).last_hidden_state
        found = self.generator.generator_predictions(states[picked])
        return self.generator.generator_lm_head(found).float()


def _generator(model: LanguageModel, share: float) -> ElectraForMaskedLM:
    """Return a generator of the encoder's depth that uses the encoder's embeddings."""
    embeddings: Any = model.model.get_input_embeddings()
    others: Any = model.model.base_model.embeddings
    encoder: Any = model.model.config
    vocab_size, embedding = embeddings.weight.shape
    heads = max(round(encoder.num_attention_heads * share), 1)
    width = max(round(encoder.hidden_size * share / heads), 1) * heads
    config = ElectraConfig(
        vocab_size=vocab_size,
        embedding_size=embedding,
        hidden_size=width,
        num_hidden_layers=encoder.num_hidden_layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=encoder.max_position_embeddings,
        pad_token_id=encoder.pad_token_id,
    )
    generator = ElectraForMaskedLM(config)
    mine = generator.electra.embeddings
    mine.word_embeddings.weight = embeddings.weight
    mine.position_embeddings.weight = others.position_embeddings.weight
    if model.encoder.segments:
        mine.token_type_embeddings.weight = others.token_type_embeddings.weight
    generator.generator_lm_head.weight = embeddings.weight
    return generator
