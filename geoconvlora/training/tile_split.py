"""Which tiles of a folder train, validate and test."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.training.blocks import choose_parts
from geoconvlora.training.data_config import SplitConfig
from geoconvlora.training.reproject import crs_of
from geoconvlora.training.split import KEEPS_FROM, PARTS, Part

_BLOCK_TILES = 4
_EDGE_M = 1e-3
"""Tiles that touch do not overlap, whatever the rounding of their corners."""
_FARTHEST = np.array([540.0, 90.01])
"""Degrees of longitude and latitude that a place may have; maps of the Pacific go past 180."""
_Places = dict[Part, list[int]]


def split_tiles(
    split: SplitConfig,
    geoboxes: Sequence[GeoBox | None],
    class_pixels: NDArray[np.int64],
    folder: str,
) -> dict[Part, list[int]]:
    """Part tiles by blocks of ground; tiles without a place on it, at random.

    Args:
        split: Shares, block size, buffer and seed.
        geoboxes: Of the N tiles.
        class_pixels: (N, K) labelled pixels of each tile by class.
        folder: Of the tiles, for messages.

    Returns:
        The tiles of each part; those that are too near to held-out ones are of none.

    Raises:
        LabelError: There is a single tile, one lies nowhere on Earth, or the buffer leaves none to
            train on.
        ConfigError: The split is one of scenes or by polygons.

    Warns:
        UserWarning: Tiles are parted at random.
    """
    if split.kind in ("scenes", "polygons"):
        raise ConfigError(
            f"split.kind {split.kind!r} is for scenes; for tiles take blocks, or name them with "
            "train_tiles and val_tiles"
        )
    if len(geoboxes) < 2:
        raise LabelError(
            f"{folder} holds a single tile, which cannot be split into training and "
            "validation: add tiles, or give val_images and val_labels"
        )
    placed = [geobox for geobox in geoboxes if geobox is not None]
    if split.kind == "blocks" and len(placed) == len(geoboxes):
        boxes, side = _boxes_m(placed, folder)
        block_m = split.block_size_m or _BLOCK_TILES * side
        owners = _blocks(boxes, block_m)
        if owners.max() > 0:
            buffer_m = block_m / 8 if split.buffer_m is None else split.buffer_m
            return _by_blocks(split, boxes, owners, class_pixels, buffer_m, folder)
        why = f"all tiles lie in one block of {block_m:.3g} m"
    else:
        why = "split.kind is random" if split.kind == "random" else "they have no place on Earth"
    warnings.warn(
        f"{folder}: tiles are parted at random, as {why}: a validation tile may lie beside "
        "training tiles that look alike, so its scores may be too good; give val_images and "
        "val_labels of another place to know how good the model is",
        UserWarning,
        stacklevel=2,
    )
    return _chosen(split, np.arange(len(geoboxes)), class_pixels)


def _chosen(
    split: SplitConfig, owners: NDArray[np.int64], class_pixels: NDArray[np.int64]
) -> _Places:
    """Tiles of each part, where all tiles of an owner go together."""
    counts = np.zeros((owners.max() + 1, class_pixels.shape[1]), dtype=np.int64)
    np.add.at(counts, owners, class_pixels)
    rng = np.random.default_rng(split.seed)
    parts = choose_parts(counts, split.fraction, split.test_fraction, rng)[owners]
    return {part: np.flatnonzero(parts == i).tolist() for i, part in enumerate(PARTS)}


def _by_blocks(
    split: SplitConfig,
    boxes: NDArray[np.object_],
    owners: NDArray[np.int64],
    class_pixels: NDArray[np.int64],
    buffer_m: float,
    folder: str,
) -> _Places:
    """Tiles of each part, without those that are nearer to a held-out one than the buffer."""
    chosen = _chosen(split, owners, class_pixels)
    kept: _Places = {}
    for part, others in KEEPS_FROM.items():
        held_out = boxes[[index for other in others for index in chosen[other]]]
        near = shapely.STRtree(held_out)
        mine = np.array(chosen[part], dtype=np.int64)
        inner = shapely.buffer(boxes[mine], -_EDGE_M, join_style="mitre")
        hits = near.query(inner, predicate="dwithin", distance=buffer_m)[0]
        kept[part] = np.delete(mine, np.unique(hits)).tolist()
    if not kept["train"]:
        raise LabelError(
            f"{folder}: the buffer of {buffer_m:.3g} m around validation and test tiles leaves no "
            "training tile: lower split.buffer_m"
        )
    return kept


def _boxes_m(geoboxes: Sequence[GeoBox], folder: str) -> tuple[NDArray[np.object_], float]:
    """Outlines of the tiles on one equal-area plane, in metres, and a tile's median side.

    Raises:
        LabelError: One lies nowhere on Earth.
    """
    rings = []
    for geobox in geoboxes:
        to_degrees = Transformer.from_crs(crs_of(geobox), "EPSG:4326", always_xy=True)
        corners = np.array(geobox.extent.exterior.coords)
        ring = np.stack(to_degrees.transform(corners[:, 0], corners[:, 1]), axis=1)
        if not (np.abs(ring) <= _FARTHEST).all():
            raise LabelError(
                f"{folder}: a tile whose CRS is {crs_of(geobox).name} begins at "
                f"{corners[0, 0]:g}, {corners[0, 1]:g}, which is no place on Earth in it: mend the "
                "CRS of that tile, e.g. with gdal_edit -a_srs EPSG:32631"
            )
        rings.append(ring)
    longitude, latitude = np.median([ring.mean(axis=0) for ring in rings], axis=0)
    plane = f"+proj=laea +lon_0={longitude} +lat_0={latitude} +datum=WGS84 +units=m"
    to_plane = Transformer.from_crs("EPSG:4326", plane, always_xy=True)
    boxes = np.array(
        [
            shapely.Polygon(np.stack(to_plane.transform(ring[:, 0], ring[:, 1]), axis=1))
            for ring in rings
        ],
        dtype=object,
    )
    return boxes, float(np.median(np.sqrt(shapely.area(boxes))))


def _blocks(boxes: NDArray[np.object_], block_m: float) -> NDArray[np.int64]:
    """The block, numbered from 0, that each tile's centre lies in."""
    centres = shapely.get_coordinates(shapely.centroid(boxes))
    # Counted from the outermost centre, so that tiles in rows fill whole blocks.
    places = np.floor((centres - centres.min(axis=0)) / block_m + 1e-3).astype(np.int64)
    owners: NDArray[np.int64] = np.unique(places, axis=0, return_inverse=True)[1].ravel()
    return owners
