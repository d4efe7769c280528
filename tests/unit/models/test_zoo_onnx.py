"""ONNX files: tiny graphs made here, computed by onnxruntime."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart import models, plugins
from headstart.approaches import Approach
from headstart.errors import (
    ConfigError,
    Incompatible,
    MissingExtra,
    MissingStatistics,
    ModelError,
    UnknownModel,
    UnsafeFile,
)
from headstart.models.card import ModelCard, write_card
from headstart.training.run import Run
from tiny import PYTHON, dataset, environment, split, task

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
KERNEL = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
STATED = "input_size=3,16,16&mean=0.5,0.4,0.3&std=0.25,0.3,0.2"


def graph(*, domain: str = "", last: bool = False, rows: Any = "n") -> Any:
    """relu(conv): the outputs "maps" (n, 5, 8, 8) or, where channels are last, (n, 8, 8, 5), "tokens" (n, 64, 5) and "vector" (n, 5)."""
    helper, float_ = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2])] if last else []
    nodes += [
        helper.make_node("Conv", ["y" if last else "x", "kernel"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["m"], domain=domain),
        helper.make_node("Transpose", ["m"], ["maps"], perm=[0, 2, 3, 1] if last else [0, 1, 2, 3]),
        helper.make_node("Reshape", ["m", "flat"], ["f"]),
        helper.make_node("Transpose", ["f"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["m"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    shape = [rows, 16, 16, 3] if last else [rows, 3, 16, 16]
    outputs = {"maps": [rows, 8, 8, 5] if last else [rows, 5, 8, 8], "tokens": [rows, 64, 5], "vector": [rows, 5]}
    made = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("x", float_, shape)],
        [helper.make_tensor_value_info(name, float_, entry) for name, entry in outputs.items()],
        [onnx.numpy_helper.from_array(KERNEL, "kernel"), onnx.numpy_helper.from_array(np.array([0, 5, 64]), "flat")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 13), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tiny.onnx").write_bytes(graph().SerializeToString())
    return tmp_path / "tiny.onnx"


def expected(samples: list[np.ndarray]) -> torch.Tensor:
    pixels = torch.from_numpy(np.stack(samples)).float().permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.25, 0.3, 0.2])
    x = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    return functional.conv2d(x, torch.from_numpy(KERNEL), stride=2, padding=1).relu().mean((2, 3))


@pytest.mark.parametrize("output", ["", "maps", "tokens", "vector"])
def test_every_kind_of_output_is_pooled(file: Path, output: str) -> None:
    made = models.load(f"onnx:{file}#{STATED}" + (f"&output={output}" if output else ""))
    samples = [made.shape(item) for item in dataset(1).items]
    found = made(made.batch(samples))
    assert found.vector.shape == (3, 5) == (3, made.spec.dim)
    assert made.provides == {"vector"} and found.maps is None
    torch.testing.assert_close(found.vector, expected(samples), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [{"last": True}, {"rows": 1}, {"last": True, "rows": 1}])
def test_other_layouts_and_one_picture_a_run(file: Path, changes: dict) -> None:
    file.write_bytes(graph(**changes).SerializeToString())
    made = models.load(f"onnx:{file}#{STATED}")
    samples = [made.shape(item) for item in dataset(1).items]
    torch.testing.assert_close(made(made.batch(samples)).vector, expected(samples), atol=1e-5, rtol=1e-5)


def test_a_card_beside_the_file_or_in_its_folder(file: Path) -> None:
    card = ModelCard("onnx/graph", "image", {"output": "vector"}, "tiny.onnx", input_size=(3, 16, 16),
                     mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2))  # fmt: skip
    write_card(card, file.with_name("tiny.card.json"))
    beside = models.load(f"onnx:{file}")
    write_card(card, file.with_name("card.json"))
    inside = models.load(f"onnx:{file.parent}")
    batch = beside.prepare(dataset(1).items)
    assert torch.equal(beside(batch).vector, inside(batch).vector)
    assert beside.card.arguments == {"output": "vector"}
    write_card(card.replace(weights="../tiny.onnx"), file.with_name("card.json"))
    with pytest.raises(ModelError, match="outside its own folder"):
        models.load(f"onnx:{file.parent}")


def test_what_cannot_be_used_is_refused_with_a_reason(file: Path) -> None:
    with pytest.raises(MissingStatistics, match="input_size, mean, std"):
        models.load(f"onnx:{file}")
    with pytest.raises(UnknownModel, match="no ONNX file"):
        models.load("onnx:nowhere.onnx")
    with pytest.raises(ModelError, match="has no output 'x'; there are: maps, tokens, vector"):
        models.load(f"onnx:{file}#{STATED}&output=x")
    with pytest.raises(ConfigError, match=r"\$\.model\.nonsense"):
        models.load(f"onnx:{file}#{STATED}&nonsense=1")
    with pytest.raises(ModelError, match="no fresh weights"):
        models.load(f"onnx:{file}#{STATED}", pretrained=False)
    with pytest.raises(ModelError, match=r"cannot run .* 3, 20, 20"):
        models.load(f"onnx:{file}#{STATED.replace('16,16', '20,20')}")
    for damaged in (file.read_bytes()[:200], b"\x80\x04pickle", b"PK\x03\x04" * 9):
        file.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"no ONNX file|cannot read"):
            models.load(f"onnx:{file}#{STATED}")


def test_operators_from_elsewhere_are_refused(file: Path) -> None:
    file.write_bytes(graph(domain="evil.ops").SerializeToString())
    with pytest.raises(UnsafeFile, match=r"'evil\.ops'"):
        models.load(f"onnx:{file}#{STATED}")


def test_weights_in_other_files_are_refused(file: Path) -> None:
    made = graph()
    onnx.save_model(made, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert file.with_name("weights.bin").is_file()
    with pytest.raises(UnsafeFile, match=r"weights\.bin"):
        models.load(f"onnx:{file}#{STATED}")


def test_without_the_extra_it_says_how_to_install_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[onnx\]'"):
        models.load(f"onnx:{file}#{STATED}")


def test_the_probe_fits_and_a_fresh_process_says_the_same(file: Path, tmp_path: Path) -> None:
    made = models.load(f"onnx:{file}#{STATED}&output=tokens")
    parts = split()
    predictor = plugins.variant("approaches", "probe", Approach)().fit(made, task(), parts, Run())
    wanted = predictor.probabilities(parts.test)
    predictor.save(tmp_path / "model")
    file.unlink()
    code = (
        "import sys, numpy, tiny; from headstart.predictor import load_predictor; from pathlib import Path\n"
        "numpy.save(sys.argv[2], load_predictor(Path(sys.argv[1])).probabilities(tiny.split().test))"
    )
    command = [PYTHON, "-c", code, str(tmp_path / "model"), str(tmp_path / "found.npy")]
    subprocess.run(command, check=True, env=environment(), capture_output=True)
    assert np.array_equal(np.load(tmp_path / "found.npy"), wanted)
    with pytest.raises(Incompatible, match="needs gradients"):
        plugins.variant("approaches", "finetune", Approach)().fit(made, task(), parts, Run())
