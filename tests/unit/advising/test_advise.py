"""advise: the tree, its facts, what fit makes of it, and whether the advice came true."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import cli, plugins
from headstart.advising import advise
from headstart.advising.facts import Facts, doubled, facts
from headstart.advising.tree import TREE, Leaf, Question, questions, walk
from headstart.errors import DataError, Incompatible
from headstart.ranking.rank import rank
from headstart.report.pages import render_page

PLAIN = Facts(
    samples=500, classes=5, labels=100, commonest=0.2, probe=0.8, probe_low=0.76, probe_high=0.84, raw=0.5, signal=0.56,
    lead=0.3, lead_low=0.25, lead_high=0.35, curve=((125, 0.7), (250, 0.76), (500, 0.8)), doubling=0.03, flatness=-0.03,
    similarity=0.95, shift=0.0, finetune_seconds=60.0, budget=600.0, affordable=10.0,
)  # fmt: skip

CASES = [
    ({}, "finetune", "collect more labels"),
    ({"flatness": 0.0, "doubling": 0.0}, "finetune", "features are the limit"),
    ({"similarity": 0.6}, "finetune", "something else"),
    ({"similarity": None}, "finetune", "something else"),
    ({"labels": 5.0}, "probe", "too few labels"),
    ({"affordable": 0.0, "finetune_seconds": None}, "probe", "budget"),
    ({"probe": 0.99}, "probe", "right already"),
    ({"shift": 1.8}, "probe", "other domain"),
    ({"signal": -0.1}, "probe", "nothing is learned"),
    ({"signal": -0.1, "labels": 5.0}, "probe", "too few labels"),
    ({"lead": -0.2, "lead_high": -0.1}, "finetune", "not expect much"),
    ({"lead": -0.2, "lead_high": -0.1, "labels": 400.0}, "scratch", "from scratch"),
    ({"lead": -0.2, "lead_high": -0.1, "affordable": 0.1}, "probe", "not expect much"),
    ({"lead": None, "lead_high": None}, "finetune", "collect more labels"),
]


@pytest.mark.parametrize(("changes", "approach", "title"), CASES)
def test_the_tree_leads_where_the_facts_point(changes: dict[str, Any], approach: str, title: str) -> None:
    steps, leaf = walk(replace(PLAIN, **changes))
    assert (leaf.approach, title in leaf.title) == (approach, True), leaf.title
    assert steps[0].ask == TREE.ask and all(step.value == getattr(replace(PLAIN, **changes), step.fact) for step in steps)


def test_every_leaf_is_reached_and_says_what_it_must() -> None:
    reached = {walk(replace(PLAIN, **changes))[1] for changes, _, _ in CASES}
    leaves = [node for node in questions() if isinstance(node, Leaf)]
    assert reached == set(leaves)
    known = {entry.name for entry in fields(Facts)}
    for node in questions():
        if isinstance(node, Question):
            assert node.fact in known and node.ask.endswith("?")
        else:
            assert node.approach in plugins.names("approaches") and node.why and node.change
    assert any(not leaf.transfer for leaf in leaves), "it also says when not to transfer"


def test_the_drawing_marks_one_path() -> None:
    def taken(node: dict[str, Any]) -> list[str]:
        return [node["text"]] * node["taken"] + [text for child in node["children"] for text in taken(child)]

    for changes, _, _ in CASES:
        steps, leaf = walk(replace(PLAIN, **changes))
        assert taken(advise.drawn(steps)) == [*(step.ask for step in steps), leaf.title]


def test_what_twice_the_labels_would_add() -> None:
    assert doubled([0.6]) is None
    assert doubled([0.5, 0.7, 0.8]) == pytest.approx(0.05), "gains halve"
    assert doubled([0.7, 0.8, 0.79]) == 0.0
    assert doubled([0.5, 0.52, 0.98]) == pytest.approx(0.02), "no more than there is to gain"


def test_facts_of_data_without_signal() -> None:
    split = tiny.split(16)
    rng = np.random.default_rng(0)
    shuffled = [str(x) for x in rng.permutation(np.asarray(split.train.labels))]
    split = replace(split, train=replace(split.train, labels=shuffled), unlabeled=None)
    found = facts(tiny.backbone(), tiny.task(), split, None)
    assert found.signal < 0 and walk(found)[1].title.startswith("Stop")
    assert found.shift == 0.0 and found.samples == 48 and found.labels == 16


def test_facts_see_a_shift_without_labels() -> None:
    split = tiny.split(12)
    dark = replace(tiny.dataset(12, 9), items=[item // 8 for item in tiny.dataset(12, 9).items]).without_labels()
    far = facts(tiny.backbone(), tiny.task(), replace(split, unlabeled=dark), None).shift
    near = facts(tiny.backbone(), tiny.task(), replace(split, unlabeled=tiny.dataset(12, 8).without_labels()), None).shift
    assert far is not None and near is not None and far > 1.5 > near


def test_labels_of_the_test_are_not_looked_at() -> None:
    split = replace(tiny.split(12), unlabeled=None)
    spoiled = replace(split, test=replace(split.test, labels=["ring"] * len(split.test)))
    one, other = (hs.advise(some, [tiny.backbone()]) for some in (split, spoiled))
    timed = {"finetune_seconds": None, "affordable": 0.0}
    assert replace(one.facts, **timed) == replace(other.facts, **timed)


def test_advice_reads_like_advice() -> None:
    found = hs.advise(tiny.split(12), [tiny.backbone()])
    text = str(found)
    assert "=>" in text and "because" in text and "this would change it" in text and found.command in text
    assert 0 <= found.expected[0] < found.expected[1] <= 1
    page = render_page("advice", {**found.to_dict(), "origin": "<photos>"})
    assert "&lt;photos&gt;" in page and "← here" in page and page.count("taken") >= 2
    assert not re.search(r"\.\d*0</dd>", page)  # eight labels a class are 8, not 8.000
    json.dumps(found.to_dict())


def test_the_command_for_a_table_names_no_model() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 3)), np.arange(60) % 2
    found = hs.advise(hs.read((rows + labels[:, None], np.where(labels, "sick", "well"))))
    assert found.command == f"headstart fit DATA --approach {found.approach}"


def test_bad_data_is_refused() -> None:
    with pytest.raises(DataError):
        hs.advise(tiny.dataset(6).without_labels(), [tiny.backbone()])
    data = tiny.dataset(6)
    with pytest.raises(DataError):
        hs.advise(replace(data, labels=["same"] * len(data)), [tiny.backbone()])
    numbers = replace(data, labels=[f"{i / 7}" for i in range(len(data))])
    for some in (numbers, replace(tiny.split(6), task="regression")):
        with pytest.raises(Incompatible, match="Advice is for classification"):
            hs.advise(some, [tiny.backbone()])


def test_whether_it_came_true() -> None:
    advice = {"expected": (0.7, 0.8), "approach": "finetune"}
    scores = {"accuracy": 0.9, "accuracy_interval": [0.85, 0.95]}
    found = advise.outcome(advice, {"probe": 0.80, "finetune": 0.795}, scores)
    assert found["accuracy_as_expected"] is False and found["first_choice_right"] is True
    assert "better than expected" in found["sentences"][0]
    found = advise.outcome(advice, {"probe": 0.80, "finetune": 0.7}, {"accuracy": 0.75, "accuracy_interval": [0.7, 0.8]})
    assert found["accuracy_as_expected"] is True and found["first_choice_right"] is False
    assert advise.outcome(advice, {"probe": 0.8}, scores)["first_choice_right"] is None


def test_fit_follows_the_advice_and_reports_the_outcome(tmp_path: Path) -> None:
    place = tiny.saved(tmp_path / "model")
    run = hs.fit(tiny.dataset(20), str(place), out=tmp_path / "run", baseline="none", budget=20.0)
    advice = run.result["advice"]
    assert advice["outcome"]["sentences"] and advice["tree"]["taken"]
    names = [row["approach"] for row in run.result["candidates"]]
    assert names == ["probe"] if advice["only"] else advice["approach"] in names
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "whether it came true" in page and "← here" in page
    named = hs.fit(tiny.dataset(12), str(place), "probe", out=tmp_path / "named", baseline="none")
    assert "advice" not in named.result, "who names an approach is not advised"


def test_the_verb(tmp_path: Path) -> None:
    for i, (item, label) in enumerate(zip(tiny.dataset(8).items, tiny.dataset(8).labels or (), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "data" / label / f"{i}.png")  # type: ignore[arg-type]
    place = tiny.saved(tmp_path / "model")
    words = ["advise", str(tmp_path / "data"), "--models", str(place), "--budget", "1m"]
    done = CliRunner().invoke(cli.app, [*words, "--report", str(tmp_path / "advice.html")])
    assert done.exit_code == 0, done.output
    assert "=>" in done.output and (tmp_path / "advice.html").is_file()
    done = CliRunner().invoke(cli.app, [*words, "--json"])
    assert done.exit_code == 0, repr(done.exception)
    assert json.loads(done.output.strip().splitlines()[-1])["facts"]["budget"] == 60.0
    broken = tmp_path / "data" / "ring" / "broken.png"
    broken.write_bytes(b"no picture")
    done = CliRunner().invoke(cli.app, [*words, "--json"])
    assert done.exit_code == 2 and "broken.png" in json.loads(done.stdout.strip().splitlines()[-1])["error"]
    assert CliRunner().invoke(cli.app, [*words, "--on-bad", "skip"]).exit_code == 0


def test_fit_ranks_for_what_it_is_asked_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [str(tiny.saved(tmp_path / "model")), f"{tmp_path / 'model'}?input_size=3,16,16"]
    monkeypatch.setattr(advise.catalog, "find", lambda _: [SimpleNamespace(reference=place) for place in places])
    asked: list[str] = []

    def ranked(*args: Any, **settings: Any) -> Any:
        asked.append(settings["approach"])
        return rank(*args, **settings)

    monkeypatch.setattr(advise, "rank", ranked)
    for number, approach in enumerate((hs.FineTune(epochs=1), "probe")):
        hs.fit(tiny.dataset(20), "auto", approach, out=tmp_path / str(number), baseline="none")
    assert asked == ["finetune", "probe"]
