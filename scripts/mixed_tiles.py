r"""Lay water and plants of other tiles over tiles of a place, for training `landcover`.

    python scripts/mixed_tiles.py dubai_all/train --with infrared_tiles drawn_water \
        --out mixed_tiles

Four places show water and plants in few surroundings, and a network learns these along: what lies
in an open bay is water, what lies among houses is green. Ground of one or both classes is cut out
of another tile, of another place or of the folders given, and laid over a tile as it lay there,
image and labels (ClassMix: Olsson et al., WACV 2021, doi:10.1109/WACV48630.2021.00141, with true
labels and between places). Buildings, roads and the land about them stay together.

Makes ``OUT/{images,labels}/NNN.tif``; labels hold the ids of ``dubai_tiles.CLASSES``.
"""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path

import numpy as np
import rasterio
from dubai_tiles import CLASSES, IGNORE, write
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

COUNT, SIDE, SEED = 600, 512, 7
MOVED = tuple(number for number, (name, _) in enumerate(CLASSES) if name in ("water", "vegetation"))
SCALES = (0.6, 1.5)
SHARE = (0.04, 0.8)
"""Of a tile that is laid over; less teaches nothing, more is the other tile."""
FROM_PLACES = 0.5
"""Share of tiles over which another place is laid, and not a tile of the other folders."""

Tile = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def place_of(tile: Path) -> str:
    """Name of the place that a tile shows: what stands before the first line in its name."""
    return tile.stem.partition("_")[0]


def cut(rng: np.random.Generator, image: Path) -> Tile:
    """A random square of a tile, larger or smaller than it is, turned and mirrored."""
    labels = image.parents[1] / "labels" / image.name
    with rasterio.open(image) as pixels, rasterio.open(labels) as ids:
        wanted = round(SIDE / math.exp(rng.uniform(*map(math.log, SCALES))))
        side = min(wanted, pixels.height, pixels.width)
        row, column = (rng.integers(0, size - side + 1) for size in pixels.shape)
        window = Window(int(column), int(row), side, side)
        seen = pixels.read(
            (1, 2, 3), window=window, out_shape=(3, SIDE, SIDE), resampling=Resampling.bilinear
        )
        meant = ids.read(1, window=window, out_shape=(SIDE, SIDE))
    turns = int(rng.integers(4))
    seen, meant = np.rot90(seen, turns, (1, 2)), np.rot90(meant, turns)
    return (seen, meant) if rng.random() < 0.5 else (seen[:, :, ::-1], meant[:, ::-1])


def mixed(rng: np.random.Generator, places: list[Path], others: list[Path]) -> Tile | None:
    """One tile with ground of another over it; None where that has none to give."""
    below = places[rng.integers(len(places))]
    if others and rng.random() >= FROM_PLACES:
        above = others[rng.integers(len(others))]
    else:
        elsewhere = [tile for tile in places if place_of(tile) != place_of(below)]
        above = elsewhere[rng.integers(len(elsewhere))]
    (image, ids), (moved, theirs) = cut(rng, below), cut(rng, above)
    some = rng.permutation(MOVED)[: rng.integers(1, len(MOVED) + 1)]
    over = np.isin(theirs, some)
    if not SHARE[0] <= over.mean() <= SHARE[1] or (ids == IGNORE).all():
        return None
    return np.where(over, moved, image), np.where(over, theirs, ids)


def main() -> None:
    """Write the tiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("places", type=Path, help="folder with images/ and labels/ of the places")
    parser.add_argument(
        "--with", dest="others", type=Path, nargs="*", default=[], help="further ones"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the tiles")
    options = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    places = sorted((options.places / "images").glob("*.tif"))
    others = [
        tile for folder in options.others for tile in sorted((folder / "images").glob("*.tif"))
    ]
    rng, number = np.random.default_rng(SEED), 0
    while number < COUNT:
        tile = mixed(rng, places, others)
        if tile is None:
            continue
        write(options.out / "images" / f"{number:03}.tif", tile[0])
        write(options.out / "labels" / f"{number:03}.tif", tile[1][None])
        number += 1


if __name__ == "__main__":
    main()
