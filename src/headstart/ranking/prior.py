"""What is known of a model before any data is looked at, and how it is weighed against what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.errors import ConfigError, HeadstartError
from headstart.models import catalog
from headstart.models.backbone import Backbone

# On the scale of log odds of an accuracy. How far the truth is from what is known beforehand is what the last one says: with
# 400 samples the measured accuracy then weighs about 30 times as much as the prior, with 40 about 4 times.
PUBLISHED_SLOPE = 0.5  # of log odds published (Kornblith et al. 2019, arXiv 1805.08974, figure 2: near 1 for the best recipe)
SIZE_SLOPE = 0.3  # for ten times as many parameters, among models of one search without published figures
DEVIATION = 0.7


@dataclass(frozen=True)
class Known:
    """Facts of a model that need no look at the data.

    Attributes:
        parameters: of the backbone.
        published, measured: its published figure between 0 and 1, and on what it was measured; None, "" where unknown.
        license: as the card or the catalogue states it.
        popularity: how much it is used, with a date, where the catalogue knows: the community behind it.
        pretrained_on: the data it learned from.
    """

    parameters: int
    published: float | None = None
    measured: str = ""
    license: str = ""
    popularity: str = ""
    pretrained_on: str = ""


def known(backbone: Backbone, reference: str | None) -> Known:
    """The facts of a loaded model; the catalogue's only where it came by its reference, so that they are of these weights."""
    parameters, card = sum(p.numel() for p in backbone.parameters()), backbone.card
    license = "" if card.license == "unknown" else card.license
    try:
        entry = catalog.show(reference) if reference else None
    except (HeadstartError, ConfigError):
        entry = None
    if entry is None:
        return Known(parameters, license=license, pretrained_on=card.pretrained_on)
    share = None if entry.accuracy is None else entry.accuracy / (100 if entry.accuracy > 1 else 1)
    return Known(parameters, share, f"{entry.metric}, {entry.measured}" if share else "", entry.license or license,
                 entry.popularity, entry.pretrained_on or card.pretrained_on)  # fmt: skip


def offsets(facts: Sequence[Known]) -> np.ndarray:
    """(n,) log odds by which each model should be better than the mean of all, for all that is known beforehand.

    Published figures count among models measured on the same; the others are compared by their size.
    """
    found = np.zeros(len(facts))
    kinds = {entry.measured for entry in facts}
    for kind in kinds:
        places = [i for i, entry in enumerate(facts) if entry.measured == kind]
        values = [log_odds(entry.published) if entry.published is not None else math.log10(max(entry.parameters, 1))
                  for entry in (facts[i] for i in places)]  # fmt: skip
        slope = PUBLISHED_SLOPE if kind else SIZE_SLOPE
        found[places] = slope * (np.array(values) - np.mean(values))
    return found


def estimated(accuracies: np.ndarray, samples: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy (n,) of each model with its standard deviation (n,), both in log odds: measured and known, weighed by how
    sure each is (normal distributions). The prior's mean is the mean of what was measured plus the offset.

    Args:
        accuracies: (n,) measured, between 0 and 1.
        samples: (n,) on how many samples.
        offset: (n,) as ``offsets`` gives it.
    """
    smoothed = (accuracies * samples + 0.5) / (samples + 1)
    seen = np.log(smoothed / (1 - smoothed))
    variance = 1 / (samples * smoothed * (1 - smoothed))
    weight = DEVIATION**2 / (DEVIATION**2 + variance)
    middle = weight * seen + (1 - weight) * (seen.mean() + offset)
    return middle, np.sqrt(weight * variance)


def log_odds(share: float) -> float:
    share = min(max(share, 0.001), 0.999)
    return math.log(share / (1 - share))


def share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
