"""Every helper, on a tiny model of every modality: it is refused with a reason, or asks questions that train the backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny_models
from headstart import models, plugins
from headstart.auxiliary import Auxiliary, listed
from headstart.errors import Incompatible
from headstart.models.backbone import Backbone
from headstart.training.batches import Batches
from tiny import task

NAMES = plugins.names("auxiliary")
CELLS = {"image": "embedded-image", "text": "transformers-bert", "audio": "embedded-sound"}
FOR = {"rotation": "image", "masked": "text"}


def bert(folder: Path) -> Backbone:
    """The tiny one, with a mask among its tokens."""
    from tokenizers import Tokenizer

    reference = tiny_models.bert(folder)
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words.add_special_tokens(["[MASK]"])
    words.save(str(folder / "tokenizer.json"))
    return models.load(reference)


def same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    assert isinstance(one, dict) and isinstance(other, dict)
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_every_helper_is_for_some_modality() -> None:
    assert set(FOR) == set(NAMES)


@pytest.mark.parametrize("modality", CELLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_helper_trains_the_backbone_or_says_why_not(name: str, modality: str, tmp_path: Path) -> None:
    backbone = bert(tmp_path) if modality == "text" else tiny_models.CELLS[CELLS[modality]].backbone(tmp_path)
    helper: Auxiliary = listed(name)[name]
    if FOR[name] != modality:
        with pytest.raises(Incompatible, match=r"--helper NAME=DATA"):
            helper.begin(backbone, 6, (), 0)
        return
    part = tiny_models.dataset(modality, 4, 1)
    batches = Batches(part, task().encode(part.labels or []), backbone, 6)
    question = helper.begin(backbone, 6, (), 3)
    first, again = (list(question.posed(batches(1), 1)) for _ in range(2))
    assert len(first) == len(batches), "a batch for each of the target's"
    assert all(same(a.inputs, b.inputs) and torch.equal(a.labels, b.labels) for a, b in zip(first, again, strict=True))
    loss = torch.stack(list(question.head.losses(backbone(first[0].inputs), first[0].labels).values())).sum()
    loss.backward()
    assert torch.isfinite(loss) and loss.ndim == 0
    for module in (backbone.network, question.head):
        assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in module.parameters())
