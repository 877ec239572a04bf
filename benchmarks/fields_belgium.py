"""Object scores of a field model inside the labelled windows of `field_belgium_s2`.

    python benchmarks/fields_belgium.py                         # the bundled model
    python benchmarks/fields_belgium.py --model my.safetensors --settings
    python benchmarks/fields_belgium.py --polygons fields.gpkg  # any polygon file

With `--settings` the network runs once, and objects are made with a small grid of thresholds: the
best of them is optimistic, the median says how much hangs on the choice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoconvlora.evaluate import ObjectScores, object_scores
from geoconvlora.inference.scene_mapper import SceneMapper
from geoconvlora.inference.task import Augmentation
from geoconvlora.scenes.origin import Origin
from geoconvlora.vector import MapPolygons, PolygonOptions
from geoconvlora.weights import read_card
from geoconvlora.weights.card import ModelCard

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
SEED_DEPTHS = (0.2, 0.3, 0.4)
MAX_BOUNDARIES = (0.3, 0.4, 0.5)
MIN_EXTENTS = (0.0, 0.6, 0.7, 0.8)
FEED_ROWS = 512
LEAST_AREA_M2 = 2000.0
"""Inside a window, 20 pixels of the scene: what is cut smaller than that is no object."""


class Labels:
    """The hand-drawn fields and the windows of the scene in which they are complete."""

    def __init__(self, folder: Path) -> None:
        (self.scene,) = folder.glob("*.tif")
        self.fields = gpd.read_file(folder / "fields_polygons.gpkg")
        windows = gpd.read_file(folder / "label_windows.gpkg")
        with rasterio.open(self.scene) as scene:
            footprint = shapely.box(*scene.bounds)
        # Some windows were drawn on other scenes: nobody can predict there.
        self.windows = windows[windows.within(footprint)]

    def scores(self, predicted: gpd.GeoDataFrame) -> dict[str, ObjectScores]:
        """Scores by split, and over all windows."""
        split = self.windows["traindata_type"]
        groups = {"all": self.windows} | {s: self.windows[split == s] for s in sorted(set(split))}
        return {name: self.scores_in(windows, predicted) for name, windows in groups.items()}

    def scores_in(self, windows: gpd.GeoDataFrame, predicted: gpd.GeoDataFrame) -> ObjectScores:
        """Scores inside some of the windows."""
        return object_scores(
            predicted, self.fields, windows=windows, remnant=0.0, least_area=LEAST_AREA_M2
        )


def predicted_polygons(
    scene: Path,
    model: str,
    device: str = "auto",
    tta: Augmentation = "none",
    bands: tuple[int, ...] | None = None,
) -> gpd.GeoDataFrame:
    """What `predict` writes for the scene."""
    from geoconvlora.inference import predict

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "fields.gpkg"
        predict(scene, out, model=model, bands=bands, device=device, tta=tta)
        return gpd.read_file(out, layer="fields")


def probabilities(
    scene: Path, model: str, device: str, tta: Augmentation
) -> tuple[NDArray[np.float32], NDArray[np.bool_], GeoBox]:
    """The model's `(K, H, W)` probabilities and validity on its own grid."""
    mapper = SceneMapper(read_card(model), model, tta=tta, device=device)
    with mapper.open(str(scene)) as opened:
        rows, grid = mapper.in_memory(opened)
    return rows.probabilities, rows.valid, grid


def objects_by_setting(
    mapped: NDArray[np.float32], valid: NDArray[np.bool_], geobox: GeoBox, card: ModelCard
) -> Iterator[tuple[dict[str, float], gpd.GeoDataFrame]]:
    """Objects for every combination of thresholds."""
    assert card.instances is not None, "the model must make objects"
    for seed, line in itertools.product(SEED_DEPTHS, MAX_BOUNDARIES):
        rule = card.instances.model_copy(
            update={"seed_depth": seed, "max_boundary": line, "min_extent": 0.0}
        )
        polygons = MapPolygons(
            geobox=geobox,
            classes=card.classes,
            rule=rule,
            options=PolygonOptions(),
            origin=Origin("belgium", model=card.name),
        )
        done = [
            polygons.feed(mapped[:, row : row + FEED_ROWS], valid[row : row + FEED_ROWS])
            for row in range(0, geobox.height, FEED_ROWS)
        ]
        every = pd.concat([*done, polygons.finish()], ignore_index=True)
        for least in MIN_EXTENTS:
            setting = {"seed_depth": seed, "max_boundary": line, "min_extent": least}
            yield setting, every[every["confidence"] >= least]


def settings_report(
    labels: Labels, model: str, device: str, tta: Augmentation, saved: Path | None
) -> dict:
    """Best and median F1 over the settings, by split."""
    card = read_card(model)
    if saved is not None and saved.exists():
        kept = np.load(saved)
        grid = GeoBox(kept["valid"].shape, Affine(*kept["transform"]), str(kept["crs"]))
        mapped, valid = kept["probabilities"], kept["valid"]
    else:
        mapped, valid, grid = probabilities(labels.scene, model, device, tta)
        if saved is not None:
            np.savez(
                saved,
                probabilities=mapped,
                valid=valid,
                transform=np.array(tuple(grid.affine)[:6]),
                crs=grid.crs.to_wkt(),
            )
    tried = [
        (setting, labels.scores(objects))
        for setting, objects in objects_by_setting(mapped, valid, grid, card)
    ]
    report = {}
    for split in tried[0][1]:
        best, scores = max(tried, key=lambda one: one[1][split].f1)
        report[split] = {
            "best_f1": scores[split].f1,
            "best_setting": best,
            "median_f1": statistics.median(s[split].f1 for _, s in tried),
            "settings": len(tried),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train/")
    parser.add_argument("--model", default="fields")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tta", default="none", choices=get_args(Augmentation))
    parser.add_argument("--polygons", type=Path, help="score this file; no model runs")
    parser.add_argument("--settings", action="store_true", help="also a grid of thresholds")
    parser.add_argument("--probabilities", type=Path, help=".npz to keep probabilities in")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    labels = Labels(args.data / "train" / "field_belgium_s2")
    started = time.perf_counter()
    if args.polygons:
        predicted = gpd.read_file(args.polygons)
    else:
        predicted = predicted_polygons(labels.scene, args.model, args.device, args.tta)
    seconds = time.perf_counter() - started
    scores = labels.scores(predicted)
    settings = (
        settings_report(labels, args.model, args.device, args.tta, args.probabilities)
        if args.settings
        else None
    )
    if args.json:
        dumped = {name: score.model_dump() for name, score in scores.items()}
        print(json.dumps({"scores": dumped, "settings": settings, "seconds": seconds}, indent=2))
        return
    print(f"{len(predicted)} polygons, {seconds:.1f} s")
    print(
        f"{'windows':12} {'F1':>6} {'prec':>6} {'recall':>6} {'IoU':>6} {'extent':>6}   tp  fp  fn"
    )
    for name, s in scores.items():
        numbers = (s.f1, s.precision, s.recall, s.mean_iou, s.extent_iou)
        print(f"{name:12}", *(f"{n:6.3f}" for n in numbers), f"{s.tp:4} {s.fp:3} {s.fn:3}")
    for name, s in (settings or {}).items():
        print(
            f"{name}: F1 best {s['best_f1']:.3f} ({s['best_setting']}), "
            f"median {s['median_f1']:.3f} of {s['settings']} settings"
        )


if __name__ == "__main__":
    main()
