"""The depth at which the transfer lives decides which stages learn fastest.

Linear probes on every stage (Alain and Bengio 2016, arXiv 1610.01644) show up to where a pretrained network gets better at the
new classes. The stages behind that place learned what the old task needed and the new one does not: they learn at the whole rate,
however far from the end they are. The stages up to it are good as they are, and slower the earlier they lie (Howard and Ruder 2018,
arXiv 1801.06146, section 3.2). What it chooses is the tuning ``full``, so a choice can be repeated by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.models.backbone import Backbone
from headstart.tuning import Choice, Evidence, Tuning
from headstart.tuning.full import Full


@dataclass(frozen=True)
class Auto(Choice):
    """Args:
    decay: the rate of a stage up to the peak, divided by that of the next one.
    """

    decay: float = 0.85
    weight_decay: float = 0.01

    def choose(self, backbone: Backbone, evidence: Evidence) -> tuple[Tuning, str]:
        found, names = evidence.depths(), [stage.name for stage in backbone.stages]
        told = ", ".join(f"{name} {accuracy:.3f}" for name, (accuracy, _) in zip(names, found, strict=True))
        chosen = self.of(found)
        return chosen, f"auto takes {spelled(chosen)}: linear probes are as good as at any depth from {names[peak(found)]} on ({told})"

    def of(self, depths: Sequence[tuple[float, float]]) -> Full:
        """What such accuracies by depth, see ``peak``, make it choose."""
        return Full(self.decay, self.weight_decay, behind(depths))


def spelled(chosen: Full) -> str:
    """The choice as a tuning that can be asked for by name."""
    usual = Full()
    settings = [f":{name}={value:g}" for name in ("decay", "weight_decay", "even") if (value := getattr(chosen, name)) != getattr(usual, name)]
    return f"full{''.join(settings)}"


def peak(depths: Sequence[tuple[float, float]]) -> int:
    """The place of the earliest stage that no later one beats by more than a standard error.

    That is the rule of one standard error (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3).

    Args:
        depths: of each stage the accuracy of its probe and the standard error of that.
    """
    accuracy, error = max(depths)
    return next(place for place, (found, _) in enumerate(depths) if found >= accuracy - error)


def behind(depths: Sequence[tuple[float, float]]) -> int:
    """How many of the last stages lie behind the peak, and at least one: those that learn at the whole rate."""
    return max(1, len(depths) - 1 - peak(depths))
