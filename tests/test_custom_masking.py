"""The rule of docs/masking_rule.md, word for word, works from outside the package."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import CONF, small
from hydra import compose, initialize_config_dir

from bertbench import config
from bertbench.types import IGNORE, Batch, Vocabulary

DOC = Path(__file__).parents[1] / "docs" / "masking_rule.md"
FILES = re.compile(
    r"^## [^\n]*`([\w/.]+)`\n+```(?:python|yaml)\n(.*?)```$", re.DOTALL | re.MULTILINE
)
VOCABULARY = Vocabulary(size=97, pad=0, cls=5, sep=6, mask=50, special=(0, 5, 6, 50))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of the guide, from which their code can be imported."""
    for name, text in FILES.findall(DOC.read_text(encoding="utf-8")):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_rules"]:
        del sys.modules[name]


def overrides(folder):
    return [f"hydra.searchpath=[file://{folder}/my_conf]", "masking=every_third"]


def rule(folder, **changes):
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        values = config.plain(compose("config", overrides=overrides(folder)), complete=False)
    return config.build(values["masking"] | changes, vocabulary=VOCABULARY, seed=3)


def batch(rows=500, length=128):
    generator = np.random.default_rng(0)
    ids = torch.from_numpy(generator.integers(1, VOCABULARY.size, (rows, length)))
    ids[:, 100:] = VOCABULARY.pad
    return Batch(
        ids=ids,
        attention_mask=ids != VOCABULARY.pad,
        maskable=~torch.isin(ids, torch.tensor(VOCABULARY.special)),
        starts=torch.from_numpy(generator.random((rows, length)) < 0.6),
        segment_ids=torch.zeros_like(ids),
        related=torch.full((rows,), IGNORE),
        sequence=torch.arange(rows),
        epoch=0,
    )


def test_the_guide_has_one_short_file_and_one_yaml():
    files = dict(FILES.findall(DOC.read_text(encoding="utf-8")))
    assert list(files) == ["my_rules/every_third.py", "my_conf/masking/every_third.yaml"]
    code, settings = files.values()
    assert len(code.splitlines()) <= 50
    assert {"rate", "rate_end", "swap", "keep", "views"} <= yaml.safe_load(settings).keys()


def test_the_rule_picks_every_third_token(folder):
    given = batch()
    made = rule(folder, rate=1 / 3)(given)
    picked = (made.labels != IGNORE).numpy()
    beginnings = set()
    for row, maskable in zip(picked, given.maskable.numpy(), strict=True):
        ranks = np.flatnonzero(row[maskable])
        assert not row[~maskable].any()
        assert (np.diff(ranks) == 3).all()
        beginnings.add(int(ranks[0]))
    assert beginnings == {0, 1, 2}


def test_the_rule_obeys_views_schedule_and_padding(folder):
    """What `Hiding` gives to any rule."""
    given, masking = batch(), rule(folder, rate=0.3, rate_end=0.1, views=10)
    first = masking(given)
    assert torch.equal(masking(given._replace(epoch=10)).ids, first.ids)
    assert not torch.equal(masking(given._replace(epoch=1)).labels, first.labels)
    short = given._replace(
        **{key: getattr(given, key)[7:20, :100] for key in ("ids", "maskable", "starts")},
        sequence=given.sequence[7:20],
    )
    assert torch.equal(masking(short).ids, first.ids[7:20, :100])
    for spent, rate in ((0.0, 0.3), (0.5, 0.2)):
        labels = masking(given._replace(spent=spent)).labels
        share = float((labels != IGNORE).sum() / given.maskable.sum())
        assert share == pytest.approx(rate, abs=0.002)


def test_the_front_door_takes_the_guides_command(folder):
    command = [sys.executable, "-m", "bertbench", *overrides(folder), "--cfg", "job"]
    found = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = yaml.safe_load(found.stdout)["masking"]
    assert printed == yaml.safe_load((folder / "my_conf/masking/every_third.yaml").read_text())


def test_a_run_trains_with_the_rule(folder):
    """The guide's command to its end, on the toy task."""
    settings = [*small(), "model.tokenizer.vocab_size=120", "mode=frozen", "baseline=null"]
    command = [sys.executable, "-m", "bertbench", *overrides(folder), *settings]
    found = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert found.returncode == 0, found.stderr
    assert "every_third" in (folder / "results/main/sheet.md").read_text(encoding="utf-8")
