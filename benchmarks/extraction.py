"""Feature extraction with MobileNetV2 from JPEG files: headstart beside a plain timm loop, in one run.

Measures pictures a second on small and on 12-megapixel photos, whether the features are the same, whether
memory stays flat when the data grows tenfold, and what the second run costs with the cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import _shared as shared
import numpy as np
from _shared import Goal, Report, Row

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.data import Dataset
    from headstart.models.backbone import Backbone


MEBIBYTE = 2**20
MEMORY_SAMPLES = 500
PHONE = (4000, 3000)  # pixels: 12 megapixels
LARGE = 200  # photos of that size
PARTS = "small,probes,cache,large,memory"


class Plain:
    """The loop that a competent person writes: timm, eager float32, Pillow, batches of 32, no threads of its own."""

    def __init__(self, *, channels_last: bool = False, workers: int | None = None) -> None:
        import torch

        self.network = shared.stock_network().eval()
        self.network.reset_classifier(0)
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = self.network.to(memory_format=self.format)
        self.workers = workers

    def __call__(self, paths: list[Path]) -> np.ndarray:
        """(n, 1280) float32 features."""
        import torch

        with torch.inference_mode():
            return torch.cat(
                [self.network(batch.to(memory_format=self.format)) for batch in self._batches(paths)]
            ).numpy()

    def _batches(self, paths: list[Path]) -> Iterator[Tensor]:
        import torch

        if self.workers is None:
            for start in range(0, len(paths), 32):
                yield torch.stack([prepared(path) for path in paths[start : start + 32]])
        else:
            yield from torch.utils.data.DataLoader(Files(paths), 32, num_workers=self.workers)


class Files:
    """What torch's DataLoader asks for."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        return prepared(self.paths[i])


def prepared(path: Path) -> Tensor:
    """(3, 224, 224): resize the shorter side to 256, crop the centre, normalise as the model's card says.

    The rounding is that of torchvision's Resize and CenterCrop, which timm uses, too.
    """
    import torch
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    width, height = (int(256 * side / min(picture.size)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32)
    return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - 0.5) / 0.5


def measure(options: argparse.Namespace) -> Report:
    if options.memory:
        print(json.dumps(growth(options.memory)))
        raise SystemExit
    from headstart.data import read
    from headstart.models import load

    data = read(shared.data_folder("clothing"))
    backbone = load(str(shared.weights_folder()))
    rounds, parts = 1 if options.quick else options.rounds, options.parts.split(",")
    chosen = [i for i, side in enumerate(data.declared) if side in ("train", "test")]
    photos = data.subset(chosen[:: 60 if options.quick else options.every])
    report = Report()
    if "small" in parts:
        _compare(report, "clothing", backbone, photos, rounds, goal=3)
    if "probes" in parts:
        _probes(report, backbone, photos)
    if "cache" in parts:
        _cache(report, backbone, photos, rounds)
    if "large" in parts:
        with tempfile.TemporaryDirectory() as folder:
            shared.progress("making 12-megapixel photos")
            large = phone_photos(photos, 3 if options.quick else LARGE, Path(folder))
            _compare(report, "12 megapixels", backbone, large, rounds, goal=5)
    if "memory" in parts:
        _memory(report, 16 if options.quick else MEMORY_SAMPLES)
    return report


def _compare(report: Report, name: str, backbone: Backbone, photos: Dataset, rounds: int, goal: float) -> None:
    """Pictures a second of headstart and of the plain loops, in turns, and the cosine of their features."""
    from headstart.features.extract import extract

    plain, last, loader = Plain(), Plain(channels_last=True), Plain(channels_last=True, workers=2)
    paths = list(photos.items)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "headstart": lambda: extract(backbone, photos).vectors,
        "plain loop": partial(plain, paths),
        "plain loop, channels last": partial(last, paths),
        "plain loop, channels last, DataLoader with 2 workers": partial(loader, paths),
    }
    shared.progress(f"{name}: {len(photos)} photos, {rounds} rounds")
    extract(backbone, photos.subset(range(min(64, len(photos)))))  # warm: kernels are chosen, files are in memory
    for way in (plain, last, loader):
        way(paths[:64])
    times = shared.alternate(ways, rounds)
    rows: list[Row] = []
    for way, taken in times.items():
        middle = shared.median(taken)
        rows.append({"way": way, "seconds": middle, "photos/s": len(photos) / middle,
                     "headstart is faster by": middle / shared.median(times["headstart"])})  # fmt: skip
    table = extract(backbone, photos)
    cosine = cosines(table.vectors, plain(paths))
    report.tables[f"Extraction, {name}: {len(photos)} photos, {table.precision}, median of {rounds}"] = rows
    report.facts[name] = {
        "seconds": times,
        "cosine_min": cosine.min(),
        "cosine_mean": cosine.mean(),
        "photos": len(photos),
    }
    report.goals.append(Goal(f"{name}: times the photos/s of the plain loop", rows[1]["headstart is faster by"], goal))
    report.goals.append(Goal(f"{name}: mean cosine with its features", float(cosine.mean()), 0.999))
    report.goals.append(Goal(f"{name}: least cosine with its features", float(cosine.min()), 0.999))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def _probes(report: Report, backbone: Backbone, photos: Dataset) -> None:
    """Linear-probe accuracy on the test photos from either kind of features, with one and the same solver."""
    from headstart.features.extract import extract

    sides = {side: photos.subset(i for i, d in enumerate(photos.declared) if d == side) for side in ("train", "test")}
    fast = {side: extract(backbone, part) for side, part in sides.items()}
    plain = {side: replace(table, vectors=Plain()(list(sides[side].items))) for side, table in fast.items()}
    found = {"headstart": shared.linear_probe(**fast), "plain loop": shared.linear_probe(**plain)}
    report.tables["Linear probe on clothing, test accuracy"] = [
        {"features": k, "accuracy": v} for k, v in found.items()
    ]
    points = 100 * abs(found["headstart"] - found["plain loop"])
    report.goals.append(Goal("difference of the probes, points", points, 0.5, at_most=True))


