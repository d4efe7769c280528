"""What every tuning must do with every model, whatever it is; new ones are found by their file."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from contract.results import Results
from contract.test_cells import each_cell
from headstart import plugins
from headstart.approaches.finetune import FineTune
from headstart.errors import Incompatible
from headstart.models.backbone import Backbone
from headstart.predictor import load_predictor
from headstart.training.optimiser import adamw
from headstart.training.run import Run, sow
from headstart.training.schedule import Schedule
from headstart.tuning import Choice, Tuning, freeze_others, named, training_mode
from headstart.tuning.lora import adaptable, adapters
from tiny import backbone, frozen_bytes, split, task
from tiny_models import Cell, dataset, features, values

NAMES = plugins.names("tuning")
TUNINGS = [name for name in NAMES if issubclass(plugins.variant("tuning", name, Tuning | Choice), Tuning)]
# Layers whose output is not used: BERT's last one, the last residual of WaveNet. WaveNet looks its first weight up.
UNUSED = {"transformers": ("pooler",), "families": ("layers.2.residual", "start")}


def spelled(name: str, made: Backbone) -> str:
    """A tuning that moves little, in the words of the command line."""
    return {"lora": "lora:2", "stages": f"stages:{made.stages[0].name}"}.get(name, name)


def stepped(made: Backbone, groups: list[dict], samples: list, steps: int = 2) -> None:
    """A few steps as the loop takes them, in the first of four epochs."""
    freeze_others(made, groups)
    optimiser = adamw(groups)
    schedule = Schedule(optimiser, 4 * steps, 0.1, steps)
    schedule.thaw(0)
    training_mode(made)
    aim = None
    for step in range(steps):
        schedule.set(step)
        vector = made(made.prepare(samples)).vector
        aim = torch.randn_like(vector) if aim is None else aim
        (vector * aim).sum().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    made.eval()


@each_cell
@pytest.mark.parametrize("name", TUNINGS)
def test_frozen_is_frozen_and_the_rest_moves(cell: Cell, name: str, results: Results) -> None:
    made = copy.deepcopy(results.backbone(cell))
    if "gradients" not in made.provides:
        pytest.skip("it has no gradients, and fine-tuning is refused")
    before, samples = frozen_bytes(made), values(dataset(cell.modality, 2))
    tuning = named(spelled(name, made))
    assert isinstance(tuning, Tuning)
    sow(1)
    layers = adaptable(made.network) if name == "lora" else []
    try:
        groups = tuning.groups(made, 1e-3)
    except Incompatible as reason:
        assert (name == "lora" and not layers and "no layer that LoRA can adapt" in str(reason)) or (
            name == "norms" and min(p.ndim for p in made.parameters()) > 1 and "no norm and no bias" in str(reason)
        )
        return
    assert all(group["lr"] > 0 and group["params"] for group in groups)
    first = {id(p) for group in groups if not group.get("begins") for p in group["params"]}
    own = {  # what may change: what moves, and the statistics of norms whose own parameters move
        f"{path}.{entry}".lstrip(".")
        for path, module in made.named_modules()
        for entry, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if id(value) in first or (entry in dict(module.named_buffers(recurse=False))
                                  and any(id(p) in first for p in module.parameters(recurse=False)))
    }  # fmt: skip
    stepped(made, groups, samples)
    if name == "lora":
        found = adapters(made)
        assert set(found) == set(layers)
        silent = {path for path, layer in found.items() if not layer.lora_B["default"].weight.any()}
        assert not {path for path in silent if not path.startswith(UNUSED.get(cell.zoo, ("-",)))}
        own = {f"network.{path}.weight" for path in layers}
        split_off = features(made, samples)
    tuning.finish(made)
    if name == "lora":
        assert np.abs(features(made, samples) - split_off).max() < 1e-3 * np.abs(split_off).max()
    after = frozen_bytes(made)
    assert set(after) == set(before), "nothing of the tuning stays in the network"
    changed = {path for path in after if after[path] != before[path]}
    assert changed, "something moves"
    assert changed <= own, sorted(changed - own)
    inside = [id(p) for stage in made.stages for p in stage.parameters()]
    assert sorted(inside) == sorted({id(p) for p in made.parameters()}), "the stages are what they were"


@pytest.mark.parametrize("name", NAMES)
def test_trained_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    start = backbone()
    before = frozen_bytes(start)
    settings = FineTune(epochs=2, batch_size=8, learning_rate=0.003, augment="", tuning=spelled(name, start))
    run = Run(tmp_path, seed=3, stage=name)
    found = settings.fit(start, task(), split(), run)
    assert frozen_bytes(start) == before
    assert set(frozen_bytes(found.backbone)) == set(before)
    loaded = load_predictor(found.save(tmp_path / "model"))
    test = split().test
    assert np.array_equal(loaded.probabilities(test), found.probabilities(test))
    # a second start goes on from the checkpoint, here one at the end, and ends alike
    again = settings.fit(start, task(), split(), Run(tmp_path, seed=3, stage=name))
    assert frozen_bytes(again.backbone) == frozen_bytes(found.backbone)
    assert frozen_bytes(again.head) == frozen_bytes(found.head)


@pytest.mark.parametrize("cell", ["transformers-bert", "embedded-sound"])
@pytest.mark.parametrize("name", NAMES)
def test_texts_and_sounds_are_tuned_as_well(name: str, cell: str, results: Results) -> None:
    chosen = tiny_models.CELLS[cell]
    if chosen.lacking:
        pytest.skip(chosen.lacking)
    made, parts = results.backbone(chosen), tiny_models.split(chosen.modality)
    settings = FineTune(epochs=1, batch_size=6, augment="", tuning=spelled(name, made))
    found = settings.fit(made, task(), parts, Run(seed=3, stage=name))
    assert found.probabilities(parts.test).shape == (len(parts.test), 3)
