"""Every method of ``headstart.shift``, found by its file: an honest scikit-learn estimator with one clear error each."""

from __future__ import annotations

import contextlib
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils.estimator_checks import check_estimator

import headstart as hs
from headstart import plugins, progress
from headstart.errors import ConfigError, DataError
from headstart.shift import Adapter, ShiftClassifier, Weighting

QUICK: dict[str, dict[str, Any]] = {  # rounds and folds that change what is learnt, not whether it is learnt rightly
    "tjm": {"num_rounds": 2},
    "jda": {"num_rounds": 2},
    "bda": {"num_rounds": 2},
    "tradaboost": {"num_rounds": 4},
    "self_training": {"num_rounds": 1},
    "bbse": {"num_folds": 2},
    "mlls": {"num_folds": 2},
}
NAMES = sorted(plugins.names("shift"))
ADAPTERS = [name for name in NAMES if issubclass(hs.shift.load(name), Adapter)]
CLASSIFIERS = [name for name in NAMES if issubclass(hs.shift.load(name), ShiftClassifier)]


def made(name: str, **settings: Any) -> Any:
    found = hs.shift.load(name)(**{**QUICK.get(name, {}), **settings})
    if "num_components" in found.get_params():
        found.set_params(num_components=3)
    return found


def domains(
    num_source: int = 40, num_target: int = 30, dim: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target and their labels: three classes, a shifted and stretched target."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(3, dim))
    ys, yt = np.arange(num_source) % 3, np.arange(num_target) % 3
    source = centres[ys] + rng.normal(size=(num_source, dim))
    target = (centres[yt] + rng.normal(size=(num_target, dim))) * np.linspace(0.8, 1.3, dim) + 0.7
    return source, target, np.array(["x", "y", "z"])[ys], np.array(["x", "y", "z"])[yt]


def fitted(name: str, source: Any, target: Any, labels: Any, target_labels: Any, **settings: Any) -> Any:
    method = made(name, **settings)
    if isinstance(method, ShiftClassifier):
        return method.fit(source, target, labels, target_labels)
    return method.fit(source, target, labels if getattr(method, "uses_labels", False) else None)


def output(method: BaseEstimator, rows: Any) -> np.ndarray:
    """What the method says of new target rows; for a weighting, which says nothing of them, its weights."""
    if isinstance(method, Weighting):
        return method.weights_
    found = method.predict_proba(rows) if isinstance(method, ShiftClassifier) else method.transform(rows)
    return found.toarray() if scipy.sparse.issparse(found) else found


@contextlib.contextmanager
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    lines: list[str] = []
    for name in ("tca", "sstca", "_pseudo", "tjm", "subspace", "msda", "kmm", "_components", "_measures"):
        module = __import__(f"headstart.shift.{name}", fromlist=["say"])
        monkeypatch.setattr(module, "say", lines.append)
    yield lines


def test_there_are_all_methods() -> None:
    assert set(NAMES) >= {
        "tca", "sstca", "jda", "bda", "tjm", "coral", "subspace", "linear_transport", "msda", "kmm", "density_ratio",
        "bbse", "mlls", "tradaboost", "self_training", "adapted",
    }  # fmt: skip
    public = {type(getattr(hs.shift, name)()).__name__ for name in dir(hs.shift) if name[0].isupper()
              and isinstance(getattr(hs.shift, name), type) and name not in ("Adapter", "Weighting", "ShiftClassifier")}  # fmt: skip
    assert public == {hs.shift.load(name).__name__ for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_scikit_learn_accepts_it(name: str) -> None:
    results = check_estimator(hs.shift.load(name)(**QUICK.get(name, {})), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 35
    assert not {result["check_name"] for result in results if result["status"] != "passed"} - {"check_array_api_input"}


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_two_domains_and_takes_new_rows(name: str) -> None:
    source, target, labels, target_labels = domains()
    method = fitted(name, source, target, labels, target_labels)
    new = domains(seed=5)[1][:7]
    found = output(method, new)
    assert np.isfinite(found).all()
    if isinstance(method, Weighting):
        assert found.shape == (40,)
        assert found.min() >= 0
        assert found.mean() == pytest.approx(1)
        return
    assert len(found) == 7
    assert np.allclose(output(method, new[:1]), found[:1], atol=1e-6), "a row must not depend on its neighbours"
    if isinstance(method, ShiftClassifier):
        assert list(method.classes_) == ["x", "y", "z"]
        assert np.allclose(found.sum(1), 1)
        assert set(method.predict(new)) <= {"x", "y", "z"}
        assert method.score(target, target_labels) > 0.7
    else:
        moved = method.transform(source, domain="source")
        assert moved.shape == (40, found.shape[1])
        assert len(method.get_feature_names_out()) == found.shape[1]
        again = made(name).fit_transform(source, target, labels if method.uses_labels else None)
        assert np.allclose(again, moved)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_deterministic_and_leaves_its_input_alone(name: str) -> None:
    source, target, labels, target_labels = domains()
    before = source.copy(), target.copy()
    first = output(fitted(name, source, target, labels, target_labels), target)
    np.random.seed(7)
    second = output(fitted(name, source, target, labels, target_labels), target)
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(before[0], source) and np.array_equal(before[1], target)
    assert not vars(clone(made(name))).keys() ^ vars(made(name)).keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dim", [6, 90])
def test_sparse_rows_give_what_dense_ones_give(name: str, dim: int) -> None:
    rng = np.random.default_rng(0)
    source, target, labels, target_labels = domains(dim=dim)
    source, target = (x * (rng.random(x.shape) < 0.4) for x in (source, target))
    dense = output(fitted(name, source, target, labels, target_labels), target)
    parts = scipy.sparse.csr_matrix(source), scipy.sparse.coo_array(target)
    found = output(fitted(name, *parts, labels, target_labels), scipy.sparse.csc_array(target))
    tolerance = 5e-3 if name in (*CLASSIFIERS, "density_ratio", "kmm") else 1e-6  # solvers that stop early
    assert np.allclose(found, dense, atol=tolerance * max(1.0, np.abs(dense).max()))


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_kept(name: str) -> None:
    source, target, labels, target_labels = domains()
    single = fitted(name, source.astype(np.float32), target.astype(np.float32), labels, target_labels)
    found, double = output(single, target.astype(np.float32)), fitted(name, source, target, labels, target_labels)
    assert np.allclose(found, output(double, target), atol=2e-2 * np.abs(output(double, target)).max())
    if isinstance(single, Adapter):
        assert found.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_it_works_without_a_second_domain(name: str) -> None:
    source, _, labels, _ = domains()
    method = made(name).fit(source, labels)
    if isinstance(method, Weighting):
        assert (method.weights_ == 1).all()
    elif name in ("coral", "linear_transport"):
        assert np.allclose(method.transform(source, domain="source"), source)
    else:
        assert len(output(method, source)) == len(source)


# Bad inputs: each is one error that says what is wrong and what to do.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, t: (s, t[:, :5]), r"The source has 6 features and the target 5.*label column"),
        (lambda s, t: (s, t[:1]), r"target has a single row \(n_samples = 1\).*at least 2"),
        (lambda s, t: (s[:1], t), r"source has a single row \(n_samples = 1\).*at least 2"),
        (lambda s, t: (s, t[0]), r"one-dimensional with 6 numbers.*single row\?"),
        (lambda s, t: (_with(s, np.nan), t), r"The source contains NaN or infinity in 1 of 40 rows, in 1 features: 2\. Fill"),
        (lambda s, t: (s, _with(t, np.inf)), r"The target contains NaN or infinity in 1 of 30 rows.*SimpleImputer"),
        (lambda s, t: (scipy.sparse.csr_array(_with(s, np.nan)), t), r"in 1 of 40 rows, in 1 features: 2\."),
    ],
    ids=["widths", "one target row", "one source row", "a bare row", "NaN", "infinity", "sparse NaN"],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_one_clear_error(name: str, change: Any, message: str) -> None:
    source, target, labels, target_labels = domains()
    source, target = change(source, target)
    with pytest.raises(DataError, match=message) as caught:
        fitted(name, source, target, labels, target_labels)
    assert "\n" not in str(caught.value)


def _with(x: np.ndarray, value: float) -> np.ndarray:
    x = x.copy()
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n in CLASSIFIERS or getattr(hs.shift.load(n), "uses_labels", False)]
)
def test_labels_that_cannot_be_used_are_one_clear_error(name: str) -> None:
    source, target, labels, target_labels = domains()
    with pytest.raises(DataError, match=r"one class only.*at least two classes"):
        fitted(name, source, target, np.full(len(source), "x"), None)
    with pytest.raises(DataError, match="40 source rows and 39 labels"):
        fitted(name, source, target, labels[:-1], target_labels)
    with pytest.raises(DataError, match=r"requires y to be passed.*fit\(source, target, labels=labels\)"):
        made(name).fit(source, target)


