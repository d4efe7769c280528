"""Frozen is frozen, byte for byte; what moves moves at the rate that was asked for."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart import approaches, config
from headstart.approaches._evidence import relative_gradients
from headstart.approaches.finetune import FineTune
from headstart.errors import ConfigError, Incompatible, MissingExtra
from headstart.models.backbone import Stage
from headstart.training.run import Run
from headstart.tuning import Evidence, Tuning, decayed, freeze_others, layered, named, training_mode
from headstart.tuning.full import Full
from headstart.tuning.gradual import Gradual
from headstart.tuning.last import Last
from headstart.tuning.lora import Lora, adaptable, adapters
from headstart.tuning.norms import FASTER, Norms
from headstart.tuning.stages import Stages
from headstart.tuning.surgical import Surgical
from tiny import backbone, frozen_bytes, split, task


@pytest.mark.parametrize("stages", [1, 2])
def test_frozen_stages_are_byte_identical_after_training(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = iter(range(100))  # every epoch is better than the one before, so that the last weights are kept
    monkeypatch.setattr(approaches, "judge", lambda *_, **more: lambda module: {"score": float(next(epochs))})
    start = backbone()
    before = frozen_bytes(start)
    settings = FineTune(epochs=2, tuning=f"last:{stages}", learning_rate=0.01, batch_size=8)
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
        with pytest.raises(ConfigError, match=r"\$\.approach\.tuning: .* has 7 stages .*expected last:1 to last:7"):
            Last(wrong).groups(made, 0.1)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", Full()),
        ("full:0.5", Full(0.5)),
        ("last:2", Last(2)),
        ("last:2:decay=0.5:weight_decay=0", Last(2, 0.5, 0.0)),
        ("lora:rank=4:alpha=32", Lora(4, 32.0)),
        ("surgical:validation", Surgical("validation")),
        ("stages:a.1+b.2", Stages("a.1+b.2")),
    ],
)
def test_a_tuning_is_a_text(text: str, expected: object) -> None:
    assert named(text) == expected
    settings = FineTune(tuning=text)
    assert config.from_dict(FineTune, config.to_dict(settings)) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lorra", r"There is no 'lorra' among the tuning: .*full, gradual.*Did you mean 'lora'\?"),
        ("last:two", r"\(last\)\.stages: expected int, got 'two'"),
        ("last:1:speed=3", r"\(last\)\.speed: no such setting; there are: stages, decay, weight_decay"),
        ("norms:0.5:7", "norms has the settings decay, got also '7'"),
        ("surgical:guess", "expected one of gradient, validation, got 'guess'"),
        (
            "stages:layer9.0",
            r"has no stage 'layer9\.0'\. There are, early to late: .*layer4\.0\. Did you mean stages:layer",
        ),
        ("stages", "none was named"),
        ("last:99", "has 7 stages"),
        ("lora:0", "rank of at least 1"),
        ("lora:2:alpha=-1", "alpha of at least 0"),
        ("full:0", "decay is the rate of a stage divided by"),
        ("norms:1.5", "decay is the rate of a stage divided by"),
        ("gradual:1", "the share of the epochs"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(text: str, said: str) -> None:
    class Working(AssertionError):
        pass

    def refuse(*_: object) -> None:
        raise Working

    made = backbone()
    made.forward = refuse  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=said) as found:
        FineTune(tuning=text).fit(made, task(), split(), Run())
    assert str(found.value).startswith("$.approach.tuning")


@pytest.mark.parametrize("rate", [-1.0, 1e9, float("nan"), float("inf")])
def test_a_rate_with_which_nothing_is_learned_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match=r"\$\.approach\.learning_rate: .* is no rate to learn with"):
        FineTune(learning_rate=rate).fit(backbone(), task(), split(), Run())


def test_named_stages_move_and_no_others() -> None:
    made = backbone()
    groups = named("stages:layer2.0+layer1.0").groups(made, 0.1)  # type: ignore[union-attr]
    stages = {stage.name: stage for stage in made.stages}
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rate.pop(id(p)) for p in stages["layer2.0"].parameters()} == {0.1}
    assert {round(rate.pop(id(p)), 12) for p in stages["layer1.0"].parameters()} == {0.07}
    assert not rate


def test_norms_move_scales_shifts_and_biases_alone() -> None:
    made = backbone()
    chosen = {id(p) for group in Norms().groups(made, 0.01) for p in group["params"]}
    norms = [part for part in made.network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms and {id(p) for norm in norms for p in norm.parameters()} <= chosen
    assert chosen == {id(p) for p in made.parameters() if p.ndim == 1}
    groups = Norms().groups(made, 0.01)
    assert max(group["lr"] for group in groups) == pytest.approx(0.01 * FASTER)
    assert {group["weight_decay"] for group in groups} == {0.0}
    made.stages = [Stage("bare", (nn.Linear(2, 2, bias=False),))]
    with pytest.raises(Incompatible, match="no norm and no bias"):
        Norms().groups(made, 0.01)


def seen_of(settings: FineTune, run: Run, stop: int = -1) -> list[dict[str, bytes]]:
    """The backbone's bytes at each validation; ``stop`` interrupts at one of them."""
    seen: list[dict[str, bytes]] = []

    def judge(*_: object, by: str, kept: object = None):  # type: ignore[no-untyped-def]
        def validate(module: approaches.Network) -> dict[str, float]:
            if len(seen) == stop:
                raise KeyboardInterrupt
            module.eval()
            seen.append(frozen_bytes(module.backbone))
            return {"score": float(len(seen)) if stop < 0 else 0.0, "loss": 0.0}

        return validate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(approaches, "judge", judge)
        settings.fit(backbone(), task(), split(), run)
    return seen


