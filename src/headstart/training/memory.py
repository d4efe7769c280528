"""Memory that a training gives back and takes again in every step stays with the process while it trains."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

# Options of glibc's mallopt (malloc.h, mallopt(3)) and their defaults.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
DEFAULTS = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}
NEVER = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}


@contextlib.contextmanager
def kept_memory() -> Iterator[bool]:
    """Within it, freed tensors are not given back to the system; afterwards all of it is. False where that cannot be.

    glibc maps every large block anew, and the system then fills each of its pages with zeros, in every step for every
    activation and gradient. Training MobileNetV2 on a processor spent a third of its time on that.
    """
    library = _glibc()
    done = library is not None and all(library.mallopt(option, value) for option, value in NEVER.items())
    try:
        yield done
    finally:
        if library is not None:
            for option, value in DEFAULTS.items():
                library.mallopt(option, value)
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
