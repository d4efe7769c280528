"""What the contract tests share: each cell with each approach is computed once a session."""

import pytest

from contract.results import Results


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(tmp_path_factory.mktemp("cells"))
