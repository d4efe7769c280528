"""Which changes clean a data set: what the findings propose, brought together sample by sample."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from headstart.auditing._evidence import Finding, Suspect
from headstart.auditing._spelling import meant
from headstart.data.dataset import Dataset, Item


@dataclass(frozen=True)
class Change:
    """One change of one sample.

    Attributes:
        index, name: which sample.
        action: "remove", "relabel" or "edit" (of a cell of a table).
        reasons: what speaks for it, each with the name of its check in front.
        before, after: label or value; "" for "remove".
        column: of the cell; "" for the others.
    """

    index: int
    name: str
    action: str
    reasons: tuple[str, ...]
    before: str = ""
    after: str = ""
    column: str = ""


def changes(dataset: Dataset, findings: Iterable[Finding]) -> list[Change]:
    """In the order of the samples. A sample that leaves is not relabelled first; of two labels that are proposed, the
    one that the majority of its copies has counts, in the spelling that its class gets."""
    proposed: dict[int, list[tuple[str, Suspect]]] = defaultdict(list)
    for finding in findings:
        for entry in finding.samples:
            if entry.change:
                proposed[entry.index].append((finding.check, entry))
    labels = meant([str(label) for label in dataset.labels or ()])
    found = []
    for index, entries in sorted(proposed.items()):
        leaving = [(check, entry) for check, entry in entries if entry.change == "remove"]
        name = dataset.names[index]
        if leaving:
            found.append(Change(index, name, "remove", _reasons(leaving)))
            continue
        edits: dict[str, list[tuple[str, Suspect]]] = defaultdict(list)
        for check, entry in entries:
            edits[entry.column if entry.change == "edit" else ""].append((check, entry))
        for column, reasons in edits.items():
            if column:
                row = dataset.items[index]
                assert isinstance(row, Mapping)
                after = str(reasons[-1][1].value)
                found.append(Change(index, name, "edit", _reasons(reasons), str(row[column]), after, column))
                continue
            assert dataset.labels is not None
            # a relabelling by copies says another class, one by spelling says the same class in another way
            classes = [str(entry.value) for check, entry in reasons if check != "labels"]
            after = _spelled(dataset, labels, classes[0]) if classes else labels[index]
            found.append(Change(index, name, "relabel", _reasons(reasons), dataset.labels[index], after))
    return found


def cleaned(dataset: Dataset, planned: Iterable[Change]) -> Dataset:
    """The data set with the changes made."""
    leaving, labels = set(), list(dataset.labels or ())
    items: list[Item] = list(dataset.items)
    for change in planned:
        if change.action == "remove":
            leaving.add(change.index)
        elif change.action == "relabel":
            labels[change.index] = change.after
        else:
            row = items[change.index]
            assert isinstance(row, Mapping)
            items[change.index] = {**row, change.column: change.after}
    whole = replace(dataset, items=items, labels=labels if dataset.labels is not None else None)
    return whole.subset(i for i in range(len(dataset)) if i not in leaving)


def _reasons(entries: list[tuple[str, Suspect]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{check}: {entry.why}" for check, entry in entries))


def _spelled(dataset: Dataset, labels: list[str], name: str) -> str:
    """A label in the spelling that its class gets."""
    given = list(dataset.labels or ())
    return labels[given.index(name)] if name in given else name
