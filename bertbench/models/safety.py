"""A checkpoint folder in, the same folder out: it stays within itself and brings no code.

transformers opens what a folder's links, shard index and configuration name, wherever that is, and some
settings make it fetch and run code. They are refused here, before anything else of the folder is read;
neither torch nor transformers is imported. (What each refused setting does was read in 5.23.)
"""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from bertbench.errors import UserError

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
SETTINGS = (
    CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
)  # each can set any argument
OTHERS = ("generation_config.json", "tokenizer.json", "vocab.json", "added_tokens.json", INDEX)

LIMIT = 64 * 2**20  # bytes; tokenizer.json of the largest multilingual vocabularies has 35 MB
CONFIG_LIMIT = 2**20  # bytes; a configuration has a few KB
HEADER_LIMIT = 16 * 2**20  # bytes; the header of BERT base has 25 KB

DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")

# Settings that no encoder of this package needs, and what they do.
REFUSED = {
    "auto_map": "names code to run",
    "quantization_config": "can fetch code to run",
    "transformers_weights": "names other weights, perhaps a pickle",
    "configuration_files": "names other configurations",
    "init_inputs": "can name files anywhere",
    "gguf_file": "can name files anywhere",
    "mecab_option": "can name files anywhere",
}
KERNELS = re.compile(r"_?(attn|experts)_implementation(_internal)?")
TOKENIZER = re.compile(r"(?!Auto)\w*Tokenizer(Fast)?|\w+Backend")
# A tokenizer opens what these name, seen from the working folder.
FILES = re.compile(r"vocab|merges|\w+_(file|files|path|dir)")
# Left behind by older versions, often absolute, and opened by none.
STALE = {"special_tokens_map_file", "name_or_path", "_name_or_path"}


def checked(folder: Path) -> Path:
    """Return `folder` if it can be read without leaving it.

    Raises:
        UserError: Names the file, what is wrong in it, and what to do.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} has no {CONFIG}: name the folder of a model in transformers' format"
        )
    _check_links(folder)
    if (folder / "adapter_config.json").exists():
        raise UserError(
            f"{folder} holds an adapter, not a model: merge it into its model and save that"
        )
    for name in SETTINGS:
        for place, key, value in _walk(_read(folder / name)):
            fault = _fault(folder, name, key, value)
            if fault:
                raise UserError(
                    f"{folder / name} sets {place}={value!r:.60}, which {fault}: remove it there, or take "
                    "another checkpoint"
                )
    for name in OTHERS:
        _read(folder / name)
    _check_weights(folder)
    return folder


def _check_links(folder: Path) -> None:
    """Refuse links out of the folder, and what is no file; the hub's cache links to its own blobs."""
    inside = [folder.resolve()]
    if inside[0].parent.name == "snapshots":
        inside.append(inside[0].parents[1] / "blobs")
    for path in folder.rglob("*"):
        if path.is_symlink() and not any(_target(path).is_relative_to(root) for root in inside):
            raise UserError(
                f"{path} is a link out of its folder, to {path.readlink()}: replace it by what it links to"
            )
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{path} is neither a file nor a folder: remove it")


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except RuntimeError:  # a loop, which leads nowhere
        return Path("/")


def _read(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, empty where there is no file."""
    if not path.exists():
        return {}
    limit = CONFIG_LIMIT if path.name == CONFIG else LIMIT
    if path.stat().st_size > limit:
        raise UserError(
            f"{path} has more than {limit // 2**20} MiB, too much for its kind: download or save it again"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{path} is no JSON object: download or save it again")
    return value


def _walk(tree: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the dotted name, the last part of it, and the value of each setting at any depth."""
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        place, node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            name = f"{place}.{key}" if place else str(key)
            yield name, str(key), value
            if isinstance(value, dict | list):
                waiting.append((name, value))


def _fault(folder: Path, file: str, key: str, value: Any) -> str | None:
    """Return what is wrong with a setting of `file`, or None."""
    if not value:
        return None
    if key in REFUSED:
        return REFUSED[key]
    if KERNELS.fullmatch(key) and "/" in json.dumps(value):
        return "fetches code to run"
    if key == "tokenizer_class" and not TOKENIZER.fullmatch(str(value)):
        return "is no tokenizer"
    if key == "chat_template" and not isinstance(value, str):
        return "can name files anywhere"  # each named template is saved under its name
    names = [
        name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)
    ]
    if file == CONFIG:  # from which no file is opened today
        wrong = key.endswith("_file") and any(_leads_out(name) for name in names)
    else:
        named = FILES.fullmatch(key) and key not in STALE
        wrong = named and not all(_is_inside(folder, name) for name in names)
    return "is no file in that folder" if wrong else None


def _is_inside(folder: Path, name: str) -> bool:
    return not _leads_out(name) and (folder / name).is_file()


def _leads_out(name: str) -> bool:
    path = PureWindowsPath(name)  # takes both kinds of slashes
    return bool(path.anchor) or ".." in path.parts or name.startswith("~")


def _check_weights(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    index = _read(folder / INDEX)
    if index:
        shards = index.get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise UserError(f"{folder / INDEX} has no weight_map: download or save it again")
        for shard in sorted({str(name) for name in shards.values()}):
            flat = "/" not in shard and _is_inside(folder, shard)  # or `identity` would miss it
            if not (flat and shard.endswith(".safetensors")):
                raise UserError(
                    f"{folder / INDEX} names {shard!r:.60}, which is no .safetensors file of this folder: "
                    "download or save it again"
                )
            files.append(folder / shard)
    elif files and folder / WEIGHTS not in files:
        raise UserError(
            f"{folder} has neither {WEIGHTS} nor {INDEX}, but {files[0].name}: save the model again"
        )
    for file in dict.fromkeys(files):
        if DISTRIBUTED.fullmatch(file.name):
            raise UserError(
                f"{file} is a part of a distributed training, read before {WEIGHTS}: save the model whole"
            )
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    """Check that the header can be read and says how long the file is.

    Format: https://github.com/huggingface/safetensors#format (8 bytes with the length of the header,
    the header in JSON, the numbers).
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(HEADER_LIMIT, size - 8):
                raise ValueError("the header is longer than the file, or than any")
            header = json.loads(stream.read(length).decode("utf-8"))
        ends = [0]
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                if not 0 <= begin <= end:
                    raise ValueError(f"the place of {name} is none")
                ends.append(end)
        if max(ends) != size - 8 - length:
            raise ValueError(f"{size} bytes, but its header says {max(ends) + 8 + length}")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        struct.error,
        RecursionError,
    ) as error:
        raise UserError(
            f"{file} is damaged or no safetensors ({error}): download or save it again"
        ) from error
