"""The table in the documentation is the one that the code gives."""

from contract.matrix import PAGE, committed, page
from contract.results import Results
from tiny_models import CELLS


def test_the_page_is_the_one_that_is_generated(results: Results) -> None:
    assert PAGE.read_text("utf-8") == page(results), "write it anew: PYTHONPATH=tests python -m contract.matrix"
    assert set(committed()) == set(CELLS)


def test_no_row_was_never_tried() -> None:
    assert not [name for name, entry in committed().items() if "not tried" in entry]
