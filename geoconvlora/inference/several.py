"""Several scenes through one model, to one map."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoconvlora.errors import ConfigError
from geoconvlora.inference.cluster import cluster_of
from geoconvlora.inference.joined_outputs import write_joined
from geoconvlora.inference.joining import JoinedMaps, check_band_memory
from geoconvlora.inference.map_store import is_whole
from geoconvlora.inference.merging import MergeName
from geoconvlora.inference.mosaicking import FADE_PX, check_merging
from geoconvlora.inference.outputs import OutputPlan, spare_sources
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.provenance import distinct_names
from geoconvlora.inference.rasters import FractionType
from geoconvlora.inference.result import PredictionResult
from geoconvlora.inference.scene_mapper import SceneMapper
from geoconvlora.inference.settings import model_sha256, short_digest
from geoconvlora.inference.spool import Spool
from geoconvlora.inference.target_area import AskedArea, cut, part_needed
from geoconvlora.inference.target_choice import choose_target
from geoconvlora.inference.task import MapTask, precision_of
from geoconvlora.inference.warping import ResamplingName
from geoconvlora.scenes import PredictionGrid, Window
from geoconvlora.scenes.date import joint_date
from geoconvlora.scenes.grid import zoom_of
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import PolygonOptions
from geoconvlora.weights.card import ModelCard


@dataclass(frozen=True)
class Joining:
    """How several scenes become one map.

    Attributes:
        dst_crs: CRS of the map; None: the first scene's.
        res: Its pixel size in units of the CRS; None: as on the first scene's ground.
        resampling: Between pixels of a scene's own map.
        merge: What counts where scenes overlap.
        fade_px: Pixels of the map over which a scene's weight rises from its valid edge.
    """

    dst_crs: str | None = None
    res: float | None = None
    resampling: ResamplingName | None = None
    merge: MergeName = "blend"
    fade_px: float = FADE_PX

    @property
    def regrids(self) -> bool:
        """Whether a grid other than the first scene's is asked for."""
        return self.dst_crs is not None or self.res is not None


