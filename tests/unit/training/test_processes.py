import json
import socket
import subprocess
import sys
from pathlib import Path

import distributed
import numpy as np
import pytest
import torch

from headstart import progress
from headstart.errors import MissingExtra
from headstart.training.processes import Processes, own_place, processes
from headstart.training.run import Run
from tiny import environment


def ranks(tmp_path: Path, count: int = 2) -> list[tuple[dict[str, np.ndarray], dict]]:
    """The outcome of each of ``count`` connected processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = str(Path(__file__).with_name("distributed.py"))
    started = [
        subprocess.Popen(
            [sys.executable, script, str(tmp_path / "run"), str(tmp_path)],
            env=environment(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1",
                            MASTER_PORT=port, ACCELERATE_USE_CPU="true"),
            stderr=subprocess.PIPE,
        )
        for rank in range(count)
    ]  # fmt: skip
    errors = [process.communicate(timeout=300)[1].decode()[-2000:] for process in started]
    assert all(process.returncode == 0 for process in started), errors
    return [
        (dict(np.load(tmp_path / f"{rank}.npz")), json.loads((tmp_path / f"{rank}.json").read_text()))
        for rank in range(count)
    ]


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "precision", torch.float32)
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    (first, facts), (second, others) = ranks(tmp_path)
    alone, expected = distributed.outcome(None)
    for name, value in alone.items():
        assert np.array_equal(first[name], second[name]), f"{name} differs between the processes"
        assert np.allclose(first[name], value, atol=1e-6 if name.startswith("gradient") else 1e-4), name
    assert facts["history"] == others["history"] and len(facts["history"]) == 4
    assert facts["history"][0]["stage"] == "rehearsal"
    assert facts["metrics"] == pytest.approx(expected["metrics"], abs=1e-6) and others["metrics"] == facts["metrics"]
    assert sum(facts["sizes"]) + sum(others["sizes"]) == 90 == sum(expected["sizes"])  # every sample once
    assert facts["sizes"] and others["sizes"]
    assert facts["dropout"] != others["dropout"]
    assert facts["folder"] == str(tmp_path / "run") != others["folder"]
    assert not Path(others["folder"]).exists()  # it ended with its process


def test_alone_everything_stays_as_it_is(tmp_path: Path) -> None:
    assert processes() == Processes() and processes().first and own_place(tmp_path) == tmp_path
    value = {"a": [1.5]}
    assert Processes().share(value) is value and Processes().share_bytes(b"x") == b"x"


def test_a_missing_accelerate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    processes.cache_clear()
    with pytest.raises(MissingExtra, match=r"headstart\[distributed\]"):
        processes()
    processes.cache_clear()


@pytest.mark.parametrize(("rank", "count", "speaks"), [("0", "2", True), ("1", "2", False), ("1", "1", True)])
def test_only_the_first_speaks(
    rank: str, count: str, speaks: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", count)
    with progress.speaking():
        progress.say("hello")
    assert ("hello" in capsys.readouterr().err) is speaks
