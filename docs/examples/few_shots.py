"""How many labels are enough? The same data at 2 and 8 training pictures a class.

The second run computes only the features that the first did not: the cache goes by content.
"""

import tempfile
from pathlib import Path

import numpy as np

import headstart as hs

rng = np.random.default_rng(0)
y, x = np.mgrid[:24, :24]
pictures, labels = [], []
for number in range(60):
    name = ("disc", "ring", "square")[number % 3]
    row, column = rng.uniform(9, 15, 2)
    radius = rng.uniform(5, 8)
    distance = np.hypot(x - column, y - row)
    inside = {
        "disc": distance < radius,
        "ring": abs(distance - radius) < 1.5,
        "square": np.maximum(abs(x - column), abs(y - row)) < radius,
    }[name]
    pictures.append(np.where(inside, 200, 60) + rng.integers(-40, 40, (24, 24)))
    labels.append(name)

data = hs.read((np.stack(pictures).astype(np.uint8), labels))  # arrays: (n, height, width) and n labels
print(data.counts())

with tempfile.TemporaryDirectory() as temporary:
    for shots in (2, 8):
        run = hs.fit(data, approach="probe", shots=shots, out=Path(temporary) / str(shots), baseline="none")
        low, high = run.scores["accuracy_interval"]
        print(f"{shots:2} a class: test accuracy {run.scores['accuracy']:.2f} [{low:.2f}, {high:.2f}]")
