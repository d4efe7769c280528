import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.features import extract as module
from headstart.features.extract import extract
from headstart.models.pictures import PictureBackbone
from headstart.store import Store
from tiny import backbone, dataset


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite")


@pytest.fixture(scope="module")
def made() -> PictureBackbone:
    return backbone()


def joined(*parts: Dataset) -> Dataset:
    items = [item for part in parts for item in part.items]
    labels = [label for part in parts for label in part.labels or []]
    return Dataset(items, [str(i) for i in range(len(items))], labels, "image")


def plain(made: PictureBackbone, samples: Dataset) -> np.ndarray:
    with torch.inference_mode():
        return made(made.prepare(samples.items)).vector.numpy()


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_features_are_those_of_the_backbone_in_order(made: PictureBackbone) -> None:
    samples = dataset(25)  # three batches, the last one partial
    table = extract(made, samples, fast=False)
    assert np.allclose(table.vectors, plain(made, samples), atol=1e-4)
    assert table.vectors.dtype == np.float32 and table.precision == "float32" and table.computed == len(table) == 75
    assert list(table.labels or []) == samples.labels and table.names == samples.names
    quick = extract(made, samples)
    assert cosines(quick.vectors, table.vectors).min() > 0.995


def test_batches_are_computed_beside_each_other_with_one_core_each(made: PictureBackbone) -> None:
    before = torch.get_num_threads()
    seen: list[tuple[threading.Thread, int]] = []
    handle = made.register_forward_hook(lambda *_: seen.append((threading.current_thread(), torch.get_num_threads())))
    samples = dataset(40)  # 120: more than three windows
    try:
        torch.set_num_threads(3)
        table = extract(made, samples, fast=False)
        assert {cores for _, cores in seen} == {1} and threading.main_thread() not in {thread for thread, _ in seen}
        assert torch.get_num_threads() == 3
        several, few = len(seen), extract(made, samples.subset(range(90)), fast=False)  # too few to busy three
        assert {(thread, cores) for thread, cores in seen[several:]} == {(threading.main_thread(), 3)}
    finally:
        handle.remove()
        torch.set_num_threads(before)
    assert np.allclose(table.vectors, plain(made, samples), atol=1e-4)
    assert np.allclose(few.vectors, table.vectors[:90], atol=1e-4)


def test_what_fails_beside_others_is_raised_and_leaves_the_cores_as_they_were(
    made: PictureBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: PictureBackbone, batch: torch.Tensor) -> None:
        raise MemoryError("no more")

    before = torch.get_num_threads()
    monkeypatch.setattr(PictureBackbone, "forward", broken)
    try:
        torch.set_num_threads(2)
        with pytest.raises(MemoryError, match="no more"):
            extract(made, dataset(40), fast=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_only_new_samples_are_computed(made: PictureBackbone, store: Store) -> None:
    first, ten = dataset(10, 1), dataset(5, 2).subset(range(10))
    one = extract(made, first, store)
    assert one.computed == 30
    again = extract(made, first, store)
    assert again.computed == 0 and np.array_equal(again.vectors, one.vectors)
    more = extract(made, joined(ten, first), Store(store.path))
    assert more.computed == 10
    assert np.array_equal(more.vectors[10:], one.vectors)
    assert cosines(more.vectors[:10], plain(made, ten)).min() > 0.995


def test_what_the_samples_are_called_does_not_matter(made: PictureBackbone, store: Store, tmp_path: Path) -> None:
    from PIL import Image

    for i, item in enumerate(dataset(2).items):
        Image.fromarray(item).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.glob("*.png"))
    files = Dataset(paths, [p.name for p in paths], None, "image")
    assert extract(made, files, store).computed == 6
    renamed = [path.rename(path.with_name(f"new{path.name}")) for path in paths]
    moved = Dataset([*renamed, renamed[0].read_bytes()], [*map(str, renamed), "bytes"], None, "image")
    assert extract(made, moved, store).computed == 0
    Image.fromarray(255 - dataset(2).items[0]).save(renamed[0])  # same name, other content
    assert extract(made, moved, store).computed == 1


def test_copies_are_computed_once(made: PictureBackbone) -> None:
    samples = dataset(3)
    table = extract(made, joined(samples, samples, samples))
    assert table.computed == 9
    assert np.array_equal(table.vectors[:9], table.vectors[9:18])


def test_other_weights_or_preprocessing_are_computed_anew(store: Store) -> None:
    samples = dataset(2)
    assert extract(backbone(), samples, store).computed == 6
    assert extract(backbone(), samples, store).computed == 0
    assert extract(backbone(seed=1), samples, store).computed == 6
    other = backbone()
    other.card = other.card.replace(interpolation="nearest")
    assert extract(other, samples, store).computed == 6
    assert extract(backbone(), samples, store, fast=False).computed in (0, 6)


def test_features_of_another_precision_are_computed_anew(
    made: PictureBackbone, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEADSTART_PRECISION=float32 must not be answered with what was kept in bfloat16."""
    for narrow in (True, False):
        monkeypatch.setattr(module, "uses_bfloat16", lambda _, narrow=narrow: narrow)
        assert [extract(made, dataset(2), store).computed for _ in range(2)] == [6, 0]
    monkeypatch.setattr(module, "uses_bfloat16", lambda _: True)
    assert extract(made, dataset(2), store).computed == 0


def test_a_fast_path_that_disagrees_is_given_up_and_said(
    made: PictureBackbone, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    monkeypatch.setattr(PictureBackbone, "fast", lambda self: backbone(seed=5))
    samples = dataset(4)
    table = extract(made, samples, store)
    assert ["decoding pictures whole" in text for text in said] == [True, False]
    assert ["computing in float32" in text for text in said] == [False, True]
    assert table.precision == "float32" and np.allclose(table.vectors, plain(made, samples), atol=1e-4)
    monkeypatch.undo()
    assert cosines(extract(made, samples, store).vectors, plain(made, samples)).min() > 0.995  # no wrong ones were kept
    assert extract(made, samples, store, fast=False).computed == 0  # the plain ones were, as what they are


def test_a_broken_store_does_not_stop_the_work(made: PictureBackbone, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"broken" * 1000)
    table = extract(made, dataset(2), Store(path))
    assert table.computed == 6 and np.array_equal(table.vectors, extract(made, dataset(2)).vectors)


def test_the_limit_holds_and_the_features_are_right_all_the_same(made: PictureBackbone, tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite", limit=10 * 4 * made.spec.dim)  # ten samples
    samples = dataset(12)
    wanted = extract(made, samples).vectors
    for _ in range(2):
        assert np.array_equal(extract(made, samples, store).vectors, wanted)
        assert store.size() <= store.limit


def test_the_backbone_stays_as_it_is(made: PictureBackbone) -> None:
    before = {name: value.clone() for name, value in made.state_dict().items()}
    extract(made.train(), dataset(2))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_no_samples(made: PictureBackbone) -> None:
    assert extract(made, Dataset([], [], None, "image")).vectors.shape == (0, made.spec.dim)
