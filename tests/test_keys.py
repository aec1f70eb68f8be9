"""Every setting has its place: it moves the keys of the stages that depend on it, and no other."""

import fnmatch
import functools

import pytest
import yaml
from conftest import CONF
from keys import LETTERS, RUNS, altered, config_with, leaves, moved, plan_of, with_leaf

from bertbench.errors import UserError
from bertbench.kinds import KINDS
from bertbench.records import STAGES

REFUSED, ABSENT = "!", "."
SEEDS = ("seed", "pretrain.seed")

# A setting, and the stages whose keys move with it: Tokenizer, toKens, emBeddings, Packed corpus, Encoder,
# Intrinsic measures, Features, tRansfer. "." is a setting that the run does not have, "-" moves nothing,
# "!" is refused. The files of a task are read by its source, whose data are in the keys. A new setting is
# placed here by its author; what cannot change a result moves nothing.
TABLE = """
setting               full    frozen   random   counted   released  continued  taught   tfidf  swept

name                  -       -        -        -         -         -          -        -      -
seed                  R       R        EFR      EFR       R         R          R        R      R
rerun                 -       -        -        -         -         -          -        -      -
model.name            -       -        -        -         -         -          -        -      -
model.architecture*   EIR     EIFR     EFR      EFR       -         -          EIR      !      TKPEIFR
model.tokenizer*      TKPEIR  TKPEIFR  TEFR     TKBEFR    -         -          TKPEIR   -      -
model.released*       -       -        -        -         -         -          -        -      -
weights.released      TKPEIR  TKPEIFR  TEFR     TKBEFR    TEFR      TKPEIR     !        -      -
weights.source        -       -        -        -         EFR       KPEIR      -        -      -
weights.train         KPEIR   KPEIFR   KPEIFR   PEIFR     KPEIFR    KPEIR      KPEIR    -      -
weights.reset         -       -        -        -         EFR       EIR        -        -      -
scale.name            -       -        -        -         -         -          -        -      -
scale.depth           EIR     EIFR     EFR      EFR       !         !          EIR      -      -
scale.width           EIR     EIFR     EFR      EFR       !         !          EIR      -      -
scale.heads           EIR     EIFR     EFR      EFR       -         -          EIR      -      -
scale.intermediate    EIR     EIFR     EFR      EFR       -         -          EIR      -      -
scale.positions       EIR     EIFR     EFR      EFR       -         -          EIR      -      -
scale.*_lr            -       -        -        -         -         -          -        -      -
objective             .       .        .        .         .         .          .        .      .
objective._target_    EIR     EIFR     -        -         -         EIR        EIR      -      -
objective.pairs       !       !        .        .         -         !          .        .      .
objective.weight      EIR     EIFR     .        .         -         EIR        .        .      .
objective.generator   .       .        .        .         .         .          .        .      .
objective.teacher     .       .        .        .         .         .          TKPEIR   .      .
objective.temperature .       .        .        .         .         .          EIR      .      .
objective.[cems]*     .       .        .        .         .         .          EIR      .      .
masking.*             EIR     EIFR     -        -         -         EIR        EIR      -      -
packing._target_      PEIR    PEIFR    -        -         -         PEIR       PEIR     -      -
packing.second        !       !        .        .         -         !          .        .      .
packing.sh*           PEIR    PEIFR    .        .         -         PEIR       .        .      .
corpus.*              TKPEIR  TKPEIFR  TEFR     TKBEFR    -         KPEIR      TKPEIR   -      -
embeddings            BEIR    BEIFR    KBEFR    .         -         -          BEIR     -      -
embeddings.*          .       .        .        BEFR      .         .          .        .      .
pretrain.frequencies  EIR     EIFR     -        -         -         -          EIR      -      -
pretrain.seed         PEIR    PEIFR    -        BEFR      -         PEIR       PEIR     -      -
pretrain.optim.*      EIR     EIFR     -        -         -         EIR        EIR      -      -
pretrain.tokens       EIR     EIFR     -        -         -         EIR        EIR      -      -
pretrain.steps        !       !        -        -         -         !          !        -      -
pretrain.seconds      !       !        -        -         -         !          !        -      -
pretrain.length       PEIR    PEIFR    -        -         -         PEIR       PEIR     -      -
pretrain.short.share  EIR     EIFR     -        -         -         EIR        EIR      -      -
pretrain.short.[lb]*  -       -        -        -         -         -          -        -      -
pretrain.batch_size   EIR     EIFR     -        -         -         EIR        EIR      -      -
pretrain.heldout      PEIR    PEIFR    -        BEFR      -         PEIR       PEIR     -      -
pretrain.deduplicate  KPEIR   KPEIFR   -        KBEFR     -         KPEIR      KPEIR    -      -
pretrain.log_every    -       -        -        -         -         -          -        -      -
pretrain.evaluations  -       -        -        -         -         -          -        -      -
pretrain.measured     IR      IR       -        -         -         IR         IR       -      -
task.name             -       -        -        -         -         -          -        -      -
task.source.*         R       FR       FR       FR        FR        R          R        R      R
task.kind             -       -        -        -         -         -          -        -      -
task.train            -       -        -        -         -         -          -        -      -
task.validation       -       -        -        -         -         -          -        -      -
task.test             -       -        -        -         -         -          -        -      -
task.text             -       -        -        -         -         -          -        -      -
task.second           -       -        -        -         -         -          -        -      -
task.label            -       -        -        -         -         -          -        -      -
task.group            -       -        -        -         -         -          -        -      -
task.id               -       -        -        -         -         -          -        -      -
task.format           -       -        -        -         -         -          -        -      -
task.header           -       -        -        -         -         -          -        -      -
task.encoding         -       -        -        -         -         -          -        -      -
task.incomplete       -       -        -        -         -         -          -        -      -
task.leaks            -       -        -        -         -         -          -        -      -
task.metric           R       R        R        R         R         R          R        R      R
task.metrics          R       R        R        R         R         R          R        R      R
task.train_size       R       FR       FR       FR        FR        R          R        R      R
task.train_share      R       FR       FR       FR        FR        R          R        R      R
task.labels_per_class R       FR       FR       FR        FR        R          R        R      R
task.long_text        R       FR       FR       FR        FR        R          R        -      -
task.max_length       R       FR       FR       FR        FR        R          R        -      -
mode._target_         FR      FR       FR       FR        FR        FR         FR       -      -
mode.pooling          R       FR       FR       FR        FR        R          R        .      -
mode.layer            R       FR       FR       FR        FR        R          R        .      -
mode.penalties        .       R        R        R         R         .          .        R      -
mode.span.*           .       -        -        -         -         .          .        .      -
mode.characters       .       .        .        .         .         .          .        R      .
mode.ngrams           .       .        .        .         .         .          .        R      .
mode.min_documents    .       .        .        .         .         .          .        R      .
mode.stop_words       .       .        .        .         .         .          .        R      .
mode.ridge            .       .        .        .         .         .          .        -      .
mode.dropout          R       .        .        .         .         R          R        .      .
mode.epochs           R       .        .        .         .         R          R        .      .
mode.min_steps        R       .        .        .         .         R          R        .      .
mode.batch_size       R       .        .        .         .         R          R        .      .
mode.learning_rates   R       .        .        .         .         R          R        .      .
mode.optim.*          R       .        .        .         .         R          R        .      .
baseline.[!r]*        -       -        -        -         -         -          -        -      R
baseline.ridge        -       -        -        -         -         -          -        -      -
tracking.*            -       -        -        -         -         -          -        -      -
runtime.*             -       -        -        -         -         -          -        -      -
"""
# The same for the number of a stage's version. What a run does not make has no version in its keys.
VERSIONS = """
stage                 full    frozen   random   counted   released  continued  taught   tfidf  swept

tokenizer             TKPEIR  TKPEIFR  TEFR     TKBEFR    -         -          TKPEIR   -      -
tokens                KPEIR   KPEIFR   -        KBEFR     -         KPEIR      KPEIR    -      -
embeddings            -       -        -        BEFR      -         -          -        -      -
packed                PEIR    PEIFR    -        -         -         PEIR       PEIR     -      -
encoder               EIR     EIFR     EFR      EFR       -         EIR        EIR      -      -
intrinsic             IR      IR       -        -         -         IR         IR       -      -
features              -       FR       FR       FR        FR        -          -        -      -
transfer              R       R        R        R         R         R          R        R      R
"""


