"""Hydra's way in: compose, run or sweep; what cannot be composed is one sentence."""

import argparse
import json
import os
import re
import shlex
import sys
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bertbench import config, interrupt
from bertbench.errors import UserError, nearest
from bertbench.sweep import job


def run() -> int:
    """Hand the command line to Hydra; return the exit code.

    Raises:
        UserError: The config cannot be composed.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    interrupt.listen()
    config.register()
    sys.argv[1:] = arranged(sys.argv[1:])
    main = hydra.main(version_base="1.3", config_path=str(config.conf_dir()), config_name="config")
    try:
        main(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(sentence(error)) from error
    return 0


def arranged(arguments: list[str]) -> list[str]:
    """Check flags and words, and put them in an order that Hydra takes: it wants no flag between overrides.

    Raises:
        UserError: A flag is unknown or has a wrong value, or a word is no override.
    """
    parser = get_args_parser()
    parser.__class__ = _Parser
    given = parser.parse_intermixed_args(arguments)
    if given.experimental_rerun:
        raise UserError(
            "--experimental-rerun reads a pickle, which can run code: give the overrides"
        )
    for word in given.overrides:
        if "=" not in word and not word.startswith("~"):
            raise UserError(
                f"{word!r} is neither a command nor an override like model=bert: "
                "see python -m bertbench --help"
            )
    multirun = ("-m", "--multirun")
    others = [a for a in arguments if a not in given.overrides and a not in multirun]
    resolve = ["--resolve"] if given.cfg and not given.resolve else []
    return [*(["-m"] if given.multirun else []), *given.overrides, *others, *resolve]


class _Parser(argparse.ArgumentParser):
    """Hydra's own parser, but what it refuses is a sentence."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        raise UserError(f"{message} (see python -m bertbench --help)")


def sentence(error: Exception) -> str:
    """Turn Hydra's or OmegaConf's error into one sentence with the way out."""
    cause = error.__cause__
    text = str(error)
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        quoted = shlex.quote(f"{key}={json.dumps(value, ensure_ascii=False)}")
        way_out = f"; a text with signs or spaces is written {quoted}" if value else ""
        return f"{error.override!r} cannot be read as KEY=VALUE: {text.splitlines()[0]}{way_out}"
    if missing := re.search(r"Could not find '([^'\n]+)/([^'/\n]+)'", text):
        group, option = missing.groups()
        known = re.findall(r"^\t(\w[\w-]*)$", text, flags=re.MULTILINE)
        return (
            f"{group}={option} is no option of the group {group}{nearest(option, known)} "
            f"(options: {', '.join(known)})"
        )
    if unknown := re.search(r"Could not override '(.+?)'", text):
        key = unknown[1]
        if owners := [f"{key.partition('.')[0]}={o}" for o in options_with(key)]:
            return (
                f"the options chosen here have no setting {key!r}, only {', '.join(owners)}: give it in a "
                "sweep of those alone"
            )
        near = nearest(key, setting_names())
        return f"there is no setting {key!r}{near} (all settings: python -m bertbench --cfg job)"
    if isinstance(cause, OmegaConfBaseException):
        return f"{text.removeprefix('Error merging override ')}: {str(cause).splitlines()[0]}"
    return " ".join(text.split())


def options_with(key: str) -> list[str]:
    """Return the options of the group that `key` begins with whose yaml has that key."""
    group, _, below = key.partition(".")
    found = []
    for path in sorted((config.conf_dir() / group).glob("*.yaml")) if below else []:
        node: object = OmegaConf.load(path)
        for name in below.split("."):
            node = node.get(name, MISSING) if isinstance(node, DictConfig) else MISSING
        found += [] if node == MISSING else [path.stem]
    return found


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
