"""Label what near infrared tells apart: water, vegetation and bare land, for training `landcover`.

    python scripts/infrared_labels.py ../shared/data/train infrared_tiles

Scenes with a near-infrared band become tiles of their three visible bands, as stored, labelled by
two indices that the model does not see: water is what McFeeters' NDWI (1996, Int. J. Remote
Sensing 17, 1425-1432) calls so, vegetation what the NDVI does. What lies between the thresholds,
and the edge of everything, is 255, which training ignores. So the model sees turbid green lakes
beside green crops, which aerial images of a desert city do not show.

Makes ``OUT/{images,labels}/NAME.tif``; labels hold the ids of ``dubai_tiles.CLASSES``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from dubai_tiles import CLASSES, IGNORE, write
from make_palettes import SCENES, read
from numpy.typing import NDArray
from scipy import ndimage

WINDOWS = {
    "dakota-naip-2014": None,
    "dakota-naip-2016": None,
    "dakota-naip-2019": None,
    "carolina-s2": (0, 0, 2629, 1100),
}
"""Scenes of 8 bits, and their windows (column, row, width, height)."""
LAND, WATER, VEGETATION = (
    next(i for i, (name, _) in enumerate(CLASSES) if name == wanted)
    for wanted in ("land", "water", "vegetation")
)
WET_NDWI = 0.3
GREEN_NDVI = 0.2
BARE_NDVI = 0.02
DRY_NDWI = 0.12
EDGE_PX = 1
WHITE = 255
"""What the scene of Carolina has around it."""


def labels(bands: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Class ids (H, W) by the indices of red, green, blue and near infrared (4, H, W)."""
    red, green, _, infrared = bands
    with np.errstate(invalid="ignore", divide="ignore"):
        ndvi = (infrared - red) / (infrared + red)
        ndwi = (green - infrared) / (green + infrared)
    found = np.full(valid.shape, IGNORE, np.uint8)
    for class_id, where in (
        (WATER, ndwi > WET_NDWI),
        (VEGETATION, (ndvi > GREEN_NDVI) & (ndwi < 0)),
        (LAND, (ndvi < BARE_NDVI) & (ndwi < DRY_NDWI)),
    ):
        found[ndimage.binary_erosion(where & valid, iterations=EDGE_PX)] = class_id
    return found


def main() -> None:
    """Write the tiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with the sets that SCENES names")
    parser.add_argument("out", type=Path, help="folder for the tiles")
    options = parser.parse_args()
    for name, files, bands, _, _, _ in SCENES:
        if name not in WINDOWS:
            continue
        values, valid = read(options.source, files, bands, WINDOWS[name])
        ids = labels(values, valid & (values[:3] < WHITE).any(axis=0))
        write(options.out / "images" / f"{name}.tif", values[:3].astype(np.uint8))
        write(options.out / "labels" / f"{name}.tif", ids[None])
        shares = ", ".join(f"{(ids == i).mean():.0%} {CLASSES[i][0]}" for i in range(3))
        print(f"{name}: {shares}")


if __name__ == "__main__":
    main()
