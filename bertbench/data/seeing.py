"""A text in, what a reader sees of it out: nothing, or no word."""

import unicodedata

UNSEEN = ("Cf", "Cc")  # Unicode's categories of signs without a form, such as the zero-width space
# Signs of other categories that have none either: fillers, the grapheme joiner, blank Braille.
EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
NOTHING = frozenset(  # what programs write into an empty cell
    ("null", "(null)", "nan", "n/a", "#n/a", "na", "<na>", "none", "nil", "#value!", "#ref!")
)


def is_blank(text: str) -> bool:
    """Tell whether all of a text is white space or without a form."""
    return all(
        sign.isspace() or sign in EMPTY or unicodedata.category(sign) in UNSEEN for sign in text
    )


def is_wordless(text: str) -> bool:
    """Tell whether a text has no letter and no digit."""
    return not any(sign.isalnum() for sign in text)


def is_nothing(text: str) -> bool:
    """Tell whether a text is what a program writes into an empty cell."""
    return text.strip().casefold() in NOTHING
