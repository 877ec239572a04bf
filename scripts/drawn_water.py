"""Draw water and coasts with their labels, for training `landcover`.

    python scripts/drawn_water.py drawn_water

Makes ``OUT/{images,labels}/NNN.tif``; labels hold the ids of ``dubai_tiles.CLASSES``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from dubai_tiles import write

from geoconvlora.synthetic.water import coast

COUNT, SIDE, SEED = 128, 768, 11


def main() -> None:
    """Write the tiles."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the tiles")
    options = parser.parse_args()
    for number in range(COUNT):
        image, ids = coast(np.random.default_rng([SEED, number]), SIDE)
        write(options.out / "images" / f"{number:03}.tif", image)
        write(options.out / "labels" / f"{number:03}.tif", ids[None])


if __name__ == "__main__":
    main()
