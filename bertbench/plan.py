"""A resolved config in, everything that can be known of its run before computing out.

Data is read, weights are located, keys are made, and what is wrong is said, without loading torch.

A key says what was asked for, not what computed it. Device, threads and the versions of torch or
transformers move the last bits of a result (a GPU also its precision); they stand in its record, for
with them in the key each upgrade would throw away every pretraining. Where another version is known
to compute something else, the number of its stage in STAGES is raised. A budget of seconds names its
recipe too, although the machine decides how far it comes: the tokens it came to are in the record.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bertbench.budget import Budget
from bertbench.checks import SHAPE, check
from bertbench.config import Plain, build
from bertbench.data.splits import split_ids, subset
from bertbench.data.validate import validate
from bertbench.errors import UserError
from bertbench.models.released import identity, locate, shape_of
from bertbench.naming import words
from bertbench.records import STAGES, fingerprint
from bertbench.types import TaskData

LINEAR = "bertbench.modes.tfidf.Tfidf"  # the one mode without an encoder
FROZEN = "bertbench.modes.frozen.Frozen"  # the one mode that keeps features


@dataclass(frozen=True)
class Plan:
    """One run, not yet computed.

    Attributes:
        values: The resolved config.
        words: What a reader calls the parts: model, weights, scale, objective, masking, mode, task.
        data: The task, its training texts cut to the asked size.
        corpus: Documents for tokenizer and pretraining; None where neither is made.
        source: Folder of ready-made weights, or None.
        tokenizer: Recipe of the tokenizer; None with ready-made weights or without encoder.
        packed: Recipe of the packed corpus; None without pretraining.
        encoder: Recipe of the encoder's weights; None without encoder.
        features: Recipe of the features of all texts; None in a mode that keeps none.
        science: All that decides the result.
        group: Fingerprint of `science` without its seeds.
    """

    values: Plain
    words: dict[str, str]
    data: TaskData
    data_fingerprint: str
    corpus: list[str] | None = None
    source: Path | None = None
    tokenizer: Plain | None = None
    packed: Plain | None = None
    encoder: Plain | None = None
    features: Plain | None = None
    science: Plain = field(default_factory=dict)
    group: str = ""

    @property
    def key(self) -> str:
        """Name the run: two plans with one key give the same result."""
        return fingerprint(self.science)

    @property
    def stages(self) -> dict[str, str]:
        """Name what each stage makes, in their order: plans that share a name share the thing."""
        recipes = {
            "tokenizer": self.tokenizer,
            "packed": self.packed,
            "encoder": self.encoder,
            "features": self.features,
            "transfer": self.science,
        }
        return {stage: fingerprint(made) for stage, made in recipes.items() if made is not None}

    @property
    def title(self) -> str:
        """Name the run for people."""
        words = self.words
        parts = [words[k] for k in ("model", "weights", "scale", "mode", "task") if k in words]
        return " ".join([*dict.fromkeys(parts), f"seed={self.values['seed']}"])


def make_plan(values: Plain, choices: dict[str, str]) -> Plan:
    """Read the data and make the keys.

    Args:
        values: The resolved config.
        choices: The chosen option of each config group, for the words of a sheet.

    Raises:
        UserError: The data, the weights or a setting cannot be used.
    """
    check(values)
    task = values["task"]
    whole: TaskData = build(task["source"])
    validate(whole, f"task {task['name']}")
    data = whole._replace(
        name=task["name"],
        train=subset(
            whole.train,
            train_size=task["train_size"],
            labels_per_class=task["labels_per_class"],
            classes=len(whole.classes),
            seed=values["seed"],
        ),
    )
    values = values | {"mode": _mode(values)}
    plan = Plan(values, {}, data, _data_fingerprint(whole))
    if values["model"]["architecture"] is not None:
        plan = _with_encoder(plan)
    science = _canonical(
        {
            "version": STAGES["transfer"],
            "task": _task_science(plan),
            "encoder": plan.encoder,
            "mode": _mode_science(values["mode"]),
            "seed": values["seed"],
        }
    )
    if plan.features is not None:  # the rest of its recipe is in here already
        science["features"] = STAGES["features"]
    return replace(
        plan, science=science, group=_without_seeds(science), words=words(values, choices)
    )


def baseline_values(values: Plain) -> Plain | None:
    """Return the config of the linear baseline on the same task and seed; None if it is left out."""
    if values["baseline"] is None:
        return None
    model = {"name": "tfidf", "architecture": None, "tokenizer": None, "released": None}
    return values | {"model": model, "mode": values["baseline"]}


def _mode(values: Plain) -> Plain:
    """Return the mode; a model without encoder has the linear one, whatever the sweep's other modes."""
    mode, encoder = values["mode"], values["model"]["architecture"] is not None
    if encoder and mode["_target_"] == LINEAR:
        name = values["model"]["name"]
        raise UserError(
            f"mode=tfidf uses no encoder, so model={name} is lost on it: choose model=tfidf"
        )
    if not encoder and mode["_target_"] != LINEAR:
        if values["baseline"] is None:
            raise UserError(f"model={values['model']['name']} has no encoder: choose mode=tfidf")
        return values["baseline"]
    return mode


