"""Maps in Jupyter: rasters as xarray, polygons as GeoDataFrames, statistics, change, plots.

Nothing here imports torch, and what the names below need is imported when one is first asked for.
Functions take the path of a file, of which plots and interactive maps read overviews, or a Dataset
of :func:`open_scene`, :func:`open_classes`, :func:`open_probabilities` or
:func:`geoconvlora.predict_array`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoconvlora.late import late_names

if TYPE_CHECKING:
    from geoconvlora.explore.changes import Change, change
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

_HOMES = {
    "Change": "changes",
    "InteractiveMap": "interactive",
    "Legend": "legend",
    "change": "changes",
    "class_statistics": "statistics",
    "interactive_map": "interactive",
    "open_classes": "opening",
    "open_polygons": "opening",
    "open_probabilities": "opening",
    "open_scene": "opening",
    "plot_change": "plots",
    "plot_classes": "plots",
    "plot_polygons": "plots",
    "plot_probability": "plots",
    "plot_scene": "plots",
    "plot_transitions": "plots",
    "polygon_classes": "zones",
    "polygon_statistics": "zones",
}

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

__getattr__ = late_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
