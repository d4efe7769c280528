"""What the hardware computes in without emulating it."""

from __future__ import annotations

import torch


def bfloat16_is_native(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware (AVX-512 BF16 or AMX on x86, any recent GPU)."""
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
    return torch.bfloat16 if bfloat16_is_native(device) else torch.float32
