"""Kinds of label: headstart's heads beside scikit-learn's strongest linear models on the same features, over repeated folds.

    python benchmarks/label_kinds.py [--quick] [--repeats 3]

Every rival chooses its regularisation by cross-validation within the training folds. A difference is headstart's score less
that of the best rival, which is chosen by the test folds (in the rivals' favour), with the standard error over the folds as
Nadeau and Bengio 2003 correct it for training sets that overlap.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _shared import Goal, Report, data_folder, main, mean
from multitask import answers

Scores = dict[str, list[float]]
FOLDS = 5
PLAIN = "headstart, plain classes"


def measure(options: argparse.Namespace) -> Report:
    warnings.filterwarnings("ignore", module="sklearn")
    found = Report()
    repeats = 1 if options.quick else options.repeats
    for title, data, compare in (
        ("diabetes progression, R2 (10 columns)", diabetes(), regression),
        ("heart-disease: highest heart rate, R2 (the other columns)", heart_rate(), regression),
        ("heart-disease: disease, sex, sugar, angina; mean average precision, some labels missing", heart_labels(), multilabel),
        ("digits: prime, even, round, above four; mean average precision (64 pixels)", digit_labels(), multilabel),
        ("heart-disease 0 to 4: less the mean absolute error, grades", heart_grades(), ordinal),
        ("diabetes progression in fifths: less the mean absolute error, grades", diabetes_grades(), ordinal),
    ):
        scores = folds(*data, compare, repeats)
        rivals = {name: mean(values) for name, values in scores.items() if name != "headstart"}
        best = max(rivals, key=lambda name: rivals[name])
        rows = [{"model": name, "score": mean(values)} for name, values in scores.items()]
        for rival in dict.fromkeys((best, PLAIN) if compare is ordinal else (best,)):
            gap, error = difference(scores["headstart"], scores[rival])
            rows.append({"model": f"headstart less {rival}", "score": gap, "standard error": error})
            if rival == PLAIN:
                found.goals.append(Goal(f"{title}: better than plain classes, standard errors", gap / error, 0.0))
            elif compare is not ordinal:
                found.goals.append(Goal(f"{title}: standard errors to {rival}", gap / error, -2.0))
        found.tables[title] = rows
    return found


def difference(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """The mean over folds, and its standard error."""
    gaps = np.array(ours) - np.array(theirs)
    return float(gaps.mean()), float(gaps.std(ddof=1) * np.sqrt(1 / len(gaps) + 1 / (FOLDS - 1)))


def folds(x: np.ndarray, y: np.ndarray, compare: Callable[..., dict[str, float]], repeats: int) -> Scores:
    found: Scores = {}
    for seed in range(repeats):
        number = np.random.default_rng(seed).permutation(len(x)) % FOLDS
        for fold in range(FOLDS):
            inside, outside = number != fold, number == fold
            for name, score in compare(x[inside], y[inside], x[outside], y[outside], seed).items():
                found.setdefault(name, []).append(score)
    return found


def regression(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> dict[str, float]:
    from sklearn.linear_model import ElasticNetCV, LassoCV, RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rivals = {"RidgeCV": RidgeCV(np.logspace(-3, 4, 15)), "LassoCV": LassoCV(random_state=seed),
              "ElasticNetCV": ElasticNetCV(l1_ratio=[0.2, 0.5, 0.9], random_state=seed)}  # fmt: skip
    ours = said("regression", x, [repr(float(value)) for value in y], x_test, seed)[:, 0]
    return {"headstart": float(r2_score(y_test, ours))} | {
        name: float(r2_score(y_test, make_pipeline(StandardScaler(), rival).fit(x, y).predict(x_test)))
        for name, rival in rivals.items()
    }


def multilabel(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> dict[str, float]:
    """``y`` is (n, labels) of 0 and 1, NaN where a label is missing: each rival learns a label from the rows that have it."""
    from sklearn.linear_model import LogisticRegressionCV, RidgeClassifierCV
    from sklearn.metrics import average_precision_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from headstart.data.labels import joined

    rivals = {
        "LogisticRegressionCV": lambda: LogisticRegressionCV(Cs=np.logspace(-4, 2, 7), scoring="neg_log_loss", max_iter=500),
        "RidgeClassifierCV": lambda: RidgeClassifierCV(np.logspace(-2, 4, 13)),
    }
    labels = [joined({str(i): None if np.isnan(v) else str(int(v)) for i, v in enumerate(row)}) for row in y]
    shown = {"headstart": said("multilabel", x, labels, x_test, seed)}
    for name, make in rivals.items():
        columns = []
        for column in y.T:
            known = np.isfinite(column)
            fitted = make_pipeline(StandardScaler(), make()).fit(x[known], column[known].astype(int))
            columns.append(fitted.decision_function(x_test))
        shown[name] = np.stack(columns, 1)

    def precision(found: np.ndarray) -> float:
        pairs = [(truth[np.isfinite(truth)], out[np.isfinite(truth)]) for truth, out in zip(y_test.T, found.T, strict=True)]
        return mean([float(average_precision_score(truth, out)) for truth, out in pairs])

    return {name: precision(found) for name, found in shown.items()}


def ordinal(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int) -> dict[str, float]:
    """Beside plain classification by headstart and by scikit-learn: their likeliest class, and their median class."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = [str(int(value)) for value in y]
    graded = said("ordinal", x, labels, x_test, seed)
    plain = said("classification", x, labels, x_test, seed)
    theirs = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-4, 2, 7), scoring="neg_log_loss",
                                                                  max_iter=500)).fit(x, y.astype(int))  # fmt: skip
    rival = theirs.predict_proba(x_test)

    def error(grades: np.ndarray) -> float:
        return -float(np.abs(grades - y_test).mean())

    def middle(shares: np.ndarray) -> np.ndarray:
        found: np.ndarray = (shares.cumsum(1) < 0.5).sum(1)
        return found

    return {"headstart": error(middle(graded)), PLAIN: error(plain.argmax(1)),
            "headstart, plain classes, median": error(middle(plain)), "LogisticRegressionCV": error(rival.argmax(1)),
            "LogisticRegressionCV, median": error(middle(rival))}  # fmt: skip


