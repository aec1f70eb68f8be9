"""The trained tokenizers: same texts, same bytes; what is cut comes back; bad input is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy
from conftest import SHAPE
from transformers import PreTrainedTokenizerFast

from bertbench import tokenizer as tokenizers
from bertbench.errors import UserError
from bertbench.models import checkpoint, families

SIZES = {"wordpiece": 120, "byte_bpe": 300, "unigram": 50}
# Written down, for a checkpoint is of no use where they move.
SPECIAL = {
    "wordpiece": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
    "byte_bpe": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4},
    "unigram": {"<pad>": 0, "<unk>": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
}
# pad, unk, cls, sep, mask
ROLES = {
    "wordpiece": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "byte_bpe": ("<pad>", "<unk>", "<s>", "</s>", "<mask>"),
    "unigram": ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
}
FAMILIES = {
    "wordpiece": [families.bert, families.distilbert],
    "byte_bpe": [families.roberta],
    "unigram": [families.albert],
}
every_kind = pytest.mark.parametrize("kind", SIZES)
cased_kinds = pytest.mark.parametrize("kind", ["wordpiece", "unigram"])


def train(kind, texts=None, vocab_size=None, lowercase=True):
    more = {} if kind == "byte_bpe" else {"lowercase": lowercase}
    trainer = getattr(tokenizers, kind)
    return trainer(texts or toy.corpus(), vocab_size=vocab_size or SIZES[kind], **more)


@pytest.fixture(scope="module")
def trained():
    """One tokenizer of each kind."""
    return {kind: train(kind) for kind in SIZES}


@every_kind
def test_the_vocabulary_has_the_size_asked_for(trained, kind):
    assert len(trained[kind]) == SIZES[kind]
    assert tokenizers.vocabulary(trained[kind]).size == SIZES[kind]
    assert sorted(trained[kind].get_vocab().values()) == list(range(SIZES[kind]))


@every_kind
def test_special_tokens_have_the_first_ids(trained, kind):
    vocabulary = trained[kind].get_vocab()
    assert {token: vocabulary[token] for token in SPECIAL[kind]} == SPECIAL[kind]


@every_kind
def test_vocabulary_names_every_special_id(trained, kind):
    found = tokenizers.vocabulary(trained[kind])
    pad, unk, cls, sep, mask = (SPECIAL[kind][token] for token in ROLES[kind])
    assert (found.pad, found.cls, found.sep, found.mask) == (pad, cls, sep, mask)
    assert found.special == tuple(sorted((pad, unk, cls, sep, mask)))
    assert all(type(i) is int for i in found.special)


FINGERPRINTS = """
import test_tokenizer as t
from bertbench.tokenizer import fingerprint
print(*(fingerprint(t.train(kind)) for kind in t.SIZES))
"""


def test_the_same_texts_give_the_same_tokenizer_in_every_process(trained):
    here = Path(__file__).parent
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FINGERPRINTS],
            env=os.environ | {"PYTHONPATH": str(here), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    printed = [process.communicate(timeout=200)[0].split() for process in processes]
    expected = [tokenizers.fingerprint(tokenizer) for tokenizer in trained.values()]
    assert printed == [expected, expected]


@every_kind
def test_training_twice_in_one_process_gives_the_same_tokenizer(trained, kind):
    assert tokenizers.fingerprint(train(kind)) == tokenizers.fingerprint(trained[kind])


@every_kind
def test_other_texts_give_another_tokenizer(trained, kind):
    other = train(kind, [*toy.corpus()[:30], "zebra quagga " * 40])
    assert tokenizers.fingerprint(other) != tokenizers.fingerprint(trained[kind])


@every_kind
def test_a_saved_tokenizer_comes_back_the_same(trained, kind, tmp_path):
    trained[kind].save_pretrained(tmp_path)
    loaded = tokenizers.load(tmp_path, vocab_size=SIZES[kind])
    assert_alike(loaded, trained[kind])


@pytest.mark.parametrize(
    ("kind", "family"), [(kind, family) for kind, group in FAMILIES.items() for family in group]
)
def test_a_tokenizer_saved_beside_its_model_comes_back_the_same(trained, kind, family, tmp_path):
    """transformers looks at the model's type, and has a tokenizer of its own for each."""
    vocabulary = tokenizers.vocabulary(trained[kind])
    more = {"embedding": 16} if family is families.albert else {}
    model = families.initialise(
        family(SHAPE, vocabulary, dropout=0.1, initializer_range=0.02, **more), seed=0
    )
    checkpoint.save(model, trained[kind], tmp_path)
    assert_alike(tokenizers.load(tmp_path, vocab_size=SIZES[kind]), trained[kind])


def assert_alike(loaded, original):
    texts = [*toy.corpus(), "Ünseen wörds, 1,234!", "", "the  Match\tof\nthe year"]
    assert loaded(texts)["input_ids"] == original(texts)["input_ids"]
    pair = loaded("the match", "the song", return_token_type_ids=True)
    assert pair == original("the match", "the song", return_token_type_ids=True)
    assert tokenizers.vocabulary(loaded) == tokenizers.vocabulary(original)
    assert tokenizers.fingerprint(loaded) == tokenizers.fingerprint(original)


