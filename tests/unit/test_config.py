import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.config import convert, dump_json, dump_toml, from_dict, to_dict
from headstart.errors import ConfigError, HeadstartError


@dataclass(frozen=True)
class Inner:
    weight: float = 1.0
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    share: float | None = None
    flag: bool = False
    kind: Literal["one", "two"] = "one"
    inner: Inner = field(default_factory=Inner)
    more: list[str] = field(default_factory=list)
    free: dict[str, Any] = field(default_factory=dict)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
outers = st.builds(
    Outer,
    name=texts,
    count=st.integers(-(2**40), 2**40),
    share=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    flag=st.booleans(),
    kind=st.sampled_from(["one", "two"]),
    inner=st.builds(Inner, weight=st.floats(allow_nan=False), sizes=st.lists(st.integers(0, 9)).map(tuple)),
    more=st.lists(texts),
    free=st.dictionaries(texts, st.integers(0, 9) | texts | st.booleans()),
)


@given(outers)
def test_toml_round_trip(value: Outer) -> None:
    assert from_dict(Outer, tomllib.loads(dump_toml(value))) == value


@given(outers.filter(lambda o: abs(o.inner.weight) != float("inf")))
def test_json_round_trip(value: Outer) -> None:
    assert from_dict(Outer, json.loads(dump_json(value))) == value


@pytest.mark.parametrize(
    ("data", "path", "said"),
    [
        ({"name": "x", "inner": {"weight": "a lot"}}, "$.inner.weight", "expected float, got 'a lot'"),
        ({"name": "x", "inner": {"sizes": [1, "x"]}}, "$.inner.sizes[1]", "expected int, got 'x'"),
        ({"name": "x", "inner": {"sizes": 3}}, "$.inner.sizes", "expected a list, got 3"),
        ({"name": "x", "inner": 3}, "$.inner", "expected a table, got 3"),
        ({"name": "x", "colour": 1}, "$.colour", "there are: name, count"),
        ({}, "$.name", "no default"),
        ({"name": 3}, "$.name", "expected str, got 3"),
        ({"name": "x", "count": 1.5}, "$.count", "expected int, got 1.5"),
        ({"name": "x", "count": True}, "$.count", "expected int, got True"),
        ({"name": "x", "count": "1.5"}, "$.count", "expected int, got '1.5'"),
        ({"name": "x", "flag": 1}, "$.flag", "expected bool, got 1"),
        ({"name": "x", "flag": "maybe"}, "$.flag", "expected bool"),
        ({"name": "x", "kind": "three"}, "$.kind", "one of one, two, got 'three'"),
        ({"name": "x", "share": "much"}, "$.share", "expected float"),
        ([1], "$", "expected a table"),
    ],
)
def test_errors_carry_the_path(data: Any, path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, data)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)
    assert isinstance(caught.value, (HeadstartError, ValueError))


def test_text_from_a_command_line() -> None:
    read = from_dict(Outer, {"name": "x", "count": "5", "share": "0.5", "flag": "True"})
    assert (read.count, read.share, read.flag) == (5, 0.5, True)
    assert type(read.count) is int and type(read.share) is float
    assert convert(float | None, "") is None and convert(float, 3) == 3.0
    assert convert(int, 4.0) == 4


def test_fields_that_are_none_are_left_out_and_paths_are_text() -> None:
    assert to_dict({"a": None, "b": Path("x/y"), "c": (1, 2)}) == {"a": None, "b": "x/y", "c": [1, 2]}
    assert "share" not in to_dict(Outer("x"))  # of a dataclass, whose default comes back
    assert json.loads(dump_json({"verdict": None})) == {"verdict": None}


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        dump_json({"a": float("nan")})
