"""Adaptation methods side by side: same tiles, same seeds, same budget, one table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoconvlora.compare.config import CompareConfig, load_compare_config
    from geoconvlora.compare.run import CompareResult, compare

__all__ = ["CompareConfig", "CompareResult", "compare", "load_compare_config"]

_HOMES = {
    "CompareConfig": "config",
    "CompareResult": "run",
    "compare": "run",
    "load_compare_config": "config",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a configuration is checked without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
