"""Pixels in: opening scenes, choosing bands, validity, integer windows, grids, normalisation.

Nothing here imports torch.
"""

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
