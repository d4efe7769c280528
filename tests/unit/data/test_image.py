import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from headstart.data.augment.image.colour import recoloured
from headstart.data.modalities import image as image_module
from headstart.data.modalities.image import Image
from headstart.errors import ConfigError, UnreadableError

image = Image()


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture with detail at every scale, uint8 of shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        noise = PIL.Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(noise.resize((width, height), PIL.Image.Resampling.BICUBIC), dtype=float)
    return (total / 4).astype(np.uint8)


def encoded(picture: PIL.Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    picture = PIL.Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


class TestDecode:
    def test_png_keeps_every_pixel(self):
        value = scene(20, 30)
        assert np.array_equal(image.decode(encoded(value)), value)

    @pytest.mark.parametrize(
        ("orientation", "undo"),
        [(3, lambda v: v[::-1, ::-1]), (6, lambda v: np.rot90(v, -1)), (8, lambda v: np.rot90(v, 1))],
    )
    def test_exif_orientation_is_applied(self, orientation, undo):
        value = scene(20, 30)
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        assert np.array_equal(image.decode(encoded(value, exif=exif)), undo(value))

    def test_grey_repeats_in_three_channels(self):
        grey = scene(8, 9)[..., 0]
        assert np.array_equal(image.decode(encoded(grey)), np.repeat(grey[..., None], 3, axis=2))

    def test_transparent_palette_lies_over_white(self):
        picture = PIL.Image.new("P", (4, 4), 0)
        picture.putpalette([255, 0, 0, 0, 0, 255])
        picture.putpixel((1, 0), 1)
        value = image.decode(encoded(picture, transparency=0))
        assert value[0, 0].tolist() == [255, 255, 255]
        assert value[0, 1].tolist() == [0, 0, 255]

    @pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 51)), ("LA", (0, 51))])
    def test_alpha_lies_over_white(self, mode, colour):
        assert image.decode(encoded(PIL.Image.new(mode, (3, 3), colour)))[1, 1].tolist() == [204] * 3

    def test_cmyk_jpeg(self):
        value = image.decode(encoded(PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
        red, green, blue = value[8, 8].tolist()
        assert red > 240
        assert green < 15
        assert blue < 15

    def test_16_bit_grey_is_divided_by_257(self):
        grey = np.array([[0, 257, 65535], [32896, 256, 514]], dtype=np.uint16)
        assert image.decode(encoded(grey))[..., 0].tolist() == [[0, 1, 255], [128, 0, 2]]
        assert image.decode(encoded(grey, "TIFF"))[..., 2].tolist() == [[0, 1, 255], [128, 0, 2]]

    def test_one_bit_and_first_frame(self):
        assert image.decode(encoded(PIL.Image.new("1", (3, 3), 1))).min() == 255
        frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert image.decode(animation)[0, 0].tolist() == [255, 0, 0]

    def test_arrays(self):
        grey = np.array([[0.0, 0.5], [1.0, 0.2]])
        assert image.decode(grey)[..., 1].tolist() == [[0, 128], [255, 51]]
        assert image.decode(np.full((2, 2, 4), 0.5, np.float32))[0, 0].tolist() == [191] * 3
        assert image.decode(np.full((2, 2, 1), 65535, np.uint16)).tolist() == [[[255] * 3] * 2] * 2

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros((3, 4, 2), np.uint8),
            np.zeros((3, 4), np.int64),
            np.full((3, 3), 1.5),
            np.full((3, 3), np.nan),
            np.zeros((0, 3)),
        ],
    )
    def test_arrays_that_are_no_pictures(self, wrong):
        with pytest.raises(UnreadableError, match="expected"):
            image.decode(wrong)

    def test_truncated_jpeg_names_the_sample(self, tmp_path):
        path = tmp_path / "half.jpg"
        whole = encoded(scene(200, 300), "JPEG")
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UnreadableError, match=r"half\.jpg cannot be read as a picture: .*truncated"):
            image.decode(path)
        with pytest.raises(UnreadableError, match="row 7 cannot"):
            image.decode(path.read_bytes(), 32, name="row 7")

    @pytest.mark.parametrize(("raw", "reason"), [(b"", "empty"), (b"<svg/>", "no format that Pillow reads")])
    def test_no_picture(self, raw, reason):
        with pytest.raises(UnreadableError, match=reason):
            image.decode(raw)

    def test_missing_file(self, tmp_path):
        with pytest.raises(UnreadableError, match="no such file"):
            image.decode(tmp_path / "gone.jpg")

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")  # Pillow's, and true
    def test_damaged_exif_does_not_matter(self):
        value = image.decode(encoded(scene(8, 8), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\x01"))
        assert value.shape == (8, 8, 3)

    def test_bombs_are_refused_and_large_pictures_cause_no_warning(self, monkeypatch):
        large = encoded(PIL.Image.new("1", (400, 300)))
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
        assert image.decode(large).shape == (300, 400, 3)
        assert PIL.Image.MAX_IMAGE_PIXELS == 1000
        monkeypatch.setattr(image_module, "MAX_PIXELS", 100_000)
        with pytest.raises(UnreadableError, match="megapixels"):
            image.decode(large)

    def test_twelve_megapixels_at_reduced_scale(self):
        raw = encoded(PIL.Image.fromarray(scene(375, 500)).resize((4000, 3000)), "JPEG")
        assert image.decode(raw, min_side=300).shape == (375, 500, 3)
        assert image.decode(raw, min_side=376).shape == (750, 1000, 3)
        exif = PIL.Image.Exif()
        exif[0x0112] = 6
        turned = encoded(scene(640, 480), "JPEG", exif=exif)
        assert image.decode(turned, min_side=200).shape == (240, 320, 3)

    def test_small_pictures_are_not_scaled(self):
        assert image.decode(encoded(scene(40, 50), "JPEG"), min_side=224).shape == (40, 50, 3)

    def test_threads(self):
        raw = [encoded(scene(64, 64, seed), "JPEG") for seed in range(4)]
        alone = [image.decode(entry) for entry in raw]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda i: image.decode(raw[i % 4]), range(64)))
        assert all(np.array_equal(value, alone[i % 4]) for i, value in enumerate(together))
        assert threading.active_count() < 10


