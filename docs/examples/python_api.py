"""The parts by themselves: features as a table for any library, and the verdict on any two sets of predictions."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import headstart as hs

rng = np.random.default_rng(0)
y, x = np.mgrid[:24, :24]
labels = np.array(["falling", "rising"] * 60)
pictures = []
for label in labels:
    diagonal = x + y if label == "falling" else x - y
    wave = np.sin(diagonal / rng.uniform(1.5, 3) + rng.uniform(0, 6))
    pictures.append((128 + 60 * wave + rng.normal(0, 40, (24, 24))).clip(0, 255).astype(np.uint8))
data = hs.read((np.stack(pictures), labels.tolist()))

# 1. A backbone turns pictures into vectors; with a Store, what was computed once is never computed again.
backbone = hs.load_model("embedded:image")
store = hs.Store()
table = hs.extract(backbone, data, store)
again = hs.extract(backbone, data, store)
print(f"{len(table)} x {table.vectors.shape[1]} features; computed {table.computed}, then {again.computed}")

# 2. Any classifier takes them. Standardise with the statistics of the training part.
raw = np.stack([np.asarray(item, float).ravel() / 255 for item in data.items])
train, test = train_test_split(np.arange(len(data)), test_size=0.4, random_state=0, stratify=labels)


def predictions(vectors: np.ndarray) -> np.ndarray:
    mean, std = vectors[train].mean(0), vectors[train].std(0) + 1e-6
    scaled = (vectors - mean) / std
    return LogisticRegression(C=0.01, max_iter=500).fit(scaled[train], labels[train]).predict(scaled[test])


# 3. The verdict compares class numbers on the same test samples.
classes = data.classes
number = {name: i for i, name in enumerate(classes)}
encoded = {key: np.array([number[name] for name in predictions(v)]) for key, v in (("a", table.vectors), ("b", raw))}
found = hs.verdict(
    encoded["a"],
    {"pixels": encoded["b"]},
    np.array([number[name] for name in labels[test]]),
    titles={"pixels": "a linear model on raw pixels"},
    classes=classes,
)
print(found)
for name, row in found.per_class.items():
    print(f"  {name}: {row['answer']} ({100 * row['gain']:+.0f} points)")
