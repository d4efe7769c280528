"""audit: what is wrong with a data set, found before anything is trained, each finding with its evidence.

One file is one check, found by its file name (a leading underscore marks what checks share). A check has::

    ORDER: int                    # its place in the report
    NEEDS: frozenset[str]         # {"features"} where it cannot do without a model, else empty
    STOPS_FIT: bool               # it is cheap, runs before every fit, and an error that it finds stops the fit
    def check(evidence: Evidence) -> list[Finding] | str    # findings, or the reason why there is nothing to check

``fit --waive NAME`` goes on in spite of the errors of one check.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headstart import plugins
from headstart.config import to_dict
from headstart.data import read as read_data
from headstart.data.dataset import Dataset
from headstart.data.duplicates import Scan, clusters, scan
from headstart.errors import ConfigError, DataError, Incompatible, ModelError
from headstart.progress import say
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.auditing._cleaning import Cleaned
    from headstart.models.backbone import Backbone

SEVERITIES = ("error", "warning", "info")
SHOWN = 5  # samples named in a line of the table
PREVIEWS = 24  # samples of a finding that carry a thumbnail or excerpt

__all__ = ["Audit", "Evidence", "Finding", "Suspect", "audit", "refuse_errors"]


@dataclass(frozen=True)
class Suspect:
    """One sample of a finding.

    Attributes:
        index: its place in the data set.
        why: what is odd about it, in words.
        beside: the place of the sample it is compared with, such as the other copy.
        change: what ``--clean`` does about it: "" is nothing.
        value: the label that "relabel" gives; for "edit", the new value of ``column``.
        column: of a table.
        score: how sure the finding is, 1 the surest; suspects are listed by it.
    """

    index: int
    why: str = ""
    beside: int | None = None
    change: Literal["", "remove", "relabel", "edit"] = ""
    value: str | float | None = None
    column: str = ""
    score: float = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        severity: "error" makes results wrong, "warning" makes them worse or doubtful, "info" is good to know.
        check: the name of the check, which is also what ``--waive`` takes.
        message: one sentence with the numbers.
        samples: whom it concerns, the surest first; empty where it concerns the data set as a whole.
        evidence: the measured facts behind it.
        fix: what to do.
    """

    severity: Literal["error", "warning", "info"]
    check: str
    message: str
    samples: tuple[Suspect, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    fix: str = ""


@dataclass
class Evidence:
    """What the checks read; what is costly is computed when the first check asks for it.

    Attributes:
        dataset: n samples.
        scan: of all samples: what cannot be read, fingerprints.
        store: of what was computed before, or None.
        backbone: the model whose features and expectations are used, or None.
        seed: of the folds of cross-validation.
    """

    dataset: Dataset
    scan: Scan
    store: Store | None = None
    backbone: Backbone | None = None
    seed: int = 0

    @cached_property
    def clusters(self) -> np.ndarray:
        """int64 (n,): copies and near-copies share a number."""
        return clusters(self.scan)

    @cached_property
    def readable(self) -> np.ndarray:
        """int64 (m,): the places of the samples that can be decoded."""
        return np.array([i for i in range(len(self.dataset)) if i not in self.scan.unreadable], dtype=np.int64)

    @cached_property
    def codes(self) -> np.ndarray:
        """int64 (n,): class numbers in the order of ``dataset.classes``; of shape (0,) without labels."""
        return np.unique(np.asarray(self.dataset.labels or (), dtype=str), return_inverse=True)[1]

    @cached_property
    def measures(self) -> dict[str, np.ndarray]:
        """Measured quantities by name, float64 (n,), NaN where a sample cannot be read."""
        from headstart.auditing._measures import measures

        return measures(self.dataset, self.scan, self.store)

    @cached_property
    def vectors(self) -> np.ndarray | None:
        """Features of the readable samples, float32 (m, dim) in the order of ``readable``; None without a model."""
        if self.backbone is None or not len(self.readable):
            return None
        from headstart.features.extract import extract

        return extract(self.backbone, self.dataset.subset(self.readable), self.store).vectors

    def side(self, index: int) -> str:
        return self.dataset.declared[index] if self.dataset.declared else ""

    def named(self, indices: Iterable[int], limit: int = SHOWN) -> str:
        """The names of some samples for a message, and how many more there are."""
        chosen = list(indices)
        more = f" and {len(chosen) - limit} more" if len(chosen) > limit else ""
        return ", ".join(self.dataset.names[i] for i in chosen[:limit]) + more


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        dataset: what was audited.
        findings: errors first, then in the order of the checks.
        checks: names of the checks that ran, with the seconds each took.
        skipped: names of the checks that could not run, with the reason.
        model: reference of the model whose features were used; "" where none was.
        seconds: wall-clock time of the whole audit.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    checks: dict[str, float]
    skipped: dict[str, str]
    model: str = ""
    seconds: float = 0.0

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; samples carry their names."""
        names = self.dataset.names

        def suspect(entry: Suspect) -> dict[str, Any]:
            plain = {name: value for name, value in to_dict(entry).items() if value not in ("", None)}
            beside = {} if entry.beside is None else {"beside_name": names[entry.beside]}
            return {"name": names[entry.index], **plain, **beside}

        found = [{**to_dict(finding), "samples": [suspect(s) for s in finding.samples]} for finding in self.findings]
        counts = {level: sum(finding.severity == level for finding in self.findings) for level in SEVERITIES}
        return {
            "data": self.dataset.origin,
            "modality": self.dataset.modality,
            "samples": len(self.dataset),
            "classes": len(self.dataset.classes),
            "model": self.model,
            "counts": counts,
            "findings": found,
            "checks": self.checks,
            "skipped": self.skipped,
            "notes": list(self.dataset.notes),
            "seconds": self.seconds,
        }

    def table(self) -> str:
        """The findings as text for a terminal."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.severity:8} {finding.check:16} {finding.message}")
            for entry in finding.samples[:SHOWN]:
                lines.append(f"{'':25} - {self.dataset.names[entry.index]}{f': {entry.why}' if entry.why else ''}")
            if len(finding.samples) > SHOWN:
                lines.append(f"{'':25} - and {len(finding.samples) - SHOWN} more")
            if finding.fix:
                lines.append(f"{'':25} fix: {finding.fix}")
        clean = [name for name in self.checks if not self.of(name)]
        lines += [f"{'ok':8} {name}" for name in clean]
        lines += [f"{'skipped':8} {name:16} {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def save(self, folder: str | Path) -> Path:
        """Write ``audit.json`` and the page ``audit.html`` with thumbnails; the path of the page."""
        from headstart.auditing._previews import write

        return write(self, Path(folder))

    def clean(self, folder: str | Path) -> Cleaned:
        """Write a cleaned copy of the data with ``changes.csv``; the original stays as it is.

        Raises:
            DataError: the folder is not empty, or lies in the data, or the data in it.
        """
        from headstart.auditing._cleaning import clean

        return clean(self, Path(folder))


def audit(
    data: Any,
    model: str | None = "auto",
    *,
    seed: int = 0,
    store: Store | None = None,
    **reading: str | None,
) -> Audit:
    """Look for what is wrong with a data set.

    Args:
        data: as for ``hs.fit``: a path, or a Dataset.
        model: whose features the checks of labels and neighbours use, and whose expectations the data is compared
            with; "auto" chooses, None leaves these checks out.
        seed: of the folds of cross-validation.
        store: where features are kept; the usual one by default.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``hs.read``.

    Raises:
        DataError: the data cannot be read at all. Single samples that cannot be read are a finding.

    Example:
        ``print(hs.audit("photos/"))``
    """
    begun = time.perf_counter()
    stated = {name: value for name, value in reading.items() if value is not None}
    if isinstance(data, Dataset) and stated:
        raise ConfigError(f"{', '.join(stated)}: these tell how to read a file; a Dataset is read")
    dataset = data if isinstance(data, Dataset) else _read(data, stated)
    if not len(dataset):
        raise DataError(f"{dataset.origin or 'The data'} has no samples to audit.")
    store = store or Store()
    evidence = Evidence(dataset, scan(dataset, store), store, seed=seed)
    evidence.backbone, why = _backbone(model, evidence)
    findings, checks, skipped = _run(plugins.names("auditing"), evidence, why)
    reference = evidence.backbone.reference if evidence.backbone is not None else ""
    return Audit(dataset, findings, checks, skipped, reference, time.perf_counter() - begun)


def refuse_errors(dataset: Dataset, found: Scan, waived: Sequence[str]) -> list[str]:
    """Run the cheap checks, and stop where one finds an error that is not waived; notes on those that are.

    Samples that cannot be read are left to ``on_bad``.

    Raises:
        ConfigError: a name in ``waived`` is no check.
        DataError: an error was found; says how to fix it and how to waive it.
    """
    names = plugins.names("auditing")
    for name in waived:
        plugins.load("auditing", name)
    cheap = [name for name in names if plugins.load("auditing", name).STOPS_FIT]
    findings, _, _ = _run(cheap, Evidence(dataset, found), "")
    errors = [finding for finding in findings if finding.severity == "error"]
    stopping = [finding for finding in errors if finding.check not in waived]
    if stopping:
        listed = "".join(f"\n  {finding.check}: {finding.message} {finding.fix}" for finding in stopping)
        flags = " ".join(f"--waive {name}" for name in dict.fromkeys(finding.check for finding in stopping))
        raise DataError(
            f"The audit of {dataset.origin or 'the data'} found what would make the results wrong:{listed}\n"
            f"headstart audit shows the samples and --clean repairs what can be repaired; to go on as it is: {flags}"
        )
    return [f"waived {finding.check}: {finding.message}" for finding in errors]


def _read(data: Any, stated: dict[str, str]) -> Dataset:
    """Without labels where the data has none at all: there is still enough to check."""
    try:
        return read_data(data, **stated)
    except DataError as problem:
        if "labels" in stated:
            raise
        try:
            found = read_data(data, **{**stated, "labels": None})
        except DataError:
            raise problem from None
        return found.with_notes(f"read without labels: {problem}")


def _backbone(model: str | None, evidence: Evidence) -> tuple[Backbone | None, str]:
    """The model, or None and the reason why there is none."""
    if model is None:
        return None, "no model was wanted"
    if not len(evidence.readable):
        return None, "no sample can be read"
    from headstart import defaults, models

    if model != "auto":
        backbone = models.load(model)
        defaults.suits(backbone, evidence.dataset)
        return backbone, ""
    try:
        return defaults.choose(evidence.dataset.subset(evidence.readable))[0], ""
    except (ModelError, Incompatible) as problem:
        return None, f"there is no model for it: {problem}"


def _run(
    names: Iterable[str], evidence: Evidence, why: str
) -> tuple[tuple[Finding, ...], dict[str, float], dict[str, str]]:
    modules = sorted(((plugins.load("auditing", name), name) for name in names), key=lambda m: (m[0].ORDER, m[1]))
    findings: list[Finding] = []
    checks, skipped = {}, {}
    for module, name in modules:
        if "features" in module.NEEDS and evidence.backbone is None:
            skipped[name] = why
            continue
        begun = time.perf_counter()
        found = module.check(evidence)
        if isinstance(found, str):
            skipped[name] = found
            continue
        checks[name] = time.perf_counter() - begun
        findings += found
    if why and evidence.backbone is None and skipped:
        say(f"note: checks that need a model were left out ({why})")
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return tuple(findings), checks, skipped
