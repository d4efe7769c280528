"""FineTune: the head first, then the backbone with it at layer-wise rates.

LP-FT (Kumar et al. 2022, arXiv 2202.10054): starting from a fitted head keeps the first gradients from
distorting the pretrained features. The start itself counts as epoch 0, so the result is never worse on
validation than the probe it began with.
"""

from __future__ import annotations

import copy
import itertools
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

from headstart import auxiliary, mixing, penalties
from headstart import tuning as tunings
from headstart.approaches import COMPARED, Approach, Care, check, train
from headstart.approaches._evidence import evidence
from headstart.approaches._several import tuned_weights
from headstart.approaches.probe import Probe
from headstart.auxiliary import Auxiliary
from headstart.auxiliary._labelled import Labelled
from headstart.data.split import Split
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Backbone
from headstart.models.folding import folded
from headstart.predictor import Predictor
from headstart.progress import hushed, say
from headstart.tasks import Head, Task, learn
from headstart.tasks._adapters import adapted, adapter_parameters
from headstart.tasks._heads import LinearHead
from headstart.tasks._weights import balanced
from headstart.training.batches import Batches
from headstart.training.optimiser import LARGEST_RATE
from headstart.training.run import Run, sow
from headstart.tuning import Choice, Evidence, Tuning, decayed, training_mode

TIMED = 3  # steps that an epoch is reckoned from
FITTED_HEAD, FRESH_HEAD = 2.0, 10.0  # times the rate of the backbone: what starts at random, adapters too, has far to go


