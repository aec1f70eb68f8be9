"""`store`: the folder of expensive things in, a table of them out; `store prune` removes the unused."""

import argparse
import re
import time
from pathlib import Path

from bertbench.errors import UserError
from bertbench.locks import held
from bertbench.store import LOCKS, Store, Stored, choose_unused, size_of

SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SHOWN_USERS = 2


def main(arguments: list[str]) -> int:
    """List or prune as `arguments` ask for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bertbench store",
        description=__doc__,
        epilog="An entry that a process is using is never removed; a removed one is made again when needed.",
    )
    parser.add_argument("action", nargs="?", choices=["list", "prune"], default="list")
    parser.add_argument("--store", default=".bertbench", help="the folder")
    parser.add_argument("--older-than", metavar="AGE", help="last used so long ago: 12h, 30d, 8w")
    parser.add_argument("--max-size", metavar="SIZE", help="remove the longest unused down to: 2G")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, remove nothing")
    given = parser.parse_args(arguments)
    if not Path(given.store).is_dir():
        raise UserError(f"--store {given.store} is no folder here")
    store = Store(Path(given.store))
    if given.action == "list":
        print(table(store.entries(), now=time.time()))
        return 0
    age, size = _age(given.older_than), _size(given.max_size)
    if age is None and size is None:
        raise UserError(
            "store prune needs a limit: --older-than 30d, --max-size 2G, or both (store lists what is there)"
        )
    print(prune(store, older_than=age, max_size=size, dry=given.dry_run))
    return 0


def table(entries: list[Stored], *, now: float) -> str:
    """Return a line an entry: kind, key, size, age, last use, and by whom."""
    lines = [f"{'kind':10} {'key':20} {'size':>8} {'made':>8} {'used':>8}  by"]
    for entry in entries:
        users = "; ".join(entry.users[:SHOWN_USERS]) or "nobody known"
        more = len(entry.users) - SHOWN_USERS
        lines.append(
            f"{entry.kind:10} {entry.key:20} {_bytes(entry.size):>8} {_ago(now - entry.made):>8} "
            f"{_ago(now - entry.used):>8}  {users}{f' and {more} more' if more > 0 else ''}"
        )
    total = sum(entry.size for entry in entries)
    return "\n".join([*lines, f"{len(entries)} entries, {_bytes(total)}"])


def prune(store: Store, *, older_than: float | None, max_size: int | None, dry: bool) -> str:
    """Remove what is unused, and what dead processes left; return what went.

    Args:
        store: To prune.
        older_than: Seconds since the last use.
        max_size: Bytes that may stay.
        dry: Remove nothing.
    """
    unused = choose_unused(
        store.entries(), older_than=older_than, max_size=max_size, now=time.time()
    )
    lines = []
    for entry in unused:
        busy = held(store.root / LOCKS, f"{entry.kind}-{entry.key}")
        gone = not busy and (dry or store.remove(entry))
        word = ("would remove" if dry else "removed") if gone else "in use, stays:"
        lines.append(f"{word} {entry.kind} {entry.key} ({_bytes(entry.size)})")
    for folder in store.leftovers():
        size = _bytes(size_of(folder))
        if not dry:
            store.clear(folder)
        lines.append(f"{'would remove' if dry else 'removed'} leftover {folder.name} ({size})")
    return "\n".join(lines) or "nothing to remove"


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    if not (found := re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text)):
        raise UserError(f"--older-than {text} is no age: a number and m, h, d or w, such as 30d")
    return float(found[1]) * SECONDS[found[2]]


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    if not (found := re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT])", text)):
        raise UserError(f"--max-size {text} is no size: a number and K, M, G or T, such as 2G")
    return int(float(found[1]) * BYTES[found[2]])


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in BYTES:
        if size < 1000:
            break
        size, unit = size / 1024, larger
    return f"{size:.1f} {unit}" if unit != "B" else f"{count} B"


def _ago(seconds: float) -> str:
    for unit, length in reversed(SECONDS.items()):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit} ago"
    return "now"
