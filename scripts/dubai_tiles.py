"""Cut the Dubai images and their coloured masks into tiles, and lay out test places as scenes.

Whole places go to one part, so no test tile lies beside a training tile; each part has all
classes. Images are cut into equal pieces of at most 208 x 208 pixels, or ``--side`` squared, so
every pixel comes once; pieces without a label are left out.

    python scripts/dubai_tiles.py ../shared/data/train/landcover_dubai_rgb OUT

makes ``OUT/{train,val,test}/{images,labels}``; labels hold the ids of CLASSES, 255 elsewhere.
``OUT/test`` also gets ``PLACE.tif`` and ``PLACE_labels.tif`` with a place's images side by side,
for ``geoconvlora predict`` and ``evaluate``. The images say neither where they are nor how large
their pixels: the scenes lie at a made-up place, with pixels of a metre.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

SIDE = 208
PLACES = {
    "train": ("tile3", "tile6", "tile8"),
    "val": ("tile2",),
    "test": ("tile1", "tile5"),
}
CLASSES = (
    ("land", 0x8429F6),
    ("water", 0xE2A929),
    ("vegetation", 0xFEDD3A),
    ("building", 0x3C1098),
    ("road", 0x6EC1E4),
)
COLUMNS = 3
MADE_UP_PLACE = Affine(1, 0, 300_000, 0, -1, 2_800_000)
UNLABELLED = (0x9B9B9B, 0x000000)
IGNORE = 255


def class_ids(mask: Path) -> NDArray[np.uint8]:
    """Class ids (H, W) of a mask in colours, or in a palette of colours."""
    with rasterio.open(mask) as raster:
        values = raster.read().astype(np.uint32)
        if raster.count == 1:
            colours = raster.colormap(1)
            table = np.array([colours.get(i, (0, 0, 0, 0))[:3] for i in range(256)], np.uint32)
            values = np.moveaxis(table[values[0]], -1, 0)
    packed = (values[0] << 16) | (values[1] << 8) | values[2]
    ids = np.full(packed.shape, IGNORE, np.uint8)
    for index, (_, colour) in enumerate(CLASSES):
        ids[packed == colour] = index
    strange = set(np.unique(packed).tolist()) - {c for _, c in CLASSES} - set(UNLABELLED)
    if strange:
        raise SystemExit(f"{mask}: colour #{min(strange):06x} is no class")
    return ids


def cuts(size: int, side: int) -> list[tuple[int, int]]:
    """Equal parts of an axis, none longer than a side."""
    count = -(-size // side)
    return list(pairwise(size * i // count for i in range(count + 1)))


def write(path: Path, values: NDArray[np.uint8], **profile: object) -> None:
    """Write bands (C, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Neither images nor tiles need a place on the ground: they are paired by name.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8",
        compress="deflate", tiled=True, photometric="rgb" if count > 1 else "minisblack", **profile,
    ) as raster:  # fmt: skip
        raster.write(values)


def pairs(folder: Path) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Number, image (3, H, W) and class ids (H, W) of all images of a place."""
    for path in sorted(folder.glob("*.jpg")):
        with rasterio.open(path) as raster:
            image = raster.read()
        yield path.stem[-3:], image, class_ids(path.with_name(f"{path.stem}_mask.png"))


def write_scene(folder: Path, place: str, out: Path) -> None:
    """A place's images in three columns, with a pixel of nothing where they differ in size."""
    images, labels = zip(*((image, ids) for _, image, ids in pairs(folder)), strict=True)
    height = max(ids.shape[0] for ids in labels)
    width = max(ids.shape[1] for ids in labels)
    rows = -(-len(labels) // COLUMNS)
    scene = np.zeros((4, rows * height, COLUMNS * width), np.uint8)
    truth = np.full((1, rows * height, COLUMNS * width), IGNORE, np.uint8)
    for index, (image, ids) in enumerate(zip(images, labels, strict=True)):
        top, left = index // COLUMNS * height, index % COLUMNS * width
        here = np.s_[:, top : top + ids.shape[0], left : left + ids.shape[1]]
        scene[here] = np.concatenate([image, np.full((1, *ids.shape), 255, np.uint8)])
        truth[here] = ids
    profile = {"crs": "EPSG:32640", "transform": MADE_UP_PLACE}
    write(out / f"{place}.tif", scene, **profile, alpha="YES")
    write(out / f"{place}_labels.tif", truth, **profile, nodata=IGNORE)


def main(source: Path, out: Path, side: int, parts: dict[str, tuple[str, ...]]) -> None:
    """Cut all images."""
    for part, places in parts.items():
        written = 0
        for place in places:
            if part == "test":
                write_scene(source / place, place, out / part)
            for number, image, ids in pairs(source / place):
                for top, bottom in cuts(ids.shape[0], side):
                    for left, right in cuts(ids.shape[1], side):
                        label = ids[top:bottom, left:right]
                        if (label == IGNORE).all():
                            continue
                        name = f"{place}_{number}_{top:04}_{left:04}.tif"
                        write(out / part / "images" / name, image[:, top:bottom, left:right])
                        write(out / part / "labels" / name, label[None])
                        written += 1
        print(f"{part}: {written} tiles")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with a folder for each place")
    parser.add_argument("out", type=Path, help="folder for the tiles")
    parser.add_argument("--side", type=int, default=SIDE, help="largest side of a piece in pixels")
    parser.add_argument(
        "--all", action="store_true", help="the place for validation is for training too"
    )
    options = parser.parse_args()
    places = PLACES
    if options.all:
        places = {"train": PLACES["train"] + PLACES["val"], "test": PLACES["test"]}
    main(options.source, options.out, options.side, places)
