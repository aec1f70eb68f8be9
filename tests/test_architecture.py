"""The house is as ARCHITECTURE.md draws it, and no room has grown too large."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(
    p.relative_to(ROOT / "bertbench").as_posix()
    for p in (ROOT / "bertbench").rglob("*.py")
    if p.name != "__init__.py"
)


def test_architecture_lists_each_room_once():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    text = text[text.index("## The house") : text.index("## Adding a variant")]
    listed = re.findall(r"^\|[^|]*\| `([\w/]+\.py)` \|", text, flags=re.MULTILINE)
    assert sorted(listed) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_room_has_at_most_300_lines(room):
    assert len((ROOT / "bertbench" / room).read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("group", sorted(p.name for p in (ROOT / "conf").iterdir() if p.is_dir()))
def test_readme_names_each_option_a_user_chooses(group):
    if group in ("hydra", "optim", "pretrain", "experiment"):
        pytest.skip("a group that a user seldom chooses from")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{group}` |"))
    options = row.split("|")[2].strip().split(", ")
    assert sorted(options) == sorted(p.stem for p in (ROOT / "conf" / group).glob("*.yaml"))
