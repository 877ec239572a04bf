"""The README's picture: a real scene, the probability of its classes, and the polygons over it.

    python benchmarks/picture.py --scene SCENE.tif --window 300 250 256 256 --out picture.png

Needs matplotlib. The default scene is the validation scene of Flanders, below ``--data``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas
import matplotlib as mpl
import numpy as np
import rasterio
from rasterio.plot import plotting_extent
from rasterio.windows import Window

import geoconvlora

mpl.use("agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
SCENE = "train/field_belgium_s2/BEFL_s2_2023-05-01_2023-07-01_B08-B04-B03_byte.tif"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--model", default="fields")
    parser.add_argument(
        "--window", type=int, nargs=4, default=(300, 500, 256, 256),
        metavar=("ROW", "COLUMN", "HEIGHT", "WIDTH"),
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "prediction.png")
    arguments = parser.parse_args()
    scene = arguments.scene or arguments.data / SCENE
    row, column, height, width = arguments.window
    window = Window(column, row, width, height)
    with tempfile.TemporaryDirectory() as folder:
        polygons_file, probs_file = Path(folder, "fields.gpkg"), Path(folder, "probs.tif")
        geoconvlora.predict(scene, polygons_file, model=arguments.model, probs=probs_file)
        polygons = geopandas.read_file(polygons_file)
        with rasterio.open(probs_file) as probs:
            field = 1 - probs.read(1, window=window)
    with rasterio.open(scene) as image:
        pixels = image.read(window=window).transpose(1, 2, 0).astype("float32")
        extent = plotting_extent(pixels[..., 0], image.window_transform(window))
    low, high = np.percentile(pixels, (2, 98), axis=(0, 1))
    shown = np.clip((pixels - low) / (high - low), 0, 1)
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.6), layout="constrained")
    axes[0].imshow(shown, extent=extent)
    axes[1].imshow(field, extent=extent, cmap="viridis", vmin=0, vmax=1)
    axes[2].imshow(shown, extent=extent)
    polygons.boundary.plot(ax=axes[2], color="yellow", linewidth=1)
    for axis, title in zip(axes, ("scene", "P(field)", "polygons"), strict=True):
        axis.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], title=title)
        axis.set(xlabel="", ylabel="")  # which geopandas names
    arguments.out.parent.mkdir(exist_ok=True)
    figure.savefig(arguments.out, dpi=90)
    print(f"{arguments.out}: {len(polygons)} polygons in the whole scene")


if __name__ == "__main__":
    main()
