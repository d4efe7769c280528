"""Office-Caltech10, SURF features, 12 pairs: the shallow methods of hs.shift beside the figures published for them.

The protocol of the papers: every photo of the source is labelled, every photo of the target is tested; histograms are
divided by their sum and standardised in each domain; one setting for all pairs (30 components, mu = 1), the nearest
neighbour. The published figures are those that the JGSA and MEDA papers list; nothing here is chosen by target labels.

Further rows are experiments that explain a difference: what the scaling of components, the length of rows and the choice
of the classifier are worth.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable

import numpy as np
import scipy.io
from _shared import Goal, Report, Row, data_folder, main, mean, progress
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize
from sklearn.svm import SVC

import headstart.shift as shift

NAMES = {"C": "Caltech10", "A": "amazon", "W": "webcam", "D": "dslr"}
PAIRS = [f"{a}{b}" for a in "CAWD" for b in {"C": "AWD", "A": "CWD", "W": "CAD", "D": "CAW"}[a]]
COMPONENTS, MU = 30, 1.0
GRID = {"C": [1e-4, 1e-3, 1e-2, 1e-1]}  # of the linear SVM, by 3-fold cross-validation on the (moved) source
PUBLISHED = {
    "1-NN": (23.7, 25.8, 25.5, 26.0, 29.8, 25.5, 19.9, 23.0, 59.2, 26.3, 28.5, 63.4),
    "SVM": (53.1, 41.7, 47.8, 41.7, 31.9, 44.6, 28.8, 27.6, 78.3, 26.4, 26.2, 52.5),
    "PCA": (39.5, 34.6, 44.6, 39.0, 35.9, 33.8, 28.2, 29.1, 89.2, 29.7, 33.2, 86.1),
    "TCA": (45.6, 39.3, 45.9, 42.0, 40.0, 35.7, 31.5, 30.5, 91.1, 33.0, 32.8, 87.5),
    "JDA": (43.1, 39.3, 49.0, 40.9, 38.0, 42.0, 33.0, 29.8, 92.4, 31.2, 33.4, 89.2),
    "CORAL": (52.1, 46.4, 45.9, 45.1, 44.4, 39.5, 33.7, 36.0, 86.6, 33.8, 37.7, 84.7),
}
WITHIN = 1.5  # points between the means
Domain = tuple[np.ndarray, np.ndarray]
Method = Callable[[Domain, Domain], float]


def nearest(rows: np.ndarray, labels: np.ndarray, new: np.ndarray, truth: np.ndarray) -> float:
    return float(KNeighborsClassifier(1).fit(rows, labels).score(new, truth))


def machine(rows: np.ndarray, labels: np.ndarray, new: np.ndarray, truth: np.ndarray, **fixed: float) -> float:
    """Linear SVM of libsvm; C by cross-validation on the rows it learns from."""
    classifier = SVC(kernel="linear", **fixed) if fixed else GridSearchCV(SVC(kernel="linear"), GRID, cv=3)
    return float(classifier.fit(rows, labels).score(new, truth))


def pca(source: Domain, target: Domain) -> float:
    axes = PCA(COMPONENTS, svd_solver="covariance_eigh").fit(np.vstack([source[0], target[0]]))
    return nearest(axes.transform(source[0]), source[1], axes.transform(target[0]), target[1])


def components(kind: str, *, whiten: bool, unit: bool) -> Method:
    """TCA or JDA in the primal; ``unit``: rows have length 1 before and after, as in the authors' code."""

    def method(source: Domain, target: Domain) -> float:
        shorten = normalize if unit else lambda x: x
        a, b = shorten(source[0]), shorten(target[0])
        if kind == "TCA":
            fitted = shift.TCA(COMPONENTS, "primal", MU, whiten=whiten).fit(a, b)
        else:
            classifier = make_pipeline(*([Normalizer()] if unit else []), KNeighborsClassifier(1))
            fitted = shift.JDA(COMPONENTS, "primal", MU, classifier=classifier, whiten=whiten).fit(a, b, source[1])
        return nearest(shorten(fitted.transform(a)), source[1], shorten(fitted.transform(b)), target[1])

    return method


def moved(make: Callable[[], shift.Adapter], classify: Callable[..., float]) -> Method:
    def method(source: Domain, target: Domain) -> float:
        fitted = make().fit(source[0], target[0])
        rows = fitted.transform(source[0], domain="source")
        return classify(rows, source[1], fitted.transform(target[0]), target[1])

    return method


METHODS: dict[str, Method] = {
    "1-NN": lambda s, t: nearest(*s, *t),
    "SVM": lambda s, t: machine(*s, *t),
    "PCA": pca,
    "TCA": components("TCA", whiten=False, unit=True),
    "JDA": components("JDA", whiten=False, unit=True),
    "CORAL": moved(shift.CORAL, machine),
    "SA": moved(lambda: shift.SubspaceAlignment(COMPONENTS), nearest),
}
EXPERIMENTS: dict[str, Method] = {
    "SVM, C = 1 everywhere": lambda s, t: machine(*s, *t, C=1.0),
    "1-NN, rows of length 1": lambda s, t: nearest(normalize(s[0]), s[1], normalize(t[0]), t[1]),
    "TCA, components whitened (W' K H K W = I), rows of length 1": components("TCA", whiten=True, unit=True),
    "TCA, components whitened, rows as they are": components("TCA", whiten=True, unit=False),
    "TCA, components of length 1, rows as they are": components("TCA", whiten=False, unit=False),
    "JDA, components whitened, rows of length 1": components("JDA", whiten=True, unit=True),
    "CORAL, 1-NN": moved(shift.CORAL, nearest),
}


def load(letter: str) -> Domain:
    content = scipy.io.loadmat(data_folder("office-caltech10-surf") / f"{NAMES[letter]}_SURF_L10.mat")
    x = content["fts"].astype(float)
    x /= x.sum(1, keepdims=True)
    return (x - x.mean(0)) / np.maximum(x.std(0, ddof=1), 1e-12), content["labels"].ravel()


def measure(options: argparse.Namespace) -> Report:
    domains = {letter: load(letter) for letter in NAMES}
    pairs = [pair for pair in PAIRS if set(pair) <= {"W", "D"}] if options.quick else PAIRS
    report = Report(facts={"pairs": pairs, "components": COMPONENTS, "mu": MU, "grid": GRID})
    report.tables["Accuracy, %, published figures below ours"] = table = []
    report.tables["Experiments"] = experiments = []
    for name, method in itertools.chain(METHODS.items(), EXPERIMENTS.items()):
        found = [100 * method(domains[pair[0]], domains[pair[1]]) for pair in pairs]
        progress(f"{name}: {mean(found):.2f}")
        (table if name in METHODS else experiments).append(_row(name, "ours", pairs, found))
        if name in PUBLISHED and name in METHODS:
            theirs = [PUBLISHED[name][PAIRS.index(pair)] for pair in pairs]
            table.append(_row("", "published", pairs, theirs))
            if name != "SVM":  # scikit-learn's, with its C chosen; not ours to match
                report.goals.append(
                    Goal(
                        f"{name}: points from the published mean", abs(mean(found) - mean(theirs)), WITHIN, at_most=True
                    )
                )
    return report


def _row(name: str, whose: str, pairs: list[str], values: list[float]) -> Row:
    shown = {f"{pair[0]}>{pair[1]}": round(value, 1) for pair, value in zip(pairs, values, strict=True)}
    return {"method": name, "": whose, **shown, "mean": round(mean(values), 2)}


if __name__ == "__main__":
    main("office_surf", __doc__, measure)
