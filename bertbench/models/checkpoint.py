"""A masked-language model to a folder in transformers' format and back."""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForPreTraining, PreTrainedModel

from bertbench.errors import UserError
from bertbench.models import pairs as pair_heads
from bertbench.models.families import PAIR_FAMILIES
from bertbench.runtime import seeded

# What a configuration with values of the wrong kind comes to, wherever each is first used.
UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    ImportError,
)

logger = logging.getLogger(__name__)

transformers.utils.logging.disable_progress_bar()  # one bar a checkpoint says nothing
transformers.utils.logging.set_verbosity_error()  # what is missing is checked here, and said once


def load(
    folder: Path, *, seed: int = 0, pairs: bool = False, announce: bool = False
) -> PreTrainedModel:
    """Load a masked-language model; safetensors only.

    Args:
        folder: In transformers' format: a checkpoint of ours, or a released one.
        seed: Of heads that the folder does not have.
        pairs: Whether a head that tells if two segments follow each other is needed too.
        announce: Whether heads that begin at random are named in the log: where they will be trained.

    Raises:
        UserError: The folder holds no such model, or lacks weights of the encoder itself.
    """
    try:
        with seeded(seed, "missing head"):
            model, report = _auto_class(folder, pairs=pairs).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,  # whatever precision they travel in
                output_loading_info=True,
            )
            added = pair_heads.add_head(model, folder) if pairs else []
    except UNREADABLE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{folder} holds no encoder that transformers can read: {cause:.300}"
        ) from error
    prefix = f"{model.base_model_prefix}."
    missing = sorted(report["missing_keys"])
    inside = [name for name in missing if name.startswith(prefix)]
    absent = [name for name in inside if not name.startswith(f"{prefix}pooler.")]
    if absent:  # transformers would go on with random weights
        raise UserError(
            f"{folder} lacks {len(absent)} weights of the encoder, such as {absent[0]}"
        )
    heads = sorted({*(name.rpartition(".")[0] for name in missing), *added})
    if heads and announce:
        logger.info("heads added to %s, with random weights: %s", folder, ", ".join(heads))
    return model


def _auto_class(folder: Path, *, pairs: bool) -> Any:
    """Return transformers' class for the folder's family: the one with its own pair head, or without."""
    if not pairs:
        return AutoModelForMaskedLM
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return AutoModelForPreTraining if config.model_type in PAIR_FAMILIES else AutoModelForMaskedLM


def save(model: PreTrainedModel, tokenizer: object, folder: Path) -> None:
    """Write configuration, safetensors and tokenizer into `folder`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
