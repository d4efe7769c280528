"""What every approach must do, whatever it is; new ones are found by their file."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from headstart import config, plugins
from headstart.approaches import Approach
from headstart.errors import ConfigError, Incompatible
from headstart.models.pictures import PictureBackbone
from headstart.predictor import Predictor, load_predictor
from headstart.training.run import Run
from tiny import LABELS, backbone, frozen_bytes, saved, split, task

NAMES = plugins.names("approaches")


def approach(name: str, folder: Path) -> Approach:
    """The approach with its defaults, less long; a teacher where it wants one."""
    kind = plugins.variant("approaches", name, Approach)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    small = {"epochs": 2, "batch_size": 8, "views": 2}
    if "teacher" in known:
        small["teacher"] = str(saved(folder / "teacher"))  # type: ignore[assignment]
    return kind(**{key: value for key, value in small.items() if key in known})


class Trained:
    def __init__(self, name: str, folder: Path) -> None:
        self.start = backbone()
        self.before = frozen_bytes(self.start)
        self.split = split()
        self.approach = approach(name, folder)
        self.run = Run(folder, seed=3, stage=name)
        self.predictor = self.approach.fit(self.start, task(), self.split, self.run)


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(request.param, tmp_path_factory.mktemp(request.param))


def test_gives_probabilities(trained: Trained) -> None:
    assert isinstance(trained.predictor, Predictor)
    found = trained.predictor.probabilities(trained.split.test)
    assert found.shape == (len(trained.split.test), 3)
    assert (found >= 0).all() and np.allclose(found.sum(1), 1)


def test_saved_and_loaded_it_is_the_same(trained: Trained, tmp_path: Path) -> None:
    loaded = load_predictor(trained.predictor.save(tmp_path / "model"))
    test = trained.split.test
    assert np.array_equal(loaded.probabilities(test), trained.predictor.probabilities(test))
    assert loaded.task == trained.predictor.task and loaded.modality == "image"
    assert list(loaded.predict(test.subset([0]))[0].probabilities) == sorted(LABELS)


def test_the_backbone_that_was_given_stays_as_it_was(trained: Trained) -> None:
    assert frozen_bytes(trained.start) == trained.before
    assert all(parameter.requires_grad for parameter in trained.start.parameters())


def test_it_does_not_look_at_the_test_samples(trained: Trained, tmp_path: Path) -> None:
    parts = trained.split
    nothing = replace(parts, test=parts.test.subset([]))
    name = type(trained.approach).__module__.rpartition(".")[2]
    again = approach(name, tmp_path).fit(backbone(), task(), nothing, Run(tmp_path, seed=3, stage=name))
    # the same seed gives the same model, bit for bit
    assert frozen_bytes(again.backbone) == frozen_bytes(trained.predictor.backbone)
    assert frozen_bytes(again.head) == frozen_bytes(trained.predictor.head)


def test_its_settings_go_through_a_file(trained: Trained) -> None:
    assert config.from_dict(type(trained.approach), config.to_dict(trained.approach)) == trained.approach


def test_what_cannot_work_is_refused_before_any_work(trained: Trained) -> None:
    class Blind(PictureBackbone):
        def forward(self, batch):  # type: ignore[no-untyped-def]
            raise AssertionError("it began to work")

    for lacking in sorted(trained.approach.needs):
        made = backbone()
        made.__class__ = Blind
        made.provides = made.provides - {lacking}
        with pytest.raises(Incompatible, match=f"needs {lacking} from the model.*provides only"):
            trained.approach.fit(made, task(), trained.split, Run())


def test_numbers_out_of_range_are_refused_by_name(trained: Trained) -> None:
    for name, value in {"epochs": 0, "batch_size": 0, "patience": -1, "at_once": -1, "weight_decay": -0.1, "average": 1.0}.items():
        if hasattr(trained.approach, name):
            with pytest.raises(ConfigError, match=rf"\$\.approach\.{name}: expected .*, got "):
                replace(trained.approach, **{name: value}).fit(backbone(), task(), trained.split, Run())  # type: ignore[type-var]


def test_the_history_has_its_stage(trained: Trained) -> None:
    for row in trained.run.history:
        assert row["stage"] == trained.run.stage and {"epoch", "train_loss"} <= set(row)
        assert "note" in row or "valid_accuracy" in row


def test_the_probe_moves_no_weight(tmp_path: Path) -> None:
    for head in plugins.names("solvers"):
        kind = plugins.variant("approaches", "probe", Approach)
        start = backbone()
        found = kind(head=head).fit(start, task(), split(), Run())  # type: ignore[call-arg]
        assert frozen_bytes(found.backbone) == frozen_bytes(backbone())
