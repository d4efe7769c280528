"""What every augmentation must do with samples of its modality, whatever it is; new ones are found by their file."""

from __future__ import annotations

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import tiny_models
from headstart import config, plugins
from headstart.data import augment
from headstart.data.augment import Augmentation
from headstart.data.augment.text.backtranslate import Backtranslate
from headstart.data.augment.text.synonym import Synonym
from headstart.data.dataset import Sound, Value
from headstart.data.modalities import Modality
from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.training.batches import Batches
from headstart.training.run import Run
from headstart.views import chosen

FOUND = [(modality, name) for modality in plugins.names("data.augment") for name in augment.names(modality)]
each = pytest.mark.parametrize(("modality", "name"), FOUND, ids=[".".join(entry) for entry in FOUND])

# The settings at which an augmentation leaves a sample as it is. The others never do: a crop also stretches, and
# RandAugment's list has changes without a strength.
STILL = {
    "image.flip": "flip:0", "image.rotate": "rotate:0", "image.scale": "scale:0", "image.colour": "colour:0",
    "image.negative": "negative:0",
    "audio.crop": "crop:60", "audio.shift": "shift:0", "audio.gain": "gain:0", "audio.specaugment": "specaugment:0:0",
    "text.delete": "delete:0", "text.swap": "swap:0", "text.synonym": "synonym:0",
    "text.backtranslate": "backtranslate:here:there:chance=0",
}  # fmt: skip
RESTLESS = {"image.crop", "image.randaugment", "audio.noise"}


