"""Label real scenes for training `fields`: those without fields, and what a model is sure of.

    python scripts/field_scenes.py ../shared/data/train field_scenes
    python scripts/field_scenes.py ../shared/data/train field_scenes --field-free

The scenes are those of ``make_palettes.py``, which have no labels and may be used for weights that
are shipped. Of a scene, the model sees its true colours and, where there is near infrared, its
false colours, in eight views each; one map of probabilities is the mean of all. Its objects that
are sure enough become fields with a boundary as wide as landscapes' have it, what is surely no
field becomes background, and 255, which training ignores, is all between them. Scenes without a
field (islands with towns and their sea, open sea, dunes) are background throughout; with
``--field-free`` only these are written, which takes no model.

Writes ``NAME-true.tif`` and ``NAME-false.tif``, the scene in three bands, and ``NAME-labels.tif``,
on the model's finer grid if it labels, and prints the scenes as a configuration wants them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from make_palettes import SCENES
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from rasterio.windows import Window

from geoconvlora.inference.scene_mapper import SceneMapper
from geoconvlora.synthetic.labels import label_fields
from geoconvlora.training.data_config import IGNORE
from geoconvlora.vector import MapPolygons, PolygonOptions
from geoconvlora.weights import read_card

FIELD_FREE = {
    "carolina-coast": ("carolina-s2", (600, 300, 1500, 1500)),
    "carolina-sea": ("carolina-s2", (840, 1050, 810, 549)),
    "dunes": ("sen12ms-fall", None),
}
"""Scenes without a field: which scenes they are of, and their windows (column, row, width, height).

Open sea is a scene of its own, for percentiles of it alone show its swell as strong as fields.
"""
TOO_COARSE = ("brazil-landsat7", "nebraska-landsat5")
"""At 30 m the model is sure of too much."""
COLOURS = {"true": ("red", "green", "blue"), "false": ("nir", "red", "green")}
SURE_FIELD = 0.85
"""Least mean probability of an object that becomes a field."""
SURE_BACKGROUND = 0.8
FEED_ROWS = 512


def write_colours(folder: Path, entry: tuple, out: Path, name: str) -> list[Path]:
    """Three bands of a scene, as stored, for each choice of colours that it has."""
    scene, files, bands, names, window, _ = entry
    layers = []
    for file in (files,) if isinstance(files, str) else files:
        with rasterio.open(folder / file) as source:
            place = Window(*window) if window else Window(0, 0, source.width, source.height)
            layers.append(source.read(list(bands), window=place))
            profile = {
                "driver": "GTiff",
                "crs": source.crs,
                "transform": source.window_transform(place),
                "dtype": source.dtypes[0],
                "nodata": 0 if source.nodata is None else source.nodata,
            }
    values = np.concatenate(layers)
    if scene == "carolina-s2":
        # Its collar is white.
        values[:, (values == 255).all(axis=0)] = 0
    written = []
    for colours, wanted in COLOURS.items():
        if not set(wanted) <= set(names):
            continue
        chosen = values[[names.index(band) for band in wanted]]
        written.append(out / f"{name}-{colours}.tif")
        with rasterio.open(
            written[-1], "w", count=3, height=chosen.shape[1], width=chosen.shape[2],
            compress="deflate", predictor=1, tiled=True, **profile,
        ) as target:  # fmt: skip
            target.write(chosen)
    return written


def mapped(
    path: Path, model: str, tta: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_], GeoBox]:
    """Probabilities (K, H, W), validity and the grid of the model's map of a scene."""
    mapper = SceneMapper(read_card(model), model, bands=(1, 2, 3), tta=tta)
    with mapper.open(str(path)) as scene:
        rows, grid = mapper.in_memory(scene)
    return rows.probabilities, rows.valid, grid


