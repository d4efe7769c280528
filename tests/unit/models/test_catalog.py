"""The catalogue: its facts hold for the networks that are built, its filters filter, fetching is safe and says where."""

import io
import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from headstart import cli, plugins
from headstart.errors import ConfigError, ModelError, UnknownModel, UnsafeFile
from headstart.models import catalog, hub, listing, load
from headstart.models.catalog import Entry, Wanted

COMMIT = "0" * 40
SMALL = 4e6
MINILM = "transformers:sentence-transformers/all-MiniLM-L6-v2"


def of(zoo: str, most: float = float("inf")) -> list[Entry]:
    return [entry for entry in catalog.cards() if entry.zoo == zoo and (entry.parameters or 0) <= most]


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Caches of the hub and of torch that belong to the test."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


def store(hub_cache: Path, repository: str, name: str, content: bytes) -> Path:
    """A file in the hub's cache, as its client lays it out."""
    folder = hub_cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    path = folder / "snapshots" / COMMIT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def weights(tmp_path: Path) -> bytes:
    save_file({"a": torch.zeros(3, 4)}, tmp_path / "some.safetensors")
    return (tmp_path / "some.safetensors").read_bytes()


# --- facts -----------------------------------------------------------------------------------------------------------


def test_every_family_of_the_contract_has_a_card() -> None:
    wanted = {"ResNet", "VGG", "Inception", "MobileNet", "EfficientNet", "ViT", "SqueezeNet", "ConvNeXt", "BERT", "GPT-2",
              "RoBERTa", "DistilBERT", "MiniLM", "Transformer-XL", "WaveNet", "DeepSpeech", "VGGish", "YAMNet",
              "wav2vec 2.0", "HuBERT", "Whisper"}  # fmt: skip
    assert wanted <= {entry.family for entry in catalog.cards()}
    assert {entry.modality for entry in catalog.cards()} == set(catalog.MODALITIES)


def test_entries_are_consistent() -> None:
    references = [entry.reference for entry in catalog.cards()]
    assert len(set(references)) == len(references)
    for entry in catalog.cards():
        assert entry.parameters and entry.features and entry.input and entry.source, entry.reference
        assert entry.zoo in {*plugins.names("models.zoo"), "keras"}, entry.reference
        figures = (entry.accuracy is not None, bool(entry.metric), bool(entry.measured), bool(entry.accuracy_source))
        assert len(set(figures)) == 1, f"{entry.reference}: a figure comes with its metric, its data and its source"
        assert entry.metric not in ("top-1", "SST-2") or 50 < (entry.accuracy or 0) < 100, entry.reference
        assert not entry.popularity or any(c.isdigit() for c in entry.popularity), "popularity comes with a date"
        assert bool(entry.weights) == (entry.zoo == "families"), entry.reference
    assert catalog.cards() == tuple(sorted(catalog.cards(), key=catalog.order))


@pytest.mark.parametrize("entry", of("timm"), ids=lambda entry: entry.name)
def test_timm_facts_are_those_of_the_network(entry: Entry) -> None:
    found = catalog._measured(entry.name)  # counted on the network that timm builds
    assert found is not None
    assert (found.parameters, found.features, found.license) == (entry.parameters, entry.features, entry.license)


def test_timm_names_and_inputs_are_timms_own() -> None:
    import timm
    from timm.models import get_pretrained_cfg

    known = set(timm.list_pretrained())
    for entry in of("timm"):
        facts = get_pretrained_cfg(entry.name)
        assert entry.name in known
        assert facts.hf_hub_id == f"timm/{entry.name}", "here and fetch rely on it"
        assert (facts.license, f"{facts.input_size[2]} x {facts.input_size[1]} pixels") == (entry.license, entry.input)


def test_torchvision_facts_are_those_of_its_metadata() -> None:
    from torchvision import models

    for entry in of("torchvision"):
        architecture, _, tag = entry.name.partition(".")
        found = models.get_model_weights(architecture)[tag]
        assert found is models.get_model_weights(architecture).DEFAULT, "a reference without weights means these"
        assert found.meta["num_params"] == entry.parameters
        assert found.meta["_metrics"]["ImageNet-1K"]["acc@1"] == entry.accuracy
        assert found.url.rpartition("/")[2] == entry.file


@pytest.mark.parametrize("entry", of("torchvision", SMALL) + of("embedded"), ids=lambda entry: entry.name)
def test_feature_width_is_what_the_backbone_gives(entry: Entry) -> None:
    assert load(entry.reference, pretrained=False).spec.dim == entry.features


