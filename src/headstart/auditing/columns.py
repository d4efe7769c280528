"""Columns of a table: missing values, outliers, names written in several ways, and columns that give the label away."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._spelling import alike, spelling
from headstart.data.readers import first_few
from headstart.data.readers._features import number

ORDER = 55
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = True
GAPS = 0.2  # share of missing values from which on a column is worth a warning
NUMERIC = 0.8  # share of values that parse as numbers, from which on the others look like mistakes
SPREAD = 3.0  # interquartile ranges beyond the quartiles (Tukey 1977: "far out")
RARE = 0.02  # share of far values up to which they are outliers rather than the shape of the column
LONGEST = 30  # distinct values up to which a column of words is a category
FEWEST = 20  # rows from which on there is a usual value
Values = Sequence[float | str | None]


def check(evidence: Evidence) -> list[Finding] | str:
    if evidence.dataset.modality != "table":
        return "there are no columns of features"
    rows = [evidence.dataset.items[i] for i in evidence.readable]
    if not rows:
        return "no row can be read"
    names = [str(name) for row in rows[:1] if isinstance(row, Mapping) for name in row]
    columns: dict[str, Values] = {name: [row.get(name) for row in rows if isinstance(row, Mapping)] for name in names}
    places = [int(i) for i in evidence.readable]
    findings = [*_missing(columns, places), *_constant(columns), *_equal(columns)]
    for name, values in columns.items():
        present = [value for value in values if value is not None]
        if not any(isinstance(value, str) for value in present):
            findings += _outliers(name, values, places)
        elif sum(map(_is_number, present)) >= NUMERIC * len(present):
            findings += _no_numbers(name, values, places)
        else:
            findings += _spellings(name, values, places)
    return findings + (_give_away(columns, [evidence.labels[i] for i in places]) if evidence.labels else [])


def _missing(columns: dict[str, Values], places: list[int]) -> list[Finding]:
    shares = {name: sum(value is None for value in values) / len(values) for name, values in columns.items()}
    found = {name: share for name, share in sorted(shares.items(), key=lambda entry: -entry[1]) if share}
    if not found:
        return []
    listed = first_few([f"{name!r} {100 * share:.0f} %" for name, share in found.items()], 6)
    samples = tuple(
        Suspect(place, f"{gaps} of {len(columns)} values are missing", score=gaps / len(columns))
        for place, gaps in sorted(
            ((place, sum(values[row] is None for values in columns.values())) for row, place in enumerate(places)),
            key=lambda entry: -entry[1],
        )
        if gaps > len(columns) / 2
    )
    severity = "warning" if max(found.values()) >= GAPS else "info"
    message = f"{len(found)} of {len(columns)} columns have missing values: {listed}."
    fix = "Is it chance that they are missing? Leave out a column that is mostly empty."
    return [Finding(severity, "columns", message, samples, {"missing": found}, fix)]  # type: ignore[arg-type]


def _constant(columns: dict[str, Values]) -> list[Finding]:
    found = [name for name, values in columns.items() if len({value for value in values if value is not None}) == 1]
    if not found or len(next(iter(columns.values()))) < 2:
        return []
    message = f"{len(found)} columns hold one value only: {first_few(found, 8)}."
    return [Finding("info", "columns", message, evidence={"constant": found}, fix="They tell nothing; leave them out.")]


def _equal(columns: dict[str, Values]) -> list[Finding]:
    """Columns with the same values; constant ones are another matter."""
    groups: dict[tuple[float | str | None, ...], list[str]] = {}
    for name, values in columns.items():
        if len(set(values)) > 1:
            groups.setdefault(tuple(values), []).append(name)
    found = [names for names in groups.values() if names[1:]]
    if not found:
        return []
    message = f"Columns that are equal in every row: {first_few([' = '.join(map(repr, names)) for names in found])}."
    return [Finding("info", "columns", message, evidence={"equal": found}, fix="Keep one of each.")]


def _outliers(name: str, values: Values, places: list[int]) -> list[Finding]:
    """Numbers far outside the usual range; one that comes again and again there stands for something else."""
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    if len(known) < FEWEST:
        return []
    low, usual, high = np.percentile(known, [25, 50, 75])
    reach = SPREAD * (high - low)
    far = np.flatnonzero((numbers < low - reach) | (numbers > high + reach))
    if reach <= 0 or not len(far):
        return []
    [(code, times), *_] = Counter(numbers[far].tolist()).most_common(1)
    if times >= max(3, len(far) / 2) and code in (known.min(), known.max()):
        samples = tuple(Suspect(places[i], f"{name} is {code:g}") for i in far if numbers[i] == code)
        message = (f"In {name!r} the value {code:g} stands {times} times far outside the usual range "
                   f"({low:g} to {high:g}): it may mean that a value is missing.")  # fmt: skip
        return [Finding("warning", "columns", message, samples, {"column": name, "value": code, "times": times},
                        "If it means missing, leave these cells empty.")]  # fmt: skip
    if len(far) > RARE * len(known):
        return []  # a long tail is how this column is
    order = far[np.argsort(-np.abs(numbers[far] - usual), kind="stable")]
    width = max(high - low, 1e-300)
    samples = tuple(
        Suspect(places[i], f"{name} is {numbers[i]:g}; half of all lie between {low:g} and {high:g}",
                score=float(1 - 1 / (1 + abs(numbers[i] - usual) / width))) for i in order
    )  # fmt: skip
    message = f"{len(far)} of {len(known)} values of {name!r} are far out (usual: {low:g} to {high:g})."
    return [Finding("warning", "columns", message, samples, {"column": name, "low": float(low), "high": float(high)},
                    "Are they typing errors, or another unit?")]  # fmt: skip


def _is_number(value: float | str | None) -> bool:
    """A column with a few words in it is read as categories throughout, so its numbers are strings."""
    return number(value) is not None


def _no_numbers(name: str, values: Values, places: list[int]) -> list[Finding]:
    odd = [i for i, value in enumerate(values) if isinstance(value, str) and not _is_number(value)]
    if not odd:
        return []
    samples = tuple(Suspect(places[i], f"{name} is {values[i]!r}") for i in odd)
    kinds = first_few(dict.fromkeys(repr(values[i]) for i in odd))
    message = (f"{len(odd)} of {len(values)} values of {name!r} are no numbers, as the others are ({kinds}), so the whole "
               "column is read as categories.")  # fmt: skip
    return [Finding("warning", "columns", message, samples, {"column": name},
                    "Correct these cells, or leave them empty.")]  # fmt: skip


def _spellings(name: str, values: Values, places: list[int]) -> list[Finding]:
    """Categories that differ only in case, white space or punctuation; free text and identifiers are let be."""
    counts = Counter(value for value in values if isinstance(value, str))
    if len(counts) > max(LONGEST, len(values) / 4):
        return []
    groups = alike(counts, spelling)
    best = {word: group[0] for group in groups for word in group[1:]}
    if not best:
        return []
    samples = tuple(
        Suspect(places[i], f"{name} is {value!r}, elsewhere {best[value]!r}", change="edit", value=best[value],
                column=name) for i, value in enumerate(values) if isinstance(value, str) and value in best
    )  # fmt: skip
    listed = "; ".join(" = ".join(f"{word!r} ({counts[word]})" for word in group) for group in groups[:4])
    message = f"Values of {name!r} differ only in case, white space or punctuation: {listed}."
    return [Finding("warning", "columns", message, samples, {"column": name, "groups": groups},
                    "Write one value in one way (--clean takes the commonest).")]  # fmt: skip


def _give_away(columns: dict[str, Values], labels: list[str]) -> list[Finding]:
    """Columns from which alone the label follows in every row: often something that is known only afterwards.

    A category gives it away where each of its values goes with one label; a number where some ranges, one for each class,
    do so. Columns with hardly two rows a value (names, identifiers) prove nothing.
    """
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    if len(classes) < 2 or len(labels) < FEWEST:
        return []
    found = []
    for name, values in columns.items():
        known = [i for i, value in enumerate(values) if value is not None]
        if len(known) < max(FEWEST, len(values) / 2) or len(np.unique(codes[known])) < 2:
            continue
        if all(isinstance(values[i], str) for i in known):
            pairs = {(values[i], int(codes[i])) for i in known}
            kinds = {value for value, _ in pairs}
            if len(pairs) == len(kinds) and len(known) >= 4 * len(kinds):
                found.append(name)
        elif not any(isinstance(values[i], str) for i in known):
            order = sorted(known, key=lambda i: float(values[i] or 0.0))
            runs = 1 + sum(codes[i] != codes[j] for i, j in itertools.pairwise(order))
            tied = any(values[i] == values[j] and codes[i] != codes[j] for i, j in itertools.pairwise(order))
            if runs == len(np.unique(codes[known])) and not tied:
                found.append(name)
    if not found:
        return []
    message = f"The label follows from {first_few(map(repr, found), 6)} alone, in every row."
    return [Finding("warning", "columns", message, evidence={"gives_away": found},
                    fix="Would it be known when the model is used? If not, leave it out.")]  # fmt: skip
