"""Pictures: anything Pillow reads becomes uint8 RGB of shape (height, width, 3)."""

from __future__ import annotations

import base64
import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import Item, Value
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 300_000_000  # decoded, that is 0.9 GB; more is a mistake or an attack
FINGERPRINT_SIDE = 16  # pixels
BLANK = 1.0  # standard deviation of a thumbnail's detail, out of 255, below which a picture shows nothing
TINY = 48  # pixels: copies of pictures with a shorter side below this must be alike to a higher degree
ALIKE, TINY_ALIKE = 0.90, 0.98  # correlation of the detail from which on two pictures are copies
# Measured on 250 pictures each of four sets of photos and scans (garments, groceries, office goods, MRI
# slices): saved again as JPEG of quality 60, or scaled to 70 %, or both: all found; 1 % cropped off every
# side: 100, 100, 100 and 91 %; 2 % off one corner: 90, 93, 84 and 43 %. Of the pairs so found among the
# 2,010 garments (1) and the 4,171 groceries (4) none is of two scenes; among the office goods one article in
# two colours counts as a copy. Of 6,000 MNIST digits, 4 pairs pass 0.98 (all ones; 1,657 pairs would pass
# 0.90); there re-encoded copies are found and rescaled ones are not.

_opening = threading.Lock()


class Image(Modality):
    """Photos and other pictures, decoded by Pillow."""

    noun = ("picture", "pictures")
    suffixes = frozenset(
        [
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".apng",
            ".gif",
            ".bmp",
            ".dib",
            ".webp",
            ".avif",
            ".tif",
            ".tiff",
            ".ppm",
            ".pgm",
            ".pbm",
            ".pnm",
            ".jp2",
            ".tga",
            ".ico",
        ]
    )
    fingerprint_space = "fingerprint-image-1"
    fingerprint_threshold = TINY_ALIKE
    scan_side = 4 * FINGERPRINT_SIDE
    twin = "flip:chance=1"

    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> np.ndarray:
        """uint8 RGB of shape (height, width, 3), turned upright as its EXIF entry says.

        Transparent pixels are laid over white. 16-bit grey is divided by 257, so that 65535 becomes 255.
        Of an animation the first frame is taken. Arrays may have the shape (height, width) or
        (height, width, 1, 3 or 4), with uint8, uint16 or floats in [0, 1].

        Args:
            item: a file, encoded bytes or an array.
            min_side: the shorter side need not be longer than this many pixels: a JPEG is then decoded
                at a half, a quarter or an eighth of its size, whichever is the smallest that suffices.
            name: what messages call the sample.

        Raises:
            UnreadableError: the file is missing, broken, no picture or above 300 megapixels.
        """
        if isinstance(item, np.ndarray):
            return _from_array(item, name or "array")
        if not isinstance(item, (Path, bytes)):
            name = name or "sample"
            found = f"it is a {type(item).__name__}; expected a file, bytes or an array"
            raise UnreadableError(f"{name} cannot be read as a picture: {found}", [name])
        name = name or (str(item) if isinstance(item, Path) else f"picture of {len(item)} bytes")
        try:
            raw = item.read_bytes() if isinstance(item, Path) else item
            return _decode_encoded(raw, min_side)
        except MemoryError:
            raise
        except Exception as problem:  # on broken files Pillow raises nearly everything, struct.error included
            raise UnreadableError(f"{name} cannot be read as a picture: {_reason(problem)}", [name]) from problem

    def preview(self, value: Value, side: int = 96) -> str:
        """A JPEG data URI of a decoded picture, at most ``side`` pixels wide and high."""
        import PIL.Image

        picture = PIL.Image.fromarray(np.ascontiguousarray(value))
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """769 float32: the detail of the picture at 16 x 16 pixels, in colour, and one number for its size.

        The detail is what a Gaussian blur (1 pixel) takes away, scaled to length 1. Without the blur, all
        garments on one background correlate above 0.97. The last number makes one threshold serve for all:
        with c the correlation of the detail, the inner product is c for two tiny pictures, 1 - (1 - c) / 5
        for two others, and far below the threshold for one of each. A blank picture is all 0.
        """
        import PIL.Image
        from scipy.ndimage import gaussian_filter

        value = self.decode(item, self.scan_side, name)
        side = (FINGERPRINT_SIDE, FINGERPRINT_SIDE)
        small = np.asarray(PIL.Image.fromarray(value).resize(side, PIL.Image.Resampling.BOX), dtype=np.float32)
        detail = (small - gaussian_filter(small, (1, 1, 0), mode="nearest")).ravel()
        length = float(np.linalg.norm(detail))
        if length < BLANK * np.sqrt(detail.size):
            return np.zeros(detail.size + 1, dtype=np.float32)
        share = 1.0 if min(value.shape[:2]) < TINY else (1 - TINY_ALIKE) / (1 - ALIKE)
        return np.append(detail * (np.sqrt(share) / length), np.sqrt(1 - share)).astype(np.float32)