def test_gradual_stages_are_frozen_until_they_join() -> None:
    settings = FineTune(epochs=4, tuning="gradual:0.5", learning_rate=0.01, batch_size=8, patience=0, still_norms=False)
    made = backbone()
    begins = {round(group["begins"], 3) for group in Gradual(0.5).groups(made, 0.1)}
    assert begins == {round(depth * 0.5 / 6, 3) for depth in range(7)}
    seen = seen_of(settings, Run())
    names = {id(value): name for name, value in made.state_dict(keep_vars=True).items()}
    for epoch in range(1, 5):
        moved = []
        for depth, stage in enumerate(reversed(made.stages)):
            own = [names[id(v)] for m in stage.modules for v in m.state_dict(keep_vars=True).values()]
            moved.append(any(seen[epoch][name] != seen[epoch - 1][name] for name in own))
            assert moved[-1] == (depth * 0.5 / 6 <= (epoch - 1) / 4), (epoch, stage.name)
        assert moved[0] and moved[-1] == (epoch > 2)


def test_gradual_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    settings = FineTune(epochs=4, tuning="gradual:0.5", learning_rate=0.01, batch_size=8, augment="")
    whole = settings.fit(backbone(), task(), split(), Run(stage="x"))
    for stop in (2, 3):  # validations of the start and of the first epochs are done
        folder = tmp_path / str(stop)
        folder.mkdir()
        run = Run(folder, stage="x")
        real, calls = approaches.judge, iter(range(100))

        def judge(*args: object, real=real, calls=calls, stop=stop, **more: object):  # type: ignore[no-untyped-def]
            validate = real(*args, **more)

            def watched(module: nn.Module) -> dict[str, float]:
                if next(calls) == stop:
                    raise KeyboardInterrupt
                return validate(module)

            return watched

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(approaches, "judge", judge)
            with pytest.raises(KeyboardInterrupt):
                settings.fit(backbone(), task(), split(), run)
        again = settings.fit(backbone(), task(), split(), Run(folder, stage="x"))
        assert frozen_bytes(again.backbone) == frozen_bytes(whole.backbone)
        assert frozen_bytes(again.head) == frozen_bytes(whole.head)


def test_lora_adapts_what_it_can_merge_and_nothing_else() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2)
            self.block = nn.TransformerEncoderLayer(8, 2, 8)
            self.grouped = nn.Conv2d(8, 8, 3, groups=8)
            self.dilated = nn.Conv1d(8, 8, 3, dilation=2)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
            self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
            self.other.weight = self.one.weight
            self.plain, self.pixels, self.samples = nn.Linear(8, 8), nn.Conv2d(3, 8, 3), nn.Conv1d(1, 8, 3)
            self.again = self.once = nn.Linear(8, 8)

    assert adaptable(Direct()) == ["plain", "pixels", "samples"]


