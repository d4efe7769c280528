"""Variants are files: every module of a package folder is one variant, found by its file name.

The contract a variant obeys stands in the package's ``__init__.py``; other installed packages add variants
through entry points in the group ``headstart.<package>``, for example ``headstart.approaches``.
"""

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType, UnionType
from typing import Any

from headstart import config
from headstart.errors import ConfigError


@functools.cache
def _entry_points(package: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"headstart.{package}")}


@functools.cache
def names(package: str) -> tuple[str, ...]:
    """Names of the variants of ``package`` (such as ``"approaches"``), sorted; imports none of them."""
    folder = importlib.import_module(f"headstart.{package}")
    own = {module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_")}
    return tuple(sorted(own | set(_entry_points(package))))  # remembered, so nobody may change it


def load(package: str, name: str) -> ModuleType:
    """The module of one variant.

    Raises:
        ConfigError: no variant has this name; the message lists those there are.
    """
    known = names(package)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"There is no {name!r} among the {package.replace('.', ' ')}: {', '.join(known)}.{hint}")
    if point := _entry_points(package).get(name):
        return importlib.import_module(point.module)
    return importlib.import_module(f"headstart.{package}.{name}")


def variant(package: str, name: str, contract: type | UnionType) -> type:
    """The one concrete subclass of ``contract`` that the module of the variant defines."""
    module = load(package, name)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, contract) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(
            f"{module.__name__} must define exactly one {getattr(contract, '__name__', contract)}, found {len(found)}"
        )
    return found[0]


def spelled(package: str, text: str, contract: type | UnionType, path: str = "$") -> Any:
    """The variant, with its settings, that a text spells: ``"lora"``, ``"lora:8"``, ``"lora:8:alpha=32"``.

    Settings without a name are the first ones of the variant, in their order.

    Raises:
        ConfigError: no variant has this name, or it has no such setting; the message starts with ``path``.
    """
    name, *given = text.split(":")
    try:
        kind = variant(package, name, contract)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None
    known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    settings = {}
    for place, entry in enumerate(given):
        key, equals, value = entry.partition("=")
        if not equals:
            if place >= len(known):
                raise ConfigError(f"{path}: {name} has the settings {', '.join(known) or 'none'}, got also {entry!r}")
            key, value = known[place], entry
        settings[key] = value
    return config.from_dict(kind, settings, f"{path} ({name})")
