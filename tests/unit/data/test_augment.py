"""Single augmentations against what others compute, and laws that only one of them obeys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.data import augment
from headstart.data.augment.audio.crop import Crop
from headstart.data.augment.audio.specaugment import MASKS, SpecAugment, mel
from headstart.data.augment.image.colour import recoloured
from headstart.data.augment.image.negative import Negative
from headstart.data.augment.image.randaugment import NAMES, changed
from headstart.data.augment.image.rotate import Rotate
from headstart.data.augment.image.scale import Scale
from headstart.data.augment.text import _thesaurus
from headstart.data.augment.text.delete import Delete
from headstart.data.augment.text.swap import Swap
from headstart.data.augment.text.synonym import Synonym
from headstart.data.dataset import Sound
from headstart.data.modalities.audio import playable
from headstart.errors import ConfigError, DataError, MissingExtra

RATE = 16_000


def noise(seconds: float = 2.0) -> Sound:
    return Sound(np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32) / 10, RATE)


def picture(height: int = 41, width: int = 63) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


class TestSpecAugment:
    def test_bands_are_silent_and_the_others_are_as_they_were(self) -> None:
        """Seen through a plain periodogram: white noise becomes 0 within at most two bands, and stays itself outside."""
        sound = noise()
        before = np.abs(np.fft.rfft(sound.samples)) ** 2
        widths = []
        for seed in range(40):
            after = np.abs(np.fft.rfft(SpecAugment(bands=0.3, time=0).apply(sound, np.random.default_rng(seed)).samples)) ** 2
            silent = after < 1e-6 * before.mean()
            assert np.allclose(after[~silent], before[~silent], rtol=1e-2, atol=1e-5 * before.mean())
            steps = np.flatnonzero(np.diff(silent.astype(int)))
            assert len(steps) <= 2 * MASKS
            frequencies = np.fft.rfftfreq(len(sound.samples), 1 / RATE)
            assert not silent[frequencies < 59].any(), "the lowest tones stay"
            for low, high in zip(steps[::2], steps[1::2], strict=False):
                widths.append((mel(frequencies[high]) - mel(frequencies[low])) / (mel(RATE / 2) - mel(60.0)))
        assert max(widths) <= 2 * 0.3 + 0.01, "two bands may touch"
        assert 0.08 < np.mean(widths) < 0.25, "uniform widths up to 0.3 have a mean of 0.15"

    def test_stretches_are_silent(self) -> None:
        sound, shares = noise(), []
        for seed in range(60):
            after = SpecAugment(bands=0, time=0.2).apply(sound, np.random.default_rng(seed)).samples
            still = after == 0
            assert np.allclose(after[~still], sound.samples[~still], atol=1e-5)
            assert np.count_nonzero(np.diff(still.astype(int))) <= 2 * MASKS
            shares.append(still.mean())
        assert max(shares) <= 0.4 and 0.1 < np.mean(shares) < 0.25, "two stretches of 0.1 on average, less where they meet"

    def test_the_mel_scale(self) -> None:
        """1000 Hz are 1000 mel but for rounding: O'Shaughnessy 1987, page 150."""
        assert abs(float(mel(1000.0)) - 1000) < 0.1 and float(mel(0.0)) == 0


class TestCrop:
    def test_a_piece_of_a_long_recording(self) -> None:
        sound = Sound(np.arange(10 * 1000, dtype=np.float32), 1000)
        starts = set()
        for seed in range(50):
            piece = Crop(seconds=3).apply(sound, np.random.default_rng(seed)).samples
            assert len(piece) == 3000 and (np.diff(piece) == 1).all()
            starts.add(float(piece[0]))
        assert min(starts) < 800 and max(starts) > 6200 and len(starts) > 40
        assert Crop(seconds=10).apply(sound, np.random.default_rng(0)) is sound


