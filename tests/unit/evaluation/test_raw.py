import numpy as np
import pytest

import tiny_models
from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.evaluation.raw import raw_probabilities
from tiny import task

NAMES = plugins.names("evaluation.raw")


@pytest.mark.parametrize("modality", NAMES)
def test_matrices_and_probabilities(modality: str) -> None:
    parts = tiny_models.split(modality)
    module = plugins.load("evaluation.raw", modality)
    train, test = module.matrices(parts.train, parts.test)
    assert train.dtype == test.dtype == np.float32 and train.shape[1] == test.shape[1]
    assert len(train) == len(parts.train) and len(test) == len(parts.test) and np.isfinite(train).all()
    assert module.NAME and module.TITLE.startswith("a linear model on") and module.WHAT
    found = raw_probabilities(task(), parts, 0)
    assert found.shape == (len(parts.test), 3) and np.allclose(found.sum(1), 1)


@pytest.mark.parametrize(("modality", "least"), [("text", 0.9), ("audio", 0.9)])
def test_what_the_words_and_the_tones_tell_is_found(modality: str, least: float) -> None:
    parts = tiny_models.split(modality)
    found = raw_probabilities(task(), parts, 0).argmax(1)
    assert (found == task().encode(parts.test.labels or [])).mean() >= least


def test_every_modality_with_pretrained_models_has_a_baseline() -> None:
    assert set(NAMES) == set(plugins.names("data.modalities")) - {"table"}


def test_words_of_the_test_texts_are_not_learned() -> None:
    def texts(*items: str) -> Dataset:
        return Dataset(list(items), [str(i) for i in range(len(items))], None, "text")

    module = plugins.load("evaluation.raw", "text")
    train, test = module.matrices(texts("a b", "b c :)"), texts("d e f", "a b"))
    assert (
        not test[0].any() and np.allclose(np.linalg.norm(test[1]), 1) and train.shape[1] == 9
    )  # a, b, c, :, ) and four pairs
