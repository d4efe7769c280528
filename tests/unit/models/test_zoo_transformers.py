import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_models
from headstart import models
from headstart.errors import MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models.backbone import fingerprint
from headstart.models.texts import TextBackbone
from tiny_models import bert, gpt2, roberta, sentences, vit, wav2vec2, write_json


def changed(path: Path, **facts: object) -> None:
    write_json(path, {**json.loads(path.read_text()), **facts})


@pytest.mark.parametrize("name", ["../../etc", "..", "a/../b", "/etc", "a b/c", "-x/y", "a/b/c", "https://x/y", ""])
def test_a_reference_that_is_no_repository(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel):
        models.load(f"transformers:{name}")


def test_a_folder_or_its_bare_path(tmp_path: Path) -> None:
    assert fingerprint(models.load(bert(tmp_path))) == fingerprint(models.load(str(tmp_path)))
    assert fingerprint(models.load(bert(tmp_path), pretrained=False)) != fingerprint(models.load(str(tmp_path)))


def test_limits_and_pooling_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    plain = models.load(bert(tmp_path / "bert"))
    assert (plain.card.maximum_length, plain.card.pooling, plain.card.normalise) == (32, "mean", False)
    declared = models.load(sentences(tmp_path / "sentences"))
    assert (declared.card.maximum_length, declared.card.pooling, declared.card.normalise) == (24, "cls", True)
    assert models.load(roberta(tmp_path / "roberta")).card.maximum_length == 32  # two positions are those of padding


@pytest.mark.parametrize(
    ("told", "pooling"),
    [({"pooling_mode_mean_tokens": True}, "mean"), ({"pooling_mode_max_tokens": True}, "max"),
     ({"pooling_mode_lasttoken": True}, "last"), ({"pooling_mode_cls_token": True}, "cls"),
     ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ""), ({}, "")],
)  # fmt: skip
def test_poolings_of_sentence_transformers(told: dict, pooling: str, tmp_path: Path) -> None:
    reference = sentences(tmp_path)
    write_json(tmp_path / "1_Pooling" / "config.json", told)
    if pooling:
        assert models.load(reference).card.pooling == pooling
    else:
        with pytest.raises(ModelError, match="pooling that is not supported"):
            models.load(reference)


def test_a_layer_behind_the_pooling_is_refused(tmp_path: Path) -> None:
    reference = sentences(tmp_path)
    entries = json.loads((tmp_path / "modules.json").read_text())
    write_json(tmp_path / "modules.json", [*entries, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}])
    with pytest.raises(ModelError, match="the layer Dense"):
        models.load(reference)


def test_no_padding_token(tmp_path: Path) -> None:
    backbone = models.load(gpt2(tmp_path))
    assert isinstance(backbone, TextBackbone) and backbone.padding == 0
    assert tiny_models.features(backbone, ["the ring", "a"]).shape == (2, 16)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5"])
def test_weights_only_as_a_pickle_are_refused(name: str, tmp_path: Path) -> None:
    reference = bert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnsafeFile, match=f"only as {name}.*pickle"):
        models.load(reference)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match="no weights"):
        models.load(reference)


def test_a_renamed_pickle_is_refused(tmp_path: Path) -> None:
    reference = bert(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load(reference)


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    reference = bert(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    missing = {name: value for name, value in state.items() if "layer.1.attention" not in name}
    save_file(missing, path, {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 'encoder\.layer\.1\.attention"):
        models.load(reference)
    wide = {
        name: torch.zeros(5, 5) if name.endswith("0.attention.self.query.weight") else v for name, v in state.items()
    }
    save_file(wide, path, {"format": "pt"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load(reference)


def test_a_head_that_the_checkpoint_brings_is_not_missed(tmp_path: Path) -> None:
    reference = bert(tmp_path)
    before = fingerprint(models.load(reference))
    path = tmp_path / "model.safetensors"
    state = {n: v for n, v in load_file(path).items() if "pooler" not in n}
    save_file(
        {**state, "classifier.weight": torch.zeros(7, 99), "classifier.bias": torch.zeros(7)}, path, {"format": "pt"}
    )
    assert fingerprint(models.load(reference)) == before


def test_a_tokeniser_that_is_missing(tmp_path: Path) -> None:
    reference = bert(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="tokeniser"):
        models.load(reference)


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    reference = bert(tmp_path)
    (tmp_path / "modeling_own.py").write_text(f"open({str(tmp_path / 'exploded')!r}, 'w')\nOwn = None\n")
    changed(tmp_path / "config.json", auto_map={"AutoModel": "modeling_own.Own", "AutoConfig": "modeling_own.Own"})
    assert models.load(reference).spec.dim == 16
    changed(tmp_path / "config.json", model_type="own")
    with pytest.raises(ModelError, match="does not know"):
        models.load(reference)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("raw", ["", "[", "[]", '"x"', "{}"])
def test_a_damaged_configuration(raw: str, tmp_path: Path) -> None:
    reference = bert(tmp_path)
    (tmp_path / "config.json").write_text(raw)
    with pytest.raises(ModelError):
        models.load(reference)


def test_pictures_need_their_statistics(tmp_path: Path) -> None:
    reference = vit(tmp_path)
    assert models.load(reference).card.crop_mode == "squash"
    changed(tmp_path / "preprocessor_config.json", image_mean=None)
    with pytest.raises(MissingStatistics, match="image_mean"):
        models.load(reference)


def test_sounds_are_standardised_where_the_checkpoint_says_so(tmp_path: Path) -> None:
    reference = wav2vec2(tmp_path)
    assert models.load(reference).card.front_end == "waveform, standardised"
    changed(tmp_path / "preprocessor_config.json", do_normalize=False, sampling_rate=8000)
    assert models.load(reference).card.front_end == "waveform" and models.load(reference).card.sample_rate == 8000


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname", "sub/../../secret.json"])
def test_assets_stay_inside_their_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    folder = tiny_models.write_backbone(models.load(bert(tmp_path / "bert")), tmp_path / "model")
    assert models.load(str(folder)).assets
    changed(folder / "card.json", assets=[name])
    with pytest.raises(ModelError, match="outside its own folder"):
        models.load(str(folder))
    changed(folder / "card.json", assets=["missing.json"])
    with pytest.raises(ModelError, match=r"missing\.json"):
        models.load(str(folder))
