"""Which of several tasks share a model, and what helps a target that has few labels?"""

import tempfile
from pathlib import Path

import numpy as np

import headstart as hs

rng = np.random.default_rng(0)
y, x = np.mgrid[:24, :24]
pictures, shapes, places = [], [], []
for number in range(90):
    shape, (row, column) = ("disc", "square")[number % 2], rng.uniform(8, 16, 2)
    distance = np.hypot(x - column, y - row) if shape == "disc" else np.maximum(abs(x - column), abs(y - row))
    pictures.append(np.where(distance < rng.uniform(4, 7), 200, 60) + rng.integers(-40, 40, (24, 24)))
    shapes.append(shape)
    places.append("left" if column < 12 else "right")
pictures = np.stack(pictures).astype(np.uint8)
approach = hs.FineTune(epochs=4, batch_size=8, start="random", tuning="last:1", augment="", balance="uncertainty")
model = "embedded:image?input_size=3,32,32"

with tempfile.TemporaryDirectory() as folder:
    both = (pictures, {"shape": shapes, "place": places})
    run = hs.fit(both, model, approach, together="auto", out=Path(folder) / "both", baseline="none")
    print("models:", run.result["together"]["groups"], "-", run.result["together"]["why"])
    print(run.predictor.predict(hs.read((pictures[:1], None)))[0].value)

    few, more = (pictures[:40], shapes[:40]), hs.read((pictures[40:], places[40:]))
    run = hs.fit(few, model, approach, helper="rotation", out=Path(folder) / "rotation", baseline="none")
    print("weight of rotation by epoch:", run.result["helpers"]["weights"]["rotation"])
    run = hs.fit(few, model, approach, helper={"place": more}, out=Path(folder) / "place", baseline="none")
    print("weight of place by epoch:", run.result["helpers"]["weights"]["place"])
