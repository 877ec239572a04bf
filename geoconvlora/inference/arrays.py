"""A map of an xarray array, as lazy as the array is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoconvlora.errors import ConfigError
from geoconvlora.inference.blending import Blend
from geoconvlora.inference.rasters import NODATA_CLASS, most_probable
from geoconvlora.inference.rows import on_scene_grid
from geoconvlora.inference.task import (
    Augmentation,
    MapTask,
    Precision,
    Scales,
    precision_of,
    views_of,
)
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import Normaliser, PredictionGrid, Window, fit_normaliser
from geoconvlora.scenes.array_scene import ArrayScene
from geoconvlora.weights import checked_card, load
from geoconvlora.weights.card import ClassInfo, ModelCard

if TYPE_CHECKING:
    import xarray

    from geoconvlora.weights import Model

#: Rows of tiles that a lazy block is made of. Each maps about one more, its neighbour's.
_TILE_ROWS = 8


def predict_array(
    array: xarray.DataArray,
    *,
    model: str | Path | Model = "fields",
    base: str | Path | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    blend: Blend = "cosine",
    tta: Augmentation = "auto",
    device: str = "auto",
    precision: Precision = "auto",
) -> xarray.Dataset:
    """Predict an array as :func:`geoconvlora.predict` predicts a file with its pixels.

    A lazy array (one with dask's chunks) gives a lazy map: blocks of whole rows are mapped when
    they are computed, one at a time in a process, and read the rows they need and no others. Only
    a model that scales by percentiles also reads a sample from all over the array.

    Args:
        array: Two spatial dimensions with coordinates and a CRS, and one of bands where there are
            several, in any order. Bands are named by text coordinates or by the attribute
            ``long_name``.
        model: A bundled model's name, a model file, or a loaded model.
        base: The base weights' file; only for a model by its name or file.
        bands: 1-based bands in the model's order; None finds them by name.
        nodata: Value that means 'no data', instead of the array's own; NaN is never data.
        tile_size: Side of the network's input in pixels; None: the model's.
        overlap: Pixels that neighbouring tiles share; None: the model's, or a quarter.
        batch_size: Tiles that the network sees at once.
        blend: How overlapping tiles are joined, as for :func:`geoconvlora.predict`.
        tta: Test-time augmentation, likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: What the network computes in, likewise.

    Returns:
        ``probabilities`` ``(class, y, x)`` float32, NaN where invalid; ``classes`` ``(y, x)``
        uint8, 255 where invalid; ``valid`` ``(y, x)``; with the array's coordinates and CRS.

    Raises:
        SceneError: The array has no place, or dimensions that do not fit.
        BandError: Its bands do not fit the model's.
        ModelFileError: The model is damaged or for other base weights.
        WeightsError: The base weights are not there.
        ConfigError: An argument cannot work.

    Example:
        >>> import rioxarray
        >>> scene = rioxarray.open_rasterio("scene.tif", chunks={"y": 2048})  # doctest: +SKIP
        >>> geoconvlora.predict_array(scene).classes.plot()  # doctest: +SKIP
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size} is less than 1")
    card = checked_card(model, base)
    computed, views = precision_of(card, precision), views_of(card, tta)
    scene = ArrayScene(
        array,
        wanted=[band.name for band in card.bands],
        bands=bands,
        nodata=nodata,
        default_nodata=card.nodata,
    )
    grid = PredictionGrid.for_scene(scene, card.resolution)
    tiling = Tiling.for_model(grid.height, grid.width, card, tile_size, overlap)
    loaded = load(model, base=base) if isinstance(model, (str, PathLike)) else model

    def part(normaliser: Normaliser, band: Window) -> NDArray[np.float32]:
        task = _PartTask(
            scene=scene,
            grid=grid,
            tiling=tiling,
            normaliser=normaliser,
            classes=len(card.classes),
            scales=Scales.of(card),
            precision=computed,
            batch_size=batch_size,
            blend=blend,
            tta=views,
            part=band,
        )
        return _mapped(task, loaded, device)

    def fit() -> Normaliser:
        return fit_normaliser(card.scaling, card.bands, scene)

    if array.chunks is None:
        probabilities: Any = part(fit(), Window(0, 0, grid.height, grid.width))
    else:
        probabilities = _lazily(part, fit, scene, grid, tiling, len(card.classes))
    return _dataset(array, scene, card, probabilities)


