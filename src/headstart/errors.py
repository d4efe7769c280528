"""Everything headstart raises on purpose.

HeadstartError
├── ConfigError         an option has a value it cannot have; the message carries its path
├── DataError           the data set cannot be used as it stands
│   └── UnreadableError     one or more samples cannot be decoded (``--on-bad skip`` leaves them out)
├── ModelError          a model cannot be found or loaded
│   ├── UnknownModel        no such model; the nearest names are offered
│   ├── MissingStatistics   the checkpoint does not say how its inputs are prepared
│   └── UnsafeFile          the file could run code when loaded (pickle), so it is refused
├── Incompatible        this approach cannot work with this model or task; says what would
├── MissingExtra        an optional library is not installed; names the extra
└── RunError            a run folder is unfinished, tampered with, in use or cannot be written

Every message says what happened, what was expected and how to fix it.
"""


class HeadstartError(Exception):
    """The root of the tree: catching it catches every error that headstart raises on purpose."""


class ConfigError(HeadstartError, ValueError):
    """An option has a value it cannot have."""


class DataError(HeadstartError, ValueError):
    """The data set cannot be used as it stands."""


class UnreadableError(DataError):
    """Samples that cannot be decoded. ``names`` lists them all, the message only the first few."""

    def __init__(self, message: str, names: list[str] | None = None) -> None:
        super().__init__(message)
        self.names = names or []


class ModelError(HeadstartError):
    """A model cannot be found or loaded."""


class UnknownModel(ModelError, LookupError):
    """No model has this reference."""


class MissingStatistics(ModelError):
    """The checkpoint does not say how its inputs are prepared."""


class UnsafeFile(ModelError):
    """Loading the file could run code."""


class Incompatible(HeadstartError, TypeError):
    """The parts do not fit together; the message names what is missing and what would work."""


class MissingExtra(HeadstartError, ImportError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the library {library!r}, which is not installed. "
            f"Install it with: pip install 'headstart[{extra}]'"
        )


class RunError(HeadstartError, RuntimeError):
    """A run folder is unfinished, tampered with, in use or cannot be written."""


def reason(problem: Exception) -> str:
    """What a problem says; with the name of its kind where the words are not ours."""
    return str(problem) if isinstance(problem, HeadstartError) else f"{type(problem).__name__}: {problem}"