def _with_encoder(plan: Plan) -> Plan:
    model, weights, scale = (plan.values[k] for k in ("model", "weights", "scale"))
    pretrain = plan.values["pretrain"]
    source = None
    if weights["released"]:
        recipe = f"model={model['name']} scale={scale['name']}"
        source = locate(weights["source"], recipe=recipe)
        _check_scale(source, scale, place=weights["source"])
    corpus = _corpus(plan.values) if source is None or weights["train"] else None
    corpus_fingerprint = fingerprint(corpus) if corpus is not None else None
    tokenizer = None
    if source is None:
        tokenizer = {
            "version": STAGES["tokenizer"],
            "settings": model["tokenizer"],
            "corpus": corpus_fingerprint,
        }
        shape = {name: scale[name] for name in SHAPE}
        start = {"architecture": model["architecture"], "shape": shape, "tokenizer": tokenizer}
    else:
        start = {"source": identity(source)}
    encoder: dict[str, Any] = dict(start)
    packed = None
    if weights["train"]:
        Budget(None, pretrain["tokens"], pretrain["seconds"]).check("pretrain")
        packed = {
            "version": STAGES["packed"],
            "tokenizer": tokenizer or start,  # ready-made weights bring theirs
            "corpus": corpus_fingerprint,
            "length": pretrain["length"],
            "heldout": pretrain["heldout"],
        }
        encoder["pretrain"] = {
            "packed": STAGES["packed"],
            "corpus": corpus_fingerprint,
            "objective": plan.values["objective"],
            "masking": plan.values["masking"],
            **{k: v for k, v in pretrain.items() if k not in ("seed", "log_every")},
        }
    if source is None or weights["train"]:  # made here, not used as it came
        # Random weights are drawn by each run; pretrained ones are shared by many.
        seed = pretrain["seed"] if weights["train"] else plan.values["seed"]
        encoder |= {"version": STAGES["encoder"], "seed": seed}
    recipes = {"tokenizer": tokenizer, "packed": packed, "encoder": encoder}
    recipes["features"] = _features(plan, encoder)
    return replace(plan, corpus=corpus, source=source, **_canonical(recipes))


def _check_scale(source: Path, scale: Plain, *, place: str) -> None:
    """Refuse a scale that is not that of the weights: learning rates and the row's name come from it."""
    found = shape_of(source)
    if found is not None and found != (scale["depth"], scale["width"]):
        depth, width = found
        raise UserError(
            f"weights.source={place} has {depth} layers of width {width}, but scale={scale['name']} "
            f"has {scale['depth']} of {scale['width']}: choose the scale of the weights, or set "
            f"scale.depth={depth} scale.width={width} and a mode.optim.lr that suits them"
        )


def _features(plan: Plan, encoder: Plain) -> Plain | None:
    mode, task = plan.values["mode"], plan.values["task"]
    if mode["_target_"] != FROZEN:
        return None
    return {
        "version": STAGES["features"],
        "encoder": encoder,
        **{name: mode[name] for name in ("pooling", "layer")},
        **{name: task[name] for name in ("max_length", "long_text")},
        "texts": [fingerprint(split.texts) for split in plan.data[2:]],
    }


def _corpus(values: Plain) -> list[str]:
    corpus: list[str] = build(values["corpus"])
    if not any(text.strip() for text in corpus):
        raise UserError(
            f"the corpus of {values['corpus']['_target_']} is empty: it has no document with text in it"
        )
    return corpus


def _data_fingerprint(data: TaskData) -> str:
    """Name all of a task but its name: what its classes are called is told in the predictions."""
    splits = [split._replace(labels=split.labels.tolist()) for split in data[2:]]
    return fingerprint([data.classes, *splits])


def _mode_science(mode: Plain) -> Plain:
    """Return the mode's settings without the learning rate that a list of them takes the place of."""
    if mode.get("learning_rates") is None:
        return mode
    return mode | {"optim": {k: v for k, v in mode["optim"].items() if k != "lr"}}


def _canonical(value: Any) -> Any:
    """Return settings with whole floats as integers: `dropout=0` and `dropout=0.0` are one."""
    if isinstance(value, dict):
        return {name: _canonical(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _task_science(plan: Plan) -> Plain:
    task = plan.values["task"]
    names = ["metric", "metrics", "train_size", "labels_per_class"]
    if plan.encoder is not None:  # the linear baseline reads each text whole
        names += ["long_text", "max_length"]
    return {"data": plan.data_fingerprint, **{name: task[name] for name in names}}


def _without_seeds(science: Plain) -> str:
    encoder = science["encoder"]
    if encoder is not None:
        encoder = {k: v for k, v in encoder.items() if k != "seed"}
    return fingerprint(science | {"seed": None, "encoder": encoder})


def written_split(data: TaskData) -> Plain:
    """Return what is kept of a split: the ids of each part, and their hash."""
    ids = split_ids(data)
    return {"fingerprint": fingerprint(ids), "ids": ids}
