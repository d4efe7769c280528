import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from headstart.errors import RunError
from headstart.training.checkpoint import read_checkpoint, restore, save_checkpoint, write_atomically
from headstart.training.optimiser import adamw


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x"
    write_atomically(path, b"a much longer first content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["fsync", "write", "replace"])
def test_a_full_disk_leaves_what_was_there(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomically(path, b"old")
    if where == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif where == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        opened = Path.open
        monkeypatch.setattr(Path, "open", lambda self, *given: _Narrow(opened(self, *given)))
    with pytest.raises(RunError, match=r"No space left.*untouched"):
        write_atomically(path, b"new content")
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


class _Narrow:
    """A file on a full disk."""

    def __init__(self, file: object) -> None:
        self.file = file
        self.write = full

    def __enter__(self) -> "_Narrow":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()  # type: ignore[attr-defined]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="could not be written"):
        write_atomically(tmp_path / "file" / "x", b"new")


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> dict | None:
    found = read_checkpoint(path)
    if found is not None:
        restore(found, modules, optimiser)
    return found and found.state


def pair(seed: int) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    optimiser = adamw([{"params": [p], "lr": 0.1} for p in module.parameters()])
    module(torch.randn(4, 2, 3, 3)).square().sum().backward()
    optimiser.step()
    return {"module": module}, optimiser


def test_round_trip(tmp_path: Path) -> None:
    modules, optimiser = pair(0)
    save_checkpoint(tmp_path / "a.checkpoint", modules, optimiser, {"epochs": 3, "rows": [{"x": 0.1}]})
    others, again = pair(1)
    state = load_checkpoint(tmp_path / "a.checkpoint", others, again)
    assert state is not None and state["epochs"] == 3 and state["rows"] == [{"x": 0.1}]
    for name, value in modules["module"].state_dict().items():
        assert torch.equal(value, others["module"].state_dict()[name]), name
    for number, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            restored = again.state_dict()["state"][number][name]
            assert torch.equal(value, restored) and value.dtype is restored.dtype, name
            assert value.stride() == restored.stride(), "the fused step walks through memory, not through indices"


def test_nothing_to_restore_changes_nothing(tmp_path: Path) -> None:
    modules, optimiser = pair(0)
    before = [p.clone() for p in modules["module"].parameters()]
    assert load_checkpoint(tmp_path / "a.checkpoint", modules, optimiser) is None
    assert all(torch.equal(a, b) for a, b in zip(before, modules["module"].parameters(), strict=True))


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, optimiser = pair(0)
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, modules, optimiser, {"epochs": 1})
    later, later_optimiser = pair(1)
    calls = []

    def second(descriptor: int) -> None:  # the tensors still fit, the facts about them do not
        calls.append(descriptor)
        if len(calls) == 2:
            full()

    monkeypatch.setattr(os, "fsync", second)
    with pytest.raises(RunError, match="No space"):
        save_checkpoint(path, later, later_optimiser, {"epochs": 2})
    state = load_checkpoint(path, later, later_optimiser)
    assert state is not None and state["epochs"] == 1
    assert all(torch.equal(v, later["module"].state_dict()[n]) for n, v in modules["module"].state_dict().items())


def test_only_the_last_checkpoint_stays(tmp_path: Path) -> None:
    for number in range(3):
        save_checkpoint(tmp_path / "a.checkpoint", *pair(number), {"epochs": number})
        save_checkpoint(tmp_path / "b.checkpoint", *pair(9), {"epochs": 9})
    assert len(list(tmp_path.iterdir())) == 4
    assert (load_checkpoint(tmp_path / "b.checkpoint", *pair(0)) or {})["epochs"] == 9


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.checkpoint", *pair(0), {"epochs": 1})
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
