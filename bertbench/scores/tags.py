"""Tags of words in, entities and one number out: token classification.

Entities are read by the lenient rules of conlleval (Tjong Kim Sang and Buchholz 2000,
https://aclanthology.org/W00-0726), as seqeval does in its default mode: any sequence has a reading, and
one set of rules reads IOB1, IOB2 and BIOES. BILOU is BIOES in other letters: L is E, and U is S.
"""

from collections.abc import Sequence
from typing import Literal

Scheme = Literal["IOB1", "IOB2", "BIOES", "none"]
Entity = tuple[str, int, int]  # type; first word; one past the last word

LETTERS = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
OUTSIDE = ("O", "_")  # the letter and the type of a word that is in no entity


def are_spans(classes: Sequence[str]) -> bool:
    """Tell whether the names of classes are tags of spans, rather than say parts of speech.

    Args:
        classes: (C,). Those of spans are "O", or one of the letters B, I, E, S, L, U, alone or with a
            hyphen and a type, and not all of them are "O".
    """
    return all(_is_tag(name) for name in classes) and any(name != "O" for name in classes)


def scheme_of(tags: Sequence[str] | Sequence[Sequence[str]]) -> Scheme:
    """Tell the scheme that tags are written in.

    IOB1 has a B only where an entity follows another of its type (Ramshaw and Marcus 1995,
    https://aclanthology.org/W95-0107), IOB2 wherever one begins: one B elsewhere makes it IOB2. BIOES
    has E or S, or their names in BILOU, L and U.

    Args:
        tags: Of the words of a sentence, or those of each of many sentences.

    Returns:
        "none" where a tag is no tag of a span, or there is nothing but "O".
    """
    sentences = [[part] if isinstance(part, str) else list(part) for part in tags]
    if any(isinstance(part, str) for part in tags):
        sentences = [[tag for sentence in sentences for tag in sentence]]
    classes = sorted({tag for sentence in sentences for tag in sentence})
    if not are_spans(classes):
        return "none"
    if any(_parse(tag)[0] in "ES" for tag in classes):
        return "BIOES"
    return "IOB2" if any(_is_iob2(sentence) for sentence in sentences) else "IOB1"


def entities(tags: Sequence[str]) -> list[Entity]:
    """Return the entities of a sentence: type, first word, one past the last word.

    An entity ends before an O, a B or S, another type, and after an E or S; what else follows goes on
    with it. So a word that is not O always is in an entity, whatever stood before it.

    Args:
        tags: Of each word; a letter without a type has the type "_".

    Returns:
        In the order of the words. They do not overlap.

    Raises:
        ValueError: A tag is no tag of a span.
    """
    found: list[Entity] = []
    begin = 0
    last_letter, last_type = OUTSIDE
    for i, tag in enumerate([*tags, "O"]):
        letter, kind = _parse(tag)
        border = last_letter in "ESO" or letter in "BSO" or kind != last_type
        if border and last_letter != "O":
            found.append((last_type, begin, i))
        if border:
            begin = i
        last_letter, last_type = letter, kind
    return found


def span_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Return F1 over the entities of all sentences, in [0, 1]; type and borders must be right.

    The micro average of conlleval: Tjong Kim Sang and De Meulder (2003),
    https://aclanthology.org/W03-0419. Where neither side has an entity it is 0, as in seqeval. Where
    tags are no spans (`are_spans`), take `word_accuracy`.

    Args:
        gold: Tags of the words of each sentence.
        predicted: As many.

    Raises:
        ValueError: The two do not fit, there is no sentence, or a tag is no tag of a span.
    """
    true, found = _all_entities(gold, predicted)
    return 2 * len(true & found) / max(len(true) + len(found), 1)


def by_type(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, tuple[float, float, float, int]]:
    """Return precision, recall, F1 and number of gold entities, by type.

    The first three are in [0, 1], and 0 where nothing was predicted, or nothing is there.

    Args:
        gold: Tags of the words of each sentence.
        predicted: As many.

    Returns:
        The types that occur on either side, sorted.

    Raises:
        ValueError: The two do not fit, there is no sentence, or a tag is no tag of a span.
    """
    true, found = _all_entities(gold, predicted)
    table: dict[str, tuple[float, float, float, int]] = {}
    for kind in sorted({entity[1] for entity in true | found}):
        support = sum(entity[1] == kind for entity in true)
        claimed = sum(entity[1] == kind for entity in found)
        right = sum(entity[1] == kind for entity in true & found)
        f1 = 2 * right / (support + claimed)
        table[kind] = (right / max(claimed, 1), right / max(support, 1), f1, support)
    return table


def word_accuracy(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Return the share of words whose tag is right, in [0, 1]; every word counts alike.

    Args:
        gold: Tags of the words of each sentence.
        predicted: As many.

    Raises:
        ValueError: The two do not fit, or there is no word.
    """
    _check(gold, predicted)
    words = sum(len(sentence) for sentence in gold)
    if not words:
        raise ValueError(f"{len(gold)} sentences have no word: give some")
    pairs = zip(gold, predicted, strict=True)
    return sum(a == b for true, told in pairs for a, b in zip(true, told, strict=True)) / words


def _all_entities(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[set[tuple[int, str, int, int]], set[tuple[int, str, int, int]]]:
    """Return the entities of both sides, each with the number of its sentence."""
    _check(gold, predicted)
    true, found = (
        {(i, *entity) for i, tags in enumerate(side) for entity in entities(tags)}
        for side in (gold, predicted)
    )
    return true, found


def _is_tag(tag: str) -> bool:
    return tag == "O" or (tag[:1] in LETTERS and tag[1:2] in ("", "-"))


def _parse(tag: str) -> tuple[str, str]:
    """Return the letter of a tag, as BIOES has it, and its type."""
    if not _is_tag(tag):
        raise ValueError(
            f"{tag!r} is no tag of a span: take O, or one of B, I, E, S, L, U, a hyphen and a type"
        )
    return OUTSIDE if tag == "O" else (LETTERS[tag[0]], tag[2:] or "_")


def _is_iob2(tags: Sequence[str]) -> bool:
    """Tell whether a B stands where the word before is in no entity of its type."""
    last = OUTSIDE
    for letter, kind in map(_parse, tags):
        if letter == "B" and (last[0] == "O" or last[1] != kind):
            return True
        last = letter, kind
    return False


def _check(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    if len(gold) != len(predicted) or not len(gold):
        raise ValueError(
            f"{len(gold)} gold sentences and {len(predicted)} predicted ones do not fit: give as many, "
            "and one at least"
        )
    for i, (true, told) in enumerate(zip(gold, predicted, strict=True)):
        if len(true) != len(told):
            raise ValueError(
                f"sentence {i} has {len(true)} words and {len(told)} predictions: give each word one"
            )
