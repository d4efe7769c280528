import os
from pathlib import Path

import numpy as np
import pytest

from headstart.data.modalities import text as text_module
from headstart.data.modalities.text import Text
from headstart.errors import ConfigError, UnreadableError

text = Text()


class TestDecode:
    def test_files_bytes_and_texts(self, tmp_path: Path):
        (tmp_path / "a.txt").write_bytes("\ufeffGrüße\r\nund\rmehr".encode())
        assert text.decode(tmp_path / "a.txt") == "Grüße\nund\nmehr"
        assert text.decode(b"x\r\n") == "x\n"
        assert text.decode(" /etc/passwd ") == " /etc/passwd "

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (b"caf\xe9 au lait", r"no UTF-8 from byte 3 on \(0xe9.*save it as UTF-8"),
            (b"\xef\xbb\xbfcaf\xe9 au lait", r"no UTF-8 from byte 6 on \(0xe9"),
            ("hello".encode("utf-16"), "byte 0 on .*UTF-16"),
            (b"a\0b", "NUL at character 1"),
            ("a\0b", "NUL at character 1"),
            ("ab\ud800", "surrogate pair at character 2"),
            (b"", "holds no text .it is empty"),
            (" \n\t", "holds no text$"),
            (np.zeros(3), "is a ndarray; expected"),
        ],
    )
    def test_what_is_no_text(self, item, message):
        with pytest.raises(UnreadableError, match=f"row 3 cannot be read as a text: .*{message}"):
            text.decode(item, name="row 3")

    def test_missing_file(self, tmp_path: Path):
        with pytest.raises(UnreadableError, match="there is no such file"):
            text.decode(tmp_path / "gone.txt")

    def test_ten_million_characters_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        with pytest.raises(UnreadableError, match=r"10,000,000 characters, and the limit is 5,000,000.*cut it"):
            text.decode("a" * 10_000_000)
        monkeypatch.setattr(text_module, "MAX_CHARACTERS", 10)
        assert text.decode("ä" * 10) == "ä" * 10
        (tmp_path / "a.txt").write_bytes(b"a" * 44)  # not even read
        with pytest.raises(UnreadableError, match="44 bytes"):
            text.decode(tmp_path / "a.txt")


class TestAugment:
    words = " ".join(f"w{i}" for i in range(40))

    def test_delete_takes_a_tenth_and_keeps_the_order(self):
        rng = np.random.default_rng(0)
        many = [text.augment(self.words, rng, ("delete",)).split() for _ in range(100)]
        assert 0.07 < 1 - np.mean([len(words) for words in many]) / 40 < 0.13
        assert all(words == sorted(words, key=lambda w: int(w[1:])) for words in many)

    def test_swap_keeps_the_words(self):
        changed = text.augment(self.words, np.random.default_rng(0), ("swap",)).split()
        assert sorted(changed) == sorted(self.words.split())
        assert 2 <= sum(a != b for a, b in zip(changed, self.words.split(), strict=True)) <= 8

    def test_short_texts_never_vanish(self):
        for seed in range(50):
            assert text.augment("one two", np.random.default_rng(seed), ("delete", "swap"))
        assert text.augment(" one ", np.random.default_rng(0), ("delete", "swap")) == " one "

    def test_seed_and_unknown_recipe(self):
        same = [text.augment(self.words, np.random.default_rng(3), ("delete", "swap")) for _ in range(2)]
        assert same[0] == same[1] != self.words
        with pytest.raises(ConfigError, match="'crop'; there are: backtranslate, delete, swap, synonym"):
            text.augment("a b", np.random.default_rng(0), ("crop",))


def test_preview_is_a_short_excerpt():
    assert text.preview("two\n lines <b>") == "two lines <b>"
    long = text.preview("word " * 1000)
    assert len(long) <= 200
    assert long.endswith("word…")


class TestFingerprint:
    def alike(self, one: str, other: str) -> bool:
        return float(text.fingerprint(one) @ text.fingerprint(other)) >= text.fingerprint_threshold

    @pytest.mark.parametrize(
        "copy",
        ["i lost MY card", " I  lost\nmy card", "I lost my card!!", '"I lost, my card."', "I lost my ｃａｒｄ"],
    )
    def test_case_punctuation_and_white_space_do_not_count(self, copy):
        assert self.alike("I lost my card", copy)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("I lost my card", "I lost my cards"),
            ("I lost my card", "my card I lost"),
            ("yes", "no"),
            ("a fine film 😀", "a fine film 😡"),
            ("it costs $5", "it costs £5"),
            ("我丢了我的卡", "我丢了我的车"),
            ("How do I top up with my card in a shop?", "How do I pay with my card in a shop?"),
        ],
    )
    def test_another_meaning_is_another_text(self, one, other):
        assert not self.alike(one, other)

    def test_a_long_text_with_one_word_changed_is_a_copy(self):
        words = [f"word{i}" for i in range(60)]
        assert self.alike(" ".join(words), " ".join([*words[:30], "other", *words[31:]]))
        assert not self.alike(" ".join(words), " ".join(reversed(words)))

    def test_length_and_blank(self):
        vector = text.fingerprint("one two")
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert not text.fingerprint("?!").any()

    def test_it_is_the_same_everywhere(self):
        """Golden: computed when fingerprint-text-1 was introduced; other values need another space."""
        vector = text.fingerprint("I lost my card")
        assert np.flatnonzero(vector).tolist() == [28, 54, 60, 89, 206, 253]
        assert text.fingerprint_space == "fingerprint-text-1"


@pytest.mark.skipif("HEADSTART_DATA" not in os.environ, reason="HEADSTART_DATA does not point to real data")
def test_sentences_of_reviews_are_told_apart():
    from headstart.data import read

    items = read(Path(os.environ["HEADSTART_DATA"]) / "sst2" / "dev.csv").items
    prints = np.stack([text.fingerprint(item) for item in items])
    shouted = np.stack([text.fingerprint(f'"{str(item).upper()}!"') for item in items])
    assert ((prints * shouted).sum(axis=1) >= text.fingerprint_threshold).all()
    assert (np.triu(prints @ prints.T, 1) >= text.fingerprint_threshold).sum() == 0
