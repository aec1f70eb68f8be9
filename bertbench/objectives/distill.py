"""Distillation: a smaller encoder learns from what a larger one predicts."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bertbench.errors import UserError
from bertbench.models.encoder import LanguageModel
from bertbench.tally import Sum, Tally, masked_words, means
from bertbench.types import IGNORE, Batch, Masked, Masking


class Distillation(nn.Module):
    """Imitate the teacher's predictions and states, and predict every picked token.

    Source: Sanh et al. (2019), https://arxiv.org/abs/1910.01108, section 2: soft targets at a
    temperature, masked language modelling, and the cosine between the last states of student and
    teacher. From the paper's released code: the factor temperature², and soft targets at every token
    rather than the predicted ones alone (distiller.py); the weights 5, 2 and 1 (the command in its README).
    Its optimizer settings and its smoothed choice of masked tokens are not taken over.

    The student begins as every second layer of the teacher (section 3), if it has half of its layers.

    Args:
        model: The student.
        masking: Makes the ids that both see, and the labels.
        teacher: In the student's vocabulary; it does not learn.
        temperature: Of the soft targets.
        soft: Weight of the Kullback-Leibler divergence from the teacher's soft targets.
        mlm: Weight of the loss on the predicted tokens.
        cosine: Weight of 1 - cosine of the last states.
        everywhere: Whether soft targets are taken at all tokens, or at the predicted ones alone.

    Raises:
        UserError: A setting is out of range, or the teacher's vocabulary or width is not the student's.
    """

    def __init__(
        self,
        model: LanguageModel,
        masking: Masking,
        *,
        teacher: LanguageModel,
        temperature: float,
        soft: float,
        mlm: float,
        cosine: float,
        everywhere: bool,
    ) -> None:
        super().__init__()
        if temperature <= 0 or min(soft, mlm, cosine) < 0 or soft + mlm + cosine == 0:
            raise UserError(
                f"objective.temperature={temperature} must be above 0, and objective.soft={soft}, "
                f"objective.mlm={mlm} and objective.cosine={cosine} not below 0 and not all of them 0"
            )
        _check_alike(model, teacher)
        self.model, self.masking = model, masking
        self.temperature, self.everywhere = temperature, everywhere
        self.soft, self.mlm, self.cosine = soft, mlm, cosine
        teacher.requires_grad_(False)
        # In a list, or it would be a part of the module: trained, saved and counted with it.
        self._teacher = [teacher.eval()]

    @property
    def teacher(self) -> LanguageModel:
        """The teacher, on the student's device."""
        return self._teacher[0].to(next(self.model.parameters()).device)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the three mean losses and what to log."""
        tally = self.tally(batch, self.masking(batch))
        loss = (
            self.soft * tally["soft_loss"].mean
            + self.mlm * tally["mlm_loss"].mean
            + self.cosine * tally["cosine_loss"].mean
        )
        return loss, {"loss": loss.detach()} | means(tally)

    def tally(self, batch: Batch, masked: Masked) -> Tally:
        """Return the three losses, over the soft targets, the predicted tokens and all tokens."""
        states = self.model.encode(masked.ids, batch)[-1]  # (B, L, D)
        with torch.no_grad():
            guide = self.teacher.encode(masked.ids, batch)[-1]
        labels = masked.labels.to(states.device)
        real = batch.attention_mask.to(states.device)
        chosen = real if self.everywhere else labels != IGNORE
        cosine = 1 - F.cosine_similarity(states[real].float(), guide[real].float(), dim=-1)
        return masked_words(self.model, states, labels) | {
            "soft_loss": self._divergence(states[chosen], guide[chosen]),
            "cosine_loss": Sum(cosine.sum(), cosine.numel()),
        }

    def _divergence(self, states: Tensor, guide: Tensor) -> Sum:
        """Return temperature² KL(teacher, student) of the softened predictions (nats)."""
        with torch.no_grad():
            target = F.log_softmax(self.teacher.logits(guide).float() / self.temperature, dim=-1)
        mine = F.log_softmax(self.model.logits(states).float() / self.temperature, dim=-1)
        total = F.kl_div(mine, target, reduction="sum", log_target=True)
        return Sum(self.temperature**2 * total, len(states))


def _check_alike(model: LanguageModel, teacher: LanguageModel) -> None:
    for name, attribute in (("vocabulary entries", "vocab_size"), ("states wide", "hidden_size")):
        mine = getattr(model.model.config, attribute)
        other = getattr(teacher.model.config, attribute)
        if mine != other:
            raise UserError(
                f"objective.teacher has {other} {name}, the student {mine}: choose a teacher of the "
                "student's scale that has the same tokenizer"
            )
