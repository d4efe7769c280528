"""The boundary cache: what the frozen stages output is computed once and kept; later epochs train only what moves.

It is used where nothing before the boundary changes from epoch to epoch: the first stages are frozen (and in
evaluation mode) and no augmentation precedes them. Before it is used, features and gradients of a few samples are
compared with those of the whole network; where they differ it is not used, and that is said. What is kept is as wide as
the computation at the boundary: bfloat16 where that computes in bfloat16, float32 elsewhere.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from headstart.models.agreement import probed, relative_gap
from headstart.models.backbone import Backbone, Inputs
from headstart.models.replay import Crossing, NoShortcut, boundary_values, crossing, num_frozen
from headstart.progress import say
from headstart.training.batches import Batch, Batches
from headstart.training.kept import Kept, shown
from headstart.training.run import Run

FEW = 8  # samples that are compared before anything is trusted
WORTH = 0.1  # least share of the work of an epoch that must be saved
# Largest difference of features and of gradients, as a share of their length: with another padding or another batch
# the same sums are rounded in another order.
CLOSE = {torch.float32: (1e-4, 1e-3), torch.bfloat16: (0.03, 0.1)}


@dataclass(frozen=True)
class Boundary:
    """The training and the validation samples at the boundary; ``close`` deletes what is kept."""

    train: Kept
    valid: Kept
    folder: Path

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Replayed:
    """The batches of a ``Batches``: the same samples in the same order, and nothing is decoded."""

    kept: Kept

    def __call__(self, epoch: int) -> Iterator[Batch]:
        batches = self.kept.batches
        device = next(batches.backbone.parameters()).device
        for chunk in batches.chunks(epoch):
            labels = torch.from_numpy(batches.labels[chunk]).to(device)
            yield Batch(self.kept.inputs(chunk.tolist()), labels, chunk, 0)


def boundary(
    train: Batches, valid: Batches, epochs: int, run: Run, *, mixings: Sequence[str] = ()
) -> Boundary | None:
    """The boundary cache of a training, or None where there is nothing to save; says which and why.

    Args:
        train, valid: their backbone has ``requires_grad`` set as for training.
        epochs: passes over the training samples at the most.
        run: its ``boundary_limit`` is how many bytes may be kept; 0 keeps none.
        mixings: what mixes the samples of a batch with one another.
    """
    backbone = train.backbone
    frozen, stages = num_frozen(backbone), len(backbone.stages)
    if not 0 < frozen < stages or epochs < 2 or not run.boundary_limit:
        return None
    what = f"{run.stage or 'training'}: boundary cache"
    if changing := [*map(str, train.recipe), *mixings]:
        say(f"{what} not used: the first {frozen} of {stages} stages are frozen, but {', '.join(changing)} changes what "
            "they see in every epoch. Without it (--set augment= , no --set mix), their output is computed once.")  # fmt: skip
        return None
    folder = _folder(run)
    try:
        with warnings.catch_warnings():  # torch warns before it fails, of a network that writes into what a layer returned
            warnings.filterwarnings("error", message=".* on expanded tensors")
            return _recorded(train, valid, frozen, run, folder, what)
    except NoShortcut as reason:
        say(f"{what} not used: {reason}. Every epoch computes the first {frozen} of {stages} stages again.")
    # A network that answers to this with an error of its own is no network for it; a full disk ends here, too.
    except (OSError, RuntimeError, TypeError, ValueError, LookupError, AttributeError, UserWarning) as problem:
        say(f"{what} not used: {type(problem).__name__}: {str(problem)[:200]}. Every epoch computes the first {frozen} "
            f"of {stages} stages again.")  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _folder(run: Run) -> Path:
    """An empty folder in that of the run; what a killed training left there goes."""
    if run.folder is None:
        return Path(tempfile.mkdtemp(prefix="headstart-boundary-"))
    folder = run.folder / f"{run.stage or 'training'}.boundary"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _recorded(train: Batches, valid: Batches, frozen: int, run: Run, folder: Path, what: str) -> Boundary:
    begun = time.perf_counter()
    backbone, stages = train.backbone.eval(), len(train.backbone.stages)
    limit = min(run.boundary_limit, shutil.disk_usage(folder).free // 2)
    shaped = [train.sample(place, 0) for place in range(min(FEW, len(train.dataset)))]
    with run.autocast:
        place = crossing(backbone, backbone.batch(shaped), frozen)
        share = saved_share(backbone, backbone.batch(shaped), place)
        if share < WORTH:
            raise NoShortcut(f"the first {frozen} of {stages} stages are only {share:.0%} of the work of an epoch")
        few = Kept(place, frozen, train, folder / "few", limit)
        few.record(range(len(shaped)), len(shaped), "boundary check")
        difference = _compared(backbone, few, shaped)
        expected = few.size / len(shaped) * (len(train.dataset) + len(valid.dataset))
        if expected > 1.5 * limit:  # the few may be larger than the others
            raise NoShortcut(f"the output of the first {frozen} of {stages} stages would take about {shown(expected)}, "
                             f"and {shown(limit)} are allowed or half of what is free")  # fmt: skip
        one = Kept(place, frozen, train, folder / "train", limit)
        one.record(range(len(train.dataset)), train.size, "training samples at the boundary")
        other = Kept(place, frozen, valid, folder / "valid", limit - one.size)
        other.record(range(len(valid.dataset)), valid.size, "validation samples at the boundary")
    equal = "equal bit for bit" if difference == 0 else f"equal to {difference:.0e}"
    say(f"{what}: the first {frozen} of {stages} stages are frozen and nothing is augmented, so their output for "
        f"{len(train.dataset)} training and {len(valid.dataset)} validation samples was computed once, in "
        f"{time.perf_counter() - begun:.1f} s, and is kept ({shown(one.size + other.size)} of at most {shown(limit)}, "
        f"{str(one.precision).removeprefix('torch.')}; {equal} on {len(shaped)} samples). "
        f"Every epoch saves {share:.0%} of its computation, and decoding.")  # fmt: skip
    return Boundary(one, other, folder)


def saved_share(backbone: Backbone, inputs: Inputs, place: Crossing) -> float:
    """The share of a training step's operations that need not be done again.

    Counted, not timed, so that the same training always decides alike. What moves is computed forwards and, at about
    twice the cost, backwards; what is frozen forwards alone.
    """
    fused = {torch.ops.mkldnn._convolution_pointwise: _fused} if torch.backends.mkldnn.is_available() else {}
    with FlopCounterMode(display=False, custom_mapping=fused) as whole, torch.no_grad():
        backbone(inputs)
    with FlopCounterMode(display=False, custom_mapping=fused) as front:
        boundary_values(backbone, inputs, place)
    total, saved = whole.get_total_flops(), front.get_total_flops()
    return saved / max(1, saved + 3 * (total - saved))


def _fused(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of the convolution of ``models.folding``, which torch's counter does not know."""
    return conv_flop_count(x, weight, out_shape)


def _compared(backbone: Backbone, few: Kept, shaped: list[Any]) -> float:
    """The largest difference between features by way of the boundary and those of the whole network, as a share.

    The samples are put together into other batches than those they were recorded in.

    Raises:
        NoShortcut: features or gradients differ by more than rounding.
    """
    allowed, allowed_slope = CLOSE.get(few.precision, CLOSE[torch.float32])
    moving = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    order, largest = list(range(len(shaped)))[::-1], 0.0
    for places in (order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]):
        if not places:
            continue
        vector, slope = probed(backbone(backbone.batch([shaped[place] for place in places])).vector, moving)
        vector_now, slope_now = probed(few.features(backbone, places).vector, moving)
        gap, slope_gap = relative_gap(vector, vector_now), relative_gap(slope, slope_now)
        if not (gap <= allowed and slope_gap <= allowed_slope):  # NaN is no small number either
            raise NoShortcut(f"by way of the boundary features differ by {gap:.2g} and gradients by {slope_gap:.2g} of "
                             "their size from those of the whole network")  # fmt: skip
        largest = max(largest, gap)
    return largest
