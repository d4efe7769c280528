"""Each check finds the fault that was planted, and nothing where nothing was."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiny
from headstart import plugins
from headstart.auditing import Evidence, Finding, _closer, neighbours
from headstart.data.dataset import Dataset, Sound
from headstart.data.duplicates import scan
from headstart.models.card import ModelCard


def look(
    name: str, dataset: Dataset, card: ModelCard | None = None, vectors: np.ndarray | None = None, **backbone: Any
) -> list[Finding] | str:
    """The findings of one check; ``vectors`` stand in for the features of a model."""
    evidence = Evidence(dataset, scan(dataset))
    if card is not None or vectors is not None:
        evidence.backbone = SimpleNamespace(card=card, reference="a:model", **backbone)  # type: ignore[assignment]
    if vectors is not None:
        evidence.__dict__["vectors"] = vectors.astype(np.float32)
    return plugins.load("auditing", name).check(evidence)


def data(items: list, labels: list[str] | None = None, modality: str = "image", **more: Any) -> Dataset:
    names = more.pop("names", [f"{i}.x" for i in range(len(items))])
    return Dataset(items, names, labels, modality, **more)


def photo(seed: int, side: int = 96) -> np.ndarray:
    """A picture with detail at every scale, unlike any other seed's."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((side, side)) for n in (4, 9, 20, 48)]
    return np.mean([np.asarray(layer, np.float32) for layer in layers], axis=0).astype(np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def noise(seed: int, seconds: float = 2.0, rate: int = 8000) -> Sound:
    """A recording whose pitch and loudness wander, unlike any other seed's."""
    rng = np.random.default_rng(seed)
    count = int(seconds * rate)
    steps = np.arange(0, count, rate // 10)
    pitch = np.interp(np.arange(count), steps, rng.uniform(200, 2500, len(steps)))
    loud = np.interp(np.arange(count), steps, rng.uniform(0.05, 0.6, len(steps)))
    return Sound((loud * np.sin(2 * np.pi * np.cumsum(pitch) / rate)).astype(np.float32), rate)


def places(found: list[Finding] | str, which: int = 0) -> list[int]:
    assert isinstance(found, list), found
    return sorted(entry.index for entry in found[which].samples)


# unreadable, blank, size


def test_damaged_and_missing_files_are_errors() -> None:
    whole = encoded(photo(0))
    [finding] = look("unreadable", data([whole, whole[:300], b"", Path("/nowhere.png")], list("abab")))
    assert finding.severity == "error" and places([finding]) == [1, 2, 3]
    assert all(entry.change == "remove" for entry in finding.samples)
    assert look("unreadable", data([whole])) == []


def test_a_png_without_its_end_still_decodes_and_is_noticed() -> None:
    picture = encoded(photo(1))
    [finding] = look("unreadable", data([picture, picture[:-12]], list("ab")))
    assert finding.severity == "warning" and places([finding]) == [1]


def test_blank_samples() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    [finding] = look("blank", data([photo(0), white, photo(1)]))
    assert places([finding]) == [1]
    silence = Sound(np.zeros(8000, np.float32), 8000)
    assert places(look("blank", data([noise(0), silence], modality="audio"))) == [1]
    assert places(look("blank", data(["some words", "...", "more"], modality="text"))) == [1]
    assert places(look("blank", data([{"a": 1.0}, {"a": None}], modality="table"))) == [1]


def test_clipped_recordings_are_named_and_stay() -> None:
    loud = Sound(np.clip(5 * noise(0).samples, -1, 1), 8000)
    [finding] = look("blank", data([noise(1), loud], modality="audio"))
    assert places([finding]) == [1] and finding.severity == "info" and not finding.samples[0].change


def test_odd_sizes() -> None:
    pictures = [photo(i, 96) for i in range(10)] + [photo(11, 12), np.tile(photo(12, 40), (1, 10, 1))]
    found = look("size", data(pictures))
    assert isinstance(found, list)
    assert {finding.evidence["quantity"]: places([finding]) for finding in found} == {"size": [10], "shape": [11]}
    sounds = [noise(i) for i in range(9)] + [noise(9, rate=11_025), noise(10, seconds=0.1)]
    found = look("size", data(sounds, modality="audio"))
    assert isinstance(found, list)
    assert {finding.evidence["quantity"]: places([finding]) for finding in found} == {"length": [10], "rate": [9]}
    texts = [" ".join(["word"] * n) for n in (8, 9, 10, 11, 12, 9, 10, 11, 400)]
    assert places(look("size", data(texts, modality="text"))) == [8]


# labels, imbalance, columns


def test_spellings_of_one_label_are_a_warning_and_the_commonest_wins() -> None:
    labels = ["Dress", "dress", "dress", "dress ", "T-Shirt", "t_shirt", "t_shirt", "hat"]
    [finding] = look("labels", data(list("abcdefgh"), labels, "text"))
    assert finding.severity == "warning"
    assert {e.index: e.value for e in finding.samples} == {0: "dress", 3: "dress", 4: "t_shirt"}


def test_word_order_and_single_letters_are_not_repaired() -> None:
    labels = ["long dress", "dress long", "long dress", "a", "A", "hat"]
    found = look("labels", data(list("abcdef"), labels, "text"))
    assert isinstance(found, list)
    assert [finding.severity for finding in found] == ["warning", "warning"]
    assert not any(entry.change for finding in found for entry in finding.samples)
    assert {tuple(group) for finding in found for group in finding.evidence["groups"]} == {
        ("A", "a"), ("long dress", "dress long")}  # fmt: skip
    assert look("labels", data(list("ab"), ["cat", "dog"], "text")) == []


def test_spellings_do_not_count_as_classes_elsewhere() -> None:
    """Six 'cat' and one 'Cat' are no rare class, and copies spelled in two ways do not contradict each other."""
    texts = [f"text number {i} of some length" for i in range(13)] + ["text number 0 of some length"]
    labels = ["cat"] * 6 + ["dog"] * 7 + ["Cat"]
    assert look("imbalance", data(texts, labels, "text")) == []
    found = look("duplicates", data(texts, labels, "text"))
    assert isinstance(found, list) and [finding.severity for finding in found] == ["warning"]
    assert "repeat" in found[0].message


def test_imbalance() -> None:
    labels = ["much"] * 50 + ["little"] * 5 + ["rare"] * 2
    found = look("imbalance", data(list(map(str, range(57))), labels, "text"))
    assert isinstance(found, list)
    assert "88 %" in found[0].message and places([found[1]]) == [55, 56]
    [finding] = look("imbalance", data(list("abcdef"), ["one"] * 6, "text"))
    assert "one class only" in finding.message
    sides = ["train"] * 10 + ["test"] * 5
    found = look("imbalance", data(list(map(str, range(15))), ["a"] * 5 + ["b"] * 5 + ["a"] * 5, "text", declared=sides))
    assert isinstance(found, list) and found[0].evidence == {"split": "test", "absent": ["b"]}


def table(**columns: list) -> Dataset:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return data(rows, [f"class {i % 2}" for i in range(len(rows))], "table")


def test_columns_of_a_table() -> None:
    rng = np.random.default_rng(0)
    age = [float(value) for value in rng.normal(50, 8, 60)]
    found = look(
        "columns",
        table(
            age=[*age[:59], 510.0],
            pulse=[-999.0 if i % 12 == 0 else value + 20 for i, value in enumerate(age)],
            gaps=[None if i % 2 else float(i) for i in range(60)],
            town=["Rome" if i % 3 else "Paris" for i in range(58)] + ["rome", "PARIS "],
            dose=[str(i) for i in range(58)] + ["unknown", "n.n."],
            same=["x"] * 60,
            twice=[*age[:59], 510.0],
        ),
    )
    assert isinstance(found, list)
    said = {finding.message.split(" (")[0]: finding for finding in found}
    by_column = {finding.evidence["column"]: finding for finding in found if "column" in finding.evidence}
    assert places([by_column["age"]]) == [59] and places([by_column["pulse"]]) == [0, 12, 24, 36, 48]
    assert by_column["pulse"].evidence["value"] == -999
    assert {e.index: (e.column, e.change, e.value) for e in by_column["town"].samples} == {
        58: ("town", "edit", "Rome"), 59: ("town", "edit", "Paris")}  # fmt: skip
    assert places([by_column["dose"]]) == [58, 59]
    facts = {key: value for finding in said.values() for key, value in finding.evidence.items()}
    assert facts["missing"]["gaps"] == 0.5 and facts["constant"] == ["same"] and facts["equal"] == [["age", "twice"]]
    assert "gives_away" not in facts


def test_columns_that_give_the_label_away() -> None:
    codes = [i % 2 for i in range(60)]
    rng = np.random.default_rng(0)
    found = look(
        "columns",
        table(
            outcome=["ill" if code else "well" for code in codes],
            level=[float(code + rng.uniform(0, 0.4)) for code in codes],
            chance=[float(value) for value in rng.normal(size=60)],
            name=[f"patient {i}" for i in range(60)],
        ),
    )
    assert isinstance(found, list)
    assert [finding.evidence for finding in found] == [{"gives_away": ["outcome", "level"]}]


def test_a_table_in_order_has_no_findings() -> None:
    rng = np.random.default_rng(0)
    assert look("columns", table(a=list(rng.normal(size=40)), b=["x" if v < 0.5 else "y" for v in rng.random(40)])) == []


# duplicates, leakage, groups


def test_duplicates_and_contradictions() -> None:
    one, two, three = (encoded(photo(i)) for i in range(3))
    saved_again = encoded(photo(0), "JPEG", quality=60)
    found = look("duplicates", data([one, two, saved_again, three, three, one], list("abaaba")))
    assert isinstance(found, list)
    contradicting, repeating = found
    assert places([contradicting]) == [3, 4] and {entry.change for entry in contradicting.samples} == {"remove"}
    assert {entry.index: entry.beside for entry in repeating.samples if entry.change} == {2: 0, 5: 0}
    assert repeating.evidence == {"exact": 2, "near": 1}


def test_the_majority_of_copies_is_believed() -> None:
    found = look("duplicates", data([photo(0)] * 3, ["cat", "dog", "cat"]))
    assert isinstance(found, list)
    assert [(e.index, e.change, e.value) for e in found[0].samples if e.change] == [(1, "relabel", "cat")]


def test_copies_across_a_declared_split() -> None:
    items = [photo(i) for i in range(6)] + [photo(4)]
    sides = ["train"] * 3 + ["test"] * 3 + ["train"]
    [finding] = look("leakage", data(items, list("abcabca"), declared=sides))
    assert finding.severity == "error" and finding.evidence["share"] == pytest.approx(1 / 3)
    assert [(e.index, e.beside, e.change) for e in finding.samples] == [(6, 4, "remove")]
    assert isinstance(look("leakage", data(items)), str)
    assert look("leakage", data(items[:6], declared=sides[:6])) == []


def test_a_group_on_two_sides() -> None:
    groups = ["ann", "ann", "bob", "ann", "cid", "cid"]
    sides = ["train", "train", "train", "test", "test", "test"]
    [finding] = look("group_leakage", data(list("abcdef"), list("xyxyxy"), "text", groups=groups, declared=sides))
    assert finding.severity == "error" and places([finding]) == [0, 1]
    assert finding.evidence == {"groups": ["ann"], "share": pytest.approx(1 / 3)}


def test_names_that_suggest_a_group() -> None:
    """The speakers' features lie apart, so the second field of the names is a group; the third, a number, is none."""
    rng = np.random.default_rng(0)
    names, labels, vectors = [], [], []
    for speaker, name in enumerate(("jackson", "nicolas", "theo", "yweweler")):
        for digit in range(3):
            for take in range(6):
                names.append(f"{digit}_{name}_{take}.wav")
                labels.append(str(digit))
                vectors.append(np.eye(8)[speaker] * 5 + np.eye(8)[4 + digit] * 5 + rng.normal(size=8))
    texts = [f"text {i}" for i in range(len(names))]
    sides = ["test" if name.endswith("5.wav") else "train" for name in names]
    found = look("groups", data(texts, labels, "text", names=names, declared=sides), vectors=np.array(vectors))
    assert isinstance(found, list) and len(found) == 1
    assert found[0].severity == "warning" and "jackson" in found[0].message
    import re

    assert {re.search(found[0].evidence["pattern"], name)[1] for name in names} == {  # type: ignore[index]
        "jackson", "nicolas", "theo", "yweweler"}  # fmt: skip
    # the same names on samples that have nothing to do with them
    found = look("groups", data(texts, labels, "text", names=names), vectors=rng.normal(size=(len(names), 8)))
    assert found == []


# neighbours, suspicious, inputs


def near(pairs: dict[int, int], count: int) -> np.ndarray:
    """Features in which each key lies beside its value, and all others far apart."""
    vectors = np.random.default_rng(0).normal(size=(count, 64))
    for one, other in pairs.items():
        vectors[one] = vectors[other] + 0.1 * np.random.default_rng(one).normal(size=64)
    return vectors


def test_cropped_and_mirrored_pictures() -> None:
    pictures = [photo(i) for i in range(8)]
    cropped = np.asarray(Image.fromarray(photo(0)[10:80, 16:86]).resize((96, 96)))
    mirrored = photo(1)[:, ::-1]
    items = [*pictures, cropped, np.ascontiguousarray(mirrored)]
    sides = ["test"] * 4 + ["train"] * 6
    # 7 lies beside 2 as well, but is another picture: a closer look tells
    found = look("neighbours", data(items, declared=sides), vectors=near({8: 0, 9: 1, 7: 2}, 10))
    assert isinstance(found, list) and len(found) == 1
    assert {(entry.index, entry.beside) for entry in found[0].samples} == {(8, 0), (9, 1)}
    assert all(entry.change == "remove" for entry in found[0].samples)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_brought_back_to_the_old_size_has_other_proportions(mirrored: bool) -> None:
    part = photo(0)[8:88, 16:82]  # 80 x 66
    stretched = np.asarray(Image.fromarray(part[:, ::-1] if mirrored else part).resize((96, 96)))
    whole, other = (_closer.thumbnail(picture) for picture in (photo(0), photo(1)))
    found = [_closer._best(picture, _closer.thumbnail(stretched), _closer.SCALES, stretches, _closer.BLUR)
             for picture, stretches in ((whole, _closer.STRETCHES), (whole, (1.0,)), (other, _closer.STRETCHES))]  # fmt: skip
    assert found[0] >= _closer.ALIKE["image"] > found[1] and found[2] < 0.6


def test_of_too_many_pairs_the_closest_are_compared_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    items, sides = [*(photo(i) for i in range(8)), photo(0)[10:86, 16:90], photo(1)[10:86, 16:90]], ["test"] * 5 + ["train"] * 5
    vectors = near({8: 0, 9: 1}, 10)
    vectors[8] = vectors[0]  # the closest pair
    monkeypatch.setattr(neighbours, "MOST", 1)
    found = look("neighbours", data(items, declared=sides), vectors=vectors)
    assert isinstance(found, list) and [entry.index for entry in found[0].samples] == [8]
    assert found[-1].severity == "info" and "The 1 closest of 2 pairs" in found[-1].message


def test_recordings_moved_in_time() -> None:
    later = Sound(np.roll(noise(0).samples, 3000), 8000)
    cut = Sound(noise(1).samples[5000:], 8000)
    items = [*(noise(i) for i in range(6)), later, cut]
    found = look("neighbours", data(items, modality="audio"), vectors=near({6: 0, 7: 1, 5: 2}, 8))
    assert isinstance(found, list)
    assert {(entry.index, entry.beside) for entry in found[0].samples} == {(6, 0), (7, 1)}


def test_reworded_texts_need_no_model() -> None:
    texts = [
        "the film is a long and tender look at two brothers who never learned how to talk to each other",
        "an utterly charming comedy with a script that sparkles from the first line to the very last one",
        "I could not wait for this dull , overlong and badly acted thriller to be over at last",
    ]
    reworded = "the film is a long and gentle look at two brothers who never learned how to talk to one another"
    found = look("neighbours", data([*texts, reworded], modality="text", declared=["test"] * 3 + ["train"]))
    assert isinstance(found, list) and [(e.index, e.beside) for e in found[0].samples] == [(3, 0)]


def test_flipped_labels_are_found_by_their_neighbours() -> None:
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    labels = [f"class {i % 3}" for i in range(120)]
    vectors = np.eye(3)[np.arange(120) % 3] * 4 + rng.normal(size=(120, 3))
    for flipped in (5, 40, 77):
        labels[flipped] = f"class {(flipped + 1) % 3}"
    sides = ["test" if i == 40 else "train" for i in range(120)]
    found = look("suspicious", data([f"text {i}" for i in range(120)], labels, "text", declared=sides), vectors=vectors)
    assert isinstance(found, list)
    assert set(places(found)) >= {5, 40, 77} and len(found[0].samples) <= 5
    change = {entry.index: (entry.change, entry.value) for entry in found[0].samples}
    assert change[5] == ("remove", "class 2") and change[40] == ("", "class 1"), "a test label is never dropped"
    assert 0.01 < found[0].evidence["noise"] < 0.08
    assert "its own mistakes" not in found[0].message


def test_a_model_that_knows_little_says_so() -> None:
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    labels = [f"class {i % 3}" for i in range(120)]
    vectors = np.eye(3)[np.arange(120) % 3] + rng.normal(size=(120, 3))
    found = look("suspicious", data([f"text {i}" for i in range(120)], labels, "text"), vectors=vectors)
    assert isinstance(found, list) and found[0].evidence["accuracy"] < 0.8
    assert f"only {100 * found[0].evidence['accuracy']:.0f} % of the labels" in found[0].message
    assert "its own mistakes" in found[0].message


def test_a_lone_sample_of_a_class_does_not_stop_the_search() -> None:
    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    labels = [f"class {i % 2}" for i in range(60)] + ["lonely"]
    vectors = np.eye(3)[np.r_[np.arange(60) % 2, 2]] * 4 + rng.normal(size=(61, 3))
    labels[7], labels[20], labels[33] = "class 0", "class 1", "class 0"
    found = look("suspicious", data([f"text {i}" for i in range(61)], labels, "text"), vectors=vectors)
    assert len(places(found)) >= 2 and set(places(found)) <= {7, 20, 33}
    assert isinstance(found, list) and found[0].evidence["not judged"] == 1


def test_without_cleanlab_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanlab", None)
    found = look("suspicious", data(list("abcd"), list("aabb"), "text"), vectors=np.eye(4))
    assert isinstance(found, str) and "headstart[audit]" in found


def test_pictures_that_are_not_what_the_checkpoint_expects() -> None:
    card = ModelCard("x/y", "image", input_size=(3, 96, 96), mean=(0.5,) * 3, std=(0.2,) * 3)
    pictures = data([photo(i) for i in range(12)])
    assert look("inputs", pictures, card) == []
    found = look("inputs", pictures, card.replace(value_range=(0.0, 255.0)))
    assert isinstance(found, list) and "mean" in found[0].message and found[0].severity == "warning"
    found = look("inputs", pictures, card.replace(input_size=(3, 299, 299)))
    assert isinstance(found, list) and "smaller than the 299 pixels" in found[0].message
    dark = data([photo(i) for i in range(12)] + [(photo(12) // 16).astype(np.uint8)])
    assert places(look("inputs", dark, card)) == [12]


def test_recordings_and_texts_that_are_not_what_the_checkpoint_expects() -> None:
    sounds = data([noise(i) for i in range(8)] + [Sound(noise(9).samples * 0.001, 8000)], modality="audio")
    found = look("inputs", sounds, ModelCard("x/y", "audio", sample_rate=16_000))
    assert isinstance(found, list)
    assert "8000 Hz" in found[0].message and places([found[1]]) == [8]
    texts = data(["few words", "many many more words than the model will ever read"], modality="text")
    found = look("inputs", texts, ModelCard("x/y", "text", maximum_length=6), cut=lambda t: max(0, len(t.split()) - 6))
    assert places(found) == [1]


def test_tiny_fixture_is_clean_but_for_its_size() -> None:
    """No check cries wolf on pictures that were drawn at random."""
    made = tiny.dataset(6)
    for name in ("unreadable", "blank", "size", "labels", "imbalance", "duplicates"):
        assert look(name, made) == [], name


def test_a_card_that_contradicts_its_checkpoint() -> None:
    """The first batch norm keeps what the right preparation gives; another mean or range does not fit it."""
    import torch

    from headstart.auditing._norms import USUAL, better_statistics

    values = [photo(i) for i in range(16)]
    for name, (mean, std) in USUAL.items():
        model = tiny.backbone()
        stated = tiny.CARD.replace(mean=mean, std=std)
        right = type(model)(model.network, stated, model.pool, "right")
        norm = next(part for part in model.network.modules() if isinstance(part, torch.nn.BatchNorm2d))
        norm.momentum = 1.0
        model.network.train()
        with torch.inference_mode():
            model.network(right.batch(right.shapes(values)))
        model.network.eval()
        assert better_statistics(right, values) is None, name
        for other, (wrong_mean, wrong_std) in USUAL.items():
            if other != name:
                stated = tiny.CARD.replace(mean=wrong_mean, std=wrong_std)
                wrong = type(model)(model.network, stated, model.pool, "wrong")
                found = better_statistics(wrong, values)
                assert found is not None and found[0] == name, (name, other)
