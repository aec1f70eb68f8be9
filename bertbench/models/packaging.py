"""A finished encoder in, a folder that can be given away out: its weights in half precision.

Weights are trained and used in float32; half precision is how they travel, at half the size. What is read
back is what every user of the folder computes with.
"""

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from bertbench.models.released import BESIDE
from bertbench.models.safety import WEIGHTS


def pack(checkpoint: Path, folder: Path) -> None:
    """Copy a checkpoint, its weights in half precision.

    Args:
        checkpoint: In transformers' format, with one file of weights.
        folder: Filled; what is there under the same names is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(checkpoint.iterdir()):
        if path.suffix in (".json", ".txt", ".model") and path.name not in BESIDE:
            shutil.copyfile(path, folder / path.name)
    halves = {
        name: weight.half() if weight.is_floating_point() else weight
        for name, weight in load_file(checkpoint / WEIGHTS).items()
    }
    save_file(halves, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes for its owner alone
