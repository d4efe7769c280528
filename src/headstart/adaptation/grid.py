"""The candidates of ``auto``: which methods, with which settings, for which kind of rows."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.approaches._adaptation import Adaptation
from headstart.approaches._rows import Pair, are_counts
from headstart.approaches.adabn import AdaBN
from headstart.approaches.cdan import Cdan
from headstart.approaches.coral import Coral
from headstart.approaches.dann import Dann
from headstart.approaches.importance import Importance
from headstart.approaches.jda import Jda
from headstart.approaches.labelshift import LabelShift
from headstart.approaches.linear_transport import LinearTransport
from headstart.approaches.msda import Msda
from headstart.approaches.source_only import SourceOnly
from headstart.approaches.subspace import Subspace
from headstart.approaches.tca import Tca


@dataclass(frozen=True)
class Entry:
    """A candidate under the name that reasons and results use."""

    name: str
    approach: Adaptation


WIDE = 2500  # features from which on what inverts their covariance takes minutes
CHEAP = 1_000_000  # numbers in the rows of both domains up to which JDA and training by gradients take seconds
BAR = Entry("source_only", SourceOnly())


def grid(pair: Pair) -> list[Entry]:
    """The bar first, then what is tried."""
    wide = pair.source.shape[1] > WIDE
    counts: list[Entry] = []
    if are_counts(pair.source, pair.target):  # mSDA is made for them
        counts = [Entry(f"msda, noise {noise}", Msda(5, noise, 1000)) for noise in (0.5, 0.8)]
    if wide:
        return [BAR, *counts]
    rank = min(len(pair.source), len(pair.target), pair.source.shape[1]) - 1
    dear = [
        Entry(f"jda, {min(50, rank)} components", Jda(min(50, rank), num_rounds=5)),
        Entry("dann", Dann()),
        Entry("cdan", Cdan()),
    ]
    return [
        BAR,
        *counts,
        *(Entry(f"coral, regularisation {value}", Coral(value)) for value in (1.0, 0.1)),
        Entry(f"subspace, {min(20, rank)} components", Subspace(min(20, rank))),
        Entry(f"tca, {min(50, rank)} components", Tca(min(50, rank))),
        Entry("linear_transport", LinearTransport()),
        Entry("adabn", AdaBN()),
        Entry("importance", Importance()),
        Entry("labelshift", LabelShift()),
        *(dear if pair.source.size + pair.target.size <= CHEAP else ()),
    ]
