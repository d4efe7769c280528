"""Methods on features: heads that equal what they were made of, against plain computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart import shift
from headstart.approaches._adaptation import logits_of
from headstart.approaches._rows import Pair, classifier, folds, scaling
from headstart.approaches._shallow import moved, through
from headstart.approaches.adabn import AdaBN, adapted
from headstart.approaches.bda import Bda
from headstart.approaches.coral import Coral
from headstart.approaches.dann import Dann
from headstart.approaches.importance import Importance
from headstart.approaches.jda import Jda
from headstart.approaches.labelshift import LabelShift
from headstart.approaches.msda import Msda
from headstart.approaches.source_only import SourceOnly
from headstart.approaches.subspace import Subspace
from headstart.approaches.tca import Tca
from headstart.approaches.tjm import Tjm
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Features
from headstart.solvers import logistic
from headstart.training.run import Run
from tiny import backbone, dataset


def pair(num: int = 120, dim: int = 6, seed: int = 0, moved: float = 1.0) -> Pair:
    """Two classes along the first axis; the target is shifted and stretched."""
    rng = np.random.default_rng(seed)
    labels, truth = rng.integers(0, 2, (2, num))
    source, target = rng.normal(size=(2, num, dim))
    source[:, 0] += 3 * labels
    target[:, 0] += 3 * truth
    target = target * (1 + 0.5 * moved) + moved
    return Pair(source.astype(np.float32), labels, target.astype(np.float32), 2)


def counts(num: int = 80, dim: int = 40) -> Pair:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, num)
    source, target = rng.poisson(0.3, (2, num, dim)).astype(np.float32)
    source[:, 0] += 2 * labels
    return Pair(source, labels, target, 2)


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_the_classifier_is_the_minimum(penalty: float) -> None:
    """mean log loss + lambda / 2 |w|^2 is scikit-learn's with C = 1 / (n lambda)."""
    some = pair()
    found = classifier(some.source, some.labels, 2, penalty=penalty)
    known = LogisticRegression(C=1 / (len(some.labels) * penalty), tol=1e-8, max_iter=1000).fit(
        some.source, some.labels
    )
    gap = found.logits(some.source) @ [-1, 1] - known.decision_function(some.source)
    # two classes with a weight vector each, both penalised: the same model as one vector with half the penalty
    half = LogisticRegression(C=2 / (len(some.labels) * penalty), tol=1e-8, max_iter=1000).fit(some.source, some.labels)
    same = found.logits(some.source) @ [-1, 1] - half.decision_function(some.source)
    assert np.abs(same).max() < 0.02 < np.abs(gap).max()


def test_nearly_empty_columns_are_multiplied_as_sparse_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.poisson(0.05, (200, 30)), rng.normal(size=(200, 4))], 1).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 31] > 0.5).astype(int)
    assert len(logistic._blocks(rows)) == 2
    mixed = classifier(rows, labels, 2, penalty=0.01)
    monkeypatch.setattr(logistic, "EMPTY", 0.0)
    assert len(logistic._blocks(rows)) == 1
    plain = classifier(rows, labels, 2, penalty=0.01)
    assert np.allclose(mixed.weight, plain.weight, atol=1e-3) and np.allclose(mixed.bias, plain.bias, atol=1e-3)


def test_weights_count_like_repeated_rows() -> None:
    some = pair(40)
    weights = np.random.default_rng(0).integers(1, 4, 40).astype(float)
    twice = np.repeat(np.arange(40), weights.astype(int))
    one = classifier(some.source, some.labels, 2, penalty=0.1, weights=weights)
    other = classifier(some.source[twice], some.labels[twice], 2, penalty=0.1)
    assert np.allclose(one.logits(some.target), other.logits(some.target), atol=0.02)


def test_scaling_keeps_the_zeros_of_counts() -> None:
    some = counts()
    scaled = scaling(some.source, some.target)(some.source)
    assert np.array_equal(scaled == 0, some.source == 0)
    dense = pair()
    both = np.concatenate([scaling(dense.source, dense.target)(part) for part in (dense.source, dense.target)])
    assert np.allclose(both.mean(0), 0, atol=1e-5) and np.allclose(both.std(0), 1, atol=1e-3)


def test_a_constant_feature_is_left_out() -> None:
    some = pair()
    rows = some.source.copy()
    rows[:, 3] = 7.0
    assert np.abs(scaling(rows)(rows)[:, 3]).max() == 0


def test_folds_hold_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 7, 1])
    fold = folds(labels, 0, 2)
    assert abs((fold[labels == 0] == 0).sum() - 25) <= 1 and (fold[labels == 1] == 1).sum() == 3
    assert fold[labels == 2] == 0


