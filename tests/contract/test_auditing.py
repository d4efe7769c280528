"""What every check of the audit must do, whatever it looks for; new ones are found by their file."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tiny
from headstart import plugins
from headstart.auditing import Evidence, Finding
from headstart.auditing._audit import SEVERITIES
from headstart.data.dataset import Dataset, Sound
from headstart.data.duplicates import scan
from headstart.models.card import ModelCard

NAMES = plugins.names("auditing")
WORDS = ["red", "green", "blue", "round", "square", "long", "short", "old", "new", "fast"]


def dataset(items: list, labels: list[str] | None, modality: str, **more: object) -> Dataset:
    return Dataset(items, [f"train/{i}.x" for i in range(len(items))], labels, modality, origin="here", **more)  # type: ignore[arg-type]


def tones(count: int) -> list[Sound]:
    time = np.arange(4000) / 8000
    return [Sound(np.sin(2 * np.pi * (300 + 90 * i) * time).astype(np.float32) / 2, 8000) for i in range(count)]


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) for _ in range(count)]


def rows(count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    return [{"age": float(rng.normal(50, 9)), "sex": "fm"[i % 2], "gap": None if i % 3 else 1.0} for i in range(count)]


def split(count: int) -> list[str]:
    return ["test" if i % 3 == 0 else "train" for i in range(count)]


MADE: dict[str, Callable[[], Dataset]] = {
    "pictures": lambda: tiny.dataset(3),
    "pictures with a split and groups": lambda: dataset(
        list(tiny.dataset(4).items), list(tiny.dataset(4).labels or ()), "image", declared=split(12),
        groups=[f"patient {i % 5}" for i in range(12)],
    ),
    "texts": lambda: dataset(texts(20), list("ab") * 10, "text"),
    "sounds": lambda: dataset(tones(9), list("abc") * 3, "audio", declared=split(9)),
    "rows": lambda: dataset(rows(30), list("ab") * 15, "table"),
    "no labels": lambda: dataset(texts(12), None, "text"),
    "one sample": lambda: dataset(texts(1), ["a"], "text"),
    "two samples": lambda: dataset(tones(2), ["a", "b"], "audio"),
    "one class": lambda: dataset(rows(9), ["a"] * 9, "table"),
    "a thousand classes": lambda: dataset([f"{i} {7 * i} {9 * i + 1}" for i in range(1000)], [f"intent {i}" for i in range(1000)], "text"),
    "nothing readable": lambda: dataset([Path("/nowhere/a.png"), Path("/nowhere/b.png")], ["a", "b"], "image"),
    "all the same": lambda: dataset([np.full((40, 40, 3), 9, np.uint8)] * 8, list("ab") * 4, "image"),
}  # fmt: skip


@cache
def evidence(case: str) -> Evidence:
    made = MADE[case]()
    found = Evidence(made, scan(made))
    card = ModelCard("x/y", made.modality, input_size=(3, 32, 32), mean=(0.5,) * 3, std=(0.25,) * 3, sample_rate=16_000,
                     maximum_length=8)  # fmt: skip
    found.backbone = SimpleNamespace(card=card, reference="x:y", cut=lambda text: max(0, len(text.split()) - 8))  # type: ignore[assignment]
    rng = np.random.default_rng(0)
    m = len(found.readable)
    constant = case == "all the same"
    vectors = np.ones((m, 4)) if constant else rng.normal(size=(m, 4))
    found.__dict__["vectors"] = vectors.astype(np.float32) if m else None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_check_says_what_it_is(name: str) -> None:
    module = plugins.load("auditing", name)
    assert isinstance(module.ORDER, int) and isinstance(module.BEFORE_FIT, bool)
    assert {"features"} >= module.NEEDS
    assert not (module.BEFORE_FIT and module.NEEDS), "what runs before every fit has no model yet"
    assert module.__doc__ and callable(module.check)


def test_no_two_checks_have_one_place() -> None:
    places = [plugins.load("auditing", name).ORDER for name in NAMES]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize("name", NAMES)
def test_findings_are_well_formed(name: str, case: str) -> None:
    """Whatever the data, a check ends with findings or with a reason, says the same twice, and changes nothing."""
    seen = evidence(case)
    before = (list(seen.dataset.names), list(seen.dataset.labels or ()), seen.dataset.notes)
    found = plugins.load("auditing", name).check(seen)
    assert (list(seen.dataset.names), list(seen.dataset.labels or ()), seen.dataset.notes) == before
    if isinstance(found, str):
        assert len(found) > 10 and not found.endswith(".")
        return
    for finding in found:
        well_formed(finding, name, len(seen.dataset))
    assert plugins.load("auditing", name).check(seen) == found


def well_formed(finding: Finding, name: str, count: int) -> None:
    assert finding.severity in SEVERITIES and finding.check == name
    assert finding.message.endswith(".") and finding.message[0].isupper() | finding.message[0].isdigit()
    for entry in finding.samples:
        assert 0 <= entry.index < count and 0 <= entry.score <= 1 + 1e-9
        assert entry.why and (entry.beside is None or 0 <= entry.beside < count) and entry.beside != entry.index
        assert entry.change in ("", "remove", "relabel", "edit")
        assert entry.value is not None or entry.change not in ("relabel", "edit")
        assert bool(entry.column) == (entry.change == "edit")