def test_target_labels_that_cannot_be_used() -> None:
    source, target, labels, target_labels = domains()
    with pytest.raises(DataError, match=r"learns from labelled target rows.*Without target labels"):
        made("tradaboost").fit(source, target, labels)
    with pytest.raises(DataError, match="30 target rows and 29 labels"):
        made("tradaboost").fit(source, target, labels, target_labels[:-1])
    with pytest.raises(DataError, match="labels that the source lacks: w"):
        made("tradaboost").fit(source, target, labels, np.where(target_labels == "x", "w", target_labels))
    with pytest.raises(DataError, match="a single row"):
        made("bbse").fit(source, target, np.where(np.arange(40) == 0, "lone", labels))


@pytest.mark.parametrize("name", NAMES)
def test_a_target_smaller_than_the_components_works_and_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, labels, target_labels = domains()
    source, target = np.hstack([source, source**2, source**3]), np.hstack([target, target**2, target**3])
    method = made(name)
    if "num_components" in method.get_params():
        method.set_params(num_components=100)
    with said(monkeypatch) as lines:
        args = (labels, target_labels[:3]) if isinstance(method, ShiftClassifier) else (labels,)
        if isinstance(method, Adapter) and not method.uses_labels:
            args = ()
        method.fit(source, target[:3], *args)
    assert np.isfinite(output(method, target)).all()
    if "num_components" in method.get_params():
        [line] = [line for line in lines if "components instead of 100" in line]
        width = method.transform(target).shape[1]
        assert line.startswith(f"{type(method).__name__}: {width} components")


