"""Masked language modelling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertbench.models.encoder import LanguageModel
from bertbench.types import IGNORE, Batch, Masking


class MaskedLM(nn.Module):
    """Predict the original id of every picked token.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1.

    Args:
        model: Encoder and head.
        masking: Makes the corrupted ids and the labels.
    """

    def __init__(self, model: LanguageModel, masking: Masking) -> None:
        super().__init__()
        self.model, self.masking = model, masking

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss per predicted token (nats) and what to log.

        A batch in which nothing was picked has a loss of zero, with gradients of zero. Masks are
        made on the CPU, whatever the device, so that they are the same everywhere.
        """
        masked = self.masking(batch)
        device = next(self.model.parameters()).device
        ids, labels = masked.ids.to(device), masked.labels.to(device)
        states = self.model.encoder(ids, batch.attention_mask.to(device))[-1]  # (B, L, D)
        predicted = labels != IGNORE  # (B, L), N of them True
        logits = self.model.logits(states[predicted]).float()  # (N, V)
        targets = labels[predicted]  # (N,)
        count = targets.numel()
        total = F.cross_entropy(logits, targets, reduction="sum")
        loss = total / max(count, 1)
        correct = (logits.argmax(-1) == targets).sum()
        return loss, {
            "loss": loss.detach(),
            "accuracy": correct / max(count, 1),
            "predicted": torch.tensor(float(count)),
        }
