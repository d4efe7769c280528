"""Pairs of domains as rows: a labelled source, the inputs of a target, and target rows with labels for the verdict only."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
from _shared import data_folder, progress, weights_folder

from headstart.approaches._rows import Pair


@dataclass(frozen=True)
class Domains:
    """One pair.

    Attributes:
        family: the set of pairs it belongs to.
        name: such as "books>dvd".
        pair: what a method gets.
        rows: (n, dim) target rows that are judged.
        labels: (n,) their class numbers; no method and no rule sees them.
    """

    family: str
    name: str
    pair: Pair
    rows: np.ndarray
    labels: np.ndarray


FAMILIES = ("amazon", "surf", "photos", "heart", "digits", "speakers-spectrum", "speakers-yamnet")
# On these families the rule of ``auto`` was made: all pairs of heart, books>kitchen of amazon, caltech10>amazon of surf.
DESIGN = ("heart", "amazon", "surf")


def pairs(family: str) -> Iterator[Domains]:
    """All pairs of a family; amazon has target rows of its own for judging, elsewhere the target itself is judged."""
    tables = TABLES[family]()
    num_classes = 1 + max(int(labels.max()) for _, labels, *_ in tables.values())
    for ours, theirs in permutations(tables, 2):
        source, labels, *_ = tables[ours]
        target, truth, *judged = tables[theirs]
        pair = Pair(source, labels, target, num_classes)
        rows, actual = judged if judged else (target, truth)
        yield Domains(family, f"{ours}>{theirs}", pair, rows, actual)


@cache
def amazon() -> dict[str, tuple[np.ndarray, ...]]:
    """Counts of 5,000 words and pairs of words: 2,000 training rows, and the test rows of the DANN paper."""
    from sklearn.datasets import load_svmlight_file

    found = {}
    for name in ("books", "dvd", "electronics", "kitchen"):
        parts: list[np.ndarray] = []
        for side in ("train", "test"):
            path = data_folder("amazon-reviews") / f"{name}_{side}.svmlight"
            rows, labels = load_svmlight_file(str(path), n_features=5000, zero_based=True)
            parts += [np.asarray(rows.todense(), np.float32), (labels > 0).astype(int)]
        found[name] = tuple(parts)
    return found


@cache
def surf() -> dict[str, tuple[np.ndarray, ...]]:
    """Office + Caltech: histograms of 800 visual words, each row divided by its sum, as the papers do."""
    from scipy.io import loadmat

    found = {}
    for path in sorted(data_folder("office-caltech10-surf").glob("*.mat")):
        content = loadmat(path)
        rows = content["fts"].astype(np.float64)
        rows /= rows.sum(1, keepdims=True)
        found[path.name.split("_")[0].lower()] = (rows.astype(np.float32), content["labels"].ravel().astype(int) - 1)
    return found


@cache
def photos() -> dict[str, tuple[np.ndarray, ...]]:
    """Office + Caltech photos: features of MobileNetV2."""
    import headstart as hs

    data = data_folder("office-caltech10")
    backbone = hs.load_model(f"local:{weights_folder()}")
    return {
        place.name: _extracted(f"photos-{place.name}", backbone, hs.read(place))
        for place in sorted(data.iterdir())
        if place.is_dir()
    }


@cache
def heart() -> dict[str, tuple[np.ndarray, ...]]:
    """Four hospitals: 13 columns (means where a value is missing, beside a mark of it), disease or none."""
    found: dict[str, tuple[np.ndarray, ...]] = {}
    raw = {}
    for path in sorted(data_folder("heart-disease").glob("processed.*.data")):
        with path.open(encoding="utf-8") as file:
            lines = [[_number(entry) for entry in row] for row in csv.reader(file) if row]
        raw[path.name.split(".")[1]] = np.array(lines)
    for name, rows in raw.items():
        missing = np.isnan(rows[:, :13])
        kinds = [(2, (1, 2, 3, 4)), (6, (0, 1, 2)), (10, (1, 2, 3)), (12, (3, 6, 7))]  # columns that are categories
        numbers = [i for i in range(13) if i not in dict(kinds)]
        filled = np.where(missing, 0, rows[:, :13])
        columns = [filled[:, numbers], missing.astype(float)]
        columns += [(filled[:, [i]] == np.array(values)).astype(float) for i, values in kinds]
        found[name] = (np.concatenate(columns, 1).astype(np.float32), (rows[:, 13] > 0).astype(int))
    return found


def _number(text: str) -> float:
    return float(text) if text.strip() not in ("", "?") else float("nan")


@cache
def digits() -> dict[str, tuple[np.ndarray, ...]]:
    """Grey digits, 16 by 16: mnist, mnist-m and usps, the 2,000 first of each in a shuffled order."""
    import h5py
    from PIL import Image

    found: dict[str, tuple[np.ndarray, ...]] = {}
    for name in ("mnist", "mnist-m"):
        paths = sorted(data_folder("digits", name, "test").rglob("*.*"))
        chosen = np.random.default_rng(0).permutation(len(paths))[:2000]
        grey = [np.asarray(Image.open(paths[i]).convert("L").resize((16, 16)), np.float32) / 255 for i in chosen]
        found[name] = (np.stack(grey).reshape(len(grey), -1), np.array([int(paths[i].parent.name) for i in chosen]))
    with h5py.File(data_folder("digits", "usps.h5")) as file:
        found["usps"] = (np.asarray(file["test"]["data"], np.float32)[:2000], np.asarray(file["test"]["target"])[:2000])
    return found


@cache
def speakers(features: str) -> dict[str, tuple[np.ndarray, ...]]:
    """Spoken digits, every speaker a domain: mean and deviation of log-mel spectra, or features of YAMNet."""
    import headstart as hs
    from headstart.evaluation.raw.audio import spectrum_table

    data = hs.read(data_folder("spoken-digits"), labels=r"(\d)_[a-z]+_\d+", group=r"\d_([a-z]+)_\d+")
    groups = np.array(data.groups)
    found = {}
    for who in sorted(set(groups)):
        part = data.subset(np.flatnonzero(groups == who))
        if features == "yamnet":
            backbone = hs.load_model(f"local:{weights_folder('yamnet_mobilenetv1_100')}")
            found[str(who)] = _extracted(f"yamnet-{who}", backbone, part)
        else:
            found[str(who)] = (spectrum_table(part), np.array([int(label) for label in part.labels or ()]))
    return found


def _extracted(key: str, backbone: object, data: object) -> tuple[np.ndarray, ...]:
    """Features and class numbers; kept in ``$HEADSTART_ROWS``, where it is set, for a benchmark that is run in parts."""
    import headstart as hs

    place = Path(os.environ["HEADSTART_ROWS"]) / f"{key}.npz" if "HEADSTART_ROWS" in os.environ else None
    if place and place.exists():
        with np.load(place) as file:
            return file["rows"], file["labels"]
    progress(f"features of {key}")
    table = hs.extract(backbone, data, hs.Store())  # type: ignore[arg-type]
    labels = np.unique(np.array(table.labels), return_inverse=True)[1]
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, rows=table.vectors, labels=labels)
    return table.vectors, labels


TABLES = {
    "amazon": amazon,
    "surf": surf,
    "photos": photos,
    "heart": heart,
    "digits": digits,
    "speakers-spectrum": lambda: speakers("spectrum"),
    "speakers-yamnet": lambda: speakers("yamnet"),
}
