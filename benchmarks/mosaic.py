"""Joining maps: time and peak memory, ours and rasterio.merge's, by the number of maps.

    python benchmarks/mosaic.py

Maps of 1024 x 1024 pixels and three classes lie in a column, each overlapping the next by an
eighth. Ours blends with fading weights; the peer has no blending and takes the first map. Both
write the three bands as float32. On the "same grid" pixels are copied, at "half a pixel"
interpolated. Each figure is from a process of its own; times are of the processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

SIDE = 1024
ROOT = Path(__file__).parents[1]

OURS = """
from geoconvlora.inference import mosaic
mosaic(paths, [], probs=out, res=10, polygons=None)
"""

PEER = """
import rasterio, rasterio.merge
from rasterio.enums import Resampling
sources = [rasterio.open(path) for path in paths]
left = min(s.bounds.left for s in sources) // 10 * 10
right = -(-max(s.bounds.right for s in sources) // 10) * 10
bottom = min(s.bounds.bottom for s in sources) // 10 * 10
top = -(-max(s.bounds.top for s in sources) // 10) * 10
rasterio.merge.merge(
    sources, bounds=(left, bottom, right, top), res=10, resampling=Resampling.bilinear,
    dst_path=out, dst_kwds={"driver": "GTiff", "compress": "deflate", "zlevel": 1, "predictor": 3},
)
"""

MEASURED = """
import sys, time, warnings
warnings.simplefilter("ignore")
from peak_memory import peak_memory_mb
out, *paths = sys.argv[1:]
{work}
print(time.process_time(), peak_memory_mb())
"""


def write_maps(folder: Path, count: int, shift_m: float) -> list[Path]:
    patches = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
    values = patches.repeat(SIDE // 32, axis=1).repeat(SIDE // 32, axis=2)
    paths = []
    for i in range(count):
        paths.append(folder / f"{i:03}.tif")
        top = 5_600_000 + shift_m - i * 10 * SIDE * 7 // 8
        with rasterio.open(
            paths[-1],
            "w",
            driver="GTiff",
            count=3,
            height=SIDE,
            width=SIDE,
            dtype="float32",
            nodata=np.nan,
            compress="deflate",
            crs="EPSG:32631",
            transform=Affine(10, 0, 600_000 + shift_m, 0, -10, top),
        ) as dataset:
            dataset.write(values)
    return paths


def measure(work: str, out: Path, paths: list[Path]) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED.format(work=work), out, *paths],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
    )
    seconds, peak_mb = map(float, done.stdout.split())
    return seconds, peak_mb


def main() -> None:
    print("| maps | placed | ours, s | MB | rasterio.merge, s | MB |")
    print("|---|---|---|---|---|---|")
    for count in (4, 16, 32):
        for shift_m, placed in ((0, "same grid"), (5, "half a pixel")):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                paths = write_maps(folder, count, shift_m)
                figures = [measure(work, folder / "out.tif", paths) for work in (OURS, PEER)]
            shown = " | ".join(f"{seconds:.1f} | {peak_mb:.0f}" for seconds, peak_mb in figures)
            print(f"| {count} | {placed} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
