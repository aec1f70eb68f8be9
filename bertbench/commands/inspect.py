"""`inspect`: texts and overrides in, what an encoder's tokenizer, masks or pretraining make of them out."""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import NoReturn

from bertbench.budget import Budget
from bertbench.config import Plain, RunConfig, build, conf_dir
from bertbench.errors import UserError, nearest
from bertbench.inspection.columns import visible
from bertbench.inspection.prompts import check_prompt
from bertbench.inspection.subjects import check_encoder, find

SETTING = re.compile(r"(~|\+\+?)?([\w./@]+)(=.*)?", re.DOTALL)
NARROW, SCREEN = (
    40,
    (80, 24),
)  # the least width that is used; a terminal that does not tell its size

COMMON = """
OVERRIDES are settings as for a run, such as masking=static, scale=tiny, weights=released or corpus=files
corpus.path=...; a word is one if it begins with KEY= and KEY is a setting or near to one. What stands
behind -- is text, whatever it looks like. Nothing is pretrained and nothing fetched; a tokenizer or a
packed corpus that is not in the store is made and kept there, as by a run.
"""
ABOUT = {
    "pairs": """What a tokenizer makes of one text or two: tokens, ids, segments, words, and what is cut.

--json: {"inspect": "pairs", "texts", "models": [{"model", "entries" (of the vocabulary), "length",
"tokens", "ids", "segment_ids" (null where the family has none), "special", "starts" (a word begins),
"text_of" (0, 1 or null), "source" (the characters, or null), "unknown" (positions), "total" and "lost"
(tokens of each text), "cut" (the characters)}]}""",
    "mask": """What an encoder puts in the place of each [MASK], seeing both sides or one alone.

--json: {"inspect": "mask", "text", "models": [{"model", "weights", "tokens", "ids", "masks":
[{"position", "full", "left", "right": [{"token", "id", "probability"}]}]}]}""",
    "batch": """What pretraining reads: the first rows of the packed corpus, masked as in each epoch.

--json: {"inspect": "batch", "models": [{"model", "available" (rows), "length", "masking", "packing",
"rows": [{"sequence", "tokens", "ids", "segment_ids" (null where the family has none), "second" (where
that segment begins, or null), "related" ("follows", "does not follow" or null), "epochs": [{"epoch",
"tokens", "ids", "fates" ("hidden", "swapped", "kept" or "")}]}], "epochs": [{"epoch", "spent" (share
of the budget), "maskable", "picked", "hidden", "swapped", "kept"}], "shared": [{"epochs", "picked",
"both", "same"}]}]}""",
}
TAKES = {  # and how many
    "pairs": ("one text or two", 1, 2),
    "mask": ("one text", 1),
    "batch": ("settings and no text", 0),
}
USAGE = f"inspect needs to be told what: {', '.join(ABOUT)} (python -m bertbench inspect --help)"