@pytest.mark.parametrize("entry", of("families"), ids=lambda entry: entry.name)
def test_family_facts_are_those_of_the_network(entry: Entry) -> None:
    from headstart.models.zoo import families

    module = families.family(entry.name)
    kinds = {"transformer_xl": "TransformerXL", "wavenet": "WaveNet", "deepspeech": "DeepSpeech", "vggish": "VGGish",
             "deepspeech2": "DeepSpeech2", "yamnet": "network"}  # fmt: skip
    with torch.device("meta"):
        network = getattr(module, kinds[entry.name])()
    assert sum(p.numel() for p in network.parameters()) == entry.parameters
    assert getattr(network, "dim", getattr(network, "num_features", None)) == entry.features
    assert set(families.BUILDERS) == {card.name for card in of("families")}


def test_transformers_facts_are_those_of_the_network() -> None:
    from transformers import AutoModel, BertConfig, HubertConfig

    small = {"num_attention_heads": 12, "hidden_size": 384, "intermediate_size": 1536}
    for name, config in {
        MINILM: BertConfig(num_hidden_layers=6, **small),
        "transformers:ntu-spml/distilhubert": HubertConfig(num_hidden_layers=2),
    }.items():
        with torch.device("meta"):
            network = AutoModel.from_config(config)
        entry = catalog.show(name)
        assert (sum(p.numel() for p in network.parameters()), config.hidden_size) == (entry.parameters, entry.features)


def test_defaults_are_small_open_and_in_the_catalogue() -> None:
    for modality in catalog.MODALITIES:
        for reference in catalog.defaults(modality):
            entry = catalog.show(reference)
            assert entry.modality == modality
            assert "apache" in entry.license and not entry.weights
        assert (catalog.show(catalog.defaults(modality)[0]).parameters or 1e9) < 40e6
    assert catalog.defaults("image")[-1] == "embedded:image", "pictures need no network"
    with pytest.raises(ConfigError, match="table"):
        catalog.defaults("table")


# --- find and show ---------------------------------------------------------------------------------------------------


def test_filters_hold_together() -> None:
    found = catalog.find(Wanted("text", 30e6, "APACHE"))
    assert [entry.reference for entry in found] == [MINILM]
    assert all(entry.license for entry in catalog.find(Wanted(license="mit")))
    assert [entry.reference for entry in catalog.find(Wanted(here=True))] == ["embedded:image"]
    assert catalog.find() == list(catalog.cards())
    with pytest.raises(ConfigError, match="video"):
        Wanted("video")


def test_a_search_goes_through_timms_names_too() -> None:
    found = catalog.find(Wanted(search="ResNet10t"))
    assert "timm:resnet10t.c3_in1k" in [entry.reference for entry in found if not entry.listed]
    more = catalog.find(Wanted(search="mobilenet 050"))
    assert "timm:mobilenetv3_small_050.lamb_in1k" in [entry.reference for entry in more if entry.listed]
    assert len({entry.reference for entry in more}) == len(more)
    assert not any(entry.listed for entry in catalog.find(Wanted("audio", search="net")))


def test_an_unknown_size_does_not_pass_a_limit() -> None:
    assert not any(entry.listed for entry in catalog.find(Wanted(max_parameters=1e12, search="mobilenet")))


def test_show_knows_defaults_listed_names_and_says_what_is_near() -> None:
    assert catalog.show("torchvision:resnet18").reference == "torchvision:resnet18.IMAGENET1K_V1"
    assert catalog.show("timm:mobilenetv2_100").reference == "timm:mobilenetv2_100.ra_in1k"
    listed = catalog.show("timm:mobilenetv3_small_050.lamb_in1k")
    assert listed.listed and round((listed.parameters or 0) / 1e6, 2) == 1.59  # as timm's results table says
    with pytest.raises(UnknownModel, match=r"timm:resnet18\.a1_in1k"):
        catalog.show("timm:resnet19.a1_in1k")
    with pytest.raises(UnknownModel, match="Nearest"):
        catalog.show("transformers:sentence-transformers/all-MiniLM-L6")


def test_timms_results_table_is_used_where_the_package_carries_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results-imagenet.csv").write_text(
        "model,top1,img_size\nmobilenetv3_small_050.lamb_in1k,57.910,224\nmobilenetv2_100.ra_in1k,1.0,224\n"
    )
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(catalog, "find_spec", lambda name: spec)
    catalog.results_table.cache_clear()
    try:
        prior = catalog.with_prior(Entry("timm:mobilenetv3_small_050.lamb_in1k", "", "image", ""))
        assert (prior.accuracy, prior.metric) == (57.91, "top-1") and "224" in prior.measured
        assert "timm" in prior.accuracy_source
        own = next(entry for entry in catalog.cards() if entry.name == "mobilenetv2_100.ra_in1k")
        assert catalog.with_prior(own) == own, "a figure checked by hand stays"
    finally:
        monkeypatch.undo()
        catalog.results_table.cache_clear()


