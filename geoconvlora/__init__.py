"""Satellite and aerial GeoTIFFs to maps that people can use.

The names below are imported when first asked for, so ``import geoconvlora`` is cheap.

Example:
    >>> import geoconvlora
    >>> geoconvlora.predict("scene.tif", "fields.gpkg")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoconvlora.inference import mosaic, predict, predict_array
    from geoconvlora.training import train
    from geoconvlora.vector import polygonize
    from geoconvlora.weights import load

__version__ = "0.1.0"

_HOMES = {
    "load": "geoconvlora.weights",
    "mosaic": "geoconvlora.inference",
    "polygonize": "geoconvlora.vector",
    "predict": "geoconvlora.inference",
    "predict_array": "geoconvlora.inference",
    "train": "geoconvlora.training",
}

_ROOMS = {
    "adapters",
    "compare",
    "errors",
    "evaluate",
    "explore",
    "inference",
    "sam",
    "scenes",
    "synthetic",
    "training",
    "vector",
    "weights",
}

__all__ = ["__version__", "load", "mosaic", "polygonize", "predict", "predict_array", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"geoconvlora.{name}")
    raise AttributeError(f"module 'geoconvlora' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
