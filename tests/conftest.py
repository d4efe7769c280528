"""Every test: no network, its own cache, one thread, no luck."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("headstart", deadline=None, derandomize=True)  # a busy machine is no failure
settings.load_profile("headstart")
os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client reads it when it is imported


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests one process runs when several share the work: those of a zoo, whose results are computed once, or of a file."""
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        cell = given.get("cell", "")  # of some tests the name of one
        zoo = given.get("zoo", item.path.stem) if isinstance(cell, str) else cell.zoo
        item.add_marker(pytest.mark.xdist_group(str(zoo)))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, and a loud failure where a test would reach for the network."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)  # weights that a test does not seed are the same whatever ran before it

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise OSError(f"a test tried to reach the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
