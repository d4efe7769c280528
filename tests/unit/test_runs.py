import json
import os
import subprocess
import sys
import tomllib
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headstart import runs
from headstart.errors import ConfigError, RunError
from headstart.runs import Settings
from headstart.training.checkpoint import save_checkpoint
from tiny import PYTHON, environment

SETTINGS = Settings(
    data='/data/with "quotes" and ünïcode \\ x',
    model="timm:resnet18.a1_in1k",
    approach={"name": "finetune", "epochs": 3, "learning_rate": 1e-4, "augment": "crop,flip"},
    baseline="none",
    seed=7,
    shots=5,
    budget=90.5,
    on_bad="skip",
    labels="kind",
    paths="file",
    group=r"patient(\d+)",
)


def finished(folder: Path, settings: Settings = SETTINGS) -> Path:
    with runs.opened(folder, settings):
        (folder / "model").mkdir()
        (folder / "model" / "card.json").write_text("{}")
        (folder / "predictions.parquet").write_bytes(b"rows")
        runs.close(folder, {"scores": {"accuracy": 0.5}})
    return folder


@pytest.mark.parametrize("settings", [SETTINGS, Settings(data="")])
def test_settings_round_trip(tmp_path: Path, settings: Settings) -> None:
    with runs.opened(tmp_path / "1", settings):
        assert runs.read_settings(tmp_path / "1") == settings
    stored = tomllib.loads((tmp_path / "1" / "run.toml").read_text("utf-8"))
    given = {name for name in Settings.__dataclass_fields__ if getattr(settings, name) is not None}
    assert set(stored) == given  # nothing decides a run that run.toml does not hold


def test_a_finished_run_reads_back(tmp_path: Path) -> None:
    folder = finished(tmp_path / "1")
    found = runs.read_result(folder)
    assert found["scores"] == {"accuracy": 0.5}
    assert set(found["files"]) == {"run.toml", "model/card.json", "predictions.parquet"}
    (folder / "report.html").write_text("a report may be written anew")
    (folder / ".work" / "x.json").write_text("leftovers")
    runs.read_result(folder)


@pytest.mark.parametrize("name", ["run.toml", "model/card.json", "predictions.parquet"])
@pytest.mark.parametrize("change", ["edit", "remove"])
def test_tampering_is_noticed(tmp_path: Path, name: str, change: str) -> None:
    path = finished(tmp_path / "1") / name
    if change == "edit":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    with pytest.raises(RunError, match=r"(?s)" + path.name + ".*not what the run wrote.*headstart rerun"):
        runs.read_result(tmp_path / "1")
    assert runs.read_result(tmp_path / "1", verify=False)["scores"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"files": [1]}', '{"files": {"../../secret": "00"}}'])
