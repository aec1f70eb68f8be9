"""Masked language modelling."""

from torch import Tensor, nn

from bertbench.models.encoder import LanguageModel
from bertbench.tally import Tally, masked_words, means
from bertbench.types import Batch, Masked, Masking


class MaskedLM(nn.Module):
    """Predict the original id of every picked token.

    Source: Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1, task 1.

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
        tally = self.tally(batch, self.masking(batch))
        loss = tally["mlm_loss"].mean
        return loss, {"loss": loss.detach()} | means(tally)

    def tally(self, batch: Batch, masked: Masked) -> Tally:
        """Return loss and accuracy over the predicted tokens."""
        states = self.model.encode(masked.ids, batch)[-1]  # (B, L, D)
        return masked_words(self.model, states, masked.labels.to(states.device))