def predict_several(
    paths: Sequence[str],
    plan: OutputPlan,
    card: ModelCard,
    mapper: SceneMapper,
    *,
    dask: str | None,
    area: AskedArea,
    joining: Joining,
    polygons: PolygonOptions,
    probs_dtype: FractionType,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    progress: bool,
) -> PredictionResult:
    """Map scenes one after the other, each on its own grid, and join the maps.

    Each map is kept, on the grid that the model saw, in the run's folder until all are joined; a
    run that is resumed takes finished ones from there. See
    :func:`geoconvlora.inference.predict` for the arguments.

    Raises:
        SceneError: A scene is missing, damaged, or has no CRS.
        BandError: A scene's bands do not fit the model's.
        OutputError: The disk is full, for instance.
        ConfigError: The target grid cannot work.
    """
    started = time.monotonic()
    check_merging(joining.merge, joining.resampling, joining.fade_px)
    scenes = [mapper.open(path) for path in paths]
    for scene in scenes:
        scene.close()
    spare_sources(plan, scenes)
    grids = [PredictionGrid.for_scene(scene, card.resolution) for scene in scenes]
    tilings = [mapper.tiling(grid) for grid in grids]
    target = choose_target(
        [scene.geobox for scene in scenes], dst_crs=joining.dst_crs, res=joining.res
    )
    zoom_in, zoom_out = zoom_of(ground_sampling_distance(target.geobox), card.resolution)
    target = target.begun_at(zoom_out)
    asked = area.on(target, zoom_in=zoom_in, zoom_out=zoom_out)
    if asked is not None:
        target = cut(target, asked, zoom_in=zoom_in, zoom_out=zoom_out)
    fine = target.zoomed(zoom_in=zoom_in, zoom_out=zoom_out)
    check_band_memory(fine, len(card.classes))
    grid = PredictionGrid.zoomed(target.geobox, zoom_in=zoom_in, zoom_out=zoom_out)
    names = distinct_names(paths)
    dates = {name: scene.date for name, scene in zip(names, scenes, strict=True)}
    fade_px = joining.fade_px * zoom_in / zoom_out
    parts: list[Window | None] = [None] * len(scenes)
    if asked is not None:
        parts = [part_needed(each.geobox, fine, fade_px) for each in grids]
        if not any(parts):
            raise ConfigError("the area asked for lies between the scenes: none reaches it")
    result = PredictionResult(
        scene=",".join(sorted(names)),
        scenes=tuple(paths),
        model=card.name,
        outputs=plan.files,
        height=target.window.height,
        width=target.window.width,
        bands=scenes[0].bands,
        gsd_m=ground_sampling_distance(grid.geobox),
        tiles=sum(map(len, tilings)),
        dry_run=dry_run,
    )
    if dry_run:
        return result
    settings = {
        "outputs": ", ".join(path.name for path in plan.files),
        "probabilities": probs_dtype,
        "polygons": str(polygons),
        "joining": str(joining),
        "scenes": ", ".join(paths),
        "area": "all" if asked is None else short_digest(asked.polygon.wkb),
    }
    # Maps are joined in the order of their files, which must not be that of the arguments.
    ranks = {path: rank for rank, path in enumerate(sorted(paths))}
    precision = precision_of(card, mapper.precision)
    with (
        Spool(plan.files, settings, resume=resume, overwrite=overwrite) as spool,
        cluster_of(
            dask, spool.folder, mapper.model, mapper.base, device=mapper.device, precision=precision
        ) as cluster,
    ):
        from geoconvlora.inference.running import hardware_for

        spool.settle("device", hardware_for(mapper.model, mapper.device, precision, cluster))
        tasks: list[tuple[MapTask, Path, str]] = []
        for path, scene, part, name in zip(paths, scenes, parts, names, strict=True):
            if asked is not None and part is None:
                continue
            store = spool.folder / f"{ranks[path]:06}.tif"
            with scene:
                task = mapper.task(scene, part)
                for what, value in mapper.settings(task).items():
                    spool.settle(f"{what} of {name}", value)
            tasks.append((task, store, name))
            if cluster is not None and not is_whole(store):
                mapper.begin(task, store, cluster)
        # Settings name the model as it was named: a loaded one is described in another way.
        ready = mapper if cluster is not None else None
        for task, store, _ in tasks:
            if is_whole(store):
                continue
            ready = ready or mapper.loaded()
            with task.scene:
                ready.map(task, store, cluster, progress=progress)
        joined = JoinedMaps(
            [mapper.read(store) for _, store, _ in tasks],
            fine,
            merge=joining.merge,
            resampling=joining.resampling or "bilinear",
            fade_px=fade_px,
            names=[name for _, _, name in tasks],
            area=asked,
        )
        origin = Origin(
            result.scene, joint_date(dates.values()), card.name, model_sha256(mapper.model)
        )
        layers = PolygonLayers(
            plan.polygons,
            grid,
            card,
            polygons,
            origin=origin,
            dates=dates,
            first_row=fine.window.row,
            scenes_of=joined.provenance.scenes_of,
        )
        written = write_joined(
            joined,
            plan,
            target,
            card,
            layers,
            origin,
            zoom_in=zoom_in,
            zoom_out=zoom_out,
            probs_dtype=probs_dtype,
            progress=progress,
        )
    if written.valid_fraction == 0:
        warnings.warn(
            "the scenes have no valid pixel: the outputs hold nothing", UserWarning, stacklevel=3
        )
    return result.model_copy(
        update={
            "valid_fraction": written.valid_fraction,
            "polygons": layers.count if plan.polygons else None,
            "area_m2": layers.area_m2,
            "seconds": time.monotonic() - started,
        }
    )
