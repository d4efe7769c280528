"""HEADSTART_PRECISION asks for float32 everywhere."""


import pytest
import torch

from headstart.errors import ConfigError
from headstart.models import precision
from headstart.training.run import Run

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def quick_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor and a GPU that compute in bfloat16."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.mark.parametrize("asked", [None, "", "auto", "float32", " Float32 "])
def test_float32_is_used_where_it_is_asked_for(asked: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if asked is None:
        monkeypatch.delenv(precision.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(precision.VARIABLE, asked)
    narrow = asked in (None, "", "auto")
    assert precision.uses_bfloat16(CPU) is precision.uses_bfloat16(GPU) is narrow
    assert precision.fast_precision(CPU) is (torch.bfloat16 if narrow else torch.float32)
    assert Run().precision is (torch.bfloat16 if narrow else torch.float32)
    assert Run().autocast._enabled is narrow


def test_a_gpu_without_bfloat16_obeys_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(Run, "device", GPU)
    assert Run().precision is torch.float16
    monkeypatch.setenv(precision.VARIABLE, "float32")
    assert Run().precision is torch.float32


def test_another_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "int8")
    with pytest.raises(ConfigError, match=r"HEADSTART_PRECISION is 'int8'; it can be float32, or auto"):
        Run().precision  # noqa: B018
