"""The audit as a whole: what a user sees, on good data and on bad."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import auditing
from headstart.cli import app
from headstart.data.duplicates import scan
from headstart.errors import ConfigError, DataError, Incompatible

BAD = "<script>alert(1)<∕script>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.saved(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side, count in (("train", 5), ("test", 2)):
        for label in ("ring", "bar", BAD):
            (tmp_path / "photos" / side / label).mkdir(parents=True)
            for i in range(count):
                made = tiny.picture("cross" if label == BAD else label, rng, 64)
                Image.fromarray(made).save(tmp_path / "photos" / side / label / f"{i}.png")
    copied = (tmp_path / "photos/test" / BAD / "0.png").read_bytes()
    (tmp_path / "photos/train" / BAD / "<img src=x onerror=alert(1)>\x1b[2J.png").write_bytes(copied)
    return tmp_path / "photos"


def test_what_python_shows(photos: Path, model: str, tmp_path: Path) -> None:
    found = hs.audit(photos, model)
    assert [finding.check for finding in found.errors] == ["leakage"]
    assert set(found.checks) | set(found.skipped) == set(auditing.plugins.names("auditing"))
    text = str(found)
    assert "leakage" in text and "→ Leave these pictures out" in text and "no groups are known" in text
    assert "\x1b" not in text, "a file name moved the cursor"
    page = found.save(tmp_path / "out").read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "<img src=x" not in page
    assert "data:image/jpeg;base64," in page and "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", ""), "the page loads nothing"
    facts = json.loads((tmp_path / "out" / "audit.json").read_text("utf-8"))
    assert facts["counts"]["error"] == 1 and facts["samples"] == 22
    [leak] = [finding for finding in facts["findings"] if finding["check"] == "leakage"]
    assert leak["samples"][0]["beside_name"] == f"test/{BAD}/0.png" and leak["samples"][0]["change"] == "remove"


def test_texts_and_sounds_on_the_page(tmp_path: Path) -> None:
    texts = ["<b>bold</b> claims & others"] * 2 + ["something else"]
    page = hs.audit((texts, ["a", "a", "b"]), None).save(tmp_path).read_text("utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt; claims &amp; others" in page and "<b>bold" not in page
    tone = hs.Sound(np.sin(np.arange(16_000) / 9).astype(np.float32), 16_000)
    page = hs.audit(([tone, tone], ["a", "a"]), None).save(tmp_path).read_text("utf-8")
    assert 'src="data:audio/ogg;base64,' in page and "media-src data:" in page


def test_the_command_line(photos: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["audit", str(photos), "--model", model, "--clean", "clean", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    assert facts["report"] == "audits/1/audit.html" and Path(facts["report"]).is_file()
    assert facts["cleaned"]["folder"] == "clean" and facts["cleaned"]["samples"] == len(hs.read("clean"))
    done = CliRunner().invoke(app, ["audit", str(photos), "--model", "none"])
    assert done.exit_code == 0 and "audits/2/audit.html" in done.stdout and "leakage" in done.stdout
    assert "skipped" in done.stdout and "no model was wanted" in done.stdout
    done = CliRunner().invoke(app, ["audit", str(photos), "--model", "none", "--clean", str(photos / "clean"), "--json"])
    assert done.exit_code == 2 and "nothing was written" in json.loads(done.stdout.splitlines()[-1])["error"]


# bad input


def test_no_labels_at_all(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"a text with the number {i},\n" for i in range(9)))
    (tmp_path / "bare.csv").write_text("text\n" + "".join(f"a text with the number {i}\n" for i in range(9)))
    for name in ("texts.csv", "bare.csv"):
        found = hs.audit(tmp_path / name, None)
        assert found.dataset.labels is None and found.skipped["labels"] == "the data has no labels"
        assert any("without labels" in note for note in found.dataset.notes) and str(found)


def test_labels_that_are_no_classes() -> None:
    rng = np.random.default_rng(0)
    found = hs.audit((rng.normal(size=(40, 3)), [f"{value:.3f}" for value in rng.normal(size=40)]), None)
    assert "regression" in found.skipped["labels"] and "regression" in found.skipped["imbalance"]


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "a"]])
def test_two_samples(labels: list[str], model: str) -> None:
    found = hs.audit((np.stack([tiny.picture("bar", np.random.default_rng(i)) for i in range(2)]), labels), model)
    assert "suspicious" in found.skipped and str(found) and found.to_dict()["samples"] == 2


def test_one_class(model: str) -> None:
    found = hs.audit(tiny.dataset(9, labels=("bar",)), model)
    assert "one class only" in found.of("imbalance")[0].message
    assert found.skipped["suspicious"] == "it takes two classes with two samples each, copies aside"


def test_a_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 6)) + np.repeat(rng.normal(size=(1000, 6)) * 9, 2, axis=0)
    found = hs.audit((rows, [f"part {i // 2}" for i in range(2000)]), None)
    assert len(found.dataset.classes) == 1000 and "1000 classes have fewer than 5 rows" in str(found.of("imbalance"))
    assert len(str(found).splitlines()) < 60


def test_constant_features(model: str) -> None:
    """Every picture is the same: all are copies, and nothing is said of labels."""
    same = np.stack([tiny.picture("bar", np.random.default_rng(0))] * 8)
    found = hs.audit((same, list("abababab")), model)
    assert "features of all samples are equal" in found.skipped["suspicious"]
    assert len(found.of("duplicates")[0].samples) == 8


def test_nothing_can_be_read(tmp_path: Path, model: str) -> None:
    for label in "ab":
        (tmp_path / "x" / label).mkdir(parents=True)
        (tmp_path / "x" / label / "0.png").write_bytes(b"torn")
    for chosen in ("auto", model):
        found = hs.audit(tmp_path / "x", chosen)
        assert len(found.errors) == 1 and str(found) and found.save(tmp_path / "out").is_file()


def test_errors_that_teach(tmp_path: Path, model: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no"):
        hs.audit(tmp_path / "empty", None)
    with pytest.raises(ConfigError, match="a Dataset is read"):
        hs.audit(tiny.dataset(2), None, labels="kind")
    with pytest.raises(Incompatible, match="Choose a model for text"):
        hs.audit((["one", "two"], ["a", "b"]), model)


# before a fit


def test_spellings_of_one_label_are_told_and_the_fit_goes_on() -> None:
    made = tiny.dataset(9)
    spelled = hs.Dataset(made.items, made.names, [*list(made.labels or ())[:-1], "Cross"], "image", origin="tiny")
    [note] = auditing.checked(spelled, scan(spelled)).notes
    assert note.startswith("audit: labels: ") and "'cross' (8) = 'Cross' (1)" in note
    assert auditing.checked(made, scan(made)) is made, "what is in order stays as it is"


def test_errors_stop_a_fit_unless_they_are_waived(tmp_path: Path) -> None:
    made = tiny.dataset(6)
    with pytest.raises(ConfigError, match=r"'lables'.*Did you mean 'labels'"):
        hs.fit(made, approach="probe", out=tmp_path / "run", waive=["lables"])
    groups = [f"patient {i % 4}" for i in range(18)]
    sides = ["test" if i < 6 else "train" for i in range(18)]
    data = hs.Dataset(made.items, made.names, made.labels, "image", groups, sides, "tiny")
    with pytest.raises(DataError, match="--waive group_leakage"):
        hs.fit(data, approach="probe", out=tmp_path / "run", baseline="none")
    assert not (tmp_path / "run").exists()
    assert any(note.startswith("audit, waived: group_leakage: ") for note in auditing.checked(data, scan(data), ["group_leakage"]).notes)


def test_warnings_are_notes_of_the_run(tmp_path: Path) -> None:
    texts = [f"a text about {i} things" for i in range(50)]
    data = hs.Dataset(texts, [f"row {i}" for i in range(50)], ["much"] * 46 + ["rare"] * 4, "text")
    noted = auditing.checked(data, scan(data))
    assert any(note.startswith("audit: imbalance: ") for note in noted.notes)
