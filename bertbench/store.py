"""A folder of expensive things, each under the hash of what made it.

An entry is written to a temporary folder, its files are hashed into a manifest, and one rename
makes it visible: there is never half an entry. Processes that need the same entry take turns under
a lock, so it is made once. No path in it is absolute: the folder may be moved.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bertbench.errors import UserError
from bertbench.locks import held, locked
from bertbench.records import fingerprint, sha256

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DAMAGED, WORK = ".damaged-", ".work-"
RUNS, LOCKS, PARTIAL, USES = "runs", "locks", "partial", "uses"
LONGEST_TITLE = 200  # characters of a user's title that are kept


class Stored(NamedTuple):
    """One entry, as `python -m bertbench store` lists it."""

    kind: str
    key: str
    folder: Path
    size: int  # bytes
    made: float  # seconds since 1970
    used: float  # the last time
    users: list[str]  # titles of runs


class Store:
    """Content-addressed entries below one root.

    Args:
        root: Folder; made on first use.
        user: Title of the run on whose behalf entries are asked for, so that a listing can name it.
        run: Name of the lock that the run holds while it may read them.

    Raises:
        UserError: `root` cannot be made or is no folder.
    """

    def __init__(self, root: Path, user: str = "", run: str = "") -> None:
        self.root, self.user, self.run = root.absolute(), user, run
        try:
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"runtime.store={root} cannot be used as a folder ({error.strerror}); name another"
            ) from error

    def entry(self, kind: str, recipe: dict[str, Any], make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry; make it first if it is missing or damaged.

        Args:
            kind: Sort of thing, such as `encoder`; also the folder's name.
            recipe: All that decides the content. Its hash is the entry's name.
            make: Writes the content into the empty folder that it is given.
        """
        key = fingerprint(recipe)[:20]
        final = self.root / kind / key
        with self.lock(f"{kind}-{key}", doing=f"making {kind} {key} for {self.user or 'a run'}"):
            if not (final.exists() and self._whole(final)):
                self._make(final, recipe, make)
            shutil.rmtree(self.partial(kind, recipe), ignore_errors=True)
            self._note_use(kind, key)
        return final

    def peek(self, kind: str, recipe: dict[str, Any]) -> Path | None:
        """Return the folder of an entry if it is there, whole or damaged."""
        folder = self.root / kind / fingerprint(recipe)[:20]
        return folder if (folder / MANIFEST).is_file() else None

    def has(self, kind: str, recipe: dict[str, Any]) -> bool:
        """Tell whether an entry is there, whole or damaged."""
        return self.peek(kind, recipe) is not None

    def partial(self, kind: str, recipe: dict[str, Any]) -> Path:
        """Return the folder for the state of an entry that is being made; gone when it is made."""
        return self.root / PARTIAL / f"{kind}-{fingerprint(recipe)[:20]}"

    def lock(self, name: str, *, doing: str) -> contextlib.AbstractContextManager[None]:
        """Return the lock of that name among all processes that use this store."""
        return locked(self.root / LOCKS, name, doing=doing)

    def _whole(self, final: Path) -> bool:
        """Tell whether an entry is what was written; set a damaged one aside."""
        problem = _damage(final)
        if problem is None:
            return True
        aside = Path(tempfile.mkdtemp(prefix=f"{final.name}{DAMAGED}", dir=final.parent))
        log.warning("store: %s of %s; set aside in %s and made again", problem, final, aside)
        final.replace(aside / final.name)
        return False

    def _make(self, final: Path, recipe: dict[str, Any], make: Callable[[Path], None]) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        for left in final.parent.glob(f"{WORK}{final.name}-*"):  # of a process that died here
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f"{WORK}{final.name}-", dir=final.parent))
        try:
            make(work)
            _seal(work, recipe)
            work.replace(final)
            sync(final.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _note_use(self, kind: str, key: str) -> None:
        """Remember who used an entry: one file a user, whose time is that of the last use."""
        folder = self.root / USES / f"{kind}-{key}"
        name = self.run or hashlib.sha256(self.user.encode()).hexdigest()[:16]
        with contextlib.suppress(OSError):  # a convenience: no reason to lose a run
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(self.user[:LONGEST_TITLE], encoding="utf-8")

    def entries(self) -> list[Stored]:
        """Return all entries, the largest kind of thing first and the newest use last."""
        found = []
        for manifest in self.root.glob(f"*/*/{MANIFEST}"):
            if "." not in manifest.parent.name:  # which are work and damaged entries
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found.append(self._stored(manifest.parent))
        return sorted(found, key=lambda e: (e.kind, e.used, e.key))

    def _stored(self, folder: Path) -> Stored:
        kind, key = folder.parent.name, folder.name
        made = (folder / MANIFEST).stat().st_mtime
        uses = sorted((self.root / USES / f"{kind}-{key}").glob("*"))
        users = sorted({title for use in uses if (title := use.read_text(encoding="utf-8"))})
        used = max([made, *(use.stat().st_mtime for use in uses)])
        return Stored(kind, key, folder, size_of(folder), made, used, users)

    def leftovers(self) -> list[Path]:
        """Return what no process needs: damaged entries, and work of processes that died.

        The state of an interrupted training is none: it is needed to go on.
        """
        damaged = [p for p in self.root.glob(f"*/*{DAMAGED}*") if p.is_dir()]
        work = []
        for path in self.root.glob(f"*/{WORK}*"):
            key = path.name.removeprefix(WORK).partition("-")[0]
            if not held(self.root / LOCKS, f"{path.parent.name}-{key}"):
                work.append(path)
        journals = (  # half made, or half removed
            path
            for path in (self.root / RUNS).glob(".*")
            if not held(self.root / LOCKS, f"run-{path.name.split('.')[1]}")
        )
        return sorted([*damaged, *work, *journals])

    def in_use(self, stored: Stored) -> bool:
        """Tell whether a process makes the entry, or a run that has asked for it is under way."""
        name = f"{stored.kind}-{stored.key}"
        users = (use.name for use in (self.root / USES / name).glob("*"))
        return any(held(self.root / LOCKS, lock) for lock in (name, *users))

    def remove(self, stored: Stored) -> bool:
        """Remove an entry unless a process is at it; tell whether it is gone."""
        if self.in_use(stored):
            return False
        with self.lock(f"{stored.kind}-{stored.key}", doing=f"removing {stored.kind}"):
            doomed = stored.folder.with_name(f"{WORK}{stored.key}-removed")
            with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
                stored.folder.replace(doomed)  # in one step: never half an entry
            shutil.rmtree(doomed, ignore_errors=True)
            shutil.rmtree(self.root / USES / f"{stored.kind}-{stored.key}", ignore_errors=True)
        return True

    def clear(self, leftover: Path) -> None:
        """Remove one of `leftovers`."""
        shutil.rmtree(leftover, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def choose_unused(
    entries: list[Stored], *, older_than: float | None, max_size: int | None, now: float
) -> list[Stored]:
    """Return which entries to remove, those first whose last use is longest ago.

    Args:
        entries: Of a store.
        older_than: Seconds since the last use from which an entry goes; None: no limit of age.
        max_size: Bytes that all entries together may have; None: no limit of size.
        now: Seconds since 1970.
    """
    by_use = sorted(entries, key=lambda e: (e.used, e.kind, e.key))
    old = [e for e in by_use if older_than is not None and now - e.used >= older_than]
    chosen = {e.folder: e for e in old}
    size = sum(e.size for e in entries if e.folder not in chosen)
    for stored in by_use:
        if max_size is None or size <= max_size:
            break
        if stored.folder not in chosen:
            chosen[stored.folder] = stored
            size -= stored.size
    return list(chosen.values())


def _seal(folder: Path, recipe: dict[str, Any]) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    hashes = {p.relative_to(folder).as_posix(): sha256(p) for p in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"recipe": recipe, "sha256": hashes}, indent=1, sort_keys=True))
    for path in (*files, manifest):
        sync(path)
    sync(folder)


def _damage(folder: Path) -> str | None:
    """Say what is wrong with an entry, or None."""
    try:
        hashes = dict(json.loads((folder / MANIFEST).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable manifest"
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file():
            return f"missing file {name}"
        if sha256(path) != expected:
            return f"wrong checksum of {name}"
    return None


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
