"""Tables have no pretrained models; this zoo lets what was learned from a table's columns travel as models do."""

from __future__ import annotations

from collections.abc import Mapping

from headstart.errors import ModelError, UnknownModel
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard
from headstart.models.columns import Columns
from headstart.models.zoo import NOTHING, Zoo


class Tables(Zoo):
    """``tables:columns``, made by ``headstart fit TABLE.csv`` from the training rows."""

    def names(self) -> list[str]:
        return []

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
        if name != "columns":
            raise UnknownModel(f"There is no table architecture {name!r}; there is columns.")
        return Columns(card, reference)

    def load(self, name: str, *, pretrained: bool = True) -> Backbone:
        raise ModelError(
            "A table has no pretrained model that could be named: its columns are the features, learned from the training "
            "rows. Leave --model out."
        )