# --- here and fetch --------------------------------------------------------------------------------------------------


def test_here_looks_into_the_caches(caches: Path, tmp_path: Path) -> None:
    assert catalog.here("embedded:image") and not catalog.here("embedded:nothing")
    assert not catalog.here("timm:resnet18.a1_in1k") and not catalog.here("timm:nonsense")
    store(caches, "timm/resnet18.a1_in1k", "model.safetensors", b"x")
    assert catalog.here("timm:resnet18.a1_in1k") and catalog.here("timm:resnet18")
    for name in ("model.safetensors", "config.json"):
        store(caches, MINILM.partition(":")[2], name, b"{}")
        assert not catalog.here(MINILM), "its tokeniser is missing"
    store(caches, MINILM.partition(":")[2], "tokenizer.json", b"{}")
    assert catalog.here(MINILM)
    assert not catalog.here("torchvision:resnet18")
    catalog.torch_cache().mkdir(parents=True)
    (catalog.torch_cache() / "resnet18-f37072fd.pth").write_bytes(b"x")
    assert catalog.here("torchvision:resnet18") and catalog.here("torchvision:resnet18.IMAGENET1K_V1")
    assert not catalog.here("families:vggish") and not catalog.here("keras:resnet50")
    assert catalog.here(str(tmp_path)) and not catalog.here("local:no/such/folder")
    assert not catalog.here("transformers:../../etc/passwd") and not catalog.here("transformers:")
    assert not catalog.here("local:") and not catalog.here("")


def test_torchs_cache_is_where_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(catalog.torch_cache()) == f"{torch.hub.get_dir()}/checkpoints"
    monkeypatch.delenv("TORCH_HOME")
    assert str(catalog.torch_cache()) == f"{torch.hub.get_dir()}/checkpoints"


def test_shards_are_whole_or_not_here(caches: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    for name, content in {"model.safetensors.index.json": json.dumps(index).encode(), "config.json": b"{}",
                          "vocab.txt": b"", "model-1.safetensors": b"x"}.items():  # fmt: skip
        store(caches, "some/large", name, content)
    assert not hub.held("some/large")
    store(caches, "some/large", "model-2.safetensors", b"x")
    assert hub.held("some/large")
    index["weight_map"]["b"] = "../outside.safetensors"
    store(caches, "some/large", "model.safetensors.index.json", json.dumps(index).encode())
    with pytest.raises(UnsafeFile, match="beside it"):
        hub.held("some/large")


def serve(monkeypatch: pytest.MonkeyPatch, cache: Path, contents: dict[str, bytes]) -> list[str]:
    """A hub that holds one repository; what was asked of it is noted."""
    import huggingface_hub

    asked: list[str] = []

    def download(repository: str, name: str) -> str:
        asked.append(name)
        return str(store(cache, repository, name, contents[name]))

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repository: list(contents))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_fetch_takes_weights_and_companions_and_no_more(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = weights(tmp_path)
    contents = {"pytorch_model.bin": b"pickle", "model.safetensors": tensors, "config.json": b"{}", "README.md": b"-",
                "tokenizer.json": b"{}", "vocab.txt": b"a", "modules.json": b"[]", "1_Pooling/config.json": b"{}",
                "onnx/model.onnx": b"x", "openvino/config.json": b"{}", "modeling_evil.py": b"x"}  # fmt: skip
    asked = serve(monkeypatch, caches, contents)
    result = catalog.fetch(MINILM)
    assert set(asked) == {"config.json", "tokenizer.json", "vocab.txt", "modules.json", "1_Pooling/config.json",
                          "model.safetensors"}  # fmt: skip
    assert asked[-1] == "model.safetensors", "weights last: where they are, everything is"
    assert result.new == result.size == sum(len(contents[name]) for name in asked)
    assert (result.place / "model.safetensors").is_file() and catalog.here(MINILM)
    asked.clear()
    again = catalog.fetch(MINILM)
    assert asked == [] and again.new == 0 and again.size == result.size


def test_fetch_refuses_pickles_and_finds_damage(caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, caches, {"pytorch_model.bin": b"x", "config.json": b"{}", "vocab.txt": b""})
    with pytest.raises(UnsafeFile, match=r"only as pytorch_model\.bin"):
        catalog.fetch("transformers:some/old")
    serve(monkeypatch, caches, {"model.safetensors": weights(tmp_path)[:-5], "config.json": b"{}"})
    with pytest.raises(ModelError, match="damaged"):
        catalog.fetch("timm:resnet18.a1_in1k")
    with pytest.raises(ModelError, match="damaged"):  # and what lies there is not taken for whole
        catalog.fetch("timm:resnet18.a1_in1k")


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 16, b"\x02" + b"\0" * 7 + b"[]"])
def test_check_refuses_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        hub.check(path)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (MINILM, "HF_HUB_OFFLINE is set"),
        ("families:yamnet", r"yamnet\.h5"),
        ("keras:resnet50", "Keras fetches its weights itself"),
        ("transformers:../../etc/passwd", "names nothing that can be fetched"),
        ("timm:nonsense", "names no repository"),
        ("nonsense", "names nothing that can be fetched"),
    ],
)
def test_fetch_says_why_not(reference: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        catalog.fetch(reference)


def test_fetch_of_the_embedded_model_checks_it() -> None:
    result = catalog.fetch("embedded:image")
    assert result.new == 0 and result.size == result.place.stat().st_size > 1e6


# --- in words --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_the_table_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    listing.table(catalog.find(), Wanted(), out)
    lines = out.getvalue().splitlines()
    rows = lines[: next(i for i, line in enumerate(lines) if "models;" in line)]
    plain = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in rows]
    assert max(map(len, plain)) <= columns
    assert "…" not in out.getvalue(), "nothing is cut"
    assert ("apache-2.0" in out.getvalue()) == (columns >= listing.NARROW)
    assert ("licence and family" in out.getvalue()) == (columns < listing.NARROW)


