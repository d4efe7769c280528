"""What every way to make synthetic rows must do, whatever it is; new ones are found by their file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from headstart import config, plugins, solvers, synthetic
from headstart.errors import ConfigError
from headstart.synthetic import Synthetic

NAMES = plugins.names("synthetic")
each = pytest.mark.parametrize("name", NAMES)
SIZES = (40, 12, 5, 1)


def rows(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> tuple[np.ndarray, np.ndarray]:
    """Classes of different sizes about different centres, in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 6 * np.random.default_rng(7).normal(size=(len(sizes), 6))
    return (centres[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32), labels


def way(name: str) -> Synthetic:
    found = synthetic.named(name)
    assert found is not None
    return found


@each
def test_classes_become_as_large_as_the_largest(name: str) -> None:
    vectors, labels = rows()
    more, whose = synthetic.grown(way(name), vectors, labels, 5, seed=3)
    assert np.array_equal(more[: len(labels)], vectors) and np.array_equal(whose[: len(labels)], labels), "these stay"
    assert more.dtype == vectors.dtype and whose.dtype == labels.dtype
    tally = np.bincount(whose, minlength=5).tolist()
    assert tally[:3] == [40, 40, 40] and tally[4] == 0, "a class without a row stays without"
    assert tally[3] == (40 if way(name).least == 1 else 1), "and one that is too small to make any from stays as it is"
    assert np.isfinite(more).all()


@each
def test_same_seed_same_rows_and_the_input_stays(name: str) -> None:
    vectors, labels = rows()
    before = vectors.copy(), labels.copy()
    one, two, other = (synthetic.grown(way(name), vectors, labels, 4, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert np.array_equal(vectors, before[0]) and np.array_equal(labels, before[1])
    assert len(np.unique(one, axis=0)) > 0.8 * len(one), "new rows are no mere copies"


@each
def test_new_rows_are_nearest_to_their_own_class(name: str) -> None:
    vectors, labels = rows()
    more, whose = synthetic.grown(way(name), vectors, labels, 4, seed=0)
    centres = np.stack([vectors[labels == number].mean(0) for number in range(4)])
    near = ((more[:, None] - centres) ** 2).sum(2).argmin(1)
    assert (near == whose)[len(labels) :].mean() > 0.9


@each
def test_nothing_is_made_of_equal_classes(name: str) -> None:
    vectors, labels = rows(sizes=(6, 6, 6))
    more, whose = synthetic.grown(way(name), vectors, labels, 3, seed=0)
    assert np.array_equal(more, vectors) and np.array_equal(whose, labels)
    assert synthetic.counts(labels, 4).tolist() == [0, 0, 0, 0]


@each
def test_settings_go_through_text_and_files_and_bad_ones_are_refused(name: str) -> None:
    default = way(name)
    assert config.from_dict(type(default), config.to_dict(default)) == default
    for entry in dataclasses.fields(default):  # type: ignore[arg-type]
        assert synthetic.named(f"{name}:{getattr(default, entry.name)}") == default
        for bad in ("0", "-1", "much"):
            with pytest.raises(ConfigError, match=rf"\$\.approach\.synthetic \({name}\)\.{entry.name}: expected"):
                synthetic.named(f"{name}:{entry.name}={bad}")
    assert synthetic.named("") is None
    with pytest.raises(ConfigError, match=r"\$\.approach\.synthetic: There is no 'gan' among the synthetic: "):
        synthetic.named("gan")


@each
@pytest.mark.parametrize("solver", plugins.names("solvers"))
def test_no_held_out_row_is_near_a_synthetic_one(name: str, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made within a fold is made of its training rows alone, and never held out."""
    vectors, labels = rows(sizes=(24, 8, 8))
    kind = type(plugins.variant("solvers", solver, solvers.Solver)())
    inner, seen = kind.logits, []

    def watched(self: solvers.Solver, table: solvers.Table, held: np.ndarray, *more: object) -> list[np.ndarray]:
        seen.append((table.x.copy(), table.y.copy(), held.copy()))
        return inner(self, table, held, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "logits", watched)
    found = solvers.fit(solver, vectors, labels, 3, seed=0, more=way(name))
    whole = solvers.standardised(vectors, labels, 3).x
    assert len(seen) == solvers.FOLDS
    assert sorted(map(tuple, np.concatenate([held for _, _, held in seen]))) == sorted(map(tuple, whole)), (
        "the accuracy is that of the real rows, each once"
    )
    for known, known_labels, held in seen:
        real = len(whole) - len(held)
        assert len(set(np.bincount(known_labels).tolist())) == 1 and len(known) > real, "the folds are filled up"
        alone = synthetic.grown(way(name), known[:real], known_labels[:real], 3, 0)[0]
        assert np.array_equal(known, alone), "a function of the training rows of the fold"
        assert not set(map(tuple, known)) & set(map(tuple, held))
    assert np.isfinite(found.accuracy)