@every_kind
def test_every_text_it_was_trained_on_is_cut_without_unknown_tokens(trained, kind):
    tokenizer = trained[kind]
    cut = tokenizer(toy.corpus(), add_special_tokens=False)["input_ids"]
    assert all(cut)
    assert tokenizer.unk_token_id not in {i for ids in cut for i in ids}


@pytest.mark.parametrize("text", ["日本語", "naïve café", "🙂\u200b\x00", "a\tb\n  c", "[MASK] x"])
def test_bytes_know_every_text_and_give_it_back(trained, text):
    tokenizer = trained["byte_bpe"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@every_kind
def test_decoding_gives_back_the_words(trained, kind):
    tokenizer = trained[kind]
    text = toy.corpus()[0]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    expected = text if kind == "byte_bpe" else text.lower()
    assert "".join(back.split()) == "".join(expected.split())


@cased_kinds
def test_uncased_does_not_see_case_or_accents(trained, kind):
    tokenizer = trained[kind]
    assert tokenizer("The MÂTCH")["input_ids"] == tokenizer("the match")["input_ids"]


@cased_kinds
def test_cased_sees_case(kind):
    tokenizer = train(kind, vocab_size=150 if kind == "wordpiece" else 70, lowercase=False)
    assert tokenizer("The Match")["input_ids"] != tokenizer("the match")["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer("The Match")["input_ids"]


@every_kind
def test_texts_stand_in_the_template_and_a_pair_has_two_types(trained, kind):
    """[CLS] a [SEP] b [SEP], types 0 0 0 1 1: Devlin et al. (2019), section 3 and figure 2."""
    tokenizer = trained[kind]
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    a, b = tokenizer(["the match", "a song"], add_special_tokens=False)["input_ids"]
    assert tokenizer("the match")["input_ids"] == [cls, *a, sep]
    pair = tokenizer("the match", "a song", return_token_type_ids=True)
    assert pair["input_ids"] == [cls, *a, sep, *b, sep]
    assert pair["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)


@every_kind
def test_the_most_frequent_words_are_one_piece(trained, kind):
    ids = trained[kind](" the and year", add_special_tokens=False)["input_ids"]
    assert len(ids) == 3


@every_kind
def test_a_long_text_without_line_breaks_is_learned_from(kind):
    """Some trainers skip what is longer than a few thousand bytes."""
    filler = [" ".join(toy.corpus())] * 2
    assert len(filler[0]) > 8000
    tokenizer = train(kind, filler)
    ids = tokenizer("guitar concert", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert len(tokenizer) == SIZES[kind]


@every_kind
def test_a_vocabulary_too_small_for_the_characters_is_refused(kind):
    with pytest.raises(UserError, match=r"vocab_size=12\b"):
        train(kind, vocab_size=12)


def test_a_size_just_large_enough_is_taken(trained):
    with pytest.raises(UserError, match=r"at least (\d+)") as caught:
        train("wordpiece", vocab_size=12)
    least = int(str(caught.value).rpartition(" ")[2])
    assert len(train("wordpiece", vocab_size=least)) == least
    with pytest.raises(UserError, match=f"vocab_size={least - 1}"):
        train("wordpiece", vocab_size=least - 1)
    assert len(train("byte_bpe", vocab_size=261)) == 261
    with pytest.raises(UserError, match=r"vocab_size=260 .* 261"):
        train("byte_bpe", vocab_size=260)


def test_a_vocabulary_too_large_for_the_corpus_is_as_large_as_it_gives(caplog):
    with caplog.at_level("INFO"):
        made = train("unigram", vocab_size=5000)
    assert len(made) < 5000
    assert f"no more than {len(made)} entries" in caplog.text
    assert_alike(made, train("unigram", vocab_size=len(made)))


def test_an_empty_folder_holds_no_tokenizer(tmp_path):
    with pytest.raises(UserError, match="holds no tokenizer") as caught:
        tokenizers.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_does_not_exist_holds_no_tokenizer(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        tokenizers.load(tmp_path / "nowhere")


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert"])
def test_a_model_without_its_vocabulary_is_refused(tmp_path, family):
    """transformers answers with a tokenizer of a few entries."""
    config = {"model_type": family, "vocab_size": 30522}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="tokenizer"):
        tokenizers.load(tmp_path, vocab_size=30522)


def test_a_tokenizer_of_another_model_is_refused(trained, tmp_path):
    trained["wordpiece"].save_pretrained(tmp_path)
    for size in (SIZES["wordpiece"] - 1, 30522):
        with pytest.raises(UserError, match=rf"has 120 entries, the model {size}"):
            tokenizers.load(tmp_path, vocab_size=size)


def test_a_damaged_tokenizer_file_is_refused(trained, tmp_path):
    """Such as the pointer that a clone without git-lfs leaves in its place."""
    trained["wordpiece"].save_pretrained(tmp_path)
    pointer = "version https://git-lfs.github.com/spec/v1\nsize 466062\n"
    (tmp_path / "tokenizer.json").write_text(pointer)
    with pytest.raises(UserError, match="holds no tokenizer"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize("missing", ["pad", "cls", "sep", "mask"])
def test_a_tokenizer_without_a_needed_token_is_refused_by_name(trained, missing):
    names = {f"{name}_token": token for name, token in tokenizers.BERT.items() if name != missing}
    backend = trained["wordpiece"].backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    with pytest.raises(UserError, match=f"no {missing} token"):
        tokenizers.vocabulary(tokenizer)
