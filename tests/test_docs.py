"""The documentation is true: examples run, and the commands, options, names and links that it mentions exist."""

import dataclasses
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import headstart
from headstart import cli, config, plugins
from headstart.approaches import Approach
from headstart.approaches._adaptation import Adaptation
from headstart.approaches._aligned import Aligned
from headstart.models.card import ModelCard

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
VERBS = get_command(cli.app).commands  # type: ignore[attr-defined]
OPTIONS = {
    verb: {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    for verb, command in VERBS.items()
}
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/pytest"
DEMO_COMMAND = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/headstart demo"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(page: Path) -> list[tuple[str, str]]:
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The words behind ``headstart`` wherever a line or an inline code runs it."""
    lines = re.findall(r"^(?:\$ |.*/bin/)(headstart .*)$", text, re.MULTILINE) + re.findall(
        r"`(headstart [^`]+)`", text
    )
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()
    assert {entry.name for entry in tmp_path.iterdir()} <= {"cache"}, "an example leaves nothing behind"
    assert path.read_text("utf-8").count("\n") < 60


def test_every_example_is_shown() -> None:
    shown = (ROOT / "README.md").read_text("utf-8")
    assert EXAMPLES
    assert [path.name for path in EXAMPLES if f"docs/examples/{path.name}" not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for words in commands(text):
        verb = words[0]
        if verb == "--help":
            continue
        assert verb in VERBS, f"headstart {verb}"
        unknown = [word for word in words[1:] if word.startswith("--") and word.split("=")[0] not in OPTIONS[verb]]
        assert not unknown, f"headstart {' '.join(words)}"
    known = set.union(*OPTIONS.values(), {"--version"})
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(--[a-z-]+)", prose)) <= known


def test_the_documentation_has_commands() -> None:
    """The parser above sees what it should: every verb is shown somewhere."""
    assert {words[0] for page in PAGES for words in commands(page.read_text("utf-8"))} >= set(VERBS)


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=name_of)
def test_public_names_exist(page: Path) -> None:
    assert set(re.findall(r"\bhs\.([A-Za-z_]+)", page.read_text("utf-8"))) <= set(headstart.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_compile_and_json_blocks_are_cards(page: Path) -> None:
    import json

    for language, text in code_of(page):
        if language == "python":
            compile(text, name_of(page), "exec")
        if language == "json":
            config.from_dict(ModelCard, json.loads(text)).with_statistics_checked(name_of(page))


def test_the_verdict_shown_is_the_one_computed() -> None:
    [block] = [text for language, text in code_of(ROOT / "docs" / "verdict.md") if language == "python"]
    exec(compile(block, "docs/verdict.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, heading = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def test_every_approach_and_setting_is_described() -> None:
    text = (ROOT / "docs" / "approaches.md").read_text("utf-8")
    sections = {part.split("\n", 1)[0]: part for part in text.split("\n## ")}
    adaptation = (ROOT / "docs" / "adaptation.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in adaptation.splitlines() if line.startswith("| `")}
    shared = "\n".join(line for line in adaptation.splitlines() if line.startswith("- `"))
    for name in plugins.names("approaches"):
        kind = plugins.variant("approaches", name, Approach)
        described = rows[name] if issubclass(kind, Adaptation) else sections[name]
        described += shared if issubclass(kind, Aligned) else ""
        missing = [setting.name for setting in dataclasses.fields(kind) if f"`{setting.name}`" not in described]
        assert not missing, f"docs, {name}"


def test_every_entry_of_a_card_is_described() -> None:
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    later = {"feature_dim"}  # written by headstart
    assert [f.name for f in dataclasses.fields(ModelCard) if f"`{f.name}`" not in text and f.name not in later] == []


def test_readme_commands_are_what_ci_runs() -> None:
    readme, ci = (ROOT / "README.md").read_text("utf-8").splitlines(), (ROOT / ".ci" / "run").read_text("utf-8")
    assert TEST_COMMAND in readme
    assert DEMO_COMMAND in readme
    assert TEST_COMMAND in ci
    assert DEMO_COMMAND.rpartition("&& ")[2] in ci
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_constraints_name_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert {line.partition("==")[0] for line in lines} == {re.split(r"[<>=~!]", entry)[0] for entry in wanted}
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+", line) for line in lines)
