"""Augment texts: see what changes, then train on features of the texts and of an augmented view of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import headstart as hs
from headstart.data import augment
from headstart.views import viewed
from headstart.views.samples import samples

REVIEWS = {
    "good": ["a warm and funny film about friends", "the best movie of the year so far", "what a clever and moving story"],
    "bad": ["a dull film without any idea", "the plot of this movie is a mess", "what a long and boring story"],
}


def show(text: str, words: tuple[tuple[str, str], ...]) -> None:
    marks = {"same": "{}", "gone": "[-{}-]", "new": "[+{}+]"}
    print(f"  {text:20} {' '.join(marks[change].format(part) for change, part in words)}")


def main() -> None:
    pairs = [(text, label) for label, texts in REVIEWS.items() for text in texts]
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    data = hs.Dataset(texts, texts, labels, "text")
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "words.txt"
        words.write_text("film, movie, picture\ndull, boring, tedious\nfunny, witty, amusing\n", "utf-8")
        recipe = augment.steps("text", ("delete:0.2", "swap", f"synonym:0.2:source={words}"))
        for sample in samples(data, [(step.name, (step,)) for step in recipe], seed=1)[:2]:
            print(sample.label)
            for version in sample.versions:
                show(version.title, version.words)
        view = viewed(data, recipe, seed=1, view=0)  # a data set like any other; computed when somebody asks
        print(f"{np.mean([a != b for a, b in zip(view.items, texts, strict=True)]):.0%} of a view's texts are changed")


if __name__ == "__main__":
    main()
