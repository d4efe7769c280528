"""A table with one picture a row, and patients that must not be split: none has pictures on two sides."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image

import headstart as hs


def draw(folder: Path, patients: int, pictures: int) -> Path:
    """``scans.csv`` with the columns file, finding and patient, and the PNG files that it names."""
    rng, rows = np.random.default_rng(0), []
    for patient in range(patients):
        finding = ("clear", "spot")[patient % 2]
        for number in range(pictures):
            scan = rng.integers(0, 90, (24, 24), dtype=np.uint8)
            if finding == "spot":
                top, left = rng.integers(2, 14, 2)
                scan[top : top + 8, left : left + 8] += 150
            name = f"{patient}_{number}.png"
            Image.fromarray(scan).save(folder / name)
            rows.append({"file": name, "finding": finding, "patient": f"patient {patient}"})
    with (folder / "scans.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["file", "finding", "patient"])
        table.writeheader()
        table.writerows(rows)
    return folder / "scans.csv"


with tempfile.TemporaryDirectory() as temporary:
    place = Path(temporary)
    scans = draw(place, patients=12, pictures=4)
    run = hs.fit(
        scans, approach=hs.Probe(head="ridge"), out=place / "run", baseline="none", labels="finding", group="patient"
    )
    print("samples of each class:", run.result["data"]["counts"])
    print(f"test accuracy {run.scores['accuracy']:.2f}, interval {run.scores['accuracy_interval']}")

    # predictions.parquet has one row a test picture: every patient in it is there with all four pictures
    names = parquet.read_table(place / "run" / "predictions.parquet")["name"].to_pylist()
    tested = [name.split("_")[0] for name in names]
    assert all(tested.count(patient) == 4 for patient in tested)
    print("patients kept for the test:", *sorted(set(tested), key=int))
