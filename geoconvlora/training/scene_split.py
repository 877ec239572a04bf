"""Which ground of a set of scenes trains, validates and tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.errors import ConfigError, LabelError
from geoconvlora.scenes import Window
from geoconvlora.training.blocks import choose_parts, labelled_blocks
from geoconvlora.training.burn import box_of, to_ground, to_pixels
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import SplitConfig
from geoconvlora.training.label_file import layer_names, read_polygons
from geoconvlora.training.labelled_scene import LabelledScene, PartedScene
from geoconvlora.training.reproject import crs_of, reproject
from geoconvlora.training.split import PARTS, Blocks, Ground, Part, SceneSplit
from geoconvlora.training.windows import pieces_of

_BLOCKS_IN_ALL = 8
"""Labelled blocks that an automatic block size aims at, over all scenes."""
_BLOCK_TILES = 4
_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
}


class _Division(NamedTuple):
    ground: Ground
    blocks: Blocks
    buffer_px: float

    @classmethod
    def of_blocks(cls, blocks: Blocks, buffer_px: float) -> _Division:
        """Ground that is blocks."""
        boxes = {part: np.array([box_of(b) for b in blocks[part]], object) for part in PARTS}
        return cls(boxes, blocks, buffer_px)


@dataclass(frozen=True)
class _Place:
    """Scenes on one and the same grid, dates of one place say: their ground is split together."""

    scenes: tuple[LabelledScene, ...]

    @property
    def grid(self) -> GeoBox:
        return self.scenes[0].grid.geobox

    @property
    def whole(self) -> Window:
        return Window(0, 0, *map(int, self.grid.shape))

    def labelled_area(self, window: Window) -> float:
        return max(scene.labels.labelled_area(window) for scene in self.scenes)

    def class_pixels(self, window: Window, classes: int) -> NDArray[np.int64]:
        counts = [scene.class_pixels(window, classes) for scene in self.scenes]
        total: NDArray[np.int64] = np.stack(counts).sum(axis=0)
        return total


def split_scenes(config: TrainConfig, scenes: Sequence[LabelledScene]) -> list[PartedScene]:
    """Part the ground of all scenes; ground that two scenes show is of one part in both.

    Raises:
        LabelError: The labelled ground is too little for a split, or the split's file cannot be
            used.
        ConfigError: A scene that is named for a part is not there.

    Warns:
        UserWarning: The split is random.
    """
    places = _places(scenes)
    match config.split.kind:
        case "blocks":
            divisions = _by_blocks(config, places)
        case "random":
            warnings.warn(
                "split.kind is random: a validation tile lies beside training tiles that look "
                "alike, so its scores are too good; take blocks to know how good the model is",
                UserWarning,
                stacklevel=2,
            )
            divisions = _by_blocks(config, places)
        case "scenes":
            divisions = _by_scene(config, places)
        case "polygons":
            divisions = _by_polygons(config, places)
    parted: dict[str, PartedScene] = {}
    for place, division in zip(places, divisions, strict=True):
        others = [
            (other.grid, theirs.ground)
            for other, theirs in zip(places, divisions, strict=True)
            if other is not place
        ]
        split = SceneSplit(
            division.ground,
            division.blocks,
            place.whole.height,
            place.whole.width,
            buffer_px=division.buffer_px,
            elsewhere=_on_grid(others, place.grid),
        )
        parted |= {scene.name: PartedScene(scene, split) for scene in place.scenes}
    return [parted[scene.name] for scene in scenes]


def _places(scenes: Sequence[LabelledScene]) -> list[_Place]:
    groups: list[list[LabelledScene]] = []
    for scene in scenes:
        for group in groups:
            if group[0].grid.geobox == scene.grid.geobox:
                group.append(scene)
                break
        else:
            groups.append([scene])
    return [_Place(tuple(group)) for group in groups]


def _by_blocks(config: TrainConfig, places: Sequence[_Place]) -> list[_Division]:
    split, classes = config.split, len(config.classes)
    least = -(-_BLOCKS_IN_ALL // len(places))
    blocks: list[tuple[int, Window]] = []
    counts: list[NDArray[np.int64]] = []
    buffers = []
    for index, place in enumerate(places):
        gsd_m = place.scenes[0].gsd_m
        side = None if split.block_size_m is None else max(1, round(split.block_size_m / gsd_m))
        if split.kind == "random":
            side = config.tile_size
        here, side = labelled_blocks(
            place.whole, place.labelled_area, tile_px=config.tile_size, side=side, least=least
        )
        buffer_px = side / 8 if split.buffer_m is None else split.buffer_m / gsd_m
        buffers.append(0.0 if split.kind == "random" else buffer_px)
        for block in here:
            found = place.class_pixels(block, classes)
            if found.any():
                blocks.append((index, block))
                counts.append(found)
    if len(blocks) < 2:
        names = ", ".join(scene.source.name for place in places for scene in place.scenes)
        raise LabelError(
            f"the labelled ground of {names} fills {'a single' if blocks else 'no'} block, which "
            "cannot be split into training and validation: label more, or lower split.block_size_m"
        )
    rng = np.random.default_rng(split.seed)
    chosen = choose_parts(np.array(counts), split.fraction, split.test_fraction, rng)
    divisions = []
    for index, buffer_px in enumerate(buffers):
        parts: dict[Part, list[Window]] = {part: [] for part in PARTS}
        for (owner, block), part in zip(blocks, chosen, strict=True):
            if owner == index:
                parts[PARTS[part]].append(block)
        divisions.append(_Division.of_blocks(parts, buffer_px))
    return divisions


def _by_scene(config: TrainConfig, places: Sequence[_Place]) -> list[_Division]:
    split = config.split
    if len(places) < 2:
        raise LabelError(
            "split.kind is scenes, but all scenes show one place: take blocks, or add scenes of "
            "other places"
        )
    if split.val_scenes is None:
        counts = np.array([p.class_pixels(p.whole, len(config.classes)) for p in places])
        rng = np.random.default_rng(split.seed)
        chosen = [PARTS[i] for i in choose_parts(counts, split.fraction, split.test_fraction, rng)]
    else:
        chosen = [_named_part(split, place) for place in places]
        named = {*split.val_scenes, *(split.test_scenes or ())}
        there = {scene.name for place in places for scene in place.scenes}
        if named - there:
            raise ConfigError(
                f"split names the scene {min(named - there)}, which is not there: the scenes are "
                f"{', '.join(sorted(there))}"
            )
    divisions = []
    for place, part in zip(places, chosen, strict=True):
        parts: dict[Part, list[Window]] = {name: [] for name in PARTS}
        parts[part].append(place.whole)
        gsd_m = place.scenes[0].gsd_m
        buffer_px = config.tile_size / 2 if split.buffer_m is None else split.buffer_m / gsd_m
        divisions.append(_Division.of_blocks(parts, buffer_px))
    return divisions


def _named_part(split: SplitConfig, place: _Place) -> Part:
    """The part of scenes on one grid; one that is held out holds all of them out."""
    names = {scene.name for scene in place.scenes}
    if names & set(split.test_scenes or ()):
        return "test"
    return "val" if names & set(split.val_scenes or ()) else "train"


def _by_polygons(config: TrainConfig, places: Sequence[_Place]) -> list[_Division]:
    split = config.split
    assert split.polygons is not None
    divisions = []
    for place in places:
        frames = _part_polygons(split.polygons, split.part_column, place.grid)
        ground = {part: to_pixels(frames[part].geometry.to_numpy(), place.grid) for part in PARTS}
        windows = list(pieces_of(place.whole, _BLOCK_TILES * config.tile_size))
        trees = {part: shapely.STRtree(ground[part]) for part in PARTS}
        blocks = {
            part: [w for w in windows if len(trees[part].query(box_of(w), predicate="intersects"))]
            for part in PARTS
        }
        buffer_px = (split.buffer_m or 0.0) / place.scenes[0].gsd_m
        divisions.append(_Division(ground, blocks, buffer_px))
    for part in ("train", "val"):
        if not any(division.blocks[part] for division in divisions):
            raise LabelError(f"{split.polygons}: no polygon of the part {part!r} lies on a scene")
    return divisions


def _part_polygons(path: Path, column: str, grid: GeoBox) -> dict[Part, GeoDataFrame]:
    """Polygons of each part: from a layer each, or from a column of the only layer."""
    layers = layer_names(path)
    by_layer = {_NAMES[name.lower()]: name for name in layers if name.lower() in _NAMES}
    if "train" in by_layer and "val" in by_layer:
        frames = {part: read_polygons(path, grid, layer=name) for part, name in by_layer.items()}
        return {part: frames.get(part, frames["train"].iloc[:0]) for part in PARTS}
    frame = read_polygons(path, grid)
    if column not in frame.columns:
        raise LabelError(
            f"{path} has neither layers train and val nor a column {column!r}: name the column "
            "with split.part_column"
        )
    values = frame[column].astype(str).str.lower()
    odd = sorted(set(values) - _NAMES.keys())
    if odd:
        raise LabelError(
            f"{path}: the column {column!r} holds {odd[0]!r}; parts are train, val and test"
        )
    return {part: frame[values.map(_NAMES) == part] for part in PARTS}


def _on_grid(grounds: Sequence[tuple[GeoBox, Ground]], grid: GeoBox) -> Ground:
    """Ground of other scenes in pixel coordinates of a grid, where it lies near."""
    found: dict[Part, list[NDArray[np.object_]]] = {part: [] for part in PARTS}
    for theirs, ground in grounds:
        for part in PARTS:
            moved = reproject(to_ground(ground[part], theirs), crs_of(theirs), grid)
            finite = np.isfinite(shapely.bounds(moved)).all(axis=1)
            found[part].append(to_pixels(moved[finite], grid))
    return {part: np.concatenate([np.empty(0, object), *found[part]]) for part in PARTS}
