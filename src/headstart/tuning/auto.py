"""The depth at which the transfer lives decides which stages move first.

Linear probes on every stage (Alain and Bengio 2016, arXiv 1610.01644) show up to where a pretrained network gets better at the
new classes. The stages behind that place learned what the old task needed and the new one does not: they move from the
first epoch. The stages up to it are good as they are, and join one after the other (Howard and Ruder 2018, arXiv 1801.06146),
when the ones behind them are already of use. What it chooses is the tuning ``gradual``, so a choice can be repeated by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.models.backbone import Backbone
from headstart.tuning import Choice, Evidence, Tuning
from headstart.tuning.gradual import Gradual


@dataclass(frozen=True)
class Auto(Choice):
    """Args:
    within: the share of all epochs after which every stage moves; short, as a softened head begins with small gradients.
    """

    within: float = 0.25
    decay: float = 0.7
    weight_decay: float = 0.01

    def choose(self, backbone: Backbone, evidence: Evidence) -> tuple[Tuning, str]:
        found, names = evidence.depths(), [stage.name for stage in backbone.stages]
        told = ", ".join(f"{name} {accuracy:.3f}" for name, (accuracy, _) in zip(names, found, strict=True))
        chosen = self.of(found)
        return chosen, f"auto takes {spelled(chosen)}: linear probes are as good as at any depth from {names[peak(found)]} on ({told})"

    def of(self, depths: Sequence[tuple[float, float]]) -> Gradual:
        """What such accuracies by depth, see ``peak``, make it choose."""
        return Gradual(self.within, behind(depths), self.decay, self.weight_decay)


def spelled(chosen: Gradual) -> str:
    """The choice as a tuning that can be asked for by name."""
    usual = Gradual()
    others = [f":{name}={value:g}" for name in ("decay", "weight_decay") if (value := getattr(chosen, name)) != getattr(usual, name)]
    return f"gradual:{chosen.within:g}:first={chosen.first}{''.join(others)}"


def peak(depths: Sequence[tuple[float, float]]) -> int:
    """The place of the earliest stage that no later one beats by more than a standard error.

    That is the rule of one standard error (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3).

    Args:
        depths: of each stage the accuracy of its probe and the standard error of that.
    """
    accuracy, error = max(depths)
    return next(place for place, (found, _) in enumerate(depths) if found >= accuracy - error)


def behind(depths: Sequence[tuple[float, float]]) -> int:
    """How many of the last stages lie behind the peak, and at least one: those that move first."""
    return max(1, len(depths) - 1 - peak(depths))
