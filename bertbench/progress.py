"""The state of a training in, one file that verifies itself out, and back: how training resumes.

Order, masks and dropout of a step are functions of the seed and the step's number, so weights,
optimizer and what was spent are the whole state. A file's name holds the sha256 of its bytes; it is
written beside, synced, then renamed, so that the newest whole state survives whatever happens.
"""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from bertbench import interrupt
from bertbench.budget import Spent
from bertbench.types import Log

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
SHARE = 0.01  # of the time, at most, goes into saving: a large model is saved less often
Numbers = dict[str, Any]


class Checkpoints(NamedTuple):
    """Where a training keeps its state, and how often."""

    folder: Path | None = None  # None: nowhere
    every: float | None = None  # seconds; None: only when it is interrupted
    flush: Callable[[], None] = lambda: None  # called before a save: what was logged is kept first

    def below(self, name: str) -> "Checkpoints":
        """Return the place of one part of the training."""
        return self._replace(folder=self.folder / name if self.folder is not None else None)


class Stateful(Protocol):
    """Something that a training carries beside weights and optimizer."""

    def state(self) -> tuple[dict[str, Tensor], Numbers]:
        """Return tensors and JSON values."""
        ...

    def restore(self, tensors: dict[str, Tensor], numbers: Numbers) -> None:
        """Take back what `state` returned."""
        ...


class History:
    """A log that remembers what it was given, across interruptions.

    Args:
        log: Receives everything too.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.lines: list[tuple[int, dict[str, float]]] = []  # step, metrics

    def __call__(self, values: dict[str, float], step: int) -> None:
        """See `types.Log`."""
        self.lines.append((step, values))
        self.log(values, step)

    def state(self) -> tuple[dict[str, Tensor], Numbers]:
        """See `Stateful`."""
        return {}, {"lines": self.lines}

    def restore(self, tensors: dict[str, Tensor], numbers: Numbers) -> None:  # noqa: ARG002
        """See `Stateful`; the log hears the lines again, and leaves out what it has."""
        self.lines = [(step, values) for step, values in numbers["lines"]]
        for step, values in self.lines:
            self.log(values, step)


class Progress:
    """Saves and restores one training.

    Args:
        place: Where and how often.
        module: Trained in place.
        optimizer: Of `module`.
        extra: What else the training carries.
    """

    def __init__(
        self,
        place: Checkpoints,
        module: nn.Module,
        optimizer: Optimizer,
        extra: Stateful | None = None,
    ) -> None:
        self.place, self.module, self.optimizer, self.extra = place, module, optimizer, extra
        self._saved, self._cost = time.monotonic(), 0.0

    def restore(self) -> Spent:
        """Take back the newest whole state, if one is kept; return what was spent until then."""
        for path in self._files():
            found = _read(path)
            if found is None or not self._fits(found[0]):
                what = "is damaged" if found is None else "is of another training"
                logger.warning("%s %s and is not used", path, what)
                path.unlink()
                continue
            tensors, numbers = found
            self._take(tensors, numbers)
            logger.info("going on after step %d", numbers["spent"][0])
            return Spent(*numbers["spent"])
        return Spent(0, 0, 0.0)  # from the beginning

    def after_step(self, spent: Spent, *, last: bool) -> None:
        """Save when it is time.

        Raises:
            KeyboardInterrupt: Somebody asked to stop; the state is saved.
        """
        stop = interrupt.requested() and not last
        if stop or self._due():
            self._save(spent)
        if stop:
            raise KeyboardInterrupt

    def _due(self) -> bool:
        if self.place.every is None:
            return False
        return time.monotonic() - self._saved >= max(self.place.every, self._cost / SHARE)

    def _save(self, spent: Spent) -> None:
        if self.place.folder is None:
            return
        self.place.flush()
        started = time.monotonic()
        tensors, numbers = self._state()
        data = save(tensors, {"numbers": json.dumps(numbers | {"spent": list(spent)})})
        name = f"{int(spent.steps):012d}-{hashlib.sha256(data).hexdigest()[:32]}{SUFFIX}"
        older = self._files()
        try:
            _write(self.place.folder, name, data)
            for path in older[1:]:  # the one before stays, in case this one is damaged
                path.unlink(missing_ok=True)
        except OSError as error:  # such as a full disk: the older state stays
            logger.warning("the state of step %d is not saved: %s", spent.steps, error)
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def _files(self) -> list[Path]:
        """Return the kept states, newest first."""
        if self.place.folder is None or not self.place.folder.is_dir():
            return []
        return sorted(self.place.folder.glob(f"*{SUFFIX}"), reverse=True)

    def _state(self) -> tuple[dict[str, Tensor], Numbers]:
        tensors = {f"module/{name}": p.detach() for name, p in _parameters(self.module)}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
        numbers: Numbers = {}
        if self.extra is not None:
            more, numbers["extra"] = self.extra.state()
            tensors |= {f"extra/{name}": value for name, value in more.items()}
        return {name: value.cpu().contiguous() for name, value in tensors.items()}, numbers

    def _fits(self, tensors: dict[str, Tensor]) -> bool:
        """Tell whether a state has this module's parameters: another version may name them otherwise."""
        shapes = {name: t.shape for name, t in tensors.items() if name.startswith("module/")}
        return shapes == {f"module/{name}": p.shape for name, p in _parameters(self.module)}

    @torch.no_grad()
    def _take(self, tensors: dict[str, Tensor], numbers: Numbers) -> None:
        for name, parameter in _parameters(self.module):
            parameter.copy_(tensors[f"module/{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        extra: dict[str, Tensor] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer":
                index, _, key = rest.partition("/")
                state.setdefault(int(index), {})[key] = value
            elif kind == "extra":
                extra[rest] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        if self.extra is not None:
            self.extra.restore(extra, numbers["extra"])


def _parameters(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Return parameters and kept buffers; shared ones once."""
    buffers = {name for name, _ in module.named_buffers()} & module.state_dict().keys()
    kept = [(name, b) for name, b in module.named_buffers() if name in buffers]
    return [*((name, p) for name, p in module.named_parameters()), *kept]


def _read(path: Path) -> tuple[dict[str, Tensor], Numbers] | None:
    """Return what a file holds, or None if it is not what was written."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest()[:32] != path.stem.partition("-")[2]:
        return None
    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        return load(data), json.loads(header["__metadata__"]["numbers"])
    except (SafetensorError, ValueError, KeyError):
        return None


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / f".{name}.part"
    try:
        with work.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        work.replace(folder / name)
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    finally:
        with contextlib.suppress(OSError):
            work.unlink(missing_ok=True)
