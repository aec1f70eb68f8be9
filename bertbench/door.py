"""Hydra's way in: compose, run or sweep; what cannot be composed is one sentence."""

import os
import re
import sys

import hydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from bertbench import config
from bertbench.errors import UserError, nearest
from bertbench.sweep import job


def run() -> int:
    """Hand the command line to Hydra; return the exit code.

    Raises:
        UserError: The config cannot be composed.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    config.register()
    if {"--cfg", "-c"} & set(sys.argv) and "--resolve" not in sys.argv:
        sys.argv.append("--resolve")
    if flags := [a for a in sys.argv[1:] if a in ("-m", "--multirun")]:  # Hydra wants them first
        sys.argv[1:] = [flags[0], *(a for a in sys.argv[1:] if a not in flags)]
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first and "=" not in first and not first.startswith(("~", "-")):
        raise UserError(
            f"{first!r} is neither a command nor an override like model=bert: see python -m bertbench --help"
        )
    main = hydra.main(version_base="1.3", config_path=str(config.conf_dir()), config_name="config")
    try:
        main(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(sentence(error)) from error
    return 0


def sentence(error: Exception) -> str:
    """Turn Hydra's or OmegaConf's error into one sentence with the way out."""
    cause = error.__cause__
    text = str(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read as KEY=VALUE: {text.splitlines()[0]}"
    if missing := re.search(r"Could not find '([^'\n]+)/([^'/\n]+)'", text):
        group, option = missing.groups()
        known = re.findall(r"^\t(\w[\w-]*)$", text, flags=re.MULTILINE)
        return (
            f"{group}={option} is no option of the group {group}{nearest(option, known)} "
            f"(options: {', '.join(known)})"
        )
    if unknown := re.search(r"Could not override '(.+?)'", text):
        key = unknown[1]
        near = nearest(key, setting_names())
        return f"there is no setting {key!r}{near} (all settings: python -m bertbench --cfg job)"
    if isinstance(cause, OmegaConfBaseException):
        return f"{text.removeprefix('Error merging override ')}: {str(cause).splitlines()[0]}"
    return " ".join(text.split())


def setting_names() -> list[str]:
    """Return every dotted key of the default config, and the groups."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        values = config.plain(hydra.compose("config"), complete=False)

    def walk(node: object, prefix: str) -> list[str]:
        if not isinstance(node, dict):
            return [prefix]
        below = [walk(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in node.items()]
        return [prefix, *(name for names in below for name in names)]

    groups = [p.name for p in config.conf_dir().iterdir() if p.is_dir()]
    return [*filter(None, walk(values, "")), *groups]
