import base64
import io
import os
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import soundfile

from headstart.data.augment.audio.shift import shifted
from headstart.data.dataset import Sound
from headstart.data.modalities import audio as audio_module
from headstart.data.modalities.audio import Audio, resample
from headstart.errors import ConfigError, UnreadableError

audio = Audio()


def melody(seed: int = 0, rate: int = 8000, seconds: float = 1.0) -> Sound:
    """Eight random notes with overtones that fade."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    total = np.zeros(len(time))
    for start, note in zip(rng.uniform(0, 0.8 * seconds, 8), rng.uniform(100, 1500, 8), strict=True):
        past = np.clip(time - start, 0, None)
        total += np.exp(-6 * past) * (past > 0) * (np.sin(2 * np.pi * note * past) + np.sin(4 * np.pi * note * past))
    return Sound((0.5 * total / np.abs(total).max()).astype(np.float32), rate)


def encoded(sound: Sound, kind: str = "WAV", **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples, sound.rate, format=kind, **options)
    return buffer.getvalue()


class TestDecode:
    @pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
    def test_lossless(self, tmp_path: Path, kind):
        (tmp_path / "a").write_bytes(encoded(melody(), kind))
        value = audio.decode(tmp_path / "a")
        assert value.rate == 8000
        assert value.samples.dtype == np.float32
        assert np.abs(value.samples - melody().samples).max() < 2 / 32768

    @pytest.mark.parametrize("kind", ["OGG", "MP3"])
    def test_lossy(self, kind):
        value = audio.decode(encoded(melody(rate=16000), kind))
        assert value.rate == 16000
        assert value.seconds == pytest.approx(1, abs=0.1)
        assert np.std(value.samples) == pytest.approx(np.std(melody(rate=16000).samples), rel=0.1)

    def test_channels_are_averaged(self):
        stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
        value = audio.decode(encoded(Sound(stereo, 8000)))
        assert value.samples == pytest.approx(np.full(100, 0.125))

    def test_a_sound_stays_as_it_is(self):
        sound = melody()
        assert audio.decode(sound) is sound
        assert audio.decode(Sound(np.zeros(5), 8000)).samples.dtype == np.float32

    @pytest.mark.parametrize(
        ("item", "message"),
        [
            (b"", r"it is empty \(0 bytes\)"),
            (encoded(Sound(np.zeros(0, np.float32), 8000)), "holds no samples"),
            (b"hello world" * 20, "libsndfile says: .*[Ff]ormat"),
            (encoded(melody())[:4000], "cut short: at least 12044 bytes"),
            (encoded(melody(), "AIFF")[:4000], "cut short"),
            (encoded(melody(seconds=3), "OGG")[:-300], "cut short"),
            (encoded(melody(), "FLAC")[:4000], "libsndfile says"),
            (encoded(melody(seconds=3, rate=16000), "MP3")[:-8000], "cut short"),
            (Sound(np.array([0, np.nan, np.inf], np.float32), 8000), "2 of its samples are NaN or infinite"),
            (encoded(Sound(np.array([0, np.nan]), 8000), subtype="FLOAT"), "1 of its samples are NaN"),
            (Sound(np.zeros(9, np.float32), 3), "its sampling rate is 3 Hz; expected 1,000"),
            (Sound(np.zeros(9, np.float32), 10**6), "its sampling rate is 1000000 Hz"),
            (Sound(np.zeros((9, 2), np.float32), 8000), r"shape \(9, 2\); expected floats of shape \(n,\)"),
            (Sound(np.zeros(9, np.int16), 8000), "int16"),
            (np.zeros(9, np.float32), r"no sampling rate; wrap it: hs.Sound\(samples, rate\)"),
            ("a.wav", "is a str; expected a file"),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,  # encoded sounds hold the time
    )
    def test_what_is_no_recording(self, item, message):
        with pytest.raises(UnreadableError, match=f"clip 3 cannot be read as a recording: .*{message}") as caught:
            audio.decode(item, name="clip 3")
        assert caught.value.names == ["clip 3"]

    def test_three_hertz_in_a_file(self):
        raw = bytearray(encoded(melody()))
        raw[24:28] = struct.pack("<I", 3)
        with pytest.raises(UnreadableError, match="rate is 3 Hz"):
            audio.decode(bytes(raw))

    def test_too_long_is_refused_by_the_header(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(audio_module, "MAX_SECONDS", 0.5)
        for item in (encoded(melody()), melody()):
            with pytest.raises(UnreadableError, match="the limit is"):
                audio.decode(item)

    def test_a_file_written_by_a_stream_is_whole(self):
        raw = bytearray(encoded(melody()))
        raw[4:8] = b"\xff\xff\xff\xff"
        assert audio.decode(bytes(raw)).seconds == 1

    def test_missing_file(self, tmp_path: Path):
        with pytest.raises(UnreadableError, match="there is no such file"):
            audio.decode(tmp_path / "gone.wav")


def test_resample_keeps_the_tone():
    tone = Sound(np.sin(2 * np.pi * 440 * np.arange(8000) / 8000).astype(np.float32), 8000)
    value = resample(tone, 16000)
    assert (value.rate, value.samples.dtype, len(value.samples)) == (16000, np.float32, 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(value.samples - expected)[500:-500].max() < 1e-3
    assert resample(tone, 8000) is tone


class TestAugment:
    def test_each_changes_what_it_says(self):
        sound = melody()
        before = sound.samples.copy()
        for seed in range(20):
            rng = np.random.default_rng(seed)
            louder = audio.augment(sound, rng, ("gain",)).samples
            ratio = louder[np.abs(before) > 0.1] / before[np.abs(before) > 0.1]
            assert np.ptp(ratio) < 1e-4
            assert 0.5 <= ratio[0] <= 2
            noisy = audio.augment(sound, rng, ("noise",)).samples - before
            assert 15 <= 20 * np.log10(before.std() / noisy.std()) <= 41
            moved = audio.augment(sound, rng, ("shift",)).samples
            lag = np.correlate(moved, before, "full").argmax() - (len(before) - 1)
            assert abs(lag) <= 800
        assert np.array_equal(sound.samples, before)

    def test_shift_by_hand(self):
        row = np.arange(1, 6, dtype=np.float32)
        assert shifted(row, 2).tolist() == [0, 0, 1, 2, 3]
        assert shifted(row, -2).tolist() == [3, 4, 5, 0, 0]
        assert shifted(row, 0).tolist() == row.tolist()

    def test_unknown_recipe(self):
        with pytest.raises(ConfigError, match="'flip'; there are: crop, gain, noise, shift, specaugment"):
            audio.augment(melody(), np.random.default_rng(0), ("flip",))


class TestFingerprint:
    def alike(self, one, other) -> bool:
        return float(audio.fingerprint(one) @ audio.fingerprint(other)) >= audio.fingerprint_threshold

    @pytest.mark.parametrize("seed", range(3))
    def test_copies_match_and_others_do_not(self, seed):
        sound = melody(seed)
        assert self.alike(sound, encoded(sound, "OGG"))
        assert self.alike(sound, Sound(sound.samples * np.float32(0.3), sound.rate))
        assert self.alike(sound, resample(sound, 22050))
        assert not self.alike(sound, melody(seed + 10))
        assert not self.alike(sound, Sound(sound.samples[::-1].copy(), sound.rate))

    def test_length_and_silence(self):
        assert np.linalg.norm(audio.fingerprint(melody())) == pytest.approx(1, abs=1e-5)
        assert not audio.fingerprint(Sound(np.full(800, 5e-5, np.float32), 8000)).any()

    @pytest.mark.parametrize("num_samples", [1, 7, 300])
    def test_very_short_recordings(self, num_samples):
        vector = audio.fingerprint(Sound(np.ones(num_samples, np.float32), 1000))
        assert vector.shape == (768,)
        assert np.isfinite(vector).all()


def test_a_full_scale_sine_has_power_one():
    tone = Sound(np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32), 16000)
    power = audio_module._mel_power(tone, 4, 32, 60.0, 3800.0)
    assert power.shape == (4, 32)
    loudest = power.sum(axis=0).argmax()
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60.0, 3800.0)), 34)[1 + loudest]
    assert 700 * (10 ** (mel / 2595) - 1) == pytest.approx(1000, rel=0.1)


def test_check_notices_silence_and_clipping():
    assert audio.check(melody()) == []
    assert audio.check(Sound(np.full(100, 5e-5, np.float32), 8000)) == ["silent"]
    assert audio.check(Sound(np.clip(melody().samples * 9, -1, 1), 8000)) == ["clipped"]


def test_preview_is_a_small_picture_with_low_tones_below():
    tone = Sound(np.sin(2 * np.pi * 300 * np.arange(16000) / 16000).astype(np.float32), 16000)
    head, data = audio.preview(tone, 96).split(",")
    assert head == "data:image/png;base64"
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (96, 64)
    rows = np.asarray(picture.convert("L"), float).mean(axis=1)
    assert rows.argmax() > 40
    silent = audio.preview(Sound(np.zeros(1000, np.float32), 8000))
    assert np.ptp(np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(silent.split(",")[1]))))[..., 0]) == 0


@pytest.mark.skipif("HEADSTART_DATA" not in os.environ, reason="HEADSTART_DATA does not point to real data")
def test_one_digit_said_twice_is_no_copy():
    folder = Path(os.environ["HEADSTART_DATA"]) / "spoken-digits" / "recordings"
    prints = np.stack([audio.fingerprint(folder / f"7_theo_{i}.wav") for i in range(20)])
    assert np.triu(prints @ prints.T, 1).max() < audio.fingerprint_threshold
    again = audio.fingerprint(encoded(audio.decode(folder / "7_theo_0.wav"), "OGG"))
    assert again @ prints[0] >= audio.fingerprint_threshold