def test_a_damaged_result_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text("x")
    (finished(tmp_path / "a" / "1") / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"damaged|not what the run wrote"):
        runs.read_result(tmp_path / "a" / "1")


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyError), runs.opened(tmp_path / "1", SETTINGS):
        raise KeyError("a crash")
    with pytest.raises(RunError, match=r"not finished.*headstart resume"):
        runs.read_result(tmp_path / "1")
    with runs.opened(tmp_path / "1", SETTINGS) as work:  # the lock is free again
        assert work.is_dir()
    with pytest.raises(RunError, match="not a run folder"):
        runs.read_result(tmp_path)
    with pytest.raises(RunError, match="not a run folder"):
        runs.read_settings(tmp_path / "nowhere")


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    with runs.opened(tmp_path / "1", SETTINGS):
        pass
    other = replace(SETTINGS, seed=8, shots=None)
    with pytest.raises(RunError, match="seed is 7 there and 8 here; shots is 5 there and None here") as caught:
        runs.opened(tmp_path / "1", other).__enter__()
    assert "model" not in str(caught.value).split("Continue")[0]
    assert runs.read_settings(tmp_path / "1") == SETTINGS


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    folder = finished(tmp_path / "1")
    before = (folder / "result.json").read_bytes()
    with pytest.raises(RunError, match="already holds a finished run"):
        runs.opened(folder, SETTINGS).__enter__()
    assert (folder / "result.json").read_bytes() == before
    other = tmp_path / "photos"
    other.mkdir()
    (other / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(RunError, match="not a run folder; nothing was written"):
        runs.opened(other, SETTINGS).__enter__()
    assert [p.name for p in other.iterdir()] == ["holiday.jpg"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("x")
    with pytest.raises(RunError, match="Choose another --out"):
        runs.opened(tmp_path / "1", SETTINGS).__enter__()
    with pytest.raises(RunError, match="cannot be created"):
        runs.opened(tmp_path / "1" / "2", SETTINGS).__enter__()


def test_a_second_process_is_locked_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from headstart import runs\n"
        f"with runs.opened(Path({str(tmp_path / '1')!r}), runs.Settings(data='')):\n"
        "    print('in', flush=True); sys.stdin.read()\n"
    )
    command = [PYTHON, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None and process.stdout.readline() == b"in\n"
        with pytest.raises(RunError, match="in use by another process"):
            runs.opened(tmp_path / "1", Settings(data="")).__enter__()
        process.kill()  # the lock dies with its process
    with runs.opened(tmp_path / "1", Settings(data="")):
        pass


@pytest.mark.parametrize(
    ("place", "rest"),
    [
        ("folder", ""),
        ("folder", "?input_size=3,64,64"),
        ("folder", "?input_size=3,64,64&crop_fraction=1"),
        ("a b/what?", ""),
        ("w.safetensors", "#timm/resnet18?input_size=3,64,64&mean=0.5,0.5,0.5"),
    ],
)
def test_a_lasting_reference_is_absolute_and_keeps_the_rest(
    place: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).mkdir(parents=True)
    for reference in (place + rest, f"local:{place}{rest}"):
        lasting = runs.lasting_reference(reference)
        assert lasting == f"local:{tmp_path / place}{rest}"
        assert runs.lasting_reference(lasting) == lasting


@pytest.mark.parametrize(
    "reference", ["auto", "timm:resnet18", "embedded:image?input_size=3,64,64", "?input_size=3,64,64"]
)
def test_a_reference_that_is_no_path_stays(reference: str) -> None:
    assert runs.lasting_reference(reference) == reference


def test_the_lock_of_windows_is_on_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls, on a stand-in: the byte at the position is locked, wherever the file was opened to write."""
    locked: list[tuple[int, int]] = []

    def locking(number: int, mode: int, count: int) -> None:
        place = (os.lseek(number, 0, os.SEEK_CUR), count)
        if place in locked:
            raise OSError
        locked.append(place)

    monkeypatch.setitem(sys.modules, "fcntl", None)  # as where there is none
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    (tmp_path / "lock").write_text("left by another program")
    with (tmp_path / "lock").open("a") as one, (tmp_path / "lock").open("a") as two:
        assert runs.locked(one) and not runs.locked(two)
    assert locked == [(0, 1)]


def test_opening_cuts_no_lock_short(tmp_path: Path) -> None:
    (tmp_path / "1" / ".work").mkdir(parents=True)
    (tmp_path / "1" / ".work" / "lock").write_text("held")
    with runs.opened(tmp_path / "1", SETTINGS) as work:
        assert (work / "lock").read_text() == "held"


def test_damaged_settings_name_the_entry(tmp_path: Path) -> None:
    with runs.opened(tmp_path / "1", SETTINGS):
        pass
    path = tmp_path / "1" / "run.toml"
    path.write_text(path.read_text("utf-8").replace("seed = 7", 'seed = "seven"'), "utf-8")
    with pytest.raises(RunError, match=r"\$\.seed: expected int, got 'seven'"):
        runs.read_settings(tmp_path / "1")
    path.write_text("seed = ")
    with pytest.raises(RunError, match="damaged"):
        runs.read_settings(tmp_path / "1")


def test_next_folder(tmp_path: Path) -> None:
    assert runs.next_folder(tmp_path / "runs") == tmp_path / "runs" / "1"
    for name in ("1", "3", "notes"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert runs.next_folder(tmp_path / "runs") == tmp_path / "runs" / "4"


def test_the_result_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = finished(tmp_path / "1")
    written = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert max(written, key=lambda p: written[p]) == folder / "result.json"
    json.loads((folder / "result.json").read_text())


def test_a_refused_run_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), runs.opened(tmp_path / "1", SETTINGS) as work:
        (work / "history.jsonl").write_text("{}")
        raise ConfigError("a rate with which nothing can be learned")
    assert not (tmp_path / "1").exists()
    with pytest.raises(ConfigError), runs.opened(tmp_path / "runs" / "1", SETTINGS):
        raise ConfigError("the folder around it was made for it as well")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "2").mkdir()
    with pytest.raises(ConfigError), runs.opened(tmp_path / "2", SETTINGS):
        raise ConfigError("a folder that was there stays")
    assert list((tmp_path / "2").iterdir()) == []
    for folder in (tmp_path / "3", tmp_path / "4"):
        with pytest.raises(RunError), runs.opened(folder, SETTINGS) as work:
            if folder.name == "3":
                module = torch.nn.Linear(2, 2)
                save_checkpoint(work / "finetune.checkpoint", {"module": module}, torch.optim.SGD(module.parameters()), {})
            else:
                (folder / "model").mkdir()
            raise RunError("a full disk")
        assert runs.read_settings(folder) == SETTINGS  # it can be gone on with


def test_the_difference_of_two_approaches_is_that_of_their_settings() -> None:
    other = replace(SETTINGS, approach={**SETTINGS.approach, "epochs": 4, "tuning": "full"})
    assert runs.difference(SETTINGS, other) == (
        "approach.epochs is 3 there and 4 here; approach.tuning is None there and 'full' here"
    )
    other = replace(SETTINGS, approach={"name": "probe", "head": "knn"})
    assert runs.difference(SETTINGS, other) == "approach.name is 'finetune' there and 'probe' here"
