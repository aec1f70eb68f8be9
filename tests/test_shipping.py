"""An encoder that is given away: made by one command, sealed, and used as it says."""

import json
import math
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED, SMALL
from conftest import WEIGHTS as SHIPPED
from safetensors.torch import load_file

from bertbench.commands import card as card_command
from bertbench.commands import pretrain as pretrain_command
from bertbench.errors import UserError
from bertbench.models import checkpoint
from bertbench.models.packaging import pack
from bertbench.models.released import identity, locate
from bertbench.models.safety import WEIGHTS
from bertbench.models.seal import ABOUT, CARD, CHECKSUMS, seal, verify
from bertbench.plan import make_plan
from bertbench.progress import Checkpoints
from bertbench.recipe import provide_encoder
from bertbench.records import RunRecord, fingerprint
from bertbench.report.card import card
from bertbench.run import execute
from bertbench.store import Store

OVERRIDES = [*SMALL, "model=roberta", "model.tokenizer.vocab_size=300", "tracking=none"]
OVERRIDES += ["embeddings=cooccurrence", "pretrain.frequencies=true", "runtime.threads=1"]
ABOUT_TEXT = "Sentences of three topics, made up."
CORPUS = SHARED / "corpus/english.jsonl.gz"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder that the command wrote; what stands beside it is of no use to its reader."""
    here = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("shipping"))
    try:
        assert pretrain_command.main(["encoder", *OVERRIDES, "--about", ABOUT_TEXT]) == 0
        yield Path("encoder").absolute()
    finally:
        os.chdir(here)


@pytest.fixture
def copy(made, tmp_path):
    """A copy to be changed."""
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_weights_travel_in_half_precision_and_are_used_in_single(made):
    assert {weight.dtype for weight in load_file(made / WEIGHTS).values()} == {torch.float16}
    model = checkpoint.load(made)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_what_is_packed_is_the_encoder_rounded(made):
    [entry] = (made.parent / ".bertbench" / "encoder").iterdir()
    whole, half = checkpoint.load(entry).state_dict(), checkpoint.load(made).state_dict()
    assert whole.keys() == half.keys()
    for name, weight in whole.items():
        assert torch.equal(weight.half().float(), half[name])


def test_the_card_says_what_it_is_made_of_and_what_it_has_learnt(made):
    text = (made / CARD).read_text(encoding="utf-8")
    about = json.loads((made / ABOUT).read_text(encoding="utf-8"))
    for said in (
        "# roberta tiny",
        ABOUT_TEXT,
        "bigram predictor",
        "both sides",
        about["key"][:20],
    ):
        assert said in text
    assert f"{about['stats']['heldout_accuracy']:.3f}" in text
    assert shlex.join(["python", "-m", "bertbench", "pretrain", "encoder", *OVERRIDES]) in text
    assert about["key"] == fingerprint(about["recipe"])
    assert next(step for step, _ in about["first_losses"]) == 20


@pytest.mark.parametrize(
    ("weights", "began"), [("continued", "those weights"), ("reset", "random weights")]
)
def test_an_encoder_that_was_trained_on_has_a_card_of_its_own(
    weights, began, made, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    given = [*SMALL, "model=roberta", f"weights={weights}", f"weights.source={made}"]
    assert pretrain_command.main(["again", *given, "tracking=none", "runtime.threads=1"]) == 0
    text = Path("again", CARD).read_text(encoding="utf-8")
    assert f"weights {identity(made)[:20]}; began as {began}" in text


def test_the_same_command_again_writes_the_same_files(made, monkeypatch):
    monkeypatch.chdir(made.parent)
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    assert pretrain_command.main(["encoder", *OVERRIDES, "--about", ABOUT_TEXT]) == 0
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_remade_encoder_is_the_same_to_the_bit(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrain_command.main(["encoder", *OVERRIDES]) == 0
    assert identity(tmp_path / "encoder") == identity(made)


def test_a_run_that_uses_it_knows_its_pretraining(made, values):
    config = values(
        "mode=frozen",
        "model=roberta",
        "weights=released",
        f"weights.source={made}",
        "tracking=none",
    )
    plan = make_plan(config, {"weights": "released", "scale": "tiny"})
    record = execute(plan, overrides=[], sweep="s").record
    about = json.loads((made / ABOUT).read_text(encoding="utf-8"))
    assert record.pretraining == about["stats"]
    assert record.curve == about["curve"]
    assert record.science["encoder"] == {"source": identity(made)}
    sheet = Path("results/x")
    sheet.mkdir(parents=True)
    (sheet / "records.jsonl").write_text(json.dumps(json.loads(record.to_json())) + "\n")
    assert card_command.records_of(identity(made), [sheet]) == ([record], [])
    score = record.metrics["test/accuracy"]
    row = f"| toy | all | frozen | 1 | accuracy | {score:.3f} |"
    assert f"{row} – | – | – |" in card(about, [record])
    others = [
        with_score(record, seed=seed, score=score - 0.1 - seed / 100, encoder=encoder, mode=mode)
        for encoder, mode in (
            ({"source": identity(made), "reset": True, "seed": 0}, "frozen"),
            ({"source": "another", "reset": True, "seed": 0}, "frozen"),
            (None, "tfidf"),
        )
        for seed in range(2)
    ]
    again = [record, with_score(record, seed=1, score=score)]
    told = card(about, again, others[:2] + others[4:])
    half = 12.706 * 0.01 / 2**0.5 / 2**0.5  # Student's t with one degree of freedom
    lower = f"{score - 0.105:.3f} ± 0.007"
    assert (
        f"2 | accuracy | {score:.3f} ± 0.000 | {lower} | **+0.105 ± {half:.3f}** | {lower} |"
        in told
    )
    assert card(about, again, others) == told


def with_score(record, *, seed, score, encoder=None, mode=None):
    """Return a record of another seed and score, and of another encoder and mode if these are given."""
    science = record.science | ({"encoder": encoder} if mode else {})
    changed = {"seed": seed, "science": science, "mode": mode or record.mode}
    return RunRecord(**vars(record) | changed | {"metrics": {"test/accuracy": score}})


def test_the_command_adds_what_came_of_its_use(copy, capsys):
    sheet = copy / "sheet"
    sheet.mkdir()
    (sheet / "records.jsonl").write_text("")
    assert card_command.main([str(copy), str(sheet)]) == 0
    assert "0 runs of 1 sheets" in capsys.readouterr().out
    verify(copy)  # the card is not sealed
    with pytest.raises(UserError, match=r"nowhere.records\.jsonl does not exist"):
        card_command.main([str(copy), str(copy / "nowhere")])
    with pytest.raises(UserError, match=r"has no pretraining\.json"):
        card_command.main([str(sheet)])


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json", ABOUT])
def test_an_altered_file_is_named(copy, name):
    locate(str(copy), recipe="x")
    content = bytearray((copy / name).read_bytes())
    if name == WEIGHTS:
        content[-1] ^= 1
    (copy / name).write_bytes(bytes(content) + (b"" if name == WEIGHTS else b" "))
    with pytest.raises(UserError, match=rf"{name} is not the file that was sealed"):
        locate(str(copy), recipe="x")


def test_a_missing_file_is_named(copy):
    (copy / ABOUT).unlink()
    with pytest.raises(UserError, match=rf"{ABOUT} is missing"):
        verify(copy)


@pytest.mark.parametrize("content", ["", "[1]", "7"])
def test_checksums_that_are_none_are_refused(copy, content):
    (copy / CHECKSUMS).write_text(content)
    with pytest.raises(UserError, match=CHECKSUMS):
        verify(copy)


def test_a_folder_without_checksums_is_taken_as_it_is(checkpoint_folder):
    verify(checkpoint_folder)


def test_packing_twice_gives_the_same_bytes(checkpoint_folder, tmp_path):
    for name in "ab":
        pack(checkpoint_folder, tmp_path / name)
        seal(tmp_path / name)
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] == files[1]
    assert not {"manifest.json", ABOUT} & files[0].keys()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["out", "tiny"], "takes one folder and overrides like model=bert, not tiny"),
        (["out", "weights=random"], r"weights\.train=false"),
        (["out", "model=tfidf"], "model=tfidf has no encoder"),
        (["out", "model=brt"], "brt"),
        ([".", "model=bert"], "is no encoder that was made so: name another folder"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=told) as caught:
        pretrain_command.main(arguments)
    assert type(caught.value).__module__.partition(".")[0] in ("bertbench", "hydra", "omegaconf")
    assert not (tmp_path / "out").exists()


class EnoughError(Exception):
    """Raised by a log that has seen what it wanted."""


@pytest.mark.skipif(not CORPUS.is_file(), reason="needs the corpus beside the project")
@pytest.mark.slow
def test_a_shipped_encoder_is_made_again_by_its_command(tmp_path, monkeypatch, compute):
    """Its first losses; to the bit on the machine that made it, which another processor is not."""
    about = json.loads((SHIPPED / "roberta_tiny" / ABOUT).read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "english.jsonl.gz").symlink_to(CORPUS)
    words = shlex.split(about["command"])[4:]
    overrides = words[1 : words.index("--about")]
    subject = pretrain_command.find(None, ["weights=pretrain", *overrides])
    assert fingerprint(subject.lineage.encoder) == about["key"]
    losses = []

    def log(values, step):
        if "pretrain/loss" in values:
            losses.append([step, values["pretrain/loss"]])
        if len(losses) == 3:
            raise EnoughError

    torch.set_num_threads(1)
    with pytest.raises(EnoughError):
        provide_encoder(subject.lineage, Store(Path("store")), compute, log, Checkpoints())
    wanted = about["first_losses"][:3]
    assert [step for step, _ in losses] == [step for step, _ in wanted]
    assert all(
        math.isclose(a, b, rel_tol=1e-3) for (_, a), (_, b) in zip(losses, wanted, strict=True)
    )
    assert np.isfinite([loss for _, loss in losses]).all()


every_shipped = pytest.mark.parametrize(
    "folder", sorted(p for p in SHIPPED.iterdir() if p.is_dir()), ids=lambda p: p.name
)


@every_shipped
def test_a_shipped_encoder_is_whole_and_its_card_says_what_is_in_its_record(folder):
    assert locate(f"package:bertbench/weights/{folder.name}", recipe="x") == folder
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    assert about["key"] == fingerprint(about["recipe"])
    assert about["about"]  # corpus and licences
    text, before_use = (folder / CARD).read_text(encoding="utf-8"), card(about, [])
    assert text.startswith(before_use[: before_use.index("## Limits")].rstrip())
    assert checkpoint.load(folder).config.hidden_size == about["recipe"]["shape"]["width"]


@every_shipped
def test_a_shipped_encoder_knows_more_than_words_and_uses_both_sides(folder):
    """Three times the unigram predictor's accuracy; the context table beyond its 95 % intervals."""
    stats = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["stats"]
    assert stats["heldout_accuracy"] > 3 * stats["unigram_accuracy"]
    assert stats["heldout_loss"] < stats["bigram_loss"]
    words = stats["intrinsic/context_words"]
    names = ("full", "left", "right", "none")
    means = {name: stats[f"intrinsic/context_{name}"] for name in names}
    margins = {name: 1.96 * math.sqrt(m * (1 - m) / words) for name, m in means.items()}
    for name in names[1:]:
        assert means["full"] - margins["full"] > means[name] + margins[name]


def test_the_shipped_encoders_are_small():
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*") if p.is_file()) < 60 * 2**20
