"""Which kind of task labels look like, and what the user says instead."""

import pytest

from headstart.data.labels import columns, joined, parted
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.tasks._kinds import only_classes, stated

CASES = [
    (["a", "b", "a"], "classification"),
    (["0", "1", "2"] * 30, "classification"),
    ([str(i % 81) for i in range(900)], "classification"),  # ids of classes
    (["0.5", "1.25", "3"], "regression"),
    (["1.0", "2.0", "1.0"], "classification"),
    ([str(i * 7 % 211) for i in range(300)], "regression"),  # amounts: hardly any comes often
    (["cat;dog", "cat", "dog", "cat;bird;dog", "bird"], "multilabel:;"),
    (["cat|dog", "dog|bird", "cat|bird", "cat"], "multilabel:|"),
    (["Smith, John", "Doe, Jane"], "classification"),
    (["a;b", "c;d"], "classification"),  # nothing in common: names that hold a semicolon
    (["3", "nan", "4.5", "2.25"], "regression"),
]


@pytest.mark.parametrize(("labels", "wanted"), CASES)
def test_labels_of_one_column(labels: list[str], wanted: str) -> None:
    found = stated("auto", labels)
    assert found.task == wanted and wanted.partition(":")[0] in found.why + "classification"


def rows(**columns: list[str | None]) -> list[str]:
    return [joined(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def test_labels_of_several_columns() -> None:
    assert stated("auto", rows(cat=["0", "1"], dog=["1", None])).task == "multilabel"
    assert stated("auto", rows(x=["0.5", "1.5", "2"], y=["7.25", "3", "1"])).task == "regression"
    mixed = rows(kind=["a", "b", "a"], size=["0.5", "1.5", "2"])
    assert stated("auto", mixed).task == "multitask:kind=classification,size=regression"
    assert stated("kind=ordinal:b<a", mixed).task == "multitask:kind=ordinal:b<a,size=regression"
    assert stated("classification", mixed).task == "multitask:kind=classification,size=classification"
    assert stated("multilabel", rows(cat=["0", "1"], dog=["1", "1"])).task == "multilabel"


def test_what_cannot_be_is_said() -> None:
    mixed = rows(kind=["a", "b"], size=["0.5", "1.5"])
    with pytest.raises(ConfigError, match="two tasks are called 'kind'"):
        stated("kind=ordinal,kind=classification", mixed)
    with pytest.raises(ConfigError, match="no COLUMN=KIND of the label columns kind, size"):
        stated("colour=regression", mixed)
    with pytest.raises(ConfigError, match="names columns"):
        stated("a=regression", ["1", "2"])
    with pytest.raises(ConfigError, match=r"There is no 'regresion'.*Did you mean 'regression'"):
        stated("regresion", ["1", "2"])


def test_labels_are_put_together_and_taken_apart() -> None:
    row: dict[str, str | None] = {"fine": 'ü "7"', "coarse": None}
    assert parted(joined(row)) == row
    assert parted("{x}") is None and parted("plain") is None and parted('{"a": 3}') is None
    assert columns([joined(row), joined({"fine": "1", "coarse": "2"})]) == {"fine": ['ü "7"', "1"], "coarse": [None, "2"]}
    assert columns(["a", joined(row)]) == {} and columns([]) == {}


AMOUNTS = [f"{i / 7:.3f}" for i in range(40)]


def test_texts_among_amounts_are_named() -> None:
    with pytest.raises(DataError, match=r"40 different numbers, and texts \('12 kg', 'unknown'\) in 3 of 43.*--task classification"):
        stated("auto", [*AMOUNTS, "unknown", "unknown", "12 kg"])
    labels = rows(size=[*AMOUNTS, "unknown"], kind=["a", "b"] * 20 + [None])
    with pytest.raises(DataError, match="The column of labels 'size': the labels are 40"):
        stated("auto", labels)
    assert stated("size=classification", labels).task == "multitask:size=classification,kind=classification"


@pytest.mark.parametrize("labels", [["1", "2", "3", "other"] * 5, [*map(str, range(60)), "none of these"] * 9, [*AMOUNTS, *(f"t{i}" for i in range(30))]])
def test_numbers_among_names_are_names(labels: list[str]) -> None:
    assert stated("auto", labels).task == "classification"


@pytest.mark.parametrize("labels", [["a", "b", "a"], [str(i) for i in range(60)], ["1.0", "2.0", "?"], []])
def test_classes_are_classes(labels: list[str]) -> None:
    only_classes(labels, "Ranking models")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([f"{i / 7:.3f}" for i in range(30)], "30 different numbers.*headstart fit takes them"),
        (["a;b", "a", "b;c", "c", "b"], "several labels a sample.*headstart fit"),
        ([joined({"fine": x, "coarse": x[0]}) for x in ("ab", "ac", "b")], "2 columns.*--labels fine"),
    ],
)
def test_what_is_no_class_is_refused_where_only_classes_will_do(labels: list[str], said: str) -> None:
    with pytest.raises(Incompatible, match=rf"Ranking models is for classification, and .*{said}"):
        only_classes(labels, "Ranking models")
