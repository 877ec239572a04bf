"""Several rasters on one grid, time steps say, read as one scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from geoconvlora.errors import BandError, SceneError
from geoconvlora.scenes.pixels import Pixels, Window
from geoconvlora.scenes.scene import Scene, open_scene

_TOLERANCE_PX = 0.01


class SceneSeries(Scene):
    """Scenes whose bands lie one behind the other; a pixel is valid where it is in all of them.

    Args:
        scenes: On one grid.

    Raises:
        SceneError: Their grids differ.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        first = scenes[0]
        for scene in scenes[1:]:
            if not _same_grid(first.geobox, scene.geobox):
                raise SceneError(
                    f"{scene.path} is not on the grid of {first.path}, which it is stacked with: "
                    f"warp it, e.g. gdalwarp {_warp_options(first.geobox)} IN OUT"
                )
        self._scenes = tuple(scenes)
        self.path = " + ".join(scene.path for scene in scenes)
        self.name = first.name
        self.geobox = first.geobox
        self.gsd_m = first.gsd_m
        self.labels = tuple(label for scene in scenes for label in scene.labels)
        self.bands = tuple(range(1, sum(len(scene.bands) for scene in scenes) + 1))
        self.band_names = tuple(name for scene in scenes for name in scene.band_names)
        self.dtype = first.dtype
        self.nodata = first.nodata

    def read(self, window: Window) -> Pixels:
        """Return a window's pixels; see :meth:`Scene.read`."""
        layers = [scene.read(window) for scene in self._scenes]
        valid = np.logical_and.reduce([layer.valid for layer in layers])
        return Pixels(np.concatenate([layer.values for layer in layers]) * valid, valid)

    def close(self) -> None:
        """Close the files; reading opens them again."""
        for scene in self._scenes:
            scene.close()


def open_series(
    paths: Sequence[str | Path],
    *,
    wanted: Sequence[str],
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
) -> Scene:
    """Open rasters whose bands, one file's after the other's, are the ones wanted.

    Args:
        paths: Rasters on one grid; a single one is a plain scene.
        wanted: Names of all bands in order; each file has an equal share of them.
        bands: 1-based bands of each file; None: found by name.
        nodata: See :func:`open_scene`.

    Raises:
        SceneError: A file cannot be read, or the grids differ.
        BandError: The bands do not fit, or a file describes them as others than those wanted.
    """
    share, rest = divmod(len(wanted), len(paths))
    if rest:
        raise BandError(
            f"{len(wanted)} bands ({', '.join(wanted)}) cannot come from {len(paths)} files with "
            f"as many each: {', '.join(map(str, paths))}"
        )
    names = [wanted[i * share : (i + 1) * share] for i in range(len(paths))]
    scenes = [
        open_scene(path, wanted=part, bands=bands, nodata=nodata, strict_bands=True)
        for path, part in zip(paths, names, strict=True)
    ]
    return scenes[0] if len(scenes) == 1 else SceneSeries(scenes)


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    if one.shape != other.shape or one.crs != other.crs:
        return False
    height, width = one.shape
    offset = ~one.affine
    corners = [(0, 0), (width, 0), (0, height)]
    for column, row in corners:
        b = other.affine
        x, y = b.a * column + b.b * row + b.c, b.d * column + b.e * row + b.f
        away = (
            offset.a * x + offset.b * y + offset.c - column,
            offset.d * x + offset.e * y + offset.f - row,
        )
        if max(map(abs, away)) > _TOLERANCE_PX:
            return False
    return True


def _warp_options(geobox: GeoBox) -> str:
    """What gdalwarp needs to know to make a raster on a grid."""
    box = geobox.extent.boundingbox
    height, width = geobox.shape
    epsg = geobox.crs.to_epsg() if geobox.crs else None
    return (
        f"-t_srs {f'EPSG:{epsg}' if epsg else 'CRS'} "
        f"-te {box.left:.10g} {box.bottom:.10g} {box.right:.10g} {box.top:.10g} "
        f"-ts {width} {height}"
    )
