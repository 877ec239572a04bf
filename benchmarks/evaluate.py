"""CPU time of `geoconvlora evaluate`: many polygons, a plain loop as peer, and maps.

    python benchmarks/evaluate.py
    python benchmarks/evaluate.py --polygons 20000 --loop 200

Polygons are fields of 24 vertices on a jittered grid, predicted ones moved and reshaped. The loop
intersects every pair, one after the other, and must find the same; its time grows with the square
of the number, so it runs on few.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from geoconvlora.evaluate.object_evaluation import compare_objects
from geoconvlora.evaluate.polygons import layer_of

SPACING_M = 100.0
VERTICES = 24
MAP_WIDTH = 4096
MAP_ROWS = (4096, 16384)

_MEASURE_MAP = """
import pathlib, sys, time
from geoconvlora.evaluate import evaluate
started = time.process_time()
result = evaluate(sys.argv[1], sys.argv[2])
status = pathlib.Path("/proc/self/status").read_text().splitlines()
(peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(time.process_time() - started, peak / 1024)
"""


def fields(count: int, seed: int) -> gpd.GeoDataFrame:
    """This many fields that overlap some of their neighbours."""
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(np.arange(count), math.ceil(count**0.5))
    centre = np.stack([columns, rows], axis=1) * SPACING_M + rng.normal(0, 8, (count, 2))
    turn = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    wobble = 1 + 0.1 * rng.normal(size=(count, VERTICES)).clip(-1, 1)
    radius = rng.uniform(40, 55, (count, 1)) * wobble
    outline = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=-1)
    polygons = shapely.polygons(centre[:, None] + outline)
    frame = gpd.GeoDataFrame(geometry=polygons, crs=32631)
    return frame.set_geometry(frame.translate(400_000, 5_000_000))


def by_loop(predicted: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> int:
    """True positives at IoU 0.5, every pair looked at."""
    pairs = []
    for (i, one), (j, other) in itertools.product(
        enumerate(predicted.geometry), enumerate(truth.geometry)
    ):
        common = one.intersection(other).area
        iou = common / (one.area + other.area - common)
        if iou >= 0.5:
            pairs.append((-iou, i, j))
    ours: set[int] = set()
    theirs: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in ours and j not in theirs:
            ours.add(i)
            theirs.add(j)
    return len(ours)


def measure_polygons(count: int) -> tuple[float, int, int]:
    """CPU seconds, polygons a side, true positives."""
    predicted, truth = fields(count, 1), fields(count, 2)
    started = time.process_time()
    result = compare_objects(layer_of(predicted, "predicted"), layer_of(truth, "true")).evaluation
    return time.process_time() - started, len(truth), result.tp


def measure_loop(count: int) -> tuple[float, int, int]:
    """The same by the plain loop."""
    predicted, truth = fields(count, 1), fields(count, 2)
    started = time.process_time()
    found = by_loop(predicted, truth)
    return time.process_time() - started, len(truth), found


def write_map(path: Path, rows: int, seed: int) -> None:
    """Patches of five classes of 16 x 16 pixels; most are the same whatever the seed."""
    profile = {
        "driver": "GTiff",
        "width": MAP_WIDTH,
        "height": rows,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:32631",
        "transform": from_origin(400_000, 5_000_000, 10, 10),
        "tiled": True,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as raster:
        for row in range(0, rows, 256):
            shape = (16, MAP_WIDTH // 16)
            same = np.random.default_rng(row).integers(0, 5, shape, dtype=np.uint8)
            own = np.random.default_rng((row, seed))
            other = own.integers(0, 5, shape, dtype=np.uint8)
            patches = np.where(own.random(shape) < 0.2, other, same)
            values = np.kron(patches, np.ones((16, 16), np.uint8))
            raster.write(values, 1, window=rasterio.windows.Window(0, row, MAP_WIDTH, 256))


def measure_map(rows: int) -> tuple[float, float]:
    """CPU seconds and peak memory in MB, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{seed}.tif" for seed in (1, 2)]
        for seed, path in enumerate(paths):
            write_map(path, rows, seed)
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_MAP, *map(str, paths)],
            capture_output=True,
            text=True,
            check=True,
        )
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, default=100_000, help="a side")
    parser.add_argument("--loop", type=int, default=400, help="polygons a side for the loop")
    args = parser.parse_args()

    print("| polygons against polygons | CPU s | matched at IoU 0.5 |")
    print("|---|---|---|")
    for name, measured in (
        ("evaluate", measure_polygons(args.polygons)),
        ("evaluate", measure_polygons(args.loop)),
        ("loop", measure_loop(args.loop)),
    ):
        seconds, count, found = measured
        print(f"| {name}, {count:,} against {count:,} | {seconds:.2f} | {found:,} |")
    print()
    print("| map against map | CPU s | megapixels / s | peak memory, MB |")
    print("|---|---|---|---|")
    for rows in MAP_ROWS:
        seconds, peak = measure_map(rows)
        size = rows * MAP_WIDTH / 1e6
        print(f"| {rows} x {MAP_WIDTH} | {seconds:.1f} | {size / seconds:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
