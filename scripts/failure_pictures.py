"""Draw how the bundled models fail: the pictures on the documentation's page of models.

    python scripts/failure_pictures.py ../shared/data/train docs

writes ``failures_fields.png`` and ``failures_landcover.png``. ``fields``: a part of Flanders with
what was drawn by hand and what the model outlines, and real and drawn ground without any field.
``landcover``: two images of places that it never trained on, their labels and its map.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import rasterio
from affine import Affine
from dubai_tiles import MADE_UP_PLACE, class_ids
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray
from rasterio.plot import plotting_extent
from rasterio.windows import Window

import geoconvlora
from geoconvlora.synthetic.wilderness import barren_ground
from geoconvlora.weights import read_card

mpl.use("agg")
from matplotlib import pyplot as plt

FLANDERS = "field_belgium_s2/BEFL_s2_2023-05-01_2023-07-01_B08-B04-B03_byte.tif"
FLANDERS_WINDOW = Window(1030, 300, 180, 180)
COAST = "landcover_nc_coast_s2/2018-10-13_S2B_L1C_B{}.tif"
COAST_WINDOW = Window(0, 0, 600, 600)
WHITE_COLLAR = 255
DUNES_SEED, DUNES_SIDE = (900, 1), 512
"""The worst of the scenes in ``benchmarks/field_free.py``."""
DUBAI = ("tile5/image_part_001", "tile1/image_part_004")
PIXEL_M = 10.0


def stretched(pixels: NDArray) -> NDArray[np.float32]:
    """Bands (3, H, W) as an image (H, W, 3) between their 2nd and 98th percentiles."""
    low, high = np.percentile(pixels, (2, 98), axis=(1, 2), keepdims=True)
    scaled = np.clip((pixels - low) / (high - low), 0, 1)
    return np.moveaxis(scaled, 0, -1).astype(np.float32)


def write(
    path: Path, pixels: NDArray, transform: Affine, crs: str, nodata: int | None = None
) -> Path:
    """Bands as a GeoTIFF."""
    bands, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype,
        transform=transform, crs=crs, nodata=nodata,
    ) as target:  # fmt: skip
        target.write(pixels)
    return path


def scenes_of_fields(data: Path, folder: Path) -> dict[str, Path]:
    """Three scenes on disk, by their titles."""
    with rasterio.open(data / FLANDERS) as scene:
        place = scene.window_transform(FLANDERS_WINDOW)
        flanders = write(
            folder / "flanders.tif", scene.read(window=FLANDERS_WINDOW), place, scene.crs
        )
    layers = []
    for band in ("04", "03", "02"):
        with rasterio.open(data / COAST.format(band)) as scene:
            layers.append(scene.read(1, window=COAST_WINDOW))
            place, crs = scene.window_transform(COAST_WINDOW), scene.crs
    pixels = np.stack(layers)
    pixels[:, (pixels == WHITE_COLLAR).all(axis=0)] = 0
    coast = write(folder / "coast.tif", pixels, place, crs, nodata=0)
    made = Affine(PIXEL_M, 0, 5e5, 0, -PIXEL_M, 2.5e6)
    ground = barren_ground(np.random.default_rng(DUNES_SEED), DUNES_SIDE, "dunes")
    stored = np.clip(ground * 10_000, 1, 65_535).astype(np.uint16)
    dunes = write(folder / "dunes.tif", stored, made, "EPSG:32631")
    return {
        "Flanders: drawn by hand (blue), outlined (yellow)": flanders,
        "a town by the sea": coast,
        "drawn dunes": dunes,
    }


def draw_fields(data: Path, out: Path) -> None:
    """Scenes with the model's polygons over them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = scenes_of_fields(data, folder)
        figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.8), layout="constrained")
        for axis, (title, path) in zip(axes, scenes.items(), strict=True):
            geoconvlora.predict(path, folder / "fields.gpkg", overwrite=True)
            polygons = gpd.read_file(folder / "fields.gpkg")
            with rasterio.open(path) as scene:
                extent = plotting_extent(scene)
                axis.imshow(stretched(scene.read()), extent=extent)
                crs = scene.crs
            if path.stem == "flanders":
                drawn = gpd.read_file(data / "field_belgium_s2" / "fields_polygons.gpkg")
                drawn.to_crs(crs).boundary.plot(ax=axis, color="deepskyblue", linewidth=2)
            if len(polygons):
                polygons.boundary.plot(ax=axis, color="yellow", linewidth=0.9)
            finish(axis, title)
            axis.set(xlim=extent[:2], ylim=extent[2:])
    figure.savefig(out, dpi=90)


def draw_landcover(data: Path, out: Path) -> None:
    """Images, their labels and the model's map."""
    card = read_card("landcover")
    colours = ListedColormap([each.color for each in card.classes])
    figure, axes = plt.subplots(
        len(DUBAI), 3, figsize=(13.5, 4.6 * len(DUBAI)), layout="constrained"
    )
    with tempfile.TemporaryDirectory() as name:
        for row, image in zip(axes, DUBAI, strict=True):
            path = data / "landcover_dubai_rgb" / f"{image}.jpg"
            with rasterio.open(path) as picture:
                pixels = picture.read()
            scene = write(Path(name, "scene.tif"), pixels, MADE_UP_PLACE, "EPSG:32640")
            geoconvlora.predict(scene, Path(name, "map.tif"), model="landcover", overwrite=True)
            with rasterio.open(Path(name, "map.tif")) as mapped:
                found = mapped.read(1)
            truth = class_ids(path.with_name(f"{path.stem}_mask.png"))
            row[0].imshow(np.moveaxis(pixels, 0, -1))
            for axis, classes in ((row[1], truth), (row[2], found)):
                shown = np.ma.masked_greater_equal(classes, len(card.classes))
                axis.imshow(shown, cmap=colours, vmin=0, vmax=len(card.classes), resample=False)
            for axis, title in zip(row, (image, "labels", "map"), strict=True):
                finish(axis, title)
    handles = [plt.Rectangle((0, 0), 1, 1, color=each.color) for each in card.classes]
    names = [each.name for each in card.classes]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    figure.savefig(out, dpi=80)


def finish(axis: Axes, title: str) -> None:
    """Title, and nothing else around the picture."""
    axis.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axis.set_title(title, fontsize=10)


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the sets' folders")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    draw_fields(arguments.data, arguments.out / "failures_fields.png")
    draw_landcover(arguments.data, arguments.out / "failures_landcover.png")


if __name__ == "__main__":
    main()
