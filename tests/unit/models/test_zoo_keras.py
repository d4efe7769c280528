"""Keras on torch: conventions of its families, modes layer by layer, files read as data."""

import copy
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart import models, plugins
from headstart.approaches import Approach, fresh
from headstart.errors import MissingExtra, MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models.card import ModelCard, write_card
from headstart.models.zoo._keras import KerasNetwork, keras_on_torch
from headstart.models.zoo.keras import APPLICATIONS, KerasBackbone, card_of
from headstart.training.run import Run, sow
from headstart.tuning import freeze_others, training_mode
from headstart.tuning.last import Last
from tiny import PYTHON, dataset, environment, frozen_bytes, split, task

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
STATED = ModelCard("keras/functional", "image", input_size=(3, 16, 16), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def network(nested: bool = False) -> Any:
    """A convolution, batch norm, dropout, a second convolution, and a classifier behind a pooling."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    body = [
        layers.Rescaling(2.0, offset=-1.0), layers.Normalization(axis=-1), layers.Conv2D(6, 3, strides=2, name="first", kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
        layers.BatchNormalization(name="norm"), layers.ReLU(), layers.Dropout(0.5, seed=3), layers.GaussianNoise(0.1, seed=5),
        layers.Conv2D(8, 3, name="second"), layers.BatchNormalization(name="norm2", scale=False),
    ]  # fmt: skip
    top = [layers.GlobalAveragePooling2D(), layers.Dense(4, name="hidden"), layers.Dropout(0.2), layers.Dense(3),
           layers.Softmax()]  # fmt: skip
    start = keras.Input((16, 16, 3))
    if nested:
        inner = keras.Sequential([keras.Input((16, 16, 3)), *body], name="body")
        inner.trainable = False  # as in the usual recipe for transfer
        body = [inner]
    x = start
    for layer in [*body, *top]:
        x = layer(x)
    made = keras.Model(start, x)
    rng = np.random.default_rng(1)
    for layer in made._flatten_layers():
        if isinstance(layer, layers_of_norms()):
            layer.set_weights([0.5 + np.abs(rng.normal(size=w.shape)).astype(w.dtype) for w in layer.get_weights()])
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
    return made


def layers_of_norms() -> tuple:
    return keras.layers.BatchNormalization, keras.layers.Normalization


def written(folder: Path, model: Any = None, card: ModelCard | None = STATED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (model or network()).save(folder / "own.keras")
    if card:
        write_card(card, folder / "own.card.json")
    return folder / "own.keras"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("keras"))


def loaded(file: Path) -> KerasBackbone:
    made = models.load(f"keras:{file}")
    assert isinstance(made, KerasBackbone)
    return made.eval()


@pytest.mark.parametrize("name", APPLICATIONS)
def test_pictures_are_prepared_as_the_family_does(name: str) -> None:
    made = getattr(keras.applications, APPLICATIONS[name][0])
    module = sys.modules[made.__module__]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    expected = module.preprocess_input(pixels.astype(np.float32))
    card = card_of(name).replace(input_size=(3, 8, 8))
    body = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 1)])
    found = KerasBackbone(body._functional, card, name).batch(list(pixels)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_b0", "convnext_tiny", "mobilenet_v3_small"])
def test_the_families_without_preparation_have_it_inside(name: str) -> None:
    """Their first layers turn 0 to 255 into what the weights saw; outside there is nothing left to do."""
    made = getattr(keras.applications, APPLICATIONS[name][0])
    network = made(include_top=False, weights=None, input_shape=(32, 32, 3))
    kinds = {type(layer).__name__ for layer in network.layers[:4]}
    assert kinds & {"Rescaling", "Normalization"}


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b1"])  # cheap to build with their classifiers
def test_the_default_sides_are_those_of_keras(name: str) -> None:
    assert getattr(keras.applications, APPLICATIONS[name][0])(weights=None).input_shape[1] == APPLICATIONS[name][1]


@pytest.mark.parametrize("nested", [False, True])
def test_features_are_the_input_of_the_last_dense_layer(tmp_path: Path, nested: bool) -> None:
    model = network(nested)
    made = loaded(written(tmp_path, model))
    batch = made.prepare(dataset(1).items)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
    twin = keras.Model(model.inputs[0], dense.input)
    with torch.no_grad():
        expected = twin(batch.permute(0, 2, 3, 1), training=False)
        found = made(batch).vector
    assert found.shape == (3, 4) == (3, made.spec.dim)
    torch.testing.assert_close(found, expected)
    assert made.provides == {"vector", "gradients"} and [s.name for s in made.stages][-1].startswith("hidden")


def test_a_mode_reaches_every_layer_and_only_its_own(file: Path) -> None:
    made = loaded(file)
    batch = made.prepare(dataset(2).items)
    with torch.no_grad():
        still = made(batch).vector
        assert torch.equal(still, made(batch).vector)
        for parts in (["Dropout"], ["GaussianNoise"], ["norm"], ["norm2"]):
            made.eval()
            states = list(zip(made.network.graph.layers, made.network.layers, strict=True))
            for layer, state in states:
                state.train(type(layer).__name__ in parts or layer.name in parts)
            before = frozen_bytes(made.network)
            first, second = made(batch).vector, made(batch).vector
            assert not torch.equal(first, still), parts
            noisy = parts[0] in ("Dropout", "GaussianNoise")
            assert torch.equal(first, second) != noisy
            changed = {name for name, value in frozen_bytes(made.network).items() if value != before[name]}
            places = {i for i, (layer, _) in enumerate(states) if layer.name in parts}
            assert changed == {f"layers.{i}.running_{kind}" for i in places for kind in ("mean", "var")}
            made.eval()
            made.network.load_state_dict(loaded(file).network.state_dict())


def test_the_statistics_of_a_batch_norm_move_as_in_keras(file: Path) -> None:
    made, model = loaded(file), network()
    batch = made.prepare(dataset(2).items)
    place = [layer.name for layer in made.network.graph.layers].index("norm")
    made.network.layers[place].train()
    with torch.no_grad():
        made(batch)
        front = keras.Model(model.inputs[0], model.get_layer("norm").output)
        front(batch.permute(0, 2, 3, 1), training=True)
    moved = made.network.layers[place].running_mean
    assert not torch.equal(moved, loaded(file).network.layers[place].running_mean)
    torch.testing.assert_close(moved, model.get_layer("norm").moving_mean.value.detach())


def test_noise_is_governed_by_the_seed(file: Path) -> None:
    made = loaded(file).train()
    batch = made.prepare(dataset(1).items)
    found = []
    for seed in (1, 1, 2):
        sow(seed)
        made.network.load_state_dict(loaded(file).network.state_dict())
        found.append(made(batch).vector.detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_frozen_is_frozen_and_the_rest_moves(file: Path) -> None:
    made = loaded(file)
    groups = Last(2).groups(made, 0.1)
    freeze_others(made, groups)
    training_mode(made)
    moving = {f"network.{n}" for n, p in made.network.named_parameters() if p.requires_grad}
    before = frozen_bytes(made)
    made(made.prepare(dataset(2).items)).vector.square().sum().backward()
    torch.optim.SGD(groups).step()
    changed = {name for name, value in frozen_bytes(made).items() if value != before[name]}
    assert moving and changed >= moving
    first = [layer.name for layer in made.network.graph.layers].index("norm")
    assert not made.network.layers[first].training and not any(f".{first}." in name for name in changed)
    training_mode(made, still_norms=True)
    assert not any(m.training for m in made.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm))


def test_a_copy_is_independent(file: Path) -> None:
    made = loaded(file)
    batch = made.prepare(dataset(1).items)
    twin = copy.deepcopy(made)
    expected = made(batch).vector
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert torch.equal(made(batch).vector, expected) and not torch.equal(twin(batch).vector, expected)
    inside = {id(parameter) for parameter in twin.network.parameters()}
    assert all(id(parameter) in inside for stage in twin.stages for parameter in stage.parameters())


@pytest.fixture(scope="module")
def trained(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A model folder for each approach, and what it said before it was saved."""
    folder, said = tmp_path_factory.mktemp("trained"), {}
    for name in ("probe", "finetune", "scratch"):
        made, parts = loaded(file), split()
        before = frozen_bytes(made)
        kind = plugins.variant("approaches", name, Approach)
        settings = {} if name == "probe" else {"epochs": 2, "batch_size": 8}
        predictor = kind(**settings).fit(made, task(), parts, Run(seed=3, stage=name))
        assert frozen_bytes(made) == before
        said[name] = predictor.probabilities(parts.test)
        predictor.save(folder / name)
    return folder, said


def test_approaches_train_it_and_a_fresh_process_says_the_same(trained: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, said = trained
    code = (
        "import sys, numpy, tiny; from headstart.predictor import load_predictor; from pathlib import Path\n"
        "for name in sys.argv[2:]:\n"
        "    found = load_predictor(Path(sys.argv[1], name)).probabilities(tiny.split().test)\n"
        "    numpy.save(Path(sys.argv[1], name + '.npy'), found)"
    )
    done = subprocess.run([PYTHON, "-c", code, str(folder), *said], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, expected in said.items():
        assert np.array_equal(np.load(folder / f"{name}.npy"), expected)


def test_fresh_weights_depend_on_the_seed_alone(file: Path) -> None:
    made = loaded(file)
    one, same, other = (frozen_bytes(fresh(made, seed).network) for seed in (1, 1, 2))
    kernels = [name for name, value in made.network.named_parameters() if value.ndim > 1]
    assert one == same and all(one[name] != other[name] for name in kernels)  # that of a stated seed, too
    assert one.keys() == frozen_bytes(made.network).keys()
    assert models.load(f"keras:{file}", pretrained=False).spec == made.spec


def test_weights_loaded_later_are_those_that_count(file: Path) -> None:
    """A Normalization layer of Keras keeps tensors made from its weights when it was built."""
    made = loaded(file)
    built = plugins.load("models.zoo", "keras").Keras().build("functional", made.card, "twin", made.assets).eval()
    twin = copy.deepcopy(built)  # whose weights are not those in the memory that Keras knows
    batch = made.prepare(dataset(1).items)
    assert not torch.equal(twin(batch).vector, made(batch).vector)
    twin.network.load_state_dict(made.network.state_dict())
    assert torch.equal(twin(batch).vector, made(batch).vector)


def test_without_statistics_it_says_what_to_write_where(tmp_path: Path) -> None:
    path = written(tmp_path, card=None)
    with pytest.raises(MissingStatistics, match=r"own\.card\.json") as told:
        models.load(f"keras:{path}")
    assert "Rescaling and Normalization" in str(told.value)


def test_a_folder_with_a_card(tmp_path: Path) -> None:
    path = written(tmp_path, card=None)
    write_card(STATED.replace(weights="own.keras", input_size=None), tmp_path / "card.json")
    assert models.load(f"keras:{tmp_path}").card.input_size == (3, 16, 16)
    write_card(STATED.replace(weights="../own.keras"), tmp_path / "card.json")
    with pytest.raises(ModelError, match="names the weights"):
        models.load(f"keras:{tmp_path}")
    assert path.is_file()


def tampered(path: Path, change: Any = None, **members: bytes) -> None:
    """Rewrite a .keras file with another description or more members."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    if change:
        config = json.loads(held["config.json"])
        change(config["config"]["layers"][-2])
        held["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in {**held, **{k.replace("_", "."): v for k, v in members.items()}}.items():
            archive.writestr(name, raw)


def test_a_lambda_layer_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = keras.Input((16, 16, 3))
    path = written(tmp_path, keras.Model(start, keras.layers.Lambda(lambda x: x * 2, output_shape=(16, 16, 3))(start)))
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(UnsafeFile, match="Lambda layer, which runs code"):
        models.load(f"keras:{path}")


@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "Odd", "module": "evil", "config": {}, "registered_name": "Odd"},
        {"class_name": "Odd", "module": None, "config": {}, "registered_name": "Custom>Odd"},
        {"class_name": "get_file", "module": "keras.utils", "config": {}, "registered_name": None},
        {"class_name": "function", "module": "builtins", "config": "eval", "registered_name": "function"},
        {"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}, "registered_name": None},
        {"class_name": "x", "module": "keras.layersx", "config": {}, "registered_name": None},
    ],
)
def test_what_is_no_layer_of_keras_is_refused(tmp_path: Path, entry: dict) -> None:
    path = written(tmp_path)
    tampered(path, lambda layer: layer["config"].update(activation=entry))
    with pytest.raises(UnsafeFile):
        models.load(f"keras:{path}")
    made = loaded(written(tmp_path / "second"))
    config = json.loads(made.assets["keras.json"])
    config["config"]["layers"][2]["config"]["activation"] = entry
    with pytest.raises(UnsafeFile):  # a saved model is read with the same care
        plugins.load("models.zoo", "keras").Keras().build(
            "functional", made.card, "mine", {"keras.json": json.dumps(config).encode()}
        )


def test_other_members_and_damage_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    tampered(path, weights_pkl=b"\x80\x04.")
    with pytest.raises(UnsafeFile, match=r"weights\.pkl"):
        models.load(f"keras:{path}")
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelError, match=r"no \.keras file"):
        models.load(f"keras:{path}")
    with pytest.raises(UnknownModel):
        models.load("keras:nowhere.keras")


def test_offline_with_nothing_cached_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=False)
    with pytest.raises(ModelError, match="could not be fetched"):
        models.load("keras:mobilenet")


def test_another_backend_is_a_clear_error_and_a_missing_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match="imported with the backend 'jax'"):
        keras_on_torch()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[keras\]'"):
        keras_on_torch()


def test_at_most_eight_stages_hold_every_weight_once() -> None:
    made = models.load("keras:mobilenet?input_size=3,32,32", pretrained=False)
    assert len(made.stages) == 8 and made.provides == {"vector", "gradients", "maps"} and made.spec.dim == 1024
    held = [id(parameter) for stage in made.stages for parameter in stage.parameters()]
    assert sorted(held) == sorted(id(parameter) for parameter in made.parameters())
    assert isinstance(made.network, KerasNetwork)
