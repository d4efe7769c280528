import io
import json
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headstart import models
from headstart.errors import ConfigError, MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models import nearest
from headstart.models.backbone import fingerprint
from headstart.models.card import write_card
from headstart.models.zoo import assemble
from headstart.models.zoo.embedded import GRID
from headstart.models.zoo.timm import Timm
from headstart.models.zoo.timm import card_of as timm_card
from tiny import CARD, backbone, frozen_bytes, loaded, saved

STATED = "input_size=3,32,32&mean=0.5,0.4,0.3&std=0.25,0.3,0.2"


@pytest.mark.parametrize(
    ("reference", "dim"),
    [
        ("timm:resnet10t", 512),
        ("timm:mobilenetv3_small_050", 1024),  # timm's own head before the classifier
        ("torchvision:resnet18", 512),
        ("torchvision:squeezenet1_1", 512),
        ("torchvision:inception_v3", 2048),
        ("embedded:image", 384 + GRID**2 * 128),
    ],
)
def test_every_zoo_builds_without_weights(reference: str, dim: int) -> None:
    made = models.load(reference, pretrained=False).eval()
    _, height, width = made.card.input_size or (3, 0, 0)
    with torch.inference_mode():
        features = made(torch.zeros(2, 3, height, width))
    assert features.vector.shape == (2, dim) and made.spec.dim == dim
    assert ("maps" in made.provides) == (features.maps is not None) and "gradients" in made.provides
    assert made.reference == reference and made.card.mean and made.card.std


def test_the_embedded_weights_are_trained() -> None:
    assert fingerprint(models.load("embedded:image")) == fingerprint(models.load("embedded:image"))
    assert fingerprint(models.load("embedded:image")) != fingerprint(models.load("embedded:image", pretrained=False))


@pytest.mark.parametrize(
    ("reference", "offered"),
    [
        ("timm:resnet19", "timm:resnet18"),
        ("timm:mobilenetv2_10", "timm:mobilenetv2_100"),
        ("torchvision:resnet19", "torchvision:resnet18"),
        ("torchvision:resnet18.IMAGENET1K_V9", "IMAGENET1K_V1"),
        ("embedded:picture", "embedded:image"),
        ("resnet18", "torchvision:resnet18"),
        ("tim:resnet18", "resnet18"),
        ("local:nowhere", "card.json"),
        ("nowhere/at/all", "card.json"),
    ],
)
def test_unknown_names_offer_what_there_is(reference: str, offered: str) -> None:
    with pytest.raises(UnknownModel, match=offered):
        models.load(reference)


def test_every_zoo_that_has_a_name_offers_it() -> None:
    found = nearest("resnet18", ["torchvision:resnet18", "timm:resnet18", "timm:ResNet18", "timm:vgg11"])
    assert found == " Nearest: torchvision:resnet18, timm:resnet18, timm:ResNet18."
    assert nearest("nothing like it", ["timm:resnet18"]) == ""
    with pytest.raises(UnknownModel, match=r"timm:resnet18, torchvision:resnet18"):  # timm's without a tag
        models.load("resnet18")


def test_names_of_timm_can_be_loaded() -> None:
    names = Timm().names()
    assert {"resnet18", "resnet18.a1_in1k"} <= set(names) and len(set(names)) == len(names)
    assert "resnet19" not in names and "resnet10" not in names  # the latter exists, without weights


@pytest.mark.parametrize("entry", ["my weights.safetensors", "model.safetensors (of epoch 3)"])
def test_the_weights_entry_may_have_spaces(entry: str, tmp_path: Path) -> None:
    folder = saved(tmp_path)
    if not entry.endswith(")"):
        (folder / "model.safetensors").rename(folder / entry)
        (folder / "my").write_bytes(b"another file")
    write_card(CARD.replace(weights=entry), folder / "card.json")
    assert frozen_bytes(models.load(str(folder)).network) == frozen_bytes(backbone().network)


@pytest.mark.parametrize(
    "form", ["{}?input_size=3,16,24", "local:{}?input_size=3,16,24", "local:{}/run?crop_fraction=0.5"]
)
def test_a_folder_takes_a_choice_of_size(form: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "it is mine")
    saved(folder / "run" / "model")
    reference = form.format(folder)
    made = models.load(reference)
    assert made.reference == reference
    wanted = {"input_size": (3, 16, 24)} if "size" in form else {"crop_fraction": 0.5}
    assert made.card == CARD.replace(**wanted)
    with pytest.raises(ConfigError, match="'mean' cannot be chosen"):
        models.load(f"{folder}?mean=0,0,0")
    with pytest.raises(UnknownModel, match="no model"):
        models.load("?input_size=3,16,16")


def test_a_folder_with_a_question_mark_in_its_name(tmp_path: Path) -> None:
    assert models.load(str(saved(tmp_path / "what?"))).card == CARD
    assert models.load(f"local:{saved(tmp_path / 'input?size=1')}").card == CARD


