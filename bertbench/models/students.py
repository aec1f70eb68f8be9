"""A teacher in, its student's first weights out: evenly spread layers, and all that is not a layer."""

import re

import torch
from transformers import PreTrainedModel

LAYER = re.compile(r"\.layer\.(\d+)\.")
# BERT's names, and DistilBERT's for the same weights.
RENAMED = {
    r"^bert\.embeddings\.": "distilbert.embeddings.",
    r"^bert\.encoder\.layer\.": "distilbert.transformer.layer.",
    r"\.attention\.self\.query\.": ".attention.q_lin.",
    r"\.attention\.self\.key\.": ".attention.k_lin.",
    r"\.attention\.self\.value\.": ".attention.v_lin.",
    r"\.attention\.output\.dense\.": ".attention.out_lin.",
    r"\.attention\.output\.LayerNorm\.": ".sa_layer_norm.",
    r"\.intermediate\.dense\.": ".ffn.lin1.",
    r"(?<=\d)\.output\.dense\.": ".ffn.lin2.",
    r"(?<=\d)\.output\.LayerNorm\.": ".output_layer_norm.",
    r"^cls\.predictions\.transform\.dense\.": "vocab_transform.",
    r"^cls\.predictions\.transform\.LayerNorm\.": "vocab_layer_norm.",
    r"^cls\.predictions\.decoder\.": "vocab_projector.",
}


def chosen_layers(teacher: int, student: int) -> list[int]:
    """Return which of the teacher's layers the student begins as.

    Evenly spread from the first to the last: of twelve, six are 0, 2, 4, 7, 9, 11, as in the released
    scripts/extract_distilbert.py of Sanh et al. (2019), https://arxiv.org/abs/1910.01108, section 3.

    Args:
        teacher: Number of layers.
        student: Number of layers, at most as many.
    """
    if student == 1:
        return [0]
    return [round(i * (teacher - 1) / (student - 1)) for i in range(student)]


@torch.no_grad()
def begin_as(student: PreTrainedModel, teacher: PreTrainedModel) -> int:
    """Copy the teacher's embeddings, chosen layers and language-model head into the student.

    Args:
        student: Changed in place; weights that the teacher does not have stay as they are.
        teacher: A BERT for a DistilBERT, or one of the student's own family.

    Returns:
        How many weights were copied: 0 where the two families name nothing alike.
    """
    layers = chosen_layers(teacher.config.num_hidden_layers, student.config.num_hidden_layers)
    place = {number: i for i, number in enumerate(layers)}
    renamed = RENAMED if student.config.model_type == "distilbert" else {}
    mine, copied = student.state_dict(), 0
    for name, weight in teacher.state_dict().items():
        found = LAYER.search(name)
        if found is not None:
            if int(found[1]) not in place:
                continue
            name = f"{name[: found.start(1)]}{place[int(found[1])]}{name[found.end(1) :]}"
        if teacher.config.model_type == "bert":
            for old, new in renamed.items():
                name = re.sub(old, new, name)
        if name in mine and mine[name].shape == weight.shape:
            mine[name].copy_(weight)
            copied += 1
    return copied