@dataclass(frozen=True)
class _PartTask(MapTask):
    """Some rows of a map, with the tiles of the whole."""

    part: Window = field(default=Window(0, 0, 0, 0))

    @cached_property
    def window(self) -> Window:
        return self.part


def _mapped(task: MapTask, model: Model, device: str) -> NDArray[np.float32]:
    """Probabilities ``(K, h, W)`` of a task's rows on the scene's grid, NaN where invalid."""
    from geoconvlora.inference.running import scene_rows

    found = np.empty((task.classes, task.scene_window.height, task.scene_window.width), np.float32)
    with (
        tempfile.TemporaryDirectory(prefix="geoconvlora-") as folder,
        closing(scene_rows(task, Path(folder), model, device=device)) as stream,
    ):
        for rows in stream:
            own = on_scene_grid(rows, task.grid, task.scene, task.scene_window)
            place = slice(own.row, own.row + own.valid.shape[0])
            found[:, place] = np.where(own.valid, own.probabilities, np.float32(np.nan))
    return found


def _lazily(
    part: Callable[[Normaliser, Window], NDArray[np.float32]],
    fit: Callable[[], Normaliser],
    scene: ArrayScene,
    grid: PredictionGrid,
    tiling: Tiling,
    classes: int,
) -> Any:
    """The same as a dask array, in blocks of rows."""
    import dask
    import dask.array
    from dask.utils import SerializableLock

    # A network that runs twice at once takes twice the memory and is no faster.
    lock = SerializableLock()

    def one_at_a_time(normaliser: Normaliser, band: Window) -> NDArray[np.float32]:
        with lock:
            return part(normaliser, band)

    normaliser = dask.delayed(fit, traverse=False)()
    mapper = dask.delayed(one_at_a_time, traverse=False)
    height = -(-_TILE_ROWS * tiling.rows.step // grid.zoom_in) * grid.zoom_in
    blocks = []
    for row in range(0, grid.height, height):
        band = Window(row, 0, min(height, grid.height - row), grid.width)
        rows = _scene_rows(band, grid, scene)
        blocks.append(
            dask.array.from_delayed(
                mapper(normaliser, band), shape=(classes, rows, scene.width), dtype=np.float32
            )
        )
    return dask.array.concatenate(blocks, axis=1)


def _scene_rows(band: Window, grid: PredictionGrid, scene: ArrayScene) -> int:
    first = band.row * grid.zoom_out // grid.zoom_in
    last = (band.row + band.height) * grid.zoom_out // grid.zoom_in
    return min(last, scene.height) - first


def _dataset(
    array: xarray.DataArray, scene: ArrayScene, card: ModelCard, probabilities: Any
) -> xarray.Dataset:
    import odc.geo.xr
    import xarray as xr

    ids = np.array([each.id for each in card.classes], np.uint8)

    def classify(block: NDArray[np.float32]) -> NDArray[np.uint8]:
        best = ids[most_probable(np.nan_to_num(block, nan=0.0))]
        return np.where(np.isnan(block[0]), np.uint8(NODATA_CLASS), best)

    if isinstance(probabilities, np.ndarray):
        classes: Any = classify(probabilities)
    else:
        classes = probabilities.map_blocks(classify, dtype=np.uint8, drop_axis=0)
    y, x = array.odc.spatial_dims
    coords = {dim: array.coords[dim] for dim in (y, x) if dim in array.coords}
    dataset = xr.Dataset(
        {
            "probabilities": (("class", y, x), probabilities),
            "classes": ((y, x), classes, _legend(card.classes)),
            "valid": ((y, x), ~np.isnan(probabilities[0])),
        },
        coords={**coords, "class": [each.name for each in card.classes]},
        attrs={"model": card.name, "scene": scene.name},
    )
    placed: xr.Dataset = odc.geo.xr.assign_crs(dataset, scene.geobox.crs)
    return placed


def _legend(classes: Sequence[ClassInfo]) -> dict[str, Any]:
    """What values mean, by the CF conventions."""
    return {
        "flag_values": np.array([each.id for each in classes], np.uint8),
        "flag_meanings": " ".join(each.name.replace(" ", "_") for each in classes),
        "flag_colors": " ".join(each.color for each in classes),
        "_FillValue": NODATA_CLASS,
    }
