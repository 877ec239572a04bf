"""Fake data sets in the forms that torchgeo's data modules read."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from training_files import write_raster

SIDE = 64
CHIPS = 4


def halves(rng: np.random.Generator, classes: int) -> np.ndarray:
    """A mask (1, SIDE, SIDE) of which each part of the columns is one class."""
    return np.sort(rng.integers(0, classes, (1, SIDE, 1)), axis=1).repeat(SIDE, axis=2)


def fields_of_the_world(root: Path) -> None:
    """One country with four-band chips of two dates, and masks of two and three classes."""
    rng = np.random.default_rng(0)
    country = root / "austria"
    for folder in ("s2_images/window_a", "s2_images/window_b", "label_masks/semantic_3class"):
        (country / folder).mkdir(parents=True)
    chips = [f"g{index}" for index in range(CHIPS)]
    for chip in chips:
        mask = halves(rng, 4)  # 3 is not labelled.
        for window in ("a", "b"):
            values = (rng.integers(0, 500, (4, SIDE, SIDE)) + 800 * mask).astype(np.uint16)
            write_raster(country / f"s2_images/window_{window}/{chip}.tif", values)
        write_raster(country / f"label_masks/semantic_3class/{chip}.tif", mask.astype(np.uint8))
    split = ["train"] * (CHIPS - 1) + ["val"]
    table = pd.DataFrame({"aoi_id": chips, "split": split})
    table.to_parquet(country / "chips_austria.parquet")


def loveda(root: Path) -> None:
    """RGB and masks as PNG; 0 is not labelled."""
    rng = np.random.default_rng(1)
    for part in ("Train", "Val"):
        for folder in ("images_png", "masks_png"):
            (root / part / "Rural" / folder).mkdir(parents=True)
        for index in range(2):
            mask = halves(rng, 8).astype(np.uint8)
            image = rng.integers(0, 50, (SIDE, SIDE, 3)) + 25 * mask[0, :, :, None]
            for folder, values in (("images_png", image.astype(np.uint8)), ("masks_png", mask[0])):
                Image.fromarray(values).save(root / part / "Rural" / folder / f"{index}.png")


def solar_plants(root: Path) -> None:
    """Float images of red, green, blue and near infrared with binary masks."""
    rng = np.random.default_rng(2)
    for part in ("train", "val"):
        for folder in ("input", "labels"):
            (root / part / folder).mkdir(parents=True)
        for index in range(2):
            mask = halves(rng, 2)
            values = (rng.random((4, SIDE, SIDE)) * 900 + 2000 * mask).astype(np.float32)
            write_raster(root / part / "input" / f"img({index}).tif", values)
            mask = mask.astype(np.float32)
            write_raster(root / part / "labels" / f"target({index}).tif", mask)


def sentinel2_nccm(root: Path) -> None:
    """A Sentinel-2 scene of four bands, and a raster of crops that covers it."""
    rng = np.random.default_rng(3)
    side = 8 * SIDE
    for folder in ("sentinel2/R10m", "nccm"):
        (root / folder).mkdir(parents=True)
    for band in ("B02", "B03", "B04", "B08"):
        values = rng.integers(0, 4000, (1, side, side)).astype(np.uint16)
        write_raster(root / "sentinel2/R10m" / f"T31UES_20190414T110751_{band}_10m.tif", values)
    crops = np.kron(rng.choice([0, 1, 2, 3, 15], (1, 8, 8)), np.ones((1, SIDE, SIDE)))
    write_raster(root / "nccm" / "CDL2019_clip.tif", crops.astype(np.uint8))
