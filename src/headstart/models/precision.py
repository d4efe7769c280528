"""What is computed in: by default what the hardware does without emulating it."""

from __future__ import annotations

import os

import torch

from headstart.errors import ConfigError

VARIABLE = "HEADSTART_PRECISION"


def float32_is_asked() -> bool:
    """Whether ``$HEADSTART_PRECISION`` is "float32": then features and training are, on any hardware.

    Raises:
        ConfigError: it is something else than "float32", "auto" or empty.
    """
    asked = os.environ.get(VARIABLE, "").strip().lower()
    if asked not in ("", "auto", "float32"):
        raise ConfigError(f"{VARIABLE} is {asked!r}; it can be float32, or auto (the default): bfloat16 or float16 where "
                          "the hardware computes in it, which is faster")  # fmt: skip
    return asked == "float32"


def uses_bfloat16(device: torch.device) -> bool:
    """Whether to compute in bfloat16: the hardware does it (AVX-512 BF16 or AMX on x86, any recent GPU), nobody asks for float32."""
    if float32_is_asked():
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    capabilities = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    return "AVX512" in capabilities and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def fast_precision(device: torch.device) -> torch.dtype | None:
    """The type that a fused network computes in on this device; None where it cannot run."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    return torch.bfloat16 if uses_bfloat16(device) else torch.float32
