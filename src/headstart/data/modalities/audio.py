"""Recordings: anything libsndfile reads becomes a ``Sound``: mono, float32, at the rate of the file."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.dataset import Item, Sound, Value
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError

MIN_RATE, MAX_RATE = 1000, 768_000  # Hz: below lies no sound worth the name, above no converter
MAX_SECONDS = 4 * 3600  # decoded at 48 kHz, that is 2.8 GB
SILENT = 1e-4  # peak, that is -80 dB of full scale
FULL_SCALE, CLIPPED = 0.999, 0.001  # where clipping begins, and the share of samples there that is too much
SECONDS = 60  # what fingerprints and previews cover, from the beginning
BANDS, STEPS = 32, 24  # of a fingerprint
LOWEST, HIGHEST = 60.0, 3800.0  # Hz: there also at a rate of 8 kHz
FLOOR = 1e-3  # of the loudest cell, that is -30 dB: what lies below, codecs drop
ALIKE = 0.93  # correlation of the detail from which on two recordings are copies
# Measured on 1,500 spoken digits of six speakers and the 400 noises of ESC-10: saved again as Ogg Vorbis, 100
# and 99.3 % are found; as MP3, 99.8 and 100 %; at half the loudness, all; at twice or half the rate, 98.8 and
# 100 %. Of all pairs, none of the digits passes (the nearest, one speaker saying one digit twice: 0.920), and
# one of the noises does (0.977, the next one below 0.88). A copy that begins 50 ms later is not found.


class Audio(Modality):
    """Speech, music and noises, decoded by libsndfile."""

    noun = ("recording", "recordings")
    suffixes = frozenset((".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif", ".opus"))
    fingerprint_space = "fingerprint-audio-1"
    fingerprint_threshold = ALIKE

    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> Sound:
        """The mean over the channels, at the rate of the file: resampling belongs to the backbone.

        Raises:
            UnreadableError: the file is missing, empty, damaged, cut short, holds NaN, lasts more than four
                hours, or has a rate below 1 kHz or above 768 kHz; or the item is an array.
        """
        name = name or (str(item) if isinstance(item, Path) else "recording")
        try:
            sound = item if isinstance(item, Sound) else _decode_encoded(_raw(item))
            return _checked(sound)
        except MemoryError:
            raise
        except Exception as problem:  # libsndfile has a class of its own, and struct another
            raise UnreadableError(f"{name} cannot be read as a recording: {_reason(problem)}", [name]) from problem

    def preview(self, value: Value, side: int = 96) -> str:
        """A PNG data URI of the log-mel spectrogram: time to the right, low tones below."""
        import PIL.Image

        assert isinstance(value, Sound)
        power = _mel_power(value, side, max(1, side // 2), 50.0, value.rate / 2)  # (side, bands)
        levels = 10 * np.log10(power + 1e-12)  # dB
        loudest = max(float(levels.max()), -60.0)  # so that silence stays dark
        shade = np.clip((levels - loudest) / 60 + 1, 0, 1)
        low, high = np.array([16, 24, 64]), np.array([255, 226, 120])
        colours = low + shade.T[::-1, :, None] ** 1.5 * (high - low)
        picture = PIL.Image.fromarray(np.rint(colours).astype(np.uint8)).resize((side, max(1, side * 2 // 3)))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """768 float32: the detail of the log-mel spectrogram of the first minute, as 24 steps of 32 bands.

        The detail is what a Gaussian blur (1 cell) takes away, scaled to length 1, as for pictures: loudness
        and the colour of a microphone fall out. A silent recording is all 0.
        """
        from scipy.ndimage import gaussian_filter

        sound = self.decode(item, None, name)
        high = min(HIGHEST, sound.rate / 2)
        power = _mel_power(sound, STEPS, BANDS, LOWEST, high)
        if np.abs(sound.samples).max() < SILENT:
            return np.zeros(power.size, dtype=np.float32)
        levels = np.log10(power + FLOOR * power.max() + 1e-20)
        detail = levels - gaussian_filter(levels, 1.0, mode="nearest")
        length = float(np.linalg.norm(detail))
        return (detail / (length or 1.0)).ravel().astype(np.float32)

    def check(self, value: Value) -> list[str]:
        """Silence, and clipping: more than one sample in a thousand at full scale."""
        assert isinstance(value, Sound)
        loudness = np.abs(value.samples)
        if loudness.max() < SILENT:
            return ["silent"]
        return ["clipped"] if np.mean(loudness >= FULL_SCALE) > CLIPPED else []


def resample(sound: Sound, rate: int) -> Sound:
    """The recording at another rate, by soxr at high quality; ``sound`` itself where nothing is to do."""
    if rate == sound.rate:
        return sound
    import soxr

    samples = soxr.resample(sound.samples, sound.rate, rate, quality="HQ")
    return Sound(np.asarray(samples, dtype=np.float32), rate)


def playable(sound: Sound, seconds: float = 5.0, rate: int = 16_000) -> str:
    """A FLAC data URI of the beginning that a browser plays: at most so long and at most at this rate, louder parts cut."""
    import soundfile

    short = Sound(sound.samples[: round(seconds * sound.rate)], sound.rate)
    short = resample(short, min(rate, sound.rate))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(short.samples, -1, 1), short.rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode()


def log_mel(sound: Sound, hop: float, bands: int) -> np.ndarray:
    """(bands, steps): log10 of the mel power of the first minute, a step about every ``hop`` seconds."""
    steps = max(1, round(min(sound.seconds, SECONDS) / hop))
    power = _mel_power(sound, steps, bands, LOWEST, min(HIGHEST, sound.rate / 2)).T
    return np.asarray(np.log10(power + FLOOR * power.max() + 1e-20))


def _raw(item: Item) -> bytes:
    if isinstance(item, np.ndarray):
        raise ValueError("it is an array, which carries no sampling rate; wrap it: hs.Sound(samples, rate)")
    if not isinstance(item, (Path, bytes)):
        raise ValueError(f"it is a {type(item).__name__}; expected a file, bytes or hs.Sound(samples, rate)")
    return item.read_bytes() if isinstance(item, Path) else item


def _decode_encoded(raw: bytes) -> Sound:
    import soundfile

    if not raw:
        raise ValueError("it is empty (0 bytes)")
    with soundfile.SoundFile(io.BytesIO(raw)) as file:
        _check_rate(file.samplerate)
        _check_length(file.frames / file.samplerate)
        announced = file.frames
        _check_whole(raw)
        samples = file.read(dtype="float32", always_2d=True)  # (n, channels)
        rate = int(file.samplerate)
    # Without a Xing header, the length of an MP3 is a guess.
    if len(samples) < 0.95 * announced and any(mark in raw[:8192] for mark in (b"Xing", b"Info")):
        raise ValueError(f"it is cut short: {len(samples)} of {announced} samples are there")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return Sound(np.ascontiguousarray(mono), rate)


def _check_whole(raw: bytes) -> None:
    """libsndfile plays what there is of a file that was cut short; its own headers tell."""
    missing = 0
    if raw[:4] in (b"RIFF", b"FORM"):
        [announced] = struct.unpack("<I" if raw[:4] == b"RIFF" else ">I", raw[4:8])
        streamed = announced >= 0x7FFFFFFF - 64  # written where the length was not known yet
        missing = 0 if streamed else announced + 8 - len(raw)
    elif raw[:4] == b"OggS":
        page = raw.rfind(b"OggS")
        lengths = raw[page + 27 : page + 27 + raw[page + 26]] if page + 26 < len(raw) else b""
        missing = page + 27 + len(lengths) + sum(lengths) - len(raw)
    if missing > 1:  # an odd chunk may lack its padding byte
        raise ValueError(f"it is cut short: at least {missing} bytes are missing")


def _check_rate(rate: float) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"its sampling rate is {rate} Hz; expected {MIN_RATE:,} to {MAX_RATE:,} Hz")


def _check_length(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise ValueError(f"it lasts {seconds / 3600:.1f} hours, and the limit is {MAX_SECONDS // 3600}; cut it first")


def _checked(sound: Sound) -> Sound:
    samples = np.asarray(sound.samples)
    _check_rate(sound.rate)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(f"its samples are {samples.dtype} of shape {samples.shape}; expected floats of shape (n,)")
    if not len(samples):
        raise ValueError("it holds no samples")
    _check_length(sound.seconds)
    if not np.isfinite(samples).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(samples))} of its samples are NaN or infinite")
    return sound if samples.dtype == np.float32 else Sound(samples.astype(np.float32), sound.rate)


def _mel_power(sound: Sound, steps: int, bands: int, low: float, high: float) -> np.ndarray:
    """The mean power of the first minute in cells of time and mel frequency, float64 of shape (steps, bands).

    A full-scale sine gives about 1. The mel scale is 2595 log10(1 + f / 700), O'Shaughnessy 1987.
    """
    samples = sound.samples[: SECONDS * sound.rate]
    size = 1 << max(5, int(np.ceil(np.log2(0.032 * sound.rate))))  # samples of a window: 32 to 64 ms
    hop = min(size // 2, max(1, len(samples) // (2 * steps)))
    samples = np.pad(samples, (0, max(0, size + hop - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    filters = _filters(size, sound.rate, bands, low, high)  # (size / 2 + 1, bands)
    shape = np.hanning(size).astype(np.float32)
    parts = [windows[i : i + 512] for i in range(0, len(windows), 512)]  # memory stays at 512 windows
    mel = np.concatenate([(np.abs(np.fft.rfft(part * shape, axis=1)) ** 2) @ filters for part in parts])
    mel /= size**2 / 16
    cells = np.arange(len(mel)) * steps // len(mel)
    sums = np.zeros((steps, bands))
    np.add.at(sums, cells, mel)
    return sums / np.maximum(np.bincount(cells, minlength=steps), 1)[:, None]


def _filters(size: int, rate: int, bands: int, low: float, high: float) -> np.ndarray:
    """Triangles of area 1 over the frequencies of a window; a triangle between two of them takes the nearest."""
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.fft.rfftfreq(size, 1 / rate)[:, None]
    weights = np.minimum((frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)).clip(0)
    for band in np.flatnonzero(weights.sum(axis=0) < 0.5):
        weights[np.abs(frequencies[:, 0] - centre[band]).argmin(), band] = 1
    return np.asarray(weights / weights.sum(axis=0))


def _reason(problem: Exception) -> str:
    if isinstance(problem, FileNotFoundError):
        return "there is no such file"
    known: Any = getattr(problem, "error_string", None)  # of libsndfile, without the address of the buffer
    return f"libsndfile says: {known.strip()}" if known else str(problem) or type(problem).__name__
