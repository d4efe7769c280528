"""headstart augment, from the data to the page, as a user meets it."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile
from typer.testing import CliRunner

import headstart as hs
import tiny
import tiny_models
from headstart import augmenting, cli
from headstart.data.dataset import Dataset, Sound
from headstart.errors import ConfigError, Incompatible, RunError
from headstart.report import augmented
from headstart.views.effect import Effect, Measured
from headstart.views.samples import COMPARED, SAMPLES, marked, samples


def photos(folder: Path, per_class: int = 10) -> Path:
    rng = np.random.default_rng(0)
    for label in tiny.LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(per_class):
            PIL.Image.fromarray(tiny.picture(label, rng)).save(folder / label / f"{number}.png")
    return folder


def told(name: str, answer: str, usual: bool) -> Effect:
    kept = answer == "helps" or (usual and answer != "hurts")
    sign = {"helps": 1, "hurts": -1}.get(answer, 0)
    bounds = (sign * 0.1 - 0.05, sign * 0.1 + 0.05)
    return Effect(name, 0.8, 0.8 + sign / 50, sign / 50, bounds, sign * 0.1, bounds, answer, kept, usual, 1.0)  # type: ignore[arg-type]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects that are known."""
    answers = {"flip": "hurts", "scale": "helps", "delete": "helps"}

    def effects(split: object, backbone: object, task: object, steps: tuple, *more: object, **settings: object) -> Measured:
        each = tuple(told(str(step), answers.get(step.name, "no clear effect"), step.usual) for step in steps)
        kept = [entry for entry in each if entry.kept]
        return Measured(each, told("all that are kept, together", "no clear effect", True) if len(kept) > 1 else None)

    monkeypatch.setattr("headstart.views.effect.effects", effects)


@pytest.mark.usefixtures("measured")
def test_the_verb_advises_what_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, model = photos(tmp_path / "photos"), tiny.saved(tmp_path / "model")
    recipe = "crop, flip,rotate:15,scale"
    done = CliRunner().invoke(cli.app, ["augment", str(data), "--augment", recipe, "--model", str(model)])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "the augmentation flip hurts: -2.0 points of validation accuracy [-15.0, -5.0], loss +0.100; dropped" in lines
    assert "train with: --set augment=crop,scale" in lines
    assert lines[-1].startswith("report:  augment.html")
    page = (tmp_path / "augment.html").read_text("utf-8")
    assert "--set augment=crop,scale" in page and page.count("<img") == SAMPLES * 6
    done = CliRunner().invoke(
        cli.app, ["augment", str(data), "--augment", recipe, "--model", str(model), "--json", "--no-preview", "--out", "x.html"]
    )
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["recipe"] == "crop,scale" and facts["report"] == "x.html" and facts["valid"] > 0
    assert [entry["name"] for entry in facts["augmentations"]] == ["crop", "flip", "scale", "rotate"]
    assert facts["augmentations"][1]["effect"]["answer"] == "hurts" and facts["together"]["name"] == "all that are kept, together"
    assert "<img" not in (tmp_path / "x.html").read_text("utf-8"), "no sample is copied into it"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".html") == ["augment.html", "x.html"]


def test_for_real_and_reproducible(tmp_path: Path) -> None:
    data, model = photos(tmp_path / "photos", 12), tiny.saved(tmp_path / "model")
    one, two = (
        hs.augment(data, "flip", str(model), out=tmp_path / f"{name}.html", seed=4) for name in ("one", "two")
    )
    effect = one.facts["augmentations"][0]["effect"]
    assert effect["interval"] is None, "six validation samples say nothing"
    assert one.recipe == "flip" and effect["kept"] and 0 <= effect["accuracy"] <= 1
    pages = [re.sub(r"in [\d.]+ m?s", "", found.report.read_text("utf-8")) for found in (one, two)]
    assert pages[0] == pages[1]
    assert "[too few validation samples to say]" in one.facts["augmentations"][0]["sentence"]


def test_samples_alone_need_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.defaults.choose", None)
    found = hs.augment(photos(tmp_path / "photos"), measure=False, out=tmp_path / "a.html")
    assert found.recipe == "crop,flip" and found.facts["model"] is None, "the usual ones"
    page = found.report.read_text("utf-8")
    assert "Do they help?" not in page and page.count("<img") == SAMPLES * (1 + 7 + 1)


