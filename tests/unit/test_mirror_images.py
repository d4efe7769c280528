"""Mirror images in a probe: learned where cross-validation is better with them, and in no fold that holds their originals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from headstart import plugins, probing, solvers
from headstart.approaches.probe import Probe
from headstart.data.modalities import Modality
from headstart.data.modalities.image import Image
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.features.extract import extract
from headstart.models.backbone import Features
from headstart.store import Store
from headstart.tasks.classification import Classification
from headstart.training.run import Run


def rows(count: int, seed: int, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classes told apart by one feature, whose sign a mirror turns: (n, 20) rows, their mirrored twins, labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    vectors = rng.normal(size=(count, 20)).astype(np.float32)
    vectors[:, 0] += apart * (2 * labels - 1)
    turned = vectors.copy()
    turned[:, 0] *= -1
    return vectors, turned, labels


def test_twins_that_contradict_are_left_out() -> None:
    vectors, turned, labels = rows(60, 0)
    task = Classification(["left", "right"])
    found, plain = (probing.fit(task, vectors, labels, twins=twins) for twins in (turned, None))
    assert "without mirror images (0." in found.said
    for name, value in plain.head.state_dict().items():
        assert np.array_equal(found.head.state_dict()[name], value), name


def test_twins_that_agree_are_learned() -> None:
    """Twins with noise of their own are worth as many new samples; judged on rows that nobody has seen."""
    task, (fresh, _, truth) = Classification(["left", "right"]), rows(2000, 9, 0.7)
    kept, gains = 0, []
    for seed in range(6):
        (vectors, _, labels), (other, _, _) = rows(40, seed, 0.7), rows(40, seed + 50, 0.7)
        found, plain = (probing.fit(task, vectors, labels, twins=twins) for twins in (other, None))
        kept += ", with mirror images (" in found.said
        with torch.inference_mode():
            said = [fitted.head.eval()(Features(torch.from_numpy(fresh))).numpy() for fitted in (found, plain)]
        gains.append(np.subtract(*((logits.argmax(1) == truth).mean() for logits in said)))
    assert kept >= 4 and np.mean(gains) > 0.02


def test_twins_are_never_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins equal to their rows but under new labels of their own would leak if a fold held out one without the other."""
    vectors, _, _ = rows(40, 3)
    labels = np.random.default_rng(0).integers(0, 2, 40)  # nothing to be learned
    found = solvers.fit("knn", vectors, labels, 2, twins=vectors)
    assert found.accuracy < 0.8, "a neighbour that is the sample itself would be right every time"


def test_a_probe_mirrors_few_pictures_and_no_rows_of_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    split = Split(tiny.dataset(12), tiny.dataset(4, 2), tiny.dataset(4, 3))
    Probe().fit(tiny.backbone(), tiny.task(), split, Run())
    assert "mirror images (" in caplog.text
    caplog.clear()
    Probe(mirrored="no").fit(tiny.backbone(), tiny.task(), split, Run())
    assert "mirror images" not in caplog.text
    few = Probe().twins(tiny.backbone(), tiny.task(), split.train, None)
    assert few is not None and len(few) == len(split.train)
    assert Probe().twins(tiny.backbone(), tiny.task(), split.train.subset(range(12)), None) is not None
    many = split.train.subset(list(range(36)) * 30)
    assert Probe().twins(tiny.backbone(), tiny.task(), many, None) is None


def test_twins_are_the_samples_mirrored_and_known_by_the_samples_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, network, store = tiny.dataset(3), tiny.backbone(), Store(tmp_path / "store")
    turned = replace(data, items=[np.ascontiguousarray(np.asarray(item)[:, ::-1]) for item in data.items])
    plain, found = extract(network, data, store), extract(network, data, store, twins=True)
    assert np.allclose(found.vectors, extract(network, turned).vectors, atol=1e-5)
    assert not np.allclose(found.vectors, plain.vectors, atol=1e-2)
    monkeypatch.setattr(Image, "decode", None)  # what is kept is found without a look at the pixels
    again = extract(network, data, store, twins=True)
    assert again.computed == 0 and np.array_equal(again.vectors, found.vectors)
    assert np.array_equal(extract(network, data, store).vectors, plain.vectors)


def test_recordings_texts_and_rows_have_no_twins() -> None:
    assert [name for name in plugins.names("data.modalities") if plugins.variant("data.modalities", name, Modality).twin] == ["image"]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\$\.approach\.mirrored: expected one of auto, no, got 'always'"):
        Probe(mirrored="always")
