"""Adaptation methods side by side: same tiles, same seeds, same budget, one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoconvlora.late import late_names

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

__getattr__ = late_names(__name__, _HOMES)