class TestPictures:
    def test_a_negative_against_torchvision(self) -> None:
        import torch
        from torchvision.transforms.v2 import functional

        given = picture()
        expected = functional.invert(torch.from_numpy(given.transpose(2, 0, 1))).numpy().transpose(1, 2, 0)
        assert np.array_equal(Negative(1.0).apply(given, np.random.default_rng(0)), expected)
        drawn = [np.array_equal(Negative(0.3).apply(given, np.random.default_rng(seed)), expected) for seed in range(400)]
        assert 0.2 < np.mean(drawn) < 0.4

    def test_colour_against_torchvision(self) -> None:
        """Brightness, contrast and saturation one after another, as torchvision's functions do them in float."""
        import torch
        from torchvision.transforms.v2 import functional

        value = picture()
        # away from black and white, where the steps in between are cut off one by one
        value = (value // 3 + 80).astype(np.uint8)
        pixels = torch.from_numpy(value.transpose(2, 0, 1)).float() / 255
        for brightness, contrast, saturation in [(1.2, 1, 1), (1, 0.7, 1), (1, 1, 0.4), (0.9, 1.2, 1.3)]:
            expected = functional.adjust_brightness(pixels, brightness)
            expected = functional.adjust_contrast(expected, contrast)
            expected = functional.adjust_saturation(expected, saturation)
            found = recoloured(value, brightness, contrast, saturation)
            assert np.abs(found - 255 * expected.numpy().transpose(1, 2, 0)).max() < 1.5

    @pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("shear", "translate"))])
    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_randaugment_against_torchvision(self, name: str, sign: float) -> None:
        """torchvision's own table of magnitudes, and its own function that applies one."""
        import torch
        from torchvision.transforms import InterpolationMode, v2

        value, magnitude = picture(), 9
        policy = v2.RandAugment(num_magnitude_bins=31)
        theirs = {
            "rotate": "Rotate", "brightness": "Brightness", "saturation": "Color", "contrast": "Contrast",
            "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize", "autocontrast": "AutoContrast",
            "equalize": "Equalize", "identity": "Identity",
        }[name]  # fmt: skip
        magnitudes, signed = policy._AUGMENTATION_SPACE[theirs]
        table = magnitudes(31, *value.shape[:2])
        strength = 0.0 if table is None else float(table[magnitude])
        turn = -sign if name == "rotate" else sign  # torchvision's rotation is anticlockwise, its affine map clockwise
        pixels = torch.from_numpy(value.transpose(2, 0, 1))
        expected = policy._apply_image_or_video_transform(
            pixels, theirs, strength * (turn if signed else 1), InterpolationMode.BILINEAR, {torch.Tensor: None}
        )
        found = changed(value, name, magnitude / 30 * (sign if signed else 1)).transpose(2, 0, 1)
        off = np.abs(found.astype(int) - expected.numpy())
        if name == "rotate":
            off = off[:, 8:-8, 12:-12]  # what comes into view is filled with another colour
        assert off.max() <= 1, "the same picture"

    @pytest.mark.parametrize("axis", [0, 1])
    def test_randaugment_moves_and_shears(self, axis: int) -> None:
        """By shares of the picture, about its centre; torchvision moves whole pixels and shears about a corner."""
        letter = "yx"[axis]
        value = np.random.default_rng(0).integers(0, 256, (331, 331, 3), dtype=np.uint8)
        moved = np.moveaxis(changed(value, f"translate_{letter}", 0.2), axis, 0)  # 0.2 * 150 / 331 of 331 pixels: 30
        assert np.abs(moved[30:].astype(int) - np.moveaxis(value, axis, 0)[:-30]).max() <= 1
        line = np.zeros((81, 81, 3), np.uint8)
        np.moveaxis(line, axis, 0)[40] = 255
        bent = np.moveaxis(changed(line, f"shear_{letter}", 0.5), axis, 0)[..., 0].astype(float)  # (along, across)
        bent[bent < 60] = 0  # what came into view
        middle = (bent * np.arange(81)[:, None]).sum(0) / bent.sum(0)
        slope = np.polyfit(np.arange(81), middle, 1)[0]
        assert abs(abs(slope) - 0.15) < 0.01 and abs(middle[40] - 40) < 0.2

    def test_rotation_and_scale_turn_about_the_centre(self) -> None:
        value = np.zeros((41, 41, 3), np.uint8)
        value[18:23, 18:23] = 255
        value[20, 30] = (250, 0, 0)
        turned = Rotate(90).apply(value, np.random.default_rng(4))
        assert (turned[19:22, 19:22] > 200).all()
        grown = Scale(1.0)
        sizes = [np.count_nonzero(grown.apply(value, np.random.default_rng(seed))[..., 1] > 120) for seed in range(30)]
        assert min(sizes) < 20 < 30 < max(sizes), "smaller and larger than the 25 pixels that it has"

    def test_a_corner_is_filled_with_the_mean_colour(self) -> None:
        value = np.full((40, 40, 3), (10, 200, 60), np.uint8)
        for seed in range(10):
            assert np.abs(Rotate(45).apply(value, np.random.default_rng(seed)).astype(int) - (10, 200, 60)).max() <= 1


