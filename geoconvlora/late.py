"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package (PEP 562), so that importing it costs nothing.

    Args:
        package: Its ``__name__``.
        homes: Module of the package in which each name is.

    Example:
        >>> find = late_names("geoconvlora.vector", {"PolygonOptions": "options"})
        >>> find("PolygonOptions").__module__
        'geoconvlora.vector.options'
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return find
