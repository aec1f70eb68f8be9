"""A text with masks in, what an encoder puts in their place out, seeing both sides, or one alone."""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertbench.config import Plain
from bertbench.context import views
from bertbench.errors import UserError
from bertbench.inspection.prompts import prompt
from bertbench.models.encoder import LanguageModel, positions
from bertbench.runtime import Compute
from bertbench.types import IGNORE, Batch

SHOWN = ("full", "left", "right")  # of the views of the context table


def look_at_masks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    top: int,
    compute: Compute,
) -> Plain:
    """Predict each mask of a text.

    What is out of sight is hidden by the attention mask; see `context.views`. Other masks stay masks.

    Args:
        model: With its language-model head.
        tokenizer: Its own.
        text: With `[MASK]` where a word is to be predicted.
        top: Predictions of each.
        compute: Device and precision.

    Returns:
        `tokens` and `ids` as the model reads them; `masks`, for each its `position` among them and, under
        `full`, `left` and `right`, the likeliest tokens: `token`, `id` and `probability`.

    Raises:
        UserError: The text is too long for the encoder.
    """
    reader: Any = tokenizer  # typed loosely by transformers
    ids = reader(prompt(text, reader.mask_token), truncation=False, padding=False, verbose=False)
    ids = ids["input_ids"]
    if len(ids) > (most := positions(model)):
        raise UserError(
            f"the text has {len(ids)} tokens, but the encoder reads {most} at most: shorten it"
        )
    language_model = LanguageModel(model).to(compute.device).eval()
    batch = _alone(ids)
    found = []
    for place in (batch.ids[0] == reader.mask_token_id).nonzero().flatten().tolist():
        seen = views(batch, torch.arange(len(ids))[None] == place)
        probabilities = _predict(language_model, batch, place, [seen[n] for n in SHOWN], compute)
        best = probabilities.topk(min(top, probabilities.shape[-1]))
        found.append({"position": place})
        for name, numbers, values in zip(SHOWN, best.indices, best.values, strict=True):
            tokens = reader.convert_ids_to_tokens(numbers.tolist())
            rows = zip(tokens, numbers.tolist(), values.tolist(), strict=True)
            found[-1][name] = [{"token": t, "id": i, "probability": p} for t, i, p in rows]
    return {"tokens": reader.convert_ids_to_tokens(ids), "ids": ids, "masks": found}


def _alone(ids: list[int]) -> Batch:
    """Return a text of one segment as a batch of one."""
    row = torch.tensor([ids], dtype=torch.int64)  # (1, L)
    every = torch.ones_like(row, dtype=torch.bool)
    return Batch(
        ids=row,
        attention_mask=every,
        maskable=every,
        starts=every,
        segment_ids=torch.zeros_like(row),
        related=torch.tensor([IGNORE]),
        sequence=torch.tensor([0]),
        epoch=0,
    )


@torch.no_grad()
def _predict(
    model: LanguageModel, batch: Batch, place: int, seen: list[Tensor], compute: Compute
) -> Tensor:
    """Return probabilities, float32, (views, V), of one position when this and that can be seen."""
    count = len(seen)
    rows = batch._replace(
        attention_mask=torch.cat(seen), segment_ids=batch.segment_ids.repeat(count, 1)
    )
    with compute.autocast():
        states = model.encode(batch.ids.repeat(count, 1), rows)[-1]  # (views, L, D)
        logits = model.logits(states[:, place]).float()
    return logits.softmax(-1).cpu()
