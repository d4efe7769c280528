"""Event files for TensorBoard, written without it: ``tensorboard --logdir runs`` shows a training while it runs.

A file is a row of TFRecords (length, masked CRC-32C of the length, content, masked CRC-32C of the content), each an
``Event`` message. Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and
tensorflow/core/framework/summary.proto; tests read what is written with TensorBoard's own reader.
"""

from __future__ import annotations

import struct
import time
from functools import cache
from pathlib import Path
from typing import Any

NAME = "events.out.tfevents.0.headstart"  # TensorBoard looks for "tfevents"


def write_scalars(folder: Path, row: dict[str, Any]) -> None:
    """Append the numbers of a history row, at step "epoch", to the event file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {key: value for key, value in row.items() if isinstance(value, (int, float)) and key != "epoch"}
    with (folder / NAME).open("ab") as file:
        if file.tell() == 0:
            file.write(_record(_fixed64(1, time.time()) + _bytes(3, b"brain.Event:2")))
        values = b"".join(_bytes(1, _bytes(1, _tag(key)) + _float32(2, value)) for key, value in numbers.items())
        file.write(_record(_fixed64(1, time.time()) + _whole(2, int(row.get("epoch", 0))) + _bytes(5, values)))


def _tag(name: str) -> bytes:
    """``valid_accuracy`` as ``valid/accuracy``: TensorBoard groups by what stands before the slash."""
    return name.replace("_", "/", 1).encode() if name.startswith(("valid_", "train_")) else name.encode()


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc(length)) + content + struct.pack("<I", masked_crc(content))


def masked_crc(content: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4), rotated and shifted as TFRecords want it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


# Fields of protocol-buffer messages: (number, value) as the wire has them.
def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fixed64(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _float32(number: int, value: float) -> bytes:
    try:
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    except OverflowError:  # beyond float32
        return _varint(number << 3 | 5) + struct.pack("<f", float("inf") if value > 0 else float("-inf"))
