"""What is added to the loss for the weights: numbers worked out by hand, and what it does to a training."""

import pytest
import torch
from torch import nn

from headstart import penalties, plugins
from headstart.approaches.finetune import FineTune
from headstart.errors import ConfigError
from headstart.penalties.l1 import L1
from headstart.penalties.l2 import L2
from headstart.penalties.l2_sp import L2SP
from headstart.training.run import Run
from tiny import backbone, split, task


def weights() -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    return [nn.Parameter(torch.tensor([[1.0, -2.0]])), nn.Parameter(torch.tensor([3.0]))], [
        nn.Parameter(torch.tensor([[2.0], [-1.0]]))
    ]


def test_l2_sp_is_the_distance_from_the_start_and_the_size_of_the_head() -> None:
    body, head = weights()
    penalty = L2SP(weight=0.1, head=0.01).start(body, head)
    assert float(penalty().detach()) == pytest.approx(0.5 * 0.01 * 5)
    with torch.no_grad():
        body[0] += 2.0
        body[1] -= 1.0
    assert float(penalty().detach()) == pytest.approx(0.5 * (0.1 * (4 + 4 + 1) + 0.01 * 5))
    penalty().backward()
    assert torch.allclose(body[0].grad, torch.full((1, 2), 0.2))  # back to where it was
    assert torch.allclose(head[0].grad, 0.01 * head[0].detach())


def test_l1_and_l2_are_of_matrices_alone() -> None:
    body, head = weights()
    assert float(L1(0.5).start(body, head)().detach()) == pytest.approx(0.5 * (1 + 2 + 2 + 1))
    assert float(L2(0.5).start(body, head)().detach()) == pytest.approx(0.5 * 0.5 * (1 + 4 + 4 + 1))


def test_they_are_named_by_texts() -> None:
    assert penalties.listed("") == {}
    assert penalties.listed("l2_sp:0.2:head=0,l1") == {"l2_sp": L2SP(0.2, 0.0), "l1": L1()}
    with pytest.raises(
        ConfigError, match=r"\$\.approach\.penalty: There is no 'l3' among the penalties: l1, l2, l2_sp"
    ):
        penalties.listed("l3")
    for name in plugins.names("penalties"):
        for wrong in ("-1", "nan", "inf"):
            with pytest.raises(ConfigError, match=f"the weights of {name} are 0 or more"):
                penalties.listed(f"{name}:{wrong}")


def drift(penalty: str) -> float:
    """How far fine-tuning takes the weights from where they were."""
    start = backbone()
    settings = FineTune(
        epochs=3, start="random", learning_rate=0.01, batch_size=8, augment="", penalty=penalty, patience=0
    )
    found = settings.fit(start, task(), split(), Run()).backbone
    pairs = zip(found.parameters(), start.parameters(), strict=True)
    return sum(float((now.detach() - then.detach()).square().sum()) for now, then in pairs)


def test_a_strong_pull_keeps_the_weights_near_the_start() -> None:
    assert 0 < drift("l2_sp:100") < 0.2 * drift("")


def test_decay_is_left_out_where_a_penalty_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[float]] = []

    def note(*args, groups, **more):  # type: ignore[no-untyped-def]
        found.append({group["weight_decay"] for group in groups})
        return {"epoch": 1}

    monkeypatch.setattr("headstart.approaches.finetune.train", note)
    for penalty in ("", "l1", "l2", "l1,l2_sp"):
        FineTune(penalty=penalty).fit(backbone(), task(), split(), Run())
    assert found == [{0.0, 0.01}, {0.0, 0.01}, {0.0}, {0.0}]
