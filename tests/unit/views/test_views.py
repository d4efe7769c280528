"""Views of a data set, what ``augment=`` chooses, and the effect on validation."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

import tiny
import tiny_models
from headstart import views
from headstart.approaches.distill import Distill
from headstart.approaches.finetune import FineTune
from headstart.approaches.scratch import Scratch
from headstart.data import augment
from headstart.data.augment import Augmentation
from headstart.data.dataset import Dataset, Sound, Value
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.features.extract import extract
from headstart.metrics import paired
from headstart.store import Store
from headstart.training.batches import Batches
from headstart.training.run import Run
from headstart.views import effect as effect_module
from headstart.views.effect import Effect, Measured, compared, effects


@dataclass(frozen=True)
class Stamp(Augmentation):
    """Not a real one: paints a square of one colour, or, with ``ruin``, another class over the picture."""

    ruin: bool = False
    order: ClassVar[int] = 1
    paper: ClassVar[str] = "none"

    def apply(self, value: Value, rng: np.random.Generator) -> np.ndarray:
        if self.ruin:
            return tiny.picture(str(rng.choice(tiny.LABELS)), rng)
        return np.asarray(value).copy()


def test_a_view_is_what_a_training_sees() -> None:
    data = tiny.dataset(4)
    steps = augment.steps("image", ("crop", "flip", "rotate"))
    shown = views.viewed(data, steps, 5, 2, tiny.backbone().decode_side())
    batches = Batches(data, np.zeros(len(data), int), tiny.backbone(), 4, steps, seed=5)
    assert len(shown) == len(data) and shown.labels == data.labels
    for place in range(len(data)):
        assert np.array_equal(shown.items[place], batches.augmented(place, 2))
    assert np.array_equal(shown.items[-1], shown.items[len(data) - 1])
    assert [value.shape for value in shown.items[1:3]] == [shown.items[1].shape, shown.items[2].shape]  # type: ignore[union-attr]
    with pytest.raises(IndexError):
        shown.items[len(data)]
    assert len(list(shown.items)) == len(data)
    assert not np.array_equal(shown.items[0], views.viewed(data, steps, 5, 3, 32).items[0]), "another view"


def test_a_batch_has_its_samples_as_they_are_beside_it_where_asked() -> None:
    data, made = tiny.dataset(4), tiny.backbone()
    for steps in ((), augment.steps("image", ("crop",))):
        [batch, *_] = Batches(data, np.arange(len(data)), made, 4, steps, seed=5, with_plain=True)(1)
        assert (batch.plain is None) == (not steps)
        if steps:
            expected = made.batch([made.shape(data.items[place]) for place in batch.places])
            assert torch.equal(batch.plain, expected) and not torch.equal(batch.inputs, expected)  # type: ignore[arg-type]
    [batch, *_] = Batches(data, np.arange(len(data)), made, 4, ("crop",))(1)
    assert batch.plain is None


@pytest.mark.parametrize("modality", ["image", "text", "audio"])
def test_what_is_decoded_once_gives_the_same_views(modality: str) -> None:
    data = tiny_models.dataset(modality, 3)
    steps = augment.steps(modality, ({"image": "crop", "text": "swap", "audio": "noise"}[modality],))
    for limit in (2**30, 1):  # behind the first samples nothing is kept
        held = views.decoded(data, 32, limit)
        for one, other in zip(
            views.viewed(held, steps, 1, 2, 32).items, views.viewed(data, steps, 1, 2, 32).items, strict=True
        ):
            assert np.array_equal(one.samples, other.samples) if isinstance(one, Sound) else np.array_equal(one, other)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("modality", ["image", "text", "audio"])
def test_features_of_a_view_are_computed_once(modality: str, tmp_path: Path) -> None:
    cell = {"image": "embedded-image", "text": "transformers-bert", "audio": "embedded-sound"}[modality]
    made = tiny_models.CELLS[cell].backbone(tmp_path)
    steps = augment.steps(modality, ({"image": "flip", "text": "swap", "audio": "gain"}[modality],))
    data, store = tiny_models.dataset(modality, 3), Store(tmp_path / "store.sqlite")
    one = extract(made, views.viewed(data, steps, 0, 0), store)
    two = extract(made, views.viewed(data, steps, 0, 0), store)
    assert one.computed and not two.computed and np.array_equal(one.vectors, two.vectors)
    plain = extract(made, data, store).vectors
    assert not np.array_equal(plain, one.vectors)


def test_names_of_a_setting() -> None:
    split, run = tiny.split(), Run()
    assert views.chosen("", tiny.backbone(), tiny.task(), split, run) == ()
    usual = views.chosen("auto", tiny.backbone(), tiny.task(), split, run)
    assert [step.name for step in usual] == ["crop", "flip"]
    several = views.chosen("rotate:5, auto", tiny.backbone(), tiny.task(), split, run)
    assert [step.name for step in several] == ["crop", "flip", "rotate"]


@pytest.mark.parametrize("approach", [FineTune(augment="blur"), Scratch(augment="crop,blur"), Distill(augment="blur")])
def test_a_name_that_does_not_exist_stops_before_any_work(
    approach: FineTune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.approaches.probe.extract", None)
    with pytest.raises(ConfigError, match="no augmentation 'blur'; there are: colour, crop, flip"):
        approach.fit(tiny.backbone(), tiny.task(), tiny.split(), Run())


@pytest.mark.parametrize(("modality", "source"), [("text", "transformers-bert"), ("audio", "embedded-sound")])
@pytest.mark.parametrize("recipe", ["auto", "all"])
def test_texts_and_sounds_are_distilled_with_augmentations(
    modality: str, source: str, recipe: str, tmp_path: Path
) -> None:
    made = tiny_models.CELLS[source].backbone(tmp_path / "student")
    teacher = tiny_models.write_backbone(made, tmp_path / "teacher")
    names = "auto" if recipe == "auto" else {"text": "delete,swap", "audio": "crop:0.5,shift,noise,gain,specaugment"}[modality]
    approach = Distill(teacher=str(teacher), views=2, epochs=1, batch_size=6, augment=names)
    split = tiny_models.split(modality)
    found = approach.fit(made, tiny.task(), split, Run(tmp_path))
    assert found.probabilities(split.test).shape == (len(split.test), 3)


def test_long_recordings_are_cut_in_training(tmp_path: Path) -> None:
    """Of a minute, a network sees the piece that the usual augmentations leave, and no more is shaped or batched."""
    made = tiny_models.CELLS["embedded-sound"].backbone(tmp_path)
    rate = 8000
    long = Sound(np.random.default_rng(0).normal(size=60 * rate).astype(np.float32) / 9, rate)
    data = Dataset([long] * 4, list("abcd"), ["ring", "bar"] * 2, "audio")
    whole = made.cost(made.shape(long))
    batches = Batches(data, np.array([0, 1, 0, 1]), made, 4, ("auto",))
    costs = [made.cost(batches.sample(place, view)) for place in range(4) for view in range(3)]
    assert max(costs) <= 0.3 * whole
    assert batches._costs is not None and batches._costs.max() <= 0.3 * whole, "samples are sorted by what they will cost"
    batch = next(batches(0))
    assert isinstance(batch.inputs, dict)
    assert batch.inputs["values"].shape[0] * batch.inputs["values"].shape[1] <= 4 * 0.3 * whole
    starts = {batches.augmented(0, view).samples[0] for view in range(8)}  # type: ignore[union-attr]
    assert len(starts) > 4, "another piece in every epoch"
    beside = Batches(data, np.array([0, 1, 0, 1]), made, 4, ("crop", "gain"), with_plain=True)
    batch = next(beside(0))
    assert isinstance(batch.plain, dict) and isinstance(batch.inputs, dict)
    assert batch.plain["values"].shape == batch.inputs["values"].shape, "as it is, but the same piece"
    assert not torch.equal(batch.plain["values"], batch.inputs["values"])
    assert next(Batches(data, np.array([0, 1, 0, 1]), made, 4, ("crop",), with_plain=True)(0)).plain is None


def test_try_keeps_what_helps_and_drops_what_hurts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "headstart")
    asked: list[tuple[str, ...]] = []

    def told(name: str, answer: str, usual: bool) -> Effect:
        kept = answer == "helps" or (usual and answer != "hurts")
        return Effect(name, 0.5, 0.5, 0.01, (0.0, 0.02), 0.1, (0.05, 0.2), answer, kept, usual, 1.0)  # type: ignore[arg-type]

    def measured(split: Split, backbone: object, task: object, steps: tuple, store: object, **more: object) -> Measured:
        asked.append(tuple(step.name for step in steps))
        answers = {"crop": "hurts", "flip": "no clear effect", "scale": "helps"}
        return Measured(tuple(told(str(s), answers.get(s.name, "no clear effect"), s.usual) for s in steps), None)

    monkeypatch.setattr(effect_module, "effects", measured)
    run = Run(tmp_path, stage="finetune")
    found = views.chosen("try", tiny.backbone(), tiny.task(), tiny.split(), run)
    assert [step.name for step in found] == ["flip", "scale"]
    assert set(asked[0]) == set(augment.names("image"))
    notes = [row["note"] for row in run.history]
    assert "the augmentation crop hurts: +1.0 points of validation accuracy [0.0, 2.0], loss -0.100; dropped" in notes
    assert "the augmentation flip has no clear effect: +1.0 points of validation accuracy [0.0, 2.0], loss -0.100; kept, " \
        "as usual for such data" in notes  # fmt: skip
    assert any("rotate has no clear effect" in note and note.endswith("left out") for note in notes)
    again = views.chosen("try", tiny.backbone(), tiny.task(), tiny.split(), Run(tmp_path))
    assert again == found and len(asked) == 1, "a resumed run does not ask again"
    assert views.chosen("try, crop, rotate:5", tiny.backbone(), tiny.task(), tiny.split(), Run()) == ()
    assert asked[-1] == ("crop", "rotate"), "names behind it are the ones to measure"


def test_what_cannot_be_tried_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level("INFO", "headstart")
    monkeypatch.setattr("headstart.data.augment.text._thesaurus.installed", lambda: None)
    assert views.candidates("text") == ("delete", "swap")
    assert "backtranslate is not tried: it needs a translation model" in caplog.text
    assert "synonym is not tried: it needs headstart[synonyms] or a source of synonyms" in caplog.text
    with pytest.raises(ConfigError, match="synonym cannot be used: it needs headstart"):
        views.check("synonym", "text")


def test_comparison_against_an_independent_computation() -> None:
    """Accuracy and loss by scikit-learn, intervals by scipy's bootstrap."""
    from scipy.stats import bootstrap
    from sklearn.metrics import accuracy_score, log_loss

    rng = np.random.default_rng(0)
    actual = rng.integers(3, size=200)
    plain = rng.normal(size=(200, 3)) + np.eye(3)[actual]
    other = plain + 0.5 * np.eye(3)[actual] + 0.3 * rng.normal(size=(200, 3))
    found = compared(plain, other, actual, seed=0)

    def shares(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    assert found["plain"] == accuracy_score(actual, plain.argmax(1))
    assert np.isclose(found["gain"], accuracy_score(actual, other.argmax(1)) - found["plain"])
    assert np.isclose(found["eased"], log_loss(actual, shares(plain)) - log_loss(actual, shares(other)))
    losses = paired.log_losses(plain, actual) - paired.log_losses(other, actual)
    expected = bootstrap((losses,), np.mean, n_resamples=9000, method="percentile", random_state=1).confidence_interval
    assert np.allclose(found["eased_interval"], expected, atol=0.01)
    assert found["answer"] == "helps"
    assert compared(other, plain, actual, seed=0)["answer"] == "hurts"
    assert compared(plain, plain + 1e-4, actual, seed=0)["answer"] == "no clear effect"
    few = compared(plain[:20], other[:20], actual[:20], seed=0)
    assert few["answer"] == "no clear effect" and few["interval"] == (-np.inf, np.inf), "too few to say anything"


def test_a_change_of_the_class_hurts_and_one_of_nothing_does_not(tmp_path: Path) -> None:
    split, store = Split(tiny.dataset(8, 1), tiny.dataset(14, 2), tiny.dataset(2, 3)), Store(tmp_path / "store.sqlite")
    measured = effects(split, tiny.backbone(), tiny.task(), (Stamp(), Stamp(ruin=True)), store, views=1)
    same, ruined = measured.each
    assert same.answer == "no clear effect" and same.eased == 0 == same.gain, "no change, no effect"
    assert ruined.answer == "hurts" and not ruined.kept and ruined.eased < same.eased
    assert measured.together is None
    again = effects(split, tiny.backbone(), tiny.task(), (Stamp(ruin=True),), store, views=1)
    assert replace(again.each[0], seconds=0) == replace(ruined, seconds=0), "the same seed, the same answer"
    assert json.dumps(ruined.facts, allow_nan=False)


def test_those_that_are_kept_are_also_measured_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def seen(self: object, recipe: tuple, view: int) -> np.ndarray:
        asked.append(tuple(step.name for step in recipe))
        return np.zeros((1, 1))

    answers = {("rotate",): "hurts", ("crop",): "helps"}
    monkeypatch.setattr(effect_module._Probes, "__init__", lambda self, *more: vars(self).update(actual=[0], known=None))
    monkeypatch.setattr(effect_module._Probes, "seen", seen)
    monkeypatch.setattr(effect_module._Probes, "answers", lambda self, more: np.zeros((1, 1)))
    facts = {"plain": 0.5, "accuracy": 0.5, "gain": 0.0, "interval": (0.0, 0.0), "eased": 0.0, "eased_interval": (0.0, 0.0)}
    monkeypatch.setattr(effect_module, "compared", lambda *more: {
        **facts, "answer": answers.get(asked[-1] if asked else (), "no clear effect")})  # fmt: skip
    steps = augment.steps("image", ("crop", "flip", "rotate", "scale"))
    found = effects(tiny.split(2), tiny.backbone(), tiny.task(), steps, None, views=1)
    assert asked == [("crop",), ("flip",), ("scale",), ("rotate",), ("crop", "flip")]
    assert found.together is not None and found.together.name == "all that are kept, together"
    assert [entry.kept for entry in found.each] == [True, True, False, False]


def test_the_test_part_and_the_validation_labels_of_a_training_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only training and validation samples are computed; nothing of the test part."""
    split = tiny.split()
    seen: list[Dataset] = []
    original = effect_module.extract
    monkeypatch.setattr(effect_module, "extract", lambda b, d, s: seen.append(d) or original(b, d, s))
    effects(split, tiny.backbone(), tiny.task(), (Stamp(),), None, views=1)
    assert {name for some in seen for name in some.names} == {*split.train.names, *split.valid.names}


def test_large_data_are_measured_on_a_part(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    monkeypatch.setattr(effect_module, "MOST", 12)
    effects(tiny.split(8), tiny.backbone(), tiny.task(), (), None)
    assert "augmentations are measured on 12 of 24 training samples" in caplog.text


def test_too_few_validation_samples_say_nothing() -> None:
    [found] = effects(tiny.split(4), tiny.backbone(), tiny.task(), (Stamp(ruin=True),), None, views=1).each
    assert found.answer == "no clear effect"
    assert "[too few validation samples to say]" in found.sentence and found.sentence.endswith("left out")
    assert found.facts["interval"] is None and found.facts["eased_interval"] is None
