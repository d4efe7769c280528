import io
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from headstart.data import Dataset, Sound, duplicates, read
from headstart.data.duplicates import Scan, clusters, drop_unreadable, joined, scan
from headstart.errors import UnreadableError


class Shelf:
    """A store in memory."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[bytes, bytes]] = {}

    def get_many(self, space: str, keys: list[bytes]) -> dict[bytes, bytes]:
        held = self.spaces.get(space, {})
        return {key: held[key] for key in keys if key in held}

    def put_many(self, space: str, blobs: dict[bytes, bytes]) -> None:
        self.spaces.setdefault(space, {}).update(blobs)


def jpeg(value: np.ndarray, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(value).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def noise(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(PIL.Image.fromarray(cells).resize((120, 90), PIL.Image.Resampling.BICUBIC))


def dataset(*items) -> Dataset:
    return Dataset(list(items), [f"sample {i}" for i in range(len(items))], None, "image")


def test_exact_and_near_copies_share_a_cluster():
    data = dataset(jpeg(noise(0)), jpeg(noise(1)), jpeg(noise(0), 60), jpeg(noise(1)), noise(0), jpeg(noise(2)))
    assert clusters(scan(data)).tolist() == [0, 1, 0, 1, 0, 5]


def test_blank_pictures_match_exactly_only():
    white, grey = np.full((60, 60, 3), 255, np.uint8), np.full((60, 60, 3), 200, np.uint8)
    assert clusters(scan(dataset(white, grey, white.copy(), white[:50]))).tolist() == [0, 1, 0, 3]


def test_a_second_scan_decodes_nothing():
    shelf, data = Shelf(), dataset(jpeg(noise(0)), noise(1), jpeg(noise(0)), b"broken")
    first = scan(data, shelf)
    assert first.decoded == 4
    assert list(shelf.spaces) == ["fingerprint-image-1"]
    again = scan(data, shelf)
    assert again.decoded == 1  # the broken one, for it has no fingerprint
    assert np.array_equal(first.fingerprints, again.fingerprints)
    assert first.unreadable == again.unreadable


def test_many_blocks_give_the_clusters_of_one():
    rng = np.random.default_rng(0)
    prints = rng.standard_normal((2500, 32)).astype(np.float32)
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    prints[2400] = prints[3]
    prints[1500] = prints[3]
    found = clusters(Scan(tuple(i.to_bytes(4, "big") for i in range(2500)), prints, {}, 0.98))
    assert np.flatnonzero(found == 3).tolist() == [3, 1500, 2400]
    assert len(np.unique(found)) == 2498


def test_clusters_of_nothing():
    assert clusters(scan(dataset())).tolist() == []


def test_joined_follows_chains():
    assert joined(np.array([5, 6, 5, 7, 8]), np.array([[2, 3]])).tolist() == [0, 1, 0, 0, 4]


class TestUnreadable:
    def data(self, tmp_path: Path) -> Dataset:
        (tmp_path / "empty.jpg").write_bytes(b"")
        return dataset(jpeg(noise(0)), tmp_path / "empty.jpg", tmp_path / "gone.jpg", jpeg(noise(1))[:900])

    def test_the_scan_says_why(self, tmp_path):
        found = scan(self.data(tmp_path))
        assert list(found.unreadable) == [1, 2, 3]
        assert found.unreadable[1] == "it is empty (0 bytes)"
        assert found.unreadable[2] == "there is no such file"
        assert not found.fingerprints[1:].any()
        assert clusters(found).tolist() == [0, 1, 2, 3]

    def test_error(self, tmp_path):
        data = self.data(tmp_path)
        with pytest.raises(UnreadableError, match=r"3 of 4.*sample 1 \(it is empty.*--on-bad skip") as caught:
            drop_unreadable(data, scan(data), "error")
        assert caught.value.names == ["sample 1", "sample 2", "sample 3"]

    def test_skip(self, tmp_path):
        data = self.data(tmp_path)
        kept = drop_unreadable(data, scan(data), "skip")
        assert kept.names == ["sample 0"]
        assert kept.notes[-1] == "3 of 4 samples cannot be read and were left out: sample 1, sample 2, sample 3"

    def test_nothing_left(self):
        data = dataset(b"x", b"y")
        with pytest.raises(UnreadableError, match="none is left"):
            drop_unreadable(data, scan(data), "skip")

    def test_nothing_wrong(self):
        data = dataset(jpeg(noise(0)))
        assert drop_unreadable(data, scan(data), "error") is data


class TestOtherKinds:
    def test_texts(self):
        items = ["I lost my card", "i lost MY card!", "I lost my cards", " ", b"I lost my card"]
        data = Dataset(items, [f"row {i}" for i in range(5)], None, "text")
        found = scan(data)
        assert clusters(found).tolist() == [0, 0, 2, 3, 0]
        assert found.unreadable == {3: "it holds no text"}
        assert drop_unreadable(data, found, "skip").notes == ("1 of 5 samples cannot be read and were left out: row 3",)

    def test_rows(self):
        data = Dataset([{"a": 1.0}, {"a": 2.0}, {"a": 1}], ["r"] * 3, None, "table")
        assert clusters(scan(data)).tolist() == [0, 1, 0]

    def test_findings_are_told_also_from_the_store(self):
        rng = np.random.default_rng(0)
        quiet = [Sound(np.full(n, 1e-5, np.float32), 8000) for n in (900, 901)]
        loud = Sound(np.sign(rng.standard_normal(900)).astype(np.float32), 8000)
        fine = Sound(rng.uniform(-0.5, 0.5, 900).astype(np.float32), 8000)
        data = Dataset([*quiet, fine, loud], ["a", "b", "c", "d"], None, "audio")
        shelf = Shelf()
        expected = ("1 recording is clipped: d", "2 recordings are silent: a, b")
        for decoded in (4, 0):
            found = scan(data, shelf)
            assert found.decoded == decoded
            assert drop_unreadable(data, found, "error").notes == expected
        assert clusters(found).tolist() == [0, 1, 2, 3]

    def test_large_files_are_read_again(self, tmp_path, monkeypatch):
        monkeypatch.setattr(duplicates, "HELD", 3)
        (tmp_path / "a.txt").write_text("hello there")
        data = Dataset([tmp_path / "a.txt", "Hello there."], ["a", "b"], None, "text")
        assert clusters(scan(data)).tolist() == [0, 0]


@pytest.mark.skipif("HEADSTART_DATA" not in os.environ, reason="HEADSTART_DATA does not point to real data")
def test_the_copies_in_a_well_known_set_are_found():
    """45 copies when the threshold was set; the pairs near it were looked at."""
    found = clusters(scan(read(Path(os.environ["HEADSTART_DATA"]) / "brain-mri")))
    assert 40 <= len(found) - len(np.unique(found)) <= 50