class TestWords:
    text = " ".join(f"w{i}" for i in range(50))

    def test_shares(self) -> None:
        left = [len(Delete(0.3).apply(self.text, np.random.default_rng(seed)).split()) for seed in range(200)]
        assert 0.27 < 1 - np.mean(left) / 50 < 0.33
        assert all(Delete(1).apply(self.text, np.random.default_rng(seed)).split() for seed in range(20))
        for share, pairs in ((0.02, 1), (0.1, 5), (0.001, 1)):
            moved = Swap(share).apply(self.text, np.random.default_rng(0)).split()
            off = sum(a != b for a, b in zip(moved, self.text.split(), strict=True))
            assert 1 < off <= 2 * pairs and sorted(moved) == sorted(self.text.split())


WORDNET = {  # two nouns and a verb for "film", the verb seldom; a satellite; a word that is in no class of its own
    "noun": [("film", "movie"), ("film", "thin_layer", "layer"), ("dog", "Canis_familiaris", "hound")],
    "verb": [("film", "shoot"), ("walk", "go_on_foot")],
    "adj": [("good",), ("quick(a)", "speedy", "quick")],
    "adv": [("slowly", "tardily")],
}


def wordnet(folder: Path, ending: str = "\n") -> Path:
    """A tiny folder in the format of wndb(5WN), with the licence that begins each file."""
    folder.mkdir()
    licence = "  1 This software and database is being provided to you\n"
    senses: dict[tuple[str, str], list[int]] = {}
    for kind, groups in WORDNET.items():
        data = licence
        for words in groups:
            place = len(data)
            listed = " ".join(f"{word} 0" for word in words)
            data += f"{place:08d} 03 {kind[0]} {len(words):02x} {listed} 000 | a gloss with 5 words  \n"
            for word in words:
                senses.setdefault((kind, word.partition("(")[0].lower()), []).append(place)
        (folder / f"data.{kind}").write_bytes(data.replace("\n", ending).encode())
    for kind in WORDNET:
        lines = [
            f"{word} {kind[0]} {len(places)} 0 {len(places)} 0 {' '.join(f'{place:08d}' for place in places)}  \n"
            for (of, word), places in sorted(senses.items())
            if of == kind
        ]
        (folder / f"index.{kind}").write_bytes((licence + "".join(lines)).replace("\n", ending).encode())
    counts = "film%1:06:00:: 2 9\nfilm%1:10:00:: 1 4\nfilm%2:36:00:: 1 2\nquick%5:00:00:fast:00 1 3\n"
    (folder / "cntlist.rev").write_text(counts.replace("\n", ending), "utf-8", newline="")
    return folder


