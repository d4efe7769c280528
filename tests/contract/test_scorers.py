"""Every scorer, discovered: it tells good features from bad ones, and meets bad input with a number or a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headstart import plugins
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.features.table import FeatureTable, Origin
from headstart.ranking import scorers

NAMES = plugins.names("ranking.scorers")
STATIC = ("published", "size")  # they do not look at the data


def table(n: int = 80, d: int = 16, classes: int = 4, apart: float = 3.0, seed: int = 0) -> FeatureTable:
    rng = np.random.default_rng(seed)
    numbers = np.arange(n) % classes
    x = rng.normal(size=(n, d)) + apart * rng.normal(size=(classes, d))[numbers]
    source = rng.random((n, 8)) + 8 * min(apart, 1) * (np.arange(8) == numbers[:, None] % 8)
    return FeatureTable(x.astype(np.float32), [f"c{c:04}" for c in numbers], [str(i) for i in range(n)], n, "float32", 0.0,
                        Origin(1_000_000, 0.7, source / source.sum(1, keepdims=True)))  # fmt: skip


def scored(name: str, given: FeatureTable) -> float | str:
    try:
        found = scorers.score(name, given)
    except Incompatible as reason:
        assert str(reason)
        return str(reason)
    assert type(found) is float and np.isfinite(found)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_obeys_the_contract(name: str) -> None:
    module: Any = plugins.load("ranking.scorers", name)
    assert isinstance(module.NEEDS, frozenset) and set(scorers.REASONS) >= module.NEEDS
    assert module.COST in (1, 2)
    assert module.__doc__ and ("aper" in module.__doc__ or name in ("knn", "linear"))
    assert scorers.score(name, table()) == scorers.score(name, table())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in STATIC])
@pytest.mark.parametrize("shape", [(200, 16), (60, 90)])
def test_good_features_score_higher(name: str, shape: tuple[int, int]) -> None:
    good, middling, bad = (scored(name, table(*shape, apart=apart)) for apart in (3.0, 0.7, 0.0))
    if isinstance(good, str):
        assert name == "hscore" and shape[0] < shape[1], good
        return
    assert good >= middling > bad  # type: ignore[operator]
    assert good > middling or name in ("knn", "linear", "nce")  # these have a largest value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("need", sorted(scorers.REASONS))
def test_what_it_needs_is_asked_for(name: str, need: str) -> None:
    lacking = table()
    lacking = replace(lacking, origin=replace(lacking.origin, **{need: None}))
    if need in plugins.load("ranking.scorers", name).NEEDS:
        with pytest.raises(Incompatible, match=r"model|known"):
            scorers.score(name, lacking)
    else:
        assert isinstance(scored(name, lacking), float)


@pytest.mark.parametrize("name", NAMES)
def test_few_samples(name: str) -> None:
    for n, classes in ((2, 2), (3, 2), (4, 2), (5, 4)):
        scored(name, table(n, 6, classes))


@pytest.mark.parametrize("name", NAMES)
def test_thousand_classes(name: str) -> None:
    assert isinstance(scored(name, table(2000, 24, 1000)), float)  # two samples each
    scored(name, table(1000, 24, 1000))  # one sample each


@pytest.mark.parametrize("name", NAMES)
def test_a_rare_class_and_far_too_few_rows(name: str) -> None:
    given = table(60, 6, 2)
    labels = ["common"] * 59 + ["rare"]
    scored(name, replace(given, labels=labels))


@pytest.mark.parametrize("name", NAMES)
def test_some_constant_features_and_copies(name: str) -> None:
    given = table()
    vectors = given.vectors.copy()
    vectors[:, :8] = 3.0
    assert isinstance(scored(name, replace(given, vectors=vectors)), float)
    scored(name, replace(given, vectors=np.repeat(vectors[:4], 20, 0)))  # four distinct rows


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_broken_features_are_refused(name: str) -> None:
    given = table()
    with pytest.raises(Incompatible, match="constant"):
        scorers.score(name, replace(given, vectors=np.ones_like(given.vectors)))
    for wrong in (np.nan, np.inf):
        vectors = given.vectors.copy()
        vectors[3, 2] = wrong
        with pytest.raises(Incompatible, match="not finite"):
            scorers.score(name, replace(given, vectors=vectors))


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_needed_and_must_differ(name: str) -> None:
    given = table()
    with pytest.raises(DataError, match="no labels"):
        scorers.score(name, replace(given, labels=None))
    with pytest.raises(DataError, match="one class"):
        scorers.score(name, replace(given, labels=["same"] * len(given)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-18, 1e12])
def test_extreme_scales_give_no_nonsense(name: str, factor: float) -> None:
    given = table()
    scored(name, replace(given, vectors=(given.vectors * factor).astype(np.float32)))


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(ConfigError, match="logme"):
        scorers.score("logmee", table())
