"""The tagger of words: learns what words look like and stand beside, and nothing that is not there."""

import numpy as np
import pytest
from conftest import SHARED

from bertbench.baselines.words import WordTagger, accuracy, shape
from bertbench.errors import UserError

DETERMINER, NOUN, VERB, ADVERB = range(4)
CLASSES = 4


def draw(count, seed):
    """Return sentences such as "the bofex can rumly": "can" is noun or verb, new words have endings."""
    generator = np.random.Generator(np.random.Philox(key=seed))

    def new(ending):
        return "".join(generator.choice([*"bcdfgklmnprst"], 4)) + ending

    texts, labels = [], []
    for _ in range(count):
        noun = "can" if generator.random() < 0.5 else new("ex")
        verb = "can" if generator.random() < 0.5 else new("ite")
        texts.append([str(generator.choice(["the", "A", "some"])), noun, verb, new("ly")])
        labels.append(np.array([DETERMINER, NOUN, VERB, ADVERB]))
    return texts, labels


def fit(train, validation, **more):
    settings = {"classes": CLASSES, "penalties": [0.1, 1.0, 10.0]} | more
    return WordTagger.fit(*train, *validation, **settings)


@pytest.fixture(scope="module")
def train():
    return draw(150, 0)


@pytest.fixture(scope="module")
def validation():
    return draw(100, 1)


@pytest.fixture(scope="module")
def fitted(train, validation):
    return fit(train, validation)[0]


def test_a_grammar_is_learned(fitted):
    """Of new words by their endings, of one that is two things by what stands beside it."""
    texts, labels = draw(200, 2)
    assert accuracy(labels, fitted.predict(texts)) == 1


def test_permuted_labels_score_chance(train, validation):
    generator = np.random.Generator(np.random.Philox(key=3))
    mixed = generator.permutation(np.concatenate(train[1]))
    tagger, _ = fit((train[0], np.split(mixed, len(train[0]))), validation)
    texts, labels = draw(200, 2)
    assert abs(accuracy(labels, tagger.predict(texts)) - 1 / CLASSES) < 0.1


def test_probabilities_come_sentence_by_sentence(fitted):
    texts = [["the"], [], ["A", "bofex", "can"], []]
    found = fitted.predict(texts)
    assert [one.shape for one in found] == [(1, 4), (0, 4), (3, 4), (0, 4)]
    assert all(one.dtype == np.float64 for one in found)
    np.testing.assert_allclose(np.concatenate(found).sum(1), 1, rtol=0, atol=1e-12)
    assert fitted.predict([]) == []


def test_a_sentence_is_tagged_alone_as_in_company(fitted, validation):
    together = fitted.predict(validation[0][:20])
    for words, expected in zip(validation[0][:20], together, strict=True):
        np.testing.assert_allclose(fitted.predict([words])[0], expected, rtol=0, atol=1e-12)


def test_fitting_twice_and_loading_are_the_same_bits(fitted, train, validation, tmp_path):
    again, _ = fit(train, validation)
    fitted.save(tmp_path)
    for other in (again, WordTagger.load(tmp_path)):
        assert list(other.features.items()) == list(fitted.features.items())
        for here, there in zip(
            fitted.predict(validation[0]), other.predict(validation[0]), strict=True
        ):
            assert here.tobytes() == there.tobytes()
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_a_feature_counts_if_enough_words_have_it(train, validation):
    every, _ = fit(train, validation, min_count=1, penalties=[1.0])
    often, _ = fit(train, validation, min_count=2, penalties=[1.0])
    rare = [word for text in train[0] for word in text if word.endswith("ly")]
    assert {f"word={word}" for word in rare} <= every.features.keys()
    assert {f"word={word}" for word in rare if rare.count(word) == 1}.isdisjoint(often.features)
    assert "suffix=ly" in often.features


