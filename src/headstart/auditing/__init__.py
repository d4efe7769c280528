"""audit: what is wrong with a data set, found before anything is trained, each finding with its evidence.

One file is one check, found by its file name (a leading underscore marks what checks share). A check has::

    ORDER: int                    # its place in the report
    NEEDS: frozenset[str]         # {"features"} where it cannot do without a model, else empty
    BEFORE_FIT: bool              # it is cheap and runs before every fit; an error that it finds stops the fit
    def check(evidence: Evidence) -> list[Finding] | str    # findings, or the reason why there is nothing to check

``fit --waive NAME`` goes on in spite of the errors of one check.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import plugins
from headstart.auditing._audit import SEVERITIES, Audit
from headstart.auditing._evidence import Evidence, Finding, Suspect
from headstart.data import read as read_data
from headstart.data.dataset import Dataset
from headstart.data.duplicates import Scan, scan
from headstart.errors import ConfigError, DataError, Incompatible, ModelError
from headstart.progress import say
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.models.backbone import Backbone

__all__ = ["Audit", "Evidence", "Finding", "Suspect", "audit", "checked"]


def audit(
    data: Any, model: str | None = "auto", *, seed: int = 0, store: Store | None = None, **reading: str | None
) -> Audit:
    """Look for what is wrong with a data set.

    Args:
        data: as for ``hs.fit``: a path, a Dataset, or what ``hs.read`` takes.
        model: whose features the checks of labels and neighbours use, and whose expectations the data is compared
            with; "auto" chooses, None leaves out what needs a model.
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
    dataset, used = (data, {}) if isinstance(data, Dataset) else _read(data, stated)
    if not len(dataset):
        raise DataError(f"{dataset.origin or 'The data'} has no samples to audit.")
    store = store or Store()
    backbone = None if model in (None, "auto") else _named(str(model), dataset)  # refused before any work
    evidence = Evidence(dataset, scan(dataset, store), store, backbone, seed)
    why = ""
    if backbone is None:
        evidence.backbone, why = (None, "no model was wanted") if model is None else _chosen(evidence)
    findings, checks, skipped = _run(plugins.names("auditing"), evidence, why)
    return Audit(
        dataset,
        findings,
        checks,
        skipped,
        evidence.backbone.reference if evidence.backbone is not None else "",
        time.perf_counter() - begun,
        Path(data).expanduser() if isinstance(data, (str, Path)) else None,
        tuple(used.items()),
    )


def checked(dataset: Dataset, found: Scan, waived: Sequence[str] = ()) -> Dataset:
    """The data set after the cheap checks, with a note on each error that was waived and each warning.

    Samples that cannot be read are left to ``on_bad``, and copies across the sides of a split to the splitting, which
    takes them out of training.

    Raises:
        ConfigError: a name in ``waived`` is no check.
        DataError: an error was found; says how to fix it and how to waive it.
    """
    for name in waived:
        plugins.load("auditing", name)
    cheap = [name for name in plugins.names("auditing") if plugins.load("auditing", name).BEFORE_FIT]
    findings, _, _ = _run(cheap, Evidence(dataset, found), "")
    errors = [finding for finding in findings if finding.severity == "error"]
    stopping = [finding for finding in errors if finding.check not in waived]
    if stopping:
        listed = "; ".join(f"{finding.check}: {finding.message} {finding.fix}" for finding in stopping)
        flags = " ".join(f"--waive {name}" for name in dict.fromkeys(finding.check for finding in stopping))
        raise DataError(
            f"The audit of {dataset.origin or 'the data'} found what would make the result wrong. {listed} "
            f"(headstart audit shows the samples, and its --clean repairs what can be repaired. To go on as it is: {flags})"
        )
    notes = [f"audit, waived: {finding.check}: {finding.message}" for finding in errors]
    notes += [f"audit: {finding.check}: {finding.message}" for finding in findings if finding.severity == "warning"]
    return dataset.with_notes(*notes) if notes else dataset


def _read(data: Any, stated: dict[str, str]) -> tuple[Dataset, dict[str, str | None]]:
    """The data, without labels where it has none at all: there is still enough to check; and how it was read."""
    try:
        return read_data(data, **stated), dict(stated)
    except DataError as problem:
        if "labels" in stated:
            raise
        plain: dict[str, str | None] = {**stated, "labels": None}
        try:
            found = read_data(data, **plain)
        except DataError:
            raise problem from None
        return found.with_notes(f"read without labels, for: {problem}"), plain


def _named(model: str, dataset: Dataset) -> Backbone:
    from headstart import defaults, models

    backbone = models.load(model)
    defaults.suits(backbone, dataset)
    return backbone


def _chosen(evidence: Evidence) -> tuple[Backbone | None, str]:
    """A model for the data, or None and the reason why there is none."""
    if not len(evidence.readable):
        return None, "no sample can be read"
    from headstart import defaults

    try:
        return defaults.choose(evidence.dataset.subset(evidence.readable))[0], ""
    except (ModelError, Incompatible) as problem:
        return None, f"there is no model for it: {problem}"


def _run(
    names: Iterable[str], evidence: Evidence, why: str
) -> tuple[tuple[Finding, ...], dict[str, float], dict[str, str]]:
    """Findings by severity, seconds by check, and the reasons of the checks that had nothing to look at."""
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
    if why and evidence.backbone is None and why in skipped.values():
        say(f"note: checks that need a model were left out ({why})")
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return tuple(findings), checks, skipped
