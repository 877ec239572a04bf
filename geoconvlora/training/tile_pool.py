"""Training samples from folders of image tiles and label tiles."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from geoconvlora.errors import LabelError, SceneError
from geoconvlora.scenes import Window
from geoconvlora.scenes.bands import choose_bands
from geoconvlora.scenes.opening import georeference
from geoconvlora.scenes.scene import band_labels
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.data_config import IGNORE, TilesConfig
from geoconvlora.training.rasters import rasters_in
from geoconvlora.training.samples import Pool, Sample
from geoconvlora.training.split import PARTS, Part
from geoconvlora.training.split_record import SplitRecord
from geoconvlora.training.survey import Survey, Surveyed
from geoconvlora.training.tile_split import split_tiles
from geoconvlora.training.windows import tiles_of
from geoconvlora.weights.card import Scaling


@dataclass(frozen=True)
class TilePair:
    """An image tile and its label tile, of one size."""

    image: Path
    label: Path
    height: int
    width: int
    bands: tuple[int, ...]
    label_values: Mapping[int, int] | None = None
    geobox: GeoBox | None = None
    """Where the tile is; None for a picture without a place."""
    class_pixels: tuple[int, ...] = ()
    """Labelled pixels of each class."""

    @property
    def whole(self) -> Window:
        """All pixels of the tile."""
        return Window(0, 0, self.height, self.width)

    def read(self, window: Window, scaling: Scaling) -> Sample:
        """The sample of a window, which may reach beyond the tile."""
        with _open(self.image) as image:
            values = image.read(list(self.bands)).astype(np.float32)
            valid = (image.read_masks(list(self.bands)) > 0).all(axis=0)
        valid &= np.isfinite(values).all(axis=0)
        scaled = np.where(valid, _scaled(values, valid, scaling), np.float32(0))
        return Sample(
            _cut(scaled, window),
            _cut(read_label(self.label, self.label_values), window, fill=IGNORE),
            _cut(valid, window),
        )


class TileTrainPool:
    """Every tile once a round, in an order of its own each round, cropped at random."""

    def __init__(
        self,
        pairs: Sequence[TilePair],
        scaling: Scaling,
        tile_px: int,
        seed: int,
        samples_per_epoch: int | None = None,
    ) -> None:
        self._pairs = pairs
        self._scaling = scaling
        self._tile_px = tile_px
        self._seed = seed
        self._length = samples_per_epoch or len(pairs)

    def __len__(self) -> int:
        return self._length

    def draw(self, key: int) -> Sample:
        """A crop of the tile that the key's round has at its place."""
        turn, place = divmod(key, len(self._pairs))
        order = np.random.default_rng((self._seed, turn)).permutation(len(self._pairs))
        pair = self._pairs[int(order[place])]
        rng = np.random.default_rng((self._seed, turn, place))
        row, column = (
            int(rng.integers(0, max(0, size - self._tile_px) + 1))
            for size in (pair.height, pair.width)
        )
        return pair.read(Window(row, column, self._tile_px, self._tile_px), self._scaling)


class TileValPool:
    """Crops that cover every tile."""

    def __init__(self, pairs: Sequence[TilePair], scaling: Scaling, tile_px: int) -> None:
        self._scaling = scaling
        self._crops = [(pair, crop) for pair in pairs for crop in tiles_of(pair.whole, tile_px)]

    def __len__(self) -> int:
        return len(self._crops)

    def draw(self, key: int) -> Sample:
        """The crop at this place."""
        pair, crop = self._crops[key]
        return pair.read(crop, self._scaling)


class TilePools(NamedTuple):
    """All parts of a set of tiles."""

    train: Surveyed
    val: Surveyed
    test: Pool
    split: SplitRecord


