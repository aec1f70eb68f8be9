"""Randomness, device and precision: each chosen once, here.

Every draw comes from a generator made for one purpose from one seed, so that adding a draw in one
place moves no other. The draws of a step are a function of (seed, purpose, step), never of the
steps before it.
"""

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch

from bertbench.errors import UserError

PACKAGES = ("bertbench", "torch", "transformers", "tokenizers", "scikit-learn", "numpy", "mlflow")


def derive(seed: int, *purpose: object) -> int:
    """Return a 63-bit seed for one purpose: a hash, so that near seeds give unrelated draws."""
    digest = hashlib.sha256("/".join(map(str, (seed, *purpose))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: object) -> np.random.Generator:
    """Return numpy's counter-based generator (Philox) for one purpose."""
    return np.random.Generator(np.random.Philox(key=derive(seed, *purpose)))


@contextlib.contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """Seed torch's global generators inside the block (weights, dropout); leave them as they were."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, *purpose))
        yield


@dataclass(frozen=True)
class Compute:
    """Where tensors live and in which precision they are multiplied.

    Attributes:
        device: torch device.
        autocast_dtype: bfloat16 on CUDA, None (float32 throughout) on the CPU, where bfloat16 is
            emulated on many processors and a hundred times slower.
    """

    device: torch.device
    autocast_dtype: torch.dtype | None

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)

    def __str__(self) -> str:
        """Name the device, and the precision of matrix products on it."""
        precision = "float32" if self.autocast_dtype is None else "bfloat16 autocast"
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return f"{name}, {precision}"


def compute(preference: str = "auto", threads: int | None = None) -> Compute:
    """Choose device and precision, and set the number of CPU threads.

    Args:
        preference: `auto` (the GPU where there is one), `cpu` or `cuda`.
        threads: Of torch on the CPU; None leaves torch's choice.

    Raises:
        UserError: `cuda` was asked for and there is none, or `threads` is below 1.
    """
    if threads is not None:
        if threads < 1:
            raise UserError(
                f"runtime.threads={threads} must be at least 1, or null for torch's choice"
            )
        torch.set_num_threads(threads)
    available = torch.cuda.is_available()
    if preference == "cuda" and not available:
        raise UserError(
            "runtime.device=cuda, but torch sees no CUDA device; use runtime.device=auto"
        )
    if preference == "cpu" or not available:
        return Compute(torch.device("cpu"), None)
    return Compute(torch.device("cuda"), torch.bfloat16)


def environment(where: Compute | None) -> dict[str, str]:
    """Return what a reader needs to place a timing: versions, machine, threads, device."""
    versions = {name: metadata.version(name) for name in PACKAGES if _installed(name)}
    return versions | {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": str(where or "CPU, float32"),
    }


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
