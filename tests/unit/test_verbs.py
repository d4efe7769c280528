from pathlib import Path

import pytest

from headstart import verbs


def test_the_name_of_a_missing_file_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").write_text("a text")
    assert verbs.given("here") == Path("here")
    Path("folder").mkdir()
    for name in ("folder", "missing.txt", "folder/missing.JPG"):
        assert verbs.given(name) == Path(name)
    for text in ("It never arrived.", "see notes.txt", "Great", "word" * 500 + ".txt"):
        assert verbs.given(text) == text
