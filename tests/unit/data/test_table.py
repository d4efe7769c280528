import numpy as np
import pytest

from headstart.data.modalities.table import Table
from headstart.errors import ConfigError, UnreadableError

table = Table()


def test_decode_gives_floats_categories_and_gaps():
    row = {"a": 1, "b": np.float32(0.5), "c": "x", "d": None, "e": float("nan"), "f": True}
    assert table.decode(row) == {"a": 1.0, "b": 0.5, "c": "x", "d": None, "e": None, "f": 1.0}


@pytest.mark.parametrize(
    ("item", "message"), [("a=1", "is a str; expected a mapping"), ({"a": [1]}, "its 'a' is a list")]
)
def test_what_is_no_row(item, message):
    with pytest.raises(UnreadableError, match=f"row 3 cannot be read as a row: .*{message}"):
        table.decode(item, name="row 3")


def test_only_equal_rows_match():
    def product(one, other):
        return float(table.fingerprint(one) @ table.fingerprint(other))

    row = {f"x{i}": float(i) for i in range(30)}
    assert product(row, dict(reversed(row.items()))) == pytest.approx(1, abs=1e-5)
    assert product(row, {**row, "x3": 3.0001}) < 0.9
    assert product(row, {**row, "x3": None}) < 0.9
    assert np.linalg.norm(table.fingerprint(row)) == pytest.approx(1, abs=1e-5)
    assert not table.fingerprint({"a": None}).any()


def test_preview_and_recipes():
    assert table.preview({"age": 63.0, "sex": "m", "chol": None}) == "age=63, sex=m, chol=?"
    assert len(table.preview({f"x{i}": 0.5 for i in range(500)})) == 200
    assert table.augment({"a": 1.0}, np.random.default_rng(0), ()) == {"a": 1.0}
    with pytest.raises(ConfigError, match="'noise'; rows have none"):
        table.augment({"a": 1.0}, np.random.default_rng(0), ("noise",))
