"""One scene through one model, to rasters and polygons, in memory that its height does not move."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from geoconvlora.errors import ConfigError
from geoconvlora.inference.blending import Blend
from geoconvlora.inference.cluster import cluster_of
from geoconvlora.inference.outputs import plan_outputs, spare_sources
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.progress import progress_of
from geoconvlora.inference.rasters import FractionType
from geoconvlora.inference.result import PredictionResult
from geoconvlora.inference.scene_mapper import SceneMapper
from geoconvlora.inference.settings import model_sha256, settings_of
from geoconvlora.inference.several import Joining, predict_several
from geoconvlora.inference.sinks import MapSinks
from geoconvlora.inference.spool import Spool
from geoconvlora.inference.target_area import AskedArea
from geoconvlora.inference.task import (
    Augmentation,
    MapTask,
    Precision,
    Scales,
    precision_of,
    views_of,
)
from geoconvlora.inference.tiles import Tiling
from geoconvlora.scenes import PredictionGrid, Window, fit_normaliser, open_scene
from geoconvlora.scenes.area import read_area
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.inputs import given_twice, raster_names
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights import checked_card

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
    blend: Blend = "cosine",
    tta: Augmentation = "auto",
    aoi: str | Path | None = None,
    bounds: Sequence[float] | None = None,
    bounds_crs: str | None = None,
    probs_dtype: FractionType = "float32",
    uncertainty: str | Path | None = None,
    resume: bool = False,
    workers: int = 1,
    dask: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
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
    whole or not at all. What is finished is kept on disk meanwhile, in a folder ``.NAME.run``
    beside the first output, in six bytes or so a pixel for three classes.

    Args:
        scenes: A georeferenced raster, or several, which become one map; folders, globs, lists
            and STAC files stand for what they hold
            (:func:`geoconvlora.scenes.inputs.raster_names`).
        out: Files to write; the suffix decides: ``.gpkg .fgb .parquet .geojson`` polygons in the
            scene's CRS, ``.tif`` classes on the scene's grid (COG).
        model: A bundled model's name, a model file, or a loaded model.
        base: The base weights' file, where it is not bundled or in the weights folder; only for a
            model by its name or file.
        probs: Also write class probabilities, a COG with one band a class.
        bands: 1-based bands of the scene in the model's order; None finds them.
        nodata: Stored value that means 'no data', instead of the scene's own.
        tile_size: Side of the network's input in pixels, a multiple of 16 up to 4096; None:
            the model's.
        overlap: Pixels that neighbouring tiles share; None: the model's, or a quarter.
        batch_size: Tiles that the network sees at once; changes results by rounding only, some
            1e-5 of a probability in float32 and up to some thousandths in bfloat16.
        blend: How overlapping tiles are joined: ``cosine``, ``linear`` or ``gaussian`` weights, or
            each pixel from one tile, ``crop`` from the middle one and ``none`` from the last.
        tta: Test-time augmentation: probabilities are of a tile alone (``none``), or averaged over
            ``flips`` (4 views) or ``d4`` (8); ``auto`` does what the model's card names.
        aoi: A vector file of polygons: only pixels whose centres lie in them are mapped, and the
            outputs are as large as they are. Tiles are those of the whole scene, and see all of
            it, so what is inside is what it would be in the whole map.
        bounds: West, south, east and north of a box, likewise; with ``aoi``, what both share.
        bounds_crs: The box's CRS; None: the scene's, or that of several scenes' map.
        probs_dtype: ``float32``, or ``uint8`` with the scale 0.004.
        uncertainty: Also write how far predictions of a pixel differ, those of overlapping tiles
            and of their views, stored as probabilities are; see
            :class:`geoconvlora.inference.rasters.SpreadRaster`.
        resume: Go on from an unfinished run to these outputs, if there is one, and leave what is
            finished after an error or Ctrl-C. The result has the same bytes as an unbroken run.
        workers: Processes that map at the same time; the result does not depend on it. A script
            that asks for several must have an ``if __name__ == "__main__":``.
        dask: Address of a dask.distributed scheduler, or its scheduler file: its workers map, and
            this process joins and writes. They must see the scenes and the folder of the outputs
            under the same paths. The result does not depend on it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` leaves a loaded model
            where it is.
        precision: What the network computes in: ``32``, ``bf16`` (of eight bits, and faster
            where hardware has units for it), or ``auto``, bfloat16 if the model's card says that it
            may and the hardware has units. Probabilities differ by 0.002 in the mean, here and
            there by 0.03.
        polygons: Simplification, smallest area, holes and classes of polygons.
        overwrite: Replace outputs that exist.
        dry_run: Check everything and write nothing.
        progress: Show a bar on stderr if that is a terminal.
        band_rows: Rows written at a time; changes speed, never the result.
        joining: The grid of several scenes' map, and what counts where they overlap; by default
            the first scene's grid, and blended. With a CRS or a pixel size, also of one scene's.

    Returns:
        What was written, with counts and areas.

    Raises:
        SceneError: The scene is missing, damaged, or has no CRS.
        BandError: Its bands do not fit the model's.
        ModelFileError: The model is damaged or for other base weights.
        WeightsError: The base weights are not there.
        OutputError: An output exists, has an unknown suffix, or cannot be written.
        ConfigError: An argument cannot work, the run to resume was another one, or a cluster's
            worker cannot take part.
        WorkerError: Workers died again and again.

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
    for name, value in (("batch size", batch_size), ("workers", workers), ("band_rows", band_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} {value} is less than 1")
    if dask is not None and workers > 1:
        raise ConfigError("workers and dask are two ways of one thing: give one of them")
    _check_choices(blend=blend, probs_dtype=probs_dtype)
    plan = plan_outputs(
        out,
        probs,
        uncertainty=uncertainty,
        inputs=paths if aoi is None else [*paths, str(aoi)],
        overwrite=overwrite,
        resume=resume,
    )
    card = checked_card(model, base)
    computed, views = precision_of(card, precision), views_of(card, tta)
    if dry_run and dask is None:
        # Nothing else of a dry run needs torch, and its beginning takes a second.
        from geoconvlora.inference.running import hardware_for

        hardware_for(model, device, computed)
    polygons = polygons or PolygonOptions()
    wanted = [band.name for band in card.bands]
    joining = joining or Joining()
    if len(paths) > 1 or joining.regrids:
        if uncertainty is not None:
            raise ConfigError(
                "uncertainty belongs to one scene on its own grid: leave it out with several, "
                "and with a CRS or a pixel size"
            )
        return predict_several(
            paths,
            plan,
            card,
            SceneMapper(
                card=card,
                model=model,
                base=base,
                bands=bands,
                nodata=nodata,
                tile_size=tile_size,
                overlap=overlap,
                batch_size=batch_size,
                blend=blend,
                tta=tta,
                device=device,
                precision=precision,
                workers=workers,
            ),
            dask=dask,
            area=AskedArea(aoi, bounds, bounds_crs),
            joining=joining,
            polygons=polygons,
            probs_dtype=probs_dtype,
            resume=resume,
            overwrite=overwrite,
            dry_run=dry_run,
            progress=progress,
        )
    path = paths[0]
    with open_scene(
        path, wanted=wanted, bands=bands, nodata=nodata, default_nodata=card.nodata
    ) as scene:
        spare_sources(plan, [scene])
        grid = PredictionGrid.for_scene(scene, card.resolution)
        tiling = Tiling.for_model(grid.height, grid.width, card, tile_size, overlap)
        area = read_area(scene, grid, aoi=aoi, bounds=bounds, bounds_crs=bounds_crs)
        window = Window(0, 0, grid.height, grid.width) if area is None else area.window
        origin = Origin(scene.name, scene.date, card.name, "" if dry_run else model_sha256(model))
        layers = PolygonLayers(
            plan.polygons,
            grid.part(window),
            card,
            polygons,
            origin=origin,
            first_row=window.row,
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
        task = MapTask(
            scene=scene,
            grid=grid,
            tiling=tiling,
            normaliser=fit_normaliser(card.scaling, card.bands, scene),
            classes=len(card.classes),
            batch_size=batch_size,
            blend=blend,
            tta=views,
            scales=Scales.of(card),
            precision=computed,
            spread=plan.uncertainty is not None,
            area=area,
        )
        settings = settings_of(task, model, plan, polygons, probs_dtype)
        with (
            Spool(plan.files, settings, resume=resume, overwrite=overwrite) as spool,
            MapSinks(plan, task, card, layers, origin, probs_dtype) as sinks,
            cluster_of(
                dask, spool.folder, model, base, device=device, precision=task.precision
            ) as cluster,
        ):
            from geoconvlora.inference.running import hardware_for, scene_rows

            spool.settle("device", hardware_for(model, device, task.precision, cluster))
            stream = scene_rows(
                task,
                spool.folder,
                model,
                base,
                device=device,
                workers=workers,
                cluster=cluster,
                band_rows=band_rows,
            )
            shown = progress_of(window.height, scene.name, shown=progress)
            with closing(stream), shown as advance:
                for rows in stream:
                    sinks.feed(rows)
                    advance(rows.valid.shape[0])
            sinks.finish()
    if sinks.valid_pixels == 0:
        warnings.warn(
            f"{path} has no valid pixel{'' if area is None else ' in the area asked for'}: "
            "the outputs hold nothing",
            UserWarning,
            stacklevel=2,
        )
    return result.model_copy(
        update={
            "valid_fraction": sinks.valid_pixels / (window.height * window.width),
            "polygons": layers.count if plan.polygons else None,
            "area_m2": layers.area_m2,
            "seconds": time.monotonic() - started,
        }
    )


def _scene_paths(scenes: str | Path | Sequence[str | Path]) -> list[str]:
    paths = raster_names([scenes] if isinstance(scenes, (str, PathLike)) else scenes)
    if not paths:
        raise ConfigError("no scene is given: name at least one raster")
    twice = given_twice(paths)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice: name each scene once")
    return paths


def _check_choices(*, blend: str, probs_dtype: str) -> None:
    for name, value, known in (
        ("blend", blend, get_args(Blend)),
        ("probs_dtype", probs_dtype, get_args(FractionType)),
    ):
        if value not in known:
            raise ConfigError(f"{name} {value!r} is unknown: give {', '.join(known)}")
