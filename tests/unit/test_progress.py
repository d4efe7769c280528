import io
import sys

import pytest

from headstart import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_that_is_said_under_a_bar_stands_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress.speaking():
        for number in progress.track(range(2), "work", 2):
            progress.say(f"done {number}")
    shown = terminal.getvalue()
    assert "work" in shown
    for number in range(2):
        assert f"\x1b[2Kdone {number}\n" in shown, "the bar was wiped before the line was written"


def test_a_library_call_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say("nobody asked")
    with progress.speaking(), progress.hushed():
        progress.say("one of many")
    assert capsys.readouterr().err == ""
