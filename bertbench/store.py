"""A folder of expensive things, each under the hash of what made it.

An entry is written to a temporary folder, its files are hashed into a manifest, and one rename
makes it visible: there is never half an entry. Processes that need the same entry take turns under
a file lock, so it is made once; the lock of a process that died falls open by itself.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from bertbench.errors import UserError
from bertbench.records import fingerprint

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"


class Store:
    """Content-addressed entries below one root.

    Args:
        root: Folder; made on first use.

    Raises:
        UserError: `root` cannot be made or is no folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
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
        with self.lock(f"{kind}-{key}"):
            if final.exists():
                problem = _damage(final)
                if problem is None:
                    return final
                aside = Path(tempfile.mkdtemp(prefix=f"{key}.damaged-", dir=final.parent))
                log.warning(
                    "store: %s of %s; set aside in %s and made again", problem, final, aside
                )
                final.replace(aside / key)
            final.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=final.parent))
            try:
                make(work)
                _seal(work, recipe)
                work.replace(final)
                _sync(final.parent)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return final

    def lock(self, name: str) -> FileLock:
        """Return the lock of that name among all processes that use this store."""
        return FileLock(self.root / "locks" / f"{name}.lock")


def _seal(folder: Path, recipe: dict[str, Any]) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    hashes = {p.relative_to(folder).as_posix(): _sha256(p) for p in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"recipe": recipe, "sha256": hashes}, indent=1, sort_keys=True))
    for path in (*files, manifest):
        _sync(path)
    _sync(folder)


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
        if _sha256(path) != expected:
            return f"wrong checksum of {name}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
