"""What shows a training: event files for TensorBoard, and a curve in the terminal."""

import math
from pathlib import Path

import pytest
from rehearsal import rehearse

from headstart.training import loop
from headstart.training.curve import sparkline
from headstart.training.events import NAME, masked_crc, write_scalars
from headstart.training.loop import Recipe


def test_checksum() -> None:
    """RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8a9136aa (as a number), of "123456789" e3069283."""

    def unmasked(value: int) -> int:
        rotated = (value - 0xA282EAD8) & 0xFFFFFFFF
        return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF

    assert unmasked(masked_crc(bytes(32))) == 0x8A9136AA
    assert unmasked(masked_crc(b"123456789")) == 0xE3069283


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no TensorBoard here")
    rows = [{"epoch": 0, "train_loss": None, "valid_accuracy": 0.25, "note": "x"},
            {"epoch": 300, "train_loss": 1e60, "valid_accuracy": 0.5, "learning_rate": 3e-4},
            {"epoch": 301, "train_loss": math.nan, "valid_accuracy": -1}]  # fmt: skip
    for row in rows:
        write_scalars(tmp_path / "a", row)
    found = reader.EventAccumulator(str(tmp_path / "a")).Reload()
    assert sorted(found.Tags()["scalars"]) == ["learning_rate", "train/loss", "valid/accuracy"]
    assert [(e.step, e.value) for e in found.Scalars("valid/accuracy")] == [(0, 0.25), (300, 0.5), (301, -1.0)]
    assert found.Scalars("learning_rate")[0].value == pytest.approx(3e-4)
    assert found.Scalars("train/loss")[0].value == math.inf and math.isnan(found.Scalars("train/loss")[1].value)


def test_a_training_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(loop, "say", said.append)
    rehearse(tmp_path, recipe=Recipe(3), watch=lambda call, module: [0.1, 0.9, 0.5, 0.9][call])
    assert (tmp_path / "tensorboard" / "rehearsal" / NAME).stat().st_size > 200
    *epochs, ending = said
    assert ending == "rehearsal: the weights of epoch 1 are kept, the best on validation"
    assert [line.split("validation ")[1].split(",")[0] for line in epochs] == [
        f"0.900 {sparkline([0.1, 0.9])} (best)", f"0.500 {sparkline([0.1, 0.9, 0.5])}",
        f"0.900 {sparkline([0.1, 0.9, 0.5, 0.9])}"]  # fmt: skip


def test_sparkline() -> None:
    assert sparkline([0.1, 0.4, 0.8, 0.7], plain=False) == "▁▄█▇"
    assert sparkline([0, 1], plain=True) == "_#" and sparkline([], plain=True) == ""
    assert sparkline([2, 2], plain=False) == "▁▁" and sparkline([math.nan, 1, 2], plain=True) == "?_#"
    assert len(sparkline(list(range(100)))) == 24
