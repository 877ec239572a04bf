"""A map on disk, class or probability raster, read as probabilities of its classes."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import TypeAdapter, ValidationError

from geoconvlora.errors import SceneError
from geoconvlora.inference.rasters import INSTANCES_TAG
from geoconvlora.scenes import Pixels, Scene, Window, open_scene
from geoconvlora.scenes.class_names import CLASSES_TAG
from geoconvlora.scenes.environment import raster_environment
from geoconvlora.scenes.opening import open_dataset
from geoconvlora.scenes.origin import Origin
from geoconvlora.scenes.sampling import row_windows
from geoconvlora.weights.card import ClassInfo, InstanceRule

_CLASSES = TypeAdapter(tuple[ClassInfo, ...])
_MAX_CLASS = 254

MapKind = Literal["probabilities", "classes"]


@dataclass(frozen=True)
class MapSource:
    """A map to be joined with others; opens its file when it is read.

    Attributes:
        scene: The raster.
        kind: Whether it holds a band a class, or one band of class numbers.
        classes: Its classes in the order of its layers.
        origin: The scene, and the model that made the map where that is known.
        rule: How its classes become objects; None: they do not.
        scale: ``(K, 1, 1)`` from stored values to probabilities, by multiplication.
        offset: ``(K, 1, 1)``, added to that.
        named: Whether the file names its classes.
        unlisted: Values read so far of a class raster that are none of its classes.
    """

    scene: Scene
    kind: MapKind
    classes: tuple[ClassInfo, ...]
    origin: Origin
    rule: InstanceRule | None
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    named: bool
    unlisted: set[int] = field(default_factory=set, compare=False)

    @property
    def path(self) -> str:
        """The file."""
        return self.scene.path

    @property
    def geobox(self) -> GeoBox:
        """Where its pixels are."""
        return self.scene.geobox

    @property
    def height(self) -> int:
        """Rows."""
        return self.scene.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.scene.width

    def read(self, window: Window) -> Pixels:
        """Return probabilities ``(K, h, w)``, 0 where invalid; of a class raster 0 and 1.

        Raises:
            SceneError: The file cannot be read there.
        """
        stored = self.scene.read(window)
        if self.kind == "classes":
            ids = np.array([each.id for each in self.classes], dtype=np.float32)
            layers = (stored.values == ids[:, None, None]) & stored.valid
            # A class that the legend lacks is no class.
            listed = layers.any(axis=0)
            self.unlisted.update(map(int, np.unique(stored.values[0][stored.valid & ~listed])))
            return Pixels(layers.astype(np.float32), listed)
        values = (stored.values * self.scale + self.offset) * stored.valid
        return Pixels(values, stored.valid)

    def labelled(self, classes: tuple[ClassInfo, ...], model: str) -> MapSource:
        """Return the same map with the classes of a model."""
        origin = replace(self.origin, model=model)
        return replace(self, classes=classes, origin=origin, named=True)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        self.scene.close()


def open_map(path: str | Path) -> MapSource:
    """Open a class or probability raster and find its classes.

    Rasters of ours name their classes in a tag. Without it, several bands of decimal numbers (or
    of integers with a scale) are probabilities, named by the bands' descriptions; one band of
    integers from 0 to 254 are classes, for which the file is read once.

    Raises:
        SceneError: The file is missing, damaged, without a place, or neither of both kinds.
    """
    scene = open_scene(path)
    try:
        with raster_environment(), open_dataset(scene.path) as dataset:
            tags = dataset.tags()
            picked = [band - 1 for band in scene.bands]
            scale = np.array(dataset.scales, np.float32)[picked].reshape(-1, 1, 1)
            offset = np.array(dataset.offsets, np.float32)[picked].reshape(-1, 1, 1)
        kind = _kind(scene, scaled=bool((scale != 1).any()))
        classes = _classes(scene, tags.get(CLASSES_TAG), kind)
        rule = _rule(scene, tags.get(INSTANCES_TAG))
        origin = Origin.of_tags(scene.name, scene.date, tags)
    finally:
        scene.close()
    return MapSource(
        scene=scene,
        kind=kind,
        classes=classes,
        origin=origin,
        rule=rule,
        scale=scale,
        offset=offset,
        named=CLASSES_TAG in tags,
    )


def with_same_classes(maps: Sequence[MapSource]) -> list[MapSource]:
    """Return the maps with classes that all share.

    Class rasters without names have together the numbers that occur in any.

    Raises:
        SceneError: Two differ in kind or classes.
    """
    first = maps[0]
    for other in maps[1:]:
        if other.kind != first.kind:
            raise SceneError(
                f"{other.path} holds {other.kind}, {first.path} {first.kind}: give one kind"
            )
    if first.kind == "classes" and not any(each.named for each in maps):
        together = {one.id: one for each in maps for one in each.classes}
        classes = tuple(together[class_id] for class_id in sorted(together))
        return [replace(each, classes=classes) for each in maps]
    for other in maps[1:]:
        ours, theirs = ([(c.id, c.name) for c in each.classes] for each in (first, other))
        if ours != theirs:
            raise SceneError(
                f"{other.path} has the classes {_listed(other)}, {first.path} {_listed(first)}: "
                "give maps of one model"
            )
    return list(maps)


def _listed(source: MapSource) -> str:
    return ", ".join(f"{each.name} ({each.id})" for each in source.classes)


def _kind(scene: Scene, *, scaled: bool) -> MapKind:
    integers = np.issubdtype(np.dtype(scene.dtype), np.integer)
    if len(scene.bands) == 1 and integers:
        return "classes"
    if len(scene.bands) > 1 and (scaled or not integers):
        return "probabilities"
    raise SceneError(
        f"{scene.path} has {len(scene.bands)} band(s) of {scene.dtype}: a mosaic takes class "
        "rasters (one band of integers) or probabilities (a band a class, decimal or scaled)"
    )


def _classes(scene: Scene, tag: str | None, kind: MapKind) -> tuple[ClassInfo, ...]:
    if tag is not None:
        try:
            classes = _CLASSES.validate_python(json.loads(tag))
        except (ValueError, ValidationError) as error:
            raise SceneError(
                f"{scene.path}: the tag {CLASSES_TAG} is not a JSON list of id, name and color"
            ) from error
        if kind == "classes" or len(classes) == len(scene.bands):
            return classes
        raise SceneError(
            f"{scene.path} has {len(scene.bands)} bands and names {len(classes)} classes"
        )
    if kind == "probabilities":
        names = [
            scene.labels[band - 1].description or f"class_{index}"
            for index, band in enumerate(scene.bands)
        ]
        return tuple(_nameless(i, name) for i, name in enumerate(names))
    return tuple(_nameless(i, f"class_{i}") for i in _values(scene))


def _values(scene: Scene) -> list[int]:
    """The class numbers that occur."""
    found: set[int] = set()
    for window in row_windows(scene):
        pixels = scene.read(window)
        found |= {int(value) for value in np.unique(pixels.values[0][pixels.valid])}
        if found and not 0 <= min(found) <= max(found) <= _MAX_CLASS:
            odd = max(found) if max(found) > _MAX_CLASS else min(found)
            raise SceneError(
                f"{scene.path} holds the value {odd}: class numbers are 0 to {_MAX_CLASS}; "
                "declare its nodata value if it means that"
            )
    return sorted(found) or [0]


def _nameless(class_id: int, name: str) -> ClassInfo:
    # Steps of the golden ratio keep the hues of any number of classes apart.
    red, green, blue = colorsys.hsv_to_rgb(class_id * 0.618034 % 1, 0.6, 0.9)
    color = "#" + "".join(f"{round(255 * level):02x}" for level in (red, green, blue))
    return ClassInfo(id=class_id, name=name, color=color)


def _rule(scene: Scene, tag: str | None) -> InstanceRule | None:
    if tag is None:
        return None
    try:
        return InstanceRule.model_validate_json(tag)
    except ValidationError as error:
        raise SceneError(f"{scene.path}: the tag {INSTANCES_TAG} is no rule for objects") from error