def test_the_metric_given_chooses_the_penalty(train, validation):
    """Of a metric that likes low confidence best, the strongest penalty."""

    def doubt(labels, probabilities):
        return -float(np.concatenate(probabilities).max(1).mean())

    penalties = [10.0, 0.1, 1.0]
    assert fit(train, validation, penalties=penalties, score=doubt)[1] == 0.1
    assert fit(train, validation, penalties=penalties)[1] > 0.1  # the log loss, all else equal


def test_a_class_that_was_not_trained_on_has_probability_zero(train, validation):
    tagger, _ = fit(train, validation, classes=6, penalties=[1.0])
    assert (np.concatenate(tagger.predict(validation[0]))[:, 4:] == 0).all()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Obama", "Xxx"),
        ("USA", "XX"),
        ("iPhone7", "xXxxd"),
        ("2017-08", "dd-dd"),
        ("@paulwalk", "@xx"),
        ("!!!!", "!!"),
        ("Été", "Xxx"),
        ("", ""),
    ],
)
def test_the_shape_of_a_word(word, expected):
    assert shape(word) == expected


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"penalties": []}, "at least one"),
        ({"penalties": [1, 0]}, "above 0"),
        ({"min_count": 0}, "at least 1"),
        ({"min_count": 10_000}, "lower it"),
    ],
)
def test_a_tagger_that_cannot_be_is_refused(more, said, train, validation):
    with pytest.raises(UserError, match=said):
        fit(train, validation, **more)


def test_words_of_one_class_are_refused(train, validation):
    with pytest.raises(UserError, match="one class"):
        fit((train[0], [np.zeros(4, dtype=np.int64)] * len(train[0])), validation)


def read(file, word, label):
    """Return sentences of cells (word, label) of a file with tabs between columns."""
    if not file.exists():
        pytest.skip(f"no {file.name}")
    found = [[]]
    for line in file.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if not line.strip():
            found.append([])
        elif len(cells) > max(word, label) and (word == 0 or cells[0].isdigit()):
            found[-1].append((cells[word], cells[label]))
    return [sentence for sentence in found if sentence]


def load(files, word, label):
    """Return classes, and texts and labels of each file."""
    parts = [read(file, word, label) for file in files]
    classes = sorted({tag for part in parts for sentence in part for _, tag in sentence})
    return classes, [
        (
            [[word for word, _ in sentence] for sentence in part],
            [np.array([classes.index(tag) for _, tag in sentence]) for sentence in part],
        )
        for part in parts
    ]


@pytest.mark.slow
def test_parts_of_speech_of_air_travel_questions():
    """Better than the most frequent tag of each word by far; 0.988 was measured."""
    files = [SHARED / f"ud_atis/en_atis-ud-{part}.conllu" for part in ("train", "dev", "test")]
    classes, (train, validation, test) = load(files, 1, 3)
    tagger, _ = fit(train, validation, classes=len(classes), penalties=[1.0])
    assert accuracy(test[1], tagger.predict(test[0])) > 0.98


@pytest.mark.slow
def test_names_in_noisy_texts():
    """Span F1 of 0.146 was measured with C = 10; who tags nothing has 0, and an accuracy of 0.92."""
    names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    classes, (train, validation, test) = load([SHARED / "wnut17" / name for name in names], 0, 1)
    tagger, _ = fit(train, validation, classes=len(classes), penalties=[10.0])
    right = found = true = 0
    for labels, probabilities in zip(test[1], tagger.predict(test[0]), strict=True):
        expected, given = spans(labels, classes), spans(probabilities.argmax(1), classes)
        right, found, true = (
            right + len(expected & given),
            found + len(given),
            true + len(expected),
        )
    assert 2 * right / (found + true) > 0.13


def spans(numbers, classes):
    """Return (start, end, type) of the names in one sentence; a name may begin with I."""
    tags = [classes[number] for number in numbers] + ["O"]
    found, start = set(), None
    for place, tag in enumerate(tags):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((start, place, tags[start][2:]))
            start = None
        if start is None and tag != "O":
            start = place
    return found
