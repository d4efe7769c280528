"""What each task reads, says and refuses; their metrics against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn import metrics as reference

from headstart.data.labels import joined
from headstart.errors import ConfigError, DataError
from headstart.metrics import multilabel, ordinal, regression
from headstart.metrics.resampled import intervals
from headstart.models.backbone import Features
from headstart.tasks import restore
from headstart.tasks._linear import LabelsHead, OrdinalHead, RegressionHead, grades
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression


def numbers(n: int = 80, k: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, k)) * 3 + 10


class TestRegression:
    def test_scores_are_those_of_scikit_learn(self) -> None:
        actual = numbers()
        predicted = actual + numbers(seed=1) / 4
        found = regression.scores(predicted, actual, ("value",))
        assert found["r2"] == pytest.approx(reference.r2_score(actual, predicted))
        assert found["mae"] == pytest.approx(reference.mean_absolute_error(actual, predicted))
        assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(actual, predicted))
        for name in ("r2", "mae", "rmse"):
            assert found[f"{name}_interval"][0] < found[name] < found[f"{name}_interval"][1]
        assert regression.merits(predicted, actual).mean() == pytest.approx(found["r2"])

    def test_gaps_and_constant_outputs_do_not_count(self) -> None:
        actual, predicted = numbers(k=2), numbers(k=2, seed=1)
        actual[:40, 1] = np.nan
        found = regression.scores(predicted, actual, ("a", "b"))
        assert found["per_output"]["b"]["support"] == 40
        single = [reference.r2_score(actual[:, 0], predicted[:, 0]), reference.r2_score(actual[40:, 1], predicted[40:, 1])]
        assert found["r2"] == pytest.approx(np.mean(single))
        actual[:, 1] = 5
        assert regression.scores(predicted, actual, ("a", "b"))["per_output"]["b"]["r2"] is None
        assert np.isfinite(regression.merits(predicted, actual)).all()

    def test_labels_are_read_and_scaled(self) -> None:
        task = Regression.learn(["1", "3", "?", "8.5e0"])
        assert task.mean == pytest.approx((np.mean([1, 3, 8.5]),)) and task.scale == pytest.approx((np.std([1, 3, 8.5]),))
        assert math.isnan(task.encode(["NA"])[0, 0]) and task.encode(["2"])[0, 0] == 2
        assert restore(task.to_dict()) == task
        assert task.answer(np.array([2.5])).value == 2.5 and task.answer(np.array([2.5])).label == "2.5"
        with pytest.raises(DataError, match=r"1 of 2 labels are no numbers: 'large'.*--task classification"):
            task.encode(["1", "large"])
        with pytest.raises(DataError, match="all are 4"):
            Regression.learn(["4", "4.0"])
        with pytest.raises(DataError, match="holds no number"):
            Regression.learn(["?", "?"])

    def test_several_columns_of_mixed_type_name_the_column(self) -> None:
        labels = [joined({"a": "1", "b": "2"}), joined({"a": "2", "b": "two"}), joined({"a": None, "b": "3"})]
        with pytest.raises(DataError, match="1 of 3 labels in the column 'b' are no numbers: 'two'"):
            Regression.learn(labels)
        task = Regression.learn([labels[0], joined({"a": "2", "b": "7"})])
        assert task.outputs == ("a", "b") and task.answer(np.array([1.0, 2.0])).value == {"a": 1.0, "b": 2.0}
        with pytest.raises(DataError, match=r"no column 'b'.*--labels a,b"):
            task.encode([joined({"a": "1"})])

    def test_missing_labels_have_no_gradient(self) -> None:
        head = RegressionHead(3, 2)
        features = Features(torch.randn(4, 3))
        labels = torch.full((4, 2), float("nan"), dtype=torch.float64)
        labels[0, 0] = 2.0
        head.losses(features, labels)["squared_error"].backward()
        assert head.linear.weight.grad is not None
        assert head.linear.weight.grad[0].abs().sum() > 0 and head.linear.weight.grad[1].abs().sum() == 0

    def test_the_head_answers_in_the_unit_of_the_labels(self) -> None:
        task = Regression.learn([str(v) for v in (100, 200, 300)])
        head = task.head(3)
        head.linear.weight.data.zero_(), head.linear.bias.data.zero_()
        assert task.probabilities(head(Features(torch.randn(2, 3)))) == pytest.approx(200)

    def test_strata_spread_high_and_low(self) -> None:
        labels = [str(v) for v in range(100)]
        found = Regression.learn(labels).strata(labels)
        assert len(set(found)) == 10 and found[0] != found[-1] and found == sorted(found)


class TestOrdinal:
    def test_scores_are_those_of_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        actual = rng.integers(5, size=200)
        predicted = np.clip(actual + rng.integers(-1, 2, 200), 0, 4)
        found = ordinal.scores(predicted, actual, tuple("abcde"))
        assert found["kappa"] == pytest.approx(reference.cohen_kappa_score(actual, predicted, weights="quadratic"))
        assert found["mae"] == pytest.approx(reference.mean_absolute_error(actual, predicted))
        assert ordinal.merits(predicted, actual, 5).mean() == pytest.approx(found["closeness"])
        assert np.array_equal(found["confusion"], reference.confusion_matrix(actual, predicted))

    def test_the_median_is_the_answer(self) -> None:
        task = Ordinal.learn(["1", "2", "3"])
        row = np.array([0.4, 0.25, 0.35])  # the likeliest is the lowest, the middle one is the safest
        assert task.answer(row).label == "2" and task.answer(row).probability == 0.25

    def test_probabilities_of_grades(self) -> None:
        score, thresholds = torch.randn(6, 1).double() * 20, torch.tensor([-1.0, 0.5, 0.5001, 30.0]).double()
        wanted = expit(np.concatenate([thresholds.numpy(), [np.inf]]) - score.numpy())
        wanted = np.diff(wanted, prepend=0.0, axis=1)
        assert grades(score, thresholds).exp().numpy() == pytest.approx(wanted, abs=1e-6)

    def test_far_away_the_loss_is_large_and_finite(self) -> None:
        head = OrdinalHead(1, 4)
        torch.nn.init.ones_(head.linear.weight)
        features = Features(torch.tensor([[1e4], [-1e4]]))
        loss = head.losses(features, torch.tensor([1, 2]))["cumulative"]
        loss.backward()
        assert torch.isfinite(loss) and loss > 100 and torch.isfinite(head.first.grad).all()

    def test_the_order_is_numbers_or_said(self) -> None:
        assert Ordinal.learn(["10", "9", "2"]).grades == ("2", "9", "10")
        assert Ordinal.learn(["mid", "low", "high"], "low<mid<high").grades == ("low", "mid", "high")
        assert Ordinal.learn(["low", "high"], "low<mid<high").grades == ("low", "high")
        with pytest.raises(ConfigError, match='say it, the lowest first: --task "ordinal:high<low"'):
            Ordinal.learn(["low", "high"])
        with pytest.raises(ConfigError, match="has no 'high'"):
            Ordinal.learn(["low", "high"], "low<mid")
        with pytest.raises(ConfigError, match="a grade twice"):
            Ordinal.learn(["low", "high"], "low<high<low")
        with pytest.raises(DataError, match="single grade '1'"):
            Ordinal.learn(["1", "1"])
        with pytest.raises(DataError, match=r"none of the grades.*1 < 2"):
            Ordinal.learn(["1", "2"]).encode(["3"])


class TestMultilabel:
    def test_scores_are_those_of_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        actual = (rng.random((120, 5)) < 0.3).astype(np.float32)
        probabilities = np.clip(0.6 * rng.random((120, 5)) + 0.3 * actual, 0, 1)
        found = multilabel.scores(probabilities, actual, np.full(5, 0.5), tuple("abcde"))
        said, truth = probabilities >= 0.5, actual.astype(bool)
        assert found["f1_micro"] == pytest.approx(reference.f1_score(truth, said, average="micro"))
        assert found["f1_macro"] == pytest.approx(reference.f1_score(truth, said, average="macro"))
        assert found["f1_samples"] == pytest.approx(
            reference.f1_score(truth, said, average="samples", zero_division=1.0)
        )
        assert found["mean_average_precision"] == pytest.approx(
            reference.average_precision_score(truth, probabilities, average="macro")
        )
        assert found["labels_right"] == pytest.approx((truth == said).mean())
        assert multilabel.merits(said, actual).mean() == pytest.approx(found["f1_samples"])

    def test_average_precision_with_ties(self) -> None:
        rng = np.random.default_rng(1)
        scores, truth = rng.integers(4, size=60) / 4, rng.random(60) < 0.4
        assert multilabel.average_precision(scores, truth.astype(float)) == pytest.approx(
            reference.average_precision_score(truth, scores)
        )

    def test_thresholds_are_the_best_on_these_samples(self) -> None:
        rng = np.random.default_rng(2)
        actual = (rng.random((200, 3)) < np.array([0.1, 0.4, 0.0])).astype(np.float32)
        probabilities = 0.3 * rng.random((200, 3)) + 0.1 * actual
        found = multilabel.thresholds(probabilities, actual)
        assert found[2] == 0.5, "nothing to choose by"
        for place in (0, 1):
            truth = actual[:, place] == 1

            def f1(cut: float, place: int = place, truth: np.ndarray = truth) -> float:
                return float(reference.f1_score(truth, probabilities[:, place] >= cut))

            best = max(f1(cut) for cut in np.linspace(0, 0.5, 2001))
            assert f1(found[place]) >= best - 1e-12 > f1(0.5)

    def test_what_nobody_labelled_does_not_count(self) -> None:
        actual = np.array([[1, np.nan], [0, np.nan], [np.nan, np.nan]])
        said = np.array([[True, True], [False, True], [True, True]])
        assert np.array_equal(multilabel.merits(said, actual), [1, 1, np.nan], equal_nan=True)
        head = LabelsHead(3, 2)
        head.losses(Features(torch.randn(3, 3)), torch.from_numpy(actual))["binary_cross_entropy"].backward()
        assert head.linear.weight.grad is not None and head.linear.weight.grad[1].abs().sum() == 0

    def test_cells_and_columns_are_read(self) -> None:
        task = Multilabel.learn(["cat; dog", "-", "dog", "[]"])
        assert task.labels == ("cat", "dog") and task.delimiter == ";"
        assert task.encode(["dog;cat", "-", "cat"]).tolist() == [[1, 1], [0, 0], [1, 0]]
        assert restore(task.to_dict()) == task
        with pytest.raises(DataError, match="'bird' are none of the 2"):
            task.encode(["bird;dog"])
        assert Multilabel.learn(["a b", "a"], " ").labels == ("a", "b")
        labels = [joined({"cat": "1", "dog": None}), joined({"cat": "no", "dog": "True"})]
        columns = Multilabel.learn(labels)
        assert np.array_equal(columns.encode(labels), [[1, np.nan], [0, 1]], equal_nan=True)
        with pytest.raises(DataError, match="'cat' of labels holds 'maybe'"):
            columns.encode([joined({"cat": "maybe", "dog": "1"})])
        with pytest.raises(ConfigError, match="column each"):
            Multilabel.learn(labels, ";")

    def test_tuned_thresholds_decide_the_answer_and_are_kept(self) -> None:
        task = Multilabel.learn(["a", "b", "a;b"] * 5)
        actual = task.encode(["a", "b", "a;b", "-"] * 5)
        tuned = task.tuned(0.1 + 0.1 * actual, ["a", "b", "a;b", "-"] * 5)
        assert tuned.thresholds == pytest.approx((0.15, 0.15)) and restore(tuned.to_dict()) == tuned
        assert tuned.answer(np.array([0.2, 0.1])).value == ["a"] and task.answer(np.array([0.2, 0.1])).label == "-"

    def test_strata_are_the_rarest_labels(self) -> None:
        labels = ["a", "a", "a;b", "-", "a"]
        assert Multilabel.learn(labels).strata(labels) == ["a", "a", "b", "-", "a"]


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        sample = np.random.default_rng(seed).normal(size=50)
        low, high = intervals(lambda rows, sample=sample: {"mean": float(sample[rows].mean())}, 50, seed=seed)["mean"]
        covered += low < 0 < high
    assert covered >= 50
    assert intervals(lambda rows: {"x": 0.0}, 5) == {}
