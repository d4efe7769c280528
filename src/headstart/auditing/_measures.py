"""What can be measured of a sample without a model: sizes, brightness, loudness, numbers of words."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset, Item, Sound
from headstart.data.duplicates import BlobStore, Scan
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError
from headstart.progress import track

CHUNK = 512  # samples between two writes to the store
THUMBNAIL = 64  # pixels of the shorter side that are looked at
Measure = Callable[[Any], dict[str, float]]


def measures(dataset: Dataset, scan: Scan, store: BlobStore | None) -> dict[str, np.ndarray]:
    """Quantities by name, float64 (n,), NaN where a sample cannot be read. Kept by content, like features.

    - image: width, height (of the file), red, green, blue (means in [0, 1]), low, high (1st and 99th percentile)
    - audio: seconds, rate, peak, loudness (root mean square, dB of full scale)
    - text: characters, words
    """
    measure = MEASURES.get(dataset.modality)
    if measure is None:
        return {}
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    space = f"measures-{dataset.modality}-1"
    chunks = [range(i, min(i + CHUNK, len(dataset))) for i in range(0, len(dataset), CHUNK)]
    found: list[dict[str, float]] = []
    with ThreadPoolExecutor(4) as pool:
        for rows in track(chunks, "measuring"):
            keys = [scan.keys[i] for i in rows]
            known = store.get_many(space, [key for key in dict.fromkeys(keys) if key]) if store else {}
            todo = [i for i in rows if scan.keys[i] not in known and i not in scan.unreadable]

            def one(i: int) -> dict[str, float]:
                try:
                    return measure(modality.decode(dataset.items[i], THUMBNAIL, dataset.names[i]))
                except UnreadableError:  # it could be read a moment ago
                    return {}

            fresh = dict(zip(todo, pool.map(one, todo), strict=True))
            if dataset.modality == "image":
                for i in todo:
                    fresh[i] |= _extent(dataset.items[i])
            if store:
                store.put_many(space, {scan.keys[i]: json.dumps(row).encode() for i, row in fresh.items()})
            found += [fresh[i] if i in fresh else json.loads(known.get(scan.keys[i], b"{}")) for i in rows]
    names = list(dict.fromkeys(name for row in found for name in row))
    return {name: np.array([row.get(name, np.nan) for row in found], dtype=np.float64) for name in names}


def _picture(value: np.ndarray) -> dict[str, float]:
    red, green, blue = (value.reshape(-1, 3).mean(axis=0, dtype=np.float64) / 255).tolist()
    low, high = (np.percentile(value, [1, 99]) / 255).tolist()
    return {"red": red, "green": green, "blue": blue, "low": low, "high": high, "deviation": float(value.std()) / 255}


def _extent(item: Item) -> dict[str, float]:
    """Width and height in pixels, from the header alone; nothing where Pillow refuses the file."""
    import PIL.Image

    if isinstance(item, np.ndarray):
        return {"width": float(item.shape[1]), "height": float(item.shape[0])}
    assert isinstance(item, (Path, bytes))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large pictures warn; whether they are too large was decided by decoding
            with PIL.Image.open(item if isinstance(item, Path) else io.BytesIO(item)) as picture:
                return {"width": float(picture.width), "height": float(picture.height)}
    except Exception:  # above Pillow's own limit of size, which is no fault of the sample
        return {}


def _sound(value: Sound) -> dict[str, float]:
    power = float(np.mean(np.square(value.samples, dtype=np.float64)))
    return {
        "seconds": value.seconds,
        "rate": float(value.rate),
        "peak": float(np.abs(value.samples).max()),
        "loudness": 10 * float(np.log10(power + 1e-12)),
    }


def _text(value: str) -> dict[str, float]:
    return {"characters": float(len(value)), "words": float(len(value.split()))}


MEASURES: dict[str, Measure] = {"image": _picture, "audio": _sound, "text": _text}
