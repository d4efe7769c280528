"""rank: the order, the race, ties, failures, what is shown, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import cli
from headstart.errors import ConfigError, DataError, Incompatible, ModelError
from headstart.models.pictures import PictureBackbone
from headstart.ranking import domain, prior
from headstart.ranking.evidence import measured, scored
from headstart.ranking.folds import nested
from headstart.ranking.rank import ahead, parts


def shapes(_network: Any, x: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Features that tell shapes apart: edges on a grid."""
    grey = x.mean(1, keepdim=True)
    grey = (grey - grey.mean((2, 3), keepdim=True)) / grey.std((2, 3), keepdim=True).clamp(min=1e-6)
    return functional.adaptive_avg_pool2d(grey, 8).flatten(1), None


def colours(_network: Any, x: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Features that do not: the colour is drawn at random."""
    return x.mean((2, 3)), None


def model(pool: Callable, seed: int) -> Callable[[], PictureBackbone]:
    def make() -> PictureBackbone:
        return PictureBackbone(tiny.backbone(seed).network, tiny.CARD, pool, f"model {seed}")

    return make


GOOD, ALSO_GOOD, BAD, WORSE = model(shapes, 1), model(shapes, 2), model(colours, 3), model(colours, 4)


def broken() -> PictureBackbone:
    raise RuntimeError("it fell apart")


def test_the_order_the_groups_and_the_gaps() -> None:
    found = hs.rank(tiny.split(40), {"bad": BAD, "good": GOOD, "also good": ALSO_GOOD})
    assert [entry.model for entry in found.candidates] == ["good", "also good", "bad"]
    assert [entry.group for entry in found.candidates] == [0, 0, 1], "equal features cannot be told apart"
    assert [entry.model for entry in found.tied] == ["good", "also good"]
    good, _, bad = found.candidates
    assert good.expected > 0.9 and bad.expected < 0.8
    assert good.expected_interval[0] < good.expected < good.expected_interval[1]
    assert bad.behind == pytest.approx(good.scores["linear"] * 0.75 + good.scores["knn"] * 0.25
                                       - bad.scores["linear"] * 0.75 - bad.scores["knn"] * 0.25)  # fmt: skip
    assert bad.behind_interval is not None and bad.behind_interval[0] > 0
    assert good.samples == found.samples == 120 and found.classes == 3
    assert "noise" in found.advice
    assert good.silent["leep"] and "leep" not in good.scores
    for name in ("linear", "knn", "logme", "hscore_shrunk", "nleep", "transrate"):
        low, high = good.intervals[name]
        assert low <= good.scores[name] <= high


def test_one_candidate_works_and_failures_are_shown() -> None:
    found = hs.rank(tiny.split(12), {"only": GOOD, "broken": broken, "none": "timm:no_such_model"})
    assert [entry.model for entry in found.candidates] == ["only"]
    assert {entry.name for entry in found.failures} == {"broken", "none"}
    text = str(found)
    assert "failed: broken: RuntimeError: it fell apart" in text and "only candidate" in text


def test_all_failing_is_an_error_with_every_reason() -> None:
    with pytest.raises(ModelError, match=r"fell apart.*no_such_model"):
        hs.rank(tiny.split(12), {"broken": broken, "none": "timm:no_such_model"})


def test_another_modality_is_refused_by_name() -> None:
    found = hs.rank(tiny.split(12), {"only": GOOD, "ears": "embedded:sound"})
    [failure] = found.failures
    assert failure.name == "ears" and "'audio'" in failure.reason and "'image'" in failure.reason


def test_bad_data_is_refused() -> None:
    data = tiny.dataset(6)
    with pytest.raises(DataError, match="no labels"):
        hs.rank(data.without_labels(), {"only": GOOD})
    with pytest.raises(DataError, match="one class"):
        hs.rank(replace(data, labels=["same"] * len(data)), {"only": GOOD})
    with pytest.raises(DataError):
        hs.rank(data.subset([0, 1]), {"only": GOOD})  # one sample each
    part = tiny.split(6)
    with pytest.raises(DataError, match="no labels"):
        hs.rank(replace(part, train=part.train.without_labels()), {"only": GOOD})
    with pytest.raises(ConfigError, match="Dataset"):
        hs.rank(data, {"only": GOOD}, labels="kind")
    with pytest.raises(Incompatible, match="Ranking models is for classification"):
        hs.rank(replace(data, labels=[f"{i / 7}" for i in range(len(data))]), {"only": GOOD})


def test_two_samples_of_two_classes_give_an_order_and_no_claim() -> None:
    data = tiny.dataset(1).subset([0, 1])
    found = hs.rank(hs.Split(data, data, data), {"good": GOOD, "bad": BAD})
    assert len(found.candidates) == 2 and {entry.group for entry in found.candidates} == {0}
    assert found.candidates[1].behind_interval is None and "too few" in found.advice


def test_constant_features_are_a_failure_with_a_reason() -> None:
    def flat(_network: Any, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.ones(len(x), 5), None

    found = hs.rank(tiny.split(12), {"only": GOOD, "flat": model(flat, 5)})
    assert [entry.name for entry in found.failures] == ["flat"] and "constant" in found.failures[0].reason


def test_test_samples_are_not_looked_at() -> None:
    """Labels of the test side are changed; the ranking stays as it was."""
    data = tiny.dataset(30)
    declared = ["test" if i % 5 == 0 else "train" for i in range(len(data))]
    labels = list(data.labels or ())
    spoiled = [labels[0] if side == "test" else label for side, label in zip(declared, labels, strict=True)]
    one, other = (
        hs.rank(replace(data, declared=declared, labels=some), {"good": GOOD, "bad": BAD}) for some in (labels, spoiled)
    )
    assert [(e.model, e.scores) for e in one.candidates] == [(e.model, e.scores) for e in other.candidates]


def test_parts_grow_and_hold_the_classes_in_their_shares() -> None:
    assert parts(120, 3, 5) == [120]
    assert parts(5000, 10, 5) == [150, 375, 937, 2000]
    assert parts(5000, 10, 2) == [2000]
    assert parts(50_000, 1000, 3)[-1] == 4000
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = nested(labels, 0)
    assert sorted(order) == list(range(1000))
    for size in (50, 150, 500):
        assert np.abs(np.bincount(labels[order[:size]], minlength=3) / size - [0.6, 0.3, 0.1]).max() < 0.03


def test_the_race_drops_the_worse_and_keeps_whom_it_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.ranking import rank as module

    monkeypatch.setattr(module, "FIRST", 60)
    models = {"bad": BAD, "good": GOOD, "worse": WORSE, "also good": ALSO_GOOD, "bad too": model(colours, 6)}
    found = hs.rank(tiny.split(60), models)
    samples = [entry.samples for entry in found.candidates]
    assert samples[:2] == [180, 180] and samples[-2:] == [60, 60]
    assert {entry.model for entry in found.candidates[:2]} == {"good", "also good"}
    assert "transrate" in found.candidates[0].scores and "transrate" not in found.candidates[-1].scores


def test_ahead_keeps_half_and_the_tied() -> None:
    from headstart.ranking.rank import _Runner

    rng = np.random.default_rng(0)

    def runner(name: str, right: np.ndarray) -> Any:
        from headstart.ranking.evidence import Evidence

        return _Runner(name, "", {len(right): Evidence(len(right), right, right, right)}, known=prior.Known(1000))

    same = (rng.random(200) < 0.8).astype(float)
    poor = (rng.random(200) < 0.3).astype(float)
    kept, dropped = ahead([runner("a", same), runner("b", poor), runner("c", poor), runner("d", poor)])
    assert [r.name for r in kept] == ["a", "b"] and len(dropped) == 2
    kept, _ = ahead([runner(name, np.roll(same, 3 * i)) for i, name in enumerate("abcd")])
    assert len(kept) == 3, "all look alike, and three quarters may go on"


def test_the_prior_counts_less_the_more_is_measured() -> None:
    facts = [prior.Known(10**6, 0.6, "top-1"), prior.Known(10**6, 0.8, "top-1"), prior.Known(10**6)]
    offset = prior.offsets(facts)
    assert offset[1] > 0 > offset[0] and offset[0] == pytest.approx(-offset[1]) and offset[2] == 0
    gap = []
    for n in (10, 100, 10_000):
        middle, deviation = prior.estimated(np.full(2, 0.7), np.full(2, float(n)), offset[:2])
        gap.append(middle[1] - middle[0])
        assert (deviation > 0).all()
    assert gap[0] > gap[1] > gap[2] > 0 and gap[2] < 0.01
    assert prior.share(prior.log_odds(0.3)) == pytest.approx(0.3)


def test_measured_keeps_copies_in_one_fold() -> None:
    """Noise with every sample six times looks perfect to neighbours, unless copies share a fold."""
    from headstart.features.table import FeatureTable

    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(20, 8)), 6, axis=0).astype(np.float32)
    labels = np.repeat([f"c{i % 3}" for i in rng.permutation(20)], 6).tolist()
    table = FeatureTable(x, labels, labels, 0, "float32", 0.0)
    careless, careful = measured(table), measured(table, np.repeat(np.arange(20), 6))
    assert careless.scores["knn"] > 0.7 > 0.5 > careful.scores["knn"]
    assert careful.right.mean() == pytest.approx(0.75 * careful.scores["linear"] + 0.25 * careful.scores["knn"])


def test_intervals_cover_the_expected_score() -> None:
    """Measured over 12 tables of 160 samples: 0.83 to 1.0 of the intervals hold the mean score."""
    from headstart.features.table import FeatureTable

    def table(seed: int) -> FeatureTable:
        rng = np.random.default_rng(seed)
        numbers = np.arange(100) % 4
        x = rng.normal(size=(100, 6)) + 1.2 * np.eye(6)[numbers]
        return FeatureTable(x.astype(np.float32), [str(n) for n in numbers], [""] * 100, 0, "", 0.0)

    found = [scored(measured(table(seed)), table(seed), costly=True) for seed in range(6)]
    for name in found[0].intervals:
        scores = np.array([entry.scores[name] for entry in found])
        ends = np.array([entry.intervals[name] for entry in found])
        assert ((ends[:, 0] <= scores.mean()) & (scores.mean() <= ends[:, 1])).mean() >= 0.6, name
        assert np.mean(ends[:, 1] - ends[:, 0]) < 12 * max(scores.std(), 0.04 * abs(scores.mean())), f"{name}: so wide an interval says nothing"


def test_similarity_reads_the_statistics_of_batch_norms() -> None:
    made, data = tiny.backbone(), tiny.dataset(12)
    for module in made.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
            module.reset_running_stats()
    assert domain.similarity(made, data) is None, "fresh statistics are nobody's"
    made.network.train()
    with torch.no_grad():
        made.pool(made.network, made.prepare(domain.decoded(data, range(len(data)))))
    made.eval()
    same = domain.similarity(made, data)
    dark = replace(data, items=[np.zeros_like(item) for item in data.items])
    far = domain.similarity(made, dark)
    assert same is not None and far is not None and same > 0.97 and far < same - 0.1
    assert (domain.word(same), domain.word(None)) == ("near", "unknown")
    assert 0 <= far <= 1


def test_the_verb_prints_a_table_json_and_a_page(tmp_path: Path) -> None:
    from PIL import Image

    for i, (item, label) in enumerate(zip(tiny.dataset(10).items, tiny.dataset(10).labels or (), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "data" / label / f"{i}.png")  # type: ignore[arg-type]
    place = tiny.saved(tmp_path / "model <b>")
    words = ["rank", str(tmp_path / "data"), "--models", f"{place}?input_size=3,16,16,{place},timm:no_such_model"]
    done = CliRunner().invoke(cli.app, [*words, "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "failed: timm:no_such_model" in done.output and "expected" in done.output
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "model &lt;b&gt;" in page and "<b>?" not in page and "logme" in page and "heavy line" in page
    done = CliRunner().invoke(cli.app, [*words, "--json"])
    found = json.loads(done.output.strip().splitlines()[-1])
    assert len(found["candidates"]) == 2 and found["failures"][0]["name"] == "timm:no_such_model"
    assert found["advice"] and found["candidates"][0]["place"] == 1
    done = CliRunner().invoke(cli.app, ["rank", str(tmp_path / "data"), "--search", "no such words"])
    assert done.exit_code == 2 and "no such words" in done.output