def read_table(text):
    """Return {pattern: {run: cell}}."""
    header, *rows = [line.split() for line in text.splitlines() if line]
    assert header[1:] == list(RUNS)
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


PLACED = read_table(TABLE)
every_run = pytest.mark.parametrize("run", RUNS)


def row_of(place):
    """Return the row of the table in which a setting stands."""
    rows = [pattern for pattern in PLACED if fnmatch.fnmatchcase(place, pattern)]
    assert len(rows) == 1, f"{place}: say in one row of TABLE which keys it moves, not in {rows}"
    return rows[0]


FROZEN, FULL = "bertbench.modes.frozen.Frozen", "bertbench.modes.full.Full"
OTHER = {  # a changed value that is still one, where its type does not say which
    "task.source._target_": "keys.other_task",
    "corpus._target_": "keys.other_corpus",
    "task.metric": "macro_f1",
    **{f"task.{name}": "other" for name in ("train", "validation", "test", "text", "second")},
    **{f"task.{name}": "other" for name in ("label", "group", "id", "format", "encoding")},
    "task.header": True,
    "task.incomplete": "error",
    "task.leaks": "error",
    "task.train_share": 0.5,
    "task.train_size": 30,
    "task.labels_per_class": 5,
    "task.long_text": "window",
    "runtime.device": "cpu",
    "runtime.threads": 1,
    "rerun": "always",
    "masking.views": 3,
    "embeddings": {"_target_": "bertbench.data.cooccurrence.factors"},
    "mode.learning_rates": [1e-3],
    "pretrain.steps": 7,
    "pretrain.seconds": 5.0,
    "masking.rate_end": 0.05,
    "model.architecture": {"_target_": "bertbench.models.families.bert", "dropout": 0.1},
    "model.tokenizer": {"_target_": "bertbench.tokenizer.wordpiece"},
    "model.released": {"tiny": "/elsewhere"},
}
SWAPPED = {
    "mode._target_": {FULL: FROZEN},
    "mode.pooling": {"cls": "mean", "mean": "cls"},
}


