"""Texts in, a trained tokenizer in transformers' format out; the same texts give the same bytes.

The trainers of `tokenizers` number characters (WordPiece) and add up floats (Unigram) in the order
of a randomly seeded hash map, so two runs differ. WordPiece is therefore given its alphabet
beforehand, and Unigram is trained by `sentencepiece`, ALBERT's own tool, on one thread.
"""

import hashlib
import io
import logging
import re
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from bertbench.errors import UserError
from bertbench.types import Vocabulary

BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
ALBERT = {"pad": "<pad>", "unk": "<unk>", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

logger = logging.getLogger(__name__)

LONGEST_LINE = 2**24  # bytes; sentencepiece leaves out longer ones, by default from 4,192 on


def wordpiece(texts: list[str], *, vocab_size: int, lowercase: bool) -> PreTrainedTokenizerFast:
    """Train WordPiece, as BERT's: Devlin et al. (2019), section 3, input representations.

    Args:
        texts: Documents to learn the pieces from.
        vocab_size: Entries, special tokens included.
        lowercase: Lower-case and strip accents ("uncased").

    Raises:
        UserError: `vocab_size` is too small for the alphabet of `texts`.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    alphabet = sorted({c for text in texts for c in normalizer.normalize_str(text)} - set(" \n"))
    pieces = [*BERT.values(), *alphabet, *(f"##{c}" for c in alphabet)]
    _check_size(vocab_size, len(pieces))
    trained = Tokenizer(models.WordPiece(unk_token=BERT["unk"]))
    trained.normalizer = normalizer
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The alphabet stands as special tokens only to fix its order.
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=pieces, show_progress=False
    )
    trained.train_from_iterator(texts, trainer)
    tokenizer = Tokenizer(models.WordPiece(vocab=trained.get_vocab(), unk_token=BERT["unk"]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _finish(tokenizer, BERT)


def byte_bpe(texts: list[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """Train byte-level BPE, as RoBERTa's: Liu et al. (2019), section 4.4.

    Args:
        texts: Documents to learn the merges from.
        vocab_size: Entries, special tokens and the 256 bytes included.

    Raises:
        UserError: `vocab_size` is below 256 bytes and the special tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _check_size(vocab_size, len(alphabet) + len(ROBERTA))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(ROBERTA.values()),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _finish(tokenizer, ROBERTA)


def unigram(texts: list[str], *, vocab_size: int, lowercase: bool) -> PreTrainedTokenizerFast:
    """Train a Unigram model over SentencePiece text, as ALBERT's: Lan et al. (2020), section 4.1.

    Args:
        texts: Documents to learn the pieces from.
        vocab_size: Entries, special tokens included.
        lowercase: Lower-case and strip accents ("uncased").

    Raises:
        UserError: `vocab_size` is too small for `texts`; where it is too large, fewer entries are made.
    """
    steps = [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    normalizer = normalizers.Sequence([*(steps if lowercase else [normalizers.NFKC()]), spaces])
    lines = (line for text in texts for line in text.splitlines())
    sentences = [line for line in map(normalizer.normalize_str, lines) if line.strip()]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            normalization_rule_name="identity",
            num_threads=1,
            max_sentence_length=LONGEST_LINE,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            pad_piece=ALBERT["pad"],
            unk_piece=ALBERT["unk"],
            control_symbols=[ALBERT["cls"], ALBERT["sep"], ALBERT["mask"]],
            minloglevel=2,
        )
    except RuntimeError as error:
        bound = re.search(r"value <= (\d+)", str(error))
        if bound and int(bound[1]) < vocab_size:  # as the other trainers do with a small corpus
            logger.info("this corpus gives no more than %s entries of a vocabulary", bound[1])
            return unigram(texts, vocab_size=int(bound[1]), lowercase=lowercase)
        raise UserError(
            f"model.tokenizer.vocab_size={vocab_size} does not suit this corpus: it must be larger"
        ) from error
    trained = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(len(trained))]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return _finish(tokenizer, ALBERT)


def load(folder: Path, *, vocab_size: int | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer in transformers' format.

    Args:
        folder: Holds tokenizer.json, or what transformers can turn into one.
        vocab_size: The model's; None skips the check.

    Raises:
        UserError: The folder holds no tokenizer, or more entries than the model has embeddings.
            (transformers answers a missing vocabulary with a tokenizer of five entries.)
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # `tokenizers` raises Exception itself on a file it cannot read
        raise UserError(
            f"{folder} holds no tokenizer that transformers can read: {' '.join(str(error).split())}"
        ) from error
    if vocab_size is not None and not vocab_size / 2 < len(tokenizer) <= vocab_size:
        raise UserError(
            f"the tokenizer in {folder} has {len(tokenizer)} entries, the model {vocab_size}: "
            "they are not of one model, or the vocabulary file is missing"
        )
    return tokenizer


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Return the ids that other rooms need.

    Raises:
        UserError: The tokenizer lacks a padding, start, separator or mask token.
    """
    names = {
        "pad": "pad_token_id",
        "cls": "cls_token_id",
        "sep": "sep_token_id",
        "mask": "mask_token_id",
    }
    ids = {name: getattr(tokenizer, attribute) for name, attribute in names.items()}
    for name, value in ids.items():
        if value is None:
            raise UserError(
                f"the tokenizer has no {name} token, which an encoder of the BERT family needs"
            )
    return Vocabulary(len(tokenizer), **ids, special=tuple(sorted(set(tokenizer.all_special_ids))))


def fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the sha256 of the tokenizer's full state: two that cut texts alike share it."""
    backend: Any = tokenizer.backend_tokenizer
    return hashlib.sha256(backend.to_str().encode()).hexdigest()


def _check_size(vocab_size: int, least: int) -> None:
    if vocab_size < least:
        raise UserError(
            f"model.tokenizer.vocab_size={vocab_size} cannot hold the alphabet of this corpus: "
            f"it must be at least {least}"
        )


def _finish(tokenizer: Tokenizer, names: dict[str, str]) -> PreTrainedTokenizerFast:
    """Add the [CLS] text [SEP] template and wrap for transformers."""
    cls, sep = names["cls"], names["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    special = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
