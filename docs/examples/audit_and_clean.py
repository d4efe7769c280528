"""Plant three faults in a folder of drawings, find them, and write a cleaned copy."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import headstart as hs


def draw(label: str, rng: np.random.Generator) -> Image.Image:
    """A coloured disc or square on a noisy ground."""
    y, x = np.mgrid[:64, :64] - rng.uniform(24, 40, size=(2, 1, 1))
    inside = np.hypot(x, y) < 14 if label == "disc" else np.maximum(abs(x), abs(y)) < 13
    ground = rng.integers(0, 120, (64, 64, 3))
    return Image.fromarray(np.where(inside[..., None], rng.integers(120, 256, 3), ground).astype(np.uint8))


with tempfile.TemporaryDirectory() as place:
    photos, rng = Path(place, "photos"), np.random.default_rng(0)
    for side, count in (("train", 12), ("test", 6)):
        for label in ("disc", "square"):
            (photos / side / label).mkdir(parents=True)
            for i in range(count):
                draw(label, rng).save(photos / side / label / f"{i}.png")
    shutil.copy(photos / "test/disc/0.png", photos / "train/disc/seen.png")  # a test picture in training
    (photos / "train/disc/torn.png").write_bytes((photos / "train/disc/1.png").read_bytes()[:500])
    (photos / "train/Square").mkdir()  # a class in two spellings
    draw("square", rng).save(photos / "train/Square/0.png")

    found = hs.audit(photos, model=None, store=hs.Store(Path(place, "cache.sqlite")))  # the embedded model by default
    print(found)
    found.save(Path(place, "audit"))
    done = found.clean(Path(place, "clean"))
    print(done.counts(), "and then:", hs.audit(Path(place, "clean"), model=None).errors)
