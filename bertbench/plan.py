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

import numpy as np

from bertbench.checks import check
from bertbench.config import Plain, build
from bertbench.data.splits import split_ids, subset
from bertbench.errors import UserError
from bertbench.kinds import KINDS, find, measure
from bertbench.lineage import Lineage, canonical, trace
from bertbench.naming import words
from bertbench.records import STAGES, fingerprint, seedless
from bertbench.tasks import leaks
from bertbench.types import TaskData

LINEAR = "bertbench.modes.tfidf.Tfidf"  # the one mode without an encoder
FROZEN = "bertbench.modes.frozen.Frozen"  # the one mode that keeps features
FULL = "bertbench.modes.full.Full"
TEXTS = tuple(name for name, kind in KINDS.items() if kind.reading == "text")
OF_KIND = {  # settings of modes that some kinds alone read
    LINEAR: dict.fromkeys(("ngrams", "characters", "min_documents", "stop_words"), TEXTS)
    | {
        "penalties": ("classification", "multilabel", "ranking", "token"),
        "ridge": ("regression",),
    },
    FROZEN: {"pooling": TEXTS, "penalties": (*TEXTS, "token"), "span": ("span",)},
    FULL: {"pooling": TEXTS},
}


@dataclass(frozen=True)
class Plan:
    """One run, not yet computed.

    Attributes:
        values: The resolved config.
        words: What a reader calls the parts: model, weights, scale, objective, masking, mode, task.
        data: The task, its training texts cut to the asked size.
        whole: The task before that.
        lineage: What the encoder descends from; None without encoder.
        features: Recipe of the features of all texts; None in a mode that keeps none.
        science: All that decides the result.
        group: Fingerprint of `science` without its seeds.
    """

    values: Plain
    words: dict[str, str]
    data: TaskData
    whole: TaskData
    data_fingerprint: str
    lineage: Lineage | None = None
    features: Plain | None = None
    science: Plain = field(default_factory=dict)
    group: str = ""

    @property
    def encoder(self) -> Plain | None:
        """Recipe of the encoder's weights; None without encoder."""
        return self.lineage.encoder if self.lineage is not None else None

    @property
    def source(self) -> Path | None:
        """Folder of ready-made weights, or None."""
        return self.lineage.source if self.lineage is not None else None

    @property
    def key(self) -> str:
        """Name the run: two plans with one key give the same result."""
        return fingerprint(self.science)

    @property
    def stages(self) -> dict[str, str]:
        """Name what each stage makes, in their order: plans that share a name share the thing."""
        of_encoder = ("tokenizer", "tokens", "embeddings", "packed", "encoder", "intrinsic")
        recipes = {stage: getattr(self.lineage, stage, None) for stage in of_encoder}
        recipes |= {"features": self.features, "transfer": self.science}
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
    whole = leaks.sound(build(task["source"]), task["leaks"], f"task {task['name']}")
    kind = find(whole.kind)
    data = whole._replace(
        name=task["name"],
        train=subset(
            whole.train,
            strata=kind.strata(whole.train),
            train_size=task["train_size"],
            train_share=task["train_share"],
            labels_per_class=task["labels_per_class"],
            classes=len(whole.classes) if whole.kind == "classification" else 0,
            seed=values["seed"],
        ),
    )
    task |= _metrics(task, data)
    task |= {"long_text": task["long_text"] or kind.long_text}
    values = values | {"mode": _mode(values), "task": task}
    plan = Plan(values, {}, data, whole, _data_fingerprint(whole))
    if values["model"]["architecture"] is not None:
        plan = replace(plan, lineage=trace(values))
        plan = replace(plan, features=_features(plan))
    science = canonical(
        {
            "version": STAGES["transfer"],
            "task": _task_science(plan),
            "encoder": plan.encoder,
            "mode": _mode_science(values["mode"], data.kind),
            "seed": values["seed"],
        }
    )
    if plan.lineage is not None and plan.lineage.intrinsic is not None:
        science["intrinsic"] = [STAGES["intrinsic"], values["pretrain"]["measured"]]
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


def _metrics(task: Plain, data: TaskData) -> Plain:
    """Return the metrics of a task: its own, or those of its kind."""
    fitting = find(data.kind).metrics(data.classes)
    names = list(fitting) if task["metrics"] is None else task["metrics"]
    metric = names[0] if task["metric"] is None else task["metric"]
    for name in (*names, metric):
        measure(name, "task.metrics")
        if name not in fitting:
            raise UserError(
                f"task.metrics={name} does not fit a task of the kind {data.kind}: choose of "
                f"{', '.join(fitting)}"
            )
    return {"metric": metric, "metrics": names if metric in names else [metric, *names]}


def _features(plan: Plan) -> Plain | None:
    mode, task = plan.values["mode"], plan.values["task"]
    if mode["_target_"] != FROZEN:
        return None
    read = _mode_science(mode, plan.data.kind)
    recipe = {
        "version": STAGES["features"],
        "encoder": plan.encoder,
        **{name: mode[name] for name in ("pooling", "layer") if name in read},
        **{name: task[name] for name in ("max_length", "long_text")},
        "texts": [fingerprint(split.texts) for split in plan.data[2:5]],
    }
    return canonical(recipe)


def _data_fingerprint(data: TaskData) -> str:
    """Name all of a task but its name: what its classes are called is told in the predictions."""
    splits = [[split.ids, split.texts, _plain(split.labels)] for split in data[2:5]]
    groups = [split.groups for split in data[2:5]]
    more = [groups] if any(names is not None for names in groups) else []
    return fingerprint([data.classes, *splits, *more])


def _plain(labels: Any) -> Any:
    """Return labels as JSON has them."""
    if isinstance(labels, np.ndarray):
        return labels.tolist()
    return [row.tolist() if isinstance(row, np.ndarray) else row for row in labels]


def _mode_science(mode: Plain, kind: str) -> Plain:
    """Return the settings of a mode that a kind of task reads.

    A list of learning rates takes the place of the one of the optimizer.
    """
    kinds = OF_KIND.get(mode["_target_"], {})
    mode = {name: value for name, value in mode.items() if kind in kinds.get(name, (kind,))}
    if mode.get("learning_rates") is None:
        return mode
    return mode | {"optim": {k: v for k, v in mode["optim"].items() if k != "lr"}}


def _task_science(plan: Plan) -> Plain:
    task = plan.values["task"]
    names = ["metric", "metrics", "train_size", "labels_per_class"]
    if plan.encoder is not None:  # the linear baseline reads each text whole
        names += ["long_text", "max_length"]
    # Only where they say something, so that tasks of before keep their keys.
    more = {"train_share": task["train_share"]} if task["train_share"] is not None else {}
    if plan.data.kind != "classification":
        more["kind"] = plan.data.kind
    return {"data": plan.data_fingerprint, **{name: task[name] for name in names}, **more}


def _without_seeds(science: Plain) -> str:
    return fingerprint(science | {"seed": None, "encoder": seedless(science["encoder"])})


def written_split(data: TaskData) -> Plain:
    """Return what is kept of a split: the ids of each part, and their hash."""
    ids = split_ids(data)
    return {"fingerprint": fingerprint(ids), "ids": ids}
