"""How much of ground without any field a model of fields calls field.

    python benchmarks/field_free.py --data ../shared/data
    python benchmarks/field_free.py --data ../shared/data --model my.safetensors

Four drawn scenes of sea, of dunes and of mountains each, and of these under thick cloud, 512 x 512
pixels of 10 m; and two windows of a real Sentinel-2 scene, a barrier island with its sea and a town
between sounds, which lie outside of the windows that `fields` is trained with. Shares are of the
scenes' valid pixels that lie in polygons, as `predict` writes them.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from geoconvlora.inference import predict
from geoconvlora.synthetic.wilderness import Barren, barren_ground, under_cloud

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
COAST = "train/landcover_nc_coast_s2/2018-10-13_S2B_L1C_B{}.tif"
WINDOWS = {"coast": Window(2100, 900, 450, 900), "coastal town": Window(0, 0, 600, 600)}
WHITE_COLLAR = 255
SIDE, SCENES, SEED = 512, 4, 900
PLACE = Affine(10, 0, 500_000, 0, -10, 5_600_000)


def drawn_scenes() -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Kind and pixels of every drawn scene."""
    for kind in get_args(Barren):
        for number in range(SCENES):
            rng = np.random.default_rng([SEED, number])
            ground = barren_ground(rng, SIDE, kind)
            clouded, _ = under_cloud(rng, ground)
            for name, image in ((f"drawn {kind}", ground), ("drawn, clouded", clouded)):
                yield name, np.clip(image * 10_000, 1, 65_535).astype(np.uint16)


def real_scenes(data: Path) -> Iterator[tuple[str, NDArray[np.uint8], Affine, object]]:
    """Name, pixels, transform and CRS of the real windows."""
    for name, window in WINDOWS.items():
        layers = []
        for band in ("04", "03", "02"):
            with rasterio.open(data / COAST.format(band)) as scene:
                layers.append(scene.read(1, window=window))
                place, crs = scene.window_transform(window), scene.crs
        pixels = np.stack(layers)
        pixels[:, (pixels == WHITE_COLLAR).all(axis=0)] = 0
        yield name, pixels, place, crs


def field_pixels(
    pixels: NDArray, place: Affine, crs: object, model: str, folder: Path
) -> tuple[int, int, int]:
    """Pixels in polygons, valid pixels, polygons."""
    scene, out = folder / "scene.tif", folder / "fields.gpkg"
    bands, height, width = pixels.shape
    with rasterio.open(
        scene, "w", driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype,
        nodata=0, transform=place, crs=crs,
    ) as target:  # fmt: skip
        target.write(pixels)
    predict(scene, out, model=model, overwrite=True)
    polygons = gpd.read_file(out).geometry
    valid = (pixels > 0).all(axis=0)
    inside = np.zeros((height, width), np.uint8)
    if len(polygons):
        inside = rasterize(polygons, (height, width), transform=place)
    return int((inside > 0)[valid].sum()), int(valid.sum()), len(polygons)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with train/")
    parser.add_argument("--model", default="fields")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    found: dict[str, list[tuple[int, int, int]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, pixels in drawn_scenes():
            counts = field_pixels(pixels, PLACE, "EPSG:32631", options.model, folder)
            found.setdefault(kind, []).append(counts)
        for kind, image, place, crs in real_scenes(options.data):
            found[kind] = [field_pixels(image, place, crs, options.model, folder)]
    print("| scenes | called field | worst scene | polygons |\n|---|---|---|---|")
    for kind, counts in sorted(found.items()):
        inside, valid, polygons = (sum(column) for column in zip(*counts, strict=True))
        worst = max(field / whole for field, whole, _ in counts)
        print(f"| {kind} ({len(counts)}) | {inside / valid:.1%} | {worst:.1%} | {polygons} |")


if __name__ == "__main__":
    main()
