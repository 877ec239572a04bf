"""What a scene says of itself."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from geoconvlora.scenes.sampling import valid_fraction
from geoconvlora.scenes.scene import open_scene


class BandReport(BaseModel):
    """One band of a scene."""

    model_config = ConfigDict(frozen=True)

    index: int
    """1-based."""
    name: str
    """Its description, else its colour, else its number."""
    color: str
    """GDAL's colour interpretation."""


class SceneReport(BaseModel):
    """One scene."""

    model_config = ConfigDict(frozen=True)

    path: str
    height: int
    width: int
    crs: str
    """EPSG code where there is one, else WKT."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top in the CRS."""
    gsd_m: float
    """Side of a square as large as the centre pixel, in metres on the ground."""
    dtype: str
    nodata: str | None
    """As text: JSON has no NaN."""
    bands: tuple[BandReport, ...]
    valid_fraction: float
    """Share of pixels where all bands but alpha hold data, estimated from a regular sample."""


def describe_scene(path: str) -> SceneReport:
    """Open a scene and report on it.

    Raises:
        SceneError: It is missing, damaged, no raster, or without a CRS.
    """
    with open_scene(path) as scene:
        crs, box = scene.geobox.crs, scene.geobox.extent.boundingbox
        assert crs is not None
        return SceneReport(
            path=path,
            height=scene.height,
            width=scene.width,
            crs=str(crs) if crs.epsg is None else f"EPSG:{crs.epsg}",
            bounds=(box.left, box.bottom, box.right, box.top),
            gsd_m=scene.gsd_m,
            dtype=scene.dtype,
            nodata=None if scene.nodata is None else f"{scene.nodata:g}",
            bands=tuple(
                BandReport(index=label.index, name=label.name, color=label.color)
                for label in scene.labels
            ),
            valid_fraction=valid_fraction(scene),
        )
