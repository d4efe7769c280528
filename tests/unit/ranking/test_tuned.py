"""rank for fine-tuning: the best are fine-tuned for a while, judged on samples that they did not learn from, and ordered by that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import cli
from headstart.approaches.finetune import FineTune
from headstart.data import Dataset, Split
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.models.backbone import Backbone
from headstart.ranking import prior, tuned
from headstart.store import Store

NAMES = ["a", "b", "c", "d"]


def models() -> dict[str, Any]:
    return {name: (lambda seed=seed: tiny.backbone(seed)) for seed, name in enumerate(NAMES)}


def test_samples_are_learned_from_or_judged_and_units_stay_together() -> None:
    parted, left_out = tuned.split(tiny.dataset(30, 1), np.arange(90) // 6, 0)
    sides = [{int(name.split("/")[1]) // 6 for name in part.names} for part in (parted.train, parted.valid, parted.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2]) and not left_out
    assert len(parted.train) + len(parted.valid) + len(parted.test) == 90 and 30 <= len(parted.test) <= 42


def test_what_was_not_learned_is_not_judged() -> None:
    """Of ten groups of one class each some are judged only: their samples say nothing of any model."""
    data = tiny.dataset(40, 1)
    labels = [f"class {i // 12}" for i in range(120)]
    some = 0
    for seed in range(12):
        try:
            parted, left_out = tuned.split(replace(data, labels=[f"class {i // 24}" for i in range(120)]), np.arange(120) // 12, seed)
        except DataError as problem:
            assert "classes that nothing was learned of" in str(problem)
            continue
        assert set(parted.test.labels or ()) <= set(parted.train.labels or ())
        assert bool(left_out) == (len(parted.train) + len(parted.valid) + len(parted.test) < 120)
        some += bool(left_out)
    assert some
    with pytest.raises(DataError, match="nothing was learned of"):
        tuned.split(replace(data, labels=labels), np.arange(120) // 12, 0)


def test_the_answers_of_the_network_are_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Instead:
        def probabilities(self, data: Dataset) -> np.ndarray:
            return np.eye(3)[[0 if i < 5 else sorted(tiny.LABELS).index(label) for i, label in enumerate(data.labels or ())]]

    monkeypatch.setattr(FineTune, "fit", lambda *_: Instead())
    parted, _ = tuned.split(tiny.dataset(30, 1), np.arange(90), 0)
    found = tuned.right(tiny.backbone(), parted, 0, Store())
    expected = [float(label == min(tiny.LABELS)) for label in (parted.test.labels or [])[:5]]
    assert found[:5].tolist() == expected and found[5:].all() and len(found) == len(parted.test)


def test_the_best_are_ordered_by_what_they_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = hs.rank(tiny.split(40), models())
    assert plain.approach == "probe" and all(entry.tuned is None for entry in plain.candidates)
    order = [entry.model for entry in plain.candidates]
    shares = {order[0]: 0.3, order[1]: 0.9, order[2]: 0.6}
    calls = []

    def right(backbone: Backbone, parted: Split, seed: int, store: Store) -> np.ndarray:
        calls.append(len(parted.train) + len(parted.valid) + len(parted.test))
        return (np.arange(100) < 100 * shares[order[len(calls) - 1]]).astype(float)

    monkeypatch.setattr(tuned, "right", right)
    found = hs.rank(tiny.split(40), models(), approach="finetune")
    assert calls == [120] * 3, "three of four"
    assert [entry.model for entry in found.candidates] == [order[1], order[2], order[0], order[3]]
    best, second, third, last = found.candidates
    assert (best.tuned, second.tuned, third.tuned, last.tuned) == (0.9, 0.6, 0.3, None)
    assert best.tuned_interval is not None and best.tuned_interval[0] < 0.9 < best.tuned_interval[1]
    assert second.behind == pytest.approx(0.3) and second.behind_interval is not None and second.behind_interval[0] > 0
    assert second.group == 1 and third.group == 2
    assert "90.0 % [" in str(found) and "tuned" in str(found) and "tuned" not in str(plain)


def test_the_probe_decides_where_a_short_fine_tuning_cannot() -> None:
    probed = np.array([prior.log_odds(0.95), prior.log_odds(0.85)])
    assert tuned.order(np.array([0.94, 0.95]), np.array([100, 100]), probed).tolist() == [0, 1], "a point of 100 samples is noise"
    assert tuned.order(np.array([0.94, 0.95]), np.array([9000, 9000]), probed).tolist() == [1, 0], "of 9,000 it is not"
    assert tuned.order(np.array([0.7, 0.9]), np.array([100, 100]), probed).tolist() == [1, 0]


def test_it_really_trains_and_says_what_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hs.rank(tiny.split(20), {name: make for name, make in models().items() if name < "c"}, approach="finetune")
    assert all(entry.tuned is not None and 0 <= entry.tuned <= 1 for entry in found.candidates)

    def refused(*_: Any) -> np.ndarray:
        raise Incompatible("its weights are frozen")

    monkeypatch.setattr(tuned, "right", refused)
    found = hs.rank(tiny.split(20), models(), approach="finetune")
    assert len(found.candidates) == 4 and sum("its weights are frozen" in note for note in found.notes) == 3


def test_one_that_cannot_be_tuned_is_not_said_to_be_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = hs.rank(tiny.split(40), models())
    first = plain.candidates[0].model

    def right(backbone: Backbone, parted: Split, seed: int, store: Store) -> np.ndarray:
        if calls.append(0) or len(calls) == 1:
            raise Incompatible("its weights are frozen")
        return (np.arange(100) < 50).astype(float)

    calls: list[int] = []
    monkeypatch.setattr(tuned, "right", right)
    found = hs.rank(tiny.split(40), models(), approach="finetune")
    failed = found.candidates[2]
    assert failed.model == first and failed.tuned is None and failed.behind is None and failed.behind_interval is None
    assert [entry.group for entry in found.candidates[:3]] == [0, 0, 1] and "cannot be told apart" in found.advice
    calls.clear()
    alone = hs.rank(tiny.split(40), {name: make for name, make in models().items() if name < "c"}, approach="finetune")
    assert "only one of the first that could be fine-tuned" in alone.advice and "clearly" not in alone.advice
    assert str(alone) and alone.to_dict()["candidates"][1].get("behind") is None


def test_where_there_is_too_little_the_order_stays() -> None:
    few = hs.rank(tiny.split(12), models(), approach="finetune")
    assert all(entry.tuned is None for entry in few.candidates)
    assert any("36 training samples, and at least 50" in note for note in few.notes)
    grouped = tiny.split(20)
    train = replace(grouped.train, groups=[str(i % 4) for i in range(60)])
    found = hs.rank(replace(grouped, train=train), models(), approach="finetune")
    assert any("4 groups, and at least 5" in note for note in found.notes)
    with pytest.raises(ConfigError, match="'probe' or for 'finetune'"):
        hs.rank(tiny.split(12), models(), approach="scratch")  # type: ignore[arg-type]


def test_the_verb_says_it_and_the_page_shows_it(tmp_path: Any) -> None:
    from PIL import Image

    data = tiny.dataset(30)
    for i, (item, label) in enumerate(zip(data.items, data.labels or (), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "data" / label / f"{i}.png")  # type: ignore[arg-type]
    place = tiny.saved(tmp_path / "model")
    words = ["rank", str(tmp_path / "data"), "--models", f"{place}?input_size=3,16,16,{place}", "--approach", "finetune"]
    done = CliRunner().invoke(cli.app, [*words, "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert " tuned " in done.output
    assert "after a short fine-tuning" in (page := (tmp_path / "page.html").read_text("utf-8")) and "two epochs" in page
    done = CliRunner().invoke(cli.app, [*words[:-1], "scratch"])
    assert done.exit_code == 2 and "'probe' or for 'finetune'" in done.output
