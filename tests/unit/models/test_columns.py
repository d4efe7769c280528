import numpy as np
import pytest
import torch

from headstart import models
from headstart.data.dataset import Dataset
from headstart.errors import DataError, ModelError
from headstart.models.card import ModelCard
from headstart.models.columns import MOST, Columns, learned

ROWS = [
    {"age": 1.0, "sex": "m", "same": 5.0, "empty": None},
    {"age": 3.0, "sex": "f", "same": 5.0, "empty": None},
    {"age": None, "sex": "m", "same": 5.0, "empty": None},
]


def data(rows: list) -> Dataset:
    return Dataset(rows, [str(i) for i in range(len(rows))], None, "table")


def test_numbers_are_standardised_and_categories_have_a_feature_each() -> None:
    backbone = learned(data(ROWS))
    assert [column["name"] for column in backbone.columns] == ["age", "sex"], "what never varies says nothing"
    found = backbone(backbone.prepare(ROWS)).vector
    # age, its mark; f, m, another, its mark
    assert found.tolist() == [[-1, 0, 0, 1, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0]]
    assert backbone.spec.dim == 6 and backbone.provides == {"vector"} and backbone.fast() is backbone


def test_what_was_not_seen_in_training() -> None:
    backbone = learned(data(ROWS))
    assert backbone.shape({"age": 1e9, "sex": "x", "new": 1.0}).tolist() == [10, 0, 0, 0, 1, 0]
    assert backbone.shape({"age": float("nan")}).tolist() == [0, 1, 0, 0, 0, 1]
    with pytest.raises(ModelError, match=r"'age' held numbers in training and holds 'old' here"):
        backbone.shape({"age": "old"})


def test_only_the_most_frequent_categories_have_a_feature() -> None:
    rows = [{"code": f"c{i % 100:02}"} for i in range(130)]
    backbone = learned(data(rows))
    assert len(backbone.columns[0]["categories"]) == MOST and backbone.spec.dim == MOST + 2
    assert {f"c{i:02}" for i in range(30)} <= set(backbone.columns[0]["categories"])


def test_the_card_holds_what_was_learned() -> None:
    backbone = learned(data(ROWS))
    twin = Columns(backbone.card, "again")
    assert np.array_equal(twin.shape(ROWS[1]), backbone.shape(ROWS[1]))
    assert not list(twin.parameters()) and torch.equal(twin.place, torch.zeros(1))


def test_there_is_no_pretrained_table() -> None:
    with pytest.raises(ModelError, match="no pretrained model"):
        models.load("tables:columns")
    with pytest.raises(ModelError, match="names no columns"):
        Columns(ModelCard("tables/columns", "table"), "mine")

def test_columns_that_all_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"No column of the table.*differs between rows"):
        learned(data([{"a": 1, "b": None}] * 4))


def test_a_text_among_numbers_is_named_with_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"'age' held numbers in training and holds 'old' here.*empty them"):
        learned(data([{"age": 1}, {"age": 2}])).shape({"age": "old"})