def test_a_pipe_gets_whole_rows_and_the_footer_goes_aside(capsys: pytest.CaptureFixture[str]) -> None:
    listing.table(catalog.find(), Wanted())
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == 1 + len(catalog.cards())
    row = next(line for line in lines if line.startswith("embedded:image"))
    assert row.split() == ["embedded:image", "ResNet", "2.5M", "2432", "apache-2.0", "✓"]
    assert "models show REF" in said.err


def test_long_lists_are_cut_on_a_terminal_and_that_is_said() -> None:
    found = [Entry(f"timm:x{i}", "x", "image", "", listed=True) for i in range(40)]
    out = Terminal()
    listing.table(found, Wanted(search="x"), out)
    assert "15 more from timm's list" in out.getvalue() and "not checked by hand" in out.getvalue()


def test_a_page_says_what_is_known_and_what_is_not() -> None:
    text = listing.page(catalog.show("timm:mobilenetv2_100.ra_in1k"))
    assert "3,504,872" in text and "arxiv.org/abs/1801.04381" in text and "72.976 top-1" in text
    assert "0173a139a2c6" in text and "not known      popularity" in text
    assert text.endswith("headstart fit DATA --model timm:mobilenetv2_100.ra_in1k")
    assert "local:FILE.safetensors#families/vggish" in listing.page(catalog.show("families:vggish"))


@pytest.mark.parametrize(("text", "value"), [("30M", 30e6), ("1.2b", 1.2e9), ("500k", 5e5), ("1_000", 1e3)])
def test_counts(text: str, value: float) -> None:
    assert listing.count(text) == value


@pytest.mark.parametrize("text", ["lots", "-3M", "0", "nan", "M"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ConfigError, match="max-params"):
        listing.count(text)


def test_the_command_lists_shows_and_fetches() -> None:
    def said(*words: str) -> dict:
        done = CliRunner().invoke(cli.app, ["models", *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    found = said("--modality", "text", "--max-params", "30M", "--license", "apache-2.0")
    assert [row["reference"] for row in found["models"]] == [MINILM]
    assert said("show", MINILM) == found["models"][0]
    assert found["models"][0]["here"] is False and found["models"][0]["popularity"] is None
    assert [row["reference"] for row in said("--here")["models"]] == ["embedded:image"]
    assert said("fetch", "embedded:image")["new_bytes"] == 0
    refused = CliRunner().invoke(cli.app, ["models", "show", "nonsense", "--json"])
    assert refused.exit_code == 2 and "nonsense" in json.loads(refused.stdout.splitlines()[-1])["error"]


def test_the_data_file_is_in_the_package() -> None:
    assert files("headstart.models").joinpath("catalog.toml").is_file()
