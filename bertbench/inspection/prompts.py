"""A text with masks as a user writes them in, the same for a tokenizer out."""

import re

from bertbench.errors import UserError

MASKS = re.compile(r"\s*(?:\[MASK\]|<mask>)")


def check_prompt(text: str) -> None:
    """Refuse a text without a mask.

    Raises:
        UserError: There is none.
    """
    if not MASKS.search(text):
        raise UserError(
            f"the text {text!r:.80} has no [MASK]: write it where a word is to be predicted, as in "
            '"The capital of France is [MASK]."'
        )


def prompt(text: str, mask: str) -> str:
    """Put a tokenizer's own mask token into a text.

    The space before it goes with the word it stands for, as with the released tokenizers of RoBERTa and
    ALBERT (their mask token has `lstrip`); for one that leaves out all spaces it is the same.
    """
    return MASKS.sub(lambda _: mask, text)