@pytest.mark.parametrize("method", [shift.CORAL(), shift.SubspaceAlignment(3), shift.TCA(3), shift.LinearTransport()])
def test_moving_and_classifying_is_one_head(method: shift.Adapter) -> None:
    some = pair()
    method.fit(some.source, some.target)
    rows = np.asarray(method.transform(some.source, domain="source"), np.float32)
    fitted = classifier(rows, some.labels, 2, penalty=0.1)
    folded = through(method, fitted, some.target)
    new = np.random.default_rng(5).normal(size=(30, 6)).astype(np.float32)
    expected = fitted.logits(np.asarray(method.transform(new), np.float64))
    assert np.allclose(folded.logits(new.astype(np.float64)), expected, atol=2e-3)


def test_a_map_that_is_no_matrix_is_refused() -> None:
    some = pair()
    method = shift.TCA(3, kernel="rbf").fit(some.source, some.target)
    rows = np.asarray(method.transform(some.source, domain="source"), np.float32)
    with pytest.raises(Incompatible, match="no linear map"):
        through(method, classifier(rows, some.labels, 2, penalty=0.1), some.target)


@pytest.mark.parametrize("then", ["source_only", "dann"])
def test_msda_and_what_follows_are_one_head(then: str) -> None:
    some = counts()
    approach = Msda(2, 0.5, 10, then=then, weight=0.1)
    denoised = approach.denoise(some)
    following = approach.following()
    head = replace(following, epochs=2).learn(denoised.pair, Run(None, 0)) if then == "dann" else following.learn(  # type: ignore[type-var]
        denoised.pair, Run(None, 0)
    )  # fmt: skip
    whole = denoised.finish(head)
    assert np.allclose(logits_of(whole, some.target), logits_of(head, denoised.pair.target), atol=2e-3)
    plain = shift.MSDA(2, 0.5, 10)
    scaled = scaling(some.source, some.target)
    plain.fit(scaled(some.source), scaled(some.target))
    assert np.allclose(plain.transform(scaled(some.target)), denoised.pair.target, atol=1e-4)


def test_what_msda_restores_is_scaled_as_a_whole() -> None:
    """Fewer than half of its values are zero, and yet the rarest words must not become the loudest."""
    pair = Msda(5, 0.5, 20).denoise(counts()).pair
    assert (pair.source == 0).mean() < 0.5 and pair.together
    whole, single = scaling(pair.source, together=pair.together), scaling(pair.source)
    assert np.ptp(whole.scale) == 0 and not whole.mean.any() and np.ptp(single.scale) > 0


def test_wide_rows_of_words_are_solved_in_their_span() -> None:
    """Sparse and dense columns, a copy of a row, fewer rows than features: the minimum is scikit-learn's."""
    rng = np.random.default_rng(4)
    rows = np.concatenate([rng.poisson(0.05, (60, 80)), rng.normal(size=(60, 120))], 1).astype(np.float32)
    rows[7] = rows[3]
    labels = np.arange(60) % 3
    found = classifier(rows, labels, 3, penalty=0.1).logits(rows)
    known = LogisticRegression(C=1 / (60 * 0.1), tol=1e-8, max_iter=1000).fit(rows, labels).decision_function(rows)
    assert np.abs(found - found.mean(1, keepdims=True) - known).max() < 0.02


def test_msda_cannot_follow_itself() -> None:
    with pytest.raises(ConfigError, match="cannot go on with itself"):
        Msda(then="msda").following()


def test_adabn_standardises_each_domain_by_itself() -> None:
    """A target that is the source, stretched and moved, is classified as the source is."""
    some = pair()
    same = replace(some, target=some.source * [2, 0.5, 3, 1, 1, 1] + 4)
    same = replace(same, target=same.target.astype(np.float32))
    ours = logits_of(SourceOnly().learn(same, Run(None, 0)), same.source)
    theirs = logits_of(AdaBN().learn(same, Run(None, 0)), same.target)
    assert np.allclose(ours, theirs, atol=1e-3)


def test_adabn_takes_the_statistics_of_the_target() -> None:
    """In front of the first batch norm nothing was renewed, so its mean is that of the target's own activations."""
    start, target = backbone(), dataset(8, 9)
    made = adapted(start, target, size=len(target))
    names = [name for name, part in made.network.named_modules() if isinstance(part, torch.nn.BatchNorm2d)]
    seen: list[torch.Tensor] = []
    first = dict(start.network.named_modules())[names[0]]
    hook = first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        start(start.prepare(list(target.items)))
    hook.remove()
    mean = dict(made.network.named_modules())[names[0]].running_mean
    assert torch.allclose(mean, seen[0].mean((0, 2, 3)), atol=1e-4)
    assert not torch.allclose(first.running_mean, mean, atol=1e-2)
    assert not made.training and all(not part.training for part in made.modules())


