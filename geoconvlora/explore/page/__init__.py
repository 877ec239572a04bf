"""Scenes, maps and polygons as one HTML file that opens without a network."""

from geoconvlora.explore.page.building import MAX_POLYGONS, ViewResult, view

__all__ = ["MAX_POLYGONS", "ViewResult", "view"]
