import json
import subprocess
import sys
from pathlib import Path

import pytest

from headstart import launching, progress
from headstart.errors import ConfigError
from test_end_to_end import COLOURS, make_photos
from tiny import environment, saved

LAUNCH = (sys.executable, "-m", "accelerate.commands.launch")


def test_the_number_that_was_asked_for() -> None:
    for words in ("--num_processes 3", "--num_processes=3", "--num-processes 3", "--num-processes=3"):
        assert launching.asked_for(["accelerate", "launch", *words.split(), "-m", "headstart", "fit"]) == 3
    assert launching.asked_for(["accelerate", "launch", "-m", "headstart", "fit"]) is None


def test_a_process_knows_that_it_was_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launching.left_alone()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert not launching.left_alone(), "one process was asked for"
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert launching.left_alone()
    monkeypatch.setattr(launching, "_command_of_parent", lambda: ["accelerate", "launch", "-m", "headstart"])
    with pytest.raises(ConfigError, match="torchrun --standalone"):
        launching.launch_all()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launching.left_alone()


@pytest.mark.parametrize("size", ["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_launchers_say_how_many_and_which(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.num_processes() == 1 and progress.first_process()
    monkeypatch.setenv(size, "4")
    monkeypatch.setenv(size.replace("WORLD_SIZE", "RANK") if size == "WORLD_SIZE" else size.replace("SIZE", "RANK"), "2")
    assert progress.num_processes() == 4 and not progress.first_process()


def launched(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """``accelerate launch --num_processes 2 -m headstart ...`` as the command line has it."""
    command = [*LAUNCH, "--num_processes", "2", "-m", "headstart", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(PYTHONWARNINGS=""), timeout=600)
    assert (done.returncode == 0) == (status == 0), done.stderr + done.stdout
    return done


@pytest.mark.slow
def test_accelerate_launch_fits_as_one_process_does(tmp_path: Path) -> None:
    """Same gradients, so the same losses and validation; one folder, one answer, every sample counted once."""
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    photos, model = make_photos(tmp_path / "photos", COLOURS), saved(tmp_path / "model")
    options = ["fit", photos, "--model", model, "--approach", "finetune", "--set", "epochs=2", "--set", "augment=",
               "--baseline", "none", "--json"]  # fmt: skip
    done = launched(*options, "--out", tmp_path / "two")
    alone = subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, options), "--out", str(tmp_path / "one")],
        capture_output=True, text=True, env=environment(PYTHONWARNINGS=""), timeout=300, check=True,
    )  # fmt: skip
    [line] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    together, single = json.loads(line), json.loads(alone.stdout.splitlines()[-1])
    assert together["scores"]["confusion"] == single["scores"]["confusion"]
    assert sum(map(sum, together["scores"]["confusion"])) == sum(row["support"] for row in single["scores"]["per_class"].values())
    one, two = (
        [json.loads(row) for row in (tmp_path / name / "history.jsonl").read_text().splitlines()] for name in ("one", "two")
    )
    assert [row["epoch"] for row in two] == [row["epoch"] for row in one]
    for mine, other in zip(one, two, strict=True):
        for name in ("train_loss", "valid_loss", "valid_accuracy"):
            assert other.get(name) == pytest.approx(mine.get(name), abs=1e-4), (name, mine["epoch"])
    assert done.stderr.count("training on 2 processes") == 1 and done.stderr.count("epoch 2/2") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"photos", "model", "one", "two", "cache"} or not (tmp_path / "cache").exists()
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in (tmp_path / "one").iterdir()}
    again = launched(*options, "--out", tmp_path / "two", status=2)
    assert again.stderr.count("already holds a finished run") == 1
    refused = launched("predict", tmp_path / "two", next((photos / "blue").iterdir()), status=2)
    assert "this verb works in one" in refused.stderr and not refused.stdout.strip()
