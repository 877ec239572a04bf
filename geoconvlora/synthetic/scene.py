"""Synthetic scenes as files: an image, the true outlines and a mask, georeferenced."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import rasterio
import shapely
from geopandas import GeoDataFrame, GeoSeries
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio import write_dataframe
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.enums import ColorInterp
from rasterio.features import shapes as trace
from rasterio.windows import Window
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from geoconvlora.errors import ConfigError, OutputError
from geoconvlora.naming import check_name_length
from geoconvlora.scenes.environment import raster_environment, vector_environment
from geoconvlora.scenes.opening import RASTER_FAULTS, reason
from geoconvlora.synthetic.country import BlockFields, Box, Country
from geoconvlora.synthetic.placing import finer, geodesic_area_m2, place

_FAILURES = (*RASTER_FAULTS, DataSourceError, DataLayerError, FeatureError)

PixelType = Literal["uint8", "uint16"]
LABEL_SCALE = 2
TILE_PX = 128
BAND_NAMES = ("red", "green", "blue", "nir")
FULL_SCALE = np.array([0.4, 0.4, 0.4, 0.8], dtype=np.float32)
"""Reflectance that becomes 255 in uint8, by band; uint16 holds 10,000 times the reflectance."""
MASK_COLOURS = {0: (0, 0, 0, 255), 1: (87, 160, 60, 255), 2: (255, 214, 10, 255)}
FIELDS_LAYER = "fields"
# Older rasterio releases do not know the name.
NIR = getattr(ColorInterp, "nir", ColorInterp.undefined)
STEP_PX = 1.5
"""Tolerance of outlines in pixels of the mask: enough to straighten the steps of pixels."""


@dataclass(frozen=True)
class SampleFiles:
    """What :func:`write_sample` wrote."""

    scene: Path
    """GeoTIFF with bands red, green, blue and perhaps nir."""
    fields: Path
    """GeoPackage, layer ``fields``: true outlines with ``id`` and ``area_m2`` (geodesic)."""
    mask: Path
    """GeoTIFF, twice as fine as the scene: 0 background, 1 field interior, 2 field boundary."""
    field_count: int


def write_sample(
    folder: Path | str,
    *,
    seed: int = 0,
    size: int | tuple[int, int] = 1024,
    gsd_m: float = 10.0,
    crs: str = "EPSG:32631",
    dtype: PixelType = "uint16",
    bands: int = 4,
    overwrite: bool = False,
) -> SampleFiles:
    """Write a synthetic scene of farmland with its true field outlines and a mask.

    Memory depends on the width of the scene, not on its height.

    Args:
        folder: Where ``scene.tif``, ``fields.gpkg`` and ``mask.tif`` go; made if it is missing.
        seed: Any integer at or above 0; the same arguments give the same files.
        size: Side of the scene in pixels, or height and width.
        gsd_m: Size of its pixels in metres.
        crs: A projected CRS; the scene lies in the middle of its area of use.
        dtype: ``uint16`` (10,000 times reflectance) or ``uint8``.
        bands: 3 (red, green, blue) or 4 (and near infrared).
        overwrite: Replace files of an earlier call.

    Raises:
        ConfigError: An argument has a value that cannot work.
        OutputError: A file exists already, or the folder cannot be written.

    Example:
        >>> from geoconvlora.synthetic import write_sample
        >>> files = write_sample("demo", seed=7, size=256)  # doctest: +SKIP
        >>> files.scene.name  # doctest: +SKIP
        'scene.tif'
    """
    height, width = (size, size) if isinstance(size, int) else size
    _check(seed, height, width, gsd_m, dtype, bands)
    geobox = place(height, width, gsd_m, crs)
    folder = Path(folder)
    files = [folder / name for name in ("scene.tif", "fields.gpkg", "mask.tif")]
    made = _make_room(folder, files, overwrite)
    parts = [file.with_name(f".{file.stem}.{os.getpid()}.part{file.suffix}") for file in files]
    country = Country(seed, height, width, gsd_m=gsd_m, label_scale=LABEL_SCALE)
    try:
        with raster_environment():
            count = _write(country, geobox, parts, dtype, bands)
        for part, file in zip(parts, files, strict=True):
            part.replace(file)
    except _FAILURES as error:
        raise OutputError(
            f"{folder} cannot be written ({reason(error)}): is the disk full?"
        ) from error
    finally:
        for part in parts:
            for left in folder.glob(f"{part.name}*"):  # SQLite's journal has its own ending
                left.unlink(missing_ok=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()
    scene, fields, mask = files
    return SampleFiles(scene, fields, mask, count)


def _check(seed: int, height: int, width: int, gsd_m: float, dtype: str, bands: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed is {seed}; give an integer at or above 0")
    if min(height, width) < 1:
        raise ConfigError(f"size is {height} x {width} pixels; both must be at least 1")
    if not 0.05 <= gsd_m <= 1_000:
        raise ConfigError(f"gsd is {gsd_m} m; give 0.05 to 1000")
    if dtype not in get_args(PixelType):
        raise ConfigError(f"dtype is {dtype!r}; give one of {', '.join(get_args(PixelType))}")
    if bands not in (3, 4):
        raise ConfigError(f"bands is {bands}; give 3 (red, green, blue) or 4 (and nir)")


def _make_room(folder: Path, files: list[Path], overwrite: bool) -> bool:
    """Refuse to replace files that were not offered; True if the folder had to be made."""
    for file in files:
        check_name_length(file)
    if not folder.exists() and not folder.parent.is_dir():
        raise OutputError(f"{folder.parent} does not exist: make it first")
    taken = [file.name for file in files if file.exists()]
    if taken and not overwrite:
        raise OutputError(
            f"{folder} has {', '.join(taken)} already: choose another folder or --overwrite"
        )
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written: choose another folder")
    return made


def _write(
    country: Country, geobox: GeoBox, parts: list[Path], dtype: PixelType, bands: int
) -> int:
    scene_part, fields_part, mask_part = parts
    profile = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "if_safer",
        "crs": str(geobox.crs),
    }
    height, width = country.extent.shape
    with (
        rasterio.open(
            scene_part, "w", height=height, width=width, count=bands, dtype=dtype,
            transform=geobox.affine, photometric="rgb", **profile,
        ) as scene,
        rasterio.open(
            mask_part, "w", height=height * LABEL_SCALE, width=width * LABEL_SCALE, count=1,
            dtype="uint8", transform=finer(geobox, LABEL_SCALE).affine, **profile,
        ) as mask,
    ):  # fmt: skip
        scene.descriptions = BAND_NAMES[:bands]
        scene.colorinterp = (
            ColorInterp.red, ColorInterp.green, ColorInterp.blue,
            *([NIR] if bands == 4 else []),
        )  # fmt: skip
        mask.write_colormap(1, MASK_COLOURS)
        mask.set_band_description(1, "0 background, 1 field interior, 2 field boundary")
        outlines = _Outlines(country, geobox, fields_part)
        for box in country.extent.tiles(TILE_PX):
            scene.write(_stored(country.image(box)[:bands], dtype), window=_window(box))
            fine = box.scaled(LABEL_SCALE)
            mask.write(country.label(fine), 1, window=_window(fine))
            if box.right == width:
                outlines.write_above(fine.bottom)
        return outlines.finish()


def _stored(reflectance: NDArray[np.float32], dtype: PixelType) -> NDArray[np.integer]:
    """Reflectance as whole numbers; 0 is left free, as it means 'no data' in many scenes."""
    if dtype == "uint16":
        return np.clip(np.rint(reflectance * 10_000), 1, 65_535).astype(np.uint16)
    scale = (255 / FULL_SCALE)[: len(reflectance), None, None]
    return np.clip(np.rint(reflectance * scale), 1, 255).astype(np.uint8)


def _window(box: Box) -> Window:
    height, width = box.shape
    return Window(box.left, box.top, width, height)


class _Outlines:
    """Writes the outlines of each row of blocks as soon as the scene has passed it."""

    def __init__(self, country: Country, geobox: GeoBox, path: Path) -> None:
        self._country = country
        self._grid = finer(geobox, LABEL_SCALE).affine
        self._crs = str(geobox.crs)
        self._path = path
        self._next_row = 0
        self._count = 0
        self._append(self._table([]))

    def write_above(self, label_row: int) -> None:
        """Write all rows of blocks that end above a row of the label grid."""
        country = self._country
        rows, columns = country.block_grid
        while self._next_row < rows:
            blocks = [country.block_fields(self._next_row, column) for column in range(columns)]
            if max(block.box.bottom for block in blocks) > label_row:
                return
            self._write(blocks)
            self._next_row += 1

    def finish(self) -> int:
        """Write what is left; the number of outlines in all."""
        self.write_above(self._country.extent.bottom * LABEL_SCALE)
        return self._count

    def _write(self, blocks: list[BlockFields]) -> None:
        polygons: list[BaseGeometry] = []
        grid = self._grid
        for block in blocks:
            left, top = grid.c + block.box.left * grid.a, grid.f + block.box.top * grid.e
            polygons += _outlines(block.ids, left, top, grid.a)
        if polygons:
            self._append(self._table(polygons))
            self._count += len(polygons)

    def _table(self, polygons: list[BaseGeometry]) -> GeoDataFrame:
        outlines = GeoSeries(polygons, crs=self._crs)
        first = self._count + 1
        return GeoDataFrame(
            {
                "id": np.arange(first, first + len(polygons), dtype=np.int64),
                "area_m2": geodesic_area_m2(outlines),
            },
            geometry=outlines,
        )

    def _append(self, table: GeoDataFrame) -> None:
        with vector_environment():
            write_dataframe(
                table,
                self._path,
                driver="GPKG",
                layer=FIELDS_LAYER,
                geometry_type="Polygon",
                append=self._path.exists(),
            )


def _outlines(ids: NDArray[np.int32], left: float, top: float, pixel: float) -> list[BaseGeometry]:
    """Outlines of numbered fields without the steps of pixels; shared edges stay shared.

    Args:
        ids: (H, W), 0 where there is no field.
        left: Map coordinate of the raster's left edge.
        top: Map coordinate of its upper edge.
        pixel: Side of a pixel in map units.
    """
    if not ids.any():
        return []
    steps = [shape(outline) for outline, _ in trace(ids, mask=ids > 0)]
    # A coverage needs every corner in all polygons that meet there: put one at each pixel.
    dense = shapely.transform(shapely.segmentize(np.array(steps), 1.0), np.rint)
    smooth = shapely.coverage_simplify(dense, STEP_PX)
    return list(shapely.transform(smooth, lambda xy: [left, top] + xy * [pixel, -pixel]))