@pytest.mark.parametrize("name", NAMES)
def test_constant_features_and_copies_across_domains_do_no_harm(name: str) -> None:
    source, target, labels, target_labels = domains()
    source, target = (np.hstack([x, np.full((len(x), 1), 4.0), np.zeros((len(x), 1))]) for x in (source, target))
    target[:20], target_labels[:20] = source[:20], labels[:20]
    source[5] = source[8]
    method = fitted(name, source, target, labels, target_labels)
    found = output(method, target)
    assert np.isfinite(found).all()
    if not isinstance(method, Weighting):
        assert np.abs(found).max() < 1e4, "a constant feature must not blow up"


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_two_domains_may_be_the_same_rows(name: str) -> None:
    source, _, labels, _ = domains()
    method = fitted(name, source, source.copy(), labels, None)
    assert np.allclose(output(method, source), method.transform(source, domain="source"), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tca", {"regularisation": 0.0}), ("tca", {"num_components": 0}), ("tca", {"kernel": "cubic"}),
        ("tca", {"kernel": "rbf", "gamma": -1.0}), ("jda", {"num_rounds": 0}), ("bda", {"balance": 2.0}),
        ("sstca", {"kernel": "primal"}), ("sstca", {"dependence": 3.0}), ("tjm", {"kernel": "primal"}),
        ("tjm", {"num_rounds": 0}), ("subspace", {"num_components": 0}), ("msda", {"noise": 1.0}), ("msda", {"num_layers": 0}),
        ("kmm", {"largest": 0.5}), ("density_ratio", {"exponent": 2.0}), ("density_ratio", {"regularisation": 0.0}),
        ("tradaboost", {"num_rounds": 0}), ("self_training", {"largest_share": 0.0}),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name(name: str, settings: dict[str, Any]) -> None:
    source, target, labels, target_labels = domains()
    method = hs.shift.load(name)(**settings)
    args = (labels, target_labels) if isinstance(method, ShiftClassifier) else (labels,)
    if not isinstance(method, ShiftClassifier) and not getattr(method, "uses_labels", False):
        args = ()
    setting, value = list(settings.items())[-1]
    with pytest.raises(ConfigError, match=rf"{setting}.*{re.escape(str(value))}"):
        method.fit(source, target, *args)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("tca", {}), ("tca", {"kernel": "primal"}), ("tca", {"kernel": "rbf", "num_landmarks": 50}), ("coral", {}),
     ("linear_transport", {}), ("subspace", {}), ("msda", {"num_layers": 1}), ("kmm", {"num_landmarks": 50}),
     ("jda", {"kernel": "primal", "num_rounds": 1})],
)  # fmt: skip
def test_memory_does_not_grow_with_the_square_of_the_rows(name: str, settings: dict[str, Any]) -> None:
    source, target, labels, _ = domains(6000, 6000, dim=8)
    method = made(name, **settings)
    if name == "kmm":
        method.num_iterations = 20
    args = (source, target, labels) if getattr(method, "uses_labels", False) else (source, target)
    tracemalloc.start()
    with progress.hushed():
        method.fit(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6, f"{peak / 1e6:.0f} MB; a kernel of all pairs of rows has 1,152"
