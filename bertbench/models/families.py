"""Scale and vocabulary in, a transformers configuration out: one function a family."""

from typing import NamedTuple

import torch
from transformers import (
    AlbertConfig,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertConfig,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from bertbench.errors import UserError
from bertbench.models import pairs as pair_heads
from bertbench.runtime import seeded
from bertbench.types import Vocabulary

SPREAD = 0.02  # of static vectors before the norm: any does
PAIR_FAMILIES = ("bert", "albert")  # whose pretraining class has a pair head


class Shape(NamedTuple):
    """Width and depth: Turc et al. (2019), https://arxiv.org/abs/1908.08962."""

    depth: int  # layers
    width: int  # D
    heads: int
    intermediate: int  # width of the feed-forward layer
    positions: int  # longest input, tokens


def bert(
    shape: Shape, vocabulary: Vocabulary, *, dropout: float, initializer_range: float
) -> BertConfig:
    """BERT: Devlin et al. (2019), section 3; `initializer_range`: deviation of the first weights."""
    return BertConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=initializer_range,
        pad_token_id=vocabulary.pad,
    )


def roberta(
    shape: Shape, vocabulary: Vocabulary, *, dropout: float, initializer_range: float
) -> RobertaConfig:
    """RoBERTa: BERT's shape without segments; positions start after the padding id."""
    return RobertaConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions + vocabulary.pad + 1,
        type_vocab_size=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=initializer_range,
        pad_token_id=vocabulary.pad,
        bos_token_id=vocabulary.cls,
        eos_token_id=vocabulary.sep,
    )


def albert(
    shape: Shape,
    vocabulary: Vocabulary,
    *,
    embedding: int,
    dropout: float,
    initializer_range: float,
) -> AlbertConfig:
    """ALBERT: one layer used `depth` times, embeddings of `embedding` projected to the width.

    Source: Lan et al. (2020), https://arxiv.org/abs/1909.11942, section 3.1. Where the encoder is
    hardly wider than `embedding`, half its width is taken, so that the embedding stays factorised.
    """
    return AlbertConfig(
        vocab_size=vocabulary.size,
        embedding_size=min(embedding, shape.width // 2),
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_hidden_groups=1,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=initializer_range,
        pad_token_id=vocabulary.pad,
        bos_token_id=vocabulary.cls,
        eos_token_id=vocabulary.sep,
    )


def distilbert(
    shape: Shape, vocabulary: Vocabulary, *, dropout: float, initializer_range: float
) -> DistilBertConfig:
    """DistilBERT: half of BERT's layers, no segments: Sanh et al. (2019), section 3."""
    return DistilBertConfig(
        vocab_size=vocabulary.size,
        dim=shape.width,
        n_layers=max(shape.depth // 2, 1),
        n_heads=shape.heads,
        hidden_dim=shape.intermediate,
        max_position_embeddings=shape.positions,
        dropout=dropout,
        attention_dropout=dropout,
        initializer_range=initializer_range,
        pad_token_id=vocabulary.pad,
    )


def static(shape: Shape, vocabulary: Vocabulary) -> BertConfig:
    """Static vectors: embeddings without layers, positions or segments that tell; normed to one length.

    Without layers all embeddings begin at zero (see `initialise`), so that special tokens and positions
    add nothing to a mean of the vectors that `embeddings` brings, whose spread the norm takes away.
    """
    return bert(shape, vocabulary, dropout=0.0, initializer_range=SPREAD)


def initialise(config: PreTrainedConfig, *, seed: int, pairs: bool = False) -> PreTrainedModel:
    """Return a masked-language model with random weights: seed first, then build.

    Args:
        config: Of one family.
        seed: Of the weights.
        pairs: Whether it also tells if two segments follow each other.

    Raises:
        UserError: The width cannot be shared out among the heads.
    """
    if config.hidden_size % config.num_attention_heads:
        raise UserError(
            f"scale.width={config.hidden_size} is no multiple of scale.heads={config.num_attention_heads}"
        )
    with seeded(seed, "weights"):
        own = pairs and config.model_type in PAIR_FAMILIES
        model = (AutoModelForPreTraining if own else AutoModelForMaskedLM).from_config(config)
        if pairs:
            pair_heads.add_head(model)
        if not config.num_hidden_layers:
            for parameter in model.base_model.embeddings.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.zeros_(parameter)
        return model
