"""What loading costs: beside a training step, and in memory for scenes of any size.

    python benchmarks/loader.py
    python benchmarks/loader.py --sides 1000 20000 --polygons 5000

Draws random windows of a GeoTIFF with a vector file of labels in another CRS, and takes training
steps of `vit_t` in full on them. All times are CPU time of one thread, so other work on the
machine does not count. The share is what each of two workers does during a step. Peak memory is
that of a process that opens, surveys and samples the scene. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine

CRS = "EPSG:32631"
LEFT, TOP, GSD_M = 700_000, 5_600_000, 10
BATCH = 8
WORKERS = 2

DRAW = """
import sys, time
from pathlib import Path
import numpy as np
from geoconvlora.training.config_file import load_config
from geoconvlora.training.sources import open_sources

folder, tile = Path(sys.argv[1]), int(sys.argv[2])
config = load_config(None, {
    "model": {"size": "vit_t", "method": "full"},
    "classes": [
        {"id": 0, "name": "other", "color": "#000000"},
        {"id": 1, "name": "field", "color": "#00ff00"},
    ],
    "bands": [{"name": n, "mean": 500, "std": 300} for n in ("red", "green", "blue")],
    "tile_size": tile,
    "data": {
        "kind": "scenes",
        "scenes": [{"image": folder / "scene.tif", "labels": folder / "labels.gpkg"}],
    },
    "out": folder / "m.safetensors",
})
pool = open_sources(config).train
for key in range(4):
    pool.draw(key).to_torch()
started = time.process_time()
count = 64
for key in range(4, 4 + count):
    pool.draw(key).to_torch()
seconds = (time.process_time() - started) / count
status = Path("/proc/self/status").read_text().splitlines()
(peak,) = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
print(seconds, peak / 1024)
"""

STEP = """
import sys, time
import torch
from geoconvlora.training.task import ConvLoRASegmentation

tile, batch = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
torch.manual_seed(0)
task = ConvLoRASegmentation(model="vit_t", method="full", num_classes=2)
optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=1e-4)
image = torch.randn(batch, 3, tile, tile)
mask = torch.randint(0, 2, (batch, tile, tile))


def step():
    optimizer.zero_grad()
    task.criterion(task(image), mask).backward()
    optimizer.step()


step()
started = time.process_time()
for _ in range(3):
    step()
print((time.process_time() - started) / 3)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--polygons", type=int, default=2_500)
    parser.add_argument("--tile", type=int, default=256)
    arguments = parser.parse_args()
    step = _run(STEP, arguments.tile, BATCH)[0]
    print(f"training step, vit_t, batch {BATCH} of {arguments.tile} px: {step:.2f} s CPU\n")
    print("| scene | polygons | CPU ms a sample | a worker's share of a step | peak memory, MB |")
    print("|---|---|---|---|---|")
    for side in arguments.sides:
        with tempfile.TemporaryDirectory() as folder:
            count = _write(Path(folder), side, arguments.polygons)
            seconds, peak = _run(DRAW, folder, arguments.tile)
        share = seconds * BATCH / WORKERS / step
        print(
            f"| {side} x {side} | {count} | {1000 * seconds:.1f} | {share:.1%} | {peak:.0f} |",
            flush=True,
        )


def _write(folder: Path, side: int, polygons: int) -> int:
    """A scene of noise, all of it labelled; returns the number of polygons."""
    rng = np.random.default_rng(0)
    profile = {
        "driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint16",
        "crs": CRS, "transform": Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP),
        "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "zstd", "zstd_level": 1,
    }  # fmt: skip
    block = (rng.integers(1, 17, (3, 1024, 1024)) * 60).astype(np.uint16)
    with rasterio.open(folder / "scene.tif", "w", **profile) as scene:
        for row in range(0, side, 1024):
            for column in range(0, side, 1024):
                height, width = min(1024, side - row), min(1024, side - column)
                window = rasterio.windows.Window(column, row, width, height)
                scene.write(block[:, :height, :width], window=window)
    places = int(np.sqrt(polygons))
    pitch = side / places
    rows, columns = (axis.ravel() * pitch for axis in np.mgrid[:places, :places])
    boxes = shapely.box(
        LEFT + GSD_M * columns,
        TOP - GSD_M * (rows + 0.8 * pitch),
        LEFT + GSD_M * (columns + 0.8 * pitch),
        TOP - GSD_M * rows,
    )
    labels = gpd.GeoDataFrame(geometry=boxes, crs=CRS).to_crs("EPSG:4326")
    labels.to_file(folder / "labels.gpkg")
    return places**2


def _run(code: str, *arguments: object) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(number) for number in done.stdout.split()]


if __name__ == "__main__":
    main()
