import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pyarrow import parquet
from typer.main import get_command

import headstart as hs
from headstart import cli, launching, progress
from headstart.errors import ConfigError
from headstart.models.precision import uses_bfloat16
from test_end_to_end import COLOURS, make_photos
from tiny import environment, saved


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


@pytest.mark.parametrize("chosen", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}], ids=str)
def test_waiting_threads_let_their_cores_go_soon_unless_the_user_chose(chosen: dict[str, str]) -> None:
    """GNU OpenMP reads it when torch is loaded, so it is set before that."""
    code = """if True:
        import os, sys
        from headstart import __main__, cli
        def run():
            print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
        cli.run = run
        __main__.main()"""
    given = {name: value for name, value in environment().items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**given, **chosen})
    expected = "None" if "OMP_WAIT_POLICY" in chosen else chosen.get("GOMP_SPINCOUNT", launching.SPINS)
    assert done.stdout.split() == [expected, "False"]


LAUNCHERS = {"WORLD_SIZE": "RANK", "PMI_SIZE": "PMI_RANK", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK"}


@pytest.mark.parametrize(("size", "rank"), LAUNCHERS.items())
def test_launchers_say_how_many_and_which(size: str, rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.num_processes() == 1 and progress.first_process()
    monkeypatch.setenv(size, "4")
    monkeypatch.setenv(rank, "2")
    assert progress.num_processes() == 4 and not progress.first_process()


@pytest.mark.slow
def test_accelerate_launch_fits_as_one_process_does(tmp_path: Path) -> None:
    """Same gradients, so the same losses and validation; one folder, one answer, every sample counted once."""
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    photos, model = make_photos(tmp_path / "photos", COLOURS), str(saved(tmp_path / "model"))
    options = ["fit", str(photos), "--model", model, "--approach", "finetune", "--set", "epochs=2", "--set", "augment=",
               "--baseline", "none", "--json", "--out", str(tmp_path / "two")]  # fmt: skip
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "-m", "headstart", *options]
    done = subprocess.run(launch, capture_output=True, text=True, env=environment(PYTHONWARNINGS=""), timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    single = hs.fit(photos, model, hs.FineTune(epochs=2, augment=""), baseline="none", out=tmp_path / "one")
    [together] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert together["scores"]["confusion"] == single.scores["confusion"]
    assert sum(map(sum, together["scores"]["confusion"])) == len(
        parquet.read_table(tmp_path / "two" / "predictions.parquet")
    )
    one, two = (
        [json.loads(row) for row in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [row["epoch"] for row in two] == [row["epoch"] for row in one]
    close = 1e-2 if uses_bfloat16(torch.device("cpu")) else 1e-4  # a share of the batch is rounded in another order
    for mine, other in zip(one, two, strict=True):
        for name in ("train_loss", "valid_loss", "valid_accuracy"):
            assert other.get(name) == pytest.approx(mine.get(name), abs=close), (name, mine["epoch"])
    assert done.stderr.count("training on 2 processes") == 1 and done.stderr.count("epoch 2/2") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


def test_verbs_that_do_not_train_refuse_to_be_launched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for verb in ("predict x y", "evaluate x y", "tune x", "report x"):
        with pytest.raises(SystemExit):
            get_command(cli.app).main([*verb.split(), "--json"])
        said = capsys.readouterr()
        assert said.err.startswith("error: A launcher started several processes") and "error" in json.loads(said.out)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):
        get_command(cli.app).main(["predict", "x", "y", "--json"])
    said = capsys.readouterr()
    assert said.err.startswith("error in another process: ") and not said.out
