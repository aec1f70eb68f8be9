"""A masked-language model to a folder in transformers' format and back."""

from pathlib import Path

import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForMaskedLM, PreTrainedModel

from bertbench.errors import UserError
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

transformers.utils.logging.disable_progress_bar()  # one bar a checkpoint says nothing
transformers.utils.logging.set_verbosity_error()  # what is missing is checked here, and said once


def load(folder: Path, *, seed: int = 0) -> PreTrainedModel:
    """Load a masked-language model; safetensors only.

    Args:
        folder: In transformers' format: a checkpoint of ours, or a released one.
        seed: Of a language-model head that the folder does not have.

    Raises:
        UserError: The folder holds no such model, or lacks weights of the encoder itself.
    """
    try:
        with seeded(seed, "missing head"):
            model, report = AutoModelForMaskedLM.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except UNREADABLE as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{folder} holds no encoder that transformers can read: {cause:.300}"
        ) from error
    prefix = f"{model.base_model_prefix}."
    absent = sorted(name for name in report["missing_keys"] if name.startswith(prefix))
    if absent:  # transformers would go on with random weights
        raise UserError(
            f"{folder} lacks {len(absent)} weights of the encoder, such as {absent[0]}"
        )
    return model


def save(model: PreTrainedModel, tokenizer: object, folder: Path) -> None:
    """Write configuration, safetensors and tokenizer into `folder`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
