"""Make labels for another round of training of what a model is sure about (self-training).

    geoconvlora predict scene.tif --probs probs.tif --tta d4
    python scripts/pseudo_labels.py probs.tif labels.tif --least background=0.8 field=0.8

A pixel gets its most probable class where that is at least so probable, and 255, which training
ignores, elsewhere; classes that are not named are never sure. Classes are known by the names of the
bands. Boundaries are never as probable as what they part, so they want a lower bound
(``boundary=0.4``): without them the next model would learn that there are none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoconvlora.training.data_config import IGNORE


def sure_labels(
    probabilities: NDArray[np.float32], valid: NDArray[np.bool_], least: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """``(K, h, w)`` probabilities and ``(K,)`` bounds to ``(h, w)`` class ids, 255: not sure."""
    best = probabilities.argmax(axis=0)
    sure = valid & (probabilities.max(axis=0) >= least[best])
    return np.where(sure, best, IGNORE).astype(np.uint8)


def main() -> None:
    """Read the probabilities, write the labels, print shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("probs", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--least", nargs="+", required=True, metavar="CLASS=P")
    arguments = parser.parse_args()
    wanted = dict(each.split("=") for each in arguments.least)
    with rasterio.open(arguments.probs) as source:
        unknown = set(wanted) - set(source.descriptions)
        if unknown:
            parser.error(f"{min(unknown)} is no class: {', '.join(source.descriptions)}")
        least = np.array([wanted.get(name, np.inf) for name in source.descriptions], np.float32)
        scale = np.float32(source.scales[0])
        counts = np.zeros(IGNORE + 1, np.int64)
        with rasterio.open(
            arguments.labels,
            "w",
            driver="GTiff",
            count=1,
            dtype="uint8",
            nodata=IGNORE,
            height=source.height,
            width=source.width,
            crs=source.crs,
            transform=source.transform,
            compress="deflate",
            tiled=True,
        ) as target:
            for _, window in target.block_windows():
                stored = source.read(window=window, masked=True)
                labels = sure_labels(
                    stored.data.astype(np.float32) * scale, ~stored.mask.any(axis=0), least
                )
                target.write(labels, 1, window=window)
                counts += np.bincount(labels.ravel(), minlength=len(counts))
    for number, name in enumerate(source.descriptions):
        print(f"{name}: {counts[number] / counts.sum():.1%}")
    print(f"not sure: {counts[IGNORE] / counts.sum():.1%}")


if __name__ == "__main__":
    main()
