"""What every solver must do, whatever it is; new ones are found by their file."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from headstart import plugins, solvers
from headstart.models.backbone import Features
from headstart.solvers import Solver
from headstart.tasks._heads import build

NAMES = plugins.names("solvers")


def blobs(n: int, seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = 3 * np.random.default_rng(99).normal(size=(classes, 10))
    return (centres[labels] + rng.normal(size=(n, 10)) * 1.5 + 50).astype(np.float32), labels


def outputs(head: torch.nn.Module, vectors: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return head(Features(torch.from_numpy(vectors)))


@pytest.mark.parametrize("name", NAMES)
def test_learns_separated_classes(name: str) -> None:
    found = solvers.fit(name, *blobs(60, 0), 3)
    vectors, labels = blobs(300, 1)
    assert (outputs(found.head, vectors).argmax(1).numpy() == labels).mean() > 0.95
    assert found.accuracy > 0.9 and found.setting in found.tried


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_head_and_no_change_of_the_input(name: str) -> None:
    vectors, labels = blobs(40, 0)
    before = vectors.copy()
    one, other = (solvers.fit(name, vectors, labels, 3, seed=5).head for _ in range(2))
    assert np.array_equal(vectors, before)
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("name", NAMES)
def test_the_head_survives_saving(name: str) -> None:
    vectors, labels = blobs(40, 0)
    head = solvers.fit(name, vectors, labels, 3).head
    again = build(type(head).__name__, load(save({k: v.contiguous() for k, v in head.state_dict().items()})))
    assert torch.equal(outputs(head, vectors), outputs(again, vectors))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "classes"), [(2, 2), (3, 3), (5, 3), (400, 40)])
def test_small_tables_and_many_classes(name: str, n: int, classes: int) -> None:
    vectors, labels = blobs(n, 0, classes)
    found = outputs(solvers.fit(name, vectors, labels, classes).head, vectors)
    assert found.shape == (n, classes) and torch.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_begins_with_the_strongest(name: str) -> None:
    grid = plugins.variant("solvers", name, Solver).grid
    assert list(grid) == sorted(grid, reverse=True) and len(set(grid)) == len(grid)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_judged_one_by_one(name: str) -> None:
    vectors, labels = blobs(40, 0)
    head = solvers.fit(name, vectors, labels, 3).head
    alone = torch.cat([outputs(head, row[None]) for row in vectors])
    assert torch.allclose(alone, outputs(head, vectors), atol=1e-3)
