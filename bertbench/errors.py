"""The one exception a user is meant to read."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: one sentence that names the value, the place and the way out.

    The front door prints it without a traceback and exits with code 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest of `known`, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
