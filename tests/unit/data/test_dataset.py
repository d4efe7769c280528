from pathlib import Path

import numpy as np

from headstart.data.dataset import Sound, content


def test_kinds_never_collide_and_copies_do(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"ab")
    samples = np.zeros(2, np.float32)
    items = [
        tmp_path / "a",
        "ab",
        np.frombuffer(b"ab", np.uint8),
        Sound(samples, 8000),
        Sound(samples, 16000),
        Sound(samples[:1], 8000),
        {"a": 1.0},
        {"a": "1.0"},
        {"a": None},
        {"b": 1.0},
        "{}",
        {},
    ]
    assert len({content(item) for item in items}) == len(items)
    assert content(b"ab") == content(tmp_path / "a") == b"ab"


def test_pictures_keep_their_keys():
    """Golden: the keys under which features of pictures were stored since version 0.1."""
    assert content(np.zeros((1, 2), np.uint8)) == b"|u1(1, 2)\0\0"


def test_equal_rows_are_equal_in_any_order_and_type():
    assert content({"a": 1, "b": "x"}) == content({"b": "x", "a": np.float32(1)})
    assert content(Sound(np.zeros(2), 8000)) == content(Sound(np.zeros(2, np.float32), 8000))


def test_half_a_surrogate_pair_has_content():
    assert content("\ud800") != content("\ud801")


def test_a_sound_knows_its_size():
    sound = Sound(np.zeros(8000, np.float32), 16000)
    assert (sound.nbytes, sound.seconds) == (32000, 0.5)
