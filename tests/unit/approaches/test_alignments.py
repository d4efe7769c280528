"""The losses that draw two domains together, against the papers' formulas written out as loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from headstart.approaches._aligned import View, own_labels, ramp
from headstart.approaches.cdan import Conditional
from headstart.approaches.dan import WIDTHS, discrepancy
from headstart.approaches.dann import Adversary, reverse
from headstart.approaches.deepcoral import distance
from headstart.approaches.mcc import confusion
from headstart.approaches.selftrain import OwnLabels

GENERATOR = torch.Generator().manual_seed(5)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def view(num: int, dim: int = 4, classes: int = 3) -> View:
    return View(random(num, dim).requires_grad_(), random(num, classes))


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.0), (0.1, 0.46211716), (0.5, 0.98661430), (1.0, 0.99990920)]
)
def test_the_schedule_of_the_dann_paper(progress: float, expected: float) -> None:
    """lambda_p = 2 / (1 + exp(-10 p)) - 1, section 5.2.2."""
    assert ramp(progress) == pytest.approx(expected, abs=1e-7)


def test_the_gradient_comes_back_reversed() -> None:
    rows = random(5, 3).requires_grad_()
    weights = random(5, 3)
    seen = reverse(rows, 0.3)
    assert torch.allclose(seen, rows)
    (seen * weights).sum().backward()
    assert torch.allclose(rows.grad, -0.3 * weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_dann_teaches_the_discriminator_and_fools_it(strength: float) -> None:
    """Equations 13-15 and section 5.2.2: the discriminator descends its loss, the features ascend it times lambda."""
    torch.manual_seed(0)
    adversary, source, target = Adversary(4, 8), view(6), view(5)
    loss = adversary(source, target, strength)
    loss.backward()
    learned = [parameter.grad.clone() for parameter in adversary.parameters()]  # type: ignore[union-attr]
    fooled = source.features.grad.clone(), target.features.grad.clone()  # type: ignore[union-attr]

    adversary.zero_grad()
    plain = torch.cat([source.features, target.features]).detach().requires_grad_()
    truth = torch.cat([torch.zeros(6), torch.ones(5)])
    expected = functional.binary_cross_entropy_with_logits(adversary.discriminator(plain).squeeze(1), truth)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    for ours, theirs in zip(learned, adversary.parameters(), strict=True):
        assert torch.allclose(ours, theirs.grad, atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(torch.cat(fooled), -strength * plain.grad, atol=1e-6)  # type: ignore[operator]


def test_cdan_sees_products_of_features_and_probabilities() -> None:
    """T(f, g) = f x g (equation 5), and the weights 1 + exp(-H(g)) of equation 10, normalised in each domain."""
    torch.manual_seed(0)
    conditional, source, target = Conditional(4, 3, 8, sure=True), view(6), view(5)
    found = conditional(source, target, 0.5).item()
    total = 0.0
    for side, domain in ((0.0, source), (1.0, target)):
        losses, weights = [], []
        for features, logits in zip(domain.features, domain.logits, strict=True):
            shares = [math.exp(float(z)) for z in logits]
            shares = [share / sum(shares) for share in shares]
            product = torch.tensor([f.item() * share for share in shares for f in features])
            said = 1 / (1 + math.exp(-conditional.discriminator(product).item()))
            losses.append(-math.log(said if side else 1 - said))
            weights.append(1 + math.exp(sum(p * math.log(p) for p in shares)))
        total += sum(w * each for w, each in zip(weights, losses, strict=True)) / sum(weights) / 2
    assert found == pytest.approx(total, abs=1e-5)


def test_cdan_keeps_the_classifier_out_of_it() -> None:
    """The probabilities condition the discriminator; no gradient reaches the classifier through them."""
    torch.manual_seed(0)
    features, logits = random(6, 4).requires_grad_(), random(6, 3).requires_grad_()
    Conditional(4, 3, 8, sure=True)(View(features, logits), view(5), 1.0).backward()
    assert logits.grad is None and features.grad is not None and features.grad.abs().sum() > 0


def test_wide_products_are_mapped_at_random() -> None:
    """Inner products are kept in expectation (section 3.3 of the CDAN paper)."""
    torch.manual_seed(0)
    wide = Conditional(2048, 65, 8, sure=False)
    assert wide.random and wide.discriminator[0].in_features < 2048 * 65
    features, shares = random(2, 2048), random(2, 65).softmax(1)
    mapped = wide._joint(features, shares)
    expected = float((features[0] @ features[0]) * (shares[0] @ shares[0]))
    assert float(mapped[0] @ mapped[0]) == pytest.approx(expected, rel=0.35)


def test_the_discrepancy_is_the_mean_of_five_unbiased_ones() -> None:
    source, target = random(7, 3), random(5, 3) + 0.5
    rows = torch.cat([source, target]).numpy()
    squares = [[float(((a - b) ** 2).sum()) for b in rows] for a in rows]
    width = sum(map(sum, squares)) / (12 * 11)
    total = 0.0
    for factor in WIDTHS:
        for i in range(12):
            for j in range(12):
                if i == j:
                    continue
                kernel = math.exp(-squares[i][j] / (factor * width)) / len(WIDTHS)
                if i < 7 and j < 7:
                    total += kernel / (7 * 6)
                elif i >= 7 and j >= 7:
                    total += kernel / (5 * 4)
                elif i < 7:
                    total -= 2 * kernel / (7 * 5)
    assert float(discrepancy(source, target)) == pytest.approx(total, abs=1e-5)


def test_the_discrepancy_of_like_samples_is_about_zero() -> None:
    rows = random(200, 3)
    assert abs(float(discrepancy(rows[:100], rows[100:]))) < 0.02
    assert float(discrepancy(rows[:100], rows[100:] + 2)) > 0.3


def test_deep_coral_compares_covariances() -> None:
    """Equation 1: |C_s - C_t|^2 / (4 d^2)."""
    source, target = random(9, 4), 2 * random(6, 4)
    gap = np.cov(source.numpy(), rowvar=False) - np.cov(target.numpy(), rowvar=False)
    assert float(distance(source, target)) == pytest.approx(float((gap**2).sum()) / (4 * 16), rel=1e-4)


def test_minimum_class_confusion_by_loops() -> None:
    """Equations 3-7: weights 1 + exp(-H) that add up to the batch, the correlation of classes, rows normalised."""
    logits = 2 * random(6, 3)
    shares = logits.softmax(1).double().numpy()
    weights = [1 + math.exp(sum(p * math.log(p) for p in row)) for row in shares]
    weights = [len(shares) * weight / sum(weights) for weight in weights]
    total = 0.0
    for j in range(3):
        row = [sum(w * p[j] * p[k] for w, p in zip(weights, shares, strict=True)) for k in range(3)]
        total += sum(entry for k, entry in enumerate(row) if k != j) / sum(row) / 3
    assert float(confusion(logits)) == pytest.approx(total, abs=1e-5)


def test_confusion_is_zero_for_sure_predictions() -> None:
    assert float(confusion(50 * torch.eye(3)[torch.tensor([0, 1, 2, 1])])) == pytest.approx(0, abs=1e-6)


def test_only_sure_guesses_become_labels() -> None:
    """Probabilities 0.95 (twice class 0, once class 1) and 0.6: the last does not count, and classes count alike."""
    sure, unsure = math.log(0.95 / 0.05), math.log(0.6 / 0.4)
    logits = torch.tensor([[sure, 0.0], [sure, 0.0], [0.0, sure], [unsure, 0.0]], requires_grad=True)
    loss = OwnLabels(0.9)(view(2), View(random(4, 4), logits), 0.5)
    assert float(loss.detach()) == pytest.approx(0.5 * 0.75 * -math.log(0.95), abs=1e-5)
    loss.backward()
    assert logits.grad is not None and logits.grad[3].abs().sum() == 0
    assert logits.grad[2].abs().sum() == pytest.approx(2 * float(logits.grad[0].abs().sum()), rel=1e-4)


def test_no_sure_guess_is_no_loss() -> None:
    logits = torch.zeros(4, 2, requires_grad=True)
    assert float(OwnLabels(0.9)(view(2), View(random(4, 4), logits), 1.0).detach()) == 0.0


def test_what_is_said_of_the_plain_sample_is_the_label_of_its_augmented_view() -> None:
    """Sure of class 1 as it is, of class 0 as it is augmented: class 1 is learnt, by the augmented view alone."""
    sure = math.log(0.95 / 0.05)
    augmented = torch.tensor([[sure, 0.0], [sure, 0.0]], requires_grad=True)
    plain = torch.tensor([[0.0, sure], [0.0, 0.1]], requires_grad=True)  # of the second sample nothing is said for sure
    loss = own_labels(View(random(2, 4), augmented, plain), 0.9)
    assert float(loss.detach()) == pytest.approx(0.5 * -math.log(0.05), abs=1e-5)
    loss.backward()
    assert plain.grad is None and augmented.grad is not None
    assert augmented.grad[0, 1] < 0 < augmented.grad[0, 0] and not augmented.grad[1].any()
