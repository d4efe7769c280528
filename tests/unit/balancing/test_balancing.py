"""The ways of balancing on the toy problem of the papers, and their laws.

The toy: two losses of two numbers, figure 1 of Liu et al. 2021 (CAGrad, arXiv 2110.14048) and of Navon et al. 2022
(Nash-MTL, arXiv 2202.01017), with their starting points. Its Pareto set lies near x2 = -8, x1 from -7 to 7; the best mean
of both, -15.09, is at x1 = 0. The papers show that PCGrad stops wherever it first meets the Pareto set, and that CAGrad goes
on towards the best mean; that Nash-MTL ends on the Pareto set, and in the same place however the losses are scaled, which
the plain sum does not. The toy of uncertainty weighting is what Kendall et al. 2018 derive it from: noise that is learned.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart import plugins
from headstart.balancing import Balancing, cosines, named
from headstart.balancing.cagrad import combination
from headstart.balancing.nashmtl import bargain
from headstart.errors import ConfigError

NAMES = plugins.names("balancing")
STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0))


def toy(x1: float, x2: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses (2,) and gradients (2, 2)."""
    bend, half = 1 / np.cosh(x2) ** 2, 0.5 / np.cosh(x2 / 2) ** 2
    u = np.array([0.5 * (-x1 - 7) + np.tanh(x2), 0.5 * (-x1 + 3) - np.tanh(x2) + 2])
    far = np.abs(u) > 5e-6
    f = np.log(np.maximum(np.abs(u), 5e-6)) + 6
    slope = np.array([[-0.5, bend], [-0.5, -bend]]) / np.where(far, u, np.inf)[:, None]
    up, down = max(np.tanh(x2 / 2), 0), max(np.tanh(-x2 / 2), 0)
    tilt = np.array([0, half * (x2 >= 0)]), np.array([0, -half * (x2 <= 0)])
    side = np.array([-x1 + 7, -x1 - 7])
    q = (side**2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20
    bowl = np.stack([-side / 5, np.full(2, (x2 + 8) / 50)], 1)
    return f * up + q * down, slope * up + bowl * down + f[:, None] * tilt[0] + q[:, None] * tilt[1]


def end(way: str, start: tuple[float, float], steps: int, rate: float = 0.01, scale: float = 1.0) -> np.ndarray:
    """Where Adam ends, as in the papers, with a higher rate and fewer steps."""
    made, x = named(way), np.array(start)
    state, mean, square = made.begin(2, steps), np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        losses, slopes = toy(*x)
        losses, slopes = losses * [1, scale], slopes * [[1], [scale]]
        weights, state = made.weigh(torch.from_numpy(losses), torch.from_numpy(slopes @ slopes.T), state)
        gradient = weights.numpy() @ slopes
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        x = x - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return x


def stationary(x: np.ndarray) -> float:
    """The length of the shortest mixture of both gradients: 0 on the Pareto set."""
    _, slopes = toy(*x)
    return min(float(np.linalg.norm(w * slopes[0] + (1 - w) * slopes[1])) for w in np.linspace(0, 1, 501))


def test_the_gradients_of_the_toy_are_right() -> None:
    for x in ((1.0, 2.0), (-3.0, -4.0), (-8.5, 7.5)):
        for axis in (0, 1):
            step = np.eye(2)[axis] * 1e-6
            slope = (toy(*(np.array(x) + step))[0] - toy(*(np.array(x) - step))[0]) / 2e-6
            assert toy(*x)[1][:, axis] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("start", STARTS)
def test_cagrad_goes_on_towards_the_best_mean(start: tuple[float, float]) -> None:
    x = end("cagrad", start, 7000)
    assert stationary(x) < 0.05 and toy(*x)[0].mean() < -15 and abs(x[0]) < 1


@pytest.mark.parametrize("start", STARTS)
def test_pcgrad_stops_where_it_meets_the_pareto_set(start: tuple[float, float]) -> None:
    x = end("pcgrad", start, 5000)
    assert stationary(x) < 0.05
    assert start == (0.0, 0.0) or toy(*x)[0].mean() > -13.5
    assert abs(x[0]) < 0.5 if start == (0.0, 0.0) else 3 < abs(x[0]) < 7 and np.sign(x[0]) == np.sign(start[0])


@pytest.mark.parametrize("scale", [0.1, 10.0])
@pytest.mark.parametrize("start", STARTS)
def test_nash_ends_on_the_pareto_set_however_losses_are_scaled(start: tuple[float, float], scale: float) -> None:
    x = end("nashmtl", start, 2000)
    assert stationary(x) < 0.01 and abs(x[0]) < 4.5
    assert x == pytest.approx(end("nashmtl", start, 2000, scale=scale), abs=0.01)


def test_the_plain_sum_ends_elsewhere_when_a_loss_is_scaled() -> None:
    assert abs(end("fixed", (0.0, 0.0), 3000)[0]) < 0.1 and end("fixed", (0.0, 0.0), 3000, scale=0.1)[0] > 5


def test_uncertainty_weights_come_to_rest_at_one_over_the_loss() -> None:
    made = named("uncertainty")
    state, losses = made.begin(2, 10), torch.tensor([0.2, 4.0], dtype=torch.float64)
    for _ in range(2000):
        weights, state = made.weigh(losses, None, state)
    assert weights.numpy() == pytest.approx(1 / losses.numpy(), rel=1e-3)  # sigma^2 is the loss: Kendall's equation 7


def test_uncertainty_learns_the_noise_and_so_the_best_estimate() -> None:
    """Two measurements of one line, the second with 20 times the noise: sigma^2 is the noise, and the line is that of
    least squares weighted by it."""
    rng = np.random.default_rng(0)
    rows, line, noise = rng.normal(size=(200, 3)), np.array([1.0, -2.0, 0.5]), np.array([[0.1], [2.0]])
    drawn = noise * rng.normal(size=(2, 200))
    wanted = rows @ line + drawn
    made, found = named("uncertainty"), np.zeros(3)
    state = made.begin(2, 1)
    for _ in range(4000):
        off = rows @ found - wanted  # (2, 200)
        weights, state = made.weigh(torch.from_numpy((off**2).mean(1)), None, state)
        found = found - 0.5 * (weights.numpy() / weights.numpy().sum()) @ (off @ rows / 200)
    assert 1 / weights.numpy() == pytest.approx((drawn**2).mean(1), rel=0.05)
    share = (1 / noise**2) / (1 / noise**2).sum()
    best = np.linalg.lstsq(rows, (share * wanted).sum(0), rcond=None)[0]
    assert found == pytest.approx(best, abs=1e-3)
    assert np.abs(found - line).max() < 0.1 < np.abs(np.linalg.lstsq(rows, wanted.mean(0), rcond=None)[0] - line).max()


def test_pcgrad_leaves_agreeing_gradients_alone_and_removes_what_conflicts() -> None:
    slopes = np.array([[1.0, 0.0], [0.5, 1.0]])
    gram = torch.from_numpy(slopes @ slopes.T)
    assert named("pcgrad").weigh(torch.ones(2), gram, torch.zeros(0))[0].tolist() == [1, 1]
    slopes = np.array([[1.0, 0.0], [-1.0, 1.0]])
    weights, _ = named("pcgrad").weigh(torch.ones(2), torch.from_numpy(slopes @ slopes.T), torch.zeros(0))
    assert weights.numpy() @ slopes == pytest.approx(np.array([0.5, 0.5]) + np.array([0.0, 1.0]))


def test_nash_is_the_bargain() -> None:
    rng = np.random.default_rng(0)
    for number in (2, 3, 6):
        slopes = rng.normal(size=(number, 20))
        gram = slopes @ slopes.T
        a = bargain(gram)
        assert (a > 0).all() and gram @ a == pytest.approx(1 / a, rel=1e-5)


@pytest.mark.parametrize("number", [2, 3])
def test_cagrad_improves_the_worst_task_most(number: int) -> None:
    """Against a search over directions in the ball around the mean gradient, in which the paper's dual is solved."""
    rng = np.random.default_rng(number)
    slopes = rng.normal(size=(number, number))
    mean, c = slopes.mean(0), 0.5
    found = combination(slopes @ slopes.T, c) @ slopes * (1 + c**2)
    assert np.linalg.norm(found - mean) <= c * np.linalg.norm(mean) * (1 + 1e-4)
    offsets = rng.normal(size=(20000, number))
    offsets *= c * np.linalg.norm(mean) / np.linalg.norm(offsets, axis=1, keepdims=True)
    assert (slopes @ found).min() >= ((mean + offsets) @ slopes.T).min(1).max() - 1e-3
    assert combination(slopes @ slopes.T, 0.0) == pytest.approx(np.full(number, 1 / number))


def test_gradnorm_evens_out_the_sizes() -> None:
    made, losses = named("gradnorm:0"), torch.ones(2, dtype=torch.float64)
    state, slopes = made.begin(2, 10), np.diag([10.0, 1.0])
    for _ in range(400):
        weights, state = made.weigh(losses, torch.from_numpy(slopes**2), state)
    assert weights.sum().item() == pytest.approx(2) and weights[0].item() * 10 == pytest.approx(
        weights[1].item(), rel=0.3
    )


def test_dwa_favours_the_task_that_falls_slowly() -> None:
    made = named("dwa")
    state, seen = made.begin(2, 5), []
    for epoch in range(4):
        for _ in range(5):
            weights, state = made.weigh(torch.tensor([0.5**epoch, 0.9**epoch], dtype=torch.float64), None, state)
            seen.append(weights.numpy())
    assert (np.array(seen[:10]) == 1).all()
    ratio = np.array([0.5, 0.9]) / 2  # losses of the last epoch as a share of those before, by the temperature
    assert seen[10] == pytest.approx(2 * np.exp(ratio) / np.exp(ratio).sum()) == seen[14]


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_numbers_whatever_the_gradients(name: str) -> None:
    made = named(name)
    assert isinstance(made, Balancing)
    for slopes in (np.zeros((3, 4)), np.ones((3, 4)), np.array([[1.0, 0], [-1, 0], [0, 1e-9]]), 1e6 * np.eye(3)):
        state = made.begin(3, 4)
        for _ in range(10):
            weights, state = made.weigh(torch.rand(3).double(), torch.from_numpy(slopes @ slopes.T), state)
            assert weights.shape == (3,) and torch.isfinite(weights).all() and torch.isfinite(state).all()


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="There is no 'pcgrat'"):
        named("pcgrat")
    with pytest.raises(ConfigError, match="0 to less than 1"):
        named("cagrad:2").begin(2, 1)
    with pytest.raises(ConfigError, match="not 2 positive numbers"):
        named("fixed:1+0").begin(2, 1)


def test_cosines() -> None:
    slopes = torch.tensor([[1.0, 0], [1, 1], [0, 0]])
    assert cosines(slopes @ slopes.T)[0].numpy() == pytest.approx([1, 0.5**0.5, 0], abs=1e-6)