class TestSynonyms:
    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_wordnet_by_hand(self, tmp_path: Path, ending: str) -> None:
        known = _thesaurus.wordnet(wordnet(tmp_path / f"wordnet{len(ending)}", ending))
        assert known("film") == ("thin layer", "layer"), "its second sense as a noun is counted most often"
        assert known("movie") == ("film",)
        assert known("dog") == ("hound",), "names are none"
        assert known("walk") == ("go on foot",) and known("quick") == ("speedy",)
        assert known("good") == () == known("unheard")
        assert known("slowly") == ("tardily",)

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"is no folder of WordNet \(FileNotFoundError.*Expected index\.noun"):
            _thesaurus.wordnet(tmp_path)
        broken = wordnet(tmp_path / "broken")
        (broken / "data.noun").write_text("another format\n" * 20, "utf-8")
        with pytest.raises(DataError, match="is no folder of WordNet"):
            _thesaurus.wordnet(broken)

    def test_words_keep_their_case_and_signs(self, tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("film,movie\nlong, lengthy\n", "utf-8")
        step = Synonym(1.0, str(tmp_path / "words.txt"))
        assert step.apply('A "long" Film, indeed.', np.random.default_rng(0)) == 'A "lengthy" Movie, indeed.'
        assert step.apply("film", np.random.default_rng(0)) == "film", "a text of one word stays"
        assert step.apply("nothing known here", np.random.default_rng(0)) == "nothing known here"
        one = [Synonym(0.01, step.source).apply("long film long film", np.random.default_rng(s)) for s in range(20)]
        assert all(sum(a != b for a, b in zip(t.split(), ["long", "film", "long", "film"], strict=True)) == 1 for t in one)

    def test_lists_that_are_none(self, tmp_path: Path) -> None:
        (tmp_path / "single.txt").write_text("film\nmovie\n", "utf-8")
        with pytest.raises(DataError, match="holds no synonyms; expected lines such as: film, movie, picture"):
            Synonym(0.1, str(tmp_path / "single.txt")).apply("a b", np.random.default_rng(0))
        (tmp_path / "latin.txt").write_bytes("größe, maß".encode("latin-1"))
        with pytest.raises(DataError, match=r"cannot be read as a list of synonyms.*Save it as UTF-8"):
            Synonym(0.1, str(tmp_path / "latin.txt")).apply("a b", np.random.default_rng(0))
        with pytest.raises(ConfigError, match=r"\(synonym\)\.source: there is no file or folder 'nowhere'"):
            augment.steps("text", ("synonym:source=nowhere",))

    def test_without_a_source(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        _thesaurus.installed.cache_clear()
        monkeypatch.setattr(_thesaurus, "SYSTEM", tmp_path / "none")
        monkeypatch.setattr(_thesaurus.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
        assert _thesaurus.installed() is None and "headstart[synonyms]" in Synonym().available()
        with pytest.raises(MissingExtra, match=r"pip install 'headstart\[synonyms\]'"):
            Synonym().apply("two words", np.random.default_rng(0))
        _thesaurus.installed.cache_clear()
        monkeypatch.setattr(_thesaurus, "SYSTEM", wordnet(tmp_path / "system"))
        assert _thesaurus.installed() == tmp_path / "system" and not Synonym().available()
        assert Synonym(1.0).apply("my movie", np.random.default_rng(0)) == "my film"
        _thesaurus.installed.cache_clear()


def test_what_a_browser_plays() -> None:
    import base64
    import io

    import soundfile

    sound = Sound(3 * np.sin(np.arange(10 * 44_100) / 20).astype(np.float32), 44_100)
    head, data = playable(sound).split(",")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert head == "data:audio/flac;base64" and rate == 16_000 and len(samples) == 5 * 16_000
    assert np.abs(samples).max() <= 1, "louder parts are cut, not wrapped around"
    short = Sound(np.zeros(100, np.float32), 8000)
    assert playable(short).startswith("data:audio/flac;base64,")
