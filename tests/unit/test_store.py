import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from headstart import store as module
from headstart.store import Store
from tiny import PYTHON, environment


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(module, "say", lines.append)
    return lines


def test_keeps_by_space_and_key(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    assert store.get_many("a", [key(1)]) == {} and store.size() == 0
    store.put_many("a", {key(1): b"one", key(2): b"two"})
    store.put_many("b", {key(1): b"other"})
    again = Store(tmp_path / "s.sqlite")
    assert again.get_many("a", [key(1), key(2), key(3)]) == {key(1): b"one", key(2): b"two"}
    assert again.get_many("b", [key(1), key(2)]) == {key(1): b"other"}
    again.put_many("a", {key(1): b"uno!"})
    assert again.get_many("a", [key(1)]) == {key(1): b"uno!"}
    assert again.size() == 4 + 3 + 5


def test_more_keys_than_one_query_takes(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    blobs = {key(i): str(i).encode() for i in range(1203)}
    store.put_many("a", blobs)
    assert store.get_many("a", list(blobs)) == blobs


def test_limit_drops_the_least_recently_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, now = Store(tmp_path / "s.sqlite", limit=1000), 1e9
    monkeypatch.setattr(module.time, "time", lambda: now)
    for i in range(10):
        now += 10
        store.put_many("a", {key(i): bytes(100)})
    assert store.size() == 1000
    now += 7200  # a reading is noted once an hour
    store.get_many("a", [key(0)])
    now += 10
    store.put_many("a", {key(10): bytes(100)})
    assert 0 < store.size() <= 1000
    kept = set(store.get_many("a", [key(i) for i in range(11)]))
    assert {key(0), key(10)} <= kept  # just read, just written
    assert key(1) not in kept and kept >= {key(i) for i in range(5, 11)}  # a tenth more than needed goes, no more


def test_file_shrinks_with_what_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", limit=200_000)
    for i in range(40):
        store.put_many("a", {key(i): os.urandom(20_000)})
    assert store.size() <= 200_000
    assert store.path.stat().st_size < 3 * 200_000


def test_damaged_file_is_said_once_and_worked_around(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    store = Store(path)
    store.put_many("a", {key(1): b"one"})
    assert store.get_many("a", [key(1)]) == {}
    store.put_many("a", {key(1): b"one"})
    assert len(said) == 1 and str(path) in said[0] and "HEADSTART_CACHE" in said[0]
    assert store.size() == 0


def test_place_that_cannot_be_written(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "s.sqlite")
    store.put_many("a", {key(1): b"one"})
    assert store.get_many("a", [key(1)]) == {} and len(said) == 1


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.sqlite"
    Store(path).put_many("a", {key(1): b"one"})

    def full(self: Store, connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_make_room", full)
        Store(path).put_many("a", {key(1): b"changed", key(2): b"two"})
    assert len(said) == 1
    assert Store(path).get_many("a", [key(1), key(2)]) == {key(1): b"one"}  # all or none of a write


def test_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "a"))
    assert Store().path == tmp_path / "a" / "store.sqlite"
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert Store().path == tmp_path / "b" / "headstart" / "store.sqlite"


WRITER = """
import sys
from pathlib import Path
from headstart.store import Store
path, who, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for i in range(rounds):
    store = Store(path)
    store.put_many("a", {bytes([who]) + (20 * i + j).to_bytes(4, "big"): bytes([who]) * 1000 for j in range(20)})
    print(i, flush=True)
    assert not store._broken
"""


def writer(path: Path, who: int, rounds: int) -> subprocess.Popen:
    command = [PYTHON, "-c", WRITER, str(path), str(who), str(rounds)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_several_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    processes = [writer(path, who, 30) for who in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.split()[-1] == "29"
    store = Store(path)
    assert store.size() == 4 * 30 * 20 * 1000
    for who in range(4):
        wanted = [bytes([who]) + i.to_bytes(4, "big") for i in range(600)]
        assert store.get_many("a", wanted) == {entry: bytes([who]) * 1000 for entry in wanted}


def test_survives_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    process = writer(path, 1, 100_000)
    assert process.stdout is not None and process.stderr is not None
    said = [process.stdout.readline() for _ in range(5)]
    time.sleep(0.013)  # into the middle of a write
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    finished = len([line for line in said if line.endswith("\n")])
    store = Store(path)
    wanted = [b"\x01" + i.to_bytes(4, "big") for i in range(20 * (finished + 1))]
    found = store.get_many("a", wanted)
    assert len(found) >= 20 * finished and len(found) % 20 == 0  # whole writes only, none that was reported is lost
    assert set(found.values()) == {b"\x01" * 1000}
    store.put_many("a", {key(1): b"goes on"})
    assert store.get_many("a", [key(1)]) == {key(1): b"goes on"} and not store._broken
