"""Samples whose size is far from that of the others: tiny or huge pictures, odd shapes, long texts, short sounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import counted

ORDER = 30
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False
FEWEST = 8  # samples from which on there is a usual size
FACTOR = 3.0  # so many times larger or smaller than the usual, at least
SPREAD = 3.0  # and so many interquartile ranges beyond the quartiles (Tukey 1977: "far out"), on a logarithmic scale

Quantity = Callable[[dict[str, np.ndarray]], np.ndarray]
QUANTITIES: dict[str, list[tuple[str, str, Quantity]]] = {
    "image": [
        ("size", "{:.0f} pixels a side", lambda m: np.sqrt(m["width"] * m["height"])),
        ("shape", "width to height {:.2f}", lambda m: m["width"] / m["height"]),
    ],
    "audio": [("length", "{:.2f} s", lambda m: m["seconds"]), ("rate", "{:.0f} Hz", lambda m: m["rate"])],
    "text": [("length", "{:.0f} words", lambda m: np.maximum(m["words"], 1))],
}


def check(evidence: Evidence) -> list[Finding] | str:
    dataset = evidence.dataset
    if dataset.modality not in QUANTITIES:
        return f"samples of the kind {dataset.modality!r} have no size"
    if len(evidence.readable) < FEWEST:
        return f"{len(evidence.readable)} samples are too few to tell a usual size; expected at least {FEWEST}"
    findings = []
    for name, unit, quantity in QUANTITIES[dataset.modality]:
        values = quantity(evidence.measures)
        known = np.flatnonzero(np.isfinite(values) & (values > 0))
        if not len(known):
            continue
        odd, usual = far_out(np.log(values[known]))
        if name == "rate" and not len(odd):  # two rates in one set need not be far apart to matter
            odd, usual = _minority(values[known])
        if not len(odd):
            continue
        order = odd[np.argsort(-np.abs(np.log(values[known[odd]]) - usual))]
        typical = unit.format(np.exp(usual))
        samples = tuple(
            Suspect(int(i), f"{unit.format(values[i])}; usual is {typical}", score=_score(np.log(values[i]) - usual))
            for i in known[order]
        )
        message = f"{counted(len(odd), dataset.modality)} of {len(dataset)} have an odd {name} (usual: {typical})."
        findings.append(Finding("warning" if name == "rate" else "info", "size", message, samples,
                                {"usual": float(np.exp(usual)), "quantity": name}, "Look at them."))  # fmt: skip
    return findings


def far_out(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Places of the values far beyond the quartiles and at least ln(FACTOR) from the median, and the median."""
    low, usual, high = np.percentile(values, [25, 50, 75])
    reach = SPREAD * (high - low)
    far = (values < low - reach) | (values > high + reach)
    return np.flatnonzero(far & (np.abs(values - usual) >= np.log(FACTOR))), float(usual)


def _minority(rates: np.ndarray) -> tuple[np.ndarray, float]:
    kinds, counts = np.unique(rates, return_counts=True)
    usual = kinds[counts.argmax()]
    return np.flatnonzero(rates != usual), float(np.log(usual))


def _score(distance: float) -> float:
    return float(1 - np.exp(-abs(distance)))
