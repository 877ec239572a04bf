"""Extents: the ground to which a comparison is held, because labels are complete there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.aoi import AreaOfUse

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.evaluate.polygons import (
    Geometries,
    PolygonLayer,
    is_vector,
    layer_of,
    read_layer,
)
from geoconvlora.scenes.area_clipping import near
from geoconvlora.scenes.opening import georeference, open_dataset

_SPLIT_LAYER = "split"


@dataclass(frozen=True)
class Extent:
    """Polygons inside which things are compared.

    Attributes:
        area: Their union.
        crs: Its CRS.
        description: What it is, for people.
    """

    area: shapely.Geometry
    crs: pyproj.CRS
    description: str

    def to_crs(self, crs: pyproj.CRS) -> Extent:
        """The same ground in another CRS."""
        area = _placeable(self.area, self.crs, crs)
        layer = PolygonLayer(self.description, np.array([area], object), self.crs).to_crs(crs)
        if not len(layer):
            raise LabelError(f"{self.description} has no place in {crs.name}: is its CRS right?")
        return Extent(layer.polygons[0], crs, self.description)

    def cut(self, polygons: Geometries) -> tuple[Geometries, NDArray[np.float64]]:
        """What of polygons lies inside, and which share of each: both ``(n,)``.

        What lies outside is an empty polygon with share 0.
        """
        shapely.prepare(self.area)
        inside: Geometries = polygons.copy()
        share = np.ones(len(polygons))
        crossing = ~shapely.contains_properly(self.area, polygons)
        inside[crossing] = self._pieces(polygons[crossing])
        share[crossing] = shapely.area(inside[crossing]) / shapely.area(polygons[crossing])
        return inside, share

    def _pieces(self, polygons: Geometries) -> Geometries:
        """What of polygons lies inside; each meets few of an extent's many parts."""
        parts = shapely.get_parts(self.area)
        whole, part = shapely.STRtree(parts).query(polygons, predicate="intersects")
        cut = shapely.intersection(polygons[whole], parts[part])
        # Where outlines touch, an intersection holds lines and points besides.
        mixed = shapely.get_type_id(cut) == shapely.GeometryType.GEOMETRYCOLLECTION
        cut[mixed] = [_areal_part(each) for each in cut[mixed]]
        areal = shapely.area(cut) > 0
        whole, cut = whole[areal], cut[areal]
        pieces: Geometries = np.full(len(polygons), shapely.Polygon(), object)
        of, first, count = np.unique(whole, return_index=True, return_counts=True)
        order = np.argsort(whole, kind="stable")
        starts = np.cumsum(count) - count
        pieces[of] = cut[first]
        for polygon, start, several in zip(of, starts, count, strict=True):
            if several > 1:
                pieces[polygon] = shapely.union_all(cut[order[start : start + several]])
        return pieces


def _placeable(area: shapely.Geometry, crs: pyproj.CRS, wanted: pyproj.CRS) -> shapely.Geometry:
    """What of an extent lies around where another CRS is used: beyond, a projection may fold."""
    use = wanted.area_of_use or _registered(wanted)
    if use is None:
        return area
    width = use.east - use.west + (360 if use.east < use.west else 0)
    corner = Affine(width, 0, use.west, 0, use.south - use.north, use.north)
    (kept,) = near(np.array([area], object), crs, GeoBox((1, 1), corner, "EPSG:4326"))
    return kept


def _registered(crs: pyproj.CRS) -> AreaOfUse | None:
    code = crs.to_epsg()
    return None if code is None else pyproj.CRS(code).area_of_use


def read_extent(
    *,
    within: Sequence[str | Path] = (),
    split: str | Path | None = None,
    part: str = "test",
    scene: str | None = None,
) -> Extent | None:
    """Read the extents of a comparison; of several, what lies in all of them.

    Args:
        within: Polygons inside which labels are complete, or rasters: then their footprints.
        split: The file that a training run saves its split in: layer ``split`` with the columns
            ``part`` and ``scene``.
        part: The part of the split that is wanted.
        scene: Its scene; None: all.

    Raises:
        LabelError: A file cannot be read, or holds nothing of the part.
        ConfigError: ``scene`` without ``split``.

    Example:
        >>> read_extent(within=["windows.gpkg"]).area.area  # doctest: +SKIP
        4505000.0
    """
    if scene is not None and split is None:
        raise ConfigError("--scene chooses a scene of a split: give --split too")
    extents = [_within(Path(path)) for path in within]
    if split is not None:
        extents.append(_union(_part_of(Path(split), part, scene), f"part {part!r} of {split}"))
    return reduce(_common, extents) if extents else None


def _common(first: Extent, second: Extent) -> Extent:
    common = shapely.intersection(first.area, second.to_crs(first.crs).area)
    description = f"{first.description} and {second.description}"
    if not shapely.area(common):
        raise LabelError(f"{description}: they have no ground in common")
    if common.geom_type == "GeometryCollection":
        common = _areal_part(common)
    return Extent(common, first.crs, description)


def _within(path: Path) -> Extent:
    description = f"within {path}"
    if is_vector(path):
        return _union(read_layer(path), description)
    with open_dataset(str(path)) as dataset:
        geobox = georeference(dataset, str(path))
    assert geobox.crs is not None
    footprint = shapely.Polygon(geobox.extent.exterior.coords)
    return Extent(footprint, pyproj.CRS(geobox.crs.to_wkt()), description)


def _part_of(path: Path, part: str, scene: str | None) -> PolygonLayer:
    if not path.exists():
        raise LabelError(f"{path} does not exist: give the split.gpkg of a training run")
    try:
        frame = gpd.GeoDataFrame(pyogrio.read_dataframe(path, layer=_SPLIT_LAYER))
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise LabelError(f"{path} holds no split: it has no layer {_SPLIT_LAYER!r}") from error
    for column, wanted in (("part", part), ("scene", scene)):
        if wanted is None:
            continue
        if column not in frame.columns:
            raise LabelError(f"{path} holds no split: it has no column {column!r}")
        there = sorted({str(value) for value in frame[column]})
        frame = frame[frame[column].astype(str) == wanted]
        if not len(frame):
            raise LabelError(
                f"{path} holds nothing of {column} {wanted!r}: it has {', '.join(there)}"
            )
    return layer_of(frame, str(path))


def _union(layer: PolygonLayer, description: str) -> Extent:
    if not len(layer):
        raise LabelError(f"{layer.name} holds no polygon: an extent is made of polygons")
    return Extent(shapely.union_all(layer.polygons), layer.crs, description)


def _areal_part(collection: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(collection)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
