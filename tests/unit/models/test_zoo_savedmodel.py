"""SavedModels. Most of it needs TensorFlow, which is not among what the tests install."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart import models, plugins
from headstart.approaches import Approach
from headstart.errors import Incompatible, MissingExtra, MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models.card import ModelCard, write_card
from headstart.models.zoo.savedmodel import files_of, tensorflow
from headstart.training.run import Run
from tiny import PYTHON, dataset, environment, split, task

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)
STATED = ModelCard(
    "savedmodel/graph", "image", input_size=(3, 16, 16), mean=(0.0,) * 3, std=(1.0,) * 3, value_range=(-1.0, 1.0)
)


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    write_card(STATED, tmp_path / "card.json")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[tensorflow\]'"):
        models.load(f"savedmodel:{tmp_path}")


def test_a_folder_that_is_none_and_one_without_statistics(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="is no SavedModel"):
        models.load(f"savedmodel:{tmp_path}")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(MissingStatistics, match="input_size, mean, std"):
        models.load(f"savedmodel:{tmp_path}")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model" / "variables").mkdir(parents=True)
    (tmp_path / "model" / "variables" / "variables.index").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeFile, match="outside"):
        files_of(tmp_path / "model")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and its mean, with two outputs, and one that calls Python."""
    tf = tensorflow()

    class Tiny(tf.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 5), seed=(1, 2)))

        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32, "pictures")])
        def both(self, pictures):  # type: ignore[no-untyped-def]
            maps = tf.nn.relu(tf.nn.conv2d(pictures, self.kernel, 2, "SAME"))
            return {"maps": maps, "vector": tf.reduce_mean(maps, (1, 2))}

    class Touching(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32, "pictures")])
        def touch(self, pictures):  # type: ignore[no-untyped-def]
            return {"vector": tf.py_function(lambda x: x, [pictures], tf.float32)}

    folder = tmp_path_factory.mktemp("saved")
    made, other = Tiny(), Touching()
    tf.saved_model.save(made, str(folder / "good"), signatures={"serving_default": made.both})
    tf.saved_model.save(other, str(folder / "bad"), signatures={"serving_default": other.touch})
    write_card(STATED.replace(arguments={"output": "vector"}), folder / "good" / "card.json")
    write_card(STATED, folder / "bad" / "card.json")
    return folder


@needs_tensorflow
def test_features_are_those_of_tensorflow(saved: Path) -> None:
    tf = tensorflow()
    made = models.load(f"savedmodel:{saved / 'good'}").eval()
    samples = [made.shape(item) for item in dataset(1).items]
    found = made(made.batch(samples)).vector
    signature = tf.saved_model.load(str(saved / "good")).signatures["serving_default"]
    expected = signature(pictures=tf.constant(np.stack(samples).astype(np.float32) / 127.5 - 1))
    assert found.shape == (3, 5) == (3, made.spec.dim) and made.provides == {"vector"}
    np.testing.assert_allclose(found.numpy(), expected["vector"].numpy(), atol=1e-6)
    write_card(STATED.replace(arguments={"output": "maps"}), saved / "good.card.json")
    (saved / "good" / "card.json").rename(saved / "kept")
    try:
        assert torch.allclose(models.load(f"savedmodel:{saved / 'good'}")(made.batch(samples)).vector, found, atol=1e-6)
    finally:
        (saved / "kept").rename(saved / "good" / "card.json")


@needs_tensorflow
def test_python_inside_is_refused(saved: Path) -> None:
    with pytest.raises(UnsafeFile, match="EagerPyFunc"):
        models.load(f"savedmodel:{saved / 'bad'}")


@needs_tensorflow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "outputs maps, vector; choose"),
        ({"output": "x"}, "outputs maps"),
        ({"signature": "x"}, "signatures serving"),
    ],
)
def test_what_is_not_there_is_named(saved: Path, tmp_path: Path, arguments: dict, message: str) -> None:
    card = STATED.replace(arguments=arguments)
    zoo = plugins.load("models.zoo", "savedmodel").SavedModel()
    with pytest.raises(ModelError, match=message):
        zoo.build("graph", card, "mine", files_of(saved / "good"))


@needs_tensorflow
def test_the_probe_fits_and_a_fresh_process_says_the_same(saved: Path, tmp_path: Path) -> None:
    made = models.load(f"savedmodel:{saved / 'good'}")
    parts = split()
    predictor = plugins.variant("approaches", "probe", Approach)().fit(made, task(), parts, Run())
    expected = predictor.probabilities(parts.test)
    predictor.save(tmp_path / "model")
    code = (
        "import sys, numpy, tiny; from headstart.predictor import load_predictor; from pathlib import Path\n"
        "numpy.save(sys.argv[2], load_predictor(Path(sys.argv[1])).probabilities(tiny.split().test))"
    )
    command = [PYTHON, "-c", code, str(tmp_path / "model"), str(tmp_path / "found.npy")]
    subprocess.run(command, check=True, env=environment(), capture_output=True)
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected)
    with pytest.raises(Incompatible, match="needs gradients"):
        plugins.variant("approaches", "finetune", Approach)().fit(made, task(), parts, Run())
