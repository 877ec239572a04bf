"""What the user may ask of polygons."""

from __future__ import annotations

from dataclasses import dataclass

from geoconvlora.errors import ConfigError


@dataclass(frozen=True)
class PolygonOptions:
    """How labels become polygons.

    Attributes:
        simplify_px: Tolerance of outlines in pixels. A vertex goes when the triangle that it
            spans with its two neighbours is not larger than ``simplify_px ** 2`` square pixels
            (Visvalingam and Whyatt 1993), so 1 smooths the steps of the raster and 0 keeps them.
        min_area_m2: Polygons smaller than this are dropped; None: the model's own minimum for
            objects, none for classes.
        fill_holes_m2: Holes smaller than this that no other polygon occupies are filled.
        classes: Names or ids of the classes to write; None: all but the background.
    """

    simplify_px: float = 1.0
    min_area_m2: float | None = None
    fill_holes_m2: float = 0.0
    classes: tuple[str | int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("simplify_px", "min_area_m2", "fill_holes_m2"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} is {value}: give 0 or a positive number")
