"""Cleaning writes a new data set in the format of the old one, says why, and never touches the old one."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

import headstart as hs
from headstart.auditing import Audit, Finding, Suspect, _cleaning
from headstart.errors import DataError


def photo(seed: int, side: int = 64) -> Image.Image:
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((side, side)) for n in (4, 9, 20)]
    return Image.fromarray(np.mean([np.asarray(layer, np.float32) for layer in layers], axis=0).astype(np.uint8))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """train/ and test/ with a copy across, a torn file and a class in two spellings, one file of which clashes."""
    root = tmp_path / "photos"
    seed = 0
    for side, count in (("train", 4), ("test", 3)):
        for label in ("cat", "dog"):
            (root / side / label).mkdir(parents=True)
            for i in range(count):
                photo(seed := seed + 1).save(root / side / label / f"{i}.png")
    (root / "train" / "Cat").mkdir()
    photo(90).save(root / "train" / "Cat" / "0.png")
    photo(91).save(root / "train" / "Cat" / "new.png")
    (root / "train" / "dog" / "copy.png").write_bytes((root / "test" / "dog" / "1.png").read_bytes())
    (root / "train" / "dog" / "torn.png").write_bytes((root / "train" / "dog" / "0.png").read_bytes()[:300])
    return root


def test_a_folder(photos: Path, tmp_path: Path) -> None:
    before = digests(photos)
    found = hs.audit(photos, model=None)
    done = found.clean(tmp_path / "clean")
    assert digests(photos) == before, "the original was touched"
    names = set(digests(tmp_path / "clean"))
    assert names == (set(before) - {"train/dog/copy.png", "train/dog/torn.png", "train/Cat/0.png", "train/Cat/new.png"}) | {
        "train/cat/0_2.png", "train/cat/new.png", "changes.json"}  # fmt: skip
    moved = {"train/cat/0_2.png": "train/Cat/0.png", "train/cat/new.png": "train/Cat/new.png"}
    after = digests(tmp_path / "clean")
    assert all(after[new] == before[old] for new, old in moved.items())
    assert done.dataset.classes == ["cat", "dog"] and len(done.dataset) == 16
    assert done.counts() == {"remove": 2, "relabel": 2} and done.notes == ("1 labels are gone: 'Cat'",)
    record = json.loads((tmp_path / "clean" / "changes.json").read_text("utf-8"))
    listed = {change["name"]: change for change in record["changes"]}
    assert set(listed) == {"train/dog/copy.png", "train/dog/torn.png", "train/Cat/0.png", "train/Cat/new.png"}
    assert listed["train/dog/copy.png"]["reasons"] == ["leakage: an exact copy of test/dog/1.png"]
    assert (listed["train/Cat/0.png"]["before"], listed["train/Cat/0.png"]["after"]) == ("Cat", "cat")
    assert record["samples_before"] == 18 and record["samples_after"] == 16
    again = hs.audit(tmp_path / "clean", model=None)
    assert not again.errors and not again.changes, "what was cleaned is clean"


def test_labels_in_names(tmp_path: Path) -> None:
    root = tmp_path / "flat"
    root.mkdir()
    for i, label in enumerate(["cat", "cat", "cat", "Cat", "dog", "dog"]):
        photo(i).save(root / f"{label}_{i}.png")
    hs.audit(root, model=None, labels=r"([A-Za-z]+)_\d").clean(tmp_path / "clean")
    assert {path.name for path in (tmp_path / "clean").glob("*.png")} == {
        "cat_0.png", "cat_1.png", "cat_2.png", "cat_3.png", "dog_4.png", "dog_5.png"}  # fmt: skip


def write_csv(path: Path, rows: list[list[object]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def test_a_csv_of_texts_keeps_its_other_columns(tmp_path: Path) -> None:
    texts = ["one; two", 'a "quoted" text', "three\nlines", "four words are here", "four words are here", "six"]
    labels = ["yes", "no", "Yes", "no", "no", "yes"]
    rows = [["id", "text", "label"], *([i, text, label] for i, (text, label) in enumerate(zip(texts, labels, strict=True)))]
    write_csv(tmp_path / "reviews.csv", rows, ";")
    hs.audit(tmp_path / "reviews.csv", model=None).clean(tmp_path / "clean")
    with (tmp_path / "clean" / "reviews.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.reader(file, delimiter=";"))
    assert written == [["id", "text", "label"], ["0", "one; two", "yes"], ["1", 'a "quoted" text', "no"],
                       ["2", "three\nlines", "yes"], ["3", "four words are here", "no"], ["5", "six", "yes"]]  # fmt: skip


def test_a_table_of_files_takes_its_files_along(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "scans").mkdir(parents=True)
    for i in range(5):
        photo(i).save(source / "scans" / f"{i}.png")
    photo(0).save(source / "scans" / "copy.png")
    names = [f"scans/{i}.png" for i in range(4)] + [str(source / "scans" / "4.png"), "scans/copy.png"]
    write_csv(source / "scans.csv", [["file", "label"], *zip(names, "ababab", strict=True)])
    found = hs.audit(source / "scans.csv", model=None)
    done = found.clean(tmp_path / "clean")
    # copies that contradict each other are both left out
    assert sorted(path.name for path in (tmp_path / "clean" / "scans").iterdir()) == ["1.png", "2.png", "3.png", "4.png"]
    assert list(done.dataset.names) == ["scans/1.png", "scans/2.png", "scans/3.png", "scans/4.png"]
    assert all((tmp_path / "clean") in Path(str(item)).parents for item in done.dataset.items)


def test_cells_of_json_lines(tmp_path: Path) -> None:
    towns = ["Rome"] * 12 + ["rome"] + ["Paris"] * 12
    lines = [{"town": town, "size": i, "label": "ab"[i % 2]} for i, town in enumerate(towns)]
    (tmp_path / "towns.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    hs.audit(tmp_path / "towns.jsonl", model=None).clean(tmp_path / "clean")
    written = [json.loads(line) for line in (tmp_path / "clean" / "towns.jsonl").read_text("utf-8").splitlines()]
    assert written == [{**line, "town": line["town"].capitalize()} for line in lines]


def test_parquet_keeps_its_schema_and_class_numbers(tmp_path: Path) -> None:
    names = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog", "Dog"]}}}}
    schema = pyarrow.schema([("text", pyarrow.string()), ("label", pyarrow.int64())], {"huggingface": json.dumps(names)})
    texts = [f"a text about the number {i} and nothing else" for i in range(6)]
    table = pyarrow.table({"text": texts, "label": [0, 1, 1, 2, 0, 1]}, schema=schema)
    pyarrow.parquet.write_table(table, tmp_path / "pets.parquet")
    done = hs.audit(tmp_path / "pets.parquet", model=None).clean(tmp_path / "clean")
    written = pyarrow.parquet.read_table(tmp_path / "clean" / "pets.parquet")
    assert written.schema.equals(schema, check_metadata=True) and written["label"].to_pylist() == [0, 1, 1, 1, 0, 1]
    assert done.dataset.classes == ["cat", "dog"]


def test_a_folder_of_split_tables(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_csv(source / "train.csv", [["text", "label"], ["a text of five words", "a"], ["another one", "b"], ["third", "a"]])
    write_csv(source / "test.csv", [["text", "label"], ["a text of five words", "a"], ["fifth", "b"]])
    write_csv(source / "dev.csv", [["text"], ["no labels here"]])
    hs.audit(source, model=None).clean(tmp_path / "clean")
    assert (tmp_path / "clean" / "train.csv").read_text("utf-8").splitlines() == ["text,label", "another one,b", "third,a"]
    assert (tmp_path / "clean" / "dev.csv").read_bytes() == (source / "dev.csv").read_bytes()
    assert len((tmp_path / "clean" / "test.csv").read_text("utf-8").splitlines()) == 3


def test_places_that_are_refused(photos: Path, tmp_path: Path) -> None:
    found = hs.audit(photos, model=None)
    before = digests(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for place in (photos, photos / "clean", tmp_path, tmp_path / "full", photos / "train" / "cat" / "0.png"):
        with pytest.raises(DataError, match="nothing was written"):
            found.clean(place)
    assert digests(tmp_path) == {**before, "full/mine.txt": hashlib.sha256(b"mine").hexdigest()}


def test_nothing_half_written(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hs.audit(photos, model=None)
    before = {path.name for path in tmp_path.iterdir()}
    copied = []

    def full(source: Path, target: Path) -> None:
        copied.append(source)
        if len(copied) > 3:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(_cleaning.shutil, "copy2", full)
        found.clean(tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_what_reads_differently_is_not_kept(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hs.audit(photos, model=None)
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(_cleaning, "_free", lambda path, taken: Path("train/dog") / path.name)  # a wrong folder
    with pytest.raises(DataError, match="not kept"):
        found.clean(tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_data_from_memory_is_cleaned_in_memory(tmp_path: Path) -> None:
    found = hs.audit((["one text", "two texts", "one text", "a fourth", "fifth"], ["yes", "no", "yes", "No", "no"]), model=None)
    with pytest.raises(DataError, match=r"Audit\.cleaned"):
        found.clean(tmp_path / "clean")
    left = found.cleaned()
    assert list(left.items) == ["one text", "two texts", "a fourth", "fifth"] and list(left.labels or ()) == ["yes", "no", "no", "no"]


def test_all_reasons_of_one_change_are_kept() -> None:
    data = hs.read((["one", "two", "three"], ["Cat", "cat", "cat"]))
    findings = (
        Finding("error", "labels", "m", (Suspect(0, "spelled", change="relabel", value="cat"),)),
        Finding("warning", "blank", "m", (Suspect(0, "blank", change="remove"),)),
        Finding("error", "leakage", "m", (Suspect(0, "a copy", 1, "remove"),)),
    )
    [change] = Audit(data, findings, {}, {}).changes
    assert change.action == "remove" and change.reasons == ("blank: blank", "leakage: a copy")


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / "data" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), "white").save(tmp_path / "data" / label / "0.png")
    with pytest.raises(DataError, match="remove all 2 samples"):
        hs.audit(tmp_path / "data", model=None).clean(tmp_path / "clean")
