"""Maps in Jupyter: rasters as xarray, polygons as GeoDataFrames, statistics, change, plots.

Nothing here imports torch. Functions take the path of a file, of which plots and interactive maps
read overviews, or a Dataset of :func:`open_scene`, :func:`open_classes`,
:func:`open_probabilities` or :func:`geoconvlora.predict_array`.
"""

from geoconvlora.explore.change import Change, change
from geoconvlora.explore.interactive import InteractiveMap, interactive_map
from geoconvlora.explore.legend import Legend
from geoconvlora.explore.opening import (
    open_classes,
    open_polygons,
    open_probabilities,
    open_scene,
)
from geoconvlora.explore.plots import (
    plot_change,
    plot_classes,
    plot_polygons,
    plot_probability,
    plot_scene,
    plot_transitions,
)
from geoconvlora.explore.statistics import class_statistics
from geoconvlora.explore.zones import polygon_classes, polygon_statistics

__all__ = [
    "Change",
    "InteractiveMap",
    "Legend",
    "change",
    "class_statistics",
    "interactive_map",
    "open_classes",
    "open_polygons",
    "open_probabilities",
    "open_scene",
    "plot_change",
    "plot_classes",
    "plot_polygons",
    "plot_probability",
    "plot_scene",
    "plot_transitions",
    "polygon_classes",
    "polygon_statistics",
]
