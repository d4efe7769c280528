from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import ModelError
from headstart.models import texts
from headstart.models.card import ModelCard
from headstart.models.texts import TextBackbone, pooled
from tiny_models import VOCABULARY, tokeniser


class Echo(torch.nn.Module):
    """A token's vector is its row of the table, padding included: whoever pools it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(VOCABULARY, 4)


def made(tokens: Any = None, **card: Any) -> TextBackbone:
    stated = {"maximum_length": 16, "pooling": "mean", **card}
    assets = {"tokenizer.json": (tokens or tokeniser()).to_str().encode()}
    torch.manual_seed(0)
    return TextBackbone(
        Echo(), ModelCard("x/y", "text", **stated), lambda net, ids, mask: net.table(ids), "tiny", assets, dim=4
    )  # type: ignore[operator, arg-type]


def vector(backbone: TextBackbone, *texts: str) -> np.ndarray:
    with torch.inference_mode():
        return backbone(backbone.prepare(list(texts))).vector.numpy()


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [2.0, 3.0]), ("cls", [1.0, 2.0]), ("last", [3.0, 4.0]), ("max", [3.0, 4.0])]
)
def test_pooling_leaves_padding_out(pooling: str, expected: list[float]) -> None:
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [99.0, -99.0]], [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]])
    found = pooled(tokens, torch.tensor([[1, 1, 0], [1, 1, 1]]), pooling)
    assert found.tolist() == [expected, [5.0, 5.0]] and found.dtype is torch.float32


def test_a_batch_is_padded_to_a_multiple_but_not_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "uses_bfloat16", lambda device: True)
    backbone = made(maximum_length=13)
    batch = backbone.prepare(["the ring", "a"])
    assert batch["ids"].shape == batch["mask"].shape == (2, 8) and batch["mask"].sum(1).tolist() == [4, 3]
    assert backbone.prepare(["the " * 40])["ids"].shape == (1, 13)  # type: ignore[call-overload]


def test_what_is_longer_than_the_limit_is_cut_and_counted() -> None:
    backbone = made()
    long = "the " * 100
    assert backbone.cut(long) == 100 + 2 - 16 and backbone.cut("the " * 14) == 0
    assert len(backbone.shape(long)) == 16 and backbone.shape(long)[-1] == 3, "the closing token is kept"
    text = "round " * 33_334
    assert len(text) > 200_000 and backbone.cut(text) == 33_334 + 2 - 16 and len(backbone.shape(text)) == 16


def test_a_text_without_spaces_or_tokens() -> None:
    backbone = made(tokeniser(special=False))
    assert backbone.cut("x" * 200_000) == 0, "one unknown word"
    assert backbone.shape("   ").tolist() == [0]
    assert np.isfinite(vector(backbone, "   ", "the")).all()


def test_no_padding_token_is_needed() -> None:
    backbone = made(tokeniser(padding=False, special=False))
    alone, together = vector(backbone, "the"), vector(backbone, "the", "the ring of round lines meet here " * 2)
    assert np.allclose(alone[0], together[0], atol=1e-6)


def test_normalised_where_the_card_says_so() -> None:
    assert np.allclose(np.linalg.norm(vector(made(normalise=True), "the", "a ring"), axis=1), 1, atol=1e-6)
    assert not np.allclose(np.linalg.norm(vector(made(), "the", "a ring"), axis=1), 1, atol=1e-2)


@pytest.mark.parametrize(("native", "wanted", "length"), [(True, [8, 8, 16], 16), (False, [3, 8, 9], 9)])
def test_costs_are_tokens_rounded_up_where_shapes_are_dear(
    native: bool, wanted: list[int], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "uses_bfloat16", lambda device: native)
    backbone = made()
    rows = [backbone.shape("the " * n) for n in (1, 6, 7)]
    assert [backbone.cost(row) for row in rows] == wanted
    assert backbone.batch(rows)["ids"].shape == (3, length)
    assert backbone.batch_cost == texts.BATCH_TOKENS and backbone.window > backbone.batch_cost / 8


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "Nonsense"}}'])
def test_a_tokeniser_that_cannot_be_read(raw: bytes) -> None:
    backbone = made()
    backbone.assets = {"tokenizer.json": raw}
    with pytest.raises(ModelError, match=r"The tokenizer\.json of tiny cannot be read"):
        backbone.shape("the")


def test_a_tokeniser_that_is_missing() -> None:
    with pytest.raises(ModelError, match=r"has no tokenizer\.json.*'assets'"):
        TextBackbone(Echo(), ModelCard("x/y", "text"), lambda *_: torch.zeros(1), "tiny", {}, dim=4)
