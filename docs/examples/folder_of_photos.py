"""A folder of class folders: adapt a model, look at the scores, predict, save and load.

The pictures are drawn here so that the script runs anywhere; put your own folder in their place.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import headstart as hs


def draw(folder: Path, per_class: int, seed: int) -> Path:
    """``folder/stripes/0.png``, ``folder/checks/0.png``, ...: 24 x 24 pixels in any two colours."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    for name in ("checks", "stripes"):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            width, shift = rng.integers(3, 6), rng.integers(0, 24)
            columns = (x + shift) // width % 2
            inside = columns ^ (y // width % 2) if name == "checks" else columns
            ground, ink = rng.integers(0, 110, 3), rng.integers(140, 256, 3)
            picture = np.where(inside[..., None] == 1, ink, ground) + rng.integers(-30, 30, (24, 24, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


with tempfile.TemporaryDirectory() as temporary:
    place = Path(temporary)
    photos = draw(place / "photos", per_class=20, seed=0)

    # approach="auto" (the default) would also fine-tune; baseline="none" skips the verdict, for speed.
    run = hs.fit(photos, model="embedded:image", approach="probe", out=place / "run", baseline="none")
    print("because", *run.result["reasons"], sep="\n  ")
    print(f"test accuracy {run.scores['accuracy']:.2f}, verdict: {run.verdict}")

    others = hs.evaluate(run, draw(place / "others", per_class=5, seed=1))
    print(f"other pictures: {others['samples']}, accuracy {others['accuracy']:.2f}")

    run.predictor.save(place / "model")  # safetensors and JSON, no pickle
    found = hs.load(place / "model").predict([place / "others" / "checks" / "0.png"])[0]
    print(f"{Path(found.name).name}: {found.label} ({found.probability:.2f})")