def test_label_shift_moves_the_bias_only() -> None:
    """A target in which one class in ten is left: sure of the balance, the corrected classifier is better."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 2000)
    truth = (rng.random(2000) < 0.1).astype(int)
    source, target = rng.normal(size=(2, 2000, 2)).astype(np.float32)
    source[:, 0] += 1.5 * labels
    target[:, 0] += 1.5 * truth
    some = Pair(source, labels, target, 2)
    run = Run(None, 0)
    plain = (logits_of(SourceOnly().learn(some, run), target).argmax(1) == truth).mean()
    for method in ("mlls", "bbse"):
        found = (logits_of(LabelShift(method).learn(some, run), target).argmax(1) == truth).mean()  # type: ignore[arg-type]
        assert found > plain + 0.08


@pytest.mark.parametrize("method", ["mlls", "bbse"])
def test_label_shift_lives_with_a_class_that_has_no_row(method: str) -> None:
    """As on the way back, where the guesses that serve as labels need not hold every class."""
    some = pair()
    found = logits_of(LabelShift(method).learn(replace(some, num_classes=3), Run(None, 0)), some.target)  # type: ignore[arg-type]
    assert np.isfinite(found).all() and not (found.argmax(1) == 2).any()


def test_importance_listens_to_rows_like_the_target() -> None:
    """The source is half at 0 and half at 6 with opposite labels along the second axis; the target is at 6."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 2, 600)
    second = rng.normal(size=600)
    labels = ((second > 0) ^ (place == 1)).astype(int)
    source = np.stack([6 * place + rng.normal(size=600), second], 1).astype(np.float32)
    target = np.stack([6 + rng.normal(size=300), rng.normal(size=300)], 1).astype(np.float32)
    truth = (target[:, 1] < 0).astype(int)
    some, run = Pair(source, labels, target, 2), Run(None, 0)
    assert (logits_of(Importance(exponent=1.0).learn(some, run), target).argmax(1) == truth).mean() > 0.9


@pytest.mark.parametrize(
    ("approach", "method"),
    [(Jda(3), shift.JDA(3)), (Bda(0.8, 3), shift.BDA(0.8, 3)), (Tjm(3, 0.5, 4), shift.TJM(3, regularisation=0.5, num_rounds=4))],
)  # fmt: skip
def test_joint_methods_are_their_estimators_and_a_classifier(approach: object, method: shift.Adapter) -> None:
    some = pair()
    direct = logits_of(moved(method, some, Run(None, 0)), some.target)
    assert np.allclose(logits_of(approach.learn(some, Run(None, 0)), some.target), direct, atol=1e-5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("approach", [Coral(), Tca(50), Jda(), Bda(), Tjm(), Subspace(50), Dann(epochs=2), AdaBN(), Msda(1, 0.5)])
def test_fewer_target_rows_than_components(approach: object) -> None:
    some = pair()
    few = replace(some, target=some.target[:4])
    found = logits_of(approach.learn(few, Run(None, 0)), few.target)  # type: ignore[attr-defined]
    assert found.shape == (4, 2) and np.isfinite(found).all()


def test_dann_makes_the_domains_harder_to_tell_apart() -> None:
    """Behind the hidden layer; the domains differ in a feature that says nothing of the class."""
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(0, 2, (2, 400))
    source, target = rng.normal(size=(2, 400, 4)).astype(np.float32)
    source[:, 0] += 3 * labels
    target[:, 0] += 3 * truth
    target[:, 1] += 2
    some, apart = Pair(source, labels, target, 2), {}
    for weight in (0.0, 3.0):
        head = Dann(weight=weight, epochs=30, hidden="16", learning_rate=3e-3).learn(some, Run(None, 0))
        with torch.inference_mode():
            rows = [head.represent(head.denoised(torch.from_numpy(x))).numpy() for x in (some.source, some.target)]  # type: ignore[operator]
        apart[weight] = shift.proxy_a_distance(*rows)
    assert apart[3.0] < apart[0.0] - 0.1


def test_the_same_pair_gives_the_same_head() -> None:
    some = pair(40)
    heads = [Dann(epochs=2).learn(some, Run(None, 4)) for _ in range(2)]
    with torch.inference_mode():
        outputs = [head(Features(torch.from_numpy(some.target))) for head in heads]
    assert torch.equal(*outputs)
