"""Frozen is frozen, byte for byte; what moves moves at the rate that was asked for."""

from dataclasses import replace

import pytest
import torch

from headstart.approaches.finetune import FineTune
from headstart.errors import ConfigError
from headstart.training.run import Run
from headstart.tuning import decayed, freeze_others, training_mode
from headstart.tuning.full import Full
from headstart.tuning.last import Last
from tiny import backbone, frozen_bytes, split, task


@pytest.mark.parametrize("stages", [1, 2])
def test_frozen_stages_are_byte_identical_after_training(stages: int) -> None:
    start = backbone()
    before = frozen_bytes(start)
    settings = FineTune(epochs=2, stages=stages, learning_rate=0.01, batch_size=8)
    found = settings.fit(start, task(), split(), Run()).backbone
    moving = {id(v) for s in found.stages[-stages:] for m in s.modules for v in m.state_dict(keep_vars=True).values()}
    state = found.state_dict(keep_vars=True)
    frozen = [name for name, value in state.items() if id(value) not in moving]
    assert any("running_mean" in name for name in frozen) and any("num_batches_tracked" in name for name in frozen)
    after = frozen_bytes(found)
    assert {name: after[name] for name in frozen} == {name: before[name] for name in frozen}
    moved = [name for name in state if name not in frozen and "weight" in name]
    assert moved and all(after[name] != before[name] for name in moved)
    assert frozen_bytes(start) == before  # the backbone that was given stays as it was


def test_the_frozen_part_does_not_feel_the_data() -> None:
    made = backbone()
    freeze_others(made, Last(1).groups(made, 0.1))
    training_mode(made)
    last = {id(part) for module in made.stages[-1].modules for part in module.modules()}
    for part in made.network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            assert part.training == (id(part) in last)


def test_last_names_the_last_stages_only() -> None:
    made = backbone()
    for stages in (1, 3):
        chosen = {id(p) for group in Last(stages).groups(made, 0.1) for p in group["params"]}
        assert chosen == {id(p) for stage in made.stages[-stages:] for p in stage.parameters()}
    for wrong in (0, 99):
        with pytest.raises(ConfigError, match=r"\$\.tuning\.stages: expected 1 to"):
            Last(wrong).groups(made, 0.1)
    with pytest.raises(ConfigError, match="stages"):
        replace(FineTune(), stages=99).fit(made, task(), split(), Run())


def test_full_moves_everything_and_early_stages_slower() -> None:
    made = backbone()
    groups = Full(decay=0.5).groups(made, 0.1)
    named = [id(p) for group in groups for p in group["params"]]
    assert len(named) == len(set(named)) and set(named) == {id(p) for p in made.parameters()}
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    for depth, stage in enumerate(reversed(made.stages)):
        assert [rate[id(p)] for p in stage.parameters()] == pytest.approx([0.1 * 0.5**depth] * len(stage.parameters()))


def test_norms_and_biases_do_not_decay() -> None:
    parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in ((3, 4), (3,), (2, 2, 1, 1), ())]
    groups = {group["weight_decay"]: group["params"] for group in decayed(parameters, 0.1, 0.05)}
    assert [p.shape for p in groups[0.05]] == [(3, 4), (2, 2, 1, 1)]
    assert [p.shape for p in groups[0.0]] == [(3,), ()]
