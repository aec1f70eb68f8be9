"""A document in, its sentences out: by rules alone, with nothing to download, in linear time."""

import re
from collections.abc import Iterator

UPPER, LOWER = "A-ZÀ-ÖØ-ÞΑ-ΩА-ЯЁ", "a-zß-öø-ÿα-ωа-яё"
LONGEST = 10_000  # characters of a sentence: text without any full stop is cut at a space
LOOK_BACK = 100_000  # characters at the end of a piece in which a sentence's end is looked for

# Of four letters or more: shorter words end no sentence where a lower-case letter follows.
ABBREVIATIONS = (
    "abbr", "approx", "assoc", "asst", "attn", "capt", "chap", "cont", "corp", "dept", "depts",
    "excl", "figs", "govt", "illus", "incl", "intl", "messrs", "misc", "natl", "prof", "profs",
    "resp", "sept", "suppl", "tech", "trans", "univ", "vols",
)  # fmt: skip

# Whatever begins a rule stands after a newline or a mark, so that the search need look at nothing else;
# `++` and `*+` never give back what they took, so that a run of spaces or quotes is read once.
BOUNDARY = re.compile(
    rf"""
    [\n.!?](?:
        (?<=\n)\n*                                                  # the end of a line
      | (?<!\n)["')\]]{{0,2}}[ \t]++(?=["'(\[]*+[{UPPER}0-9£$€])    # a capital, digit, currency sign
      | (?:(?<=[^\s.!?][ ][.!?])|(?<=[ ][!?]))[ \t]++(?![.!?)\]])   # a mark that stands alone
      | (?<=[{LOWER}]{{4}}[.!?])                                    # a long word, and a small letter
        {"".join(rf"(?<!{chr(92)}b(?i:{word})[.])" for word in ABBREVIATIONS)}
        [ \t]++(?=[{LOWER}])
    )
    """,
    re.VERBOSE,
)


def sentences(document: str) -> list[str]:
    """Cut a document into sentences; none is empty.

    A sentence ends at a line's end; at . ! ? and up to two closing marks where a capital letter, a
    digit or a currency sign follows; at a mark between spaces, as in text cut into tokens before,
    save in an ellipsis; and after a word of at least four small letters where a small letter follows,
    save after an abbreviation.

    Args:
        document: Any text.

    Returns:
        Sentences without space around them, each of at most `LONGEST` characters.
    """
    return [sentence.strip() for sentence in spaced(document)]


def spaced(document: str) -> list[str]:
    """Cut a document into sentences that keep the space before them, save the first.

    A byte-level tokenizer cuts a word with a space before it otherwise than one without: so it cuts these
    as it cuts the whole document.

    Args:
        document: Any text.

    Returns:
        Sentences that make up the document, but for the space at its ends.
    """
    found: list[str] = []
    begin, end = 0, 0  # of the space before the next sentence, and where that begins
    borders = [match.end() for match in BOUNDARY.finditer(document)]
    for border in [*borders, len(document)]:
        if sentence := document[end:border].strip():
            start = document.index(sentence, end)
            stop = start + len(sentence)
            before = document[begin:start] if found else ""
            found.extend(_shortened(before, sentence))
            begin = stop
        end = border
    return found


def pieces(document: str, size: int) -> Iterator[str]:
    """Cut a document that is too long to be worked on at once, where a sentence ends.

    Args:
        document: Any text.
        size: Characters of a piece, at most.

    Yields:
        Pieces that make up the document; the sentences of the pieces are those of the document, unless
        `size` characters hold no end of one.
    """
    begin = 0
    while len(document) - begin > size:
        end = _end(document, begin, begin + size)
        yield document[begin:end]
        begin = end
    yield document[begin:]


def _end(document: str, begin: int, limit: int) -> int:
    """Return where a piece that starts at `begin` ends: after a line, a sentence, a word, or anywhere."""
    line = document.rfind("\n", begin, limit) + 1
    if line > begin:
        return line
    near = max(begin, limit - LOOK_BACK)
    ends = [match.end() for match in BOUNDARY.finditer(document, near, limit)]
    # The last may end at the limit because the text it looked at did.
    inside = [end for end in ends if end < limit]
    return inside[-1] if inside else document.rfind(" ", near, limit) + 1 or limit


def _shortened(before: str, sentence: str) -> Iterator[str]:
    """Cut a sentence at spaces into parts of at most `LONGEST` characters; `before` is its space."""
    begin = 0
    while len(sentence) - begin > LONGEST:
        space = sentence.rfind(" ", begin + 1, begin + LONGEST + 1)
        end = space if space > 0 else begin + LONGEST
        if part := sentence[begin:end].rstrip():
            yield before + part
        before, begin = "", end
    if part := sentence[begin:].rstrip():
        yield before + part
