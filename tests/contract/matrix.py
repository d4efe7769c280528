"""docs/matrix.md: which approach works with which model, as the contract tests found it.

Written by ``PYTHONPATH=tests python -m contract.matrix`` after a zoo, a family or an approach was added.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from contract.results import APPROACHES, Results
from tiny_models import CELLS, Cell

PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"
HEADER = f"""# Which approach works with which model

Every zoo and family with every approach, on tiny models with random weights. ✓: it trains, what is frozen
stays frozen to the byte, and saved models say the same in another process. Else the reason why it is refused, before
any work. Of the approaches that adapt cached features to a target, a few stand for all. The contract tests compute this table and fail when it is not the one below.

| zoo | family | modality | {" | ".join(APPROACHES)} |
| --- | --- | --- | {" | ".join("---" for _ in APPROACHES)} |
"""


def outcome(results: Results, cell: Cell, name: str) -> str:
    """``✓``, or what the model lacks."""
    found = results.of(cell, name)
    if found.predictor is not None:
        return "✓"
    lacking = re.search(r"needs (.+?) from the model", found.refusal)
    assert lacking, found.refusal
    return f"needs {lacking[1]}"


def row(results: Results, cell: Cell) -> str:
    return line(cell, [outcome(results, cell, name) for name in APPROACHES])


def line(cell: Cell, outcomes: list[str]) -> str:
    return f"| {' | '.join([cell.zoo, cell.family, cell.modality, *outcomes])} |"


def committed() -> dict[str, str]:
    """The rows that the page has now, by the name of the cell."""
    text = PAGE.read_text("utf-8") if PAGE.is_file() else ""
    rows = [entry for entry in text.splitlines() if entry.startswith("| ")][2:]
    return {"-".join(cell.strip() for cell in entry.split("|")[1:3]): entry for entry in rows}


def page(results: Results) -> str:
    """The whole page; a row that cannot be computed here (a library is not installed) stays as it is."""
    kept = committed()
    rows = [
        kept.get(cell.name, line(cell, ["not tried yet"] * len(APPROACHES))) if cell.lacking else row(results, cell)
        for cell in CELLS.values()
    ]
    return HEADER + "\n".join(rows) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(Results(Path(folder))), "utf-8")
