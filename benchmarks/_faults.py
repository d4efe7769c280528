"""Plant faults in a copy of real data and keep the truth: which samples, which fault."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Truth = dict[str, set[str]]  # fault -> names of the samples that have it
SYNONYMS = """film, movie, picture
funny, amusing, comical
good, fine, decent
bad, poor, awful
great, excellent, superb
story, tale
boring, dull, tedious
makes, renders
movie, film
best, finest
love, affection
comedy, farce
director, filmmaker
performance, acting
interesting, intriguing
beautiful, gorgeous
sad, sorrowful
little, small
big, large
never, not ever
really, truly
almost, nearly
enough, sufficiently
much, a lot
work, effort
feel, sense
script, screenplay
moments, instants
entertaining, diverting
characters, figures
"""


@dataclass
class Planted:
    """A data set with faults.

    Attributes:
        place: folder or table to audit.
        truth: names, as the audit calls them, by fault.
        pairs: for copies, which test sample each was made from.
    """

    place: Path
    truth: Truth = field(default_factory=lambda: defaultdict(set))
    pairs: dict[str, str] = field(default_factory=dict)


def photos(source: Path, place: Path, count: int, flips: float, seed: int, per_class: int = 0) -> Planted:
    """train/ and test/ of a folder of photos; ``count`` copies of each kind, a share ``flips`` of wrong labels."""
    from PIL import Image

    found, rng = Planted(place), np.random.default_rng(seed)
    for side in ("train", "test"):
        subset(source / side, place / side, per_class)
    flip(found, sorted((place / "train").glob("*/*.*")), flips, rng)
    tests = sorted((place / "test").glob("*/*.*"))
    chosen = [tests[i] for i in rng.permutation(len(tests))[: 3 * count]]
    for number, path in enumerate(chosen):
        picture = Image.open(path).convert("RGB")
        kind = ("re-encoded", "cropped", "mirrored and cropped")[number % 3]
        if kind == "re-encoded":
            picture = picture.resize((int(picture.width * 0.8), int(picture.height * 0.8)))
        else:
            left, top = (int(n * rng.uniform(0.05, 0.2)) for n in picture.size)
            right, bottom = (int(n * rng.uniform(0.8, 0.95)) for n in picture.size)
            picture = picture.crop((left, top, right, bottom)).resize(picture.size)
        if kind.startswith("mirrored"):
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        copy = place / "train" / path.parent.name / f"again-{number}.jpg"
        picture.save(copy, quality=60)
        _note(found, kind, copy, path)
    if not count:
        return found
    _spell(found, rng, 15)
    for path in _some(found, rng, 12):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * rng.uniform(0.3, 0.9))])
        found.truth["cut short"].add(_name(found, path))
    return found


def subset(source: Path, place: Path, per_class: int) -> None:
    """A copy of class folders with the first files of each; 0: all of them."""
    for folder in sorted(source.iterdir()):
        (place / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[: per_class or None]:
            shutil.copy2(path, place / folder.name / path.name)


def sounds(source: Path, place: Path, count: int, flips: float, seed: int) -> Planted:
    """esc10 with its fifth fold as test side. Clips of one source (A, B, C) are moved across as the leaked group."""
    import soundfile

    found, rng = Planted(place), np.random.default_rng(seed)
    for path in sorted(source.glob("*/*.ogg")):
        side = "test" if path.name[0] == "5" else "train"
        (place / side / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place / side / path.parent.name / path.name)
    by_source = defaultdict(list)
    for path in sorted((place / "test").glob("*/*.ogg")):
        by_source[path.name.split("-")[1]].append(path)
    several = [paths for paths in by_source.values() if len(paths) > 1]
    for paths in several[: count // 4]:
        moved = place / "train" / paths[0].parent.name / paths[0].name
        paths[0].rename(moved)
        found.truth["leaked group"].add(_name(found, moved))
    flip(found, sorted((place / "train").glob("*/*.*")), flips, rng)
    tests = sorted((place / "test").glob("*/*.ogg"))
    chosen = [tests[i] for i in rng.permutation(len(tests))[: 2 * count]]
    for number, path in enumerate(chosen):
        samples, rate = soundfile.read(path, dtype="float32")
        kind = ("re-encoded", "moved in time")[number % 2]
        if kind == "moved in time":
            samples = np.roll(samples, int(rate * rng.uniform(0.2, 1.5)) * int(rng.choice([-1, 1])))
        copy = place / "train" / path.parent.name / f"1-{900000 + number}-A.ogg"
        buffer = io.BytesIO()
        soundfile.write(buffer, 0.7 * samples, rate, format="OGG", subtype="VORBIS", compression_level=0.8)
        copy.write_bytes(buffer.getvalue())
        _note(found, kind, copy, path)
    if not count:
        return found
    _spell(found, rng, 8)
    for path in _some(found, rng, 8):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * rng.uniform(0.3, 0.9))])
        found.truth["cut short"].add(_name(found, path))
    return found


def sentences(source: Path, place: Path, count: int, flips: float, seed: int, rows: int) -> Planted:
    """``rows`` training sentences of sst2 and a third as many test sentences in one table with a column ``split``."""
    from headstart.data.augment.text.swap import Swap
    from headstart.data.augment.text.synonym import Synonym

    place.mkdir(parents=True)
    found, rng = Planted(place / "reviews.csv"), np.random.default_rng(seed)
    (place / "synonyms.txt").write_text(SYNONYMS, "utf-8")
    synonym, swap = Synonym(0.2, str(place / "synonyms.txt")), Swap(0.1)
    table: list[list[str]] = []
    for name, limit in (("train", rows), ("test", rows // 3)):
        with (source / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        table += [[lines[i]["text"], lines[i]["label"], name] for i in rng.permutation(len(lines))[:limit]]
    train = [i for i, row in enumerate(table) if row[2] == "train"]
    for i in rng.permutation(train)[: round(flips * len(train))]:
        table[i][1] = "negative" if table[i][1] == "positive" else "positive"
        found.truth["wrong label"].add(f"row {i + 1}")
    tests = [i for i, row in enumerate(table) if row[2] == "test" and len(row[0].split()) >= 8]
    chosen = [int(i) for i in rng.permutation(tests)[: 4 * count]]
    for number, i in enumerate(chosen):
        text, label, _ = table[i]
        kind = ("other case and signs", "words swapped", "synonyms", "synonyms and swapped")[number % 4]
        if kind == "other case and signs":
            text = re.sub(r" ([.,!?;:])", r"\1", text).capitalize() + " !"
        if "synonyms" in kind:
            text = synonym.apply(text, rng)
        if "swapped" in kind:
            text = swap.apply(text, rng)
        table.append([text, label, "train"])
        found.truth[kind].add(f"row {len(table)}")
        found.pairs[f"row {len(table)}"] = f"row {i + 1}"
    free = [i for i in train if f"row {i + 1}" not in found.truth["wrong label"]]
    for i in rng.permutation(free)[:20]:
        table[i][1] = table[i][1].upper()
        found.truth["label in another case"].add(f"row {i + 1}")
    with found.place.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label", "split"], *table])
    return found


def flip(found: Planted, files: list[Path], share: float, rng: np.random.Generator) -> None:
    """Files move to another class folder, under a new name, so that nothing but the content tells."""
    classes = sorted({path.parent.name for path in files})
    for i in rng.permutation(len(files))[: round(share * len(files))]:
        path = files[i]
        other = str(rng.choice([name for name in classes if name != path.parent.name]))
        moved = path.parent.parent / other / path.name
        path.rename(moved)
        found.truth["wrong label"].add(_name(found, moved))


def _spell(found: Planted, rng: np.random.Generator, count: int) -> None:
    """Some files of one training class move to the same class in capitals."""
    folder = sorted((found.place / "train").iterdir())[0]
    (found.place / "train" / folder.name.upper()).mkdir()
    for path in _some(found, rng, count, folder):
        moved = found.place / "train" / folder.name.upper() / path.name
        path.rename(moved)
        found.truth["label in another case"].add(_name(found, moved))


def _some(found: Planted, rng: np.random.Generator, count: int, folder: Path | None = None) -> list[Path]:
    """Training files without a fault so far."""
    taken = set().union(*found.truth.values())
    files = sorted((folder or found.place / "train").glob("*.*" if folder else "*/*.*"))
    free = [path for path in files if _name(found, path) not in taken]
    return [free[i] for i in rng.permutation(len(free))[:count]]


def _note(found: Planted, kind: str, copy: Path, origin: Path) -> None:
    found.truth[kind].add(_name(found, copy))
    found.pairs[_name(found, copy)] = _name(found, origin)


def _name(found: Planted, path: Path) -> str:
    return path.relative_to(found.place).as_posix()
