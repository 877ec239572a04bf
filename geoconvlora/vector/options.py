"""What the user may ask of polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from geoconvlora.errors import ConfigError

MAX_GAP_PX = 64

Connectivity = Literal[4, 8]
"""Neighbours of a pixel that may be of its region."""
SmallGoTo = Literal["nothing", "neighbour"]
"""Where polygons below the smallest area go."""


@dataclass(frozen=True)
class PolygonOptions:
    """How labels become polygons.

    Attributes:
        simplify_px: Tolerance of outlines in pixels. A vertex goes when the triangle that it
            spans with its two neighbours is not larger than ``simplify_px ** 2`` square pixels
            (Visvalingam and Whyatt 1993), so 1 smooths the steps of the raster and 0 keeps them.
        smooth_px: Corners that are left become curves over so many pixels of both edges, fewer on
            short edges and where something is near; no outline moves by more than 0.6 of it.
        min_area_m2: Polygons smaller than this are dropped; None: the model's own minimum for
            objects, none for classes.
        min_area_to: Where such polygons go: to ``"nothing"``, or to the ``"neighbour"`` of the
            label that they share the longest border with, if there is one that is large enough.
        fill_holes_m2: Holes smaller than this that no other polygon occupies are filled.
        close_gaps_px: Gaps between objects of at most so many pixels are given to the nearest
            object, so that neighbours share an edge; objects only.
        classes: Names or ids of the classes to write; None: all but the background.
        neighbours: Count, for each polygon, how many others share an edge with it.
        connectivity: Whether pixels that touch at a corner only are of two regions (4) or of one
            (8), which is then a multipolygon of parts that touch; rasters only.
    """

    simplify_px: float = 1.0
    smooth_px: float = 0.0
    min_area_m2: float | None = None
    min_area_to: SmallGoTo = "nothing"
    fill_holes_m2: float = 0.0
    close_gaps_px: int = 0
    classes: tuple[str | int, ...] | None = None
    neighbours: bool = False
    connectivity: Connectivity = 4

    def __post_init__(self) -> None:
        if not 0 <= self.close_gaps_px <= MAX_GAP_PX:
            raise ConfigError(f"close_gaps_px is {self.close_gaps_px}: give 0 to {MAX_GAP_PX}")
        if self.min_area_to not in get_args(SmallGoTo):
            choices = " or ".join(get_args(SmallGoTo))
            raise ConfigError(f"min_area_to is {self.min_area_to!r}: choose {choices}")
        if self.connectivity not in get_args(Connectivity):
            raise ConfigError(f"connectivity is {self.connectivity!r}: choose 4 or 8")
        if self.connectivity == 8 and (self.neighbours or self.min_area_to == "neighbour"):
            raise ConfigError(
                "connectivity 8 makes polygons of several parts: neighbours are not counted, and "
                "small ones not given to them; leave that out, or choose connectivity 4"
            )
        for name in ("simplify_px", "smooth_px", "min_area_m2", "fill_holes_m2"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} is {value}: give 0 or a positive number")