def test_no_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.hub.set_dir(str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for reference in ("timm:test_resnet.r160_in1k", "torchvision:mobilenet_v3_small"):
        with pytest.raises(ModelError, match=r"could not be fetched.*embedded:image"):
            models.load(reference)


def test_a_folder_with_a_card(tmp_path: Path) -> None:
    made = loaded(tmp_path)
    assert made.card == CARD
    assert frozen_bytes(made.network) == frozen_bytes(backbone().network)
    fresh = models.load(str(tmp_path), pretrained=False)
    assert frozen_bytes(fresh.network) != frozen_bytes(made.network)
    saved(tmp_path / "run" / "model")
    assert fingerprint(models.load(f"local:{tmp_path / 'run'}")) == fingerprint(made)  # a run folder


def test_a_state_dict_with_its_architecture(tmp_path: Path) -> None:
    state = models.load("timm:resnet10t", pretrained=False).network.state_dict()
    path = tmp_path / "weights.safetensors"
    save_file({**{n: v.contiguous() for n, v in state.items()}, "fc.weight": torch.zeros(3, 512)}, path)
    made = models.load(f"local:{path}#timm/resnet10t?{STATED}")
    assert all(torch.equal(value, state[name]) for name, value in made.network.state_dict().items())
    assert made.card.mean == (0.5, 0.4, 0.3) and made.card.input_size == (3, 32, 32)
    with pytest.raises(ModelError, match="does not say for which architecture"):
        models.load(str(path))
    with pytest.raises(MissingStatistics, match="mean, std"):
        models.load(f"local:{path}#timm/resnet10t?input_size=3,32,32")
    with pytest.raises(ConfigError, match=r"\$\.model\.meen"):
        models.load(f"local:{path}#timm/resnet10t?meen=1,1,1")
    with pytest.raises(ModelError, match="zoo/name"):
        models.load(f"local:{path}#resnet10t?{STATED}")


def test_a_file_of_another_zoo_says_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(b"")
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"")
    for zoo, name in (("keras", "net.keras"), ("onnx", "net.onnx"), ("savedmodel", "graph")):
        with pytest.raises(ModelError, match=f"write the zoo in front: {zoo}:{tmp_path / name}"):
            models.load(str(tmp_path / name))


def test_a_checkpoint_without_statistics_is_refused(tmp_path: Path) -> None:
    write_card(CARD.replace(mean=None, std=None), saved(tmp_path) / "card.json")
    with pytest.raises(MissingStatistics, match="does not state mean, std"):
        models.load(str(tmp_path))
    with pytest.raises(MissingStatistics, match="no mean and std"):
        timm_card("x", {"input_size": (3, 8, 8)})


class Bomb:
    def __reduce__(self) -> tuple:
        return os.mkdir, (sys.argv[0] + ".exploded",)  # any code at all


@pytest.mark.parametrize("name", ["model.bin", "model.pth", "model.safetensors"])
def test_a_pickle_is_refused_and_never_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "trap")])
    write_card(CARD.replace(weights=name), saved(tmp_path) / "card.json")
    for blob in (pickle.dumps({"a": Bomb()}), torch_pickle({"a": Bomb()})):
        (tmp_path / name).write_bytes(blob)
        with pytest.raises(UnsafeFile, match="pickle"):
            models.load(str(tmp_path))
    assert not (tmp_path / "trap.exploded").exists()


def torch_pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        models.load(str(tmp_path))
    path.unlink()
    with pytest.raises(ModelError, match="no weights file"):
        models.load(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("layer2.0.conv1.weight"), r"lack 'layer2\.0\.conv1\.weight' \(1 such\)"),
        (lambda state: state.update(layer9=torch.zeros(1)), "have the extra 'layer9'"),
        (lambda state: state.update({"bn1.weight": torch.zeros(99)}), r"misshape 'bn1\.weight'"),
    ],
)
def test_weights_that_do_not_fit(change, said: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = saved(tmp_path) / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(ModelError, match=said):
        models.load(str(tmp_path))


@pytest.mark.parametrize("where", ["../model.safetensors", "{}/model.safetensors", "sub/../../model.safetensors"])
def test_a_card_cannot_name_files_elsewhere(where: str, tmp_path: Path) -> None:
    saved(tmp_path)
    folder = saved(tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "weights": where.format(tmp_path)}))
    with pytest.raises(ModelError, match="outside its own folder"):
        models.load(str(folder))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    folder = saved(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="outside its own folder"):
        models.load(str(folder))


@pytest.mark.parametrize("architecture", ["small_resnet", "nozoo/resnet18", "_hub/x", "local/x", "embedded/other"])
def test_a_card_with_an_unknown_architecture(architecture: str) -> None:
    with pytest.raises(ModelError, match="architecture"):
        assemble(CARD.replace(architecture=architecture), "mine", None)


def test_the_fingerprint_sees_weights_and_preprocessing() -> None:
    one = backbone()
    assert fingerprint(one) == fingerprint(backbone())
    assert fingerprint(one) != fingerprint(backbone(seed=1))
    for change in ({"mean": (0.5, 0.4, 0.31)}, {"interpolation": "bicubic"}, {"channel_order": "BGR"}):
        other = backbone()
        other.card = other.card.replace(**change)
        assert fingerprint(other) != fingerprint(one)
    buffer = backbone()
    buffer.network.bn1.running_mean[0] += 1e-6  # type: ignore[union-attr,index]
    assert fingerprint(buffer) != fingerprint(one)
