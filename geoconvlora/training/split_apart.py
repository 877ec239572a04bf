"""That the parts of a run have nothing in common, whichever sources they come from."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import TypeVar

import numpy as np
import shapely

from geoconvlora.errors import ConfigError
from geoconvlora.training.burn import to_ground, to_pixels
from geoconvlora.training.labelled_scene import PartedScene
from geoconvlora.training.reproject import crs_of, reproject
from geoconvlora.training.split import KEEPS_FROM, PARTS, Ground
from geoconvlora.training.split_record import SplitRecord

_Name = TypeVar("_Name", bound=str)

_MOST_COMMON_PX = 2.0
"""Width of ground that two parts may share: an outline on two grids is not quite one line."""


def check_tiles(record: SplitRecord) -> None:
    """Refuse an image tile that is of two parts.

    Raises:
        ConfigError: There is one.
    """
    twice = tile_of_two({part: record.tiles[part] for part in PARTS})
    if twice is not None:
        tile, first, part = twice
        raise ConfigError(
            f"{tile} is of the parts {first!r} and {part!r}: give each part tiles of its "
            "own, or leave out val_images and val_labels"
        )


def tile_of_two(parts: Mapping[_Name, Iterable[Path]]) -> tuple[Path, _Name, _Name] | None:
    """A tile that is of two parts, and these; None without one."""
    found: dict[Path, _Name] = {}
    for part, tiles in parts.items():
        for tile in tiles:
            first = found.setdefault(tile.resolve(), part)
            if first != part:
                return tile, first, part
    return None


def check_ground(records: Sequence[SplitRecord]) -> None:
    """Warn of ground that is of one part in a source's scene and of another in another source's.

    Args:
        records: Of the sources; scenes within one are split together.

    Warns:
        UserWarning: There are such scenes.
    """
    sources = [
        [(scene, {part: scene.split.outlines(part) for part in PARTS}) for scene in record.scenes]
        for record in records
    ]
    for some, others in permutations(sources, 2):
        for (one, ground), (other, kept) in product(some, others):
            if _is_shared(_on_grid(one, ground, other), kept):
                warnings.warn(
                    f"{one.labelled.source.name} and {other.labelled.source.name} show common "
                    "ground, of which one trains or validates with what the other keeps: name both "
                    "in one source, whose scenes are split together",
                    UserWarning,
                    stacklevel=2,
                )
                return


def _on_grid(scene: PartedScene, ground: Ground, other: PartedScene) -> Ground:
    """Ground of a scene in pixel coordinates of another."""
    here, there = scene.labelled.grid.geobox, other.labelled.grid.geobox
    moved = {p: reproject(to_ground(ground[p], here), crs_of(here), there) for p in PARTS}
    finite = {p: np.isfinite(shapely.bounds(moved[p])).all(axis=1) for p in PARTS}
    return {p: to_pixels(moved[p][finite[p]], there) for p in PARTS}


def _is_shared(ground: Ground, kept: Ground) -> bool:
    """Whether a part's ground is also of a part that it must keep from."""
    for part, others in KEEPS_FROM.items():
        held_out = shapely.union_all(np.concatenate([np.empty(0, object), *map(kept.get, others)]))
        common = shapely.intersection(shapely.union_all(ground[part]), held_out)
        if not shapely.buffer(common, -_MOST_COMMON_PX / 2).is_empty:
            return True
    return False