class TestAugment:
    def test_crop_and_flip_are_views(self):
        value = scene(60, 80)
        for seed in range(20):
            changed = image.augment(value, np.random.default_rng(seed), ("crop", "flip"))
            assert np.shares_memory(changed, value)

    def test_crop_stays_within_its_bounds(self):
        value, shares = np.zeros((300, 400, 3), np.uint8), []
        for seed in range(300):
            height, width, _ = image.augment(value, np.random.default_rng(seed), ("crop",)).shape
            shares.append(height * width / value[..., 0].size)
        assert min(shares) > 0.45
        assert max(shares) <= 1
        assert np.ptp(shares) > 0.4

    def test_flip_happens_half_the_time(self):
        value = scene(5, 6)
        flips = [
            np.array_equal(image.augment(value, np.random.default_rng(seed), ("flip",)), value[:, ::-1])
            for seed in range(400)
        ]
        assert 160 < sum(flips) < 240

    def test_colour_keeps_the_shape_and_the_original(self):
        value = scene(30, 40)
        before = value.copy()
        changed = image.augment(value, np.random.default_rng(0), ("colour",))
        assert changed.dtype == np.uint8
        assert changed.shape == value.shape
        assert not np.array_equal(changed, value)
        assert np.array_equal(value, before)

    def test_colour_by_hand(self):
        value = scene(30, 40)
        assert np.abs(recoloured(value, 1, 1, 1).astype(int) - value).max() <= 1
        grey = recoloured(value, 1, 1, 0)
        assert np.abs(grey - np.asarray(PIL.Image.fromarray(value).convert("L"), int)[..., None]).max() <= 1
        darker = recoloured(value, 0.5, 1, 1)
        assert np.abs(darker - value / 2).max() <= 1
        assert recoloured(value, 1, 0.5, 1).std() < 0.6 * value.std()

    def test_one_pixel(self):
        value = np.zeros((1, 1, 3), np.uint8)
        assert image.augment(value, np.random.default_rng(0), ("crop", "flip", "colour")).shape == (1, 1, 3)

    def test_unknown_recipe(self):
        with pytest.raises(ConfigError, match=r"'blur'.*colour, crop, flip, negative, randaugment"):
            image.augment(scene(5, 5), np.random.default_rng(0), ("crop", "blur"))


def test_preview_is_a_small_jpeg():
    import base64

    text = image.preview(scene(300, 400)[:, ::-1], side=96)
    head, data = text.split(",")
    assert head == "data:image/jpeg;base64"
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (96, 72)


class TestFingerprint:
    def alike(self, one, other) -> bool:
        return float(image.fingerprint(one) @ image.fingerprint(other)) >= image.fingerprint_threshold

    @pytest.mark.parametrize("seed", range(10))
    def test_copies_match_and_others_do_not(self, seed):
        value = scene(240, 320, seed)
        assert self.alike(value, encoded(value, "JPEG", quality=60))
        assert self.alike(value, np.asarray(PIL.Image.fromarray(value).resize((224, 168))))
        assert self.alike(value, value[2:-2, 3:-3])
        assert not self.alike(value, value[:, ::-1])
        assert not self.alike(value, scene(240, 320, seed + 100))

    def test_length_and_blank(self):
        vector = image.fingerprint(scene(100, 100))
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert np.linalg.norm(image.fingerprint(scene(30, 30))) == pytest.approx(1, abs=1e-5)
        assert not image.fingerprint(np.full((50, 50), 200, np.uint8)).any()

    def test_tiny_and_large_never_match(self):
        assert not self.alike(scene(40, 40), scene(400, 400))


@pytest.mark.skipif("HEADSTART_DATA" not in os.environ, reason="HEADSTART_DATA does not point to real data")
@pytest.mark.parametrize(("folder", "most"), [("clothing/train", 2), ("digits/mnist/test", 6)])
def test_real_pictures_are_told_apart(folder, most):
    """Two different garments on one background, or two different digits, are no copies of each other."""
    paths = sorted(path for path in (Path(os.environ["HEADSTART_DATA"]) / folder).rglob("*.*"))[::2][:1000]
    prints = np.stack([image.fingerprint(path) for path in paths])
    assert np.count_nonzero(np.triu(prints @ prints.T, 1) >= image.fingerprint_threshold) <= most