def open_tile_pools(config: TrainConfig, data: TilesConfig) -> TilePools:
    """Pair and check all tiles, split and survey them.

    Raises:
        LabelError: An image has no label, a pair's sizes differ, a label holds an unknown class, or
            there is no tile of a name.
        SceneError: An image cannot be read.
        BandError: An image's bands do not fit.
        ConfigError: The split is one of scenes.
    """
    parts = _parts(config, data)
    surveys = {
        part: Survey.of(
            (pair.read(pair.whole, config.scaling) for pair in parts[part]),
            len(config.bands),
            len(config.classes),
        )
        for part in PARTS
    }
    record = SplitRecord(
        tiles={part: tuple(pair.image for pair in parts[part]) for part in PARTS},
        class_pixels={part: tuple(surveys[part].class_pixels.tolist()) for part in PARTS},
    )
    train = TileTrainPool(
        parts["train"], config.scaling, config.tile_size, config.seed, data.samples_per_epoch
    )
    val, test = (TileValPool(parts[part], config.scaling, config.tile_size) for part in PARTS[1:])
    return TilePools(Surveyed(train, surveys["train"]), Surveyed(val, surveys["val"]), test, record)


def _parts(config: TrainConfig, data: TilesConfig) -> Mapping[Part, Sequence[TilePair]]:
    train_names, val_names = data.train_tiles, data.val_tiles
    if data.val_images is not None and data.val_labels is not None:
        train = find_pairs(config, data, data.images, data.labels, train_names)
        val = find_pairs(config, data, data.val_images, data.val_labels, val_names)
    elif train_names is not None and val_names is not None:
        train = find_pairs(config, data, data.images, data.labels, train_names)
        val = find_pairs(config, data, data.images, data.labels, val_names)
    else:
        pairs = find_pairs(config, data, data.images, data.labels)
        counts = np.array([pair.class_pixels for pair in pairs])
        places = [pair.geobox for pair in pairs]
        parts = split_tiles(config.split, places, counts, str(data.images))
        return {part: [pairs[i] for i in parts[part]] for part in PARTS}
    return {"train": train, "val": val, "test": []}


def find_pairs(
    config: TrainConfig,
    data: TilesConfig,
    images: Path,
    labels: Path,
    names: Collection[str] | None = None,
) -> list[TilePair]:
    """Pair the tiles of two folders by stem and check every pair; by name, those named only."""
    by_stem = {path.stem: path for path in rasters_in(labels)}
    paths = tile_images(data, images, labels)
    if names is not None:
        absent = sorted(set(names) - {path.stem for path in paths})
        if absent:
            raise LabelError(f"{images} holds no image tile {absent[0]}, which is named for it")
        paths = [path for path in paths if path.stem in set(names)]
    missing = [path for path in paths if path.stem + data.label_suffix not in by_stem]
    if missing:
        raise LabelError(
            f"{len(missing)} of {len(paths)} image tiles have no label in {labels}: "
            f"{missing[0].name} needs {missing[0].stem}{data.label_suffix} with the suffix of a "
            "raster"
        )
    names_of_bands = [band.name for band in config.bands]
    ids = {c.id for c in config.classes} | {IGNORE}
    return [
        _checked_pair(path, by_stem[path.stem + data.label_suffix], names_of_bands, data, ids)
        for path in paths
    ]


def tile_images(data: TilesConfig, images: Path, labels: Path) -> list[Path]:
    """The image tiles of a folder, by name.

    Raises:
        SceneError: There is none.
    """
    paths = [path for path in rasters_in(images) if path.match(data.pattern)]
    if images == labels:
        paths = [path for path in paths if not path.stem.endswith(data.label_suffix)]
    if not paths:
        raise SceneError(f"{images} holds no image tile that matches {data.pattern!r}")
    return paths


def read_label(path: Path, label_values: Mapping[int, int] | None = None) -> NDArray[np.uint8]:
    """A label tile's class ids (H, W); 255 where it has no data."""
    with _open(path) as label:
        values = label.read(1)
        valid = label.read_masks(1) > 0 if label.nodata is not None else True
    if label_values is None:
        return np.where(valid & (values >= 0) & (values < IGNORE), values, IGNORE).astype(np.uint8)
    ids = np.full(values.shape, IGNORE, np.uint8)
    for value, class_id in label_values.items():
        ids[valid & (values == value)] = class_id
    return ids


