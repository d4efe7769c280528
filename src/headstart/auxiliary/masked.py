"""Which tokens of a text were masked?

Devlin et al. 2019, BERT, arXiv 1810.04805, section 3.1: of 15 % of the tokens 80 % become the mask, 10 % another token
and 10 % stay; the model says which they were. The answer is a transform of its features compared with the checkpoint's own
table of token vectors, which stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.auxiliary import Auxiliary, Question, Recipe
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Backbone, Features
from headstart.models.texts import TextBackbone
from headstart.tasks import Head
from headstart.training.batches import Batch

MARKS = ("[MASK]", "<mask>")
ELSE = -100  # the label of a token that is not asked for


@dataclass(frozen=True)
class Masked(Auxiliary):
    """Args:
    share: of the tokens that are asked for.
    """

    share: float = 0.15

    def begin(self, backbone: Backbone, size: int, recipe: Recipe, seed: int) -> Question:
        """
        Raises:
            ConfigError: the share is none.
        """
        if not 0 < self.share < 1:
            raise ConfigError(
                f"$.approach.helper: masked takes a share of more than 0 and less than 1, got {self.share:g}"
            )
        if not isinstance(backbone, TextBackbone):
            raise Incompatible(
                f"The helper masked hides tokens of texts, and {backbone.reference} takes samples of the kind "
                f"{backbone.card.modality!r}. For pictures there is --helper rotation; another labelled data set, --helper "
                "NAME=DATA, helps with any kind"
            )
        tokeniser, count = backbone.tokeniser, backbone.tokeniser.get_vocab_size()
        mark = next((found for found in map(tokeniser.token_to_id, MARKS) if found is not None), None)
        table = next(
            (
                part
                for part in backbone.network.modules()
                if isinstance(part, nn.Embedding) and part.num_embeddings >= count
            ),
            None,
        )
        if mark is None or table is None:
            lacking = f"a token {' or '.join(MARKS)}" if mark is None else f"a table of {count} token vectors"
            raise Incompatible(
                f"The helper masked needs {lacking}, and {backbone.reference} has none: it is no BERT-like model. Another "
                "labelled data set, --helper NAME=DATA, helps with any model"
            )
        special = np.array([number for number, token in tokeniser.get_added_tokens_decoder().items() if token.special])

        def posed(shown: Iterable[Batch], epoch: int) -> Iterator[Batch]:
            for number, batch in enumerate(shown):
                assert isinstance(batch.inputs, dict)
                ids, mask = (batch.inputs[name].cpu().numpy() for name in ("ids", "mask"))
                hidden, labels = masked(
                    ids, mask, (mark, count), special, self.share, np.random.default_rng([seed, epoch, number, 5])
                )
                device = batch.labels.device
                yield replace(batch, inputs={**batch.inputs, "ids": torch.from_numpy(hidden).to(device)},
                              labels=torch.from_numpy(labels).to(device))  # fmt: skip

        return Question(TokenHead(backbone.spec.dim, table.weight.detach().float().clone()[:count]), posed)


def masked(
    ids: np.ndarray,
    mask: np.ndarray,
    vocabulary: tuple[int, int],
    special: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Token numbers (n, length) with some hidden, and the labels: the token where it is asked for, else ``ELSE``.

    Args:
        vocabulary: the number of the mask, and how many tokens there are.
        special: numbers that are never asked for.
    """
    mark, count = vocabulary
    draw, kind = rng.random(ids.shape), rng.random(ids.shape)
    asked = (mask > 0) & ~np.isin(ids, special) & (draw < share)
    hidden = np.where(asked & (kind < 0.8), mark, ids)
    hidden = np.where(asked & (kind >= 0.9), rng.integers(count, size=ids.shape), hidden)
    return hidden, np.where(asked, ids, ELSE)


class TokenHead(Head):
    """logits = norm(gelu(dense(token features))) @ table.T + bias, as BERT's own.

    Attributes:
        table: (tokens, width) of the pretrained checkpoint; not trained.
    """

    table: Tensor

    def __init__(self, dim: int, table: Tensor) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, table.shape[1])
        self.norm = nn.LayerNorm(table.shape[1])
        self.bias = nn.Parameter(torch.zeros(len(table)))
        self.register_buffer("table", table, persistent=False)

    def forward(self, features: Features) -> Tensor:
        """(n, length, tokens)"""
        assert features.tokens is not None
        return self._logits(features.tokens)

    def _logits(self, tokens: Tensor) -> Tensor:
        return self.norm(functional.gelu(self.dense(tokens.float()))) @ self.table.T + self.bias

    def losses(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """``labels``: (n, length); only the tokens that are asked for are computed."""
        assert features.tokens is not None
        asked = labels != ELSE
        if not bool(asked.any()):
            return {"tokens": features.tokens.sum() * 0.0}
        return {"tokens": functional.cross_entropy(self._logits(features.tokens[asked]), labels[asked])}