def sure_fields(
    probabilities: NDArray[np.float32], valid: NDArray[np.bool_], grid: GeoBox, model: str
) -> NDArray[np.uint8]:
    """Background, field and boundary (H, W) where the model is sure, 255 elsewhere."""
    card = read_card(model)
    assert card.instances is not None, "the model must make objects"
    rule = card.instances.model_copy(update={"min_extent": 0.0})
    polygons = MapPolygons(
        geobox=grid, classes=card.classes, rule=rule, options=PolygonOptions(), scene="", model=""
    )
    found = [
        polygons.feed(probabilities[:, row : row + FEED_ROWS], valid[row : row + FEED_ROWS])
        for row in range(0, grid.height, FEED_ROWS)
    ]
    objects = pd.concat([*found, polygons.finish()], ignore_index=True)
    ids = np.zeros(valid.shape, np.int32)
    if len(objects):
        numbered = zip(objects.geometry, range(1, len(objects) + 1), strict=True)
        ids = rasterize(numbered, valid.shape, transform=Affine(*grid.affine[:6]), dtype="int32")
    sure = np.concatenate([[True], objects["confidence"].to_numpy() >= SURE_FIELD])[ids]
    labels = label_fields(ids)
    known = np.where(ids == 0, probabilities[0] >= SURE_BACKGROUND, sure)
    return np.where(known & valid, labels, IGNORE).astype(np.uint8)


def without_fields(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], GeoBox]:
    """Background (H, W) throughout, where the scene is valid, and the scene's grid."""
    with rasterio.open(path) as scene:
        valid = scene.dataset_mask() > 0
        grid = GeoBox(scene.shape, scene.transform, scene.crs)
    return np.where(valid, 0, IGNORE).astype(np.uint8), valid, grid


def write_labels(path: Path, labels: NDArray[np.uint8], grid: GeoBox) -> None:
    """Class ids as a raster."""
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", nodata=IGNORE, height=labels.shape[0],
        width=labels.shape[1], crs=grid.crs.to_wkt(), transform=Affine(*grid.affine[:6]),
        compress="deflate", tiled=True,
    ) as target:  # fmt: skip
        target.write(labels, 1)


def main() -> None:
    """Label all scenes, print shares and the configuration's list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the sets named in make_palettes.py")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="fields", help="bundled name or file")
    parser.add_argument("--tta", default="d4", choices=("none", "flips", "d4"))
    parser.add_argument("--field-free", action="store_true", help="only scenes without fields")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    scenes = {entry[0]: entry for entry in SCENES}
    wanted = {
        name: (*scenes[scene][:4], window, "") for name, (scene, window) in FIELD_FREE.items()
    }
    if not arguments.field_free:
        without = {scene for scene, _ in FIELD_FREE.values()}
        wanted |= {name: scenes[name] for name in scenes.keys() - without - set(TOO_COARSE)}
    listed = []
    for name, entry in sorted(wanted.items()):
        paths = write_colours(arguments.folder, entry, arguments.out, name)
        if name in FIELD_FREE:
            labels, valid, grid = without_fields(paths[0])
        else:
            views = [mapped(path, arguments.model, arguments.tta) for path in paths]
            _, valid, grid = views[0]
            mean = np.mean([probabilities for probabilities, _, _ in views], axis=0)
            labels = sure_fields(mean, valid, grid, arguments.model)
        write_labels(arguments.out / f"{name}-labels.tif", labels, grid)
        counts = np.bincount(labels[valid], minlength=IGNORE + 1) / max(1, valid.sum())
        shares = ", ".join(
            f"{what} {counts[i]:.0%}"
            for what, i in (("background", 0), ("field", 1), ("boundary", 2), ("not sure", IGNORE))
        )
        print(f"# {name} {grid.shape[0]} x {grid.shape[1]}: {shares}", flush=True)
        for path in paths:
            listed.append((path, arguments.out / f"{name}-labels.tif"))
    for image, labels_path in listed:
        print(f"- {{image: {image}, labels: {labels_path}, bands: [1, 2, 3]}}")


if __name__ == "__main__":
    main()
