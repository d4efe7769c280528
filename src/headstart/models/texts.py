"""A text backbone around any torch network that maps token numbers to one vector a token."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import ModelError
from headstart.models.backbone import Backbone, Features, FeatureSpec, Inputs, stages_of
from headstart.models.card import ModelCard
from headstart.models.precision import uses_bfloat16

TOKENISER = "tokenizer.json"
BATCH_TOKENS = 2048  # of one batch when only features are wanted, padding included
MULTIPLE = 8  # where bfloat16 is fast, a batch is padded to a multiple of this many tokens: its kernels are made for each shape


class TextBackbone(Backbone):
    """A network, its card, the checkpoint's own tokeniser, and ``run(network, ids, mask) -> (n, length, dim)``.

    ``card`` states maximum_length (tokens, special ones included), pooling and normalise. The tokeniser is the file
    ``tokenizer.json`` of the Hugging Face tokenizers library among the assets. Padding needs no token of its own: what
    is padded is masked in the attention and in the pooling.
    """

    window = 4096
    batch_cost = BATCH_TOKENS
    rate = 1e-4  # with earlier layers slower, about what 5e-5 for all of them is

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        run: Callable[[nn.Module, Tensor, Tensor], Tensor],
        reference: str,
        assets: Mapping[str, bytes],
        *,
        dim: int,
        padding: int = 0,
    ) -> None:
        super().__init__()
        if TOKENISER not in assets:
            raise ModelError(
                f"{reference} has no {TOKENISER}, so its texts cannot be cut into the tokens that it knows. "
                "Expected the tokeniser's file beside the card, named in the card's entry 'assets'."
            )
        self.network = network
        self.card = card
        self.run = run
        self.reference = reference
        self.assets = {TOKENISER: assets[TOKENISER]}
        self.padding = padding
        self.limit = card.maximum_length or 512
        self.precision = torch.float32
        self.stages = stages_of(network)
        self.spec = FeatureSpec(dim)
        self.provides = frozenset({"vector", "tokens", "gradients"})

    @cached_property
    def tokeniser(self) -> Any:
        """Cuts at ``limit``, special tokens included; never pads."""
        made = self._whole
        made = type(made).from_str(made.to_str())
        made.enable_truncation(self.limit)
        return made

    @cached_property
    def _whole(self) -> Any:
        from tokenizers import Tokenizer

        try:
            made = Tokenizer.from_str(self.assets[TOKENISER].decode("utf-8"))
        except Exception as problem:  # tokenizers raises bare exceptions
            raise ModelError(f"The {TOKENISER} of {self.reference} cannot be read: {problem}") from problem
        made.no_padding()
        made.no_truncation()
        return made

    def shape(self, value: str, *, whole: bool = False) -> np.ndarray:
        """A text -> int64 token numbers (length,), special tokens included, at most ``limit``."""
        return self.shapes([value])[0]

    def shapes(self, values: Sequence[str], *, whole: bool = False) -> list[np.ndarray]:
        encoded = self.tokeniser.encode_batch_fast(list(values))
        # a text of characters that the tokeniser drops has no token at all; one of padding keeps shapes whole
        return [np.array(entry.ids or [self.padding], np.int64) for entry in encoded]

    @property
    def multiple(self) -> int:
        """Of this many tokens a batch is long. float32 takes every length as it comes, so that padding is only lost time."""
        return MULTIPLE if uses_bfloat16(next(self.network.parameters()).device) else 1

    def cost(self, shaped: np.ndarray) -> int:
        multiple = self.multiple
        return -(-len(shaped) // multiple) * multiple

    def cut(self, value: str) -> int:
        if len(value.encode("utf-8", "surrogatepass")) <= self.limit - 8:  # a token is a byte at least
            return 0
        return max(0, len(self._whole.encode(value).ids) - self.limit)

    def batch(self, shaped: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """ids and mask, both int64 of shape (n, length of the longest, rounded up to ``multiple``)."""
        length = min(max(self.cost(row) for row in shaped), max(self.limit, max(map(len, shaped))))
        ids = np.full((len(shaped), length), self.padding, np.int64)
        mask = np.zeros((len(shaped), length), np.int64)
        for place, row in enumerate(shaped):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        device = next(self.network.parameters()).device
        return {"ids": torch.from_numpy(ids).to(device), "mask": torch.from_numpy(mask).to(device)}

    def forward(self, batch: Inputs) -> Features:
        assert isinstance(batch, dict)
        tokens = self.run(self.network, batch["ids"], batch["mask"])
        vector = pooled(tokens, batch["mask"], self.card.pooling or "mean")
        if self.card.normalise:
            vector = functional.normalize(vector, dim=1)
        return Features(vector=vector, tokens=tokens, mask=batch["mask"])

    def fast(self) -> TextBackbone:
        """bfloat16 where the processor computes in it; elsewhere the backbone itself."""
        if not uses_bfloat16(next(self.network.parameters()).device):
            return self
        twin = copy.copy(self)
        twin._modules = dict(self._modules)
        twin.network = copy.deepcopy(self.network).eval().requires_grad_(False).to(torch.bfloat16)
        twin.precision = torch.bfloat16
        return twin


def pooled(tokens: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(n, length, dim) and (n, length) -> (n, dim) float32; padding takes no part.

    Args:
        pooling: "mean", "cls" (the first token), "last" (the last that is no padding) or "max".
    """
    if pooling == "cls":
        return tokens[:, 0].float()
    if pooling == "last":
        last = mask.cumsum(1).argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), last].float()
    inside = mask.unsqueeze(2).bool()
    if pooling == "max":
        return tokens.float().masked_fill(~inside, -torch.inf).amax(1)
    return tokens.float().masked_fill(~inside, 0.0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