@pytest.fixture(autouse=True)
def synonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synonyms of the words of the tiny texts, in a folder where relative names are found."""
    monkeypatch.chdir(tmp_path)
    Path("synonyms.txt").write_text("round, circular\nlong,lengthy\nlines,strokes\nthe\nvery, quite,rather\n", "utf-8")


def made(modality: str, name: str, settings: str = "") -> Augmentation:
    """The augmentation, able to work: with a list of synonyms, with translations."""
    [step] = augment.steps(modality, (settings or name,))
    if isinstance(step, Synonym):
        return dataclasses.replace(step, source="synonyms.txt")
    if isinstance(step, Backtranslate):
        return step.knowing({text: (text.upper(), text[::-1]) for text in map(str, values("text"))})
    return step


def values(modality: str) -> list[Value]:
    kind: Modality = plugins.variant("data.modalities", modality, Modality)()
    return [kind.decode(item) for item in tiny_models.dataset(modality, 4).items]


def raw(value: Value) -> tuple[Any, ...]:
    """A value byte for byte."""
    if isinstance(value, Sound):
        return value.samples.tobytes(), value.samples.shape, value.rate
    return (value,) if isinstance(value, str) else (np.asarray(value).tobytes(), np.asarray(value).shape)


@each
def test_one_generator_one_sample_and_the_input_stays(modality: str, name: str) -> None:
    step, given = made(modality, name), values(modality)
    before = [raw(value) for value in given]
    one, two = ([raw(step.apply(value, np.random.default_rng(i))) for i, value in enumerate(given)] for _ in range(2))
    assert one == two
    assert [raw(value) for value in given] == before
    longest = max(given, key=lambda value: len(raw(value)[0]))
    many = {raw(step.apply(longest, np.random.default_rng(seed))) for seed in range(20)} - {raw(longest)}
    if f"{modality}.{name}" != "audio.crop":  # these recordings are shorter than its pieces
        assert many, "in twenty draws it changes something"


@each
def test_threads_do_not_take_each_other_s_numbers(modality: str, name: str) -> None:
    step, given = made(modality, name), values(modality)
    alone = [raw(step.apply(value, np.random.default_rng(i))) for i, value in enumerate(given)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(step.apply, value, np.random.default_rng(i)) for i, value in enumerate(given)] * 2
        assert [raw(job.result()) for job in jobs] == alone * 2
    assert threading.active_count() < 20


@each
def test_the_global_generators_are_left_alone(modality: str, name: str) -> None:
    import random

    import torch

    step, value = made(modality, name), values(modality)[0]

    def states() -> tuple[Any, ...]:
        _, keys, place, *_ = np.random.get_state()
        return random.getstate(), keys.tolist(), place, torch.get_rng_state().tolist()  # type: ignore[union-attr]

    before = states()
    for seed in range(5):
        step.apply(value, np.random.default_rng(seed))
    assert states() == before


@each
def test_what_comes_out_is_of_the_modality(modality: str, name: str) -> None:
    step = made(modality, name)
    kind: Modality = plugins.variant("data.modalities", modality, Modality)()
    for value in values(modality):
        for seed in range(4):
            changed = step.apply(value, np.random.default_rng(seed))
            assert kind.decode(changed) is not None, "it can be read like any sample"
            assert kind.preview(changed)
            if isinstance(value, Sound):
                assert isinstance(changed, Sound) and changed.rate == value.rate and changed.samples.dtype == np.float32
                assert len(changed.samples) == len(value.samples), "none of these is cropped"
                assert np.isfinite(changed.samples).all()
            elif isinstance(value, str):
                assert isinstance(changed, str) and changed.strip()
            else:
                assert isinstance(changed, np.ndarray) and isinstance(value, np.ndarray)
                assert changed.dtype == np.uint8 and changed.ndim == 3 and changed.shape[2] == 3
                assert name == "crop" or changed.shape == value.shape


@each
def test_at_no_strength_nothing_happens(modality: str, name: str) -> None:
    key = f"{modality}.{name}"
    if key in RESTLESS or key not in STILL:
        pytest.skip("it has no setting at which it does nothing" if key in RESTLESS else "nobody stated such a setting")
    step = made(modality, name, STILL[key])
    for seed, value in enumerate(values(modality)):
        changed = step.apply(value, np.random.default_rng(seed))
        if isinstance(value, Sound):
            assert isinstance(changed, Sound)
            assert np.abs(changed.samples - value.samples).max() < 1e-5  # a Fourier transform there and back
        else:
            assert raw(changed) == raw(value)


def test_every_augmentation_is_known_to_be_still_or_restless() -> None:
    own = {f"{modality}.{name}" for modality, name in FOUND if _is_own(modality, name)}
    assert own == set(STILL) | RESTLESS


@each
def test_the_smallest_samples(modality: str, name: str) -> None:
    smallest: dict[str, list[Value]] = {
        "image": [np.zeros((1, 1, 3), np.uint8), np.full((1, 9, 3), 255, np.uint8), np.zeros((7, 1, 3), np.uint8)],
        "text": ["a", " a ", "a b", "…", "a\nb\tc"],
        "audio": [Sound(np.zeros(1, np.float32), 1000), Sound(np.ones(3, np.float32), 8000),
                  Sound(np.zeros(8000, np.float32), 8000)],
    }  # fmt: skip
    step = made(modality, name)
    kind: Modality = plugins.variant("data.modalities", modality, Modality)()
    for value in smallest[modality]:
        for seed in range(5):
            changed = step.apply(value, np.random.default_rng(seed))
            assert kind.decode(changed) is not None
            assert not isinstance(changed, str) or changed.strip()


@each
def test_settings_go_through_text_and_files(modality: str, name: str) -> None:
    step = made(modality, name)
    kind = type(step)
    assert re.fullmatch(r"[a-z0-9]+", name) and step.name == name
    assert step.paper and step.what.endswith((".", "…")) and "\n" not in step.what
    assert isinstance(step.order, int)
    [again] = augment.steps(modality, (str(step),))
    assert again == step
    assert config.from_dict(kind, config.to_dict(dataclasses.replace(step))) == step
    numbers = [f for f in dataclasses.fields(kind) if f.init and f.type in ("float", "int")]  # type: ignore[arg-type]
    for entry in numbers:
        smaller = dataclasses.replace(step, **{entry.name: type(entry.default)(entry.default * 0.5)})
        if smaller != step:
            assert f"{entry.name}={getattr(smaller, entry.name)}" in str(smaller)
            assert augment.steps(modality, (str(smaller),)) == (smaller,)


@each
def test_bad_settings_are_refused_by_name(modality: str, name: str) -> None:
    step = made(modality, name)
    for entry in (f for f in dataclasses.fields(step) if f.init and f.type in ("float", "int")):  # type: ignore[arg-type]
        for bad in ("-1e9", "1e9", "nan") if entry.type == "float" else ("-1", "1000000", "1.5"):
            with pytest.raises(ConfigError, match=rf"\$\.approach\.augment \({name}\)\.{entry.name}: expected"):
                augment.steps(modality, (f"{name}:{entry.name}={bad}",))
        with pytest.raises(ConfigError, match=rf"\({name}\)\.{entry.name}: expected (float|int), got 'much'"):
            augment.steps(modality, (f"{name}:{entry.name}=much",))
    with pytest.raises(ConfigError, match=rf"\({name}\)\.strange: no such setting; there are: "):
        augment.steps(modality, (f"{name}:strange=1",))


@each
def test_a_training_uses_it(modality: str, name: str) -> None:
    """Batches show the same views again for the same seed, and another view in another epoch."""
    step, data = made(modality, name), tiny_models.dataset(modality, 4)
    labels = np.zeros(len(data), int)
    batches = Batches(data, labels, _small(modality), 6, (step,), seed=3)
    assert batches.recipe == (str(step),)
    one, two = (raw(batches.augmented(1, view)) for view in (0, 0))
    assert one == two == raw(step.apply(values(modality)[1], np.random.default_rng([3, 1, 0])))
    if name != "crop" or modality != "audio":
        assert len({raw(batches.augmented(1, view)) for view in range(12)}) > 1
    assert len(next(batches(0)).places) == 6


@pytest.mark.parametrize("modality", plugins.names("data.augment"))
def test_recipes(modality: str) -> None:
    names = augment.names(modality)
    steps = augment.steps(modality, names)
    assert augment.steps(modality, names[::-1]) == steps, "in one order, however they are named"
    assert [step.order for step in steps] == sorted(step.order for step in steps)
    assert len({step.order for step in steps}) == len(steps), "no two with one place"
    assert augment.steps(modality, ("auto", *augment.usual(modality))) == augment.steps(modality, ("auto",))
    assert augment.steps(modality, ()) == ()
    with pytest.raises(ConfigError, match=rf"no augmentation 'blurr'; there are: {', '.join(names)}"):
        augment.steps(modality, ("blurr",))
    for name in augment.usual(modality):
        assert made(modality, name).settled and not made(modality, name).available(), "what is usual works without settings"


def test_one_augmentation_with_two_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rotate:degrees=5\.0 and rotate:degrees=6\.0 are two settings"):
        augment.steps("image", ("rotate:5", "rotate:6"))


def test_rows_of_tables_have_none() -> None:
    assert augment.names("table") == () == augment.usual("table") == augment.steps("table", ("auto",))
    with pytest.raises(ConfigError, match="no augmentation 'noise'; rows have none"):
        augment.steps("table", ("noise",))


@pytest.mark.parametrize("modality", ["image", "text", "audio", "table"])
def test_the_usual_ones_of_every_modality_suit_an_approach(modality: str) -> None:
    recipe = chosen("auto", _small(modality), tiny.task(), tiny_models.split(modality), Run())
    assert tuple(step.name for step in recipe) == augment.usual(modality)


def _is_own(modality: str, name: str) -> bool:
    """Not one that another package adds."""
    return plugins.load(f"data.augment.{modality}", name).__name__.startswith("headstart.")


def _small(modality: str) -> Backbone:
    if modality == "image":
        return tiny.backbone()
    name = {"text": "transformers-bert", "audio": "embedded-sound", "table": "tables-columns"}[modality]
    return _BACKBONES.setdefault(name, tiny_models.CELLS[name].backbone(Path()))


_BACKBONES: dict[str, Backbone] = {}
