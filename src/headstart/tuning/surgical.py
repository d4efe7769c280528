"""Surgical fine-tuning: one stage moves, and the data say which.

Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, arXiv 2210.11466; the relative gradient
norm is that of its section 4 (Auto-RGN). What it chooses is the tuning ``stages``, so a choice can be repeated by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headstart.models.backbone import Backbone
from headstart.tuning import Choice, Evidence, Tuning
from headstart.tuning.stages import Stages


@dataclass(frozen=True)
class Surgical(Choice):
    """Args:
    by: "gradient": the stage whose gradient is the largest beside its weights, which costs a few batches;
        "validation": every stage is tuned alone for one epoch, and the best on validation is kept.
    """

    by: Literal["gradient", "validation"] = "gradient"
    weight_decay: float = 0.01

    def choose(self, backbone: Backbone, evidence: Evidence) -> tuple[Tuning, str]:
        names = [stage.name for stage in backbone.stages]
        if self.by == "gradient":
            scores, what = evidence.gradients(), "gradient norm relative to that of the weights"
        else:
            scores = [evidence.trial(self._only(name)) for name in names]
            what = "validation score after an epoch in which it alone moved"
        best = max(range(len(names)), key=scores.__getitem__)
        told = ", ".join(f"{name} {score:.3g}" for name, score in zip(names, scores, strict=True))
        return self._only(names[best]), f"surgical moves {names[best]} (stages:{names[best]}), by {what}: {told}"

    def _only(self, name: str) -> Stages:
        return Stages(name, weight_decay=self.weight_decay)
