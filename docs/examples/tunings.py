"""Where does the transfer live, and what does it cost to move more or less of a network?"""

import tempfile
from pathlib import Path

import numpy as np

import headstart as hs

rng = np.random.default_rng(0)
y, x = np.mgrid[:24, :24]
pictures, labels = [], []
for number in range(48):
    name = ("disc", "square")[number % 2]
    row, column = rng.uniform(9, 15, 2)
    distance = np.hypot(x - column, y - row) if name == "disc" else np.maximum(abs(x - column), abs(y - row))
    pictures.append(np.where(distance < rng.uniform(5, 8), 200, 60) + rng.integers(-40, 40, (24, 24)))
    labels.append(name)
data = hs.read((np.stack(pictures).astype(np.uint8), labels))

found = hs.layers(data, "embedded:image", shots=8)
for depth in found.depths:
    print(f"{depth.stage:20} {depth.accuracy:.2f}")
print("auto takes", found.tuning)

with tempfile.TemporaryDirectory() as temporary:
    for tuning in ("auto", "last:2"):
        approach = hs.FineTune(tuning=tuning, augment="", epochs=1)
        out = Path(temporary) / tuning.replace(":", "-")
        run = hs.fit(data, "embedded:image", approach, shots=8, out=out, baseline="none")
        print(f"{tuning}: test accuracy {run.scores['accuracy']:.2f}, {run.result['seconds']['adapting']:.0f} s")
