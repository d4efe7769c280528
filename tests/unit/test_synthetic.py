"""Synthetic rows against an independent computation, and in a probe on data with small classes."""

from __future__ import annotations

import numpy as np
import pytest

import tiny
from headstart import fitting, synthetic
from headstart.approaches.probe import Probe
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.synthetic.mixup import Mixup
from headstart.synthetic.smote import Smote
from headstart.training.run import Run


def test_smote_against_chawla_s_pseudocode() -> None:
    """Section 4.2 of the paper, one row and one neighbour at a time: sample + gap * (neighbour - sample)."""
    own = np.random.default_rng(0).normal(size=(9, 4))
    made = Smote(neighbours=3).rows(own, own, 200, np.random.default_rng(5))
    pairs = set()
    for row in made:
        fits = []
        for i, sample in enumerate(own):
            distances = [float(np.sqrt(sum((a - b) ** 2 for a, b in zip(sample, other, strict=True)))) for other in own]
            nearest = sorted((d, j) for j, d in enumerate(distances) if j != i)[:3]
            for _, j in nearest:
                step = own[j] - sample
                gap = float((row - sample) @ step / (step @ step))
                if -1e-9 <= gap <= 1 + 1e-9 and np.allclose(sample + gap * step, row, atol=1e-9):
                    fits.append((i, j, round(gap, 3)))
        assert fits, "every row lies between a row and one of its three nearest"
        pairs.add(frozenset(fits[0][:2]))
    assert len(pairs) > 12, "of the pairs of neighbours, most are drawn"


def test_smote_is_uniform_along_the_line() -> None:
    """Of two rows, all new ones lie between them: the shares are uniform, mean 1/2 and variance 1/12."""
    own = np.array([[0.0, 0.0], [1.0, 2.0]])
    made = Smote().rows(own, own, 20_000, np.random.default_rng(0))
    assert np.allclose(made[:, 1], 2 * made[:, 0])
    assert abs(made[:, 0].mean() - 0.5) < 0.01 and abs(made[:, 0].var() - 1 / 12) < 0.003


def test_mixup_is_a_blend_in_which_the_own_row_weighs_more() -> None:
    own, every = np.array([[0.0]]), np.array([[1.0]])
    share = Mixup(alpha=0.4).rows(own, every, 20_000, np.random.default_rng(0))[:, 0]
    assert share.min() >= 0 and share.max() <= 0.5
    drawn = np.random.default_rng(1).beta(0.4, 0.4, 20_000)
    assert abs(share.mean() - np.minimum(drawn, 1 - drawn).mean()) < 0.01


def imbalanced(few: int = 3, many: int = 30, seed: int = 1) -> Dataset:
    whole = tiny.dataset(many, seed)
    wanted = {"ring": many, "bar": few, "cross": few}
    places, taken = [], dict.fromkeys(wanted, 0)
    for place, label in enumerate(whole.labels or []):
        taken[label] += 1
        if taken[label] <= wanted[label]:
            places.append(place)
    return whole.subset(places)


def test_a_probe_says_and_records_what_it_makes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    split, run = Split(imbalanced(), tiny.dataset(8, 2), tiny.dataset(8, 3)), Run(stage="probe")
    plain = Probe().fit(tiny.backbone(), tiny.task(), split, Run())
    found = Probe(synthetic="smote:2").fit(tiny.backbone(), tiny.task(), split, run)
    [note] = [row["note"] for row in run.history]
    assert note == "smote:2 makes 54 synthetic samples for 2 classes"
    assert note in caplog.text
    before, after = (p.probabilities(split.test) for p in (plain, found))
    assert not np.array_equal(before, after)
    named = np.array(tiny.task().to_dict()["classes"])
    small = [str(label) for label in named if label != "ring"]
    share = [np.isin(named[p.argmax(1)], small).mean() for p in (before, after)]
    assert share[1] > share[0], "the small classes are found more often"


def test_a_class_of_one_sample_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    data = imbalanced(1)
    Probe(synthetic="smote").fit(tiny.backbone(), tiny.task(), Split(data, tiny.dataset(2, 2), tiny.dataset(2, 3)), Run())
    assert "smote makes no synthetic samples; too small to make any of: bar, cross" in caplog.text
    Probe(synthetic="mixup").fit(tiny.backbone(), tiny.task(), Split(data, tiny.dataset(2, 2), tiny.dataset(2, 3)), Run())
    assert "mixup makes 58 synthetic samples for 2 classes" in caplog.text
    same = Split(tiny.dataset(3), tiny.dataset(2, 2), tiny.dataset(2, 3))
    Probe(synthetic="smote").fit(tiny.backbone(), tiny.task(), same, Run())
    assert "smote makes no synthetic samples, for all classes are of one size" in caplog.text


def test_a_bad_setting_stops_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"\$\.approach\.synthetic \(smote\)\.neighbours: expected at least 1, got 0"):
        fitting.make_settings("data", "auto", {"name": "probe", "synthetic": "smote:0"})
    assert fitting.make_settings("data", "auto", {"name": "probe", "synthetic": "smote:3"}).approach["synthetic"] == "smote:3"


def test_nothing_is_lacking_of_the_largest_class() -> None:
    assert synthetic.counts(np.array([0, 0, 0, 2]), 4).tolist() == [0, 0, 2, 0]
    assert synthetic.counts(np.array([], int), 2).tolist() == [0, 0]