def said(kind: str, x: np.ndarray, labels: list[str], x_test: np.ndarray, seed: int) -> np.ndarray:
    """(n, outputs) of headstart's head for the kind, fitted as a probe is."""
    from headstart import probing, tasks

    task = tasks.learn(kind, labels)
    return answers(task, probing.fit(task, x.astype(np.float32), task.encode(labels), seed=seed).head, x_test)


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_diabetes

    found = load_diabetes()
    return found.data, found.target


def diabetes_grades() -> tuple[np.ndarray, np.ndarray]:
    x, y = diabetes()
    return x, np.searchsorted(np.quantile(y, (0.2, 0.4, 0.6, 0.8)), y)


def digit_labels() -> tuple[np.ndarray, np.ndarray]:
    """Four things that are true of some of the ten digits: any number of them at once."""
    from sklearn.datasets import load_digits

    found = load_digits()
    truths = ((2, 3, 5, 7), (0, 2, 4, 6, 8), (0, 3, 6, 8, 9), (5, 6, 7, 8, 9))
    return found.data, np.stack([np.isin(found.target, some) for some in truths], 1).astype(float)


def hearts() -> np.ndarray:
    """(920, 14), NaN where a value is missing; a measure of 0 (cholesterol, blood pressure) is one that was not taken."""
    rows = []
    for path in sorted(data_folder("heart-disease").glob("processed.*.data")):
        with path.open(encoding="utf-8") as file:
            rows += [[float(v) if v.strip() not in ("", "?") else np.nan for v in row] for row in csv.reader(file) if row]
    found = np.array(rows)
    for column in (3, 4):
        found[found[:, column] == 0, column] = np.nan
    return found


def features(table: np.ndarray, columns: list[int]) -> np.ndarray:
    """Numbers with means for gaps beside a mark of them; each value of a category is a column."""
    kinds = {2: (1, 2, 3, 4), 6: (0, 1, 2), 10: (1, 2, 3), 12: (3, 6, 7)}
    parts: list[Any] = []
    for column in columns:
        values = table[:, column]
        gap = np.isnan(values)
        if column in kinds:
            parts += [(values == kind).astype(float) for kind in kinds[column]]
        else:
            parts.append(np.where(gap, np.nanmean(values), values))
        if gap.any():
            parts.append(gap.astype(float))
    return np.stack(parts, 1)


def heart_rate() -> tuple[np.ndarray, np.ndarray]:
    table = hearts()
    known = np.isfinite(table[:, 7])
    return features(table, [i for i in range(14) if i != 7])[known], table[known, 7]


def heart_labels() -> tuple[np.ndarray, np.ndarray]:
    table = hearts()
    labels = np.stack([np.where(np.isnan(c), np.nan, c > 0) for c in (table[:, 13], table[:, 1], table[:, 5], table[:, 8])], 1)
    return features(table, [0, 2, 3, 4, 6, 7, 9, 10, 11, 12]), labels


def heart_grades() -> tuple[np.ndarray, np.ndarray]:
    table = hearts()
    return features(table, list(range(13))), table[:, 13]


if __name__ == "__main__":
    main("label_kinds", __doc__, measure, lambda parser: parser.add_argument("--repeats", type=int, default=3))
