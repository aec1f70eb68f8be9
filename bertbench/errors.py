"""The one exception a user is meant to read."""

import difflib
import errno
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: one sentence that names the value, the place and the way out.

    The front door prints it without a traceback and exits with code 2.
    """


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def disk_trouble(error: BaseException | None) -> str | None:
    """Return what is wrong if an error comes of a disk that is full or cannot be written, else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = f" at {error.filename}" if error.filename else ""
            return f"the disk{where} takes no more: {error.strerror}"
        if any(f"(os error {number})" in str(error) for number in NO_ROOM):  # safetensors
            return f"the disk takes no more: {error}"
        error = error.__cause__ or error.__context__
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest of `known`, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
