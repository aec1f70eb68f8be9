"""Masked language modelling, and whether the second segment follows the first."""

from torch import Tensor, nn

from bertbench.errors import UserError
from bertbench.models.encoder import LanguageModel
from bertbench.tally import Tally, classified, masked_words, means
from bertbench.types import IGNORE, Batch, Masked, Masking

SKILLS = {
    "random": "nsp",
    "swapped": "sop",
}  # by what the second segment is where it does not follow


class PairedLM(nn.Module):
    """Predict every picked token, and tell real pairs of segments from others.

    With pairs whose second segment may come from another document this is next sentence prediction:
    Devlin et al. (2019), https://arxiv.org/abs/1810.04805, section 3.1, task 2, and section A.2, which
    adds the losses. With segments that may be swapped it is sentence order prediction: Lan et al.
    (2020), https://arxiv.org/abs/1909.11942, section 3.1.

    Args:
        model: Encoder, masked-language-model head and pair head.
        masking: Makes the corrupted ids and the labels.
        pairs: `random` or `swapped`: what the packing does to the second segment.
        weight: Of the pairs' loss.

    Raises:
        UserError: `pairs` or `weight` is none that there is.
    """

    def __init__(
        self, model: LanguageModel, masking: Masking, *, pairs: str, weight: float
    ) -> None:
        super().__init__()
        if pairs not in SKILLS:
            raise UserError(f"objective.pairs={pairs} is none of {', '.join(SKILLS)}")
        if weight < 0:
            raise UserError(f"objective.weight={weight} must not be below 0")
        self.model, self.masking, self.weight = model, masking, weight
        self.skill = SKILLS[pairs]

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of both mean losses (nats) and what to log."""
        tally = self.tally(batch, self.masking(batch))
        loss = tally["mlm_loss"].mean + self.weight * tally[f"{self.skill}_loss"].mean
        return loss, {"loss": loss.detach()} | means(tally)

    def tally(self, batch: Batch, masked: Masked) -> Tally:
        """Return losses and accuracies over the predicted tokens and over the pairs."""
        states = self.model.encode(masked.ids, batch)[-1]  # (B, L, D)
        related = batch.related.to(states.device)
        paired = related != IGNORE
        logits = self.model.pair_logits(states[paired]).float()  # (pairs, 2)
        words = masked_words(self.model, states, masked.labels.to(states.device))
        return words | classified(self.skill, logits, related[paired])
