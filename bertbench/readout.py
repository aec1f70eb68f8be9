"""A finished encoder in, a head fitted on it out: what it knows of words, whatever it has learnt."""

from bertbench.budget import Budget
from bertbench.masking.token import TokenMasking
from bertbench.models.encoder import LanguageModel
from bertbench.objectives.mlm import MaskedLM
from bertbench.pretrain import Schedule, pretrain
from bertbench.references import unigram_log_probabilities
from bertbench.runtime import Compute
from bertbench.start import begin_at_frequencies
from bertbench.types import Rows, Vocabulary

SHARE = 0.2  # of the pretraining's tokens
SPENDING = ("steps", "tokens", "seconds", "epochs", "tokens_per_second")


class Readout(MaskedLM):
    """Masked language modelling in which the encoder neither learns nor has dropout."""

    def train(self, mode: bool = True) -> "Readout":
        """See torch."""
        super().train(mode)
        self.model.encoder.eval()
        return self


def fit_head(
    model: LanguageModel,
    rows: Rows,
    heldout: Rows,
    vocabulary: Vocabulary,
    schedule: Schedule,
    *,
    spent: float,
    compute: Compute,
) -> dict[str, float]:
    """Fit the language-model head of an encoder that has learnt otherwise, and measure it.

    Only weights of the head alone are trained: the encoder stays what its objective made of it. The
    bias of the words begins at the logarithm of their frequencies, which a short fit would learn first.

    Args:
        model: Its head is changed in place.
        rows: Packed training documents.
        heldout: Packed documents that are never trained on.
        vocabulary: Says which ids are special.
        schedule: Of the pretraining; its budget is not used.
        spent: Tokens of the pretraining, of which the fit takes a SHARE.
        compute: Device and precision.

    Returns:
        What `pretrain.evaluate` returns, and `head_tokens`.
    """
    inside = {id(parameter) for parameter in model.encoder.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in inside)
    begin_at_frequencies(model.model, unigram_log_probabilities(rows, vocabulary))
    masking = TokenMasking(
        vocabulary, seed=schedule.seed, rate=0.15, rate_end=None, swap=0.1, keep=0.1, views=None
    )
    found = pretrain(
        Readout(model, masking),
        rows,
        heldout,
        vocabulary,
        schedule._replace(budget=Budget(tokens=max(int(SHARE * spent), 1)), evaluations=0),
        compute=compute,
        log=lambda values, step: None,  # noqa: ARG005 - not a part of the pretraining's curve
    )
    model.requires_grad_(True)
    measured = {name: value for name, value in found.items() if name not in SPENDING}
    return measured | {"head_tokens": found["tokens"]}
