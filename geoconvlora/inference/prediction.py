"""One scene through one model, to rasters and polygons, in memory that its height does not move."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoconvlora.errors import ConfigError
from geoconvlora.inference.outputs import OutputPlan, plan_outputs
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.progress import progress_of
from geoconvlora.inference.rasters import ClassRaster, MapRaster, ProbabilityRaster
from geoconvlora.inference.result import PredictionResult
from geoconvlora.inference.rows import MapRows, on_scene_grid, read_tile_rows, regroup
from geoconvlora.inference.several import Joining, SceneMapper, predict_several
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import PredictionGrid, Scene, fit_normaliser, open_scene
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.inputs import raster_names
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights import find_base_of, load, read_card
from geoconvlora.weights.card import ModelCard

if TYPE_CHECKING:
    from geoconvlora.weights import Model


def predict(
    scenes: str | Path | Sequence[str | Path],
    out: str | Path | Sequence[str | Path],
    *,
    model: str | Path | Model = "fields",
    base: str | Path | None = None,
    probs: str | Path | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    tile_size: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    device: str = "auto",
    polygons: PolygonOptions | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: bool = False,
    band_rows: int | None = None,
    joining: Joining | None = None,
) -> PredictionResult:
    """Predict a map of one scene or several and write it as polygons, as class raster, or both.

    The scene is read, mapped and written in bands of rows: memory depends on its width and on the
    tile size. Everything that can be refused is refused before torch is imported. Files appear
    whole or not at all.

    Args:
        scenes: A georeferenced raster, or several, which become one map; folders, globs, lists
            and STAC files stand for what they hold
            (:func:`geoconvlora.scenes.inputs.raster_names`).
        out: Files to write; the suffix decides: ``.gpkg .fgb .parquet .geojson`` polygons in the
            scene's CRS, ``.tif`` classes on the scene's grid (COG).
        model: A bundled model's name, a model file, or a loaded model.
        base: The base weights' file, where it is not bundled or in the weights folder; only for a
            model by its name or file.
        probs: Also write class probabilities, a COG with one float32 band a class.
        bands: 1-based bands of the scene in the model's order; None finds them.
        nodata: Stored value that means 'no data', instead of the scene's own.
        tile_size: Side of the network's input in pixels, a multiple of 16 up to 4096; None:
            the model's.
        overlap: Pixels that neighbouring tiles share; None: the model's, or a quarter.
        batch_size: Tiles that the network sees at once.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` leaves a loaded model
            where it is.
        polygons: Simplification, smallest area, holes and classes of polygons.
        overwrite: Replace outputs that exist.
        dry_run: Check everything and write nothing.
        progress: Show a bar on stderr if that is a terminal.
        band_rows: Rows written at a time; changes speed, never the result.
        joining: The grid of several scenes' map, and what counts where they overlap; by default
            the first scene's grid, and blended.

    Returns:
        What was written, with counts and areas.

    Raises:
        SceneError: The scene is missing, damaged, or has no CRS.
        BandError: Its bands do not fit the model's.
        ModelFileError: The model is damaged or for other base weights.
        WeightsError: The base weights are not there.
        OutputError: An output exists, has an unknown suffix, or cannot be written.
        ConfigError: An argument cannot work.

    Warns:
        UserWarning: The scene has no valid pixel, or a pixel size that the model does not know.

    Example:
        >>> import geoconvlora
        >>> result = geoconvlora.predict("scene.tif", ["fields.gpkg", "map.tif"])  # doctest: +SKIP
        >>> result.polygons  # doctest: +SKIP
        1532
    """
    started = time.monotonic()
    paths = _scene_paths(scenes)
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size} is less than 1")
    if band_rows is not None and band_rows < 1:
        raise ConfigError(f"band_rows {band_rows} is less than 1")
    plan = plan_outputs(out, probs, inputs=paths, overwrite=overwrite)
    card = _checked_card(model, base)
    wanted = [band.name for band in card.bands]
    if len(paths) > 1:

        def rows_of(scene: Scene, grid: PredictionGrid, tiling: Tiling) -> Iterator[MapRows]:
            from geoconvlora.inference.network import map_rows

            network, where = _placed(model, base, device)
            return map_rows(
                read_tile_rows(
                    scene, grid, tiling, fit_normaliser(card.scaling, card.bands, scene)
                ),
                network,
                classes=len(card.classes),
                tiling=tiling,
                batch_size=batch_size,
                device=where,
            )

        return predict_several(
            paths,
            plan,
            card,
            SceneMapper(
                open=partial(
                    open_scene,
                    wanted=wanted,
                    bands=bands,
                    nodata=nodata,
                    default_nodata=card.nodata,
                ),
                tiling=lambda grid: Tiling.for_model(
                    grid.height, grid.width, card, tile_size, overlap
                ),
                rows=rows_of,
            ),
            joining=joining or Joining(),
            polygons=polygons or PolygonOptions(),
            dry_run=dry_run,
            progress=progress,
        )
    path = paths[0]
    with open_scene(
        path, wanted=wanted, bands=bands, nodata=nodata, default_nodata=card.nodata
    ) as scene:
        grid = PredictionGrid.for_scene(scene, card.resolution)
        tiling = Tiling.for_model(grid.height, grid.width, card, tile_size, overlap)
        layers = PolygonLayers(
            plan.polygons, grid, card, polygons or PolygonOptions(), scene=scene.name
        )
        result = PredictionResult(
            scene=path,
            model=card.name,
            outputs=plan.files,
            height=scene.height,
            width=scene.width,
            bands=scene.bands,
            gsd_m=ground_sampling_distance(grid.geobox),
            tiles=len(tiling),
            dry_run=dry_run,
        )
        if dry_run:
            return result
        normaliser = fit_normaliser(card.scaling, card.bands, scene)
        with ExitStack() as stack:
            rasters = _open_rasters(stack, plan, scene, card)
            stack.enter_context(layers)

            from geoconvlora.inference.network import map_rows

            network, where = _placed(model, base, device)
            bands_of_rows = regroup(
                map_rows(
                    read_tile_rows(scene, grid, tiling, normaliser),
                    network,
                    classes=len(card.classes),
                    tiling=tiling,
                    batch_size=batch_size,
                    device=where,
                ),
                _rows_of_band(band_rows or tiling.tile, grid),
            )
            valid = 0
            with progress_of(grid.height, scene.name, shown=progress) as advance:
                for rows in bands_of_rows:
                    valid += int(np.count_nonzero(rows.valid))
                    _write(rows, rasters, layers, grid, scene)
                    advance(rows.valid.shape[0])
            for raster in rasters:
                raster.finish()
            layers.finish()
        if valid == 0:
            warnings.warn(
                f"{path} has no valid pixel: the outputs hold nothing", UserWarning, stacklevel=2
            )
    return result.model_copy(
        update={
            "valid_fraction": valid / (grid.height * grid.width),
            "polygons": layers.count if plan.polygons else None,
            "area_m2": layers.area_m2,
            "seconds": time.monotonic() - started,
        }
    )


def _scene_paths(scenes: str | Path | Sequence[str | Path]) -> list[str]:
    paths = raster_names([scenes] if isinstance(scenes, (str, PathLike)) else scenes)
    if not paths:
        raise ConfigError("no scene is given: name at least one raster")
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice: name each scene once")
    return paths


def _placed(model: str | Path | Model, base: str | Path | None, device: str) -> tuple[Any, Any]:
    """The network in evaluation mode, and the device where it is."""
    from geoconvlora.inference.network import place

    loaded = load(model, base=base) if isinstance(model, (str, PathLike)) else model
    return place(loaded.network, device)


def _checked_card(model: str | Path | Model, base: str | Path | None) -> ModelCard:
    """The model's card, once its base weights are known to be there."""
    if isinstance(model, (str, PathLike)):
        card = read_card(model)
        find_base_of(model, card, base)
        return card
    if base is not None:
        raise ConfigError(f"base {base}: a loaded model has its base weights; leave base out")
    return model.card


def _rows_of_band(rows: int, grid: PredictionGrid) -> int:
    """Rows of the grid that are written at a time.

    A finer grid's are whole scene pixels, so that each can be averaged; a coarser grid's are few,
    because each becomes many rows of the scene.
    """
    if grid.zoom_out > 1:
        return max(1, rows // grid.zoom_out)
    return -(-rows // grid.zoom_in) * grid.zoom_in


def _open_rasters(
    stack: ExitStack, plan: OutputPlan, scene: Scene, card: ModelCard
) -> list[MapRaster]:
    rasters: list[MapRaster] = [
        stack.enter_context(ClassRaster(path, scene.geobox, card.classes, model=card.name))
        for path in plan.classes
    ]
    if plan.probabilities is not None:
        raster = ProbabilityRaster(
            plan.probabilities, scene.geobox, card.classes, model=card.name, rule=card.instances
        )
        rasters.append(stack.enter_context(raster))
    return rasters


def _write(
    rows: MapRows,
    rasters: Sequence[MapRaster],
    layers: PolygonLayers,
    grid: PredictionGrid,
    scene: Scene,
) -> None:
    layers.feed(rows)
    if rasters:
        own = on_scene_grid(rows, grid, scene)
        for raster in rasters:
            raster.feed(own)
