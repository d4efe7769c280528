import importlib.metadata
import types
from abc import ABC
from collections.abc import Iterator
from pathlib import Path

import pytest

import headstart.solvers
from headstart import plugins
from headstart.approaches import Approach
from headstart.approaches.probe import Probe
from headstart.errors import ConfigError
from headstart.solvers import Solver

SOLVER = "from headstart.solvers import Solver\nclass Mine(Solver):\n    grid = (1.0,)\n"


@pytest.fixture
def looked_up_anew() -> Iterator[None]:
    """What is installed cannot change while a program runs, so it is remembered; not across these tests."""
    remembered = (plugins.names, plugins._entry_points)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


def test_names_are_file_names() -> None:
    assert {"distill", "finetune", "probe", "scratch"} <= set(plugins.names("approaches"))
    for package, some in (("models.zoo", {"embedded", "local", "timm", "torchvision"}), ("tasks", {"classification"})):
        found = plugins.names(package)
        assert some <= set(found) and list(found) == sorted(set(found))
        assert not any(name.startswith("_") for name in found)  # not _hub, not _heads


def test_names_that_are_remembered_cannot_be_changed() -> None:
    before = list(plugins.names("solvers"))
    with pytest.raises(AttributeError):
        plugins.names("solvers").append("mine")  # type: ignore[attr-defined]
    assert list(plugins.names("solvers")) == before


@pytest.mark.usefixtures("looked_up_anew")
def test_a_new_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(SOLVER)
    (tmp_path / "_hidden.py").write_text("raise RuntimeError")
    monkeypatch.setattr(headstart.solvers, "__path__", [*headstart.solvers.__path__, str(tmp_path)])
    assert "mine" in plugins.names("solvers") and "_hidden" not in plugins.names("solvers")
    assert plugins.variant("solvers", "mine", Solver).grid == (1.0,)


@pytest.mark.usefixtures("looked_up_anew")
def test_entry_points_add_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_solver.py").write_text(SOLVER)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = importlib.metadata.EntryPoint("outside", "outside_solver", "headstart.solvers")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == "headstart.solvers" else [])
    assert plugins.names("solvers") == ("knn", "logistic", "outside", "ridge", "svm")
    assert plugins.variant("solvers", "outside", Solver).__module__ == "outside_solver"
    assert "outside" not in plugins.names("approaches")


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'prob' among the approaches: .*finetune.*Did you mean 'probe'\?"):
        plugins.load("approaches", "prob")
    with pytest.raises(ConfigError, match="logistic"):
        plugins.load("solvers", "../../etc/passwd")
    with pytest.raises(ConfigError):
        plugins.load("models.zoo", "_hub")


def test_variant_is_the_one_class_the_module_defines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugins.variant("approaches", "probe", Approach) is Probe
    assert plugins.variant("approaches", "finetune", Approach).__name__ == "FineTune"  # it imports Probe

    class Contract(ABC):  # noqa: B024
        pass

    class One(Contract):
        pass

    class Two(Contract):
        pass

    module = types.ModuleType("made.up")
    module.One, module.Two = One, Two  # type: ignore[attr-defined]
    One.__module__ = Two.__module__ = "made.up"
    monkeypatch.setattr(plugins, "load", lambda package, name: module)
    with pytest.raises(TypeError, match="exactly one Contract, found 2"):
        plugins.variant("solvers", "x", Contract)
    del module.Two  # type: ignore[attr-defined]
    assert plugins.variant("solvers", "x", Contract) is One