def test_refusals(tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", 3)
    with pytest.raises(ConfigError, match="neither measuring nor samples"):
        augmenting.augment(data, measure=False, preview=False)
    with pytest.raises(ConfigError, match="no augmentation 'turn'; there are: colour, crop, flip, negative, randaugment, rotate, scale"):
        augmenting.augment(data, "turn:3", out=tmp_path / "a.html")
    with pytest.raises(Incompatible, match="nothing to try: samples of the kind 'table' have no augmentations"):
        augmenting.augment(tiny_models.dataset("table", 8), out=tmp_path / "a.html")
    with pytest.raises(RunError, match=r"cannot be written to .*Is the folder there and writable\?"):
        augmenting.augment(data, "flip", measure=False, out=tmp_path / "nowhere" / "a.html")
    done = CliRunner().invoke(cli.app, ["augment", str(data), "--augment", "turn", "--json"])
    assert done.exit_code == 2 and "no augmentation 'turn'" in json.loads(done.stdout.splitlines()[-1])["error"]


@pytest.mark.usefixtures("measured")
def test_texts_with_their_changes_marked_and_escaped(tmp_path: Path) -> None:
    texts = [f"a <b>bold</b> & {word} story of a {word} number {i}" for i in range(20) for word in ("good", "bad")]
    data = Dataset(texts, [f"row {i}" for i in range(40)], ["<good>", "bad"] * 20, "text", origin="<data>")
    bert = tiny_models.CELLS["transformers-bert"].backbone(tmp_path)
    model = tiny_models.write_backbone(bert, tmp_path / "bert")
    found = hs.augment(data, "delete:0.3,swap", str(model), out=tmp_path / "a.html")
    page = found.report.read_text("utf-8")
    assert "<b>" not in page.split("</style>")[1] and "&lt;b&gt;bold&lt;/b&gt;" in page and "<del>" in page
    assert "&lt;good&gt;" in page and "<data>" not in page and "<script" not in page
    assert found.recipe == "delete:share=0.3"


def test_recordings_to_see_and_to_hear(tmp_path: Path) -> None:
    data = tiny_models.dataset("audio", 6)
    found = hs.augment(data, "shift,gain,specaugment", measure=False, out=tmp_path / "a.html")
    page = found.report.read_text("utf-8")
    sounds = re.findall(r'<audio[^>]* src="data:audio/flac;base64,([^"]+)"', page)
    assert len(sounds) == SAMPLES * (1 + 3 + 1) == page.count('class="wide"')
    import io

    samples_, rate = soundfile.read(io.BytesIO(base64.b64decode(sounds[0])))
    assert rate in (8000, 16_000) and len(samples_)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy and "default-src 'none'" in policy[1] and "media-src data:" in policy[1] and "http" not in html.unescape(
        re.sub(r"data:[^\"]+", "", page.split("</style>")[1])
    )


def test_samples_are_of_as_many_classes_as_there_are() -> None:
    labels = ["a"] * 50 + ["b", "c"]
    data = Dataset([str(i) + " x y" for i in range(52)], list(map(str, range(52))), labels, "text")
    found = samples(data, [], seed=0)
    assert {sample.label for sample in found} == {"a", "b", "c"} and len(found) == SAMPLES
    assert samples(data, [], seed=0) == found
    assert [version.title for version in found[0].versions] == ["original"]
    assert len(samples(data.without_labels().subset([1, 2]), [], seed=0)) == 2


def test_marked_words() -> None:
    assert marked("a b c d", "a x c") == (("same", "a"), ("gone", "b"), ("new", "x"), ("same", "c"), ("gone", "d"))
    assert marked("one two", "one two") == (("same", "one two"),)
    assert marked("a b c d e", "a b c d f", most=3) == (("same", "a b c …"),)
    long = " ".join(map(str, range(2 * COMPARED)))
    assert len(marked(long, long)[0][1].split()) == 61


def test_a_change_that_happens_by_chance_is_shown() -> None:
    from headstart.data import augment

    found = samples(tiny.dataset(4), [("flip", augment.steps("image", ("flip:0.3",)))], seed=0)
    assert all(sample.versions[1].changed for sample in found)
    never = samples(tiny.dataset(4), [("flip", augment.steps("image", ("flip:0",)))], seed=0)
    assert not any(sample.versions[1].changed for sample in never) and never[0].versions[1].title == "flip"
    facts = {"data": "d", "modality": "image", "model": None, "seed": 0, "train": 12, "valid": 0, "augmentations": [],
             "together": None, "recipe": "", "notes": ["<note>"], "seconds": 1.0}  # fmt: skip
    page = augmented.render(facts, never)
    assert page.count("(changes nothing here)") == SAMPLES and "&lt;note&gt;" in page


def test_silence_and_single_samples_are_shown() -> None:
    data = Dataset([Sound(np.zeros(1, np.float32), 8000)], ["one"], ["x"], "audio")
    assert samples(data, [], seed=0)[0].versions[0].sound.startswith("data:audio/flac")
