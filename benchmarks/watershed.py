"""Basins and floods of boundary probability, beside scikit-image's; by bands and whole.

    python benchmarks/watershed.py                 # 4096 x 4096, 7,000 fields: some minutes
    python benchmarks/watershed.py --size 1024 --fields 440

Seconds are of one thread's processor time. Pixels that differ from scikit-image's are ties: both
seeds reach them over equally high ground (`tests/vector/test_flood.py` checks that).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_minima, reconstruction
from skimage.segmentation import watershed

from geoconvlora.vector.flood import flood, halo_of
from geoconvlora.vector.minima import LEVELS, basins

CROSS = ndimage.generate_binary_structure(2, 1)
DEPTH = 51
REACH = 64


def landscape(size: int, fields: int) -> NDArray[np.uint8]:
    """Boundary probability of fields of random sizes, weak and strong in places, in levels."""
    rng = np.random.default_rng(0)
    sites = np.ones((size, size), bool)
    sites.ravel()[rng.choice(size * size, fields, replace=False)] = False
    nearest = ndimage.distance_transform_edt(sites, return_distances=False, return_indices=True)
    owner = nearest[0] * size + nearest[1]
    edge = np.zeros_like(sites)
    edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
    edge[1:] |= owner[1:] != owner[:-1]
    distance = ndimage.distance_transform_edt(~edge).astype(np.float32)
    strength = ndimage.zoom(rng.uniform(0.4, 0.95, (size // 32, size // 32)), 32, order=1)
    noise = ndimage.gaussian_filter(rng.normal(size=(size, size)).astype(np.float32), 1.5) * 0.2
    probability = strength * np.exp(-distance / 3) + noise
    return (np.clip(probability, 0, 1) * LEVELS).astype(np.uint8)


def basins_by_skimage(heights: NDArray[np.uint8], depth: int) -> NDArray[np.bool_]:
    ground = heights.astype(np.int16)
    filled = reconstruction(
        np.minimum(ground + depth, LEVELS), ground, method="erosion", footprint=CROSS
    ).astype(np.uint8)
    framed = np.pad(filled, 1, constant_values=LEVELS)
    return local_minima(framed, footprint=CROSS)[1:-1, 1:-1] & (filled < LEVELS)


def timed(work: Callable[..., Any], *given: Any, **settings: Any) -> tuple[Any, float]:
    started = time.process_time()
    done = work(*given, **settings)
    return done, time.process_time() - started


def by_bands(
    heights: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    inside: NDArray[np.bool_],
    rows: int,
) -> NDArray[np.int32]:
    done = []
    for top in range(0, len(heights), rows):
        first = max(top - halo_of(REACH), 0)
        seen = slice(first, top + rows + halo_of(REACH))
        band = flood(heights[seen], seeds[seen], inside[seen], REACH)
        done.append(band[top - first :][:rows])
    return np.concatenate(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--fields", type=int, default=7000)
    parser.add_argument("--band", type=int, default=512, help="rows of a band")
    args = parser.parse_args()
    heights = landscape(args.size, args.fields)
    inside = np.ones(heights.shape, bool)

    found, ours_s = timed(basins, heights, DEPTH)
    same, theirs_s = timed(basins_by_skimage, heights, DEPTH)
    print(f"{args.size} x {args.size}, {label(found, connectivity=1).max()} seeds")
    print(f"{'':22}{'ours, s':>9}{'skimage, s':>12}{'times':>7}  pixels that differ")

    def line(name: str, ours: float, theirs: float, differ: float) -> None:
        print(f"{name:22}{ours:9.2f}{theirs:12.2f}{theirs / ours:7.1f}  {differ:.4%}")

    line("basins", ours_s, theirs_s, float((found != same).mean()))
    broad = label(found, connectivity=1).astype(np.int32)
    points = np.zeros_like(broad)
    first = np.unique(broad, return_index=True)[1][1:]
    points.ravel()[first] = broad.ravel()[first]
    for name, seeds in (("flood, from basins", broad), ("flood, from points", points)):
        whole, ours_s = timed(flood, heights, seeds, inside, REACH)
        theirs, theirs_s = timed(watershed, heights, seeds, connectivity=1, mask=inside)
        reached = whole > 0
        line(name, ours_s, theirs_s, float((whole != theirs)[reached].mean()))
        bands, bands_s = timed(by_bands, heights, seeds, inside, args.band)
        print(
            f"  in bands of {args.band} rows{bands_s:9.2f}; pixels unlike the whole: "
            f"{int((bands != whole).sum())}; beyond {REACH} steps: {(~reached).mean():.4%}"
        )


if __name__ == "__main__":
    main()
