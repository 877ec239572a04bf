"""Several scenes through one model, to one map."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoconvlora.errors import OutputError
from geoconvlora.inference.joined_outputs import write_joined
from geoconvlora.inference.joining import JoinedMaps
from geoconvlora.inference.map_store import MapStore, open_store
from geoconvlora.inference.merging import MergeName
from geoconvlora.inference.mosaicking import FADE_PX, check_merging
from geoconvlora.inference.outputs import OutputPlan, part_name
from geoconvlora.inference.polygons import PolygonLayers
from geoconvlora.inference.provenance import distinct_names
from geoconvlora.inference.result import PredictionResult
from geoconvlora.inference.rows import MapRows
from geoconvlora.inference.target import choose_target
from geoconvlora.inference.tiles import Tiling
from geoconvlora.inference.warping import ResamplingName
from geoconvlora.scenes import PredictionGrid, Scene
from geoconvlora.scenes.grid import zoom_of
from geoconvlora.scenes.ground import ground_sampling_distance
from geoconvlora.vector import PolygonOptions

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class SceneMapper:
    """One scene's part of the work, which is that of a scene alone.

    Attributes:
        open: Opens a scene with the model's bands.
        tiling: Its tile grid, from its prediction grid.
        rows: Its map's rows on that grid; imports torch.
    """

    open: Callable[[str], Scene]
    tiling: Callable[[PredictionGrid], Tiling]
    rows: Callable[[Scene, PredictionGrid, Tiling], Iterator[MapRows]]


def predict_several(
    paths: Sequence[str],
    plan: OutputPlan,
    card: ModelCard,
    mapper: SceneMapper,
    *,
    joining: Joining,
    polygons: PolygonOptions,
    dry_run: bool,
    progress: bool,
) -> PredictionResult:
    """Map scenes one after the other, each on its own grid, and join the maps.

    Each map is kept, on the grid that the model saw, in a folder beside the first output until all
    are joined; see :func:`geoconvlora.inference.predict` for the rest.

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
    grids = [PredictionGrid.for_scene(scene, card.resolution) for scene in scenes]
    tilings = [mapper.tiling(grid) for grid in grids]
    target = choose_target(
        [scene.geobox for scene in scenes], dst_crs=joining.dst_crs, res=joining.res
    )
    zoom_in, zoom_out = zoom_of(ground_sampling_distance(target.geobox), card.resolution)
    target = target.begun_at(zoom_out)
    fine = target.zoomed(zoom_in=zoom_in, zoom_out=zoom_out)
    grid = PredictionGrid.zoomed(target.geobox, zoom_in=zoom_in, zoom_out=zoom_out)
    names = distinct_names(paths)
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
    # Maps are joined in the order of their files, which must not be that of the arguments.
    ranks = {path: rank for rank, path in enumerate(sorted(paths))}
    with ExitStack() as stack:
        folder = stack.enter_context(_folder_beside(plan.files[0]))
        sources = []
        for path, scene, own, tiling in zip(paths, scenes, grids, tilings, strict=True):
            store = folder / f"{ranks[path]:06}.tif"
            with scene, MapStore(store, own.geobox, len(card.classes)) as kept:
                for rows in mapper.rows(scene, own, tiling):
                    kept.feed(rows)
            sources.append(open_store(store, card.classes, card.name))
        joined = JoinedMaps(
            sources,
            fine,
            merge=joining.merge,
            resampling=joining.resampling or "bilinear",
            fade_px=joining.fade_px * zoom_in / zoom_out,
            names=names,
        )
        layers = PolygonLayers(
            plan.polygons,
            grid,
            card,
            polygons,
            scene=result.scene,
            scenes_of=joined.provenance.scenes_of,
        )
        written = write_joined(
            joined,
            plan,
            target,
            card,
            layers,
            zoom_in=zoom_in,
            zoom_out=zoom_out,
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


@contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    """A folder for the scenes' own maps; it goes, whatever happens."""
    folder = part_name(output, "scenes").with_suffix("")
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror})") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