def test_lora_is_merged_and_the_head_stays() -> None:
    settings = FineTune(epochs=2, tuning="lora:2", learning_rate=0.01, batch_size=8, augment="")
    start = backbone()
    before = frozen_bytes(start)
    seen = seen_of(settings, Run())
    assert any("lora_A" in name for name in seen[-1])
    found = settings.fit(start, task(), split(), Run(seed=1))
    after = frozen_bytes(found.backbone)
    assert set(after) == set(before) and not adapters(found.backbone)
    assert type(found.head).__name__ == "LinearHead"
    for stage, origin in zip(found.backbone.stages, start.stages, strict=True):
        assert [type(module) for module in stage.modules] == [type(module) for module in origin.modules]


def test_lora_steps_at_layer_wise_rates() -> None:
    made = backbone()
    groups = Lora(2, decay=0.5).groups(made, 0.01)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    for depth, stage in enumerate(reversed(made.stages)):
        own = [rate[id(p)] for p in stage.parameters() if id(p) in rate]
        assert own and own == pytest.approx([0.1 * 0.5**depth] * len(own))
    freeze_others(made, groups)
    assert {name.rpartition(".lora_")[0] != "" for name, p in made.named_parameters() if p.requires_grad} == {True}


def test_lora_without_a_layer_to_adapt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = backbone()
    for name in adaptable(made.network):
        made.network.get_submodule(name).dilation = (2, 2)
    with pytest.raises(Incompatible, match=r"no layer that LoRA can adapt.*full, last and norms work"):
        FineTune(tuning="lora").fit(made, task(), split(), Run())
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"headstart\[lora\]"):
        FineTune(tuning="lora").fit(backbone(), task(), split(), Run())


def test_surgical_moves_the_stage_that_the_evidence_names() -> None:
    made = backbone()
    names = [stage.name for stage in made.stages]
    tried: list[Tuning] = []

    def trial(tuning: Tuning) -> float:
        tried.append(tuning)
        return float(tuning == Stages("layer2.0"))

    evidence = Evidence(lambda: [float(name == "layer1.0") for name in names], trial, list)
    chosen, why = Surgical().choose(made, evidence)
    assert chosen == Stages("layer1.0") and "stages:layer1.0" in why and not tried
    chosen, why = Surgical("validation").choose(made, evidence)
    assert chosen == Stages("layer2.0") and tried == [Stages(name) for name in names]
    run = Run(stage="x")
    found = FineTune(epochs=1, tuning="surgical", batch_size=8).fit(made, task(), split(), run)
    assert [row for row in run.history if "surgical moves" in row.get("note", "")]
    assert [p for p in found.backbone.parameters() if p.requires_grad]


def test_relative_gradients_are_those_of_the_loss() -> None:
    made, parts = backbone(), split()
    head = task().head(made.spec.dim)
    found = relative_gradients(copy.deepcopy(made), copy.deepcopy(head), task(), parts, Run())
    inputs = made.prepare(parts.train.items)  # all of them are one batch
    labels = torch.from_numpy(task().encode(parts.train.labels or []))
    head.losses(made.eval()(inputs), labels)["cross_entropy"].backward()
    for stage, ratio in zip(made.stages, found, strict=True):
        slope = torch.cat([p.grad.flatten() for p in stage.parameters()])
        size = torch.cat([p.detach().flatten() for p in stage.parameters()])
        assert ratio == pytest.approx(float(slope.norm() / size.norm()), rel=1e-4)


def test_a_random_start_is_another_head_and_a_faster_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict] = []

    def note(network, head, *args, groups, **more):  # type: ignore[no-untyped-def]
        given.append({"head": head.linear.weight.detach().clone(), "rate": groups[-1]["lr"]})
        return {"epoch": 1}

    monkeypatch.setattr("headstart.approaches.finetune.train", note)
    for start in ("probe", "random", "random"):
        FineTune(start=start, learning_rate=0.01).fit(backbone(), task(), split(), Run())  # type: ignore[arg-type]
    assert [entry["rate"] for entry in given] == pytest.approx([0.02, 0.1, 0.1])
    assert not torch.equal(given[0]["head"], given[1]["head"])
    assert torch.equal(given[1]["head"], given[2]["head"])


def test_rates_are_layer_wise_in_every_tuning() -> None:
    made = backbone()
    for tuning in (Full(), Last(3), Gradual(), Norms(), Stages("layer3.0+layer4.0"), Lora(2)):
        rates = {group["lr"] for group in tuning.groups(copy.deepcopy(made), 0.1)}
        assert len(rates) > 1 and np.isclose(max(rates) * 0.7, sorted(rates)[-2])
    assert len({group["lr"] for group in layered(made.stages, 0.1, 1.0)}) == 1
