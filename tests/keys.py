"""Configs of several kinds of run, and which of their stages' keys differ."""

import functools
import shutil

import toy
from conftest import small
from hydra import compose, initialize_config_dir

from bertbench import config
from bertbench.plan import make_plan

LETTERS = {
    "tokenizer": "T",
    "tokens": "K",
    "embeddings": "B",
    "packed": "P",
    "encoder": "E",
    "intrinsic": "I",
    "features": "F",
    "transfer": "R",
}
NONE = "-"  # no key moves
RUNS = {  # by name, their overrides
    "full": ["mode=full"],
    "frozen": ["mode=frozen"],
    "random": ["mode=frozen", "model=scratch"],
    "counted": ["mode=frozen", "model=scratch", "embeddings=cooccurrence"],
    "released": ["mode=frozen", "weights=released"],
    "continued": ["mode=full", "weights=continued"],
    "taught": ["mode=full", "model=distilbert"],
    "tfidf": ["model=tfidf"],
    "swept": ["model=tfidf", "mode=frozen", "weights=pretrain"],  # among encoders, in their mode
}


@functools.cache  # nobody writes into it
def composed(*overrides):
    """Return a resolved config of the toy task."""
    config.register()
    with initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        return config.plain(compose("config", overrides=small(*overrides)))


def config_with(source, run, *more):
    """Return the config of one of RUNS, with `source` as ready-made weights and more overrides."""
    return composed(*RUNS[run], f"weights.source={source}", *more)


def leaves(node, prefix=""):
    """Return every dotted path that leads to a value, and the value."""
    found = {}
    for key, value in node.items():
        below = isinstance(value, dict)
        found |= leaves(value, f"{prefix}{key}.") if below else {f"{prefix}{key}": value}
    return found


def with_leaf(node, place, value):
    """Return a copy of a config with one value changed."""
    key, _, rest = place.partition(".")
    return node | {key: with_leaf(node[key], rest, value) if rest else value}


def plan_of(values):
    """Return the plan of a config; the words of a sheet play no part."""
    return make_plan(values, {})


def moved(before, after):
    """Return the letters of the stages whose keys differ, or that one plan has and the other not."""
    names = [s for s in LETTERS if before.stages.get(s) != after.stages.get(s)]
    return "".join(LETTERS[name] for name in names) or NONE


def with_more(texts):
    """Return texts of which the last is longer."""
    return [*texts[:-1], f"{texts[-1]} More."]


def other_corpus():
    """Return the toy corpus with one text changed."""
    return with_more(toy.corpus())


def other_task():
    """Return the toy task with one text of the test split changed."""
    data = toy.task()
    return data._replace(test=data.test._replace(texts=with_more(data.test.texts)))


def altered(folder, name, where):
    """Return a copy of a checkpoint in which one file is another, and can still be read."""
    copy = shutil.copytree(folder, where)
    content = (copy / name).read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])  # one number of the weights
    (copy / name).write_bytes(content + b" " if name.endswith(".json") else flipped)
    return copy