def _decode_encoded(raw: bytes, min_side: int | None) -> np.ndarray:
    from PIL import ImageOps

    if not raw:
        raise ValueError("it is empty (0 bytes)")
    with _open(raw) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height} = {picture.width * picture.height // 10**6} megapixels"
            raise ValueError(f"it has {size}, and the limit is {MAX_PIXELS // 10**6}; scale it down first")
        if min_side is not None:
            # Only JPEG does something here. Turning a picture keeps its shorter side, so EXIF is no matter.
            picture.draft(None, (min_side, min_side))
        picture.load()
        try:
            upright = ImageOps.exif_transpose(picture)
        except Exception:  # a damaged EXIF block says nothing about which side is up
            upright = picture
        return _to_rgb(upright)


def _open(raw: bytes) -> Picture:
    """Read the header only. ``MAX_PIXELS`` replaces Pillow's limits (90 megapixels warn, 179 fail)."""
    import PIL.Image

    with _opening:  # the limit is a global of Pillow's
        before, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            return PIL.Image.open(io.BytesIO(raw))
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = before


def _to_rgb(picture: Picture) -> np.ndarray:
    import PIL.Image

    if picture.mode == "F":
        return _from_array(np.asarray(picture), "32-bit float picture")
    if picture.mode.startswith("I"):  # I;16 in its byte orders, or I: 32-bit, where older files keep 16-bit grey
        grey = np.asarray(picture).astype(np.int64)
        if picture.mode != "I" or grey.max() > 255:
            grey = grey // 257
        return _three_channels(grey.clip(0, 255).astype(np.uint8)[..., None])
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = PIL.Image.alpha_composite(PIL.Image.new("RGBA", above.size, "white"), above)
    return np.array(picture.convert("RGB"))


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    problem = None
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        problem = f"its shape is {array.shape}; expected (height, width) or (height, width, 1, 3 or 4)"
    elif array.dtype.kind == "f" and not (array.min() >= 0 and array.max() <= 1):
        problem = f"its floats lie in [{array.min():.4g}, {array.max():.4g}]; expected [0, 1]"
    elif array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        problem = f"its type is {array.dtype}; expected uint8, uint16 or floats in [0, 1]"
    if problem:
        raise UnreadableError(f"{name} cannot be read as a picture: {problem}", [name])
    if array.dtype.kind == "f":
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    return _three_channels(array if array.ndim == 3 else array[..., None])


def _three_channels(array: np.ndarray) -> np.ndarray:
    """uint8 of shape (height, width, 1, 3 or 4) -> a new array of shape (height, width, 3)."""
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        return np.rint(array[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return array.copy()


def _reason(problem: Exception) -> str:
    if isinstance(problem, UnreadableError):
        return str(problem).rpartition(": ")[2]
    if isinstance(problem, FileNotFoundError):
        return "there is no such file"
    if type(problem).__name__ == "UnidentifiedImageError":
        return "it is damaged or in no format that Pillow reads"
    return str(problem) or type(problem).__name__
