"""What every model must do with every approach: zoo x family x approach, on tiny random weights."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from contract.results import APPROACHES, Results
from headstart import plugins
from headstart.errors import ModelError
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.models.zoo import assemble
from headstart.predictor import load_predictor
from headstart.training.run import Run, sow
from tiny import PYTHON, environment, frozen_bytes, task
from tiny_models import CELLS, Cell, dataset, features, values

SEQUENCES = [cell for cell in CELLS.values() if cell.modality in ("text", "audio")]


def cells(chosen: list[Cell]) -> list:
    return [
        pytest.param(cell, id=cell.name, marks=pytest.mark.skipif(bool(cell.lacking), reason=cell.lacking or "-"))
        for cell in chosen
    ]


each_cell = pytest.mark.parametrize("cell", cells(list(CELLS.values())), scope="module")
each_sequence = pytest.mark.parametrize("cell", cells(SEQUENCES), scope="module")
each_approach = pytest.mark.parametrize("name", APPROACHES)


def test_every_zoo_has_a_cell() -> None:
    assert {cell.zoo for cell in CELLS.values()} >= set(plugins.names("models.zoo"))


@each_cell
@each_approach
def test_it_trains_or_is_refused_with_a_reason(cell: Cell, name: str, results: Results) -> None:
    found = results.of(cell, name)
    lacking = found.approach.needs - results.backbone(cell).provides
    if lacking:
        assert f"needs {', '.join(sorted(lacking))} from the model" in found.refusal
        return
    assert found.predictor is not None, found.refusal
    test = tiny_models.split(cell.modality).test
    assert found.probabilities.shape == (len(test), 3) and np.allclose(found.probabilities.sum(1), 1)
    assert found.predictor.modality == cell.modality == found.predictor.backbone.card.modality


@each_cell
def test_features_have_the_documented_shape(cell: Cell, results: Results) -> None:
    backbone, samples = results.backbone(cell), values(dataset(cell.modality, 2))
    with torch.inference_mode():
        found = backbone(backbone.prepare(samples))
    n, dim = len(samples), backbone.spec.dim
    assert found.vector.shape == (n, dim) and found.vector.dtype is torch.float32
    assert torch.isfinite(found.vector).all() and len(torch.unique(found.vector, dim=0)) == n
    assert ("maps" in backbone.provides) == (found.maps is not None)
    assert ("tokens" in backbone.provides) == (found.tokens is not None)
    if found.maps is not None:
        assert found.maps.ndim == 4 and len(found.maps) == n
    if found.tokens is not None and found.mask is not None:
        assert found.tokens.shape == (*found.mask.shape, dim) and (found.mask.sum(1) > 0).all()


@each_cell
def test_its_card_builds_it_again(cell: Cell, results: Results) -> None:
    made = results.backbone(cell)
    twin = assemble(made.card, made.reference, None, made.assets).eval()
    own = made.network.state_dict()
    assert {n: v.shape for n, v in own.items()} == {n: v.shape for n, v in twin.network.state_dict().items()}
    assert twin.spec == made.spec and twin.provides == made.provides
    twin.network.load_state_dict(own)
    samples = values(dataset(cell.modality, 1))
    assert np.array_equal(features(twin, samples), features(made, samples))


@each_cell
def test_fresh_weights_are_drawn_anew(cell: Cell, results: Results) -> None:
    made, samples = results.backbone(cell), values(dataset(cell.modality, 1))
    if "gradients" not in made.provides:
        pytest.skip("nothing is drawn: it has no weights that could be trained")
    sow(1, 1)
    one = assemble(made.card, made.reference, None, made.assets)
    other = assemble(made.card, made.reference, None, made.assets)
    assert not np.allclose(features(one, samples), features(other, samples))
    assert not np.allclose(features(one, samples), features(made, samples))


@each_cell
def test_gradients_reach_every_stage(cell: Cell, results: Results) -> None:
    made = copy.deepcopy(results.backbone(cell))
    if "gradients" not in made.provides:
        assert not [p for p in made.parameters() if p.requires_grad]
        return
    vector = made(made.prepare(values(dataset(cell.modality, 2)))).vector
    (vector * torch.randn_like(vector)).sum().backward()  # a norm at the end has a gradient of 0 for plain sums
    for stage in made.stages:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in stage.parameters()), stage.name
    inside = [id(p) for stage in made.stages for p in stage.parameters()]
    assert sorted(inside) == sorted({id(p) for p in made.parameters()}), "each parameter stands in one stage"


@each_cell
def test_training_mode_differs_where_there_is_noise(cell: Cell, results: Results) -> None:
    made = copy.deepcopy(results.backbone(cell))
    batch = made.prepare(values(dataset(cell.modality, 2)))
    with torch.no_grad():
        sow(5)
        quiet = [made.eval()(batch).vector for _ in range(2)]
        loud = made.train()(batch).vector
    assert torch.equal(*quiet)
    same = torch.equal(quiet[0], loud)
    assert same != tiny_models.noisy(made.network), "dropout and batch norm follow the mode, and nothing else does"


@each_cell
@each_approach
def test_the_backbone_that_was_given_stays_as_it_was(cell: Cell, name: str, results: Results) -> None:
    found = results.of(cell, name)
    assert found.before == found.after
    never = ("masked_spec_embed", "embed_positions.weight")  # the mask of wav2vec 2.0, the positions of Whisper
    still = [n for n, p in results.backbone(cell).named_parameters() if not p.requires_grad and not n.endswith(never)]
    assert not still


@each_cell
def test_frozen_is_frozen(cell: Cell, results: Results) -> None:
    start = frozen_bytes(results.backbone(cell))
    probe = results.of(cell, "probe").predictor
    assert probe is not None and frozen_bytes(probe.backbone) == start
    if "gradients" not in results.backbone(cell).provides:
        return
    parts = tiny_models.split(cell.modality)
    approach = results.approach("finetune", cell.modality, tuning="last:1", still_norms=False, learning_rate=0.05)
    made = copy.deepcopy(results.backbone(cell))
    tuned = trained_to_the_end(approach, made, parts)
    parts_of_last = {id(part) for module in tuned.stages[-1].modules for part in module.modules()}
    moving = {f"{name}." for name, module in tuned.named_modules() if id(module) in parts_of_last}
    after = frozen_bytes(tuned)
    changed = {name for name in after if after[name] != start[name]}
    assert changed, "the last stage learns"
    assert all(any(name.startswith(prefix) for prefix in moving) for name in changed), changed


def trained_to_the_end(approach, backbone: Backbone, parts) -> Backbone:  # type: ignore[no-untyped-def]
    """The backbone after fine-tuning with the weights of the last step, better or not."""
    from headstart import approaches
    from headstart.tuning import decayed
    from headstart.tuning.last import Last

    assert approach.tuning == "last:1"
    head = task().head(backbone.spec.dim)
    groups = Last(1).groups(backbone, approach.learning_rate)
    groups += decayed(list(head.parameters()), approach.learning_rate)

    def judge(*_: object, **more: object):  # type: ignore[no-untyped-def]
        steps = iter(range(100))
        return lambda module: {"score": float(next(steps))}  # every epoch is better than the one before

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approaches, "judge", judge)
        approaches.train(backbone, head, task(), parts, Run(), groups=groups, settings=approach)
    return backbone


@each_cell
@pytest.mark.parametrize("name", ["probe", "finetune"])
def test_a_wrong_label_order_is_impossible(cell: Cell, name: str, results: Results, tmp_path: Path) -> None:
    found = results.of(cell, name)
    if found.predictor is None:
        pytest.skip(found.refusal)
    test = tiny_models.split(cell.modality).test
    loaded = load_predictor(found.folder)
    for said, row in zip(loaded.predict(test), found.probabilities, strict=True):
        expected = dict(zip(found.predictor.task.to_dict()["classes"], row, strict=True))
        assert said.probabilities == pytest.approx(expected, abs=1e-6)
    for wrong in (["cross", "bar", "ring"], ["bar", "cross"], ["bar", "cross", "ring", "star"], ["a", "b", "c"]):
        folder = tmp_path / "-".join(wrong)
        shutil.copytree(found.folder, folder, copy_function=os.link)
        facts = json.loads((found.folder / "task.json").read_text())
        (folder / "task.json").unlink()
        (folder / "task.json").write_text(json.dumps({**facts, "classes": wrong}))
        with pytest.raises(ModelError, match="classes"):
            load_predictor(folder)


@each_sequence
def test_the_company_in_a_batch_does_not_matter(cell: Cell, results: Results) -> None:
    backbone, samples = results.backbone(cell), values(dataset(cell.modality, 3))
    together = features(backbone, samples)
    alone = np.concatenate([features(backbone, [sample]) for sample in samples])
    assert np.abs(together - alone).max() < 1e-4
    assert np.abs(features(backbone, samples[::-1])[::-1] - together).max() < 1e-4


@each_cell
def test_extraction_keeps_the_order(cell: Cell, results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, data = results.backbone(cell), dataset(cell.modality, 4, seed=9)
    alone = np.concatenate([features(backbone, [sample]) for sample in values(data)])
    assert np.abs(extract(backbone, data, fast=False).vectors - alone).max() < 1e-4
    monkeypatch.setattr(backbone, "window", 5)  # windows and batches smaller than the data
    monkeypatch.setattr(backbone, "batch_cost", max(1, backbone.batch_cost // 40))
    assert np.abs(extract(backbone, data, fast=False).vectors - alone).max() < 1e-4
    quick = extract(backbone, data).vectors
    cosine = (quick * alone).sum(1) / (np.linalg.norm(quick, axis=1) * np.linalg.norm(alone, axis=1))
    assert cosine.min() > 0.99


LATER = """
import sys, numpy as np
from pathlib import Path
import tiny_models
from headstart.predictor import load_predictor
for name in sys.argv[2:]:
    folder = Path(sys.argv[1]) / name
    predictor = load_predictor(folder)
    test = tiny_models.split(predictor.modality).test
    np.save(folder.parent / f"{folder.name}.npy", predictor.probabilities(test))
"""


@pytest.mark.parametrize("zoo", plugins.names("models.zoo"))
def test_a_fresh_process_says_the_same(zoo: str, results: Results) -> None:
    """Of every cell, probed and fine-tuned; what the others save is the same kind of model."""
    chosen = ("probe", "finetune")
    trained = {
        (cell.name, name): found
        for cell in CELLS.values() for name in chosen
        if cell.zoo == zoo and not cell.lacking and (found := results.of(cell, name)).predictor is not None
    }  # fmt: skip
    if not trained:
        pytest.skip(f"nothing of the zoo {zoo} can be trained here")
    root = results.root / "saved"
    wanted = [f"{cell}/{name}" for cell, name in trained]
    done = subprocess.run([PYTHON, "-c", LATER, str(root), *wanted], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (cell, name), found in trained.items():
        again = np.load(root / cell / f"{name}.npy")
        assert np.allclose(again, found.probabilities, atol=1e-6), (cell, name)
