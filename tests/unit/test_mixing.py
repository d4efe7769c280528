"""Mixed samples and labels; and the labels of a batch, weighted, smoothed and shared."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart import approaches, mixing, plugins
from headstart.approaches.finetune import FineTune
from headstart.data.split import Split
from headstart.errors import ConfigError, Incompatible
from headstart.mixing.cutmix import CutMix
from headstart.mixing.mixup import Mixup
from headstart.models.backbone import Features
from headstart.tasks._heads import LinearHead
from headstart.tasks._weights import balanced
from headstart.training.batches import Batch
from headstart.training.run import Run
from tiny import backbone, dataset, split, task

N = 6


def given(side: int = 16) -> tuple[Tensor, Tensor]:
    """Every picture is of one colour, that of its own class."""
    inputs = torch.arange(N).float().view(N, 1, 1, 1).expand(N, 3, side, side).contiguous()
    return inputs, torch.eye(N)


@pytest.mark.parametrize("name", plugins.names("mixing"))
def test_labels_say_what_is_in_the_inputs(name: str) -> None:
    (kind,) = mixing.listed(f"{name}:1")
    rng = np.random.default_rng(0)
    shares = set()
    for _ in range(20):
        inputs, labels = given()
        mixed, soft = kind.mix(inputs, labels, rng)
        assert torch.equal(inputs, given()[0]) and torch.equal(labels, torch.eye(N))
        assert mixed.shape == inputs.shape and torch.allclose(soft.sum(1), torch.ones(N))
        # the mean colour is the mean of the classes in the label: each is its own number
        assert torch.allclose(mixed.mean((1, 2, 3)), soft @ torch.arange(N).float(), atol=1e-4)
        shares.add(round(float(soft.max()), 4))
    assert len(shares) > 3, "the share is drawn anew for each batch"


def test_mixup_blends_and_cutmix_cuts() -> None:
    inputs, labels = given()
    blended, _ = Mixup(1.0).mix(inputs, labels, np.random.default_rng(1))
    assert all(len(picture.unique()) == 1 for picture in blended)
    cut, soft = CutMix(1.0).mix(inputs, labels, np.random.default_rng(1))
    for place, picture in enumerate(cut):
        other = set(picture.unique().tolist())
        assert place in other and len(other) <= 2 and all(float(entry).is_integer() for entry in other)
        if len(other) == 2:
            inside = picture[0] != place
            rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
            assert inside.sum() == len(rows) * len(columns), "a rectangle"
            assert float(soft[place, place]) == pytest.approx(1 - float(inside.float().mean()))
    with pytest.raises(Incompatible, match="cuts rectangles out of pictures"):
        CutMix().mix(torch.zeros(N, 4), labels, np.random.default_rng(0))


def test_they_are_named_by_texts() -> None:
    assert mixing.listed("") == [] and mixing.listed("mixup:0.4,cutmix") == [Mixup(0.4), CutMix()]
    with pytest.raises(ConfigError, match=r"\$\.approach\.mix: There is no 'mixdown' among the mixing: cutmix, mixup"):
        mixing.listed("mixdown")
    for wrong in ("0", "-1", "nan"):
        with pytest.raises(ConfigError, match="alpha of more than 0"):
            mixing.listed(f"cutmix:{wrong}")


def test_an_epoch_is_mixed_in_the_same_way_again() -> None:
    def batches(epoch: int):  # type: ignore[no-untyped-def]
        for _ in range(3):
            yield Batch(given()[0], torch.arange(N), np.arange(N), epoch)

    both = approaches.mixed(batches, [Mixup(), CutMix()], N, seed=3)
    one, again, later = ([(b.inputs, b.labels) for b in both(epoch)] for epoch in (1, 1, 2))
    assert all(torch.equal(a, b) for x, y in zip(one, again, strict=True) for a, b in zip(x, y, strict=True))
    assert not all(torch.equal(a[1], b[1]) for a, b in zip(one, later, strict=True))
    whole = approaches.mixed(lambda epoch: iter([Batch({"ids": torch.ones(2)}, torch.zeros(2).long(), np.arange(2), 0)]),
                             [Mixup()], 2, 0)  # fmt: skip
    with pytest.raises(Incompatible, match="one tensor of numbers"):
        next(whole(0))


def test_mixing_is_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    made = backbone()
    made.card = replace(made.card, modality="audio")
    with pytest.raises(Incompatible, match=r"mix=mixup blends.*'audio'.*label_smoothing works"):
        FineTune(mix="mixup").fit(made, task(), split(), Run())


def test_training_sees_mixed_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    real = LinearHead.losses
    monkeypatch.setattr(LinearHead, "losses", lambda head, f, labels: (seen.append(labels), real(head, f, labels))[1])
    FineTune(epochs=1, mix="mixup:1", batch_size=8, augment="").fit(backbone(), task(), split(), Run())
    assert seen and all(labels.shape == (8, 3) and labels.is_floating_point() for labels in seen)
    assert any(float(labels.max(1).values.min()) < 0.95 for labels in seen)


def test_losses_are_weighted_smoothed_and_shared() -> None:
    head = LinearHead(4, 3)
    features, numbers = (
        Features(torch.randn(5, 4, generator=torch.Generator().manual_seed(0))),
        torch.tensor([0, 1, 2, 2, 1]),
    )
    head.requires_grad_(False)
    plain = float(head.losses(features, numbers)["cross_entropy"])
    each = functional.cross_entropy(head(features), numbers, reduction="none")
    assert plain == pytest.approx(float(each.mean()))
    shares = functional.one_hot(numbers, 3).float()
    head.class_weights = torch.tensor([3.0, 1.0, 0.5])
    assert float(head.losses(features, numbers)["cross_entropy"]) == pytest.approx(
        float((each * head.class_weights[numbers]).mean())
    )
    head.label_smoothing = 0.2
    smooth = 0.8 * shares + 0.2 / 3
    expected = -(smooth * head.class_weights * head(features).log_softmax(1)).sum(1).mean()
    for labels in (numbers, shares):
        assert float(head.losses(features, labels)["cross_entropy"]) == pytest.approx(float(expected), rel=1e-5)
    assert set(head.state_dict()) == {"linear.weight", "linear.bias"}, "weights of the loss are not saved"


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 10 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert np.allclose(balanced(labels, 3).numpy(), expected)
    assert balanced(np.array([0, 0, 2]), 3).tolist() == [0.75, 0.0, 1.5]


def test_class_weights_and_smoothing_reach_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[nn.Module, approaches.Care]] = []

    def note(made, head, *args, care, **more):  # type: ignore[no-untyped-def]
        found.append((head, care))
        return {"epoch": 1}

    monkeypatch.setattr("headstart.approaches.finetune.train", note)
    few = dataset(4, 1)
    rare = few.subset([i for i, label in enumerate(few.labels or []) if label != "bar" or i < 3])
    parts = Split(rare, dataset(2, 2), dataset(2, 3))
    FineTune(class_weights="balanced", label_smoothing=0.1).fit(backbone(), task(), parts, Run())
    FineTune().fit(backbone(), task(), parts, Run())
    (head, care), (other, plain) = found
    assert head.label_smoothing == 0.1 and care.score == "recall"
    assert head.class_weights.tolist() == pytest.approx([9 / (3 * 1), 9 / (3 * 4), 9 / (3 * 4)])  # type: ignore[union-attr]
    assert other.label_smoothing == 0.0 and other.class_weights is None and plain.score == ""
    with pytest.raises(ConfigError, match="label_smoothing"):
        FineTune(label_smoothing=1.0).fit(backbone(), task(), parts, Run())


def test_balanced_judges_by_recall() -> None:
    made = backbone()
    network = approaches.Network(made, task().head(made.spec.dim))
    network.head.linear.bias.data[2] = 1e4  # everything is a ring
    few = split().valid.subset([0, 3, 1, 4, 7])  # two rings and three bars
    found = approaches.judge(task(), few, Run(), by="recall")(network)
    assert found["accuracy"] == 0.4 and found["recall"] in (0.5, pytest.approx(1 / 3))
    assert found["score"] == pytest.approx(found["recall"] - 0.001 * min(found["loss"], 10.0))
