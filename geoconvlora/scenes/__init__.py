"""Pixels in: opening scenes, choosing bands, validity, integer windows, grids, normalisation.

Nothing here imports torch. The names below are imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoconvlora.late import late_names

if TYPE_CHECKING:
    from geoconvlora.scenes.grid import PredictionGrid, read_grid
    from geoconvlora.scenes.moments import Moments
    from geoconvlora.scenes.normalise import Normaliser, band_statistics, fit_normaliser
    from geoconvlora.scenes.pixels import Pixels, Window
    from geoconvlora.scenes.sampling import sample_valid_pixels, valid_fraction
    from geoconvlora.scenes.scene import Scene, open_scene
    from geoconvlora.scenes.series import open_series

__all__ = [
    "Moments",
    "Normaliser",
    "Pixels",
    "PredictionGrid",
    "Scene",
    "Window",
    "band_statistics",
    "fit_normaliser",
    "open_scene",
    "open_series",
    "read_grid",
    "sample_valid_pixels",
    "valid_fraction",
]

_HOMES = {
    "Moments": "moments",
    "Normaliser": "normalise",
    "Pixels": "pixels",
    "PredictionGrid": "grid",
    "Scene": "scene",
    "Window": "pixels",
    "band_statistics": "normalise",
    "fit_normaliser": "normalise",
    "open_scene": "scene",
    "open_series": "series",
    "read_grid": "grid",
    "sample_valid_pixels": "sampling",
    "valid_fraction": "sampling",
}

__getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
