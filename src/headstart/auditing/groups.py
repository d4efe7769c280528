"""Names that suggest a group nobody mentioned: ``0_jackson_12.wav``, ``patient7/scan3.png``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._sides import RANK
from headstart.data.readers import split_name

ORDER = 100
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False
MOST_NAMES = 20_000
KEYWORD = re.compile(r"(patient|subject|subj|speaker|spk|person|user|author|doc|document|case|client|donor|actor|"
                     r"scene|site|session|video|clip|source|volume|book|writer|animal|id|p|s)[-_]?$", re.IGNORECASE)  # fmt: skip
PIECE = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Field:
    """One place in the names: the text before it, and its value in each sample."""

    before: str
    values: np.ndarray
    pattern: str


def check(evidence: Evidence) -> list[Finding] | str:
    """A field of the names is a group if it is written like one, or if neighbours in feature space share it.

    The second is the better evidence: within a class, how often the nearest neighbour has the same value, against how
    often a random sample of the class has it.
    """
    dataset = evidence.dataset
    if dataset.groups is not None:
        return "the groups are known"
    if len(dataset) < 8:
        return f"{len(dataset)} names are too few to see a pattern in"
    fields = [field for field in _fields(_own_parts(evidence)) if _could_be_group(field, evidence)]
    findings = []
    for field in fields:
        word = bool(KEYWORD.search(field.before)) or _are_words(field.values)
        lift = _lift(evidence, field)
        if lift is not None and (lift["ratio"] < 1.5 or lift["sigmas"] < 5):
            continue  # the samples say that it is no group
        if lift is None and not word:
            continue
        findings.append(_finding(evidence, field, lift))
    findings.sort(key=lambda finding: -finding.evidence.get("sigmas", 0.0))
    return findings[:2]


def _own_parts(evidence: Evidence) -> list[str]:
    """The names without their ending and without the folders of the split and the class."""
    dataset, found = evidence.dataset, []
    for i, name in enumerate(dataset.names[:MOST_NAMES]):
        label = dataset.labels[i] if dataset.labels else None
        parts = re.sub(r"\.\w{1,5}$", "", name).split("/")
        folders = [part for part in parts[:-1] if part != label and split_name(part) is None]
        found.append("/".join([*folders, parts[-1]]))
    return found


def _fields(stems: list[str]) -> list[Field]:
    """The pieces (letters or digits) of names that are all built alike; names of another build count as without value."""
    pieces = [list(PIECE.finditer(stem)) for stem in stems]
    builds = [re.sub(PIECE, lambda m: "0" if m[0][0].isdigit() else "a", stem) for stem in stems]
    build, count = Counter(builds).most_common(1)[0]
    if count < 0.9 * len(stems):
        return []
    like = [i for i, other in enumerate(builds) if other == build]
    fields = []
    for place in range(len(pieces[like[0]])):
        values = np.full(len(stems), "", dtype=object)
        for i in like:
            values[i] = pieces[i][place][0]
        first = pieces[like[0]][place]
        parts = [r"(\d+|[^\W\d_]+)" if k == place else r"(?:\d+|[^\W\d_]+)" for k in range(len(pieces[like[0]]))]
        gaps = re.split(PIECE, stems[like[0]])
        pattern = "".join(re.escape(gap) + part for gap, part in zip(gaps, [*parts, ""], strict=True))
        fields.append(Field(stems[like[0]][: first.start()], values, pattern + r"(?:\.\w+)?$"))
    return fields


def _could_be_group(field: Field, evidence: Evidence) -> bool:
    """Several values, each with several samples, that neither are the label or the split nor count the samples."""
    values = field.values[field.values != ""]
    kinds, counts = np.unique(values.astype(str), return_counts=True)
    if not 2 <= len(kinds) <= len(values) / 1.2 or (counts > 1).mean() < 0.1:
        return False
    for known in (evidence.dataset.labels, evidence.dataset.declared):
        if known is not None:
            pairs = set(zip(field.values, known, strict=False))
            if len(pairs) <= len(kinds) + 1:  # it is the label, or the label follows from it
                return False
    return True


def _are_words(values: np.ndarray) -> bool:
    kinds = set(values) - {""}
    return all(kind.isalpha() and len(kind) > 2 for kind in kinds) and len(kinds) > 2


def _lift(evidence: Evidence, field: Field) -> dict[str, float] | None:
    """How much more often the nearest neighbour of the same class shares the value than chance has it; None without
    features."""
    if evidence.vectors is None or len(field.values) != len(evidence.dataset):
        return None
    vectors = evidence.vectors - evidence.vectors.mean(0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    labels = np.asarray(evidence.dataset.labels or [""] * len(evidence.dataset), dtype=str)[evidence.readable]
    values = field.values[evidence.readable].astype(str)
    shared = expected = variance = 0.0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)[:2000]
        if len(rows) < 3:
            continue
        similar = vectors[rows] @ vectors[rows].T
        similar[similar > 0.999] = -1  # copies share everything
        nearest = similar.argmax(axis=1)
        chance = np.array([((values[rows] == values[i]).sum() - 1) / (len(rows) - 1) for i in rows])
        shared += float((values[rows] == values[rows][nearest]).sum())
        expected += float(chance.sum())
        variance += float((chance * (1 - chance)).sum())
    if not variance:
        return None
    return {"ratio": shared / max(expected, 1e-9), "sigmas": (shared - expected) / variance**0.5, "shared": shared}


def _finding(evidence: Evidence, field: Field, lift: dict[str, float] | None) -> Finding:
    dataset = evidence.dataset
    kinds = Counter(value for value in field.values if value)
    listed = ", ".join(name for name, _ in kinds.most_common(6)) + (" ..." if len(kinds) > 6 else "")
    why = "" if lift is None else (f" Samples with the same value are alike: the nearest neighbour within the class shares it "
                                   f"{lift['ratio']:.1f} times as often as chance has it.")  # fmt: skip
    samples: tuple[Suspect, ...] = ()
    where = "a random split would put samples of one on both sides"
    if dataset.declared is not None:
        sides: dict[str, set[str]] = {}
        for value, side in zip(field.values, dataset.declared, strict=False):
            sides.setdefault(value, set()).add(side)
        straddling = {value for value, found in sides.items() if value and len(found) > 1}
        if not straddling:
            return Finding("info", "groups", f"The names suggest a group ({listed}), and the split keeps it on one side.{why}",
                           evidence={**(lift or {}), "pattern": field.pattern})  # fmt: skip
        where = f"{len(straddling)} of {len(kinds)} stand on more than one side of the split"
        held = {value: next(i for i, v in enumerate(field.values) if v == value
                            and RANK[dataset.declared[i]] == max(RANK[s] for s in sides[value])) for value in straddling}  # fmt: skip
        samples = tuple(
            Suspect(i, f"{value!r} is also in {dataset.declared[held[value]]}", held[value])
            for i, value in enumerate(field.values)
            if value in straddling and dataset.declared[i] != dataset.declared[held[value]]
        )
    message = f"The names suggest a group, {len(kinds)} values such as {listed}: {where}.{why}"
    fix = f"If samples of one value belong together (one patient, one speaker), say so: --group '{field.pattern}'"
    return Finding("warning", "groups", message, samples, {**(lift or {}), "pattern": field.pattern,
                   "values": len(kinds)}, fix)  # fmt: skip
