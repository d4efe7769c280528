"""augment: what augmentations make of the samples of a data set, and what each does to the accuracy on validation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import ConfigError, Incompatible
from headstart.fitting import make_settings
from headstart.performing import load_split, named_model
from headstart.progress import say
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.data import Split
    from headstart.data.augment import Augmentation
    from headstart.models.backbone import Backbone
    from headstart.views.effect import Measured


@dataclass(frozen=True)
class Augmented:
    """What was found out.

    Attributes:
        recipe: the augmentations to train with, as an approach's setting ``augment`` takes them; "" for none.
        facts: everything, as JSON.
        report: the page that shows it.
    """

    recipe: str
    facts: dict[str, Any]
    report: Path


def augment(
    data: Any, recipe: str = "", model: str = "auto", *, out: str | Path = "augment.html", measure: bool = True,
    preview: bool = True, seed: int = 0, **options: Any,
) -> Augmented:  # fmt: skip
    """Try augmentations on labelled data: show what they do, measure their effect on validation, drop those that hurt.

    The test part of the data is not looked at.

    Args:
        data: as for ``fit``.
        recipe: names with their settings, "crop, rotate:15"; "" for all that can be tried with no setting.
        model: whose features decide; "auto" chooses.
        out: where the page goes; an older one is replaced.
        measure: False only shows samples, for which no model is needed.
        preview: False leaves the samples out of the page, which then holds numbers alone.
        seed: of everything random.
        options: ``shots``, ``on_bad``, ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``fit``.

    Raises:
        HeadstartError: see ``headstart.errors``.
    """
    from headstart import views
    from headstart.data import augment as augmentations
    from headstart.data.augment.text.backtranslate import Backtranslate
    from headstart.report.augmented import write
    from headstart.tasks import learn
    from headstart.training.run import Run, sow

    if not (measure or preview):
        raise ConfigError("With neither measuring nor samples there is nothing to do. Leave out one of the two.")
    begun, out, store = time.perf_counter(), Path(out), Store()
    settings = make_settings(data, model, "auto", seed=seed, **options)
    backbone = named_model(settings) if measure else None
    split = load_split(settings, store, None if _is_path(data) else data)
    modality = split.train.modality
    if not augmentations.names(modality):
        raise Incompatible(f"There is nothing to try: samples of the kind {modality!r} have no augmentations, for no change "
                           "is known to keep the meaning of any row. See docs/augmentation.md.")  # fmt: skip
    names = augmentations.listed(recipe) or views.candidates(modality)
    steps = augmentations.steps(modality, names)
    sow(seed, 0)
    run, task = Run(None, seed, store, stage="augment"), learn(split.task, split.train.labels or [])
    if measure or any(isinstance(step, Backtranslate) for step in steps):
        backbone = _suiting(split, backbone or named_model(settings))
    if backbone is not None:
        steps = tuple(views.prepared(step, backbone, task, split, run) for step in steps)
    measured = None
    if measure and backbone is not None:
        from headstart.views.effect import effects

        measured = effects(split, backbone, task, steps, store, seed=seed)
    kept = _kept(steps, measured)
    facts: dict[str, Any] = {
        "data": split.train.origin or str(data),
        "modality": modality,
        "model": backbone.reference if backbone and measure else None,
        "seed": seed,
        "train": len(split.train),
        "valid": len(split.valid),
        "augmentations": [_facts(step, place, measured) for place, step in enumerate(steps)],
        "together": measured.together.facts if measured and measured.together else None,
        "recipe": ",".join(map(str, kept)),
        "notes": list(dict.fromkeys((*split.train.notes, *split.notes))),
        "seconds": time.perf_counter() - begun,
    }
    shown = []
    if preview:
        from headstart.views.effect import TOGETHER
        from headstart.views.samples import samples

        recipes = [(str(step), (step,)) for step in steps]
        shown = samples(split.train, [*recipes, *([(TOGETHER, kept)] if len(kept) > 1 else [])], seed)
    return Augmented(facts["recipe"], facts, write(out, facts, shown))


def _kept(steps: tuple[Augmentation, ...], measured: Measured | None) -> tuple[Augmentation, ...]:
    """The recipe that is advised: without a measurement, what is usual."""
    if measured is None:
        return tuple(step for step in steps if step.usual)
    return tuple(step for step, effect in zip(steps, measured.each, strict=True) if effect.kept)


def _facts(step: Augmentation, place: int, measured: Measured | None) -> dict[str, Any]:
    effect = measured.each[place] if measured else None
    return {
        "name": str(step),
        "what": step.what,
        "paper": step.paper,
        "usual": step.usual,
        "effect": effect.facts if effect else None,
        "sentence": effect.sentence if effect else None,
    }


def _suiting(split: Split, backbone: Backbone | None) -> Backbone:
    from headstart import defaults

    if backbone is None:
        backbone, why = defaults.choose(split.train)
        say(f"because {why}")
    defaults.suits(backbone, split.train)
    return backbone


def _is_path(data: Any) -> bool:
    return isinstance(data, (str, Path))