@dataclass(frozen=True)
class FineTune(Approach):
    """Args:
    epochs: passes over the training data at the most.
    learning_rate: of the last stage; earlier stages are slower, the head is twice as fast. 0: the usual one of
        such models (3e-4 for convolutions, 1e-4 for transformers).
    find_rate: try rising rates on a few steps first (Smith 2017), and train with what they say.
    tuning: what moves: "full", "last:2", "stages:NAME+NAME", "gradual", "norms", "lora:8", "surgical", or "auto", by the depth at
        which linear probes are best; settings follow the name, such as "last:2:decay=0.5".
    start: "probe": from a fitted head (LP-FT), as unsure of the training samples as it is of others, so that there is a gradient
        to learn from (``probing.classification.softened``); "sharp": from the head as it was fitted, which is LP-FT as
        published; "random": from a fresh head, which is plain fine-tuning.
    augment: comma-separated names that the modality knows (for pictures crop, flip, colour); "auto" are its usual
        ones (crop, flip), "" none.
    mix: "mixup:0.2", "cutmix" or both, joined by a comma: samples are mixed with one another; "" for none.
    penalty: "l2_sp:0.1" (the pull toward the start), "l1:1e-6", "l2:1e-4" or several, joined by commas; "" for none.
    label_smoothing: Szegedy et al. 2016, arXiv 1512.00567.
    class_weights: "balanced": rare classes count as much as common ones, and the best epoch is that of the best mean
        recall; "" for none.
    at_once: most samples computed at once, the gradients of a batch being summed; 0: as memory allows.
    patience: epochs without improvement before stopping.
    average: decay of the moving average of weights; 0 for none.
    boundary: what frozen stages output is computed once and kept, up to so many GB on the disk; 0 computes it anew in
        every epoch. Augmentation and mix change what they see, so with these nothing is kept.
    adapters: width of a small bottleneck between the shared features and the head of each task (soft sharing, Houlsby et al.
        2019); it begins as if it were not there. 0: none, which is hard sharing.
    balance: how several tasks share a model: "fixed" (weights tuned by an epoch each), "fixed:1+0.5", "uncertainty", "dwa",
        "gradnorm", "pcgrad", "cagrad:0.4" or "nashmtl"; nothing for a single task.
    sampling: of several data sets: "proportional" draws every sample once an epoch, "balanced" as many of each set; "auto"
        balances where one has 10 times the samples of another.
    helper: "rotation" (of pictures), "masked" (of texts) or several, joined by commas: questions about the training samples that are
        trained beside the target's, each weighted by how its gradient agrees; "" for none.
    still_norms: batch norms keep the statistics of pretraining. Those of small batches from another domain
        differ so much that the head, fitted to the old ones, no longer fits (on digits the loss went from 0.3
        to 600).
    """

    epochs: int = 8
    learning_rate: float = 0.0
    find_rate: bool = False
    batch_size: int = 32
    tuning: str = "full"
    start: Literal["probe", "sharp", "random"] = "probe"
    augment: str = "auto"
    mix: str = ""
    penalty: str = ""
    label_smoothing: float = 0.0
    class_weights: Literal["", "balanced"] = ""
    at_once: int = 0
    patience: int = 3
    average: float = 0.0
    boundary: float = 4.0
    still_norms: bool = True
    adapters: int = 0
    balance: str = "fixed"
    sampling: Literal["auto", "proportional", "balanced"] = "auto"
    helper: str = ""
    needs = frozenset({"vector", "gradients"})
    kinds = frozenset()

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        check(self, backbone)
        chosen, care = self._parts(backbone)
        care = replace(care, helpers=self._helpers(split), head_rate=FRESH_HEAD * (self.learning_rate or backbone.rate))
        for helper in care.helpers.values():  # what cannot be asked is refused before any work
            helper.begin(backbone, 1, (), run.seed)
        run = replace(run, boundary_limit=round(1e9 * self.boundary))
        if isinstance(chosen, Tuning):  # what cannot move is refused before any work
            sow(run.seed, 3)
            chosen.groups(copy.deepcopy(backbone), self.learning_rate or backbone.rate)
        begun, fitted = self._head(backbone, task, split, run)
        head = self._adapted(begun, backbone, run)
        if isinstance(chosen, Choice):
            chosen, why = chosen.choose(backbone, self._evidence(backbone, head, task, split, run, care))
            say(f"{run.stage}: {why}")
            run.record({"epoch": 0, "train_loss": None, "note": why})
        balance = self._balance(backbone, head, task, split, run, chosen, care)
        backbone = copy.deepcopy(backbone)
        state = replace(self, balance=balance)._train(backbone, head, task, split, run, chosen, care)
        if not (state["epoch"] or run.last):  # no epoch was better than the probe, so the probe itself is kept
            begun.load_state_dict(fitted)
        return Predictor(backbone.eval(), head.eval(), task, split.train.modality)

    def _parts(self, backbone: Backbone) -> tuple[Tuning | Choice, Care]:
        """The settings that are texts, read.

        Raises:
            ConfigError, Incompatible: one of them cannot be.
        """
        largest = LARGEST_RATE / FRESH_HEAD  # a fresh head learns so much faster
        if not 0 <= self.learning_rate <= largest:
            raise ConfigError(
                f"$.approach.learning_rate: {self.learning_rate:g} is no rate to learn with; expected more than 0 and at "
                f"most {largest:g}, usually 1e-5 to 1e-2, or 0 for the usual one of the model ({backbone.rate:g})"
            )
        if not 0 <= self.boundary < 1e6:
            raise ConfigError(f"$.approach.boundary: expected how many GB may be kept, 0 or more, got {self.boundary:g}")
        if self.adapters < 0:
            raise ConfigError(f"$.approach.adapters: expected a width of 1 or more, or 0 for none, got {self.adapters}")
        mixings = mixing.listed(self.mix)
        if mixings and backbone.card.modality != "image":
            raise Incompatible(
                f"mix={self.mix} blends inputs that are one tensor of numbers, as pictures are, and {backbone.reference} takes "
                f"samples of the kind {backbone.card.modality!r}. Leave mix out; label_smoothing works with all."
            )
        score = "recall" if self.class_weights else ""
        care = Care(penalties.listed(self.penalty), mixings, score, self.find_rate, self.at_once)
        return tunings.named(self.tuning), care

    def _helpers(self, split: Split) -> dict[str, Auxiliary]:
        others = {name: Labelled(part, learn(kind, part.labels or [])) for name, (part, kind) in split.helpers.items()}
        return {**auxiliary.listed(self.helper), **others}

    def _head(self, backbone: Backbone, task: Task, split: Split, run: Run) -> tuple[Head, dict[str, Any]]:
        """What the training begins with, and the state that counts where no epoch is better."""
        if self.start == "random":
            sow(run.seed, 2)
            head = task.head(backbone.spec.dim)
            state = copy.deepcopy(head.state_dict())
        else:
            probe = Probe().fitted(backbone, task, split, run)
            backbone.eval()
            state = copy.deepcopy(probe.head.state_dict())
            head = probe.start if self.start == "probe" else probe.head
        if isinstance(head, LinearHead):
            head.label_smoothing = self.label_smoothing
            if self.class_weights:
                labels = task.encode(split.train.labels or [])
                head.class_weights = balanced(labels, len(task.to_dict()["classes"]))
        elif self.label_smoothing or self.class_weights or self.mix:
            raise Incompatible(
                f"label_smoothing, class_weights and mix are for classification, and the task is {task.to_dict()['kind']}"
            )
        return head, state

    def _adapted(self, head: Head, backbone: Backbone, run: Run) -> Head:
        """The head behind an adapter for each task, where there are to be any; how large they are is said."""
        if not self.adapters:
            return head
        sow(run.seed, 4)
        made = adapted(head, backbone.spec.dim, self.adapters)
        count = sum(entry.numel() for entry in adapter_parameters(made))
        total = sum(entry.numel() for entry in backbone.parameters())
        note = (f"an adapter of width {self.adapters} a task, between the {backbone.spec.dim} features and the head: {count:,} "
                f"parameters in all, beside {total:,} of the backbone")  # fmt: skip
        say(f"{run.stage}: {note}")
        run.record({"epoch": 0, "train_loss": None, "note": note})
        return made

    def _balance(
        self, backbone: Backbone, head: Head, task: Task, split: Split, run: Run, chosen: Tuning, care: Care
    ) -> str:
        """The way several tasks are balanced, its weights tuned where they are not given."""

        def trial(way: str, own: Head, alone: Run) -> dict[str, Any]:
            short = replace(self, epochs=1, balance=way)
            return short._train(copy.deepcopy(backbone), own, task, split, alone, chosen, replace(care, find_rate=False))

        way, why = tuned_weights(self.balance, head, run, trial)
        if why:
            say(f"{run.stage}: {why}")
            run.record({"epoch": 0, "train_loss": None, "note": why})
        return way

    def _train(
        self, backbone: Backbone, head: Head, task: Task, split: Split, run: Run, chosen: Tuning, care: Care
    ) -> dict[str, Any]:
        rate = self.learning_rate or backbone.rate
        sow(run.seed, 3)
        total = sum(parameter.numel() for parameter in backbone.parameters())
        groups = chosen.groups(backbone, rate)
        moving = sum(parameter.numel() for group in groups for parameter in group["params"])
        name = type(chosen).__module__.rpartition(".")[2]
        say(f"{run.stage}: the tuning {name} moves {moving:,} parameters; the backbone has {total:,}")
        fresh = adapter_parameters(head)
        added = {id(parameter) for parameter in fresh}
        fitted = [parameter for parameter in head.parameters() if id(parameter) not in added]
        groups += decayed(fitted, (FRESH_HEAD if self.start == "random" else FITTED_HEAD) * rate)
        groups += decayed(fresh, FRESH_HEAD * rate)
        if any(penalty.replaces_decay for penalty in care.penalties.values()):
            groups = [{**group, "weight_decay": 0.0} for group in groups]
        state = train(backbone, head, task, split, run, groups=groups, settings=self, care=care)
        chosen.finish(backbone)
        return state

    def _evidence(self, backbone: Backbone, head: Head, task: Task, split: Split, run: Run, care: Care) -> Evidence:
        short, care = replace(self, epochs=1), replace(care, find_rate=False)

        def trained(some: Backbone, own: Head, chosen: Tuning, alone: Run) -> dict[str, Any]:
            return short._train(some, own, task, split, alone, chosen, care)

        return evidence(backbone, head, task, split, run, trained)


def seconds_an_epoch(backbone: Backbone, task: Task, split: Split) -> float:
    """How long an epoch of the usual fine-tuning would take, from a few training steps on copies of a few samples.

    An epoch of few samples shows each of them more than once, see ``Batches``.
    """
    network, labels = copy.deepcopy(backbone), task.encode(split.train.labels or [])
    head, usual = task.head(backbone.spec.dim), FineTune()
    few = split.train.subset(range(min(16, len(labels))))
    batches, run = Batches(few, labels, network, len(few), ("auto",)), Run()
    whole = Batches(split.train, labels, network, min(usual.batch_size, len(labels)), ("auto",))
    training_mode(network, still_norms=usual.still_norms)
    times = []
    with hushed(), folded(network, network.batch([batches.sample(place, 0) for place in range(min(COMPARED, len(few)))])):
        for batch in itertools.islice(itertools.chain.from_iterable(map(batches, itertools.count())), 1 + TIMED):
            with run.autocast:
                loss = sum(head.losses(network(batch.inputs), batch.labels).values())
            loss.backward()  # type: ignore[union-attr]
            times.append(time.perf_counter())  # the first also pays for decoding and warming up
    return (times[-1] - times[0]) / (len(times) - 1) / len(few) * len(whole) * whole.size
