"""Dataclasses to TOML or JSON and back; an error carries the path of the value: ``$.approach.epochs: ...``."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import ConfigError

T = TypeVar("T")


def to_dict(value: Any) -> Any:
    """Plain dicts, lists, strings and numbers. A dataclass's fields that are None are left out: TOML has no null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: to_dict(entry) for name, entry in pairs if entry is not None}
    if isinstance(value, dict):
        return {str(key): to_dict(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def from_dict(kind: type[T], data: Any, path: str = "$") -> T:
    """Build the dataclass ``kind`` from plain data.

    Raises:
        ConfigError: an unknown or missing entry or one of the wrong type; the message starts with its path.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a table, got {data!r}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for name in data:
        if name not in fields:
            raise ConfigError(f"{path}.{name}: no such setting; there are: {', '.join(fields)}")
    for name, field in fields.items():
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in data and missing:
            raise ConfigError(f"{path}.{name}: missing, and it has no default")
    return kind(**{name: convert(hints[name], entry, f"{path}.{name}") for name, entry in data.items()})


def convert(kind: Any, value: Any, path: str = "$") -> Any:
    """``value`` as the annotated type ``kind``; text from a command line is read as the type it stands for."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or value == "":
            return None
        return convert(next(a for a in arguments if a is not type(None)), value, path)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{path}: expected one of {', '.join(map(str, arguments))}, got {value!r}")
        return value
    if origin is tuple or origin is list:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path}: expected a list, got {value!r}")
        return origin(convert(arguments[0], entry, f"{path}[{i}]") for i, entry in enumerate(value))
    if origin is dict or kind in (dict, Any):
        return value
    if dataclasses.is_dataclass(kind):
        return from_dict(typing.cast(type, kind), value, path)
    return _scalar(kind, value, path)


def _scalar(kind: Any, value: Any, path: str) -> Any:
    problem = ConfigError(f"{path}: expected {kind.__name__}, got {value!r}")
    if kind is bool:
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise problem
        return value
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        raise problem
    if kind is int and isinstance(value, float) and not value.is_integer():
        raise problem
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise problem from None


def dump_toml(value: Any) -> str:
    """TOML text of a dataclass or dict."""
    import tomli_w

    return tomli_w.dumps(to_dict(value))


def dump_json(value: Any) -> str:
    """JSON text of a dataclass or dict: one key a line, keys in order of definition."""
    return json.dumps(to_dict(value), indent=1, ensure_ascii=False, allow_nan=False)
