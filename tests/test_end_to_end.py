"""The main job as a user meets it: the command line on a folder of pictures, from nothing to a report."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs


def make_photos(folder: Path, classes: dict[str, tuple[int, int, int]], each: int = 14, side: int = 40) -> Path:
    """A folder of class folders with noisy pictures of a coloured disc on a textured ground."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for name, colour in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(each):
            centre = rng.uniform(0.3, 0.7, 2) * side
            disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (side * rng.uniform(0.15, 0.3)) ** 2
            picture = rng.uniform(60, 200, (side, side, 3))
            picture[disc] = np.array(colour) + rng.normal(0, 25, (int(disc.sum()), 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


COLOURS = {"<script>alert(1)</script>".replace("/", "∕"): (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("data") / "photos", COLOURS)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "HEADSTART_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "error"}


def headstart(*arguments: object, environment: dict[str, str], status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "default", "-m", "headstart", *map(str, arguments)]
    environment = {**environment, "PYTHONWARNINGS": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == status, done.stderr + done.stdout
    return done


def last_json(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_fit_predict_evaluate_report_rerun(photos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    run = tmp_path / "run"
    small = "embedded:image?input_size=3,32,32"  # the scratch baseline is the slow part
    options = ("--model", small, "--approach", "probe", "--json")
    result = last_json(headstart("fit", photos, "--out", run, *options, environment=environment))
    assert {"run", "task", "model", "approach", "scores", "verdict", "seconds"} <= set(result)
    assert result["approach"] == "probe" and result["model"] == small
    assert result["verdict"]["answer"] in ("helped", "no clear gain", "hurt")
    assert {c["baseline"] for c in result["verdict"]["comparisons"]} == {"scratch", "pixels"}
    written = {p.name for p in run.iterdir()}
    assert written == {
        "run.toml",
        "result.json",
        "history.jsonl",
        "predictions.parquet",
        "mistakes.json",
        "model",
        "report.html",
        "tensorboard",
    }
    html = (run / "report.html").read_text()
    assert "<script" not in html and "&lt;script&gt;" in html

    picture = next((photos / "green").iterdir())
    predicted = last_json(headstart("predict", run, picture, "--json", environment=environment))["predictions"][0]
    assert set(predicted["probabilities"]) == set(COLOURS)
    assert predicted["probabilities"][predicted["label"]] == pytest.approx(predicted["probability"])

    scores = last_json(headstart("evaluate", run, photos, "--json", environment=environment))
    assert scores["samples"] == 42 and scores["accuracy"] > 0.5

    again = tmp_path / "again"
    repeated = last_json(headstart("rerun", run, "--out", again, "--json", environment=environment))
    assert repeated["scores"] == result["scores"]
    (run / "report.html").unlink()
    headstart("report", run, "--no-open", environment=environment)
    assert (run / "report.html").exists()


def digests(run: Path) -> dict[str, str]:
    names = ["predictions.parquet", "model/model.safetensors", "model/head.safetensors", "history.jsonl"]
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}


FINETUNE = ("--approach", "finetune", "--set", "epochs=3", "--set", "patience=0", "--baseline", "none")


def test_same_seed_same_bits_and_resume_after_kill(photos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    whole = tmp_path / "whole"
    began = time.monotonic()
    headstart("fit", photos, "--out", whole, *FINETUNE, environment=environment)
    lasted = time.monotonic() - began
    wanted = digests(whole)

    other_cache = {**environment, "HEADSTART_CACHE": str(tmp_path / "other")}
    headstart("fit", photos, "--out", tmp_path / "twin", *FINETUNE, environment=other_cache)
    assert digests(tmp_path / "twin") == wanted, "same seed, same machine: the same bits"

    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "headstart", "fit", str(photos), "--out", str(killed), *FINETUNE]
    process = subprocess.Popen(command, env={**environment, "PYTHONWARNINGS": ""}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(killed.glob(".work/*.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    time.sleep(random.Random(0).uniform(0, 0.1) * lasted)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "result.json").exists(), "killed too late to test anything"
    assert "headstart resume" in headstart("evaluate", killed, photos, environment=environment, status=2).stderr
    headstart("resume", killed, environment=environment)
    assert digests(killed) == wanted


def test_interrupt_says_how_to_go_on(photos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "headstart", "fit", str(photos), "--out", str(run), "--approach", "scratch"]
    process = subprocess.Popen(
        command,
        env={**environment, "PYTHONWARNINGS": ""},
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background makes them, and so this process, deaf to interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (run / "run.toml").exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"headstart resume {run}" in errors and "Traceback" not in errors


def test_python_api(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    run = hs.fit(hs.read(photos), approach=hs.Probe(head="ridge"), out=tmp_path / "run", baseline="none")
    assert run.verdict is None and run.scores["accuracy"] > 0.5
    picture = next((photos / "blue").iterdir())
    before = run.predictor.predict([picture])[0]
    run.predictor.save(tmp_path / "model")
    assert hs.load(tmp_path / "model").predict([str(picture)])[0] == before
    assert hs.evaluate(run, photos)["samples"] == 42


BAD = {
    "an empty folder": (lambda p: (p / "x").mkdir(parents=True), ["--approach", "probe"], "no"),
    "no such folder": (lambda p: None, [], "There is no"),
    "one class": (lambda p: make_photos(p, {"only": (9, 9, 200)}), [], "class"),
    "one picture in a class": (lambda p: make_photos(make_photos(p, COLOURS), {"lone": (90, 9, 9)}, 1), [], "lone"),
    "an unknown model": (lambda p: make_photos(p, COLOURS), ["--model", "timm:resnet81"], "timm:resnet18"),
    "an unknown approach": (lambda p: make_photos(p, COLOURS), ["--approach", "finetun"], "finetune"),
    "an unknown setting": (
        lambda p: make_photos(p, COLOURS),
        ["--approach", "probe", "--set", "epochs=3"],
        "$.approach.epochs",
    ),
    "a bad number": (
        lambda p: make_photos(p, COLOURS),
        ["--approach", "finetune", "--set", "epochs=many"],
        "$.approach.epochs",
    ),
    "a bad budget": (lambda p: make_photos(p, COLOURS), ["--budget", "soon"], "90s"),
    "no shots at all": (lambda p: make_photos(p, COLOURS), ["--shots", "0"], "$.shots"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_clear_message(case: str, tmp_path: Path, environment: dict[str, str]) -> None:
    make, options, words = BAD[case]
    make(tmp_path / "data")
    done = headstart("fit", tmp_path / "data", "--out", tmp_path / "run", *options, environment=environment, status=2)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "Traceback" not in done.stderr
    assert words in lines[0]
    assert not (tmp_path / "run" / "result.json").exists()


def test_unreadable_pictures_are_listed_or_skipped(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = make_photos(tmp_path / "data", COLOURS)
    (folder / "green" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    options = ("--approach", "probe", "--baseline", "none")
    done = headstart("fit", folder, "--out", tmp_path / "a", *options, environment=environment, status=2)
    assert "torn.jpg" in done.stderr and "--on-bad skip" in done.stderr
    done = headstart("fit", folder, "--out", tmp_path / "b", "--on-bad", "skip", *options, environment=environment)
    assert "torn.jpg" in done.stderr
    assert any("torn.jpg" in note for note in json.loads((tmp_path / "b" / "result.json").read_text())["data"]["notes"])


def test_a_tampered_run_is_refused(photos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    run = tmp_path / "run"
    headstart("fit", photos, "--out", run, "--approach", "probe", "--baseline", "none", environment=environment)
    path = run / "model" / "head.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    done = headstart("predict", run, next((photos / "blue").iterdir()), environment=environment, status=2)
    assert "head.safetensors" in done.stderr and "headstart rerun" in done.stderr
    done = headstart("fit", photos, "--out", run, environment=environment, status=2)
    assert "already holds a finished run" in done.stderr


def test_the_budget_never_starves_the_baseline(photos: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    small = ("--model", "embedded:image?input_size=3,32,32", "--approach", "probe", "--budget", "0.01s")
    headstart("fit", photos, "--out", tmp_path / "run", *small, environment=environment)
    rows = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert max(row["epoch"] for row in rows if row["stage"] == "scratch") >= 8
