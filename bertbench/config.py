"""Overrides in, a resolved config of plain values out; each keeps the type that its yaml gave it."""

import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from bertbench.errors import UserError, nearest
from bertbench.schema import RunConfig

Plain = dict[str, Any]


ENDINGS = "csv|tsv|tab|jsonl?|ndjson|parquet|conllu?|bio|iob2?|txt"  # of files of labelled data
PARTS = ("train", "training", "dev", "valid", "validation", "val", "test", "data")


def register() -> None:
    """Store the schema, and the resolver `stem`, so that the yaml can name them."""
    ConfigStore.instance().store(name="schema", node=RunConfig)
    OmegaConf.register_new_resolver("stem", stem, replace=True)


def stem(path: object) -> str:
    """Return what the data of a file are called, of letters, digits, '_', '-' and '.' alone.

    That is its name without endings; where that says only which part it is, the name of its folder.
    """
    place = Path(str(path))
    name = re.sub(rf"(\.({ENDINGS}))?(\.gz)?$", "", place.name, flags=re.IGNORECASE)
    if name.lower() in PARTS and place.parent.name:
        name = place.parent.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "files"


def conf_dir() -> Path:
    """Return the folder of yaml: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def plain(cfg: DictConfig, *, complete: bool = True) -> Plain:
    """Return the resolved config as dicts, lists and scalars; enums as their names.

    Raises:
        UserError: `complete`, and a value without default was not given.
    """
    try:
        values = OmegaConf.to_container(
            cfg, resolve=True, enum_to_str=True, throw_on_missing=complete
        )
    except MissingMandatoryValue as error:
        raise UserError(
            f"{error.full_key} has no default: set it with {error.full_key}=..."
        ) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def check_types(value: object, default: object, place: str = "") -> None:
    """Refuse an override whose type is not that of the yaml's own value.

    The schema covers the slots it types; this covers the keys of the variants, without importing
    them. A default of null, and a null override, are left to the callable.

    Raises:
        UserError: Names the key, the value and the type it should have, or a key that there is not.
    """
    if isinstance(default, dict) and isinstance(value, dict):
        if "_target_" in default and (new := sorted(value.keys() - default.keys())):
            near = nearest(new[0], default)
            raise UserError(f"{place}.{new[0]} is no setting of {default['_target_']}{near}")
        for key in default.keys() & value.keys():
            check_types(value[key], default[key], f"{place}.{key}" if place else str(key))
        return
    if default is None or value is None:
        return
    if isinstance(default, list) and isinstance(value, list):
        for item in value if default else []:  # a list of numbers takes any numbers
            first = default[0]
            check_types(item, float(first) if isinstance(first, int) else first, place)
        return
    wanted = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, wanted) or (
        isinstance(value, bool) and not isinstance(default, bool)
    ):
        raise UserError(
            f"{place}={value!r} is {_kind(value)}, but must be {_kind(default)}, such as {default!r}"
        )


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return kinds.get(type(value), type(value).__name__)


def build(node: Plain, **more: object) -> Any:
    """Call what `_target_` names with the node's other keys and `more`.

    Not hydra.utils.instantiate: it wraps every error, and a UserError must reach the user whole.
    """
    target = _target(node["_target_"])
    given = {k: v for k, v in node.items() if not k.startswith("_")} | more
    try:
        inspect.signature(target).bind(**given)
    except TypeError as error:
        raise UserError(f"{node['_target_']} cannot be made of its settings: {error}") from error
    except ValueError:  # a builtin without signature
        pass
    return target(**given)


def _target(path: str) -> Any:
    """Return what a dotted path names."""
    module, _, name = path.rpartition(".")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # it is there, and itself imports something that is not
        found = None
    if found is None or not hasattr(found, name):
        what = f"the module {module}" if found is None else f"{name} in {module}"
        raise UserError(
            f"_target_={path}: there is no {what}: correct the name, or add its folder to PYTHONPATH"
        )
    return getattr(found, name)


def compose_defaults(choices: dict[str, str], more: Sequence[str] = ()) -> Plain:
    """Return the config of these group choices alone, without any other override.

    Args:
        choices: The option of each group.
        more: Overrides that say where options are, such as hydra.searchpath.
    """
    groups = [f"{group}={option}" for group, option in choices.items() if "hydra" not in group]
    return composed([*more, *groups])


def composed(overrides: list[str]) -> Plain:
    """Return the config of some overrides; what they leave open is missing in it."""
    if GlobalHydra.instance().is_initialized():
        return plain(compose("config", overrides=overrides), complete=False)
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose("config", overrides=overrides), complete=False)
