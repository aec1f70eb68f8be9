"""A resolved config in, everything that can be known of its run before computing out.

Data is read, weights are located, keys are made, and what is wrong is said, without loading torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertbench.budget import Budget
from bertbench.checks import SHAPE, check
from bertbench.config import Plain, build
from bertbench.data.splits import split_ids, subset
from bertbench.errors import UserError
from bertbench.models.released import identity, locate
from bertbench.records import STAGES, fingerprint
from bertbench.types import TaskData

LINEAR = "bertbench.modes.tfidf.Tfidf"  # the one mode without an encoder


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
        encoder: Recipe of the encoder's weights; None without encoder.
        science: All that decides the result.
        group: Fingerprint of `science` without its seeds.
    """

    values: Plain
    words: dict[str, str]
    data: TaskData
    data_fingerprint: str
    corpus: list[str] | None
    source: Path | None
    tokenizer: Plain | None
    encoder: Plain | None
    science: Plain
    group: str

    @property
    def key(self) -> str:
        """Name the run: two plans with one key give the same result."""
        return fingerprint(self.science)

    @property
    def title(self) -> str:
        """Name the run for people."""
        words = self.words
        parts = [words[k] for k in ("model", "weights", "scale", "mode", "task") if k in words]
        return " ".join([*parts, f"seed={self.values['seed']}"])


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
    data_fingerprint = fingerprint([s._replace(labels=s.labels.tolist()) for s in whole[2:]])
    plan = Plan(values, {}, data, data_fingerprint, None, None, None, None, science={}, group="")
    if values["model"]["architecture"] is not None:
        plan = _with_encoder(plan)
    science = {
        "version": STAGES["transfer"],
        "task": _task_science(plan),
        "encoder": plan.encoder,
        "mode": values["mode"],
        "seed": values["seed"],
    }
    return replace(
        plan, science=science, group=_without_seeds(science), words=_words(plan, choices)
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
    corpus = _corpus(plan.values) if source is None or weights["train"] else None
    corpus_fingerprint = fingerprint(corpus) if corpus is not None else None
    tokenizer = None
    if source is None:
        tokenizer = {
            "version": STAGES["tokenizer"],
            "settings": model["tokenizer"],
            "corpus": corpus_fingerprint,
        }
    encoder: dict[str, Any] = {"version": STAGES["encoder"]}
    if source is None:
        shape = {name: scale[name] for name in SHAPE}
        encoder |= {"architecture": model["architecture"], "shape": shape, "tokenizer": tokenizer}
    else:
        encoder |= {"source": identity(source)}
    if weights["train"]:
        Budget(None, pretrain["tokens"], pretrain["seconds"]).check("pretrain")
        encoder["pretrain"] = {
            "packing": STAGES["packing"],
            "corpus": corpus_fingerprint,
            "objective": plan.values["objective"],
            "masking": plan.values["masking"],
            **{k: v for k, v in pretrain.items() if k not in ("seed", "log_every")},
        }
    if source is None or weights["train"]:
        encoder["seed"] = pretrain["seed"]
    return replace(plan, corpus=corpus, source=source, tokenizer=tokenizer, encoder=encoder)


def _corpus(values: Plain) -> list[str]:
    corpus: list[str] = build(values["corpus"])
    if not any(text.strip() for text in corpus):
        raise UserError(
            f"the corpus of {values['corpus']['_target_']} is empty: it has no document with text in it"
        )
    return corpus


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


def _words(plan: Plan, choices: dict[str, str]) -> dict[str, str]:
    words = {"model": plan.values["model"]["name"], "task": plan.values["task"]["name"]}
    mode = plan.values["mode"]["_target_"].rpartition(".")[2].lower()
    if plan.encoder is None:
        return words | {"mode": mode}
    words |= {name: choices.get(name, "") for name in ("weights", "scale")}
    if plan.values["weights"]["train"]:
        words |= {name: choices.get(name, "") for name in ("objective", "masking")}
    return words | {"mode": mode}


def written_split(data: TaskData) -> Plain:
    """Return what is kept of a split: the ids of each part, and their hash."""
    ids = split_ids(data)
    return {"fingerprint": fingerprint(ids), "ids": ids}
