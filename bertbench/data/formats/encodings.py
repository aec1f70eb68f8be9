"""A file in, its text out, in UTF-8 or another usual encoding, and a note of what had to be guessed."""

import codecs
from pathlib import Path

from bertbench.data.reading import MARK, read_bytes
from bertbench.errors import UserError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Windows-1252 prints what are control characters in Latin-1, these five aside:
# https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT
CONTROLS = bytes(range(0x80, 0xA0))
UNUSED = b"\x81\x8d\x8f\x90\x9d"
ASCII = bytes(range(0x80))


def text_of(file: Path, *, encoding: str | None = None) -> tuple[str, list[str]]:
    """Return the text of a file without its byte order mark, and what was decided to read it.

    Args:
        file: .gz is unpacked.
        encoding: A name that Python knows; None takes UTF-8, UTF-16 where a byte order mark says so, and
            else Windows-1252 or Latin-1.

    Raises:
        UserError: The file cannot be read or is no text, or is not of that encoding; names the line.
    """
    raw = read_bytes(file)
    if encoding is not None:
        text, notes = _decode(raw, str(encoding), file), []
    else:
        text, notes = _guess(raw, file)
    line = _line(text, text.find("\0"))
    if line:
        raise UserError(
            f"{file}, line {line} has a zero byte: it is no text, or UTF-16 without a byte order mark, so "
            "convert it to UTF-8 or name its encoding"
        )
    return text.removeprefix(MARK), notes


def _guess(raw: bytes, file: Path) -> tuple[str, list[str]]:
    if raw.startswith(UTF16):
        return _decode(raw, "utf-16", file), []
    try:
        return raw.decode(), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    if raw.startswith(codecs.BOM_UTF8) or _is_mostly_utf8(raw):
        raise UserError(
            f"{file}, line {line} has a byte that is not UTF-8, as the rest of it is: repair that line, or "
            "name its encoding"
        )
    high = {byte for byte in CONTROLS if byte in raw}
    windows = bool(high) and high.isdisjoint(UNUSED)
    name = "Windows-1252" if windows else "Latin-1"
    note = f"{file} is not UTF-8 (first in line {line}): read as {name}"
    return raw.decode("cp1252" if windows else "latin-1"), [note]


def _is_mostly_utf8(raw: bytes) -> bool:
    """Tell whether more characters beyond ASCII are whole in UTF-8 than bytes are left over.

    In Latin-1 a few may be whole by chance: "ß" before a closing quote of Windows-1252 is one.
    """
    kept = raw.decode("utf-8", "ignore").encode()
    beyond = kept.translate(None, ASCII)
    characters = len(beyond.decode())
    return characters > len(raw.translate(None, ASCII)) - len(beyond)


def _decode(raw: bytes, encoding: str, file: Path) -> str:
    try:
        text = raw.decode(encoding)
        text.encode()  # some encodings can write half a character, which nothing else can
    except UnicodeDecodeError as error:
        line = raw[: error.start].decode(encoding, "ignore").count("\n") + 1
        raise UserError(
            f"{file}, line {line} is not {encoding} ({error.reason}): convert it to UTF-8, or name another "
            "encoding"
        ) from error
    except UnicodeEncodeError as error:
        line = _line(error.object, error.start)
        raise UserError(
            f"{file}, line {line} has half a character (a lone surrogate): repair it"
        ) from error
    except (LookupError, UnicodeError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read as {encoding!r}, which is no encoding of text: name one such as "
            "'utf-8', 'cp1252' or 'latin-1'"
        ) from error
    return text


def _line(text: str, position: int) -> int:
    """Return the number of the line of a character, 0 where there is no such character."""
    return 0 if position < 0 else text.count("\n", 0, position) + 1
