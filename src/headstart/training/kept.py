"""What crosses the boundary of a backbone, for every sample of a data set, in files that are mapped into memory."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from headstart.models.backbone import Backbone, Features, Inputs, grouped
from headstart.models.replay import Crossing, NoShortcut, boundary_values, entries, hollow, replay, trace
from headstart.progress import track
from headstart.training.batches import Batches


@dataclass(frozen=True, eq=False)
class Outline:
    """What of a sample's input is needed without the frozen part: its shape, and what says where there is padding.

    Attributes:
        rows: a picture is one row, a text one row a token, a recording one row a window.
        shape: of a picture or of a window.
        ids: of a text, (rows,).
        real: how much of each window of a recording is no padding, (rows,).
        cost: in the units of the backbone's ``batch_cost``.
    """

    rows: int
    cost: int
    shape: tuple[int, ...] = ()
    ids: Any = None
    real: Tensor | None = None


def outlines(backbone: Backbone, inputs: Inputs, shaped: Sequence[Any]) -> list[Outline]:
    """The outline of every sample of a batch.

    Raises:
        NoShortcut: the inputs are of no known kind.
    """
    costs = [backbone.cost(value) for value in shaped]
    if isinstance(inputs, Tensor):
        return [Outline(1, cost, tuple(inputs.shape[1:])) for cost in costs]
    if set(inputs) == {"ids", "mask"}:
        return [Outline(len(ids), cost, ids=ids) for ids, cost in zip(shaped, costs, strict=True)]
    if set(inputs) == {"values", "real", "owner", "count"}:
        real = [inputs["real"][inputs["owner"] == number].cpu() for number in range(len(shaped))]
        shape = tuple(inputs["values"].shape[1:])
        return [Outline(len(entry), cost, shape, real=entry) for entry, cost in zip(real, costs, strict=True)]
    raise NoShortcut(f"inputs of the kind {sorted(inputs)} are not known")


def inputs_of(backbone: Backbone, chosen: Sequence[Outline]) -> Inputs:
    """A batch of the right shapes; what only the frozen part reads is zeros that take no memory."""
    device = next(backbone.parameters()).device
    if chosen[0].ids is not None:
        return backbone.batch([entry.ids for entry in chosen])
    count = sum(entry.rows for entry in chosen)
    zeros = torch.zeros((1,) * (1 + len(chosen[0].shape)), device=device).expand(count, *chosen[0].shape)
    if chosen[0].real is None:
        return zeros
    owner = torch.arange(len(chosen)).repeat_interleave(torch.tensor([entry.rows for entry in chosen]))
    real = torch.cat([entry.real for entry in chosen if entry.real is not None])
    return {"values": zeros, "real": real.to(device), "owner": owner.to(device),
            "count": torch.zeros(len(chosen), device=device)}  # fmt: skip


def padding(inputs: Inputs) -> Tensor | None:
    """(n, length) where there are tokens, for a batch of texts; None for other batches."""
    return inputs["mask"].bool() if isinstance(inputs, dict) and "ids" in inputs else None


class Column:
    """One tensor at the boundary: the rows of all samples, one behind the other, in one file."""

    def __init__(self, path: Path, rows: Tensor) -> None:
        self.channels_last = rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)
        self.dtype = rows.dtype
        self.kind: type = np.int16 if rows.element_size() == 2 else np.float32  # numpy knows no bfloat16
        self.shape = tuple(self._laid(rows).shape[1:])
        self.path = path
        self.mapped: np.ndarray | None = None

    def _laid(self, rows: Tensor) -> Tensor:
        return rows.permute(0, 2, 3, 1) if self.channels_last else rows

    def bytes_of(self, rows: Tensor) -> np.ndarray:
        """Rows as they are kept.

        Raises:
            NoShortcut: they are of another shape or precision than the first ones.
        """
        laid = self._laid(rows)
        if tuple(laid.shape[1:]) != self.shape or rows.dtype is not self.dtype:
            raise NoShortcut("what leaves the frozen stages is of another shape in every batch")
        return laid.contiguous().view(torch.int16 if self.kind is np.int16 else torch.float32).cpu().numpy()

    def read(self, chosen: np.ndarray) -> Tensor:
        """The chosen rows, in the layout and the precision that they had."""
        if self.mapped is None:
            self.mapped = np.memmap(self.path, self.kind, "r").reshape(-1, *self.shape)
        rows = torch.from_numpy(self.mapped[chosen]).view(self.dtype)
        return rows.permute(0, 3, 1, 2) if self.channels_last else rows


class Kept:
    """The samples of ``batches`` at the boundary ``place``, behind the first ``frozen`` stages.

    Attributes:
        size: bytes on the disk.
    """

    def __init__(self, place: Crossing, frozen: int, batches: Batches, folder: Path, limit: int) -> None:
        self.place = place
        self.batches = batches
        self.size = 0
        self._behind = entries(batches.backbone, frozen)
        self._folder, self._limit = folder, limit
        self._columns: list[Column] = []
        self._outlines: dict[int, Outline] = {}
        self._starts: dict[int, int] = {}
        self._answers: dict[Any, list[Any]] = {}

    @property
    def precision(self) -> torch.dtype:
        return self._columns[0].dtype

    def record(self, places: Sequence[int], size: int, title: str) -> None:
        """Compute and keep the samples at ``places``, in batches of ``size``, so that sums are rounded as in training.

        Raises:
            NoShortcut: they would take more bytes than the limit, or are not of one shape.
            OSError: the disk is full.
        """
        self._folder.mkdir()
        size = min(size, len(places))
        # the last batch is as large as the others and repeats some samples of the one before
        chunks = [places[i : i + size] for i in (*range(0, len(places) - size, size), len(places) - size)]
        with ThreadPoolExecutor(2) as pool, contextlib.ExitStack() as stack:
            files: list[BinaryIO] = []
            ahead: list[tuple[Sequence[int], list[Future]]] = []
            for chunk in track([*chunks, [], []], title, len(chunks)):
                ahead.append((chunk, [pool.submit(self.batches.sample, place, 0) for place in chunk]))
                if len(ahead) > 2:  # shaped two batches ahead of what is computed
                    some, futures = ahead.pop(0)
                    self._add(some, [future.result() for future in futures], files, stack)

    def _add(
        self, places: Sequence[int], shaped: list[Any], files: list[BinaryIO], stack: contextlib.ExitStack
    ) -> None:
        backbone = self.batches.backbone
        inputs = backbone.batch(shaped)
        found = outlines(backbone, inputs, shaped)
        tokens, count = padding(inputs), sum(entry.rows for entry in found)
        rows = []
        for value in boundary_values(backbone, inputs, self.place):
            if value.shape[: 1 if tokens is None else 2] != ((count,) if tokens is None else tokens.shape):
                raise NoShortcut(f"what enters {self.place.entry} is {tuple(value.shape)}, not one part a sample")
            rows.append(value if tokens is None else value[tokens])
        if not self._columns:
            self._columns = [Column(self._folder / f"{number}.rows", value) for number, value in enumerate(rows)]
            files += [stack.enter_context(column.path.open("wb")) for column in self._columns]
        ends = np.cumsum([entry.rows for entry in found])
        blobs = [column.bytes_of(value) for column, value in zip(self._columns, rows, strict=True)]
        written = sum(entry.rows for entry in self._outlines.values())
        for place, entry, end in zip(places, found, ends.tolist(), strict=True):
            if place in self._outlines:
                continue
            for blob, file in zip(blobs, files, strict=True):
                part = blob[end - entry.rows : end]
                self.size += part.nbytes
                if self.size > self._limit:
                    share = len(self._outlines) / len(self.batches.dataset)
                    raise NoShortcut(f"the output of the frozen stages is larger than {shown(self._limit)}, which were full "
                                     f"after {share:.0%} of the samples")  # fmt: skip
                file.write(part.tobytes())
            self._outlines[place], self._starts[place] = entry, written
            written += entry.rows

    def inputs(self, places: Sequence[int]) -> Inputs:
        return inputs_of(self.batches.backbone, [self._outlines[int(place)] for place in places])

    def features(self, backbone: Backbone, places: Sequence[int]) -> Features:
        """What ``backbone``, the one that was recorded or a copy whose later stages moved, says of the samples."""
        inputs = self.inputs(places)
        spans = [(self._starts[int(place)], self._outlines[int(place)].rows) for place in places]
        chosen = np.concatenate([np.arange(start, start + rows) for start, rows in spans])
        device, tokens = next(backbone.parameters()).device, padding(inputs)
        values = [column.read(chosen).to(device) for column in self._columns]
        if tokens is not None:  # back to (n, length, ...), zeros where there is padding
            spread = [value.new_zeros((*tokens.shape, *value.shape[1:])) for value in values]
            for whole, value in zip(spread, values, strict=True):
                whole[tokens] = value
            values = spread
        answers = self._answers_of(backbone, inputs, len(chosen) if tokens is None else len(tokens))
        return replay(backbone, inputs, self.place, answers, values)

    def _answers_of(self, backbone: Backbone, inputs: Inputs, count: int) -> list[Any]:
        """What frozen calls answer in a batch of this shape; found out by one row of it, computed in full."""
        if isinstance(inputs, Tensor):
            first: Inputs = inputs[:1].contiguous()
        else:
            first = {name: value[:1] for name, value in inputs.items()}
        parts = first.values() if isinstance(first, dict) else (first,)
        key = (count, torch.is_autocast_enabled(inputs_device(first)), *(tuple(part.shape[1:]) for part in parts))
        if key not in self._answers:
            with torch.inference_mode(False):  # validation may be the first to ask, and training goes on with the answers
                seen = trace(backbone, first, self._behind, whole=False)
                if tuple(seen.calls) != self.place.calls:
                    raise NoShortcut("the network takes another path for a batch of another shape")
                self._answers[key] = [hollow(output, count) for output in seen.outputs]
        return self._answers[key]

    def groups(self) -> list[list[int]]:
        """All places in batches of like cost, as large as they may be where no gradients are kept."""
        costs = [self._outlines[place].cost for place in range(len(self._outlines))]
        return grouped(costs, 2 * self.batches.backbone.batch_cost)


def inputs_device(inputs: Inputs) -> str:
    return (next(iter(inputs.values())) if isinstance(inputs, dict) else inputs).device.type


def shown(size: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
