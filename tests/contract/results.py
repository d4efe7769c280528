"""Every cell (zoo and family) with every approach, each computed once and only when a test asks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import tiny_models
from headstart import plugins
from headstart.approaches import Approach
from headstart.approaches._adaptation import Adaptation
from headstart.errors import Incompatible
from headstart.models.backbone import Backbone, fingerprint
from headstart.predictor import Predictor
from headstart.training.run import Run
from tiny import task
from tiny_models import CELLS, Cell

# Domain adaptation on features meets a model as the probe does, through its cached features, so a few stand for all here
# (AdaBN moves statistics of the model itself); test_approaches.py runs every one of them.
ADAPTATIONS = ("adabn", "coral", "dann", "source_only")
APPROACHES = tuple(
    name for name in plugins.names("approaches")
    if name in ADAPTATIONS or not issubclass(plugins.variant("approaches", name, Approach), Adaptation)
)  # fmt: skip
TEACHERS = {"image": "timm-efficientnet", "text": "transformers-distilbert", "audio": "embedded-sound"}


@dataclass
class Result:
    """What became of a cell and an approach: a predictor with its test probabilities, or a refusal.

    ``before`` and ``after`` are digests of every byte of the backbone that was given.
    """

    approach: Approach
    before: str
    after: str
    predictor: Predictor | None = None
    refusal: str = ""
    folder: Path = Path()
    probabilities: np.ndarray = field(default_factory=lambda: np.empty(0))


class Results:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.backbones: dict[str, Backbone] = {}
        self.found: dict[tuple[str, str], Result] = {}

    def backbone(self, cell: Cell) -> Backbone:
        """One for all tests; whoever changes it copies it first."""
        if cell.name not in self.backbones:
            self.backbones[cell.name] = cell.backbone(self.root / "models" / cell.name)
        return self.backbones[cell.name]

    @cached_property
    def teachers(self) -> dict[str, str]:
        return {
            kind: str(tiny_models.write_backbone(self.backbone(CELLS[name]), self.root / "teachers" / kind))
            for kind, name in TEACHERS.items()
        }

    def approach(self, name: str, modality: str, **more: Any) -> Approach:
        """The approach with its defaults, less long."""
        kind = plugins.variant("approaches", name, Approach)
        small = {
            "epochs": 1,
            "batch_size": 6,
            "views": 1,
            "augment": "",
            "teacher": self.teachers.get(modality, "none"),
        }
        known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
        return kind(**{key: value for key, value in {**small, **more}.items() if key in known})

    def of(self, cell: Cell, name: str) -> Result:
        key = (cell.name, name)
        if key in self.found:
            return self.found[key]
        approach, backbone = self.approach(name, cell.modality), self.backbone(cell)
        parts, before = tiny_models.split(cell.modality), fingerprint(backbone)
        result = Result(approach, before, "")
        try:
            result.predictor = approach.fit(backbone, task(), parts, Run(seed=3, stage=name))
        except Incompatible as problem:
            result.refusal = str(problem)
        result.after = fingerprint(backbone)
        if result.predictor is not None:
            result.probabilities = result.predictor.probabilities(parts.test)
            result.folder = result.predictor.save(self.root / "saved" / cell.name / name)
        self.found[key] = result
        return result