def _cache(report: Report, backbone: Backbone, photos: Dataset, rounds: int) -> None:
    """The first run with an empty store and the second with the same one."""
    from headstart.features.extract import extract
    from headstart.store import Store

    times: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in times:
                store = Store(Path(folder) / "store.sqlite")
                times[name].append(shared.seconds(lambda store=store: extract(backbone, photos, store)))
    ratio = shared.median(times["first"]) / shared.median(times["second"])
    report.tables["Cache: features of clothing"] = [{"run": k, "seconds": shared.median(v)} for k, v in times.items()]
    report.facts["cache"] = times
    report.goals.append(Goal("second run from the cache is faster by", ratio, 30))


def phone_photos(photos: Dataset, count: int, folder: Path) -> Dataset:
    """12-megapixel JPEGs made from photos: enlarged, with a little noise so that they are not unnaturally smooth."""
    from PIL import Image

    chosen = photos.subset(range(0, len(photos), max(1, len(photos) // count))[:count])
    rng, paths = np.random.default_rng(0), []
    for number, path in enumerate(chosen.items):
        picture = Image.open(path).convert("RGB")
        size = PHONE if picture.width >= picture.height else PHONE[::-1]
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.int16)
        noisy = (pixels + rng.integers(-6, 7, pixels.shape, np.int16)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return replace(chosen, items=paths)


def _memory(report: Report, count: int) -> None:
    """The peak memory of extraction, each in a process of its own, over ``count`` and ten times as many photos."""
    rows: list[Row] = []
    for number in (count, 10 * count):
        shared.progress(f"memory: {number} photos")
        command = [sys.executable, __file__, "--memory", str(number)]
        found = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        )
        rows.append({"photos": number, **found, "beyond the features": found["growth"] - found["features"]})
    report.tables["Memory: growth of the peak while features are computed, MiB"] = rows
    more = rows[1]["beyond the features"] - rows[0]["beyond the features"]
    report.goals.append(Goal("memory that ten times the data takes beyond its features, MiB", more, 64, at_most=True))


def growth(count: int) -> dict[str, float]:
    """MiB by which the peak memory grows while the features of ``count`` files of different content are computed."""
    from headstart.data import read
    from headstart.features.extract import extract
    from headstart.models import load

    data, backbone = read(shared.data_folder("clothing")), load(str(shared.weights_folder()))
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for number in range(count):  # bytes behind the end of a JPEG change its content, not its picture
            paths.append(Path(name) / f"{number}.jpg")
            paths[-1].write_bytes(data.items[number % len(data)].read_bytes() + number.to_bytes(8))
        copies = replace(data, items=paths, names=[path.name for path in paths], labels=None, declared=None)
        extract(backbone, data.subset(range(128)))  # everything that is loaded and chosen once
        before = peak()
        table = extract(backbone, copies)
        return {"growth": peak() - before, "features": table.vectors.nbytes / MEBIBYTE}


def peak() -> float:
    """The largest resident memory so far, MiB.

    Linux's VmHWM: ``getrusage`` of a child starts at the peak of the process that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = MEBIBYTE if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", default=PARTS, help=f"Out of: {PARTS}.")
    parser.add_argument("--every", type=int, default=1, help="One photo in so many (default: 1, all of them).")
    parser.add_argument("--rounds", type=int, default=3, help="Of which the median counts (default: 3; quick: 1).")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)


if __name__ == "__main__":
    shared.main("extraction", __doc__, measure, extend)