TOYS = {"classification": "pairs", **{kind: kind for kind in KINDS if kind != "classification"}}
GRAMS = {"ngrams", "characters", "min_documents", "stop_words"}
UNREAD = {  # settings of a mode that a kind does not read
    "tfidf": {
        "regression": {"penalties"},
        "token": GRAMS | {"ridge"},
        "span": GRAMS | {"ridge", "penalties"},
        **{key: {"ridge"} for key in ("classification", "multilabel", "ranking")},
    },
    "frozen": {
        "token": {"pooling", "span"},
        "span": {"pooling", "penalties"},
        **{key: {"span"} for key in ("classification", "multilabel", "ranking", "regression")},
    },
    "full": {"token": {"pooling"}, "span": {"pooling"}},
}


def changed(place, value, other_source):
    if place in ("weights.source", "objective.teacher"):
        return str(other_source)
    if place in SWAPPED:
        return SWAPPED[place].get(value, FULL)
    if place in OTHER:
        return OTHER[place]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.05
    if isinstance(value, list):
        return value[:-1]
    assert isinstance(value, str), f"{place}={value}: say in OTHER how it can be changed"
    return f"{value}_other"


@pytest.fixture
def config_of(checkpoint_folder):
    """Return a function from the name of a run to its config."""
    return functools.partial(config_with, checkpoint_folder)


