"""Records come back as they were written, older ones still load, and fingerprints name values."""

import dataclasses
import json
from itertools import combinations

import pytest

from bertbench.errors import UserError
from bertbench.records import SCHEMA, RunRecord, fingerprint, read_record

RECORD = RunRecord(
    key="a" * 64,
    group="b" * 64,
    name="main",
    task="bbc",
    mode="frozen",
    seed=3,
    recipe={"model": "bert", "weights": "pretrain", "masking": "static"},
    science={"mode": {"C": [0.1, 1.0], "pooling": "mean"}, "train_size": None, "ü": "日本"},
    metric="accuracy",
    metrics={"test/accuracy": 0.1 + 0.2, "test/log_loss": 1e-300, "test/mcc": -1.0},
    chosen={"C": 1.0},
    cost={"seconds": 12.5, "parameters": 4e6},
    pretraining={},
    data={"fingerprint": "c" * 64, "sizes": {"train": 1275}},
    environment={"torch": "2.6", "device": "CPU, float32"},
    overrides=["model=bert", "seed=3"],
)


def fields(**changes):
    return dataclasses.asdict(RECORD) | changes


def without(*names):
    return {name: value for name, value in fields().items() if name not in names}


def test_a_record_comes_back_as_it_was_written():
    assert RunRecord.from_json(RECORD.to_json()) == RECORD


def test_a_record_comes_back_from_a_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(RECORD.to_json(), encoding="utf-8")
    assert read_record(path) == RECORD


def test_writing_twice_gives_the_same_text():
    assert RunRecord.from_json(RECORD.to_json()).to_json() == RECORD.to_json()


def test_fields_of_another_version_are_ignored():
    text = json.dumps(fields(added_later={"x": 1}, colour="red"))
    assert RunRecord.from_json(text) == RECORD


def test_a_record_from_before_a_field_with_default_still_loads():
    old = RunRecord.from_json(json.dumps(without("overrides", "schema")))
    assert old == dataclasses.replace(RECORD, overrides=[], schema=SCHEMA)


@pytest.mark.parametrize("schema", [SCHEMA + 1, SCHEMA + 100])
def test_a_newer_schema_is_refused(schema):
    with pytest.raises(UserError, match=r"results/x\.json .*newer bertbench"):
        RunRecord.from_json(json.dumps(fields(schema=schema)), place="results/x.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        RECORD.to_json()[:-40],
        "[]",
        "3",
        "null",
        '"text"',
        "{}",
        json.dumps(without("key")),
        json.dumps(fields(schema="one")),
        json.dumps(fields(schema=None)),
    ],
    ids=[
        "empty",
        "words",
        "cut",
        "list",
        "number",
        "null",
        "string",
        "no fields",
        "no key",
        "schema in words",
        "schema null",
    ],
)
def test_what_is_no_record_is_refused_by_its_place(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(path)


def test_bytes_that_are_no_text_are_refused_by_their_place(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(UserError, match=r"record\.json"):
        read_record(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x": {"a": 1, "b": [1, 2]}, "y": None}, {"y": None, "x": {"b": [1, 2], "a": 1}}),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ((1, 2), [1, 2]),
    ],
)
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(one, other):
    assert fingerprint(one) == fingerprint(other)


VALUES = [
    {}, [], None, 0, 0.0, False, True, 1, 1.0, "", "1", "null", "é", "e\u0301", "1,2",
    [1, 2], [2, 1], [[1], 2], [1, [2]], ["1,2"], ["1", "2"], {"a": 1}, {"a": "1"}, {"a": [1]},
    {"a": None}, {"b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 1}}, {"a.b": 1},
    {"a": 0.1}, {"a": 0.1 + 1e-16}, {"a": 0.30000000000000004}, {"a": 0.3}, {"lr": 1e-5},
]  # fmt: skip


def test_different_values_have_different_fingerprints():
    for one, other in combinations(VALUES, 2):
        same = json.dumps(one) == json.dumps(other)  # 0.1 + 1e-16 is 0.1
        assert (fingerprint(one) == fingerprint(other)) == same, (one, other)


def test_a_fingerprint_is_sha256_of_canonical_json():
    """The digest of '{"a":[1,2]}', by sha256sum."""
    known = "01530d164d479cf08e26d3b1ad9bdba927120d97e2d057a6d792db778780d720"
    assert fingerprint({"a": [1, 2]}) == known