def main(arguments: list[str]) -> int:
    """Look at what `arguments` name; return the exit code.

    Raises:
        UserError: What is asked for cannot be shown.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print("\n\n".join(_parser(kind).format_help() for kind in ABOUT))
        return 0
    if not arguments or arguments[0] not in ABOUT:
        near = nearest(arguments[0], ABOUT) if arguments else ""
        raise UserError(f"{f'{arguments[0]!r} is unknown{near}: ' if arguments else ''}{USAGE}")
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched: read when transformers is imported
    kind, rest = arguments[0], arguments[1:]
    behind = rest.index("--") if "--" in rest else len(rest)
    given = _parser(kind).parse_intermixed_args(rest[:behind])
    overrides = [word for word in given.words if is_override(word)]
    texts = [word for word in given.words if word not in overrides] + rest[behind + 1 :]
    texts = [text.encode(errors="surrogateescape").decode(errors="replace") for text in texts]
    _check_texts(kind, texts)
    chosen = [word for word in overrides if word.startswith("model=")]
    if given.model is not None and chosen:
        raise UserError(f"--model {given.model} and {chosen[0]} both choose the model: give one")
    models = given.model or (chosen[-1].removeprefix("model=") if chosen else None)
    names = models.split(",") if models is not None else [None]
    others = [word for word in overrides if word not in chosen]
    found = {"inspect": kind} | LOOKS[kind](given, texts, names, others)
    print(json.dumps(found, indent=1) if given.json else _text(kind, found))
    return 0


def is_override(word: str) -> bool:
    """Tell a setting from a text: it begins with KEY=, ~KEY or +KEY=, and KEY is, or is meant to be, one."""
    if not (found := SETTING.fullmatch(word)) or not (found[1] or found[3]):
        return False
    top = re.split(r"[./@]", found[2])[0]
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    known = groups | {field.name for field in fields(RunConfig)}
    misspelt = bool(found[3]) and len(word.split()) == 1 and bool(nearest(top, known))
    return top in known or misspelt


def _pairs(
    given: argparse.Namespace, texts: list[str], names: list[str | None], overrides: list[str]
) -> Plain:
    chosen = [find(name, overrides) for name in names]  # before what is slow to import
    from bertbench import tokenizer as tokenizers
    from bertbench.inspection import provision
    from bertbench.inspection.pairs import look_at_pair

    models = []
    for subject in chosen:
        tokenizer = provision.tokenizer_of(subject, _say)
        vocabulary = tokenizers.vocabulary(tokenizer)
        config = provision.configuration(subject, vocabulary)
        length = given.length or subject.values["task"]["max_length"]
        seen = look_at_pair(tokenizer, texts, length=length, segments=_segments(config))
        models.append({"model": subject.name, "entries": vocabulary.size, "length": length} | seen)
    return {"texts": texts, "models": models}


def _mask(
    given: argparse.Namespace, texts: list[str], names: list[str | None], overrides: list[str]
) -> Plain:
    check_prompt(texts[0])
    chosen = [find(name, overrides) for name in names]
    for subject in chosen:
        check_encoder(subject)
    from bertbench.inspection import provision
    from bertbench.inspection.masks import look_at_masks
    from bertbench.runtime import compute

    models = []
    for subject in chosen:
        model, tokenizer, weights = provision.encoder_of(subject, _say)
        where = compute(*(subject.values["runtime"][name] for name in ("device", "threads")))
        seen = look_at_masks(model, tokenizer, texts[0], top=given.top, compute=where)
        models.append({"model": subject.name, "weights": weights} | seen)
    return {"text": texts[0], "models": models}


def _batch(
    given: argparse.Namespace, _texts: list[str], names: list[str | None], overrides: list[str]
) -> Plain:
    chosen = [find(name, overrides, pretraining=True) for name in names]
    from bertbench import tokenizer as tokenizers
    from bertbench.inspection import provision
    from bertbench.inspection.batches import look_at_rows, spent_at_epochs

    models = []
    for subject in chosen:
        settings = subject.values["pretrain"]
        tokenizer = provision.tokenizer_of(subject, _say)
        vocabulary = tokenizers.vocabulary(tokenizer)
        masking = build(subject.values["masking"], vocabulary=vocabulary, seed=settings["seed"])
        rows = provision.rows_of(subject, tokenizer, vocabulary, _say)
        budget = Budget(settings["steps"], settings["tokens"], settings["seconds"])
        size = settings["batch_size"]
        config = provision.configuration(subject, vocabulary)
        seen = look_at_rows(
            rows,
            masking,
            tokenizer,
            vocabulary,
            count=given.rows,
            spent=spent_at_epochs(rows, vocabulary, budget, batch_size=size, epochs=given.epochs),
            segments=_segments(config),
        )
        about = {"model": subject.name, "available": len(rows.ids), "length": settings["length"]}
        recipe = {part: _named(subject.values[part]) for part in ("masking", "packing")}
        models.append(about | recipe | seen)
    return {"models": models}


LOOKS: dict[str, Callable[..., Plain]] = {"pairs": _pairs, "mask": _mask, "batch": _batch}


def _segments(config: object) -> bool:
    return getattr(config, "type_vocab_size", 1) > 1


def _named(settings: Plain) -> Plain:
    """Return settings with the name of what they are for in place of its whole path."""
    others = {name: value for name, value in settings.items() if name != "_target_"}
    return {"rule": settings["_target_"].rpartition(".")[2]} | others


def _check_texts(kind: str, texts: list[str]) -> None:
    some, *allowed = TAKES[kind]
    if len(texts) not in allowed:
        shown = f" ({', '.join(map(repr, texts))})" if texts else ""
        raise UserError(
            f"inspect {kind} takes {some}, not {len(texts) or 'none'}{shown:.200}: put quotes around each "
            f"text (python -m bertbench inspect {kind} --help)"
        )
    for text in texts:
        if not text.strip():
            raise UserError(f"the text {text!r} is empty: give one with words in it")


def _text(kind: str, found: Plain) -> str:
    from bertbench.inspection import show

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = max(shutil.get_terminal_size(SCREEN).columns, NARROW)
    text: str = getattr(show, kind)(found, width=width, colour=colour)
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """See argparse."""
        raise UserError(f"{visible(message)} (see {self.prog} --help)")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)


def _parser(kind: str) -> argparse.ArgumentParser:
    about, _, keys = ABOUT[kind].partition("\n\n")
    parser = _Parser(
        prog=f"python -m bertbench inspect {kind}",
        description=about,
        epilog=f"{keys}\n{COMMON}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words = {"pairs": "TEXT [TEXT] [OVERRIDES]", "mask": "TEXT [OVERRIDES]", "batch": "OVERRIDES"}
    parser.add_argument("words", nargs="*", metavar=words[kind], help=argparse.SUPPRESS)
    parser.add_argument("--model", metavar="A,B", help="options of the group model")
    parser.add_argument("--json", action="store_true", help="one JSON document, see below")
    if kind == "pairs":
        told = "the most tokens; task.max_length by default"
        parser.add_argument("--length", type=_positive, metavar="N", help=told)
    elif kind == "mask":
        told = "predictions of each mask; 5 by default"
        parser.add_argument("--top", type=_positive, default=5, metavar="N", help=told)
    else:
        for name, default in (("rows", 4), ("epochs", 2)):
            told = f"how many are shown; {default} by default"
            parser.add_argument(
                f"--{name}", type=_positive, default=default, metavar="N", help=told
            )
    return parser
