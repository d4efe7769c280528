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
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Backbone
from headstart.ranking import prior, tuned
from headstart.store import Store

NAMES = ["a", "b", "c", "d"]


def models() -> dict[str, Any]:
    return {name: (lambda seed=seed: tiny.backbone(seed)) for seed, name in enumerate(NAMES)}


def test_samples_are_learned_from_or_judged_and_units_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Split] = []

    class Instead:
        def probabilities(self, data: Dataset) -> np.ndarray:
            return np.eye(3)[[sorted(tiny.LABELS).index(label) for label in data.labels or ()]]

    def fit(self: FineTune, backbone: Backbone, task: Any, split: Split, run: Any) -> Instead:
        seen.append(split)
        return Instead()

    monkeypatch.setattr(FineTune, "fit", fit)
    data = tiny.dataset(30, 1)
    units = np.arange(90) // 6
    found = tuned.right(tiny.backbone(), data, units, 0, Store())
    [split] = seen
    sides = [{int(name.split("/")[1]) // 6 for name in part.names} for part in (split.train, split.valid, split.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert len(split.train) + len(split.valid) + len(split.test) == 90 and 30 <= len(split.test) <= 42
    assert found.tolist() == [1.0] * len(split.test)


def test_the_best_are_ordered_by_what_they_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = hs.rank(tiny.split(40), models())
    assert plain.approach == "probe" and all(entry.tuned is None for entry in plain.candidates)
    order = [entry.model for entry in plain.candidates]
    shares = {order[0]: 0.3, order[1]: 0.9, order[2]: 0.6}
    calls = []

    def right(backbone: Backbone, part: Dataset, units: np.ndarray, seed: int, store: Store) -> np.ndarray:
        calls.append(len(part))
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
