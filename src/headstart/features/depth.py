"""What every stage of a backbone outputs, averaged over positions, tokens or windows, and its features; kept by content as features are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart import plugins
from headstart.data.dataset import Dataset, content, content_key
from headstart.data.modalities import Modality
from headstart.errors import Incompatible
from headstart.features.extract import AGREEMENT, CHECKED
from headstart.models.backbone import Backbone, Inputs, fingerprint, grouped
from headstart.models.precision import uses_bfloat16
from headstart.progress import say, track
from headstart.store import Store


def stage_vectors(backbone: Backbone, dataset: Dataset, store: Store | None = None) -> list[np.ndarray]:
    """For each stage the outputs (n, dim) of all samples, averaged over where they have positions; float32, not augmented."""
    return watch(backbone, dataset, store).stages


@dataclass(frozen=True)
class Watched:
    """What one pass over n samples showed.

    Attributes:
        stages: for each stage its averaged outputs (n, dim).
        end: (n, dim) the features of the backbone.
        computed, precision: as those of a FeatureTable.
    """

    stages: list[np.ndarray]
    end: np.ndarray
    computed: int
    precision: str


def watch(backbone: Backbone, dataset: Dataset, store: Store | None = None, *, fast: bool = False) -> Watched:
    """What every stage outputs, and the features behind them, of one pass.

    Args:
        fast: in bfloat16 where the device computes in it; where the first samples come out otherwise, in float32, and that is said.

    Raises:
        Incompatible: the backbone is no network whose stages can be watched.
        UnreadableError: a sample cannot be decoded.
    """
    backbone = backbone.eval()
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    keys = [content_key(content(item)) for item in dataset.items]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    quick = fast and uses_bfloat16(next(backbone.parameters()).device)
    some = backbone.batch(_shaped(backbone, modality, dataset, list(first.values())[: CHECKED if quick else 1]))
    plain = pooled_stages(backbone, some)
    if quick:
        with torch.autocast(plain[-1].device.type, torch.bfloat16):
            agreement = min(torch.cosine_similarity(one.float(), other.float()).mean().item()
                            for one, other in zip(plain, pooled_stages(backbone, some), strict=True))  # fmt: skip
        if not (quick := agreement >= AGREEMENT):
            say(f"What the stages of {backbone.reference} output in bfloat16 differs from float32 (cosine {agreement:.4f}, at least "
                f"{AGREEMENT} wanted); computing in float32, which is slower.")  # fmt: skip
    dims = [part.shape[1] for part in plain]
    space, width = f"stages-and-end-{fingerprint(backbone)}{'-bfloat16' if quick else ''}", sum(dims)
    rows = np.empty((len(keys), width), np.float32)
    known = store.get_many(space, list(first)) if store else {}
    for key, blob in known.items():
        rows[first[key]] = np.frombuffer(blob, np.float32)
    todo = [place for key, place in first.items() if key not in known]
    batches = -(-len(todo) // backbone.window)
    for places, vectors in track(_computed(backbone, modality, dataset, todo, quick), "outputs of stages", batches):
        rows[places] = vectors
        if store:
            store.put_many(space, {keys[place]: rows[place].tobytes() for place in places})
    rows = rows[[first[key] for key in keys]]
    *stages, end = np.split(rows, np.cumsum(dims)[:-1].tolist(), axis=1)
    return Watched(stages, end, len(todo), "cached" if not todo else "bfloat16" if quick else "float32")


def _computed(
    backbone: Backbone, modality: Modality, dataset: Dataset, todo: list[int], quick: bool
) -> Iterator[tuple[list[int], np.ndarray]]:
    windows = [todo[i : i + backbone.window] for i in range(0, len(todo), backbone.window)]
    device = next(backbone.parameters()).device.type
    with ThreadPoolExecutor(1) as pool:  # decoded one window ahead of what is computed
        ahead = [pool.submit(_shaped, backbone, modality, dataset, places) for places in windows[:1]]
        for number, places in enumerate(windows):
            shaped = ahead.pop().result()
            ahead = [pool.submit(_shaped, backbone, modality, dataset, some) for some in windows[number + 1 : number + 2]]
            rows = np.empty((len(places), 0), np.float32)
            for group in grouped([backbone.cost(value) for value in shaped], backbone.batch_cost):
                with torch.autocast(device, torch.bfloat16, enabled=quick):
                    parts = pooled_stages(backbone, backbone.batch([shaped[i] for i in group]))
                some_rows = torch.cat([part.float() for part in parts], 1).cpu().numpy()
                if not rows.shape[1]:
                    rows = np.empty((len(places), some_rows.shape[1]), np.float32)
                rows[group] = some_rows
            yield places, rows


def _shaped(backbone: Backbone, modality: Modality, dataset: Dataset, places: Sequence[int]) -> list[Any]:
    side = backbone.decode_side()
    values = [modality.decode(dataset.items[i], side and round(2 * side), dataset.names[i]) for i in places]
    return backbone.shapes(values)


@torch.no_grad()
def pooled_stages(backbone: Backbone, inputs: Inputs) -> list[Tensor]:
    """One forward; (n, dim) for each stage, the output of its last module that was called, and for the features behind them.

    Raises:
        Incompatible: a stage has no output of this form.
    """
    seen: dict[int, Tensor | Incompatible] = {}

    def keep(number: int, output: Any) -> None:
        if (value := first_tensor(output)) is None:
            return
        try:  # at once, since an activation behind the stage may write into it
            seen[number] = _averaged(value, inputs, backbone.stages[number].name)
        except Incompatible as problem:  # no matter, unless nothing comes after it
            seen[number] = problem

    hooks = [
        part.register_forward_hook(lambda _, args, output, number=number: keep(number, output))
        for number, stage in enumerate(backbone.stages)
        for part in stage.modules
    ]
    try:
        end = backbone(inputs).vector
    finally:
        for hook in hooks:
            hook.remove()
    lacking = [stage.name for number, stage in enumerate(backbone.stages) if number not in seen]
    if lacking:
        raise Incompatible(
            f"The stages {', '.join(lacking)} of {backbone.reference} are not called as modules of torch, so what they output "
            "cannot be seen. Tunings that are named (full, last, norms) need no such evidence."
        )
    found = []
    for _, value in sorted(seen.items()):
        if isinstance(value, Incompatible):
            raise value
        found.append(value)
    return [*found, end]


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of numbers in what a module returned."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def _averaged(value: Tensor, inputs: Inputs, stage: str) -> Tensor:
    """(n, dim) from maps (n, dim, height, width), tokens (n, length, dim), or windows of recordings."""
    value = value.float()
    if value.ndim == 4:
        value = value.mean((2, 3))
    elif value.ndim == 3:
        mask = inputs["mask"] if isinstance(inputs, dict) and "ids" in inputs else None
        if mask is not None and mask.shape == value.shape[:2]:
            weights = mask.to(value.dtype)[..., None]
            value = (value * weights).sum(1) / weights.sum(1).clamp(min=1)
        else:
            value = value.mean(1)
    if isinstance(inputs, dict) and "owner" in inputs and len(value) == len(inputs["owner"]):
        owner, count = inputs["owner"].to(value.device), len(inputs["count"])
        total = value.new_zeros(count, value.shape[1]).index_add_(0, owner, value)
        value = total / torch.bincount(owner, minlength=count).clamp(min=1)[:, None]
    samples = len(inputs) if isinstance(inputs, Tensor) else len(inputs.get("count", next(iter(inputs.values()))))
    if value.ndim != 2 or len(value) != samples:
        raise Incompatible(f"The stage {stage} outputs {tuple(value.shape)}, not something for each of {samples} samples")
    return value

