"""layers: at which depth of a pretrained model the transfer to some data lives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.fitting import make_settings
from headstart.performing import load_split, named_model
from headstart.progress import say
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.stagewise import Depth


@dataclass(frozen=True)
class Layers:
    """The stages of a model, early to late, each with the accuracy of a linear probe on its output.

    Attributes:
        best: the place of the earliest stage that none beats by more than a standard error.
        tuning: what ``--tuning auto`` makes of it.
    """

    model: str
    data: str
    samples: int
    classes: int
    depths: tuple[Depth, ...]
    best: int
    tuning: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {**asdict(self), "depths": [asdict(depth) for depth in self.depths], "best": self.depths[self.best].stage}

    def write(self, path: str | Path) -> Path:
        """The picture of accuracy by depth as one self-contained page."""
        from headstart.report.depth import page
        from headstart.training.checkpoint import write_atomically

        write_atomically(Path(path), page(self.to_dict()).encode())
        return Path(path)


def layers(data: Any, model: str = "auto", *, seed: int = 0, **options: Any) -> Layers:
    """Probe every stage of a model on the training samples of some labelled data; the test samples are not looked at.

    Args:
        data: as for ``hs.fit``.
        model: reference of a model; "auto" chooses.
        options: ``shots``, ``on_bad``, ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``hs.fit``.

    Raises:
        HeadstartError: the data or the model cannot be read, or the model's stages cannot be watched.
    """
    from headstart import defaults
    from headstart.stagewise import by_depth
    from headstart.tasks import classes_of, learn
    from headstart.tuning import auto

    settings, store = make_settings(data, model, "probe", seed=seed, **options), Store()
    backbone, why = named_model(settings), ""
    split = load_split(settings, store, data if not settings.data else None)
    if backbone is None:
        backbone, why = defaults.choose(split.train)
    defaults.suits(backbone, split.train)
    if why:
        say(why)
    task = learn(split.task, split.train.labels or [])
    classes = classes_of(task, "Probing by depth")
    labels = task.encode(split.train.labels or [])
    found = by_depth(backbone, split.train, labels, len(classes), store, seed)
    pairs = [(depth.accuracy, depth.error) for depth in found]
    return Layers(backbone.reference, split.train.origin or settings.data, len(labels), len(classes), tuple(found),
                  auto.peak(pairs), auto.spelled(auto.Auto().of(pairs)))  # fmt: skip
