import errno
import json
import sys
from pathlib import Path

import pytest
import typer

from headstart import cli, runs, verbs


def test_the_name_of_a_missing_file_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").write_text("a text")
    assert verbs.given("here") == Path("here")
    Path("folder").mkdir()
    for name in ("folder", "missing.txt", "folder/missing.JPG"):
        assert verbs.given(name) == Path(name)
    for text in ("It never arrived.", "", "see notes.txt", "Great", "word" * 500 + ".txt"):
        assert verbs.given(text) == text


def test_a_full_disk_says_where_and_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    with pytest.raises(typer.Exit), verbs.spoken(True, run), runs.opened(run, runs.Settings(data="photos")):
        raise OSError(errno.ENOSPC, "No space left on device")
    said = json.loads(capsys.readouterr().out)["error"]
    assert said.startswith(f"No space left on device: {run}. ") and said.endswith(f"continue with: headstart resume {run}")
    with pytest.raises(typer.Exit), verbs.spoken(False):
        Path(tmp_path / "missing").read_text()
    assert f"No such file or directory: {tmp_path / 'missing'}. " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--bogus"], "No such option: --bogus"), (["--seed", "x"], "Invalid value for '--seed'")]
)
def test_a_usage_error_is_one_json_object_where_json_is_asked_for(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["headstart", "fit", "photos", *arguments, *more])
        with pytest.raises(SystemExit) as ended:
            cli.run()
        out, err = capsys.readouterr()
        assert ended.value.code == 2 and words in err and "Try" in err
        assert (words in json.loads(out)["error"]) if more else not out


def test_an_answer_in_json_ends_with_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["headstart", "models", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 0 and json.loads(capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", ["headstart", "fit", "missing-photos", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 2 and "missing-photos" in json.loads(capsys.readouterr().out)["error"]