@every_run
def test_each_setting_moves_the_keys_that_depend_on_it_alone(
    run, config_of, checkpoint_folder, tmp_path
):
    """And the group moves with the run's key, save for the seeds."""
    config, found = config_of(run), {}
    before = plan_of(config)
    other_source = altered(checkpoint_folder, "config.json", tmp_path / "other")
    for place, value in leaves(config).items():
        other = changed(place, value, other_source)
        assert other != value
        try:
            after = plan_of(with_leaf(config, place, other))
        except UserError:
            found[place] = REFUSED
        else:
            found[place] = moved(before, after)
            regrouped = after.group != before.group
            assert regrouped == ("R" in found[place] and place not in SEEDS), place
    assert found == {place: PLACED[row_of(place)][run] for place in found}
    met = {row_of(place) for place in found}
    assert met == {row for row, cells in PLACED.items() if cells[run] != ABSENT}


def yaml_leaves(path):
    """Return the settings that an option brings, by their places in the config."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content.pop("defaults", None)
    if "@package _global_" in path.read_text(encoding="utf-8"):
        return leaves(content)
    prefixes = {"optim": ["pretrain.optim.", "mode.optim."]}
    group = path.parent.name
    return [p for prefix in prefixes.get(group, [f"{group}."]) for p in leaves(content, prefix)]


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(CONF.glob("*/*.yaml")) if p.parent.name != "hydra"],
    ids=lambda path: path.relative_to(CONF).with_suffix("").as_posix(),
)
def test_each_setting_of_each_option_is_in_the_table(path):
    """Those of variants that none of the runs above has."""
    for place in yaml_leaves(path):
        row_of(place)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", ["tfidf", "frozen", "full"])
def test_settings_of_a_mode_are_in_the_key_of_the_kinds_that_read_them(run, kind, config_of):
    """And windows are what is read of words and questions where nobody says."""
    config = with_leaf(config_of(run), "task.source._target_", f"toy_kinds.{TOYS[kind]}")
    config = functools.reduce(
        lambda made, place: with_leaf(made, place, None),
        ("task.metric", "task.metrics", "task.long_text"),
        config,
    )
    before, unread = plan_of(config), set()
    for place, value in leaves({"mode": config["mode"]}).items():
        if place != "mode._target_":
            after = plan_of(with_leaf(config, place, changed(place, value, "")))
            unread |= {place.split(".")[1]} if moved(before, after) == "-" else set()
    assert unread == UNREAD[run].get(kind, set())
    if run != "tfidf":
        windows = kind in ("token", "span")
        assert before.science["task"]["long_text"] == ("window" if windows else "head")


def test_short_rows_are_in_the_key_where_there_are_any(config_of):
    config = with_leaf(config_of("full"), "pretrain.short.share", 0.5)
    before = plan_of(config)
    for place, value in {"length": 12, "batch_size": 7}.items():
        after = plan_of(with_leaf(config, f"pretrain.short.{place}", value))
        assert moved(before, after) == "EIR"


@every_run
def test_a_version_moves_its_stage_and_all_that_build_on_it(run, config_of, monkeypatch):
    table, config, found = read_table(VERSIONS), config_of(run), {}
    before = plan_of(config)
    for stage, number in STAGES.items():
        with monkeypatch.context() as patch:
            patch.setitem(STAGES, stage, number + 1)
            found[stage] = moved(before, plan_of(config))
    assert found == {stage: cells[run] for stage, cells in table.items()}


def test_stages_stand_in_their_order_and_the_last_is_the_runs_key(config_of):
    plan = plan_of(config_of("frozen"))
    assert list(plan.stages) == [s for s in STAGES if s != "embeddings"]
    counted = [s for s in STAGES if s not in ("packed", "intrinsic")]
    assert list(plan_of(config_of("counted")).stages) == counted
    assert list(LETTERS) == list(STAGES)
    assert plan.stages["transfer"] == plan.key
    assert plan_of(config_of("tfidf")).stages == plan_of(config_of("swept")).stages
    assert list(plan_of(config_of("tfidf")).stages) == ["transfer"]
