"""What every zoo must do, whatever its models are; new ones are found by their file. Its models: test_cells.py."""

import inspect
from pathlib import Path

import pytest

from headstart import models, plugins
from headstart.errors import MissingExtra, ModelError, UnknownModel
from headstart.models.zoo import Zoo, assemble
from tiny import CARD

NAMES = plugins.names("models.zoo")


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_name_is_an_error_that_says_so(name: str) -> None:
    # a table has no named model, and what the hub lacks cannot be told from what cannot be fetched
    with pytest.raises(ModelError if name in ("tables", "transformers") else UnknownModel):
        models.load(f"{name}:no_such_model_anywhere")
    with pytest.raises((ModelError, MissingExtra)):
        assemble(CARD.replace(architecture=f"{name}/no_such_model_anywhere"), "mine", None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["../x", "../../etc", "/etc/passwd", "..", "a/../../x"])
def test_a_name_that_leads_elsewhere_is_no_model(name: str, path: str) -> None:
    with pytest.raises((ModelError, MissingExtra)) as caught:
        models.load(f"{name}:{path}")
    assert "Traceback" not in str(caught.value)
    with pytest.raises(ModelError):
        assemble(CARD.replace(architecture=f"{path}/x"), "mine", None)


@pytest.mark.parametrize("name", NAMES)
def test_its_names_are_listed_without_the_network(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo: Zoo = plugins.variant("models.zoo", name, Zoo)()
    assert all(isinstance(entry, str) and entry for entry in zoo.names())
    assert not vars(zoo), "a zoo keeps no state"
    assert list(inspect.signature(zoo.build).parameters) == ["name", "card", "reference", "assets"]
