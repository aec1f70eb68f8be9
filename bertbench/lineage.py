"""A resolved config in, what its encoder descends from out, each stage as the recipe that names it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertbench.budget import Budget
from bertbench.checks import SHAPE
from bertbench.config import Plain, build, composed
from bertbench.data.corpus import Corpus, as_corpus, check_not_empty
from bertbench.errors import UserError
from bertbench.models.released import identity, locate, shape_of
from bertbench.records import STAGES

TEACHER = "bert"  # the model that teaches where no teacher is named: Sanh et al. (2019), section 3


@dataclass(frozen=True)
class Lineage:
    """One encoder, not yet made.

    Attributes:
        values: The resolved config it is made by.
        corpus: Documents for tokenizer and pretraining; None where neither is made.
        source: Folder of ready-made weights, or None.
        teacher: The encoder it learns from, if that is made here too.
        teacher_source: Folder of a ready-made teacher, or None.
        tokenizer: Recipe of the tokenizer; None where it comes with ready-made weights.
        tokens: Recipe of the tokenised corpus; None where nothing is learnt from it.
        embeddings: Recipe of the vectors that token embeddings begin as; None where they begin at random.
        packed: Recipe of the packed corpus; None without pretraining.
        encoder: Recipe of the weights.
        intrinsic: Recipe of what is measured of a pretrained encoder; None without pretraining.
    """

    values: Plain
    encoder: Plain
    corpus: Corpus | None = None
    source: Path | None = None
    teacher: "Lineage | None" = None
    teacher_source: Path | None = None
    tokenizer: Plain | None = None
    tokens: Plain | None = None
    embeddings: Plain | None = None
    packed: Plain | None = None
    intrinsic: Plain | None = None

    @property
    def title(self) -> str:
        """Name the encoder for people."""
        return f"{self.values['model']['name']} {self.values['scale']['name']}"

    @property
    def shape(self) -> Plain:
        """The fields of `families.Shape` that its scale gives."""
        return shape(self.values)

    @property
    def random(self) -> bool:
        """Whether its weights begin at random."""
        return self.source is None or self.values["weights"]["reset"]

    @property
    def tokenizer_source(self) -> Path | None:
        """The folder whose tokenizer is used as it is: that of the weights, or of a ready-made teacher."""
        return self.source or self.teacher_source


def shape(values: Plain) -> Plain:
    """Return width, depth and what else of a scale makes a shape."""
    return {name: values["scale"][name] for name in SHAPE}


def trace(values: Plain) -> Lineage:
    """Locate ready-made weights, look at the corpus, and make the recipes.

    Raises:
        UserError: Weights, corpus or a setting cannot be used.
    """
    model, weights, scale = (values[k] for k in ("model", "weights", "scale"))
    source = None
    if weights["released"]:
        recipe = f"model={model['name']} scale={scale['name']}"
        named = (model["released"] or {}).get(weights["source"], weights["source"])
        source = locate(named, recipe=recipe)
        _check_scale(source, scale, place=weights["source"])
    counted = values["embeddings"] is not None and weights["reset"]
    corpus = _corpus(values) if source is None or weights["train"] or counted else None
    content = corpus.fingerprint if corpus is not None else None
    learns = weights["train"] and "teacher" in values["objective"]
    teacher_source, teacher = _teacher(values, source) if learns else (None, None)
    start, tokenizer = _start(values, source, teacher_source, content)
    encoder: dict[str, Any] = dict(start)
    if source is None or weights["train"] or weights["reset"]:  # made here, not used as it came
        # Random weights are drawn by each run; pretrained ones are shared by many.
        seed = values["pretrain"]["seed"] if weights["train"] else values["seed"]
        encoder |= {"version": STAGES["encoder"], "seed": seed}
    lineage = Lineage(values, encoder, corpus, source, teacher, teacher_source, tokenizer)
    if values["embeddings"] is not None and lineage.random:
        lineage = _with_embeddings(lineage, start)
    if weights["train"]:
        lineage = _pretrained(lineage, start)
    recipes = ("encoder", "tokenizer", "tokens", "embeddings", "packed", "intrinsic")
    return replace(lineage, **{name: canonical(getattr(lineage, name)) for name in recipes})


def _start(
    values: Plain, source: Path | None, teacher: Path | None, corpus: str | None
) -> tuple[Plain, Plain | None]:
    """Return the recipe of the weights before any training, and that of the tokenizer if it is made here."""
    model, weights = values["model"], values["weights"]
    if source is not None:
        return {"source": identity(source)} | ({"reset": True} if weights["reset"] else {}), None
    tokenizer = None
    if teacher is None:
        tokenizer = {
            "version": STAGES["tokenizer"],
            "settings": model["tokenizer"],
            "corpus": corpus,
        }
    origin = tokenizer if teacher is None else {"source": identity(teacher)}
    return {
        "architecture": model["architecture"],
        "shape": shape(values),
        "tokenizer": origin,
    }, tokenizer


def _tokens(lineage: Lineage, start: Plain) -> Plain:
    """Return the recipe of the tokenised corpus."""
    corpus = lineage.corpus
    assert corpus is not None
    return {
        "version": STAGES["tokens"],
        # Ready-made weights bring theirs.
        "tokenizer": start.get("tokenizer") or {"source": start["source"]},
        "corpus": corpus.fingerprint,
        "deduplicate": lineage.values["pretrain"]["deduplicate"],
    }


def _with_embeddings(lineage: Lineage, start: Plain) -> Lineage:
    """Add the vectors that token embeddings begin as to a lineage that has only its beginning so far."""
    values, tokens = lineage.values, _tokens(lineage, start)
    pretrain = values["pretrain"]
    embeddings = {
        "version": STAGES["embeddings"],
        "tokens": tokens,
        "settings": values["embeddings"],
        **{name: pretrain[name] for name in ("heldout", "seed")},
    }
    encoder = lineage.encoder | {"embeddings": embeddings}
    return replace(lineage, encoder=encoder, tokens=tokens, embeddings=embeddings)


def _pretrained(lineage: Lineage, start: Plain) -> Lineage:
    """Add the recipes of a pretraining to a lineage that has only its beginning so far."""
    values, corpus = lineage.values, lineage.corpus
    assert corpus is not None
    pretrain, objective = values["pretrain"], values["objective"]
    Budget(pretrain["steps"], pretrain["tokens"], pretrain["seconds"]).check("pretrain")
    tokens = _tokens(lineage, start)
    packed = {
        "version": STAGES["packed"],
        "tokens": tokens,
        "packing": values["packing"],
        "seed": pretrain["seed"],
        **{name: pretrain[name] for name in ("length", "heldout")},
    }
    taught: Plain = {}
    if lineage.teacher is not None:
        taught = {"teacher": lineage.teacher.encoder}
    elif lineage.teacher_source is not None:
        taught = {"teacher": identity(lineage.teacher_source)}
    left_out = ("seed", "log_every", "evaluations", "measured")
    left_out += () if lineage.random else ("frequencies",)
    left_out += () if pretrain["short"]["share"] else ("short",)
    training = {
        "packed": [STAGES["tokens"], STAGES["packed"]],
        "corpus": corpus.fingerprint,
        "objective": objective | taught,
        "masking": values["masking"],
        "packing": values["packing"],
        **{name: value for name, value in pretrain.items() if name not in left_out},
    }
    encoder = lineage.encoder | {"pretrain": training}
    intrinsic = {
        "version": STAGES["intrinsic"],
        "encoder": encoder,
        "tokens": tokens,
        **{name: pretrain[name] for name in ("length", "heldout", "measured")},
    }
    return replace(lineage, encoder=encoder, tokens=tokens, packed=packed, intrinsic=intrinsic)


def _teacher(values: Plain, source: Path | None) -> tuple[Path | None, Lineage | None]:
    """Return the folder of the teacher that was named, or what the one to be made descends from."""
    named = values["objective"]["teacher"]
    if named is not None:
        folder = locate(named, recipe="objective.teacher", place="objective.teacher")
        found, width = shape_of(folder), values["scale"]["width"]
        if source is None and found is not None and found[1] != width:
            raise UserError(
                f"objective.teacher={named} has width {found[1]}, but scale={values['scale']['name']} "
                f"{width}: their last states are compared, so choose a scale of the teacher's width"
            )
        return folder, None
    if source is not None:
        raise UserError(
            f"weights.source={values['weights']['source']} brings a tokenizer that a teacher made here "
            "would not have: name a teacher that has it with objective.teacher=PATH"
        )
    recipe = composed([f"model={TEACHER}", "weights=pretrain"])
    model = recipe["model"] | {"tokenizer": values["model"]["tokenizer"]}
    groups = {name: recipe[name] for name in ("objective", "masking", "packing")}
    weights = recipe["weights"]
    return None, trace(values | groups | {"model": model, "weights": weights})


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


def _corpus(values: Plain) -> Corpus:
    corpus = as_corpus(build(values["corpus"]), values["corpus"]["_target_"])
    check_not_empty(corpus)
    return corpus


def canonical(value: Any) -> Any:
    """Return settings with whole floats as integers: `dropout=0` and `dropout=0.0` are one."""
    if isinstance(value, dict):
        return {name: canonical(below) for name, below in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