def describe_tile(path: Path) -> tuple[tuple[str, ...], int]:
    """Names of an image tile's bands, without alpha, and its longer side in pixels."""
    with _open(path) as image:
        labels, side = band_labels(image), max(image.shape)
    names = (labels[band - 1].name for band in choose_bands(labels, None, None, str(path)))
    return tuple(names), side


def _checked_pair(
    image_path: Path,
    label_path: Path,
    names: Sequence[str],
    data: TilesConfig,
    ids: set[int],
) -> TilePair:
    with _open(image_path) as image:
        height, width = image.shape
        chosen = choose_bands(band_labels(image), names, data.bands, str(image_path))
        geobox = _geobox(image)
    with _open(label_path) as label:
        if label.shape != (height, width):
            raise LabelError(
                f"{image_path} is {height} x {width} pixels, but its label {label_path} is "
                f"{label.shape[0]} x {label.shape[1]}: both must have one grid"
            )
        if label.count != 1:
            raise LabelError(
                f"{label_path} has {label.count} bands: a label is one band of class ids"
            )
        values = label.read(1)
        valid = label.read_masks(1) > 0 if label.nodata is not None else True
    found = set(np.unique(values[valid]).tolist())
    if data.label_values is not None:
        unmapped = sorted(found - data.label_values.keys())
        if unmapped:
            raise LabelError(
                f"{label_path} holds the value {unmapped[0]}, which label_values does not map: "
                f"add it ({IGNORE} as its class ignores it)"
            )
    unknown = sorted(found - ids) if data.label_values is None else []
    if unknown:
        shown = ", ".join(str(value) for value in unknown[:10])
        raise LabelError(
            f"{label_path} holds the values {shown}, which the configuration does not name: its "
            f"class ids are {', '.join(str(i) for i in sorted(ids - {IGNORE}))} ({IGNORE} is "
            "ignored)"
        )
    mask = read_label(label_path, data.label_values)
    counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)[: len(ids - {IGNORE})]
    return TilePair(
        image_path,
        label_path,
        height,
        width,
        tuple(chosen),
        data.label_values,
        geobox,
        tuple(counts.tolist()),
    )


def _geobox(image: DatasetReader) -> GeoBox | None:
    try:
        return georeference(image, image.name)
    except SceneError:
        return None


def _open(path: Path) -> DatasetReader:
    with warnings.catch_warnings():
        # Tiles are matched by name, so they need no place on the ground.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            raster: DatasetReader = rasterio.open(path)
        except RasterioError as error:
            raise SceneError(f"{path} cannot be read as a raster ({error})") from None
    return raster


def _scaled(
    values: NDArray[np.float32], valid: NDArray[np.bool_], scaling: Scaling
) -> NDArray[np.float32]:
    """Scaled values; percentiles are those of the tile."""
    if scaling.kind == "linear":
        scaled = values * np.float32(scaling.scale) + np.float32(scaling.offset)
    elif not valid.any():
        return values
    else:
        low, high = np.percentile(values[:, valid], [scaling.low, scaling.high], axis=1)
        span = np.where(high > low, high - low, 1)
        scaled = (values - low[:, None, None]) / span[:, None, None]
    if scaling.clip is not None:
        scaled = scaled.clip(*scaling.clip)
    return np.asarray(scaled, dtype=np.float32)


def _cut(layer: NDArray, window: Window, fill: int = 0) -> NDArray:
    """A window of (..., H, W), filled beyond the edges."""
    height, width = layer.shape[-2:]
    inside = window.clipped(height, width)
    cut = np.full((*layer.shape[:-2], window.height, window.width), fill, dtype=layer.dtype)
    rows, columns = inside.slices_within(window)
    cut[..., rows, columns] = layer[
        ...,
        inside.row : inside.row + inside.height,
        inside.column : inside.column + inside.width,
    ]
    return cut
