"""The table in the documentation is the one that the code gives."""

from contract.matrix import HEADER, PAGE, committed, row
from contract.results import Results
from contract.test_cells import each_cell
from tiny_models import CELLS, Cell

AGAIN = "write it anew: PYTHONPATH=tests python -m contract.matrix"


@each_cell
def test_a_row_is_the_one_that_is_generated(cell: Cell, results: Results) -> None:
    assert committed().get(cell.name) == row(results, cell), AGAIN


def test_the_page_has_all_rows_and_columns() -> None:
    assert PAGE.read_text("utf-8").startswith(HEADER), AGAIN
    assert list(committed()) == list(CELLS), AGAIN


def test_no_row_was_never_tried() -> None:
    assert not [name for name, entry in committed().items() if "not tried" in entry]
