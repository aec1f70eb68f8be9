"""A resolved config and its group choices in, what a reader calls the parts of the run out."""

from pathlib import Path

from bertbench.config import Plain


def words(values: Plain, choices: dict[str, str]) -> dict[str, str]:
    """Return model, weights, scale, the parts of a training, corpus, mode and task, where they matter.

    Args:
        values: The resolved config.
        choices: The chosen option of each config group.
    """
    model, weights = values["model"], values["weights"]
    named = {"model": model["name"], "task": values["task"]["name"]}
    mode = values["mode"]["_target_"].rpartition(".")[2].lower()
    if model["architecture"] is None:
        return named | {"mode": mode}
    named |= {name: choices.get(name, "") for name in ("weights", "scale")}
    begun = choices.get("embeddings", "") if values["embeddings"] is not None else ""
    if begun and not (weights["train"] or weights["released"]):
        named["weights"] = begun  # all that its weights know
    if weights["train"]:
        named["objective"] = choices.get("objective", "")
        named |= {"packing": packing} if (packing := choices.get("packing")) else {}
        named["masking"] = _masking(values["masking"], choices.get("masking", ""))
        named |= {"embeddings": begun} if begun else {}
    read = weights["train"] or not weights["released"]  # at least its tokenizer is trained on it
    if read and (choice := choices.get("corpus")):
        named["corpus"] = _corpus(values["corpus"], choice)
    source = weights["source"]
    if weights["released"] and source != (model["released"] or {}).get(values["scale"]["name"]):
        named["source"] = "/".join(Path(source).parts[-2:])
    return named | {"mode": mode}


def _masking(masking: Plain, choice: str) -> str:
    """Say the rule, and whether its positions change between epochs."""
    if "views" not in masking:
        return choice
    views = masking["views"]
    kind = {None: "dynamic", 1: "static"}.get(views, f"{views} views")
    return choice if choice in (kind, "") else f"{choice} {kind}"


def _corpus(corpus: Plain, choice: str) -> str:
    """Say which files are read, and of several corpora each."""
    if isinstance(parts := corpus.get("parts"), dict):
        paths = [part.get("path") or name for name, part in parts.items()]
    else:
        paths = [path] if (path := corpus.get("path")) is not None else []
    return " ".join([choice, " and ".join(Path(path).name for path in paths)]).strip()
