"""A checkpoint of your own: a folder with safetensors weights and a card.json that says how inputs are prepared."""

import json
import tempfile
from pathlib import Path

import numpy as np
import timm
from safetensors.torch import save_file

import headstart as hs

CARD = {
    "architecture": "timm/test_resnet",  # zoo/name: timm builds it, torchvision/... works in the same way
    "modality": "image",
    "weights": "model.safetensors",
    "input_size": [3, 32, 32],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "license": "CC0-1.0",
}

rng = np.random.default_rng(0)
labels = ["dark", "light"] * 20
levels = np.where(np.array(labels) == "light", 150, 60)
pictures = (levels[:, None, None] + rng.integers(0, 60, (40, 20, 20))).astype(np.uint8)

with tempfile.TemporaryDirectory() as temporary:
    place = Path(temporary)
    folder = place / "my_model"
    folder.mkdir()
    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), folder / "model.safetensors")

    # Without statistics the model is refused: guessing them would cost accuracy in silence.
    (folder / "card.json").write_text(json.dumps({k: v for k, v in CARD.items() if k not in ("mean", "std")}))
    try:
        hs.load_model(str(folder))
    except hs.HeadstartError as problem:
        print(f"{type(problem).__name__}: {problem}\n")

    (folder / "card.json").write_text(json.dumps(CARD))
    backbone = hs.load_model(str(folder))  # the old 5-class head is left out
    print(f"{backbone.reference.split(':')[0]}: {backbone.spec.dim} features, {len(backbone.stages)} stages")

    approach = hs.FineTune(epochs=1, tuning="last:2", augment="")
    run = hs.fit((pictures, labels), str(folder), approach, out=place / "run", baseline="none")
    print(f"kept epoch, by validation: {run.result['validation']['accuracy']:.2f}")
    for line in (place / "run" / "history.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "valid_accuracy" in row:  # other rows are notes
            print(f"  {row['stage']} epoch {row['epoch']}: validation accuracy {row['valid_accuracy']:.2f}")
