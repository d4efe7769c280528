"""Seconds from a folder of photos to a trained and evaluated model: headstart, fastai, Hugging Face Trainer.

All start from the same MobileNetV2 weights and the same train, val and test folders, each in a process of its own.
The rivals get more epochs until they reach headstart's test accuracy, or the list of ``--epochs`` ends. Each is
also shown at its cheapest, with the backbone frozen. No augmentation by default: within a few epochs it only costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _shared as shared
from _shared import Goal, Report, Row

BATCH = 32
MEAN = STD = (0.5, 0.5, 0.5)  # as the card of the weights says
RIVALS = ("fastai fine_tune", "fastai frozen", "Trainer", "Trainer frozen")


def measure(options: argparse.Namespace) -> Report:
    if options.child:
        print(json.dumps(CHILDREN[options.child](options.photos, int(options.epochs), options.rate)))
        raise SystemExit
    with tempfile.TemporaryDirectory() as place:
        photos = few_photos(Path(place)) if options.quick else shared.data_folder("clothing")
        rows = [ours(photos, 1 if options.quick else 3)]
        for rival in options.rivals.split(","):
            rows += theirs(rival, photos, options, rows[0]["accuracy"])
    first = rows[0]["seconds in all"]
    report = Report({"From a folder to a trained and evaluated model": [
        {**row, "headstart is faster by": row["seconds in all"] / first} for row in rows]})  # fmt: skip
    for rival in options.rivals.split(","):
        last = [row for row in rows if row["way"] == rival][-1]  # it reached the accuracy, or got the most epochs
        report.goals.append(Goal(f"faster than {rival}, {last['epochs']} epochs (accuracy "
                                 f"{'reached' if last['reached'] else 'not reached'})", last["seconds in all"] / first, 10))  # fmt: skip
    return report


def ours(photos: Path, rounds: int) -> Row:
    """The median of several runs of the command, each with an empty cache."""
    runs: list[tuple[float, Row]] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "headstart", "fit", str(photos), "--model", str(shared.weights_folder()),
                       "--approach", "probe", "--baseline", "none", "--out", f"{folder}/run", "--json"]  # fmt: skip
            runs.append(run(command, {"HEADSTART_CACHE": f"{folder}/cache"}))
        shared.progress(f"headstart, run {number + 1}: {runs[-1][0]:.1f} s, {runs[-1][1]['scores']['accuracy']:.4f}")
    result = runs[0][1]
    return {"way": "headstart fit", "epochs": None, "seconds in all": shared.median([taken for taken, _ in runs]),
            "without start-up": shared.median([found["seconds"] for _, found in runs]),
            "accuracy": result["scores"]["accuracy"], "reached": True}  # fmt: skip


def theirs(rival: str, photos: Path, options: argparse.Namespace, wanted: float) -> list[Row]:
    """One row for each number of epochs, up to the first that reaches the wanted accuracy.

    Rows are kept beside the results as they come, and ``--resume`` does not measure them again.
    """
    kept = options.json.with_suffix(".partial.json")
    done: dict[str, Row] = json.loads(kept.read_text("utf-8")) if kept.exists() and options.resume else {}
    rows: list[Row] = []
    for epochs in [1] if options.quick else shared.numbers(options.epochs):
        key = f"{rival}, {epochs} epochs"
        if key not in done:
            command = [sys.executable, __file__, "--child", rival, "--photos", str(photos), "--epochs", str(epochs),
                       "--rate", str(options.rate)]  # fmt: skip
            taken, found = run(command, {})
            done[key] = {"way": rival, "epochs": epochs, "seconds in all": taken, "without start-up": found["seconds"],
                         "accuracy": found["accuracy"]}  # fmt: skip
            shared.write_json(kept, done)
        rows.append({**done[key], "reached": done[key]["accuracy"] >= wanted})
        shared.progress(f"{key}: {rows[-1]['seconds in all']:.1f} s, {rows[-1]['accuracy']:.4f}")
        if rows[-1]["reached"]:
            break
    return rows


def run(command: list[str], variables: dict[str, str]) -> tuple[float, Row]:
    """Wall-clock seconds of a command and the JSON object in the last line that it prints."""
    begun = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    taken = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return taken, json.loads(done.stdout.strip().splitlines()[-1])


def few_photos(place: Path) -> Path:
    """A few photos of each class and side."""
    for folder in sorted(shared.data_folder("clothing").glob("*/*")):
        target = place / folder.parent.name / folder.name
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir())[:4]:
            shutil.copy(path, target)
    return place


def fastai(photos: Path, epochs: int, rate: float, *, frozen: bool = False) -> Row:
    """``vision_learner(...).fine_tune(epochs)``: one frozen epoch, then so many of all layers; fastai chooses the rates."""
    from fastai.vision.all import ImageDataLoaders, Normalize, Resize, get_image_files, set_seed, vision_learner

    begun = time.perf_counter()
    set_seed(0)
    loaders = ImageDataLoaders.from_folder(
        photos, train="train", valid="val", bs=BATCH, item_tfms=Resize(224),
        batch_tfms=[Normalize.from_stats(MEAN, STD, cuda=False)], num_workers=2,
    )  # fmt: skip

    def mobilenet(pretrained: bool = True) -> Any:
        return shared.stock_network()

    learner = vision_learner(loaders, mobilenet, normalize=False)
    with learner.no_bar(), learner.no_logging():
        (learner.fit_one_cycle if frozen else learner.fine_tune)(epochs)
        files = get_image_files(photos / "test")
        probabilities, _ = learner.get_preds(dl=loaders.test_dl(files))
    predicted = [loaders.vocab[i] for i in probabilities.argmax(1)]
    right = sum(name == path.parent.name for name, path in zip(predicted, files, strict=True))
    return {"accuracy": right / len(files), "seconds": time.perf_counter() - begun}


def trainer(photos: Path, epochs: int, rate: float, *, frozen: bool = False) -> Row:
    """The Trainer of transformers around timm's network; AdamW with warm-up and a cosine."""
    import torch
    from torchvision import transforms
    from torchvision.datasets import ImageFolder
    from transformers import Trainer, TrainingArguments, set_seed

    begun = time.perf_counter()
    set_seed(0)
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    shape = transforms.Compose(
        [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224), *last]
    )
    parts = {side: ImageFolder(photos / side, shape) for side in ("train", "val", "test")}

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = shared.stock_network()
            self.network.requires_grad_(not frozen)
            self.network.reset_classifier(len(parts["train"].classes))

        def train(self, mode: bool = True) -> Classifier:
            super().train(mode)
            if frozen:  # its batch norms, too
                self.network.eval()
            return self

        def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
            logits = self.network(pixels)
            loss = {} if labels is None else {"loss": torch.nn.functional.cross_entropy(logits, labels)}
            return {**loss, "logits": logits}

    def collate(samples: list[tuple[torch.Tensor, int]]) -> dict[str, torch.Tensor]:
        pixels, labels = zip(*samples, strict=True)
        return {"pixels": torch.stack(pixels), "labels": torch.tensor(labels)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=epochs, per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH,
            learning_rate=10 * rate if frozen else rate, lr_scheduler_type="cosine", warmup_steps=10, eval_strategy="epoch",
            save_strategy="no", report_to="none", disable_tqdm=True, dataloader_num_workers=2, remove_unused_columns=False,
            label_names=["labels"], seed=0,
        )  # fmt: skip
        teacher = Trainer(
            Classifier(), arguments, data_collator=collate, train_dataset=parts["train"], eval_dataset=parts["val"]
        )
        teacher.train()
        found = teacher.predict(parts["test"])
    accuracy = float((found.predictions.argmax(1) == found.label_ids).mean())
    return {"accuracy": accuracy, "seconds": time.perf_counter() - begun}


CHILDREN = {
    "fastai fine_tune": fastai,
    "fastai frozen": lambda *given: fastai(*given, frozen=True),
    "Trainer": trainer,
    "Trainer frozen": lambda *given: trainer(*given, frozen=True),
}


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", default="1,2,3,4", help="Numbers of epochs to try, ascending (default: 1,2,3,4).")
    parser.add_argument("--rivals", default=",".join(RIVALS), help=f"Out of: {', '.join(RIVALS)}.")
    parser.add_argument(
        "--rate", type=float, default=5e-4, help="Learning rate of the Trainer; ten times it where frozen."
    )
    parser.add_argument(
        "--resume", action="store_true", help="Keep the rivals' rows that an interrupted run has measured."
    )
    parser.add_argument("--child", choices=RIVALS, help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)


if __name__ == "__main__":
    shared.main("time_to_probe", __doc__, measure, extend)
