"""Which kind of task labels state, where the user does not say; and what the user says, read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headstart import plugins
from headstart.data import labels as texts
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.tasks._numbers import MISSING, number

AUTO = "auto"
MANY = 20  # distinct whole numbers; with fewer they may as well be names of classes
SELDOM = 5  # samples a value on average, below which whole numbers are amounts and no names
MARKS = (";", "|")  # what separates labels in a cell; a comma stands in many a class name


@dataclass(frozen=True)
class Stated:
    """A task in words that ``tasks.learn`` takes, such as "regression" or "multilabel:;", and why it is that one."""

    task: str
    why: str


def stated(wanted: str, labels: Sequence[str]) -> Stated:
    """The task that the user names or, for "auto", that the labels look like.

    Raises:
        ConfigError: there is no such kind of task, or it names columns that there are not.
        DataError: labels are partly numbers and partly texts.
    """
    columns = texts.columns(labels)
    if wanted != AUTO and "=" not in wanted:
        kind = wanted.partition(":")[0]
        plugins.load("tasks", kind)
        if columns and kind in ("classification", "ordinal"):
            return Stated(_several(dict.fromkeys(columns, wanted)), f"you asked for {kind} of each column")
        return Stated(wanted, f"you asked for {kind}")
    if not columns:
        if "=" in wanted:
            raise ConfigError(f"$.task: {wanted!r} names columns, and the labels are a single one; write --task KIND")
        return single(labels)
    said = _by_column(wanted, list(columns))
    kinds = {name: said.get(name) or _of_column(name, values) for name, values in columns.items()}
    if not said and all(_is_yes_no(values) for values in columns.values()):
        return Stated("multilabel", f"each of the {len(columns)} columns holds 0 and 1: so many labels a sample (multilabel)")
    if not said and set(kinds.values()) == {"regression"}:
        return Stated("regression", f"all {len(columns)} columns hold numbers: a regression with {len(columns)} outputs")
    listed = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    return Stated(_several(kinds), f"{len(columns)} columns of labels are as many tasks on one model: {listed}")


def single(labels: Sequence[str]) -> Stated:
    """What the labels of one column look like; classification unless something speaks against it.

    Raises:
        DataError: they are amounts but for some texts: as names of classes they would be one for each number.
    """
    distinct = set(labels)
    try:
        values = {number(label) for label in distinct if label.strip().lower() not in MISSING}
    except ValueError:
        _check_one_type(labels)
        return _names(distinct, len(labels))
    fractions = any(not math.isfinite(value) or not value.is_integer() for value in values)
    if len(values) > 2 and fractions:
        return Stated("regression", f"the labels are {len(values)} different numbers with fractions: regression")
    if len(values) > MANY and len(labels) < SELDOM * len(values):
        why = f"the labels are {len(values)} different whole numbers, few of them more than once or twice: regression"
        return Stated("regression", why)
    return Stated("classification", f"the labels name {len(distinct)} classes")


def _of_column(name: str, values: Sequence[str | None]) -> str:
    try:
        return single([value for value in values if value is not None]).task
    except DataError as problem:
        raise DataError(f"The column of labels {name!r}: {problem}") from None


def _check_one_type(labels: Sequence[str]) -> None:
    texts_among = {label for label in labels if not _is_number(label)}
    amounts = [label for label in labels if label not in texts_among]
    if len(set(amounts)) > max(MANY, 2 * len(texts_among)) and single(amounts).task == "regression":
        listed = ", ".join(map(repr, sorted(texts_among)[:5])) + (", ..." if len(texts_among) > 5 else "")
        raise DataError(
            f"the labels are {len(set(amounts))} different numbers, and texts ({listed}) in {len(labels) - len(amounts)} of "
            f"{len(labels)} samples. Correct or empty these, and it is a regression; or take all for names of classes: --task "
            "classification (for one of several columns COLUMN=classification)"
        )


def _is_number(label: str) -> bool:
    try:
        number(label)
    except ValueError:
        return False
    return True


def only_classes(labels: Sequence[str], purpose: str) -> None:
    """
    Args:
        purpose: what is asked for, as the message begins.

    Raises:
        Incompatible: the labels state another task than a classification. Whole numbers may be names of classes.
    """
    found = stated(AUTO, labels)
    columns = texts.columns(labels)
    if found.task == "classification" or (found.task == "regression" and not columns and _are_whole(labels)):
        return
    way = f"Name one of the columns: --labels {next(iter(columns))}" if columns else "headstart fit takes them"
    raise Incompatible(f"{purpose} is for classification, and {found.why}. {way}")


def _are_whole(labels: Sequence[str]) -> bool:
    values = [number(label) for label in set(labels)]
    return all(math.isnan(value) or value.is_integer() for value in values)


def _names(distinct: set[str], num_samples: int) -> Stated:
    for mark in MARKS:
        parts = {name.strip() for label in distinct for name in label.split(mark)}
        together = sum(mark in label for label in distinct)
        if together > 1 and len(parts) < len(distinct):
            return Stated(f"multilabel:{mark}", f"labels such as {next(x for x in sorted(distinct) if mark in x)!r} are made "
                          f"of {len(parts)} labels, separated by {mark!r}: so several labels a sample (multilabel)")  # fmt: skip
    return Stated("classification", f"the labels name {len(distinct)} classes")


def _is_yes_no(values: Sequence[str | None]) -> bool:
    present = {value.strip().removesuffix(".0") for value in values if value is not None}
    return bool(present) and present <= {"0", "1"}


def _by_column(wanted: str, columns: Sequence[str]) -> dict[str, str]:
    """``fine=classification,age=regression`` by column."""
    if wanted == AUTO:
        return {}
    found = {}
    for entry in wanted.split(","):
        name, equals, kind = entry.partition("=")
        if not equals or name.strip() not in columns:
            raise ConfigError(f"$.task: {entry!r} is no COLUMN=KIND of the label columns {', '.join(columns)}")
        if name.strip() in found:
            raise ConfigError(f"$.task: two tasks are called {name.strip()!r}; name each column once")
        plugins.load("tasks", kind.partition(":")[0])
        found[name.strip()] = kind.strip()
    return found


def _several(kinds: dict[str, str]) -> str:
    return "multitask:" + ",".join(f"{name}={kind}" for name, kind in kinds.items())
